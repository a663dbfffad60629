//! Training from a folder of labelled files, and under several seeds.

use crate::cli::{records, sentence_model, succeeds, token_model, undertone};
use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with the labelled sentences `train`, `dev` and `test`, each with the label that `label` gives.
fn folder_of(folder: &Path, label: impl Fn(usize) -> Value) -> PathBuf {
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    let texts = ["the minister may leave", "we condemn the pact", "they met on friday"];
    for (split, n) in [("train", 60), ("dev", 18), ("test", 15)] {
        let line = |i: usize| {
            let record = serde_json::json!({"text": format!("{} {i}", texts[i % 3]), "label": label(i)});
            format!("{record}\n")
        };
        fs::write(data.join(format!("{split}.jsonl")), (0..n).map(line).collect::<String>()).unwrap();
    }
    data
}

fn three_classes(folder: &Path) -> PathBuf {
    folder_of(folder, |i| ["may", "condemn", "meet"][i % 3].into())
}

/// A quick run from the tiny model.
fn train(data: &Path, output: &Path) -> Command {
    train_from(&sentence_model(), data, output, 3)
}

fn train_from(base: &Path, data: &Path, output: &Path, epochs: usize) -> Command {
    let mut command = undertone();
    command.args(["train", "--new-head", "--learning-rate", "3e-3", "--epochs", &epochs.to_string()]);
    command.arg("--data").arg(data).arg("--base").arg(base).arg("--output").arg(output);
    command
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn weights(model: &Path) -> Vec<u8> {
    fs::read(model.join("model.safetensors")).unwrap()
}

#[test]
fn a_folder_with_one_label_a_sentence_makes_a_softmax_model_that_is_exported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let (data, model) = (three_classes(folder.path()), folder.path().join("model"));
    let mut run = train(&data, &model);
    let told = run.assert().success().stderr(contains("learning one of the labels condemn, may, meet"));
    let told = String::from_utf8(told.get_output().stdout.clone()).unwrap();
    assert!(told.contains("test.jsonl: 15 sentences, test\n") && told.contains("  macro_f1 "), "{told}");

    let description = json(&model.join("undertone.json"));
    let head = &description["heads"][0];
    assert_eq!(head["activation"], "softmax");
    assert_eq!(head["labels"], serde_json::json!(["condemn", "may", "meet"]));
    assert_ne!(head["temperature"], 1.0, "the temperature is fitted");
    assert_eq!(head["thresholds"], serde_json::json!([0.5, 0.5, 0.5]));
    let training = &description["training"]["recipe"]["training"];
    assert_eq!((&training["batch_size"], &training["weight_decay"]), (&16.into(), &0.0.into()));

    let answers = |model: &Path| {
        let mut classify = undertone();
        classify.args(["classify", "-m"]).arg(model).write_stdin("We condemn the pact.");
        records(&succeeds(&mut classify)).remove(0)
    };
    assert_eq!(answers(&model)["stance"], serde_json::json!(["condemn"]));
    let plain = folder.path().join("plain");
    undertone().args(["models", "export"]).arg(&model).arg(&plain).assert().success();
    let config = json(&plain.join("config.json"));
    assert_eq!(config["problem_type"], "single_label_classification");
    assert_eq!(config["architectures"], serde_json::json!(["BertForSequenceClassification"]));
    for (label, score) in answers(&model)["scores"].as_object().unwrap() {
        let there = answers(&plain)["scores"][label].as_f64().unwrap();
        assert!((score.as_f64().unwrap() - there).abs() < 1e-5, "{label}");
    }
}

