//! Scaled dot-product attention of one head over one sequence, Vaswani et al. 2017 (arXiv 1706.03762), with dropout on
//! the attention probabilities.
//!
//! The backward pass computes the probabilities again in place of keeping `tokens x tokens` of them per head.

use super::cpu::for_every_level;
use super::dropout::Mask;
use super::gemm::{Matrix, Output, Sizes, matmul};
use super::math;
use super::packed::Once;

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

/// Rows of queries whose scores are computed together, so that they stay in the cache.
const QUERIES: usize = 32;

/// Buffers of [`infer`].
#[derive(Default)]
pub(crate) struct Inference {
    keys: Once,
    values: Once,
    scores: Vec<f32>,
}

/// What is added to the scores of every head by how far the key is from the query.
#[derive(Debug, Clone)]
pub(crate) struct Biases {
    /// Most tokens of a sequence.
    longest: usize,
    /// `[heads, 2 * longest - 1]`, from the farthest key before the query to the farthest behind it, before scores are divided by the
    /// root of a head's width.
    table: Vec<f32>,
}

impl Biases {
    /// * `longest`: most tokens of a sequence, at least 1
    /// * `width`: of a head
    /// * `bias`: of a head, a query and a key, of which their distance alone may count
    pub(crate) fn new(
        heads: usize,
        longest: usize,
        width: usize,
        bias: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let unscaled = |head, query, key| bias(head, query, key) * (width as f32).sqrt();
        let table = (0..heads).flat_map(|head| {
            let before = (1..longest).rev().map(move |query| (query, 0));
            before.chain((0..longest).map(|key| (0, key))).map(move |(query, key)| unscaled(head, query, key))
        });
        Self { longest, table: table.collect() }
    }

    /// Adds to the scores of one head, rows of `stride`, the first of which is that of the query `first`.
    fn add(&self, head: usize, first: usize, tokens: usize, stride: usize, scores: &mut [f32]) {
        let table = &self.table[head * (2 * self.longest - 1)..];
        for (query, row) in (first..).zip(scores.chunks_exact_mut(stride)) {
            let biases = &table[self.longest - 1 - query..][..tokens];
            row[..tokens].iter_mut().zip(biases).for_each(|(score, bias)| *score += bias);
        }
    }
}

/// Attention of all `heads` of one sequence of `tokens` tokens, in inference.
///
/// * `qkv`: `[tokens, 3 * width]`, queries, keys and values of a token side by side
/// * `out`: `[tokens, width]`
pub(crate) fn infer(
    heads: usize,
    tokens: usize,
    qkv: &[f32],
    biases: Option<&Biases>,
    buffers: &mut Inference,
    out: &mut [f32],
) {
    let Inference { keys, values, scores } = buffers;
    let width = out.len() / tokens;
    let (stride, head) = (3 * width, width / heads);
    let scale = 1.0 / (head as f32).sqrt();
    let padded = tokens.next_multiple_of(SOFTMAX_LANES);
    scores.resize(QUERIES.min(tokens) * padded, 0.0);
    for (number, first) in (0..width).step_by(head).enumerate() {
        keys.rows(&qkv[width + first..], stride, tokens, padded, head);
        values.columns(&qkv[2 * width + first..], stride, head, tokens);
        for query in (0..tokens).step_by(QUERIES) {
            let rows = QUERIES.min(tokens - query);
            keys.product(&qkv[query * stride + first..], stride, rows, scores, padded);
            if let Some(biases) = biases {
                biases.add(number, query, tokens, padded, &mut scores[..rows * padded]);
            }
            scaled_softmax_rows(&mut scores[..rows * padded], tokens, padded, scale);
            values.product(scores, padded, rows, &mut out[query * width + first..], width);
        }
    }
}

const SOFTMAX_LANES: usize = 16;

