//! Decision thresholds and temperature, fitted on development data; cross-fitted where the same data are scored.

use super::Counts;
use std::collections::BTreeMap;

/// The probability threshold of each label that gives the best F1.
///
/// * `scores`: probabilities `[sentences][labels]`; `gold`: flags of the same shape.
///
/// F1 as a function of the threshold is ragged: the best single cut is often luck. It is smoothed over neighbouring cuts
/// before the best is taken, and the threshold is put between two scores. A label without positives keeps 0.5.
pub fn fit_thresholds(scores: &[Vec<f32>], gold: &[Vec<bool>]) -> Vec<f32> {
    let labels = gold.first().map_or(0, Vec::len);
    (0..labels)
        .map(|label| {
            let scores: Vec<f32> = scores.iter().map(|s| s[label]).collect();
            let gold: Vec<bool> = gold.iter().map(|g| g[label]).collect();
            best_cut(&scores, &gold)
        })
        .collect()
}

/// Cuts on either side that a cut is averaged with.
const SMOOTHING: usize = 8;

fn best_cut(scores: &[f32], gold: &[bool]) -> f32 {
    let positives = gold.iter().filter(|&&y| y).count();
    if positives == 0 {
        return 0.5;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    // A cut below the i-th highest score, where the next is lower.
    let mut cuts: Vec<(f32, f64)> = Vec::new();
    let mut counts = Counts { tp: 0, fp: 0, fn_: positives };
    for (i, &at) in order.iter().enumerate() {
        if gold[at] {
            counts.tp += 1;
            counts.fn_ -= 1;
        } else {
            counts.fp += 1;
        }
        let next = order.get(i + 1).map_or(0.0, |&next| scores[next]);
        if next < scores[at] {
            cuts.push((f32::midpoint(scores[at], next), counts.f1().unwrap_or(0.0)));
        }
    }
    let smooth = |i: usize| {
        let window = &cuts[i.saturating_sub(SMOOTHING)..(i + SMOOTHING + 1).min(cuts.len())];
        window.iter().map(|(_, f1)| f1).sum::<f64>() / window.len() as f64
    };
    let best =
        (0..cuts.len()).map(|i| (i, smooth(i))).reduce(|best, cut| if cut.1 > best.1 { cut } else { best });
    best.map_or(0.5, |(i, _)| cuts[i].0)
}

/// Decisions on data that the thresholds are also fitted on, without flattery: `groups` are dealt into `folds` parts, and
/// each part is decided by thresholds fitted on the others.
///
/// * `groups`: what each sentence belongs to (its article); sentences of one group stay in one part.
pub fn cross_fitted_decisions(
    scores: &[Vec<f32>],
    gold: &[Vec<bool>],
    groups: &[String],
    folds: usize,
) -> Vec<Vec<bool>> {
    let mut fold_of: BTreeMap<&str, usize> = BTreeMap::new();
    for group in groups {
        fold_of.insert(group, 0);
    }
    // Dealt out by hash, so that neighbours in the alphabet (one source, one date) part ways.
    let mut names: Vec<&str> = fold_of.keys().copied().collect();
    names.sort_by_key(|name| (fnv(name), *name));
    for (i, name) in names.into_iter().enumerate() {
        fold_of.insert(name, i % folds.max(1));
    }
    let mut decided = vec![Vec::new(); scores.len()];
    for fold in 0..folds {
        let rest: Vec<usize> = (0..scores.len()).filter(|&i| fold_of[groups[i].as_str()] != fold).collect();
        let pick = |i: &usize| (scores[*i].clone(), gold[*i].clone());
        let (fit_scores, fit_gold): (Vec<_>, Vec<_>) = rest.iter().map(pick).unzip();
        let thresholds = fit_thresholds(&fit_scores, &fit_gold);
        for i in (0..scores.len()).filter(|&i| fold_of[groups[i].as_str()] == fold) {
            let threshold = |label: usize| thresholds.get(label).copied().unwrap_or(0.5);
            decided[i] = scores[i].iter().enumerate().map(|(label, &p)| p >= threshold(label)).collect();
        }
    }
    decided
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The temperature that makes the probabilities `sigmoid(logit / temperature)` likeliest (Guo et al. 2017, arXiv
/// 1706.04599), between 0.1 and 10, by golden-section search over its logarithm. 1 for nothing.
pub fn fit_temperature(logits: &[Vec<f32>], gold: &[Vec<bool>]) -> f32 {
    if logits.is_empty() {
        return 1.0;
    }
    let loss = |log_t: f64| binary_nll(logits, gold, log_t.exp());
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

/// Mean negative log-likelihood of the flags under `sigmoid(logit / temperature)`, in nats per label and sentence.
pub fn binary_nll(logits: &[Vec<f32>], gold: &[Vec<bool>], temperature: f64) -> f64 {
    let terms = logits.iter().flatten().zip(gold.iter().flatten()).map(|(&x, &y)| {
        let x = f64::from(x) / temperature;
        let signed = if y { -x } else { x };
        signed.max(0.0) + (-signed.abs()).exp().ln_1p()
    });
    let (sum, n) = terms.fold((0.0, 0usize), |(sum, n), term| (sum + term, n + 1));
    sum / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separable_scores_are_cut_between_the_classes() {
        let scores: Vec<Vec<f32>> = (0..100).map(|i| vec![i as f32 / 100.0]).collect();
        let gold: Vec<Vec<bool>> = (0..100).map(|i| vec![i >= 70]).collect();
        let cut = fit_thresholds(&scores, &gold)[0];
        assert!((0.66..=0.74).contains(&cut), "{cut}");
    }

    #[test]
    fn a_label_without_positives_keeps_one_half() {
        assert_eq!(fit_thresholds(&[vec![0.9], vec![0.1]], &[vec![false], vec![false]]), [0.5]);
    }

    #[test]
    fn cross_fitting_does_not_find_structure_in_noise() {
        // Scores that say nothing: fitted and scored on the same data they look better than cross-fitted.
        let noise = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0;
        let scores: Vec<Vec<f32>> = (0..300).map(|i| vec![noise(i)]).collect();
        let gold: Vec<Vec<bool>> = (0..300).map(|i| vec![(i * 31) % 7 == 0]).collect();
        let groups: Vec<String> = (0..300).map(|i| format!("g{}", i / 3)).collect();
        let decided = cross_fitted_decisions(&scores, &gold, &groups, 5);
        assert!(decided.iter().all(|d| d.len() == 1));
        let count =
            |decided: &[Vec<bool>]| super::super::Classification::count(decided, &gold).macro_f1().unwrap();
        let threshold = fit_thresholds(&scores, &gold)[0];
        let flattered: Vec<Vec<bool>> = scores.iter().map(|s| vec![s[0] >= threshold]).collect();
        assert!(count(&decided) <= count(&flattered) + 1e-9);
    }

    #[test]
    fn overconfident_logits_get_a_temperature_above_one() {
        // Logits of +-4 that are right three times in four: the honest logit is ln 3.
        let logits: Vec<Vec<f32>> = (0..400).map(|_| vec![4.0]).collect();
        let gold: Vec<Vec<bool>> = (0..400).map(|i| vec![i % 4 != 0]).collect();
        let temperature = fit_temperature(&logits, &gold);
        assert!((4.0 / temperature - 3f32.ln()).abs() < 1e-2, "{temperature}");
        assert!(binary_nll(&logits, &gold, f64::from(temperature)) < binary_nll(&logits, &gold, 1.0));
    }
}
