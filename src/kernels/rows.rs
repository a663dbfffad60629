//! Products of few outputs, each row by itself.

use super::math::dot;
use multiversion::multiversion;

/// `out += x weight^T`: `x` is `[rows, inputs]`, `weight` `[outputs, inputs]`, `out` `[rows, outputs]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
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
