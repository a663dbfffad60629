//! A folder of labelled files under the names that ConfliBERT's folders have, in place of a settings file.

use crate::cli::misuse;
use crate::cli::recipe::{Recipe, Source};
use anyhow::Context;
use std::path::{Path, PathBuf};
use undertone::formats::LabelledOptions;
use undertone::training::TrainingConfig;

/// What stands in the folder.
#[derive(Debug, PartialEq)]
pub(crate) struct DataFolder {
    pub(crate) train: PathBuf,
    pub(crate) dev: Option<PathBuf>,
    pub(crate) test: Option<PathBuf>,
    /// Labels or tags of `labels.json`, if there is one.
    pub(crate) labels: Option<Vec<String>>,
}

/// What a file's name may end with.
const EXTENSIONS: [&str; 5] = ["tsv", "txt", "jsonl", "csv", "conll"];

impl DataFolder {
    /// Looks for `train`, `dev` and `test` files, and for `labels.json`.
    ///
    /// # Errors
    /// If there is no training file, a name is there with two endings, or `labels.json` is not a list of names.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        if !folder.is_dir() {
            return Err(misuse(format!("{}: there is no such folder", folder.display())));
        }
        let Some(train) = find(folder, "train")? else {
            let names = EXTENSIONS.map(|ending| format!("train.{ending}"));
            return Err(misuse(format!(
                "{}: there is no training file in it: {}",
                folder.display(),
                names.join(", ")
            )));
        };
        Ok(Self { train, dev: find(folder, "dev")?, test: find(folder, "test")?, labels: listed(folder)? })
    }

    /// How its files are read: labels may be given by their number in `labels.json`.
    pub(crate) fn options(&self) -> LabelledOptions {
        let names = self.labels.clone().unwrap_or_default();
        let tags = is_tags(&names);
        let (label_names, tag_names) = if tags { (Vec::new(), names) } else { (names, Vec::new()) };
        LabelledOptions { label_names, tag_names, ..LabelledOptions::default() }
    }

    /// Puts the files into a recipe that has none.
    ///
    /// # Errors
    /// If it has.
    pub(crate) fn apply(&self, recipe: &mut Recipe) -> anyhow::Result<()> {
        if [&recipe.train, &recipe.dev, &recipe.test].iter().any(|sources| !sources.is_empty()) {
            return Err(misuse("the settings file names its own data; leave either them or --data out"));
        }
        let source =
            |path: &PathBuf| Source { path: path.clone(), weight: 1.0, labels: true, entities: true };
        recipe.train = vec![source(&self.train)];
        recipe.dev = self.dev.iter().map(source).collect();
        recipe.test = self.test.iter().map(source).collect();
        Ok(())
    }
}

/// Hyper-parameters where no settings file gives any: those that ConfliBERT's fine-tuning has from its settings (epochs, batch,
/// length) and from simpletransformers (rate, warm-up, no weight decay).
pub(crate) fn hyper_parameters() -> TrainingConfig {
    TrainingConfig {
        epochs: 5,
        batch_size: 16,
        max_tokens: 128,
        learning_rate: 4e-5,
        warmup: 0.06,
        weight_decay: 0.0,
        ..TrainingConfig::default()
    }
}

/// Whether names are those of tags (`O`, `B-PER`) rather than of sentence labels.
pub(crate) fn is_tags(names: &[String]) -> bool {
    names.iter().any(|name| name == "O")
}

fn find(folder: &Path, name: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut found =
        EXTENSIONS.iter().map(|ending| folder.join(format!("{name}.{ending}"))).filter(|path| path.is_file());
    match (found.next(), found.next()) {
        (Some(one), Some(other)) => Err(misuse(format!(
            "there are both {} and {}; leave one of them",
            one.display(),
            other.display()
        ))),
        (one, _) => Ok(one),
    }
}

fn listed(folder: &Path) -> anyhow::Result<Option<Vec<String>>> {
    let path = folder.join("labels.json");
    if !path.is_file() {
        return Ok(None);
    }
    let json = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let names: Vec<String> = serde_json::from_slice(&json).map_err(|e| {
        misuse(format!(
            "{}: {e}; it must be a list of labels or of tags, such as [\"no\", \"yes\"]",
            path.display()
        ))
    })?;
    if names.is_empty() {
        return Err(misuse(format!("{}: it lists no label; remove it, or fill it", path.display())));
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_their_names_and_labels_by_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, content) in [("train.tsv", ""), ("test.txt", ""), ("labels.json", "[\"a\", \"b\"]")] {
            std::fs::write(path(name), content).unwrap();
        }
        let labels = Some(vec!["a".to_owned(), "b".to_owned()]);
        let expected =
            DataFolder { train: path("train.tsv"), dev: None, test: Some(path("test.txt")), labels };
        assert_eq!(DataFolder::open(folder.path()).unwrap(), expected);
    }

    #[test]
    fn a_folder_that_leaves_a_question_open_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = || DataFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error().contains("train.tsv, train.txt, train.jsonl"), "{}", error());
        for name in ["train.tsv", "train.csv"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(error().contains("train.tsv and ") && error().contains("train.csv"), "{}", error());
        std::fs::remove_file(folder.path().join("train.csv")).unwrap();
        std::fs::write(folder.path().join("labels.json"), "{}").unwrap();
        assert!(error().contains("labels.json: ") && error().contains("a list of labels"), "{}", error());
        std::fs::write(folder.path().join("labels.json"), "[]").unwrap();
        assert!(error().contains("labels.json: it lists no label"), "{}", error());
        let nowhere = DataFolder::open(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(nowhere.contains("no such folder"), "{nowhere}");
    }
}
