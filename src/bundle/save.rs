use super::weights::SCALES;
use super::{Bundle, BundleError};
use candle_core::Tensor;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// How matrices are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Full precision.
    F32,
    /// int8 with one f32 scale per row for every matrix, f32 for vectors: a quarter of the size.
    Int8,
}

impl Bundle {
    /// Writes the bundle as a folder (made if need be): `config.json`, `tokenizer.json`, `tokenizer_config.json`,
    /// `undertone.json`, `model.safetensors`. Each file appears whole or not at all, even if the machine stops.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path, storage: Storage) -> Result<(), BundleError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| BundleError::File { path: folder.to_owned(), source })?;
        let weights = self
            .serialize(storage)
            .map_err(|reason| BundleError::Weights { path: folder.join("model.safetensors"), reason })?;
        write(folder, "config.json", &self.files.config)?;
        write(folder, "tokenizer.json", &self.files.tokenizer)?;
        if let Some(config) = &self.files.tokenizer_config {
            write(folder, "tokenizer_config.json", config)?;
        }
        write(folder, "model.safetensors", &weights)?;
        self.save_description(folder)
    }

    /// Writes `undertone.json` alone, into a folder that has the other files.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_description(&self, folder: &Path) -> Result<(), BundleError> {
        let mut description = serde_json::to_vec_pretty(&self.description).map_err(|e| {
            BundleError::Description { path: folder.join("undertone.json"), reason: e.to_string() }
        })?;
        description.push(b'\n');
        write(folder, "undertone.json", &description)
    }

    fn serialize(&self, storage: Storage) -> Result<Vec<u8>, String> {
        let mut stored: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        for (name, tensor) in self.weights.tensors() {
            let values = flat(&tensor)?;
            let shape = tensor.dims().to_vec();
            if storage == Storage::Int8 && shape.len() == 2 {
                let (ints, scales) = int8_rows(&values, shape[1]);
                stored.insert(format!("{name}{SCALES}"), (Dtype::F32, vec![shape[0]], le_bytes(&scales)));
                stored.insert(name.clone(), (Dtype::I8, shape, ints));
            } else {
                stored.insert(name.clone(), (Dtype::F32, shape, le_bytes(&values)));
            }
        }
        let views: Result<Vec<_>, _> = stored
            .iter()
            .map(|(name, (dtype, shape, bytes))| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect();
        let views = views.map_err(|e: safetensors::SafeTensorError| e.to_string())?;
        safetensors::serialize(views, Some(metadata())).map_err(|e| e.to_string())
    }
}

/// What a safetensors file says of itself: several versions of transformers refuse files that do not say this.
pub(super) fn metadata() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>, String> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(|e| e.to_string())
}

fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Symmetric quantisation, row by row: the largest magnitude of a row becomes 127.
fn int8_rows(values: &[f32], columns: usize) -> (Vec<u8>, Vec<f32>) {
    let mut ints = Vec::with_capacity(values.len());
    let mut scales = Vec::new();
    for row in values.chunks(columns.max(1)) {
        let largest = row.iter().fold(0f32, |top, x| top.max(x.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        ints.extend(row.iter().map(|x| ((x / scale).round().clamp(-127.0, 127.0) as i8).cast_unsigned()));
        scales.push(scale);
    }
    (ints, scales)
}

pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
    let path = folder.join(name);
    let result = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        // Temporary files are private; a bundle is for whoever may read the folder.
        #[cfg(unix)]
        std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(&path).map(drop).map_err(|e| e.error)
    });
    result.map_err(|source| BundleError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantised_row_is_within_half_a_step_of_the_original() {
        let values: Vec<f32> = (0..40).map(|i| ((i * 37 % 23) as f32 - 11.0) * 0.01).collect();
        let (ints, scales) = int8_rows(&values, 10);
        assert_eq!(scales.len(), 4);
        for (i, (&int, &x)) in ints.iter().zip(&values).enumerate() {
            let back = f32::from(int.cast_signed()) * scales[i / 10];
            assert!((back - x).abs() <= scales[i / 10] * 0.5001, "{x} came back as {back}");
        }
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        assert_eq!(int8_rows(&[0.0; 4], 4), (vec![0; 4], vec![1.0]));
    }
}
