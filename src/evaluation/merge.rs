//! Runs over parts of a corpus, put together: counts are added, and divided last.

use super::{
    Average, Breakdown, BreakdownRow, ClassificationReport, DataIdentity, EntityErrors, EntityFigures,
    EntityReport, EntityTypeReport, Evaluation, Figure, LabelReport, ReliabilityBin, WordCounts, average,
};
use std::collections::BTreeMap;

impl Evaluation {
    /// This run and another of the same model, as one run over the data of both. What cannot be worked out from counts is left out:
    /// intervals, average precisions, curves, comparisons.
    ///
    /// # Errors
    /// With what differs, if the runs are not of one model and one way of deciding.
    pub fn merge(self, other: Self) -> Result<Self, String> {
        if self.schema != other.schema {
            return Err(format!("they are of schema {} and of schema {}", self.schema, other.schema));
        }
        if self.model.weights_sha256 != other.model.weights_sha256 {
            let (ours, theirs) = (self.model.weights_sha256, other.model.weights_sha256);
            return Err(format!("the weights of their models differ: SHA-256 {ours} and {theirs}"));
        }
        let classification = both(self.classification, other.classification, merge_labels)?;
        let entities = both(self.entities, other.entities, |a, b| Ok(merge_entities(a, &b)))?;
        let by = self.by.into_iter().filter_map(|by| {
            let theirs = other.by.iter().find(|theirs| theirs.field == by.field)?;
            Some(merge_rows(by, theirs))
        });
        let resampled = if self.data.resampled == other.data.resampled {
            self.data.resampled
        } else {
            "articles and single sentences".into()
        };
        Ok(Self {
            data: DataIdentity {
                path: format!("{} + {}", self.data.path.display(), other.data.path.display()).into(),
                sha256: format!("{}+{}", self.data.sha256, other.data.sha256),
                sentences: self.data.sentences + other.data.sentences,
                articles: self.data.articles + other.data.articles,
                resampled,
            },
            classification,
            entities,
            by: by.collect(),
            comparison: None,
            ..self
        })
    }
}

fn both<T>(
    a: Option<T>,
    b: Option<T>,
    merge: impl FnOnce(T, T) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match (a, b) {
        (Some(a), Some(b)) => merge(a, b).map(Some),
        (a, b) => Ok(a.or(b)),
    }
}

fn figure(value: Option<f64>) -> Figure {
    Figure { value, interval: None }
}

fn merge_labels(a: ClassificationReport, b: ClassificationReport) -> Result<ClassificationReport, String> {
    let names = |report: &ClassificationReport| {
        report.labels.iter().map(|label| label.label.clone()).collect::<Vec<_>>()
    };
    if names(&a) != names(&b) {
        return Err("they are of different labels".into());
    }
    let thresholds =
        |report: &ClassificationReport| report.labels.iter().map(|label| label.threshold).collect::<Vec<_>>();
    if a.thresholds != b.thresholds || thresholds(&a) != thresholds(&b) {
        return Err("labels are decided at different thresholds".into());
    }
    let label = |(a, b): (LabelReport, LabelReport)| {
        let counts = a.counts + b.counts;
        let reliability: Vec<ReliabilityBin> =
            a.reliability.iter().zip(&b.reliability).map(|(a, b)| a.plus(b)).collect();
        LabelReport {
            label: a.label,
            counts,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: figure(counts.f1()),
            support: counts.support(),
            average_precision: Figure::default(),
            brier: ReliabilityBin::brier(&reliability),
            ece: ReliabilityBin::expected_calibration_error(&reliability),
            threshold: a.threshold,
            reliability,
            curve: Vec::new(),
        }
    };
    let labels: Vec<LabelReport> = a.labels.into_iter().zip(b.labels).map(label).collect();
    let counts: Vec<_> = labels.iter().map(|label| label.counts).collect();
    let averages = average::all(&counts);
    let (exact, sentences) = (a.exact + b.exact, a.sentences + b.sentences);
    let mut confusion = a.confusion;
    for (row, other) in confusion.iter_mut().zip(&b.confusion) {
        row.iter_mut().zip(other).for_each(|(cell, other)| *cell += other);
    }
    Ok(ClassificationReport {
        thresholds: a.thresholds,
        sentences,
        exact,
        exact_match: figure((sentences > 0).then(|| exact as f64 / sentences as f64)),
        labels,
        macro_average: averages.macro_average,
        micro_average: averages.micro,
        weighted_average: averages.weighted,
        mean_average_precision: Figure::default(),
        confusion,
        coverage: Vec::new(),
    })
}

