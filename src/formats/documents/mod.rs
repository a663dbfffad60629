//! Texts to read: plain files, a sentence a line, JSONL, CSV, TSV, Parquet, Arrow and web pages, as streams that outlive a
//! bad record.

mod article;
mod bounded;
#[cfg(feature = "columns")]
mod columns;
mod compression;
mod delimited;
mod encoding;
mod format;
#[cfg(feature = "pages")]
mod hostile;
#[cfg(feature = "pages")]
mod html;
mod jsonl;
mod lines;
mod peeked;

pub use encoding::{TextEncoding, UnknownEncoding};
pub use format::InputFormat;

use self::peeked::Peeked;
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

/// How the records of an input are taken apart.
#[derive(Debug, Clone)]
pub struct DocumentOptions {
    /// Layout of the input; if `None`, that of its name, else that of its beginning.
    pub format: Option<InputFormat>,
    /// Encoding of the input; if `None`, that of its byte-order mark or, in web pages, of its declaration, else UTF-8, else
    /// one that is guessed, which is told as a warning (of `tracing`).
    pub encoding: Option<TextEncoding>,
    /// Name of the field that holds the text, in records that have fields.
    pub text_field: String,
    /// Name of the field that holds the record's name; a record without it is called `file:line`.
    pub id_field: String,
    /// Name of the field that holds the date, if there is one to hand on.
    pub date_field: Option<String>,
    /// Whether texts are split into sentences; else each is one sentence. Lines are never split.
    pub split: bool,
    /// Bytes of text that a record, a line or a page may have. A longer one is a bad record, of which memory never holds
    /// more than that.
    pub max_record_bytes: usize,
    /// Whether other fields are wanted. Where columns stand apart, only those that are needed are read.
    pub keep_fields: bool,
}

