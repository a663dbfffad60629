use super::rows::Scores;
use crate::labels::Prediction;
use crate::text::{Entity, OffsetUnit, Offsets, Span};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// What is said of one sentence; keys that were not asked for are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SentenceRecord {
    /// Name of the text the sentence stands in.
    pub id: Value,
    /// When the text was written, in the words of the input, where that is handed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Number of the sentence in its text, from 1.
    pub sentence: usize,
    /// Offset of its first character in the text.
    pub start: usize,
    /// Offset one past its last character.
    pub end: usize,
    /// The sentence as it stands in the text.
    pub text: String,
    /// Labels that apply; empty if none does, `None` without a sentence head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stance: Option<Vec<String>>,
    /// Probability of every label, in the order of the model.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "scores")]
    pub scores: Option<Vec<(String, f32)>>,
    /// Whether the model was not sure enough to say which labels apply; `None` where it need not be sure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstained: Option<bool>,
    /// Entities in order of appearance, `None` without a token head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entities: Option<Vec<EntityRecord>>,
    /// The input record's other fields.
    #[serde(skip_serializing_if = "nothing")]
    pub fields: Option<Map<String, Value>>,
}

/// A named entity; offsets count from the same origin as the sentence's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntityRecord {
    /// Type, as the model names it.
    pub label: String,
    /// The entity as it stands in the text.
    pub text: String,
    /// Offset of its first character in the text.
    pub start: usize,
    /// Offset one past its last character.
    pub end: usize,
    /// Probability from 0 to 1.
    #[serde(serialize_with = "score")]
    pub score: f32,
    /// Where it stands in the sentence, in bytes; not written.
    #[serde(skip)]
    pub span: Span,
}

/// Where the sentences of a text stand: the text's name, and what came before the stretch that is looked at.
#[derive(Debug, Clone)]
pub struct Origin<'a> {
    /// Name of the text.
    pub id: &'a Value,
    /// Sentences before this stretch.
    pub sentences: usize,
    /// Length of the text before this stretch, in the unit of `offsets`.
    pub length: usize,
    /// Offsets within the stretch.
    pub offsets: Offsets<'a>,
}

impl<'a> Origin<'a> {
    /// The beginning of a text.
    pub fn new(id: &'a Value, text: &'a str, unit: OffsetUnit) -> Self {
        Self { id, sentences: 0, length: 0, offsets: Offsets::new(text, unit) }
    }

    /// The record of the next sentence, `span` in bytes of the stretch `text`, whose labels are `labels`.
    pub fn record(
        &mut self,
        text: &str,
        span: Span,
        prediction: &Prediction,
        labels: &[String],
    ) -> SentenceRecord {
        self.sentences += 1;
        let slice = |span: Span| span.of(text).unwrap_or_default().to_owned();
        // Offsets rise, or every sentence would be counted from the start of the text again.
        let start = self.offsets.at(span.start);
        let mut name = |entity: &Entity| {
            let place = entity.span.shifted(span.start);
            let (start, end) = self.offsets.of(place);
            EntityRecord {
                label: entity.label.clone(),
                text: slice(place),
                start: self.length + start,
                end: self.length + end,
                score: entity.score,
                span: entity.span,
            }
        };
        let entities = prediction.entities.as_ref().map(|found| found.iter().map(&mut name).collect());
        let end = self.offsets.at(span.end);
        let judged = !prediction.scores.is_empty();
        let scores = || labels.iter().cloned().zip(prediction.scores.iter().copied()).collect();
        SentenceRecord {
            id: self.id.clone(),
            date: None,
            sentence: self.sentences,
            start: self.length + start,
            end: self.length + end,
            text: slice(span),
            stance: judged.then(|| prediction.labels.iter().map(|&label| labels[label].clone()).collect()),
            scores: judged.then(scores),
            abstained: None,
            entities,
            fields: None,
        }
    }
}

impl SentenceRecord {
    /// Notes whether the model abstains from labels; then there are none. Nothing is noted of a record without a sentence head.
    pub fn abstain(&mut self, abstained: bool) {
        if let Some(labels) = &mut self.stance {
            self.abstained = Some(abstained);
            if abstained {
                labels.clear();
            }
        }
    }
}

/// True for a record that has no other fields: JSON leaves them out, CSV has a cell for them.
fn nothing(fields: &Option<Map<String, Value>>) -> bool {
    fields.as_ref().is_none_or(Map::is_empty)
}

/// A probability with six decimals: more are noise in f32.
pub(super) fn rounded(score: f32) -> f64 {
    (f64::from(score) * 1e6).round() / 1e6
}

fn score<S: Serializer>(score: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*score))
}

fn scores<S: Serializer>(scores: &Option<Vec<(String, f32)>>, serializer: S) -> Result<S::Ok, S::Error> {
    Scores(scores.as_deref().unwrap_or_default()).serialize(serializer)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A sentence with a label and an entity, after a character of several bytes.
    pub(in crate::report) fn record() -> SentenceRecord {
        let text = "É. We condemn Zürich, they say.";
        let labels = ["condemnation".to_owned(), "speculation".to_owned()];
        let prediction = Prediction {
            scores: vec![0.981_234_6, 0.25],
            labels: vec![0],
            entities: Some(vec![Entity { label: "LOC".into(), span: Span::new(11, 18), score: 0.5 }]),
            ..Prediction::default()
        };
        let id = Value::from("a, b.txt");
        let mut origin = Origin::new(&id, text, OffsetUnit::Char);
        origin.record(text, Span::new(4, text.len()), &prediction, &labels)
    }

    #[test]
    fn offsets_of_sentence_and_entity_count_from_the_start_of_the_text() {
        let record = record();
        let entity = &record.entities.as_ref().unwrap()[0];
        assert_eq!((record.start, record.end, record.text.as_str()), (3, 31, "We condemn Zürich, they say."));
        assert_eq!((entity.start, entity.end, entity.text.as_str()), (14, 20, "Zürich"));
    }

    #[test]
    fn a_model_that_abstains_gives_no_labels_and_keeps_its_scores() {
        let mut sure = record();
        sure.abstain(false);
        assert_eq!((sure.abstained, sure.stance.map(|labels| labels.len())), (Some(false), Some(1)));
        let mut unsure = record();
        unsure.abstain(true);
        let json = serde_json::to_value(&unsure).unwrap();
        assert_eq!((&json["abstained"], &json["stance"]), (&Value::Bool(true), &Value::Array(vec![])));
        assert_eq!(json["scores"].as_object().unwrap().len(), 2);
        let mut names = SentenceRecord { stance: None, ..record() };
        names.abstain(true);
        assert_eq!(names.abstained, None);
    }
}
