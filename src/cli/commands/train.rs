//! `undertone train`: labelled sentences in, a bundle and the record of its making out.

use crate::cli::recipe::{Fold, Recipe, Source};
use crate::cli::{calibration, misuse, model, scoring, teachers};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use undertone::bundle::{Bundle, Weights};
use undertone::datasets::{Dataset, fold, load};
use undertone::engine::Engine;
use undertone::evaluation::Objective;
use undertone::labels::GoldSentence;
use undertone::training::{
    Distilled, Event, Example, ExampleSource, StepReport, Trainer, TrainingError, examples, initial_weights,
};

/// Fine-tune a model on labelled sentences: stance, named entities, or both on one encoder
///
/// An interrupted run goes on from its last checkpoint when the same command is given again.
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone train --config datasets/examples/train.toml --output models/mine --epochs 3"
)]
pub(crate) struct TrainArgs {
    /// Settings file (TOML): data, heads, hyper-parameters
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Folder for the model; must be new, or hold this very run
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Model to start from: a folder with config.json, tokenizer.json and model.safetensors, or `owner/name[@revision]` on the
    /// Hugging Face hub
    #[arg(short, long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Begin with new classifiers, whatever heads the base model has; a dense layer before them that fits is kept
    #[arg(long)]
    new_head: bool,
    /// Number that all chance is drawn from
    #[arg(long)]
    seed: Option<u64>,
    /// Passes over the data
    #[arg(long)]
    epochs: Option<usize>,
    /// Peak learning rate
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Sentences per optimiser step
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Steps between checkpoints within an epoch (0: at the end of epochs only)
    #[arg(long, value_name = "STEPS", default_value_t = 200)]
    checkpoint_every: usize,
    /// Use only the first N sentences of every training file, to try things out
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Leave out a part of the training articles, such as 0/3 for the first of three
    #[arg(long, value_name = "PART/PARTS")]
    leave_out: Option<Fold>,
    /// No progress bar
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: TrainArgs) -> anyhow::Result<ExitCode> {
    let Settings { recipe, output, checkpoint_every, limit, quiet } = resolve(args)?;
    let storage = recipe.storage()?;
    let description = recipe.description()?;
    refuse_foreign(&output)?;
    let (mut train, train_files) = load_all(&recipe.train, limit, &recipe)?;
    let (dev, dev_files) = load_all(&recipe.dev, None, &recipe)?;
    let base_folder = model::folder(&recipe.base)?;
    let base =
        if recipe.new_head { Bundle::open_encoder(&base_folder)? } else { Bundle::open(&base_folder)? };
    let weights = initial_weights(&base, &description, recipe.training.seed).map_err(|error| match error {
        TrainingError::ForeignHead { .. } => misuse(format!(
            "{error}\n\nhint: to begin with new heads give --new-head, or `new_head = true` in the settings file"
        )),
        error => error.into(),
    })?;
    for head in
        base.description.heads.iter().filter(|head| !description.heads.iter().any(|new| new.is_like(head)))
    {
        eprintln!(
            "note: the base model's head `{}` is not in the settings and will not be in the result",
            head.name()
        );
    }
    let bundle = base.with(description, weights);
    if !recipe.training.precision.is_fast() {
        eprintln!("note: this CPU has no bf16 products; training runs in f32");
    }
    let teachers = recipe.distill.iter().flat_map(|distill| &distill.teachers);
    let hashes = Hashes {
        base: Bundle::weights_sha256(Some(&base_folder))?,
        teachers: teachers.map(|folder| Bundle::weights_sha256(Some(folder))).collect::<Result<_, _>>()?,
        train: train_files,
        dev: dev_files,
    };

    if let Some(Fold { fold: left, of }) = recipe.leave_out {
        train.iter_mut().for_each(|dataset| dataset.sentences.retain(|s| fold(s, of) != left));
    }
    std::fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let answers =
        teachers::answers(&recipe, &train, &asked(&recipe, &hashes)?, &output.join("teachers.json"))?;
    let mut learnt: Vec<Example> = Vec::new();
    let mut cut = 0;
    for ((source, dataset), answers) in recipe.train.iter().zip(&train).zip(&answers) {
        let share = recipe.distill.as_ref().map_or(0.0, |distill| distill.share);
        let source = ExampleSource {
            sentences: &dataset.sentences,
            weight: source.weight,
            labels: source.labels,
            entities: source.entities,
            distilled: Some(Distilled { answers, share }),
        };
        let (more, shortened) = examples(source, &bundle, recipe.training.max_tokens)?;
        learnt.extend(more);
        cut += shortened;
    }
    eprintln!(
        "{} training sentences ({cut} cut to {} tokens), {} development sentences",
        learnt.len(),
        recipe.training.max_tokens,
        dev.iter().map(|d| d.sentences.len()).sum::<usize>()
    );
    let mut record = Record::open(&output.join("metrics.jsonl"), quiet)?;
    let trainer = Trainer {
        bundle: &bundle,
        examples: &learnt,
        config: &recipe.training,
        checkpoints: Some(output.join("checkpoint")),
        checkpoint_every,
        fingerprint: fingerprint(&recipe, &hashes)?,
    };
    let gold = development(&recipe.dev, &dev);
    let mut score = |weights: &Weights| {
        development_score(&bundle.with(bundle.description.clone(), weights.clone()), &gold)
            .map_err(|e| TrainingError::Score(format!("{e:#}")))
    };
    let started = Instant::now();
    let outcome = trainer.run(&mut score, &mut |event| record.note(&event))?;
    let recorded = record.finish();

    // Stored before it is calibrated, out of sight: thresholds must suit the weights as they are stored, rounded or not.
    let stored = tempfile::Builder::new().prefix(".uncalibrated").tempdir_in(&output)?;
    bundle.with(bundle.description.clone(), outcome.weights).save(stored.path(), storage)?;
    let mut finished = Bundle::open(stored.path())?;
    calibrate(&mut finished, &gold)?;
    finished.description.training = Some(serde_json::json!({
        "undertone": env!("CARGO_PKG_VERSION"),
        "recipe": recipe,
        "base_sha256": hashes.base,
        "train": hashes.train,
        "dev": hashes.dev,
        "epoch": outcome.epoch,
        "steps": outcome.steps,
        "development_score": outcome.score,
    }));
    finished.save(&output, storage)?;
    eprintln!(
        "{}: epoch {} of {}, {}, {:.0} s",
        output.display(),
        outcome.epoch,
        recipe.training.epochs,
        told(outcome.score),
        started.elapsed().as_secs_f64()
    );
    recorded?;
    Ok(ExitCode::SUCCESS)
}

