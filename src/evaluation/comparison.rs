//! Two models on the same data, and one model on parts of them.

use super::bootstrap::{RESAMPLES, SEED, SplitMix64, bootstrap};
use super::classification::{GroupedLabels, part};
use super::curves::Ranking;
use super::{
    Breakdown, BreakdownRow, ComparedMetric, Comparison, Counts, EntityTable, Figure, Groups, LabelTable,
    McNemar, ModelIdentity,
};
use std::collections::{BTreeMap, HashMap};

/// One model's answers.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// On labels; `None` if there are none.
    pub labels: Option<&'a LabelTable>,
    /// On entities; `None` if there are none.
    pub entities: Option<&'a EntityTable>,
}

/// Rounds of approximate randomisation: fewer where each is over so many groups that they would take minutes.
fn rounds(groups: usize) -> usize {
    if groups <= 50_000 { 9_999 } else { 999 }
}

/// Compares two models' answers to the same sentences.
///
/// * `labels`: names of the labels; `groups`: what both tables' groups are.
/// * `differing`: number of sentences that they answer differently.
///
/// # Panics
/// If the answers are not to the same sentences.
pub fn compare(
    this: Answered,
    (other, identity): (Answered, ModelIdentity),
    labels: &[String],
    groups: &Groups,
    differing: usize,
) -> Comparison {
    let mut metrics = Vec::new();
    let mut of_labels = None;
    if let (Some(a), Some(b)) = (this.labels, other.labels) {
        assert_eq!(a.len(), b.len(), "both models answer the same sentences");
        let [grouped_a, grouped_b] = [a, b].map(|table| GroupedLabels::new(table, groups.len()));
        let named = labels.iter().map(|label| format!("{label}.f1"));
        let names = ["macro_f1", "micro_f1", "weighted_f1", "exact_match"].map(str::to_owned);
        metrics.extend(differences(
            names.into_iter().chain(named),
            groups.len(),
            |weights| grouped_a.sums(weights).figures(),
            |weights| grouped_b.sums(weights).figures(),
            |kept, swapped| (grouped_a.sums(kept) + grouped_b.sums(swapped)).figures(),
        ));
        metrics.push(average_precision(a, b, groups.len()));
        of_labels = Some(mcnemar((0..a.len()).map(|i| (a.is_right(i), b.is_right(i)))));
    }
    let mut of_entities = None;
    if let (Some(a), Some(b)) = (this.entities, other.entities) {
        assert_eq!(a.len(), b.len(), "both models answer the same sentences");
        let [grouped_a, grouped_b] = [a, b].map(|table| table.grouped(groups.len()));
        metrics.extend(differences(
            ["entity_f1", "strict_entity_f1"].map(str::to_owned).into_iter(),
            groups.len(),
            |weights| f1s(sides(&grouped_a, weights)),
            |weights| f1s(sides(&grouped_b, weights)),
            |kept, swapped| {
                let (kept, swapped) = (sides(&grouped_a, kept), sides(&grouped_b, swapped));
                f1s([kept[0] + swapped[0], kept[1] + swapped[1]])
            },
        ));
        of_entities = Some(mcnemar((0..a.len()).map(|i| (a.is_right(i), b.is_right(i)))));
    }
    Comparison { other: identity, metrics, labels: of_labels, entities: of_entities, differing }
}

/// Lenient and strict counts when each group counts as often as its weight says.
fn sides(grouped: &[[Counts; 2]], weights: &[u32]) -> [Counts; 2] {
    let mut sums = [Counts::default(); 2];
    for (group, &weight) in grouped.iter().zip(weights) {
        sums.iter_mut().zip(group).for_each(|(sum, counts)| *sum += counts.times(weight as usize));
    }
    sums
}

fn f1s(counts: [Counts; 2]) -> Vec<Option<f64>> {
    counts.map(Counts::f1).to_vec()
}