#[test]
fn several_seeds_are_told_by_mean_and_deviation_and_made_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, output) = (three_classes(folder.path()), folder.path().join("models"));
    let several = |seeds: &str| {
        let mut command = train(&data, &output);
        command.args(["--seed", "7", "--seeds", seeds]);
        command
    };
    let told = succeeds(&mut several("2"));
    assert!(told.contains("test.jsonl: 15 sentences, test, mean ± standard deviation of 2 seeds"), "{told}");
    let report = json(&output.join("seeds.json"));
    let of = |run: usize, file: usize, figure: &str| {
        report["runs"][run]["figures"][file][figure].as_f64().unwrap()
    };
    assert_eq!(
        report["files"].as_array().unwrap().iter().map(|f| &f["split"]).collect::<Vec<_>>(),
        ["development", "test"]
    );
    for (file, name) in report["files"].as_array().unwrap().iter().enumerate() {
        for figure in ["macro_f1", "micro_f1", "exact_match", "average_precision", "may.f1"] {
            let (one, other) = (of(0, file, figure), of(1, file, figure));
            let summary = &name["summary"][figure];
            assert_eq!(summary["n"], 2);
            assert!((summary["mean"].as_f64().unwrap() - (one + other) / 2.0).abs() < 1e-12);
            let deviation = (one - other).abs() / 2f64.sqrt();
            assert!((summary["standard_deviation"].as_f64().unwrap() - deviation).abs() < 1e-12);
        }
    }
    let best = report["best"].as_u64().unwrap();
    let score = |seed: u64| {
        let run = report["runs"].as_array().unwrap().iter().find(|run| run["seed"] == seed).unwrap();
        run["development_score"].as_f64().unwrap()
    };
    assert!(score(best) >= score(7).max(score(8)));
    assert!(told.lines().last().unwrap().ends_with(&format!("seed-{best}")), "{told}");

    let (seven, eight) = (output.join("seed-7"), output.join("seed-8"));
    assert!(weights(&seven) != weights(&eight), "two seeds, one model");
    assert!(!seven.join("checkpoint").exists(), "a run that is done needs none");
    // A single run with that seed is the same.
    let single = folder.path().join("single");
    train(&data, &single).args(["--seed", "8"]).assert().success();
    assert!(weights(&single) == weights(&eight));

    // A run that was cut before its end is made again, one that is done is left alone, and a third seed is added.
    let before = weights(&eight);
    fs::remove_file(eight.join("undertone.json")).unwrap();
    let again = several("3").assert().success();
    let again = again.stderr(contains("seed 7:").not().and(contains("seed 8:")).and(contains("seed 9:")));
    assert!(String::from_utf8_lossy(&again.get_output().stdout).contains("of 3 seeds"));
    assert!(weights(&eight) == before);
    let report = json(&output.join("seeds.json"));
    assert_eq!(
        report["runs"].as_array().unwrap().iter().map(|run| &run["seed"]).collect::<Vec<_>>(),
        [7, 8, 9]
    );

    // Other settings are another run.
    let other = several("2").args(["--batch-size", "8"]).assert().code(2);
    other.stderr(contains("seed-7 holds a model that was made with other settings"));
}

#[test]
fn a_sentence_with_other_than_one_label_is_no_lesson_for_a_softmax_head() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder_of(folder.path(), |i| if i == 4 { serde_json::json!(["a", "b"]) } else { "a".into() });
    let output = folder.path().join("model");
    let refused = train(&data, &output).args(["--task", "multiclass"]).assert().code(2);
    refused.stderr(
        contains("train.jsonl:5: the sentence has 2 labels (a, b)").and(contains("--task multilabel")),
    );
    assert!(!output.exists());
    train(&data, &output).assert().success().stderr(contains("none, one or several of the labels a, b"));
    assert_eq!(json(&output.join("undertone.json"))["heads"][0]["activation"], "sigmoid");
}

#[test]
fn conll_columns_in_a_folder_make_a_model_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let sentence = |i: usize| {
        format!(
            "they\tO\nmet\tO\nana\tB-PER\nduarte\tI-PER\n{i}\tO\n\nthe\tO\npact\tO\nof\tO\nlima\tB-LOC\n\n"
        )
    };
    for split in ["train", "dev", "test"] {
        fs::write(data.join(format!("{split}.txt")), (0..20).map(sentence).collect::<String>()).unwrap();
    }
    // As ConfliBERT's folders list them; a type that does not occur is a type all the same.
    fs::write(data.join("labels.json"), "[\"B-PER\", \"O\", \"I-PER\", \"B-LOC\", \"I-LOC\", \"B-Money\"]")
        .unwrap();
    let output = folder.path().join("models");
    let told =
        succeeds(train_from(&token_model(), &data, &output, 8).args(["--seeds", "2", "--batch-size", "4"]));
    assert!(told.contains("  entity_f1 ") && told.contains("  PER.f1 "), "{told}");
    let report = json(&output.join("seeds.json"));
    assert!(report["files"][1]["summary"]["entity_f1"]["mean"].as_f64().unwrap() > 0.9, "{report}");
    let head = &json(&output.join("seed-1/undertone.json"))["heads"][0];
    assert_eq!(
        head["labels"],
        serde_json::json!(["O", "B-LOC", "I-LOC", "B-Money", "I-Money", "B-PER", "I-PER"])
    );
}

