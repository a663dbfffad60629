//! The settings file of `undertone train`.

use crate::cli::misuse;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;
use undertone::bundle::{Description, Head, SentenceTask, Storage, TokenTask};
use undertone::head::{Activation, Pooling};
use undertone::tokens::CASING_CLASSES;
use undertone::training::TrainingConfig;

/// The settings file, resolved: what is written beside the weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Folder of the model to start from.
    pub(crate) base: PathBuf,
    /// Folder for the result.
    pub(crate) output: Option<PathBuf>,
    /// `int8` (compact) or `f32`.
    #[serde(default = "f32_storage")]
    pub(crate) storage: String,
    /// Whether the encoder gets a casing embedding.
    #[serde(default)]
    pub(crate) casing: bool,
    /// Longest sequence in tokens that the finished model reads at once.
    #[serde(default)]
    pub(crate) window: Option<usize>,
    /// Sentence vector: `mean` or `pooler`.
    #[serde(default = "mean")]
    pub(crate) pooling: Pooling,
    /// Labels of the sentence head, in order; none for no such head.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// Entity types of the token head, in order; none for no such head.
    #[serde(default)]
    pub(crate) entity_types: Vec<String>,
    /// Hyper-parameters.
    #[serde(default)]
    pub(crate) training: TrainingConfig,
    /// Files to learn from.
    pub(crate) train: Vec<Source>,
    /// Files that choose epochs, thresholds and temperature.
    #[serde(default)]
    pub(crate) dev: Vec<Source>,
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
    /// Folders of models with the sentence head that is to be learnt. A sentence with gold labels is put only to teachers
    /// that left it out (`leave_out`), any other sentence to all; the mean of their probabilities is learnt.
    pub(crate) teachers: Vec<PathBuf>,
    /// Share of the teachers in the target of a sentence with gold labels, from 0 to 1.
    pub(crate) share: f32,
}

impl FromStr for Fold {
    type Err = String;

    /// Reads `0/3`: the first of three parts.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(fold, of)| Some((fold.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((fold, of)) if fold < of && of > 1 => Ok(Fold { fold, of }),
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
fn one() -> f32 {
    1.0
}
fn yes() -> bool {
    true
}

impl Recipe {
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
                activation: Activation::Sigmoid,
                pooling: self.pooling,
                thresholds: vec![0.5; self.labels.len()],
                temperature: 1.0,
            }));
        }
        if !self.entity_types.is_empty() {
            let tags = self.entity_types.iter().flat_map(|kind| [format!("B-{kind}"), format!("I-{kind}")]);
            let labels = std::iter::once("O".to_owned()).chain(tags).collect();
            heads.push(Head::Token(TokenTask { name: "entities".into(), labels }));
        }
        if heads.is_empty() {
            return Err(misuse(
                "nothing to learn: the settings file names neither `labels` nor `entity_types`",
            ));
        }
        let casing_classes = if self.casing { CASING_CLASSES } else { 0 };
        Ok(Description {
            format: Description::FORMAT,
            casing_classes,
            max_tokens: self.window,
            heads,
            training: None,
        })
    }
}
