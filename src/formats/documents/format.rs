use super::compression::uncompressed;
use serde_json::{Map, Value};

/// How an input is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One article: headline, paragraphs.
    Text,
    /// One sentence a line.
    Lines,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values under a header.
    Csv,
    /// Tab-separated values under a header. A quotation mark is part of its value: most TSV files quote nothing, and one
    /// that stands at the start of a sentence would swallow the rows behind it.
    Tsv,
    /// A web page, the article of which is read (with the feature `pages`).
    Html,
    /// A Parquet file (this and the next two with the feature `columns`).
    Parquet,
    /// An Arrow file (Feather, version 2).
    Arrow,
    /// A stream of Arrow batches.
    ArrowStream,
}

impl InputFormat {
    /// Bytes that [`InputFormat::of_magic`] looks at.
    pub const MAGIC: usize = 6;

    /// The format that the first bytes of an input show where it is one of columns, whatever its name.
    pub fn of_magic(start: &[u8]) -> Option<Self> {
        let magic = |magic: &[u8]| start.starts_with(magic);
        match () {
            () if magic(b"PAR1") => Some(Self::Parquet),
            () if magic(b"ARROW1") => Some(Self::Arrow),
            () if magic(&[0xff; 4]) => Some(Self::ArrowStream),
            () => None,
        }
    }

    /// True for formats whose values stand in columns.
    pub(super) fn is_columns(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::ArrowStream)
    }

    /// The format that a file's name tells by its end, any case, with or without `.gz`, `.zst` or `.zstd` behind it;
    /// `None` for other ends.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, end) = uncompressed(name).rsplit_once('.')?;
        match end.to_ascii_lowercase().as_str() {
            "txt" | "text" | "md" => Some(Self::Text),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "html" | "htm" | "xhtml" => Some(Self::Html),
            "parquet" => Some(Self::Parquet),
            "arrow" | "feather" | "ipc" => Some(Self::Arrow),
            "arrows" => Some(Self::ArrowStream),
            _ => None,
        }
    }

    /// The format that the beginning of an input shows: columns, a web page, or JSON lines if its first line is a JSON object, as far
    /// as it is there, else an article.
    pub fn of_content(start: &[u8]) -> Self {
        if let Some(format) = Self::of_magic(start) {
            return format;
        }
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let begins = |what: &str| {
            let start = start.trim_ascii_start();
            start.get(..what.len()).is_some_and(|start| start.eq_ignore_ascii_case(what.as_bytes()))
        };
        if begins("<!doctype html") || begins("<html") {
            return Self::Html;
        }
        let line = start.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
        let object = |line: &[u8]| match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(_) => true,
            // Half an object: the line goes on behind what is looked at.
            Err(error) => error.is_eof() && line.len() > 1 && start.ends_with(line),
        };
        if line.is_some_and(object) { Self::Jsonl } else { Self::Text }
    }
}
