use super::Span;

/// A named entity found in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Type, as the model names it (`PER`, `LOC`, ...).
    pub label: String,
    /// Where it stands, in bytes of the text it was found in.
    pub span: Span,
    /// Confidence, a probability from 0 to 1.
    pub score: f32,
}
