//! `undertone evaluate` and `undertone calibrate`: what they tell, write and refuse.

use crate::cli::{records, root, sentence_model, succeeds, token_model, undertone};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A few labelled articles with stances and names.
fn articles(folder: &Path) -> PathBuf {
    let test = fs::read_to_string(root().join("datasets/dispatches/test.jsonl")).unwrap();
    let path = folder.join("articles.jsonl");
    fs::write(&path, test.lines().take(6).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    path
}

/// The single object that `evaluate --json` prints, with more arguments.
fn evaluated(data: &Path, more: &[&str]) -> Value {
    let mut command = undertone();
    command.arg("evaluate").arg("--json").args(more).arg(data);
    records(&succeeds(&mut command)).remove(0)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// Sums of true positives, false positives and false negatives.
fn summed<'a>(counts: impl Iterator<Item = &'a Value>) -> [u64; 3] {
    counts.fold([0; 3], |sum, counts| {
        let names = ["tp", "fp", "fn"];
        std::array::from_fn(|i| sum[i] + number(&counts[names[i]]))
    })
}

#[test]
fn every_figure_stands_beside_the_counts_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let report = evaluated(&data, &["--by", "domain,article"]);
    assert_eq!((&report["schema"], &report["data"]["resampled"]), (&1.into(), &"articles".into()));
    let classification = &report["classification"];
    let mut f1 = Vec::new();
    for label in classification["labels"].as_array().unwrap() {
        let [tp, fp, missed] = summed(std::iter::once(&label["counts"])).map(|n| n as f64);
        let close = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-12;
        assert!(close(&label["precision"], tp / (tp + fp)) && close(&label["recall"], tp / (tp + missed)));
        assert!(close(&label["f1"]["value"], 2.0 * tp / (2.0 * tp + fp + missed)));
        f1.push(label["f1"]["value"].as_f64().unwrap());
        let bins = label["reliability"].as_array().unwrap();
        let positives: u64 = bins.iter().map(|bin| number(&bin["positives"])).sum();
        assert_eq!((positives, bins.len()), (number(&label["support"]), 15));
        let last = label["curve"].as_array().unwrap().last().unwrap();
        assert_eq!(number(&last["tp"]) + number(&last["fp"]), number(&classification["sentences"]));
    }
    let mean = f1.iter().sum::<f64>() / 3.0;
    assert!((classification["macro"]["f1"]["value"].as_f64().unwrap() - mean).abs() < 1e-12);

    // Parts add up to the whole.
    let all = summed(classification["labels"].as_array().unwrap().iter().map(|label| &label["counts"]));
    let names =
        summed(report["entities"]["lenient"]["types"].as_array().unwrap().iter().map(|k| &k["counts"]));
    for (by, least) in report["by"].as_array().unwrap().iter().zip([2, 6]) {
        let rows = by["rows"].as_array().unwrap();
        assert!(rows.len() >= least);
        assert_eq!(summed(rows.iter().flat_map(|row| row["labels"].as_object().unwrap().values())), all);
        assert_eq!(summed(rows.iter().map(|row| &row["entities"])), names);
        let sentences: u64 = rows.iter().map(|row| number(&row["sentences"])).sum();
        assert_eq!(sentences, number(&report["data"]["sentences"]));
    }

    // Each gold entity has one outcome, and so has each found one.
    let errors = &report["entities"]["errors"];
    let told = |names: &[&str]| names.iter().map(|name| number(&errors[*name])).sum::<u64>();
    let [tp, fp, missed] = names;
    assert_eq!(told(&["correct"]), tp);
    assert_eq!(told(&["boundary", "type", "both", "missed"]), missed);
    assert_eq!(told(&["boundary", "type", "both", "spurious"]), fp);
}

