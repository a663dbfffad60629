use bytes::Bytes;
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A tensor as a checkpoint keeps it, so that what is not computed with is never unpacked.
#[derive(Debug, Clone)]
pub enum Stored {
    /// f32, on the CPU.
    Tensor(Tensor),
    /// Rows of bytes.
    Int8(Int8Matrix),
}

impl Stored {
    /// Numbers in it.
    pub fn elements(&self) -> usize {
        match self {
            Self::Tensor(tensor) => tensor.elem_count(),
            Self::Int8(matrix) => matrix.values.len(),
        }
    }

    /// Its shape.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Tensor(tensor) => tensor.dims().to_vec(),
            Self::Int8(matrix) => vec![matrix.rows(), matrix.columns],
        }
    }

    /// The matrix `weight` below `vb` as it is kept in bytes, else as a tensor.
    ///
    /// * `stored`: the tensors behind `vb`, by their whole names
    ///
    /// # Errors
    /// If it is missing or has another shape.
    pub(super) fn weight(
        vb: &VarBuilder,
        stored: &BTreeMap<String, Self>,
        shape: [usize; 2],
    ) -> Result<Self> {
        match stored.get(&format!("{}.weight", vb.prefix())) {
            Some(kept @ Self::Int8(_)) if kept.dims() == shape => Ok(kept.clone()),
            _ => Ok(Self::Tensor(vb.get((shape[0], shape[1]), "weight")?.contiguous()?)),
        }
    }

    /// As a tensor in f32.
    pub fn tensor(&self) -> Tensor {
        match self {
            Self::Tensor(tensor) => tensor.clone(),
            Self::Int8(matrix) => matrix.tensor(),
        }
    }
}

/// A matrix of signed bytes, every row with what a unit of it stands for.
#[derive(Debug, Clone)]
pub struct Int8Matrix {
    values: Bytes,
    scales: Arc<[f32]>,
    columns: usize,
}

impl Int8Matrix {
    /// Takes `values`, `[rows, columns]`, and `scales`, `[rows]`; `None` if there are not as many as that.
    pub fn new(values: Bytes, scales: Vec<f32>, columns: usize) -> Option<Self> {
        let fits = scales.len().checked_mul(columns) == Some(values.len());
        fits.then(|| Self { values, scales: scales.into(), columns })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// All bytes, row by row, and what a unit of each row stands for.
    pub fn parts(&self) -> (&[i8], &[f32]) {
        (bytemuck::cast_slice(&self.values), &self.scales)
    }

    /// A row and what a unit of it stands for.
    pub fn row(&self, row: usize) -> Option<(&[i8], f32)> {
        let scale = *self.scales.get(row)?;
        Some((bytemuck::cast_slice(&self.values[row * self.columns..][..self.columns]), scale))
    }

    fn tensor(&self) -> Tensor {
        let mut values = Vec::with_capacity(self.values.len());
        for (row, scale) in (0..self.rows()).filter_map(|row| self.row(row)) {
            values.extend(row.iter().map(|&x| f32::from(x) * scale));
        }
        let shape = (self.rows(), self.columns);
        Tensor::from_vec(values, shape, &Device::Cpu).expect("as many numbers as the shape has")
    }
}
