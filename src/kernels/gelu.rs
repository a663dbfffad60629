//! GELU in its exact (erf) form, Hendrycks & Gimpel 2016 (arXiv 1606.08415), and its derivative.

use super::cpu::for_every_level;
use super::math::exp;

/// The error function to 4e-7: the quotient of an odd and an even polynomial, beyond 4 that at 4, as in XLA's `ErfImpl32`. It has no
/// exponential.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let odd = -2.726_142_3e-10;
    let odd = odd * square + 2.770_681_4e-8;
    let odd = odd * square - 2.101_024e-6;
    let odd = odd * square - 5.692_506_5e-5;
    let odd = odd * square - 7.349_906e-4;
    let odd = odd * square - 2.954_6e-3;
    let odd = odd * square - 1.609_603_3e-2;
    let even = -1.456_607_2e-5;
    let even = even * square - 2.133_740_6e-4;
    let even = even * square - 1.682_827e-3;
    let even = even * square - 7.373_329_4e-3;
    let even = even * square - 1.426_473_9e-2;
    x * odd / even
}

/// The normal distribution function, `Phi(x) = (1 + erf(x / sqrt(2))) / 2`.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `x * Phi(x)`.
#[inline(always)]
pub(crate) fn erf_form(x: f32) -> f32 {
    x * normal_cdf(x)
}

/// `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`, which is near [`erf_form`] and another function.
#[inline(always)]
pub(crate) fn tanh_form(x: f32) -> f32 {
    let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    // (1 + tanh(y)) / 2 = 1 / (1 + exp(-2 y))
    x / (1.0 + exp(-2.0 * inner))
}

for_every_level! {
    /// `out = x * Phi(x)`.
    pub(crate) fn forward(x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = erf_form(x);
        }
    }
}

for_every_level! {
    /// `out = grad * (Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi))`.
    pub(crate) fn backward(x: &[f32], grad: &[f32], out: &mut [f32]) {
        for ((out, &x), &grad) in out.iter_mut().zip(x).zip(grad) {
            let density = 0.398_942_3 * exp(-0.5 * x * x);
            *out = grad * (normal_cdf(x) + x * density);
        }
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
    fn erf_is_near_its_series() {
        for i in -3500..=3500 {
            let x = f64::from(i) / 1000.0;
            // erf(x) = 2 / sqrt(pi) * sum of (-1)^n x^(2n + 1) / (n! (2n + 1))
            let (mut term, mut sum) = (x, x);
            for n in 1..80 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            let expected = sum * std::f64::consts::FRAC_2_SQRT_PI;
            let ours = erf(x as f32);
            assert!((f64::from(ours) - expected).abs() < 4e-7, "erf({x}) = {ours}, expected {expected}");
        }
        assert!(erf(f32::NAN).is_nan());
        assert!((erf(f32::INFINITY) - 1.0).abs() < 4e-7 && (erf(-1e30) + 1.0).abs() < 4e-7);
    }

    #[test]
    fn the_tanh_form_meets_known_values() {
        for i in -100..=100 {
            let x = f64::from(i) / 10.0;
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let expected = 0.5 * x * (1.0 + inner.tanh());
            let ours = tanh_form(x as f32);
            assert!((f64::from(ours) - expected).abs() < 1e-6, "gelu({x}) = {ours}, expected {expected}");
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
