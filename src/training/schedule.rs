//! The learning rate over the run.

/// Factor on the peak rate at `step` (counted from 0) of `total`: a straight rise over the first `warmup` share, then a
/// straight fall to 0 (HF `get_linear_schedule_with_warmup`).
pub(super) fn linear(step: usize, total: usize, warmup: f64) -> f64 {
    let rise = (total as f64 * warmup).ceil();
    let step = step as f64;
    if step < rise {
        return (step + 1.0) / (rise + 1.0);
    }
    ((total as f64 - step) / (total as f64 - rise).max(1.0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_peaks_and_falls_to_nothing() {
        let rates: Vec<f64> = (0..=100).map(|step| linear(step, 100, 0.1)).collect();
        assert!(rates[0] > 0.0 && rates[..10].windows(2).all(|w| w[0] < w[1]));
        assert_eq!(rates[10], 1.0);
        assert!(rates[10..].windows(2).all(|w| w[0] > w[1]));
        assert_eq!(rates[100], 0.0);
        assert_eq!(linear(0, 1, 0.0), 1.0);
    }
}
