//! Results in every form: whole runs.

use crate::cli::{records, sentence_model, succeeds, token_model, undertone};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use undertone::formats::{LabelledFormat, read_labelled};
use undertone::labels::GoldSentence;

const ARTICLES: &str = concat!(
    r#"{"id":"a","when":"2024-05-01","text":"🕊 Ana Duarte condemned the attack in Zürich. \"It may\tget worse,\" she said."}"#,
    "\n",
    r#"{"id":"empty","text":" "}"#,
    "\n",
    r#"{"id":7,"text":"The United Nations and France welcomed the talks.\nNobody was named."}"#,
    "\n",
    r#"{"id":7,"text":"Peter Novak left Lima for Paris."}"#,
    "\n",
);

/// A run of the default model over the articles.
fn analyze(args: &[&str]) -> assert_cmd::Command {
    let mut command = undertone();
    command.args(["analyze", "--date-field", "when"]).args(args).write_stdin(ARTICLES);
    command
}

fn sentences() -> Vec<Value> {
    let found = records(&succeeds(&mut analyze(&[])));
    let entities = found.iter().map(|record| record["entities"].as_array().unwrap().len()).sum::<usize>();
    assert!(found.len() == 5 && entities >= 5, "the articles name too few to tell anything: {found:?}");
    found
}

/// The rows under the header of a table.
fn rows(table: &str, delimiter: u8) -> (Vec<String>, Vec<csv::StringRecord>) {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter == b',')
        .from_reader(table.as_bytes());
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.records().map(Result::unwrap).collect())
}

#[test]
fn labelled_formats_read_back_with_the_labels_and_entities_of_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let expected = sentences();
    for (name, format) in [
        ("conll", LabelledFormat::Conll),
        ("brat", LabelledFormat::Brat),
        ("doccano", LabelledFormat::Doccano),
        ("spacy", LabelledFormat::Spacy),
        ("prodigy", LabelledFormat::Prodigy),
        ("label-studio", LabelledFormat::LabelStudio),
        ("hf", LabelledFormat::HuggingFace),
    ] {
        let path = folder.path().join(name);
        analyze(&["--format", name, "-o"]).arg(&path).assert().success();
        assert_eq!(LabelledFormat::detect(&path).unwrap(), format);
        let read: Vec<GoldSentence> = read_labelled(&path, format)
            .unwrap()
            .map(|labelled| labelled.unwrap().gold(&path).unwrap())
            .collect();
        assert_eq!(read.len(), expected.len(), "{name}");
        // Documents of brat are read in the order of their names.
        let of = |text: &str| {
            let words = |text: &str| text.split_whitespace().collect::<String>();
            read.iter().find(|gold| words(&gold.text) == words(text)).expect("every sentence is there")
        };
        for record in &expected {
            let gold = of(record["text"].as_str().unwrap());
            let found = gold.entities.iter().flatten();
            let found: Vec<(&str, &str)> =
                found.map(|entity| (entity.label.as_str(), entity.span.of(&gold.text).unwrap())).collect();
            let entities = record["entities"].as_array().unwrap().iter();
            let entities: Vec<(&str, &str)> = entities
                .map(|entity| (entity["label"].as_str().unwrap(), entity["text"].as_str().unwrap()))
                .collect();
            assert_eq!(found, entities, "{name}");
            if format != LabelledFormat::Conll {
                assert_eq!(gold.text, record["text"].as_str().unwrap(), "{name}");
                assert_eq!(serde_json::json!(gold.labels), record["stance"], "{name}");
            }
        }
    }
    let configuration = fs::read_to_string(folder.path().join("brat/annotation.conf")).unwrap();
    assert!(configuration.contains("\nPER\n") && configuration.contains("condemnation\tArg:Sentence"));
}

