//! Files of JSON lines that grow with a run. How long each was at the end of the last part is known: what stands behind that
//! came from a part that was never finished.

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A file of JSON lines that is written.
pub(super) struct Lines {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Lines {
    /// Writes to an open file that has, or will have, this name.
    pub(super) fn new(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), writer: BufWriter::new(file) }
    }

    /// Goes on behind the first `bytes` of a file, which is made if it is not there; the rest is dropped.
    pub(super) fn behind(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(path).with_context(|| cannot(path))?;
        check(path, &file, bytes)?;
        file.set_len(bytes).with_context(|| cannot(path))?;
        Ok(Self::new(path, file))
    }

    pub(super) fn write(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let Self { path, writer } = self;
        serde_json::to_writer(&mut *writer, line).with_context(|| cannot(path))?;
        writer.write_all(b"\n").with_context(|| cannot(path))
    }

    /// Makes sure that all is on disk; how long the file now is.
    pub(super) fn sync(&mut self) -> anyhow::Result<u64> {
        let Self { path, writer } = self;
        writer.flush().with_context(|| cannot(path))?;
        writer.get_ref().sync_all().with_context(|| cannot(path))?;
        Ok(writer.get_ref().metadata().with_context(|| cannot(path))?.len())
    }
}

/// The lines in the first `bytes` of a file.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    bytes: u64,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<T>> + use<T>> {
    let name = path.display().to_string();
    let reader: Box<dyn Read> = match File::open(path) {
        Ok(file) => {
            check(path, &file, bytes)?;
            Box::new(file.take(bytes))
        }
        // Before the first part there need be no file.
        Err(error) if bytes == 0 && error.kind() == ErrorKind::NotFound => Box::new(std::io::empty()),
        Err(error) => return Err(error).context(name),
    };
    let lines = BufReader::new(reader).lines().enumerate();
    Ok(lines.map(move |(number, line)| {
        let wrong = || format!("{name}:{}: it is not as the run has left it", number + 1);
        serde_json::from_str(&line.with_context(wrong)?).with_context(wrong)
    }))
}

/// Refuses a file that is shorter than it was.
fn check(path: &Path, file: &File, bytes: u64) -> anyhow::Result<()> {
    let found = file.metadata().with_context(|| path.display().to_string())?.len();
    if found < bytes {
        bail!(
            "{}: it has {found} bytes, and the run has written {bytes}\n\nhint: put the file back, or begin anew in another folder",
            path.display()
        );
    }
    Ok(())
}

fn cannot(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_known_length_is_neither_read_nor_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.jsonl");
        assert_eq!(read::<u32>(&path, 0).unwrap().count(), 0);
        let mut lines = Lines::behind(&path, 0).unwrap();
        lines.write(&1).unwrap();
        let known = lines.sync().unwrap();
        lines.write(&2).unwrap();
        lines.sync().unwrap();
        let numbers = |bytes| read::<u32>(&path, bytes).unwrap().collect::<anyhow::Result<Vec<_>>>().unwrap();
        assert_eq!(numbers(known), [1]);
        let mut lines = Lines::behind(&path, known).unwrap();
        lines.write(&3).unwrap();
        assert_eq!(numbers(lines.sync().unwrap()), [1, 3]);
    }

    #[test]
    fn a_list_that_was_cut_or_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.jsonl");
        std::fs::write(&path, "1\n{\n").unwrap();
        let told = |error: anyhow::Error| error.to_string();
        assert!(told(read::<u32>(&path, 9).map(drop).unwrap_err()).contains("the run has written 9"));
        assert!(told(Lines::behind(&path, 9).map(drop).unwrap_err()).contains("the run has written 9"));
        let error = read::<u32>(&path, 4).unwrap().find_map(Result::err).unwrap();
        assert!(told(error).ends_with("list.jsonl:2: it is not as the run has left it"));
    }
}
