//! Decision thresholds and temperature, fitted on development data; cross-fitted where the same data are scored.

use super::{Counts, Groups, Rows};
use std::str::FromStr;

/// What a threshold is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// The best F1.
    F1,
    /// At least this precision, and then as much recall as can be had.
    Precision(f64),
    /// At least this recall, and then as much precision as can be had.
    Recall(f64),
}

impl FromStr for Objective {
    type Err = String;

    /// Reads `f1`, `precision>=0.95` or `recall>=0.9`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text: String = text.split_whitespace().collect();
        let share =
            |value: &str| value.parse().ok().filter(|share| (0.0..=1.0).contains(share) && *share > 0.0);
        let objective = match text.split_once(">=") {
            None if text == "f1" => Some(Self::F1),
            Some(("precision", value)) => share(value).map(Self::Precision),
            Some(("recall", value)) => share(value).map(Self::Recall),
            _ => None,
        };
        objective.ok_or_else(|| "it must be f1, or as precision>=0.95 or recall>=0.9, a share above 0".into())
    }
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::F1 => write!(f, "f1"),
            Self::Precision(share) => write!(f, "precision>={share}"),
            Self::Recall(share) => write!(f, "recall>={share}"),
        }
    }
}

/// A threshold and what it decides on the data that it was fitted on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Probability from which on the label is given.
    pub threshold: f32,
    /// What that decides.
    pub counts: Counts,
    /// False where no threshold reaches what was asked for; this one comes closest.
    pub reached: bool,
}

/// The threshold of each label that serves the objective best.
///
/// * `scores`: probabilities, `[sentences, labels]`; `gold`: flags of the same shape.
///
/// F1 as a function of the threshold is ragged: the best single cut is often luck. It is smoothed over neighbouring cuts
/// before the best is taken. A threshold is put between two scores. A label without positives keeps 0.5.
pub fn fit_thresholds(scores: &Rows<f32>, gold: &Rows<bool>, objective: Objective) -> Vec<Cut> {
    let cut = |label| fit_threshold(&scores.column(label), &gold.column(label), objective);
    (0..gold.width()).map(cut).collect()
}

/// Cuts on either side that a cut is averaged with.
const SMOOTHING: usize = 8;

fn fit_threshold(scores: &[f32], gold: &[bool], objective: Objective) -> Cut {
    let cuts = cuts(scores, gold);
    if !gold.contains(&true) || cuts.is_empty() {
        let mut counts = Counts::default();
        scores.iter().zip(gold).for_each(|(&score, &gold)| counts.note(score >= 0.5, gold));
        return Cut { threshold: 0.5, counts, reached: objective == Objective::F1 };
    }
    let best = |value: &dyn Fn(usize) -> f64, allowed: &dyn Fn(usize) -> bool| {
        // Of equals the one with the best F1: few sentences are all smoothed to one value, and a recall that is asked for
        // may be had at several thresholds of the same precision.
        let allowed = (0..cuts.len())
            .filter(|&i| allowed(i))
            .map(|i| (i, (value(i), cuts[i].counts.f1().unwrap_or(0.0))));
        allowed.reduce(|best, cut| if cut.1 > best.1 { cut } else { best }).map(|(i, _)| cuts[i])
    };
    let smooth = |i: usize| {
        let window = &cuts[i.saturating_sub(SMOOTHING)..(i + SMOOTHING + 1).min(cuts.len())];
        window.iter().map(|cut| cut.counts.f1().unwrap_or(0.0)).sum::<f64>() / window.len() as f64
    };
    let precision = |i: usize| cuts[i].counts.precision().unwrap_or(0.0);
    let recall = |i: usize| cuts[i].counts.recall().unwrap_or(0.0);
    let (fitted, closest) = match objective {
        Objective::F1 => (best(&smooth, &|_| true), None),
        Objective::Precision(least) => {
            (best(&recall, &|i| precision(i) >= least), best(&precision, &|_| true))
        }
        Objective::Recall(least) => (best(&precision, &|i| recall(i) >= least), best(&recall, &|_| true)),
    };
    match (fitted, closest) {
        (Some(cut), _) => cut,
        (None, Some(cut)) => Cut { reached: false, ..cut },
        (None, None) => unreachable!("there is a cut, and the best F1 has no condition"),
    }
}

