use super::{fused, slice, with_slices};
use crate::kernels::dropout::{self, Mask, mix64};
use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use std::cell::Cell;

/// Where dropout masks come from: nothing in inference, a seeded stream in training.
///
/// A stream is a counter under a key, so that a mask depends only on the key and on how many masks were drawn before
/// it, never on the machine, the thread or the clock.
#[derive(Debug, Default)]
pub struct Randomness {
    stream: Option<(u64, Cell<u64>)>,
}

impl Randomness {
    /// No dropout: inference.
    pub fn none() -> Self {
        Self::default()
    }

    /// Masks drawn from `key`: training.
    pub fn is_none(&self) -> bool {
        self.stream.is_none()
    }

    /// Masks from a generator with this key.
    pub fn seeded(key: u64) -> Self {
        Self { stream: Some((mix64(key), Cell::new(0))) }
    }

    /// The next mask that drops a share `p`, or `None` where nothing is to be dropped.
    pub(super) fn mask(&self, p: f64) -> Option<Mask> {
        let (key, drawn) = self.stream.as_ref()?;
        drawn.set(drawn.get() + 1);
        (p > 0.0).then(|| Mask::new(p as f32, key.wrapping_add(drawn.get())))
    }
}

/// Sets a share `p` of the elements to zero and scales the others by `1 / (1 - p)`; any shape.
///
/// # Errors
/// If the tensor library fails.
pub fn dropout(x: &Tensor, p: f64, randomness: &Randomness) -> Result<Tensor> {
    match randomness.mask(p) {
        None => Ok(x.clone()),
        Some(mask) => x.mul(&factors(mask, x.shape(), x.device())?.to_dtype(x.dtype())?),
    }
}

/// `dropout(x) + residual` in one pass; both `[batch, tokens, width]`.
///
/// # Errors
/// If the shapes differ.
pub fn dropout_add(x: &Tensor, residual: &Tensor, p: f64, randomness: &Randomness) -> Result<Tensor> {
    match randomness.mask(p) {
        Some(mask) if fused(x) && x.dims() == residual.dims() => {
            x.contiguous()?.apply_op2(&residual.contiguous()?, DropoutAdd { mask })
        }
        Some(mask) => x.mul(&factors(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?.add(residual),
        None => x.add(residual),
    }
}

/// The mask as a tensor.
pub(super) fn factors(mask: Mask, shape: &Shape, device: &Device) -> Result<Tensor> {
    let factors: Vec<f32> = (0..shape.elem_count()).map(|i| mask.factor(i as u32)).collect();
    Tensor::from_vec(factors, shape, device)
}

struct DropoutAdd {
    mask: Mask,
}

impl CustomOp2 for DropoutAdd {
    fn name(&self) -> &'static str {
        "dropout and residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, x_layout, self.name())?;
        let residual = slice(residual, residual_layout, self.name())?;
        let mut y = vec![0.0; x.len()];
        dropout::scale_add(x, residual, self.mask, &mut y);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _residual: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let dx = with_slices([&grad], self.name(), |[grad]| {
            let mut dx = vec![0.0; grad.len()];
            dropout::scale(grad, self.mask, 0, &mut dx);
            Tensor::from_vec(dx, x.shape(), x.device())
        })?;
        Ok((Some(dx), Some(grad)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{agree, numbers};
    use super::*;

    #[test]
    fn dropout_and_residual_equal_plain_candle_under_the_same_mask() {
        let operands = [numbers(&[2, 3, 33], 1), numbers(&[2, 3, 33], 2)];
        agree(
            &operands,
            1e-6,
            |t| dropout_add(&t[0], &t[1], 0.3, &Randomness::seeded(5)),
            |t| dropout(&t[0], 0.3, &Randomness::seeded(5))?.add(&t[1]),
        );
    }

    #[test]
    fn inference_drops_nothing() {
        let x = numbers(&[4, 4], 1);
        let y = dropout(&x, 0.5, &Randomness::none()).unwrap();
        assert_eq!(x.to_vec2::<f32>().unwrap(), y.to_vec2::<f32>().unwrap());
    }
}
