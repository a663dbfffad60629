//! Documents of brat: a text, and its marks in a file of their own.

mod document;
mod read;
mod write;

pub(crate) use read::documents;
pub(super) use read::read;
pub use write::BratWriter;

/// Type of the text-bound annotations that mark sentences with labels.
const SENTENCE: &str = "Sentence";
/// Type of those that mark sentences that are not annotated for labels.
const SEGMENT: &str = "Segment";

/// A text as it stands in an annotation: on one line.
fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], " ")
}
