//! Tiny random models, put into the program so that it finds them wherever it runs.

use std::path::Path;

/// The files of a model, by name.
pub(crate) type Files = [(&'static str, &'static [u8])];

macro_rules! models {
    ($($name:literal: [$($file:literal),*],)*) => {
        /// Models, by name.
        pub(crate) const MODELS: &[(&str, &Files)] = &[$(
            ($name, &[$(($file, include_bytes!(concat!("../../tests/fixtures/", $name, "/", $file)))),*]),
        )*];
    };
}

models! {
    "bert/token": ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"],
    "bert/sequence": ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"],
    "families/albert/sequence": ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"],
    "families/deberta-v3/token": ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"],
    "families/modernbert/sequence": ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"],
    "families/forms/bin-f16": ["config.json", "tokenizer.json", "tokenizer_config.json", "pytorch_model.bin"],
}

/// Writes the files of a model into a folder.
pub(crate) fn write(files: &Files, folder: &Path) {
    for (name, content) in files {
        std::fs::write(folder.join(name), content).expect("a file in a temporary folder");
    }
}
