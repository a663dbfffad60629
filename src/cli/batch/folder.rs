//! A folder that takes the parts of a run: each is there whole or not at all, and listed in the manifest once it is on disk.

use super::lines::{self, Lines};
use super::manifest::{Counts, Digest, INPUTS, Input, MANIFEST, Manifest, PARTS, Part};
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
    lock: Lock,
}

/// Released when the program ends, however it does.
struct Lock(#[expect(dead_code)] File);

/// The folder of a run that has begun.
pub(super) struct PartsFolder {
    path: PathBuf,
    manifest: Manifest,
    parts: Lines,
    inputs: Lines,
    _lock: Lock,
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

    /// Whether a file of this name in a folder is one of the run's own.
    pub(super) fn owns(name: &str) -> bool {
        name.starts_with(PART)
            || name.starts_with(TEMPORARY)
            || [MANIFEST, PARTS, INPUTS, LOCK].contains(&name)
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
        Ok(Self { path: path.to_owned(), manifest, lock: Lock(lock) })
    }

    /// Begins the run over `paths` that `now` describes, or goes on with the one that is there, if it is the same.
    ///
    /// # Errors
    /// If another one is there.
    pub(super) fn begin(self, now: Manifest, paths: &[PathBuf]) -> anyhow::Result<PartsFolder> {
        let Self { path, manifest, lock } = self;
        let manifest = match manifest {
            Some(begun) => go_on(&path, begun, now, paths)?,
            None => {
                clear(&path, &BTreeSet::new())?;
                write_manifest(&path, &now)?;
                now
            }
        };
        let parts = Lines::behind(&path.join(PARTS), manifest.parts.list_bytes)?;
        let inputs = Lines::behind(&path.join(INPUTS), manifest.inputs.list_bytes)?;
        Ok(PartsFolder { path, manifest, parts, inputs, _lock: lock })
    }
}

/// The run that is in a folder, if it is the one that `now` describes, made ready to be gone on with.
fn go_on(folder: &Path, begun: Manifest, now: Manifest, paths: &[PathBuf]) -> anyhow::Result<Manifest> {
    let inputs = lines::read::<Input>(&folder.join(INPUTS), begun.inputs.list_bytes)?;
    let differences = begun.differences(&now, paths, inputs)?;
    if !differences.is_empty() {
        return Err(misuse(format!(
            "{} has another run:\n  {}\n\nhint: go on with the settings, model and inputs it was begun with, or begin anew in another folder",
            folder.display(),
            differences.join("\n  ")
        )));
    }
    let mut listed = BTreeSet::new();
    for part in lines::read::<Part>(&folder.join(PARTS), begun.parts.list_bytes)? {
        let part = part?;
        let path = folder.join(&part.name);
        if std::fs::metadata(&path).map(|found| found.len()).ok() != Some(part.digest.bytes) {
            bail!(
                "{}: it is not as the run has left it\n\nhint: put the part back, or begin anew in another folder",
                path.display()
            );
        }
        listed.insert(part.name);
    }
    clear(folder, &listed)?;
    Ok(Manifest { settings: now.settings, ..begun })
}

/// Removes what a run has left that was stopped amidst a part: all but the parts that are listed.
fn clear(folder: &Path, listed: &BTreeSet<String>) -> anyhow::Result<()> {
    let temporary = names(folder)?.into_iter().filter(|name| name.starts_with(TEMPORARY));
    for name in temporary.chain(unlisted(folder, listed)?) {
        let path = folder.join(name);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

impl PartsFolder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The run so far.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A file for the next part.
    pub(super) fn part(&self, format: Format) -> anyhow::Result<OpenPart> {
        let name = format!("{PART}{:05}.{}", self.manifest.parts.count, format.extension());
        let file = PendingFile::create(&self.path.join(&name))?;
        Ok(OpenPart { name, file })
    }

    /// Lists a part that is written, once it is on disk. The last one is left away if there is nothing in it, unless it is the
    /// only one. The lists are on disk before the manifest says how much of them counts.
    pub(super) fn commit(
        &mut self,
        part: OpenPart,
        written: Written,
        rejects_bytes: Option<u64>,
    ) -> anyhow::Result<()> {
        let Written { counts, opened, next, last } = written;
        let mut manifest = Manifest { rejects_bytes, complete: last, ..self.manifest.clone() };
        if !opened.is_empty() {
            for input in &opened {
                self.inputs.write(input)?;
            }
            manifest.inputs.opened += opened.len();
            manifest.inputs.list_bytes = self.inputs.sync()?;
        }
        if counts != Counts::default() || manifest.parts.count == 0 {
            let OpenPart { name, file } = part;
            file.keep()?;
            sync_folder(&self.path)?;
            let digest = Digest::of(&self.path.join(&name))?;
            let part = Part { name, digest, first: manifest.parts.next, next, counts };
            self.parts.write(&part)?;
            manifest.add(&part, self.parts.sync()?);
        }
        write_manifest(&self.path, &manifest)?;
        self.manifest = manifest;
        Ok(())
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let path = folder.join(MANIFEST);
    let file = PendingFile::create(&path)?;
    let mut text = serde_json::to_string_pretty(manifest)?;
    text.push('\n');
    let mut handle = file.handle()?;
    handle.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    file.keep()?;
    sync_folder(folder)
}

impl OpenPart {
    pub(super) fn handle(&self) -> anyhow::Result<File> {
        self.file.handle()
    }
}

/// Parts of a folder that are not listed.
pub(super) fn unlisted(folder: &Path, listed: &BTreeSet<String>) -> anyhow::Result<Vec<String>> {
    let unlisted = |name: &String| name.starts_with(PART) && !listed.contains(name);
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
