//! `undertone datasets`: what is found in labelled files, how they are divided, and how annotators are compared.

use crate::cli::{records, root, succeeds, undertone};
use predicates::str::contains;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LONG: &str =
    "The minister said on Monday that the talks in Geneva would go on for another week at least";

/// Files with given contents in a new folder.
fn files<const N: usize>(contents: [(&str, String); N]) -> (tempfile::TempDir, [PathBuf; N]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = contents.map(|(name, content)| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    });
    (folder, paths)
}

fn record(text: &str, label: &str, article: &str) -> String {
    format!("{}\n", json!({"text": text, "label": label, "article": article}))
}

fn datasets(command: &str) -> assert_cmd::Command {
    let mut datasets = undertone();
    datasets.args(["datasets", command]);
    datasets
}

#[test]
fn a_leak_fails_the_check_and_is_told_with_both_places() {
    let train = record("Another text.", "x", "a") + &record(LONG, "x", "a");
    let test = "{\n".to_owned() + &record(&LONG.replace("Monday", "Friday"), "x", "b");
    let (_folder, [train, test]) = files([("train.jsonl", train), ("test.jsonl", test)]);
    let assert = datasets("check").arg("--train").arg(&train).arg("--test").arg(&test).assert().code(1);
    let told = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let leak = format!(
        "{}:2: almost the same text is in another split: {}:2 (similarity 0.68)",
        test.display(),
        train.display()
    );
    assert!(told.contains("error: almost the same texts in several splits (1)\n"), "{told}");
    assert!(told.contains(&leak), "{told}");
    assert!(told.contains("talks in Geneva"), "{told}");
    assert!(told.contains(&format!("{}:1: not a JSON record", test.display())), "{told}");
    assert.stderr(contains("2 errors and 1 warning in 3 sentences of 2 files"));
}

#[test]
fn findings_are_one_json_object_a_line() {
    let (_folder, [file]) = files([("a.jsonl", record(LONG, "x", "a") + &record(LONG, "y", "b"))]);
    let assert = datasets("check").arg("--json").arg(&file).assert().code(1);
    let records = records(&String::from_utf8(assert.get_output().stdout.clone()).unwrap());
    let kinds: Vec<&str> = records.iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["contradiction", "rare-label", "rare-label", "duplicate"]);
    assert_eq!(
        (&records[0]["severity"], &records[0]["line"], &records[0]["other"]["line"]),
        (&json!("error"), &json!(2), &json!(1))
    );
    assert_eq!((&records[0]["text"], &records[0]["file"]), (&json!(LONG), &json!(file)));
    assert_eq!(
        records[1]["reason"],
        "label `x` has 1 in ".to_owned()
            + &file.display().to_string()
            + "; fewer than 50 teach a model little"
    );
}

#[test]
fn warnings_fail_a_strict_check_only_and_a_clean_corpus_passes() {
    let twice: String = (0..7)
        .map(|i| record(&format!("The very same words {}", "again ".repeat(i % 6)), "x", "a"))
        .collect();
    let (_folder, [file]) = files([("a.jsonl", twice)]);
    let check = |arguments: &[&str]| datasets("check").args(arguments).arg(&file).assert();
    check(&["--min-count", "0"]).success().stdout(contains("warning: duplicate texts (1)"));
    check(&["--min-count", "0", "--strict"]).code(1);
    check(&["--limit", "0"]).success().stdout(contains("  and 1 more\n"));
    let dispatches = root().join("datasets/dispatches");
    let splits = ["train", "dev", "test"].map(|split| dispatches.join(format!("{split}.jsonl")));
    datasets("check").args(splits).assert().success().stderr(contains("0 errors"));
}

#[test]
fn a_file_that_is_not_there_or_a_number_out_of_range_is_misuse() {
    let text = record("A text.", "x", "a");
    let (folder, [file, _]) = files([("a.jsonl", text.clone()), ("b.jsonl", text)]);
    let cases: [(&str, &[&str], &str); 9] = [
        ("check", &["nowhere.jsonl"], "nowhere.jsonl: No such file"),
        ("check", &["a.jsonl", "a.jsonl"], "named twice"),
        ("check", &["a.jsonl", "--similarity", "0"], "not above 0"),
        ("stats", &["."], "it is a folder"),
        ("check", &["/dev/null"], "neither file nor folder"),
        (
            "split",
            &["a.jsonl", "-o", "parts", "--ratio", "0.8,0.1"],
            "the shares of `--ratio` are 0.900 together",
        ),
        ("split", &["a.jsonl", "-o", "parts"], "part 2 of 3 would be empty"),
        ("agreement", &["a.jsonl", "nowhere.jsonl"], "No such file"),
        (
            "agreement",
            &["a.jsonl", "b.jsonl", "--disagreements", "./b.jsonl"],
            "would replace what is compared",
        ),
    ];
    for (command, arguments, expected) in cases {
        datasets(command).args(arguments).current_dir(&folder).assert().code(2).stderr(contains(expected));
    }
    assert!(file.exists() && !folder.path().join("parts").exists());
}

