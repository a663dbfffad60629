use super::bootstrap::{RESAMPLES, SEED, bootstrap};
use super::curves::{Ranking, coverage, reliability};
use super::{
    Average, ClassificationReport, Counts, Decisions, Figure, Groups, Interval, LabelReport, ReliabilityBin,
    Rows, average,
};
use crate::labels::confidence;
use std::collections::HashMap;
use std::ops::Add;

/// Probabilities, decisions and truth, sentence by sentence.
#[derive(Debug, Clone, Default)]
pub struct LabelTable {
    /// Probabilities, `[sentences, labels]`.
    pub scores: Rows<f32>,
    /// Decisions of the same shape.
    pub decided: Rows<bool>,
    /// The truth, of the same shape.
    pub gold: Rows<bool>,
    /// Group of each sentence.
    pub groups: Vec<u32>,
}

impl LabelTable {
    /// Adds a sentence.
    ///
    /// # Panics
    /// If it has another number of labels than those before it.
    pub fn push(&mut self, scores: &[f32], decided: &[bool], gold: &[bool], group: u32) {
        self.scores.push(scores);
        self.decided.push(decided);
        self.gold.push(gold);
        self.groups.push(group);
    }

    /// Number of sentences.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// True without sentences.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// True if the decision on a sentence is right, label by label.
    pub fn is_right(&self, sentence: usize) -> bool {
        self.decided.row(sentence) == self.gold.row(sentence)
    }

    /// Counts of the sentences that `keep` holds for.
    pub fn count(&self, keep: impl Fn(usize) -> bool) -> LabelSums {
        let mut sums = LabelSums::new(self.gold.width());
        (0..self.len()).filter(|&i| keep(i)).for_each(|i| sums.note(self.decided.row(i), self.gold.row(i)));
        sums
    }

    /// Unweighted mean of the labels' average precisions; `None` if no label has a positive sentence.
    pub fn mean_average_precision(&self) -> Option<f64> {
        mean(self.rankings().iter().map(|ranking| ranking.average_precision(None)))
    }

    /// Unweighted mean of the labels' expected calibration errors; `None` without sentences.
    pub fn mean_calibration_error(&self) -> Option<f64> {
        let of = |label| reliability(&self.scores.column(label), &self.gold.column(label));
        let errors =
            (0..self.gold.width()).map(|label| ReliabilityBin::expected_calibration_error(&of(label)));
        mean(errors)
    }

    /// The sentences ranked by each label's score.
    pub(super) fn rankings(&self) -> Vec<Ranking> {
        let of = |label| Ranking::new(&self.scores.column(label), &self.gold.column(label), &self.groups);
        (0..self.gold.width()).map(of).collect()
    }

    /// Everything that is told of the decisions.
    ///
    /// * `labels`: their names; `thresholds`: one per label, where decisions were made by them; `resamples`: those behind every
    ///   interval, [`RESAMPLES`] or, for no intervals, 0.
    pub fn report(
        &self,
        labels: &[String],
        groups: &Groups,
        decisions: Decisions,
        thresholds: Option<&[f32]>,
        resamples: usize,
    ) -> ClassificationReport {
        let grouped = GroupedLabels::new(self, groups.len());
        let rankings = self.rankings();
        let statistics = |weights: &[u32]| {
            let mut figures = grouped.sums(weights).figures();
            let precisions: Vec<_> =
                rankings.iter().map(|ranking| ranking.average_precision(Some(weights))).collect();
            figures.push(mean(precisions.iter().copied()));
            figures.extend(precisions);
            figures
        };
        let everything = vec![1; groups.len()];
        let intervals = bootstrap(groups.len(), resamples, SEED, statistics);
        let mut figures = statistics(&everything)
            .into_iter()
            .zip(intervals.into_iter().chain(std::iter::repeat(None)))
            .map(|(value, interval)| Figure { value, interval: interval.filter(|_| value.is_some()) });
        let mut next = || figures.next().unwrap_or_default();
        let sums = self.count(|_| true);
        let [macro_f1, micro_f1, weighted_f1, exact_match] = std::array::from_fn(|_| next());
        let label_f1: Vec<Figure> = labels.iter().map(|_| next()).collect();
        let mean_average_precision = next();
        let average_precisions: Vec<Figure> = labels.iter().map(|_| next()).collect();
        let labels = labels.iter().enumerate().map(|(i, label)| {
            let counts = sums.labels[i];
            let reliability = reliability(&self.scores.column(i), &self.gold.column(i));
            LabelReport {
                label: label.clone(),
                counts,
                precision: counts.precision(),
                recall: counts.recall(),
                f1: label_f1[i],
                support: counts.support(),
                average_precision: average_precisions[i],
                brier: ReliabilityBin::brier(&reliability),
                ece: ReliabilityBin::expected_calibration_error(&reliability),
                threshold: thresholds.map(|thresholds| thresholds[i]),
                curve: rankings[i].curve(),
                reliability,
            }
        });
        let averages = average::all(&sums.labels);
        let with = |average: Average, f1| Average { f1, ..average };
        ClassificationReport {
            thresholds: decisions,
            sentences: sums.sentences,
            exact: sums.exact,
            exact_match,
            labels: labels.collect(),
            macro_average: with(averages.macro_average, macro_f1),
            micro_average: with(averages.micro, micro_f1),
            weighted_average: with(averages.weighted, weighted_f1),
            mean_average_precision,
            confusion: self.confusion(),
            coverage: coverage(self.confidences().zip((0..self.len()).map(|i| self.is_right(i))).collect()),
        }
    }

