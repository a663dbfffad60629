use super::json::{self, Entry};
use super::record::{Name, Record};
use super::spans::{Mark, spans};
use super::write::Writing;
use super::{Flaw, LabelledOptions, LabelledSentences, Loss};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use crate::text::Offsets;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Names that the field of the annotations may have.
const ANNOTATIONS: [&str; 3] = ["label", "labels", "annotations"];

/// An annotation in one of the forms that doccano has given it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected labels such as \"x\", or spans such as [0, 2, \"ORG\"]")]
enum Annotation {
    Span(usize, usize, Name),
    Object { start_offset: usize, end_offset: usize, label: Name },
    OfText { label: Name },
    Label(Name),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected labels such as \"x\", or spans such as [0, 2, \"ORG\"]")]
enum Annotations {
    Many(Vec<Annotation>),
    One(Name),
}

/// [`LabelledFormat::Doccano`](super::LabelledFormat::Doccano)
pub(super) fn read(path: &Path, options: LabelledOptions) -> Result<LabelledSentences, FormatError> {
    let spans = has_spans(path, &options)?;
    json::sentences(path, move |line, value| {
        sentence(Record::new(line, value, &options)?, &options, spans).map(Some)
    })
}

/// True if the first annotation of the file is a span: a record without any does not tell what it has none of.
fn has_spans(path: &Path, options: &LabelledOptions) -> Result<bool, FormatError> {
    for entry in json::entries(path)? {
        let Entry { value: Ok(Value::Object(fields)), .. } = entry? else { continue };
        let asked = options.label_field.as_deref();
        let found = asked.into_iter().chain(ANNOTATIONS).find_map(|name| fields.get(name));
        match found.and_then(|found| found.get(0)) {
            Some(Value::Array(_)) => return Ok(true),
            Some(Value::Object(first)) => return Ok(first.contains_key("start_offset")),
            Some(_) => return Ok(false),
            None => {}
        }
    }
    Ok(false)
}

fn sentence(
    mut record: Record<'_>,
    options: &LabelledOptions,
    of_spans: bool,
) -> Result<GoldSentence, Vec<Flaw>> {
    let article = record.article()?;
    let text = record.text(&["text", "data"])?;
    let mut labels: Option<Vec<String>> = None;
    let mut marks: Option<Vec<Mark>> = None;
    if let Some(names) = record.take::<Vec<Name>>("cats")? {
        let named = names.into_iter().map(|name| name.named(&options.label_names));
        let named = named.collect::<Result<Vec<_>, _>>().map_err(|reason| record.malformed(reason))?;
        labels.get_or_insert_default().extend(named);
    }
    let fields = match &options.label_field {
        Some(field) => vec![field.as_str()],
        None => ANNOTATIONS.into_iter().filter(|name| record.get(name).is_some()).take(1).collect(),
    };
    for field in fields.into_iter().chain(["entities"]) {
        let annotations = match record.take::<Annotations>(field)? {
            None => continue,
            Some(Annotations::Many(many)) => many,
            Some(Annotations::One(one)) => vec![Annotation::Label(one)],
        };
        if annotations.is_empty() {
            if field == "entities" || of_spans {
                marks.get_or_insert_default();
            } else {
                labels.get_or_insert_default();
            }
        }
        for annotation in annotations {
            let (span, name) = match annotation {
                Annotation::Span(start, end, name) => (Some((start, end)), name),
                Annotation::Object { start_offset, end_offset, label } => {
                    (Some((start_offset, end_offset)), label)
                }
                Annotation::OfText { label } | Annotation::Label(label) => (None, label),
            };
            let label = name.named(&options.label_names).map_err(|reason| record.malformed(reason))?;
            match span {
                Some((start, end)) => {
                    marks.get_or_insert_default().push(Mark { start, end, label, text: None })
                }
                None => labels.get_or_insert_default().push(label),
            }
        }
    }
    let entities = marks.map(|marks| spans(record.line, &text, options.unit(), marks)).transpose()?;
    Ok(GoldSentence { article, text, words: None, labels, entities, fields: record.fields() })
}

