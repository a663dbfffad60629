//! Streams of records; errors know their file and line.

mod documents;
mod labelled;
mod quotes;

pub use documents::{
    BadRecord, Document, DocumentOptions, Documents, InputFormat, Segmentation, TextEncoding,
    UnknownEncoding, read_documents, read_parquet,
};
pub(crate) use labelled::brat_documents;
pub use labelled::{
    BratWriter, Contents, Flaw, FlawKind, Labelled, LabelledFormat, LabelledOptions, LabelledSentences,
    LabelledWriter, Loss, Losses, WriteOptions, labelled_writer, read_labelled,
};

use std::path::PathBuf;

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
