//! What scores say before anything is decided: ranking, calibration, and what is left when the unsure is passed over.

use super::{CoveragePoint, CurvePoint, ReliabilityBin};

/// Sentences from the highest score of a label to the lowest.
pub(super) struct Ranking(Vec<Ranked>);

#[derive(Clone, Copy)]
struct Ranked {
    score: f32,
    group: u32,
    gold: bool,
}

/// Points that a curve has at most.
const POINTS: usize = 200;

impl Ranking {
    pub(super) fn new(scores: &[f32], gold: &[bool], groups: &[u32]) -> Self {
        let rows = scores.iter().zip(gold).zip(groups);
        let mut ranked: Vec<Ranked> =
            rows.map(|((&score, &gold), &group)| Ranked { score, group, gold }).collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self(ranked)
    }

    /// Average precision as scikit-learn defines it: the sum of precisions at each threshold, weighted by the recall gained
    /// there. Each sentence counts as often as its group's weight says. `None` without a positive.
    pub(super) fn average_precision(&self, weights: Option<&[u32]>) -> Option<f64> {
        let weight = |row: &Ranked| weights.map_or(1, |weights| weights[row.group as usize]) as usize;
        let positives: usize = self.0.iter().filter(|row| row.gold).map(weight).sum();
        if positives == 0 {
            return None;
        }
        let (mut found, mut seen, mut area, mut before) = (0, 0, 0.0, 0);
        for (i, row) in self.0.iter().enumerate() {
            let weight = weight(row);
            seen += weight;
            found += if row.gold { weight } else { 0 };
            let tied = self.0.get(i + 1).is_some_and(|next| next.score == row.score);
            if !tied && found > before {
                area += (found - before) as f64 / positives as f64 * (found as f64 / seen as f64);
                before = found;
            }
        }
        Some(area)
    }

    /// Decisions at up to [`POINTS`] thresholds, from the highest to the lowest: half of them spread evenly over
    /// probabilities, half over the sentences that are found.
    pub(super) fn curve(&self) -> Vec<CurvePoint> {
        let mut all: Vec<CurvePoint> = Vec::new();
        let (mut tp, mut fp) = (0, 0);
        for row in &self.0 {
            tp += usize::from(row.gold);
            fp += usize::from(!row.gold);
            match all.last_mut().filter(|last| last.threshold == row.score) {
                Some(last) => (last.tp, last.fp) = (tp, fp),
                None => all.push(CurvePoint { threshold: row.score, tp, fp }),
            }
        }
        if all.len() <= POINTS {
            return all;
        }
        let steps = POINTS / 2 - 1;
        let step = |i: usize| {
            let point = &all[i];
            let found = point.tp * steps / tp.max(1);
            ((point.threshold * steps as f32) as usize, found)
        };
        // The last point of each step; the very last one is always among them.
        let kept = (0..all.len()).filter(|&i| {
            let (of_threshold, of_found) = step(i);
            i + 1 == all.len() || step(i + 1).0 != of_threshold || step(i + 1).1 != of_found
        });
        kept.map(|i| all[i]).collect()
    }
}

/// Average precision of one label as scikit-learn defines it. `None` without a positive.
#[cfg(test)]
pub(super) fn average_precision(scores: &[f32], gold: &[bool]) -> Option<f64> {
    Ranking::new(scores, gold, &vec![0; scores.len()]).average_precision(None)
}

/// Bins of the expected calibration error.
const BINS: usize = 15;

/// Sentences by their probability of one label, in equally wide bins.
pub(super) fn reliability(scores: &[f32], gold: &[bool]) -> Vec<ReliabilityBin> {
    let mut bins = vec![ReliabilityBin::default(); BINS];
    for (&p, &y) in scores.iter().zip(gold) {
        let bin = &mut bins[((p * BINS as f32) as usize).min(BINS - 1)];
        bin.sentences += 1;
        bin.positives += usize::from(y);
        bin.probability += f64::from(p);
        bin.squared_error += (f64::from(p) - f64::from(u8::from(y))).powi(2);
    }
    bins
}

impl ReliabilityBin {
    /// Mean squared distance between probability and truth (Brier 1950); `None` for nothing.
    pub fn brier(bins: &[Self]) -> Option<f64> {
        Self::mean(bins, |bin| bin.squared_error)
    }

