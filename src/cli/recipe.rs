//! The settings file of `undertone train`.

use crate::cli::misuse;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use undertone::bundle::{Description, Head, SentenceTask, Storage, TokenTask};
use undertone::encoder::layers::Precision;
use undertone::head::{Activation, Pooling};
use undertone::tokens::CASING_CLASSES;
use undertone::training::TrainingConfig;

/// The settings file, resolved: what is written beside the weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Model to start from: a folder, or one of the hub.
    #[serde(default)]
    pub(crate) base: PathBuf,
    /// Folder for the result.
    pub(crate) output: Option<PathBuf>,
    /// `int8` (compact) or `f32`.
    #[serde(default = "f32_storage")]
    pub(crate) storage: String,
    /// Arithmetic that the finished model is read in where nothing else is asked for: `f32`, `bf16` or `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<Precision>,
    /// Whether the encoder gets a casing embedding.
    #[serde(default)]
    pub(crate) casing: bool,
    /// Longest sequence in tokens that the finished model reads at once.
    #[serde(default)]
    pub(crate) window: Option<usize>,
    /// Sentence vector: `mean`, `first`, or the first token through a dense layer: `pooler`, `pooler-gelu`, `pooler-relu`.
    #[serde(default = "mean")]
    pub(crate) pooling: Pooling,
    /// Whether a dense layer, GELU and a norm stand before every classifier, as in the classes of `transformers` for ModernBERT.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) transform: bool,
    /// Labels of the sentence head, in order; none for no such head.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// `sigmoid`: none, one or several labels a sentence; `softmax`: exactly one.
    #[serde(default = "sigmoid", skip_serializing_if = "is_sigmoid")]
    pub(crate) activation: Activation,
    /// Entity types of the token head, in order; none for no such head.
    #[serde(default)]
    pub(crate) entity_types: Vec<String>,
    /// Whether new classifiers take the place of those that the base model has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) new_head: bool,
    /// Hyper-parameters.
    #[serde(default)]
    pub(crate) training: TrainingConfig,
    /// Files to learn from.
    #[serde(default)]
    pub(crate) train: Vec<Source>,
    /// Files that choose epochs, thresholds and temperature.
    #[serde(default)]
    pub(crate) dev: Vec<Source>,
    /// Files that the finished model is scored on, and that choose nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) test: Vec<Source>,
    /// Part of the training articles that is not learnt from, so that this model can teach them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leave_out: Option<Fold>,
    /// Models whose sentence probabilities are learnt beside the gold labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) distill: Option<Distillation>,
}

/// One of equal parts of the articles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fold {
    /// Which part, from 0.
    pub(crate) fold: usize,
    /// Number of parts.
    pub(crate) of: usize,
}

/// Teachers and how far they are believed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Distillation {
    /// Folders of models with the sentence head that is to be learnt. Every one is asked about sentences without gold labels, and
    /// one that left out a part of its articles (`leave_out`) also about those of that part. The mean of their probabilities is
    /// learnt.
    pub(crate) teachers: Vec<PathBuf>,
    /// Share of the teachers in the target of a sentence with gold labels, from 0 to 1.
    pub(crate) share: f32,
}

impl Fold {
    fn is_valid(self) -> bool {
        self.fold < self.of && self.of > 1
    }
}

impl FromStr for Fold {
    type Err = String;

    /// Reads `0/3`: the first of three parts.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(fold, of)| Some((fold.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((fold, of)) if (Fold { fold, of }).is_valid() => Ok(Fold { fold, of }),
            _ => Err("it must be a part and the number of parts, such as 0/3 for the first of three".into()),
        }
    }
}

/// A labelled file and what is taken from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Weight of its sentences in the loss.
    #[serde(default = "one")]
    pub(crate) weight: f32,
    /// Whether its sentence labels are used.
    #[serde(default = "yes")]
    pub(crate) labels: bool,
    /// Whether its entities are used.
    #[serde(default = "yes")]
    pub(crate) entities: bool,
}

fn f32_storage() -> String {
    "f32".into()
}
fn mean() -> Pooling {
    Pooling::Mean
}
fn sigmoid() -> Activation {
    Activation::Sigmoid
}
fn is_sigmoid(activation: &Activation) -> bool {
    *activation == Activation::Sigmoid
}
fn one() -> f32 {
    1.0
}
fn yes() -> bool {
    true
}

/// Smallest window: a few pieces between the special tokens.
const SMALLEST_WINDOW: usize = 8;

/// Where names come from that no settings file has.
const GATHERED: &str = " (with --data, they are those of the training file or of labels.json)";

