//! What the cache holds, and what goes when a part of it is removed.

use super::cache::{Cache, RepoFolder};
use super::{HubError, ModelId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A model in the cache.
#[derive(Debug, Clone)]
pub struct CachedModel {
    /// `owner/name`.
    pub id: String,
    /// Its commits in the cache, in order.
    pub revisions: Vec<CachedRevision>,
    /// Bytes on disk, shared ones counted once; what is left of unfinished downloads included.
    pub size: u64,
    /// When a file of it was last read or written, as far as the file system tells.
    pub used: Option<SystemTime>,
}

/// A commit of a model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRevision {
    /// The commit's hash.
    pub commit: String,
    /// The branches and tags that stand for it, in order.
    pub names: Vec<String>,
    /// The folder with its files.
    pub folder: PathBuf,
}

/// What goes when a model, or a commit of it, is removed.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The commits that go.
    pub commits: Vec<String>,
    /// Bytes that are freed: those that no other commit needs.
    pub bytes: u64,
    refs: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    blobs: Vec<PathBuf>,
}

/// A file of a commit.
pub(super) struct Entry {
    pub(super) commit: String,
    /// Its name within the repository.
    pub(super) file: String,
    /// Where it lies in the snapshot.
    pub(super) path: PathBuf,
    /// The name of the blob that it is a link to.
    pub(super) blob: Option<String>,
}

impl Cache {
    /// The models in the cache, in order; empty if there is no cache.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn models(&self) -> Result<Vec<CachedModel>, HubError> {
        let mut models = Vec::new();
        for id in self.repos()? {
            let repo = self.repo(&id);
            let names = names(&repo)?;
            let mut revisions = Vec::new();
            for commit in children(&repo.snapshots())? {
                let names = names.get(&commit).cloned().unwrap_or_default();
                revisions.push(CachedRevision { folder: repo.snapshot(&commit), commit, names });
            }
            let mut size = 0;
            let mut used = None;
            // Links weigh nothing; where links cannot be made, copies do.
            for (_, found) in files_below(&repo.blobs())?.into_iter().chain(files_below(&repo.snapshots())?) {
                if found.is_file() {
                    size += found.len();
                    used = used.max(found.accessed().ok()).max(found.modified().ok());
                }
            }
            models.push(CachedModel { id, revisions, size, used });
        }
        Ok(models)
    }

    /// What would go with a model, or with one commit of it if the id names a revision. Nothing goes before
    /// [`Removal::carry_out`].
    ///
    /// # Errors
    /// If the model is not in the cache, or a folder cannot be read.
    pub fn removal(&self, id: &ModelId) -> Result<Removal, HubError> {
        let absent = || HubError::NotCached { id: id.to_string(), cache: self.root().to_owned() };
        let repo = self.repo(id.repo());
        if !repo.folder.is_dir() {
            return Err(absent());
        }
        let commits = children(&repo.snapshots())?;
        let gone = match id.names_revision() {
            true => vec![self.find(id).ok_or_else(absent)?.commit],
            false => commits.clone(),
        };
        if commits.iter().all(|commit| gone.contains(commit)) {
            let bytes =
                files_below(&repo.folder)?.iter().filter(|(_, m)| m.is_file()).map(|(_, m)| m.len()).sum();
            let folders = vec![repo.folder.clone(), repo.locks().to_owned()];
            return Ok(Removal { commits: gone, bytes, refs: Vec::new(), folders, blobs: Vec::new() });
        }
        let (going, staying): (Vec<Entry>, Vec<Entry>) =
            entries(&repo)?.into_iter().partition(|entry| gone.contains(&entry.commit));
        let needed: BTreeSet<&String> = staying.iter().filter_map(|entry| entry.blob.as_ref()).collect();
        let blobs: BTreeSet<&String> = going.iter().filter_map(|entry| entry.blob.as_ref()).collect();
        let mut blobs: Vec<PathBuf> = blobs.difference(&needed).map(|blob| repo.blobs().join(blob)).collect();
        blobs.retain(|path| path.symlink_metadata().is_ok());
        let copies = going.iter().filter(|entry| entry.blob.is_none()).map(|entry| &entry.path);
        let length =
            |path: &PathBuf| path.symlink_metadata().map_or(0, |m| if m.is_file() { m.len() } else { 0 });
        let bytes = blobs.iter().chain(copies).map(length).sum();
        let names = names(&repo)?;
        let names = gone.iter().flat_map(|commit| names.get(commit).into_iter().flatten());
        let refs = names.map(|name| repo.refs().join(name)).collect();
        let folders = gone.iter().flat_map(|commit| [repo.snapshot(commit), repo.absent(commit)]).collect();
        Ok(Removal { commits: gone, bytes, refs, folders, blobs })
    }
}

impl Removal {
    /// Removes it.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn carry_out(&self) -> Result<(), HubError> {
        let done = |path: &Path, result: std::io::Result<()>| match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HubError::file(path, error)),
            _ => Ok(()),
        };
        // In this order nothing ever stands that leads nowhere.
        for path in &self.refs {
            done(path, std::fs::remove_file(path))?;
        }
        for path in &self.folders {
            done(path, std::fs::remove_dir_all(path))?;
        }
        for path in &self.blobs {
            done(path, std::fs::remove_file(path))?;
        }
        Ok(())
    }
}

/// The files of all commits, in order.
pub(super) fn entries(repo: &RepoFolder) -> Result<Vec<Entry>, HubError> {
    let mut entries = Vec::new();
    for commit in children(&repo.snapshots())? {
        let folder = repo.snapshot(&commit);
        for (path, _) in files_below(&folder)? {
            let file = path.strip_prefix(&folder).expect("the file was found below the folder");
            let file = file.to_string_lossy().replace('\\', "/");
            let target = std::fs::read_link(&path).ok();
            let blob = target.and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()));
            entries.push(Entry { commit: commit.clone(), file, path, blob });
        }
    }
    Ok(entries)
}

/// The branches and tags of every commit.
fn names(repo: &RepoFolder) -> Result<BTreeMap<String, Vec<String>>, HubError> {
    let refs = repo.refs();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, _) in files_below(&refs)? {
        let name = path.strip_prefix(&refs).expect("the file was found below the folder");
        let name = name.to_string_lossy().replace('\\', "/");
        if let Some(commit) = repo.reference(&name) {
            names.entry(commit).or_default().push(name);
        }
    }
    Ok(names)
}

/// Names of the folders in a folder, in order; none if it is not there.
fn children(folder: &Path) -> Result<Vec<String>, HubError> {
    let mut names = Vec::new();
    for (path, found) in listed(folder)? {
        names.extend(
            path.file_name().filter(|_| found.is_dir()).map(|name| name.to_string_lossy().into_owned()),
        );
    }
    Ok(names)
}

/// Files and links below a folder, in order; none if it is not there. Links are not followed.
fn files_below(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>, HubError> {
    let mut files = Vec::new();
    for (path, found) in listed(folder)? {
        if found.is_dir() { files.extend(files_below(&path)?) } else { files.push((path, found)) }
    }
    Ok(files)
}

fn listed(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>, HubError> {
    let wrong = |e| HubError::file(folder, e);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(wrong)?;
        match entry.metadata() {
            Ok(metadata) => found.push((entry.path(), metadata)),
            // Another process has removed it since.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error)),
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}
