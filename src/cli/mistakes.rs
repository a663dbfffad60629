//! Sentences with something wrong, kept on disk until they can be ranked.

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use undertone::evaluation::{EntityAnswer, EntityOutcome, ErrorRecord, LabelAnswers};

/// Records on disk, in a file without a name, in the order of the data.
pub(crate) struct Spool {
    file: BufWriter<File>,
    end: u64,
}

impl Spool {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let file = tempfile::tempfile().context("cannot make a temporary file")?;
        Ok(Self { file: BufWriter::new(file), end: 0 })
    }

    /// Keeps a record and tells where it begins.
    pub(crate) fn push(&mut self, record: &impl Serialize) -> anyhow::Result<u64> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line).context("cannot write a temporary file")?;
        let offset = self.end;
        self.end += line.len() as u64;
        Ok(offset)
    }

    /// The records as they were kept.
    pub(crate) fn in_order<T: DeserializeOwned>(
        self,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<T>>> {
        let mut file = self.into_file()?;
        file.seek(SeekFrom::Start(0))?;
        let lines = BufReader::new(file).lines();
        Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
    }

    fn into_file(self) -> anyhow::Result<File> {
        self.file.into_inner().context("cannot write a temporary file")
    }
}

/// Mistakes; in memory is only where each of them is.
pub(crate) struct Mistakes {
    spool: Spool,
    places: Vec<Place>,
}

/// Where a record is.
#[derive(Clone, Copy)]
struct Place {
    confidence: f32,
    offset: u64,
}

