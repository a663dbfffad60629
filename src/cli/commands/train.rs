//! `undertone train`: labelled sentences in, a bundle and the record of its making out.

use crate::cli::recipe::{Fold, Recipe, Source};
use crate::cli::{misuse, scoring};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use undertone::bundle::{Bundle, Weights};
use undertone::datasets::{Dataset, fold, load};
use undertone::engine::{Engine, Input, Tasks};
use undertone::evaluation::{fit_temperature, fit_thresholds};
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
    /// Model to start from: a folder with config.json, tokenizer.json and model.safetensors
    #[arg(short, long, value_name = "FOLDER")]
    base: Option<PathBuf>,
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
    let recipe = resolve(&args)?;
    let storage = recipe.storage()?;
    let output = recipe
        .output
        .clone()
        .ok_or_else(|| misuse("no output folder: give --output, or `output` in the settings file"))?;
    let base = Bundle::open(&recipe.base)?;
    let description = recipe.description()?;
    let weights = initial_weights(&base, &description, recipe.training.seed)?;
    let bundle = base.with(description, weights);

    let (mut train, hashes) = load_all(&recipe.train, args.limit)?;
    if let Some(Fold { fold: left, of }) = recipe.leave_out {
        train.iter_mut().for_each(|dataset| dataset.sentences.retain(|s| fold(s, of) != left));
    }
    let answers = taught(&recipe, &train)?;
    let (dev, dev_hashes) = load_all(&recipe.dev, None)?;
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
    std::fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let mut record = Record::open(&output.join("metrics.jsonl"), args.quiet)?;
    let trainer = Trainer {
        bundle: &bundle,
        examples: &learnt,
        config: &recipe.training,
        checkpoints: Some(output.join("checkpoint")),
        checkpoint_every: args.checkpoint_every,
        fingerprint: serde_json::to_string(&(&hashes, &dev_hashes, &recipe.leave_out, &recipe.distill))?,
    };
    let gold = development(&recipe.dev, &dev);
    let mut score = |weights: &Weights| {
        development_score(&bundle.with(bundle.description.clone(), weights.clone()), &gold)
            .map_err(|e| TrainingError::Score(format!("{e:#}")))
    };
    let started = Instant::now();
    let outcome = trainer.run(&mut score, &mut |event| record.note(&event))?;
    record.finish()?;

    // Saved before it is calibrated: thresholds must suit the weights as they are stored, rounded or not.
    bundle.with(bundle.description.clone(), outcome.weights).save(&output, storage)?;
    let mut finished = Bundle::open(&output)?;
    calibrate(&mut finished, &gold)?;
    finished.description.training = Some(serde_json::json!({
        "undertone": env!("CARGO_PKG_VERSION"),
        "recipe": recipe,
        "train": hashes,
        "dev": dev_hashes,
        "epoch": outcome.epoch,
        "steps": outcome.steps,
        "development_score": outcome.score,
    }));
    finished.save(&output, storage)?;
    eprintln!(
        "{}: epoch {} of {}, development score {:.4}, {:.0} s",
        output.display(),
        outcome.epoch,
        recipe.training.epochs,
        outcome.score,
        started.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

fn resolve(args: &TrainArgs) -> anyhow::Result<Recipe> {
    let TrainArgs { config, output, base, seed, epochs, learning_rate, batch_size, leave_out, .. } = args;
    let text = std::fs::read_to_string(config).map_err(|e| misuse(format!("{}: {e}", config.display())))?;
    let mut recipe: Recipe =
        toml::from_str(&text).map_err(|e| misuse(format!("{}: {e}", config.display())))?;
    recipe.leave_out = leave_out.or(recipe.leave_out);
    recipe.output = output.clone().or(recipe.output);
    recipe.base = base.clone().unwrap_or(recipe.base);
    let training = &mut recipe.training;
    training.seed = seed.unwrap_or(training.seed);
    training.epochs = epochs.unwrap_or(training.epochs);
    training.learning_rate = learning_rate.unwrap_or(training.learning_rate);
    training.batch_size = batch_size.unwrap_or(training.batch_size);
    training.validate().map_err(|e| misuse(e.to_string()))?;
    if recipe.train.is_empty() {
        return Err(misuse(format!(
            "{}: no training files; give at least one [[train]] with a path",
            config.display()
        )));
    }
    Ok(recipe)
}

/// What identifies a file that was learnt from.
#[derive(Serialize)]
struct FileRecord {
    path: PathBuf,
    sha256: String,
    sentences: usize,
}

/// The files' sentences, and what identifies the files.
fn load_all(sources: &[Source], limit: Option<usize>) -> anyhow::Result<(Vec<Dataset>, Vec<FileRecord>)> {
    let mut datasets = Vec::new();
    for source in sources {
        let mut dataset = load(&source.path)?;
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

/// Probabilities of every sentence of a file, where a teacher may answer.
type Taught = Vec<Option<Vec<f32>>>;

/// The teachers' mean answer to every training sentence, file by file; `None` where no teacher may answer.
fn taught(recipe: &Recipe, train: &[Dataset]) -> anyhow::Result<Vec<Taught>> {
    /// Sum of the probabilities, and number of teachers.
    type Sums = Vec<Option<(Vec<f32>, f32)>>;
    let mut means: Vec<Sums> = train.iter().map(|dataset| vec![None; dataset.sentences.len()]).collect();
    for folder in recipe.distill.iter().flat_map(|distill| &distill.teachers) {
        let engine = Engine::open(Some(folder))?;
        if engine.labels() != recipe.labels {
            return Err(misuse(format!(
                "teacher {} knows the labels {}; the settings file names {}",
                folder.display(),
                engine.labels().join(", "),
                recipe.labels.join(", ")
            )));
        }
        let description = &engine.bundle().description;
        let left: Option<Fold> = description
            .training
            .as_ref()
            .and_then(|training| serde_json::from_value(training["recipe"]["leave_out"].clone()).ok());
        for ((source, dataset), means) in recipe.train.iter().zip(train).zip(&mut means) {
            let unseen = |s: &GoldSentence| {
                s.labels.is_none() || !source.labels || left.is_some_and(|part| fold(s, part.of) == part.fold)
            };
            let asked: Vec<usize> =
                (0..dataset.sentences.len()).filter(|&i| unseen(&dataset.sentences[i])).collect();
            let inputs: Vec<Input> =
                asked.iter().map(|&i| Input { text: &dataset.sentences[i].text, words: None }).collect();
            for (i, answer) in asked.into_iter().zip(engine.predict(&inputs, Tasks::Classify)?) {
                let (sum, n) = means[i].get_or_insert_with(|| (vec![0.0; answer.scores.len()], 0.0));
                sum.iter_mut().zip(&answer.scores).for_each(|(sum, score)| *sum += score);
                *n += 1.0;
            }
        }
    }
    let mean = |(sum, n): (Vec<f32>, f32)| sum.into_iter().map(|x| x / n).collect();
    Ok(means.into_iter().map(|file| file.into_iter().map(|m| m.map(mean)).collect()).collect())
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

/// Mean over the files and their kinds of gold: macro-F1 at cross-fitted thresholds, and entity F1.
fn development_score(bundle: &Bundle, gold: &[Vec<GoldSentence>]) -> anyhow::Result<f64> {
    let engine = Engine::new(bundle.clone())?;
    let mut scores = Vec::new();
    for sentences in gold {
        let answers = scoring::answer(&engine, sentences)?;
        let stance = answers.sentence.and_then(|a| a.cross_fitted_macro_f1());
        let entities = answers.entities.and_then(|a| a.f1());
        for (name, score) in [("macro-F1", stance), ("entity F1", entities)] {
            if let Some(score) = score {
                eprintln!("  development {name} {score:.4} on {} sentences", sentences.len());
                scores.push(score);
            }
        }
    }
    Ok(if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / scores.len() as f64 })
}

/// Fits temperature and thresholds on the development sentences that have labels.
fn calibrate(bundle: &mut Bundle, gold: &[Vec<GoldSentence>]) -> anyhow::Result<()> {
    let labelled: Vec<GoldSentence> = gold.iter().flatten().filter(|g| g.labels.is_some()).cloned().collect();
    let answers = scoring::answer(&Engine::new(bundle.clone())?, &labelled)?;
    if let (Some(answers), Some(task)) = (answers.sentence, bundle.description.sentence_mut()) {
        task.temperature = fit_temperature(&answers.logits, &answers.gold);
        let scaled = |logits: &Vec<f32>| {
            let logits: Vec<f32> = logits.iter().map(|x| x / task.temperature).collect();
            task.activation.apply(&logits)
        };
        let scores: Vec<Vec<f32>> = answers.logits.iter().map(scaled).collect();
        task.thresholds = fit_thresholds(&scores, &answers.gold);
    }
    Ok(())
}

/// The metrics file and the progress bar.
struct Record {
    file: File,
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
        Ok(Self { file, bar, failed: None, since: Instant::now(), examples: 0, loss: 0.0 })
    }

    fn note(&mut self, event: &Event) {
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
                let best = if report.best { ", the best so far" } else { "" };
                self.bar.suspend(|| eprintln!("epoch {epoch}: development score {score:.4}{best}"));
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
