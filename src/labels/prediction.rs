use crate::text::Entity;

/// What a model says of one sentence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prediction {
    /// Logit per label, in the order of the model's labels, before the temperature; empty if the sentence head did not run.
    pub logits: Vec<f32>,
    /// Probability per label, in the order of the model's labels; empty if the sentence head did not run.
    pub scores: Vec<f32>,
    /// Indices of the labels that apply (at or above their thresholds), ascending.
    pub labels: Vec<usize>,
    /// Entities in order of appearance, spans in bytes of the sentence; `None` if the token head did not run.
    pub entities: Option<Vec<Entity>>,
    /// One BIO tag per word, in the order of the words given (or of the engine's own); empty if the token head did not run.
    pub tags: Vec<String>,
    /// Tokens of the sentence, special ones not counted.
    pub tokens: usize,
    /// Those of them that the model's vocabulary lacks (`[UNK]`).
    pub unknown_tokens: usize,
}
