use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why a model could not be found, fetched or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// An id that no model can have.
    #[error("`{id}` is no id of a model: {reason}\n\nhint: an id is `owner/name` or `owner/name@revision`")]
    BadId {
        /// What was given.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable of the environment that cannot be honoured.
    #[error("{name}: {reason}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not in the cache, and connections are forbidden.
    #[error(
        "`{file}` of {id} is not in the cache {cache}, and {variable} forbids to fetch it\n\nhint: unset {variable}, or run `undertone models pull {id}` where there is a network and copy the cache here",
        cache = cache.display()
    )]
    Offline {
        /// The model.
        id: String,
        /// The first file that is missing.
        file: String,
        /// The variable that forbids.
        variable: &'static str,
        /// Where was looked.
        cache: PathBuf,
    },
    /// The model is not in the cache.
    #[error("{id} is not in the cache {cache}\n\nhint: `undertone models list` shows what is; `undertone models pull {id}` fetches it", cache = cache.display())]
    NotCached {
        /// The model.
        id: String,
        /// Where was looked.
        cache: PathBuf,
    },
    /// The hub does not hand out the model.
    #[error("{refusal}")]
    Refused {
        /// Who refuses what, and why.
        refusal: Refusal,
    },
    /// The model lacks a file without which it cannot be used.
    #[error(
        "{id} has no `{file}`, without which it cannot be read\n\nhint: undertone reads models with config.json, tokenizer.json (or the vocabulary of BERT or RoBERTa) and weights in model.safetensors or pytorch_model.bin"
    )]
    Incomplete {
        /// The model.
        id: String,
        /// The file.
        file: String,
    },
    /// An answer that is none of a hub.
    #[error(
        "{url} does not answer as a hub does: {reason}\n\nhint: if HF_ENDPOINT is set, check that it is the address of a hub"
    )]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The hub answered with an error of its own, to the last try.
    #[error("{url} answers with status {status}\n\nhint: the hub is busy or not well; try again later")]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long the hub asks to wait (`Retry-After`).
        wait: Option<Duration>,
    },
    /// No connection, or one that broke, to the last try.
    #[error("{url}: {reason}")]
    Network {
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
        /// Whether another try may help.
        again: bool,
    },
    /// What came is not what was announced. It is thrown away; the cache is as it was.
    #[error(
        "`{file}` of {id} came with {what} {found}, where {expected} was announced; it is thrown away and the cache is as it was\n\nhint: try again; if it stays so, a proxy or mirror changes what it hands on"
    )]
    Damaged {
        /// The model.
        id: String,
        /// The file.
        file: String,
        /// What differs: `SHA-256`, `git SHA-1` or `size`.
        what: &'static str,
        /// As announced.
        expected: String,
        /// As it came.
        found: String,
    },
    /// No room for a file.
    #[error(
        "{path}: the disk is full{need}\n\nhint: `undertone models list` shows what the cache holds, `undertone models remove ID` frees it; HF_HUB_CACHE puts it elsewhere. What has come so far is kept, and the next try goes on from there",
        path = path.display(),
        need = file.as_ref().map_or(String::new(), |(file, size)| match size {
            Some(bytes) => format!("; `{file}` needs {bytes} bytes in all"),
            None => format!("; it has no room for `{file}`"),
        })
    )]
    DiskFull {
        /// What was written.
        path: PathBuf,
        /// The model's file that is to become of it, and its size in bytes where that is known.
        file: Option<(String, Option<u64>)>,
    },
    /// A file of the cache cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The index of the weights cannot be understood.
    #[error(transparent)]
    Bundle(#[from] crate::bundle::BundleError),
    /// Another file failed first, and the rest was given up.
    #[error("given up, since another file failed")]
    GivenUp,
}

/// A hub that does not hand out what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The model.
    pub id: String,
    /// The hub.
    pub endpoint: String,
    /// The HTTP status: 401, 403, 404 or another below 500.
    pub status: u16,
    /// What the hub calls it (`X-Error-Code`), such as `GatedRepo`.
    pub code: Option<String>,
    /// The file that was asked for, if it was one.
    pub file: Option<String>,
    /// Whether a token was sent.
    pub token: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, endpoint, status, code, file, token } = self;
        let repo = id.split('@').next().unwrap_or(id);
        let what = file.as_ref().map_or(id.clone(), |file| format!("`{file}` of {id}"));
        match (status, code.as_deref()) {
            (_, Some("GatedRepo")) => {
                write!(f, "{id} is gated: its owner asks for conditions to be accepted ({status})\n\n")?;
                write!(f, "hint: accept them at {endpoint}/{repo}")?;
                match token {
                    true => write!(f, " with the account that the token in use belongs to"),
                    false => write!(f, ", then set HF_TOKEN to a token of that account"),
                }
            }
            (404, Some("RevisionNotFound")) => {
                write!(f, "{repo} has no revision `{}`\n\n", id.split_once('@').map_or("main", |(_, r)| r))?;
                write!(f, "hint: {endpoint}/{repo}/tree/main lists its branches and tags")
            }
            (404, Some("EntryNotFound")) => write!(f, "there is no {what} at {endpoint}"),
            (401 | 403, _) if *token => {
                write!(f, "{endpoint} refuses {what} with the token in use ({status})\n\n")?;
                write!(
                    f,
                    "hint: the id may be misspelt, the model private, or the token in HF_TOKEN out of date"
                )
            }
            (401 | 403 | 404, _) => {
                write!(f, "{endpoint} does not show {what} ({status})\n\n")?;
                write!(
                    f,
                    "hint: the id may be misspelt; a private or gated model needs a token in HF_TOKEN"
                )?;
                write!(f, "; a folder of your own is not there under this name")
            }
            _ => write!(f, "{endpoint} refuses {what} with status {status}"),
        }
    }
}

impl HubError {
    /// The error of the system about a file, a full disk being told from the rest.
    pub(super) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, file: None }
            }
            _ => Self::File { path, source },
        }
    }

    /// Whether the hub could not be reached or was not well, so that what the cache has may stand in.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Status { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: Option<&str>, token: bool) -> String {
        let (id, endpoint) = ("ana/secret@v2".into(), "https://hub".into());
        Refusal { id, endpoint, status, code: code.map(str::to_owned), file: None, token }.to_string()
    }

    #[test]
    fn refusals_name_the_likely_cause_and_the_remedy() {
        for (status, code, token, expected) in [
            (401, None, false, "HF_TOKEN"),
            (401, Some("RepoNotFound"), true, "out of date"),
            (403, Some("GatedRepo"), false, "accept them at https://hub/ana/secret, then set HF_TOKEN"),
            (403, Some("GatedRepo"), true, "with the account"),
            (404, Some("RepoNotFound"), false, "misspelt"),
            (404, Some("RevisionNotFound"), false, "ana/secret has no revision `v2`"),
            (418, None, false, "status 418"),
        ] {
            let text = refusal(status, code, token);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        let full = HubError::file("/x", std::io::ErrorKind::StorageFull.into()).to_string();
        assert!(full.contains("/x: the disk is full") && full.contains("models remove"), "{full}");
        let other = HubError::file("/x", std::io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(!other.contains("full"), "{other}");
    }
}
