//! Labels that a model was never trained on: a natural-language-inference classifier is asked whether the sentence entails
//! "This example is LABEL.", label by label (Yin et al. 2019, arXiv 1909.00161), as `transformers`' zero-shot pipeline does.

use super::{Answer, EngineError};
use crate::bundle::Bundle;
use crate::head::Activation;
use crate::labels::Prediction;
use crate::tokens::PairFrame;
use serde::{Deserialize, Serialize};

/// Labels to choose from, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ZeroShot {
    /// The labels, at least one.
    pub labels: Vec<String>,
    /// What is said of a sentence, with `{}` in the place of the label.
    pub template: String,
    /// Whether each label is judged by itself, so that none or several may apply; else exactly one does.
    pub multi_label: bool,
}

impl ZeroShot {
    /// The template of `transformers`.
    pub const TEMPLATE: &str = "This example is {}.";
}

/// From which probability a label applies that is judged by itself.
const THRESHOLD: f32 = 0.5;
/// Pieces of the sentence that must fit beside the longest hypothesis.
const LEAST_ROOM: usize = 8;

/// One hypothesis per label, ready to stand behind a sentence.
pub(super) struct Hypotheses {
    pub(super) labels: Vec<String>,
    pub(super) thresholds: Vec<f32>,
    pub(super) frame: PairFrame,
    /// Pieces of each hypothesis.
    pub(super) pieces: Vec<Vec<u32>>,
    /// Pieces of a sentence that fit beside any of them.
    pub(super) room: usize,
    multi_label: bool,
    entailment: usize,
    contradiction: usize,
}

impl Hypotheses {
    pub(super) fn new(bundle: &Bundle, settings: ZeroShot) -> Result<Self, EngineError> {
        let ZeroShot { labels, template, multi_label } = settings;
        let refused = |reason: String| EngineError::ZeroShot { reason };
        if !template.contains("{}") {
            return Err(refused(format!("the template \"{template}\" has no {{}} for the label")));
        }
        if labels.is_empty() || labels.iter().any(|label| label.trim().is_empty()) {
            return Err(refused("there must be labels to choose from, and none may be empty".into()));
        }
        if let Some(twice) = (1..labels.len()).find(|&i| labels[..i].contains(&labels[i])) {
            return Err(refused(format!("the label \"{}\" is there twice", labels[twice])));
        }
        let known = bundle.description.sentence().map_or(&[][..], |task| &task.labels);
        let named = known.iter().position(|label| label.to_lowercase().starts_with("entail"));
        // Labels that were never named are taken to be in the usual order.
        let last =
            known.len().checked_sub(1).filter(|_| known.iter().all(|label| label.starts_with("LABEL_")));
        let Some(entailment) = named.or(last).filter(|_| known.len() > 1) else {
            return Err(refused(format!(
                "the model is no natural-language-inference classifier: none of its labels ({}) is `entailment`",
                known.join(", ")
            )));
        };
        let frame = bundle.tokenizer.pair_frame()?;
        let hypotheses = labels.iter().map(|label| bundle.tokenizer.pieces(&template.replace("{}", label)));
        let pieces: Vec<Vec<u32>> =
            hypotheses.map(|pieces| pieces.map(|p| p.ids)).collect::<Result<_, _>>()?;
        let longest = pieces.iter().map(Vec::len).max().unwrap_or(0);
        let room = bundle.max_tokens().saturating_sub(frame.len() + longest);
        if room < LEAST_ROOM {
            return Err(refused(format!(
                "the longest label leaves room for {room} pieces of a sentence in the {} tokens that the model reads",
                bundle.max_tokens()
            )));
        }
        Ok(Self {
            thresholds: vec![THRESHOLD; labels.len()],
            multi_label: multi_label || labels.len() == 1,
            // As transformers has it.
            contradiction: if entailment == 0 { known.len() - 1 } else { 0 },
            labels,
            frame,
            pieces,
            room,
            entailment,
        })
    }

    /// What is to be said of a sentence, given the answers of its windows, first all for the first hypothesis. A window speaks
    /// for a label if it is the one where entailment is furthest above contradiction: what a part of the sentence
    /// entails, the sentence does.
    pub(super) fn conclude(&self, answers: &[Answer]) -> Prediction {
        let windows = answers.len() / self.pieces.len();
        let pairs: Vec<[f32; 2]> = answers
            .chunks(windows.max(1))
            .map(|windows| {
                let pairs =
                    windows.iter().map(|a| [a.sentence[self.contradiction], a.sentence[self.entailment]]);
                let margin = |pair: &[f32; 2]| pair[1] - pair[0];
                pairs.reduce(|best, pair| if margin(&pair) > margin(&best) { pair } else { best })
            })
            .map(Option::unwrap_or_default)
            .collect();
        let logits: Vec<f32> = pairs.iter().map(|pair| pair[1]).collect();
        let scores = match self.multi_label {
            true => pairs.iter().map(|pair| Activation::Softmax.apply(pair)[1]).collect(),
            false => Activation::Softmax.apply(&logits),
        };
        let activation = if self.multi_label { Activation::Sigmoid } else { Activation::Softmax };
        let labels = activation.decide(&scores, &self.thresholds);
        Prediction { logits, scores, labels, ..Prediction::default() }
    }
}
