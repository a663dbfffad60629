//! Products of few outputs, each row by itself.

use super::cpu::for_every_level;
use super::math::dot;

for_every_level! {
    /// `out += x weight^T`: `x` is `[rows, inputs]`, `weight` `[outputs, inputs]`, `out` `[rows, outputs]`.
    pub(crate) fn add_products(x: &[f32], weight: &[f32], inputs: usize, out: &mut [f32]) {
        let outputs = weight.len().checked_div(inputs).unwrap_or(0);
        if outputs == 0 {
            return;
        }
        for (x, out) in x.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
            for (weight, out) in weight.chunks_exact(inputs).zip(out) {
                *out += dot(x, weight);
            }
        }
    }
}
