//! Texts to read: plain files, a sentence a line, JSONL, CSV and TSV, as streams that outlive a bad record.

mod delimited;
mod jsonl;
mod plain;

use crate::text::{Span, split_sentences, trimmed};
use serde_json::{Map, Value};
use std::io::BufRead;

/// A text to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What the input calls it; the name of the file where it has no name of its own.
    pub id: Value,
    /// When it was written, in the words of the input, if a field for that was named and the record has it.
    pub date: Option<String>,
    /// The text that offsets count in, or a stretch of it.
    pub text: String,
    /// What its sentences are.
    pub segmentation: Segmentation,
    /// True if the text goes on where the text of the document before it stopped: a stretch of one long input.
    pub continues: bool,
    /// The record's other fields, in the order of the input.
    pub fields: Map<String, Value>,
}

/// What the sentences of a text are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segmentation {
    /// What [`split_sentences`] finds.
    Split,
    /// The text as a whole, if there is any.
    Whole,
    /// These, in bytes of the text.
    Spans(Vec<Span>),
}

impl Document {
    /// Sentences, in bytes of `text`. Splitting takes time: it is done here and not when the document is read, so that
    /// documents can be passed over quickly.
    pub fn sentences(&self) -> Vec<Span> {
        match &self.segmentation {
            Segmentation::Split => split_sentences(&self.text),
            Segmentation::Whole => trimmed(&self.text, Span::new(0, self.text.len())).into_iter().collect(),
            Segmentation::Spans(spans) => spans.clone(),
        }
    }
}

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
}

impl InputFormat {
    /// The format that a file's name tells by its end, any case; `None` for other ends.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        match end.to_ascii_lowercase().as_str() {
            "txt" | "text" | "md" => Some(Self::Text),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            _ => None,
        }
    }

    /// The format that the beginning of an input shows: JSON lines if its first line is a JSON object, else an article.
    pub fn of_content(start: &[u8]) -> Self {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let line = start.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
        let object = |line| serde_json::from_slice::<Map<String, Value>>(line).is_ok();
        if line.is_some_and(object) { Self::Jsonl } else { Self::Text }
    }
}

/// How the records of an input are taken apart.
#[derive(Debug, Clone)]
pub struct DocumentOptions {
    /// Layout of the input.
    pub format: InputFormat,
    /// Name of the field that holds the text, in records that have fields.
    pub text_field: String,
    /// Name of the field that holds the record's name; a record without it is called `file:line`.
    pub id_field: String,
    /// Name of the field that holds the date, if there is one to hand on.
    pub date_field: Option<String>,
    /// Whether texts are split into sentences; else each is one sentence. Lines are never split.
    pub split: bool,
}

impl DocumentOptions {
    fn segmentation(&self) -> Segmentation {
        if self.split { Segmentation::Split } else { Segmentation::Whole }
    }
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{input}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct BadRecord {
    /// Name of the input.
    pub input: String,
    /// Line on which the record begins, from 1; `None` if the input as a whole is meant.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub reason: String,
    /// The record as it came; empty if the input as a whole is meant.
    pub record: Vec<u8>,
}

/// Documents of one input, bad records among them.
pub type Documents = Box<dyn Iterator<Item = Result<Document, BadRecord>>>;

/// Reads the documents of an input one after the other; `name` is what errors and records call it.
///
/// Offsets law: the text under a sentence's span is what stands there in the input, its line ends and byte-order mark
/// included. An empty input has no documents in record formats, and one without sentences in plain text.
pub fn read_documents(reader: Box<dyn BufRead>, name: &str, options: &DocumentOptions) -> Documents {
    match options.format {
        InputFormat::Text => plain::article(reader, name.to_owned(), options.segmentation()),
        InputFormat::Lines => plain::lines(reader, name.to_owned()),
        InputFormat::Jsonl => jsonl::read(reader, name.to_owned(), options.clone()),
        InputFormat::Csv => delimited::read(reader, name.to_owned(), options.clone(), b','),
        InputFormat::Tsv => delimited::read(reader, name.to_owned(), options.clone(), b'\t'),
    }
}

impl BadRecord {
    fn whole(input: &str, reason: impl Into<String>) -> Self {
        Self { input: input.to_owned(), line: None, reason: reason.into(), record: Vec::new() }
    }

    fn at(input: &str, line: usize, reason: impl Into<String>, record: impl Into<Vec<u8>>) -> Self {
        Self { input: input.to_owned(), line: Some(line), reason: reason.into(), record: record.into() }
    }
}

fn not_utf8(at: usize) -> String {
    format!("byte {at} is not UTF-8; convert the file, e.g. with `iconv -f latin1 -t utf-8`")
}

/// Names that a message tells, of however many.
const NAMES: usize = 20;

/// The names of fields or columns, for a message.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let others = names.len().saturating_sub(NAMES);
    let told: Vec<&str> = names.take(NAMES).map(String::as_str).collect();
    match (told.is_empty(), others) {
        (true, _) => "none".into(),
        (_, 0) => told.join(", "),
        (_, others) => format!("{} and {others} others", told.join(", ")),
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    pub(super) fn read(format: InputFormat, content: &[u8]) -> Vec<Result<Document, BadRecord>> {
        let options = DocumentOptions {
            format,
            text_field: "text".into(),
            id_field: "id".into(),
            date_field: None,
            split: true,
        };
        read_documents(Box::new(std::io::Cursor::new(content.to_vec())), "in", &options).collect()
    }

    pub(super) fn sentences(document: &Document) -> Vec<&str> {
        let spans = document.sentences().into_iter();
        spans.map(|span| span.of(&document.text).expect("a span of the text")).collect()
    }
}
