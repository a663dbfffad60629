use super::{Counts, macro_f1};

/// Counts per label over decided sentences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classification {
    /// In the order of the labels.
    pub labels: Vec<Counts>,
    /// Sentences whose whole set of labels is right.
    pub exact: usize,
    /// Sentences.
    pub sentences: usize,
}

impl Classification {
    /// Counts decisions, sentence by sentence; both lists hold one flag per label.
    ///
    /// # Panics
    /// If the lists are not of one length.
    pub fn count(decided: &[Vec<bool>], gold: &[Vec<bool>]) -> Self {
        assert_eq!(decided.len(), gold.len(), "one decision per sentence");
        let mut counts = Self { sentences: gold.len(), ..Self::default() };
        for (decided, gold) in decided.iter().zip(gold) {
            counts.labels.resize(gold.len(), Counts::default());
            for ((counts, &found), &there) in counts.labels.iter_mut().zip(decided).zip(gold) {
                counts.note(found, there);
            }
            counts.exact += usize::from(decided == gold);
        }
        counts
    }

    /// Unweighted mean of the labels' F1: the headline.
    pub fn macro_f1(&self) -> Option<f64> {
        macro_f1(&self.labels)
    }

    /// F1 over all decisions together.
    pub fn micro_f1(&self) -> Option<f64> {
        self.labels.iter().copied().sum::<Counts>().f1()
    }

    /// Share of sentences whose whole set of labels is right.
    pub fn exact_match(&self) -> Option<f64> {
        (self.sentences > 0).then(|| self.exact as f64 / self.sentences as f64)
    }
}

/// Average precision of one label as scikit-learn defines it: the sum of precisions at each threshold, weighted by the
/// recall gained there. `None` without a positive.
pub fn average_precision(scores: &[f32], gold: &[bool]) -> Option<f64> {
    let positives = gold.iter().filter(|&&y| y).count();
    if positives == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut found, mut seen, mut area, mut before) = (0usize, 0usize, 0.0, 0usize);
    for (i, &at) in order.iter().enumerate() {
        seen += 1;
        found += usize::from(gold[at]);
        let tied = order.get(i + 1).is_some_and(|&next| scores[next] == scores[at]);
        if !tied {
            area += (found - before) as f64 / positives as f64 * (found as f64 / seen as f64);
            before = found;
        }
    }
    Some(area)
}

/// Mean squared distance between probability and truth (Brier 1950), of one label; `None` for nothing.
pub fn brier(scores: &[f32], gold: &[bool]) -> Option<f64> {
    let total: f64 =
        scores.iter().zip(gold).map(|(&p, &y)| (f64::from(p) - f64::from(u8::from(y))).powi(2)).sum();
    (!scores.is_empty()).then(|| total / scores.len() as f64)
}

/// Expected calibration error of one label: the mean distance between the probability and the share of positives in 15
/// equally wide bins, weighted by the bins' sizes (Naeini et al. 2015). `None` for nothing.
pub fn expected_calibration_error(scores: &[f32], gold: &[bool]) -> Option<f64> {
    const BINS: usize = 15;
    let mut bins = [(0.0f64, 0.0f64); BINS];
    for (&p, &y) in scores.iter().zip(gold) {
        let bin = ((p * BINS as f32) as usize).min(BINS - 1);
        bins[bin].0 += f64::from(p);
        bins[bin].1 += f64::from(u8::from(y));
    }
    let total: f64 = bins.iter().map(|(confidence, positives)| (confidence - positives).abs()).sum();
    (!scores.is_empty()).then(|| total / scores.len() as f64)
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
    fn calibration_error_is_zero_for_a_calibrated_bin() {
        assert_eq!(expected_calibration_error(&[0.5; 4], &[true, false, true, false]), Some(0.0));
        assert_eq!(expected_calibration_error(&[1.0, 1.0], &[false, true]), Some(0.5));
        assert_eq!(brier(&[1.0, 0.5], &[false, true]), Some(0.625));
    }

    #[test]
    fn exact_match_wants_the_whole_set() {
        let gold = [vec![true, false], vec![false, false], vec![true, true]];
        let decided = [vec![true, false], vec![false, false], vec![true, false]];
        let counts = Classification::count(&decided, &gold);
        assert_eq!(counts.exact_match(), Some(2.0 / 3.0));
        assert_eq!(counts.macro_f1(), Some(0.5));
        assert_eq!(counts.micro_f1(), Some(0.8));
    }
}
