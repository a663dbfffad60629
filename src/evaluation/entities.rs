use super::bootstrap::{RESAMPLES, SEED, bootstrap};
use super::{
    Average, Counts, EntityAnswer, EntityErrors, EntityFigures, EntityOutcome, EntityReport,
    EntityTypeReport, Figure, Interval, WordCounts, average,
};
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

/// What became of the entities of many sentences, in little memory.
#[derive(Debug, Clone, Default)]
pub struct EntityTable {
    lenient: TypedCounts,
    strict: TypedCounts,
    /// Group of each sentence.
    pub groups: Vec<u32>,
    /// Whether all entities of each sentence are right, and none is found that is not there.
    right: Vec<bool>,
    words: Option<WordCounts>,
    errors: EntityErrors,
    confusion: BTreeMap<String, BTreeMap<String, usize>>,
}

/// The entities of one sentence.
#[derive(Debug, Clone, Default)]
pub struct SentenceEntities {
    /// By the rules of conlleval.
    pub lenient: EntityCounts,
    /// By strict IOB2.
    pub strict: EntityCounts,
    /// Words with the right tag, where the gold has words.
    pub words: Option<WordCounts>,
    /// Each of them, and what became of it.
    pub answers: Vec<EntityAnswer>,
}

impl SentenceEntities {
    /// True if there is no mistake.
    pub fn is_right(&self) -> bool {
        let Counts { fp, fn_, .. } = self.lenient.total();
        fp + fn_ == 0
    }
}

impl EntityTable {
    /// Adds a sentence.
    pub fn push(&mut self, sentence: &SentenceEntities, group: u32) {
        self.groups.push(group);
        self.right.push(sentence.is_right());
        let row = self.groups.len() - 1;
        self.lenient.push(row, &sentence.lenient);
        self.strict.push(row, &sentence.strict);
        if let Some(WordCounts { right, words }) = sentence.words {
            let sum = self.words.get_or_insert_default();
            sum.right += right;
            sum.words += words;
        }
        for answer in &sentence.answers {
            *self.errors.of(answer.outcome) += 1;
            let kind = |mention: &Option<super::Mention>| {
                mention.as_ref().map_or_else(String::new, |mention| mention.label.clone())
            };
            let row = self.confusion.entry(kind(&answer.gold)).or_default();
            *row.entry(kind(&answer.found)).or_default() += 1;
        }
    }

    /// Number of sentences.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// True without sentences.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// True if a sentence has no mistake.
    pub fn is_right(&self, sentence: usize) -> bool {
        self.right[sentence]
    }

    /// Micro F1 by the rules of conlleval: the headline.
    pub fn f1(&self) -> Option<f64> {
        self.lenient.total().f1()
    }

    /// Lenient and strict counts of each group, all types together.
    pub(super) fn grouped(&self, groups: usize) -> Vec<[Counts; 2]> {
        let mut grouped = vec![[Counts::default(); 2]; groups];
        for (side, counts) in [&self.lenient, &self.strict].into_iter().enumerate() {
            for entry in &counts.entries {
                grouped[self.groups[entry.row as usize] as usize][side] += entry.counts();
            }
        }
        grouped
    }

    /// Counts (lenient, all types) and F1 with its interval of some of the sentences; in time that depends on these alone.
    pub(super) fn part(&self, rows: &[usize]) -> (Counts, Option<Interval>) {
        let mut grouped: BTreeMap<u32, Counts> = BTreeMap::new();
        for &row in rows {
            *grouped.entry(self.groups[row]).or_default() += self.lenient.of_row(row);
        }
        let grouped: Vec<Counts> = grouped.into_values().collect();
        let f1 = |weights: &[u32]| {
            let counts = grouped.iter().zip(weights).map(|(counts, &weight)| counts.times(weight as usize));
            vec![counts.sum::<Counts>().f1()]
        };
        let intervals = bootstrap(grouped.len(), RESAMPLES, SEED, f1);
        (grouped.iter().copied().sum(), intervals.into_iter().next().flatten())
    }

    /// Everything that is told of the entities.
    ///
    /// * `groups`: number of groups; `resamples`: those behind every interval, [`RESAMPLES`] or, for no intervals, 0.
    pub fn report(&self, groups: usize, resamples: usize) -> EntityReport {
        EntityReport {
            sentences: self.len(),
            lenient: self.lenient.figures(&self.groups, groups, resamples),
            strict: self.strict.figures(&self.groups, groups, resamples),
            words: self.words,
            token_accuracy: self.words.map(|words| words.right as f64 / words.words.max(1) as f64),
            errors: self.errors,
            confusion: self.confusion.clone(),
        }
    }
}

impl EntityErrors {
    fn of(&mut self, outcome: EntityOutcome) -> &mut usize {
        match outcome {
            EntityOutcome::Correct => &mut self.correct,
            EntityOutcome::Boundary => &mut self.boundary,
            EntityOutcome::Type => &mut self.kind,
            EntityOutcome::Both => &mut self.both,
            EntityOutcome::Missed => &mut self.missed,
            EntityOutcome::Spurious => &mut self.spurious,
        }
    }
}

