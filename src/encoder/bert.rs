//! BERT (Devlin et al. 2019, arXiv 1810.04805), post-norm, as in HF `modeling_bert.py`, and its relatives ([`Family`]),
//! whose tensors go by BERT's names here.
//!
//! Beside the word embedding there may stand a casing embedding of ours: an uncased vocabulary cannot tell "US" from
//! "us" or "Turkey" from "turkey", which named entities need.

use super::config::HiddenAct;
use super::layers::{attention, dropout, dropout_add, embedding, gelu, layer_norm, linear};
use super::{EncoderConfig, Pass, Sequences};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// An encoder of the BERT family.
#[derive(Debug, Clone)]
pub struct Encoder {
    config: EncoderConfig,
    words: Table,
    positions: Table,
    types: Option<Table>,
    casing: Option<Table>,
    norm: Norm,
    /// Embeddings to states, where they differ in width.
    projection: Option<Linear>,
    /// `[buckets, heads]`, of the relative attention bias.
    relative: Option<Tensor>,
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
        let table = |name: &str, rows: usize| -> Result<Option<Table>> {
            if rows == 0 {
                return Ok(None);
            }
            let vb = vb.pp("embeddings").pp(name);
            let name = format!("{}.weight", vb.prefix());
            Ok(Some(Table { name, weight: vb.get((rows, embedded), "weight")? }))
        };
        let needed = |name: &str, rows: usize| {
            table(name, rows)?.ok_or_else(|| candle_core::Error::Msg(format!("{name} have no rows")))
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
            words: needed("word_embeddings", config.vocab_size)?,
            positions: needed("position_embeddings", config.max_position_embeddings)?,
            types: table("token_type_embeddings", config.type_vocab_size)?,
            casing: table("casing_embeddings", casing_classes)?,
            norm: Norm::load(vb.pp("embeddings.LayerNorm"), embedded)?,
            projection: match config.projects_embeddings() {
                true => Some(Linear::load(vb.pp("embeddings_project"), embedded, width)?),
                false => None,
            },
            relative: match config.relative_buckets {
                0 => None,
                buckets => {
                    let shape = (buckets, config.num_attention_heads);
                    Some(vb.get(shape, "encoder.relative_attention_bias.weight")?)
                }
            },
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
        let bias = self.relative.as_ref().map(|table| relative_bias(table, states.dim(1)?)).transpose()?;
        for layer in &self.layers {
            for _ in 0..self.config.repeats {
                let lengths = &sequences.lengths;
                states = layer.forward(&states, lengths, bias.as_ref(), &self.config, pass)?;
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
        let first = self.config.first_position;
        let positions: Vec<u32> =
            (0..batch).flat_map(|_| (first..first + tokens).map(|p| p as u32)).collect();
        let positions = Tensor::from_vec(positions, (batch, tokens), ids.device())?;
        let mut sum = self.words.rows(ids, pass)?;
        if let Some(table) = &self.types {
            sum = (sum + table.rows(&ids.zeros_like()?, pass)?)?;
        }
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
        let states = dropout(&states, self.config.hidden_dropout_prob, &pass.randomness)?;
        match &self.projection {
            Some(linear) => linear.forward(&states, pass),
            None => Ok(states),
        }
    }
}

/// The bias of every pair of `tokens` places, `[heads, tokens, tokens]`, from one of every distance, `[buckets, heads]`.
fn relative_bias(table: &Tensor, tokens: usize) -> Result<Tensor> {
    let (buckets, heads) = table.dims2()?;
    let pairs = (0..tokens).flat_map(|query| (0..tokens).map(move |key| (query, key)));
    let numbers: Vec<u32> = pairs.map(|(query, key)| bucket(query, key, buckets)).collect();
    let numbers = Tensor::from_vec(numbers, tokens * tokens, table.device())?;
    table.index_select(&numbers, 0)?.t()?.reshape((heads, tokens, tokens))
}

/// Bucket of the distance between two places, as in HF `MPNetEncoder.relative_position_bucket` (and T5): half of the
/// buckets for keys behind the query; in each half the first half for one distance each, the rest logarithmic up to 128.
fn bucket(query: usize, key: usize, buckets: usize) -> u32 {
    const FARTHEST: f32 = 128.0;
    let half = buckets / 2;
    let exact = half / 2;
    let distance = query.abs_diff(key);
    let within = if distance < exact {
        distance
    } else {
        let ratio = (distance as f32 / exact as f32).ln() / (FARTHEST / exact as f32).ln();
        (exact + (ratio * (half - exact) as f32) as usize).min(half - 1)
    };
    (within + if key > query { half } else { 0 }) as u32
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

    fn forward(&self, x: &Tensor, config: &EncoderConfig) -> Result<Tensor> {
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
    fn forward(
        &self,
        x: &Tensor,
        lengths: &[usize],
        bias: Option<&Tensor>,
        config: &EncoderConfig,
        pass: &Pass,
    ) -> Result<Tensor> {
        let randomness = &pass.randomness;
        let (q, k, v) =
            (self.query.forward(x, pass)?, self.key.forward(x, pass)?, self.value.forward(x, pass)?);
        let heads = config.num_attention_heads;
        let p = config.attention_probs_dropout_prob;
        let mixed = attention([&q, &k, &v], lengths, heads, bias, p, randomness)?;
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