#[test]
fn stats_count_a_split_and_what_the_first_one_has_of_it() {
    let (_folder, [train, test]) = files([
        ("train.txt", "-DOCSTART- O\n\nLima B-LOC\nsleeps O\n\nMay B-PER\n".to_owned()),
        ("test.txt", "Lima B-LOC\nMay B-LOC\nOslo B-LOC\nwait O\n\nbad\n".to_owned()),
    ]);
    let assert = datasets("stats").arg("--json").arg(&train).arg(&test).assert().code(1);
    let records = records(&String::from_utf8(assert.get_output().stdout.clone()).unwrap());
    assert_eq!(
        (&records[0]["articles"], &records[0]["sentences"], &records[0]["words"]["sum"]),
        (&json!(1), &json!(2), &json!(3))
    );
    assert!(records[0].get("seen_in_first").is_none());
    assert_eq!(
        (&records[1]["sentences"], &records[1]["bad"], &records[1]["entities"]["LOC"]),
        (&json!(1), &json!(1), &json!(3))
    );
    let seen = &records[1]["seen_in_first"]["types"]["LOC"];
    let counts =
        ["mentions", "mentions_seen", "mentions_seen_with_other_type"].map(|key| seen[key].as_u64().unwrap());
    assert_eq!(counts, [3, 1, 1]);
    // Three names, `wait`: each is one word, and in the default model's vocabulary at least one piece.
    assert!(records[1]["pieces"]["sum"].as_u64().unwrap() >= 4);
    assert.stderr(contains("1 sentence or record is bad"));
    let table = succeeds(datasets("stats").arg(&train));
    assert!(
        table.contains("train.txt") && table.lines().any(|line| line.split_whitespace().eq(["LOC", "1"])),
        "{table}"
    );
}

