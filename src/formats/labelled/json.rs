//! JSON records, a line each or in one array that is read element by element.

use super::lines::{Line, lines};
use super::unique::Unique;
use super::{Flaw, Labelled, LabelledSentences};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use serde::Deserialize;
use serde_json::{Deserializer, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A record and the line that it begins on.
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) value: Result<Value, Flaw>,
}

pub(super) type Entries = Box<dyn Iterator<Item = Result<Entry, FormatError>>>;

/// The records of a file: the elements of its array if it is one, else its lines.
pub(super) fn entries(path: &Path) -> Result<Entries, FormatError> {
    let fail = |source| FormatError::File { path: path.to_owned(), source };
    let mut array = Array::open(path).map_err(fail)?;
    if array.begins().map_err(fail)? {
        return Ok(Box::new(array));
    }
    let records = lines(path)?.filter_map(|line| match line {
        Err(error) => Some(Err(error)),
        Ok(Line { number: line, text: Err(flaw) }) => Some(Ok(Entry { line, value: Err(flaw) })),
        Ok(Line { text: Ok(text), .. }) if text.trim().is_empty() => None,
        Ok(Line { number: line, text: Ok(text) }) => {
            let value = serde_json::from_str(&text).map(|Unique(value)| value);
            let value = value.map_err(|e| Flaw::malformed(line, format!("not a JSON record: {e}")));
            Some(Ok(Entry { line, value }))
        }
    });
    Ok(Box::new(records))
}

/// The sentences of a file of JSON records. `parse` gives `None` for a record that the annotator passed over.
pub(super) fn sentences(
    path: &Path,
    mut parse: impl FnMut(usize, Value) -> Result<Option<GoldSentence>, Vec<Flaw>> + 'static,
) -> Result<LabelledSentences, FormatError> {
    Ok(Box::new(entries(path)?.filter_map(move |entry| match entry {
        Err(error) => Some(Err(error)),
        Ok(Entry { line, value }) => {
            let sentence = value.map_err(Vec::from).and_then(|value| parse(line, value)).transpose()?;
            Some(Ok(Labelled { line, sentence }))
        }
    })))
}

/// A JSON array whose elements are parsed one after the other.
struct Array {
    path: PathBuf,
    reader: BufReader<File>,
    line: usize,
    begun: bool,
    over: bool,
}

impl Array {
    fn open(path: &Path) -> std::io::Result<Self> {
        let reader = BufReader::new(File::open(path)?);
        Ok(Self { path: path.to_owned(), reader, line: 1, begun: false, over: false })
    }

    /// True if the file is an array of records, of which the opening bracket is then read. A line that is a pair of a
    /// text and its marks begins with a bracket too, but with a text behind it.
    fn begins(&mut self) -> std::io::Result<bool> {
        if self.reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            self.reader.consume(3);
        }
        if self.peek()? != Some(b'[') {
            return Ok(false);
        }
        self.reader.consume(1);
        Ok(matches!(self.peek()?, Some(b'{' | b'[' | b']')))
    }

    /// The next byte that is no white space; it stays unread.
    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf()?.first() {
                Some(&byte) if byte.is_ascii_whitespace() => {
                    self.line += usize::from(byte == b'\n');
                    self.reader.consume(1);
                }
                other => return Ok(other.copied()),
            }
        }
    }

    fn element(&mut self) -> Result<Option<Entry>, FormatError> {
        let path = self.path.clone();
        let fail = |source| FormatError::File { path: path.clone(), source };
        let broken = |line, reason: String| FormatError::Line { path: path.clone(), line, reason };
        let mut next = self.peek().map_err(fail)?;
        if self.begun && next == Some(b',') {
            self.reader.consume(1);
            next = self.peek().map_err(fail)?;
        } else if self.begun && next != Some(b']') {
            return Err(broken(self.line, "the array goes on without a comma, or is cut off".into()));
        }
        if next == Some(b']') {
            self.reader.consume(1);
            if self.peek().map_err(fail)?.is_none() {
                return Ok(None);
            }
            let reason = "the array has ended and something stands behind it; give a file one array, or a record a line";
            return Err(broken(self.line, reason.into()));
        }
        self.begun = true;
        let line = self.line;
        let counting = Counting { reader: &mut self.reader, lines: &mut self.line };
        match Unique::deserialize(&mut Deserializer::from_reader(counting)) {
            Ok(Unique(value)) => Ok(Some(Entry { line, value: Ok(value) })),
            Err(error) => {
                // serde's own place counts from the start of the element.
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default();
                Err(broken(self.line, format!("not JSON: {reason}; the record begins on line {line}")))
            }
        }
    }
}

impl Iterator for Array {
    type Item = Result<Entry, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let element = self.element().transpose();
        self.over = !matches!(element, Some(Ok(_)));
        element
    }
}

/// Counts the lines that are read.
struct Counting<'a> {
    reader: &'a mut BufReader<File>,
    lines: &'a mut usize,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        *self.lines += buffer[..count].iter().filter(|&&byte| byte == b'\n').count();
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(content: &str) -> Vec<Result<(usize, Value), String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, content).unwrap();
        let entries = entries(&path).unwrap();
        let read = entries.map(|entry| match entry {
            Ok(Entry { line, value }) => value.map(|value| (line, value)).map_err(|flaw| flaw.reason),
            Err(error) => Err(error.to_string()),
        });
        read.collect()
    }

    #[test]
    fn the_elements_of_an_array_know_their_lines() {
        let content = "\u{feff}\n[\n  {\"a\":\n \"]},\"},\r\n [\"x\", {}] , 3\n]\n";
        let read: Vec<(usize, Value)> = read(content).into_iter().take(2).map(Result::unwrap).collect();
        assert_eq!(read, [(3, json!({"a": "]},"})), (5, json!(["x", {}]))]);
        assert!(super::tests::read("[]").is_empty() && super::tests::read(" [ ] ").is_empty());
    }

    #[test]
    fn a_broken_array_ends_with_its_place() {
        let read = read("[{\"a\":1},\n\n{\"b\":\n}]");
        assert!(read[0].is_ok());
        let error = read[1].as_ref().unwrap_err();
        assert!(error.contains("data:4: not JSON: expected value; the record begins on line 3"), "{error}");
        assert_eq!(read.len(), 2);
        let cut = super::tests::read("[{\"a\":1}");
        assert!(
            cut[1].as_ref().unwrap_err().contains("data:1: the array goes on without a comma, or is cut off")
        );
    }

    #[test]
    fn what_stands_behind_an_array_is_not_passed_over() {
        let read = read("[{\"a\":1}]\n[{\"b\":2}]\n");
        assert!(read[0].is_ok() && read.len() == 2);
        let error = read[1].as_ref().unwrap_err();
        assert!(error.contains("data:2: the array has ended and something stands behind it"), "{error}");
    }

    #[test]
    fn a_name_that_stands_twice_in_a_record_is_told() {
        for (content, line) in [
            ("{\"label\":\"x\",\"label\":\"y\"}\n", ""),
            ("[\n{\"label\":\"x\",\"label\":\"y\"}]", "data:2: "),
        ] {
            let error = read(content).remove(0).unwrap_err();
            assert!(error.contains("`label` stands twice") && error.contains(line), "{error}");
        }
    }

    #[test]
    fn a_line_that_is_a_list_is_a_record() {
        assert_eq!(read("[\"a\", {}]\n\n[\"b\", {}]\n").len(), 2);
        assert!(read("{}\n{\n")[1].as_ref().unwrap_err().contains("not a JSON record"));
    }
}
