//! BERT's layers for inference on the CPU: sequences end to end without padding, and weights repacked once.

use super::EncoderConfig;
use super::bert::{Layer, Layers};
use super::config::{HiddenAct, RelativeAttention};
use super::layers::{Precision, with_slices};
use super::modules::{Linear, Norm};
use crate::kernels::packed::{Kind, Operand, ROWS, Weights};
use crate::kernels::{attention, gelu, norm};
use candle_core::{Result, Tensor};
use std::cell::RefCell;

/// The layers of an encoder, repacked.
#[derive(Debug, Clone)]
pub(super) struct PackedLayers {
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
const BLOCK: usize = 8 * ROWS;

/// Buffers reused from batch to batch.
#[derive(Default)]
struct Arena {
    states: Vec<f32>,
    qkv: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    active: Vec<f32>,
    output: Vec<f32>,
    operand: Operand,
    attention: attention::Scratch,
}

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::default();
}

impl PackedLayers {
    /// Repacks the layers; `None` if this CPU, or these kernels, cannot compute them.
    pub(super) fn new(layers: &Layers, config: &EncoderConfig, precision: Precision) -> Result<Option<Self>> {
        let plain = config.relative == RelativeAttention::None && config.hidden_act != HiddenAct::GeluTanh;
        let kind = match precision {
            Precision::F32 => Kind::F32,
            Precision::Bf16 => Kind::Bf16,
            Precision::Int8 => Kind::Int8,
        };
        if !plain
            || !kind.is_available()
            || config.intermediate_size.max(config.hidden_size) > kind.most_inputs()
        {
            return Ok(None);
        }
        Ok(Some(Self {
            layers: layers.layers.iter().map(|layer| PackedLayer::new(layer, kind)).collect::<Result<_>>()?,
            repeats: config.repeats,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps as f32,
            act: config.hidden_act,
        }))
    }

    /// `[batch, tokens, width]` in and out, the states of padding being zeros.
    pub(super) fn forward(&self, states: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (batch, tokens, width) = states.dims3()?;
        let states = states.contiguous()?;
        let out = ARENA.with_borrow_mut(|arena| {
            arena.states.clear();
            with_slices([&states], "packed layers", |[states]| {
                for (row, &length) in states.chunks_exact((tokens * width).max(1)).zip(lengths) {
                    arena.states.extend_from_slice(&row[..length * width]);
                }
                Ok(())
            })?;
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
        Tensor::from_vec(out, (batch, tokens, width), states.device())
    }

    fn layer(&self, layer: &PackedLayer, lengths: &[usize], width: usize, arena: &mut Arena) {
        let Arena { states, qkv, mixed, inner, active, output, operand, attention } = arena;
        let tokens = states.len() / width;
        qkv.resize(tokens * 3 * width, 0.0);
        mixed.resize(tokens * width, 0.0);
        output.resize(tokens * width, 0.0);
        layer.qkv.apply(states, tokens, operand, qkv);
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
        layer.attention_output.apply(mixed, tokens, operand, output);
        layer.attention_norm.add(output, states, self.eps, mixed);
        let inner_width = layer.intermediate.outputs();
        for first in (0..tokens).step_by(BLOCK) {
            let rows = BLOCK.min(tokens - first);
            let part = first * width..(first + rows) * width;
            inner.resize(rows * inner_width, 0.0);
            active.resize(rows * inner_width, 0.0);
            layer.intermediate.apply(&mixed[part.clone()], rows, operand, inner);
            match self.act {
                HiddenAct::Relu => active.iter_mut().zip(&*inner).for_each(|(out, &x)| *out = x.max(0.0)),
                _ => gelu::forward(inner, active),
            }
            layer.output.apply(active, rows, operand, &mut output[part.clone()]);
            layer.output_norm.add(
                &mut output[part.clone()],
                &mixed[part.clone()],
                self.eps,
                &mut states[part],
            );
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

    /// `out = norm(x + residual)`; `x` becomes the sum.
    fn add(&self, x: &mut [f32], residual: &[f32], eps: f32, out: &mut [f32]) {
        x.iter_mut().zip(residual).for_each(|(x, y)| *x += y);
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