#[test]
fn a_split_holds_every_record_once_and_replaces_nothing_unasked() {
    let input = root().join("datasets/dispatches/test.jsonl");
    let folder = tempfile::tempdir().unwrap();
    let split = |arguments: &[&str]| {
        let mut command = datasets("split");
        command.arg(&input).args(["--ratio", "0.6,0.4", "--json", "-o"]).arg(folder.path()).args(arguments);
        command
    };
    let parts = records(&succeeds(&mut split(&[])));
    assert_eq!(
        parts.iter().map(|part| part["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["train", "test"]
    );
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (train, test) = (read("train.jsonl"), read("test.jsonl"));
    let mut lines: Vec<&str> = train.lines().chain(test.lines()).collect();
    let whole = fs::read_to_string(&input).unwrap();
    let mut expected: Vec<&str> = whole.lines().collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let sentences: u64 = parts.iter().map(|part| part["sentences"].as_u64().unwrap()).sum();
    assert_eq!(sentences, 515);
    for label in ["condemnation", "reassurance", "speculation"] {
        let [train, test] = [&parts[0], &parts[1]].map(|part| part["labels"][label].as_f64().unwrap());
        let share = train / (train + test);
        assert!((share - 0.6).abs() < 0.05, "{share} of {label} is in train");
    }

    split(&[]).assert().code(2).stderr(contains("is there already; `--force` replaces it"));
    succeeds(&mut split(&["--force"]));
    assert_eq!(read("train.jsonl"), train, "the same seed divides alike");
    succeeds(&mut split(&["--force", "--seed", "2"]));
    assert_ne!(read("train.jsonl"), train);
}

#[test]
fn a_split_never_replaces_its_input() {
    let (folder, [file]) = files([("train.jsonl", record("One.", "x", "a") + &record("Two.", "x", "b"))]);
    let before = fs::read(&file).unwrap();
    let mut split = datasets("split");
    split.arg(&file).args(["--ratio", "0.5,0.5", "--force", "-o"]).arg(folder.path());
    split.assert().code(2).stderr(contains("would replace the file that is divided"));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[derive(Deserialize)]
struct Golden {
    a: String,
    b: String,
    labels: BTreeMap<String, Coefficients>,
    sets: Coefficients,
    entity_f1: f64,
    word_kappa: f64,
    words: u64,
}

#[derive(Deserialize)]
struct Coefficients {
    kappa: f64,
    alpha: f64,
    alpha_masi: Option<f64>,
}

#[track_caller]
fn assert_close(ours: &Value, theirs: f64, what: &str) {
    // The same sums in another order.
    let ours = ours.as_f64().unwrap();
    assert!((ours - theirs).abs() < 1e-9, "{what}: {ours}, theirs {theirs}");
}

#[test]
fn agreement_is_that_of_scikit_learn_krippendorff_nltk_and_seqeval() {
    let json = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/agreement.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&json).expect("the fixture has the fields of its script");
    let (folder, [a, b]) = files([("a.jsonl", golden.a), ("b.jsonl", golden.b)]);
    let told = folder.path().join("disagreements.jsonl");
    let out = succeeds(datasets("agreement").arg("--json").arg(&a).arg(&b).arg("--disagreements").arg(&told));
    let ours = &records(&out)[0];
    assert_eq!((&ours["matched_by"], &ours["only_a"]), (&json!("id"), &json!(0)));
    for row in ours["labels"]["labels"].as_array().unwrap() {
        let label = row["label"].as_str().unwrap();
        assert_close(&row["kappa"], golden.labels[label].kappa, label);
        assert_close(&row["alpha"], golden.labels[label].alpha, label);
    }
    assert_eq!(ours["labels"]["labels"].as_array().unwrap().len(), golden.labels.len());
    assert_close(&ours["labels"]["kappa"], golden.sets.kappa, "kappa of sets");
    assert_close(&ours["labels"]["alpha"], golden.sets.alpha, "alpha of sets");
    assert_close(&ours["labels"]["alpha_masi"], golden.sets.alpha_masi.unwrap(), "alpha with MASI");
    assert_close(&ours["entities"]["exact_f1"], golden.entity_f1, "F1");
    assert_close(&ours["entities"]["word_kappa"], golden.word_kappa, "kappa over words");
    assert_eq!(ours["entities"]["words"], golden.words);
    let disagreements = records(&fs::read_to_string(told).unwrap());
    assert_eq!(ours["disagreements"], disagreements.len());
    let differ = disagreements.iter().filter(|d| d.get("labels").is_some()).count() as u64;
    assert_eq!(
        ours["labels"]["sentences"].as_u64().unwrap() - ours["labels"]["equal"].as_u64().unwrap(),
        differ
    );
}

#[test]
fn annotators_who_share_no_sentence_are_not_compared() {
    let (_folder, [a, b]) =
        files([("a.jsonl", record("One.", "x", "a")), ("b.jsonl", record("Two.", "x", "a"))]);
    datasets("agreement").arg(&a).arg(&b).assert().code(2).stderr(contains("no sentence is in both"));
}

#[test]
fn files_are_read_as_the_settings_say() {
    let row = |i: usize| format!("{i},\"Number {i} has words of its own {i} {i}\",{}\n", i % 2);
    let content = "n,body,class\n".to_owned() + &(0..20).map(row).collect::<String>();
    let (folder, [file]) = files([("a.csv", content)]);
    let settings = ["--text-field", "body", "--label-field", "class", "--label-names", "peace,war"];
    let run = |command: &str, arguments: &[&str]| {
        let mut run = datasets(command);
        run.current_dir(&folder).args(arguments).args(settings);
        run
    };
    succeeds(&mut run("check", &["a.csv", "--min-count", "0"]));
    let stats: Value = serde_json::from_str(&succeeds(&mut run("stats", &["a.csv", "--json"]))).unwrap();
    assert_eq!(stats["labels"], json!({"peace": 10, "war": 10}));
    let parts =
        records(&succeeds(&mut run("split", &["a.csv", "--json", "--ratio", "0.5,0.5", "-o", "parts"])));
    assert_eq!(parts[0]["labels"], json!({"peace": 5, "war": 5}));
    let agreement = succeeds(&mut run("agreement", &["a.csv", "./a.csv", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&agreement).unwrap()["labels"]["equal"], 20);
    datasets("check").arg(&file).assert().code(1).stderr(contains("name the column with --text-field"));
}