impl ReliabilityBin {
    fn plus(&self, other: &Self) -> Self {
        Self {
            sentences: self.sentences + other.sentences,
            positives: self.positives + other.positives,
            probability: self.probability + other.probability,
            squared_error: self.squared_error + other.squared_error,
        }
    }
}

fn merge_entities(a: EntityReport, b: &EntityReport) -> EntityReport {
    let words = match (a.words, b.words) {
        (Some(a), Some(b)) => Some(WordCounts { right: a.right + b.right, words: a.words + b.words }),
        (a, b) => a.or(b),
    };
    let mut confusion = a.confusion;
    for (gold, row) in &b.confusion {
        let mine = confusion.entry(gold.clone()).or_default();
        row.iter().for_each(|(found, n)| *mine.entry(found.clone()).or_default() += n);
    }
    let (mine, theirs) = (a.errors, b.errors);
    EntityReport {
        sentences: a.sentences + b.sentences,
        lenient: merge_figures(a.lenient, &b.lenient),
        strict: merge_figures(a.strict, &b.strict),
        words,
        token_accuracy: words.map(|words| words.right as f64 / words.words.max(1) as f64),
        errors: EntityErrors {
            correct: mine.correct + theirs.correct,
            boundary: mine.boundary + theirs.boundary,
            kind: mine.kind + theirs.kind,
            both: mine.both + theirs.both,
            missed: mine.missed + theirs.missed,
            spurious: mine.spurious + theirs.spurious,
        },
        confusion,
    }
}

fn merge_figures(a: EntityFigures, b: &EntityFigures) -> EntityFigures {
    let mut types: BTreeMap<String, _> = a.types.into_iter().map(|kind| (kind.label, kind.counts)).collect();
    for kind in &b.types {
        *types.entry(kind.label.clone()).or_default() += kind.counts;
    }
    let counts: Vec<_> = types.values().copied().collect();
    let averages = average::all(&counts);
    let kind = |(label, counts): (String, super::Counts)| EntityTypeReport {
        label,
        counts,
        precision: counts.precision(),
        recall: counts.recall(),
        f1: figure(counts.f1()),
        support: counts.support(),
    };
    let [micro, macro_average, weighted]: [Average; 3] =
        [averages.micro, averages.macro_average, averages.weighted];
    EntityFigures { types: types.into_iter().map(kind).collect(), micro, macro_average, weighted }
}

fn merge_rows(a: Breakdown, b: &Breakdown) -> Breakdown {
    let mut rows: BTreeMap<String, BreakdownRow> =
        a.rows.into_iter().map(|row| (row.value.clone(), row)).collect();
    for other in &b.rows {
        let Some(row) = rows.get_mut(&other.value) else {
            rows.insert(other.value.clone(), other.clone());
            continue;
        };
        row.sentences += other.sentences;
        row.labelled += other.labelled;
        row.exact += other.exact;
        row.entities += other.entities;
        other
            .labels
            .iter()
            .for_each(|(label, &counts)| *row.labels.entry(label.clone()).or_default() += counts);
    }
    let anew = |row: BreakdownRow| {
        let counts: Vec<_> = row.labels.values().copied().collect();
        let macro_f1 =
            if row.labelled > 0 { average::all(&counts).macro_average.f1 } else { Figure::default() };
        BreakdownRow {
            macro_f1,
            exact_match: (row.labelled > 0).then(|| row.exact as f64 / row.labelled as f64),
            entity_f1: figure(row.entities.f1()),
            ..row
        }
    };
    Breakdown { field: a.field, rows: rows.into_values().map(anew).collect() }
}