/// Counts by sentence and type; only what is not zero.
#[derive(Debug, Clone, Default)]
struct TypedCounts {
    types: Vec<String>,
    entries: Vec<Entry>,
}

/// Counts of one type in one sentence.
#[derive(Debug, Clone, Copy)]
struct Entry {
    row: u32,
    kind: u32,
    tp: u32,
    fp: u32,
    fn_: u32,
}

impl Entry {
    fn counts(self) -> Counts {
        Counts { tp: self.tp as usize, fp: self.fp as usize, fn_: self.fn_ as usize }
    }
}

impl TypedCounts {
    fn push(&mut self, row: usize, counts: &EntityCounts) {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        for (label, counts) in &counts.types {
            let kind = self.types.iter().position(|known| known == label).unwrap_or_else(|| {
                self.types.push(label.clone());
                self.types.len() - 1
            });
            let Counts { tp, fp, fn_ } = *counts;
            self.entries.push(Entry {
                row: small(row),
                kind: small(kind),
                tp: small(tp),
                fp: small(fp),
                fn_: small(fn_),
            });
        }
    }

    fn total(&self) -> Counts {
        self.entries.iter().map(|entry| entry.counts()).sum()
    }

    /// All types of one sentence together.
    fn of_row(&self, row: usize) -> Counts {
        // Sentences are added in order.
        let start = self.entries.partition_point(|entry| (entry.row as usize) < row);
        let entries = self.entries[start..].iter().take_while(|entry| entry.row as usize == row);
        entries.map(|entry| entry.counts()).sum()
    }

    /// Counts per type when each group counts as often as its weight says.
    fn sums(&self, group_of: &[u32], weights: &[u32]) -> Vec<Counts> {
        let mut sums = vec![Counts::default(); self.types.len()];
        for entry in &self.entries {
            let weight = weights[group_of[entry.row as usize] as usize] as usize;
            sums[entry.kind as usize] += entry.counts().times(weight);
        }
        sums
    }

    fn figures(&self, group_of: &[u32], groups: usize, resamples: usize) -> EntityFigures {
        let f1s = |counts: &[Counts]| {
            let averages = average::all(counts);
            let mut figures =
                vec![averages.micro.f1.value, averages.macro_average.f1.value, averages.weighted.f1.value];
            figures.extend(counts.iter().map(|counts| counts.f1()));
            figures
        };
        let intervals = bootstrap(groups, resamples, SEED, |weights| f1s(&self.sums(group_of, weights)));
        let counts = self.sums(group_of, &vec![1; groups]);
        let mut figures = f1s(&counts).into_iter().enumerate().map(|(i, value)| {
            let interval = intervals.get(i).copied().flatten().filter(|_| value.is_some());
            Figure { value, interval }
        });
        let averages = average::all(&counts);
        let mut with = |average: Average| Average { f1: figures.next().unwrap_or_default(), ..average };
        let [micro, macro_average, weighted] =
            [averages.micro, averages.macro_average, averages.weighted].map(&mut with);
        let mut types: Vec<EntityTypeReport> = self
            .types
            .iter()
            .zip(&counts)
            .map(|(label, counts)| EntityTypeReport {
                label: label.clone(),
                counts: *counts,
                precision: counts.precision(),
                recall: counts.recall(),
                f1: figures.next().unwrap_or_default(),
                support: counts.support(),
            })
            .collect();
        types.sort_by(|a, b| a.label.cmp(&b.label));
        EntityFigures { types, micro, macro_average, weighted }
    }
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

    #[test]
    fn a_table_tells_what_its_sentences_add_up_to() {
        let counts = |label: &str, tp, fp, fn_| EntityCounts {
            types: [(label.into(), Counts { tp, fp, fn_ })].into(),
        };
        let sentence = |lenient, strict| SentenceEntities {
            lenient,
            strict,
            words: Some(WordCounts { right: 3, words: 4 }),
            answers: Vec::new(),
        };
        let mut table = EntityTable::default();
        table.push(&sentence(counts("PER", 3, 1, 0), counts("PER", 1, 3, 1)), 0);
        table.push(&sentence(counts("LOC", 1, 0, 0), counts("LOC", 1, 0, 0)), 1);
        let report = table.report(2, 10);
        assert_eq!((table.is_right(0), table.is_right(1)), (false, true));
        assert_eq!((report.lenient.micro.precision, report.strict.micro.precision), (Some(0.8), Some(0.4)));
        assert_eq!((report.lenient.types[0].label.as_str(), report.lenient.types[1].support), ("LOC", 3));
        assert_eq!(report.token_accuracy, Some(0.75));
        assert_eq!(table.part(&[1]).0, Counts { tp: 1, fp: 0, fn_: 0 });
        assert_eq!(table.grouped(2)[0], [Counts { tp: 3, fp: 1, fn_: 0 }, Counts { tp: 1, fp: 3, fn_: 1 }]);
    }
}
