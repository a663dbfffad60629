//! Token ids to the states that the first layer gets.
//!
//! Beside the word embedding there may stand a casing embedding of ours: an uncased vocabulary cannot tell "US" from
//! "us" or "Turkey" from "turkey", which named entities need.

use super::layers::{dropout, embedding, with_slices};
use super::modules::{Linear, Norm};
use super::{EncoderConfig, Pass, Sequences, Stored};
use crate::kernels::norm;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;

/// The sum of the rows of several tables, normed.
#[derive(Debug, Clone)]
pub(super) struct Embeddings {
    words: Table,
    positions: Option<Table>,
    types: Option<Table>,
    casing: Option<Table>,
    norm: Norm,
    /// Embeddings to states, where they differ in width.
    projection: Option<Linear>,
}

impl Embeddings {
    pub(super) fn load(vb: &VarBuilder, config: &EncoderConfig, casing_classes: usize) -> Result<Self> {
        let words = Table::load(vb, WORDS, config.vocab_size, config.embedding_size)?;
        Self::with_words(words, vb, config, casing_classes)
    }

    /// [`Embeddings::load`] for [`Embeddings::ragged`] alone: words stay as they are kept.
    pub(super) fn for_inference(
        vb: &VarBuilder,
        stored: &BTreeMap<String, Stored>,
        config: &EncoderConfig,
        casing_classes: usize,
    ) -> Result<Self> {
        let below = vb.pp("embeddings").pp(WORDS);
        let weight = Stored::weight(&below, stored, [config.vocab_size, config.embedding_size])?;
        let words = Table { name: format!("{}.weight", below.prefix()), weight };
        Self::with_words(words, vb, config, casing_classes)
    }

    fn with_words(
        words: Table,
        vb: &VarBuilder,
        config: &EncoderConfig,
        casing_classes: usize,
    ) -> Result<Self> {
        let width = config.embedding_size;
        let table = |name: &str, rows: usize| match rows {
            0 => Ok(None),
            rows => Table::load(vb, name, rows, width).map(Some),
        };
        let positions = if config.has_positions { config.max_position_embeddings } else { 0 };
        Ok(Self {
            words,
            positions: table("position_embeddings", positions)?,
            types: table("token_type_embeddings", config.type_vocab_size)?,
            casing: table("casing_embeddings", casing_classes)?,
            norm: Norm::load_with(vb.pp("embeddings.LayerNorm"), width, config.norm_bias)?,
            projection: match config.projects_embeddings() {
                true => Some(Linear::load(vb.pp("embeddings_project"), width, config.hidden_size)?),
                false => None,
            },
        })
    }

    pub(super) fn has_casing(&self) -> bool {
        self.casing.is_some()
    }

    /// `[batch, tokens, width]`
    pub(super) fn forward(
        &self,
        sequences: &Sequences,
        config: &EncoderConfig,
        pass: &Pass,
    ) -> Result<Tensor> {
        let ids = &sequences.ids;
        let (batch, tokens) = ids.dims2()?;
        check_length(tokens, config)?;
        let mut sum = self.words.rows(ids, pass)?;
        if let Some(table) = &self.types {
            let types = match &sequences.types {
                Some(types) if config.type_vocab_size > 1 => types.clone(),
                _ => ids.zeros_like()?,
            };
            sum = (sum + table.rows(&types, pass)?)?;
        }
        if let Some(table) = &self.positions {
            let first = config.first_position;
            let positions: Vec<u32> =
                (0..batch).flat_map(|_| (first..first + tokens).map(|p| p as u32)).collect();
            let positions = Tensor::from_vec(positions, (batch, tokens), ids.device())?;
            sum = (sum + table.rows(&positions, pass)?)?;
        }
        if let Some(table) = &self.casing {
            sum = (sum + table.rows(casing(sequences)?, pass)?)?;
        }
        let states = self.norm.forward(&sum, config)?;
        let states = dropout(&states, config.embedding_dropout, &pass.randomness)?;
        match &self.projection {
            Some(linear) => linear.forward(&states, pass),
            None => Ok(states),
        }
    }