/// The metrics of two models and what is known of their differences.
///
/// * `this` and `other` give the figures when groups count as often as their weights say; `mixed` those of a model that
///   answers like this one in groups of the first weights and like the other in groups of the second.
fn differences(
    names: impl Iterator<Item = String>,
    groups: usize,
    this: impl Fn(&[u32]) -> Vec<Option<f64>>,
    other: impl Fn(&[u32]) -> Vec<Option<f64>>,
    mixed: impl Fn(&[u32], &[u32]) -> Vec<Option<f64>>,
) -> Vec<ComparedMetric> {
    let everything = vec![1; groups];
    let (of_this, of_other) = (this(&everything), other(&everything));
    let observed = less(&of_this, &of_other);
    let resampled = Resampled::new(groups, |weights| less(&this(weights), &other(weights)));
    let mut beyond = vec![0usize; observed.len()];
    let mut random = SplitMix64::new(SEED);
    let (mut kept, mut swapped) = (vec![1; groups], vec![0; groups]);
    let rounds = rounds(groups);
    for _ in 0..rounds {
        for bits in 0..groups.div_ceil(64) {
            let drawn = random.next();
            for group in bits * 64..groups.min(bits * 64 + 64) {
                swapped[group] = (drawn >> (group % 64) & 1) as u32;
                kept[group] = 1 - swapped[group];
            }
        }
        let shuffled = less(&mixed(&kept, &swapped), &mixed(&swapped, &kept));
        for ((beyond, shuffled), observed) in beyond.iter_mut().zip(shuffled).zip(&observed) {
            let far = shuffled.unwrap_or(0.0).abs() >= observed.unwrap_or(0.0).abs() - 1e-12;
            *beyond += usize::from(far);
        }
    }
    let p_value = |i: usize| observed[i].map(|_| (beyond[i] + 1) as f64 / (rounds + 1) as f64);
    names
        .enumerate()
        .map(|(i, metric)| ComparedMetric {
            metric,
            this: of_this[i],
            other: of_other[i],
            difference: resampled.figure(i, observed[i]),
            bootstrap_p_value: resampled.p_value(i),
            p_value: p_value(i),
        })
        .collect()
}

