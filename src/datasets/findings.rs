use crate::formats::FlawKind;
use serde::Serialize;
use std::borrow::Cow;

/// A sentence of a corpus by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which of the corpus's files, from 0.
    pub file: u32,
    /// Line that it begins on, from 1.
    pub line: u32,
    /// Which of the line's sentences, from 1; 0 for the line as a whole.
    pub sentence: u32,
}

/// Something that an audit found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What sort of thing.
    pub kind: FindingKind,
    /// Where; the first of several places for what concerns a label.
    pub place: Place,
    /// The earlier sentence that this one repeats or contradicts.
    pub other: Option<Place>,
    /// Jaccard similarity of the two texts, for near-duplicates.
    pub similarity: Option<f64>,
    /// What is wrong.
    pub reason: Cow<'static, str>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Wrong in itself, or makes scores wrong.
    Error,
    /// May be meant.
    Warning,
}

/// What sort of thing an audit can find; the worse before the less bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A file has no sentence in it.
    NoSentences,
    /// A record is not what its format calls for.
    Malformed,
    /// A sentence has no text.
    EmptyText,
    /// An entity lies outside the text, or another text stands at its offsets.
    Misaligned,
    /// Two entities share characters.
    Overlap,
    /// An entity begins or ends with white space.
    WhiteSpace,
    /// Two labels differ only in case, or in spaces, hyphens and underscores between letters.
    LabelClash,
    /// The very same text has other labels or entities elsewhere.
    Contradiction,
    /// An article has sentences in several splits.
    ArticleLeak,
    /// A text stands in several splits (whatever its case and punctuation).
    Leak,
    /// A text stands in several splits with a few words changed.
    NearLeak,
    /// A label is almost the name of a far more frequent one.
    LabelTypo,
    /// A label has too few examples to learn from.
    RareLabel,
    /// A label of one split is not in another.
    MissingLabel,
    /// Two records have the same article's name.
    RepeatedArticle,
    /// A text of a few words, such as a dateline, stands in several splits.
    PhraseLeak,
    /// A text stands in a split twice (whatever its case and punctuation).
    Duplicate,
    /// A text stands in a split twice with a few words changed.
    NearDuplicate,
}

impl FindingKind {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        if self < Self::LabelTypo { Severity::Error } else { Severity::Warning }
    }
}

impl From<FlawKind> for FindingKind {
    fn from(kind: FlawKind) -> Self {
        match kind {
            FlawKind::Malformed => Self::Malformed,
            FlawKind::EmptyText => Self::EmptyText,
            FlawKind::Misaligned => Self::Misaligned,
            FlawKind::Overlap => Self::Overlap,
            FlawKind::WhiteSpace => Self::WhiteSpace,
        }
    }
}
