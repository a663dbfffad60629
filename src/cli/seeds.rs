//! One recipe under several seeds: a model a seed, and their figures as mean and standard deviation.

use crate::cli::calibration::{decisions, is_softmax};
use crate::cli::corpus::{self, Corpus, FileRecord};
use crate::cli::figures::{Figures, Summaries, figures, print, summarise};
use crate::cli::fit::{Fitted, Preparation, refuse_foreign, remove_checkpoint};
use crate::cli::logging::say;
use crate::cli::misuse;
use crate::cli::output::PendingFile;
use crate::cli::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use undertone::bundle::Bundle;
use undertone::engine::Engine;
use undertone::evaluation::Decisions;
use undertone::labels::GoldSentence;

/// What `seeds.json` says.
#[derive(Serialize)]
struct Report<'a> {
    undertone: &'static str,
    /// Seed of the run with the best development score.
    best: Option<u64>,
    runs: &'a [Run],
    files: Vec<Scored<'a>>,
}

/// One seed.
#[derive(Serialize, Deserialize)]
struct Run {
    seed: u64,
    folder: String,
    weights_sha256: String,
    /// Epoch that was kept, from 1.
    epoch: usize,
    development_score: Option<f64>,
    /// File by file.
    figures: Vec<Figures>,
}

/// One file, over all seeds.
#[derive(Serialize)]
struct Scored<'a> {
    #[serde(flatten)]
    record: &'a FileRecord,
    /// `development` or `test`.
    split: &'static str,
    summary: Summaries,
}

/// A file to score.
struct Sentences {
    record: FileRecord,
    split: &'static str,
    gold: Vec<GoldSentence>,
}

/// Name of the report in the output folder.
const REPORT: &str = "seeds.json";

/// The seeds of that many runs.
///
/// # Errors
/// If they go beyond the largest number.
pub(crate) fn seeds(first: u64, runs: usize) -> anyhow::Result<Vec<u64>> {
    let last = first.checked_add(runs as u64 - 1);
    let last = last.ok_or_else(|| misuse(format!("there are no {runs} seeds from {first} on")))?;
    Ok((first..=last).collect())
}

/// Trains a model a seed in folders of `output`, those that are there already left out, scores them, and tells and writes the
/// figures.
pub(crate) fn run(
    preparation: &Preparation,
    recipe: &Recipe,
    corpus: &Corpus,
    output: &Path,
    seeds: &[u64],
) -> anyhow::Result<()> {
    let files = files(recipe, corpus, preparation);
    let known = known(&output.join(REPORT), &files);
    let mut runs: Vec<Run> = Vec::new();
    for &seed in seeds {
        let folder = format!("seed-{seed}");
        let place = output.join(&folder);
        let mut recipe = recipe.clone();
        recipe.training.seed = seed;
        recipe.output = Some(place.clone());
        let fitted = match preparation.finished(&recipe, &place)? {
            Some(fitted) => fitted,
            None => {
                refuse_foreign(&place)?;
                say!("seed {seed}: {}", place.display());
                preparation.fit(&recipe, &place)?
            }
        };
        remove_checkpoint(&place)?;
        let Fitted { bundle, epoch, score } = fitted;
        let weights_sha256 = Bundle::weights_sha256(Some(&place))?;
        let earlier = known.iter().find(|run| run.seed == seed && run.weights_sha256 == weights_sha256);
        let figures = match earlier {
            Some(run) => run.figures.clone(),
            None => score_all(&bundle, &files)?,
        };
        runs.push(Run { seed, folder, weights_sha256, epoch, development_score: score, figures });
        write(&output.join(REPORT), &report(&runs, &files))?;
    }
    tell(&report(&runs, &files), output)
}

/// Scores one model on the test files of its recipe, and tells the figures.
pub(crate) fn test(recipe: &Recipe, corpus: &Corpus, fitted: &Fitted) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let engine = Engine::new(fitted.bundle.clone())?;
    let stored = decisions(&fitted.bundle);
    for (record, gold) in corpus::records(&corpus.test).iter().zip(corpus.test(recipe)) {
        let figures = figures(&engine, &gold, stored)?;
        writeln!(out, "{}: {} sentences, test", record.path.display(), record.sentences)?;
        print(&mut out, &summarise(&[&figures]), 1)?;
    }
    Ok(())
}