#[test]
fn mistakes_are_written_the_most_confident_first_at_any_thresholds() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let errors = folder.path().join("errors.jsonl");
    for thresholds in ["stored", "cross-fitted"] {
        let report = evaluated(&data, &["--thresholds", thresholds, "--errors", errors.to_str().unwrap()]);
        let mistakes = records(&fs::read_to_string(&errors).unwrap());
        let confidences: Vec<f64> = mistakes.iter().map(|m| m["confidence"].as_f64().unwrap()).collect();
        assert!(confidences.is_sorted_by(|a, b| a >= b) && !confidences.is_empty(), "{confidences:?}");
        let wrong = |m: &&Value| m["labels"]["gold"] != m["labels"]["found"];
        let classification = &report["classification"];
        let expected = number(&classification["sentences"]) - number(&classification["exact"]);
        assert_eq!(mistakes.iter().filter(wrong).count() as u64, expected, "{thresholds}");
        let outcomes = mistakes.iter().flat_map(|m| m["entities"].as_array().unwrap());
        let missed = outcomes.filter(|answer| answer["outcome"] == "missed").count() as u64;
        assert_eq!(missed, number(&report["entities"]["errors"]["missed"]));
        let article = mistakes[0]["article"].as_str().unwrap();
        let line = number(&mistakes[0]["line"]) as usize;
        let text = fs::read_to_string(&data).unwrap();
        assert!(text.lines().nth(line - 1).unwrap().contains(article), "{article} is on line {line}");
    }
}

#[test]
fn a_model_is_compared_with_another_on_the_same_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let strict = folder.path().join("strict");
    let mut calibrate = undertone();
    calibrate
        .args(["calibrate", "--objective", "precision>=0.99", "--data"])
        .arg(&data)
        .arg("-o")
        .arg(&strict);
    succeeds(&mut calibrate);
    let differences = folder.path().join("differences.jsonl");
    let [strict, file] = [&strict, &differences].map(|path| path.to_str().unwrap());
    let report = evaluated(&data, &["--compare", strict, "--differences", file]);
    let comparison = &report["comparison"];
    let differing = records(&fs::read_to_string(&differences).unwrap());
    assert!(!differing.is_empty());
    assert_eq!(number(&comparison["differing"]), differing.len() as u64);
    for difference in &differing {
        assert_ne!(difference["labels"]["found"], difference["other"]["labels"]["found"]);
    }
    let metric = |name: &str| {
        let metrics = comparison["metrics"].as_array().unwrap();
        metrics.iter().find(|metric| metric["metric"] == name).unwrap().clone()
    };
    let exact = metric("exact_match");
    let less = exact["this"].as_f64().unwrap() - exact["other"].as_f64().unwrap();
    assert!((exact["difference"]["value"].as_f64().unwrap() - less).abs() < 1e-12);
    assert!(exact["p_value"].as_f64().is_some_and(|p| p > 0.0 && p <= 1.0));
    // The weights are the same, and so are the names and the order of the sentences.
    assert_eq!(metric("entity_f1")["difference"]["value"], 0.0);
    let precision = metric("average_precision")["difference"]["value"].as_f64().unwrap();
    assert!(precision.abs() < 1e-6, "{precision}");
}

#[test]
fn differences_are_told_as_the_figures_decide_them() {
    // Cross-fitted, the stored thresholds play no part, and these two models differ in little else.
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let strict = folder.path().join("strict");
    let mut calibrate = undertone();
    calibrate
        .args(["calibrate", "--objective", "precision>=0.99", "-o"])
        .arg(&strict)
        .arg("--data")
        .arg(&data);
    succeeds(&mut calibrate);
    let differences = folder.path().join("differences.jsonl");
    let [strict, file] = [&strict, &differences].map(|path| path.to_str().unwrap());
    let report = |more: &[&str]| {
        let mut all = vec!["--compare", strict, "--differences", file];
        all.extend(more);
        let report = evaluated(&data, &all);
        let differing = records(&fs::read_to_string(&differences).unwrap()).len() as u64;
        assert_eq!(number(&report["comparison"]["differing"]), differing);
        report["comparison"].clone()
    };
    let cross_fitted = report(&["--thresholds", "cross-fitted"]);
    let only = ["only_this", "only_other"].map(|side| number(&cross_fitted["labels"][side]));
    let differing = number(&cross_fitted["differing"]);
    assert!(only[0] + only[1] <= differing);
    assert!(differing < number(&report(&[])["differing"]), "{cross_fitted}");
}