    /// Probability that the least sure decision on each sentence is right.
    fn confidences(&self) -> impl Iterator<Item = f32> {
        self.scores
            .iter()
            .zip(self.decided.iter())
            .map(|(scores, decided)| confidence(scores, |i| decided[i]))
    }

    fn confusion(&self) -> Vec<Vec<usize>> {
        let labels = self.gold.width();
        let named = |flags: &[bool]| -> Vec<usize> {
            let named: Vec<usize> = (0..labels).filter(|&i| flags[i]).collect();
            if named.is_empty() { vec![labels] } else { named }
        };
        let mut cells = vec![vec![0; labels + 1]; labels + 1];
        for (gold, decided) in self.gold.iter().zip(self.decided.iter()) {
            for row in named(gold) {
                named(decided).into_iter().for_each(|column| cells[row][column] += 1);
            }
        }
        cells
    }
}

/// Counts per label over decided sentences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelSums {
    /// In the order of the labels.
    pub labels: Vec<Counts>,
    /// Sentences whose whole set of labels is right.
    pub exact: usize,
    /// Sentences.
    pub sentences: usize,
}

impl LabelSums {
    fn new(labels: usize) -> Self {
        Self { labels: vec![Counts::default(); labels], ..Self::default() }
    }

    fn note(&mut self, decided: &[bool], gold: &[bool]) {
        for ((counts, &found), &there) in self.labels.iter_mut().zip(decided).zip(gold) {
            counts.note(found, there);
        }
        self.exact += usize::from(decided == gold);
        self.sentences += 1;
    }

    /// Macro-F1, micro-F1, weighted F1, exact match, and then the F1 of each label.
    pub(super) fn figures(&self) -> Vec<Option<f64>> {
        let averages = average::all(&self.labels);
        let mut figures = vec![
            averages.macro_average.f1.value,
            averages.micro.f1.value,
            averages.weighted.f1.value,
            self.exact_match(),
        ];
        figures.extend(self.labels.iter().map(|counts| counts.f1()));
        figures
    }

    /// Unweighted mean of the labels' F1: the headline. A label that has nothing to score counts 0.
    pub fn macro_f1(&self) -> Option<f64> {
        average::all(&self.labels).macro_average.f1.value
    }

    /// Share of sentences whose whole set of labels is right.
    pub fn exact_match(&self) -> Option<f64> {
        (self.sentences > 0).then(|| self.exact as f64 / self.sentences as f64)
    }
}

impl Add for LabelSums {
    type Output = LabelSums;

    fn add(mut self, other: LabelSums) -> LabelSums {
        self.labels.iter_mut().zip(other.labels).for_each(|(mine, other)| *mine += other);
        Self { exact: self.exact + other.exact, sentences: self.sentences + other.sentences, ..self }
    }
}

/// Counts of each group, for resampling: side by side in memory, for there may be a million of them.
pub(super) struct GroupedLabels {
    width: usize,
    /// True and false positives and false negatives, `[groups, labels]`.
    counts: Vec<[u32; 3]>,
    /// Sentences whose labels are all right, and sentences.
    exact: Vec<[u32; 2]>,
}

