use super::{FormatError, lines};
use crate::labels::{GoldEntity, GoldSentence};
use crate::text::Span;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Article {
    id: String,
    sentences: Vec<Sentence>,
}

// A key that is not known is refused in what carries the gold: misspelt, it would pass as "not annotated".
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentence {
    text: String,
    #[serde(default)]
    stance: Option<Vec<String>>,
    #[serde(default)]
    entities: Option<Vec<Entity>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entity {
    start: usize,
    end: usize,
    label: String,
    text: String,
}

/// Reads labelled articles, one a line: `{"id", "sentences": [{"text", "stance": [], "entities": [{"start", "end",
/// "label", "text"}]}]}`, offsets in code points of the sentence.
///
/// # Errors
/// If the file cannot be read, or with file and line if a record is malformed: not JSON, an empty sentence, an entity
/// whose text is not what stands at its offsets, entities that overlap.
pub fn read_articles(path: &Path) -> Result<Vec<GoldSentence>, FormatError> {
    let mut gold = Vec::new();
    for line in lines(path)? {
        let (number, line) = line?;
        if line.trim().is_empty() {
            continue;
        }
        let fail = |reason: String| FormatError::Line { path: path.to_owned(), line: number, reason };
        let article: Article =
            serde_json::from_str(&line).map_err(|e| fail(format!("not a labelled article: {e}")))?;
        for (i, sentence) in article.sentences.into_iter().enumerate() {
            let place =
                |reason: String| fail(format!("article `{}`, sentence {}: {reason}", article.id, i + 1));
            if sentence.text.trim().is_empty() {
                return Err(place("the text is empty".into()));
            }
            let entities = sentence
                .entities
                .map(|entities| spans(&sentence.text, entities))
                .transpose()
                .map_err(place)?;
            gold.push(GoldSentence {
                article: Some(article.id.clone()),
                text: sentence.text,
                words: None,
                labels: sentence.stance,
                entities,
            });
        }
    }
    Ok(gold)
}

/// Entities in bytes, in order, checked against the text.
pub(super) fn spans(text: &str, entities: Vec<Entity>) -> Result<Vec<GoldEntity>, String> {
    let mut bytes: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    bytes.push(text.len());
    let mut found = Vec::with_capacity(entities.len());
    for Entity { start, end, label, text: expected } in entities {
        let name = format!("entity \"{expected}\" ({label}, {start} to {end})");
        if start >= end || end >= bytes.len() {
            return Err(format!("{name} lies outside the text of {} characters", bytes.len() - 1));
        }
        let span = Span::new(bytes[start], bytes[end]);
        let slice = span.of(text).unwrap_or_default();
        if slice != expected {
            return Err(format!(
                "{name}: the text has \"{slice}\" there; offsets count code points of the sentence"
            ));
        }
        if slice.trim() != slice {
            return Err(format!("{name} begins or ends with white space"));
        }
        found.push(GoldEntity { label, span });
    }
    found.sort_by_key(|e| e.span);
    if let Some(pair) = found.windows(2).find(|pair| pair[0].span.overlaps(pair[1].span)) {
        let text = |e: &GoldEntity| e.span.of(text).unwrap_or_default().to_owned();
        return Err(format!("entities \"{}\" and \"{}\" overlap", text(&pair[0]), text(&pair[1])));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::file;
    use super::*;

    #[test]
    fn offsets_in_code_points_become_bytes() {
        let (_folder, path) = file(
            r#"{"id":"a","sentences":[{"text":"Né à Zürich.","stance":[],"entities":[{"start":5,"end":11,"label":"LOC","text":"Zürich"}]}]}"#,
        );
        let gold = read_articles(&path).unwrap();
        let entity = &gold[0].entities.as_ref().unwrap()[0];
        assert_eq!(entity.span.of(&gold[0].text), Some("Zürich"));
        assert_eq!(gold[0].labels, Some(vec![]));
    }

    #[test]
    fn malformed_records_are_named_by_file_line_and_reason() {
        let sentence = |entities: &str| {
            format!(
                "\n{{\"id\":\"a\",\"sentences\":[{{\"text\":\"In Paris now\",\"stance\":[],\"entities\":[{entities}]}}]}}"
            )
        };
        let cases = [
            ("\n{".to_owned(), "not a labelled article"),
            (
                sentence(r#"{"start":3,"end":9,"label":"LOC","text":"Paris"}"#),
                "the text has \"Paris \" there",
            ),
            (sentence(r#"{"start":3,"end":9,"label":"LOC","text":"Paris "}"#), "white space"),
            (
                sentence(r#"{"start":3,"end":99,"label":"LOC","text":"Paris"}"#),
                "outside the text of 12 characters",
            ),
            (
                sentence(
                    r#"{"start":3,"end":8,"label":"LOC","text":"Paris"},{"start":6,"end":8,"label":"LOC","text":"is"}"#,
                ),
                "overlap",
            ),
            ("\n{\"id\":\"a\",\"sentences\":[{\"text\":\" \"}]}".to_owned(), "empty"),
            (
                "\n{\"id\":\"a\",\"sentences\":[{\"text\":\"a\",\"entites\":[]}]}".to_owned(),
                "unknown field `entites`",
            ),
        ];
        for (content, expected) in cases {
            let (_folder, path) = file(&content);
            let error = read_articles(&path).unwrap_err().to_string();
            assert!(error.contains("data:2: ") && error.contains(expected), "{error}");
        }
    }
}
