//! Which files a command reads, and how each is laid out.

use crate::cli::misuse;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use undertone::formats::{
    DocumentOptions, Documents, InputFormat, TextEncoding, read_documents, read_parquet,
};
use walkdir::WalkDir;

/// The name of standard input, as typed and in records.
pub(crate) const STDIN: &str = "-";

/// What to read, and how records are taken apart.
#[derive(Clone, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct InputArgs {
    /// Files, folders and patterns (`'news/**/*.jsonl'`) to read, in order; `-`, or nothing where something is piped in,
    /// reads standard input. Files may be compressed with gzip or zstd
    #[arg(value_name = "INPUT")]
    #[serde(skip)]
    pub(crate) inputs: Vec<PathBuf>,
    /// File with names of further inputs, files and folders, one a line; `-` is standard input
    #[arg(long, value_name = "LIST")]
    #[serde(skip)]
    files_from: Option<PathBuf>,
    /// Layout of the input [default: by the file's name, else by its beginning]
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<Layout>,
    /// Encoding of the input, by its name on the web, such as windows-1252, utf-16le or gb18030 [default: by its byte-order
    /// mark or what a page declares, else UTF-8, else guessed, with a warning]
    #[arg(long, value_name = "NAME")]
    encoding: Option<TextEncoding>,
    /// Field or column that holds the text, in records and columns
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_field: String,
    /// Field or column that holds the name of the record, in records and columns
    #[arg(long, value_name = "NAME", default_value = "id")]
    id_field: String,
    /// Field or column that holds the date, in records and columns: records then have a `date`, as do those of web pages that
    /// tell when they were published
    #[arg(long, value_name = "NAME")]
    date_field: Option<String>,
    /// Take every text as one sentence
    #[arg(long)]
    no_split: bool,
    /// Longest record, line or page, in bytes or with K, M or G behind the number; what is longer is a bad record
    #[arg(long, value_name = "SIZE", default_value = "32M", value_parser = size)]
    max_record_bytes: usize,
}

/// Reads a number of bytes: `4096`, `64K`, `32M`, `1G`.
fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err("it must be a number of bytes, such as 4096, 64K, 32M or 1G".into()),
    };
    let bytes = number.parse().ok().and_then(|number: usize| number.checked_mul(1 << shift));
    bytes
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "it must be a number of bytes, from 1, such as 32M or 1G".into())
}

#[derive(Clone, Copy, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// A web page, of which the article is read
    Html,
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
            Layout::Html => Self::Html,
            Layout::Parquet => Self::Parquet,
            Layout::Arrow => Self::Arrow,
            Layout::ArrowStream => Self::ArrowStream,
        }
    }
}

/// The inputs of a run, folders, patterns and lists opened up.
pub(crate) struct Inputs {
    paths: Vec<PathBuf>,
    options: DocumentOptions,
    /// Whether a folder, a pattern or a list was opened up.
    opened_up: bool,
    bytes_read: Arc<AtomicU64>,
}

impl InputArgs {
    /// Looks for every input before any is read, so that a mistyped name costs no work.
    pub(crate) fn resolve(&self, keep_fields: bool) -> anyhow::Result<Inputs> {
        let (mut inputs, files_from) = (self.inputs.clone(), self.files_from.clone());
        if inputs.is_empty() && files_from.is_none() {
            if std::io::stdin().is_terminal() {
                return Err(misuse(
                    "nothing to read: name files or folders, or pipe text in\n\nhint: `--help` has examples",
                ));
            }
            inputs.push(STDIN.into());
        }
        let mut found = Found::default();
        for input in inputs {
            match matches(&input)? {
                Some(files) => found.looked_for(files),
                None => found.add(input).map_err(misuse)?,
            }
        }
        if let Some(list) = files_from {
            found.listed(&list)?;
        }
        let Found { paths, opened_up } = found;
        Ok(Inputs { opened_up, ..self.of(paths, keep_fields) })
    }

    /// These files, read as the arguments ask, whatever inputs they name.
    pub(crate) fn of(&self, paths: Vec<PathBuf>, keep_fields: bool) -> Inputs {
        let Self {
            inputs: _,
            files_from: _,
            input_format,
            encoding,
            text_field,
            id_field,
            date_field,
            no_split,
            max_record_bytes,
        } = self.clone();
        let options = DocumentOptions {
            format: input_format.map(InputFormat::from),
            encoding,
            text_field,
            id_field,
            date_field,
            split: !no_split,
            keep_fields,
            max_record_bytes,
        };
        Inputs { paths, options, opened_up: false, bytes_read: Arc::default() }
    }
}

