//! The temperature of a head that gives one distribution over its labels.

/// The temperature that makes the gold labels likeliest under `softmax(logits / temperature)` (Guo et al. 2017, arXiv
/// 1706.04599), between 0.1 and 10, by golden-section search over its logarithm: in the inverse temperature the likelihood is
/// convex, so there is one optimum. 1 for nothing.
///
/// * `logits`: `[sentences][labels]`; `gold`: index of the right label, a sentence.
pub fn fit_softmax_temperature(logits: &[Vec<f32>], gold: &[usize]) -> f32 {
    if logits.is_empty() {
        return 1.0;
    }
    let loss = |log_t: f64| nll(logits, gold, log_t.exp());
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.1f64.ln(), 10f64.ln());
    for _ in 0..60 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(a) < loss(b) {
            high = b;
        } else {
            low = a;
        }
    }
    f64::midpoint(low, high).exp() as f32
}

/// Mean negative log-likelihood of the right labels, in nats per sentence.
fn nll(logits: &[Vec<f32>], gold: &[usize], temperature: f64) -> f64 {
    let terms = logits.iter().zip(gold).map(|(logits, &gold)| {
        let scaled = || logits.iter().map(|&x| f64::from(x) / temperature);
        let top = scaled().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scaled().map(|x| (x - top).exp()).sum();
        top + sum.ln() - f64::from(logits[gold]) / temperature
    });
    terms.sum::<f64>() / logits.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overconfident_logits_get_a_temperature_above_one() {
        // The first of three labels is right half of the time, the others a quarter each: the honest margin is ln 2.
        let logits = vec![vec![5.0, 0.0, 0.0]; 400];
        let gold: Vec<usize> = (0..400).map(|i| [0, 1, 0, 2][i % 4]).collect();
        let temperature = fit_softmax_temperature(&logits, &gold);
        assert!((5.0 / temperature - 2f32.ln()).abs() < 1e-2, "{temperature}");
        assert!(nll(&logits, &gold, f64::from(temperature)) < nll(&logits, &gold, 1.0));
    }

    #[test]
    fn two_labels_are_calibrated_as_a_sigmoid_on_their_difference() {
        let margin = |i: usize| ((i * 7919) % 101) as f32 / 10.0 - 5.0;
        let right = |i: usize| usize::from(margin(i) + ((i * 31) % 17) as f32 - 8.0 > 0.0);
        let logits: Vec<Vec<f32>> = (0..300).map(|i| vec![0.3, 0.3 + margin(i)]).collect();
        let gold: Vec<usize> = (0..300).map(right).collect();
        let differences: Vec<Vec<f32>> = (0..300).map(|i| vec![margin(i)]).collect();
        let flags: Vec<Vec<bool>> = gold.iter().map(|&label| vec![label == 1]).collect();
        let expected = crate::evaluation::fit_temperature(&differences, &flags);
        let found = fit_softmax_temperature(&logits, &gold);
        assert!((found / expected - 1.0).abs() < 1e-3, "{found}, not {expected}");
    }

    #[test]
    fn nothing_to_fit_leaves_the_logits_as_they_are() {
        assert_eq!(fit_softmax_temperature(&[], &[]), 1.0);
    }
}
