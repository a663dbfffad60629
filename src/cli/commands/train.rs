//! `undertone train`: labelled sentences in, a bundle and the record of its making out.

use crate::cli::corpus::Corpus;
use crate::cli::data_folder::{DataFolder, hyper_parameters};
use crate::cli::fit::{Hashes, Preparation, refuse_foreign};
use crate::cli::logging::say;
use crate::cli::recipe::{Fold, Recipe};
use crate::cli::task::{Task, gather};
use crate::cli::{misuse, model, seeds};
use std::path::PathBuf;
use std::process::ExitCode;
use undertone::bundle::Bundle;
use undertone::head::Pooling;

/// Fine-tune a model on labelled sentences: stance, named entities, or both on one encoder
///
/// Data and settings come from a settings file (--config), or from a folder with train, dev and test files (--data), for which
/// no settings are needed. An interrupted run goes on from its last checkpoint when the same command is given again.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:  undertone train --config datasets/examples/train.toml --output models/mine --epochs 3\n           \
                  undertone train --data data/cameo_class --base models/base --output models/cameo --seeds 5"
)]
pub(crate) struct TrainArgs {
    /// Settings file (TOML): data, heads, hyper-parameters
    #[arg(short, long, value_name = "FILE", required_unless_present = "data")]
    config: Option<PathBuf>,
    /// Folder with train, dev and test files (.tsv, .txt, .jsonl, .csv or .conll; dev and test may be missing), and labels.json if
    /// labels or tags are to be listed. What is learnt is seen from the training file, unless --config names labels or entity types.
    /// Without --config, epochs, batch size and rates are those of ConfliBERT's fine-tuning
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// What is learnt from --data [default: seen from the training file]
    #[arg(long, value_enum, requires = "data")]
    task: Option<Task>,
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
    /// Train this many models, with the seed and those that follow it, in seed-NUMBER folders of the output folder; tell the
    /// mean and standard deviation of their figures on the development and test files, and write them to seeds.json. Runs that
    /// are done already are not made again, and the checkpoint of a run is removed when it is done. The model with the best
    /// development score, which is named, can be used as the model; the figures to publish are the means
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    seeds: Option<u16>,
    /// Passes over the data
    #[arg(long)]
    epochs: Option<usize>,
    /// Peak learning rate
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Sentences per optimiser step
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Longest sentence in tokens; longer ones are cut for training, and counted
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Steps between checkpoints within an epoch (0: at the end of epochs only)
    #[arg(long, value_name = "STEPS", default_value_t = 200)]
    checkpoint_every: usize,
    /// Use only the first N sentences of every training file, to try things out
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Leave out a part of the training articles, such as 0/3 for the first of three
    #[arg(long, value_name = "PART/PARTS")]
    leave_out: Option<Fold>,
}

