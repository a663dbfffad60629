//! Scaled dot-product attention of one head over one sequence, Vaswani et al. 2017 (arXiv 1706.03762), with dropout on
//! the attention probabilities.
//!
//! The backward pass computes the probabilities again in place of keeping `tokens x tokens` of them per head.

use super::dropout::Mask;
use super::gemm::{Matrix, Output, Sizes, matmul};
use super::math;
use multiversion::multiversion;

/// Where one head of one sequence lies in `[batch, tokens, width]` tensors.
#[derive(Clone, Copy)]
pub(crate) struct HeadView {
    /// Offset of the first element.
    pub(crate) origin: usize,
    /// Distance between tokens (the width of the whole layer).
    pub(crate) stride: usize,
    /// Real tokens; padding behind them is neither read nor written.
    pub(crate) tokens: usize,
    /// Width of the head.
    pub(crate) width: usize,
}

/// Buffers reused from head to head.
#[derive(Default)]
pub(crate) struct Scratch {
    probabilities: Vec<f32>,
    dropped: Vec<f32>,
    grads: Vec<f32>,
}

/// Probabilities and, under dropout, the probabilities that the values are mixed with.
fn probabilities<'s>(
    head: HeadView,
    q: &[f32],
    k: &[f32],
    mask: Option<(Mask, u32)>,
    probabilities: &'s mut Vec<f32>,
    dropped: &'s mut Vec<f32>,
) -> (&'s [f32], &'s [f32]) {
    let HeadView { origin, stride, tokens, width } = head;
    probabilities.resize(tokens * tokens, 0.0);
    let scale = 1.0 / (width as f32).sqrt();
    let (q, k) = (Matrix::rows(&q[origin..], stride), Matrix::rows(&k[origin..], stride).t());
    matmul(Sizes { m: tokens, n: tokens, k: width }, scale, q, k, probabilities, tokens, Output::Replace);
    softmax_rows(probabilities, tokens);
    match mask {
        Some((mask, first)) => {
            dropped.resize(tokens * tokens, 0.0);
            super::dropout::scale(probabilities, mask, first, dropped);
            (probabilities, dropped)
        }
        None => (probabilities, probabilities),
    }
}

/// `out = dropout(softmax(q k^T / sqrt(width))) v`. `mask` comes with the number of its first element.
pub(crate) fn forward(
    head: HeadView,
    [q, k, v]: [&[f32]; 3],
    mask: Option<(Mask, u32)>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let HeadView { origin, stride, tokens, width } = head;
    let (_, mixed) = probabilities(head, q, k, mask, &mut scratch.probabilities, &mut scratch.dropped);
    let (p, v) = (Matrix::rows(mixed, tokens), Matrix::rows(&v[origin..], stride));
    matmul(Sizes { m: tokens, n: width, k: tokens }, 1.0, p, v, &mut out[origin..], stride, Output::Replace);
}

/// Attention of all `heads` of one sequence of `tokens` tokens, in inference.
///
/// * `qkv`: `[tokens, 3 * width]`, queries, keys and values of a token side by side
/// * `out`: `[tokens, width]`
pub(crate) fn infer(heads: usize, tokens: usize, qkv: &[f32], scratch: &mut Scratch, out: &mut [f32]) {
    let width = out.len() / tokens;
    let (stride, head) = (3 * width, width / heads);
    let scale = 1.0 / (head as f32).sqrt();
    let scores = &mut scratch.probabilities;
    scores.resize(tokens * tokens, 0.0);
    for first in (0..width).step_by(head) {
        let part = |which: usize| Matrix::rows(&qkv[which * width + first..], stride);
        matmul(
            Sizes { m: tokens, n: tokens, k: head },
            scale,
            part(0),
            part(1).t(),
            scores,
            tokens,
            Output::Replace,
        );
        softmax_rows(scores, tokens);
        let mixed = Sizes { m: tokens, n: head, k: tokens };
        matmul(mixed, 1.0, Matrix::rows(scores, tokens), part(2), &mut out[first..], width, Output::Replace);
    }
}

/// Gradients of [`forward`], written to the head's place in `dq`, `dk`, `dv`.
pub(crate) fn backward(
    head: HeadView,
    [q, k, v]: [&[f32]; 3],
    mask: Option<(Mask, u32)>,
    grad: &[f32],
    scratch: &mut Scratch,
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let HeadView { origin, stride, tokens, width } = head;
    let Scratch { probabilities: p, dropped, grads } = scratch;
    let (p, mixed) = probabilities(head, q, k, mask, p, dropped);
    let grad = Matrix::rows(&grad[origin..], stride);
    let narrow = Sizes { m: tokens, n: width, k: tokens };
    matmul(narrow, 1.0, Matrix::rows(mixed, tokens).t(), grad, &mut dv[origin..], stride, Output::Replace);

    grads.resize(tokens * tokens, 0.0);
    let values = Matrix::rows(&v[origin..], stride).t();
    matmul(Sizes { m: tokens, n: tokens, k: width }, 1.0, grad, values, grads, tokens, Output::Replace);
    if let Some((mask, first)) = mask {
        mask_in_place(grads, mask, first);
    }
    softmax_backward_rows(p, grads, tokens);

    let scale = 1.0 / (width as f32).sqrt();
    let scores = Matrix::rows(grads, tokens);
    let keys = Matrix::rows(&k[origin..], stride);
    let queries = Matrix::rows(&q[origin..], stride);
    matmul(narrow, scale, scores, keys, &mut dq[origin..], stride, Output::Replace);
    matmul(narrow, scale, scores.t(), queries, &mut dk[origin..], stride, Output::Replace);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn softmax_rows(scores: &mut [f32], width: usize) {
    for row in scores.chunks_exact_mut(width) {
        let top = math::max(row);
        for x in row.iter_mut() {
            *x = math::exp(*x - top);
        }
        let scale = 1.0 / math::sum(row);
        for x in row.iter_mut() {
            *x *= scale;
        }
    }
}

/// Turns gradients of probabilities into gradients of scores: `ds = p * (dp - sum(dp * p))`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn softmax_backward_rows(probabilities: &[f32], grads: &mut [f32], width: usize) {
    for (p, g) in probabilities.chunks_exact(width).zip(grads.chunks_exact_mut(width)) {
        let inner = math::dot(p, g);
        for (g, &p) in g.iter_mut().zip(p) {
            *g = p * (*g - inner);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn mask_in_place(xs: &mut [f32], mask: Mask, first: u32) {
    for (i, x) in xs.iter_mut().enumerate() {
        *x *= mask.factor(first.wrapping_add(i as u32));
    }
}
