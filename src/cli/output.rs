//! Where results go, and in which form.

use crate::cli::misuse;
use anstream::AutoStream;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use undertone::report::{
    self, ColumnsReport, CompressedReport, CsvReport, JsonlReport, Report, Shape, TableReport,
};

#[derive(clap::Args)]
pub(crate) struct OutputArgs {
    /// Form of the results [default: table on a terminal, else jsonl]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    format: Option<Form>,
    /// File for the results, written whole or not at all [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// A form of results by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    /// For people
    Table,
    /// One JSON object a sentence
    Jsonl,
    /// Comma-separated values under a header, a row a sentence
    Csv,
    /// A Parquet file, a row a sentence
    Parquet,
    /// An Arrow file (Feather, version 2), a row a sentence
    Arrow,
    /// A stream of Arrow batches, a row a sentence
    ArrowStream,
}

/// How results are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compression {
    /// gzip (`.gz`)
    Gzip,
    /// Zstandard (`.zst`)
    Zstd,
}

/// The form of results and how they are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) form: Form,
    pub(crate) compression: Option<Compression>,
}

/// Columns of a table that is not on a terminal.
const TABLE_WIDTH: usize = 100;

impl Format {
    /// Records of the given shape to `writer`, which need not be buffered. All is written, and a compressed stream ended,
    /// when the report has finished.
    ///
    /// # Errors
    /// If the form cannot hold such records, or the writer fails.
    pub(crate) fn report(
        self,
        writer: Box<dyn Write + Send>,
        shape: &Shape,
    ) -> anyhow::Result<Box<dyn Report + Send>> {
        let compression = match self.compression {
            None => return self.form.report(writer, shape),
            Some(Compression::Gzip) => report::Compression::Gzip,
            Some(Compression::Zstd) => report::Compression::Zstd,
        };
        let report = CompressedReport::new(writer, compression, |writer| self.form.report(writer, shape))?;
        Ok(Box::new(report))
    }

    /// How the names of files of this format end, without the first dot: `jsonl`, `csv.gz`.
    pub(crate) fn extension(self) -> String {
        let compression = match self.compression {
            None => "",
            Some(Compression::Gzip) => ".gz",
            Some(Compression::Zstd) => ".zst",
        };
        format!("{}{compression}", self.form.extension())
    }
}

impl Form {
    /// The one place where forms are told apart when they are written.
    fn report(self, writer: Box<dyn Write + Send>, shape: &Shape) -> anyhow::Result<Box<dyn Report + Send>> {
        Ok(match self {
            Self::Table => Box::new(TableReport::new(AutoStream::never(buffered(writer)), TABLE_WIDTH)),
            Self::Jsonl => Box::new(JsonlReport::new(BufWriter::new(writer))),
            Self::Csv => Box::new(CsvReport::new(BufWriter::new(writer))),
            Self::Parquet => Box::new(ColumnsReport::parquet(writer, shape)?),
            Self::Arrow => Box::new(ColumnsReport::arrow_file(writer, shape)?),
            Self::ArrowStream => Box::new(ColumnsReport::arrow_stream(writer, shape)?),
        })
    }

    fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::ArrowStream)
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Table => "txt",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::ArrowStream => "arrows",
        }
    }
}

/// A writer of the type that `anstream` can wrap.
fn buffered(writer: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
    Box::new(BufWriter::new(writer))
}

/// An open place for results.
pub(crate) struct Output {
    /// Takes the records.
    pub(crate) report: Box<dyn Report + Send>,
    file: Option<PendingFile>,
}

impl OutputArgs {
    /// The format that was asked for, or the one that suits the place.
    pub(crate) fn format(&self) -> anyhow::Result<Format> {
        let form = self.format.unwrap_or(if self.on_terminal() { Form::Table } else { Form::Jsonl });
        if self.on_terminal() && form.is_binary() {
            return Err(misuse("a terminal cannot show columns; name a file with --output, or pipe them on"));
        }
        Ok(Format { form, compression: None })
    }

    fn on_terminal(&self) -> bool {
        self.output.is_none() && std::io::stdout().is_terminal()
    }

    /// Opens the place, before the long work starts.
    pub(crate) fn open(self) -> anyhow::Result<Place> {
        let (format, on_terminal) = (self.format()?, self.on_terminal());
        let file = self.output.as_deref().map(PendingFile::create).transpose()?;
        Ok(Place { format, on_terminal, file })
    }
}

/// A place for results whose shape is not known yet.
pub(crate) struct Place {
    format: Format,
    on_terminal: bool,
    file: Option<PendingFile>,
}

impl Place {
    /// Makes it ready for records of the given shape.
    pub(crate) fn output(self, shape: &Shape) -> anyhow::Result<Output> {
        let Self { format, on_terminal, file } = self;
        let writer: Box<dyn Write + Send> = match &file {
            Some(file) => Box::new(file.handle()?),
            None => Box::new(std::io::stdout()),
        };
        let report = match format {
            // A terminal has a width, and standard output may be asked to have colour.
            Format { form: Form::Table, compression: None } if file.is_none() => {
                let terminal = terminal_size::terminal_size().filter(|_| on_terminal);
                let width = terminal.map_or(TABLE_WIDTH, |(width, _)| usize::from(width.0));
                let colour = AutoStream::choice(&std::io::stdout());
                Box::new(TableReport::new(AutoStream::new(buffered(writer), colour), width))
            }
            format => format.report(writer, shape)?,
        };
        Ok(Output { report, file })
    }
}

impl Output {
    /// Writes what stands at the end and, if there is a file, gives it its name.
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
