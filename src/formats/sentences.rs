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
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads labelled sentences, one a line: `{"text", "stance": []}`, where `stance` may also be called `labels` or `label`
/// and be a single string, with an optional `article`.
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
        let labels = match record.stance {
            Some(OneOrMany::One(label)) => vec![label],
            Some(OneOrMany::Many(labels)) => labels,
            None => {
                return Err(fail(
                    "the record has no `stance`, `labels` or `label`; none of them is written []".into(),
                ));
            }
        };
        gold.push(GoldSentence {
            article: record.article,
            text: record.text,
            labels: Some(labels),
            ..GoldSentence::default()
        });
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