/// A development score in words.
fn told(score: Option<f64>) -> String {
    score.map_or_else(
        || "no development sentences to score".into(),
        |score| format!("development score {score:.4}"),
    )
}

/// What was typed and the settings file, put together.
struct Settings {
    recipe: Recipe,
    output: PathBuf,
    checkpoint_every: usize,
    limit: Option<usize>,
    quiet: bool,
}

fn resolve(args: TrainArgs) -> anyhow::Result<Settings> {
    let TrainArgs {
        config,
        output,
        base,
        new_head,
        seed,
        epochs,
        learning_rate,
        batch_size,
        checkpoint_every,
        limit,
        leave_out,
        quiet,
    } = args;
    let text = std::fs::read_to_string(&config).map_err(|e| misuse(format!("{}: {e}", config.display())))?;
    let mut recipe: Recipe =
        toml::from_str(&text).map_err(|e| misuse(format!("{}: {e}", config.display())))?;
    recipe.leave_out = leave_out.or(recipe.leave_out);
    recipe.output = output.or(recipe.output);
    recipe.base = base.unwrap_or(recipe.base);
    recipe.new_head |= new_head;
    let training = &mut recipe.training;
    training.seed = seed.unwrap_or(training.seed);
    training.epochs = epochs.unwrap_or(training.epochs);
    training.learning_rate = learning_rate.unwrap_or(training.learning_rate);
    training.batch_size = batch_size.unwrap_or(training.batch_size);
    recipe.validate()?;
    if recipe.train.is_empty() {
        return Err(misuse(format!(
            "{}: no training files; give at least one [[train]] with a path",
            config.display()
        )));
    }
    let output = recipe
        .output
        .clone()
        .ok_or_else(|| misuse("no output folder: give --output, or `output` in the settings file"))?;
    Ok(Settings { recipe, output, checkpoint_every, limit, quiet })
}

