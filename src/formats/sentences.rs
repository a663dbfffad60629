use super::articles::{Entity, spans};
use super::{FormatError, lines};
use crate::labels::GoldSentence;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Record {
    text: String,
    #[serde(default)]
    article: Option<String>,
    #[serde(default, alias = "labels", alias = "label")]
    stance: Option<OneOrMany>,
    #[serde(default)]
    entities: Option<Vec<Entity>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads labelled sentences, one a line: `{"text", "stance": []}`, where `stance` may also be called `labels` or `label`
/// and be a single string, with an optional `article` and optional `entities` as in [`super::read_articles`]. A record has
/// labels, entities or both; other fields are passed over.
///
/// # Errors
/// If the file cannot be read, or with file and line if a record is not JSON, has no text or no labels.
pub fn read_sentences(path: &Path) -> Result<Vec<GoldSentence>, FormatError> {
    let mut gold = Vec::new();
    for line in lines(path)? {
        let (number, line) = line?;
        if line.trim().is_empty() {
            continue;
        }
        let fail = |reason: String| FormatError::Line { path: path.to_owned(), line: number, reason };
        let record: Record =
            serde_json::from_str(&line).map_err(|e| fail(format!("not a labelled sentence: {e}")))?;
        if record.text.trim().is_empty() {
            return Err(fail("the text is empty".into()));
        }
        let entities = record.entities.map(|found| spans(&record.text, found)).transpose().map_err(fail)?;
        let labels = match record.stance {
            Some(OneOrMany::One(label)) => Some(vec![label]),
            Some(OneOrMany::Many(labels)) => Some(labels),
            None if entities.is_some() => None,
            None => {
                let reason = "the record has no `stance`, `labels` or `label`; none of them is written []";
                return Err(fail(reason.into()));
            }
        };
        let words = None;
        gold.push(GoldSentence { article: record.article, text: record.text, words, labels, entities });
    }
    Ok(gold)
}

#[cfg(test)]
mod tests {
    use super::super::testing::file;
    use super::*;

    #[test]
    fn labels_may_be_a_list_or_a_string() {
        let (_folder, path) = file(
            "{\"text\":\"a\",\"stance\":[\"x\",\"y\"],\"article\":\"n\"}\n\n{\"text\":\"b\",\"label\":\"x\"}\n",
        );
        let gold = read_sentences(&path).unwrap();
        assert_eq!(gold[0].labels, Some(vec!["x".into(), "y".into()]));
        assert_eq!((gold[0].article.as_deref(), gold[1].labels.clone()), (Some("n"), Some(vec!["x".into()])));
    }

    #[test]
    fn entities_may_stand_beside_or_in_place_of_labels() {
        let entity = r#"[{"start":3,"end":7,"label":"LOC","text":"Lima"}]"#;
        let (_folder, path) = file(format!("{{\"text\":\"In Lima\",\"entities\":{entity}}}"));
        let gold = read_sentences(&path).unwrap();
        assert_eq!((gold[0].labels.is_none(), gold[0].entities.as_ref().unwrap().len()), (true, 1));
        let (_folder, path) =
            file(format!("{{\"text\":\"Of Lima\",\"entities\":{}}}", entity.replace('3', "2")));
        assert!(read_sentences(&path).unwrap_err().to_string().contains("the text has \" Lima\" there"));
    }

    #[test]
    fn a_record_without_labels_is_named() {
        let (_folder, path) = file("{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"b\"}");
        let error = read_sentences(&path).unwrap_err().to_string();
        assert!(error.contains("data:2: ") && error.contains("no `stance`"), "{error}");
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let (_folder, path) = file(b"{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"\xff\"}");
        assert!(read_sentences(&path).unwrap_err().to_string().contains("data:2: byte 9 is not UTF-8"));
    }
}
