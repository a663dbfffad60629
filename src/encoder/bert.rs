//! BERT (Devlin et al. 2019, arXiv 1810.04805), post-norm, as in HF `modeling_bert.py`.
//!
//! Beside the word embedding there may stand a casing embedding of ours: an uncased vocabulary cannot tell "US" from
//! "us" or "Turkey" from "turkey", which named entities need.

use super::layers::{attention, dropout, dropout_add, embedding, gelu, layer_norm, linear};
use super::{BertConfig, Pass, Sequences};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// A BERT encoder.
#[derive(Debug, Clone)]
pub struct BertEncoder {
    config: BertConfig,
    words: Table,
    positions: Table,
    types: Table,
    casing: Option<Table>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl BertEncoder {
    /// Tensor name of the casing embedding, below the encoder's prefix.
    pub const CASING: &str = "embeddings.casing_embeddings.weight";

    /// Takes the encoder's tensors from `vb` (HF names below the prefix, e.g. `embeddings.word_embeddings.weight`).
    ///
    /// `casing_classes` is the number of rows of the casing embedding, 0 for an encoder without one.
    ///
    /// # Errors
    /// If a tensor is missing or its shape is not the one `config` calls for.
    pub fn load(vb: VarBuilder, config: &BertConfig, casing_classes: usize) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let table = |name: &str, rows: usize| -> Result<Table> {
            let vb = vb.pp("embeddings").pp(name);
            let name = format!("{}.weight", vb.prefix());
            Ok(Table { name, weight: vb.get((rows, width), "weight")? })
        };
        let layer = |i: usize| -> Result<Layer> {
            let vb = vb.pp("encoder.layer").pp(i);
            Ok(Layer {
                query: Linear::load(vb.pp("attention.self.query"), width, width)?,
                key: Linear::load(vb.pp("attention.self.key"), width, width)?,
                value: Linear::load(vb.pp("attention.self.value"), width, width)?,
                attention_output: Linear::load(vb.pp("attention.output.dense"), width, width)?,
                attention_norm: Norm::load(vb.pp("attention.output.LayerNorm"), width)?,
                intermediate: Linear::load(vb.pp("intermediate.dense"), width, inner)?,
                output: Linear::load(vb.pp("output.dense"), inner, width)?,
                output_norm: Norm::load(vb.pp("output.LayerNorm"), width)?,
            })
        };
        Ok(Self {
            words: table("word_embeddings", config.vocab_size)?,
            positions: table("position_embeddings", config.max_position_embeddings)?,
            types: table("token_type_embeddings", config.type_vocab_size)?,
            casing: if casing_classes > 0 { Some(table("casing_embeddings", casing_classes)?) } else { None },
            norm: Norm::load(vb.pp("embeddings.LayerNorm"), width)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    /// The configuration it was loaded with.
    pub fn config(&self) -> &BertConfig {
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
        for layer in &self.layers {
            states = layer.forward(&states, &sequences.lengths, &self.config, pass)?;
        }
        Ok(states)
    }

    fn embed(&self, sequences: &Sequences, pass: &Pass) -> Result<Tensor> {
        let ids = &sequences.ids;
        let (batch, tokens) = ids.dims2()?;
        if tokens > self.config.max_position_embeddings {
            candle_core::bail!(
                "a sequence of {tokens} tokens, and the encoder has {} positions",
                self.config.max_position_embeddings
            );
        }
        let positions: Vec<u32> = (0..batch).flat_map(|_| 0..tokens as u32).collect();
        let positions = Tensor::from_vec(positions, (batch, tokens), ids.device())?;
        let mut sum = self.words.rows(ids, pass)?;
        sum = (sum + self.types.rows(&ids.zeros_like()?, pass)?)?;
        sum = (sum + self.positions.rows(&positions, pass)?)?;
        if let Some(table) = &self.casing {
            let Some(classes) = &sequences.casing else {
                candle_core::bail!(
                    "the encoder has a casing embedding, and the sequences have no casing classes"
                );
            };
            sum = (sum + table.rows(classes, pass)?)?;
        }
        let states = self.norm.forward(&sum, &self.config)?;
        dropout(&states, self.config.hidden_dropout_prob, &pass.randomness)
    }
}

#[derive(Debug, Clone)]
struct Table {
    name: String,
    weight: Tensor,
}

impl Table {
    fn rows(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        embedding(&self.weight, ids, pass.tables.get(&self.name))
    }
}

#[derive(Debug, Clone)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn load(vb: VarBuilder, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self { weight: vb.get((outputs, inputs), "weight")?, bias: vb.get(outputs, "bias")? })
    }

    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        linear(x, &self.weight, &self.bias, pass.precision)
    }
}

#[derive(Debug, Clone)]
struct Norm {
    gamma: Tensor,
    beta: Tensor,
}

impl Norm {
    fn load(vb: VarBuilder, width: usize) -> Result<Self> {
        Ok(Self { gamma: vb.get(width, "weight")?, beta: vb.get(width, "bias")? })
    }

    fn forward(&self, x: &Tensor, config: &BertConfig) -> Result<Tensor> {
        layer_norm(x, &self.gamma, &self.beta, config.layer_norm_eps)
    }
}

#[derive(Debug, Clone)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
}

impl Layer {
    /// `[batch, tokens, width]` in and out.
    fn forward(&self, x: &Tensor, lengths: &[usize], config: &BertConfig, pass: &Pass) -> Result<Tensor> {
        let randomness = &pass.randomness;
        let (q, k, v) =
            (self.query.forward(x, pass)?, self.key.forward(x, pass)?, self.value.forward(x, pass)?);
        let heads = config.num_attention_heads;
        let mixed = attention([&q, &k, &v], lengths, heads, config.attention_probs_dropout_prob, randomness)?;
        let attended = self.attention_output.forward(&mixed, pass)?;
        let attended = dropout_add(&attended, x, config.hidden_dropout_prob, randomness)?;
        let attended = self.attention_norm.forward(&attended, config)?;
        let inner = gelu(&self.intermediate.forward(&attended, pass)?)?;
        let output = self.output.forward(&inner, pass)?;
        let output = dropout_add(&output, &attended, config.hidden_dropout_prob, randomness)?;
        self.output_norm.forward(&output, config)
    }
}
