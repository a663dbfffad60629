use super::spans::{Entity, spans};
use super::{Flaw, FlawKind, Labelled, Line, records};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Article {
    id: String,
    sentences: Vec<Sentence>,
    #[serde(flatten)]
    fields: Map<String, Value>,
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

/// [`LabelledFormat::Articles`](super::LabelledFormat::Articles)
pub(super) fn read(
    lines: impl Iterator<Item = Result<Line, FormatError>>,
) -> impl Iterator<Item = Result<Labelled, FormatError>> {
    records(lines, article)
}

fn article(line: usize, text: &str) -> Vec<Labelled> {
    let Article { id, sentences, fields } = match serde_json::from_str(text) {
        Ok(article) => article,
        Err(e) => {
            let reason = format!("not a labelled article: {e}");
            let flaw = Flaw { line, kind: FlawKind::Malformed, reason };
            return vec![Labelled { line, sentence: Err(vec![flaw]) }];
        }
    };
    let sentences = sentences.into_iter().enumerate().map(|(i, found)| {
        let sentence = sentence(line, found).map(|gold| GoldSentence {
            article: Some(id.clone()),
            fields: fields.clone(),
            ..gold
        });
        let place = |flaw: Flaw| Flaw {
            reason: format!("article `{id}`, sentence {}: {}", i + 1, flaw.reason),
            ..flaw
        };
        Labelled { line, sentence: sentence.map_err(|flaws| flaws.into_iter().map(place).collect()) }
    });
    sentences.collect()
}

fn sentence(line: usize, sentence: Sentence) -> Result<GoldSentence, Vec<Flaw>> {
    let Sentence { text, stance, entities } = sentence;
    if text.trim().is_empty() {
        let reason = "the text is empty".into();
        return Err(vec![Flaw { line, kind: FlawKind::EmptyText, reason }]);
    }
    let entities = entities.map(|entities| spans(line, &text, entities)).transpose()?;
    Ok(GoldSentence { text, labels: stance, entities, ..GoldSentence::default() })
}

#[cfg(test)]
mod tests {
    use super::super::{FlawKind, LabelledFormat, testing};
    use crate::labels::GoldSentence;

    fn read(content: &str) -> Result<Vec<GoldSentence>, String> {
        testing::read(LabelledFormat::Articles, content)
    }

    #[test]
    fn offsets_in_code_points_become_bytes() {
        let gold = read(
            r#"{"id":"a","sentences":[{"text":"Né à Zürich.","stance":[],"entities":[{"start":5,"end":11,"label":"LOC","text":"Zürich"}]}]}"#,
        )
        .unwrap();
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
            let error = read(&content).unwrap_err();
            assert!(error.contains("data:2: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_sentence_is_told_and_the_others_are_read() {
        let entities = [
            r#"{"start":0,"end":3,"label":"LOC","text":"In "}"#,
            r#"{"start":2,"end":8,"label":"LOC","text":" Paris"}"#,
        ];
        let line = format!(
            r#"{{"id":"a","domain":"x","sentences":[{{"text":"In Paris","entities":[{}]}},{{"text":"b"}}]}}"#,
            entities.join(",")
        );
        let read = super::article(1, &line);
        let kinds: Vec<FlawKind> =
            read[0].sentence.as_ref().unwrap_err().iter().map(|flaw| flaw.kind).collect();
        assert_eq!(kinds, [FlawKind::WhiteSpace, FlawKind::WhiteSpace, FlawKind::Overlap]);
        assert_eq!(read[1].sentence.as_ref().unwrap().fields["domain"], "x");
    }
}
