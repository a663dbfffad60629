//! The last layer: token states in, logits out, and the activation that turns logits into probabilities.

mod pooling;
mod sentence;
mod token;
mod transform;

pub use pooling::{Pooling, mean_pool};
pub use sentence::{SentenceHead, SentenceHeadTensors};
pub use token::TokenHead;
pub use transform::Transform;

use serde::{Deserialize, Serialize};

/// How logits become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Each label on its own: none, one or several apply.
    Sigmoid,
    /// The labels share 1: exactly one applies.
    Softmax,
}

impl Activation {
    /// Probabilities (0 to 1) from the logits of one sentence or token; empty for none.
    pub fn apply(self, logits: &[f32]) -> Vec<f32> {
        match self {
            Activation::Sigmoid => logits.iter().map(|&x| 1.0 / (1.0 + (-x).exp())).collect(),
            Activation::Softmax => {
                let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f32> = logits.iter().map(|&x| (x - top).exp()).collect();
                let total: f32 = powers.iter().sum();
                powers.into_iter().map(|p| p / total).collect()
            }
        }
    }

    /// The labels that apply, ascending: under sigmoid those at or above their thresholds, under softmax the likeliest.
    pub fn decide(self, scores: &[f32], thresholds: &[f32]) -> Vec<usize> {
        match self {
            Activation::Sigmoid => (0..scores.len()).filter(|&i| scores[i] >= thresholds[i]).collect(),
            Activation::Softmax => likeliest(scores).into_iter().collect(),
        }
    }
}

/// The first of the largest; `None` where there is none.
pub(crate) fn likeliest(scores: &[f32]) -> Option<usize> {
    (0..scores.len()).reduce(|best, i| if scores[i] > scores[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_survives_extreme_logits() {
        let p = Activation::Softmax.apply(&[-1000.0, 0.0, 1000.0]);
        assert_eq!(p, [0.0, 0.0, 1.0]);
        assert!(Activation::Softmax.apply(&[]).is_empty());
    }

    #[test]
    fn sigmoid_treats_labels_apart() {
        assert_eq!(Activation::Sigmoid.apply(&[0.0, 100.0]), [0.5, 1.0]);
    }

    #[test]
    fn a_threshold_is_met_at_equality_and_softmax_has_one_winner() {
        assert_eq!(Activation::Sigmoid.decide(&[0.5, 0.4, 0.9], &[0.5, 0.5, 0.5]), [0, 2]);
        assert_eq!(Activation::Softmax.decide(&[0.4, 0.4, 0.2], &[0.5; 3]), [0]);
        assert!(Activation::Softmax.decide(&[], &[]).is_empty());
    }
}