impl GroupedLabels {
    pub(super) fn new(table: &LabelTable, groups: usize) -> Self {
        let width = table.gold.width();
        let (mut counts, mut exact) = (vec![[0; 3]; groups * width], vec![[0; 2]; groups]);
        for (i, &group) in table.groups.iter().enumerate() {
            let (decided, gold) = (table.decided.row(i), table.gold.row(i));
            let [right, sentences] = &mut exact[group as usize];
            *right += u32::from(decided == gold);
            *sentences += 1;
            let counts = &mut counts[group as usize * width..][..width];
            for (counts, flags) in counts.iter_mut().zip(decided.iter().zip(gold)) {
                let [tp, fp, fn_] = counts;
                match flags {
                    (true, true) => *tp += 1,
                    (true, false) => *fp += 1,
                    (false, true) => *fn_ += 1,
                    (false, false) => {}
                }
            }
        }
        Self { width, counts, exact }
    }

    /// All groups together, each as often as its weight says.
    pub(super) fn sums(&self, weights: &[u32]) -> LabelSums {
        let mut labels = vec![[0u64; 3]; self.width];
        let mut exact = [0u64; 2];
        for (group, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            let weight = u64::from(weight);
            for (sums, counts) in labels.iter_mut().zip(&self.counts[group * self.width..]) {
                sums.iter_mut().zip(counts).for_each(|(sum, &n)| *sum += u64::from(n) * weight);
            }
            exact.iter_mut().zip(&self.exact[group]).for_each(|(sum, &n)| *sum += u64::from(n) * weight);
        }
        let counts = |[tp, fp, fn_]: [u64; 3]| Counts { tp: tp as usize, fp: fp as usize, fn_: fn_ as usize };
        LabelSums {
            labels: labels.into_iter().map(counts).collect(),
            exact: exact[0] as usize,
            sentences: exact[1] as usize,
        }
    }
}

/// Mean of what there is; `None` if there is nothing.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Macro-F1 with its interval, and the counts, of some of the sentences; in time that depends on these alone.
pub(super) fn part(table: &LabelTable, rows: &[usize]) -> (LabelSums, Option<Interval>) {
    // Only the groups with such sentences are drawn.
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut part = LabelTable::default();
    for &i in rows {
        let next = numbers.len() as u32;
        let group = *numbers.entry(table.groups[i]).or_insert(next);
        part.push(table.scores.row(i), table.decided.row(i), table.gold.row(i), group);
    }
    let grouped = GroupedLabels::new(&part, numbers.len());
    let intervals =
        bootstrap(numbers.len(), RESAMPLES, SEED, |weights| vec![grouped.sums(weights).macro_f1()]);
    (part.count(|_| true), intervals.into_iter().next().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(decided: &[[bool; 2]], gold: &[[bool; 2]]) -> (LabelTable, Groups) {
        let (mut table, mut groups) = (LabelTable::default(), Groups::default());
        for (decided, gold) in decided.iter().zip(gold) {
            let scores = decided.map(|d| if d { 0.9 } else { 0.2 });
            table.push(&scores, decided, gold, groups.next(None));
        }
        (table, groups)
    }

    #[test]
    fn exact_match_wants_the_whole_set() {
        let gold = [[true, false], [false, false], [true, true]];
        let decided = [[true, false], [false, false], [true, false]];
        let (table, groups) = table(&decided, &gold);
        let labels = ["a".to_owned(), "b".to_owned()];
        let report = table.report(&labels, &groups, Decisions::Stored, Some(&[0.5, 0.5]), 0);
        assert_eq!((report.exact, report.exact_match.value), (2, Some(2.0 / 3.0)));
        assert_eq!(report.macro_average.f1.value, Some(0.5));
        assert_eq!(report.micro_average.f1.value, Some(0.8));
        assert_eq!(report.weighted_average.f1.value, Some(2.0 / 3.0));
        // Gold {a, b} decided {a} counts under both its gold labels.
        assert_eq!(report.confusion, [[2, 0, 0], [1, 0, 0], [0, 0, 1]]);
        // The least sure decision of the wrong sentence is as sure as the others.
        assert_eq!(report.coverage.last().map(|p| (p.answered, p.wrong)), Some((3, 1)));
    }

    #[test]
    fn summing_groups_equals_counting_all() {
        let gold = [[true, false], [false, true], [true, true], [false, false]];
        let decided = [[true, true], [false, true], [false, true], [true, false]];
        let (table, groups) = table(&decided, &gold);
        let grouped = GroupedLabels::new(&table, groups.len());
        assert_eq!(grouped.sums(&[1; 4]), table.count(|_| true));
        assert_eq!(grouped.sums(&[1, 0, 0, 1]) + grouped.sums(&[0, 1, 1, 0]), table.count(|_| true));
        assert_eq!(grouped.sums(&[2, 0, 0, 0]).sentences, 2);
        let (first, _) = part(&table, &[0, 1]);
        assert_eq!(first, table.count(|i| i < 2));
    }
}
