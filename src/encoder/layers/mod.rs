//! The building blocks of an encoder, as functions on tensors.
//!
//! Each serves inference and training alike. On the CPU in f32 they run as one fused operation with a hand-written
//! backward pass; elsewhere they are composed of candle operations that have a gradient. (candle's own
//! `LayerNorm`, `softmax_last_dim` and fused dropouts have none, or cannot be seeded.) The tests compare the two.

mod attention;
mod dropout;
mod embedding;
mod gelu;
mod linear;
mod norm;

pub use attention::attention;
pub use dropout::{Randomness, dropout, dropout_add};
pub use embedding::{RowGradients, embedding};
pub use gelu::gelu;
pub use linear::{Precision, linear, linear_by_row};
pub use norm::layer_norm;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};

/// True where the fused CPU operations apply.
fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The elements of a contiguous f32 CPU storage.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout, op: &'static str) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("{op}: operand {:?} is not contiguous", layout.shape());
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Runs `f` over the elements of contiguous f32 CPU tensors, without copying them.
pub(super) fn with_slices<const N: usize, R>(
    tensors: [&Tensor; N],
    op: &'static str,
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    with_all_slices(&tensors, op, |slices| f(slices.try_into().expect("as many slices as tensors")))
}

/// [`with_slices`] of any number of tensors.
pub(super) fn with_all_slices<R>(
    tensors: &[&Tensor],
    op: &'static str,
    f: impl FnOnce(&[&[f32]]) -> Result<R>,
) -> Result<R> {
    let guards: Vec<_> = tensors.iter().map(|t| t.storage_and_layout()).collect();
    let slices = guards.iter().map(|(storage, layout)| {
        let Storage::Cpu(storage) = &**storage else {
            candle_core::bail!("{op}: operand is not on the CPU");
        };
        slice(storage, layout, op)
    });
    f(&slices.collect::<Result<Vec<_>>>()?)
}

#[cfg(test)]
pub(crate) mod testing {
    use candle_core::{Device, Tensor, Var};

    /// Fixed numbers of about unit size.
    pub(crate) fn numbers(shape: &[usize], seed: u64) -> Tensor {
        let n = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..n)
            .map(|i| {
                let bits = crate::kernels::dropout::mix64(seed * 1_000_003 + i as u64);
                (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).expect("the shape holds its numbers")
    }

    /// Checks that `ours` and `plain` agree in value and in the gradient of every operand, to `tolerance`.
    pub(crate) fn agree(
        operands: &[Tensor],
        tolerance: f32,
        ours: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
        plain: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
    ) {
        let vars: Vec<Var> = operands.iter().map(|t| Var::from_tensor(t).expect("a leaf")).collect();
        let leaves: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let run = |f: &dyn Fn(&[Tensor]) -> candle_core::Result<Tensor>| -> candle_core::Result<Vec<Tensor>> {
            let out = f(&leaves)?;
            let weights = numbers(out.dims(), 99);
            let grads = (&out * &weights)?.sum_all()?.backward()?;
            let mut all = vec![out];
            for leaf in &leaves {
                all.push(grads.get(leaf).expect("every operand has a gradient").clone());
            }
            Ok(all)
        };
        let (ours, plain) = (run(&ours).expect("ours runs"), run(&plain).expect("plain runs"));
        for (i, (a, b)) in ours.iter().zip(&plain).enumerate() {
            assert_eq!(a.dims(), b.dims());
            let diff = max_abs_diff(a, b);
            assert!(
                diff <= tolerance,
                "{} differs by {diff}",
                if i == 0 { "value".into() } else { format!("gradient {i}") }
            );
        }
    }

    pub(crate) fn max_abs_diff(a: &Tensor, b: &Tensor) -> f32 {
        (a - b)
            .and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>())
            .expect("equal shapes on the CPU")
    }
}
