//! The files in which a folder keeps its weights, in the forms that `transformers` writes.

use super::BundleError;
use super::torch::read_torch;
use super::weights::read_safetensors;
use crate::digest;
use crate::encoder::Stored;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One file or several that hold a model's weights.
#[derive(Debug)]
pub(super) struct Checkpoint {
    form: Form,
    files: Vec<PathBuf>,
    /// The file that says which tensor is in which of the others, and what it says.
    index: Option<(PathBuf, BTreeMap<String, String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Safetensors,
    /// torch's zip archive of a pickled `state_dict`.
    Torch,
}

/// Names of weights files, the preferred first, as `transformers` looks for them.
const FORMS: [(&str, Form); 2] =
    [("model.safetensors", Form::Safetensors), ("pytorch_model.bin", Form::Torch)];

/// What other frameworks write.
const FOREIGN: [&str; 3] = ["tf_model.h5", "flax_model.msgpack", "model.onnx"];

/// First bytes of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";

impl Checkpoint {
    /// Finds the weights in a folder: one safetensors file, several with an index, or the same of torch's own.
    pub(super) fn find(folder: &Path) -> Result<Self, BundleError> {
        for (name, form) in FORMS {
            let path = folder.join(name);
            if path.exists() {
                return Ok(Self { form, files: vec![path], index: None });
            }
            let path = folder.join(index_name(name));
            if path.exists() {
                let map = weight_map(&path)?;
                let names: BTreeSet<&String> = map.values().collect();
                let files = names.into_iter().map(|name| folder.join(name)).collect();
                return Ok(Self { form, files, index: Some((path, map)) });
            }
        }
        let foreign = FOREIGN.iter().map(|name| folder.join(name)).find(|path| path.exists());
        Err(match foreign {
            Some(path) => BundleError::ForeignWeights { path },
            None => BundleError::File {
                path: folder.join(FORMS[0].0),
                source: std::io::Error::from(std::io::ErrorKind::NotFound),
            },
        })
    }

    /// SHA-256, in hexadecimal, of the weights files, one after the other in the order of their names.
    pub(super) fn sha256(&self) -> Result<String, BundleError> {
        let mut hash = Sha256::new();
        for path in &self.files {
            digest::add_file(&mut hash, path)
                .map_err(|source| BundleError::File { path: path.clone(), source })?;
        }
        Ok(digest::hexadecimal(hash))
    }