/// Every place to cut the scores, from the highest down, below a score where the next is lower.
fn cuts(scores: &[f32], gold: &[bool]) -> Vec<Cut> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut cuts = Vec::new();
    let mut counts = Counts { tp: 0, fp: 0, fn_: gold.iter().filter(|&&y| y).count() };
    for (i, &at) in order.iter().enumerate() {
        if gold[at] {
            counts.tp += 1;
            counts.fn_ -= 1;
        } else {
            counts.fp += 1;
        }
        let next = order.get(i + 1).map_or(0.0, |&next| scores[next]);
        if next < scores[at] {
            cuts.push(Cut { threshold: between(scores[at], next), counts, reached: true });
        }
    }
    cuts
}

/// A threshold that the higher score reaches and the lower does not, halfway where there is a number between them.
fn between(high: f32, low: f32) -> f32 {
    let middle = f32::midpoint(high, low);
    if middle > low { middle } else { high }
}

/// Decisions on data that the thresholds are also fitted on, without flattery: groups are dealt into `folds` parts, and
/// each part is decided by thresholds fitted on the others.
///
/// * `group_of`: the group of each sentence; sentences of one group stay in one part.
pub fn cross_fitted_decisions(
    scores: &Rows<f32>,
    gold: &Rows<bool>,
    group_of: &[u32],
    groups: &Groups,
    folds: usize,
    objective: Objective,
) -> Rows<bool> {
    let fold_of = groups.folds(folds);
    let fold = |row: usize| fold_of[group_of[row] as usize];
    let thresholds: Vec<Vec<f32>> = (0..folds)
        .map(|left| {
            let rest: Vec<usize> = (0..scores.len()).filter(|&row| fold(row) != left).collect();
            let cuts = fit_thresholds(&scores.select(&rest), &gold.select(&rest), objective);
            cuts.into_iter().map(|cut| cut.threshold).collect()
        })
        .collect();
    let decide = |(row, scores): (usize, &[f32])| -> Vec<bool> {
        let threshold = |label: usize| thresholds[fold(row)].get(label).copied().unwrap_or(0.5);
        scores.iter().enumerate().map(|(label, &p)| p >= threshold(label)).collect()
    };
    scores.iter().enumerate().map(decide).collect()
}

