use super::conll::is_tag;
use super::json;
use super::record::{Name, Record};
use super::sentences::LABELS;
use super::write::Writing;
use super::{Flaw, FlawKind, LabelledOptions, LabelledSentences, Loss, words};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use crate::text::Span;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Names that the field of the text may have.
const TEXTS: [&str; 3] = ["text", "sentence", "sentence1"];
/// Names that the field of the tags may have.
const TAGS: [&str; 2] = ["ner_tags", "tags"];

/// [`LabelledFormat::HuggingFace`](super::LabelledFormat::HuggingFace)
pub(super) fn read(path: &Path, options: LabelledOptions) -> Result<LabelledSentences, FormatError> {
    json::sentences(path, move |line, value| {
        sentence(Record::new(line, value, &options)?, &options).map(Some)
    })
}

fn sentence(mut record: Record<'_>, options: &LabelledOptions) -> Result<GoldSentence, Vec<Flaw>> {
    let article = record.article()?;
    let Some(tokens) = record.take::<Vec<String>>("tokens")? else {
        let text = record.text(&TEXTS)?;
        let Some(labels) = record.labels(&LABELS)? else {
            let reason = "the record has neither `tokens` nor `label` or `labels`; name the field of labels with --label-field";
            return Err(record.malformed(reason).into());
        };
        return Ok(GoldSentence {
            article,
            text,
            labels,
            fields: record.fields(),
            ..GoldSentence::default()
        });
    };
    if let Some(i) = tokens.iter().position(|token| token.trim().is_empty()) {
        return Err(record.malformed(format!("token {} is empty", i + 1)).into());
    }
    // Where no other field has the tags, `labels` does.
    let field = TAGS.into_iter().find(|name| record.get(name).is_some()).unwrap_or("labels");
    let tags = record.take::<Vec<Name>>(field)?;
    let tags = tags.map(|tags| named_tags(&record, field, tags, tokens.len(), options)).transpose()?;
    let has_text =
        options.text_field.as_deref().into_iter().chain(TEXTS).any(|name| record.get(name).is_some());
    let (text, words) = if has_text {
        let text = record.text(&TEXTS)?;
        let words = words::align(&text, &tokens).map_err(|i| Flaw {
            line: record.line,
            kind: FlawKind::Misaligned,
            reason: format!("token {} (\"{}\") does not come next in the text", i + 1, tokens[i]),
        })?;
        (text, words)
    } else {
        joined(&tokens)
    };
    if text.trim().is_empty() {
        return Err(Flaw::empty_text(record.line).into());
    }
    let entities = tags.map(|tags| words::entities(&words, &tags));
    let labels = record.labels(&LABELS)?.flatten();
    Ok(GoldSentence { article, text, words: Some(words), labels, entities, fields: record.fields() })
}

/// The tags by name, one a token.
fn named_tags(
    record: &Record<'_>,
    field: &str,
    tags: Vec<Name>,
    tokens: usize,
    options: &LabelledOptions,
) -> Result<Vec<String>, Flaw> {
    if tags.len() != tokens {
        return Err(record.malformed(format!("{} tags in `{field}` for {tokens} tokens", tags.len())));
    }
    let named = |tag: Name| {
        match tag {
        Name::Number(number) if options.tag_names.is_empty() => Err(record.malformed(format!(
            "tag {number} in `{field}` is a number; name the tags in the order of their numbers with --tag-names O,B-PER,..."
        ))),
        tag => {
            let tag = tag.named(&options.tag_names).map_err(|reason| record.malformed(format!("field `{field}`: {reason}")))?;
            if is_tag(&tag) {
                return Ok(tag);
            }
            Err(record.malformed(format!("\"{tag}\" is no tag; tags are O, or B-, I-, E- or S- and a type")))
        }
    }
    };
    tags.into_iter().map(named).collect()
}

/// The text of tokens, with single spaces between them, and where they stand in it.
fn joined(tokens: &[String]) -> (String, Vec<Span>) {
    let mut text = String::new();
    let spans = tokens.iter().map(|token| {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(token);
        Span::new(text.len() - token.len(), text.len())
    });
    let spans = spans.collect();
    (text, spans)
}

