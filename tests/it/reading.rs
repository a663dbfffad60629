//! Whole runs over inputs of every kind: compressed, in other encodings, pages, and however they are named.

use crate::cli::{records, sentence_model, succeeds, under, undertone};
use assert_cmd::Command;
use flate2::{Compression, write::GzEncoder};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use undertone::formats::{DocumentOptions, read_documents};

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn classify() -> Command {
    let mut command = undertone();
    command.args(["classify", "-m"]).arg(sentence_model());
    command
}

/// The texts of the records that a run gives.
fn texts(command: &mut Command) -> Vec<String> {
    let records = records(&succeeds(command));
    records.iter().map(|record| record["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_compressed_is_read_under_its_name_and_piped() {
    let folder = tempfile::tempdir().unwrap();
    let content = b"{\"id\":\"a\",\"text\":\"One may leave.\"}\n{\"id\":\"b\",\"text\":\"Two stay.\"}\n";
    let plain = records(&succeeds(classify().write_stdin(content.to_vec())));
    for (name, compressed) in
        [("wire.jsonl.gz", gzip(content)), ("wire.jsonl.zst", zstd::encode_all(&content[..], 3).unwrap())]
    {
        fs::write(folder.path().join(name), &compressed).unwrap();
        assert_eq!(records(&succeeds(classify().arg(folder.path().join(name)))), plain);
        assert_eq!(records(&succeeds(classify().write_stdin(compressed))), plain);
    }
    // Both are found in their folder.
    assert_eq!(records(&succeeds(classify().arg(folder.path()))).len(), 4);
}

#[test]
fn a_truncated_input_is_told_with_its_line_and_what_is_whole_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wire.txt.gz");
    let content: String = (0..3000).map(|i| format!("Line {} may hold.\n", i * 7919 % 3001)).collect();
    let whole = gzip(content.as_bytes());
    fs::write(&path, &whole[..whole.len() * 3 / 4]).unwrap();
    let run = || {
        let mut command = classify();
        command.args(["--input-format", "lines"]).arg(&path);
        command
    };
    run().assert().code(1).stderr(contains("wire.txt.gz:").and(contains("truncated")));
    let rejects = folder.path().join("rejects.jsonl");
    let output = run().arg("--rejects").arg(&rejects).assert().code(1).get_output().clone();
    let found = records(&String::from_utf8(output.stdout).unwrap());
    assert!(found.len() > 1000 && found.iter().all(|r| r["text"].as_str().unwrap().ends_with("hold.")));
    let reject = &records(&fs::read_to_string(&rejects).unwrap())[0];
    assert_eq!(reject["line"], found.len() + 1);
}

#[test]
fn encodings_are_named_marked_or_guessed() {
    let text = "Zürich und Köln liegen nicht in Österreich.";
    let latin: Vec<u8> = text.chars().map(|c| c as u32 as u8).collect();
    assert_eq!(texts(classify().args(["--encoding", "latin1"]).write_stdin(latin.clone())), [text]);
    assert_eq!(texts(classify().write_stdin(latin)), [text]);
    let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let found = &records(&succeeds(classify().write_stdin(utf16)))[0];
    assert_eq!(under(text, found), text);
    classify().args(["--encoding", "latin-9000"]).assert().code(2).stderr(contains("windows-1252"));
}

#[test]
fn the_library_tells_that_an_encoding_was_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let writer = Arc::new(fs::File::create(&log).unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
    let content = b"Z\xfcrich und K\xf6ln liegen nicht in \xd6sterreich.";
    let read =
        |options: &DocumentOptions| read_documents(Box::new(&content[..]), "wire.txt", options).count();
    tracing::subscriber::with_default(subscriber, || {
        read(&DocumentOptions { encoding: Some("latin1".parse().unwrap()), ..DocumentOptions::default() });
        assert_eq!(fs::read_to_string(&log).unwrap(), "");
        read(&DocumentOptions::default());
    });
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("WARN") && told.contains("wire.txt: not UTF-8; read as windows-1252"), "{told}");
}

#[test]
fn a_page_gives_its_article_and_its_date_where_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talks.html");
    let page = "<!doctype html><title>Talks end</title><meta property='article:published_time' content='2024-03-01'>\
        <nav><a href='/'>Home</a></nav><article><p>Ministers met on Friday, and said that they would meet again.</p>\
        <p>Two may stay.</p></article>";
    fs::write(&path, page).unwrap();
    let found = records(&succeeds(classify().arg(&path).args(["--date-field", "date"])));
    let texts: Vec<&str> = found.iter().map(|record| record["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        ["Talks end", "Ministers met on Friday, and said that they would meet again.", "Two may stay."]
    );
    assert_eq!((&found[0]["date"], found[0]["id"].as_str()), (&Value::from("2024-03-01"), path.to_str()));
    classify()
        .write_stdin("<!doctype html><script>x()</script>")
        .assert()
        .code(1)
        .stderr(contains("no article text found"));
}

