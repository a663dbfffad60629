use super::{fused, slice, with_slices};
use crate::kernels::gelu;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// GELU in the erf form (HF's `"gelu"`; the tanh form is another function), element by element, any shape.
///
/// # Errors
/// If the tensor library fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if fused(x) { x.contiguous()?.apply_op1(Gelu) } else { x.gelu_erf() }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, layout, self.name())?;
        let mut y = vec![0.0; x.len()];
        gelu::forward(x, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        with_slices([x, &grad], self.name(), |[values, grad]| {
            let mut dx = vec![0.0; values.len()];
            gelu::backward(values, grad, &mut dx);
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{agree, numbers};
    use super::*;

    #[test]
    fn gelu_and_its_gradient_equal_plain_candle() {
        let x = (numbers(&[3, 37], 5) * 4.0).unwrap();
        agree(&[x], 2e-6, |t| gelu(&t[0]), |t| t[0].gelu_erf());
    }
}
