use super::json;
use super::prodigy::{Token, words};
use super::record::Record;
use super::spans::{Mark, spans};
use super::write::Writing;
use super::{Flaw, LabelledOptions, LabelledSentences};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use crate::text::Offsets;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected entities such as {\"start\", \"end\", \"label\"} or [0, 2, \"ORG\"]")]
enum Entity {
    Object { start: usize, end: usize, label: String },
    Tuple(usize, usize, String),
}

impl From<Entity> for Mark {
    fn from(entity: Entity) -> Self {
        let (start, end, label) = match entity {
            Entity::Object { start, end, label } | Entity::Tuple(start, end, label) => (start, end, label),
        };
        Mark { start, end, label, text: None }
    }
}

/// Spans of a document: by the name of their group, or of one group.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected groups of spans")]
enum Groups {
    Named(BTreeMap<String, Vec<Entity>>),
    One(Vec<Entity>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number or a truth value")]
enum Holds {
    Degree(f64),
    Flag(bool),
}

/// [`LabelledFormat::Spacy`](super::LabelledFormat::Spacy)
pub(super) fn read(path: &Path, options: LabelledOptions) -> Result<LabelledSentences, FormatError> {
    json::sentences(path, move |line, value| {
        let value = match value {
            // A pair of a text and its marks is a record whose text stands before it.
            Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                Ok([text, Value::Object(mut marks)]) => {
                    marks.insert(options.text_field.clone().unwrap_or_else(|| "text".into()), text);
                    Value::Object(marks)
                }
                _ => {
                    return Err(Flaw::malformed(line, "the list is not a text and an object of marks").into());
                }
            },
            value => value,
        };
        sentence(Record::new(line, value, &options)?, &options).map(Some)
    })
}

fn sentence(mut record: Record<'_>, options: &LabelledOptions) -> Result<GoldSentence, Vec<Flaw>> {
    let text = record.text(&["text"])?;
    let article = record.article()?;
    let mut found = record.take::<Vec<Entity>>("ents")?;
    if found.is_none() {
        found = record.take::<Vec<Entity>>("entities")?;
    }
    if found.is_none() {
        found = record.take::<Groups>("spans")?.map(|groups| match groups {
            Groups::Named(groups) => groups.into_values().flatten().collect(),
            Groups::One(spans) => spans,
        });
    }
    let entities = found.map(|found| spans(record.line, &text, options.unit(), found)).transpose()?;
    let categories = record.take::<Map<String, Value>>(options.label_field.as_deref().unwrap_or("cats"))?;
    let labels = categories.map(|categories| holding(&record, categories)).transpose()?;
    let words = match record.take::<Vec<Token>>("tokens")? {
        Some(tokens) => Some(words(record.line, &text, tokens, options)?),
        None => None,
    };
    Ok(GoldSentence { article, text, words, labels, entities, fields: record.fields() })
}

/// The categories that hold.
fn holding(record: &Record<'_>, categories: Map<String, Value>) -> Result<Vec<String>, Flaw> {
    let mut labels = Vec::new();
    for (label, degree) in categories {
        let holds = serde_json::from_value(degree)
            .map_err(|e| record.malformed(format!("category `{label}`: {e}")))?;
        if matches!(holds, Holds::Flag(true)) || matches!(holds, Holds::Degree(degree) if degree >= 0.5) {
            labels.push(label);
        }
    }
    Ok(labels)
}

/// The record of a sentence, with every category that occurs in `cats`.
pub(super) fn record(sentence: &GoldSentence, writing: &mut Writing) -> Map<String, Value> {
    let GoldSentence { article, text, words, labels, entities, .. } = sentence;
    let mut offsets = Offsets::new(text, writing.unit);
    let mut record = Map::new();
    record.insert("text".into(), json!(text));
    if let Some(article) = article {
        record.insert("article".into(), json!(article));
    }
    if let Some(entities) = entities {
        let found = entities.iter().map(|entity| {
            let (start, end) = offsets.of(entity.span);
            json!({"start": start, "end": end, "label": entity.label})
        });
        record.insert("ents".into(), found.collect());
    }
    if let Some(labels) = labels {
        let names = writing.contents().label_names().into_iter().chain(labels.iter().cloned());
        let degrees = names.map(|name| {
            let degree = if labels.contains(&name) { 1.0 } else { 0.0 };
            (name, json!(degree))
        });
        record.insert("cats".into(), Value::Object(degrees.collect()));
    }
    if let Some(words) = words {
        let tokens = words.iter().enumerate().map(|(id, &word)| {
            let (start, end) = offsets.of(word);
            json!({"id": id, "start": start, "end": end})
        });
        record.insert("tokens".into(), tokens.collect());
    }
    writing.fields(
        &mut record,
        sentence,
        &["text", "article", "ents", "entities", "spans", "cats", "tokens"],
    );
    record
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, testing};
    use crate::labels::GoldSentence;

    fn read(content: &str) -> Result<Vec<GoldSentence>, String> {
        testing::read(LabelledFormat::Spacy, content)
    }

    #[test]
    fn records_pairs_and_groups_of_spans_say_the_same() {
        let contents = [
            r#"{"text":"In Lima","ents":[{"start":3,"end":7,"label":"LOC"}],"cats":{"hope":1.0,"fear":0.2}}"#,
            r#"[{"text":"In Lima","ents":[{"start":3,"end":7,"label":"LOC"}],"cats":{"hope":true,"fear":false}}]"#,
            r#"["In Lima",{"entities":[[3,7,"LOC"]],"cats":{"hope":1,"fear":0}}]"#,
            r#"[["In Lima",{"entities":[[3,7,"LOC"]],"cats":{"hope":0.5}}]]"#,
            r#"{"text":"In Lima","spans":{"sc":[{"start":3,"end":7,"label":"LOC","kb_id":""}]},"cats":{"hope":1.0}}"#,
        ];
        for content in contents {
            let gold = &read(content).unwrap()[0];
            let entity = &gold.entities.as_ref().unwrap()[0];
            assert_eq!(
                (entity.span.of(&gold.text), entity.label.as_str()),
                (Some("Lima"), "LOC"),
                "{content}"
            );
            assert_eq!(gold.labels, Some(vec!["hope".into()]), "{content}");
        }
    }

    #[test]
    fn tokens_are_words_and_what_is_missing_is_not_annotated() {
        let gold = read(
            r#"{"text":"In Lima","tokens":[{"id":0,"start":0,"end":2},{"id":1,"start":3,"end":7}],"sents":[]}"#,
        );
        let gold = &gold.unwrap()[0];
        assert_eq!(
            (gold.words.as_ref().unwrap().len(), gold.labels.as_ref(), gold.entities.as_ref()),
            (2, None, None)
        );
        assert!(gold.fields.contains_key("sents"));
    }

    #[test]
    fn what_is_no_record_is_named() {
        for (content, expected) in [
            (r#"["a"]"#, "not a text and an object"),
            (r#"{"text":"a","cats":{"x":"yes"}}"#, "category `x`: expected a number"),
            (r#"{"text":"a","ents":[[0,1]]}"#, "field `ents`: expected entities such as"),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
