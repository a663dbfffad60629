//! Whole runs on Parquet and Arrow: what goes in as columns comes out as columns.

use crate::cli::{records, sentence_model, succeeds, token_model, undertone};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_ipc::writer::StreamWriter;
use arrow_json::writer::LineDelimited;
use assert_cmd::Command;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

/// Articles with a number as name, a text, and a desk; the texts of some are null or empty.
fn articles(texts: &[Option<&str>]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((1..).take(texts.len())));
    let desks: ArrayRef = Arc::new(StringArray::from(vec!["world"; texts.len()]));
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    RecordBatch::try_from_iter_with_nullable([
        ("id", ids, true),
        ("text", texts, true),
        ("desk", desks, true),
    ])
    .unwrap()
}

const TEXTS: [Option<&str>; 3] =
    [Some("Ministers met. Talks may fail."), Some(""), Some("We condemn it 🕊️.")];

fn parquet(path: &Path, batch: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn rows(batches: impl IntoIterator<Item = RecordBatch>) -> Vec<Value> {
    let mut writer = arrow_json::WriterBuilder::new().build::<_, LineDelimited>(Vec::new());
    batches.into_iter().for_each(|batch| writer.write(&batch).unwrap());
    writer.finish().unwrap();
    records(&String::from_utf8(writer.into_inner()).unwrap())
}

fn bytes(command: &mut Command) -> Vec<u8> {
    command.assert().success().get_output().stdout.clone()
}

/// A record of JSON lines as a row says it.
fn expected(mut record: Value) -> Value {
    if let Some(number) = record["id"].as_i64() {
        record["id"] = number.to_string().into();
    }
    if let Some(fields) = record.get("fields").map(Value::to_string) {
        record["fields"] = fields.into();
    }
    record
}

#[test]
fn columns_say_what_json_lines_say() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.parquet");
    parquet(&input, &articles(&TEXTS));
    for (command, model) in [("classify", sentence_model()), ("ner", token_model())] {
        let run = |form: &str| {
            let mut run = undertone();
            run.args([command, "--keep-fields", "--format", form, "-m"]).arg(&model).arg(&input);
            run
        };
        let told: Vec<Value> = records(&succeeds(&mut run("jsonl"))).into_iter().map(expected).collect();
        assert_eq!(told.len(), 3);
        assert_eq!((&told[2]["id"], &told[2]["fields"]), (&json!("3"), &json!("{\"desk\":\"world\"}")));

        let output = folder.path().join("out.parquet");
        assert!(bytes(run("parquet").arg("-o").arg(&output)).is_empty());
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&output).unwrap()).unwrap();
        assert_eq!(rows(reader.build().unwrap().map(|batch| batch.unwrap())), told);
        let squeezed =
            zstd::decode_all(bytes(run("parquet").args(["--compress", "zstd"])).as_slice()).unwrap();
        assert!(squeezed == fs::read(&output).unwrap(), "compressed as a whole it is the same file");
        let file = FileReader::try_new(Cursor::new(bytes(&mut run("arrow"))), None).unwrap();
        assert_eq!(rows(file.map(|batch| batch.unwrap())), told);
        let stream = StreamReader::try_new(Cursor::new(bytes(&mut run("arrow-stream"))), None).unwrap();
        assert_eq!(rows(stream.map(|batch| batch.unwrap())), told);
    }
}

#[test]
fn columns_are_known_by_name_by_their_first_bytes_and_when_they_are_piped() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("in.parquet");
    parquet(&named, &articles(&TEXTS));
    fs::copy(&named, folder.path().join("plain")).unwrap();
    fs::write(folder.path().join("in.arrows"), stream(&articles(&TEXTS))).unwrap();
    let run = || {
        let mut run = undertone();
        run.args(["classify", "--no-split", "-m"]).arg(sentence_model());
        run
    };
    let told = records(&succeeds(run().arg(&named)));
    assert_eq!(told.iter().map(|record| record["id"].clone()).collect::<Vec<_>>(), [json!(1), json!(3)]);
    let both = records(&succeeds(run().arg(folder.path())));
    assert_eq!(both, [told.clone(), told.clone()].concat(), "a folder's files are found by their names");
    assert_eq!(records(&succeeds(run().arg(folder.path().join("plain")))), told);
    for file in ["in.parquet", "in.arrows"] {
        let content = fs::read(folder.path().join(file)).unwrap();
        assert_eq!(records(&succeeds(run().write_stdin(content))), told);
    }
}

