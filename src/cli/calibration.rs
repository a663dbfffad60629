//! Temperature and thresholds of a sentence head, fitted on development data.

use crate::cli::scoring::SentenceAnswers;
use undertone::bundle::{Bundle, SentenceTask};
use undertone::evaluation::{
    Cut, Decisions, LabelTable, Objective, Rows, binary_nll, fit_temperature, fit_thresholds, softmax_nll,
};
use undertone::head::Activation;

/// Whether the sentence head gives exactly one label.
pub(crate) fn is_softmax(bundle: &Bundle) -> bool {
    bundle.description.sentence().is_some_and(|task| task.activation == Activation::Softmax)
}

/// How a model itself decides labels.
pub(crate) fn decisions(bundle: &Bundle) -> Decisions {
    if is_softmax(bundle) { Decisions::Likeliest } else { Decisions::Stored }
}

/// Fits the temperature by the likelihood of the gold labels, and then, under sigmoid, each label's threshold. Under softmax the
/// likeliest label wins, whatever its probability: there are no thresholds, and no cuts are given back.
pub(crate) fn fit(task: &mut SentenceTask, answers: &SentenceAnswers, objective: Objective) -> Vec<Cut> {
    let gold = &answers.table.gold;
    task.temperature =
        fit_temperature(|temperature| nll(task.activation, &answers.logits, gold, temperature));
    if task.activation == Activation::Softmax {
        return Vec::new();
    }
    let cuts = fit_thresholds(&probabilities(task, &answers.logits), gold, objective);
    task.thresholds = cuts.iter().map(|cut| cut.threshold).collect();
    cuts
}

/// Mean negative log-likelihood of the gold labels at a temperature, in nats.
pub(crate) fn nll(activation: Activation, logits: &Rows<f32>, gold: &Rows<bool>, temperature: f64) -> f64 {
    match activation {
        Activation::Sigmoid => binary_nll(logits, gold, temperature),
        Activation::Softmax => softmax_nll(logits, gold, temperature),
    }
}

/// The same sentences as the task decides them.
pub(crate) fn decided(task: &SentenceTask, answers: &SentenceAnswers) -> LabelTable {
    let scores = probabilities(task, &answers.logits);
    let decide = |scores: &[f32]| -> Vec<bool> {
        let given = task.activation.decide(scores, &task.thresholds);
        (0..scores.len()).map(|label| given.contains(&label)).collect()
    };
    let decided = scores.iter().map(decide).collect();
    LabelTable { scores, decided, ..answers.table.clone() }
}

fn probabilities(task: &SentenceTask, logits: &Rows<f32>) -> Rows<f32> {
    let scaled = |logits: &[f32]| {
        let logits: Vec<f32> = logits.iter().map(|x| x / task.temperature).collect();
        task.activation.apply(&logits)
    };
    logits.iter().map(scaled).collect()
}
