//! Which files a command reads, and how each is laid out.

use crate::cli::misuse;
use anyhow::Context;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use undertone::formats::{DocumentOptions, Documents, InputFormat, read_documents, read_parquet};
use walkdir::WalkDir;

/// The name of standard input, as typed and in records.
const STDIN: &str = "-";

/// What to read, and how records are taken apart.
#[derive(clap::Args)]
pub(crate) struct InputArgs {
    /// Files and folders to read, in order; `-`, or nothing where something is piped in, reads standard input
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Layout of the input [default: by the file's name, else by its first line]
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<Layout>,
    /// Field or column that holds the text, in JSONL, CSV, TSV, Parquet and Arrow
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_field: String,
    /// Field or column that holds the name of the record, in JSONL, CSV, TSV, Parquet and Arrow
    #[arg(long, value_name = "NAME", default_value = "id")]
    id_field: String,
    /// Field or column that holds the date, in JSONL, CSV, TSV, Parquet and Arrow: records then have a `date`
    #[arg(long, value_name = "NAME")]
    date_field: Option<String>,
    /// Take every text as one sentence
    #[arg(long)]
    no_split: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Layout {
    /// An article: headline, paragraphs
    Text,
    /// One sentence a line
    Lines,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values under a header
    Csv,
    /// Tab-separated values under a header, quotation marks being part of them
    Tsv,
    /// A Parquet file
    Parquet,
    /// An Arrow file (Feather, version 2)
    Arrow,
    /// A stream of Arrow batches
    ArrowStream,
}

impl From<Layout> for InputFormat {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Text => Self::Text,
            Layout::Lines => Self::Lines,
            Layout::Jsonl => Self::Jsonl,
            Layout::Csv => Self::Csv,
            Layout::Tsv => Self::Tsv,
            Layout::Parquet => Self::Parquet,
            Layout::Arrow => Self::Arrow,
            Layout::ArrowStream => Self::ArrowStream,
        }
    }
}

/// The inputs of a run, folders opened up.
pub(crate) struct Inputs {
    paths: Vec<PathBuf>,
    format: Option<InputFormat>,
    text_field: String,
    id_field: String,
    date_field: Option<String>,
    split: bool,
    keep_fields: bool,
    /// Whether a folder was opened up.
    opened_up: bool,
    bytes_read: Arc<AtomicU64>,
}

impl InputArgs {
    /// Looks for every input before any is read, so that a mistyped name costs no work.
    pub(crate) fn resolve(self, keep_fields: bool) -> anyhow::Result<Inputs> {
        let Self { mut inputs, input_format, text_field, id_field, date_field, no_split } = self;
        if inputs.is_empty() {
            if std::io::stdin().is_terminal() {
                return Err(misuse(
                    "nothing to read: name files or folders, or pipe text in\n\nhint: `--help` has examples",
                ));
            }
            inputs.push(STDIN.into());
        }
        let mut paths = Vec::new();
        let mut opened_up = false;
        for input in inputs {
            if input.as_os_str() == STDIN || input.is_file() {
                paths.push(input);
            } else if input.is_dir() {
                paths.extend(files_below(&input)?);
                opened_up = true;
            } else {
                // What is neither may still be readable: a named pipe, a device.
                std::fs::metadata(&input).map_err(|e| misuse(format!("{}: {e}", input.display())))?;
                paths.push(input);
            }
        }
        let format = input_format.map(InputFormat::from);
        let split = !no_split;
        let bytes_read = Arc::default();
        Ok(Inputs {
            paths,
            format,
            text_field,
            id_field,
            date_field,
            split,
            keep_fields,
            opened_up,
            bytes_read,
        })
    }
}

impl Inputs {
    /// The files in the order in which they are read; `-` is standard input.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// True if files were looked for: those that cannot be read are then passed over.
    pub(crate) fn opened_up(&self) -> bool {
        self.opened_up
    }

    /// Bytes of all inputs together, as they stand on disk; `None` if one has no size, such as a pipe.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let size = |path: &PathBuf| std::fs::metadata(path).ok().filter(|m| m.is_file()).map(|m| m.len());
        self.paths.iter().map(size).sum()
    }

    /// Whether dates are handed on, where a record has one.
    pub(crate) fn has_dates(&self) -> bool {
        self.date_field.is_some()
    }

    /// Bytes read so far from all inputs together, as they stand on disk. Rises while documents are read.
    pub(crate) fn bytes_read(&self) -> Arc<AtomicU64> {
        self.bytes_read.clone()
    }

    /// The documents of the input at `index` of `paths`.
    ///
    /// # Errors
    /// If it cannot be opened; the error tells its name.
    pub(crate) fn open(&self, index: usize) -> anyhow::Result<Documents> {
        let path = &self.paths[index];
        let name = path.display().to_string();
        let mut reader: Box<dyn BufRead> = if path.as_os_str() == STDIN {
            Box::new(BufReader::new(self.counted(std::io::stdin())))
        } else {
            Box::new(BufReader::new(self.counted(File::open(path).with_context(|| name.clone())?)))
        };
        let told = self.format.or_else(|| InputFormat::of_name(&name));
        let magic = match told {
            None => InputFormat::of_magic(reader.fill_buf().with_context(|| name.clone())?),
            told => told,
        };
        let format = match magic {
            Some(format) => format,
            None => {
                // A whole line, however long: half a record cannot be told from an article.
                let mut first = Vec::new();
                while first.trim_ascii().is_empty()
                    && reader.read_until(b'\n', &mut first).with_context(|| name.clone())? > 0
                {
                }
                let format = InputFormat::of_content(&first);
                reader = Box::new(Cursor::new(first).chain(reader));
                format
            }
        };
        let options = DocumentOptions {
            format,
            text_field: self.text_field.clone(),
            id_field: self.id_field.clone(),
            date_field: self.date_field.clone(),
            split: self.split,
            keep_fields: self.keep_fields,
        };
        // Its end says where its rows are, and a pipe cannot be read from there.
        if format == InputFormat::Parquet && path.is_file() {
            let bytes = self.bytes_read();
            let read = move |more| {
                bytes.fetch_add(more, Ordering::Relaxed);
            };
            return Ok(read_parquet(File::open(path).with_context(|| name.clone())?, &name, &options, read));
        }
        Ok(read_documents(reader, &name, &options))
    }

    fn counted<R: Read>(&self, reader: R) -> Counted<R> {
        Counted { reader, bytes: self.bytes_read.clone() }
    }
}

/// A reader that counts what passes through it.
struct Counted<R> {
    reader: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The files below a folder that have the name of a known format, in order of their paths; hidden ones are left out.
fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    let mut files = Vec::new();
    for entry in WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name()))
    {
        let entry = entry?;
        let known = InputFormat::of_name(&entry.file_name().to_string_lossy()).is_some();
        if entry.file_type().is_file() && known {
            files.push(entry.into_path());
        }
    }
    if files.is_empty() {
        return Err(misuse(format!(
            "{}: the folder has no file that ends in .txt, .md, .jsonl, .csv, .tsv, .parquet or .arrow; name the files themselves",
            folder.display()
        )));
    }
    Ok(files)
}
