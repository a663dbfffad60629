//! Parity with Hugging Face `transformers` for the relatives of BERT, by the numbers of `scripts/golden_families.py`.

use crate::golden::assert_close;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use undertone::bundle::{Bundle, Network};
use undertone::encoder::{Pass, Sequences};
use undertone::engine::{Engine, Input, Tasks};

const FAMILIES: [&str; 11] = [
    "albert",
    "camembert",
    "deberta-v2",
    "deberta-v3",
    "distilbert",
    "electra",
    "modernbert",
    "modernbert-mean",
    "mpnet",
    "roberta",
    "xlm-roberta",
];

/// A sentence alone against the same in a padded batch.
const COMPANY: f32 = 1e-5;

#[derive(Deserialize)]
struct Golden {
    tolerance: f32,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    ids: Vec<u32>,
    logits: Vec<f32>,
    token_logits: Vec<Vec<f32>>,
}

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families").join(family)
}

fn golden(family: &str) -> Golden {
    let json = std::fs::read(folder(family).join("golden.json")).expect("the fixture is in the checkout");
    serde_json::from_slice(&json).expect("the fixture has the fields of its script")
}

/// Logits of the head of a folder for rows of ids run as one batch: sentences' in one row each, or tokens' one after the
/// other, without those on padding.
fn logits(folder: &Path, rows: &[&[u32]], token: bool) -> Vec<Vec<f32>> {
    let bundle = Bundle::open(folder).unwrap();
    let network = bundle.network(&Device::Cpu).unwrap();
    let padded: Vec<(&[u32], &[u32])> = rows.iter().map(|&ids| (ids, &[][..])).collect();
    let sequences = Sequences::new(&padded, bundle.config.pad_token_id, false, &Device::Cpu).unwrap();
    let logits = network.forward(&sequences, &Pass::inference(), !token, token).unwrap();
    if !token {
        return logits.sentence.expect("a sentence head").to_vec2().unwrap();
    }
    let logits = logits.token.expect("a token head").to_vec3::<f32>().unwrap();
    logits.iter().zip(rows).map(|(row, ids)| row[..ids.len()].concat()).collect()
}

#[test]
fn ids_are_those_of_transformers() {
    for family in FAMILIES {
        for kind in ["sequence", "token"] {
            let tokenizer = Bundle::open(&folder(family).join(kind)).unwrap().tokenizer;
            for sentence in golden(family).sentences {
                let pieces = tokenizer.pieces(&sentence.text).unwrap().ids;
                let ids = [tokenizer.prefix(), &pieces, tokenizer.suffix()].concat();
                assert_eq!(ids, sentence.ids, "{family}: {}", sentence.text);
            }
        }
    }
}

#[test]
fn logits_of_both_heads_are_those_of_transformers() {
    for family in FAMILIES {
        let golden = golden(family);
        let rows: Vec<&[u32]> = golden.sentences.iter().map(|s| &s.ids[..]).collect();
        for (kind, token) in [("sequence", false), ("token", true)] {
            let folder = folder(family).join(kind);
            let together = logits(&folder, &rows, token);
            for (sentence, ours) in golden.sentences.iter().zip(together) {
                let what = format!("{family}, {kind}: {}", sentence.text);
                let theirs = if token { sentence.token_logits.concat() } else { sentence.logits.clone() };
                assert_close(&ours, &theirs, golden.tolerance, &what);
                let alone = logits(&folder, &[&sentence.ids], token).remove(0);
                assert_close(&ours, &alone, COMPANY, &what);
            }
        }
    }
}

