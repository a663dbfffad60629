//! Agreement beyond chance.

use std::collections::{BTreeMap, BTreeSet};

/// Cohen's kappa (1960) of two annotators, each of whom gave every item one value: 1 is agreement, 0 that of chance.
///
/// `None` where chance alone would agree on everything (both gave one value only), or there is nothing.
pub fn cohen_kappa<T: Ord>(items: &[(T, T)]) -> Option<f64> {
    let mut counts: BTreeMap<&T, (usize, usize)> = BTreeMap::new();
    for (a, b) in items {
        counts.entry(a).or_default().0 += 1;
        counts.entry(b).or_default().1 += 1;
    }
    // Both shares of agreement, times the square of the number of items.
    let all = items.len() as f64 * items.len() as f64;
    let agreed = items.iter().filter(|(a, b)| a == b).count() as f64 * items.len() as f64;
    let by_chance: f64 = counts.values().map(|&(a, b)| a as f64 * b as f64).sum();
    (counts.len() > 1).then(|| (agreed - by_chance) / (all - by_chance))
}

/// Krippendorff's alpha (2011, "Computing Krippendorff's Alpha-Reliability"): 1 is agreement, 0 that of chance.
///
/// A unit holds the values that it was given, by however many annotators; one with fewer than two says nothing.
/// `distance` is 0 between equal values. `None` where all values are the same, or there is nothing.
pub fn krippendorff_alpha<T: Ord>(units: &[Vec<T>], distance: impl Fn(&T, &T) -> f64) -> Option<f64> {
    let mut totals: BTreeMap<&T, f64> = BTreeMap::new();
    let (mut observed, mut n) = (0.0, 0.0);
    for unit in units.iter().filter(|unit| unit.len() > 1) {
        let pairs = unit.iter().enumerate().flat_map(|(i, a)| unit[i + 1..].iter().map(move |b| (a, b)));
        observed += 2.0 * pairs.map(|(a, b)| distance(a, b)).sum::<f64>() / (unit.len() - 1) as f64;
        n += unit.len() as f64;
        unit.iter().for_each(|value| *totals.entry(value).or_default() += 1.0);
    }
    let totals: Vec<(&T, f64)> = totals.into_iter().collect();
    let pairs = totals.iter().enumerate().flat_map(|(i, a)| totals[i + 1..].iter().map(move |b| (a, b)));
    let expected = 2.0 * pairs.map(|((a, m), (b, n))| m * n * distance(a, b)).sum::<f64>();
    (expected > 0.0).then(|| 1.0 - (n - 1.0) * observed / expected)
}

/// 0 between equal values, else 1.
pub fn nominal_distance<T: PartialEq>(a: &T, b: &T) -> f64 {
    f64::from(u8::from(a != b))
}

/// MASI distance (Passonneau 2006, "Measuring Agreement on Set-valued Items") of two sets: 0 if they are equal, 1 if they
/// share nothing, and between, less if one holds the other. Two empty sets are equal.
pub fn masi_distance<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> f64 {
    if a == b {
        return 0.0;
    }
    let shared = a.intersection(b).count() as f64;
    let jaccard = shared / a.union(b).count() as f64;
    let monotonic = if a.is_subset(b) || b.is_subset(a) { 2.0 / 3.0 } else { 1.0 / 3.0 };
    1.0 - jaccard * monotonic
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kappa_is_that_of_scikit_learn() {
        // The docstring of sklearn.metrics.cohen_kappa_score (1.9).
        let a = ["negative", "positive", "negative", "neutral", "positive"];
        let b = ["negative", "positive", "negative", "neutral", "negative"];
        let items: Vec<(&str, &str)> = a.into_iter().zip(b).collect();
        assert_eq!(cohen_kappa(&items), Some(0.6875));
        assert_eq!(cohen_kappa(&[("x", "x"); 3]), None);
        assert_eq!(cohen_kappa::<u8>(&[]), None);
    }

    #[test]
    fn alpha_is_that_of_krippendorffs_worked_example() {
        // Krippendorff (2011), section C: four observers, twelve units, values missing: nominal alpha 0.743.
        const MISSING: u8 = 0;
        let observers: [[u8; 12]; 4] = [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
            [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
        ];
        let units: Vec<Vec<u8>> = (0..12)
            .map(|unit| observers.iter().map(|values| values[unit]).filter(|&v| v != MISSING).collect())
            .collect();
        let alpha = krippendorff_alpha(&units, nominal_distance).unwrap();
        assert!((alpha - 0.743).abs() < 0.0005, "{alpha}");
        // The same units at the interval level: 0.849.
        let alpha = krippendorff_alpha(&units, |&a, &b| f64::from(a.abs_diff(b)).powi(2)).unwrap();
        assert!((alpha - 0.849).abs() < 0.0005, "{alpha}");
    }

    #[test]
    fn alpha_of_two_observers_is_that_of_krippendorffs_binary_example() {
        // Section A: ten units, two observers, alpha 0.095.
        let a = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0];
        let b = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0];
        let units: Vec<Vec<u8>> = a.into_iter().zip(b).map(|(a, b)| vec![a, b]).collect();
        let alpha = krippendorff_alpha(&units, nominal_distance).unwrap();
        assert!((alpha - 0.095).abs() < 0.0005, "{alpha}");
        assert_eq!(krippendorff_alpha(&[vec![1, 1], vec![1, 1]], nominal_distance), None);
    }

    #[test]
    fn masi_tells_sets_that_hold_each_other_from_those_that_only_meet() {
        let set = |letters: &str| letters.chars().collect::<BTreeSet<_>>();
        for (a, b, expected) in [
            ("", "", 0.0),
            ("ab", "ab", 0.0),
            ("", "a", 1.0),
            ("a", "b", 1.0),
            ("a", "ab", 2.0 / 3.0),
            ("ab", "bc", 8.0 / 9.0),
        ] {
            let distance = masi_distance(&set(a), &set(b));
            assert!((distance - expected).abs() < 1e-12, "{a} {b}: {distance}");
        }
    }

    proptest! {
        #[test]
        fn coefficients_do_not_depend_on_who_is_first_and_are_one_in_agreement(
            items in prop::collection::vec((0u8..4, 0u8..4), 2..40)
        ) {
            let swapped: Vec<(u8, u8)> = items.iter().map(|&(a, b)| (b, a)).collect();
            let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (a, b) => a == b,
            };
            let units = |items: &[(u8, u8)]| items.iter().map(|&(a, b)| vec![a, b]).collect::<Vec<_>>();
            prop_assert!(close(cohen_kappa(&items), cohen_kappa(&swapped)));
            let alpha = krippendorff_alpha(&units(&items), nominal_distance);
            prop_assert!(close(alpha, krippendorff_alpha(&units(&swapped), nominal_distance)));
            prop_assert!(alpha.is_none_or(|alpha| alpha <= 1.0));
            let agreed: Vec<(u8, u8)> = items.iter().map(|&(a, _)| (a, a)).collect();
            prop_assert!(cohen_kappa(&agreed).is_none_or(|kappa| (kappa - 1.0).abs() < 1e-9));
        }
    }
}
