use super::SentenceRecord;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What the sentences of an article have, counted: memory grows with its different entities, not with its sentences.
pub(super) struct Summary {
    pub(super) id: Value,
    pub(super) date: Option<String>,
    pub(super) fields: Option<Map<String, Value>>,
    pub(super) sentences: usize,
    /// Sentences by label.
    pub(super) labels: HashMap<String, usize>,
    /// Sentences that the model abstains from.
    pub(super) abstained: usize,
    /// How often an entity, a type and a text, stands in it, and the order of the first of each.
    entities: HashMap<(String, String), (usize, usize)>,
}

/// An entity of an article.
#[derive(Serialize)]
pub(super) struct Named<'a> {
    label: &'a str,
    text: &'a str,
    count: usize,
}

impl Summary {
    /// The article of a record, without its sentences.
    pub(super) fn new(record: &SentenceRecord) -> Self {
        Self {
            id: record.id.clone(),
            date: record.date.clone(),
            fields: record.fields.clone(),
            sentences: 0,
            labels: HashMap::new(),
            abstained: 0,
            entities: HashMap::new(),
        }
    }

    /// Counts a sentence in.
    pub(super) fn add(&mut self, record: &SentenceRecord) {
        self.sentences += 1;
        self.abstained += usize::from(record.abstained == Some(true));
        for label in record.stance.iter().flatten() {
            *self.labels.entry(label.clone()).or_default() += 1;
        }
        for entity in record.entities.iter().flatten() {
            let order = self.entities.len();
            let key = (entity.label.clone(), entity.text.clone());
            self.entities.entry(key).or_insert((order, 0)).1 += 1;
        }
    }

    /// Its entities in order of first appearance.
    pub(super) fn entities(&self) -> Vec<Named<'_>> {
        let mut found: Vec<_> = self.entities.iter().collect();
        found.sort_unstable_by_key(|(_, (order, _))| *order);
        found.into_iter().map(|((label, text), &(_, count))| Named { label, text, count }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;

    #[test]
    fn entities_are_counted_by_type_and_text_in_order_of_appearance() {
        let mut sentence = record();
        let place = sentence.entities.as_ref().unwrap()[0].clone();
        let named = |label: &str, text: &str| {
            let mut entity = place.clone();
            (entity.label, entity.text) = (label.into(), text.into());
            entity
        };
        sentence.entities =
            Some(vec![named("ORG", "B"), named("LOC", "A"), named("ORG", "B"), named("LOC", "B")]);
        let mut summary = Summary::new(&sentence);
        summary.add(&sentence);
        summary.add(&sentence);
        let told: Vec<(&str, &str, usize)> =
            summary.entities().into_iter().map(|Named { label, text, count }| (label, text, count)).collect();
        assert_eq!(told, [("ORG", "B", 4), ("LOC", "A", 2), ("LOC", "B", 2)]);
    }
}
