use crate::formats::FormatError;
use crate::labels::GoldSentence;
use std::path::Path;

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

impl Flaw {
    /// A record that is not what the format calls for.
    pub(super) fn malformed(line: usize, reason: impl Into<String>) -> Self {
        Self { line, kind: FlawKind::Malformed, reason: reason.into() }
    }

    /// A record without text.
    pub(super) fn empty_text(line: usize) -> Self {
        Self { line, kind: FlawKind::EmptyText, reason: "the text is empty".into() }
    }
}

// One flaw is often all there is to say: `?` then needs no more.
impl From<Flaw> for Vec<Flaw> {
    fn from(flaw: Flaw) -> Self {
        vec![flaw]
    }
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
