//! The points of charts, from counts.

use crate::evaluation::{CoveragePoint, CurvePoint, LabelReport, ReliabilityBin};

/// What a threshold would decide, as figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decision {
    pub(super) threshold: f64,
    pub(super) tp: usize,
    pub(super) fp: usize,
    pub(super) precision: f64,
    pub(super) recall: f64,
    pub(super) f1: f64,
}

/// A label's figures at every threshold told of, from the highest to the lowest; nothing where the label never occurs.
pub(super) fn decisions(report: &LabelReport) -> Vec<Decision> {
    let support = report.support;
    let decision = |point: &CurvePoint| {
        let CurvePoint { threshold, tp, fp } = *point;
        let part = |part: usize, whole: usize| (part as f64 / whole as f64).min(1.0);
        (support > 0 && tp + fp > 0 && threshold.is_finite()).then(|| Decision {
            threshold: f64::from(threshold).clamp(0.0, 1.0),
            tp,
            fp,
            precision: part(tp, tp + fp),
            recall: part(tp, support),
            f1: part(2 * tp, tp + fp + support),
        })
    };
    report.curve.iter().filter_map(decision).collect()
}

/// A bin of the reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bin {
    /// Where it stands, from 0.
    pub(super) number: usize,
    pub(super) sentences: usize,
    pub(super) positives: usize,
    /// Mean probability.
    pub(super) probability: f64,
    /// Share of the sentences that have the label.
    pub(super) observed: f64,
    /// 95% interval of that share.
    pub(super) interval: (f64, f64),
}

/// The bins that hold a sentence.
pub(super) fn bins(reliability: &[ReliabilityBin]) -> Vec<Bin> {
    let bin = |(number, bin): (usize, &ReliabilityBin)| {
        let ReliabilityBin { sentences, positives, probability, .. } = *bin;
        (sentences > 0 && probability.is_finite()).then(|| Bin {
            number,
            sentences,
            positives,
            probability: (probability / sentences as f64).clamp(0.0, 1.0),
            observed: (positives as f64 / sentences as f64).min(1.0),
            interval: wilson(positives.min(sentences), sentences),
        })
    };
    reliability.iter().enumerate().filter_map(bin).collect()
}

/// 95% score interval of a share (Wilson 1927).
fn wilson(part: usize, whole: usize) -> (f64, f64) {
    let (n, z) = (whole as f64, 1.96);
    let p = part as f64 / n;
    let centre = p + z * z / (2.0 * n);
    let reach = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((centre - reach) / scale).max(0.0), ((centre + reach) / scale).min(1.0))
}

/// What is wrong of what is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Risk {
    pub(super) confidence: f64,
    pub(super) answered: usize,
    pub(super) wrong: usize,
    /// Share of all sentences that is answered.
    pub(super) coverage: f64,
    /// Share of those that is wrong.
    pub(super) risk: f64,
}

/// Risk by coverage, from few to all.
pub(super) fn risks(coverage: &[CoveragePoint], sentences: usize) -> Vec<Risk> {
    let risk = |point: &CoveragePoint| {
        let CoveragePoint { confidence, answered, wrong } = *point;
        (answered > 0).then(|| Risk {
            confidence: f64::from(confidence),
            answered,
            wrong,
            coverage: (answered as f64 / sentences.max(1) as f64).min(1.0),
            risk: (wrong as f64 / answered as f64).min(1.0),
        })
    };
    coverage.iter().filter_map(risk).collect()
}

/// At most `most` of the items, evenly chosen, with the first and the last.
pub(super) fn thinned<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    let last = items.len().saturating_sub(1);
    if items.len() <= most {
        return items.to_vec();
    }
    (0..most).map(|i| items[i * last / (most - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_score_interval_is_that_of_the_textbook() {
        // Newcombe 1998, table I: 81 of 263 and 0 of 20.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let (low, high) = wilson(0, 20);
        assert!(low == 0.0 && (high - 0.1611).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn empty_bins_are_left_out_and_keep_their_number() {
        let full = ReliabilityBin { sentences: 4, positives: 1, probability: 2.0, squared_error: 1.0 };
        let bins = bins(&[ReliabilityBin::default(), full]);
        assert_eq!((bins.len(), bins[0].number, bins[0].probability, bins[0].observed), (1, 1, 0.5, 0.25));
    }

    proptest! {
        #[test]
        fn thinning_keeps_order_and_both_ends(items in prop::collection::vec(0u8..9, 0..300), most in 2usize..40) {
            let numbered: Vec<usize> = (0..items.len()).collect();
            let thin = thinned(&numbered, most);
            prop_assert!(thin.len() <= most && thin.is_sorted_by(|a, b| a < b));
            prop_assert_eq!((thin.first(), thin.last()), (numbered.first(), numbered.last()));
        }
    }
}
