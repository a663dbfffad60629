//! Records as rows: names that are text, and fields as JSON.

use super::super::rows::Scores;
use super::super::{EntityRecord, SentenceRecord};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A sentence.
#[derive(Serialize)]
pub(super) struct SentenceRow<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    #[serde(flatten)]
    sentence: Sentence<'a>,
}

/// An entity, with the sentence it stands in.
#[derive(Serialize)]
pub(super) struct EntityRow<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    sentence: usize,
    #[serde(flatten)]
    entity: &'a EntityRecord,
    stance: &'a Option<Vec<String>>,
    abstained: Option<bool>,
    sentence_text: &'a str,
}

/// An article with its sentences.
#[derive(Serialize)]
pub(super) struct ArticleRow<'a> {
    #[serde(flatten)]
    origin: Origin<'a>,
    sentences: Vec<Sentence<'a>>,
}

/// What a record has of its text.
#[derive(Serialize)]
struct Origin<'a> {
    id: Cow<'a, str>,
    date: &'a Option<String>,
    #[serde(serialize_with = "json")]
    fields: &'a Option<Map<String, Value>>,
}

/// What a record has of the sentence alone.
#[derive(Serialize)]
struct Sentence<'a> {
    sentence: usize,
    start: usize,
    end: usize,
    text: &'a str,
    stance: &'a Option<Vec<String>>,
    #[serde(serialize_with = "scores")]
    scores: &'a Option<Vec<(String, f32)>>,
    abstained: Option<bool>,
    entities: &'a Option<Vec<EntityRecord>>,
}

impl<'a> SentenceRow<'a> {
    pub(super) fn new(record: &'a SentenceRecord) -> Self {
        Self { origin: Origin::new(record), sentence: Sentence::new(record) }
    }
}

impl<'a> EntityRow<'a> {
    pub(super) fn new(record: &'a SentenceRecord, entity: &'a EntityRecord) -> Self {
        let SentenceRecord { sentence, text, stance, abstained, .. } = record;
        let (origin, sentence, abstained) = (Origin::new(record), *sentence, *abstained);
        Self { origin, sentence, entity, stance, abstained, sentence_text: text }
    }
}

impl<'a> ArticleRow<'a> {
    /// `None` for an article without sentences.
    pub(super) fn new(sentences: &'a [SentenceRecord]) -> Option<Self> {
        let origin = Origin::new(sentences.first()?);
        Some(Self { origin, sentences: sentences.iter().map(Sentence::new).collect() })
    }
}

impl<'a> Origin<'a> {
    fn new(record: &'a SentenceRecord) -> Self {
        let SentenceRecord { id, date, fields, .. } = record;
        let id = id.as_str().map_or_else(|| id.to_string().into(), Cow::from);
        Self { id, date, fields }
    }
}

impl<'a> Sentence<'a> {
    fn new(record: &'a SentenceRecord) -> Self {
        let SentenceRecord { sentence, start, end, text, stance, scores, abstained, entities, .. } = record;
        let (sentence, start, end, abstained) = (*sentence, *start, *end, *abstained);
        Self { sentence, start, end, text, stance, scores, abstained, entities }
    }
}

/// Bytes of what a record has from the input, about: any of it may be long.
pub(super) fn bytes(record: &SentenceRecord) -> usize {
    let SentenceRecord { id, date, text, fields, .. } = record;
    let id = id.as_str().map_or_else(|| id.to_string().len(), str::len);
    let fields = fields.as_ref().and_then(|fields| serde_json::to_string(fields).ok());
    id + date.as_ref().map_or(0, String::len) + text.len() + fields.map_or(0, |json| json.len())
}

fn json<S: Serializer>(fields: &Option<Map<String, Value>>, serializer: S) -> Result<S::Ok, S::Error> {
    let json = fields.as_ref().map(serde_json::to_string).transpose();
    json.map_err(serde::ser::Error::custom)?.serialize(serializer)
}

fn scores<S: Serializer>(scores: &Option<Vec<(String, f32)>>, serializer: S) -> Result<S::Ok, S::Error> {
    scores.as_deref().map(Scores).serialize(serializer)
}
