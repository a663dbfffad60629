//! Models from the Hugging Face hub, kept in the cache that Python's `huggingface_hub` keeps: what one has fetched, the other finds.
//!
//! [`Hub::folder`] is what most callers need: an id in, a folder that [`Bundle::open`](crate::bundle::Bundle::open) opens out, from
//! the cache if it is there. [`Hub::pull`] asks the hub in any case. [`Cache`] lists, verifies and removes without any network.
//!
//! ```no_run
//! use undertone::bundle::Bundle;
//! use undertone::hub::{Hub, Settings};
//!
//! let hub = Hub::new(Settings::from_env()?);
//! let folder = hub.folder(&"dslim/bert-base-NER".parse()?, &())?;
//! let bundle = Bundle::open(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why not the whole of `hf-hub`
//!
//! The crate [`hf_hub`] is Hugging Face's own, and what it says about the layout of the cache is used here: the names of a repository's
//! folder and of its snapshots. Fetching is done here, with `ureq`, because no version of it does what a person with a slow line or a
//! mirror needs:
//!
//! - 1.x is asynchronous, brings the Xet protocol and more than a hundred packages, begins a cut download anew, and reads no variable
//!   of the environment (`HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, …).
//! - 0.5 goes on with a cut download, but has no time-out for a connection that is stuck, compares no hash, checks neither id nor
//!   `ETag` before they become paths, knows no offline mode and one name for a branch and for a commit.
//!
//! Without features, 0.5 costs four small packages. `ureq` is the client that its blocking part uses as well.

mod cache;
mod client;
mod download;
mod error;
mod id;
mod inventory;
mod patience;
mod plan;
mod progress;
mod settings;
mod url;
mod verify;

pub use cache::{Cache, Snapshot};
pub use error::{HubError, Refusal};
pub use id::ModelId;
pub use inventory::{CachedModel, CachedRevision, Removal};
pub use progress::{Planned, Progress};
pub use settings::{Proxies, Secret, Settings};
pub use verify::{Damage, Verification};

use client::Client;
use download::Download;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// The hub and the cache in front of it.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    cache: Cache,
}

impl Hub {
    /// Opens no connection and no file.
    pub fn new(settings: Settings) -> Self {
        let cache = Cache::new(&settings.cache);
        Self { settings, cache }
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What the environment says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder with a model's files: from the cache if all of them are there, without asking whether the hub has newer ones; else
    /// fetched. If the hub cannot be reached, what the cache has is enough if it can be opened.
    ///
    /// # Errors
    /// If the model is neither in the cache nor to be had.
    pub fn folder(&self, id: &ModelId, progress: &dyn Progress) -> Result<PathBuf, HubError> {
        let cached = self.cache.find(id);
        let missing = cached.as_ref().map_or(Some("config.json".to_owned()), Snapshot::missing);
        match (cached, missing) {
            (Some(snapshot), None) => {
                if self.settings.offline.is_some() || self.is_whole(id, &snapshot) {
                    return Ok(snapshot.folder);
                }
                match self.pull(id, progress) {
                    Err(error) if error.is_outage() => Ok(snapshot.folder),
                    pulled => Ok(pulled?.folder),
                }
            }
            (_, missing) => {
                self.refuse_offline(id, &missing.unwrap_or_default())?;
                Ok(self.pull(id, progress)?.folder)
            }
        }
    }

    /// Fetches those files of a model that a bundle needs and the cache does not have, or has damaged: each that is there is
    /// compared with its hash.
    ///
    /// # Errors
    /// If connections are forbidden, the hub refuses or cannot be reached, or a file comes damaged or cannot be written. The
    /// cache stays valid; what has come of a file is gone on with the next time.
    pub fn pull(&self, id: &ModelId, progress: &dyn Progress) -> Result<Snapshot, HubError> {
        self.fetch(id, false, progress)
    }

    /// Fetches all files of a model that a bundle needs, whatever the cache has. Each takes the place of the one that is there
    /// when it is whole.
    ///
    /// # Errors
    /// As [`Hub::pull`].
    pub fn pull_anew(&self, id: &ModelId, progress: &dyn Progress) -> Result<Snapshot, HubError> {
        self.fetch(id, true, progress)
    }

    fn fetch(&self, id: &ModelId, anew: bool, progress: &dyn Progress) -> Result<Snapshot, HubError> {
        self.refuse_offline(id, "config.json")?;
        let client = Client::new(&self.settings)?;
        let repo = self.cache.repo(id.repo());
        let mut download = Download {
            client: &client,
            settings: &self.settings,
            repo: &repo,
            id,
            commit: "",
            progress,
            anew,
            stop: AtomicBool::new(false),
        };
        let listing = download.patiently("the list of files", |_| client.listing(id))?;
        download.commit = &listing.commit;
        let plan = plan::plan(id, &listing.files)?;
        let snapshot = Snapshot { folder: repo.snapshot(&listing.commit), commit: listing.commit.clone() };
        if let Some(index) = plan.index {
            download.files(std::slice::from_ref(&index))?;
            let shards = crate::bundle::weights_files(&snapshot.folder)?;
            if let Some(file) = shards.iter().find(|shard| !listing.files.contains(shard)) {
                return Err(HubError::Incomplete { id: id.to_string(), file: file.clone() });
            }
            download.files(&[shards, plan.files].concat())?;
        } else {
            download.files(&plan.files)?;
        }
        for file in plan::READ_IF_THERE.iter().filter(|name| !listing.files.iter().any(|file| file == *name))
        {
            repo.set_absent(&listing.commit, file)?;
        }
        // Last, so that a branch never stands for a commit that is only half there because of us.
        if id.commit().is_none() {
            repo.set_reference(id.revision(), &listing.commit)?;
        }
        Ok(snapshot)
    }

    /// Whether a snapshot has every file that is read, or is known not to have it: Python fetches only what it reads itself.
    fn is_whole(&self, id: &ModelId, snapshot: &Snapshot) -> bool {
        let absent = self.cache.repo(id.repo()).absent(&snapshot.commit);
        plan::READ_IF_THERE
            .iter()
            .all(|name| snapshot.folder.join(name).exists() || absent.join(name).exists())
    }

    fn refuse_offline(&self, id: &ModelId, file: &str) -> Result<(), HubError> {
        match self.settings.offline {
            None => Ok(()),
            Some(variable) => Err(HubError::Offline {
                id: id.to_string(),
                file: file.to_owned(),
                variable,
                cache: self.cache.root().to_owned(),
            }),
        }
    }
}
