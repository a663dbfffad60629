use crate::encoder::EncoderConfig;
use crate::encoder::layers::{Precision, gelu, layer_norm, linear};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// A dense layer, GELU and a norm before a classifier, as in HF `ModernBertPredictionHead`.
#[derive(Debug, Clone)]
pub struct Transform {
    dense: (Tensor, Tensor),
    norm: (Tensor, Tensor),
    epsilon: f64,
}

impl Transform {
    /// Takes `dense.weight` and `norm.weight`, and the biases that the configuration says there are.
    ///
    /// # Errors
    /// If a tensor is missing or mis-shaped.
    pub fn load(vb: VarBuilder, config: &EncoderConfig) -> Result<Self> {
        let width = config.hidden_size;
        let bias = |name: &str, there: bool| match there {
            true => vb.get(width, name),
            false => Tensor::zeros(width, vb.dtype(), vb.device()),
        };
        let dense_bias = config.modern.as_ref().is_some_and(|modern| modern.classifier_bias);
        Ok(Self {
            dense: (vb.get((width, width), "dense.weight")?, bias("dense.bias", dense_bias)?),
            norm: (vb.get(width, "norm.weight")?, bias("norm.bias", config.norm_bias)?),
            epsilon: config.layer_norm_eps,
        })
    }

    /// `[.., width]` in and out.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dense = gelu(&linear(x, &self.dense.0, &self.dense.1, Precision::F32)?)?;
        layer_norm(&dense, &self.norm.0, &self.norm.1, self.epsilon)
    }
}
