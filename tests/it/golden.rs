//! Parity with Hugging Face `transformers`, by the numbers of `scripts/golden_bert.py`.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use undertone::bundle::{Bundle, Network};
use undertone::encoder::{Pass, Sequences};
use undertone::engine::{Engine, Input, Prediction, Tasks};
use undertone::head::Activation;

/// Addition in another order is all that may differ between a sentence alone and the same in company: a few ulp of
/// f32, grown through two layers.
const COMPANY: f32 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    tolerance: f32,
    labels: Vec<String>,
    tags: Vec<String>,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    ids: Vec<u32>,
    logits: Vec<f32>,
    probabilities: Vec<f32>,
    token_logits: Vec<Vec<f32>>,
}

static GOLDEN: LazyLock<Golden> = LazyLock::new(|| {
    let json = std::fs::read(fixture("golden.json")).expect("the fixture is in the checkout");
    serde_json::from_slice(&json).expect("the fixture has the fields of its script")
});

/// Engine on `sequence/` and its answers to every sentence alone.
static ALONE: LazyLock<(Engine, Vec<Prediction>)> = LazyLock::new(|| {
    let engine = Engine::open(Some(&fixture("sequence"))).expect("a folder of save_pretrained opens");
    let alone = (0..GOLDEN.sentences.len()).flat_map(|i| classify(&engine, &[i])).collect();
    (engine, alone)
});

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert").join(name)
}

/// Predictions for the sentences of these numbers, given to the engine together.
fn classify(engine: &Engine, numbers: &[usize]) -> Vec<Prediction> {
    let inputs: Vec<Input> =
        numbers.iter().map(|&i| Input { text: &GOLDEN.sentences[i].text, words: None }).collect();
    engine.predict(&inputs, Tasks::Classify).unwrap()
}

/// Token logits of `token/` for sequences run as one batch, without those on padding.
fn token_logits(network: &Network, pad: u32, rows: &[&[u32]]) -> Vec<Vec<Vec<f32>>> {
    let rows: Vec<(&[u32], &[u32])> = rows.iter().map(|&ids| (ids, &[][..])).collect();
    let sequences = Sequences::new(&rows, pad, false, &Device::Cpu).unwrap();
    let logits = network.forward(&sequences, &Pass::inference(), false, true).unwrap();
    let logits: Tensor = logits.token.expect("the folder has a token head");
    let mut logits = logits.to_vec3::<f32>().unwrap();
    for (row, (ids, _)) in logits.iter_mut().zip(&rows) {
        row.truncate(ids.len());
    }
    logits
}

fn softmax(rows: &[Vec<f32>]) -> Vec<f32> {
    rows.iter().flat_map(|logits| Activation::Softmax.apply(logits)).collect()
}

#[track_caller]
pub(crate) fn assert_close(ours: &[f32], theirs: &[f32], tolerance: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    // `total_cmp` puts NaN on top, where `f32::max` would lose it.
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp).unwrap_or(0.0);
    assert!(worst <= tolerance, "{what}: off by {worst:e}, {tolerance:e} is allowed\n{ours:?}\n{theirs:?}");
}

#[test]
fn a_folder_of_save_pretrained_opens_with_its_labels() {
    let sequence = Bundle::open(&fixture("sequence")).unwrap();
    let task = sequence.description.sentence().expect("a sequence classifier has a sentence head");
    assert_eq!((&task.labels, task.activation), (&GOLDEN.labels, Activation::Sigmoid));
    assert_eq!(sequence.description.token(), None);

    let token = Bundle::open(&fixture("token")).unwrap();
    assert_eq!(token.description.token().map(|task| &task.labels), Some(&GOLDEN.tags));
    assert_eq!(token.description.sentence(), None);
    assert_eq!(Engine::new(token).unwrap().entity_labels(), ["LOC", "PER"]);
}

#[test]
fn ids_are_those_of_transformers() {
    for folder in ["sequence", "token"] {
        let tokenizer = Bundle::open(&fixture(folder)).unwrap().tokenizer;
        for sentence in &GOLDEN.sentences {
            let pieces = tokenizer.pieces(&sentence.text).unwrap().ids;
            let ids = [tokenizer.prefix(), &pieces, tokenizer.suffix()].concat();
            assert_eq!(ids, sentence.ids, "{folder}: {}", sentence.text);
        }
    }
}

#[test]
fn sentence_probabilities_are_those_of_transformers() {
    let (engine, _) = &*ALONE;
    let numbers: Vec<usize> = (0..GOLDEN.sentences.len()).collect();
    for (sentence, prediction) in GOLDEN.sentences.iter().zip(classify(engine, &numbers)) {
        assert_close(&prediction.scores, &sentence.probabilities, GOLDEN.tolerance, &sentence.text);
        // The sigmoid passes on at most a quarter of an error in its logit.
        assert_close(&prediction.logits, &sentence.logits, 4.0 * GOLDEN.tolerance, &sentence.text);
    }
}

#[test]
fn token_probabilities_are_those_of_transformers() {
    let bundle = Bundle::open(&fixture("token")).unwrap();
    let network = bundle.network(&Device::Cpu).unwrap();
    let rows: Vec<&[u32]> = GOLDEN.sentences.iter().map(|s| &s.ids[..]).collect();
    let ours = token_logits(&network, bundle.config.pad_token_id, &rows);
    for (sentence, ours) in GOLDEN.sentences.iter().zip(ours) {
        let (ours, theirs) = (softmax(&ours), softmax(&sentence.token_logits));
        assert_close(&ours, &theirs, GOLDEN.tolerance, &sentence.text);
    }
}

#[test]
fn padding_changes_nothing_for_the_tokens_before_it() {
    let bundle = Bundle::open(&fixture("token")).unwrap();
    let network = bundle.network(&Device::Cpu).unwrap();
    let pad = bundle.config.pad_token_id;
    let rows: Vec<&[u32]> = GOLDEN.sentences.iter().map(|s| &s.ids[..]).collect();
    let together = token_logits(&network, pad, &rows);
    for (sentence, together) in GOLDEN.sentences.iter().zip(together) {
        let alone = token_logits(&network, pad, &[&sentence.ids]).remove(0);
        assert_close(&softmax(&together), &softmax(&alone), COMPANY, &sentence.text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Up to 40 sentences, repeats included, are more than the engine puts into one batch.
    #[test]
    fn a_sentence_scores_the_same_alone_or_in_any_company(
        numbers in prop::collection::vec(0..GOLDEN.sentences.len(), 0..40)
    ) {
        let (engine, alone) = &*ALONE;
        let together = classify(engine, &numbers);
        prop_assert_eq!(together.len(), numbers.len());
        for (&i, prediction) in numbers.iter().zip(&together) {
            assert_close(&prediction.scores, &alone[i].scores, COMPANY, &GOLDEN.sentences[i].text);
        }
    }
}