impl Recipe {
    /// Checks every setting against its range.
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        self.training.validate().map_err(|e| misuse(e.to_string()))?;
        // A bundle has no such names, which must not show first when the trained one is saved.
        for (setting, names) in [("labels", &self.labels), ("entity_types", &self.entity_types)] {
            let mut seen = BTreeSet::new();
            for name in names {
                if name.trim().is_empty() {
                    return Err(misuse(format!("`{setting}` has an empty name: \"{name}\"{GATHERED}")));
                }
                if !seen.insert(name) {
                    return Err(misuse(format!("`{setting}` has \"{name}\" twice{GATHERED}")));
                }
            }
        }
        if let (Activation::Softmax, [only]) = (self.activation, &self.labels[..]) {
            return Err(misuse(format!(
                "`activation` is \"softmax\" and `labels` has only \"{only}\"; it must have two labels or more"
            )));
        }
        if let Some(window) = self.window.filter(|&window| window < SMALLEST_WINDOW) {
            return Err(misuse(format!(
                "`window` is {window}; it must be at least {SMALLEST_WINDOW} tokens"
            )));
        }
        for Source { path, weight, .. } in self.train.iter().chain(&self.dev).chain(&self.test) {
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(misuse(format!(
                    "`weight` of {} is {weight}; it must be above 0",
                    path.display()
                )));
            }
        }
        if let Some(Distillation { share, .. }) = &self.distill
            && !(0.0..=1.0).contains(share)
        {
            return Err(misuse(format!("`share` of `distill` is {share}; it must be from 0 to 1")));
        }
        if let Some(part) = self.leave_out.filter(|part| !part.is_valid()) {
            return Err(misuse(format!(
                "`leave_out` has `fold` {} and `of` {}; `of` must be at least 2, and `fold` below it",
                part.fold, part.of
            )));
        }
        Ok(())
    }

    /// How the finished weights are stored.
    pub(crate) fn storage(&self) -> anyhow::Result<Storage> {
        match self.storage.as_str() {
            "f32" => Ok(Storage::F32),
            "int8" => Ok(Storage::Int8),
            other => Err(misuse(format!("`storage` is \"{other}\"; it must be \"f32\" or \"int8\""))),
        }
    }

    /// What the finished model answers.
    pub(crate) fn description(&self) -> anyhow::Result<Description> {
        let mut heads = Vec::new();
        if !self.labels.is_empty() {
            heads.push(Head::Sentence(SentenceTask {
                name: "stance".into(),
                labels: self.labels.clone(),
                activation: self.activation,
                pooling: self.pooling,
                transform: self.transform,
                thresholds: vec![0.5; self.labels.len()],
                temperature: 1.0,
            }));
        }
        if !self.entity_types.is_empty() {
            let tags = self.entity_types.iter().flat_map(|kind| [format!("B-{kind}"), format!("I-{kind}")]);
            let labels = std::iter::once("O".to_owned()).chain(tags).collect();
            heads.push(Head::Token(TokenTask { name: "entities".into(), labels, transform: self.transform }));
        }
        if heads.is_empty() {
            return Err(misuse(
                "nothing to learn: the settings file names neither `labels` nor `entity_types`; with --data they are gathered \
                 from the training file",
            ));
        }
        let casing_classes = if self.casing { CASING_CLASSES } else { 0 };
        Ok(Description {
            format: Description::FORMAT,
            casing_classes,
            max_tokens: self.window,
            heads,
            precision: self.precision,
            training: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let read = |more: &str, source: &str| {
            let text = format!("base = \"base\"\n{more}\n[[train]]\npath = \"wire.jsonl\"\n{source}\n");
            toml::from_str::<Recipe>(&text).unwrap().validate().map_err(|e| e.to_string())
        };
        let teachers = |share: &str| format!("[distill]\nteachers = []\nshare = {share}");
        for fine in ["", "window = 8", "leave_out = { fold = 1, of = 2 }", &teachers("0.0"), &teachers("1.0")]
        {
            read(fine, "weight = 0.5").unwrap();
        }
        for (more, source, name) in [
            ("window = 7", "", "`window` is 7"),
            ("labels = [\"a\", \"b\", \"a\"]", "", "`labels` has \"a\" twice"),
            ("labels = [\"a\", \" \"]", "", "`labels` has an empty name"),
            ("entity_types = [\"PER\", \"PER\"]", "", "`entity_types` has \"PER\" twice"),
            ("activation = \"softmax\"\nlabels = [\"war\"]", "", "only \"war\""),
            ("leave_out = { fold = 2, of = 2 }", "", "`leave_out` has `fold` 2"),
            ("leave_out = { fold = 0, of = 1 }", "", "`of` 1"),
            (&teachers("1.5"), "", "`share` of `distill` is 1.5"),
            (&teachers("nan"), "", "is NaN"),
            ("", "weight = 0.0", "`weight` of wire.jsonl is 0"),
            ("", "weight = inf", "is inf"),
            ("[training]\nepochs = 0", "", "`epochs` is 0"),
        ] {
            let error = read(more, source).unwrap_err();
            assert!(error.contains(name), "{more} {source}: {error}");
        }
    }
}