    /// All tensors by the names in the files.
    pub(super) fn tensors(&self) -> Result<BTreeMap<String, Stored>, BundleError> {
        let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
        for path in &self.files {
            let more = match self.form {
                Form::Safetensors => {
                    let bytes = std::fs::read(path)
                        .map_err(|source| BundleError::File { path: path.clone(), source })?;
                    read_safetensors(&bytes.into())
                }
                Form::Torch => {
                    refuse_unzipped(path)?;
                    read_torch(path).map(|tensors| {
                        tensors.into_iter().map(|(name, tensor)| (name, Stored::Tensor(tensor))).collect()
                    })
                }
            };
            tensors.extend(more.map_err(|reason| BundleError::Weights { path: path.clone(), reason })?);
        }
        if let Some((path, map)) = &self.index
            && let Some((name, file)) =
                map.iter().find(|(name, _)| !tensors.contains_key(*name) && !is_buffer(name))
        {
            let reason = format!("it says that tensor `{name}` is in {file}, which does not have it");
            return Err(BundleError::Weights { path: path.clone(), reason });
        }
        Ok(tensors)
    }
}

/// Buffers that old checkpoints carry and nothing needs.
pub(super) fn is_buffer(name: &str) -> bool {
    name.ends_with("position_ids")
}

/// Names of the files in which a folder keeps its weights; where an index names them, they need not be there.
///
/// # Errors
/// As [`Checkpoint::find`].
#[cfg(feature = "hub")]
pub(crate) fn weights_files(folder: &Path) -> Result<Vec<String>, BundleError> {
    let files = Checkpoint::find(folder)?.files;
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(files.iter().filter_map(name).collect())
}

/// Names of weights files, the preferred first, each with that of the index which stands in its place where the weights are in
/// several files.
#[cfg(feature = "hub")]
pub(crate) fn weights_names() -> [(&'static str, String); 2] {
    FORMS.map(|(name, _)| (name, index_name(name)))
}

fn index_name(weights: &str) -> String {
    format!("{weights}.index.json")
}

/// Tensor to file, of an index file.
fn weight_map(path: &Path) -> Result<BTreeMap<String, String>, BundleError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let json = std::fs::read(path).map_err(|source| BundleError::File { path: path.to_owned(), source })?;
    let wrong = |reason: String| BundleError::Weights { path: path.to_owned(), reason };
    let Index { weight_map } = serde_json::from_slice(&json).map_err(|e| wrong(e.to_string()))?;
    let stray = weight_map.values().find(|file| Path::new(file).file_name() != Some(file.as_ref()));
    match stray {
        Some(file) => Err(wrong(format!("\"{file}\" is not the plain name of a file beside it"))),
        None => Ok(weight_map),
    }
}

/// Refuses the bare pickles that torch wrote before version 1.6, which can run any code when they are read.
fn refuse_unzipped(path: &Path) -> Result<(), BundleError> {
    let mut start = [0; ZIP.len()];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    let read = read.map_err(|source| BundleError::File { path: path.to_owned(), source })?;
    match &start[..read] == ZIP {
        true => Ok(()),
        false => Err(BundleError::ForeignWeights { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use std::collections::HashMap;

    fn write(folder: &Path, file: &str, names: &[&str]) {
        let tensor = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        let tensors: HashMap<String, Tensor> =
            names.iter().map(|name| ((*name).to_owned(), tensor.clone())).collect();
        candle_core::safetensors::save(&tensors, folder.join(file)).unwrap();
    }

    fn index(folder: &Path, map: &[(&str, &str)]) {
        let map: BTreeMap<_, _> = map.iter().copied().collect();
        let json = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
        std::fs::write(folder.join("model.safetensors.index.json"), json).unwrap();
    }

    fn names(folder: &Path) -> Result<Vec<String>, String> {
        let tensors = Checkpoint::find(folder).and_then(|checkpoint| checkpoint.tensors());
        tensors.map(|t| t.into_keys().collect()).map_err(|e| e.to_string())
    }

    #[test]
    fn several_files_are_one_model_and_one_file_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "1.safetensors", &["a"]);
        write(folder, "2.safetensors", &["b"]);
        index(folder, &[("a", "1.safetensors"), ("b", "2.safetensors")]);
        assert_eq!(names(folder).unwrap(), ["a", "b"]);
        let both = Checkpoint::find(folder).unwrap().sha256().unwrap();
        write(folder, "model.safetensors", &["c"]);
        assert_eq!(names(folder).unwrap(), ["c"]);
        assert_ne!(Checkpoint::find(folder).unwrap().sha256().unwrap(), both);
    }

    #[test]
    fn an_index_that_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "1.safetensors", &["a"]);
        index(folder, &[("a", "1.safetensors"), ("b", "1.safetensors")]);
        assert!(names(folder).unwrap_err().contains("`b` is in 1.safetensors, which does not have it"));
        index(folder, &[("a", "2.safetensors")]);
        assert!(names(folder).unwrap_err().contains("2.safetensors"));
        for outside in ["../1.safetensors", "/etc/passwd", "..", "sub/1.safetensors"] {
            index(folder, &[("a", outside)]);
            let error = names(folder).unwrap_err();
            assert!(error.contains("not the plain name of a file"), "{error}");
        }
    }

    #[test]
    fn weights_in_another_form_are_refused_with_a_way_out() {
        for (file, content) in
            [("tf_model.h5", "x"), ("pytorch_model.bin", "\u{80}\u{2}ctorch"), ("pytorch_model.bin", "")]
        {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file), content).unwrap();
            let error = names(folder.path()).unwrap_err();
            assert!(error.contains(file) && error.contains("hint: convert"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(names(folder.path()).unwrap_err().contains("model.safetensors"));
        std::fs::write(folder.path().join("pytorch_model.bin"), b"PK\x03\x04 and no more").unwrap();
        assert!(names(folder.path()).unwrap_err().contains("the weights cannot be read"));
    }
}
