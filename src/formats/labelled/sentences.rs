use super::json;
use super::record::Record;
use super::spans::{Entity, spans};
use super::write::Writing;
use super::{Flaw, LabelledOptions, LabelledSentences, Loss};
use crate::formats::FormatError;
use crate::labels::{GoldEntity, GoldSentence};
use crate::text::{OffsetUnit, Offsets};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Names that the field of labels may have.
pub(super) const LABELS: [&str; 3] = ["stance", "labels", "label"];

/// [`LabelledFormat::Sentences`](super::LabelledFormat::Sentences)
pub(super) fn read(path: &Path, options: LabelledOptions) -> Result<LabelledSentences, FormatError> {
    json::sentences(path, move |line, value| {
        sentence(Record::new(line, value, &options)?, &options).map(Some)
    })
}

fn sentence(mut record: Record<'_>, options: &LabelledOptions) -> Result<GoldSentence, Vec<Flaw>> {
    let text = record.text(&["text"])?;
    let article = record.article()?;
    let entities = record.take::<Vec<Entity>>("entities")?;
    let entities = entities.map(|found| spans(record.line, &text, options.unit(), found)).transpose()?;
    let labels = match record.labels(&LABELS)? {
        Some(labels) => labels,
        None if entities.is_some() => None,
        None => {
            let reason = "the record has no `stance`, `labels` or `label`; none of them is written []";
            return Err(record.malformed(reason).into());
        }
    };
    Ok(GoldSentence { article, text, words: None, labels, entities, fields: record.fields() })
}

/// The record of a sentence: `label` where every sentence has one, else `stance`.
pub(super) fn record(sentence: &GoldSentence, writing: &mut Writing) -> Map<String, Value> {
    let GoldSentence { article, text, words, labels, entities, .. } = sentence;
    writing.lose(Loss::Words, words.is_some());
    let mut record = Map::new();
    if let Some(article) = article {
        record.insert("article".into(), json!(article));
    }
    record.insert("text".into(), json!(text));
    // A record must answer something, if only that it is not annotated.
    if labels.is_some() || entities.is_none() {
        if writing.contents().single_label() {
            record.insert("label".into(), json!(labels.iter().flatten().next()));
        } else {
            record.insert("stance".into(), json!(labels));
        }
    }
    if let Some(entities) = entities {
        record.insert("entities".into(), marks(text, entities, writing.unit));
    }
    writing.fields(&mut record, sentence, &["article", "text", "stance", "labels", "label", "entities"]);
    record
}

/// Entities as our own records have them.
pub(super) fn marks(text: &str, entities: &[GoldEntity], unit: OffsetUnit) -> Value {
    let mut offsets = Offsets::new(text, unit);
    let marks = entities.iter().map(|entity| {
        let (start, end) = offsets.of(entity.span);
        json!({"start": start, "end": end, "label": entity.label, "text": entity.span.of(text)})
    });
    marks.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, testing};
    use crate::labels::GoldSentence;

    fn read(content: impl AsRef<[u8]>) -> Result<Vec<GoldSentence>, String> {
        testing::read(LabelledFormat::Sentences, content)
    }

    #[test]
    fn labels_may_be_a_list_or_a_string() {
        let gold = read(
            "{\"text\":\"a\",\"stance\":[\"x\",\"y\"],\"article\":\"n\"}\n\n{\"text\":\"b\",\"label\":\"x\"}\n",
        ).unwrap();
        assert_eq!(gold[0].labels, Some(vec!["x".into(), "y".into()]));
        assert_eq!((gold[0].article.as_deref(), gold[1].labels.clone()), (Some("n"), Some(vec!["x".into()])));
    }

    #[test]
    fn entities_may_stand_beside_or_in_place_of_labels() {
        let entity = r#"[{"start":3,"end":7,"label":"LOC","text":"Lima"}]"#;
        let gold = read(format!("{{\"text\":\"In Lima\",\"entities\":{entity}}}")).unwrap();
        assert_eq!((gold[0].labels.is_none(), gold[0].entities.as_ref().unwrap().len()), (true, 1));
        let gold = read(format!("{{\"text\":\"Of Lima\",\"entities\":{}}}", entity.replace('3', "2")));
        assert!(gold.unwrap_err().contains("the text has \" Lima\" there"));
    }

    #[test]
    fn a_record_without_labels_is_named() {
        let gold = read("{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"b\"}");
        let error = gold.unwrap_err();
        assert!(error.contains("data:2: ") && error.contains("no `stance`"), "{error}");
    }
}
