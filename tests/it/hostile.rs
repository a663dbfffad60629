//! Inputs that nobody would write by hand: laws replayed on what fuzzing knows, and whole runs that go on.

#[path = "../../fuzz/laws/mod.rs"]
mod laws;

use crate::cli::{records, root, sentence_model, token_model, undertone};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// Inputs of a law: seeds, and what fuzzing once found.
fn inputs(law: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folders = ["seeds", "regressions"].map(|folder| root().join("fuzz").join(folder).join(law));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn what_fuzzing_knows_holds() {
    for (law, _) in laws::LAWS {
        let inputs = inputs(law);
        assert!(!inputs.is_empty(), "{law} has no seeds");
        for (path, input) in inputs {
            eprintln!("{}", path.display()); // shown if it fails
            laws::run(law, &input);
        }
    }
}

/// Not a fuzzer: a glance, without a nightly compiler, at inputs a few changes away from those that are known.
#[test]
fn what_is_a_few_bytes_away_holds() {
    let rounds: u64 = std::env::var("UNDERTONE_FUZZ_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    for (law, _) in laws::LAWS {
        let inputs = inputs(law);
        for round in 0..rounds * inputs.len() as u64 {
            let (path, mut input) = inputs[round as usize % inputs.len()].clone();
            change(&mut input, &mut Chance(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
            let held = std::panic::catch_unwind(|| laws::run(law, &input));
            assert!(
                held.is_ok(),
                "{law} does not hold for {} in round {round}: {}",
                path.display(),
                input.escape_ascii()
            );
        }
    }
}

/// A sequence of numbers without a pattern (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// Pieces that parsers trip over.
const PIECES: [&str; 24] = [
    "\"",
    "\n",
    "\r",
    "\t",
    ",",
    "{",
    "[",
    "]",
    "}",
    "\\",
    "\u{feff}",
    "\u{2028}",
    "\u{301}",
    "🕊️",
    "\0",
    "-1",
    "1e999",
    "18446744073709551615",
    "9223372036854775808",
    "null",
    "\\ud800",
    "[[[[[[[[",
    "0",
    "true",
];

/// Bytes taken away, doubled, flipped, and pieces put in.
fn change(input: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        let at = chance.below(input.len() + 1);
        let end = (at + chance.below(12)).min(input.len());
        match chance.below(5) {
            0 => drop(input.drain(at..end)),
            1 => {
                let again = input[at..end].to_vec();
                let to = chance.below(input.len() + 1);
                input.splice(to..to, again);
            }
            2 if at < input.len() => input[at] ^= 1 << chance.below(8),
            3 => drop(input.splice(at..end, PIECES[chance.below(PIECES.len())].bytes())),
            _ => drop(input.splice(at..at, PIECES[chance.below(PIECES.len())].bytes())),
        }
    }
}

/// What a run that goes on past bad records leaves.
struct Run {
    records: Vec<Value>,
    rejects: Vec<Value>,
}

impl Run {
    fn texts(&self) -> Vec<&str> {
        self.records.iter().map(|record| record["text"].as_str().unwrap()).collect()
    }

    /// Line of every reject, and the beginning of its reason.
    fn lines(&self) -> Vec<(Option<u64>, &str)> {
        self.rejects
            .iter()
            .map(|reject| (reject["line"].as_u64(), reject["reason"].as_str().unwrap()))
            .collect()
    }
}

/// Runs past the bad records of a file, and makes sure that a run which does not go on names the file and the first of them.
fn goes_on(name: &str, content: impl AsRef<[u8]>) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let [input, output, rejects] = [name, "out.jsonl", "rejects.jsonl"].map(|name| folder.path().join(name));
    fs::write(&input, content).unwrap();
    let run = || {
        let mut command = undertone();
        command.args(["classify", "--encoding", "utf-8", "-m"]).arg(sentence_model());
        command.arg(&input).arg("-o").arg(&output);
        command
    };
    run().args(["--on-error", "skip", "--rejects"]).arg(&rejects).assert().code(1);
    let read = |path: &PathBuf| records(&fs::read_to_string(path).unwrap());
    let found = Run { records: read(&output), rejects: read(&rejects) };
    let first = found.rejects.first().expect("a reject");
    let place = first["line"].as_u64().map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
    fs::remove_file(&output).unwrap();
    run().args(["--on-error", "fail"]).assert().code(1).stderr(contains(place));
    found
}

/// A run that has nothing to complain of.
fn is_fine(name: &str, content: impl AsRef<[u8]>) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join(name);
    fs::write(&input, content).unwrap();
    let mut command = undertone();
    command.args(["classify", "--keep-fields", "-m"]).arg(sentence_model()).arg(&input);
    records(&crate::cli::succeeds(&mut command))
}