/// The record of a sentence: `label` where the sentences have labels alone or entities alone, else `cats` and `entities`.
pub(super) fn record(sentence: &GoldSentence, writing: &mut Writing) -> Map<String, Value> {
    let GoldSentence { article, text, words, labels, entities, .. } = sentence;
    writing.lose(Loss::Words, words.is_some());
    let mut record = Map::new();
    record.insert("text".into(), json!(text));
    let contents = writing.contents();
    let both = contents.labelled > 0 && contents.marked > 0;
    let any_entity = !contents.entity_types.is_empty();
    if let Some(entities) = entities {
        let mut offsets = Offsets::new(text, writing.unit);
        let spans = entities.iter().map(|entity| {
            let (start, end) = offsets.of(entity.span);
            json!([start, end, entity.label])
        });
        let spans: Vec<Value> = spans.collect();
        // Without an entity in the file nothing would tell that an empty `label` is one of entities.
        let field = if both || !any_entity { "entities" } else { "label" };
        record.insert(field.into(), spans.into());
    }
    if let Some(labels) = labels {
        record.insert(if both { "cats" } else { "label" }.into(), json!(labels));
    }
    if let Some(article) = article {
        record.insert("article".into(), json!(article));
    }
    let taken = ["text", "data", "article", "cats", "entities", "label", "labels", "annotations"];
    writing.fields(&mut record, sentence, &taken);
    record
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, testing};
    use crate::labels::GoldSentence;

    fn read(content: &str) -> Result<Vec<GoldSentence>, String> {
        testing::read(LabelledFormat::Doccano, content)
    }

    fn entity(gold: &GoldSentence) -> (Option<&str>, &str) {
        let entity = &gold.entities.as_ref().unwrap()[0];
        (entity.span.of(&gold.text), &entity.label)
    }

    #[test]
    fn every_form_of_its_exports_is_read() {
        let exports = [
            r#"{"id":1,"text":"🕊 to Lima","label":[[6,10,"LOC"]],"Comments":[]}"#,
            r#"{"id":1,"data":"🕊 to Lima","label":[[6,10,"LOC"]]}"#,
            r#"{"id":1,"text":"🕊 to Lima","entities":[{"id":3,"label":"LOC","start_offset":6,"end_offset":10}],"relations":[]}"#,
            r#"{"id":1,"text":"🕊 to Lima","annotations":[{"label":"LOC","start_offset":6,"end_offset":10,"user":1}],"meta":{}}"#,
            r#"[{"id":1,"text":"🕊 to Lima","entities":[[6,10,"LOC"]],"cats":["peace"]}]"#,
        ];
        for export in exports {
            let gold = read(export).unwrap();
            assert_eq!(entity(&gold[0]), (Some("Lima"), "LOC"), "{export}");
            assert_eq!(gold[0].labels.is_some(), export.contains("cats"), "{export}");
            assert_eq!(gold[0].fields["id"], 1);
        }
        let of_text = [
            r#"{"text":"a","label":["x"]}"#,
            r#"{"text":"a","label":"x"}"#,
            r#"{"text":"a","annotations":[{"label":"x","user":1}]}"#,
        ];
        for export in of_text {
            assert_eq!(read(export).unwrap()[0].labels, Some(vec!["x".into()]), "{export}");
        }
    }

    #[test]
    fn an_empty_list_means_what_the_file_has_elsewhere() {
        let spans = read("{\"text\":\"a\",\"label\":[]}\n{\"text\":\"b\",\"label\":[[0,1,\"X\"]]}").unwrap();
        assert_eq!((spans[0].labels.clone(), spans[0].entities.clone()), (None, Some(vec![])));
        let labels = read("{\"text\":\"a\",\"label\":[]}\n{\"text\":\"b\",\"label\":[\"X\"]}").unwrap();
        assert_eq!((labels[0].labels.clone(), labels[0].entities.clone()), (Some(vec![]), None));
    }

    #[test]
    fn what_is_neither_label_nor_span_is_named() {
        let error = read("{\"text\":\"a\",\"label\":[[0,1]]}").unwrap_err();
        assert!(error.contains("data:1: field `label`: expected labels such as"), "{error}");
        let error = read("{\"text\":\"ab\",\"label\":[[1,3,\"X\"]]}").unwrap_err();
        assert!(error.contains("outside the text of 2 UTF-16 units"), "{error}");
    }
}
