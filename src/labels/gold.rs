use crate::text::Span;
use serde_json::{Map, Value};

/// An entity as an annotator marked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldEntity {
    /// Type (`PER`, `LOC`, ...).
    pub label: String,
    /// Where it stands, in bytes of the sentence.
    pub span: Span,
}

/// A sentence with the right answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GoldSentence {
    /// Article the sentence comes from; the unit of splits and of the bootstrap. `None` if unknown.
    pub article: Option<String>,
    /// The sentence itself.
    pub text: String,
    /// The corpus's own words, in bytes of `text`, for corpora that come pre-split (CoNLL).
    pub words: Option<Vec<Span>>,
    /// Stance (or any sentence) labels; `Some(vec![])` is annotated as "none", `None` is not annotated.
    pub labels: Option<Vec<String>>,
    /// Named entities in order; `None` is not annotated.
    pub entities: Option<Vec<GoldEntity>>,
    /// What else is known of it or of its article (source, date, domain), by name.
    pub fields: Map<String, Value>,
}
