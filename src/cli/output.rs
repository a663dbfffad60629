//! Where results go, and in which form.

use crate::cli::misuse;
use anstream::AutoStream;
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use undertone::report::{CsvReport, JsonlReport, Report, TableReport};

#[derive(clap::Args)]
pub(crate) struct OutputArgs {
    /// Form of the results [default: table on a terminal, else jsonl]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    format: Option<Form>,
    /// File for the results, written whole or not at all [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// For people
    Table,
    /// One JSON object a sentence
    Jsonl,
    /// Comma-separated values under a header, a row a sentence
    Csv,
}

/// Columns of a table that is not on a terminal.
const TABLE_WIDTH: usize = 100;

/// An open place for results.
pub(crate) struct Output {
    /// Takes the records.
    pub(crate) report: Box<dyn Report>,
    file: Option<PendingFile>,
}

impl OutputArgs {
    /// Opens the output, before the long work starts.
    pub(crate) fn open(self) -> anyhow::Result<Output> {
        let Self { format, output } = self;
        let on_terminal = output.is_none() && std::io::stdout().is_terminal();
        let form = format.unwrap_or(if on_terminal { Form::Table } else { Form::Jsonl });
        let file = output.map(|path| PendingFile::create(&path)).transpose()?;
        let writer: Box<dyn Write> = match &file {
            Some(file) => Box::new(BufWriter::new(file.handle()?)),
            None => Box::new(BufWriter::new(std::io::stdout())),
        };
        let report: Box<dyn Report> = match form {
            Form::Jsonl => Box::new(JsonlReport::new(writer)),
            Form::Csv => Box::new(CsvReport::new(writer)),
            Form::Table => {
                let terminal = terminal_size::terminal_size().filter(|_| on_terminal);
                let width = terminal.map_or(TABLE_WIDTH, |(width, _)| usize::from(width.0));
                let colour = match AutoStream::choice(&std::io::stdout()) {
                    _ if file.is_some() => anstream::ColorChoice::Never,
                    choice => choice,
                };
                Box::new(TableReport::new(AutoStream::new(writer, colour), width))
            }
        };
        Ok(Output { report, file })
    }
}

impl Output {
    /// Hands on what is buffered and, if there is a file, gives it its name.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.report.finish()?;
        self.file.map_or(Ok(()), PendingFile::keep)
    }
}

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
