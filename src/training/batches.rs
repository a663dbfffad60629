//! Which examples go into which step.

use crate::kernels::dropout::mix64;

/// Batches that are sorted by length together before they are shuffled again.
const POOL: usize = 40;

/// The batches of an epoch: every example once, those of about one length together, in random order.
///
/// `lengths` are in tokens. A pure function of its arguments.
pub(super) fn plan(lengths: &[usize], batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut stream = Stream::new(&[seed, epoch as u64]);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    stream.shuffle(&mut order);
    let mut batches = Vec::new();
    for pool in order.chunks_mut(batch_size * POOL) {
        pool.sort_by_key(|&i| lengths[i]);
        batches.extend(pool.chunks(batch_size).map(<[usize]>::to_vec));
    }
    stream.shuffle(&mut batches);
    batches
}

/// Random numbers from a key.
pub(super) struct Stream(u64);

impl Stream {
    pub(super) fn new(keys: &[u64]) -> Self {
        Self(keys.iter().fold(0, |state, &key| mix64(state ^ key)))
    }

    /// The next 64 bits (SplitMix64).
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix64(self.0)
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box-Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Fisher-Yates.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = ((u128::from(self.bits()) * (i as u128 + 1)) >> 64) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_seen_exactly_once_per_epoch() {
        let lengths: Vec<usize> = (0..1003).map(|i| 5 + i * 31 % 90).collect();
        let batches = plan(&lengths, 16, 7, 0);
        let mut seen = batches.concat();
        seen.sort();
        assert_eq!(seen, (0..1003).collect::<Vec<_>>());
        assert!(batches.iter().all(|batch| batch.len() <= 16));
    }

    #[test]
    fn little_is_padded() {
        let lengths: Vec<usize> = (0..4000).map(|i| 5 + i * 7919 % 90).collect();
        let padded: usize = plan(&lengths, 32, 1, 0)
            .iter()
            .map(|batch| batch.len() * batch.iter().map(|&i| lengths[i]).max().unwrap_or(0))
            .sum();
        let real: usize = lengths.iter().sum();
        assert!((padded as f64) < 1.1 * real as f64, "{padded} for {real} tokens");
    }

    #[test]
    fn seeds_and_epochs_give_different_orders_and_one_seed_the_same() {
        let lengths = vec![10; 200];
        assert_eq!(plan(&lengths, 8, 1, 0), plan(&lengths, 8, 1, 0));
        assert_ne!(plan(&lengths, 8, 1, 0), plan(&lengths, 8, 1, 1));
        assert_ne!(plan(&lengths, 8, 1, 0), plan(&lengths, 8, 2, 0));
    }

    #[test]
    fn normal_numbers_have_unit_variance() {
        let mut stream = Stream::new(&[3]);
        let xs: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = xs.iter().sum::<f64>() / 20_000.0;
        let variance = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    }
}
