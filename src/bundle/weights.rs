use super::checkpoint::is_buffer;
use super::names::under_our_names;
use super::{Description, Network};
use crate::encoder::Family;
use crate::encoder::{Int8Matrix, Stored};
use bytes::Bytes;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// Ending of the tensor that holds the f32 scale of every row of an int8 matrix.
pub(super) const SCALES: &str = "::scales";

/// Tensors by name, on the CPU, under this crate's names: the encoder's as HF has them below `bert.`, the heads' below `heads.`.
#[derive(Debug, Clone, Default)]
pub struct Weights(BTreeMap<String, Stored>);

impl Weights {
    /// Takes tensors under the names of an HF checkpoint of this family, or under ours.
    pub(super) fn of_checkpoint(tensors: BTreeMap<String, Stored>, family: Family) -> Self {
        Self(under_our_names(tensors, family))
    }

    /// Puts the bare `classifier.*` (and `transform.*`) of an HF checkpoint below the head that its architecture names.
    pub(super) fn with_head_names(self, description: &Description) -> Self {
        let Some(head) = description.heads.first() else { return self };
        let prefix = Network::head_prefix(head.name());
        let bare = |name: &str| ["classifier.", "transform."].iter().any(|part| name.starts_with(part));
        let renamed = |name: String| if bare(&name) { format!("{prefix}.{name}") } else { name };
        Self(self.0.into_iter().map(|(name, tensor)| (renamed(name), tensor)).collect())
    }

    /// Wraps tensors in f32 that already have this crate's names.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>) -> Self {
        Self(tensors.into_iter().map(|(name, tensor)| (name, Stored::Tensor(tensor))).collect())
    }

    /// The tensors as they are kept.
    pub fn stored(&self) -> &BTreeMap<String, Stored> {
        &self.0
    }

    /// The tensors in f32.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.0.iter().map(|(name, stored)| (name.clone(), stored.tensor())).collect()
    }

    /// Numbers in all tensors.
    pub fn parameters(&self) -> usize {
        self.0.values().map(Stored::elements).sum()
    }

    /// A builder over the tensors in f32, as modules load from; none is unpacked before it is asked for.
    pub fn builder(&self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(
            Box::new(Backend { weights: self.clone(), shapes: false }),
            DType::F32,
            device.clone(),
        )
    }

    /// A builder whose tensors have the right shapes and are zeros, for those who want to know whether all are there.
    pub(super) fn shapes(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(
            Box::new(Backend { weights: self.clone(), shapes: true }),
            DType::F32,
            Device::Cpu,
        )
    }
}

struct Backend {
    weights: Weights,
    /// Zeros that take no room in place of numbers.
    shapes: bool,
}

impl SimpleBackend for Backend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() == &shape {
            return Ok(tensor);
        }
        let msg = format!("shape mismatch for {name}");
        Err(candle_core::Error::UnexpectedShape { msg, expected: shape, got: tensor.shape().clone() })
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        match self.weights.0.get(name) {
            Some(stored) if self.shapes => Tensor::zeros((), dtype, device)?.broadcast_as(stored.dims()),
            Some(stored) => stored.tensor().to_device(device)?.to_dtype(dtype),
            None => Err(candle_core::Error::CannotFindTensor { path: name.to_owned() }),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.weights.0.contains_key(name)
    }
}

/// Reads a safetensors file: tensors in f32, f16 or bf16, or int8 rows of ours.
///
/// # Errors
/// With a reason, if the file is damaged or a tensor is of a kind that weights cannot have.
pub(super) fn read_safetensors(bytes: &Bytes) -> Result<BTreeMap<String, Stored>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("the weights cannot be read: {e}"))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if name.ends_with(SCALES) || is_buffer(&name) {
            continue; // scales are read with their matrix
        }
        let stored = if view.dtype() == Dtype::I8 {
            Stored::Int8(int8_matrix(&file, &name, &view, bytes)?)
        } else {
            let values = values(&name, &view)?;
            Stored::Tensor(Tensor::from_vec(values, view.shape(), &Device::Cpu).map_err(|e| e.to_string())?)
        };
        tensors.insert(name, stored);
    }
    Ok(tensors)
}

/// The tensor, if all of its values are numbers.
pub(super) fn finite_tensor(name: &str, tensor: Tensor) -> Result<Tensor, String> {
    let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(|e| e.to_string())?;
    finite(name, values.into_iter()).map(|_| tensor)
}

