//! What is told of a model on a labelled file: the schema of `undertone evaluate --json`.
//!
//! Every figure stands beside the counts it was divided from, so that runs can be put together.

use super::{Counts, Interval};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// All that is told of one model on one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Version of this schema: [`Evaluation::SCHEMA`]. Fields may be added within a version.
    pub schema: u32,
    /// Version of the program.
    pub undertone: String,
    /// The model.
    pub model: ModelIdentity,
    /// The file.
    pub data: DataIdentity,
    /// Sentence labels; `None` if the data or the model have none.
    pub classification: Option<ClassificationReport>,
    /// Named entities; `None` if the data or the model have none.
    pub entities: Option<EntityReport>,
    /// The same by the values of a field, where that was asked for.
    pub by: Vec<Breakdown>,
    /// Against another model, where that was asked for.
    pub comparison: Option<Comparison>,
}

impl Evaluation {
    /// Version of the schema.
    pub const SCHEMA: u32 = 1;
}

/// Which model a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Its folder or id, or `default`.
    pub name: String,
    /// First 12 digits.
    pub weights_sha256: String,
}

/// Which file a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIdentity {
    /// The file.
    pub path: PathBuf,
    /// Hash of its bytes, in hexadecimal.
    pub sha256: String,
    /// Sentences in it.
    pub sentences: usize,
    /// Articles in it; 0 where sentences name none.
    pub articles: usize,
    /// What the intervals resample: `articles`, `sentences`, or both.
    pub resampled: String,
}

/// A figure and its 95% interval under resampling; `None` where there is nothing to score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The figure.
    pub value: Option<f64>,
    /// Its interval; `None` also where figures of several runs were put together.
    pub interval: Option<Interval>,
}

/// Precision, recall and F1 over several labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// Precision; `None` where there is nothing to score.
    pub precision: Option<f64>,
    /// Recall.
    pub recall: Option<f64>,
    /// F1.
    pub f1: Figure,
}

/// How a sentence's labels are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decisions {
    /// At the thresholds stored with the model.
    Stored,
    /// At thresholds fitted on the other folds of the data.
    CrossFitted,
    /// One label, the likeliest: softmax has no thresholds.
    Likeliest,
}

/// Sentence labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// How labels are decided.
    pub thresholds: Decisions,
    /// Sentences that are scored.
    pub sentences: usize,
    /// Sentences whose whole set of labels is right.
    pub exact: usize,
    /// Their share.
    pub exact_match: Figure,
    /// Label by label, in the model's order.
    pub labels: Vec<LabelReport>,
    /// Unweighted means over the labels; its F1 is the headline.
    #[serde(rename = "macro")]
    pub macro_average: Average,
    /// All decisions together.
    #[serde(rename = "micro")]
    pub micro_average: Average,
    /// Means over the labels, weighted by support.
    #[serde(rename = "weighted")]
    pub weighted_average: Average,
    /// Unweighted mean of the labels' average precisions.
    pub mean_average_precision: Figure,
    /// Sentences by gold label (rows) and decided label (columns), both in the order of the labels and then "no label". A
    /// sentence with several labels counts in several cells.
    pub confusion: Vec<Vec<usize>>,
    /// What is left, and how much of it is wrong, when the least sure sentences are passed over; from few to all.
    pub coverage: Vec<CoveragePoint>,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelReport {
    /// Its name.
    pub label: String,
    /// What was decided.
    pub counts: Counts,
    /// Share of what was decided that is right.
    pub precision: Option<f64>,
    /// Share of what is there that was found.
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    pub f1: Figure,
    /// Sentences that have the label.
    pub support: usize,
    /// Average precision, as scikit-learn defines it.
    pub average_precision: Figure,
    /// Brier score: mean squared distance of probability and truth.
    pub brier: Option<f64>,
    /// Expected calibration error over [`LabelReport::reliability`].
    pub ece: Option<f64>,
    /// Threshold of the decision, where it is one for all sentences.
    pub threshold: Option<f32>,
    /// 15 equally wide bins of probability, from 0 to 1.
    pub reliability: Vec<ReliabilityBin>,
    /// Decisions at up to 200 thresholds, from the highest to the lowest, spread over probabilities and over what is found:
    /// precision-recall curve and threshold sweep.
    pub curve: Vec<CurvePoint>,
}

/// Sentences whose probability lies in one bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// How many.
    pub sentences: usize,
    /// Those of them that have the label.
    pub positives: usize,
    /// Sum of their probabilities.
    pub probability: f64,
    /// Sum of their squared distances from the truth.
    pub squared_error: f64,
}

/// What a threshold would decide.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Probability from which on the label is given.
    pub threshold: f32,
    /// Sentences that have the label and get it.
    pub tp: usize,
    /// Sentences that get it without having it.
    pub fp: usize,
}

/// What remains when the least sure sentences are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CoveragePoint {
    /// Confidence from which on a sentence is answered.
    pub confidence: f32,
    /// Sentences that are answered.
    pub answered: usize,
    /// Those of them whose set of labels is wrong.
    pub wrong: usize,
}

