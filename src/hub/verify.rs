//! Whether files are what their names say: a blob's name is the hash of its content.

use super::cache::{Cache, RepoFolder};
use super::id::is_lower_hex;
use super::inventory::{Entry, entries};
use super::{HubError, ModelId};
use crate::digest;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The hash that a blob's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Of large files: SHA-256 of the content.
    Sha256,
    /// Of small files: the SHA-1 that git gives a blob.
    GitSha1,
}

impl Named {
    /// What kind of hash a name is, if it is one.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name.len() {
            _ if !is_lower_hex(name) => None,
            64 => Some(Self::Sha256),
            40 => Some(Self::GitSha1),
            _ => None,
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::GitSha1 => "git SHA-1",
        }
    }

    /// What is wrong with a file whose blob has this name, if something is.
    pub(super) fn damage(self, blob: &str, path: &Path) -> Option<String> {
        match self.hash(path) {
            Ok(hash) if hash == blob => None,
            Ok(hash) => Some(format!("its {} is {hash}, and should be {blob}", self.title())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(MISSING.to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// The hash of a file.
    pub(super) fn hash(self, path: &Path) -> std::io::Result<String> {
        match self {
            Self::Sha256 => {
                let mut hash = Sha256::new();
                digest::add_file(&mut hash, path)?;
                Ok(digest::hexadecimal(hash))
            }
            Self::GitSha1 => {
                let mut hash = Sha1::new_with_prefix(format!("blob {}\0", std::fs::metadata(path)?.len()));
                digest::add_file(&mut hash, path)?;
                Ok(digest::hexadecimal(hash))
            }
        }
    }
}

/// What is said of a link to a blob that is not there.
const MISSING: &str = "its content is missing";

/// What a check of the cache found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Files whose hash was compared.
    pub checked: usize,
    /// Files whose name is no hash, so that there is nothing to compare with.
    pub unchecked: usize,
    /// Files that are not what they should be.
    pub damaged: Vec<Damage>,
}

/// A file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// `owner/name`.
    pub model: String,
    /// The commit that needs the file; several may.
    pub commit: String,
    /// The file's name.
    pub file: String,
    /// What is wrong.
    pub reason: String,
}

impl Cache {
    /// Compares every file of a model (at a revision, if the id has one), or of all models, with the hash that its blob's name is.
    ///
    /// # Errors
    /// If the model is not in the cache, or a folder cannot be read. A file that cannot be read counts as damaged.
    pub fn verify(&self, id: Option<&ModelId>) -> Result<Verification, HubError> {
        let mut found = Verification::default();
        let Some(id) = id else {
            for repo in self.repos()? {
                found.repo(&repo, &self.repo(&repo), None)?;
            }
            return Ok(found);
        };
        let absent = || HubError::NotCached { id: id.to_string(), cache: self.root().to_owned() };
        let repo = self.repo(id.repo());
        if !repo.snapshots().is_dir() {
            return Err(absent());
        }
        let commit = match id.names_revision() {
            true => Some(self.find(id).ok_or_else(absent)?.commit),
            false => None,
        };
        found.repo(id.repo(), &repo, commit.as_deref())?;
        Ok(found)
    }
}

impl Verification {
    fn repo(&mut self, model: &str, repo: &RepoFolder, only: Option<&str>) -> Result<(), HubError> {
        // Commits share blobs: each is read once.
        let mut verdicts: BTreeMap<String, Option<String>> = BTreeMap::new();
        for Entry { commit, file, path, blob } in entries(repo)? {
            if only.is_some_and(|only| only != commit) {
                continue;
            }
            let Some((blob, named)) = blob.and_then(|blob| Named::of(&blob).map(|named| (blob, named)))
            else {
                match path.exists() {
                    true => self.unchecked += 1,
                    false => {
                        let (model, reason) = (model.to_owned(), MISSING.to_owned());
                        self.damaged.push(Damage { model, commit, file, reason });
                    }
                }
                continue;
            };
            let known = verdicts.contains_key(&blob);
            let verdict = verdicts.entry(blob.clone()).or_insert_with(|| named.damage(&blob, &path));
            match verdict {
                Some(reason) => {
                    let (model, reason) = (model.to_owned(), reason.clone());
                    self.damaged.push(Damage { model, commit, file, reason });
                }
                None if !known => self.checked += 1,
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // `printf abc | git hash-object --stdin`; SHA-256 of "abc" from FIPS 180-4.
        assert_eq!(Named::GitSha1.hash(&path).unwrap(), "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
        assert!(Named::Sha256.hash(&path).unwrap().starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }

    #[test]
    fn only_names_that_are_hashes_are_compared() {
        assert_eq!(Named::of(&"a".repeat(64)), Some(Named::Sha256));
        assert_eq!(Named::of(&"0".repeat(40)), Some(Named::GitSha1));
        for name in [&"A".repeat(64), &"a".repeat(63), "", &"g".repeat(40)] {
            assert_eq!(Named::of(name), None);
        }
    }
}
