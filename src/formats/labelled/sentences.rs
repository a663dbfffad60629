use super::spans::{Entity, spans};
use super::{Flaw, FlawKind, Labelled, Line, records};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Record {
    text: String,
    #[serde(default)]
    article: Option<String>,
    #[serde(default, alias = "labels", alias = "label")]
    stance: Option<OneOrMany>,
    #[serde(default)]
    entities: Option<Vec<Entity>>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// [`LabelledFormat::Sentences`](super::LabelledFormat::Sentences)
pub(super) fn read(
    lines: impl Iterator<Item = Result<Line, FormatError>>,
) -> impl Iterator<Item = Result<Labelled, FormatError>> {
    records(lines, |line, text| vec![Labelled { line, sentence: sentence(line, text) }])
}

fn sentence(line: usize, text: &str) -> Result<GoldSentence, Vec<Flaw>> {
    let fail = |kind, reason: String| vec![Flaw { line, kind, reason }];
    let Record { text, article, stance, entities, fields } = serde_json::from_str(text)
        .map_err(|e| fail(FlawKind::Malformed, format!("not a labelled sentence: {e}")))?;
    if text.trim().is_empty() {
        return Err(fail(FlawKind::EmptyText, "the text is empty".into()));
    }
    let entities = entities.map(|found| spans(line, &text, found)).transpose()?;
    let labels = match stance {
        Some(OneOrMany::One(label)) => Some(vec![label]),
        Some(OneOrMany::Many(labels)) => Some(labels),
        None if entities.is_some() => None,
        None => {
            let reason = "the record has no `stance`, `labels` or `label`; none of them is written []";
            return Err(fail(FlawKind::Malformed, reason.into()));
        }
    };
    Ok(GoldSentence { article, text, words: None, labels, entities, fields })
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