#[test]
fn models_without_a_head_in_common_are_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let mut command = undertone();
    command.args(["evaluate", "-m"]).arg(token_model()).arg("--compare").arg(sentence_model()).arg(&data);
    command.assert().code(2).stderr(contains("one labels sentences and the other finds entities"));
}

#[test]
fn nothing_is_written_over_the_data_or_twice_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let before = fs::read_to_string(&data).unwrap();
    let twice = folder.path().join("twice");
    for outputs in [[("--errors", &data), ("--report", &twice)], [("--errors", &twice), ("--report", &twice)]]
    {
        let mut command = undertone();
        command
            .arg("evaluate")
            .args(outputs.iter().flat_map(|(flag, path)| [flag.as_ref(), path.as_os_str()]));
        command.arg(&data).assert().code(2).stderr(contains("would be written over"));
    }
    assert_eq!(fs::read_to_string(&data).unwrap(), before);
    assert!(!twice.exists());
}

#[test]
fn a_figure_that_is_too_low_fails_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let run = |requirement: &str| {
        let mut command = undertone();
        command.args(["evaluate", "--fail-under", requirement]).arg(&data);
        command.assert()
    };
    run("macro_f1=0.1,entity_f1=0.1").code(0);
    // CoNLL columns alone have words to be accurate on.
    run("macro_f1=0.1,token_accuracy=0").code(1).stderr(contains("token_accuracy cannot be worked out"));
    run("speculation.recall=1,macro_f1=1").code(1).stderr(contains("macro_f1 is 0."));
    run("f1=0.5").code(2).stderr(contains("there is no metric \"f1\"").and(contains("macro_f1")));
    run("macro_f1=80").code(2);
}

#[test]
fn tables_can_be_pasted_in_markdown() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let mut command = undertone();
    command.args(["evaluate", "--markdown", "--by", "style,sytle"]).arg(&data);
    let run = command
        .assert()
        .success()
        .stderr(contains("no sentence has a `sytle`").and(contains("`style`").not()));
    let out = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    assert!(
        out.contains("|---|---:|") && out.lines().any(|line| line.starts_with("| condemnation")),
        "{out}"
    );
    assert!(out.lines().any(|line| line.starts_with("| style")), "{out}");
}

/// A model that shares 1 among three labels, whose names it gives back.
fn softmax_model(folder: &Path) -> [String; 3] {
    for file in fs::read_dir(sentence_model()).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let path = folder.join("config.json");
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replace("multi_label_classification", "single_label_classification")).unwrap();
    let config: Value = serde_json::from_str(&json).unwrap();
    ["0", "1", "2"].map(|id| config["id2label"][id].as_str().unwrap().to_owned())
}

