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
        let bias = |name: &str| match Self::tensors(config).any(|(there, _)| there == name) {
            true => vb.get(width, name),
            false => Tensor::zeros(width, vb.dtype(), vb.device()),
        };
        Ok(Self {
            dense: (vb.get((width, width), "dense.weight")?, bias("dense.bias")?),
            norm: (vb.get(width, "norm.weight")?, bias("norm.bias")?),
            epsilon: config.layer_norm_eps,
        })
    }

    /// Names and shapes of its tensors.
    pub fn tensors(config: &EncoderConfig) -> impl Iterator<Item = (&'static str, Vec<usize>)> {
        let width = config.hidden_size;
        let dense_bias = config.modern.as_ref().is_some_and(|modern| modern.classifier_bias);
        let all = [
            (true, "dense.weight", vec![width, width]),
            (dense_bias, "dense.bias", vec![width]),
            (true, "norm.weight", vec![width]),
            (config.norm_bias, "norm.bias", vec![width]),
        ];
        all.into_iter().filter(|(there, ..)| *there).map(|(_, name, shape)| (name, shape))
    }

    /// `[.., width]` in and out.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dense = gelu(&linear(x, &self.dense.0, &self.dense.1, Precision::F32)?)?;
        layer_norm(&dense, &self.norm.0, &self.norm.1, self.epsilon)
    }
}
