//! One AdamW update (Loshchilov & Hutter 2019, arXiv 1711.05101) over a slice, in one pass through memory.

use super::cpu::for_every_level;

/// The numbers of one update, bias corrections folded in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    /// Decay of the first moment.
    pub(crate) beta1: f32,
    /// Decay of the second moment.
    pub(crate) beta2: f32,
    /// Step size `rate / (1 - beta1^t)`.
    pub(crate) step: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub(crate) correction: f32,
    /// Added to the root of the second moment.
    pub(crate) epsilon: f32,
    /// Share of the weight taken away: `rate * weight decay`.
    pub(crate) shrink: f32,
    /// Factor on the gradient (clipping).
    pub(crate) grad_scale: f32,
}

for_every_level! {
    /// Updates `weights` and both moments in place by `grad`.
    pub(crate) fn apply(u: Update, weights: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32]) {
        for (((w, m), v), &g) in weights.iter_mut().zip(first).zip(second).zip(grad) {
            let g = g * u.grad_scale;
            *m = u.beta1 * *m + (1.0 - u.beta1) * g;
            *v = u.beta2 * *v + (1.0 - u.beta2) * g * g;
            *w -= u.shrink * *w + u.step * *m / (v.sqrt() * u.correction + u.epsilon);
        }
    }
}
