//! Labelled sentences in the forms that people keep them in, as streams that outlive a bad record.

mod articles;
mod conll;
mod sentences;
mod spans;

use super::FormatError;
use crate::labels::GoldSentence;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// How a labelled file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelledFormat {
    /// An article a line (JSONL): `{"id", "sentences": [{"text", "stance": [], "entities": [{"start", "end", "label",
    /// "text"}]}]}`, offsets in code points of the sentence; other fields are those of the article.
    Articles,
    /// A sentence a line (JSONL): `{"text", "stance": []}`, where `stance` may also be called `labels` or `label` and be a
    /// single string, with an optional `article` and optional `entities` as in articles.
    Sentences,
    /// A word a line and, as the last column, its tag, separated by tabs or spaces; a blank line between sentences. IOB1,
    /// IOB2 and BIOES tags are understood. The text of a sentence is its words joined by single spaces; a `-DOCSTART-`
    /// line begins an article.
    Conll,
}

impl LabelledFormat {
    /// The format of a file, from the first line with something on it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn detect(path: &Path) -> Result<Self, FormatError> {
        let line = first_line(path).map_err(|source| FormatError::File { path: path.to_owned(), source })?;
        Ok(match line.trim_start_matches('\u{feff}').trim_start() {
            line if !line.starts_with('{') => Self::Conll,
            line if line.contains("\"sentences\"") => Self::Articles,
            _ => Self::Sentences,
        })
    }
}

/// A sentence of a labelled file, or what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// Line that it begins on, from 1.
    pub line: usize,
    /// The sentence, if nothing is wrong.
    pub sentence: Result<GoldSentence, Vec<Flaw>>,
}

impl Labelled {
    /// The sentence, or an error that names the file and the first line with something wrong.
    ///
    /// # Errors
    /// If something is wrong with it.
    pub fn gold(self, path: &Path) -> Result<GoldSentence, FormatError> {
        self.sentence.map_err(|flaws| {
            let line = flaws.first().map_or(self.line, |flaw| flaw.line);
            let reasons: Vec<String> =
                flaws.into_iter().filter(|flaw| flaw.line == line).map(|flaw| flaw.reason).collect();
            FormatError::Line { path: path.to_owned(), line, reason: reasons.join("; ") }
        })
    }
}

/// Something wrong with a labelled sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Line, from 1.
    pub line: usize,
    /// What sort of thing.
    pub kind: FlawKind,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// What sort of thing can be wrong with a labelled sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlawKind {
    /// The record is not what the format calls for.
    Malformed,
    /// There is no text.
    EmptyText,
    /// An entity lies outside the text, or another text stands at its offsets.
    Misaligned,
    /// Two entities share characters.
    Overlap,
    /// An entity begins or ends with white space.
    WhiteSpace,
}

/// The sentences of a labelled file in order. An error ends the stream: the file can be read no further.
pub type LabelledSentences = Box<dyn Iterator<Item = Result<Labelled, FormatError>>>;

/// Reads a labelled file, sentence by sentence.
///
/// # Errors
/// If the file cannot be opened. What is wrong with a sentence stands in its place in the stream.
pub fn read_labelled(path: &Path, format: LabelledFormat) -> Result<LabelledSentences, FormatError> {
    let lines = lines(path)?;
    Ok(match format {
        LabelledFormat::Articles => Box::new(articles::read(lines)),
        LabelledFormat::Sentences => Box::new(sentences::read(lines)),
        LabelledFormat::Conll => Box::new(conll::read(lines)),
    })
}

/// A line and its number from 1.
struct Line {
    number: usize,
    /// The line without its end and without a byte-order mark; what is wrong where it is not UTF-8.
    text: Result<String, Flaw>,
}

/// The lines of a file.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<Line, FormatError>> + use<>, FormatError> {
    let fail = |source| FormatError::File { path: path.to_owned(), source };
    let mut reader = BufReader::new(std::fs::File::open(path).map_err(fail)?);
    let path = path.to_owned();
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        number += 1;
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => Some(Ok(Line { number, text: text_line(number, bytes) })),
            Err(source) => Some(Err(FormatError::File { path: path.clone(), source })),
        }
    }))
}

fn text_line(number: usize, mut bytes: Vec<u8>) -> Result<String, Flaw> {
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let reason = format!(
            "byte {} is not UTF-8; convert the file, e.g. with `iconv -t utf-8`",
            e.utf8_error().valid_up_to()
        );
        Flaw { line: number, kind: FlawKind::Malformed, reason }
    })?;
    match text.strip_prefix('\u{feff}') {
        Some(rest) if number == 1 => Ok(rest.to_owned()),
        _ => Ok(text),
    }
}

/// The sentences of a file that has one record a line; blank lines are passed over.
fn records(
    lines: impl Iterator<Item = Result<Line, FormatError>>,
    mut parse: impl FnMut(usize, &str) -> Vec<Labelled>,
) -> impl Iterator<Item = Result<Labelled, FormatError>> {
    lines.flat_map(move |line| match line {
        Err(error) => vec![Err(error)],
        Ok(Line { number, text: Err(flaw) }) => {
            vec![Ok(Labelled { line: number, sentence: Err(vec![flaw]) })]
        }
        Ok(Line { text: Ok(text), .. }) if text.trim().is_empty() => Vec::new(),
        Ok(Line { number, text: Ok(text) }) => parse(number, &text).into_iter().map(Ok).collect(),
    })
}

fn first_line(path: &Path) -> std::io::Result<String> {
    let mut reader = BufReader::new(std::fs::File::open(path)?);
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(String::new());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.trim().is_empty() {
            return Ok(line);
        }
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    /// The sentences of a file with the given content, which is called `data`.
    pub(super) fn read(
        format: LabelledFormat,
        content: impl AsRef<[u8]>,
    ) -> Result<Vec<GoldSentence>, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data");
        std::fs::write(&path, content).expect("a written file");
        let sentences = read_labelled(&path, format).expect("a file that is there");
        let gold = sentences.map(|labelled| labelled.and_then(|labelled| labelled.gold(&path)));
        gold.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_past_a_bad_record() {
        let content: &[u8] =
            b"{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"\xff\"}\n{\n{\"text\":\"b\",\"stance\":[]}\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, content).unwrap();
        let read: Vec<Labelled> =
            read_labelled(&path, LabelledFormat::Sentences).unwrap().collect::<Result<_, _>>().unwrap();
        let lines: Vec<(usize, bool)> = read.iter().map(|l| (l.line, l.sentence.is_ok())).collect();
        assert_eq!(lines, [(1, true), (2, false), (3, false), (4, true)]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let error =
            testing::read(LabelledFormat::Sentences, b"{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"\xff\"}");
        assert!(error.unwrap_err().contains("data:2: byte 9 is not UTF-8"));
    }
}
