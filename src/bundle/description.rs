use crate::encoder::EncoderConfig;
use crate::encoder::layers::Precision;
use crate::head::{Activation, Pooling};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
    /// The fastest arithmetic of the encoder's products whose answers were measured to be as good as those of f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
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
    /// Whether a dense layer, GELU and a norm stand before the classifier, as in HF `ModernBertPredictionHead`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transform: bool,
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
    /// Whether a dense layer, GELU and a norm stand before the classifier, as in HF `ModernBertPredictionHead`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transform: bool,
}

/// Labels without names that a `config.json` may announce; more would be a mistake, and fill the memory with names.
const MOST_LABELS: usize = 100_000;

impl Head {
    /// Its name, under which its tensors are.
    pub fn name(&self) -> &str {
        match self {
            Self::Sentence(task) => &task.name,
            Self::Token(task) => &task.name,
        }
    }

    /// True if the two are of one kind.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether training can go on from this head's tensors to make `next`: the same labels in the same order, worked out in the
    /// same way.
    ///
    /// # Errors
    /// With what differs.
    pub fn check_continues_as(&self, next: &Self) -> Result<(), String> {
        let differ = |what: &str, ours: &str, theirs: &str| {
            Err(format!("it {what} {ours}, and {theirs} is asked for"))
        };
        let listed = |head: &Self| head.labels().join(", ");
        if self.labels() != next.labels() {
            return differ("answers", &listed(self), &listed(next));
        }
        match (self, next) {
            (Self::Sentence(ours), Self::Sentence(theirs)) if ours.pooling != theirs.pooling => differ(
                "pools by",
                &format!("`{}`", ours.pooling.name()),
                &format!("`pooling = \"{}\"`", theirs.pooling.name()),
            ),
            (Self::Sentence(ours), Self::Sentence(theirs)) if ours.activation != theirs.activation => {
                let told = |activation| match activation {
                    Activation::Softmax => "exactly one label",
                    Activation::Sigmoid => "none, one or several labels",
                };
                differ("gives", told(ours.activation), told(theirs.activation))
            }
            _ if self.has_transform() != next.has_transform() => {
                Err("it has another layer before its classifier".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether a dense layer, GELU and a norm stand before its classifier.
    pub fn has_transform(&self) -> bool {
        match self {
            Self::Sentence(task) => task.transform,
            Self::Token(task) => task.transform,
        }
    }

    /// Its labels or tags, in the order of the logits.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Sentence(task) => &task.labels,
            Self::Token(task) => &task.labels,
        }
    }
}

impl Description {
    /// The version this crate writes and reads.
    pub const FORMAT: u32 = 1;

    /// What a CPU computes in where nothing else is asked for: [`Description::precision`] if this one has instructions for it, else
    /// f32.
    pub fn usual_precision(&self) -> Precision {
        self.precision.filter(|precision| precision.is_fast()).unwrap_or_default()
    }

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
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<(), String> {
        let (mut sentence, mut token) = (None, None);
        for head in &self.heads {
            let (name, labels) = (head.name(), head.labels());
            let (kind, earlier) = match head {
                Head::Sentence(_) => ("sentence", &mut sentence),
                Head::Token(_) => ("token", &mut token),
            };
            if let Some(earlier) = earlier.replace(name) {
                return Err(format!(
                    "`{earlier}` and `{name}` are both {kind} heads; there may be one of a kind"
                ));
            }
            if labels.is_empty() {
                return Err(format!("head `{name}` has no labels"));
            }
            let mut seen = BTreeSet::new();
            for (i, label) in labels.iter().enumerate() {
                if label.trim().is_empty() {
                    return Err(format!("label {i} of head `{name}` is empty"));
                }
                if !seen.insert(label) {
                    return Err(format!("head `{name}` has the label \"{label}\" twice"));
                }
            }
            if let Head::Sentence(task) = head {
                task.check()?;
            }
        }
        Ok(())
    }

    /// Works out what a folder made by HF `save_pretrained` answers, from its `config.json`: architecture, `id2label`
    /// and `problem_type`, as `transformers` reads them. A checkpoint without a head has no heads here either.
    ///
    /// # Errors
    /// With a reason, if the labels cannot be understood.
    pub(super) fn from_hugging_face(config_json: &[u8], config: &EncoderConfig) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Labels {
            #[serde(default)]
            architectures: Vec<String>,
            id2label: Option<BTreeMap<String, String>>,
            num_labels: Option<usize>,
            problem_type: Option<String>,
        }
        let fields: Labels = serde_json::from_slice(config_json).map_err(|e| e.to_string())?;
        let architecture = fields.architectures.first().map(String::as_str).unwrap_or_default();
        let named =
            fields.id2label.filter(|labels| fields.num_labels.unwrap_or(labels.len()) == labels.len());
        let labels = match named.filter(|labels| !labels.is_empty()) {
            Some(labels) => labels_in_order(labels)?,
            // The names that HF configurations give, in place of another number of names too, and their number where nothing is
            // said of it.
            None if fields.num_labels.is_some_and(|n| n > MOST_LABELS) => {
                return Err(format!("`num_labels` is more than {MOST_LABELS}"));
            }
            None => (0..fields.num_labels.unwrap_or(2)).map(|i| format!("LABEL_{i}")).collect(),
        };
        let head = match architecture.split_once("For").map(|(_, task)| task) {
            Some("SequenceClassification") => {
                // The order of transformers' text-classification pipeline.
                let activation = match fields.problem_type.as_deref() {
                    Some("multi_label_classification") => Activation::Sigmoid,
                    Some("regression") => {
                        return Err("`problem_type` is \"regression\", which has no labels".into());
                    }
                    _ if labels.len() == 1 => Activation::Sigmoid,
                    _ => Activation::Softmax,
                };
                vec![Head::Sentence(SentenceTask {
                    name: "sequence".into(),
                    thresholds: vec![0.5; labels.len()],
                    labels,
                    activation,
                    pooling: Pooling::of(config),
                    transform: config.modern.is_some(),
                    temperature: 1.0,
                })]
            }
            Some("TokenClassification") => vec![Head::Token(TokenTask {
                name: "token".into(),
                labels,
                transform: config.modern.is_some(),
            })],
            _ => Vec::new(),
        };
        let description = Self { heads: head, ..Self::headless(config) };
        description.check()?;
        Ok(description)
    }

    /// An HF checkpoint without a head.
    pub(super) fn headless(config: &EncoderConfig) -> Self {
        let max_tokens = Some(config.max_tokens());
        Self {
            format: Self::FORMAT,
            casing_classes: 0,
            max_tokens,
            heads: Vec::new(),
            precision: None,
            training: None,
        }
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

impl SentenceTask {
    fn check(&self) -> Result<(), String> {
        let Self { name, labels, thresholds, temperature, .. } = self;
        if thresholds.len() != labels.len() {
            let (labels, thresholds) = (labels.len(), thresholds.len());
            return Err(format!("head `{name}` has {labels} labels and {thresholds} thresholds"));
        }
        for (label, threshold) in labels.iter().zip(thresholds) {
            if !(0.0..=1.0).contains(threshold) {
                return Err(format!(
                    "head `{name}` has threshold {threshold} for \"{label}\", which is not between 0 and 1"
                ));
            }
        }
        if !(temperature.is_finite() && *temperature > 0.0) {
            return Err(format!("head `{name}` has temperature {temperature}, which is not above 0"));
        }
        Ok(())
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
        let error = parse(r#""thresholds":[0.5,1.5],"temperature":1.0"#).unwrap_err();
        assert!(error.contains("1.5 for \"b\""), "{error}");
        assert!(Description::parse(br#"{"format":2,"heads":[]}"#).unwrap_err().contains("format 2"));
    }

    #[test]
    fn heads_that_cannot_be_told_apart_or_answered_are_refused() {
        let token =
            |name: &str, labels: &str| format!(r#"{{"kind":"token","name":"{name}","labels":{labels}}}"#);
        let sound = token("one", r#"["O","PER"]"#);
        let parse = |heads: &[&str]| {
            Description::parse(format!(r#"{{"format":1,"heads":[{}]}}"#, heads.join(",")).as_bytes())
        };
        assert!(parse(&[&sound]).is_ok());
        for (heads, expected) in [
            (vec![&*sound, &token("two", r#"["O","LOC"]"#)], "`one` and `two` are both token heads"),
            (vec![&token("one", "[]")], "`one` has no labels"),
            (vec![&token("one", r#"["O",""]"#)], "label 1 of head `one` is empty"),
            (vec![&token("one", r#"["O","PER","O"]"#)], "the label \"O\" twice"),
        ] {
            let error = parse(&heads).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn labels_without_names_have_those_of_transformers() {
        let labels = |more: &str| {
            let json = format!(
                r#"{{"vocab_size":9,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":16,
                "max_position_embeddings":12,"architectures":["BertForSequenceClassification"]{more}}}"#
            );
            let config = EncoderConfig::parse(json.as_bytes()).unwrap();
            let description = Description::from_hugging_face(json.as_bytes(), &config);
            description.map(|d| d.sentence().expect("a sentence head").labels.clone())
        };
        assert_eq!(labels("").unwrap(), ["LABEL_0", "LABEL_1"]);
        assert_eq!(labels(r#","num_labels":3"#).unwrap(), ["LABEL_0", "LABEL_1", "LABEL_2"]);
        assert_eq!(labels(r#","num_labels":2,"id2label":{"0":"yes"}"#).unwrap(), ["LABEL_0", "LABEL_1"]);
        assert_eq!(labels(r#","num_labels":1,"id2label":{"0":"yes"}"#).unwrap(), ["yes"]);
        assert!(labels(r#","num_labels":999999999999"#).unwrap_err().contains("num_labels"));
        assert!(labels(r#","num_labels":0"#).unwrap_err().contains("no labels"));
    }

    #[test]
    fn a_hugging_face_folder_with_a_label_twice_is_refused() {
        let json = br#"{"vocab_size":9,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,
            "intermediate_size":16,"max_position_embeddings":12,
            "architectures":["BertForTokenClassification"],"id2label":{"0":"O","1":"O"}}"#;
        let config = EncoderConfig::parse(json).unwrap();
        let error = Description::from_hugging_face(json, &config).unwrap_err();
        assert!(error.contains("\"O\" twice"), "{error}");
    }
}