/// Refuses an output folder with a model in it that no run of ours has left there.
fn refuse_foreign(output: &Path) -> anyhow::Result<()> {
    let Some(found) =
        ["model.safetensors", "config.json"].into_iter().find(|name| output.join(name).exists())
    else {
        return Ok(());
    };
    let checkpoint = ["checkpoint", "checkpoint.next", "checkpoint.old"]
        .into_iter()
        .any(|name| output.join(name).join("state.json").exists());
    if checkpoint || is_metrics(&output.join("metrics.jsonl")) {
        return Ok(());
    }
    Err(misuse(format!(
        "{} holds `{found}` that was not made by a training run, and would be overwritten\n\nhint: give a new folder with --output",
        output.display()
    )))
}

/// Whether a file is the record of a run.
fn is_metrics(path: &Path) -> bool {
    let mut line = String::new();
    let read = File::open(path).and_then(|file| BufReader::new(file).read_line(&mut line));
    // An empty one is of a run that was cut before its first step.
    let is_event =
        |line: &str| serde_json::from_str(line).is_ok_and(|e: serde_json::Value| e["event"].is_string());
    read.is_ok_and(|n| n == 0 || is_event(&line))
}

/// What a run learns from, by content.
#[derive(Serialize)]
struct Hashes {
    base: String,
    teachers: Vec<String>,
    train: Vec<FileRecord>,
    dev: Vec<FileRecord>,
}

/// Everything that training depends on: all settings but where and how the result is stored, and the files' content.
fn fingerprint(recipe: &Recipe, hashes: &Hashes) -> anyhow::Result<String> {
    let mut recipe = serde_json::to_value(recipe)?;
    for name in ["output", "storage"] {
        recipe.as_object_mut().context("a recipe is a table")?.remove(name);
    }
    Ok(serde_json::to_string(&(recipe, hashes))?)
}

/// Everything that the teachers' answers depend on.
fn asked(recipe: &Recipe, hashes: &Hashes) -> anyhow::Result<String> {
    let labels: Vec<bool> = recipe.train.iter().map(|source| source.labels).collect();
    let of_recipe = (&recipe.labels, recipe.leave_out, recipe.training.precision, labels);
    Ok(serde_json::to_string(&(of_recipe, &hashes.teachers, &hashes.train))?)
}

/// What identifies a file that was learnt from.
#[derive(Serialize)]
struct FileRecord {
    path: PathBuf,
    sha256: String,
    sentences: usize,
}

/// The files' sentences, with labels and entity types that the recipe has, and what identifies the files.
fn load_all(
    sources: &[Source],
    limit: Option<usize>,
    recipe: &Recipe,
) -> anyhow::Result<(Vec<Dataset>, Vec<FileRecord>)> {
    let mut datasets = Vec::new();
    for source in sources {
        let mut dataset = load(&source.path)?;
        check_labels(source, &dataset, recipe)?;
        dataset.sentences.truncate(limit.unwrap_or(usize::MAX));
        datasets.push(dataset);
    }
    let record = |d: &Dataset| FileRecord {
        path: d.path.clone(),
        sha256: d.sha256.clone(),
        sentences: d.sentences.len(),
    };
    let hashes = datasets.iter().map(record).collect();
    Ok((datasets, hashes))
}

/// Refuses labels and entity types that the head they are for does not know. Where a head is not trained, nothing is checked.
fn check_labels(source: &Source, dataset: &Dataset, recipe: &Recipe) -> anyhow::Result<()> {
    let sentences = &dataset.sentences;
    let labels = sentences.iter().filter(|_| source.labels).flat_map(|s| s.labels.iter().flatten());
    let entities = sentences.iter().filter(|_| source.entities).flat_map(|s| s.entities.iter().flatten());
    let foreign = |name: &&String, known: &[String]| !known.is_empty() && !known.contains(*name);
    let label = labels.into_iter().find(|name| foreign(name, &recipe.labels));
    let kind = entities.map(|entity| &entity.label).find(|name| foreign(name, &recipe.entity_types));
    let (what, name, setting, known) = match (label, kind) {
        (Some(label), _) => ("label", label, "labels", &recipe.labels),
        (_, Some(kind)) => ("entity type", kind, "entity_types", &recipe.entity_types),
        (None, None) => return Ok(()),
    };
    let (path, known) = (source.path.display(), known.join(", "));
    Err(misuse(format!(
        "{path}: the {what} \"{name}\" is not among the `{setting}` of the settings file: {known}"
    )))
}

