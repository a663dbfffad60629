//! Attention that knows how far two tokens are apart: what is added to the scores of a layer.

use super::config::{Disentangled, RelativeAttention};
use super::layers::{Precision, dropout};
use super::modules::{Linear, Norm};
use super::{EncoderConfig, Pass};
use crate::kernels::attention::Biases;
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// What all layers share.
#[derive(Debug, Clone)]
pub(super) enum Relative {
    /// Nothing is added.
    None,
    /// One bias a head and bucket of distances, `[buckets, heads]` (MPNet).
    Bias(Tensor),
    /// States of distances, `[2 * span, width]` (DeBERTa-v2: He et al. 2021, arXiv 2006.03654 and 2111.09543).
    Disentangled { settings: Disentangled, distances: Tensor, norm: Option<Norm> },
}

/// Projections of a layer of its own for the states of distances; `None` where it uses those of its tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct DistanceProjections {
    key: Option<Linear>,
    query: Option<Linear>,
}

/// [`Relative`] made ready for sequences of one length.
pub(super) enum Prepared {
    None,
    /// `[1, heads, tokens, tokens]`
    Bias(Tensor),
    Disentangled {
        settings: Disentangled,
        /// `[2 * span, width]`
        distances: Tensor,
        /// Row of the distance from every query (rows) to every key, `[tokens, tokens]`, u32.
        to_keys: Tensor,
        /// Row of the distance from every key (rows) to every query.
        to_queries: Tensor,
    },
}

impl Relative {
    pub(super) fn load(vb: &VarBuilder, config: &EncoderConfig) -> Result<Self> {
        Ok(match config.relative {
            RelativeAttention::None => Self::None,
            RelativeAttention::Bias { buckets } => {
                let shape = (buckets, config.num_attention_heads);
                Self::Bias(vb.get(shape, "encoder.relative_attention_bias.weight")?)
            }
            RelativeAttention::Disentangled(settings) => Self::Disentangled {
                settings,
                distances: vb
                    .get((2 * settings.span(), config.hidden_size), "encoder.rel_embeddings.weight")?,
                norm: match settings.norm {
                    true => Some(Norm::load(vb.pp("encoder.LayerNorm"), config.hidden_size)?),
                    false => None,
                },
            },
        })
    }

    /// Those of [`Relative::Bias`] for sequences of any length.
    pub(super) fn biases(&self, config: &EncoderConfig) -> Result<Option<Biases>> {
        let Self::Bias(table) = self else { return Ok(None) };
        let table = table.to_vec2::<f32>()?;
        let heads = config.num_attention_heads;
        let bias = |head: usize, query, key| table[mpnet_bucket(query, key, table.len()) as usize][head];
        Ok(Some(Biases::new(heads, config.max_position_embeddings, config.hidden_size / heads, bias)))
    }

    pub(super) fn prepare(&self, tokens: usize, config: &EncoderConfig) -> Result<Prepared> {
        let table = |row: &dyn Fn(usize, usize) -> u32, device| {
            let rows: Vec<u32> =
                (0..tokens).flat_map(|i| (0..tokens).map(move |j| (i, j))).map(|(i, j)| row(i, j)).collect();
            Tensor::from_vec(rows, (tokens, tokens), device)
        };
        Ok(match self {
            Self::None => Prepared::None,
            Self::Bias(biases) => {
                let (buckets, heads) = biases.dims2()?;
                let numbers = table(&|query, key| mpnet_bucket(query, key, buckets), biases.device())?;
                let bias = biases.index_select(&numbers.flatten_all()?, 0)?.t()?;
                Prepared::Bias(bias.reshape((1, heads, tokens, tokens))?)
            }
            Self::Disentangled { settings, distances, norm } => Prepared::Disentangled {
                settings: *settings,
                distances: match norm {
                    Some(norm) => norm.forward(distances, config)?,
                    None => distances.clone(),
                },
                to_keys: table(&|query, key| settings.row(query, key), distances.device())?,
                to_queries: table(&|key, query| settings.row(query, key), distances.device())?,
            },
        })
    }
}