for_every_level! {
    /// Softmax of `scale` times the first `width` numbers of every row; rows are `stride`, a multiple of 16.
    fn scaled_softmax_rows(scores: &mut [f32], width: usize, stride: usize, scale: f32) {
        for row in scores.chunks_exact_mut(stride) {
            row[width..].fill(f32::NEG_INFINITY);
            let chunks = row.as_chunks_mut::<SOFTMAX_LANES>().0;
            let mut tops = [f32::NEG_INFINITY; SOFTMAX_LANES];
            for chunk in chunks.iter() {
                for (top, &x) in tops.iter_mut().zip(chunk) {
                    *top = if x > *top { x } else { *top };
                }
            }
            let top = tops.iter().fold(f32::NEG_INFINITY, |top, &x| if x > top { x } else { top });
            let mut sums = [0.0; SOFTMAX_LANES];
            for chunk in chunks.iter_mut() {
                for (x, sum) in chunk.iter_mut().zip(&mut sums) {
                    *x = math::exp((*x - top) * scale);
                    *sum += *x;
                }
            }
            let inverse = 1.0 / sums.iter().sum::<f32>();
            for chunk in chunks {
                for x in chunk {
                    *x *= inverse;
                }
            }
        }
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

for_every_level! {
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
}

for_every_level! {
    /// Turns gradients of probabilities into gradients of scores: `ds = p * (dp - sum(dp * p))`.
    fn softmax_backward_rows(probabilities: &[f32], grads: &mut [f32], width: usize) {
        for (p, g) in probabilities.chunks_exact(width).zip(grads.chunks_exact_mut(width)) {
            let inner = math::dot(p, g);
            for (g, &p) in g.iter_mut().zip(p) {
                *g = p * (*g - inner);
            }
        }
    }
}

for_every_level! {
    fn mask_in_place(xs: &mut [f32], mask: Mask, first: u32) {
        for (i, x) in xs.iter_mut().enumerate() {
            *x *= mask.factor(first.wrapping_add(i as u32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::tests::at_every_level;
    use crate::kernels::dropout::mix64;

    #[test]
    fn inference_is_attention_at_every_length_with_biases_and_without() {
        for tokens in [1, 2, 7, 16, 17, 31, 33, 64, 65, 130] {
            for (heads, head, biased) in [(1, 5, true), (2, 16, false), (3, 32, true)] {
                let bias = |head: usize, query: usize, key: usize| match biased {
                    true => (head as f32 + 1.0) * ((key as f32 - query as f32) * 0.1).sin(),
                    false => 0.0,
                };
                let width = heads * head;
                let qkv: Vec<f32> = (0..tokens * 3 * width)
                    .map(|i| (mix64(i as u64) >> 40) as f32 / (1u64 << 22) as f32 - 2.0)
                    .collect();
                let at = |token: usize, part: usize, i: usize| f64::from(qkv[(token * 3 + part) * width + i]);
                let mut expected = vec![0.0; tokens * width];
                for first in (0..width).step_by(head) {
                    for query in 0..tokens {
                        let scores: Vec<f64> = (0..tokens)
                            .map(|key| {
                                let dot: f64 =
                                    (first..first + head).map(|i| at(query, 0, i) * at(key, 1, i)).sum();
                                (dot / (head as f64).sqrt() + f64::from(bias(first / head, query, key))).exp()
                            })
                            .collect();
                        let total: f64 = scores.iter().sum();
                        for i in first..first + head {
                            let mixed: f64 =
                                scores.iter().enumerate().map(|(key, p)| p * at(key, 2, i)).sum();
                            expected[query * width + i] = mixed / total;
                        }
                    }
                }
                let biases = biased.then(|| Biases::new(heads, 130, head, bias));
                at_every_level(|level| {
                    let mut out = vec![f32::NAN; tokens * width];
                    infer(heads, tokens, &qkv, biases.as_ref(), &mut Inference::default(), &mut out);
                    for (ours, expected) in out.iter().zip(&expected) {
                        let off = (f64::from(*ours) - expected).abs();
                        assert!(off < 1e-5, "{level:?}, {tokens} tokens, {heads} of {head}: off by {off}");
                    }
                });
            }
        }
    }
}
