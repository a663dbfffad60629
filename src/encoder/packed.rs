//! BERT for inference on the CPU: sequences end to end without padding, and weights repacked once.

use super::config::{HiddenAct, RelativeAttention};
use super::embeddings::Embeddings;
use super::layers::{Precision, with_all_slices};
use super::modules::Norm;
use super::relative::Relative;
use super::{EncoderConfig, Sequences, Stored};
use crate::kernels::packed::{Finish, Kind, Operand, Rows, Weights};
use crate::kernels::{attention, norm};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The layers of an encoder, repacked.
#[derive(Debug, Clone)]
pub(super) struct PackedLayers {
    /// Embeddings to states, where they differ in width.
    projection: Option<Weights>,
    layers: Vec<PackedLayer>,
    repeats: usize,
    heads: usize,
    biases: Option<attention::Biases>,
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
    /// True if the kernels compute such layers in this precision.
    pub(super) fn can(config: &EncoderConfig, precision: Precision) -> bool {
        config.modern.is_none()
            && !matches!(config.relative, RelativeAttention::Disentangled(_))
            && config.intermediate_size.max(config.hidden_size) <= kind(precision).most_inputs()
    }

    /// Repacks the layers below `vb`, of which `stored` has what is in bytes.
    pub(super) fn load(
        vb: &VarBuilder,
        stored: &BTreeMap<String, Stored>,
        config: &EncoderConfig,
        precision: Precision,
    ) -> Result<Self> {
        let source = Source { stored, kind: kind(precision) };
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let layer = |i: usize| -> Result<PackedLayer> {
            let vb = vb.pp("encoder.layer").pp(i);
            let attention = ["query", "key", "value"].map(|part| vb.pp("attention.self").pp(part));
            Ok(PackedLayer {
                qkv: source.packed(&attention, width, width)?,
                attention_output: source.packed(&[vb.pp("attention.output.dense")], width, width)?,
                attention_norm: PackedNorm::load(vb.pp("attention.output.LayerNorm"), width)?,
                intermediate: source.packed(&[vb.pp("intermediate.dense")], width, inner)?,
                output: source.packed(&[vb.pp("output.dense")], inner, width)?,
                output_norm: PackedNorm::load(vb.pp("output.LayerNorm"), width)?,
            })
        };
        let projection = || source.packed(&[vb.pp("embeddings_project")], config.embedding_size, width);
        Ok(Self {
            projection: config.projects_embeddings().then(projection).transpose()?,
            layers: (0..config.distinct_layers).map(layer).collect::<Result<_>>()?,
            repeats: config.repeats,
            heads: config.num_attention_heads,
            biases: Relative::load(vb, config)?.biases(config)?,
            eps: config.layer_norm_eps as f32,
            act: config.hidden_act,
        })
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
                self.biases.as_ref(),
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

impl PackedNorm {
    fn load(vb: VarBuilder, width: usize) -> Result<Self> {
        let Norm { gamma, beta } = Norm::load(vb, width)?;
        Ok(Self { gamma: gamma.to_vec1()?, beta: beta.to_vec1()? })
    }

    fn apply(&self, x: &[f32], eps: f32, out: &mut [f32]) {
        norm::forward(x, &self.gamma, &self.beta, eps, out);
    }
}

fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::F32,
        Precision::Bf16 => Kind::Bf16,
        Precision::Int8 => Kind::Int8,
    }
}

/// Where weights come from, and what they become.
struct Source<'a> {
    stored: &'a BTreeMap<String, Stored>,
    kind: Kind,
}

impl Source<'_> {
    /// The linear layers at `places`, all of the same input: one product in place of several.
    fn packed(&self, places: &[VarBuilder], inputs: usize, outputs: usize) -> Result<Weights> {
        let mut bias = Vec::new();
        let mut matrices = Vec::new();
        for vb in places {
            bias.extend(vb.get(outputs, "bias")?.to_vec1::<f32>()?);
            matrices.push(Stored::weight(vb, self.stored, [outputs, inputs])?);
        }
        let tensors: Vec<&Tensor> = matrices
            .iter()
            .filter_map(|matrix| match matrix {
                Stored::Tensor(tensor) => Some(tensor),
                Stored::Int8(_) => None,
            })
            .collect();
        with_all_slices(&tensors, "packed layers", |slices| {
            let mut slices = slices.iter();
            let rows = matrices.iter().filter_map(|matrix| match matrix {
                Stored::Tensor(_) => slices.next().map(|slice| Rows::F32(slice)),
                Stored::Int8(matrix) => {
                    let (values, scales) = matrix.parts();
                    Some(Rows::Int8(values, scales))
                }
            });
            Ok(Weights::new(self.kind, &rows.collect::<Vec<_>>(), &bias))
        })
    }
}