#[test]
fn a_row_may_be_an_entity_or_an_article() {
    let sentences = sentences();
    let entities = records(&succeeds(&mut analyze(&["--rows", "entity"])));
    let expected = sentences.iter().flat_map(|sentence| {
        sentence["entities"].as_array().unwrap().iter().map(move |entity| (sentence, entity))
    });
    for (row, (sentence, entity)) in entities.iter().zip(expected.clone()) {
        for key in ["label", "text", "start", "end", "score"] {
            assert_eq!(row[key], entity[key]);
        }
        for key in ["id", "sentence", "stance", "date"] {
            assert_eq!(row.get(key), sentence.get(key));
        }
        assert_eq!(row["sentence_text"], sentence["text"]);
    }
    assert_eq!(entities.len(), expected.count());

    let articles = records(&succeeds(&mut analyze(&["--rows", "article"])));
    let ids: Vec<&Value> = articles.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&Value::from("a"), &7.into(), &7.into()]);
    let inside = articles.iter().flat_map(|row| {
        row["sentences"].as_array().unwrap().iter().map(move |sentence| {
            let mut whole = row.as_object().unwrap().clone();
            whole.remove("sentences");
            whole.extend(sentence.as_object().unwrap().clone());
            Value::from(whole)
        })
    });
    assert_eq!(inside.collect::<Vec<_>>(), sentences);
}

#[test]
fn tables_of_every_kind_of_row_have_the_columns_of_the_run_and_the_cells_of_the_records() {
    let sentences = sentences();
    for (form, delimiter) in [("csv", b','), ("tsv", b'\t')] {
        let (header, cells) = rows(&succeeds(&mut analyze(&["--format", form])), delimiter);
        assert_eq!(
            header.join(","),
            "id,date,sentence,start,end,text,stance,score_condemnation,score_reassurance,score_speculation,entities"
        );
        for (row, record) in cells.iter().zip(&sentences) {
            let cell = |name: &str| &row[header.iter().position(|column| column == name).unwrap()];
            let text = record["text"].as_str().unwrap();
            assert_eq!(cell("text"), if form == "tsv" { text.replace('\t', " ") } else { text.to_owned() });
            assert_eq!(cell("date"), record.get("date").map_or("", |date| date.as_str().unwrap()));
            assert_eq!(serde_json::from_str::<Value>(cell("entities")).unwrap(), record["entities"]);
        }
        assert_eq!(cells.len(), sentences.len());
        assert!(sentences.iter().any(|record| record["text"].as_str().unwrap().contains('\t')));

        let args = ["--format", form, "--rows", "article", "--min-confidence", "0.5"];
        let (header, cells) = rows(&succeeds(&mut analyze(&args)), delimiter);
        assert_eq!(
            header.join(","),
            "id,date,sentences,count_condemnation,count_reassurance,count_speculation,abstained,entities"
        );
        let counts: Vec<(&str, &str)> = cells.iter().map(|row| (&row[0], &row[2])).collect();
        assert_eq!(counts, [("a", "2"), ("7", "2"), ("7", "1")]);
    }
}

#[test]
fn a_table_without_rows_has_its_header_all_the_same() {
    for (args, header) in [
        (["classify", "--rows", "sentence"], "id,sentence,start,end,text,stance,score_"),
        (["ner", "--rows", "sentence"], "id,sentence,start,end,text,entities\n"),
        (["ner", "--rows", "entity"], "id,sentence,start,end,label,text,score,sentence_text\n"),
    ] {
        let model = if args[0] == "ner" { token_model() } else { sentence_model() };
        let mut command = undertone();
        command.args(args).args(["--format", "csv", "-m"]).arg(model).write_stdin("");
        let out = succeeds(&mut command);
        assert!(out.starts_with(header) && out.lines().count() == 1, "{out}");
    }
}

#[test]
fn lines_can_be_cut_and_text_is_not_wrapped() {
    let sentences = sentences();
    let out = succeeds(&mut analyze(&["--format", "lines"]));
    for (line, record) in out.lines().zip(&sentences) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [labels, entities, text] = columns[..] else { panic!("{line}") };
        let words: Vec<&str> = record["text"].as_str().unwrap().split_whitespace().collect();
        assert_eq!(text, words.join(" "));
        let none = record["stance"].as_array().unwrap().is_empty();
        assert_eq!(labels == "-", none, "{line}");
        assert_eq!(entities == "-", record["entities"].as_array().unwrap().is_empty(), "{line}");
    }
    assert_eq!(out.lines().count(), sentences.len());
    assert!(out.contains("PER:Ana Duarte"), "{out}");

    let long = "The envoy may leave ".repeat(20);
    let mut command = undertone();
    command.args(["classify", "--format", "text", "--color", "always", "-m"]).arg(sentence_model());
    let out = succeeds(command.write_stdin(long.clone()));
    assert!(out.contains(long.trim()) && !out.contains('\u{1b}'), "{out}");
}

