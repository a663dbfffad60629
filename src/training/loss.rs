//! Losses, as sums: the trainer divides by what the whole batch holds, so that shards add up to the batch.

use candle_core::{D, Result, Tensor};

/// Multi-label binary cross-entropy with logits, summed over sentences and averaged over labels.
///
/// * `logits`, `targets`: `[batch, labels]`
/// * `positive`: `[1, labels]`, weight of the positive term
/// * `weights`: `[batch, 1]`, weight of the sentence
///
/// Follows torch `BCEWithLogitsLoss`: `-(w y log s(x) + (1 - y) log(1 - s(x)))`. Returns a scalar.
pub(super) fn binary_cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    positive: &Tensor,
    weights: &Tensor,
) -> Result<Tensor> {
    let labels = logits.dim(1)? as f64;
    let negative = softplus(logits)?; // -log(1 - s(x))
    let affirmative = (&negative - logits)?; // -log s(x)
    let up = affirmative.mul(&targets.broadcast_mul(positive)?)?;
    let down = negative.mul(&(1.0 - targets)?)?;
    (up + down)?.broadcast_mul(weights)?.sum_all()? / labels
}

/// Cross-entropy with logits of one distribution over the labels, summed over sentences.
///
/// * `logits`, `targets`: `[batch, labels]`; a row of targets is a distribution
/// * `positive`: `[1, labels]`, weight of the label's term
/// * `weights`: `[batch, 1]`, weight of the sentence
///
/// Follows torch `CrossEntropyLoss` with probabilities for targets: `-sum_j w_j y_j log p_j`. Returns a scalar.
pub(super) fn soft_cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    positive: &Tensor,
    weights: &Tensor,
) -> Result<Tensor> {
    let log = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    log.mul(&targets.broadcast_mul(positive)?)?.broadcast_mul(weights)?.sum_all()?.neg()
}

/// Cross-entropy with label smoothing, summed over the rows.
///
/// * `logits`: `[rows, tags]`, `tags`: `[rows]` (u32), `weights`: `[rows]`
pub(super) fn cross_entropy(
    logits: &Tensor,
    tags: &Tensor,
    weights: &Tensor,
    smoothing: f64,
) -> Result<Tensor> {
    let log = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    let right = log.gather(&tags.unsqueeze(1)?, 1)?.squeeze(1)?;
    let term =
        if smoothing > 0.0 { ((right * (1.0 - smoothing))? + (log.mean(1)? * smoothing)?)? } else { right };
    term.mul(weights)?.sum_all()?.neg()
}

/// R-Drop for a multi-label head: the mean of both Kullback-Leibler divergences between the Bernoulli distributions of two
/// passes, summed over sentences and averaged over labels. `(p - q)(logit p - logit q)` is their sum.
pub(super) fn r_drop(one: &Tensor, other: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let labels = one.dim(1)? as f64;
    let sigmoid = candle_nn::ops::sigmoid;
    let both = (sigmoid(one)? - sigmoid(other)?)?.mul(&(one - other)?)?;
    both.broadcast_mul(weights)?.sum_all()? / (2.0 * labels)
}

/// R-Drop for one distribution over the labels: the mean of both Kullback-Leibler divergences between those of two passes,
/// summed over sentences.
pub(super) fn soft_r_drop(one: &Tensor, other: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let log = |logits: &Tensor| candle_nn::ops::log_softmax(logits, D::Minus1);
    let (one, other) = (log(one)?, log(other)?);
    let both = (one.exp()? - other.exp()?)?.mul(&(one - other)?)?;
    both.broadcast_mul(weights)?.sum_all()? / 2.0
}

