use super::HubError;
use std::time::Duration;

/// A file that is about to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub file: String,
    /// Its size in bytes, where the hub tells it.
    pub size: Option<u64>,
}

/// Hears how a download goes on, from several threads at once. Whoever does not care uses `()`.
pub trait Progress: Sync {
    /// These files will be fetched; more may follow. Those that the cache has are left out.
    fn planned(&self, _files: &[Planned]) {}
    /// A file has so many bytes by now: more than before, or none again if it must begin anew.
    fn reached(&self, _file: &str, _bytes: u64) {}
    /// Another process fetches this file; its end is awaited.
    fn waiting(&self, _file: &str) {}
    /// A try failed, and another follows after a while.
    fn retrying(&self, _file: &str, _error: &HubError, _wait: Duration) {}
    /// A file is whole, checked and in its place.
    fn finished(&self, _file: &str) {}
}

impl Progress for () {}
