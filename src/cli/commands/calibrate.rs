//! `undertone calibrate`: temperature and decision thresholds for a model that is trained already.

use crate::cli::batch::Arithmetic;
use crate::cli::labelled::{LabelledArgs, readable};
use crate::cli::logging::say;
use crate::cli::model::{engine, optional_folder};
use crate::cli::output::refuse_full;
use crate::cli::scoring::{self, Answers, CHUNK, SentenceAnswers};
use crate::cli::{calibration, misuse};
use anyhow::Context;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use undertone::bundle::{Bundle, SentenceTask, Storage};
use undertone::engine::{DeviceChoice, Engine};
use undertone::evaluation::{Counts, Cut, Groups, LabelTable, Objective};
use undertone::formats::{LabelledOptions, read_labelled};
use undertone::head::Activation;
use undertone::labels::GoldSentence;
use undertone::report::{TableStyle, TextTable};

/// Fit a model's temperature and decision thresholds on labelled data
///
/// The temperature makes probabilities as honest as they can be, so that of the sentences with 0.8 four in five are right; the
/// thresholds then serve the objective, label by label. Give data that the model was neither trained nor is tested on.
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone calibrate --model models/mine --data dev.jsonl --objective \"precision>=0.95\""
)]
pub(crate) struct CalibrateArgs {
    /// Labelled files
    #[arg(long, required = true, num_args = 1.., value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Model: a folder, or `owner/name[@revision]` on the Hugging Face hub [default: the one inside the program]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// What thresholds are to reach: `f1`, or a share such as `precision>=0.95` or `recall>=0.9`
    #[arg(long, value_name = "OBJECTIVE", default_value_t = Objective::F1)]
    objective: Objective,
    /// Folder for a copy of the model with the new values; must be new or empty [default: the folder of the model itself]
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Only tell what would be written
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    labelled: LabelledArgs,
    /// Where the model runs: `auto` (the first GPU that this build can use, else the CPU), `cpu`, `cuda`, `cuda:N` or `metal`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: CalibrateArgs) -> anyhow::Result<ExitCode> {
    let CalibrateArgs { data, model, objective, output, dry_run, labelled, device, json } = args;
    readable(&data)?;
    let folder = optional_folder(model.as_deref())?;
    let target = match (&output, &folder) {
        _ if dry_run => None,
        (Some(output), _) => {
            refuse_full(output)?;
            Some(output.as_path())
        }
        (None, Some(folder)) if model.as_deref() == Some(folder) => Some(folder.as_path()),
        (None, _) => {
            return Err(misuse(
                "the model is not in a folder of yours, so it is not changed; give --output for a copy, or --dry-run",
            ));
        }
    };
    let engine = engine(folder.as_deref(), device, Arithmetic::Auto)?;
    let before = engine
        .bundle()
        .description
        .sentence()
        .ok_or_else(|| misuse("the model has no sentence labels; names have no thresholds"))?
        .clone();
    let (answers, groups) = answered(&engine, &data, &labelled.options())?;
    let mut after = before.clone();
    let cuts = calibration::fit(&mut after, &answers, objective);
    let report = Report::new(&before, &after, &cuts, &answers, &groups, objective);
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.print(&mut out)?;
    }
    if let Some(target) = target {
        let mut bundle = engine.bundle().clone();
        *bundle.description.sentence_mut().context("the head is there")? = after;
        write(&bundle, folder.as_deref(), target)?;
        say!("written to {}", target.join("undertone.json").display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers to all sentences of the files that have gold labels.
fn answered(
    engine: &Engine,
    data: &[PathBuf],
    options: &LabelledOptions,
) -> anyhow::Result<(SentenceAnswers, Groups)> {
    let (mut answers, mut groups) = (Answers::default(), Groups::default());
    for path in data {
        let mut take = |chunk: &[GoldSentence]| -> anyhow::Result<()> {
            let found = scoring::answer(engine, chunk).with_context(|| path.display().to_string())?;
            for (gold, answer) in chunk.iter().zip(found) {
                answers.push(&answer, groups.next(gold.article.as_deref()));
            }
            Ok(())
        };
        let mut chunk = Vec::with_capacity(CHUNK);
        for labelled in read_labelled(path, options.clone())? {
            let gold = labelled?.gold(path)?;
            chunk.extend((gold.labels.is_some()).then(|| GoldSentence { entities: None, ..gold }));
            if chunk.len() == CHUNK {
                take(&std::mem::take(&mut chunk))?;
            }
        }
        take(&chunk)?;
    }
    let sentence = answers.sentence.ok_or_else(|| misuse("the data have no sentence labels to fit to"))?;
    Ok((sentence, groups))
}

/// Writes the new values beside the model's weights: in place, or in a copy.
fn write(bundle: &Bundle, folder: Option<&Path>, target: &Path) -> anyhow::Result<()> {
    match folder {
        Some(folder) if folder == target => {}
        Some(folder) => copy_files(folder, target)?,
        // The embedded model is stored as int8.
        None => bundle.save(target, Storage::Int8)?,
    }
    Ok(bundle.save_description(target)?)
}

/// Copies a model's files; what is in folders below it (checkpoints) is no part of it.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    let place = |path: &Path| path.display().to_string();
    std::fs::create_dir_all(to).with_context(|| place(to))?;
    for entry in std::fs::read_dir(from).with_context(|| place(from))? {
        let path = entry.with_context(|| place(from))?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            std::fs::copy(&path, to.join(name)).with_context(|| place(&path))?;
        }
    }
    Ok(())
}