/// Named entities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntityReport {
    /// Sentences that are scored.
    pub sentences: usize,
    /// By the rules of conlleval, which seqeval follows; its micro F1 is the headline.
    pub lenient: EntityFigures,
    /// By strict IOB2.
    pub strict: EntityFigures,
    /// Words with the right tag and all words, where the gold has words.
    pub words: Option<WordCounts>,
    /// Share of words with the right tag.
    pub token_accuracy: Option<f64>,
    /// What sort of mistakes there are.
    pub errors: EntityErrors,
    /// Entities by gold type and found type; `""` is none. Found entities are matched with gold ones that they overlap.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Entities by type and together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EntityFigures {
    /// In alphabetical order; types that only one side has are there too.
    pub types: Vec<EntityTypeReport>,
    /// All entities together.
    pub micro: Average,
    /// Unweighted means over the types.
    #[serde(rename = "macro")]
    pub macro_average: Average,
    /// Means over the types, weighted by support.
    pub weighted: Average,
}

/// One entity type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntityTypeReport {
    /// Its name.
    pub label: String,
    /// What was found.
    pub counts: Counts,
    /// Share of what was found that is right.
    pub precision: Option<f64>,
    /// Share of what is there that was found.
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    pub f1: Figure,
    /// Entities of the type.
    pub support: usize,
}

/// Words by the tag they got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordCounts {
    /// Words with the right tag.
    pub right: usize,
    /// Words.
    pub words: usize,
}

/// Entities by the sort of mistake. Each gold entity is counted once (`correct`, `boundary`, `type`, `both` or `missed`), and
/// so is each found one (`spurious` in place of `missed`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityErrors {
    /// Extent and type are right.
    pub correct: usize,
    /// The type is right, the extent overlaps.
    pub boundary: usize,
    /// The extent is right, the type is not.
    #[serde(rename = "type")]
    pub kind: usize,
    /// Type and extent are wrong, but they overlap.
    pub both: usize,
    /// Nothing was found there.
    pub missed: usize,
    /// Nothing is there.
    pub spurious: usize,
}

/// The figures by the values of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// The field.
    pub field: String,
    /// Its values in alphabetical order.
    pub rows: Vec<BreakdownRow>,
}

/// The figures of the sentences with one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakdownRow {
    /// The value; `""` for sentences without the field.
    pub value: String,
    /// Sentences.
    pub sentences: usize,
    /// Those of them that are scored for labels.
    pub labelled: usize,
    /// Those of these whose whole set of labels is right.
    pub exact: usize,
    /// Counts label by label; empty without sentence labels.
    pub labels: BTreeMap<String, Counts>,
    /// Macro-F1 of the sentence labels.
    pub macro_f1: Figure,
    /// Share of sentences whose whole set of labels is right.
    pub exact_match: Option<f64>,
    /// Counts of entities, all types together, lenient.
    pub entities: Counts,
    /// Their F1.
    pub entity_f1: Figure,
}

/// A model against another on the same data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The other model.
    pub other: ModelIdentity,
    /// Metric by metric.
    pub metrics: Vec<ComparedMetric>,
    /// Sentences that only one model has wholly right; `None` without sentence labels.
    pub labels: Option<McNemar>,
    /// The same for entities.
    pub entities: Option<McNemar>,
    /// Sentences that the models answer differently.
    pub differing: usize,
}

/// A metric of two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedMetric {
    /// Its name, such as `macro_f1`.
    pub metric: String,
    /// This model's.
    pub this: Option<f64>,
    /// The other's.
    pub other: Option<f64>,
    /// This model's less the other's, with its interval under paired resampling.
    pub difference: Figure,
    /// Two-sided p-value of the difference under paired resampling: twice the share of resamples on the other side of 0.
    pub bootstrap_p_value: Option<f64>,
    /// Two-sided p-value of the difference under approximate randomisation (Noreen 1989) over the same units; `None` where
    /// that is not worked out (average precision).
    pub p_value: Option<f64>,
}

/// McNemar's test over sentences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Sentences that only this model has right.
    pub only_this: usize,
    /// Sentences that only the other has right.
    pub only_other: usize,
    /// Exact two-sided p-value.
    pub p_value: f64,
}

/// A sentence with something wrong, as `--errors` writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// The file it is from.
    pub file: PathBuf,
    /// Line that it begins on, from 1.
    pub line: usize,
    /// Article, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub article: Option<String>,
    /// The sentence.
    pub text: String,
    /// Probability that the model gave to its surest mistake.
    pub confidence: f32,
    /// Labels, where the sentence is scored for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelAnswers>,
    /// Entities, right and wrong, in order of appearance, where the sentence is scored for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entities: Option<Vec<EntityAnswer>>,
    /// The record's other fields.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub fields: Map<String, Value>,
}

/// Labels of a sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelAnswers {
    /// As the annotator has it.
    pub gold: Vec<String>,
    /// As the model has it.
    pub found: Vec<String>,
    /// Probability of every label.
    pub scores: BTreeMap<String, f32>,
}

/// An entity of a sentence and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntityAnswer {
    /// What sort of answer it is.
    pub outcome: EntityOutcome,
    /// As the annotator has it; `None` where nothing is there.
    pub gold: Option<Mention>,
    /// As the model has it; `None` where nothing was found.
    pub found: Option<Mention>,
}

/// What became of an entity: as in [`EntityErrors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntityOutcome {
    /// Extent and type are right.
    Correct,
    /// The type is right, the extent overlaps.
    Boundary,
    /// The extent is right, the type is not.
    Type,
    /// Type and extent are wrong, but they overlap.
    Both,
    /// Nothing was found there.
    Missed,
    /// Nothing is there.
    Spurious,
}

/// Where an entity stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mention {
    /// Its type.
    pub label: String,
    /// First code point in the sentence.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// Its text.
    pub text: String,
    /// Probability; `None` for a gold one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
}