#[test]
fn the_name_of_the_output_tells_form_and_compression() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let mut command = undertone();
        command.args(["classify", "-m"]).arg(sentence_model()).args(more).arg("-o").arg(&path);
        command.write_stdin("One may leave. Two stay.").assert().success();
        fs::read(path).unwrap()
    };
    let plain = run("plain.jsonl", &[]);
    assert_eq!(records(std::str::from_utf8(&plain).unwrap()).len(), 2);
    assert_eq!(run("plain", &[]), plain);
    assert!(run("a.csv", &[]).starts_with(b"id,"));
    assert!(run("a.tsv", &[]).starts_with(b"id\t"));
    assert_eq!(run("named.csv", &["--format", "jsonl"]), plain);
    let gunzip = |bytes: &[u8]| {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
        text
    };
    let zipped = run("a.jsonl.gz", &[]);
    assert_eq!(gunzip(&zipped), plain);
    assert_eq!(run("b.gz", &[]), zipped, "the same records make the same bytes");
    assert_eq!(run("c.jsonl", &["--compress", "gzip"]), zipped);
    assert_eq!(zstd::decode_all(run("a.jsonl.zst", &[]).as_slice()).unwrap(), plain);
    assert!(gunzip(&run("a.csv.gz", &[])).starts_with(b"id,"));

    let mut command = undertone();
    command.args(["classify", "--compress", "zstd", "-m"]).arg(sentence_model());
    let out = command.write_stdin("One may leave. Two stay.").assert().success().get_output().stdout.clone();
    assert_eq!(zstd::decode_all(out.as_slice()).unwrap(), plain);
}

#[test]
fn what_a_form_cannot_hold_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().to_str().unwrap();
    fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    let new = folder.path().join("new");
    let new = new.to_str().unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["--format", "table", "--rows", "article"], "for jsonl, csv, tsv, parquet, arrow and arrow-stream"),
        (&["--format", "doccano", "--rows", "entity"], "doccano is made of sentences"),
        (&["--rows", "entity"], "`undertone ner`"),
        (&["--format", "conll"], "entities alone"),
        (&["--format", "brat"], "--output"),
        (&["--format", "brat", "-o", full], "is not empty"),
        (&["--format", "brat", "-o", new, "--compress", "gzip"], "not compressed"),
    ];
    for (args, expected) in cases {
        let mut command = undertone();
        command.arg("classify").args(args).arg("-m").arg(sentence_model()).write_stdin("Text.");
        command.assert().code(2).stdout("").stderr(contains(expected));
    }
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["mine.txt"]);
}

#[test]
fn a_folder_of_a_run_that_fails_is_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("documents");
    let run = |input: &str, expected: i32| {
        let mut command = undertone();
        command.args(["classify", "--format", "brat", "-m"]).arg(sentence_model()).arg("-o").arg(&output);
        command.write_stdin(input.to_owned()).assert().code(expected);
    };
    let good = "{\"id\":\"one\",\"text\":\"One may leave.\"}\n";
    run(&format!("{good}{{\"txt\":1}}\n"), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // An empty folder may be there.
    fs::create_dir(&output).unwrap();
    run(good, 0);
    let names = |path: &Path| {
        let names =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(&output), ["annotation.conf", "one.ann", "one.txt"]);
    assert_eq!(names(folder.path()), ["documents"]);
}

#[test]
fn a_long_text_that_comes_in_stretches_is_one_article() {
    let text: String = (0..2500).map(|i| format!("Line {i} may hold.\n")).collect();
    let mut command = undertone();
    command.args(["classify", "--input-format", "lines", "--rows", "article", "-m"]).arg(sentence_model());
    let rows = records(&succeeds(command.write_stdin(text)));
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["sentences"].as_array().unwrap().len(), 2500);
}

#[test]
fn help_names_every_form() {
    let mut command = undertone();
    let help = contains("label-studio").and(contains("--rows <ROWS>")).and(contains("--compress <METHOD>"));
    command.args(["analyze", "--help"]).assert().success().stdout(help);
}