impl Default for DocumentOptions {
    /// Fields `text` and `id`, no date, texts split into sentences, other fields kept, records of up to 32 MiB, all else by the input.
    fn default() -> Self {
        Self {
            format: None,
            encoding: None,
            text_field: "text".into(),
            id_field: "id".into(),
            date_field: None,
            split: true,
            keep_fields: true,
            max_record_bytes: 32 << 20,
        }
    }
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

/// Reads the documents of an input one after the other; `name` is what errors and records call it, and tells the format if
/// `options` do not.
///
/// What begins as gzip or zstd data do is decompressed while it is read; a stream that is cut short or broken is a bad
/// record, after all that is whole before it. Text in other encodings than UTF-8 is decoded: see
/// [`DocumentOptions::encoding`].
///
/// Offsets law: the text under a sentence's span is what stands there in the input, decompressed and decoded, its line ends
/// included, and the byte-order mark of UTF-8; of a web page it is the text that was taken out of it. An article of more
/// than 4 MiB is handed out in stretches that end at blank lines; where none comes for 32 MiB, after a line or a word. An
/// empty input has no documents in record formats, and one without sentences in plain text.
pub fn read_documents(reader: Box<dyn BufRead>, name: &str, options: &DocumentOptions) -> Documents {
    let mut input = Peeked::new(compression::decompressed(reader));
    // Who pipes columns in may wait for an answer to the first of them: no more is looked at than tells the format.
    let known = options.format.or_else(|| InputFormat::of_name(name));
    let known = known.or_else(|| InputFormat::of_magic(input.fill(InputFormat::MAGIC)));
    if let Some(format) = known.filter(|format| format.is_columns()) {
        return columns(input, format, name, options);
    }
    let start = input.fill(SAMPLE);
    let told = options.encoding.or_else(|| TextEncoding::of_mark(start));
    let seen = told.or_else(|| TextEncoding::of_zeros(start));
    let format = known.unwrap_or_else(|| match seen {
        Some(encoding) => InputFormat::of_content(encoding.glance(start).as_bytes()),
        None => InputFormat::of_content(start),
    });
    let source = |input| Source::of(input, told, name.to_owned(), options);
    match format {
        InputFormat::Text => {
            input.fill(article::LONG + 1);
            article::read(source(input))
        }
        InputFormat::Lines => lines::read(source(input)),
        InputFormat::Jsonl => jsonl::read(source(input)),
        InputFormat::Csv => delimited::read(source(input), b','),
        InputFormat::Tsv => delimited::read(source(input), b'\t'),
        InputFormat::Html => page(input, name.to_owned(), options),
        InputFormat::Parquet | InputFormat::Arrow | InputFormat::ArrowStream => {
            columns(input, format, name, options)
        }
    }
}

#[cfg(feature = "columns")]
fn columns(input: Peeked, format: InputFormat, name: &str, options: &DocumentOptions) -> Documents {
    columns::read(input.into_reader(), format, name.to_owned(), options.clone())
}

#[cfg(not(feature = "columns"))]
fn columns(_: Peeked, _: InputFormat, name: &str, _: &DocumentOptions) -> Documents {
    without_columns(name)
}

/// Bytes of an input that tell its format and its encoding, if they are not told otherwise.
const SAMPLE: usize = 64 << 10;

#[cfg(feature = "pages")]
fn page(input: Peeked, name: String, options: &DocumentOptions) -> Documents {
    html::read(input, name, options.clone())
}

#[cfg(not(feature = "pages"))]
fn page(_: Peeked, name: String, _: &DocumentOptions) -> Documents {
    let reason = "web pages are read by the feature `pages`, which this build lacks";
    Box::new(std::iter::once(Err(BadRecord::whole(&name, reason))))
}

/// An input as text, and what its readers need to know.
struct Source {
    reader: Box<dyn BufRead>,
    about: About,
}

struct About {
    name: String,
    encoding: TextEncoding,
    options: DocumentOptions,
}

impl Source {
    fn of(input: Peeked, told: Option<TextEncoding>, name: String, options: &DocumentOptions) -> Self {
        let encoding = told.or_else(|| {
            let guess = encoding::guess(input.start(), input.is_whole())?;
            tell_of_guess(&name, guess);
            Some(guess)
        });
        let encoding = encoding.unwrap_or(TextEncoding::UTF_8);
        let reader = encoding::decoded(input, encoding);
        Self { reader, about: About { name, encoding, options: options.clone() } }
    }
}

/// A guess may be wrong: whoever reads the input is to know that it is one.
fn tell_of_guess(name: &str, guess: TextEncoding) {
    tracing::warn!(
        "{name}: not UTF-8; read as {}, which is a guess (`--encoding` names another)",
        guess.name()
    );
}

impl About {
    /// Why text is malformed at a byte.
    fn malformed(&self, at: usize) -> String {
        if self.encoding == TextEncoding::UTF_8 {
            format!(
                "byte {at} is not UTF-8; if all of the input is in another encoding, name it with `--encoding`"
            )
        } else {
            format!("what stands at byte {at} of the text is not {}", self.encoding.name())
        }
    }
}

/// Reads the documents of a Parquet file where it stands: its end says where its rows are, and [`read_documents`] would
/// copy it. `progress` is told, bit by bit, how many bytes of the file the rows that were read make up.
#[cfg_attr(not(feature = "columns"), expect(unused_variables))]
pub fn read_parquet(
    file: std::fs::File,
    name: &str,
    options: &DocumentOptions,
    progress: impl FnMut(u64) + 'static,
) -> Documents {
    #[cfg(feature = "columns")]
    return columns::read_parquet(file, name.to_owned(), options.clone(), progress);
    #[cfg(not(feature = "columns"))]
    without_columns(name)
}

#[cfg(not(feature = "columns"))]
fn without_columns(name: &str) -> Documents {
    let reason = "Parquet and Arrow need a build with the feature `columns`";
    Box::new(std::iter::once(Err(BadRecord::whole(name, reason))))
}

impl BadRecord {
    fn whole(input: &str, reason: impl Into<String>) -> Self {
        Self { input: input.to_owned(), line: None, reason: reason.into(), record: Vec::new() }
    }

    fn at(input: &str, line: usize, reason: impl Into<String>, record: impl Into<Vec<u8>>) -> Self {
        Self { input: input.to_owned(), line: Some(line), reason: reason.into(), record: record.into() }
    }
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
        read_with(DocumentOptions { format: Some(format), ..DocumentOptions::default() }, content)
    }

    pub(super) fn read_with(options: DocumentOptions, content: &[u8]) -> Vec<Result<Document, BadRecord>> {
        read_documents(Box::new(std::io::Cursor::new(content.to_vec())), "in", &options).collect()
    }

    /// Reads an input that comes in chunks of so many bytes.
    pub(super) fn read_by(
        chunk: usize,
        format: InputFormat,
        content: &[u8],
    ) -> Vec<Result<Document, BadRecord>> {
        let reader = std::io::BufReader::with_capacity(chunk, std::io::Cursor::new(content.to_vec()));
        let options = DocumentOptions { format: Some(format), ..DocumentOptions::default() };
        read_documents(Box::new(reader), "in", &options).collect()
    }

    pub(super) fn sentences(document: &Document) -> Vec<&str> {
        let spans = document.sentences().into_iter();
        spans.map(|span| span.of(&document.text).expect("a span of the text")).collect()
    }
}
