//! What a row has that is not a sentence by itself.

use super::record::rounded;
use super::{EntityRecord, SentenceRecord};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// True if a record begins an article: the last one was of another, or its sentences are counted from 1 again.
pub(super) fn begins(record: &SentenceRecord, last: Option<&Value>) -> bool {
    record.sentence == 1 || last != Some(&record.id)
}

/// An entity, with the sentence it stands in.
pub(super) struct EntityRow<'a> {
    pub(super) sentence: &'a SentenceRecord,
    pub(super) entity: &'a EntityRecord,
}

impl Serialize for EntityRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SentenceRecord { id, date, sentence, text, stance, abstained, fields, .. } = self.sentence;
        let EntityRecord { label, text: words, start, end, score, .. } = self.entity;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("id", id)?;
        optional(&mut row, "date", date)?;
        row.serialize_entry("sentence", sentence)?;
        row.serialize_entry("start", start)?;
        row.serialize_entry("end", end)?;
        row.serialize_entry("label", label)?;
        row.serialize_entry("text", words)?;
        row.serialize_entry("score", &rounded(*score))?;
        optional(&mut row, "stance", stance)?;
        optional(&mut row, "abstained", abstained)?;
        row.serialize_entry("sentence_text", text)?;
        optional(&mut row, "fields", &some(fields))?;
        row.end()
    }
}

/// What a record has of the article alone.
pub(super) struct OfArticle<'a>(pub(super) &'a SentenceRecord);

impl Serialize for OfArticle<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SentenceRecord { id, date, fields, .. } = self.0;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("id", id)?;
        optional(&mut row, "date", date)?;
        optional(&mut row, "fields", &some(fields))?;
        row.end()
    }
}

/// What a record has of the sentence alone.
pub(super) struct OfSentence<'a>(pub(super) &'a SentenceRecord);

impl Serialize for OfSentence<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SentenceRecord { sentence, start, end, text, stance, scores, abstained, entities, .. } = self.0;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("sentence", sentence)?;
        row.serialize_entry("start", start)?;
        row.serialize_entry("end", end)?;
        row.serialize_entry("text", text)?;
        optional(&mut row, "stance", stance)?;
        optional(&mut row, "scores", &scores.as_deref().map(Scores))?;
        optional(&mut row, "abstained", abstained)?;
        optional(&mut row, "entities", entities)?;
        row.end()
    }
}

/// Probabilities by label, in the order of the model.
pub(super) struct Scores<'a>(pub(super) &'a [(String, f32)]);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(label, score)| (label, rounded(*score))))
    }
}

/// The fields of a record that has any.
fn some(fields: &Option<Map<String, Value>>) -> Option<&Map<String, Value>> {
    fields.as_ref().filter(|fields| !fields.is_empty())
}

fn optional<M: SerializeMap>(row: &mut M, key: &str, value: &Option<impl Serialize>) -> Result<(), M::Error> {
    value.as_ref().map_or(Ok(()), |value| row.serialize_entry(key, value))
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;

    #[test]
    fn article_and_sentence_together_have_what_the_record_has() {
        let mut record = record();
        record.abstain(false);
        record.date = Some("2024".into());
        record.fields = Some(Map::from_iter([("desk".to_owned(), Value::from("world"))]));
        let of = |value: Value| value.as_object().unwrap().clone();
        let mut parts = of(serde_json::to_value(OfArticle(&record)).unwrap());
        parts.extend(of(serde_json::to_value(OfSentence(&record)).unwrap()));
        let whole = of(serde_json::to_value(&record).unwrap());
        assert_eq!(parts, whole);
        assert!(whole.len() > 10, "{whole:?}");
    }

    #[test]
    fn an_article_begins_with_another_name_or_with_its_first_sentence() {
        let mut record = record();
        let (same, other) = (record.id.clone(), Value::from("b"));
        record.sentence = 2;
        assert!(!begins(&record, Some(&same)) && begins(&record, Some(&other)) && begins(&record, None));
        record.sentence = 1;
        assert!(begins(&record, Some(&same)));
    }
}
