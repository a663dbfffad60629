//! Means of precision, recall and F1, as scikit-learn and seqeval have them: what is undefined counts 0.

use super::{Average, Counts, Figure};

/// The three ways of putting labels together.
pub(super) struct Averages {
    pub(super) macro_average: Average,
    pub(super) micro: Average,
    pub(super) weighted: Average,
}

/// All three averages; without labels everything is `None`, and so is what is weighted by no support at all.
pub(super) fn all(labels: &[Counts]) -> Averages {
    let weighted = |weight: &dyn Fn(&Counts) -> f64| {
        let total: f64 = labels.iter().map(weight).sum();
        let mean = |figure: fn(Counts) -> Option<f64>| {
            let sum: f64 = labels.iter().map(|c| figure(*c).unwrap_or(0.0) * weight(c)).sum();
            (total > 0.0).then(|| sum / total)
        };
        let f1 = Figure { value: mean(Counts::f1), interval: None };
        Average { precision: mean(Counts::precision), recall: mean(Counts::recall), f1 }
    };
    let sum = labels.iter().copied().sum::<Counts>();
    let f1 = Figure { value: sum.f1(), interval: None };
    Averages {
        macro_average: weighted(&|_| 1.0),
        micro: Average { precision: sum.precision(), recall: sum.recall(), f1 },
        weighted: weighted(&|counts| counts.support() as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_equal_those_of_scikit_learn() {
        // precision_recall_fscore_support([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1]), from its documentation: macro
        // 0.22.., 0.33.., 0.26..; micro 0.33..; weighted as macro.
        let counts = [
            Counts { tp: 2, fp: 1, fn_: 0 },
            Counts { tp: 0, fp: 2, fn_: 2 },
            Counts { tp: 0, fp: 1, fn_: 2 },
        ];
        let Averages { macro_average, micro, weighted } = all(&counts);
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-12;
        assert!(close(macro_average.precision, 2.0 / 9.0) && close(macro_average.recall, 1.0 / 3.0));
        assert!(close(macro_average.f1.value, 0.8 / 3.0));
        assert!(close(micro.precision, 1.0 / 3.0) && close(micro.f1.value, 1.0 / 3.0));
        assert!(close(weighted.precision, 2.0 / 9.0) && close(weighted.f1.value, 0.8 / 3.0));
    }

    #[test]
    fn a_type_that_only_the_model_has_pulls_the_macro_average_down() {
        let counts = [Counts { tp: 1, fp: 0, fn_: 0 }, Counts { tp: 0, fp: 1, fn_: 0 }];
        let averages = all(&counts);
        assert_eq!(averages.macro_average.f1.value, Some(0.5));
        assert_eq!(averages.weighted.f1.value, Some(1.0));
        assert_eq!(all(&[]).macro_average.f1.value, None);
    }
}
