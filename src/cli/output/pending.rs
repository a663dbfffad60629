//! Files and folders that are written whole or not at all.

use crate::cli::misuse;
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// A file that has its name only once it is complete.
pub(crate) struct PendingFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl PendingFile {
    /// A new or replaced file; a link is followed.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(misuse(format!(
                "cannot write {}: it is there and is no file; `>` writes to devices and pipes",
                path.display()
            )));
        }
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let cannot = || format!("cannot write {}", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".undertone-");
        // The permissions of an ordinary new file, in place of a temporary one's.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder.unwrap_or(Path::new("."))).with_context(cannot)?;
        Ok(Self { file, path: path.to_owned() })
    }

    pub(crate) fn handle(&self) -> anyhow::Result<File> {
        self.file.as_file().try_clone().with_context(|| format!("cannot write {}", self.path.display()))
    }

    pub(crate) fn keep(self) -> anyhow::Result<()> {
        let Self { file, path } = self;
        let cannot = || format!("cannot write {}", path.display());
        file.as_file().sync_all().with_context(cannot)?;
        file.persist(&path).with_context(cannot)?;
        Ok(())
    }
}

/// A folder that has its name only once everything in it is complete.
pub(crate) struct PendingFolder {
    pending: TempDir,
    path: PathBuf,
}

impl PendingFolder {
    /// A new folder, or one that takes the place of an empty one.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        refuse_full(path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".undertone-");
        // The permissions of an ordinary new folder, in place of a temporary one's.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let pending = builder
            .tempdir_in(parent.unwrap_or(Path::new(".")))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { pending, path: path.to_owned() })
    }

    /// Where to write what will be in it.
    pub(crate) fn path(&self) -> &Path {
        self.pending.path()
    }

    pub(crate) fn keep(self) -> anyhow::Result<()> {
        let Self { pending, path } = self;
        // Not every system lets a folder take the place of an empty one.
        let _ = std::fs::remove_dir(&path);
        std::fs::rename(pending.path(), &path).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A file of JSON lines that has its name only once it is complete.
pub(crate) struct JsonLines {
    file: PendingFile,
    writer: BufWriter<File>,
}

impl JsonLines {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = PendingFile::create(path)?;
        let writer = BufWriter::new(file.handle()?);
        Ok(Self { file, writer })
    }

    pub(crate) fn write(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.writer, value)?;
        Ok(self.writer.write_all(b"\n")?)
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.writer.flush()?;
        self.file.keep()
    }
}

/// Refuses a folder in which something would be overwritten.
pub(crate) fn refuse_full(output: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(output).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(false) => Err(misuse(format!("{} is not empty\n\nhint: give a new folder", output.display()))),
        Err(error) => Err(misuse(format!("{}: {error}", output.display()))),
    }
}
