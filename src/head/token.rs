use super::Transform;
use crate::encoder::Pass;
use crate::encoder::layers::{dropout, linear_by_row};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// Scores every token: dropout, then a linear classifier.
#[derive(Debug, Clone)]
pub struct TokenHead {
    transform: Option<Transform>,
    classifier: (Tensor, Tensor),
    dropout: f64,
}

impl TokenHead {
    /// Takes `weight`, `[labels, width]`, and `bias`, `[labels]`, from `classifier`; `transform` stands before it.
    ///
    /// # Errors
    /// If one is missing or mis-shaped.
    pub fn load(
        classifier: VarBuilder,
        transform: Option<Transform>,
        width: usize,
        labels: usize,
        dropout: f64,
    ) -> Result<Self> {
        let classifier = (classifier.get((labels, width), "weight")?, classifier.get(labels, "bias")?);
        Ok(Self { transform, classifier, dropout })
    }

    /// Logits, `[batch, tokens, labels]`, of encoder states `[batch, tokens, width]`.
    ///
    /// # Errors
    /// If the states are not as wide as the classifier.
    pub fn forward(&self, states: &Tensor, pass: &Pass) -> Result<Tensor> {
        let transformed = self.transform.as_ref().map(|transform| transform.forward(states)).transpose()?;
        let states = dropout(transformed.as_ref().unwrap_or(states), self.dropout, &pass.randomness)?;
        linear_by_row(&states, &self.classifier.0, &self.classifier.1)
    }
}
