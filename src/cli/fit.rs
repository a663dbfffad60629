//! One training run: from a base model and a corpus to a model in a folder.

use crate::cli::corpus::{self, Corpus, FileRecord};
use crate::cli::logging::say;
use crate::cli::recipe::Recipe;
use crate::cli::record::{Record, told};
use crate::cli::{calibration, misuse, scoring, teachers};
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;
use undertone::bundle::{Bundle, Weights};
use undertone::encoder::layers::Precision;
use undertone::engine::Engine;
use undertone::evaluation::Objective;
use undertone::labels::GoldSentence;
use undertone::training::{
    Distilled, Example, ExampleSource, Trainer, TrainingError, examples, initial_weights,
};

/// What the runs of one recipe share, whatever their seed.
pub(crate) struct Preparation<'a> {
    pub(crate) base: &'a Bundle,
    pub(crate) hashes: Hashes,
    pub(crate) gold: Vec<Vec<GoldSentence>>,
    /// Steps between checkpoints within an epoch; 0, unless it is set: at the end of epochs only.
    pub(crate) checkpoint_every: usize,
    learnt: Vec<Example>,
}

/// What a run learns from, by content.
#[derive(Serialize)]
pub(crate) struct Hashes {
    pub(crate) base: String,
    pub(crate) teachers: Vec<String>,
    pub(crate) train: Vec<FileRecord>,
    pub(crate) dev: Vec<FileRecord>,
}

/// A model that a run has made.
pub(crate) struct Fitted {
    pub(crate) bundle: Bundle,
    /// Epoch that was kept, from 1.
    pub(crate) epoch: usize,
    /// Its development score.
    pub(crate) score: Option<f64>,
}

