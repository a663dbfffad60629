//! The folder that Python and this crate share, in the layout of `huggingface_hub`.
//!
//! ```text
//! models--owner--name/blobs/ETAG               a file's content
//! models--owner--name/refs/main                the commit that a branch or tag stands for
//! models--owner--name/snapshots/COMMIT/FILE    a link to its blob
//! models--owner--name/.no_exist/COMMIT/FILE    empty: the commit is known not to have this file
//! .locks/models--owner--name/ETAG.lock         held (flock) by whoever fetches the blob
//! ```

use super::id::is_commit;
use super::{HubError, ModelId};
use crate::bundle::{BundleError, weights_files, weights_names};
use hf_hub::{CacheRepo, Repo, RepoType};
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The cache as a whole.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// A commit of a model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit's hash.
    pub commit: String,
    /// The folder with its files, laid out as the hub has them.
    pub folder: PathBuf,
}

/// The folder of one model within the cache.
#[derive(Debug)]
pub(super) struct RepoFolder {
    pub(super) folder: PathBuf,
    locks: PathBuf,
    layout: CacheRepo,
}

impl Cache {
    /// The cache in this folder, which need not be there yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the cache has of a model at a revision, whole or not.
    pub fn find(&self, id: &ModelId) -> Option<Snapshot> {
        let repo = self.repo(id.repo());
        let commit = match id.commit() {
            Some(commit) => commit.to_owned(),
            None => repo.reference(id.revision())?,
        };
        let folder = repo.snapshot(&commit);
        folder.is_dir().then_some(Snapshot { commit, folder })
    }

    pub(super) fn repo(&self, repo: &str) -> RepoFolder {
        let repo = Repo::new(repo.to_owned(), RepoType::Model);
        let name = repo.folder_name();
        RepoFolder {
            folder: self.root.join(&name),
            locks: self.root.join(".locks").join(name),
            layout: hf_hub::Cache::new(self.root.clone()).repo(repo),
        }
    }

    /// Names of the models in the cache, in order. What is no model of a hub is left out.
    pub(super) fn repos(&self) -> Result<Vec<String>, HubError> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(HubError::file(&self.root, error)),
        };
        let mut repos = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| HubError::file(&self.root, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let repo = name.strip_prefix("models--").map(|name| name.replace("--", "/"));
            // A name that gives no id is of somebody else's making.
            repos.extend(repo.filter(|repo| entry.path().is_dir() && repo.parse::<ModelId>().is_ok()));
        }
        repos.sort();
        Ok(repos)
    }
}

impl Snapshot {
    /// The first file without which the snapshot is no model, if one is missing.
    pub fn missing(&self) -> Option<String> {
        let has = |name: &str| self.folder.join(name).exists();
        super::plan::lacking(has).map(str::to_owned).or_else(|| self.missing_weights())
    }

    fn missing_weights(&self) -> Option<String> {
        match weights_files(&self.folder) {
            Ok(files) => files.into_iter().find(|file| !self.folder.join(file).exists()),
            // An index that is damaged, or the weights that were looked for first.
            Err(BundleError::Weights { path, .. } | BundleError::File { path, .. }) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned())
            }
            Err(_) => Some(weights_names()[0].0.to_owned()),
        }
    }
}

impl RepoFolder {
    pub(super) fn snapshots(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.layout.pointer_path(commit)
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(super) fn refs(&self) -> PathBuf {
        self.folder.join("refs")
    }

    pub(super) fn locks(&self) -> &Path {
        &self.locks
    }

    /// Where it is noted that a commit does not have a file.
    pub(super) fn absent(&self, commit: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit)
    }

    /// The commit that a branch or tag stands for.
    pub(super) fn reference(&self, revision: &str) -> Option<String> {
        let commit = std::fs::read_to_string(self.refs().join(revision)).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes which commit a branch or tag stands for; readers see the old one or the new one.
    pub(super) fn set_reference(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if self.reference(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        write_whole(&self.refs().join(revision), commit.as_bytes())
    }

    /// Notes that a commit does not have a file, as Python does, so that nobody needs to ask again.
    pub(super) fn set_absent(&self, commit: &str, file: &str) -> Result<(), HubError> {
        let path = self.absent(commit).join(file);
        if path.exists() { Ok(()) } else { write_whole(&path, b"") }
    }

    /// Puts a file of a snapshot in its place, in one step: a relative link to its blob, or a copy where links cannot be made.
    pub(super) fn link(&self, commit: &str, file: &str, blob: &str) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(file);
        let target = Path::new("../../blobs").join(blob);
        if std::fs::read_link(&path).is_ok_and(|found| found == target) {
            return Ok(());
        }
        replace(&path, |folder| {
            let linked = temporary().make_in(folder, |path| symlink(&target, path));
            linked.map(NamedTempFile::into_temp_path).or_else(|_| {
                let copy = temporary().tempfile_in(folder)?.into_temp_path();
                std::fs::copy(self.blobs().join(blob), &copy).map(|_| copy)
            })
        })
    }

    /// Locks a blob against other processes, Python's among them (`filelock` is `flock`, as std's locks are on Unix). `waiting` is
    /// called if another has it. Dropping the file unlocks it.
    pub(super) fn lock(&self, blob: &str, waiting: &mut dyn FnMut()) -> Result<File, HubError> {
        let path = self.locks.join(format!("{blob}.lock"));
        make_parent(&path)?;
        let wrong = |e| HubError::file(&path, e);
        loop {
            let file = File::options().create(true).append(true).open(&path).map_err(wrong)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => {
                    waiting();
                    file.lock().map_err(wrong)?;
                }
                // Some network file systems have no locks. Two processes may then fetch one file; the hash tells if they
                // got in each other's way.
                Err(std::fs::TryLockError::Error(error))
                    if error.kind() == std::io::ErrorKind::Unsupported => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(wrong(error)),
            }
            // A lock file may be deleted by whoever held it: a lock on a deleted one keeps nobody out.
            if is_at(&file, &path) {
                return Ok(file);
            }
        }
    }
}