#[test]
fn tab_separated_files_are_learnt_as_conflibert_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let texts = ["the minister may leave", "we condemn the pact", "they met on friday"];
    let learnt = |name: &str, labels: [&str; 3], names: Option<&str>, told: &str| {
        let data = folder.path().join(name);
        fs::create_dir(&data).unwrap();
        for (split, n) in [("train", 60), ("dev", 18), ("test", 15)] {
            let row = |i: usize| format!("{} {i}\t{}\n", texts[i % 3], labels[i % 3]);
            fs::write(data.join(format!("{split}.tsv")), (0..n).map(row).collect::<String>()).unwrap();
        }
        if let Some(names) = names {
            fs::write(data.join("labels.json"), names).unwrap();
        }
        let output = folder.path().join(name).join("model");
        train(&data, &output).assert().success().stderr(contains(told));
        json(&output.join("undertone.json"))["heads"][0].clone()
    };
    let binary = learnt("binary", ["0", "1", "0"], None, "learning one of the two labels 0, 1\n");
    assert_eq!((&binary["activation"], &binary["pooling"]), (&"softmax".into(), &"pooler".into()));
    let multiclass = learnt("multiclass", ["2", "10", "1"], None, "learning one of the labels 1, 2, 10\n");
    assert_eq!(multiclass["activation"], "softmax");
    let told = "learning none, one or several of the labels 0, 1\n";
    let multilabel = learnt("multilabel", ["1\t1", "0\t1", "0\t0"], None, told);
    assert_eq!(multilabel["activation"], "sigmoid");
    assert_ne!(multilabel["thresholds"], serde_json::json!([0.5, 0.5]), "they are fitted");
    let named =
        learnt("named", ["11", "01", "00"], Some("[\"doubt\", \"talk\"]"), "the labels doubt, talk\n");
    assert_eq!(named["labels"], serde_json::json!(["doubt", "talk"]));
}

#[test]
fn settings_and_a_folder_of_data_are_put_together_but_not_twice_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (data, output) = (three_classes(folder.path()), folder.path().join("model"));
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "pooling = \"mean\"\n[training]\nbatch_size = 8\nlabel_smoothing = 0.1\n").unwrap();
    let with_settings = |more: &[&str]| {
        let mut command = train(&data, &output);
        command.arg("--config").arg(&settings).args(more);
        command
    };
    with_settings(&[]).assert().success();
    let description = json(&output.join("undertone.json"));
    assert_eq!(description["training"]["recipe"]["training"]["label_smoothing"], 0.1);
    let head = &description["heads"][0];
    assert_eq!((&head["pooling"], &head["activation"]), (&"mean".into(), &"softmax".into()));

    fs::write(&settings, "labels = [\"may\", \"condemn\", \"meet\"]\n").unwrap();
    with_settings(&["--task", "multiclass"])
        .assert()
        .code(2)
        .stderr(contains("leave either that or --task out"));
    fs::write(&settings, "[[train]]\npath = \"wire.jsonl\"\n").unwrap();
    with_settings(&[]).assert().code(2).stderr(contains("leave either them or --data out"));
    let bare = |args: &[&str]| undertone().arg("train").args(args).assert().code(2);
    bare(&["-o", "nowhere"]).stderr(contains("--config"));
    bare(&["--data", data.to_str().unwrap(), "-o", "nowhere"]).stderr(contains("give --base"));
}