#[test]
fn softmax_is_scored_by_the_likeliest_label_as_classify_answers() {
    let folder = tempfile::tempdir().unwrap();
    let [label, ..] = softmax_model(folder.path());
    let data = folder.path().join("data.jsonl");
    let texts = ["Ceasefire", "The ministers met in Lisbon on Friday.", "No."];
    let lines = texts.map(|text| format!("{}\n", serde_json::json!({"text": text, "label": label})));
    fs::write(&data, lines.concat()).unwrap();
    let model = folder.path().to_str().unwrap();
    let report = evaluated(&data, &["-m", model]);
    let classification = &report["classification"];
    assert_eq!(classification["thresholds"], "likeliest");
    let labels = classification["labels"].as_array().unwrap();
    assert!(labels.iter().all(|label| label["threshold"].is_null()));
    let [tp, fp, _] = summed(labels.iter().map(|label| &label["counts"]));
    // Where p >= 0.5 might have decided nothing.
    assert_eq!(tp + fp, 3);
    assert_eq!(classification["micro"]["f1"]["value"], classification["exact_match"]["value"]);
    let mut command = undertone();
    command.args(["evaluate", "--thresholds", "cross-fitted", "-m", model]).arg(&data);
    command.assert().code(2).stderr(contains("softmax"));
    // Its temperature can be fitted, in the folder as transformers wrote it.
    let mut command = undertone();
    command.args(["calibrate", "--json", "-m", model, "--data"]).arg(&data);
    let change = records(&succeeds(&mut command)).remove(0);
    assert!(change["nll"]["after"].as_f64() <= change["nll"]["before"].as_f64());
    let description = fs::read_to_string(folder.path().join("undertone.json")).unwrap();
    let description: Value = serde_json::from_str(&description).unwrap();
    let temperature = description["heads"][0]["temperature"].as_f64().unwrap();
    assert!((temperature - change["temperature"]["after"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(evaluated(&data, &["-m", model])["classification"]["exact"], classification["exact"]);
}

#[test]
fn calibration_is_written_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let model = folder.path().join("model");
    let calibrate = |more: &[&str]| {
        let mut command = undertone();
        command.arg("calibrate").args(more).arg("--data").arg(&data);
        command.assert()
    };
    calibrate(&[]).code(2).stderr(contains("--output"));
    calibrate(&["--objective", "accuracy"]).code(2).stderr(contains("precision>=0.95"));
    let to = model.to_str().unwrap();
    calibrate(&["--dry-run", "-o", to]).code(0).stdout(contains("temperature"));
    assert!(!model.exists());
    calibrate(&["-o", to]).code(0);
    calibrate(&["-o", to]).code(2).stderr(contains("not empty"));
    let out =
        calibrate(&["-m", to, "--json", "--objective", "recall>=0.9"]).code(0).get_output().stdout.clone();
    let change = records(&String::from_utf8(out).unwrap()).remove(0);
    let report = evaluated(&data, &["-m", to]);
    for (label, changed) in report["classification"]["labels"]
        .as_array()
        .unwrap()
        .iter()
        .zip(change["labels"].as_array().unwrap())
    {
        assert_eq!(label["counts"], changed["counts"]["after"]);
        assert!(label["recall"].as_f64().unwrap() >= 0.9 && changed["reached"] == true, "{label}");
    }
    // Fitted twice on the same data, the temperature stays.
    let [before, after] = ["before", "after"].map(|when| change["temperature"][when].as_f64().unwrap());
    assert!((before - after).abs() < 1e-3, "{before} {after}");
}

#[test]
fn an_unsure_model_abstains_where_it_is_asked_to() {
    let text =
        "The pact may yet hold.\nLeaders strongly condemned the attack.\nThe talks lasted five hours.\n";
    let run = |least: &str, format: &str| {
        let mut command = undertone();
        command.args(["classify", "--input-format", "lines", "--format", format, "--min-confidence", least]);
        succeeds(command.write_stdin(text))
    };
    let all = records(&run("1", "jsonl"));
    assert!(all.iter().all(|record| record["abstained"] == true && record["stance"] == Value::Array(vec![])));
    let none = records(&run("0", "jsonl"));
    assert!(none.iter().all(|record| record["abstained"] == false));
    assert_eq!(none[1]["stance"], serde_json::json!(["condemnation"]));
    assert_eq!(none[1]["scores"], all[1]["scores"]);
    assert!(run("1", "csv").lines().next().unwrap().ends_with(",abstained"));
    assert!(run("1", "table").contains("abstained"));
    let mut command = undertone();
    command.args(["classify", "--min-confidence", "50"]).write_stdin(text);
    command.assert().code(2).stderr(contains("from 0 to 1"));
}

#[test]
fn merging_runs_equals_one_run_over_all() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let text = fs::read_to_string(&data).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut runs = Vec::new();
    for (i, part) in lines.chunks(4).enumerate() {
        let path = folder.path().join(format!("part-{i}.jsonl"));
        fs::write(&path, part.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let run = folder.path().join(format!("run-{i}.json"));
        fs::write(&run, evaluated(&path, &["--by", "domain"]).to_string()).unwrap();
        runs.push(run);
    }
    let mut command = undertone();
    let merged = records(&succeeds(command.args(["evaluate", "--merge", "--json"]).args(&runs))).remove(0);
    let whole = evaluated(&data, &["--by", "domain"]);
    let places = [
        "/data/sentences",
        "/data/articles",
        "/classification/exact_match/value",
        "/classification/macro/f1/value",
        "/classification/weighted/precision",
        "/classification/confusion",
        "/classification/labels/0/counts",
        "/entities/lenient/micro/f1/value",
        "/entities/strict/macro/recall",
        "/entities/errors",
        "/entities/confusion",
        "/by/0/rows/0/macro_f1/value",
        "/by/0/rows/1/exact_match",
    ];
    for place in places {
        let [merged, whole] = [&merged, &whole].map(|run| run.pointer(place).expect(place));
        match (merged.as_f64(), whole.as_f64()) {
            // A mean may be summed in another order.
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-12, "{place}: {a} and {b}"),
            _ => assert_eq!(merged, whole, "{place}"),
        }
    }
    for place in ["/classification/labels/1/brier", "/classification/labels/2/ece"] {
        let [a, b] = [&merged, &whole].map(|run| run.pointer(place).unwrap().as_f64().unwrap());
        assert!((a - b).abs() < 1e-9, "{place}");
    }
    assert!(merged["classification"]["macro"]["f1"]["interval"].is_null());

    // What the runs put together do not have is misuse, not a figure that is too low.
    for absent in ["average_precision", "no_such"] {
        let mut command = undertone();
        command.args(["evaluate", "--merge", "--fail-under", &format!("{absent}=0.5")]).args(&runs);
        command.assert().code(2).stdout("").stderr(contains("there is no metric"));
    }
    let mut newer = whole.clone();
    newer["schema"] = 2.into();
    let path = folder.path().join("newer.json");
    fs::write(&path, newer.to_string()).unwrap();
    let mut command = undertone();
    command.args(["evaluate", "--merge"]).arg(&path);
    command.assert().code(2).stderr(contains("newer.json:1").and(contains("schema 2")));

    let mut other = whole.clone();
    other["model"]["weights_sha256"] = "0".into();
    fs::write(&runs[1], other.to_string()).unwrap();
    let mut command = undertone();
    command.args(["evaluate", "--merge"]).args(&runs);
    command.assert().code(2).stderr(contains("run-1.json:1").and(contains("weights")));
}

#[test]
fn a_page_shows_the_figures_and_the_surest_mistakes_of_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = articles(folder.path());
    let page = folder.path().join("report.html");
    let errors = folder.path().join("errors.jsonl");
    let mut command = undertone();
    command.args(["evaluate", "--json", "--by", "style", "--report"]).arg(&page).arg("--errors").arg(&errors);
    let report = records(&succeeds(command.arg(&data))).remove(0);
    let html = fs::read_to_string(&page).unwrap();
    let f1 = report["classification"]["macro"]["f1"]["value"].as_f64().unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains(&format!("{f1:.3}")));
    assert!(html.contains(report["model"]["weights_sha256"].as_str().unwrap()));
    let mistakes = records(&fs::read_to_string(&errors).unwrap());
    for mistake in &mistakes {
        let article = mistake["article"].as_str().unwrap();
        assert!(html.contains(article), "{article}");
    }
    // A run that fails leaves no page.
    fs::remove_file(&page).unwrap();
    let mut command = undertone();
    command
        .args(["evaluate", "-m"])
        .arg(sentence_model())
        .arg("--report")
        .arg(&page)
        .arg(folder.path().join("none"));
    command.assert().code(2).stderr(contains("none"));
    assert!(!page.exists());
    let mut command = undertone();
    command.arg("evaluate").args([&data, &data]);
    command.assert().code(2).stderr(contains("named twice"));
}