    /// Expected calibration error: the mean distance between the probability and the share of positives, weighted by the
    /// bins' sizes (Naeini et al. 2015). `None` for nothing.
    pub fn expected_calibration_error(bins: &[Self]) -> Option<f64> {
        Self::mean(bins, |bin| (bin.probability - bin.positives as f64).abs())
    }

    fn mean(bins: &[Self], of: fn(&Self) -> f64) -> Option<f64> {
        let sentences: usize = bins.iter().map(|bin| bin.sentences).sum();
        (sentences > 0).then(|| bins.iter().map(of).sum::<f64>() / sentences as f64)
    }
}

/// Points of the coverage curve at most.
const STEPS: usize = 100;

/// What is answered, and how much of it is wrong, at falling confidence; equally sure sentences are answered together.
///
/// * `answers`: confidence, and whether all of the answer is right, sentence by sentence.
pub(super) fn coverage(mut answers: Vec<(f32, bool)>) -> Vec<CoveragePoint> {
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points = Vec::new();
    let mut wrong = 0;
    let step = |answered: usize| answered * STEPS / answers.len();
    let mut told = 0;
    for (i, &(confidence, right)) in answers.iter().enumerate() {
        wrong += usize::from(!right);
        let answered = i + 1;
        let tied = answers.get(answered).is_some_and(|next| next.0 == confidence);
        if !tied && step(answered) > told {
            told = step(answered);
            points.push(CoveragePoint { confidence, answered, wrong });
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_equals_scikit_learn() {
        // sklearn.metrics.average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), from its documentation
        let ap = average_precision(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]).unwrap();
        assert!((ap - 0.833_333_3).abs() < 1e-6);
        // Ties are one threshold: average_precision_score([1, 0], [0.5, 0.5]) is 0.5.
        assert_eq!(average_precision(&[0.5, 0.5], &[true, false]), Some(0.5));
        assert_eq!(average_precision(&[0.5], &[false]), None);
    }

    #[test]
    fn a_weight_counts_a_sentence_as_often_as_repeating_it() {
        let (scores, gold) = ([0.9, 0.7, 0.6, 0.2], [true, false, true, true]);
        let weighted = Ranking::new(&scores, &gold, &[0, 1, 2, 3]).average_precision(Some(&[2, 1, 0, 3]));
        let repeated =
            average_precision(&[0.9, 0.9, 0.7, 0.2, 0.2, 0.2], &[true, true, false, true, true, true]);
        assert_eq!(weighted, repeated);
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_ends() {
        let scores: Vec<f32> = (0..5000).map(|i| i as f32 / 5000.0).collect();
        let gold: Vec<bool> = (0..5000).map(|i| i % 7 == 0 && i > 2000).collect();
        let curve = Ranking::new(&scores, &gold, &vec![0; 5000]).curve();
        let positives = gold.iter().filter(|&&y| y).count();
        assert!(curve.len() <= POINTS + 1 && curve.len() > 50, "{}", curve.len());
        assert_eq!(curve.last().map(|p| (p.tp, p.fp)), Some((positives, 5000 - positives)));
        assert!(
            curve.windows(2).all(|pair| pair[0].threshold > pair[1].threshold && pair[0].tp <= pair[1].tp)
        );
    }

    #[test]
    fn calibration_error_is_zero_for_a_calibrated_bin() {
        let ece = |scores: &[f32], gold: &[bool]| {
            ReliabilityBin::expected_calibration_error(&reliability(scores, gold))
        };
        assert_eq!(ece(&[0.5; 4], &[true, false, true, false]), Some(0.0));
        assert_eq!(ece(&[1.0, 1.0], &[false, true]), Some(0.5));
        assert_eq!(ece(&[], &[]), None);
        assert_eq!(ReliabilityBin::brier(&reliability(&[1.0, 0.5], &[false, true])), Some(0.625));
    }

    #[test]
    fn the_surest_sentences_are_answered_first() {
        let points = coverage(vec![(0.6, false), (0.9, true), (0.9, true), (0.7, true)]);
        let told: Vec<_> = points.iter().map(|p| (p.confidence, p.answered, p.wrong)).collect();
        assert_eq!(told, [(0.9, 2, 0), (0.7, 3, 0), (0.6, 4, 1)]);
        assert!(coverage(Vec::new()).is_empty());
        let many = coverage((0..5000).map(|i| (i as f32 / 5000.0, i % 3 > 0)).collect());
        assert_eq!((many.len(), many.last().map(|p| p.answered)), (STEPS, Some(5000)));
    }
}
