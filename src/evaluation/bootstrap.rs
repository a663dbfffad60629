/// Resamples behind an interval.
pub const RESAMPLES: usize = 1000;
/// Seed of everything that is drawn.
pub(super) const SEED: u64 = 1;

/// A 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// Chance that is the same everywhere: SplitMix64 (Steele et al. 2014).
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

/// Percentile intervals of several statistics under resampling of groups (articles, or sentences where there are none).
///
/// `statistics` gets how often each group was drawn, as many draws as there are groups, and gives one value per statistic.
/// Resamples on which a statistic is `None` are left out of its interval; `None` if none remains, or if there is one group
/// alone, which says nothing of how groups differ. Seeded: the same call gives the same intervals.
pub fn bootstrap(
    groups: usize,
    resamples: usize,
    seed: u64,
    statistics: impl Fn(&[u32]) -> Vec<Option<f64>>,
) -> Vec<Option<Interval>> {
    if groups < 2 {
        return vec![None; statistics(&vec![1; groups]).len()];
    }
    let mut random = SplitMix64::new(seed);
    let mut values: Vec<Vec<f64>> = Vec::new();
    let mut weights = vec![0; groups];
    for _ in 0..resamples {
        weights.fill(0);
        for _ in 0..groups {
            weights[random.below(groups)] += 1;
        }
        let drawn = statistics(&weights);
        values.resize_with(drawn.len(), Vec::new);
        for (values, value) in values.iter_mut().zip(drawn) {
            values.extend(value);
        }
    }
    values.into_iter().map(interval).collect()
}

fn interval(mut values: Vec<f64>) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len().max(1) - 1) as f64 * share).round() as usize).copied();
    Some(Interval { low: at(0.025)?, high: at(0.975)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        let mean = |weights: &[u32]| {
            let odd: u32 = weights.iter().skip(1).step_by(2).sum();
            vec![Some(f64::from(odd) / 400.0), None]
        };
        let intervals = bootstrap(400, 2000, 1, mean);
        let interval = intervals[0].unwrap();
        // 1.96 * sqrt(0.25 / 400) = 0.049
        assert!((interval.low - 0.451).abs() < 0.01 && (interval.high - 0.549).abs() < 0.01, "{interval:?}");
        assert_eq!(intervals[1], None);
        assert_eq!(intervals, bootstrap(400, 2000, 1, mean));
    }

    #[test]
    fn every_resample_draws_as_many_groups_as_there_are() {
        let drawn = |weights: &[u32]| vec![Some(f64::from(weights.iter().sum::<u32>()))];
        assert_eq!(bootstrap(7, 50, 3, drawn), [Some(Interval { low: 7.0, high: 7.0 })]);
    }

    #[test]
    fn one_group_or_none_has_no_interval() {
        let first = |weights: &[u32]| vec![weights.first().map(|_| 1.0)];
        assert_eq!(bootstrap(0, 10, 1, first), [None]);
        assert_eq!(bootstrap(1, 10, 1, first), [None]);
    }
}
