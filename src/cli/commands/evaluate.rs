//! `undertone evaluate`: score a model against labelled data.

use crate::cli::{misuse, scoring};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use undertone::datasets::load;
use undertone::engine::Engine;
use undertone::evaluation::{
    Classification, Counts, Interval, average_precision, bootstrap, brier, expected_calibration_error,
};

/// Score a model against labelled data
#[derive(clap::Args)]
#[command(after_help = "Example:  undertone evaluate datasets/dispatches/test.jsonl")]
pub(crate) struct EvaluateArgs {
    /// Labelled files: articles or sentences (JSONL), or CoNLL columns
    #[arg(required = true, value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Model folder [default: the one inside the program]
    #[arg(short, long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    /// Decision thresholds: those stored with the model, or fitted on the other folds of the data themselves
    #[arg(long, value_enum, default_value_t = Thresholds::Stored)]
    thresholds: Thresholds,
    /// One JSON object a file, with counts
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Thresholds {
    Stored,
    CrossFitted,
}

/// Resamples behind every interval.
const RESAMPLES: usize = 1000;

pub(crate) fn run(args: EvaluateArgs) -> anyhow::Result<ExitCode> {
    let EvaluateArgs { data, model, thresholds, json } = args;
    let engine = Engine::open(model.as_deref())?;
    let mut out = std::io::stdout().lock();
    for path in data {
        let dataset = load(&path)?;
        let answers = scoring::answer(&engine, &dataset.sentences)?;
        if answers.sentence.is_none() && answers.entities.is_none() {
            return Err(misuse(format!(
                "{}: the data have no labels for any head of the model",
                path.display()
            )));
        }
        let mut articles: Vec<&str> = dataset.sentences.iter().filter_map(|s| s.article.as_deref()).collect();
        articles.sort_unstable();
        articles.dedup();
        let sentence = answers
            .sentence
            .map(|a| SentenceReport::new(&a, engine.labels(), engine.thresholds(), thresholds));
        let entities = answers.entities.map(|a| EntityReport::new(&a));
        if json {
            let report = serde_json::json!({
                "data": path, "sha256": dataset.sha256, "sentences": dataset.sentences.len(),
                "articles": articles.len(), "classification": sentence, "entities": entities,
            });
            writeln!(out, "{report}")?;
            continue;
        }
        writeln!(
            out,
            "{} (SHA-256 {}): {} sentences, {} articles",
            path.display(),
            &dataset.sha256[..12],
            dataset.sentences.len(),
            articles.len()
        )?;
        if let Some(report) = sentence {
            report.print(&mut out)?;
        }
        if let Some(report) = entities {
            report.print(&mut out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(serde::Serialize)]
struct LabelReport {
    label: String,
    counts: Counts,
    f1: Option<f64>,
    average_precision: Option<f64>,
    brier: Option<f64>,
    ece: Option<f64>,
    threshold: Option<f32>,
}

#[derive(serde::Serialize)]
struct SentenceReport {
    labels: Vec<LabelReport>,
    macro_f1: Option<f64>,
    macro_f1_interval: Option<Interval>,
    micro_f1: Option<f64>,
    exact_match: Option<f64>,
    thresholds: &'static str,
}

impl SentenceReport {
    fn new(
        answers: &scoring::SentenceAnswers,
        labels: &[String],
        stored: &[f32],
        thresholds: Thresholds,
    ) -> Self {
        let decided = match thresholds {
            Thresholds::Stored => answers.decide(stored),
            Thresholds::CrossFitted => answers.cross_fitted(),
        };
        let counts = Classification::count(&decided, &answers.gold);
        let column = |label: usize| -> (Vec<f32>, Vec<bool>) {
            answers.scores.iter().zip(&answers.gold).map(|(s, g)| (s[label], g[label])).unzip()
        };
        let groups = members(&answers.groups);
        let statistic = |drawn: &[usize]| {
            let rows = drawn.iter().flat_map(|&g| &groups[g]);
            let (decided, gold): (Vec<_>, Vec<_>) =
                rows.map(|&i| (decided[i].clone(), answers.gold[i].clone())).unzip();
            Classification::count(&decided, &gold).macro_f1()
        };
        let reports = labels.iter().enumerate().map(|(i, label)| {
            let (scores, gold) = column(i);
            LabelReport {
                label: label.clone(),
                counts: counts.labels.get(i).copied().unwrap_or_default(),
                f1: counts.labels.get(i).and_then(|c| c.f1()),
                average_precision: average_precision(&scores, &gold),
                brier: brier(&scores, &gold),
                ece: expected_calibration_error(&scores, &gold),
                threshold: (thresholds == Thresholds::Stored).then(|| stored[i]),
            }
        });
        Self {
            labels: reports.collect(),
            macro_f1: counts.macro_f1(),
            macro_f1_interval: bootstrap(groups.len(), RESAMPLES, 1, statistic),
            micro_f1: counts.micro_f1(),
            exact_match: counts.exact_match(),
            thresholds: match thresholds {
                Thresholds::Stored => "stored",
                Thresholds::CrossFitted => "cross-fitted",
            },
        }
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "\n{:<16} {:>9} {:>9} {:>9} {:>8} {:>9} {:>7}",
            "label", "precision", "recall", "F1", "support", "avg prec", "ECE"
        )?;
        for label in &self.labels {
            writeln!(
                out,
                "{:<16} {} {} {} {:>8} {} {}",
                label.label,
                figure(label.counts.precision(), 9),
                figure(label.counts.recall(), 9),
                figure(label.f1, 9),
                label.counts.support(),
                figure(label.average_precision, 9),
                figure(label.ece, 7)
            )?;
        }
        writeln!(
            out,
            "macro-F1 {}{} at {} thresholds; micro-F1 {}, exact match {}\n",
            figure(self.macro_f1, 0),
            interval(self.macro_f1_interval),
            self.thresholds,
            figure(self.micro_f1, 0),
            figure(self.exact_match, 0)
        )
    }
}

#[derive(serde::Serialize)]
struct EntityReport {
    types: Vec<(String, Counts, Option<f64>)>,
    total: Counts,
    f1: Option<f64>,
    f1_interval: Option<Interval>,
    strict_f1: Option<f64>,
    token_accuracy: Option<f64>,
}

impl EntityReport {
    fn new(answers: &scoring::EntityAnswers) -> Self {
        let groups = members(&answers.groups);
        let statistic = |drawn: &[usize]| {
            let rows = drawn.iter().flat_map(|&g| &groups[g]);
            rows.map(|&i| answers.lenient[i].total()).sum::<Counts>().f1()
        };
        let lenient = scoring::sum(answers.lenient.iter());
        Self {
            types: lenient
                .types
                .iter()
                .map(|(label, counts)| (label.clone(), *counts, counts.f1()))
                .collect(),
            total: lenient.total(),
            f1: lenient.total().f1(),
            f1_interval: bootstrap(groups.len(), RESAMPLES, 1, statistic),
            strict_f1: scoring::sum(answers.strict.iter()).total().f1(),
            token_accuracy: answers.words.map(|(right, all)| right as f64 / all.max(1) as f64),
        }
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "\n{:<16} {:>9} {:>9} {:>9} {:>8}",
            "entity type", "precision", "recall", "F1", "support"
        )?;
        for (label, counts, f1) in &self.types {
            let (precision, recall) = (figure(counts.precision(), 9), figure(counts.recall(), 9));
            writeln!(out, "{label:<16} {precision} {recall} {} {:>8}", figure(*f1, 9), counts.support())?;
        }
        let (precision, recall) = (figure(self.total.precision(), 9), figure(self.total.recall(), 9));
        writeln!(
            out,
            "{:<16} {precision} {recall} {} {:>8}",
            "all (micro)",
            figure(self.f1, 9),
            self.total.support()
        )?;
        write!(
            out,
            "entity F1 {}{} (seqeval, lenient); strict IOB2 {}",
            figure(self.f1, 0),
            interval(self.f1_interval),
            figure(self.strict_f1, 0)
        )?;
        match self.token_accuracy {
            Some(accuracy) => writeln!(out, ", token accuracy {accuracy:.4}\n"),
            None => writeln!(out, "\n"),
        }
    }
}

/// Row numbers by group, groups in alphabetical order.
fn members(groups: &[String]) -> Vec<Vec<usize>> {
    let mut members: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
    for (row, group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(row);
    }
    members.into_values().collect()
}

fn figure(value: Option<f64>, width: usize) -> String {
    match value {
        Some(value) => format!("{value:>width$.4}"),
        None => format!("{:>width$}", "-"),
    }
}

fn interval(interval: Option<Interval>) -> String {
    interval
        .map_or_else(String::new, |i| format!(" [{:.4}-{:.4}, 95% bootstrap over articles]", i.low, i.high))
}
