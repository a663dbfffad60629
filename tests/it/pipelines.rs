//! The answers of Hugging Face `transformers`' pipelines, by the numbers of `scripts/golden_pipelines.py`.

use crate::cli::root;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use undertone::bundle::Bundle;
use undertone::engine::{Aggregation, Engine, Input, Tasks, ZeroShot};
use undertone::text::{Entity, OffsetUnit, Offsets};

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    candidates: Vec<String>,
    families: Vec<Family>,
}

#[derive(Deserialize)]
struct Family {
    family: String,
    /// Per text the score of every label.
    stance: Vec<BTreeMap<String, f32>>,
    /// Per strategy, text by text.
    entities: BTreeMap<String, Vec<Vec<Found>>>,
    /// For `one` label alone and `several` at once, text by text the scores of the candidates, but for texts that
    /// `transformers` cuts.
    zero_shot: BTreeMap<String, Vec<Option<Vec<f32>>>>,
    /// A text with special tokens written out.
    special: Special,
}

#[derive(Deserialize)]
struct Special {
    text: String,
    stance: BTreeMap<String, f32>,
    /// Piece by piece.
    entities: Vec<Found>,
}

/// Label, start and end in code points, score.
type Found = (String, usize, usize, f32);

fn fixtures() -> PathBuf {
    root().join("tests/fixtures")
}

fn golden() -> Golden {
    let json = std::fs::read(fixtures().join("pipelines.json")).expect("the fixture is in the checkout");
    serde_json::from_slice(&json).expect("the fixture has the fields of its script")
}

fn inputs(texts: &[String]) -> Vec<Input<'_>> {
    texts.iter().map(|text| Input { text, words: None }).collect()
}

#[test]
fn every_label_has_the_score_of_the_pipeline() {
    let Golden { texts, families, .. } = golden();
    for Family { family, stance, .. } in families {
        let engine = Engine::open(Some(&fixtures().join("families").join(&family).join("sequence"))).unwrap();
        let answers = engine.predict(&inputs(&texts), Tasks::Classify).unwrap();
        for ((text, expected), answer) in texts.iter().zip(stance).zip(answers) {
            assert_eq!(expected.len(), engine.labels().len());
            for (label, score) in engine.labels().iter().zip(answer.scores) {
                let expected = expected[label];
                assert!(
                    (score - expected).abs() < TOLERANCE,
                    "{family}, {text:?}: {label} {score}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn every_aggregation_finds_the_entities_of_the_pipeline() {
    let strategies = [
        ("none", Aggregation::None),
        ("simple", Aggregation::Simple),
        ("first", Aggregation::First),
        ("average", Aggregation::Average),
        ("max", Aggregation::Max),
    ];
    let Golden { texts, families, .. } = golden();
    for Family { family, entities, .. } in families {
        let folder = fixtures().join("families").join(&family).join("token");
        for (name, aggregation) in strategies {
            let engine = Engine::open(Some(&folder)).unwrap().with_aggregation(aggregation);
            let answers = engine.predict(&inputs(&texts), Tasks::Ner).unwrap();
            for ((text, expected), answer) in texts.iter().zip(&entities[name]).zip(answers) {
                assert_same(&format!("{family}, {name}"), text, answer.entities.unwrap(), expected);
            }
        }
    }
}

#[test]
fn special_tokens_in_a_text_are_read_as_by_the_pipelines_where_that_is_asked_for() {
    for Family { family, special, .. } in golden().families {
        let open = |kind: &str| {
            let folder = fixtures().join("families").join(&family).join(kind);
            Engine::open(Some(&folder)).unwrap().reading_special_tokens()
        };
        let input = [Input { text: &special.text, words: None }];
        let engine = open("sequence");
        let scores = engine.predict(&input, Tasks::Classify).unwrap().remove(0).scores;
        for (label, score) in engine.labels().iter().zip(scores) {
            let expected = special.stance[label];
            assert!((score - expected).abs() < TOLERANCE, "{family}: {label} {score}, not {expected}");
        }
        let engine = open("token").with_aggregation(Aggregation::None);
        let answer = engine.predict(&input, Tasks::Ner).unwrap().remove(0);
        assert_same(&family, &special.text, answer.entities.unwrap(), &special.entities);
    }
}

/// Entities in the same places with the same labels and scores.
fn assert_same(what: &str, text: &str, found: Vec<Entity>, expected: &[Found]) {
    let mut offsets = Offsets::new(text, OffsetUnit::Char);
    let found: Vec<Found> = found
        .into_iter()
        .map(|entity| {
            let (start, end) = offsets.of(entity.span);
            (entity.label, start, end, entity.score)
        })
        .collect();
    let place = |e: &Found| (e.0.clone(), e.1, e.2);
    assert_eq!(
        found.iter().map(place).collect::<Vec<_>>(),
        expected.iter().map(place).collect::<Vec<_>>(),
        "{what}: {text:?}"
    );
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.3 - expected.3).abs() < TOLERANCE, "{what}: {found:?}, not {expected:?}");
    }
}

#[test]
fn any_labels_have_the_scores_of_the_zero_shot_pipeline() {
    let Golden { texts, candidates, families } = golden();
    for Family { family, zero_shot, .. } in families {
        let mut bundle = Bundle::open(&fixtures().join("families").join(&family).join("sequence")).unwrap();
        let task = bundle.description.sentence_mut().unwrap();
        task.labels = ["contradiction", "neutral", "entailment"].map(String::from).to_vec();
        for (name, multi_label) in [("one", false), ("several", true)] {
            let settings =
                ZeroShot { labels: candidates.clone(), template: ZeroShot::TEMPLATE.to_owned(), multi_label };
            let engine = Engine::new(bundle.clone()).unwrap().with_zero_shot(settings).unwrap();
            assert_eq!(engine.labels(), candidates);
            let answers = engine.predict(&inputs(&texts), Tasks::Classify).unwrap();
            for ((text, expected), answer) in texts.iter().zip(&zero_shot[name]).zip(answers) {
                assert!(multi_label || answer.labels.len() == 1);
                let Some(expected) = expected else { continue };
                assert_eq!(answer.scores.len(), expected.len());
                for (score, expected) in answer.scores.iter().zip(expected) {
                    assert!(
                        (score - expected).abs() < TOLERANCE,
                        "{family}, {name}, {text:?}: {score}, not {expected}"
                    );
                }
            }
        }
    }
}
