//! Files from the hub into the cache: several at once, gone on with after a cut, checked before they get their names.

use super::cache::{RepoFolder, make_parent};
use super::client::{Client, Metadata, Response};
use super::patience::Patience;
use super::verify::Named;
use super::{HubError, ModelId, Planned, Progress, Settings};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One commit of a repository on its way into the cache.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) settings: &'a Settings,
    pub(super) repo: &'a RepoFolder,
    pub(super) id: &'a ModelId,
    pub(super) commit: &'a str,
    pub(super) progress: &'a dyn Progress,
    /// Whether every file is fetched, whatever the cache has of it.
    pub(super) anew: bool,
    /// Set as soon as one file has failed: the others are given up.
    pub(super) stop: AtomicBool,
}

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;
/// How often a wait looks whether it is still worth it.
const GLANCE: Duration = Duration::from_millis(20);

impl Download<'_> {
    /// Fetches those of the files that the cache does not have, or has damaged; all of them where they are to come anew.
    pub(super) fn files(&self, files: &[String]) -> Result<(), HubError> {
        // A commit never changes: what is in its place and has its hash is right.
        let snapshot = self.repo.snapshot(self.commit);
        let proved = self.each(files, |file| Ok(!self.anew && is_proved(&snapshot.join(file))))?;
        let missing: Vec<&String> =
            files.iter().zip(proved).filter(|(_, proved)| !proved).map(|(file, _)| file).collect();
        let known = self.each(&missing, |file| {
            self.patiently(file, |_| self.client.metadata(self.id, self.commit, file))
        })?;
        let wanted: Vec<(&String, Metadata)> = missing.into_iter().zip(known).collect();
        let fresh = wanted.iter().filter(|(_, known)| !self.has(known));
        let planned: Vec<Planned> =
            fresh.map(|(file, known)| Planned { file: (*file).clone(), size: known.size }).collect();
        let bytes: u64 = planned.iter().filter_map(|planned| planned.size).sum();
        tracing::info!(model = %self.id, commit = self.commit, files = planned.len(), bytes, "files to fetch");
        self.progress.planned(&planned);
        self.each(&wanted, |(file, known)| self.file(file, known)).map(drop)
    }

    /// Does something for every item, on several threads; the first error ends it.
    fn each<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R, HubError> + Sync,
    ) -> Result<Vec<R>, HubError> {
        let next = AtomicUsize::new(0);
        let turns = || {
            let mut done = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i).filter(|_| !self.stop.load(Ordering::Relaxed)) else {
                    return done;
                };
                let result = work(item);
                if result.is_err() {
                    self.stop.store(true, Ordering::Relaxed);
                }
                done.push((i, result));
            }
        };
        let threads = self.settings.parallel.clamp(1, items.len().max(1));
        let mut all: Vec<(usize, Result<R, HubError>)> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(turns)).collect();
            let mut all = turns();
            all.extend(others.into_iter().flat_map(|thread| thread.join().expect("no work of ours panics")));
            all
        });
        // What was given up says nothing; what failed first says why.
        all.sort_by_key(|(i, result)| (matches!(result, Err(HubError::GivenUp)), *i));
        let (mut done, mut failed) = (Vec::new(), None);
        for (i, result) in all {
            match result {
                Ok(result) => done.push((i, result)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        done.sort_by_key(|(i, _)| *i);
        failed.map_or(Ok(done.into_iter().map(|(_, result)| result).collect()), Err)
    }

    /// Tries something until it succeeds or there is no sense in trying again.
    pub(super) fn patiently<T>(
        &self,
        file: &str,
        mut attempt: impl FnMut(&mut Patience) -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        let mut patience = Patience::new(self.settings);
        loop {
            let (error, wait) = match attempt(&mut patience) {
                Ok(result) => return Ok(result),
                Err(error) => patience.after(error)?,
            };
            self.progress.retrying(file, &error, wait);
            let end = Instant::now() + wait;
            while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                self.give_up_with_others()?;
                std::thread::sleep(left.min(GLANCE));
            }
        }
    }

    fn give_up_with_others(&self) -> Result<(), HubError> {
        if self.stop.load(Ordering::Relaxed) { Err(HubError::GivenUp) } else { Ok(()) }
    }

    /// Whether a blob need not be fetched: it is there, as long as it should be, and has the hash that its name is.
    fn has(&self, known: &Metadata) -> bool {
        let blob = self.repo.blobs().join(&known.etag);
        let fits = |found: std::fs::Metadata| known.size.is_none_or(|size| size == found.len());
        !self.anew
            && std::fs::metadata(&blob).is_ok_and(fits)
            && Named::of(&known.etag).is_none_or(|named| named.damage(&known.etag, &blob).is_none())
    }

    /// Brings one file into its place, fetching its blob unless the cache has it.
    fn file(&self, file: &str, known: &Metadata) -> Result<(), HubError> {
        let _lock = self.repo.lock(&known.etag, &mut || self.progress.waiting(file))?;
        if !self.has(known) {
            let blob = self.repo.blobs().join(&known.etag);
            make_parent(&blob)?;
            self.blob(file, known, &blob)?;
        }
        self.repo.link(self.commit, file, &known.etag)?;
        self.progress.finished(file);
        tracing::debug!(file, blob = known.etag, "file in place");
        Ok(())
    }

    fn blob(&self, file: &str, known: &Metadata, blob: &Path) -> Result<(), HubError> {
        tracing::debug!(file, bytes = known.size, "fetching");
        let mut part = blob.as_os_str().to_owned();
        part.push(".incomplete");
        let part = PathBuf::from(part);
        if self.anew {
            match std::fs::remove_file(&part) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(HubError::file(&part, error));
                }
                _ => {}
            }
        }
        let mut begun_anew = false;
        loop {
            let mut went_on = false;
            self.patiently(file, |patience| self.attempt(file, known, &part, patience, &mut went_on))?;
            match self.check(file, known, &part) {
                Ok(()) => break,
                Err(error) => {
                    std::fs::remove_file(&part).map_err(|e| HubError::file(&part, e))?;
                    // What was left of an earlier try may be at fault: once, all of it is fetched anew.
                    if !went_on || begun_anew {
                        return Err(error);
                    }
                    begun_anew = true;
                }
            }
        }
        // On disk before it has its name: a blob is whole even after the machine has stopped. A damaged one of that name is
        // replaced in the same step; whoever has it open keeps what they opened.
        File::open(&part).and_then(|part| part.sync_all()).map_err(|e| HubError::file(&part, e))?;
        std::fs::rename(&part, blob).map_err(|e| HubError::file(blob, e))
    }

    /// Fetches what is still missing of a file. `went_on` is set if a part of it was there before.
    fn attempt(
        &self,
        file: &str,
        known: &Metadata,
        part: &Path,
        patience: &mut Patience,
        went_on: &mut bool,
    ) -> Result<(), HubError> {
        self.give_up_with_others()?;
        let wrong = |e| match HubError::file(part, e) {
            HubError::DiskFull { path, .. } => {
                HubError::DiskFull { path, file: Some((file.to_owned(), known.size)) }
            }
            other => other,
        };
        let mut out = File::options().create(true).append(true).open(part).map_err(wrong)?;
        let mut have = out.metadata().map_err(wrong)?.len();
        if known.size.is_some_and(|size| have > size) {
            out.set_len(0).map_err(wrong)?;
            have = 0;
        }
        *went_on |= have > 0;
        self.progress.reached(file, have);
        if known.size == Some(have) {
            return Ok(());
        }
        let range = (have > 0).then_some((have, known.validator.as_deref()));
        let response = self.client.fetch(self.id, self.commit, file, range)?;
        if have > 0 && !goes_on(&response, have, known.size) {
            out.set_len(0).map_err(wrong)?;
            have = 0;
            self.progress.reached(file, 0);
        }
        let Response { status, url, mut body, .. } = response;
        let broken = |reason: String| HubError::Network { url: url.clone(), reason, again: true };
        if status != 200 && have == 0 {
            return Err(broken(format!(
                "status {status} in place of the file; it is asked for from its beginning"
            )));
        }
        let mut reader = body.as_reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            self.give_up_with_others()?;
            let n = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(broken(format!("the connection broke after {have} bytes: {error}")));
                }
            };
            out.write_all(&buffer[..n]).map_err(wrong)?;
            have += n as u64;
            if known.size.is_some_and(|size| have > size) {
                break; // the check of its size says so
            }
            patience.reached(have);
            self.progress.reached(file, have);
        }
        match known.size {
            Some(size) if have < size => {
                Err(broken(format!("the connection ended after {have} of {size} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Compares a whole file with what was announced.
    fn check(&self, file: &str, known: &Metadata, part: &Path) -> Result<(), HubError> {
        let wrong = |e| HubError::file(part, e);
        let damaged = |what, expected, found| HubError::Damaged {
            id: self.id.to_string(),
            file: file.to_owned(),
            what,
            expected,
            found,
        };
        let length = std::fs::metadata(part).map_err(wrong)?.len();
        if let Some(size) = known.size.filter(|&size| size != length) {
            return Err(damaged("size", size.to_string(), length.to_string()));
        }
        if let Some(named) = Named::of(&known.etag) {
            let found = named.hash(part).map_err(wrong)?;
            if found != known.etag {
                return Err(damaged(named.title(), known.etag.clone(), found));
            }
        }
        Ok(())
    }
}

/// Whether a file of a snapshot has the hash that its blob's name is. Of a copy, and of a blob that has no hash for a name, nobody
/// can tell without asking the hub.
fn is_proved(path: &Path) -> bool {
    let target = std::fs::read_link(path).ok();
    let blob = target.as_deref().and_then(|target| target.file_name()?.to_str());
    blob.and_then(|blob| Some(Named::of(blob)?.damage(blob, path).is_none())).unwrap_or(false)
}

/// Whether an answer goes on exactly where a part of a file ends.
fn goes_on(response: &Response, have: u64, size: Option<u64>) -> bool {
    let range = response.headers.get("content-range").and_then(|value| value.to_str().ok());
    let Some((span, total)) = range.and_then(|range| range.trim().strip_prefix("bytes ")?.split_once('/'))
    else {
        return false;
    };
    let start = span.split_once('-').and_then(|(start, _)| start.parse().ok());
    let total_fits = total == "*" || size.is_none_or(|size| total.parse() == Ok(size));
    response.status == 206 && start == Some(have) && total_fits
}
