use crate::encoder::{EncoderConfig, Family};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// How the states of a sentence become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The average over the real tokens, as sentence-transformers' MiniLM was trained.
    Mean,
    /// The first token through a dense layer and tanh, as in HF `BertPooler` and `RobertaClassificationHead`.
    Pooler,
    /// The same with GELU, as in HF `ElectraClassificationHead` and DeBERTa's `ContextPooler`.
    #[serde(rename = "pooler-gelu")]
    PoolerGelu,
    /// The same with ReLU, as in HF `DistilBertForSequenceClassification`.
    #[serde(rename = "pooler-relu")]
    PoolerRelu,
    /// The first token as it is.
    First,
}

impl Pooling {
    /// What `transformers` does before the classifier of such an encoder.
    pub fn of(config: &EncoderConfig) -> Self {
        match config.family {
            Family::ModernBert if config.modern.as_ref().is_some_and(|modern| modern.pools_mean) => {
                Self::Mean
            }
            Family::ModernBert => Self::First,
            Family::Bert | Family::Roberta | Family::MpNet | Family::Albert => Self::Pooler,
            Family::Electra | Family::DebertaV2 => Self::PoolerGelu,
            Family::DistilBert => Self::PoolerRelu,
        }
    }

    /// As descriptions and settings files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Pooler => "pooler",
            Self::PoolerGelu => "pooler-gelu",
            Self::PoolerRelu => "pooler-relu",
            Self::First => "first",
        }
    }

    /// True if a dense layer belongs to it.
    pub fn has_dense(self) -> bool {
        !matches!(self, Self::Mean | Self::First)
    }
}

/// Averages token states into one vector per sentence, leaving padding out.
///
/// * `states`: encoder output, `[batch, tokens, width]`, any float dtype.
/// * `mask`: `[batch, tokens]`, 1 on real tokens and 0 on padding.
///
/// Returns `[batch, width]` in the dtype of `states`. A sentence with no real token comes back as zeros rather than NaN.
///
/// # Errors
/// If `mask` is not exactly `[batch, tokens]`: broadcasting would accept `[1, tokens]` and quietly reuse one mask.
pub fn mean_pool(states: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (batch, tokens, _width) = states.dims3()?;
    if mask.dims() != [batch, tokens] {
        candle_core::bail!("mask is {:?}, states need [{batch}, {tokens}]", mask.dims());
    }
    let mask = mask.to_dtype(states.dtype())?;
    // A product in place of multiply-and-sum: [batch, 1, tokens] x [batch, tokens, width].
    let total = mask.unsqueeze(1)?.matmul(states)?.squeeze(1)?;
    let count = mask.sum(1)?.maximum(1f64)?.unsqueeze(1)?;
    total.broadcast_div(&count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn padding_is_left_out_and_an_empty_row_is_zero() -> Result<()> {
        let states = Tensor::new(
            &[[[1f32, 2.0], [3.0, 4.0]], [[5.0, 6.0], [70.0, 80.0]], [[9.0, 9.0], [9.0, 9.0]]],
            &Device::Cpu,
        )?;
        let mask = Tensor::new(&[[1f32, 1.0], [1.0, 0.0], [0.0, 0.0]], &Device::Cpu)?;
        let pooled = mean_pool(&states, &mask)?.to_vec2::<f32>()?;
        assert_eq!(pooled, [[2.0, 3.0], [5.0, 6.0], [0.0, 0.0]]);
        Ok(())
    }

    #[test]
    fn a_name_is_what_is_written() {
        use Pooling::{First, Mean, Pooler, PoolerGelu, PoolerRelu};
        for pooling in [Mean, Pooler, PoolerGelu, PoolerRelu, First] {
            assert_eq!(serde_json::to_value(pooling).unwrap(), pooling.name());
        }
    }

    #[test]
    fn a_mask_that_would_broadcast_is_refused() {
        let states = Tensor::zeros((2, 3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mask = Tensor::zeros((1, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(mean_pool(&states, &mask).is_err());
    }
}