/// A matrix of ours in bytes, which stay where they are.
fn int8_matrix(
    file: &SafeTensors,
    name: &str,
    view: &TensorView,
    bytes: &Bytes,
) -> Result<Int8Matrix, String> {
    let scales = file
        .tensor(&format!("{name}{SCALES}"))
        .map_err(|_| format!("tensor `{name}` is int8 and `{name}{SCALES}` is missing"))?;
    let [rows, columns] = view.shape() else {
        return Err(format!("tensor `{name}` is int8 and not a matrix: {:?}", view.shape()));
    };
    let unfit = || format!("`{name}{SCALES}` is {:?}, and the matrix has {rows} rows", scales.shape());
    if scales.dtype() != Dtype::F32 || scales.shape() != [*rows] {
        return Err(unfit());
    }
    let numbers = scales.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    let numbers = finite(&format!("{name}{SCALES}"), numbers)?;
    Int8Matrix::new(bytes.slice_ref(view.data()), numbers, *columns).ok_or_else(unfit)
}

fn values(name: &str, view: &TensorView) -> Result<Vec<f32>, String> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => finite(name, bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b))),
        Dtype::BF16 => {
            let pairs = bytes.as_chunks::<2>().0.iter();
            finite(name, pairs.map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)))
        }
        Dtype::F16 => {
            let half = Tensor::from_raw_buffer(bytes, DType::F16, view.shape(), &Device::Cpu);
            let values = half
                .and_then(|t| t.to_dtype(DType::F32)?.flatten_all()?.to_vec1())
                .map_err(|e| e.to_string());
            finite(name, values?.into_iter())
        }
        other => {
            Err(format!("tensor `{name}` is {other:?}; weights are F32, F16, BF16, or int8 with scales"))
        }
    }
}

/// The values of a tensor, checked while they are read, so that the check costs no second pass.
fn finite(name: &str, values: impl Iterator<Item = f32>) -> Result<Vec<f32>, String> {
    let mut finite = true;
    // `inspect` would hide the length from `collect`, and with it the fast loop.
    let note = |x: f32| {
        finite &= x.is_finite();
        x
    };
    let values: Vec<f32> = values.map(note).collect();
    if finite {
        Ok(values)
    } else {
        Err(format!("tensor `{name}` has values that are no finite numbers; its training may have diverged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_is_an_error() {
        assert!(
            read_safetensors(&Bytes::from_static(&[8, 0, 0, 0, 0, 0, 0, 0, b'{']))
                .unwrap_err()
                .contains("cannot be read")
        );
        assert!(read_safetensors(&Bytes::new()).is_err());
    }

    #[test]
    fn a_tensor_with_values_that_are_no_numbers_is_refused_by_name() {
        let parse = |dtype, bytes: &[u8], shape: &[usize], scales: Option<f32>| {
            let scales: Option<Vec<u8>> = scales.map(|x| x.to_le_bytes().into());
            let mut tensors = vec![("a".to_owned(), TensorView::new(dtype, shape.to_vec(), bytes).unwrap())];
            if let Some(scales) = &scales {
                tensors.push((format!("a{SCALES}"), TensorView::new(Dtype::F32, vec![1], scales).unwrap()));
            }
            read_safetensors(&safetensors::serialize(tensors, None).unwrap().into()).map(drop)
        };
        let f32s = |x: f32| [1f32.to_le_bytes(), x.to_le_bytes()].concat();
        assert_eq!(parse(Dtype::F32, &f32s(2.0), &[2], None), Ok(()));
        assert_eq!(parse(Dtype::I8, &[1, 2], &[1, 2], Some(0.5)), Ok(()));
        for (error, name) in [
            (parse(Dtype::F32, &f32s(f32::NAN), &[2], None), "`a`"),
            (parse(Dtype::F32, &f32s(f32::NEG_INFINITY), &[2], None), "`a`"),
            (parse(Dtype::BF16, &[0x80, 0x3f, 0xc0, 0x7f], &[2], None), "`a`"),
            (parse(Dtype::F16, &[0x00, 0x3c, 0x00, 0x7e], &[2], None), "`a`"),
            (parse(Dtype::I8, &[1, 2], &[1, 2], Some(f32::NAN)), "`a::scales`"),
        ] {
            let error = error.unwrap_err();
            assert!(error.contains(name) && error.contains("finite"), "{error}");
        }
    }
}