/// A good record before and behind each of these.
fn between(bad: &[&[u8]]) -> Vec<u8> {
    let mut content = b"{\"text\":\"First.\"}\n".to_vec();
    for record in bad {
        content.extend_from_slice(record);
        content.extend_from_slice(b"\n{\"text\":\"Next.\"}\n");
    }
    content
}

#[test]
fn every_bad_json_record_is_told_and_the_good_ones_are_all_there() {
    let deep = format!("{{\"text\":\"a\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&[u8], &str); 11] = [
        (b"{\"text\":\"cut", "not a JSON object"),
        (b"[\"text\"]", "not a JSON object"),
        (b"{\"text\":\"a\"} {\"text\":\"b\"}", "not a JSON object"),
        (b"{\"text\":3}", "field `text` is not a string"),
        (b"{\"txt\":\"a\"}", "no field `text` among txt"),
        (b"{\"text\":\"caf\xe9\"}", "byte 12 is not UTF-8"),
        (b"{\"text\":\"\\ud800\"}", "not a JSON object"),
        (b"{\"text\":\"a\",\"n\":1e999}", "not a JSON object"),
        (b"{\"text\":\"raw \0\"}", "not a JSON object"),
        (b"\0\0\0\0", "not a JSON object"),
        (deep.as_bytes(), "not a JSON object: recursion limit"),
    ];
    let run = goes_on("in.jsonl", between(&cases.map(|(record, _)| record)));
    assert_eq!(run.texts(), [&["First."][..], &["Next."; 11]].concat());
    assert_eq!(run.rejects.len(), cases.len());
    for (i, ((line, reason), (_, expected))) in run.lines().into_iter().zip(cases).enumerate() {
        assert_eq!(line, Some(2 * i as u64 + 2));
        assert!(reason.starts_with(expected), "{reason}");
    }
    assert_eq!(run.rejects[3]["record"], "{\"text\":3}\n");
    assert_eq!(run.rejects[5]["record"][12], 0xe9, "bytes that are no text are kept as numbers");
}