/// What every model is scored on.
fn files(recipe: &Recipe, corpus: &Corpus, preparation: &Preparation) -> Vec<Sentences> {
    let of = |split, records: Vec<FileRecord>, gold: Vec<Vec<GoldSentence>>| {
        let files = records.into_iter().zip(gold);
        files.map(move |(record, gold)| Sentences { record, split, gold })
    };
    let dev = of("development", preparation.hashes.dev.clone(), preparation.gold.clone());
    dev.chain(of("test", corpus::records(&corpus.test), corpus.test(recipe))).collect()
}

fn score_all(bundle: &Bundle, files: &[Sentences]) -> anyhow::Result<Vec<Figures>> {
    let engine = Engine::new(bundle.clone())?;
    let score = |file: &Sentences| {
        // The stored thresholds are fitted on the development sentences, and would flatter there.
        let decisions = match file.split {
            "development" if !is_softmax(bundle) => Decisions::CrossFitted,
            _ => decisions(bundle),
        };
        figures(&engine, &file.gold, decisions)
    };
    files.iter().map(score).collect()
}

/// The runs of an earlier report on the same files by the same version; none where there is no such report.
fn known(path: &Path, files: &[Sentences]) -> Vec<Run> {
    #[derive(Deserialize)]
    struct Earlier {
        undertone: String,
        runs: Vec<Run>,
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        sha256: String,
        split: String,
    }
    let earlier = std::fs::read(path).ok().and_then(|json| serde_json::from_slice::<Earlier>(&json).ok());
    let same = |earlier: &Earlier| {
        let mut pairs = earlier.files.iter().zip(files);
        earlier.undertone == env!("CARGO_PKG_VERSION")
            && earlier.files.len() == files.len()
            && pairs.all(|(then, now)| then.sha256 == now.record.sha256 && then.split == now.split)
    };
    earlier.filter(same).map_or_else(Vec::new, |earlier| earlier.runs)
}

fn report<'a>(runs: &'a [Run], files: &'a [Sentences]) -> Report<'a> {
    let scored = files.iter().enumerate().map(|(i, file)| {
        let figures: Vec<&Figures> = runs.iter().filter_map(|run| run.figures.get(i)).collect();
        Scored { record: &file.record, split: file.split, summary: summarise(&figures) }
    });
    Report { undertone: env!("CARGO_PKG_VERSION"), best: best(runs), runs, files: scored.collect() }
}

/// The seed with the best development score; of equals the first.
fn best(runs: &[Run]) -> Option<u64> {
    let scored = runs.iter().filter_map(|run| Some((run.seed, run.development_score?)));
    scored.reduce(|best, run| if run.1 > best.1 { run } else { best }).map(|(seed, _)| seed)
}

fn write(path: &Path, report: &Report) -> anyhow::Result<()> {
    let file = PendingFile::create(path)?;
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    file.handle()?.write_all(&json)?;
    file.keep()
}

fn tell(report: &Report, output: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let models = report.runs.len();
    for Scored { record, split, summary } in &report.files {
        let (path, n) = (record.path.display(), record.sentences);
        writeln!(out, "{path}: {n} sentences, {split}, mean ± standard deviation of {models} seeds")?;
        print(&mut out, summary, models)?;
    }
    if let Some(run) = report.runs.iter().find(|run| Some(run.seed) == report.best) {
        let folder = output.join(&run.folder);
        writeln!(
            out,
            "best by the development score ({:.4}): {}",
            run.development_score.unwrap_or_default(),
            folder.display()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_seed_is_the_first_with_the_best_development_score() {
        let run = |seed, development_score| Run {
            seed,
            folder: String::new(),
            weights_sha256: String::new(),
            epoch: 1,
            development_score,
            figures: Vec::new(),
        };
        assert_eq!(best(&[run(1, Some(0.5)), run(2, Some(0.7)), run(3, Some(0.7))]), Some(2));
        assert_eq!(best(&[run(1, None)]), None);
    }

    #[test]
    fn seeds_follow_each_other_as_far_as_numbers_go() {
        assert_eq!(seeds(123, 3).unwrap(), [123, 124, 125]);
        assert_eq!(seeds(u64::MAX, 1).unwrap(), [u64::MAX]);
        assert!(seeds(u64::MAX, 2).unwrap_err().to_string().contains("no 2 seeds"));
    }
}
