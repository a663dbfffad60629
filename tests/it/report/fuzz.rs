//! Evaluations and mistakes that no model would have.

use super::sample;
use proptest::prelude::*;
use undertone::evaluation::*;

type Numbers = Vec<f64>;

/// The lifelike evaluation with other numbers and texts all over.
pub(crate) fn evaluated() -> impl Strategy<Value = (Evaluation, Vec<ErrorRecord>)> {
    let number = prop_oneof![
        4 => 0.0..=1.0f64,
        1 => prop::sample::select(vec![0.0, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE]),
    ];
    let numbers = prop::collection::vec(number, 1..40);
    let counts = prop::collection::vec(prop_oneof![Just(0), 0usize..20, Just(1 << 40)], 1..40);
    let texts = prop::collection::vec(any::<String>(), 1..6);
    (numbers, counts, texts).prop_map(|(numbers, counts, texts)| {
        let mut fuzz = Fuzz { numbers, counts, texts, at: 0 };
        (fuzz.evaluation(), fuzz.errors())
    })
}

/// Lists that are read round and round.
struct Fuzz {
    numbers: Numbers,
    counts: Vec<usize>,
    texts: Vec<String>,
    at: usize,
}

impl Fuzz {
    fn next(&mut self) -> usize {
        self.at += 1;
        self.at
    }

    fn number(&mut self) -> f64 {
        let at = self.next();
        self.numbers[at % self.numbers.len()]
    }

    fn maybe(&mut self) -> Option<f64> {
        (!self.next().is_multiple_of(3)).then(|| self.number())
    }

    fn count(&mut self) -> usize {
        let at = self.next();
        self.counts[at % self.counts.len()]
    }

    fn text(&mut self) -> String {
        let at = self.next();
        self.texts[at % self.texts.len()].clone()
    }

    fn figure(&mut self) -> Figure {
        let (low, high) = (self.number(), self.number());
        Figure { value: self.maybe(), interval: (low < 0.9).then_some(Interval { low, high }) }
    }

    fn tally(&mut self) -> Counts {
        Counts { tp: self.count(), fp: self.count(), fn_: self.count() }
    }

    fn average(&mut self) -> Average {
        Average { precision: self.maybe(), recall: self.maybe(), f1: self.figure() }
    }

    fn label(&mut self) -> LabelReport {
        let bins = self.count() % 20;
        let points = self.count() % 250;
        LabelReport {
            label: self.text(),
            counts: self.tally(),
            precision: self.maybe(),
            recall: self.maybe(),
            f1: self.figure(),
            support: self.count(),
            average_precision: self.figure(),
            brier: self.maybe(),
            ece: self.maybe(),
            threshold: self.maybe().map(|t| t as f32),
            reliability: (0..bins)
                .map(|_| ReliabilityBin {
                    sentences: self.count(),
                    positives: self.count(),
                    probability: self.number(),
                    squared_error: self.number(),
                })
                .collect(),
            curve: (0..points)
                .map(|_| CurvePoint { threshold: self.number() as f32, tp: self.count(), fp: self.count() })
                .collect(),
        }
    }

    fn evaluation(&mut self) -> Evaluation {
        let mut evaluation = sample::evaluation();
        evaluation.model.name = self.text();
        evaluation.data.path = self.text().into();
        let report = evaluation.classification.as_mut().expect("labels are there");
        let labels = self.count() % 9;
        report.labels = (0..labels).map(|_| self.label()).collect();
        report.sentences = self.count();
        report.exact_match = self.figure();
        report.macro_average = self.average();
        report.mean_average_precision = self.figure();
        report.confusion.iter_mut().flatten().for_each(|cell| *cell = self.count());
        for point in &mut report.coverage {
            *point = CoveragePoint {
                confidence: self.number() as f32,
                answered: self.count(),
                wrong: self.count(),
            };
        }
        let entities = evaluation.entities.as_mut().expect("entities are there");
        entities.lenient.micro = self.average();
        entities.token_accuracy = self.maybe();
        entities.errors = EntityErrors { correct: self.count(), missed: self.count(), ..entities.errors };
        entities.confusion.entry(self.text()).or_default().insert(self.text(), self.count());
        for row in evaluation.by.iter_mut().flat_map(|breakdown| &mut breakdown.rows) {
            row.value = self.text();
            row.labels.insert(self.text(), self.tally());
            (row.macro_f1, row.entity_f1) = (self.figure(), self.figure());
        }
        let comparison = evaluation.comparison.as_mut().expect("another model is there");
        for metric in &mut comparison.metrics {
            (metric.this, metric.difference, metric.p_value) = (self.maybe(), self.figure(), self.maybe());
        }
        evaluation
    }

    fn mention(&mut self) -> Option<Mention> {
        (!self.next().is_multiple_of(4)).then(|| Mention {
            label: self.text(),
            start: self.count(),
            end: self.count(),
            text: self.text(),
            score: self.maybe().map(|score| score as f32),
        })
    }

    fn errors(&mut self) -> Vec<ErrorRecord> {
        let mut errors = sample::errors(5);
        for error in &mut errors {
            error.text = self.text();
            error.confidence = self.number() as f32;
            let labels = error.labels.as_mut().expect("labels are there");
            labels.gold.push(self.text());
            labels.found.push(self.text());
            labels.scores.insert(self.text(), self.number() as f32);
            for answer in error.entities.iter_mut().flatten() {
                (answer.gold, answer.found) = (self.mention(), self.mention());
            }
        }
        errors
    }
}
