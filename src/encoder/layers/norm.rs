use super::{fused, slice, with_slices};
use crate::kernels::norm;
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};

/// Layer normalisation over the last dimension.
///
/// * `x`: `[.., width]`
/// * `gamma`, `beta`: `[width]`
/// * `eps`: added to the variance (`layer_norm_eps` in HF configs)
///
/// # Errors
/// If `gamma` and `beta` are not exactly as wide as `x`.
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    if gamma.dims() != [width] || beta.dims() != [width] {
        candle_core::bail!("layer norm: x {:?}, gamma {:?}, beta {:?}", x.dims(), gamma.dims(), beta.dims());
    }
    if fused(x) {
        x.contiguous()?.apply_op3(gamma, beta, LayerNorm { eps: eps as f32 })
    } else {
        candle_nn::ops::layer_norm_slow(x, gamma, beta, eps as f32)
    }
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, x_layout, self.name())?;
        let gamma = slice(gamma, gamma_layout, self.name())?;
        let beta = slice(beta, beta_layout, self.name())?;
        let mut y = vec![0.0; x.len()];
        norm::forward(x, gamma, beta, self.eps, &mut y);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _beta: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = gamma.dims1()?;
        let grad = grad.contiguous()?;
        with_slices([x, gamma, &grad], self.name(), |[values, weights, grad]| {
            let (mut dx, mut dgamma, mut dbeta) =
                (vec![0.0; values.len()], vec![0.0; width], vec![0.0; width]);
            norm::backward(values, weights, self.eps, grad, &mut dx, &mut dgamma, &mut dbeta);
            Ok((
                Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                Some(Tensor::from_vec(dgamma, width, x.device())?),
                Some(Tensor::from_vec(dbeta, width, x.device())?),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{agree, numbers};
    use super::*;

    #[test]
    fn layer_norm_and_its_gradients_equal_plain_candle() {
        for width in [1, 17, 64, 65] {
            let operands = [numbers(&[2, 3, width], 1), numbers(&[width], 2), numbers(&[width], 3)];
            agree(
                &operands,
                2e-5,
                |t| layer_norm(&t[0], &t[1], &t[2], 1e-3),
                |t| candle_nn::ops::layer_norm_slow(&t[0], &t[1], &t[2], 1e-3),
            );
        }
    }

    #[test]
    fn a_gamma_that_would_broadcast_is_refused() {
        assert!(layer_norm(&numbers(&[2, 4], 1), &numbers(&[1], 2), &numbers(&[4], 3), 1e-5).is_err());
    }
}
