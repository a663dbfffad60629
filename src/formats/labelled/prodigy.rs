use super::json;
use super::record::{Name, Record};
use super::spans::{Mark, spans};
use super::write::Writing;
use super::{Flaw, FlawKind, LabelledOptions, LabelledSentences};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use crate::text::{Offsets, Span};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;

#[derive(Deserialize)]
struct SpanOfTask {
    start: usize,
    end: usize,
    label: String,
}

#[derive(Deserialize)]
pub(super) struct Token {
    start: usize,
    end: usize,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Accept,
    Reject,
    Ignore,
}

/// [`LabelledFormat::Prodigy`](super::LabelledFormat::Prodigy)
pub(super) fn read(path: &Path, options: LabelledOptions) -> Result<LabelledSentences, FormatError> {
    json::sentences(path, move |line, value| sentence(Record::new(line, value, &options)?, &options))
}

fn sentence(mut record: Record<'_>, options: &LabelledOptions) -> Result<Option<GoldSentence>, Vec<Flaw>> {
    let answer = record.take::<Answer>("answer")?.unwrap_or(Answer::Accept);
    let marks = record.take::<Vec<SpanOfTask>>("spans")?;
    let accepted = record.take::<Vec<Name>>("accept")?;
    let asked = options.label_field.as_deref().unwrap_or("label");
    // A task that shows spans may repeat their label here: it is no label of the text then.
    let label = if marks.is_none() && accepted.is_none() { record.take::<Name>(asked)? } else { None };
    if answer == Answer::Ignore || answer == Answer::Reject && label.is_none() {
        return Ok(None);
    }
    let text = record.text(&["text"])?;
    let names =
        accepted.or_else(|| label.map(|label| if answer == Answer::Reject { vec![] } else { vec![label] }));
    let labels = names.map(|names| names.into_iter().map(|name| name.named(&options.label_names)).collect());
    let labels = labels.transpose().map_err(|reason| record.malformed(reason))?;
    let words = match record.take::<Vec<Token>>("tokens")? {
        Some(tokens) => Some(words(record.line, &text, tokens, options)?),
        None => None,
    };
    let marks = marks.map(|marks| {
        marks.into_iter().map(|SpanOfTask { start, end, label }| Mark { start, end, label, text: None })
    });
    let entities = marks.map(|marks| spans(record.line, &text, options.unit(), marks)).transpose()?;
    record.take::<Value>("options")?;
    let meta = record.take::<Map<String, Value>>("meta")?.unwrap_or_default();
    let article = record.article()?;
    let mut fields = record.fields();
    fields.retain(|name, _| !name.starts_with('_'));
    let of_meta = meta.get("article").and_then(Value::as_str).map(str::to_owned);
    let article = article.or(of_meta);
    for (name, value) in meta {
        if name != "article" {
            fields.entry(name).or_insert(value);
        }
    }
    Ok(Some(GoldSentence { article, text, words, labels, entities, fields }))
}

/// Tokens as words, in bytes.
pub(super) fn words(
    line: usize,
    text: &str,
    tokens: Vec<Token>,
    options: &LabelledOptions,
) -> Result<Vec<Span>, Flaw> {
    let mut offsets = Offsets::new(text, options.unit());
    let span = |Token { start, end }| match (offsets.byte(start), offsets.byte(end)) {
        (Some(from), Some(to)) if from < to => Ok(Span::new(from, to)),
        _ => Err(Flaw {
            line,
            kind: FlawKind::Misaligned,
            reason: format!("a token lies at {start} to {end}, where the text has no words"),
        }),
    };
    tokens.into_iter().map(span).collect()
}

