use super::Counts;
use std::collections::BTreeMap;
use std::hash::Hash;

/// Entity counts per type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EntityCounts {
    /// By type, in alphabetical order; types that only one side has are there too.
    pub types: BTreeMap<String, Counts>,
}

impl EntityCounts {
    /// All types together: the headline ("micro").
    pub fn total(&self) -> Counts {
        self.types.values().copied().sum()
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &EntityCounts) {
        for (label, counts) in &other.types {
            *self.types.entry(label.clone()).or_default() += *counts;
        }
    }
}

/// Counts the entities of one sentence: right only with the very same extent and type. `label` gives an entity's type.
///
/// Neither side may hold an entity twice.
pub fn count_entities<T: Eq + Hash>(found: &[T], gold: &[T], label: impl Fn(&T) -> String) -> EntityCounts {
    let mut counts = EntityCounts::default();
    for entity in found {
        let of_type = counts.types.entry(label(entity)).or_default();
        of_type.note(true, gold.contains(entity));
    }
    for entity in gold.iter().filter(|entity| !found.contains(entity)) {
        counts.types.entry(label(entity)).or_default().note(false, true);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::{TagSpan, decode, decode_strict};

    fn score(gold: &[&[&str]], found: &[&[&str]], decode: fn(&[&str]) -> Vec<TagSpan>) -> EntityCounts {
        let mut counts = EntityCounts::default();
        for (gold, found) in gold.iter().zip(found) {
            counts.add(&count_entities(&decode(found), &decode(gold), |span| span.label.clone()));
        }
        counts
    }

    #[test]
    fn the_example_of_seqeval_scores_as_it_does_there() {
        // From the README of seqeval 1.2.2: f1_score is 0.50.
        let gold: [&[&str]; 2] =
            [&["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], &["B-PER", "I-PER", "O"]];
        let found: [&[&str]; 2] =
            [&["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], &["B-PER", "I-PER", "O"]];
        let counts = score(&gold, &found, |tags| decode(tags));
        assert_eq!(counts.total().f1(), Some(0.5));
        assert_eq!(counts.types["MISC"], Counts { tp: 0, fp: 1, fn_: 1 });
        assert_eq!(counts.types["PER"].f1(), Some(1.0));
    }

    #[test]
    fn lenient_and_strict_differ_on_orphans() {
        // seqeval#23: gold B-PER I-PER, prediction I-PER I-PER: 1.0 by default, 0.0 in strict IOB2.
        let (gold, found): ([&[&str]; 1], [&[&str]; 1]) = ([&["B-PER", "I-PER"]], [&["I-PER", "I-PER"]]);
        assert_eq!(score(&gold, &found, |tags| decode(tags)).total().f1(), Some(1.0));
        assert_eq!(score(&gold, &found, |tags| decode_strict(tags)).total().f1(), Some(0.0));
    }
}
