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
}