/// The task of a sentence: `tokens`, `spans` and `accept` of what it has, answered `accept` if it is annotated.
pub(super) fn record(sentence: &GoldSentence, writing: &mut Writing) -> Map<String, Value> {
    let GoldSentence { article, text, words, labels, entities, .. } = sentence;
    let mut offsets = Offsets::new(text, writing.unit);
    let mut record = Map::new();
    record.insert("text".into(), json!(text));
    if let Some(words) = words {
        let tokens = words.iter().enumerate().map(|(id, &word)| {
            let (start, end) = offsets.of(word);
            let space = text[word.end..].starts_with(' ');
            json!({"text": word.of(text), "start": start, "end": end, "id": id, "ws": space})
        });
        record.insert("tokens".into(), tokens.collect());
    }
    if let Some(entities) = entities {
        let spans = entities.iter().map(|entity| {
            let (start, end) = offsets.of(entity.span);
            let mut span = json!({"start": start, "end": end, "label": entity.label});
            let words = words.iter().flatten();
            let first = words.clone().position(|word| word.start == entity.span.start);
            let last = words.clone().position(|word| word.end == entity.span.end);
            if let Some((first, last)) = first.zip(last) {
                span["token_start"] = first.into();
                span["token_end"] = last.into();
            }
            span
        });
        record.insert("spans".into(), spans.collect());
    }
    if let Some(labels) = labels {
        let options = writing.contents().label_names();
        let options = options.iter().map(|label| json!({"id": label, "text": label}));
        record.insert("options".into(), options.collect());
        record.insert("accept".into(), json!(labels));
    }
    if labels.is_some() || entities.is_some() {
        record.insert("answer".into(), json!("accept"));
    }
    let mut meta = Map::new();
    if let Some(article) = article {
        meta.insert("article".into(), json!(article));
    }
    writing.fields(&mut meta, sentence, &["article"]);
    if !meta.is_empty() {
        record.insert("meta".into(), meta.into());
    }
    record
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, testing};
    use crate::labels::GoldSentence;

    fn read(content: &str) -> Result<Vec<GoldSentence>, String> {
        testing::read(LabelledFormat::Prodigy, content)
    }

    #[test]
    fn a_task_of_names_keeps_its_tokens_and_its_source() {
        let task = r#"{"text":"In Lima.","meta":{"source":"wire","pattern":3},"_input_hash":7,"_task_hash":8,"_is_binary":false,
            "tokens":[{"text":"In","start":0,"end":2,"id":0,"ws":true},{"text":"Lima","start":3,"end":7,"id":1,"ws":false},{"text":".","start":7,"end":8,"id":2,"ws":false}],
            "spans":[{"start":3,"end":7,"token_start":1,"token_end":1,"label":"LOC"}],"_view_id":"ner_manual","answer":"accept"}"#;
        let gold = &read(&task.replace('\n', " ")).unwrap()[0];
        let entity = &gold.entities.as_ref().unwrap()[0];
        assert_eq!((entity.span.of(&gold.text), gold.words.as_ref().unwrap().len()), (Some("Lima"), 3));
        assert!(gold.labels.is_none());
        assert_eq!(gold.fields.keys().collect::<Vec<_>>(), ["source", "pattern"]);
    }

    #[test]
    fn choices_and_binary_answers_are_labels() {
        let tasks = [
            r#"{"text":"a","options":[{"id":"x","text":"X"},{"id":"y","text":"Y"}],"accept":["x"],"answer":"accept"}"#,
            r#"{"text":"b","options":[{"id":"x","text":"X"}],"accept":[],"answer":"accept"}"#,
            r#"{"text":"c","label":"x","answer":"accept"}"#,
            r#"{"text":"d","label":"x","answer":"reject"}"#,
            r#"{"text":"e","label":"x","answer":"ignore"}"#,
            r#"{"text":"f","accept":["x"],"answer":"reject"}"#,
        ];
        let gold = read(&tasks.join("\n")).unwrap();
        let labels: Vec<(&str, usize)> =
            gold.iter().map(|gold| (gold.text.as_str(), gold.labels.as_ref().unwrap().len())).collect();
        assert_eq!(labels, [("a", 1), ("b", 0), ("c", 1), ("d", 0)]);
    }

    #[test]
    fn a_token_outside_the_text_and_an_unknown_answer_are_named() {
        let error = read(r#"{"text":"ab","tokens":[{"start":0,"end":3}]}"#).unwrap_err();
        assert!(error.contains("a token lies at 0 to 3"), "{error}");
        let error = read(r#"{"text":"ab","answer":"maybe"}"#).unwrap_err();
        assert!(error.contains("field `answer`: unknown variant `maybe`"), "{error}");
    }
}
