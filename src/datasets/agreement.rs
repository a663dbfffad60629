use super::coefficients::{cohen_kappa, krippendorff_alpha, masi_distance, nominal_distance};
use super::matching::{MatchBy, Sides, matched};
use crate::evaluation::{Counts, EntityCounts, Mention, count_entities};
use crate::formats::{FormatError, LabelledOptions};
use crate::labels::{GoldEntity, GoldSentence};
use crate::text::{OffsetUnit, Offsets, Span};
use crate::tokens::split_words;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How far two annotators agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// By what their sentences were matched.
    pub matched_by: MatchBy,
    /// Sentences that both have.
    pub matched: usize,
    /// Sentences that only the first has.
    pub only_a: usize,
    /// Sentences that only the second has.
    pub only_b: usize,
    /// Sentences that both have by name, but with other texts; they are not compared.
    pub different_texts: usize,
    /// Labels, if both have any or none on some sentence.
    pub labels: Option<LabelAgreement>,
    /// Entities, if both have any or none on some sentence.
    pub entities: Option<EntityAgreement>,
    /// Sentences that they do not agree on.
    #[serde(skip)]
    pub disagreements: Vec<Disagreement>,
}

/// How far labels agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelAgreement {
    /// Sentences that both have labelled, be it with none.
    pub sentences: usize,
    /// Those of them with the same set of labels.
    pub equal: usize,
    /// Cohen's kappa over sets of labels, each set being a value of its own.
    pub kappa: Option<f64>,
    /// Krippendorff's alpha over sets of labels with nominal distance: sets are equal or not.
    pub alpha: Option<f64>,
    /// Krippendorff's alpha over sets of labels with MASI distance: sets that share labels are nearer.
    pub alpha_masi: Option<f64>,
    /// Label by label, in alphabetical order.
    pub labels: Vec<LabelRow>,
}

/// How far a label agrees.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelRow {
    /// Its name.
    pub label: String,
    /// Sentences to which both gave it.
    pub both: usize,
    /// Sentences to which only the first gave it.
    pub only_a: usize,
    /// Sentences to which only the second gave it.
    pub only_b: usize,
    /// Sentences to which neither gave it.
    pub neither: usize,
    /// Share of sentences on which both say the same.
    pub agreement: f64,
    /// Cohen's kappa of having it or not.
    pub kappa: Option<f64>,
    /// Krippendorff's alpha of having it or not.
    pub alpha: Option<f64>,
}

/// How far entities agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntityAgreement {
    /// Sentences in which both have marked entities, be it none.
    pub sentences: usize,
    /// Those of them with the same entities.
    pub equal: usize,
    /// Entities of the same extent and type. As everywhere, `tp` are those of both, `fn` only the first's, `fp` only the
    /// second's; F1 does not depend on who is first.
    pub exact: Counts,
    /// F1 of `exact`.
    pub exact_f1: Option<f64>,
    /// Entities of the same type that overlap, each matched once.
    pub overlap: Counts,
    /// F1 of `overlap`.
    pub overlap_f1: Option<f64>,
    /// Type by type, in alphabetical order.
    pub types: Vec<TypeRow>,
    /// Words, and those that are in an entity of the same type, or in none, for both.
    pub words: usize,
    /// Words that both say the same of.
    pub equal_words: usize,
    /// Cohen's kappa over words: the type of the entity that a word is in, or none.
    pub word_kappa: Option<f64>,
}

/// How far entities of a type agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TypeRow {
    /// The type.
    pub label: String,
    /// As [`EntityAgreement::exact`].
    pub exact: Counts,
    /// F1 of `exact`.
    pub exact_f1: Option<f64>,
    /// As [`EntityAgreement::overlap`].
    pub overlap: Counts,
    /// F1 of `overlap`.
    pub overlap_f1: Option<f64>,
}

/// A sentence that two annotators do not agree on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disagreement {
    /// Its field `id`, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<serde_json::Value>,
    /// Its article, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub article: Option<String>,
    /// Its text.
    pub text: String,
    /// Line in the first file, from 1.
    pub line_a: usize,
    /// Line in the second file.
    pub line_b: usize,
    /// Labels, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Both<BTreeSet<String>>>,
    /// Entities that the other does not have just so, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entities: Option<Both<Vec<Mention>>>,
}

/// What the first and the second annotator have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Both<T> {
    /// The first.
    pub a: T,
    /// The second.
    pub b: T,
}