/// The development sentences with only the gold that their source lends.
fn development(sources: &[Source], datasets: &[Dataset]) -> Vec<Vec<GoldSentence>> {
    let keep = |source: &Source, sentence: &GoldSentence| GoldSentence {
        labels: sentence.labels.clone().filter(|_| source.labels),
        entities: sentence.entities.clone().filter(|_| source.entities),
        ..sentence.clone()
    };
    sources
        .iter()
        .zip(datasets)
        .map(|(source, dataset)| dataset.sentences.iter().map(|sentence| keep(source, sentence)).collect())
        .collect()
}

/// Mean over the files and their kinds of gold: average precision, meaned over the labels, and entity F1; `None` where there
/// is no gold for the heads. (F1 over a few hundred sentences moves by several points with the thresholds; average
/// precision needs none.)
fn development_score(bundle: &Bundle, gold: &[Vec<GoldSentence>]) -> anyhow::Result<Option<f64>> {
    let engine = Engine::new(bundle.clone())?;
    let mut scores = Vec::new();
    for sentences in gold {
        let (answers, _) = scoring::answer_all(&engine, sentences)?;
        let stance = answers.sentence.and_then(|a| a.table.mean_average_precision());
        let entities = answers.entities.and_then(|a| a.f1());
        for (name, score) in [("average precision", stance), ("entity F1", entities)] {
            if let Some(score) = score {
                eprintln!("  development {name} {score:.4} on {} sentences", sentences.len());
                scores.push(score);
            }
        }
    }
    Ok((!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64))
}

/// Fits temperature and thresholds on the development sentences that have labels.
fn calibrate(bundle: &mut Bundle, gold: &[Vec<GoldSentence>]) -> anyhow::Result<()> {
    let labelled: Vec<GoldSentence> = gold.iter().flatten().filter(|g| g.labels.is_some()).cloned().collect();
    let (answers, _) = scoring::answer_all(&Engine::new(bundle.clone())?, &labelled)?;
    if let (Some(answers), Some(task)) = (answers.sentence, bundle.description.sentence_mut()) {
        calibration::fit(task, &answers, Objective::F1);
    }
    Ok(())
}

/// The metrics file and the progress bar.
struct Record {
    file: File,
    /// Nothing was told yet.
    fresh: bool,
    bar: ProgressBar,
    failed: Option<std::io::Error>,
    since: Instant,
    examples: usize,
    loss: f64,
}

impl Record {
    fn open(path: &Path, quiet: bool) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let bar = ProgressBar::new(0);
        bar.set_draw_target(if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() });
        let style = ProgressStyle::with_template("{bar:24} step {pos}/{len} {msg} ETA {eta}")?;
        bar.set_style(style);
        Ok(Self { file, fresh: true, bar, failed: None, since: Instant::now(), examples: 0, loss: 0.0 })
    }

    fn note(&mut self, event: &Event) {
        // What an earlier run has told is kept only where this one goes on from it.
        if std::mem::take(&mut self.fresh)
            && !matches!(event, Event::Resumed(_))
            && let Err(error) = self.file.set_len(0)
        {
            self.failed.get_or_insert(error);
        }
        let line = match event {
            Event::Resumed(step) => {
                self.bar.set_position(*step as u64);
                self.bar.reset_eta();
                serde_json::json!({"event": "resumed", "step": step})
            }
            Event::Step(report) => {
                self.show(report);
                serde_json::json!({
                    "event": "step", "step": report.step, "epoch": report.epoch, "loss": report.loss,
                    "sentence_loss": report.sentence_loss, "token_loss": report.token_loss, "norm": report.norm,
                    "rate": report.rate, "examples": report.examples, "seconds": report.seconds,
                })
            }
            Event::Epoch(report) => {
                let (epoch, score) = (report.epoch, report.score);
                let best = if report.best && score.is_some() { ", the best so far" } else { "" };
                self.bar.suspend(|| eprintln!("epoch {epoch}: {}{best}", told(score)));
                serde_json::json!({"event": "epoch", "epoch": epoch, "score": score, "best": report.best})
            }
        };
        if let Err(error) = writeln!(self.file, "{line}") {
            self.failed.get_or_insert(error);
        }
    }

    fn show(&mut self, report: &StepReport) {
        self.examples += report.examples;
        self.loss = if self.loss == 0.0 { report.loss } else { 0.95 * self.loss + 0.05 * report.loss };
        let rate = self.examples as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_length(report.steps as u64);
        self.bar.set_position(report.step as u64);
        self.bar.set_message(format!("loss {:.4} {rate:.1} sentences/s", self.loss));
    }

    fn finish(self) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        self.failed.map_or(Ok(()), |error| Err(error).context("the metrics file could not be written"))
    }
}