#[test]
fn a_filter_answers_before_its_input_ends_and_keeps_names_and_order() {
    let mut child = std::process::Command::new(undertone().get_program())
        .args(["classify", "--input-format", "arrow-stream", "--format", "arrow-stream", "--no-split", "-m"])
        .arg(sentence_model())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let texts: Vec<String> = (1..=3000).map(|row| format!("Row {row} may hold.")).collect();
    let texts: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
    let batch = articles(&texts);
    let mut stdin = child.stdin.take().unwrap();
    let mut writer = StreamWriter::try_new(&mut stdin, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.flush().unwrap();
    let mut reader = StreamReader::try_new(child.stdout.take().unwrap(), None).unwrap();
    let mut names = reader.next().unwrap().unwrap().column(0).as_string::<i32>().iter().count();
    assert!(names >= 1000, "rows are answered while more are awaited");
    writer.finish().unwrap();
    drop(writer);
    drop(stdin);
    for batch in reader {
        for name in batch.unwrap().column(0).as_string::<i32>().iter().flatten() {
            names += 1;
            assert_eq!(name, names.to_string());
        }
    }
    assert_eq!(names, 3000);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_filter_whose_input_is_closed_says_what_its_columns_are() {
    let empty = articles(&[]);
    let mut command = undertone();
    command
        .args(["classify", "--format", "arrow-stream", "-m"])
        .arg(sentence_model())
        .write_stdin(stream(&empty));
    let reader = StreamReader::try_new(Cursor::new(bytes(&mut command)), None).unwrap();
    let schema = reader.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "sentence", "start", "end", "text", "stance", "scores"]);
    assert_eq!(reader.count(), 0);
    let mut command = undertone();
    command.args(["classify", "--input-format", "arrow-stream", "-m"]).arg(sentence_model()).write_stdin("");
    command.assert().code(1).stderr(contains("does not begin with a schema"));
}

#[test]
fn a_row_without_text_stops_a_run_or_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (input, rejects) = (folder.path().join("in.parquet"), folder.path().join("rejects.jsonl"));
    parquet(&input, &articles(&[Some("One."), None, Some("Three.")]));
    let mut command = undertone();
    command.args(["classify", "-m"]).arg(sentence_model()).arg(&input);
    command.assert().code(1).stderr(contains("row 2: `text` is null").and(contains("--on-error skip")));
    let mut command = undertone();
    command.args(["classify", "-m"]).arg(sentence_model()).arg(&input).arg("--rejects").arg(&rejects);
    let output = command.assert().code(1).get_output().stdout.clone();
    let told = records(&String::from_utf8(output).unwrap());
    assert_eq!(told.iter().map(|record| record["id"].clone()).collect::<Vec<_>>(), [json!(1), json!(3)]);
    let reject = &records(&fs::read_to_string(rejects).unwrap())[0];
    assert_eq!((&reject["line"], &reject["record"]), (&json!(2), &json!("{\"id\":2,\"text\":null}")));
}

#[test]
fn columns_that_are_missing_are_told_with_those_there_are() {
    let mut command = undertone();
    command.args(["classify", "--text-field", "body", "-m"]).arg(sentence_model());
    command.write_stdin(stream(&articles(&TEXTS)));
    command.assert().code(1).stderr(contains("no column `body` among id, text, desk"));
}

#[test]
fn a_truncated_file_is_told_and_costs_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.parquet");
    parquet(&input, &articles(&TEXTS));
    let content = fs::read(&input).unwrap();
    fs::write(&input, &content[..content.len() / 2]).unwrap();
    let mut command = undertone();
    command.args(["classify", "-m"]).arg(sentence_model()).arg(&input);
    command.assert().code(1).stderr(contains("not a whole Parquet file").and(contains("panicked").not()));
}

#[test]
fn a_panic_in_what_reads_a_file_is_told_as_an_error_and_as_nothing_else() {
    let whole = stream(&articles(&TEXTS));
    let broken = |at: usize| {
        let mut content = whole.clone();
        content[at] ^= 0xff;
        content
    };
    let panics = |content: &Vec<u8>| {
        let read = || StreamReader::try_new(Cursor::new(content), None).is_ok();
        std::panic::catch_unwind(read).is_err()
    };
    let content =
        (8..whole.len()).map(broken).find(panics).expect("a byte that the reader of schemas trusts");
    let mut command = undertone();
    command.args(["classify", "-m"]).arg(sentence_model()).write_stdin(content);
    let told = contains("not what its format calls for").and(contains("panicked").not());
    command.assert().code(1).stdout("").stderr(told);
}

#[test]
fn a_reader_that_goes_away_stops_the_run() {
    let mut child = std::process::Command::new(undertone().get_program())
        .args(["classify", "--input-format", "lines", "--format", "arrow-stream", "-m"])
        .arg(sentence_model())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        for _ in 0..1_000_000 {
            if stdin.write_all(b"Talks may fail.\n").is_err() {
                return;
            }
        }
    });
    let mut start = [0; 64];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let told = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(!String::from_utf8_lossy(&told.stderr).contains("panicked"));
}