/// Compares two annotators' files, read as `labelled` says. Both are held, being no more than people can annotate. `by`: how
/// sentences are matched; `None`: by what they have.
///
/// # Errors
/// If a file cannot be read, something is wrong with a sentence, or a sentence has no name where it is to be matched by it.
pub fn agreement(
    a: &Path,
    b: &Path,
    labelled: &LabelledOptions,
    by: Option<MatchBy>,
) -> Result<Agreement, FormatError> {
    let Sides { matched_by, pairs, only_a, only_b, different_texts } = matched(a, b, labelled, by)?;
    let mut disagreements = Vec::new();
    for ((line_a, a), (line_b, b)) in &pairs {
        let labels = a.labels.as_ref().zip(b.labels.as_ref()).map(|(a, b)| Both { a: set(a), b: set(b) });
        let entities = a.entities.as_ref().zip(b.entities.as_ref());
        let entities = entities.map(|(x, y)| Both { a: not_in(&a.text, x, y), b: not_in(&b.text, y, x) });
        let labels = labels.filter(|both| both.a != both.b);
        let entities = entities.filter(|both| !(both.a.is_empty() && both.b.is_empty()));
        if labels.is_some() || entities.is_some() {
            let (id, article, text) = (a.fields.get("id").cloned(), a.article.clone(), a.text.clone());
            disagreements.push(Disagreement {
                id,
                article,
                text,
                line_a: *line_a,
                line_b: *line_b,
                labels,
                entities,
            });
        }
    }
    let sentences: Vec<(&GoldSentence, &GoldSentence)> = pairs.iter().map(|(a, b)| (&a.1, &b.1)).collect();
    Ok(Agreement {
        matched_by,
        matched: pairs.len(),
        only_a,
        only_b,
        different_texts,
        labels: label_agreement(&sentences),
        entities: entity_agreement(&sentences),
        disagreements,
    })
}

fn set(labels: &[String]) -> BTreeSet<String> {
    labels.iter().cloned().collect()
}

/// The entities that are not among others, in code points.
fn not_in(text: &str, entities: &[GoldEntity], others: &[GoldEntity]) -> Vec<Mention> {
    let mut offsets = Offsets::new(text, OffsetUnit::Char);
    let mention = |entity: &GoldEntity| {
        let (start, end) = offsets.of(entity.span);
        let text = entity.span.of(text).unwrap_or_default().to_owned();
        Mention { label: entity.label.clone(), start, end, text, score: None }
    };
    entities.iter().filter(|entity| !others.contains(entity)).map(mention).collect()
}

fn label_agreement(sentences: &[(&GoldSentence, &GoldSentence)]) -> Option<LabelAgreement> {
    let both =
        |(a, b): &(&GoldSentence, &GoldSentence)| Some((set(a.labels.as_ref()?), set(b.labels.as_ref()?)));
    let sets: Vec<(BTreeSet<String>, BTreeSet<String>)> = sentences.iter().filter_map(both).collect();
    if sets.is_empty() {
        return None;
    }
    let names: BTreeSet<&String> = sets.iter().flat_map(|(a, b)| a.union(b)).collect();
    let row = |label: &String| {
        let items: Vec<(bool, bool)> =
            sets.iter().map(|(a, b)| (a.contains(label), b.contains(label))).collect();
        let count = |decisions: (bool, bool)| items.iter().filter(|item| **item == decisions).count();
        let (both, neither) = (count((true, true)), count((false, false)));
        LabelRow {
            label: label.clone(),
            both,
            only_a: count((true, false)),
            only_b: count((false, true)),
            neither,
            agreement: (both + neither) as f64 / items.len() as f64,
            kappa: cohen_kappa(&items),
            alpha: krippendorff_alpha(&units(&items), nominal_distance),
        }
    };
    let labels = names.into_iter().map(row).collect();
    let units = units(&sets);
    Some(LabelAgreement {
        sentences: sets.len(),
        equal: sets.iter().filter(|(a, b)| a == b).count(),
        kappa: cohen_kappa(&sets),
        alpha: krippendorff_alpha(&units, nominal_distance),
        alpha_masi: krippendorff_alpha(&units, masi_distance),
        labels,
    })
}

fn units<T: Clone>(items: &[(T, T)]) -> Vec<Vec<T>> {
    items.iter().map(|(a, b)| vec![a.clone(), b.clone()]).collect()
}

