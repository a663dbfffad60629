//! Which of a repository's files a bundle needs.

use super::{HubError, ModelId};
use crate::bundle::weights_names;

/// What a model without `config.json`, or without any of the files that a tokenizer can be made of, lacks; weights aside.
pub(super) fn lacking(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let tokenizers: [&[&str]; 3] = [&["tokenizer.json"], &["vocab.txt"], &["vocab.json", "merges.txt"]];
    if !has("config.json") {
        return Some("config.json");
    }
    let readable = tokenizers.iter().any(|files| files.iter().all(|file| has(file)));
    (!readable).then_some("tokenizer.json")
}

/// Files that are read if they are there: a cache that has neither them nor a note that they do not exist may lack them only
/// because another program had no use for them.
pub(super) const READ_IF_THERE: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "undertone.json"];

/// Files that belong to a model: what Python's tokenizers read, and the card with the licence.
const KEPT: [&str; 9] = [
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "README.md",
];

/// What to fetch of a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The index that names further files, to be fetched before all others.
    pub(super) index: Option<String>,
    /// Files to fetch at once.
    pub(super) files: Vec<String>,
}

/// Chooses among the names of a repository's files.
pub(super) fn plan(id: &ModelId, all: &[String]) -> Result<Plan, HubError> {
    let has = |name: &str| all.iter().any(|file| file == name);
    let incomplete = |file: &str| HubError::Incomplete { id: id.to_string(), file: file.to_owned() };
    if let Some(file) = lacking(has) {
        return Err(incomplete(file));
    }
    let all_weights = weights_names();
    let (weights, index) = all_weights
        .iter()
        .find_map(|(whole, index)| match (has(whole), has(index)) {
            (true, _) => Some((Some((*whole).to_owned()), None)),
            (false, true) => Some((None, Some(index.clone()))),
            _ => None,
        })
        .ok_or_else(|| incomplete(all_weights[0].0))?;
    let names = std::iter::once("config.json").chain(READ_IF_THERE).chain(KEPT);
    let names = names.filter(|name| has(name)).map(str::to_owned);
    // The largest first, so that the rest is done meanwhile.
    Ok(Plan { index, files: weights.into_iter().chain(names).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(files: &[&str]) -> Result<Plan, String> {
        let files: Vec<String> = files.iter().map(|f| (*f).to_owned()).collect();
        plan(&"a/b".parse().unwrap(), &files).map_err(|e| e.to_string())
    }

    #[test]
    fn only_what_a_bundle_needs_is_fetched() {
        let all = [
            ".gitattributes",
            "README.md",
            "config.json",
            "tokenizer.json",
            "vocab.txt",
            "model.safetensors",
            "pytorch_model.bin",
            "tf_model.h5",
            "onnx/model.onnx",
            "../evil",
            "training_args.bin",
        ];
        let plan = planned(&all).unwrap();
        assert_eq!(
            plan.files,
            ["model.safetensors", "config.json", "tokenizer.json", "vocab.txt", "README.md"]
        );
        assert_eq!(plan.index, None);
    }

    #[test]
    fn torch_weights_are_fetched_only_where_there_are_no_others() {
        let base = ["config.json", "tokenizer.json"];
        for (weights, first, index) in [
            (&["pytorch_model.bin"][..], "pytorch_model.bin", None),
            (
                &["pytorch_model.bin", "model.safetensors.index.json"],
                "config.json",
                Some("model.safetensors.index.json"),
            ),
            (&["model.safetensors", "model.safetensors.index.json"], "model.safetensors", None),
            (
                &["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
                "config.json",
                Some("pytorch_model.bin.index.json"),
            ),
        ] {
            let plan = planned(&[&base[..], weights].concat()).unwrap();
            assert_eq!((plan.files[0].as_str(), plan.index.as_deref()), (first, index), "{weights:?}");
        }
    }

    #[test]
    fn a_repository_that_is_no_bundle_is_refused_before_anything_is_fetched() {
        for (files, missing) in [
            (&["README.md"][..], "config.json"),
            (&["config.json", "vocab.json", "model.safetensors"], "tokenizer.json"),
            (&["config.json", "vocab.txt"], "model.safetensors"),
            (&["config.json", "tokenizer.json", "tf_model.h5"], "model.safetensors"),
        ] {
            let error = planned(files).unwrap_err();
            assert!(error.contains(&format!("a/b has no `{missing}`")), "{error}");
        }
    }
}