/// A folder with texts in it and below it.
fn news() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    for (name, text) in
        [("b/two.txt", "Two."), ("one.txt", "One."), ("three.md", "Three."), (".four.txt", "Four.")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_pattern_names_files_in_order_and_one_that_matches_none_is_misuse() {
    let folder = news();
    let by = |pattern: &str| texts(classify().current_dir(folder.path()).arg(pattern));
    assert_eq!(by("**/*.txt"), ["Two.", "One."]);
    assert_eq!(by("*.txt"), ["One."]);
    assert_eq!(by("*"), ["One.", "Three."]);
    classify()
        .current_dir(folder.path())
        .arg("*.jsonl")
        .assert()
        .code(2)
        .stderr(contains("*.jsonl: no file"));
    // Where it matches folders alone, what is below them is meant.
    assert_eq!(by("b*"), ["Two."]);
    // A file of that very name is no pattern.
    fs::write(folder.path().join("[a].txt"), "Five.").unwrap();
    assert_eq!(by("[a].txt"), ["Five."]);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_or_back_does_not_stop_a_folder() {
    let folder = news();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
    link("..", "b/up");
    link("nowhere", "b/zero");
    assert_eq!(texts(classify().arg(folder.path())), ["Two.", "One.", "Three."]);
    // What looks like an input is told as one that cannot be read.
    link("nowhere", "b/zero.txt");
    let run = classify().arg(folder.path()).assert().code(1);
    let run = run.stderr(contains("b/zero.txt: No such file").and(contains("1 input could not be read")));
    assert_eq!(records(&String::from_utf8(run.get_output().stdout.clone()).unwrap()).len(), 3);
}

#[test]
fn single_bytes_that_are_not_utf_8_are_bad_records_and_not_an_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects.jsonl");
    let input = b"{\"text\":\"One.\"}\n{\"text\":\"Tw\xffo\xfe.\"}\n{\"text\":\"Three.\"}\n";
    let run = |arguments: &[&str]| classify().args(arguments).write_stdin(&input[..]).assert().code(1);
    run(&[]).stderr(contains("-:2: byte 11 is not UTF-8"));
    let run = run(&["--rejects", rejects.to_str().unwrap()]);
    assert_eq!(records(&String::from_utf8(run.get_output().stdout.clone()).unwrap()).len(), 2);
    let reject = &records(&fs::read_to_string(&rejects).unwrap())[0];
    assert_eq!((&reject["line"], reject["record"].is_array()), (&2.into(), true));
}

#[test]
fn a_list_names_inputs_one_a_line() {
    let folder = news();
    let with = |list: &str| {
        let mut command = classify();
        command.current_dir(folder.path()).args(["--files-from", "-"]).write_stdin(list.to_owned());
        command
    };
    assert_eq!(texts(&mut with("three.md\r\n\r\nb\r\none.txt")), ["Three.", "Two.", "One."]);
    assert_eq!(texts(with("three.md\n").arg("one.txt")), ["One.", "Three."]);
    with("three.md\n\nfive.txt\n").assert().code(2).stderr(contains("--files-from -:3: five.txt: "));
    with("\n").assert().code(2).stderr(contains("names no file"));
    with("-\n").assert().code(2).stderr(contains("cannot be both"));
    let list = folder.path().join("list");
    fs::write(&list, "one.txt\n").unwrap();
    let run = |list: &Path| texts(classify().current_dir(folder.path()).arg("--files-from").arg(list));
    assert_eq!(run(&list), ["One."]);
    classify().args(["--files-from", "/nowhere/list"]).assert().code(2).stderr(contains("/nowhere/list: "));
}

#[test]
fn a_record_that_is_too_long_is_set_aside_by_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects.jsonl");
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(5000));
    let input = format!("{{\"text\":\"One.\"}}\n{long}\n{{\"text\":\"Three.\"}}\n");
    let output = classify()
        .args(["--max-record-bytes", "4k", "--rejects"])
        .arg(&rejects)
        .write_stdin(input)
        .assert()
        .code(1)
        .stderr(contains("longer than 4 KiB"))
        .get_output()
        .clone();
    let found = records(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(found.iter().map(|r| r["text"].as_str().unwrap()).collect::<Vec<_>>(), ["One.", "Three."]);
    let reject = &records(&fs::read_to_string(&rejects).unwrap())[0];
    assert_eq!((&reject["line"], reject["record"].as_str()), (&2.into(), Some(&long[..1024])));
    for size in ["0", "many", "3x", "99999999999G"] {
        classify().args(["--max-record-bytes", size]).assert().code(2).stderr(contains("number of bytes"));
    }
}

#[test]
fn a_long_article_keeps_one_count_of_sentences_and_characters() {
    let text = format!("Zürich may hold.\n\n{}Two stay.", "\n".repeat(5 << 20));
    let found = records(&succeeds(classify().write_stdin(text.clone())));
    assert_eq!((found.len(), &found[1]["sentence"]), (2, &Value::from(2)));
    assert_eq!(under(&text, &found[1]), "Two stay.");
    let mut command = classify();
    command.args(["--no-split", "--max-record-bytes", "1M"]).write_stdin(text);
    command.assert().code(1).stderr(contains("too long for one sentence"));
}