/// The temperature between 0.1 and 10 at which `nll` is least (Guo et al. 2017, arXiv 1706.04599), by golden-section search
/// over its logarithm.
///
/// * `nll`: negative log-likelihood of the data at a temperature, such as [`binary_nll`] or [`softmax_nll`].
pub fn fit_temperature(nll: impl Fn(f64) -> f64) -> f32 {
    let loss = |log_t: f64| nll(log_t.exp());
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
pub fn binary_nll(logits: &Rows<f32>, gold: &Rows<bool>, temperature: f64) -> f64 {
    let terms = logits.values().iter().zip(gold.values()).map(|(&x, &y)| {
        let x = f64::from(x) / temperature;
        let signed = if y { -x } else { x };
        signed.max(0.0) + (-signed.abs()).exp().ln_1p()
    });
    mean(terms)
}

/// Mean negative log-likelihood of the labels under `softmax(logits / temperature)`, in nats per label given.
pub fn softmax_nll(logits: &Rows<f32>, gold: &Rows<bool>, temperature: f64) -> f64 {
    let terms = logits.iter().zip(gold.iter()).flat_map(|(logits, gold)| {
        let scaled: Vec<f64> = logits.iter().map(|&x| f64::from(x) / temperature).collect();
        let top = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = top + scaled.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
        let labels = scaled.into_iter().zip(gold).filter(|(_, there)| **there);
        labels.map(move |(x, _)| log_sum - x).collect::<Vec<f64>>()
    });
    mean(terms)
}

fn mean(terms: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = terms.fold((0.0, 0usize), |(sum, n), term| (sum + term, n + 1));
    sum / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<T: Copy>(values: impl IntoIterator<Item = T>) -> Rows<T> {
        values.into_iter().map(|value| [value]).collect()
    }

    #[test]
    fn separable_scores_are_cut_between_the_classes() {
        let scores = rows((0..100).map(|i| i as f32 / 100.0));
        let gold = rows((0..100).map(|i| i >= 70));
        let cut = fit_thresholds(&scores, &gold, Objective::F1)[0];
        assert!((0.66..=0.74).contains(&cut.threshold), "{cut:?}");
    }

    #[test]
    fn a_label_without_positives_keeps_one_half() {
        let cut = fit_thresholds(&rows([0.9, 0.1]), &rows([false, false]), Objective::F1)[0];
        assert_eq!((cut.threshold, cut.counts), (0.5, Counts { tp: 0, fp: 1, fn_: 0 }));
    }

    #[test]
    fn an_objective_is_reached_with_as_much_of_the_other_as_can_be_had() {
        // From the top: right, right, wrong, right, wrong, wrong.
        let scores = rows([0.9, 0.8, 0.7, 0.6, 0.3, 0.1]);
        let gold = rows([true, true, false, true, false, false]);
        let fit = |objective: &str| fit_thresholds(&scores, &gold, objective.parse().unwrap())[0];
        let close = |cut: Cut, threshold: f32| cut.reached && (cut.threshold - threshold).abs() < 1e-6;
        assert!(close(fit("precision>=0.95"), 0.75), "{:?}", fit("precision>=0.95"));
        assert!(close(fit("precision >= 0.7"), 0.45));
        assert!(close(fit("recall>=1"), 0.45));
        assert!(close(fit("recall>=0.5"), 0.75));
        let swapped = rows([false, true, false, true, true, true]);
        let cut = fit_thresholds(&scores, &swapped, Objective::Precision(0.9))[0];
        assert_eq!((cut.reached, cut.counts), (false, Counts { tp: 4, fp: 2, fn_: 0 }));
        for wrong in ["f2", "precision", "precision>=2", "recall>=0", "precision>=x"] {
            assert!(wrong.parse::<Objective>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn few_sentences_are_cut_where_f1_is_best() {
        let scores = rows([0.9, 0.8, 0.7, 0.3, 0.2, 0.1]);
        let gold = rows([true, true, true, false, false, false]);
        let cut = fit_thresholds(&scores, &gold, Objective::F1)[0];
        assert_eq!((cut.threshold, cut.counts), (0.5, Counts { tp: 3, fp: 0, fn_: 0 }));
        // Two thirds are asked for, and all can be had for the same precision.
        let cut = fit_thresholds(&scores, &gold, Objective::Recall(0.6))[0];
        assert_eq!(cut.counts, Counts { tp: 3, fp: 0, fn_: 0 });
    }

    #[test]
    fn a_threshold_decides_what_it_was_counted_to_decide() {
        // Neighbours among the numbers of 32 bits: halfway is rounded to one of them.
        for high in [0.999_999_9f32, 1.0, 0.3, 1e-30] {
            let scores = rows([high, high.next_down(), high.next_down().next_down()]);
            let gold = rows([true, false, false]);
            let cut = fit_thresholds(&scores, &gold, Objective::Precision(1.0))[0];
            let given = scores.values().iter().filter(|&&score| score >= cut.threshold).count();
            assert_eq!((given, cut.counts.tp, cut.counts.fp), (1, 1, 0), "{cut:?}");
        }
    }

    #[test]
    fn cross_fitting_does_not_find_structure_in_noise() {
        // Scores that say nothing: fitted and scored on the same data they look better than cross-fitted.
        let noise = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0;
        let scores = rows((0..300).map(noise));
        let gold = rows((0..300).map(|i| (i * 31) % 7 == 0));
        let mut groups = Groups::default();
        let group_of: Vec<u32> = (0..300).map(|i| groups.next(Some(&format!("g{}", i / 3)))).collect();
        let decided = cross_fitted_decisions(&scores, &gold, &group_of, &groups, 5, Objective::F1);
        assert_eq!(decided.len(), 300);
        let f1 = |decided: &Rows<bool>| {
            let mut counts = Counts::default();
            decided.values().iter().zip(gold.values()).for_each(|(&found, &there)| counts.note(found, there));
            counts.f1().unwrap()
        };
        let threshold = fit_thresholds(&scores, &gold, Objective::F1)[0].threshold;
        let flattered = rows(scores.values().iter().map(|&score| score >= threshold));
        assert!(f1(&decided) <= f1(&flattered) + 1e-9);
    }

    #[test]
    fn overconfident_logits_get_a_temperature_above_one() {
        // Logits of +-4 that are right three times in four: the honest logit is ln 3.
        let logits = rows((0..400).map(|_| 4.0));
        let gold = rows((0..400).map(|i| i % 4 != 0));
        let temperature = fit_temperature(|t| binary_nll(&logits, &gold, t));
        assert!((4.0 / temperature - 3f32.ln()).abs() < 1e-2, "{temperature}");
        assert!(binary_nll(&logits, &gold, f64::from(temperature)) < binary_nll(&logits, &gold, 1.0));
        // The same of two labels of which one is right.
        let logits: Rows<f32> = (0..400).map(|_| [4.0, 0.0]).collect();
        let gold: Rows<bool> = (0..400).map(|i| [i % 4 != 0, i % 4 == 0]).collect();
        let of_two = fit_temperature(|t| softmax_nll(&logits, &gold, t));
        assert!((of_two - temperature).abs() < 1e-3, "{of_two}");
    }
}
