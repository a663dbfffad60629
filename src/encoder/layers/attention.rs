use super::dropout::factors;
use super::{Randomness, fused, slice, with_slices};
use crate::kernels::attention::{self, HeadView, Scratch};
use crate::kernels::dropout::Mask;
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};

/// Multi-head self-attention, without its projections.
///
/// * `q`, `k`, `v`: `[batch, tokens, width]`, head `h` in columns `h * width / heads ..`
/// * `lengths`: real tokens of each sequence; padding stands behind them
/// * `bias`: `[batch or 1, heads, tokens, tokens]`, added to the scaled products of queries (rows) and keys, if there is one
/// * `p`: dropout on the attention probabilities
///
/// Returns `[batch, tokens, width]`; what it holds on padding is not defined.
///
/// # Errors
/// If the shapes differ, the width is no multiple of `heads`, or a length is zero or more than `tokens`.
pub fn attention(
    [q, k, v]: [&Tensor; 3],
    lengths: &[usize],
    heads: usize,
    bias: Option<&Tensor>,
    p: f64,
    randomness: &Randomness,
) -> Result<Tensor> {
    let (batch, tokens, width) = q.dims3()?;
    if k.dims() != q.dims() || v.dims() != q.dims() || lengths.len() != batch || !width.is_multiple_of(heads)
    {
        candle_core::bail!(
            "attention: q {:?}, k {:?}, v {:?}, {} lengths, {heads} heads",
            q.dims(),
            k.dims(),
            v.dims(),
            lengths.len()
        );
    }
    if let Some(length) = lengths.iter().find(|&&n| n == 0 || n > tokens) {
        candle_core::bail!("attention: a sequence of {length} tokens in a batch of {tokens}");
    }
    let mask = randomness.mask(p);
    if fused(q) && bias.is_none() {
        let op = Attention { lengths: lengths.to_vec(), heads, mask };
        return q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op);
    }
    plain(&[q.clone(), k.clone(), v.clone()], lengths, heads, bias, mask)
}