impl<'a> Preparation<'a> {
    /// Checks that the heads can be begun from the base model, asks the teachers, and makes the examples.
    ///
    /// * `output`: folder of the result, made here; the teachers' answers are kept in it
    pub(crate) fn new(
        recipe: &Recipe,
        corpus: &Corpus,
        base: &'a Bundle,
        hashes: Hashes,
        output: &Path,
    ) -> anyhow::Result<Self> {
        let description = recipe.description()?;
        let weights = begun(recipe, base)?;
        let dropped = base.description.heads.iter();
        for head in dropped.filter(|head| !description.heads.iter().any(|new| new.is_like(head))) {
            tracing::info!(
                "the base model's head `{}` is not in the settings and will not be in the result",
                head.name()
            );
        }
        let precision = recipe.training.precision;
        if precision == Precision::Int8 || !precision.is_fast() {
            tracing::info!("training runs in f32: bf16 is not faster on this CPU, or bytes were asked for");
        }
        let bundle = base.with(description, weights);
        std::fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
        let asked = asked(recipe, &hashes)?;
        let answers = teachers::answers(recipe, &corpus.train, &asked, &output.join("teachers.json"))?;
        let mut learnt: Vec<Example> = Vec::new();
        let mut cut = 0;
        for ((source, dataset), answers) in recipe.train.iter().zip(&corpus.train).zip(&answers) {
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
        let gold = corpus.development(recipe);
        say!(
            "{} training sentences ({cut} cut to {} tokens), {} development sentences",
            learnt.len(),
            recipe.training.max_tokens,
            gold.iter().map(Vec::len).sum::<usize>()
        );
        Ok(Self { base, hashes, gold, checkpoint_every: 0, learnt })
    }

    /// Trains, or goes on from a checkpoint, and leaves the model in `output`.
    pub(crate) fn fit(&self, recipe: &Recipe, output: &Path) -> anyhow::Result<Fitted> {
        let bundle = self.base.with(recipe.description()?, begun(recipe, self.base)?);
        let storage = recipe.storage()?;
        std::fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
        let mut record = Record::open(&output.join("metrics.jsonl"))?;
        let trainer = Trainer {
            bundle: &bundle,
            examples: &self.learnt,
            config: &recipe.training,
            checkpoints: Some(output.join(CHECKPOINT)),
            checkpoint_every: self.checkpoint_every,
            fingerprint: fingerprint(recipe, &self.hashes)?,
        };
        let mut score = |weights: &Weights| {
            development_score(&bundle.with(bundle.description.clone(), weights.clone()), &self.gold)
                .map_err(|e| TrainingError::Score(format!("{e:#}")))
        };
        let started = Instant::now();
        let outcome = trainer.run(&mut score, &mut |event| record.note(&event))?;
        let recorded = record.finish();

        // Stored before it is calibrated, out of sight: thresholds must suit the weights as they are stored, rounded or not.
        let stored = tempfile::Builder::new().prefix(".uncalibrated").tempdir_in(output)?;
        bundle.with(bundle.description.clone(), outcome.weights).save(stored.path(), storage)?;
        let mut finished = Bundle::open(stored.path())?;
        calibrate(&mut finished, &self.gold)?;
        finished.description.training = Some(serde_json::json!({
            "undertone": env!("CARGO_PKG_VERSION"),
            "recipe": recipe,
            "base_sha256": self.hashes.base,
            "train": self.hashes.train,
            "dev": self.hashes.dev,
            "epoch": outcome.epoch,
            "steps": outcome.steps,
            "development_score": outcome.score,
        }));
        finished.save(output, storage)?;
        say!(
            "{}: epoch {} of {}, {}, {:.0} s",
            output.display(),
            outcome.epoch,
            recipe.training.epochs,
            told(outcome.score),
            started.elapsed().as_secs_f64()
        );
        recorded?;
        Ok(Fitted { bundle: finished, epoch: outcome.epoch, score: outcome.score })
    }

    /// The model in `output`, if a run of this very recipe has come to its end there; `None` if no run has come to its end.
    ///
    /// # Errors
    /// If a run of another recipe has.
    pub(crate) fn finished(&self, recipe: &Recipe, output: &Path) -> anyhow::Result<Option<Fitted>> {
        // Written last.
        if !output.join("undertone.json").exists() {
            return Ok(None);
        }
        let bundle = Bundle::open(output)?;
        let training = bundle.description.training.clone().unwrap_or_default();
        let hashes = &self.hashes;
        let expected = serde_json::json!({
            "recipe": recipe, "base_sha256": hashes.base, "train": hashes.train, "dev": hashes.dev,
        });
        let essence = |of: &serde_json::Value| {
            let mut recipe = of["recipe"].clone();
            for name in ["output", "test"] {
                recipe.as_object_mut().map(|recipe| recipe.shift_remove(name));
            }
            [recipe, of["base_sha256"].clone(), of["train"].clone(), of["dev"].clone()]
        };
        if essence(&training) != essence(&expected) {
            return Err(misuse(format!(
                "{} holds a model that was made with other settings or data\n\nhint: give a new folder with --output",
                output.display()
            )));
        }
        let epoch = training["epoch"].as_u64().unwrap_or_default() as usize;
        Ok(Some(Fitted { bundle, epoch, score: training["development_score"].as_f64() }))
    }
}

impl Hashes {
    /// Of a corpus as it was read, before anything was left out.
    pub(crate) fn new(recipe: &Recipe, corpus: &Corpus, base_folder: &Path) -> anyhow::Result<Self> {
        let teachers = recipe.distill.iter().flat_map(|distill| &distill.teachers);
        Ok(Self {
            base: Bundle::weights_sha256(Some(base_folder))?,
            teachers: teachers
                .map(|folder| Bundle::weights_sha256(Some(folder)))
                .collect::<Result<_, _>>()?,
            train: corpus::records(&corpus.train),
            dev: corpus::records(&corpus.dev),
        })
    }
}

/// Folder of the checkpoint beside the result.
const CHECKPOINT: &str = "checkpoint";

/// Takes away the checkpoint of a run that has come to its end.
pub(crate) fn remove_checkpoint(output: &Path) -> anyhow::Result<()> {
    let folder = output.join(CHECKPOINT);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Refuses an output folder with a model in it that no run of ours has left there.
pub(crate) fn refuse_foreign(output: &Path) -> anyhow::Result<()> {
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

/// The weights that a run begins with.
fn begun(recipe: &Recipe, base: &Bundle) -> anyhow::Result<Weights> {
    initial_weights(base, &recipe.description()?, recipe.training.seed).map_err(|error| match error {
        TrainingError::ForeignHead { .. } => misuse(format!(
            "{error}\n\nhint: to begin with new heads give --new-head, or `new_head = true` in the settings file"
        )),
        error => error.into(),
    })
}

/// Everything that training depends on: all settings but where and how the result is stored and on what it is tested, and the
/// files' content.
fn fingerprint(recipe: &Recipe, hashes: &Hashes) -> anyhow::Result<String> {
    let mut recipe = serde_json::to_value(recipe)?;
    for name in ["output", "storage", "test"] {
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

/// Mean over the files and their kinds of gold; `None` where there is no gold for the heads. For a sigmoid head the score is
/// the average precision, meaned over the labels: F1 over a few hundred sentences moves by several points with the thresholds,
/// and average precision needs none. For a softmax head, which has no thresholds, it is the macro-F1 of the likeliest label;
/// for entities, their F1.
fn development_score(bundle: &Bundle, gold: &[Vec<GoldSentence>]) -> anyhow::Result<Option<f64>> {
    let engine = Engine::new(bundle.clone())?;
    let softmax = calibration::is_softmax(bundle);
    let mut scores = Vec::new();
    for sentences in gold {
        let (answers, _) = scoring::answer_all(&engine, sentences)?;
        let (name, sentence) = match answers.sentence {
            Some(a) if softmax => ("macro-F1", a.table.count(|_| true).macro_f1()),
            Some(a) => ("average precision", a.table.mean_average_precision()),
            None => ("", None),
        };
        let entities = answers.entities.and_then(|a| a.f1());
        for (name, score) in [(name, sentence), ("entity F1", entities)] {
            if let Some(score) = score {
                say!("  development {name} {score:.4} on {} sentences", sentences.len());
                scores.push(score);
            }
        }
    }
    Ok((!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64))
}

/// Fits the temperature, and under sigmoid the thresholds, on the development sentences that have labels.
fn calibrate(bundle: &mut Bundle, gold: &[Vec<GoldSentence>]) -> anyhow::Result<()> {
    let labelled: Vec<GoldSentence> = gold.iter().flatten().filter(|g| g.labels.is_some()).cloned().collect();
    let (answers, _) = scoring::answer_all(&Engine::new(bundle.clone())?, &labelled)?;
    if let (Some(answers), Some(task)) = (answers.sentence, bundle.description.sentence_mut()) {
        calibration::fit(task, &answers, Objective::F1);
    }
    Ok(())
}
