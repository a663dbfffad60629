//! Dropout masks as a pure function of a key and a position: nothing is stored, the backward pass draws the same mask
//! again, and a run resumed at a step draws what the uninterrupted run would have drawn.

use super::cpu::for_every_level;

/// A dropout mask: which elements are kept, and how much the kept ones are scaled up (inverted dropout).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mask {
    key: u32,
    threshold: u32,
    scale: f32,
}

impl Mask {
    /// Drops a share `p` of the elements, `0 <= p < 1`.
    pub(crate) fn new(p: f32, key: u64) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout {p} is not in [0, 1)");
        let key = mix64(key);
        Self {
            key: (key >> 32) as u32,
            threshold: (f64::from(p) * 4_294_967_296.0) as u32,
            scale: 1.0 / (1.0 - p),
        }
    }

    /// Factor of element `i`: 0 or `1 / (1 - p)`.
    #[inline(always)]
    pub(crate) fn factor(self, i: u32) -> f32 {
        // Two rounds of multiply-xorshift (the "lowbias32" finaliser of C. Wellons) over the keyed position.
        let mut x = i.wrapping_mul(0x9E37_79B9) ^ self.key;
        x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
        x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
        x ^= x >> 16;
        if x >= self.threshold { self.scale } else { 0.0 }
    }
}

/// The SplitMix64 finaliser: turns any counter into well-mixed bits.
pub(crate) fn mix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

for_every_level! {
    /// `x * mask`, element by element, the mask counted from `origin`.
    pub(crate) fn scale(x: &[f32], mask: Mask, origin: u32, out: &mut [f32]) {
        for (i, (out, &x)) in out.iter_mut().zip(x).enumerate() {
            *out = x * mask.factor(origin.wrapping_add(i as u32));
        }
    }
}

for_every_level! {
    /// `x * mask + residual`, element by element.
    pub(crate) fn scale_add(x: &[f32], residual: &[f32], mask: Mask, out: &mut [f32]) {
        for (i, ((out, &x), &r)) in out.iter_mut().zip(x).zip(residual).enumerate() {
            *out = x * mask.factor(i as u32) + r;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean() {
        let mask = Mask::new(0.1, 7);
        let factors: Vec<f32> = (0..100_000).map(|i| mask.factor(i)).collect();
        let dropped = factors.iter().filter(|&&f| f == 0.0).count();
        assert!((9_500..10_500).contains(&dropped), "{dropped} of 100,000 dropped");
        let mean = factors.iter().sum::<f32>() / 100_000.0;
        assert!((mean - 1.0).abs() < 0.01, "mean factor {mean}");
    }

    #[test]
    fn keys_give_different_masks_and_one_key_the_same() {
        let draw = |key| (0..64).map(|i| Mask::new(0.5, key).factor(i)).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn no_dropout_keeps_everything() {
        assert!((0..1000).all(|i| Mask::new(0.0, 3).factor(i) == 1.0));
    }
}