/// Whether an open file is still the one at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |found: std::io::Result<std::fs::Metadata>| found.map(|m| (m.dev(), m.ino())).ok();
    number(file.metadata()) == number(std::fs::metadata(path))
}

/// Elsewhere an open file cannot be deleted.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &Path, path: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _path: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Makes the folder that a file is to lie in.
pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    let folder = path.parent().expect("a path in the cache lies in a folder");
    std::fs::create_dir_all(folder).map_err(|e| HubError::file(folder, e))
}

/// Writes a small file so that readers see the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    replace(path, |folder| {
        let mut file = temporary().tempfile_in(folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        Ok(file.into_temp_path())
    })
}

/// Lets something be made in a path's folder under another name, and gives it the path when it is whole; if it fails, nothing is left.
fn replace(
    path: &Path,
    make: impl FnOnce(&Path) -> std::io::Result<tempfile::TempPath>,
) -> Result<(), HubError> {
    make_parent(path)?;
    let folder = path.parent().expect("a path in the cache lies in a folder");
    let made = make(folder).and_then(|made| made.persist(path).map_err(|e| e.error));
    made.map_err(|e| HubError::file(path, e))
}

/// Names for what is not yet whole, with the permissions that other files of the user get.
fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".undertone-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn id(text: &str) -> ModelId {
        text.parse().unwrap()
    }

    #[test]
    fn a_branch_is_looked_up_through_its_ref_and_a_commit_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert_eq!(cache.find(&id("a/b")), None);
        let repo = cache.repo("a/b");
        std::fs::create_dir_all(repo.snapshot(COMMIT)).unwrap();
        assert_eq!(cache.find(&id("a/b")), None);
        repo.set_reference("refs/pr/1", COMMIT).unwrap();
        let found = cache.find(&id("a/b@refs/pr/1")).unwrap();
        assert_eq!(found.folder, folder.path().join("models--a--b/snapshots").join(COMMIT));
        assert_eq!(cache.find(&id(&format!("a/b@{COMMIT}"))), Some(found));
        // What is no commit is not followed out of the folder.
        std::fs::write(repo.refs().join("main"), "../../..").unwrap();
        assert_eq!(cache.find(&id("a/b")), None);
        assert_eq!(cache.repos().unwrap(), ["a/b"]);
    }

    #[test]
    fn a_snapshot_says_which_file_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = Snapshot { commit: COMMIT.into(), folder: folder.path().into() };
        let add = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(snapshot.missing().as_deref(), Some("config.json"));
        add("config.json", "");
        assert_eq!(snapshot.missing().as_deref(), Some("tokenizer.json"));
        add("tokenizer.json", "");
        assert_eq!(snapshot.missing().as_deref(), Some("model.safetensors"));
        add("model.safetensors.index.json", r#"{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#);
        add("1.safetensors", "");
        assert_eq!(snapshot.missing().as_deref(), Some("2.safetensors"));
        add("2.safetensors", "");
        assert_eq!(snapshot.missing(), None);
    }

    #[test]
    fn a_lock_whose_file_was_deleted_is_taken_anew() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Cache::new(folder.path()).repo("a/b");
        let first = repo.lock("x", &mut || panic!("nobody has it")).unwrap();
        let path = folder.path().join(".locks/models--a--b/x.lock");
        assert!(path.exists());
        std::thread::scope(|scope| {
            let (told, hear) = std::sync::mpsc::channel();
            let second = scope.spawn({
                let repo = &repo;
                move || repo.lock("x", &mut || told.send(()).unwrap()).unwrap()
            });
            hear.recv().unwrap();
            std::fs::remove_file(&path).unwrap();
            drop(first);
            assert!(is_at(&second.join().unwrap(), &path));
        });
    }
}