/// On a GPU every layer is composed of candle's operations, as it is on the CPU for any type but f32.
#[test]
fn composed_of_plain_operations_the_logits_are_the_same() {
    for family in FAMILIES {
        let golden = golden(family);
        let bundle = Bundle::open(&folder(family).join("sequence")).unwrap();
        let tensors: HashMap<String, Tensor> =
            bundle.weights.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        let builder = VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu);
        let network = Network::load(builder, &bundle.config, &bundle.description).unwrap();
        let rows: Vec<(&[u32], &[u32])> = golden.sentences.iter().map(|s| (&s.ids[..], &[][..])).collect();
        let sequences = Sequences::new(&rows, bundle.config.pad_token_id, false, &Device::Cpu).unwrap();
        let logits = network.forward(&sequences, &Pass::inference(), true, false).unwrap();
        let logits = logits.sentence.expect("a sentence head").to_dtype(DType::F32).unwrap();
        for (sentence, ours) in golden.sentences.iter().zip(logits.to_vec2().unwrap()) {
            assert_close(&ours, &sentence.logits, golden.tolerance, &format!("{family}: {}", sentence.text));
        }
    }
}

/// Tensors of a safetensors file by name, as bytes.
fn tensors(folder: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let file = std::fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let named =
        tensors.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec())));
    named.collect()
}

#[test]
fn an_exported_head_has_the_tensors_and_names_of_save_pretrained() {
    for family in FAMILIES {
        for (kind, head, class) in
            [("sequence", "sequence", "SequenceClassification"), ("token", "token", "TokenClassification")]
        {
            let output = tempfile::tempdir().unwrap();
            Bundle::open(&folder(family).join(kind))
                .unwrap()
                .export(output.path(), head, DType::F32)
                .unwrap();
            let (ours, theirs) = (tensors(output.path()), tensors(&folder(family).join(kind)));
            assert_eq!(ours, theirs, "{family}, {kind}");
            let config = |folder: &Path| -> serde_json::Value {
                serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
            };
            let (ours, theirs) = (config(output.path()), config(&folder(family).join(kind)));
            assert_eq!(ours["architectures"], theirs["architectures"]);
            assert!(ours["architectures"][0].as_str().unwrap().ends_with(class));
            assert_eq!(ours["id2label"], theirs["id2label"]);
        }
    }
}

#[test]
fn the_engine_reads_text_with_every_family() {
    for family in FAMILIES {
        let golden = golden(family);
        let inputs: Vec<Input> =
            golden.sentences.iter().map(|s| Input { text: &s.text, words: None }).collect();
        let engine = Engine::open(Some(&folder(family).join("sequence"))).unwrap();
        let predictions = engine.predict(&inputs, Tasks::Classify).unwrap();
        for (sentence, prediction) in golden.sentences.iter().zip(predictions) {
            assert_close(&prediction.logits, &sentence.logits, golden.tolerance, family);
        }
        let engine = Engine::open(Some(&folder(family).join("token"))).unwrap();
        assert_eq!(engine.entity_labels(), ["LOC", "PER"]);
        for (sentence, prediction) in
            golden.sentences.iter().zip(engine.predict(&inputs, Tasks::Ner).unwrap())
        {
            for entity in prediction.entities.iter().flatten() {
                let text = &sentence.text[entity.span.start..entity.span.end];
                assert_eq!(text.trim(), text, "{family}: an entity without the space before it");
            }
        }
    }
}

#[derive(Deserialize)]
struct Forms {
    tolerance: f32,
    sentences: Vec<Formed>,
}

#[derive(Deserialize)]
struct Formed {
    form: String,
    text: String,
    logits: Vec<f32>,
}

#[test]
fn weights_in_torch_files_and_in_several_files_give_the_same_numbers() {
    let json = std::fs::read(folder("forms").join("golden.json")).unwrap();
    let golden: Forms = serde_json::from_slice(&json).unwrap();
    for form in ["bin-f16", "sharded-bf16"] {
        let engine = Engine::open(Some(&folder("forms").join(form))).unwrap();
        let sentences: Vec<&Formed> = golden.sentences.iter().filter(|s| s.form == form).collect();
        assert!(sentences.len() > 10, "{form}");
        let inputs: Vec<Input> = sentences.iter().map(|s| Input { text: &s.text, words: None }).collect();
        for (sentence, ours) in sentences.iter().zip(engine.predict(&inputs, Tasks::Classify).unwrap()) {
            assert_close(&ours.logits, &sentence.logits, golden.tolerance, form);
        }
    }
}