fn entity_agreement(sentences: &[(&GoldSentence, &GoldSentence)]) -> Option<EntityAgreement> {
    let (mut exact, mut overlap) = (EntityCounts::default(), EntityCounts::default());
    let mut words = Vec::new();
    let (mut compared, mut equal) = (0, 0);
    for (a, b) in sentences {
        let (Some(x), Some(y)) = (&a.entities, &b.entities) else { continue };
        compared += 1;
        equal += usize::from(x == y);
        exact.add(&count_entities(&keys(y), &keys(x), |(label, _)| (*label).to_owned()));
        overlap.add(&overlapping(x, y));
        let spans = a.words.clone().or_else(|| b.words.clone()).unwrap_or_else(|| split_words(&a.text));
        words.extend(spans.into_iter().map(|word| {
            let kind = |entities: &[GoldEntity]| {
                entities.iter().find(|entity| entity.span.overlaps(word)).map(|entity| entity.label.clone())
            };
            (kind(x), kind(y))
        }));
    }
    let row = |(label, &exact): (&String, &Counts)| {
        let overlap = overlap.types.get(label).copied().unwrap_or_default();
        TypeRow { label: label.clone(), exact, exact_f1: exact.f1(), overlap, overlap_f1: overlap.f1() }
    };
    (compared > 0).then(|| EntityAgreement {
        sentences: compared,
        equal,
        exact: exact.total(),
        exact_f1: exact.total().f1(),
        overlap: overlap.total(),
        overlap_f1: overlap.total().f1(),
        types: exact.types.iter().map(row).collect(),
        words: words.len(),
        equal_words: words.iter().filter(|(a, b)| a == b).count(),
        word_kappa: cohen_kappa(&words),
    })
}

fn keys(entities: &[GoldEntity]) -> Vec<(&str, Span)> {
    entities.iter().map(|entity| (entity.label.as_str(), entity.span)).collect()
}

/// Counts entities of one type that share characters, each with the first one left: entities of one annotator do not
/// overlap, so that no other choice would match more.
fn overlapping(a: &[GoldEntity], b: &[GoldEntity]) -> EntityCounts {
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    let mut left: Vec<&GoldEntity> = b.iter().collect();
    for entity in a {
        let met =
            left.iter().position(|other| other.label == entity.label && other.span.overlaps(entity.span));
        counts.entry(entity.label.clone()).or_default().note(met.is_some(), true);
        met.map(|at| left.remove(at));
    }
    for entity in left {
        counts.entry(entity.label.clone()).or_default().note(true, false);
    }
    EntityCounts { types: counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(a: &str, b: &str, by: Option<MatchBy>) -> Agreement {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [("a", a), ("b", b)].map(|(name, content)| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        });
        agreement(&a, &b, &LabelledOptions::default(), by).unwrap()
    }

    fn sentence(text: &str, labels: &[&str]) -> String {
        format!("{}\n", serde_json::json!({"text": text, "labels": labels}))
    }

    #[test]
    fn labels_are_compared_one_by_one_and_as_sets() {
        let a = sentence("one", &["x"])
            + &sentence("two", &["x", "y"])
            + &sentence("three", &[])
            + &sentence("four", &["y"]);
        let b = sentence("three", &[])
            + &sentence("one", &["x"])
            + &sentence("two", &["x"])
            + &sentence("five", &["y"]);
        let agreement = compared(&a, &b, None);
        assert_eq!((agreement.matched, agreement.only_a, agreement.only_b), (3, 1, 1));
        let labels = agreement.labels.unwrap();
        assert_eq!(
            (labels.sentences, labels.equal, labels.labels[0].both, labels.labels[1].only_a),
            (3, 2, 2, 1)
        );
        assert_eq!((labels.labels[0].kappa, labels.labels[1].kappa), (Some(1.0), Some(0.0)));
        assert!(labels.alpha_masi > labels.alpha);
        assert_eq!(agreement.entities, None);
        let told = &agreement.disagreements[0];
        assert_eq!(
            (agreement.disagreements.len(), told.line_a, told.line_b, told.text.as_str()),
            (1, 2, 3, "two")
        );
        assert_eq!(told.labels.as_ref().unwrap().a.len(), 2);
    }

    #[test]
    fn entities_are_compared_by_extent_by_overlap_and_by_word() {
        let a = "The O\nUnited B-ORG\nNations I-ORG\nin O\nLima B-LOC\n";
        let b = "The B-ORG\nUnited I-ORG\nNations I-ORG\nin O\nLima B-PER\n";
        let agreement = compared(a, b, None);
        let entities = agreement.entities.unwrap();
        assert_eq!(entities.exact, Counts { tp: 0, fp: 2, fn_: 2 });
        assert_eq!(entities.overlap, Counts { tp: 1, fp: 1, fn_: 1 });
        assert_eq!((entities.words, entities.equal_words, entities.overlap_f1), (5, 3, Some(0.5)));
        let types: Vec<&str> = entities.types.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(types, ["LOC", "ORG", "PER"]);
        let both = agreement.disagreements[0].entities.clone().unwrap();
        assert_eq!(
            (both.a[0].text.as_str(), both.b[0].text.as_str(), both.b[0].start),
            ("United Nations", "The United Nations", 0)
        );
    }

    #[test]
    fn an_entity_is_matched_once() {
        let entity = |start, end| GoldEntity { label: "LOC".into(), span: (start..end).into() };
        let counts = overlapping(&[entity(0, 3), entity(4, 7), entity(8, 10)], &[entity(0, 7), entity(8, 9)]);
        assert_eq!(counts.total(), Counts { tp: 2, fp: 0, fn_: 1 });
    }
}