/// The record of a sentence: `text`, `tokens` and `ner_tags` where there are words or entities, `label` or `labels`.
pub(super) fn record(sentence: &GoldSentence, writing: &mut Writing) -> Map<String, Value> {
    let GoldSentence { article, text, words: own, labels, entities, .. } = sentence;
    let mut record = Map::new();
    if let Some(article) = article {
        record.insert("article".into(), json!(article));
    }
    record.insert("text".into(), json!(text));
    if own.is_some() || entities.is_some() {
        let words = words::words(sentence);
        writing.lose(Loss::Words, own.as_ref().is_some_and(|own| *own != words));
        let tokens: Vec<&str> = words.iter().filter_map(|word| word.of(text)).collect();
        record.insert("tokens".into(), json!(tokens));
        let tags = entities.as_ref().map(|entities| {
            writing.lose(Loss::Entities, entities.iter().any(|entity| entity.label.is_empty()));
            words::tags(&words, entities)
        });
        record.insert("ner_tags".into(), json!(tags));
    }
    if writing.contents().labelled > 0 || labels.is_some() || entities.is_none() {
        if writing.contents().single_label() {
            record.insert("label".into(), json!(labels.iter().flatten().next()));
        } else {
            record.insert("labels".into(), json!(labels));
        }
    }
    let taken = [
        "article",
        "text",
        "sentence",
        "sentence1",
        "tokens",
        "ner_tags",
        "tags",
        "stance",
        "label",
        "labels",
    ];
    writing.fields(&mut record, sentence, &taken);
    record
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, LabelledOptions, testing};
    use crate::labels::GoldSentence;

    fn read(content: &str, tags: &[&str], labels: &[&str]) -> Result<Vec<GoldSentence>, String> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let options = LabelledOptions {
            format: Some(LabelledFormat::HuggingFace),
            tag_names: owned(tags),
            label_names: owned(labels),
            ..LabelledOptions::default()
        };
        testing::read(options, content)
    }

    #[test]
    fn tags_may_be_names_or_numbers_with_names() {
        let by_name = r#"{"id":"7","tokens":["Mrs","May","left"],"ner_tags":["O","B-PER","O"]}"#;
        let by_number = r#"[{"id":"7","tokens":["Mrs","May","left"],"ner_tags":[0,1,0],"pos_tags":[1,2,3]}]"#;
        let named = &read(by_name, &[], &[]).unwrap()[0];
        let numbered = &read(by_number, &["O", "B-PER"], &[]).unwrap()[0];
        assert_eq!((&named.text, &named.entities), (&numbered.text, &numbered.entities));
        let entity = &named.entities.as_ref().unwrap()[0];
        assert_eq!((entity.span.of(&named.text), named.labels.as_ref()), (Some("May"), None));
        assert_eq!(
            (named.fields["id"].as_str(), numbered.fields.contains_key("pos_tags")),
            (Some("7"), true)
        );
        for (tags, expected) in [
            (&[][..], "--tag-names O,B-PER"),
            (&["O"][..], "no label has the number 1"),
            (&["O", "PER"][..], "\"PER\" is no tag"),
        ] {
            let error = read(by_number, tags, &[]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn tokens_are_found_in_the_text_if_there_is_one() {
        let gold =
            read(r#"{"text":"In Lima.","tokens":["In","Lima","."],"tags":["O","B-LOC","O"]}"#, &[], &[])
                .unwrap();
        let word = gold[0].words.as_ref().unwrap()[2];
        assert_eq!((gold[0].text.as_str(), word.of(&gold[0].text)), ("In Lima.", Some(".")));
        let error = read(r#"{"text":"In Lima.","tokens":["Lima"],"tags":["O"]}"#, &[], &[]).unwrap_err();
        assert!(error.contains("data:1: token 1 (\"Lima\") does not come next"), "{error}");
    }

    #[test]
    fn sentence_labels_may_be_numbers_and_minus_one_is_not_annotated() {
        let content = "{\"sentence1\":\"a\",\"sentence2\":\"b\",\"label\":1,\"idx\":0}\n{\"text\":\"c\",\"label\":-1}\n{\"text\":\"d\",\"labels\":[0,1]}";
        let gold = read(content, &[], &["no", "yes"]).unwrap();
        assert_eq!((gold[0].text.as_str(), gold[0].labels.clone()), ("a", Some(vec!["yes".into()])));
        assert_eq!(gold[0].fields["sentence2"], "b");
        assert_eq!((gold[1].labels.clone(), gold[2].labels.as_ref().unwrap().len()), (None, 2));
        assert_eq!(read(content, &[], &[]).unwrap()[0].labels, Some(vec!["1".into()]));
    }

    #[test]
    fn a_record_that_answers_nothing_is_refused() {
        let bad = [
            (r#"{"text":"a"}"#, "neither `tokens` nor `label`"),
            (r#"{"tokens":["a","b"],"ner_tags":["O"]}"#, "1 tags in `ner_tags` for 2 tokens"),
            (r#"{"tokens":["a"," "],"ner_tags":["O","O"]}"#, "token 2 is empty"),
            (r#"{"label":1}"#, "no field `text` among label"),
            ("[3]", "not a JSON"),
        ];
        for (content, expected) in bad {
            let error = read(content, &[], &[]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