#[test]
fn odd_records_that_mean_something_are_read() {
    let found = is_fine(
        "in.jsonl",
        "{\"text\":\"NUL \\u0000 stays.\"}\n{\"text\":\"\"}\n{\"text\":\" \\ufeff\"}\n{\"text\":\"One.\",\"n\":-18446744073709551615,\"text\":\"Two.\"}\n",
    );
    let texts: Vec<&str> = found.iter().map(|record| record["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["NUL \0 stays.", "Two."], "empty texts have no sentences");
    assert!(is_fine("in.jsonl", "").is_empty() && is_fine("in.txt", "\r\n \n").is_empty());
}

#[test]
fn a_word_of_300_000_letters_is_read_like_any_other() {
    let word = "a".repeat(300_000);
    let found = is_fine("in.txt", format!("Before it.\n\n{word}\n\nBehind it."));
    let lengths: Vec<usize> = found.iter().map(|record| record["text"].as_str().unwrap().len()).collect();
    assert_eq!(lengths, [10, 300_000, 10]);
    // Every letter a piece of its own: the windows of a long sentence.
    let mut command = undertone();
    let letters = format!("{} left .", "é ".repeat(20_000));
    command.args(["ner", "--input-format", "lines", "-m"]).arg(token_model()).write_stdin(letters.clone());
    let found = records(&crate::cli::succeeds(&mut command));
    assert_eq!(found[0]["text"], letters);
}

#[test]
fn a_line_of_fifty_million_bytes_is_told_and_read_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pad = "x".repeat(50_000_000);
    let content =
        format!("{{\"text\":\"One.\"}}\n{{\"text\":\"Two.\",\"pad\":\"{pad}\"}}\n{{\"text\":\"Three.\"}}\n");
    let run = goes_on("in.jsonl", &content);
    assert_eq!(run.texts(), ["One.", "Three."]);
    let (line, reason) = run.lines()[0];
    assert!(line == Some(2) && reason.starts_with("longer than 32 MiB"), "{reason}");
    let input = folder.path().join("in.jsonl");
    fs::write(&input, content).unwrap();
    let mut command = undertone();
    command.args(["classify", "--max-record-bytes", "64M", "-m"]).arg(sentence_model()).arg(input);
    assert_eq!(records(&crate::cli::succeeds(&mut command)).len(), 3);
}

#[test]
fn lines_that_are_no_text_are_told_among_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects.jsonl");
    let mut command = undertone();
    command
        .args(["classify", "--input-format", "lines", "--encoding", "utf-8", "--rejects"])
        .arg(&rejects)
        .arg("-m");
    command.arg(sentence_model()).write_stdin(&b"One.\n\xff\xfe\nNUL \0 too.\n\xc3(\nFive."[..]);
    let output = command.assert().code(1).get_output().clone();
    let found = records(std::str::from_utf8(&output.stdout).unwrap());
    let texts: Vec<&str> = found.iter().map(|record| record["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["One.", "NUL \0 too.", "Five."]);
    let rejects = records(&fs::read_to_string(rejects).unwrap());
    let lines: Vec<u64> = rejects.iter().map(|reject| reject["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 4]);
    assert!(rejects.iter().all(|reject| reject["reason"].as_str().unwrap().contains("not UTF-8")));
}

#[test]
fn rows_of_a_csv_that_are_broken_are_told_and_none_is_swallowed() {
    let run = goes_on(
        "in.csv",
        b"id,text\n1,One.\n2\n3,Three.,x\n4,caf\xe9\n5,\"Five.\"\n6,\"never closed\n7,Seven.\n8,Eight.\n",
    );
    assert_eq!(run.texts(), ["One.", "Five.", "Seven.", "Eight."]);
    let expected = [
        (Some(3), "1 fields where the header names 2"),
        (Some(4), "3 fields where the header names 2"),
        (Some(5), "column `text`: byte 3 is not UTF-8"),
        (Some(7), "a quotation mark opens a value that ends neither"),
    ];
    assert_eq!(run.rejects.len(), expected.len());
    for ((line, reason), (expected_line, expected)) in run.lines().into_iter().zip(expected) {
        assert!(line == expected_line && reason.starts_with(expected), "{line:?} {reason}");
    }
    assert_eq!(run.rejects[3]["record"], "6,\"never closed\n");
}

#[test]
fn a_hundred_thousand_columns_are_read_and_not_all_told() {
    let names: Vec<String> = (0..100_000).map(|i| format!("c{i}")).collect();
    let row = |last: &str| format!("{}{last}\n", "1,".repeat(100_000));
    let content = |text: &str| format!("{},{text}\n{}{}", names.join(","), row("One."), row("Two."));
    let found = is_fine("in.csv", content("text"));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["fields"].as_object().unwrap().len(), 100_000);
    let run = goes_on("in.csv", content("body"));
    let (line, reason) = run.lines()[0];
    assert_eq!((line, run.records.len()), (None, 0));
    assert!(reason.contains("c19 and 99981 others") && reason.len() < 300, "{reason}");
}

#[test]
fn a_page_of_a_parquet_file_that_is_broken_costs_no_more_than_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.parquet");
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["One.", "Two.", "Three.", "Four."]));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let settings = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .set_dictionary_enabled(false)
        .set_compression(Compression::SNAPPY);
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(settings.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut content = fs::read(&path).unwrap();
    let at = content.windows(3).position(|part| part == b"One").unwrap();
    content[at - 12..at].fill(0xff);
    let run = goes_on("in.parquet", content);
    assert_eq!(run.texts(), ["Three.", "Four."]);
    assert!(run.lines()[0].1.contains("rows 1 to 2"), "{:?}", run.lines());
}
