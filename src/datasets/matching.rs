//! Which sentences of two files are the same.

use crate::formats::{FormatError, LabelledOptions, read_labelled};
use crate::labels::GoldSentence;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// By what sentences of two files are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchBy {
    /// The record's field `id`.
    Id,
    /// Its article and its text.
    Article,
    /// Its text alone.
    Text,
}

/// A sentence and its line.
pub(super) type Placed = (usize, GoldSentence);

/// Two files, put side by side.
pub(super) struct Sides {
    pub(super) matched_by: MatchBy,
    /// In the order of the first file.
    pub(super) pairs: Vec<(Placed, Placed)>,
    pub(super) only_a: usize,
    pub(super) only_b: usize,
    /// Sentences of one id and different texts.
    pub(super) different_texts: usize,
}

/// Puts two files side by side. Of sentences with the same name, the first goes with the first, and so on. Without `by`, ids are
/// used if every sentence has one of its own, else articles if every sentence has one, else texts.
pub(super) fn matched(
    a: &Path,
    b: &Path,
    labelled: &LabelledOptions,
    by: Option<MatchBy>,
) -> Result<Sides, FormatError> {
    let sides = [(a, read(a, labelled)?), (b, read(b, labelled)?)];
    let matched_by = by.unwrap_or_else(|| {
        let has = |by| sides.iter().all(|(_, sentences)| is_named(sentences, by));
        [MatchBy::Id, MatchBy::Article].into_iter().find(|&by| has(by)).unwrap_or(MatchBy::Text)
    });
    let [a, b] = sides.map(|(path, sentences)| named(path, sentences, matched_by));
    let (a, mut others) = (a?, b?.into_iter().collect::<HashMap<_, _>>());
    let mut sides = Sides { matched_by, pairs: Vec::new(), only_a: 0, only_b: 0, different_texts: 0 };
    for (name, sentence) in a {
        match others.remove(&name) {
            None => sides.only_a += 1,
            Some(other) if other.1.text != sentence.1.text => sides.different_texts += 1,
            Some(other) => sides.pairs.push((sentence, other)),
        }
    }
    sides.only_b = others.len();
    Ok(sides)
}

fn read(path: &Path, options: &LabelledOptions) -> Result<Vec<Placed>, FormatError> {
    let sentences = read_labelled(path, options.clone())?;
    let placed = sentences.map(|labelled| {
        let labelled = labelled?;
        Ok((labelled.line, labelled.gold(path)?))
    });
    placed.collect()
}

/// What a sentence is called, the text apart.
fn name(sentence: &GoldSentence, by: MatchBy) -> Option<String> {
    match by {
        MatchBy::Id => match sentence.fields.get("id")? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        },
        MatchBy::Article => sentence.article.clone(),
        MatchBy::Text => Some(String::new()),
    }
}

fn is_named(sentences: &[Placed], by: MatchBy) -> bool {
    let names: Option<Vec<String>> = sentences.iter().map(|(_, sentence)| name(sentence, by)).collect();
    names.is_some_and(|names| by != MatchBy::Id || names.iter().collect::<BTreeSet<_>>().len() == names.len())
}

/// What sentences are told apart by: name, text (where the name is not enough) and how many came before of both.
type Key = (String, String, usize);

fn named(path: &Path, sentences: Vec<Placed>, by: MatchBy) -> Result<Vec<(Key, Placed)>, FormatError> {
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    let named = sentences.into_iter().map(|(line, sentence)| {
        let field = if by == MatchBy::Id { "id" } else { "article" };
        let name = name(&sentence, by).ok_or_else(|| FormatError::Line {
            path: path.to_owned(),
            line,
            reason: format!("the sentence has no `{field}` to match it by"),
        })?;
        let text = if by == MatchBy::Id { String::new() } else { sentence.text.clone() };
        let before = seen.entry((name.clone(), text.clone())).or_default();
        *before += 1;
        Ok(((name, text, *before), (line, sentence)))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(a: &str, b: &str, by: Option<MatchBy>) -> Result<Sides, String> {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [("a", a), ("b", b)].map(|(name, content)| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        });
        matched(&a, &b, &LabelledOptions::default(), by).map_err(|error| error.to_string())
    }

    fn lines(sides: &Sides) -> Vec<(usize, usize)> {
        sides.pairs.iter().map(|(a, b)| (a.0, b.0)).collect()
    }

    fn record(id: &str, article: &str, text: &str) -> String {
        let mut record = serde_json::json!({"text": text, "labels": []});
        for (key, value) in [("id", id), ("article", article)] {
            if !value.is_empty() {
                record[key] = value.into();
            }
        }
        format!("{record}\n")
    }

    #[test]
    fn ids_go_before_articles_and_articles_before_texts() {
        let a = record("1", "x", "same") + &record("2", "y", "same") + &record("3", "y", "edited");
        let b = record("2", "y", "same") + &record("1", "x", "same") + &record("3", "y", "Edited");
        let by_id = sides(&a, &b, None).unwrap();
        assert_eq!(
            (by_id.matched_by, lines(&by_id), by_id.different_texts),
            (MatchBy::Id, vec![(1, 2), (2, 1)], 1)
        );
        let by_article =
            sides(&a, &b.replace("\"id\":\"3\",", "").replace(",\"id\":\"3\"", ""), None).unwrap();
        assert_eq!((by_article.matched_by, lines(&by_article)), (MatchBy::Article, vec![(1, 2), (2, 1)]));
        assert_eq!((by_article.only_a, by_article.only_b), (1, 1));
        let by_text = sides(&a, &b, Some(MatchBy::Text)).unwrap();
        assert_eq!(lines(&by_text), [(1, 1), (2, 2)]);
    }

    #[test]
    fn a_sentence_that_one_left_out_shifts_no_others() {
        let article = |texts: &[&str]| {
            let sentences: Vec<_> =
                texts.iter().map(|text| serde_json::json!({"text": text, "stance": []})).collect();
            format!("{}\n", serde_json::json!({"id": "a", "sentences": sentences}))
        };
        let sides = sides(&article(&["One.", "Two.", "One."]), &article(&["Two.", "One."]), None).unwrap();
        assert_eq!((sides.matched_by, sides.pairs.len(), sides.only_a), (MatchBy::Article, 2, 1));
    }

    #[test]
    fn a_sentence_without_the_name_that_was_asked_for_is_told() {
        let (a, b) = (record("1", "", "x"), record("", "", "x"));
        assert!(sides(&a, &b, Some(MatchBy::Id)).err().unwrap().contains("b:1: the sentence has no `id`"));
    }
}
