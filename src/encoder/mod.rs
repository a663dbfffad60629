//! The network body: token ids in, one state per token out. Knows ids and lengths, never words or labels.

mod bert;
mod config;
pub mod layers;
mod relative;

pub use bert::Encoder;
pub use config::{ConfigError, Disentangled, EncoderConfig, Family, HiddenAct, RelativeAttention};

use candle_core::{DType, Device, Result, Tensor};
use layers::{Precision, Randomness, RowGradients};
use std::collections::BTreeMap;

/// Sequences for an encoder, padded at the end to one length.
#[derive(Debug, Clone)]
pub struct Sequences {
    /// Token ids, `[batch, tokens]`, u32.
    pub ids: Tensor,
    /// Casing class of every token, `[batch, tokens]`, u32; for encoders with a casing embedding.
    pub casing: Option<Tensor>,
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
        let tokens = rows.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
        let padded = |pick: &dyn Fn(usize) -> (Vec<u32>, u32)| {
            let flat: Vec<u32> = (0..rows.len())
                .flat_map(|row| {
                    let (mut values, fill) = pick(row);
                    values.resize(tokens, fill);
                    values
                })
                .collect();
            Tensor::from_vec(flat, (rows.len(), tokens), device)
        };
        Ok(Self {
            ids: padded(&|row| (rows[row].0.to_vec(), pad))?,
            casing: if casing { Some(padded(&|row| (rows[row].1.to_vec(), 0))?) } else { None },
            lengths: rows.iter().map(|(ids, _)| ids.len()).collect(),
        })
    }
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
}
