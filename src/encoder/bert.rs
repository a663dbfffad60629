//! BERT (Devlin et al. 2019, arXiv 1810.04805), post-norm, as in HF `modeling_bert.py`, and its relatives ([`Family`]),
//! whose tensors go by BERT's names here.
//!
//! Beside the word embedding there may stand a casing embedding of ours: an uncased vocabulary cannot tell "US" from
//! "us" or "Turkey" from "turkey", which named entities need.

use super::config::HiddenAct;
use super::layers::{Precision, attention, dropout, dropout_add, embedding, gelu, layer_norm, linear};
use super::relative::{DistanceProjections, Prepared, Relative};
use super::{EncoderConfig, Pass, Sequences};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// An encoder of the BERT family.
#[derive(Debug, Clone)]
pub struct Encoder {
    config: EncoderConfig,
    words: Table,
    positions: Option<Table>,
    types: Option<Table>,
    casing: Option<Table>,
    norm: Norm,
    /// Embeddings to states, where they differ in width.
    projection: Option<Linear>,
    relative: Relative,
    /// Those with weights of their own.
    layers: Vec<Layer>,
}

impl Encoder {
    /// Tensor name of the casing embedding, below the encoder's prefix.
    pub const CASING: &str = "embeddings.casing_embeddings.weight";

    /// Takes the encoder's tensors from `vb` (HF names below the prefix, e.g. `embeddings.word_embeddings.weight`).
    ///
    /// `casing_classes` is the number of rows of the casing embedding, 0 for an encoder without one.
    ///
    /// # Errors
    /// If a tensor is missing or its shape is not the one `config` calls for.
    pub fn load(vb: VarBuilder, config: &EncoderConfig, casing_classes: usize) -> Result<Self> {
        let (width, inner, embedded) = (config.hidden_size, config.intermediate_size, config.embedding_size);
        let table = |name: &str, rows: usize| match rows {
            0 => Ok(None),
            rows => Table::load(&vb, name, rows, embedded).map(Some),
        };
        let positions = if config.has_positions { config.max_position_embeddings } else { 0 };
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
            words: Table::load(&vb, "word_embeddings", config.vocab_size, embedded)?,
            positions: table("position_embeddings", positions)?,
            types: table("token_type_embeddings", config.type_vocab_size)?,
            casing: table("casing_embeddings", casing_classes)?,
            norm: Norm::load(vb.pp("embeddings.LayerNorm"), embedded)?,
            projection: match config.projects_embeddings() {
                true => Some(Linear::load(vb.pp("embeddings_project"), embedded, width)?),
                false => None,
            },
            relative: Relative::load(&vb, config)?,
            layers: (0..config.distinct_layers).map(layer).collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    /// The configuration it was loaded with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// True if it wants [`Sequences::casing`].
    pub fn has_casing(&self) -> bool {
        self.casing.is_some()
    }

    /// States of the last layer, `[batch, tokens, width]`; not defined on padding.
    ///
    /// # Errors
    /// If a sequence is longer than the position embedding, or casing classes are wanted and not given.
    pub fn forward(&self, sequences: &Sequences, pass: &Pass) -> Result<Tensor> {
        let mut states = self.embed(sequences, pass)?;
        let relative = self.relative.prepare(states.dim(1)?, &self.config)?;
        for layer in &self.layers {
            for _ in 0..self.config.repeats {
                let lengths = &sequences.lengths;
                states = layer.forward(&states, lengths, &relative, &self.config, pass)?;
            }
        }
        Ok(states)
    }

    fn embed(&self, sequences: &Sequences, pass: &Pass) -> Result<Tensor> {
        let ids = &sequences.ids;
        let (batch, tokens) = ids.dims2()?;
        let most = self.config.max_tokens();
        if tokens > most {
            candle_core::bail!("a sequence of {tokens} tokens, and the encoder has {most} positions");
        }
        let mut sum = self.words.rows(ids, pass)?;
        if let Some(table) = &self.types {
            sum = (sum + table.rows(&ids.zeros_like()?, pass)?)?;
        }
        if let Some(table) = &self.positions {
            let first = self.config.first_position;
            let positions: Vec<u32> =
                (0..batch).flat_map(|_| (first..first + tokens).map(|p| p as u32)).collect();
            let positions = Tensor::from_vec(positions, (batch, tokens), ids.device())?;
            sum = (sum + table.rows(&positions, pass)?)?;
        }
        if let Some(table) = &self.casing {
            let Some(classes) = &sequences.casing else {
                candle_core::bail!(
                    "the encoder has a casing embedding, and the sequences have no casing classes"
                );
            };
            sum = (sum + table.rows(classes, pass)?)?;
        }
        let states = self.norm.forward(&sum, &self.config)?;
        let states = dropout(&states, self.config.hidden_dropout_prob, &pass.randomness)?;
        match &self.projection {
            Some(linear) => linear.forward(&states, pass),
            None => Ok(states),
        }
    }
}

#[derive(Debug, Clone)]
struct Table {
    name: String,
    weight: Tensor,
}

impl Table {
    fn load(vb: &VarBuilder, name: &str, rows: usize, width: usize) -> Result<Self> {
        let vb = vb.pp("embeddings").pp(name);
        let name = format!("{}.weight", vb.prefix());
        Ok(Self { name, weight: vb.get((rows, width), "weight")? })
    }

    fn rows(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        embedding(&self.weight, ids, pass.tables.get(&self.name))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn load(vb: VarBuilder, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self { weight: vb.get((outputs, inputs), "weight")?, bias: vb.get(outputs, "bias")? })
    }

    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.forward_in(x, pass.precision)
    }

    pub(super) fn forward_in(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        linear(x, &self.weight, &self.bias, precision)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Norm {
    gamma: Tensor,
    beta: Tensor,
}

impl Norm {
    pub(super) fn load(vb: VarBuilder, width: usize) -> Result<Self> {
        Ok(Self { gamma: vb.get(width, "weight")?, beta: vb.get(width, "bias")? })
    }

    pub(super) fn forward(&self, x: &Tensor, config: &EncoderConfig) -> Result<Tensor> {
        layer_norm(x, &self.gamma, &self.beta, config.layer_norm_eps)
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
