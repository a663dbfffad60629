use crate::encoder::BertConfig;
use crate::head::{Activation, Pooling};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `undertone.json`: what a bundle answers and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Version of this format.
    pub format: u32,
    /// Rows of the casing embedding; 0 where the encoder has none.
    #[serde(default)]
    pub casing_classes: usize,
    /// Longest sequence in tokens, special ones included, where it is shorter than the encoder's positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// The heads on the shared encoder.
    pub heads: Vec<Head>,
    /// How it was trained: resolved configuration, seed, data hashes, figures, crate version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<serde_json::Value>,
}

/// One head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Head {
    /// Labels whole sentences.
    Sentence(SentenceTask),
    /// Tags words.
    Token(TokenTask),
}

/// What a sentence head answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SentenceTask {
    /// Name of the head; its tensors are `heads.{name}.*`.
    pub name: String,
    /// Labels in the order of the logits.
    pub labels: Vec<String>,
    /// Logits to probabilities.
    pub activation: Activation,
    /// Token states to a sentence vector.
    pub pooling: Pooling,
    /// Probability from which a label applies, one per label (unused under softmax).
    pub thresholds: Vec<f32>,
    /// What logits are divided by before the activation.
    pub temperature: f32,
}

/// What a token head answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenTask {
    /// Name of the head; its tensors are `heads.{name}.*`.
    pub name: String,
    /// Tags in the order of the logits.
    pub labels: Vec<String>,
}

impl Description {
    /// The version this crate writes and reads.
    pub const FORMAT: u32 = 1;

    /// Reads `undertone.json`.
    ///
    /// # Errors
    /// With a reason, if it is malformed, of another version, or contradicts itself.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let description: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if description.format != Self::FORMAT {
            let (found, known) = (description.format, Self::FORMAT);
            return Err(format!("format {found} is not format {known}, which this version reads"));
        }
        for head in &description.heads {
            if let Head::Sentence(task) = head
                && task.thresholds.len() != task.labels.len()
            {
                let (labels, thresholds) = (task.labels.len(), task.thresholds.len());
                return Err(format!("head `{}` has {labels} labels and {thresholds} thresholds", task.name));
            }
            if let Head::Sentence(SentenceTask { name, temperature, .. }) = head
                && !(temperature.is_finite() && *temperature > 0.0)
            {
                return Err(format!("head `{name}` has temperature {temperature}, which is not above 0"));
            }
        }
        Ok(description)
    }

    /// Works out what a folder made by HF `save_pretrained` answers, from its `config.json`: architecture, `id2label`
    /// and `problem_type`, as `transformers` reads them. A checkpoint without a head has no heads here either.
    ///
    /// # Errors
    /// With a reason, if the labels cannot be understood.
    pub(super) fn from_hugging_face(config_json: &[u8], config: &BertConfig) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Labels {
            #[serde(default)]
            architectures: Vec<String>,
            id2label: Option<BTreeMap<String, String>>,
            problem_type: Option<String>,
        }
        let fields: Labels = serde_json::from_slice(config_json).map_err(|e| e.to_string())?;
        let architecture = fields.architectures.first().map(String::as_str).unwrap_or_default();
        let labels = labels_in_order(fields.id2label.unwrap_or_default())?;
        let head = match architecture {
            "BertForSequenceClassification" => {
                // The order of transformers' text-classification pipeline.
                let activation = match fields.problem_type.as_deref() {
                    Some("multi_label_classification") => Activation::Sigmoid,
                    Some("regression") => {
                        return Err("`problem_type` is \"regression\", which has no labels".into());
                    }
                    _ if labels.len() == 1 => Activation::Sigmoid,
                    _ => Activation::Softmax,
                };
                let thresholds = vec![0.5; labels.len()];
                let (name, pooling) = ("sequence".into(), Pooling::Pooler);
                vec![Head::Sentence(SentenceTask {
                    name,
                    labels,
                    activation,
                    pooling,
                    thresholds,
                    temperature: 1.0,
                })]
            }
            "BertForTokenClassification" => vec![Head::Token(TokenTask { name: "token".into(), labels })],
            _ => Vec::new(),
        };
        let max_tokens = Some(config.max_position_embeddings);
        Ok(Self { format: Self::FORMAT, casing_classes: 0, max_tokens, heads: head, training: None })
    }

    /// The sentence head, if there is one.
    pub fn sentence(&self) -> Option<&SentenceTask> {
        self.heads.iter().find_map(|head| if let Head::Sentence(task) = head { Some(task) } else { None })
    }

    /// The sentence head, to change its thresholds or temperature.
    pub fn sentence_mut(&mut self) -> Option<&mut SentenceTask> {
        self.heads.iter_mut().find_map(|head| if let Head::Sentence(task) = head { Some(task) } else { None })
    }

    /// The token head, if there is one.
    pub fn token(&self) -> Option<&TokenTask> {
        self.heads.iter().find_map(|head| if let Head::Token(task) = head { Some(task) } else { None })
    }
}

/// `id2label` has strings for keys: they are sorted as the integers they are ("10" after "2").
fn labels_in_order(id2label: BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let mut numbered = Vec::new();
    for (id, label) in id2label {
        let id: usize =
            id.parse().map_err(|_| format!("`id2label` has the key \"{id}\", which is no number"))?;
        numbered.push((id, label));
    }
    numbered.sort();
    if let Some((expected, (found, _))) = numbered.iter().enumerate().find(|(i, (id, _))| i != id) {
        return Err(format!("`id2label` goes on with {found} where {expected} should stand"));
    }
    if numbered.is_empty() {
        // The default of HF configurations.
        return Ok(vec!["LABEL_0".into(), "LABEL_1".into()]);
    }
    Ok(numbered.into_iter().map(|(_, label)| label).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_as_integers() {
        let map = (0..12).map(|i| (i.to_string(), format!("L{i}"))).collect();
        let labels = labels_in_order(map).unwrap();
        assert_eq!(labels[2], "L2");
        assert_eq!(labels[10], "L10");
    }

    #[test]
    fn a_gap_in_the_ids_is_an_error() {
        let map = [("0", "A"), ("2", "C")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert!(labels_in_order(map).unwrap_err().contains("where 1 should stand"));
    }

    #[test]
    fn a_description_that_contradicts_itself_is_refused() {
        let head = |extra: &str| {
            format!(
                r#"{{"format":1,"heads":[{{"kind":"sentence","name":"stance","labels":["a","b"],"activation":"sigmoid","pooling":"mean",{extra}}}]}}"#
            )
        };
        let parse = |extra| Description::parse(head(extra).as_bytes());
        assert!(parse(r#""thresholds":[0.5,0.5],"temperature":1.0"#).is_ok());
        assert!(
            parse(r#""thresholds":[0.5],"temperature":1.0"#)
                .unwrap_err()
                .contains("2 labels and 1 thresholds")
        );
        assert!(parse(r#""thresholds":[0.5,0.5],"temperature":0.0"#).unwrap_err().contains("temperature"));
        assert!(Description::parse(br#"{"format":2,"heads":[]}"#).unwrap_err().contains("format 2"));
    }
}
