//! Files by lines, for the formats that keep a record a line.

use super::{Flaw, Labelled};
use crate::formats::FormatError;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A line and its number from 1.
pub(super) struct Line {
    pub(super) number: usize,
    /// The line without its end and without a byte-order mark; what is wrong where it is not UTF-8.
    pub(super) text: Result<String, Flaw>,
}

/// The lines of a file.
pub(super) fn lines(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Line, FormatError>> + use<>, FormatError> {
    let fail = |source| FormatError::File { path: path.to_owned(), source };
    let mut reader = BufReader::new(std::fs::File::open(path).map_err(fail)?);
    let path = path.to_owned();
    let (mut number, mut over) = (0, false);
    Ok(std::iter::from_fn(move || {
        // A file that cannot be read now could be asked for ever.
        if over {
            return None;
        }
        let mut bytes = Vec::new();
        number += 1;
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => Some(Ok(Line { number, text: text_line(number, bytes) })),
            Err(source) => {
                over = true;
                Some(Err(FormatError::File { path: path.clone(), source }))
            }
        }
    }))
}

fn text_line(number: usize, mut bytes: Vec<u8>) -> Result<String, Flaw> {
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| Flaw::malformed(number, not_utf8(e.utf8_error().valid_up_to())))?;
    match text.strip_prefix('\u{feff}') {
        Some(rest) if number == 1 => Ok(rest.to_owned()),
        _ => Ok(text),
    }
}

/// What is wrong with bytes that are no text, and the remedy.
pub(super) fn not_utf8(byte: usize) -> String {
    format!("byte {byte} is not UTF-8; convert the file, e.g. with `iconv -t utf-8`")
}

/// The sentences of a file that has one record a line; blank lines are passed over.
pub(super) fn records(
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

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(unix)]
    fn a_file_that_cannot_be_read_ends_with_that() {
        let folder = tempfile::tempdir().unwrap();
        let read: Vec<bool> = super::lines(folder.path()).unwrap().take(3).map(|line| line.is_ok()).collect();
        assert_eq!(read, [false]);
    }
}
