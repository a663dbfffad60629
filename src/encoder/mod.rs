//! The network body: token ids in, one state per token out. Knows ids and lengths, never words or labels.

mod bert;
mod config;
mod embeddings;
pub mod layers;
mod modern_bert;
mod modules;
mod packed;
mod relative;
mod stored;

pub use config::{
    ConfigError, Disentangled, EncoderConfig, Family, HiddenAct, ModernBert, RelativeAttention,
};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use embeddings::Embeddings;
use layers::{Precision, Randomness, RowGradients};
use packed::PackedLayers;
use std::collections::BTreeMap;
pub use stored::{Int8Matrix, Stored};

/// An encoder: embeddings, then layers.
#[derive(Debug, Clone)]
pub struct Encoder {
    config: EncoderConfig,
    embeddings: Embeddings,
    layers: Layers,
}

#[derive(Debug, Clone)]
enum Layers {
    Bert(bert::Layers),
    ModernBert(modern_bert::Layers),
    Packed(PackedLayers),
}

impl Encoder {
    /// Tensor name of the casing embedding, below the encoder's prefix.
    pub const CASING: &str = "embeddings.casing_embeddings.weight";

    /// Takes the encoder's tensors from `vb` (BERT's names below the prefix, e.g. `embeddings.word_embeddings.weight`).
    ///
    /// `casing_classes` is the number of rows of the casing embedding, 0 for an encoder without one.
    ///
    /// # Errors
    /// If a tensor is missing or its shape is not the one `config` calls for.
    pub fn load(vb: VarBuilder, config: &EncoderConfig, casing_classes: usize) -> Result<Self> {
        Ok(Self {
            embeddings: Embeddings::load(&vb, config, casing_classes)?,
            layers: match &config.modern {
                Some(settings) => Layers::ModernBert(modern_bert::Layers::load(&vb, config, settings)?),
                None => Layers::Bert(bert::Layers::load(&vb, config)?),
            },
            config: config.clone(),
        })
    }

    /// The configuration it was loaded with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// [`Encoder::load`] for inference on the CPU alone: where the layers are BERT's own, their weights are repacked for products in
    /// `precision`, and the words stay as they are kept.
    ///
    /// * `stored`: the tensors behind `vb`, by their whole names
    ///
    /// # Errors
    /// If a tensor is missing or its shape is not the one `config` calls for.
    pub fn for_inference(
        vb: VarBuilder,
        stored: &BTreeMap<String, Stored>,
        config: &EncoderConfig,
        casing_classes: usize,
        precision: Precision,
    ) -> Result<Self> {
        if !PackedLayers::can(config, precision) {
            return Self::load(vb, config, casing_classes);
        }
        Ok(Self {
            embeddings: Embeddings::for_inference(&vb, stored, config, casing_classes)?,
            layers: Layers::Packed(PackedLayers::load(&vb, stored, config, precision)?),
            config: config.clone(),
        })
    }

    /// True if it wants [`Sequences::casing`].
    pub fn has_casing(&self) -> bool {
        self.embeddings.has_casing()
    }

    /// States of the last layer, `[batch, tokens, width]`; not defined on padding.
    ///
    /// # Errors
    /// If a sequence is longer than the positions, or casing classes are wanted and not given.
    pub fn forward(&self, sequences: &Sequences, pass: &Pass) -> Result<Tensor> {
        let embedded = || self.embeddings.forward(sequences, &self.config, pass);
        match &self.layers {
            Layers::Bert(layers) => layers.forward(embedded()?, &sequences.lengths, &self.config, pass),
            Layers::ModernBert(layers) => layers.forward(embedded()?, &sequences.lengths, &self.config, pass),
            Layers::Packed(_) if !pass.is_inference() => {
                candle_core::bail!("an encoder that was packed for inference cannot be trained")
            }
            Layers::Packed(layers) => layers.forward(&self.embeddings, sequences, &self.config),
        }
    }
}

/// Sequences for an encoder, padded at the end to one length.
#[derive(Debug, Clone)]
pub struct Sequences {
    /// Token ids, `[batch, tokens]`, u32.
    pub ids: Tensor,
    /// Casing class of every token, `[batch, tokens]`, u32; for encoders with a casing embedding.
    pub casing: Option<Tensor>,
    /// Which of two texts every token belongs to, `[batch, tokens]`, u32; absent, all belong to the first. For encoders with more
    /// than one row of token types.
    pub types: Option<Tensor>,
    /// Real tokens of each sequence, at least 1.
    pub lengths: Vec<usize>,
}

impl Sequences {
    /// `[batch, tokens]`: 1 on real tokens and 0 on padding.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn mask(&self, dtype: DType) -> Result<Tensor> {
        let (batch, tokens) = self.ids.dims2()?;
        let mask: Vec<f32> =
            self.lengths.iter().flat_map(|&n| (0..tokens).map(move |i| f32::from(u8::from(i < n)))).collect();
        Tensor::from_vec(mask, (batch, tokens), self.ids.device())?.to_dtype(dtype)
    }

    /// Builds the tensors from plain rows: `(ids, casing)` of each sequence, none empty.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn new(rows: &[(&[u32], &[u32])], pad: u32, casing: bool, device: &Device) -> Result<Self> {
        let ids: Vec<&[u32]> = rows.iter().map(|(ids, _)| *ids).collect();
        let classes: Vec<&[u32]> = rows.iter().map(|(_, casing)| *casing).collect();
        Ok(Self {
            lengths: ids.iter().map(|ids| ids.len()).collect(),
            ids: padded(&ids, pad, device)?,
            casing: if casing { Some(padded(&classes, 0, device)?) } else { None },
            types: None,
        })
    }

    /// The same sequences of pairs of texts: `types` has 0 or 1 for every real token of each sequence.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn with_types(self, types: &[&[u32]]) -> Result<Self> {
        let types = Some(padded(types, 0, self.ids.device())?);
        Ok(Self { types, ..self })
    }
}

/// `[rows, longest row]`
fn padded(rows: &[&[u32]], fill: u32, device: &Device) -> Result<Tensor> {
    let tokens = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let mut flat = Vec::with_capacity(rows.len() * tokens);
    for row in rows {
        flat.extend_from_slice(row);
        flat.resize(flat.len() + tokens - row.len(), fill);
    }
    Tensor::from_vec(flat, (rows.len(), tokens), device)
}

/// How one pass through the network is made.
#[derive(Debug, Default)]
pub struct Pass {
    /// Source of dropout masks; none in inference.
    pub randomness: Randomness,
    /// Where the gradients of embedding tables go, by tensor name; empty in inference.
    pub tables: BTreeMap<String, RowGradients>,
    /// Of the products with the encoder's weights, forward and backward.
    pub precision: Precision,
}

impl Pass {
    /// Inference in f32: no dropout, no gradients kept.
    pub fn inference() -> Self {
        Self::default()
    }

    /// True if nothing is dropped, and no gradient is asked for.
    fn is_inference(&self) -> bool {
        self.tables.is_empty() && self.randomness.is_none()
    }
}
