use super::Transform;
use super::pooling::{Pooling, mean_pool};
use crate::encoder::layers::{dropout, gelu, linear_by_row};
use crate::encoder::{Pass, Sequences};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// Scores a whole sentence: pooling, then a linear classifier.
#[derive(Debug, Clone)]
pub struct SentenceHead {
    pooling: Pooling,
    pooler: Option<(Tensor, Tensor)>,
    transform: Option<Transform>,
    classifier: (Tensor, Tensor),
    dropout: f64,
}

/// Where the tensors of a sentence head are, and how large they must be.
pub struct SentenceHeadTensors<'a> {
    /// Builder that has `weight` and `bias` of the classifier.
    pub classifier: VarBuilder<'a>,
    /// Builder that has `weight` and `bias` of the pooler's dense layer; read where the pooling [has one](Pooling::has_dense).
    pub pooler: VarBuilder<'a>,
    /// What stands between pooling and classifier, if anything does.
    pub transform: Option<Transform>,
    /// Width of the encoder.
    pub width: usize,
    /// Number of labels.
    pub labels: usize,
}

impl SentenceHead {
    /// Takes the head's tensors.
    ///
    /// # Errors
    /// If one is missing or mis-shaped.
    pub fn load(tensors: SentenceHeadTensors, pooling: Pooling, dropout: f64) -> Result<Self> {
        let SentenceHeadTensors { classifier, pooler, transform, width, labels } = tensors;
        let pooler = match pooling.has_dense() {
            true => Some((pooler.get((width, width), "weight")?, pooler.get(width, "bias")?)),
            false => None,
        };
        let classifier = (classifier.get((labels, width), "weight")?, classifier.get(labels, "bias")?);
        Ok(Self { pooling, pooler, transform, classifier, dropout })
    }

    /// Logits, `[batch, labels]`, of encoder states `[batch, tokens, width]`.
    ///
    /// # Errors
    /// If the states do not belong to the sequences.
    pub fn forward(&self, states: &Tensor, sequences: &Sequences, pass: &Pass) -> Result<Tensor> {
        let pooled = match &self.pooler {
            None if self.pooling == Pooling::First => states.narrow(1, 0, 1)?.squeeze(1)?,
            None => mean_pool(states, &sequences.mask(states.dtype())?)?,
            Some((weight, bias)) => {
                let dense = linear_by_row(&states.narrow(1, 0, 1)?.squeeze(1)?, weight, bias)?;
                match self.pooling {
                    Pooling::PoolerGelu => gelu(&dense)?,
                    Pooling::PoolerRelu => dense.relu()?,
                    Pooling::Pooler | Pooling::Mean | Pooling::First => dense.tanh()?,
                }
            }
        };
        let pooled = match &self.transform {
            Some(transform) => transform.forward(&pooled)?,
            None => pooled,
        };
        let pooled = dropout(&pooled, self.dropout, &pass.randomness)?;
        linear_by_row(&pooled, &self.classifier.0, &self.classifier.1)
    }
}
