//! Repacked weights: the same answers, whatever the precision, and the same bits in any company.

use crate::cli::{records, root, succeeds, undertone};
use candle_core::{Device, Tensor};
use undertone::bundle::Bundle;
use undertone::encoder::layers::Precision;
use undertone::encoder::{Pass, Sequences};
use undertone::engine::{Engine, Input, Prediction, Tasks};
use undertone::text::split_sentences;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn article() -> String {
    let path = root().join("datasets/examples/summit.txt");
    std::fs::read_to_string(path).unwrap()
}

fn sentences(text: &str) -> Vec<Input<'_>> {
    split_sentences(text).iter().map(|span| Input { text: span.of(text).unwrap(), words: None }).collect()
}

fn engine(precision: Precision) -> Engine {
    Engine::on(Bundle::embedded().unwrap(), Device::Cpu, precision).unwrap()
}

fn predictions(precision: Precision, inputs: &[Input]) -> Vec<Prediction> {
    let engine = engine(precision);
    engine.predict(inputs, Tasks::Both).unwrap()
}

#[test]
fn repacked_layers_compute_what_plain_ones_do() {
    let bundle = Bundle::embedded().unwrap();
    let rows: [Vec<u32>; 4] =
        [(1000..1030).collect(), vec![101, 2054, 102], (2000..2513).step_by(8).collect(), vec![101]];
    let casing: Vec<Vec<u32>> = rows.iter().map(|ids| vec![1; ids.len()]).collect();
    let rows: Vec<(&[u32], &[u32])> =
        rows.iter().zip(&casing).map(|(ids, casing)| (&ids[..], &casing[..])).collect();
    let sequences = Sequences::new(&rows, bundle.config.pad_token_id, true, &Device::Cpu).unwrap();
    let plain =
        bundle.network(&Device::Cpu).unwrap().forward(&sequences, &Pass::inference(), true, true).unwrap();
    // f32 adds in another order; bf16 has 8 bits of mantissa, bytes as many, on logits of about 10.
    for (precision, tolerance) in PRECISIONS.into_iter().zip([1e-4, 0.3, 1.0]) {
        let packed = bundle.inference_network(precision).unwrap();
        let packed = packed.forward(&sequences, &Pass::inference(), true, true).unwrap();
        let off = |plain: Option<&Tensor>, packed: Option<&Tensor>, batch: usize, tokens: Option<usize>| {
            let row = |logits: Option<&Tensor>| {
                let logits = logits.unwrap().get(batch).unwrap();
                tokens.map_or(logits.clone(), |tokens| logits.narrow(0, 0, tokens).unwrap())
            };
            let off = (row(plain) - row(packed)).unwrap().abs().unwrap().flatten_all().unwrap();
            off.max(0).unwrap().to_scalar::<f32>().unwrap()
        };
        for (batch, &length) in sequences.lengths.iter().enumerate() {
            let sentence = off(plain.sentence.as_ref(), packed.sentence.as_ref(), batch, None);
            let token = off(plain.token.as_ref(), packed.token.as_ref(), batch, Some(length));
            assert!(
                sentence.max(token) <= tolerance,
                "{precision:?}, row {batch}: off by {sentence}, {token}"
            );
        }
    }
}

#[test]
fn a_sentence_has_the_same_bits_alone_and_in_any_company() {
    let text = article();
    let inputs = sentences(&text);
    for precision in PRECISIONS {
        let engine = engine(precision);
        let together = engine.predict(&inputs, Tasks::Both).unwrap();
        for (input, together) in inputs.iter().zip(&together) {
            let alone = engine.predict(&[*input], Tasks::Both).unwrap();
            assert_eq!(&alone[0], together, "{precision:?}: {}", input.text);
        }
        let mut backwards: Vec<Input> = inputs.iter().rev().copied().collect();
        backwards.truncate(inputs.len() - 1);
        let answers = engine.with_threads(1).predict(&backwards, Tasks::Both).unwrap();
        assert!(answers.iter().eq(together.iter().rev().take(backwards.len())), "{precision:?}");
    }
}

#[test]
fn lower_precision_gives_the_same_answers_on_an_article() {
    let text = article();
    let inputs = sentences(&text);
    let exact = predictions(Precision::F32, &inputs);
    for precision in [Precision::Bf16, Precision::Int8] {
        let found = predictions(precision, &inputs);
        for ((exact, found), input) in exact.iter().zip(&found).zip(&inputs) {
            assert_eq!(exact.labels, found.labels, "{precision:?}: {}", input.text);
            let off = exact.scores.iter().zip(&found.scores).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= 0.05, "{precision:?}: off by {off}: {}", input.text);
        }
    }
}

#[test]
fn every_level_of_instructions_gives_the_same_answers() {
    let article = root().join("datasets/examples/summit.txt");
    let answers = |level: &str, precision: &str| {
        let mut command = undertone();
        command.args(["analyze", "--format", "jsonl", "--precision", precision]).arg(&article);
        let output = command.env("UNDERTONE_CPU", level).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => Some(records(&String::from_utf8(output.stdout).unwrap())),
            _ => {
                assert_eq!(output.status.code(), Some(2), "{stderr}");
                assert!(
                    stderr.contains(&format!("UNDERTONE_CPU is `{level}`, which this CPU has not")),
                    "{stderr}"
                );
                None
            }
        }
    };
    let best = answers("", "f32").unwrap();
    let mut levels = 0;
    for level in ["plain", "avx2", "avxvnni", "avx512"] {
        for (precision, tolerance) in [("f32", 1e-4), ("bf16", 0.02), ("int8", 0.1)] {
            let Some(found) = answers(level, precision) else { continue };
            levels += 1;
            assert_eq!(found.len(), best.len());
            for (found, best) in found.iter().zip(&best) {
                assert_eq!(found["stance"], best["stance"], "{level} {precision}: {}", best["text"]);
                for (label, score) in best["scores"].as_object().unwrap() {
                    let off = (found["scores"][label].as_f64().unwrap() - score.as_f64().unwrap()).abs();
                    assert!(
                        off <= tolerance,
                        "{level} {precision}: {label} is off by {off}: {}",
                        best["text"]
                    );
                }
            }
        }
    }
    assert!(levels >= 3, "plain loops run everywhere");
}

#[test]
fn the_default_model_is_read_in_bytes_where_the_cpu_multiplies_them_and_else_in_f32() {
    let answers = |level: &str, options: &[&str]| {
        let mut command = undertone();
        command.env("UNDERTONE_CPU", level).args(["classify", "--format", "jsonl"]).args(options);
        succeeds(command.write_stdin(article()))
    };
    let own = if Precision::Int8.is_fast() { "int8" } else { "f32" };
    for (level, usual) in [("", own), ("plain", "f32")] {
        assert_eq!(answers(level, &[]), answers(level, &["--precision", usual]));
    }
    assert_ne!(answers("", &["--precision", "int8"]), answers("", &["--precision", "f32"]));
}

#[test]
fn a_level_that_does_not_exist_is_misuse() {
    let output = undertone().args(["classify"]).env("UNDERTONE_CPU", "fast").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("is `fast`, which is none of plain, avx2, avxvnni, avx512"), "{stderr}");
}