    /// Sums and norms as [`Embeddings::forward`] does in inference, of the real tokens alone, end to end: `out` becomes
    /// `[tokens of all sequences, width]`. Nothing is projected.
    ///
    /// # Errors
    /// As `forward`, and if the tables are not in f32 on the CPU.
    pub(super) fn ragged(
        &self,
        sequences: &Sequences,
        config: &EncoderConfig,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let lengths = &sequences.lengths;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        check_length(longest, config)?;
        let mut parts = vec![(&self.words, end_to_end(&sequences.ids, lengths)?)];
        if let Some(table) = &self.types {
            parts.push((
                table,
                match &sequences.types {
                    Some(types) if config.type_vocab_size > 1 => end_to_end(types, lengths)?,
                    _ => vec![0; lengths.iter().sum()],
                },
            ));
        }
        if let Some(table) = &self.positions {
            let first = config.first_position as u32;
            parts.push((table, lengths.iter().flat_map(|&n| first..first + n as u32).collect()));
        }
        if let Some(table) = &self.casing {
            parts.push((table, end_to_end(casing(sequences)?, lengths)?));
        }
        let width = config.embedding_size;
        let mut sum = vec![0.0; width * lengths.iter().sum::<usize>()];
        for (table, ids) in &parts {
            table.add_rows(ids, width, &mut sum)?;
        }
        out.resize(sum.len(), 0.0);
        with_slices([&self.norm.gamma, &self.norm.beta], "embeddings", |[gamma, beta]| {
            norm::forward(&sum, gamma, beta, config.layer_norm_eps as f32, out);
            Ok(())
        })
    }
}

const WORDS: &str = "word_embeddings";

fn check_length(tokens: usize, config: &EncoderConfig) -> Result<()> {
    let most = config.max_tokens();
    if tokens > most {
        candle_core::bail!("a sequence of {tokens} tokens, and the encoder has {most} positions");
    }
    Ok(())
}

fn casing(sequences: &Sequences) -> Result<&Tensor> {
    let Some(classes) = &sequences.casing else {
        candle_core::bail!("the encoder has a casing embedding, and the sequences have no casing classes");
    };
    Ok(classes)
}

/// The first `lengths` numbers of every row, row after row.
fn end_to_end(rows: &Tensor, lengths: &[usize]) -> Result<Vec<u32>> {
    let rows: Vec<Vec<u32>> = rows.to_vec2()?;
    Ok(rows.iter().zip(lengths).flat_map(|(row, &n)| &row[..n]).copied().collect())
}

#[derive(Debug, Clone)]
struct Table {
    name: String,
    weight: Stored,
}

impl Table {
    fn load(vb: &VarBuilder, name: &str, rows: usize, width: usize) -> Result<Self> {
        let vb = vb.pp("embeddings").pp(name);
        let name = format!("{}.weight", vb.prefix());
        Ok(Self { name, weight: Stored::Tensor(vb.get((rows, width), "weight")?) })
    }

    fn rows(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor> {
        embedding(&self.weight.tensor(), ids, pass.tables.get(&self.name))
    }

    /// Adds the rows `ids`, each of `width`, to those of `sum`.
    fn add_rows(&self, ids: &[u32], width: usize, sum: &mut [f32]) -> Result<()> {
        let missing = |id: u32| candle_core::Error::Msg(format!("`{}` has no row {id}", self.name));
        let rows = sum.chunks_exact_mut(width).zip(ids);
        match &self.weight {
            Stored::Tensor(weight) => with_slices([weight], "embeddings", |[table]| {
                for (sum, &id) in rows {
                    let row = table.chunks_exact(width).nth(id as usize).ok_or_else(|| missing(id))?;
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                Ok(())
            }),
            Stored::Int8(matrix) => {
                for (sum, &id) in rows {
                    let (row, scale) = matrix.row(id as usize).ok_or_else(|| missing(id))?;
                    sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f32::from(x) * scale);
                }
                Ok(())
            }
        }
    }
}
