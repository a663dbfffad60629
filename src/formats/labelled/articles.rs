use super::lines::{Line, records};
use super::sentences::marks;
use super::spans::{Entity, spans};
use super::write::{LabelledWriter, Losses, Writing};
use super::{Flaw, Labelled, Loss};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use crate::text::OffsetUnit;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write;

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
    unit: OffsetUnit,
) -> impl Iterator<Item = Result<Labelled, FormatError>> {
    records(lines, move |line, text| article(line, text, unit))
}

fn article(line: usize, text: &str, unit: OffsetUnit) -> Vec<Labelled> {
    let Article { id, sentences, fields } = match serde_json::from_str(text) {
        Ok(article) => article,
        Err(e) => {
            let flaw = Flaw::malformed(line, format!("not a labelled article: {e}"));
            return vec![Labelled { line, sentence: Err(vec![flaw]) }];
        }
    };
    let sentences = sentences.into_iter().enumerate().map(|(i, found)| {
        let sentence = sentence(line, found, unit).map(|gold| GoldSentence {
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

fn sentence(line: usize, sentence: Sentence, unit: OffsetUnit) -> Result<GoldSentence, Vec<Flaw>> {
    let Sentence { text, stance, entities } = sentence;
    if text.trim().is_empty() {
        return Err(Flaw::empty_text(line).into());
    }
    let entities = entities.map(|entities| spans(line, &text, unit, entities)).transpose()?;
    Ok(GoldSentence { text, labels: stance, entities, ..GoldSentence::default() })
}

/// A line for every run of sentences of one article with the same fields; a sentence without an article is one by itself.
pub(super) struct Writer<W> {
    out: W,
    writing: Writing,
    article: Option<String>,
    fields: Map<String, Value>,
    ahead: Vec<Value>,
    sentences: usize,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, writing: Writing) -> Self {
        Self { out, writing, article: None, fields: Map::new(), ahead: Vec::new(), sentences: 0 }
    }

    /// Writes the article that is complete.
    fn article(&mut self) -> std::io::Result<()> {
        let sentences = std::mem::take(&mut self.ahead);
        if sentences.is_empty() {
            return Ok(());
        }
        let name = self.article.clone().unwrap_or_else(|| format!("sentence {}", self.sentences));
        let mut record = Map::new();
        record.insert("id".into(), name.into());
        let mut fields = std::mem::take(&mut self.fields);
        fields.retain(|name, _| !TAKEN.contains(&name.as_str()));
        record.append(&mut fields);
        record.insert("sentences".into(), sentences.into());
        serde_json::to_writer(&mut self.out, &record)?;
        self.out.write_all(b"\n")
    }
}

/// Fields of the record itself.
const TAKEN: [&str; 2] = ["id", "sentences"];

impl<W: Write> LabelledWriter for Writer<W> {
    fn write(&mut self, sentence: &GoldSentence) -> std::io::Result<()> {
        let GoldSentence { article, text, words, labels, entities, fields } = sentence;
        if article.is_none() || self.article != *article || self.fields != *fields {
            self.article()?;
            (self.article, self.fields) = (article.clone(), fields.clone());
        }
        self.sentences += 1;
        self.writing.lose(Loss::Article, article.is_none());
        self.writing.lose(Loss::Words, words.is_some());
        self.writing.lose(Loss::Fields, fields.keys().any(|name| TAKEN.contains(&name.as_str())));
        self.writing.done();
        let mut record = Map::new();
        record.insert("text".into(), json!(text));
        if let Some(labels) = labels {
            record.insert("stance".into(), json!(labels));
        }
        if let Some(entities) = entities {
            record.insert("entities".into(), marks(text, entities, self.writing.unit));
        }
        self.ahead.push(record.into());
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> std::io::Result<Losses> {
        self.article()?;
        self.out.flush()?;
        Ok(self.writing.losses())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FlawKind, LabelledFormat, testing};
    use crate::labels::GoldSentence;
    use crate::text::OffsetUnit;

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
        let read = super::article(1, &line, OffsetUnit::Char);
        let kinds: Vec<FlawKind> =
            read[0].sentence.as_ref().unwrap_err().iter().map(|flaw| flaw.kind).collect();
        assert_eq!(kinds, [FlawKind::WhiteSpace, FlawKind::WhiteSpace, FlawKind::Overlap]);
        assert_eq!(read[1].sentence.as_ref().unwrap().fields["domain"], "x");
    }
}
