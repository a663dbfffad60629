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
    /// Windows of the encoder in which the sentence was read: more than one if it is longer than a window.
    pub windows: usize,
}

/// Probability that the least sure of a sentence's decisions is right: that of a label which was given, and what is left to 1 of
/// one which was not. Of exactly one label (softmax) it is that label's probability. 1 without labels.
pub fn confidence(scores: &[f32], given: impl Fn(usize) -> bool) -> f32 {
    let right = scores.iter().enumerate().map(|(label, &p)| if given(label) { p } else { 1.0 - p });
    right.fold(1.0, f32::min)
}

impl Prediction {
    /// Probability that the least sure of the decisions on labels is right; 1 if the sentence head did not run.
    pub fn confidence(&self) -> f32 {
        confidence(&self.scores, |label| self.labels.contains(&label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_as_sure_as_its_least_sure_label() {
        let prediction = Prediction { scores: vec![0.75, 0.125], labels: vec![0], ..Prediction::default() };
        assert_eq!(prediction.confidence(), 0.75);
        let none = Prediction { labels: vec![], ..prediction };
        assert_eq!(none.confidence(), 0.25);
        assert_eq!(Prediction::default().confidence(), 1.0);
    }
}
