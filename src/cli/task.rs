//! What a model is to learn, gathered from labelled sentences where no settings name it.

use crate::cli::data_folder::is_tags;
use crate::cli::misuse;
use crate::cli::recipe::Recipe;
use std::collections::BTreeSet;
use undertone::datasets::Dataset;
use undertone::formats::Contents;
use undertone::head::Activation;

/// What is learnt from a folder of labelled files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Task {
    /// One of two labels a sentence
    Binary,
    /// One of several labels a sentence
    Multiclass,
    /// None, one or several labels a sentence
    Multilabel,
    /// Named entities
    Ner,
}

/// The heads that sentences call for.
#[derive(Debug, PartialEq)]
pub(crate) struct Heads {
    /// Labels of the sentence head; none for no such head.
    pub(crate) labels: Vec<String>,
    pub(crate) activation: Activation,
    /// Types of the token head; none for no such head.
    pub(crate) entity_types: Vec<String>,
}

impl Heads {
    /// Puts them into a recipe.
    pub(crate) fn apply(self, recipe: &mut Recipe) {
        let Self { labels, activation, entity_types } = self;
        (recipe.labels, recipe.activation, recipe.entity_types) = (labels, activation, entity_types);
    }

    /// In words.
    pub(crate) fn told(&self) -> String {
        let labels = (!self.labels.is_empty()).then(|| {
            let how = match (self.activation, self.labels.len()) {
                (Activation::Sigmoid, _) => "none, one or several of the labels",
                (Activation::Softmax, 2) => "one of the two labels",
                (Activation::Softmax, _) => "one of the labels",
            };
            format!("{how} {}", self.labels.join(", "))
        });
        let types =
            (!self.entity_types.is_empty()).then(|| format!("entities {}", self.entity_types.join(", ")));
        labels.into_iter().chain(types).collect::<Vec<_>>().join("; ")
    }
}