impl Mistakes {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { spool: Spool::new()?, places: Vec::new() })
    }

    /// Keeps a record.
    pub(crate) fn push(&mut self, record: &ErrorRecord) -> anyhow::Result<()> {
        let offset = self.spool.push(record)?;
        self.places.push(Place { confidence: record.confidence, offset });
        Ok(())
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The same records with other decisions on their labels; those that are then right are dropped.
    ///
    /// * `found`: the labels that are given, record by record.
    pub(crate) fn decided_anew(self, mut found: impl FnMut(usize) -> Vec<String>) -> anyhow::Result<Self> {
        let mut revised = Self::new()?;
        let mut row = 0;
        for record in self.spool.in_order::<ErrorRecord>()? {
            let mut record = record?;
            if let Some(labels) = &mut record.labels {
                labels.found = found(row);
                row += 1;
            }
            record.confidence = confidence(record.labels.as_ref(), record.entities.as_deref());
            if !is_right(&record) {
                revised.push(&record)?;
            }
        }
        Ok(revised)
    }

    /// The records, the most confident mistakes first; of equals, as in the data.
    pub(crate) fn ranked(self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<ErrorRecord>>> {
        let Self { spool, mut places } = self;
        places.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let mut reader = BufReader::new(spool.into_file()?);
        Ok(places.into_iter().map(move |place| {
            reader.seek(SeekFrom::Start(place.offset))?;
            let mut line = String::new();
            reader.read_line(&mut line)?;
            Ok(serde_json::from_str(&line)?)
        }))
    }
}

/// Probability of the surest mistake: of a label that is given wrongly, what is left to 1 of one that is missing, of an entity
/// that is found wrongly. A missed entity has no probability and counts 0.
pub(crate) fn confidence(labels: Option<&LabelAnswers>, entities: Option<&[EntityAnswer]>) -> f32 {
    let of_label = |labels: &LabelAnswers| {
        let wrong = |(label, score): (&String, &f32)| match (
            labels.found.contains(label),
            labels.gold.contains(label),
        ) {
            (true, false) => Some(*score),
            (false, true) => Some(1.0 - score),
            _ => None,
        };
        labels.scores.iter().filter_map(wrong).fold(0.0, f32::max)
    };
    let wrong = entities.unwrap_or_default().iter().filter(|answer| answer.outcome != EntityOutcome::Correct);
    let of_entity = wrong.filter_map(|answer| answer.found.as_ref()?.score).fold(0.0, f32::max);
    labels.map_or(0.0, of_label).max(of_entity)
}

fn is_right(record: &ErrorRecord) -> bool {
    let sorted = |labels: &[String]| {
        let mut labels = labels.to_vec();
        labels.sort();
        labels
    };
    record.labels.as_ref().is_none_or(|labels| sorted(&labels.gold) == sorted(&labels.found))
        && record.entities.iter().flatten().all(|answer| answer.outcome == EntityOutcome::Correct)
}

/// The values of a field of a record, as text; `""` where it has none. `article` is its article, and without a field of that
/// name `month` and `year` are those of its `date`.
pub(crate) fn field_value(gold: &undertone::labels::GoldSentence, field: &str) -> String {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    let date = || gold.fields.get("date").map(text).unwrap_or_default();
    match (gold.fields.get(field), field) {
        (Some(value), _) => text(value),
        (None, "article") => gold.article.clone().unwrap_or_default(),
        (None, "month") => beginning(&date(), "dddd-dd"),
        (None, "year") => beginning(&date(), "dddd"),
        (None, _) => String::new(),
    }
}

/// The first characters of a date if they are of the form, `d` being a digit; else nothing.
fn beginning(date: &str, form: &str) -> String {
    let taken: String = date.chars().take(form.len()).collect();
    let shape: String = taken.chars().map(|c| if c.is_ascii_digit() { 'd' } else { c }).collect();
    if shape == form { taken } else { String::new() }
}

/// A record of a sentence; right or wrong.
pub(crate) fn record(
    (file, line): (&Path, usize),
    gold: &undertone::labels::GoldSentence,
    labels: Option<LabelAnswers>,
    entities: Option<Vec<EntityAnswer>>,
) -> ErrorRecord {
    ErrorRecord {
        file: file.to_owned(),
        line,
        article: gold.article.clone(),
        text: gold.text.clone(),
        confidence: confidence(labels.as_ref(), entities.as_deref()),
        labels,
        entities,
        fields: gold.fields.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use undertone::labels::GoldSentence;

    fn labels(gold: &[&str], found: &[&str], score: f32) -> Option<LabelAnswers> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let scores = BTreeMap::from([("a".to_owned(), score), ("b".to_owned(), 0.25)]);
        Some(LabelAnswers { gold: owned(gold), found: owned(found), scores })
    }

    fn of(text: &str, labels: Option<LabelAnswers>) -> ErrorRecord {
        let gold = GoldSentence { text: text.into(), ..GoldSentence::default() };
        record((Path::new("f"), 1), &gold, labels, None)
    }

    #[test]
    fn the_most_confident_mistakes_come_first() {
        let mut mistakes = Mistakes::new().unwrap();
        for (text, gold, found, score) in [
            ("sure", &["b"][..], &["a"][..], 0.75),
            ("surer", &[], &["a"], 0.875),
            ("missed", &["a"], &[], 0.125),
        ] {
            mistakes.push(&of(text, labels(gold, found, score))).unwrap();
        }
        let ranked: Vec<ErrorRecord> = mistakes.ranked().unwrap().collect::<Result<_, _>>().unwrap();
        let told: Vec<(&str, f32)> = ranked.iter().map(|r| (r.text.as_str(), r.confidence)).collect();
        assert_eq!(told, [("surer", 0.875), ("missed", 0.875), ("sure", 0.75)]);
    }

    #[test]
    fn other_decisions_make_other_mistakes() {
        let mut mistakes = Mistakes::new().unwrap();
        mistakes.push(&of("one", labels(&["a"], &["a"], 0.75))).unwrap();
        mistakes.push(&of("two", labels(&["a"], &[], 0.5))).unwrap();
        let anew = mistakes.decided_anew(|row| if row == 0 { vec![] } else { vec!["a".into()] }).unwrap();
        let left: Vec<ErrorRecord> = anew.ranked().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!((left.len(), left[0].text.as_str(), left[0].confidence), (1, "one", 0.25));
    }

    #[test]
    fn month_and_year_are_those_of_the_date() {
        let fields = serde_json::json!({"date": "2026-11-29", "words": 7, "desk": null});
        let gold = GoldSentence { fields: fields.as_object().unwrap().clone(), ..GoldSentence::default() };
        let values = ["month", "year", "words", "desk", "article"].map(|field| field_value(&gold, field));
        assert_eq!(values, ["2026-11", "2026", "7", "", ""]);
        for date in ["29/11/2026", "2026", "20261129", "May 2026"] {
            let fields = serde_json::json!({"date": date}).as_object().unwrap().clone();
            assert_eq!(
                field_value(&GoldSentence { fields, ..GoldSentence::default() }, "month"),
                "",
                "{date}"
            );
        }
    }
}
