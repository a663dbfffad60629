//! `undertone datasets convert`: whole runs.

use crate::cli::{records, root, succeeds, undertone};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use std::fs;
use std::path::{Path, PathBuf};
use undertone::datasets::load;
use undertone::formats::{LabelledFormat, LabelledOptions};
use undertone::labels::GoldSentence;

fn dispatches() -> PathBuf {
    root().join("datasets/dispatches/dev.jsonl")
}

/// Converts a file into a place of the given name, and gives that place and what was told.
fn convert(input: &Path, to: &str, folder: &Path, more: &[&str]) -> (PathBuf, String) {
    let output = folder.join(to);
    let mut command = undertone();
    command.args(["datasets", "convert"]).arg(input).args(["--to", to, "-o"]).arg(&output).args(more);
    let told = command.assert().success().get_output().stderr.clone();
    (output, String::from_utf8(told).unwrap())
}

#[test]
fn a_corpus_comes_back_from_every_format_but_for_what_is_told_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let gold = load(&dispatches()).unwrap().sentences;
    let total = format!("{} sentences written", gold.len());
    for format in ["articles", "sentences", "hf", "doccano", "prodigy", "label-studio", "spacy", "brat"] {
        let (place, told) = convert(&dispatches(), format, folder.path(), &[]);
        let back = folder.path().join("back");
        fs::create_dir_all(&back).unwrap();
        let (back, _) = convert(&place, "articles", &back, &[]);
        let mut expected = gold.clone();
        let mut read = load(&back).unwrap().sentences;
        match format {
            "brat" => {
                assert!(told.contains("other fields, or their types, are lost"), "{told}");
                expected.iter_mut().for_each(|gold| gold.fields.clear());
                // Documents are read in the order of their names.
                let by_article = |gold: &GoldSentence| gold.article.clone();
                expected.sort_by_key(by_article);
                read.sort_by_key(by_article);
            }
            // Words are made up, not lost; articles do not keep them.
            _ => assert!(!told.contains("note: "), "{format}: {told}"),
        }
        assert!(told.contains(&total), "{format}: {told}");
        assert_eq!(read, expected, "{format}");
    }
}

#[test]
fn labels_come_back_from_tables_and_entities_from_columns() {
    let folder = tempfile::tempdir().unwrap();
    let gold = load(&dispatches()).unwrap().sentences;
    let labels = |sentences: &[GoldSentence]| -> Vec<Vec<String>> {
        sentences.iter().map(|gold| gold.labels.clone().unwrap()).collect()
    };
    let names = "condemnation,reassurance,speculation";
    for (format, more) in [("csv", &[][..]), ("tsv", &[][..]), ("conflibert", &["--label-names", names][..])]
    {
        let (place, told) = convert(&dispatches(), format, folder.path(), more);
        assert!(told.contains("entities are lost"), "{told}");
        if format == "conflibert" {
            assert!(
                told.contains("labels by number: 0 condemnation, 1 reassurance, 2 speculation"),
                "{told}"
            );
        }
        let options = LabelledOptions {
            label_names: names.split(',').map(str::to_owned).collect(),
            ..LabelledOptions::default()
        };
        let read = undertone::datasets::load_with(&place, options).unwrap();
        assert_eq!(labels(&read.sentences), labels(&gold), "{format}");
    }
    let (place, told) = convert(&dispatches(), "conll", folder.path(), &[]);
    assert!(told.contains("labels are lost") && told.contains("white space or line ends"), "{told}");
    let entities = |sentences: &[GoldSentence]| -> Vec<(String, String)> {
        let all = sentences
            .iter()
            .flat_map(|gold| gold.entities.iter().flatten().map(move |entity| (gold, entity)));
        let words = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect();
        all.map(|(gold, entity)| (entity.label.clone(), words(entity.span.of(&gold.text).unwrap()))).collect()
    };
    assert_eq!(entities(&load(&place).unwrap().sentences), entities(&gold));
}

