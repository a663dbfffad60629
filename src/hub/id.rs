use super::HubError;
use std::fmt;
use std::str::FromStr;

/// A model on the hub: `owner/name`, or a plain `name` as old ones have, and a revision (branch, tag or commit).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId {
    repo: String,
    revision: Option<String>,
}

/// The branch that is meant where no revision is given.
const MAIN: &str = "main";

/// Longest name of a repository, in characters, as `huggingface_hub` has it.
const LONGEST: usize = 96;

impl ModelId {
    /// Whether a text has the form of a path rather than that of an id: it is then never asked for on the hub.
    ///
    /// The hub knows ids with at most one slash; what begins with `.`, `/` or `~`, ends with a slash or has a backslash or two
    /// slashes is a path.
    pub fn is_path_like(text: &str) -> bool {
        let repo = text.split_once('@').map_or(text, |(repo, _)| repo);
        text.starts_with(['.', '/', '~'])
            || repo.ends_with('/')
            || repo.contains('\\')
            || repo.matches('/').count() > 1
    }

    /// `owner/name`, or a plain `name`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The branch, tag or commit; `main` where none was given.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    /// Whether a revision was given.
    pub fn names_revision(&self) -> bool {
        self.revision.is_some()
    }

    /// The revision, if it is a whole commit: what it means can never change.
    pub fn commit(&self) -> Option<&str> {
        self.revision.as_deref().filter(|revision| is_commit(revision))
    }
}

impl FromStr for ModelId {
    type Err = HubError;

    /// Reads `owner/name[@revision]`, with the rules of `huggingface_hub`.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let refuse = |reason: &str| HubError::BadId { id: text.to_owned(), reason: reason.to_owned() };
        let (repo, revision) = match text.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision)),
            None => (text, None),
        };
        if Self::is_path_like(text) {
            return Err(refuse("it has the form of a path"));
        }
        if repo.len() > LONGEST {
            return Err(refuse("it is longer than 96 characters"));
        }
        for part in repo.split('/') {
            if part.is_empty() {
                return Err(refuse("a part of it is empty"));
            }
            if !part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                return Err(refuse("it may have letters, digits, `-`, `_` and `.` only"));
            }
            if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
                return Err(refuse("no part of it may begin or end with `-` or `.`"));
            }
        }
        if repo.contains("..") || repo.contains("--") {
            return Err(refuse("it may not have `..` or `--` in it"));
        }
        if repo.ends_with(".git") {
            return Err(refuse("it may not end in `.git`"));
        }
        if let Some(revision) = revision {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+');
            if !revision.chars().all(plain) || revision.contains("..") || revision.starts_with('-') {
                return Err(refuse("its revision is not the name of a branch, a tag or a commit"));
            }
            if revision.split('/').any(|part| part.is_empty() || part == ".") {
                return Err(refuse("a part of its revision is empty"));
            }
        }
        Ok(Self { repo: repo.to_owned(), revision: revision.map(str::to_owned) })
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

/// Whether a text is a whole commit hash.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_lower_hex(text)
}

/// Whether a text consists of the digits that hashes are written in.
pub(super) fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_and_without_owner_and_revision_are_read() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, repo, revision) in [
            ("bert-base-uncased", "bert-base-uncased", "main"),
            ("owner/name", "owner/name", "main"),
            ("o/n.v2@v1.0", "o/n.v2", "v1.0"),
            ("o/n@refs/pr/3", "o/n", "refs/pr/3"),
            (&format!("o/n@{commit}"), "o/n", commit),
        ] {
            let id: ModelId = text.parse().unwrap();
            assert_eq!((id.repo(), id.revision(), id.to_string().as_str()), (repo, revision, text));
            assert_eq!(id.commit().is_some(), revision == commit);
        }
    }

    #[test]
    fn what_could_leave_the_cache_or_the_hub_is_refused() {
        let long = "x".repeat(97);
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "a/b/c",
            "../a",
            "a/..",
            "a/.b",
            "a..b/c",
            "a--b",
            "a/-b",
            "a/b.",
            "a b",
            "a/b?x",
            "a/b#c",
            "a%2Fb",
            "ä/b",
            "a\\b",
            "~/a",
            "a/b.git",
            "a:b",
            "a/b@",
            "a/b@..",
            "a/b@x/../y",
            "a/b@/x",
            "a/b@x//y",
            "a/b@x y",
            "a/b@x@y",
            "a/b@-x",
            "a\n/b",
            &long,
        ] {
            assert!(text.parse::<ModelId>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn paths_are_told_from_ids() {
        for path in ["./x", "../x", "/x", "~/x", "a/b/c", "models/mine/", ".hidden", "a\\b"] {
            assert!(ModelId::is_path_like(path), "{path}");
        }
        for id in ["x", "a/b", "a/b@refs/pr/1"] {
            assert!(!ModelId::is_path_like(id), "{id}");
        }
    }
}