/// The heads that training sentences call for: entities where they have entities, one label a sentence where each has
/// exactly one, any number where some have none or several. A `task` that is given decides instead. Names are those that
/// occur, in order (numbers by their value), or those of `listed`: labels, or tags such as `B-PER` for entities.
///
/// # Errors
/// If the sentences have nothing of the sort.
pub(crate) fn gather(
    train: &[Dataset],
    task: Option<Task>,
    listed: Option<&[String]>,
) -> anyhow::Result<Heads> {
    let contents = Contents::of(train.iter().flat_map(|dataset| &dataset.sentences));
    let labelled = contents.labelled > 0 && task != Some(Task::Ner);
    let types = match task {
        None | Some(Task::Ner) => contents.entity_types.clone(),
        Some(_) => BTreeSet::new(),
    };
    match task {
        Some(Task::Ner) if types.is_empty() => {
            return Err(misuse("the training file has no entities; `--task ner` learns from CoNLL columns"));
        }
        Some(task) if task != Task::Ner && !labelled => {
            return Err(misuse(
                "the training file has no labels of sentences; its entities are for `--task ner`",
            ));
        }
        None if !labelled && types.is_empty() => {
            return Err(misuse("the training file has neither labels of sentences nor entities"));
        }
        _ => {}
    }
    let listed_tags = listed.filter(|names| is_tags(names));
    let listed_labels = listed.filter(|_| listed_tags.is_none());
    let labels: Vec<String> = match listed_labels {
        _ if !labelled => Vec::new(),
        Some(names) => names.to_vec(),
        None => contents.label_names(),
    };
    let entity_types: Vec<String> = match listed_tags {
        Some(tags) if !types.is_empty() => {
            let listed: BTreeSet<&str> = tags.iter().filter_map(|tag| Some(tag.split_once('-')?.1)).collect();
            listed.into_iter().map(str::to_owned).collect()
        }
        _ => types.into_iter().collect(),
    };
    let activation = match task {
        Some(Task::Multilabel) => Activation::Sigmoid,
        Some(Task::Binary | Task::Multiclass) => Activation::Softmax,
        None if contents.single_label() && !labels.is_empty() => Activation::Softmax,
        None | Some(Task::Ner) => Activation::Sigmoid,
    };
    match (task, &labels[..]) {
        (Some(Task::Binary), labels) if labels.len() != 2 => Err(misuse(format!(
            "`--task binary` tells two labels apart, and there are {}: {}",
            labels.len(),
            labels.join(", ")
        ))),
        (_, [only]) if activation == Activation::Softmax && listed_labels.is_some() => {
            Err(misuse(format!("labels.json lists only \"{only}\": there is nothing to tell apart")))
        }
        (_, [only]) if activation == Activation::Softmax => {
            Err(misuse(format!("every sentence has the label \"{only}\": there is nothing to tell apart")))
        }
        (_, []) if labelled && entity_types.is_empty() => {
            Err(misuse("no sentence of the training file has a label"))
        }
        _ => Ok(Heads { labels, activation, entity_types }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use undertone::labels::{GoldEntity, GoldSentence};
    use undertone::text::Span;

    fn dataset(sentences: impl IntoIterator<Item = GoldSentence>) -> Vec<Dataset> {
        let sentences = sentences.into_iter().collect();
        vec![Dataset { path: "train".into(), sha256: String::new(), sentences }]
    }

    fn labelled(labels: &[&[&str]]) -> Vec<Dataset> {
        let strings = |labels: &&[&str]| labels.iter().map(|&label| label.to_owned()).collect();
        dataset(labels.iter().map(|l| GoldSentence { labels: Some(strings(l)), ..GoldSentence::default() }))
    }

    fn named(kinds: &[&str]) -> Vec<Dataset> {
        let entity = |kind: &&str| GoldEntity { label: (*kind).to_owned(), span: Span::new(0, 1) };
        let entities = |kind| Some(vec![entity(kind)]);
        dataset(kinds.iter().map(|kind| GoldSentence { entities: entities(kind), ..GoldSentence::default() }))
    }

    fn heads(labels: &[&str], activation: Activation, kinds: &[&str]) -> Heads {
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Heads { labels: strings(labels), activation, entity_types: strings(kinds) }
    }

    #[test]
    fn one_label_a_sentence_calls_for_softmax_and_any_other_number_for_sigmoid() {
        let one = labelled(&[&["no"], &["yes"], &["no"]]);
        assert_eq!(gather(&one, None, None).unwrap(), heads(&["no", "yes"], Activation::Softmax, &[]));
        let none = labelled(&[&["no"], &[], &["yes"]]);
        assert_eq!(gather(&none, None, None).unwrap(), heads(&["no", "yes"], Activation::Sigmoid, &[]));
        let forced = gather(&one, Some(Task::Multilabel), None).unwrap();
        assert_eq!(forced.activation, Activation::Sigmoid);
    }

    #[test]
    fn labels_that_are_numbers_are_in_the_order_of_their_values() {
        let data = labelled(&[&["10"], &["9"], &["0"], &["9"]]);
        assert_eq!(gather(&data, None, None).unwrap().labels, ["0", "9", "10"]);
        let data = labelled(&[&["10"], &["9"], &["a"]]);
        assert_eq!(gather(&data, None, None).unwrap().labels, ["10", "9", "a"]);
    }

    #[test]
    fn entities_call_for_a_token_head_of_their_types_or_of_the_listed_tags() {
        let data = named(&["PER", "LOC", "PER"]);
        assert_eq!(gather(&data, None, None).unwrap().entity_types, ["LOC", "PER"]);
        let listed = ["B-PER", "O", "I-PER", "B-LOC", "I-LOC", "B-Weapon"].map(String::from);
        let found = gather(&data, Some(Task::Ner), Some(&listed)).unwrap();
        assert_eq!(found, heads(&[], Activation::Sigmoid, &["LOC", "PER", "Weapon"]));
    }

    #[test]
    fn listed_labels_keep_their_order() {
        let listed = ["yes", "no", "maybe"].map(String::from);
        let found = gather(&labelled(&[&["no"], &["yes"]]), None, Some(&listed)).unwrap();
        assert_eq!(found, heads(&["yes", "no", "maybe"], Activation::Softmax, &[]));
    }

    #[test]
    fn what_a_task_cannot_be_learnt_from_is_refused() {
        let error = |data: &[Dataset], task| gather(data, task, None).unwrap_err().to_string();
        let three = labelled(&[&["a"], &["b"], &["c"]]);
        assert!(error(&three, Some(Task::Binary)).contains("there are 3: a, b, c"));
        assert!(error(&three, Some(Task::Ner)).contains("no entities"));
        assert!(error(&named(&["PER"]), Some(Task::Multiclass)).contains("no labels"));
        assert!(error(&labelled(&[&["a"], &["a"]]), None).contains("nothing to tell apart"));
        let one = ["a".to_owned()];
        let listed = gather(&three, None, Some(&one)).unwrap_err().to_string();
        assert!(listed.contains("labels.json lists only \"a\""), "{listed}");
        assert!(error(&labelled(&[&[], &[]]), None).contains("no sentence"));
        assert!(error(&[], None).contains("neither"));
    }
}
