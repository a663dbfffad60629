//! BERT for inference on the CPU: sequences end to end without padding, and weights repacked once.

use super::bert::{Layer, Layers};
use super::config::{HiddenAct, RelativeAttention};
use super::embeddings::Embeddings;
use super::layers::Precision;
use super::modules::{Linear, Norm};
use super::{EncoderConfig, Sequences};
use crate::kernels::packed::{Finish, Kind, Operand, Weights};
use crate::kernels::{attention, norm};
use candle_core::{Result, Tensor};
use std::cell::RefCell;

/// The layers of an encoder, repacked.
#[derive(Debug, Clone)]
pub(super) struct PackedLayers {
    /// Embeddings to states, where they differ in width.
    projection: Option<Weights>,
    layers: Vec<PackedLayer>,
    repeats: usize,
    heads: usize,
    eps: f32,
    act: HiddenAct,
}

#[derive(Debug, Clone)]
struct PackedLayer {
    /// Queries, keys and values of a token side by side.
    qkv: Weights,
    attention_output: Weights,
    attention_norm: PackedNorm,
    intermediate: Weights,
    output: Weights,
    output_norm: PackedNorm,
}

#[derive(Debug, Clone)]
struct PackedNorm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

/// Rows of the feed-forward block that are computed together: their inner states stay in the second-level cache.
const BLOCK: usize = 64;

/// Buffers reused from batch to batch.
#[derive(Default)]
struct Arena {
    states: Vec<f32>,
    qkv: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    output: Vec<f32>,
    operand: Operand,
    attention: attention::Inference,
}

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::default();
}

impl PackedLayers {
    /// Repacks the layers; `None` if the kernels cannot compute them.
    pub(super) fn new(
        embeddings: &Embeddings,
        layers: &Layers,
        config: &EncoderConfig,
        precision: Precision,
    ) -> Result<Option<Self>> {
        let kind = match precision {
            Precision::F32 => Kind::F32,
            Precision::Bf16 => Kind::Bf16,
            Precision::Int8 => Kind::Int8,
        };
        if config.relative != RelativeAttention::None
            || config.intermediate_size.max(config.hidden_size) > kind.most_inputs()
        {
            return Ok(None);
        }
        Ok(Some(Self {
            projection: embeddings.projection().map(|linear| packed(&[linear], kind)).transpose()?,
            layers: layers.layers.iter().map(|layer| PackedLayer::new(layer, kind)).collect::<Result<_>>()?,
            repeats: config.repeats,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps as f32,
            act: config.hidden_act,
        }))
    }

    /// `[batch, tokens, width]`, the states of padding being zeros.
    pub(super) fn forward(
        &self,
        embeddings: &Embeddings,
        sequences: &Sequences,
        config: &EncoderConfig,
    ) -> Result<Tensor> {
        let (batch, tokens) = sequences.ids.dims2()?;
        let (lengths, width) = (&sequences.lengths, config.hidden_size);
        let out = ARENA.with_borrow_mut(|arena| {
            embeddings.ragged(sequences, config, &mut arena.states)?;
            if let Some(projection) = &self.projection {
                let rows = lengths.iter().sum();
                arena.output.resize(rows * width, 0.0);
                projection.apply(&arena.states, rows, Finish::Nothing, &mut arena.operand, &mut arena.output);
                std::mem::swap(&mut arena.states, &mut arena.output);
            }
            for layer in &self.layers {
                for _ in 0..self.repeats {
                    self.layer(layer, lengths, width, arena);
                }
            }
            let mut out = vec![0.0; batch * tokens * width];
            let mut from = 0;
            for (row, &length) in out.chunks_exact_mut((tokens * width).max(1)).zip(lengths) {
                row[..length * width].copy_from_slice(&arena.states[from..][..length * width]);
                from += length * width;
            }
            Ok::<_, candle_core::Error>(out)
        })?;
        Tensor::from_vec(out, (batch, tokens, width), sequences.ids.device())
    }

    fn layer(&self, layer: &PackedLayer, lengths: &[usize], width: usize, arena: &mut Arena) {
        let Arena { states, qkv, mixed, inner, output, operand, attention } = arena;
        let tokens = states.len() / width;
        qkv.resize(tokens * 3 * width, 0.0);
        mixed.resize(tokens * width, 0.0);
        output.resize(tokens * width, 0.0);
        layer.qkv.apply(states, tokens, Finish::Nothing, operand, qkv);
        let mut first = 0;
        for &length in lengths {
            attention::infer(
                self.heads,
                length,
                &qkv[first * 3 * width..],
                attention,
                &mut mixed[first * width..][..length * width],
            );
            first += length;
        }
        layer.attention_output.apply(mixed, tokens, Finish::Add(states), operand, output);
        layer.attention_norm.apply(output, self.eps, mixed);
        let act = match self.act {
            HiddenAct::Gelu => Finish::Gelu,
            HiddenAct::GeluTanh => Finish::GeluTanh,
            HiddenAct::Relu => Finish::Relu,
        };
        for first in (0..tokens).step_by(BLOCK) {
            let rows = BLOCK.min(tokens - first);
            let part = first * width..(first + rows) * width;
            inner.resize(rows * layer.intermediate.outputs(), 0.0);
            layer.intermediate.apply(&mixed[part.clone()], rows, act, operand, inner);
            let residual = Finish::Add(&mixed[part.clone()]);
            layer.output.apply(inner, rows, residual, operand, &mut output[part.clone()]);
            layer.output_norm.apply(&output[part.clone()], self.eps, &mut states[part]);
        }
    }
}

impl PackedLayer {
    fn new(layer: &Layer, kind: Kind) -> Result<Self> {
        Ok(Self {
            qkv: packed(&[&layer.query, &layer.key, &layer.value], kind)?,
            attention_output: packed(&[&layer.attention_output], kind)?,
            attention_norm: PackedNorm::new(&layer.attention_norm)?,
            intermediate: packed(&[&layer.intermediate], kind)?,
            output: packed(&[&layer.output], kind)?,
            output_norm: PackedNorm::new(&layer.output_norm)?,
        })
    }
}

impl PackedNorm {
    fn new(norm: &Norm) -> Result<Self> {
        Ok(Self { gamma: norm.gamma.to_vec1()?, beta: norm.beta.to_vec1()? })
    }

    fn apply(&self, x: &[f32], eps: f32, out: &mut [f32]) {
        norm::forward(x, &self.gamma, &self.beta, eps, out);
    }
}

/// One product in place of several of the same input.
fn packed(linears: &[&Linear], kind: Kind) -> Result<Weights> {
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for linear in linears {
        weight.extend(linear.weight.flatten_all()?.to_vec1::<f32>()?);
        bias.extend(linear.bias.to_vec1::<f32>()?);
    }
    Ok(Weights::new(kind, &weight, &bias))
}