impl DistanceProjections {
    pub(super) fn load(vb: &VarBuilder, config: &EncoderConfig) -> Result<Self> {
        let RelativeAttention::Disentangled(settings) = config.relative else { return Ok(Self::default()) };
        let width = config.hidden_size;
        let own = |wanted: bool, name: &str| match wanted && !settings.shares_projections {
            true => Linear::load(vb.pp(name), width, width).map(Some),
            false => Ok(None),
        };
        Ok(Self {
            key: own(settings.content_to_position, "attention.self.pos_key_proj")?,
            query: own(settings.position_to_content, "attention.self.pos_query_proj")?,
        })
    }

    /// The queries to attend with, and what is added to their scores with the keys, `[batch or 1, heads, tokens, tokens]`.
    ///
    /// * `query`, `key`: the layer's projections of the tokens, `[batch, tokens, width]`
    /// * `projections`: the layers that made them, for distances that go through the same
    pub(super) fn apply(
        &self,
        query: &Tensor,
        key: &Tensor,
        projections: [&Linear; 2],
        relative: &Prepared,
        config: &EncoderConfig,
        pass: &Pass,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let (settings, distances, to_keys, to_queries) = match relative {
            Prepared::None => return Ok((query.clone(), None)),
            Prepared::Bias(bias) => return Ok((query.clone(), Some(bias.clone()))),
            Prepared::Disentangled { settings, distances, to_keys, to_queries } => {
                (settings, distances, to_keys, to_queries)
            }
        };
        let (batch, tokens, width) = query.dims3()?;
        let heads = config.num_attention_heads;
        // [batch, rows, width] to [batch, heads, rows, head width]
        let split = |x: &Tensor| -> Result<Tensor> {
            let (batch, rows, _) = x.dims3()?;
            x.reshape((batch, rows, heads, width / heads))?.transpose(1, 2)?.contiguous()
        };
        let distances = dropout(distances, config.hidden_dropout_prob, &pass.randomness)?.unsqueeze(0)?;
        let spread = |rows: &Tensor| {
            rows.unsqueeze(0)?.unsqueeze(0)?.broadcast_as((batch, heads, tokens, tokens))?.contiguous()
        };
        let kinds = 1 + usize::from(settings.content_to_position) + usize::from(settings.position_to_content);
        let scale = 1.0 / ((width / heads * kinds) as f64).sqrt();
        // How much every token of `content` minds every distance, looked up at the distances of `rows`.
        let score = |content: &Tensor, projection: &Linear, rows: &Tensor| -> Result<Tensor> {
            let positions = split(&projection.forward_in(&distances, Precision::F32)?)?;
            let all = split(content)?.broadcast_matmul(&positions.t()?)?;
            all.contiguous()?.gather(&spread(rows)?, 3)? * scale
        };
        let mut bias: Option<Tensor> = None;
        if settings.content_to_position {
            bias = Some(score(query, self.key.as_ref().unwrap_or(projections[1]), to_keys)?);
        }
        if settings.position_to_content {
            let turned =
                score(key, self.query.as_ref().unwrap_or(projections[0]), to_queries)?.transpose(2, 3)?;
            bias = Some(match bias {
                Some(bias) => (bias + turned)?,
                None => turned.contiguous()?,
            });
        }
        // `attention` divides by the root of the head width alone.
        Ok(((query * (1.0 / (kinds as f64).sqrt()))?, bias))
    }
}

/// Bucket of the distance between two places, as in HF `MPNetEncoder.relative_position_bucket` (and T5): half of the
/// buckets for keys behind the query; in each half the first half for one distance each, the rest logarithmic up to 128.
fn mpnet_bucket(query: usize, key: usize, buckets: usize) -> u32 {
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

impl Disentangled {
    /// Row of the table of distances for a query and a key, as in HF `make_log_bucket_position`: one row a distance near by,
    /// logarithmic buckets farther away.
    fn row(&self, query: usize, key: usize) -> u32 {
        let distance = query as i64 - key as i64;
        let (span, middle) = (self.span() as i64, self.buckets as i64 / 2);
        let bucket = if self.buckets == 0 || distance.abs() <= middle {
            distance
        } else {
            let far = (distance.abs() as f32 / middle as f32).ln();
            let farthest = ((self.farthest - 1) as f32 / middle as f32).ln();
            let log = (far / farthest * (middle - 1) as f32).ceil() as i64 + middle;
            log * distance.signum()
        };
        (bucket + span).clamp(0, 2 * span - 1) as u32
    }
}
