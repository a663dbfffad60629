//! GELU in its exact (erf) form, Hendrycks & Gimpel 2016 (arXiv 1606.08415), and its derivative.

use super::math::exp;
use multiversion::multiversion;

/// `(Phi(x), phi(x))`: the normal distribution function and density.
///
/// erf by Abramowitz & Stegun 7.1.26 (absolute error below 1.5e-7), whose exponential is the density's own.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let e = exp(-z * z);
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let tail = 0.5 * p * t * e; // 1 - Phi(|x|)
    let cdf = if x >= 0.0 { 1.0 - tail } else { tail };
    (cdf, e * 0.398_942_3)
}

/// `out = x * Phi(x)`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn forward(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = x * normal(x).0;
    }
}

/// `out = grad * (Phi(x) + x phi(x))`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn backward(x: &[f32], grad: &[f32], out: &mut [f32]) {
    for ((out, &x), &grad) in out.iter_mut().zip(x).zip(grad) {
        let (cdf, density) = normal(x);
        *out = grad * (cdf + x * density);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_meets_known_values() {
        // scipy: x * scipy.stats.norm.cdf(x)
        let cases = [
            (0.0, 0.0),
            (1.0, 0.841_344_8),
            (-1.0, -0.158_655_25),
            (3.0, 2.995_950_3),
            (-3.0, -0.004_049_694),
        ];
        for (x, expected) in cases {
            let mut out = [0.0];
            forward(&[x], &mut out);
            assert!((out[0] - expected).abs() < 1e-6, "gelu({x}) = {}, expected {expected}", out[0]);
        }
    }

    #[test]
    fn the_derivative_is_the_slope() {
        for i in -60..60 {
            let x = i as f32 / 10.0;
            let (mut up, mut down, mut slope) = ([0.0], [0.0], [0.0]);
            forward(&[x + 1e-2], &mut up);
            forward(&[x - 1e-2], &mut down);
            backward(&[x], &[1.0], &mut slope);
            let numeric = (up[0] - down[0]) / 2e-2;
            assert!((slope[0] - numeric).abs() < 1e-3, "at {x}: {} against {numeric}", slope[0]);
        }
    }
}
