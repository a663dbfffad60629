//! Layer normalisation, Ba et al. 2016 (arXiv 1607.06450), over rows of `width` elements.

use super::cpu::for_every_level;
use super::math::reduce;

#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = reduce(row.len(), |i| row[i]) / n;
    let variance = reduce(row.len(), |i| (row[i] - mean) * (row[i] - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

for_every_level! {
    /// `out = (x - mean) / sqrt(variance + eps) * gamma + beta`, row by row.
    pub(crate) fn forward(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32]) {
        let width = gamma.len();
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, rstd) = moments(row, eps);
            for i in 0..width {
                out[i] = (row[i] - mean) * rstd * gamma[i] + beta[i];
            }
        }
    }
}

for_every_level! {
    /// Gradients of [`forward`]: writes `dx`, adds to `dgamma` and `dbeta`.
    ///
    /// With `h = (x - mean) * rstd` and `g = grad * gamma`: `dx = rstd * (g - mean(g) - h * mean(g * h))`.
    pub(crate) fn backward(
        x: &[f32],
        gamma: &[f32],
        eps: f32,
        grad: &[f32],
        dx: &mut [f32],
        dgamma: &mut [f32],
        dbeta: &mut [f32],
    ) {
        let width = gamma.len();
        let n = width as f32;
        let (dgamma, dbeta) = (&mut dgamma[..width], &mut dbeta[..width]);
        for ((row, grad), dx) in
            x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(dx.chunks_exact_mut(width))
        {
            let (mean, rstd) = moments(row, eps);
            let mean_g = reduce(width, |i| grad[i] * gamma[i]) / n;
            let mean_gh = reduce(width, |i| grad[i] * gamma[i] * ((row[i] - mean) * rstd)) / n;
            for i in 0..width {
                let h = (row[i] - mean) * rstd;
                dgamma[i] += grad[i] * h;
                dbeta[i] += grad[i];
                dx[i] = rstd * (grad[i] * gamma[i] - mean_g - h * mean_gh);
            }
        }
    }
}
