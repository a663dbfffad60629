//! The layers of BERT (Devlin et al. 2019, arXiv 1810.04805), post-norm, as in HF `modeling_bert.py`, and of its relatives
//! ([`Family`](super::Family)), whose tensors go by BERT's names here.

use super::config::HiddenAct;
use super::layers::{attention, dropout_add, gelu};
use super::modules::{Linear, Norm};
use super::relative::{DistanceProjections, Prepared, Relative};
use super::{EncoderConfig, Pass};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// All layers, and what they share.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    relative: Relative,
    /// Those with weights of their own.
    layers: Vec<Layer>,
}

impl Layers {
    pub(super) fn load(vb: &VarBuilder, config: &EncoderConfig) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let layer = |i: usize| -> Result<Layer> {
            let vb = vb.pp("encoder.layer").pp(i);
            Ok(Layer {
                query: Linear::load(vb.pp("attention.self.query"), width, width)?,
                key: Linear::load(vb.pp("attention.self.key"), width, width)?,
                value: Linear::load(vb.pp("attention.self.value"), width, width)?,
                distances: DistanceProjections::load(&vb, config)?,
                attention_output: Linear::load(vb.pp("attention.output.dense"), width, width)?,
                attention_norm: Norm::load(vb.pp("attention.output.LayerNorm"), width)?,
                intermediate: Linear::load(vb.pp("intermediate.dense"), width, inner)?,
                output: Linear::load(vb.pp("output.dense"), inner, width)?,
                output_norm: Norm::load(vb.pp("output.LayerNorm"), width)?,
            })
        };
        Ok(Self {
            relative: Relative::load(vb, config)?,
            layers: (0..config.distinct_layers).map(layer).collect::<Result<_>>()?,
        })
    }

    /// `[batch, tokens, width]` in and out.
    pub(super) fn forward(
        &self,
        mut states: Tensor,
        lengths: &[usize],
        config: &EncoderConfig,
        pass: &Pass,
    ) -> Result<Tensor> {
        let relative = self.relative.prepare(states.dim(1)?, config)?;
        for layer in &self.layers {
            for _ in 0..config.repeats {
                states = layer.forward(&states, lengths, &relative, config, pass)?;
            }
        }
        Ok(states)
    }
}

#[derive(Debug, Clone)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    distances: DistanceProjections,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
}

impl Layer {
    /// `[batch, tokens, width]` in and out.
    fn forward(
        &self,
        x: &Tensor,
        lengths: &[usize],
        relative: &Prepared,
        config: &EncoderConfig,
        pass: &Pass,
    ) -> Result<Tensor> {
        let randomness = &pass.randomness;
        let (q, k, v) =
            (self.query.forward(x, pass)?, self.key.forward(x, pass)?, self.value.forward(x, pass)?);
        let projections = [&self.query, &self.key];
        let (q, bias) = self.distances.apply(&q, &k, projections, relative, config, pass)?;
        let heads = config.num_attention_heads;
        let p = config.attention_probs_dropout_prob;
        let mixed = attention([&q, &k, &v], lengths, heads, bias.as_ref(), p, randomness)?;
        let attended = self.attention_output.forward(&mixed, pass)?;
        let attended = dropout_add(&attended, x, config.hidden_dropout_prob, randomness)?;
        let attended = self.attention_norm.forward(&attended, config)?;
        let inner = self.intermediate.forward(&attended, pass)?;
        let inner = match config.hidden_act {
            HiddenAct::Gelu => gelu(&inner)?,
            HiddenAct::GeluTanh => inner.gelu()?, // candle's own is the tanh form
            HiddenAct::Relu => inner.relu()?,
        };
        let output = self.output.forward(&inner, pass)?;
        let output = dropout_add(&output, &attended, config.hidden_dropout_prob, randomness)?;
        self.output_norm.forward(&output, config)
    }
}