impl Inputs {
    /// The files in the order in which they are read; `-` is standard input.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// True if files were looked for, in a folder, by a pattern or in a list: those that cannot be read are then passed over.
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
        self.options.date_field.is_some()
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
        if path.is_file() && self.is_parquet(&name, reader.fill_buf().with_context(|| name.clone())?) {
            let (file, bytes) = (File::open(path).with_context(|| name.clone())?, self.bytes_read());
            let read = move |more| {
                bytes.fetch_add(more, Ordering::Relaxed);
            };
            return Ok(read_parquet(file, &name, &self.options, read));
        }
        Ok(read_documents(reader, &name, &self.options))
    }

    /// True for a Parquet file that can be read from its end, where that says where its rows are.
    fn is_parquet(&self, name: &str, start: &[u8]) -> bool {
        let told = self.options.format.or_else(|| InputFormat::of_name(name));
        told.is_none_or(|told| told == InputFormat::Parquet)
            && InputFormat::of_magic(start) == Some(InputFormat::Parquet)
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

/// Inputs as they are found.
#[derive(Default)]
struct Found {
    paths: Vec<PathBuf>,
    opened_up: bool,
}

impl Found {
    /// Adds an input, a folder with the files below it; why it cannot be read, if it is not there.
    fn add(&mut self, input: PathBuf) -> Result<(), String> {
        if input.as_os_str() == STDIN || input.is_file() {
            self.paths.push(input);
        } else if input.is_dir() {
            self.looked_for(files_below(&input)?);
        } else {
            // What is neither may still be readable: a named pipe, a device.
            std::fs::metadata(&input).map_err(|e| format!("{}: {e}", input.display()))?;
            self.paths.push(input);
        }
        Ok(())
    }

    fn looked_for(&mut self, files: Vec<PathBuf>) {
        self.paths.extend(files);
        self.opened_up = true;
    }

    /// Adds the inputs that a list names.
    fn listed(&mut self, list: &Path) -> anyhow::Result<()> {
        let name = list.display();
        let content = if list.as_os_str() == STDIN {
            let mut content = Vec::new();
            std::io::stdin().read_to_end(&mut content).map(|_| content)
        } else {
            std::fs::read(list)
        };
        let content = content.map_err(|e| misuse(format!("--files-from {name}: {e}")))?;
        self.opened_up = true;
        let before = self.paths.len();
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
        for (number, line) in content.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() {
                let added = self.add(path_of(line));
                added.map_err(|reason| misuse(format!("--files-from {name}:{}: {reason}", number + 1)))?;
            }
        }
        if self.paths.len() == before {
            return Err(misuse(format!("--files-from {name}: the list names no file")));
        }
        if list.as_os_str() == STDIN && self.paths.iter().any(|path| path.as_os_str() == STDIN) {
            return Err(misuse("standard input cannot be both the list of `--files-from` and an input"));
        }
        Ok(())
    }
}

fn is_not_found(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// A path of a list: any bytes where the system has such paths.
pub(crate) fn path_of(line: &[u8]) -> PathBuf {
    #[cfg(unix)]
    return <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(line).into();
    #[cfg(not(unix))]
    return String::from_utf8_lossy(line).into_owned().into();
}

/// The files that an input matches, in order of their paths, if it is a pattern and no file of that name is there; hidden
/// ones are left out, as below folders. Where it matches folders alone, the files below these are meant.
fn matches(input: &Path) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let Some(pattern) = input.to_str().filter(|text| text.contains(['*', '?', '['])) else { return Ok(None) };
    if std::fs::symlink_metadata(input).is_ok() {
        return Ok(None);
    }
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found =
        glob::glob_with(pattern, options).map_err(|e| misuse(format!("{pattern}: no pattern: {e}")))?;
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for path in found {
        match path {
            Ok(path) if path.is_dir() => folders.push(path),
            Ok(path) => files.push(path),
            // A folder that cannot be looked into is told in its turn, like a file that cannot be read.
            Err(error) => files.push(error.path().to_owned()),
        }
    }
    if files.is_empty() {
        folders.sort();
        folders.dedup_by(|below, above| below.starts_with(above));
        for folder in &folders {
            files.extend(files_below(folder).map_err(misuse)?);
        }
    }
    if files.is_empty() {
        return Err(misuse(format!(
            "{pattern}: no file of this name, and none that this matches as a pattern"
        )));
    }
    files.sort();
    Ok(Some(files))
}

/// The files below a folder that have the name of a known format, in order of their paths; hidden ones are left out. What cannot
/// be looked at is among them, to be told in its turn like a file that cannot be read.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let hidden = |name: &OsStr| name.to_string_lossy().starts_with('.');
    let known = |path: &Path| {
        path.file_name().is_some_and(|name| InputFormat::of_name(&name.to_string_lossy()).is_some())
    };
    let mut files = Vec::new();
    for entry in WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name()))
    {
        match entry {
            Ok(entry) if entry.file_type().is_file() && known(entry.path()) => files.push(entry.into_path()),
            Ok(_) => {}
            // A link to a folder above: what is in it is read there.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => match error.path().filter(|path| *path != folder) {
                // A link to nothing.
                Some(path) if !known(path) && is_not_found(&error) => {}
                Some(path) => files.push(path.to_owned()),
                None => return Err(error.to_string()),
            },
        }
    }
    if files.is_empty() {
        return Err(format!(
            "{}: the folder has no file that ends in .txt, .md, .jsonl, .csv, .tsv, .html, .parquet or .arrow, or in one of these and .gz or .zst; name the files themselves",
            folder.display()
        ));
    }
    Ok(files)
}
