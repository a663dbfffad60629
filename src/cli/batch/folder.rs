//! A folder that takes the parts of a run: each is there whole or not at all, and listed in the manifest once it is on disk.

use super::manifest::{Counts, Digest, MANIFEST, Manifest, Part};
use super::writer::Written;
use crate::cli::misuse;
use crate::cli::output::{Format, PendingFile};
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of a run, held against any other run.
pub(crate) struct RunFolder {
    path: PathBuf,
    manifest: Option<Manifest>,
    /// Released when the program ends, however it does.
    _lock: File,
}

/// A part that is being written.
pub(super) struct OpenPart {
    name: String,
    file: PendingFile,
}

/// Name of the file whose lock is the folder's.
const LOCK: &str = ".undertone.lock";
/// How names of files begin that are not yet complete.
const TEMPORARY: &str = ".undertone-";
const PART: &str = "part-";

impl RunFolder {
    /// Whether an output is meant to be a folder of parts: it ends like one, or is one.
    pub(crate) fn is_meant(output: &Path) -> bool {
        output.to_string_lossy().ends_with(std::path::is_separator) || output.is_dir()
    }

    /// Takes hold of a folder, which is made if need be.
    ///
    /// # Errors
    /// If another run holds it, or it has a run and none is to be gone on with, or something else is in it.
    pub(crate) fn open(path: &Path, resume: bool) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(path).with_context(cannot)?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK)).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{}: another run is writing to it", path.display()),
            // Some file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        let manifest = Manifest::read(path)?;
        match &manifest {
            Some(_) if !resume => {
                return Err(misuse(format!(
                    "{} has a run already\n\nhint: `--resume` goes on with it; another folder takes another run",
                    path.display()
                )));
            }
            None if names(path)?.iter().any(|name| !name.starts_with('.')) => {
                return Err(misuse(format!(
                    "{} is not empty and has no {MANIFEST}\n\nhint: give a new folder",
                    path.display()
                )));
            }
            _ => {}
        }
        Ok(Self { path: path.to_owned(), manifest, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins the run that `now` describes, or goes on with the one that is there, if it is the same.
    ///
    /// # Errors
    /// If another one is there.
    pub(super) fn begin(mut self, now: Manifest) -> anyhow::Result<Self> {
        let Some(mut begun) = self.manifest.take() else {
            self.manifest = Some(now);
            self.write_manifest()?;
            return Ok(self);
        };
        let differences = begun.differences(&now)?;
        if !differences.is_empty() {
            return Err(misuse(format!(
                "{} has another run:\n  {}\n\nhint: go on with the settings, model and inputs it was begun with, or begin anew in another folder",
                self.path.display(),
                differences.join("\n  ")
            )));
        }
        for part in &begun.parts {
            let path = self.path.join(&part.name);
            if std::fs::metadata(&path).map(|found| found.len()).ok() != Some(part.digest.bytes) {
                bail!(
                    "{}: it is not as the run has left it\n\nhint: put the part back, or begin anew in another folder",
                    path.display()
                );
            }
        }
        begun.settings = now.settings;
        self.manifest = Some(begun);
        self.clear()?;
        Ok(self)
    }

    /// The run that is in the folder.
    pub(super) fn manifest(&self) -> &Manifest {
        self.manifest.as_ref().expect("the run has begun")
    }

    /// Removes what a run has left that was stopped amidst a part.
    fn clear(&self) -> anyhow::Result<()> {
        let temporary = names(&self.path)?.into_iter().filter(|name| name.starts_with(TEMPORARY));
        for name in temporary.chain(unlisted(&self.path, self.manifest())?) {
            let path = self.path.join(name);
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// A file for the next part.
    pub(super) fn part(&self, format: Format) -> anyhow::Result<OpenPart> {
        let name = format!("{PART}{:05}.{}", self.manifest().parts.len(), format.extension());
        let file = PendingFile::create(&self.path.join(&name))?;
        Ok(OpenPart { name, file })
    }

    /// Lists a part that is written, once it is on disk. The last one is left away if there is nothing in it, unless it is the
    /// only one.
    pub(super) fn commit(
        &mut self,
        part: OpenPart,
        written: Written,
        rejects_bytes: Option<u64>,
    ) -> anyhow::Result<()> {
        let Written { counts, opened, next, last } = written;
        let first = self.manifest().next();
        let manifest = self.manifest.as_mut().expect("the run has begun");
        for (input, digest) in opened {
            manifest.inputs[input].digest = Some(digest);
        }
        manifest.rejects_bytes = rejects_bytes;
        manifest.complete = last;
        let nothing = counts == Counts::default() && !manifest.parts.is_empty();
        if !nothing {
            let OpenPart { name, file } = part;
            file.keep()?;
            sync_folder(&self.path)?;
            let digest = Digest::of(&self.path.join(&name))?;
            manifest.add(Part { name, digest, first, next, counts });
        }
        self.write_manifest()
    }

    fn write_manifest(&self) -> anyhow::Result<()> {
        let path = self.path.join(MANIFEST);
        let file = PendingFile::create(&path)?;
        let mut text = serde_json::to_string_pretty(self.manifest())?;
        text.push('\n');
        let mut handle = file.handle()?;
        handle.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        file.keep()?;
        sync_folder(&self.path)
    }
}

impl OpenPart {
    pub(super) fn handle(&self) -> anyhow::Result<File> {
        self.file.handle()
    }
}

/// Parts of a folder that its manifest does not list.
pub(super) fn unlisted(folder: &Path, manifest: &Manifest) -> anyhow::Result<Vec<String>> {
    let listed: BTreeSet<&str> = manifest.parts.iter().map(|part| part.name.as_str()).collect();
    let unlisted = |name: &String| name.starts_with(PART) && !listed.contains(name.as_str());
    Ok(names(folder)?.into_iter().filter(unlisted).collect())
}

/// Names of what is in a folder, in order.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let cannot = || folder.display().to_string();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        names.push(entry.with_context(cannot)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Makes sure that the names in a folder are on disk.
fn sync_folder(folder: &Path) -> anyhow::Result<()> {
    // Elsewhere folders cannot be opened, and renaming is enough.
    #[cfg(unix)]
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot write {}", folder.display()))?;
    Ok(())
}
