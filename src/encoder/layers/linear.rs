use super::{fused, slice, with_slices};
use crate::kernels::gemm::{self, Matrix, Output, Sizes};
use crate::kernels::{bf16, packed, rows};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

/// What the operands of the encoder's matrix products are rounded to on the CPU; sums and everything else stay in f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// To bf16, which is faster where the CPU has instructions for it ([`Precision::is_fast`]). Elsewhere inference rounds and
    /// multiplies in f32, and training does not round.
    Bf16,
    /// To bytes, in inference alone: weights with a scale an output, states with a scale and a zero point a token (for every 96 of its
    /// numbers with AVX2 alone). On CPUs without instructions for it ([`Precision::is_fast`]) it is slower than f32. Training stays in
    /// f32.
    Int8,
}

impl Precision {
    /// True if this CPU has instructions for it.
    pub fn is_fast(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => bf16::is_available(),
            Self::Int8 => packed::multiplies_bytes(),
        }
    }

    /// `out = a x b`, or `out += a x b`, `out` having rows of `sizes.n`.
    fn matmul(self, sizes: Sizes, a: Matrix, b: Matrix, out: &mut [f32], mode: Output) {
        if self == Self::Bf16 && bf16::is_available() {
            bf16::matmul(sizes, a, b, out, sizes.n, mode);
        } else {
            gemm::matmul(sizes, 1.0, a, b, out, sizes.n, mode);
        }
    }
}

/// `x · weightᵀ + bias`.
///
/// * `x`: `[.., in]`
/// * `weight`: `[out, in]`, as torch's `nn.Linear` keeps it
/// * `bias`: `[out]`
///
/// Returns `[.., out]`.
///
/// # Errors
/// If the shapes do not fit each other exactly.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, precision: Precision) -> Result<Tensor> {
    product(x, weight, bias, Linear { precision, by_row: false })
}

/// [`linear`] for the few outputs of a head, in f32: on the CPU every row is multiplied by itself, so that its bits do not depend on the
/// rows beside it.
///
/// # Errors
/// If the shapes do not fit each other exactly.
pub fn linear_by_row(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    product(x, weight, bias, Linear { precision: Precision::F32, by_row: true })
}

fn product(x: &Tensor, weight: &Tensor, bias: &Tensor, op: Linear) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    if shape.last() != Some(&inputs) || bias.dims() != [outputs] {
        candle_core::bail!("linear: x {:?}, weight {:?}, bias {:?}", x.dims(), weight.dims(), bias.dims());
    }
    let rows = x.elem_count() / inputs.max(1);
    let x = x.contiguous()?.reshape((rows, inputs))?;
    let y = if fused(&x) {
        x.apply_op3(weight, bias, op)?
    } else {
        x.matmul(&weight.t()?)?.broadcast_add(bias)?
    };
    *shape.last_mut().expect("checked above: x has a last dimension") = outputs;
    y.reshape(shape)
}

struct Linear {
    precision: Precision,
    by_row: bool,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (m, k) = x_layout.shape().dims2()?;
        let (n, _) = weight_layout.shape().dims2()?;
        let x = slice(x, x_layout, self.name())?;
        let weight = slice(weight, weight_layout, self.name())?;
        let bias = slice(bias, bias_layout, self.name())?;
        let mut y = Vec::with_capacity(m * n);
        for _ in 0..m {
            y.extend_from_slice(bias);
        }
        if self.by_row {
            rows::add_products(x, weight, k, &mut y);
        } else {
            let (x, weight) = (Matrix::rows(x, k), Matrix::rows(weight, k));
            self.precision.matmul(Sizes { m, n, k }, x, weight.t(), &mut y, Output::Add);
        }
        Ok((CpuStorage::F32(y), (m, n).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (m, k) = x.dims2()?;
        let n = bias.dims1()?;
        let device = x.device();
        let grad = grad.contiguous()?;
        with_slices([x, weight, &grad], self.name(), |[x, weight, grad]| {
            let (mut dx, mut dweight, mut dbias) = (vec![0.0; m * k], vec![0.0; n * k], vec![0.0; n]);
            let dy = Matrix::rows(grad, n);
            let (x, weight) = (Matrix::rows(x, k), Matrix::rows(weight, k));
            self.precision.matmul(Sizes { m, n: k, k: n }, dy, weight, &mut dx, Output::Replace);
            self.precision.matmul(Sizes { m: n, n: k, k: m }, dy.t(), x, &mut dweight, Output::Replace);
            for row in grad.chunks_exact(n) {
                for (total, g) in dbias.iter_mut().zip(row) {
                    *total += g;
                }
            }
            Ok((
                Some(Tensor::from_vec(dx, (m, k), device)?),
                Some(Tensor::from_vec(dweight, (n, k), device)?),
                Some(Tensor::from_vec(dbias, n, device)?),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{agree, numbers};
    use super::*;

    #[test]
    fn linear_and_its_gradients_equal_plain_candle() {
        let operands = [numbers(&[2, 5, 7], 1), numbers(&[3, 7], 2), numbers(&[3], 3)];
        agree(
            &operands,
            1e-5,
            |t| linear(&t[0], &t[1], &t[2], Precision::F32),
            |t| t[0].flatten_to(1)?.matmul(&t[1].t()?)?.broadcast_add(&t[2])?.reshape((2, 5, 3)),
        );
    }

    #[test]
    fn products_by_row_and_their_gradients_equal_plain_candle() {
        agree(
            &[numbers(&[2, 5, 70], 1), numbers(&[3, 70], 2), numbers(&[3], 3)],
            1e-5,
            |t| linear_by_row(&t[0], &t[1], &t[2]),
            |t| t[0].flatten_to(1)?.matmul(&t[1].t()?)?.broadcast_add(&t[2])?.reshape((2, 5, 3)),
        );
    }

    #[test]
    fn bf16_products_and_their_gradients_are_near_those_of_f32() {
        let operands = [numbers(&[4, 30, 64], 1), numbers(&[50, 64], 2), numbers(&[50], 3)];
        // 8 bits of mantissa in both operands, and up to 120 random terms of at most 1.
        agree(
            &operands,
            0.1,
            |t| linear(&t[0], &t[1], &t[2], Precision::Bf16),
            |t| linear(&t[0], &t[1], &t[2], Precision::F32),
        );
    }

    #[test]
    fn a_bias_of_another_size_is_refused() {
        let error = linear(&numbers(&[2, 4], 1), &numbers(&[3, 4], 2), &numbers(&[1], 3), Precision::F32)
            .unwrap_err();
        assert!(error.to_string().contains("bias [1]"), "{error}");
    }
}
