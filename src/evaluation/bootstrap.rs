/// A 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// The percentile interval of a statistic under resampling of groups (articles, or sentences where there are none).
///
/// `statistic` gets the numbers of the groups drawn, as many as there are, with repeats. Resamples on which it is `None`
/// are left out; `None` if none remains. Seeded: the same call gives the same interval.
pub fn bootstrap(
    groups: usize,
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    let mut state = seed;
    let mut draw = || {
        // SplitMix64 (Steele et al. 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * groups as u128) >> 64) as usize
    };
    let mut values: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let drawn: Vec<usize> = (0..groups).map(|_| draw()).collect();
            statistic(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len().max(1) - 1) as f64 * share).round() as usize).copied();
    Some(Interval { low: at(0.025)?, high: at(0.975)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let mean = |drawn: &[usize]| Some(drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64);
        let interval = bootstrap(400, 2000, 1, mean).unwrap();
        // 1.96 * sqrt(0.25 / 400) = 0.049
        assert!((interval.low - 0.451).abs() < 0.01 && (interval.high - 0.549).abs() < 0.01, "{interval:?}");
        assert_eq!(Some(interval), bootstrap(400, 2000, 1, mean));
    }

    #[test]
    fn nothing_to_draw_from_has_no_interval() {
        assert_eq!(bootstrap(0, 10, 1, |drawn| drawn.first().map(|_| 1.0)), None);
    }
}