/// `log(1 + e^x)`, without overflow.
fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn binary_cross_entropy_equals_torch() -> Result<()> {
        // torch.nn.functional.binary_cross_entropy_with_logits(x, y, pos_weight=w, reduction="none").mean(1).sum()
        let x = Tensor::new(&[[0.5f32, -1.0], [100.0, -100.0]], &Device::Cpu)?;
        let y = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
        let w = Tensor::new(&[[2f32, 3.0]], &Device::Cpu)?;
        let rows = Tensor::ones((2, 1), candle_core::DType::F32, &Device::Cpu)?;
        let loss = binary_cross_entropy(&x, &y, &w, &rows)?.to_scalar::<f32>()?;
        let expected = (2.0 * 0.474_077 + 0.313_262) / 2.0 + (100.0 + 300.0) / 2.0;
        assert!((loss - expected).abs() < 1e-3, "{loss} against {expected}");
        Ok(())
    }

    #[test]
    fn cross_entropy_weighs_rows_and_smooths() -> Result<()> {
        let x = Tensor::new(&[[2f32, 0.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu)?;
        let tags = Tensor::new(&[0u32, 2], &Device::Cpu)?;
        let weights = Tensor::new(&[1f32, 0.5], &Device::Cpu)?;
        let (a, b) = ((2f32.exp() + 2.0).ln(), (1f32.exp() + 2.0).ln());
        let plain = cross_entropy(&x, &tags, &weights, 0.0)?.to_scalar::<f32>()?;
        assert!((plain - ((a - 2.0) + 0.5 * b)).abs() < 1e-5);
        let smooth = cross_entropy(&x, &tags, &weights, 0.3)?.to_scalar::<f32>()?;
        let expected = 0.7 * plain + 0.3 * ((a - 2.0 / 3.0) + 0.5 * (b - 1.0 / 3.0));
        assert!((smooth - expected).abs() < 1e-5, "{smooth} against {expected}");
        Ok(())
    }

    #[test]
    fn soft_cross_entropy_equals_torch() -> Result<()> {
        // torch.nn.CrossEntropyLoss(weight=w, reduction="none")(x, y), times the weights of the rows
        let x = Tensor::new(&[[1f32, 2.0, 0.5], [0.0, 1000.0, -1000.0]], &Device::Cpu)?;
        let y = Tensor::new(&[[0.1f32, 0.7, 0.2], [0.0, 1.0, 0.0]], &Device::Cpu)?;
        let w = Tensor::new(&[[1f32, 2.0, 1.0]], &Device::Cpu)?;
        let rows = Tensor::new(&[[0.5f32], [3.0]], &Device::Cpu)?;
        let loss = soft_cross_entropy(&x, &y, &w, &rows)?.to_scalar::<f32>()?;
        let sum = (1f32.exp() + 2f32.exp() + 0.5f32.exp()).ln();
        let expected = 0.5 * (0.1 * (sum - 1.0) + 2.0 * 0.7 * (sum - 2.0) + 0.2 * (sum - 0.5));
        assert!((loss - expected).abs() < 1e-5, "{loss} against {expected}");
        Ok(())
    }

    #[test]
    fn soft_cross_entropy_of_smoothed_targets_is_smoothed_cross_entropy() -> Result<()> {
        let x = Tensor::new(&[[2f32, 0.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu)?;
        let y = Tensor::new(&[[0.8f32, 0.1, 0.1], [0.1, 0.1, 0.8]], &Device::Cpu)?;
        let one = Tensor::ones((1, 3), candle_core::DType::F32, &Device::Cpu)?;
        let weights = Tensor::new(&[1f32, 0.5], &Device::Cpu)?;
        let soft = soft_cross_entropy(&x, &y, &one, &weights.unsqueeze(1)?)?.to_scalar::<f32>()?;
        let tags = Tensor::new(&[0u32, 2], &Device::Cpu)?;
        let hard = cross_entropy(&x, &tags, &weights, 0.3)?.to_scalar::<f32>()?;
        assert!((soft - hard).abs() < 1e-5, "{soft} against {hard}");
        Ok(())
    }

    #[test]
    fn soft_r_drop_is_the_mean_of_both_divergences() -> Result<()> {
        let x = Tensor::new(&[[1f32.ln(), 3f32.ln()]], &Device::Cpu)?;
        let y = Tensor::new(&[[1f32.ln(), 1f32.ln()]], &Device::Cpu)?;
        let one = Tensor::ones((1, 1), candle_core::DType::F32, &Device::Cpu)?;
        // Of (1/4, 3/4) and (1/2, 1/2).
        let there = 0.25 * 0.5f32.ln() + 0.75 * 1.5f32.ln();
        let back = 0.5 * 2f32.ln() + 0.5 * (2f32 / 3.0).ln();
        let found = soft_r_drop(&x, &y, &one)?.to_scalar::<f32>()?;
        assert!((found - (there + back) / 2.0).abs() < 1e-6, "{found}");
        assert_eq!(soft_r_drop(&x, &x, &one)?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }

    #[test]
    fn two_equal_passes_cost_nothing() -> Result<()> {
        let x = Tensor::new(&[[2f32, -1.0]], &Device::Cpu)?;
        let y = Tensor::new(&[[1f32, 1.0]], &Device::Cpu)?;
        let one = Tensor::ones((1, 1), candle_core::DType::F32, &Device::Cpu)?;
        assert_eq!(r_drop(&x, &x, &one)?.to_scalar::<f32>()?, 0.0);
        assert!(r_drop(&x, &y, &one)?.to_scalar::<f32>()? > 0.0);
        Ok(())
    }
}
