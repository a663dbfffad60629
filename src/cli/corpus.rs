//! The labelled files of a training run: read, checked against the heads, and known by their content.

use crate::cli::misuse;
use crate::cli::recipe::{Fold, Recipe, Source};
use serde::Serialize;
use std::path::{Path, PathBuf};
use undertone::datasets::{Dataset, fold, load_with};
use undertone::formats::{LabelledOptions, read_labelled};
use undertone::head::Activation;
use undertone::labels::GoldSentence;

/// The files of a recipe, in its order.
pub(crate) struct Corpus {
    pub(crate) train: Vec<Dataset>,
    pub(crate) dev: Vec<Dataset>,
    pub(crate) test: Vec<Dataset>,
    /// How they are read.
    options: LabelledOptions,
}

/// What identifies a file that was learnt from or scored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FileRecord {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) sentences: usize,
}

impl Corpus {
    /// Reads the files, all in one way.
    ///
    /// # Errors
    /// If one cannot be read or a record is malformed, with file and line.
    pub(crate) fn read(recipe: &Recipe, options: &LabelledOptions) -> anyhow::Result<Self> {
        let read = |source: &Source| Ok(load_with(&source.path, options.clone())?);
        let all = |sources: &[Source]| sources.iter().map(read).collect::<anyhow::Result<Vec<_>>>();
        let (train, dev, test) = (all(&recipe.train)?, all(&recipe.dev)?, all(&recipe.test)?);
        Ok(Self { train, dev, test, options: options.clone() })
    }

    /// Refuses labels and entity types that the head they are for does not know, and sentences that have not the one label a
    /// softmax head is taught. Where a head is not trained, nothing is checked.
    pub(crate) fn check(&self, recipe: &Recipe) -> anyhow::Result<()> {
        let files = [(&recipe.train, &self.train), (&recipe.dev, &self.dev), (&recipe.test, &self.test)];
        for (sources, datasets) in files {
            for (source, dataset) in sources.iter().zip(datasets) {
                check_labels(source, dataset, recipe)?;
                if recipe.activation == Activation::Softmax && !recipe.labels.is_empty() && source.labels {
                    check_single(dataset, &self.options)?;
                }
            }
        }
        Ok(())
    }

    /// Leaves only the first sentences of every training file.
    pub(crate) fn limit(&mut self, sentences: usize) {
        self.train.iter_mut().for_each(|dataset| dataset.sentences.truncate(sentences));
    }

    /// Leaves out a part of the training articles.
    pub(crate) fn leave_out(&mut self, Fold { fold: left, of }: Fold) {
        self.train.iter_mut().for_each(|dataset| dataset.sentences.retain(|s| fold(s, of) != left));
    }

    /// The development sentences with only the gold that their source lends, file by file.
    pub(crate) fn development(&self, recipe: &Recipe) -> Vec<Vec<GoldSentence>> {
        lent(&recipe.dev, &self.dev)
    }

    /// The test sentences, likewise.
    pub(crate) fn test(&self, recipe: &Recipe) -> Vec<Vec<GoldSentence>> {
        lent(&recipe.test, &self.test)
    }
}

/// What identifies the files.
pub(crate) fn records(datasets: &[Dataset]) -> Vec<FileRecord> {
    let record = |d: &Dataset| FileRecord {
        path: d.path.clone(),
        sha256: d.sha256.clone(),
        sentences: d.sentences.len(),
    };
    datasets.iter().map(record).collect()
}

fn lent(sources: &[Source], datasets: &[Dataset]) -> Vec<Vec<GoldSentence>> {
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
        "{path}: the {what} \"{name}\" is not among the `{setting}` of the settings file (or, with --data, of the training \
         file or labels.json): {known}"
    )))
}

fn check_single(dataset: &Dataset, options: &LabelledOptions) -> anyhow::Result<()> {
    let several = |s: &GoldSentence| s.labels.as_ref().is_some_and(|labels| labels.len() != 1);
    let Some(index) = dataset.sentences.iter().position(several) else { return Ok(()) };
    let labels = dataset.sentences[index].labels.as_deref().unwrap_or_default();
    let found = match labels {
        [] => "no label".to_owned(),
        labels => format!("{} labels ({})", labels.len(), labels.join(", ")),
    };
    Err(misuse(format!(
        "{}: the sentence has {found}, and a softmax head is taught exactly one a sentence\n\nhint: for none, one or several \
         labels a sentence give `--task multilabel`, or `activation = \"sigmoid\"` in the settings file",
        place(&dataset.path, options, index)
    )))
}

/// File and line of the sentence with that index.
fn place(path: &Path, options: &LabelledOptions, index: usize) -> String {
    let line = || {
        let mut sentences = read_labelled(path, options.clone()).ok()?;
        Some(sentences.nth(index)?.ok()?.line)
    };
    match line() {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}