/// A value before and after.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Change<T> {
    before: T,
    after: T,
}

/// What changes, on the data that it was fitted on.
#[derive(Debug, Serialize)]
struct Report {
    sentences: usize,
    objective: String,
    temperature: Change<f32>,
    /// Mean negative log-likelihood of the gold labels, in nats.
    nll: Change<f64>,
    /// Mean of the labels' expected calibration errors.
    ece: Change<Option<f64>>,
    macro_f1: Change<Option<f64>>,
    /// With thresholds fitted on the other folds: what to expect of other data.
    cross_fitted_macro_f1: Option<f64>,
    labels: Vec<LabelChange>,
}

#[derive(Debug, Serialize)]
struct LabelChange {
    label: String,
    /// `None` under softmax.
    threshold: Option<Change<f32>>,
    counts: Change<Counts>,
    cross_fitted: Option<Counts>,
    /// Whether the objective is reached on these data.
    reached: bool,
}

impl Report {
    fn new(
        before: &SentenceTask,
        after: &SentenceTask,
        cuts: &[Cut],
        answers: &SentenceAnswers,
        groups: &Groups,
        objective: Objective,
    ) -> Self {
        let tables = Change {
            before: calibration::decided(before, answers),
            after: calibration::decided(after, answers),
        };
        let sums = Change { before: tables.before.count(|_| true), after: tables.after.count(|_| true) };
        let cross_fitted = (after.activation == Activation::Sigmoid).then(|| {
            let refitted = SentenceAnswers { table: tables.after.clone(), ..SentenceAnswers::default() };
            let decided = refitted.cross_fitted(groups, objective);
            LabelTable { decided, ..tables.after.clone() }.count(|_| true)
        });
        let gold = &answers.table.gold;
        let nll = |task: &SentenceTask| {
            calibration::nll(task.activation, &answers.logits, gold, f64::from(task.temperature))
        };
        let labels = before.labels.iter().enumerate().map(|(i, label)| LabelChange {
            label: label.clone(),
            threshold: cuts.get(i).map(|cut| Change { before: before.thresholds[i], after: cut.threshold }),
            counts: Change { before: sums.before.labels[i], after: sums.after.labels[i] },
            cross_fitted: cross_fitted.as_ref().map(|sums| sums.labels[i]),
            reached: cuts.get(i).is_none_or(|cut| cut.reached),
        });
        Self {
            sentences: answers.table.len(),
            objective: objective.to_string(),
            temperature: Change { before: before.temperature, after: after.temperature },
            nll: Change { before: nll(before), after: nll(after) },
            ece: Change {
                before: tables.before.mean_calibration_error(),
                after: tables.after.mean_calibration_error(),
            },
            macro_f1: Change { before: sums.before.macro_f1(), after: sums.after.macro_f1() },
            cross_fitted_macro_f1: cross_fitted.as_ref().and_then(|sums| sums.macro_f1()),
            labels: labels.collect(),
        }
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let figure = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.4}"));
        let columns = ["label", "", "threshold", "precision", "recall", "F1", "objective"];
        let mut table = TextTable::new(&columns);
        for label in &self.labels {
            let threshold = |value: fn(&Change<f32>) -> f32| {
                label.threshold.as_ref().map_or_else(|| "-".into(), |change| format!("{:.3}", value(change)))
            };
            let mut row = |name: &str, when: &str, threshold: String, counts: Counts, reached: &str| {
                let figures = [counts.precision(), counts.recall(), counts.f1()].map(figure);
                let cells = [name.to_owned(), when.to_owned(), threshold].into_iter().chain(figures);
                table.row(cells.chain([reached.to_owned()]));
            };
            let reached = if label.reached { "reached" } else { "not reached" };
            row(&label.label, "before", threshold(|c| c.before), label.counts.before, "");
            row("", "after", threshold(|c| c.after), label.counts.after, reached);
            if let Some(counts) = label.cross_fitted {
                row("", "cross-fitted", "-".into(), counts, "");
            }
        }
        writeln!(out, "{} sentences, objective {}\n", self.sentences, self.objective)?;
        table.write(out, TableStyle::Text)?;
        let Change { before, after } = self.temperature;
        writeln!(out, "\ntemperature {before:.3} -> {after:.3}")?;
        writeln!(out, "negative log-likelihood {:.4} -> {:.4} nats", self.nll.before, self.nll.after)?;
        writeln!(out, "calibration error {} -> {}", figure(self.ece.before), figure(self.ece.after))?;
        write!(out, "macro-F1 {} -> {}", figure(self.macro_f1.before), figure(self.macro_f1.after))?;
        match self.cross_fitted_macro_f1 {
            Some(f1) => writeln!(out, " (with thresholds fitted on the other folds {f1:.4})"),
            None => writeln!(out),
        }
    }
}