/// The same out of candle operations, for other devices and dtypes, for biased scores, and as the twin in tests.
fn plain(
    qkv: &[Tensor],
    lengths: &[usize],
    heads: usize,
    bias: Option<&Tensor>,
    mask: Option<Mask>,
) -> Result<Tensor> {
    let (batch, tokens, width) = qkv[0].dims3()?;
    let split = |t: &Tensor| t.reshape((batch, tokens, heads, width / heads))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(&qkv[0])?, split(&qkv[1])?, split(&qkv[2])?);
    let mut scores = (q.matmul(&k.t()?)? / ((width / heads) as f64).sqrt())?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(&bias.to_dtype(scores.dtype())?)?;
    }
    let hidden: Vec<f32> = lengths
        .iter()
        .flat_map(|&n| (0..tokens).map(move |j| if j < n { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    let hidden = Tensor::from_vec(hidden, (batch, 1, 1, tokens), q.device())?.to_dtype(q.dtype())?;
    let mut probabilities = candle_nn::ops::softmax(&scores.broadcast_add(&hidden)?, D::Minus1)?;
    if let Some(mask) = mask {
        let factors = factors(mask, probabilities.shape(), q.device())?;
        probabilities = probabilities.mul(&factors.to_dtype(q.dtype())?)?;
    }
    probabilities.matmul(&v)?.transpose(1, 2)?.reshape((batch, tokens, width))
}

struct Attention {
    lengths: Vec<usize>,
    heads: usize,
    mask: Option<Mask>,
}

impl Attention {
    /// Every head of every sequence, with the number of its first attention probability.
    fn each(&self, tokens: usize, width: usize, mut f: impl FnMut(HeadView, Option<(Mask, u32)>)) {
        let head_width = width / self.heads;
        for (b, &length) in self.lengths.iter().enumerate() {
            for h in 0..self.heads {
                let origin = b * tokens * width + h * head_width;
                let first = ((b * self.heads + h) * tokens * tokens) as u32;
                let view = HeadView { origin, stride: width, tokens: length, width: head_width };
                f(view, self.mask.map(|mask| (mask, first)));
            }
        }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, tokens, width) = q_layout.shape().dims3()?;
        let qkv = [
            slice(q, q_layout, self.name())?,
            slice(k, k_layout, self.name())?,
            slice(v, v_layout, self.name())?,
        ];
        let mut out = vec![0.0; q_layout.shape().elem_count()];
        let mut scratch = Scratch::default();
        self.each(tokens, width, |head, mask| attention::forward(head, qkv, mask, &mut scratch, &mut out));
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, tokens, width) = q.dims3()?;
        let grad = grad.contiguous()?;
        with_slices([q, k, v, &grad], self.name(), |[qs, ks, vs, grad]| {
            let zeros = || vec![0.0; qs.len()];
            let (mut dq, mut dk, mut dv) = (zeros(), zeros(), zeros());
            let mut scratch = Scratch::default();
            self.each(tokens, width, |head, mask| {
                attention::backward(
                    head,
                    [qs, ks, vs],
                    mask,
                    grad,
                    &mut scratch,
                    [&mut dq, &mut dk, &mut dv],
                );
            });
            let tensor = |data| Tensor::from_vec(data, q.shape(), q.device());
            Ok((Some(tensor(dq)?), Some(tensor(dk)?), Some(tensor(dv)?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{agree, max_abs_diff, numbers};
    use super::*;

    fn operands(tokens: usize) -> Vec<Tensor> {
        (1..=3).map(|seed| (numbers(&[3, tokens, 24], seed) * 2.0).unwrap()).collect()
    }

    #[test]
    fn attention_and_its_gradients_equal_plain_candle() {
        for tokens in [1, 7, 33] {
            agree(
                &operands(tokens),
                3e-5,
                |t| attention([&t[0], &t[1], &t[2]], &[tokens; 3], 4, None, 0.0, &Randomness::none()),
                |t| plain(t, &[tokens; 3], 4, None, None),
            );
        }
    }

    #[test]
    fn padding_changes_nothing_for_real_tokens() {
        let t = operands(7);
        let keep = |x: Tensor| x.narrow(0, 1, 1).unwrap().narrow(1, 0, 4).unwrap().contiguous().unwrap();
        let ours = attention([&t[0], &t[1], &t[2]], &[7, 4, 2], 4, None, 0.0, &Randomness::none()).unwrap();
        let twin = plain(&t, &[7, 4, 2], 4, None, None).unwrap();
        assert!(max_abs_diff(&keep(ours.clone()), &keep(twin)) < 1e-6);
        let alone: Vec<Tensor> = t.iter().map(|x| keep(x.clone())).collect();
        let alone =
            attention([&alone[0], &alone[1], &alone[2]], &[4], 4, None, 0.0, &Randomness::none()).unwrap();
        assert_eq!(keep(ours).to_vec3::<f32>().unwrap(), alone.to_vec3::<f32>().unwrap());
    }

    #[test]
    fn dropped_attention_probabilities_get_no_gradient_from_the_same_mask() {
        let dropped = Randomness::seeded(11);
        let mask = Randomness::seeded(11).mask(0.4);
        let first = std::cell::Cell::new(true);
        agree(
            &operands(6),
            3e-5,
            |t| {
                assert!(first.replace(false), "the stream gives its first mask once");
                attention([&t[0], &t[1], &t[2]], &[6; 3], 4, None, 0.4, &dropped)
            },
            |t| plain(t, &[6; 3], 4, None, mask),
        );
    }

    #[test]
    fn an_empty_sequence_is_refused() {
        let t = operands(3);
        assert!(attention([&t[0], &t[1], &t[2]], &[3, 0, 1], 4, None, 0.0, &Randomness::none()).is_err());
    }
}
