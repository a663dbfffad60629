//! Fine-tuning: one encoder, a sentence head, a token head or both, in mixed batches.
//!
//! Every random draw is a function of the seed and of the step, so a run that is resumed goes on as the uninterrupted
//! one would have, and two runs with one seed give identical weights (for one number of shards).

mod average;
mod batches;
mod checkpoint;
mod config;
mod examples;
mod loss;
mod optimizer;
mod parameters;
mod schedule;
mod stopping;
mod trainer;

pub use config::TrainingConfig;
pub use examples::{Distilled, Example, ExampleSource, examples};
pub use parameters::initial_weights;
pub use trainer::{EpochReport, Event, Outcome, StepReport, Trainer};

use std::path::PathBuf;

/// Why training could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// A setting is out of its range.
    #[error("`{field}` is {value}; it must be {expected}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The base model has a head of the kind that is to be trained, and the two differ.
    #[error("head `{head}` of the base model cannot be trained on: {reason}")]
    ForeignHead {
        /// Its name.
        head: String,
        /// In what they differ.
        reason: String,
    },
    /// A gold label that the head has not.
    #[error("\"{label}\" is not a label of the {head} head, which knows {known}")]
    UnknownLabel {
        /// The label.
        label: String,
        /// `sentence` or `token`.
        head: &'static str,
        /// The head's labels.
        known: String,
    },
    /// A sentence that has not the one label that a softmax head is taught.
    #[error(
        "sentence {sentence} has {found} labels; a softmax head is taught exactly one a sentence\n\nhint: for none, one or several labels a sentence train a sigmoid head"
    )]
    NotOneLabel {
        /// Which sentence of its source, from 1.
        sentence: usize,
        /// How many labels it has.
        found: usize,
    },
    /// Nothing to learn from.
    #[error("there are no training examples with labels for any of the heads")]
    NoExamples,
    /// The loss is no longer a number.
    #[error("the loss at step {step} is {loss}; a lower learning rate usually helps")]
    Diverged {
        /// Optimiser step.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// A checkpoint that does not belong to this run.
    #[error(
        "the checkpoint in {folder} is of another run: {reason}\n\nhint: remove it to start again, or restore the settings it was made with"
    )]
    ForeignCheckpoint {
        /// Its folder.
        folder: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A checkpoint cannot be read or written.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A text could not be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokens::TokenizerError),
    /// The tensor library failed.
    #[error("the encoder failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The scorer of the development data failed.
    #[error("scoring the development data failed: {0}")]
    Score(String),
}