fn average_precision(this: &LabelTable, other: &LabelTable, groups: usize) -> ComparedMetric {
    let [a, b] = [this, other].map(LabelTable::rankings);
    let mean = |rankings: &[Ranking], weights: &[u32]| {
        let known: Vec<f64> = rankings.iter().filter_map(|r| r.average_precision(Some(weights))).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let (this, other) = (this.mean_average_precision(), other.mean_average_precision());
    let resampled = Resampled::new(groups, |weights| less(&[mean(&a, weights)], &[mean(&b, weights)]));
    ComparedMetric {
        metric: "average_precision".into(),
        this,
        other,
        difference: resampled.figure(0, less(&[this], &[other])[0]),
        bootstrap_p_value: resampled.p_value(0),
        p_value: None,
    }
}

fn less(this: &[Option<f64>], other: &[Option<f64>]) -> Vec<Option<f64>> {
    this.iter().zip(other).map(|(this, other)| Some((*this)? - (*other)?)).collect()
}

/// Differences under paired resampling.
struct Resampled {
    intervals: Vec<Option<super::Interval>>,
    p_values: Vec<Option<f64>>,
}

impl Resampled {
    fn new(groups: usize, differences: impl Fn(&[u32]) -> Vec<Option<f64>>) -> Self {
        let sides = std::cell::RefCell::new(Vec::<[usize; 3]>::new());
        let intervals = bootstrap(groups, RESAMPLES, SEED, |weights| {
            let drawn = differences(weights);
            let mut sides = sides.borrow_mut();
            sides.resize(drawn.len(), [0; 3]);
            for (sides, difference) in sides.iter_mut().zip(&drawn) {
                if let Some(difference) = difference {
                    sides[0] += usize::from(*difference <= 0.0);
                    sides[1] += usize::from(*difference >= 0.0);
                    sides[2] += 1;
                }
            }
            drawn
        });
        let p_value = |[below, above, all]: [usize; 3]| {
            (all > 0 && groups > 1).then(|| (2.0 * (below.min(above) + 1) as f64 / (all + 1) as f64).min(1.0))
        };
        Self { intervals, p_values: sides.into_inner().into_iter().map(p_value).collect() }
    }

    fn figure(&self, i: usize, value: Option<f64>) -> Figure {
        Figure { value, interval: self.intervals.get(i).copied().flatten().filter(|_| value.is_some()) }
    }

    fn p_value(&self, i: usize) -> Option<f64> {
        self.p_values.get(i).copied().flatten()
    }
}

/// McNemar's exact test on pairs of "this model is right, the other is": under the null hypothesis either is as likely to be
/// the one that is right (McNemar 1947, with the binomial in place of chi-squared).
fn mcnemar(right: impl Iterator<Item = (bool, bool)>) -> McNemar {
    let (mut only_this, mut only_other) = (0, 0);
    for (this, other) in right {
        only_this += usize::from(this && !other);
        only_other += usize::from(other && !this);
    }
    McNemar { only_this, only_other, p_value: sign_test(only_this, only_other) }
}

/// Two-sided probability of a split of fair coins at least as uneven.
fn sign_test(a: usize, b: usize) -> f64 {
    let n = a + b;
    // Logarithms of the binomial coefficients, one from the other.
    let mut log_term = -(n as f64) * 2f64.ln();
    let mut tail = 0.0;
    for k in 0..=a.min(b) {
        tail += log_term.exp();
        log_term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// The values that sentences have in a field.
#[derive(Debug, Clone, Default)]
pub struct FieldValues {
    /// Name of the field.
    pub field: String,
    values: HashMap<String, u32>,
    sentences: Vec<usize>,
    of_labels: Vec<u32>,
    of_entities: Vec<u32>,
}

impl FieldValues {
    /// No sentences yet.
    pub fn new(field: &str) -> Self {
        Self { field: field.to_owned(), ..Self::default() }
    }

    /// True if no sentence has a value.
    pub fn is_blank(&self) -> bool {
        self.values.keys().all(String::is_empty)
    }

    /// Notes the value of the next sentence, and whether it is one of those that are scored for labels, and for entities.
    pub fn push(&mut self, value: &str, labels: bool, entities: bool) {
        let known = self.values.len() as u32;
        let value = match self.values.get(value) {
            Some(&value) => value,
            None => *self.values.entry(value.to_owned()).or_insert(known),
        };
        self.sentences.resize(self.values.len(), 0);
        self.sentences[value as usize] += 1;
        self.of_labels.extend(labels.then_some(value));
        self.of_entities.extend(entities.then_some(value));
    }
}

/// One model's figures by the values of a field.
pub fn breakdown(answered: Answered, labels: &[String], field: &FieldValues) -> Breakdown {
    let values: BTreeMap<&str, u32> = field.values.iter().map(|(value, &id)| (value.as_str(), id)).collect();
    // Once for all values, of which there may be as many as sentences.
    let [of_labels, of_entities] = [&field.of_labels, &field.of_entities].map(|value_of| {
        let mut rows = vec![Vec::new(); values.len()];
        value_of.iter().enumerate().for_each(|(row, &value)| rows[value as usize].push(row));
        rows
    });
    let row = |(value, id): (&str, u32)| {
        let sums = answered.labels.map(|table| part(table, &of_labels[id as usize]));
        let entities = answered.entities.map(|table| table.part(&of_entities[id as usize]));
        let (sums, of_macro_f1) = sums.filter(|(sums, _)| sums.sentences > 0).unwrap_or_default();
        let (entities, of_f1) = entities.unwrap_or_default();
        let f1 = entities.f1();
        BreakdownRow {
            value: value.to_owned(),
            sentences: field.sentences[id as usize],
            labelled: sums.sentences,
            exact: sums.exact,
            macro_f1: Figure { value: sums.macro_f1(), interval: of_macro_f1 },
            exact_match: sums.exact_match(),
            labels: labels.iter().cloned().zip(sums.labels).collect(),
            entities,
            entity_f1: Figure { value: f1, interval: of_f1.filter(|_| f1.is_some()) },
        }
    };
    Breakdown { field: field.field.clone(), rows: values.into_iter().map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::Interval;
    use super::*;

    #[test]
    fn the_sign_test_equals_the_binomial() {
        // scipy.stats.binomtest(2, 12).pvalue = 0.0385742..., binomtest(5, 10).pvalue = 1
        assert!((sign_test(2, 10) - 0.038_574_218_75).abs() < 1e-12);
        assert!((sign_test(5, 5) - 1.0).abs() < 1e-12);
        assert!((sign_test(0, 0) - 1.0).abs() < 1e-12);
        // Where factorials overflow: 4 standard deviations.
        let p = sign_test(4800, 5200);
        assert!(p > 5e-5 && p < 8e-5, "{p}");
    }

    fn table(right: impl Iterator<Item = bool>) -> (LabelTable, Groups) {
        let (mut table, mut groups) = (LabelTable::default(), Groups::default());
        for (i, right) in right.enumerate() {
            let gold = i % 2 == 0;
            let decided = gold == right;
            table.push(&[if decided { 0.9 } else { 0.1 }], &[decided], &[gold], groups.next(None));
        }
        (table, groups)
    }

    fn answered(table: &LabelTable) -> Answered<'_> {
        Answered { labels: Some(table), entities: None }
    }

    fn identity() -> ModelIdentity {
        ModelIdentity { name: "other".into(), weights_sha256: String::new() }
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let (table, groups) = table((0..60).map(|i| i % 5 != 0));
        let comparison = compare(answered(&table), (answered(&table), identity()), &["a".into()], &groups, 0);
        for metric in comparison.metrics {
            assert_eq!((metric.difference.value, metric.bootstrap_p_value), (Some(0.0), Some(1.0)));
            assert!(metric.p_value.is_none_or(|p| p == 1.0), "{metric:?}");
        }
        assert_eq!(comparison.labels, Some(McNemar { only_this: 0, only_other: 0, p_value: 1.0 }));
    }

    #[test]
    fn a_clear_difference_is_found_and_a_small_one_is_not() {
        let (good, groups) = table((0..200).map(|i| i % 20 != 0));
        let compared = |wrong_every: usize| {
            let (other, _) = table((0..200).map(|i| i % wrong_every != 0 && i % 20 != 0));
            let comparison =
                compare(answered(&good), (answered(&other), identity()), &["a".into()], &groups, 0);
            let exact = comparison.metrics.into_iter().find(|m| m.metric == "exact_match").unwrap();
            (exact, comparison.labels.unwrap())
        };
        let (clear, labels) = compared(3);
        assert!(clear.difference.value.unwrap() > 0.2 && clear.difference.interval.unwrap().low > 0.1);
        assert!(clear.p_value.unwrap() < 0.001 && clear.bootstrap_p_value.unwrap() < 0.01);
        assert!(labels.only_other == 0 && labels.p_value < 1e-9);
        // Two sentences of 200: by chance in one of two shuffles.
        let (small, labels) = compared(99);
        assert_eq!((labels.only_this, labels.p_value), (2, 0.5));
        assert!((small.p_value.unwrap() - 0.5).abs() < 0.05, "{:?}", small.p_value);
    }

    #[test]
    fn parts_are_counted_by_the_values_of_a_field() {
        let (table, _) = table((0..40).map(|i| i % 4 != 0));
        let mut field = FieldValues::new("source");
        (0..40).for_each(|i| field.push(if i < 30 { "wire" } else { "" }, true, false));
        let breakdown = breakdown(answered(&table), &["a".into()], &field);
        let rows: Vec<_> = breakdown.rows.iter().map(|row| (row.value.as_str(), row.sentences)).collect();
        assert_eq!(rows, [("", 10), ("wire", 30)]);
        let sum: Counts = breakdown.rows.iter().map(|row| row.labels["a"]).sum();
        assert_eq!(sum, table.count(|_| true).labels[0]);
        assert_eq!(breakdown.rows[1].exact_match, Some(22.0 / 30.0));
        let Interval { low, high } = breakdown.rows[1].macro_f1.interval.unwrap();
        let f1 = breakdown.rows[1].macro_f1.value.unwrap();
        assert!(low < f1 && f1 < high);
        assert_eq!(breakdown.rows[1].entity_f1, Figure::default());
    }

    #[test]
    fn a_value_a_sentence_takes_no_longer_than_a_few_values() {
        // Every value against every sentence would take minutes.
        const SENTENCES: usize = 200_000;
        let (table, _) = table((0..SENTENCES).map(|i| i % 4 != 0));
        let mut field = FieldValues::new("id");
        (0..SENTENCES).for_each(|i| field.push(&format!("{i:06}"), true, false));
        let started = std::time::Instant::now();
        let breakdown = breakdown(answered(&table), &["a".into()], &field);
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
        assert_eq!((breakdown.rows.len(), breakdown.rows[4].exact_match), (SENTENCES, Some(0.0)));
        assert_eq!(breakdown.rows[1].macro_f1.interval, None);
    }
}
