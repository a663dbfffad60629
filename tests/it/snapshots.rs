//! Whole runs, word for word: exit code, standard output, standard error.
//!
//! `INSTA_UPDATE=always cargo test --test it snapshots` takes what the program says now for what it is to say.

use crate::cli::{root, undertone};
use assert_cmd::Command;
use std::fs;
use std::path::Path;

/// A run as it is written down: numbers with many decimals, which differ between processors in the last, have one.
fn written_down(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let text = |bytes: Vec<u8>| rounded(&String::from_utf8(bytes).expect("the output is text"));
    let code = output.status.code().expect("it was not killed");
    format!("exit: {code}\n--- stdout\n{}--- stderr\n{}", text(output.stdout), text(output.stderr))
}

/// The same text with its longer decimal fractions rounded to one decimal, to which none of those here is about to go up or down.
fn rounded(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(|c: char| !(c.is_ascii_digit() || c == '.')) {
        let number = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        match number.parse::<f64>() {
            Ok(value) if decimals > 2 => out += &format!("{value:.1}{}", &part[number.len()..]),
            _ => out += part,
        }
    }
    out
}

/// Where snapshots are kept, and how.
fn settings_of_all() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// Compares a run with the snapshot of this name, what differs between machines and versions put out of sight.
fn assert_run(name: &str, folder: &Path, command: &mut Command) {
    let mut settings = settings_of_all();
    for path in [folder.canonicalize().expect("it is there"), folder.to_owned(), root().to_owned()] {
        settings.add_filter(&path.display().to_string().replace('\\', r"\\").replace('.', r"\."), "[FOLDER]");
    }
    settings.add_filter(&env!("CARGO_PKG_VERSION").replace('.', r"\."), "[VERSION]");
    settings.add_filter("[0-9a-f]{64}", "[SHA256]");
    settings.add_filter(r"\d+ ms", "[TIME]");
    settings.bind(|| insta::assert_snapshot!(name, written_down(command)));
}

/// In f32, which every processor has.
fn article(form: &str) -> Command {
    let mut command = undertone();
    command.current_dir(root()).args(["analyze", "datasets/examples/summit.txt", "--precision", "f32"]);
    command.args(["--format", form]);
    command
}

#[test]
fn an_article_as_a_table() {
    assert_run("article_table", root(), &mut article("table"));
}

#[test]
fn an_article_as_json_lines() {
    assert_run("article_jsonl", root(), &mut article("jsonl"));
}

#[test]
fn an_article_as_csv() {
    assert_run("article_csv", root(), &mut article("csv"));
}

#[test]
fn misuse() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, arguments: &[&str]| {
        let mut command = undertone();
        assert_run(name, folder.path(), command.current_dir(folder.path()).args(arguments));
    };
    run("misuse_missing_file", &["classify", "nowhere.txt"]);
    run("misuse_unknown_option", &["classify", "--ofsets", "byte"]);
    run("misuse_unknown_command", &["clasify"]);
    run("misuse_no_labels", &["classify", "--task", "zero-shot", "-"]);
}

#[test]
fn bad_records() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"text\": \"Ministers met.\"}\n{\"txt\": 1}\n{\"text\": \"They strongly condemned it.\"}\n";
    fs::write(folder.path().join("in.jsonl"), lines).unwrap();
    for action in ["fail", "skip"] {
        let mut command = undertone();
        command.current_dir(folder.path()).args(["classify", "in.jsonl", "--on-error", action]);
        assert_run(&format!("bad_records_{action}"), folder.path(), &mut command);
    }
}

#[test]
fn a_folder_with_bad_records_of_many_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let gzip = crate::reading::gzip(b"Ministers met.\n");
    for (name, content) in [
        (
            "1.jsonl",
            &b"{\"text\": \"They met.\"}\n{\"text\": \n{\"text\": 3}\n{\"body\": \"x\"}\n{\"text\": \"caf\xe9\"}\n"[..],
        ),
        ("2.csv", b"id,text\n1,Two left.\n2,Three, stayed.\n3,\"Four,\n4,\"Five.\n5,Six met.\n"),
        ("3.tsv", b"id\tbody\n1\tOne.\n"),
        ("4.txt.gz", &gzip[..gzip.len() - 9]),
        ("5.html", b"<!doctype html><script>run()</script>"),
        ("6.parquet", b"PAR1 and nothing else"),
    ] {
        fs::write(archive.join(name), content).unwrap();
    }
    let mut command = undertone();
    command.current_dir(folder.path()).args(["classify", "archive", "-o", "found.jsonl"]);
    assert_run("bad_records_folder", folder.path(), command.args(["--rejects", "rejects.jsonl"]));
    let rejects = fs::read_to_string(folder.path().join("rejects.jsonl")).unwrap();
    settings_of_all().bind(|| insta::assert_snapshot!("bad_records_folder_rejects", rejects));
    assert_eq!(fs::read_to_string(folder.path().join("found.jsonl")).unwrap().lines().count(), 3);
}

#[test]
fn the_commands() {
    // What the commands take is theirs to change; that they are there is told here.
    let help = undertone().arg("--help").output().expect("the program runs").stdout;
    let help = String::from_utf8(help).expect("help is text");
    let commands = help.split("\n\n").find(|part| part.starts_with("Commands:")).expect("there are commands");
    settings_of_all().bind(|| insta::assert_snapshot!("commands", commands));
}

#[test]
fn settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = "offsets = \"byte\"\nmodel = \"models/mine\"\n\n[classify]\non_error = \"skip\"\nkeep-fields = true\n";
    fs::create_dir_all(folder.path().join("models/mine")).unwrap();
    fs::write(folder.path().join("undertone.toml"), file).unwrap();
    for (name, arguments) in [
        ("config_show", &["config", "show", "--origin"][..]),
        ("config_show_json", &["config", "show", "--json"]),
        ("config_path", &["config", "path"]),
    ] {
        let mut command = undertone();
        command.current_dir(folder.path()).env("UNDERTONE_OFFSETS", "utf16").args(arguments);
        assert_run(name, folder.path(), &mut command);
    }
}

#[test]
fn the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = undertone();
    command.current_dir(folder.path()).arg("doctor").env("HF_HOME", folder.path()).env_remove("HF_TOKEN");
    let mut settings = insta::Settings::clone_current();
    for line in ["cpu", "memory", "devices", "temporary files"] {
        settings.add_filter(&format!("(?m)^(ok +{line} ).*$"), "$1[MACHINE]");
    }
    settings.add_filter(r"(debug|release) build for [^,]+", "[PROFILE] build for [TARGET]");
    settings.bind(|| assert_run("doctor", folder.path(), &mut command));
}
