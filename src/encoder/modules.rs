//! Layers with the tensors they load.

use super::layers::{Precision, layer_norm, linear};
use super::{EncoderConfig, Pass};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// A linear layer as torch keeps it.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl Linear {
    pub(super) fn load(vb: VarBuilder, inputs: usize, outputs: usize) -> Result<Self> {
        Self::load_with(vb, inputs, outputs, true)
    }

    /// Without a bias it adds zeros.
    pub(super) fn load_with(vb: VarBuilder, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        Ok(Self { weight: vb.get((outputs, inputs), "weight")?, bias: bias_or_zeros(&vb, outputs, bias)? })
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.forward_in(x, pass.precision)
    }

    pub(super) fn forward_in(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        linear(x, &self.weight, &self.bias, precision)
    }
}

/// A layer norm.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    pub(super) gamma: Tensor,
    pub(super) beta: Tensor,
}

impl Norm {
    pub(super) fn load(vb: VarBuilder, width: usize) -> Result<Self> {
        Self::load_with(vb, width, true)
    }

    /// Without a bias it adds zeros.
    pub(super) fn load_with(vb: VarBuilder, width: usize, bias: bool) -> Result<Self> {
        Ok(Self { gamma: vb.get(width, "weight")?, beta: bias_or_zeros(&vb, width, bias)? })
    }

    pub(super) fn forward(&self, x: &Tensor, config: &EncoderConfig) -> Result<Tensor> {
        layer_norm(x, &self.gamma, &self.beta, config.layer_norm_eps)
    }
}

fn bias_or_zeros(vb: &VarBuilder, width: usize, bias: bool) -> Result<Tensor> {
    if bias { vb.get(width, "bias") } else { Tensor::zeros(width, vb.dtype(), vb.device()) }
}
