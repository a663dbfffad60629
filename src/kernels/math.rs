//! Scalar functions in a form that vectorises, and sums that do.

/// Number of running sums kept by [`sum`] and [`dot`]: four AVX-512 registers hide the latency of addition.
const LANES: usize = 64;

/// `e^x` to about 2 ulp. Below -87.3 it gives 0 (no denormals), above 88 it saturates.
///
/// Cody–Waite reduction and a degree-6 polynomial, as in Cephes `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    let small = x < -87.3;
    let x = x.clamp(-87.3, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4;
    let r = r - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let y = p * (r * r) + r + 1.0;
    let scale = f32::from_bits(
        ((shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) + 127).cast_unsigned() << 23,
    );
    if small { 0.0 } else { y * scale }
}

/// Sum in [`LANES`] strands, added pairwise at the end: fast, and more exact than one strand.
#[inline(always)]
pub(crate) fn sum(xs: &[f32]) -> f32 {
    reduce(xs.len(), |i| xs[i])
}

/// Inner product of two slices of one length.
#[inline(always)]
pub(crate) fn dot(xs: &[f32], ys: &[f32]) -> f32 {
    let ys = &ys[..xs.len()];
    reduce(xs.len(), |i| xs[i] * ys[i])
}

/// Sum of `term(0..n)`.
#[inline(always)]
pub(crate) fn reduce(n: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut strands = [0f32; LANES];
    let whole = n / LANES * LANES;
    for base in (0..whole).step_by(LANES) {
        for (lane, strand) in strands.iter_mut().enumerate() {
            *strand += term(base + lane);
        }
    }
    for i in whole..n {
        strands[i - whole] += term(i);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            strands[lane] += strands[lane + width];
        }
    }
    strands[0]
}

/// Largest value; `-inf` for nothing.
#[inline(always)]
pub(crate) fn max(xs: &[f32]) -> f32 {
    let mut strands = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = xs.as_chunks::<16>();
    for chunk in chunks {
        for (strand, &x) in strands.iter_mut().zip(chunk) {
            *strand = if x > *strand { x } else { *strand };
        }
    }
    rest.iter().chain(&strands.clone()).fold(f32::NEG_INFINITY, |best, &x| if x > best { x } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for i in -8_700..8_700 {
            let x = i as f32 / 100.0;
            let (ours, theirs) = (exp(x), x.exp());
            assert!((ours - theirs).abs() <= 4e-7 * theirs, "exp({x}) = {ours}, expected {theirs}");
        }
        assert_eq!(exp(-90.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn sums_are_right_at_every_remainder() {
        for n in [0, 1, 15, 16, 17, 63, 64, 65, 129, 384] {
            let xs: Vec<f32> = (0..n).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
            let plain: f32 = xs.iter().sum();
            assert_eq!(sum(&xs), plain, "sum of {n}");
            assert_eq!(dot(&xs, &xs), xs.iter().map(|x| x * x).sum::<f32>(), "dot of {n}");
            assert_eq!(max(&xs), xs.iter().copied().fold(f32::NEG_INFINITY, f32::max), "max of {n}");
        }
    }
}
