use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Gradients of embedding tables, row by row, gathered in the backward pass.
///
/// A batch touches a few hundred of the 30,522 rows of a word embedding; a dense gradient of 47 MB per step would cost
/// more than a fifth of the training time.
#[derive(Debug, Default, Clone)]
pub struct RowGradients(Arc<Mutex<BTreeMap<u32, Vec<f32>>>>);

impl RowGradients {
    /// Takes what has been gathered: row index to gradient `[width]`, in row order.
    pub fn take(&self) -> BTreeMap<u32, Vec<f32>> {
        std::mem::take(&mut *self.0.lock().expect("no thread panics while it adds rows"))
    }
}

/// Looks rows up in a table.
///
/// * `table`: `[rows, width]`
/// * `ids`: `[batch, tokens]`, u32
///
/// Returns `[batch, tokens, width]`. With `sink`, the gradient of the table goes there, row by row, and not to candle's
/// gradient store.
///
/// # Errors
/// If an id is not below `rows`.
pub fn embedding(table: &Tensor, ids: &Tensor, sink: Option<&RowGradients>) -> Result<Tensor> {
    let (batch, tokens) = ids.dims2()?;
    let width = table.dim(1)?;
    let flat = ids.flatten_all()?;
    let rows = match sink {
        Some(sink) if super::fused(table) => table.apply_op2(&flat, Gather { sink: sink.clone() })?,
        _ => table.index_select(&flat, 0)?,
    };
    rows.reshape((batch, tokens, width))
}

struct Gather {
    sink: RowGradients,
}

impl CustomOp2 for Gather {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        table_layout: &Layout,
        ids: &CpuStorage,
        ids_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = table_layout.shape().dims2()?;
        let table = super::slice(table, table_layout, self.name())?;
        let Some((start, end)) = ids_layout.contiguous_offsets() else {
            candle_core::bail!("embedding: ids are not contiguous");
        };
        let ids = &ids.as_slice::<u32>()?[start..end];
        let mut out = Vec::with_capacity(ids.len() * width);
        for &id in ids {
            let id = id as usize;
            if id >= rows {
                candle_core::bail!("embedding: id {id} is not below the table's {rows} rows");
            }
            out.extend_from_slice(&table[id * width..][..width]);
        }
        Ok((CpuStorage::F32(out), (ids.len(), width).into()))
    }

    fn bwd(
        &self,
        table: &Tensor,
        ids: &Tensor,
        _rows: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = table.dim(1)?;
        let ids = ids.to_vec1::<u32>()?;
        let grad = grad.contiguous()?;
        super::with_slices([&grad], self.name(), |[grad]| {
            let mut rows = self.sink.0.lock().expect("no thread panics while it adds rows");
            for (&id, grad) in ids.iter().zip(grad.chunks_exact(width)) {
                let row = rows.entry(id).or_insert_with(|| vec![0.0; width]);
                for (total, g) in row.iter_mut().zip(grad) {
                    *total += g;
                }
            }
            Ok(())
        })?;
        Ok((None, None))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::numbers;
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn gathered_row_gradients_equal_the_dense_gradient() -> Result<()> {
        let table = Var::from_tensor(&numbers(&[6, 4], 1))?;
        let ids = Tensor::new(&[[1u32, 3, 1], [5, 3, 1]], &Device::Cpu)?;
        let weights = numbers(&[2, 3, 4], 2);
        let dense = embedding(&table, &ids, None)?.mul(&weights)?.sum_all()?.backward()?;
        let dense = dense.get(table.as_tensor()).expect("a gradient").to_vec2::<f32>()?;
        let sink = RowGradients::default();
        embedding(&table, &ids, Some(&sink))?.mul(&weights)?.sum_all()?.backward()?;
        let rows = sink.take();
        assert_eq!(rows.keys().copied().collect::<Vec<_>>(), [1, 3, 5]);
        for (id, row) in rows {
            for (a, b) in row.iter().zip(&dense[id as usize]) {
                assert!((a - b).abs() < 1e-6);
            }
        }
        Ok(())
    }

    #[test]
    fn an_id_outside_the_table_is_an_error() {
        let ids = Tensor::new(&[[9u32]], &Device::Cpu).unwrap();
        assert!(embedding(&numbers(&[6, 4], 1), &ids, None).is_err());
        assert!(embedding(&numbers(&[6, 4], 1), &ids, Some(&RowGradients::default())).is_err());
    }
}