#[test]
fn a_file_is_written_to_standard_output_and_its_format_is_seen_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.json");
    fs::write(&path, "[{\"data\":{\"text\":\"In Lima\"},\"annotations\":[{\"result\":[{\"type\":\"choices\",\"from_name\":\"tone\",\"value\":{\"choices\":[\"hope\"]}}]}]}]").unwrap();
    let mut command = undertone();
    command.args(["datasets", "convert", "--to", "sentences"]).arg(&path);
    let out = records(&succeeds(&mut command));
    assert_eq!((out[0]["text"].as_str(), out[0]["label"].as_str()), (Some("In Lima"), Some("hope")));
    assert_eq!(LabelledFormat::detect(&path).unwrap(), LabelledFormat::LabelStudio);
    let mut command = undertone();
    command.args(["datasets", "convert", "--to", "csv", "--from", "doccano"]).arg(&path);
    command
        .assert()
        .code(1)
        .stderr(contains("export.json:1: field `text`").not().and(contains("export.json:1: ")));
}

#[test]
fn numbers_are_named_and_offsets_counted_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.jsonl");
    fs::write(&path, "{\"tokens\":[\"🕊\",\"Lima\"],\"ner_tags\":[0,1]}\n").unwrap();
    let mut command = undertone();
    command.args(["datasets", "convert", "--to", "doccano"]).arg(&path);
    command
        .assert()
        .code(1)
        .stderr(contains("train.jsonl:1: tag 0 in `ner_tags` is a number").and(contains("--tag-names")));
    for (unit, start) in [("char", 2), ("byte", 5), ("utf16", 3)] {
        let mut command = undertone();
        command
            .args(["datasets", "convert", "--to", "doccano", "--tag-names", "O,B-LOC", "--to-offsets", unit])
            .arg(&path);
        let out = records(&succeeds(&mut command));
        assert_eq!(out[0]["label"], serde_json::json!([[start, start + 4, "LOC"]]), "{unit}");
    }
}

#[test]
fn a_bad_record_stops_the_run_or_is_passed_over_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.tsv");
    let output = folder.path().join("out.csv");
    fs::write(&path, "They met.\t0\nNo one came.\t1\n \t1\n").unwrap();
    let run = |more: &[&str]| {
        let mut command = undertone();
        command.args(["datasets", "convert", "--to", "csv", "-o"]).arg(&output).arg(&path).args(more);
        command.assert()
    };
    run(&[]).code(1).stderr(contains("data.tsv:3: the text is empty").and(contains("--on-error skip")));
    assert!(!output.exists());
    run(&["--on-error", "skip"]).code(1).stderr(
        contains("passed over").and(contains("data.tsv:3: ")).and(contains("1 record could not be read")),
    );
    assert_eq!(fs::read_to_string(&output).unwrap(), "text,label\nThey met.,0\nNo one came.,1\n");
}

#[test]
fn misuse_is_told_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = undertone();
        command.args(["datasets", "convert"]).args(args);
        command.assert().code(2)
    };
    run(&["none.jsonl", "--to", "csv"]).stderr(contains("none.jsonl: No such file"));
    let data = dispatches().display().to_string();
    run(&[&data, "--to", "brat"]).stderr(contains("name a new one with --output"));
    fs::write(folder.path().join("mine"), "").unwrap();
    let there = folder.path().display().to_string();
    run(&[&data, "--to", "brat", "-o", &there]).stderr(contains("is not empty"));
    run(&[&data, "--to", "xml"]).stderr(contains("label-studio"));
    #[cfg(unix)]
    {
        let mut command = undertone();
        command
            .args(["datasets", "convert", "/dev/stdin", "--from", "csv", "--to", "csv"])
            .write_stdin("text,label\n");
        command.assert().code(2).stderr(contains("inputs are read twice"));
    }
}
