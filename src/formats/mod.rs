//! Streams of records; errors know their file and line.

mod articles;
mod conll;
mod documents;
mod sentences;

pub use articles::read_articles;
pub use conll::read_conll;
pub use documents::{BadRecord, Document, DocumentOptions, Documents, InputFormat, read_documents};
pub use sentences::read_sentences;

use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file itself cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not what the format calls for.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

/// The lines of a file with their numbers from 1, without line ends and without a byte-order mark.
pub(crate) fn lines(
    path: &Path,
) -> Result<impl Iterator<Item = Result<(usize, String), FormatError>>, FormatError> {
    let fail = |source| FormatError::File { path: path.to_owned(), source };
    let mut reader = std::io::BufReader::new(std::fs::File::open(path).map_err(fail)?);
    let path = path.to_owned();
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        number += 1;
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => Some(text_line(&path, number, bytes)),
            Err(source) => Some(Err(FormatError::File { path: path.clone(), source })),
        }
    }))
}

fn text_line(path: &Path, number: usize, mut bytes: Vec<u8>) -> Result<(usize, String), FormatError> {
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).map_err(|e| FormatError::Line {
        path: path.to_owned(),
        line: number,
        reason: format!(
            "byte {} is not UTF-8; convert the file, e.g. with `iconv -t utf-8`",
            e.utf8_error().valid_up_to()
        ),
    })?;
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) if number == 1 => rest.to_owned(),
        _ => text,
    };
    Ok((number, text))
}

#[cfg(test)]
pub(crate) mod testing {
    /// A file with the given content, and its path.
    pub(crate) fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data");
        std::fs::write(&path, content).expect("a written file");
        (folder, path)
    }
}
