//! Where results go, and in which form.

mod form;
mod pending;

pub(crate) use form::{Compression, Form, Format};
pub(crate) use pending::{JsonLines, PendingFile, PendingFolder, refuse_full};

use crate::cli::misuse;
use anstream::AutoStream;
use form::{TABLE_WIDTH, buffered};
use serde::{Deserialize, Serialize};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use undertone::report::{LabelledReport, Report, Rows, Shape, TableReport};

#[derive(clap::Args)]
pub(crate) struct OutputArgs {
    /// Form of the results [default: what the name of --output ends in, else table on a terminal, else jsonl]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    format: Option<Form>,
    /// What a row of the results is, in jsonl, csv, tsv, parquet, arrow and arrow-stream
    #[arg(long, value_enum, value_name = "ROWS", default_value_t = RowKind::Sentence)]
    pub(crate) rows: RowKind,
    /// How the results are compressed [default: what the name of --output ends in, `.gz` or `.zst`, else not at all]
    #[arg(long, value_enum, value_name = "METHOD")]
    compress: Option<Compression>,
    /// File for the results, written whole or not at all; or a folder, `out/`, for parts of them that `--resume` can go on
    /// behind; for brat a new folder [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What a row stands for, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RowKind {
    /// A sentence
    Sentence,
    /// An entity, with the sentence it stands in; sentences without entities have no row
    Entity,
    /// An article with its sentences, or in csv and tsv what they have, counted; articles without sentences have no row
    Article,
}

impl From<RowKind> for Rows {
    fn from(rows: RowKind) -> Self {
        match rows {
            RowKind::Sentence => Self::Sentence,
            RowKind::Entity => Self::Entity,
            RowKind::Article => Self::Article,
        }
    }
}

impl OutputArgs {
    /// The format that was asked for, or the one that suits the place.
    ///
    /// # Errors
    /// If the place or the form cannot have what was asked for.
    pub(crate) fn format(&self) -> anyhow::Result<Format> {
        let named = self.output.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        let (by_name, compressed) = named.map_or((None, None), |name| Format::of_name(&name));
        let compression = self.compress.or(compressed);
        let table = self.on_terminal() && self.rows == RowKind::Sentence;
        let form = self.format.or(by_name).unwrap_or(if table { Form::Table } else { Form::Jsonl });
        if form.is_columns() && self.on_terminal() {
            return Err(misuse(
                "columns are no text for a terminal; name a file with --output, or pipe them on",
            ));
        }
        if compression.is_some() && self.on_terminal() {
            return Err(misuse("compressed results are no text for a terminal; name a file with --output"));
        }
        if form == Form::Brat && self.output.is_none() {
            return Err(misuse("brat keeps its documents in a folder; name a new one with --output"));
        }
        let format = Format { form, compression };
        format.refuse(self.rows.into())?;
        Ok(format)
    }

    fn on_terminal(&self) -> bool {
        self.output.is_none() && std::io::stdout().is_terminal()
    }

    /// Opens the place, before the long work starts.
    pub(crate) fn open(self) -> anyhow::Result<Place> {
        let (format, on_terminal) = (self.format()?, self.on_terminal());
        let target = match self.output {
            None => Target::Stdout,
            Some(folder) if format.form == Form::Brat => Target::Folder(PendingFolder::create(&folder)?),
            Some(file) => Target::File(PendingFile::create(&file)?),
        };
        Ok(Place { format, on_terminal, target })
    }
}

/// A place for results whose shape is not known yet.
pub(crate) struct Place {
    format: Format,
    on_terminal: bool,
    target: Target,
}

enum Target {
    Stdout,
    File(PendingFile),
    Folder(PendingFolder),
}

impl Place {
    /// Makes it ready for records of the given shape.
    pub(crate) fn output(self, shape: &Shape) -> anyhow::Result<Output> {
        let Self { format, on_terminal, target } = self;
        let report = match &target {
            Target::Folder(folder) => Box::new(LabelledReport::brat(folder.path(), shape)?),
            Target::File(file) => format.report(Box::new(file.handle()?), shape)?,
            Target::Stdout => {
                let stdout: Box<dyn Write + Send> = Box::new(std::io::stdout());
                match format {
                    // A terminal has a width, and standard output may be asked to have colour.
                    Format { form: Form::Table, compression: None } => {
                        let terminal = terminal_size::terminal_size().filter(|_| on_terminal);
                        let width = terminal.map_or(TABLE_WIDTH, |(width, _)| usize::from(width.0));
                        let colour = AutoStream::choice(&std::io::stdout());
                        Box::new(TableReport::new(AutoStream::new(buffered(stdout), colour), width))
                    }
                    format => format.report(stdout, shape)?,
                }
            }
        };
        Ok(Output { report, target })
    }
}

/// An open place for results.
pub(crate) struct Output {
    /// Takes the records.
    pub(crate) report: Box<dyn Report + Send>,
    target: Target,
}

impl Output {
    /// Whether records go to whoever reads standard output, and not to what has its name only once it is complete.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.target, Target::Stdout)
    }

    /// Whether people see the results come.
    pub(crate) fn on_terminal(&self) -> bool {
        self.is_stream() && std::io::stdout().is_terminal()
    }

    /// Writes what stands at the end and, if there is a file or a folder, gives it its name.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.report.finish()?;
        match self.target {
            Target::Stdout => Ok(()),
            Target::File(file) => file.keep(),
            Target::Folder(folder) => folder.keep(),
        }
    }
}
