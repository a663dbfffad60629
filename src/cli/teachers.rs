//! What teachers say of training sentences: asked once, kept beside the run.

use crate::cli::logging::say;
use crate::cli::recipe::{Distillation, Fold, Recipe};
use crate::cli::{misuse, model};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::Path;
use undertone::datasets::{Dataset, fold};
use undertone::engine::{DeviceChoice, Input, Tasks};
use undertone::labels::GoldSentence;

/// Probabilities of every sentence of a file; `None` where no teacher may answer.
pub(crate) type Answers = Vec<Option<Vec<f32>>>;

/// Answers on disk, and what they depend on.
#[derive(Serialize, Deserialize)]
struct Kept {
    asked: String,
    answers: Vec<Answers>,
}

/// The teachers' mean answer to every training sentence, file by file. They are read from `file` if they were put there for the
/// same `asked` (all that they depend on, as text), else computed and put there: with large teachers they take longer than an epoch.
///
/// # Errors
/// If a teacher cannot be opened or knows other labels, or `file` cannot be written.
pub(crate) fn answers(
    recipe: &Recipe,
    train: &[Dataset],
    asked: &str,
    file: &Path,
) -> anyhow::Result<Vec<Answers>> {
    let Some(distill) = &recipe.distill else {
        return Ok(train.iter().map(|dataset| vec![None; dataset.sentences.len()]).collect());
    };
    let kept = std::fs::read(file).ok().and_then(|json| serde_json::from_slice::<Kept>(&json).ok());
    if let Some(kept) = kept.filter(|kept| kept.asked == asked) {
        return Ok(kept.answers);
    }
    let kept = Kept { asked: asked.to_owned(), answers: ask(distill, recipe, train)? };
    let place = || format!("cannot write {}", file.display());
    std::fs::write(file, serde_json::to_vec(&kept)?).with_context(place)?;
    Ok(kept.answers)
}

fn ask(distill: &Distillation, recipe: &Recipe, train: &[Dataset]) -> anyhow::Result<Vec<Answers>> {
    /// Sum of the probabilities, and number of teachers.
    type Sums = Vec<Option<(Vec<f32>, f32)>>;
    let mut means: Vec<Sums> = train.iter().map(|dataset| vec![None; dataset.sentences.len()]).collect();
    for folder in &distill.teachers {
        let engine = model::engine(Some(folder), DeviceChoice::Cpu, recipe.training.precision.into())?;
        if engine.labels() != recipe.labels {
            return Err(misuse(format!(
                "teacher {} knows the labels {}; the settings file names {}",
                folder.display(),
                engine.labels().join(", "),
                recipe.labels.join(", ")
            )));
        }
        let description = &engine.bundle().description;
        if description.sentence().is_some_and(|task| task.activation != recipe.activation) {
            return Err(misuse(format!(
                "teacher {} and the settings file differ in `activation`: of sigmoid and softmax, both must have the same",
                folder.display()
            )));
        }
        let left: Option<Fold> = description
            .training
            .as_ref()
            .and_then(|training| serde_json::from_value(training["recipe"]["leave_out"].clone()).ok());
        say!("asking teacher {}", folder.display());
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