pub(crate) fn run(args: TrainArgs) -> anyhow::Result<ExitCode> {
    let Settings { mut recipe, folder, task, plain, output, seeds, checkpoint_every, limit } = resolve(args)?;
    recipe.storage()?;
    refuse_foreign(&output)?;
    let options = folder.as_ref().map(DataFolder::options).unwrap_or_default();
    let mut corpus = Corpus::read(&recipe, &options)?;
    if let Some(folder) = &folder {
        learn_from(folder, task, &corpus, &mut recipe)?;
    }
    recipe.validate()?;
    recipe.description()?;
    corpus.check(&recipe)?;
    corpus.limit(limit.unwrap_or(usize::MAX));

    let base_folder = model::folder(&recipe.base)?;
    let base =
        if recipe.new_head { Bundle::open_encoder(&base_folder)? } else { Bundle::open(&base_folder)? };
    if plain {
        recipe.pooling = Pooling::of(&base.config);
        recipe.transform = base.config.modern.is_some();
    }
    let hashes = Hashes::new(&recipe, &corpus, &base_folder)?;
    if let Some(part) = recipe.leave_out {
        corpus.leave_out(part);
    }
    let mut preparation = Preparation::new(&recipe, &corpus, &base, hashes, &output)?;
    preparation.checkpoint_every = checkpoint_every;
    match seeds {
        Some(runs) => {
            let seeds = seeds::seeds(recipe.training.seed, runs.into())?;
            seeds::run(&preparation, &recipe, &corpus, &output, &seeds)?;
        }
        None => {
            let fitted = preparation.fit(&recipe, &output)?;
            seeds::test(&recipe, &corpus, &fitted)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was typed and the settings file, put together.
struct Settings {
    recipe: Recipe,
    /// Where the data come from, if not from the settings file.
    folder: Option<DataFolder>,
    task: Option<Task>,
    /// No settings file: the heads are those of the classes of `transformers`.
    plain: bool,
    output: PathBuf,
    seeds: Option<u16>,
    checkpoint_every: usize,
    limit: Option<usize>,
}

fn resolve(args: TrainArgs) -> anyhow::Result<Settings> {
    let TrainArgs {
        config,
        data,
        task,
        output,
        base,
        new_head,
        seed,
        seeds,
        epochs,
        learning_rate,
        batch_size,
        max_tokens,
        checkpoint_every,
        limit,
        leave_out,
    } = args;
    let mut recipe = settings(config.as_ref())?;
    let folder = data.map(|folder| DataFolder::open(&folder)).transpose()?;
    if let Some(folder) = &folder {
        folder.apply(&mut recipe)?;
    }
    recipe.leave_out = leave_out.or(recipe.leave_out);
    recipe.output = output.or(recipe.output);
    recipe.base = base.unwrap_or(recipe.base);
    recipe.new_head |= new_head;
    let training = &mut recipe.training;
    training.seed = seed.unwrap_or(training.seed);
    training.epochs = epochs.unwrap_or(training.epochs);
    training.learning_rate = learning_rate.unwrap_or(training.learning_rate);
    training.batch_size = batch_size.unwrap_or(training.batch_size);
    training.max_tokens = max_tokens.unwrap_or(training.max_tokens);
    recipe.validate()?;
    if recipe.train.is_empty() {
        return Err(misuse(
            "no training files: give at least one [[train]] with a path in the settings file, or --data",
        ));
    }
    if recipe.base.as_os_str().is_empty() {
        return Err(misuse("no model to start from: give --base, or `base` in the settings file"));
    }
    let output = recipe
        .output
        .clone()
        .ok_or_else(|| misuse("no output folder: give --output, or `output` in the settings file"))?;
    let plain = config.is_none();
    Ok(Settings { recipe, folder, task, plain, output, seeds, checkpoint_every, limit })
}

/// The settings file, or what holds without one.
fn settings(config: Option<&PathBuf>) -> anyhow::Result<Recipe> {
    let Some(config) = config else {
        let recipe: Recipe = toml::from_str("").expect("every setting has a default");
        return Ok(Recipe { training: hyper_parameters(), ..recipe });
    };
    let text = std::fs::read_to_string(config).map_err(|e| misuse(format!("{}: {e}", config.display())))?;
    toml::from_str(&text).map_err(|e| misuse(format!("{}: {e}", config.display())))
}

/// Sees from the training file what is to be learnt, unless the settings file says it.
fn learn_from(
    folder: &DataFolder,
    task: Option<Task>,
    corpus: &Corpus,
    recipe: &mut Recipe,
) -> anyhow::Result<()> {
    if !recipe.labels.is_empty() || !recipe.entity_types.is_empty() {
        return match task {
            Some(_) => Err(misuse("the settings file says what is learnt; leave either that or --task out")),
            None => Ok(()),
        };
    }
    let heads = gather(&corpus.train, task, folder.labels.as_deref())?;
    say!("learning {}", heads.told());
    heads.apply(recipe);
    if corpus.dev.is_empty() {
        tracing::info!(
            "there is no development file: the last epoch is kept, and temperature and thresholds are not fitted"
        );
    }
    Ok(())
}
