//! Whole runs of the built program: what it is given, what it prints, how it exits.

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn undertone() -> Command {
    let mut command = Command::cargo_bin("undertone").expect("the program is built");
    // What whoever runs the tests has set must not matter.
    command.env("XDG_CONFIG_HOME", root().join("tests/fixtures")).env_remove("RUST_LOG");
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").timeout(std::time::Duration::from_secs(300));
    command
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A model with three sentence labels and no entities, and one the other way round.
pub(crate) fn sentence_model() -> PathBuf {
    root().join("tests/fixtures/bert/sequence")
}
pub(crate) fn token_model() -> PathBuf {
    root().join("tests/fixtures/bert/token")
}

/// Standard output of a run that must succeed.
pub(crate) fn succeeds(command: &mut Command) -> String {
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stdout).expect("the output is text")
}

pub(crate) fn records(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).expect("a record a line")).collect()
}

/// What stands in a text under a record's offsets, counted in code points.
pub(crate) fn under(text: &str, record: &Value) -> String {
    let at = |key: &str| record[key].as_u64().expect("an offset") as usize;
    text.chars().skip(at("start")).take(at("end") - at("start")).collect()
}

const ARTICLE: &str = "\u{feff}Ministers meet\r\n\r\nThe envoy — Ana Duarte — may leave Zürich. “We condemn it,” she said 🕊️.\r\n";

#[test]
fn offsets_point_at_the_text_of_sentences_and_entities() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wire.txt");
    fs::write(&path, ARTICLE).unwrap();
    for (command, model) in [("classify", sentence_model()), ("ner", token_model())] {
        let out = succeeds(undertone().arg(command).arg(&path).arg("-m").arg(model));
        let records = records(&out);
        assert_eq!(records.len(), 3);
        for (number, record) in records.iter().enumerate() {
            assert_eq!(record["sentence"], number as u64 + 1);
            assert_eq!(record["text"], under(ARTICLE, record));
            assert_eq!(record["id"], path.display().to_string());
            for entity in record["entities"].as_array().into_iter().flatten() {
                assert_eq!(entity["text"], under(ARTICLE, entity));
            }
        }
        assert_eq!(records[0].get("scores").is_some(), command == "classify");
        assert_eq!(records[0].get("entities").is_some(), command == "ner");
    }
}

#[test]
fn offsets_can_count_bytes_or_utf16_units() {
    let run = |unit: &str| {
        let mut command = undertone();
        command.args(["classify", "--offsets", unit, "-m"]).arg(sentence_model()).write_stdin(ARTICLE);
        records(&succeeds(&mut command))
    };
    let (bytes, units) = (run("byte"), run("utf16"));
    let last = |records: &[Value], key: &str| records[2][key].as_u64().unwrap() as usize;
    assert_eq!(&ARTICLE[last(&bytes, "start")..last(&bytes, "end")], bytes[2]["text"].as_str().unwrap());
    let utf16: Vec<u16> = ARTICLE.encode_utf16().collect();
    let found = String::from_utf16(&utf16[last(&units, "start")..last(&units, "end")]).unwrap();
    assert_eq!(found, units[2]["text"].as_str().unwrap());
}

#[test]
fn lines_keep_one_origin_however_many_there_are() {
    let text: String = (0..2500).map(|i| format!("Línea {i} may hold.\n")).collect();
    let mut command = undertone();
    command
        .args(["classify", "--input-format", "lines", "-m"])
        .arg(sentence_model())
        .write_stdin(text.clone());
    let records = records(&succeeds(&mut command));
    assert_eq!(records.len(), 2500);
    let last = &records[2499];
    assert_eq!((&last["sentence"], last["text"].as_str()), (&2500.into(), Some("Línea 2499 may hold.")));
    assert_eq!(under(&text, last), "Línea 2499 may hold.");
}

#[test]
fn json_lines_are_recognised_and_keep_their_name_and_fields() {
    let mut command = undertone();
    command
        .args(["classify", "--keep-fields", "--text-field", "body", "-m"])
        .arg(sentence_model())
        .write_stdin(
            "{\"id\":7,\"body\":\"One may leave. Two stay.\",\"desk\":\"world\"}\n{\"body\":\"Three.\"}\n",
        );
    let records = records(&succeeds(&mut command));
    assert_eq!(
        records.iter().map(|r| r["id"].clone()).collect::<Vec<_>>(),
        [7.into(), 7.into(), Value::from("-:2")]
    );
    assert_eq!(records[1]["fields"]["desk"], "world");
    assert_eq!(records[1]["sentence"], 2);
    assert!(records[2].get("fields").is_none());
}

#[test]
fn piped_json_lines_are_recognised_however_long_the_first_is() {
    let mut command = undertone();
    let long = "The envoy may leave. ".repeat(1000);
    command.args(["classify", "--no-split", "-m"]).arg(sentence_model()).write_stdin(format!(
        "\u{feff}{{\"id\":\"a\",\"text\":{long:?}}}\n{{\"id\":\"b\",\"text\":\"Two.\"}}\n"
    ));
    let records = records(&succeeds(&mut command));
    assert_eq!(records.iter().map(|r| r["id"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(records[0]["text"], long.trim_end());
}

#[test]
fn kept_fields_have_a_cell_in_every_row() {
    let mut command = undertone();
    command
        .args(["classify", "--keep-fields", "--format", "csv", "-m"])
        .arg(sentence_model())
        .write_stdin("{\"text\":\"One.\",\"desk\":\"world\"}\n{\"text\":\"Two.\"}\n");
    let out = succeeds(&mut command);
    let last: Vec<&str> = out.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(last, ["fields", "\"{\"\"desk\"\":\"\"world\"\"}\"", "{}"]);
}

#[test]
fn an_output_that_is_no_file_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "Mine.").unwrap();
    for (target, reason) in [(folder.path(), "is not empty"), (Path::new("/dev/null"), "is no file")] {
        let mut command = undertone();
        command.args(["classify", "-m"]).arg(sentence_model()).arg("-o").arg(target).write_stdin("One.");
        command.assert().code(2).stderr(contains(reason));
    }
}

#[test]
fn a_csv_goes_in_and_a_csv_comes_out() {
    let mut command = undertone();
    command
        .args(["classify", "--input-format", "csv", "--format", "csv", "--no-split", "-m"])
        .arg(sentence_model())
        .write_stdin("id,text\na,\"One. \"\"Two\"\".\"\n");
    let out = succeeds(&mut command);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("id,sentence,start,end,text,stance,score_condemnation,"), "{out}");
    assert!(lines[1].starts_with("a,1,0,11,\"One. \"\"Two\"\".\","), "{out}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_table_has_colour_only_where_it_is_asked_for() {
    let run = |colour: &str| {
        let mut command = undertone();
        command.args(["classify", "--format", "table", "--color", colour, "-m"]).arg(sentence_model());
        succeeds(command.write_stdin("The envoy may leave."))
    };
    assert!(!run("never").contains('\u{1b}') && !run("auto").contains('\u{1b}'));
    assert!(run("always").contains('\u{1b}'));
    assert!(run("never").contains("The envoy may leave."));
}

#[test]
fn folders_are_read_in_order_without_hidden_and_foreign_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    for (name, text) in [
        ("b/two.txt", "Second."),
        ("a.txt", "First."),
        ("c.jsonl", "{\"text\":\"Third.\"}"),
        (".hidden.txt", "Never."),
        ("picture.png", "Never."),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let out = succeeds(undertone().args(["classify", "-m"]).arg(sentence_model()).arg(folder.path()));
    let texts: Vec<String> = records(&out).iter().map(|r| r["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, ["First.", "Second.", "Third."]);
}

#[test]
fn a_bad_record_stops_the_run_or_is_set_aside_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    fs::write(&path, "{\"text\":\"One.\"}\n{\"txt\":1}\n{\"text\":\"Two.\"}\n").unwrap();
    let output = folder.path().join("out.jsonl");
    let run = || {
        let mut command = undertone();
        command.args(["classify", "-m"]).arg(sentence_model()).arg(&path).arg("-o").arg(&output);
        command
    };
    run()
        .assert()
        .code(1)
        .stderr(contains("in.jsonl:2: no field `text` among txt").and(contains("--on-error skip")));
    assert!(!output.exists(), "an unfinished file must not have its name");

    let rejects = folder.path().join("rejects.jsonl");
    run().arg("--rejects").arg(&rejects).assert().code(1).stderr(contains("1 record could not be read"));
    assert_eq!(records(&fs::read_to_string(&output).unwrap()).len(), 2);
    let reject = &records(&fs::read_to_string(&rejects).unwrap())[0];
    assert_eq!((&reject["line"], reject["record"].as_str()), (&2.into(), Some("{\"txt\":1}\n")));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 3, "no temporary file is left behind");
}

#[test]
fn misuse_exits_with_2_and_says_what_to_do() {
    let cases: [(&[&str], Option<PathBuf>, &str); 3] = [
        (&["classify", "no-such.txt"], None, "no-such.txt: No such file"),
        (&["classify", "-m"], Some(token_model()), "undertone ner"),
        (&["ner", "-m"], Some(sentence_model()), "undertone classify"),
    ];
    for (args, model, expected) in cases {
        let mut command = undertone();
        command.args(args).args(model).write_stdin("Text.");
        command.assert().code(2).stdout("").stderr(contains(expected));
    }
    undertone().args(["classify", "--format", "xml"]).assert().code(2);
}

/// A classifier with the labels of natural-language inference, in a folder.
fn inference_model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(sentence_model()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = folder.path().join("config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["id2label"] = serde_json::json!({"0": "contradiction", "1": "neutral", "2": "ENTAILMENT"});
    fs::write(&config, json.to_string()).unwrap();
    folder
}

#[test]
fn zero_shot_gives_the_labels_that_were_asked_for() {
    let model = inference_model();
    let mut command = undertone();
    command.args(["classify", "--task", "zero-shot", "--labels", "war, trade", "-m"]).arg(model.path());
    let found = records(&succeeds(command.write_stdin(ARTICLE)));
    assert_eq!(found.len(), 3);
    for record in found {
        let scores = record["scores"].as_object().unwrap();
        assert_eq!(scores.keys().collect::<Vec<_>>(), ["war", "trade"]);
        let sum: f64 = scores.values().map(|score| score.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{record}");
        assert_eq!(record["stance"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn zero_shot_that_cannot_be_done_is_refused_with_the_reason() {
    let model = inference_model();
    let zero_shot = ["--task", "zero-shot"];
    let cases: [(&[&str], &Path, &str); 5] = [
        (&[&zero_shot[..], &["--labels", "war"]].concat(), &sentence_model(), "none of its labels"),
        (&zero_shot, model.path(), "needs labels"),
        (&[&zero_shot[..], &["--labels", "war,war"]].concat(), model.path(), "twice"),
        (&[&zero_shot[..], &["--labels", "war", "--template", "war"]].concat(), model.path(), "no {}"),
        (&["--labels", "war"], model.path(), "--task zero-shot"),
    ];
    for (args, model, expected) in cases {
        let mut command = undertone();
        command.arg("classify").args(args).arg("-m").arg(model).write_stdin("Text.");
        command.assert().code(2).stdout("").stderr(contains(expected));
    }
}

#[test]
fn entities_can_be_aggregated_as_the_pipelines_of_transformers_do() {
    let labels = |strategy: &str| {
        let mut command = undertone();
        command.args(["ner", "--aggregation", strategy, "-m"]).arg(token_model()).write_stdin(ARTICLE);
        let found = records(&succeeds(&mut command));
        let entities = found.iter().flat_map(|record| record["entities"].as_array().unwrap().clone());
        entities.map(|entity| entity["label"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let marked = |label: &String| label.starts_with("B-") || label.starts_with("I-");
    assert!(!labels("none").is_empty() && labels("none").iter().all(marked));
    assert!(!labels("simple").is_empty() && !labels("simple").iter().any(marked));
}

#[test]
fn a_folder_that_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = undertone();
    command.args(["classify", "-m"]).arg(folder.path()).write_stdin("Text.");
    command.assert().code(1).stderr(contains("config.json: ").and(contains("hint: a model is a folder")));
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(sentence_model().join(name), folder.path().join(name)).unwrap();
    }
    let weights = folder.path().join("model.safetensors");
    fs::write(&weights, &fs::read(&weights).unwrap()[..3000]).unwrap();
    command
        .assert()
        .code(1)
        .stderr(contains("model.safetensors: ").and(contains("hint: the file may be damaged")));
}

#[test]
fn a_checkpoint_from_before_tokenizer_json_is_read_by_its_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer_config.json", "model.safetensors"] {
        fs::copy(sentence_model().join(name), folder.path().join(name)).unwrap();
    }
    let classify = |model: &Path| {
        let mut classify = undertone();
        classify.args(["classify", "-m"]).arg(model).write_stdin(ARTICLE);
        classify
    };
    let remedy = contains("vocab.txt").and(contains("AutoTokenizer"));
    classify(folder.path()).assert().failure().stderr(remedy);
    let json = fs::read(sentence_model().join("tokenizer.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let pieces = json["model"]["vocab"].as_object().unwrap();
    let mut lines: Vec<(u64, &String)> =
        pieces.iter().map(|(piece, id)| (id.as_u64().unwrap(), piece)).collect();
    lines.sort_unstable();
    let vocab: String = lines.iter().map(|(_, piece)| format!("{piece}\n")).collect();
    fs::write(folder.path().join("vocab.txt"), vocab).unwrap();
    assert_eq!(succeeds(&mut classify(folder.path())), succeeds(&mut classify(&sentence_model())));
}

#[test]
fn nothing_in_gives_nothing_out() {
    let mut command = undertone();
    command.args(["classify", "-m"]).arg(sentence_model()).write_stdin("");
    command.assert().success().stdout("");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let text = "The envoy may leave.\n".repeat(3000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.txt");
    fs::write(&path, text).unwrap();
    let program = assert_cmd::cargo::cargo_bin("undertone");
    for format in ["jsonl", "csv", "table"] {
        let script = format!(
            "set -o pipefail; '{}' classify --input-format lines -f {format} -m '{}' '{}' | head -n 1 >/dev/null",
            program.display(),
            sentence_model().display(),
            path.display()
        );
        Command::new("bash").args(["-c", &script]).assert().success().stderr("");
    }
}

#[test]
fn completions_and_manual_pages_name_the_commands() {
    assert!(succeeds(undertone().args(["completions", "bash"])).contains("analyze"));
    assert!(succeeds(undertone().args(["man", "analyze"])).contains("input\\-format"));
    undertone().args(["man", "nothing"]).assert().code(2).stderr(contains("no command `nothing`"));
}

/// Settings for a run on the tiny model that takes a second.
fn settings(folder: &Path) -> PathBuf {
    let data = folder.join("data.jsonl");
    let sentence = |i: usize| match i % 3 {
        0 => format!(
            "{{\"text\":\"the minister may leave {i}\",\"stance\":[\"speculation\"],\"article\":\"{i}\"}}\n"
        ),
        1 => format!(
            "{{\"text\":\"we condemn the pact {i}\",\"stance\":[\"condemnation\"],\"article\":\"{i}\"}}\n"
        ),
        _ => format!("{{\"text\":\"they met on friday {i}\",\"stance\":[],\"article\":\"{i}\"}}\n"),
    };
    fs::write(&data, (0..60).map(sentence).collect::<String>()).unwrap();
    let path = folder.join("settings.toml");
    let text = format!(
        "base = {base:?}\nnew_head = true\nlabels = [\"condemnation\", \"speculation\"]\nstorage = \"f32\"\n\
         [training]\nepochs = 3\nbatch_size = 8\nlearning_rate = 3e-3\nmax_tokens = 32\n\
         [[train]]\npath = {data:?}\n[[dev]]\npath = {data:?}\n",
        base = sentence_model(),
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn training_is_repeatable_and_its_model_can_be_evaluated_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let train = |name: &str| {
        let output = folder.path().join(name);
        undertone().args(["train", "--config"]).arg(&settings).arg("-o").arg(&output).assert().success();
        output
    };
    let (one, two) = (train("one"), train("two"));
    let weights = |model: &Path| fs::read(model.join("model.safetensors")).unwrap();
    assert!(weights(&one) == weights(&two), "one seed, two models");
    let steps = records(&fs::read_to_string(one.join("metrics.jsonl")).unwrap());
    assert_eq!(steps.iter().filter(|e| e["event"] == "step").count(), 24);

    let mut evaluate = undertone();
    evaluate.args(["evaluate", "--json", "-m"]).arg(&one).arg(folder.path().join("data.jsonl"));
    let report = &records(&succeeds(&mut evaluate))[0];
    assert_eq!(report["data"]["sentences"], 60);
    assert!(report["classification"]["macro"]["f1"]["value"].as_f64().unwrap() > 0.9, "{report}");

    let mut classify = undertone();
    classify.args(["classify", "-m"]).arg(&one).write_stdin("We condemn the pact.");
    assert_eq!(records(&succeeds(&mut classify))[0]["stance"][0], "condemnation");
}

#[test]
fn a_head_of_the_base_model_is_replaced_only_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    change(&settings, "new_head = true\n", "");
    let output = folder.path().join("model");
    let hint = contains("LABEL").not().and(contains("--new-head"));
    train_into(&settings, &output).assert().code(2).stderr(hint.and(contains("head `sequence`")));
    train_into(&settings, &output).arg("--new-head").assert().success();
    // A model of ours is trained on with the head that it has.
    let more = folder.path().join("more");
    let mut again = train_into(&settings, &more);
    again.arg("--base").arg(&output).args(["--epochs", "1", "--learning-rate", "1e-9"]).assert().success();
    let answers = |model: &Path| {
        let mut classify = undertone();
        classify.args(["classify", "-m"]).arg(model).write_stdin("We condemn the pact.");
        records(&succeeds(&mut classify))[0]["stance"].clone()
    };
    assert_eq!(answers(&more), answers(&output));
}

#[test]
fn a_base_model_without_its_head_is_an_error_but_for_a_new_head() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    fs::create_dir(&base).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        fs::copy(sentence_model().join(name), base.join(name)).unwrap();
    }
    // One label more than the classifier has rows.
    let config = fs::read_to_string(base.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let labels = config["id2label"].as_object().unwrap().len();
    config["id2label"][labels.to_string()] = "another".into();
    fs::write(base.join("config.json"), config.to_string()).unwrap();
    let settings = settings(folder.path());
    let output = folder.path().join("model");
    let mut train = train_into(&settings, &output);
    train.arg("--base").arg(&base).args(["--epochs", "1"]).assert().success();
    change(&settings, "new_head = true\n", "");
    let mut train = train_into(&settings, &folder.path().join("other"));
    train.arg("--base").arg(&base).assert().failure().stderr(contains("do not belong together"));
}

#[test]
fn one_head_is_exported_as_a_folder_that_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("plain");
    let mut export = undertone();
    export.args(["models", "export"]).arg(sentence_model()).arg(&output).args(["--dtype", "f32"]);
    assert!(succeeds(&mut export).contains("plain"));
    let scores = |model: &Path| {
        let mut classify = undertone();
        classify.args(["classify", "-m"]).arg(model).write_stdin(ARTICLE);
        succeeds(&mut classify)
    };
    assert_eq!(scores(&output), scores(&sentence_model()));
    export.assert().code(2).stderr(contains("is not empty"));
    let other = folder.path().join("other");
    let default = |task: &str| {
        let mut export = undertone();
        export.args(["models", "export", "default"]).arg(&other).args(["--task", task]);
        export
    };
    default("tone").assert().code(2).stderr(contains("`--task stance` or `--task entities`"));
    default("stance").assert().code(1).stderr(contains("casing = false"));
    assert!(!other.exists());
}

#[test]
fn special_tokens_in_a_text_count_as_asked() {
    let scores = |more: &[&str]| {
        let mut classify = undertone();
        classify
            .args(["classify", "-m"])
            .arg(sentence_model())
            .args(more)
            .write_stdin("We left [SEP] they met.");
        records(&succeeds(&mut classify))[0]["scores"].clone()
    };
    assert_eq!(scores(&[]), scores(&["--special-tokens", "text"]));
    assert_ne!(scores(&[]), scores(&["--special-tokens", "token"]));
}

#[test]
fn a_vocabulary_that_does_not_suit_the_text_is_told() {
    let told = contains("not in the model's vocabulary");
    let classify = |text: String| {
        let mut classify = undertone();
        classify.args(["classify", "-m"]).arg(sentence_model()).write_stdin(text);
        classify
    };
    classify("ไทย ".repeat(30)).assert().success().stderr(told.clone());
    classify("We met. ".repeat(30)).assert().success().stderr(told.not());
}

#[test]
#[cfg(not(any(feature = "cuda", feature = "metal")))]
fn a_device_that_the_build_has_not_is_refused() {
    let classify = |device: &str| {
        let mut classify = undertone();
        classify.args(["classify", "--device", device]).write_stdin("We met.");
        classify
    };
    classify("auto").assert().success();
    classify("cuda:1")
        .assert()
        .code(2)
        .stderr(contains("device cuda:1 cannot be used").and(contains("--features cuda")));
    classify("tpu").assert().code(2).stderr(contains("auto, cpu, cuda, cuda:N or metal"));
}

#[test]
fn training_refuses_settings_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let text = fs::read_to_string(&settings).unwrap().replace("batch_size", "batchsize");
    fs::write(&settings, text).unwrap();
    let mut command = undertone();
    command.args(["train", "--config"]).arg(&settings).arg("-o").arg(folder.path().join("out"));
    command.assert().code(2).stderr(contains("unknown field `batchsize`"));
}

#[test]
fn a_malformed_data_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    fs::write(&path, "{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"b\"\n").unwrap();
    let mut command = undertone();
    command.args(["evaluate", "-m"]).arg(sentence_model()).arg(&path);
    command.assert().code(1).stderr(contains("data.jsonl:2: "));
}

/// `undertone train` with these settings into that folder.
fn train_into(settings: &Path, output: &Path) -> Command {
    let mut command = undertone();
    command.args(["train", "--config"]).arg(settings).arg("-o").arg(output);
    command
}

/// Changes one place of a settings file.
fn change(settings: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(settings).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(settings, text.replace(from, to)).unwrap();
}

#[test]
fn training_without_development_gold_keeps_the_last_epoch_and_makes_up_no_score() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let text = fs::read_to_string(&settings).unwrap();
    let (start, dev) = text.split_once("[[dev]]").unwrap();
    for (name, dev) in [("none", String::new()), ("unused", format!("[[dev]]{dev}labels = false\n"))] {
        fs::write(&settings, format!("{start}{dev}")).unwrap();
        let output = folder.path().join(name);
        // What was left by a run that this one does not go on from.
        fs::create_dir(&output).unwrap();
        fs::write(output.join("metrics.jsonl"), "{\"event\":\"step\",\"step\":1}\n").unwrap();
        train_into(&settings, &output)
            .assert()
            .success()
            .stderr(contains("epoch 3 of 3, no development sentences"));
        let events = records(&fs::read_to_string(output.join("metrics.jsonl")).unwrap());
        assert_eq!(events.iter().filter(|e| e["event"] == "step").count(), 24);
        assert!(events.iter().filter(|e| e["event"] == "epoch").all(|e| e["score"].is_null()));
        let text = fs::read_to_string(output.join("undertone.json")).unwrap();
        let training = &serde_json::from_str::<Value>(&text).unwrap()["training"];
        assert_eq!(training["epoch"], 3);
        assert!(training["development_score"].is_null());
        assert_eq!(training["base_sha256"].as_str().unwrap().len(), 64);
        let hidden = fs::read_dir(&output).unwrap().map(|e| e.unwrap().file_name());
        assert!(hidden.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));
    }
}

#[test]
fn teachers_are_asked_about_what_they_have_not_seen_and_what_has_no_labels() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let [teacher, student, bare] = ["teacher", "student", "bare.jsonl"].map(|name| folder.path().join(name));
    train_into(&settings, &teacher).args(["--leave-out", "0/2"]).assert().success();
    let bare_line = |i| format!("{{\"text\":\"they condemn pact {i}\",\"stance\":null}}\n");
    fs::write(&bare, (0..20).map(bare_line).collect::<String>()).unwrap();
    change(&settings, "storage = \"f32\"", "storage = \"f32\"\nprecision = \"int8\"");
    let text = fs::read_to_string(&settings).unwrap();
    let more = format!("[[train]]\npath = {bare:?}\n[distill]\nteachers = [{teacher:?}]\nshare = 0.5\n");
    fs::write(&settings, text + &more).unwrap();
    train_into(&settings, &student).assert().success().stderr(contains("80 training sentences"));

    let json = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(student.join(name)).unwrap()).unwrap()
    };
    let answered = |file: usize| {
        let answers = json("teachers.json")["answers"][file].as_array().unwrap().clone();
        answers.iter().filter(|answer| !answer.is_null()).count()
    };
    assert!((1..60).contains(&answered(0)), "{} of 60", answered(0));
    assert_eq!(answered(1), 20);
    assert_eq!(json("undertone.json")["precision"], "int8");
}

#[test]
fn a_run_goes_on_only_under_the_recipe_it_was_begun_with() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let output = folder.path().join("out");
    train_into(&settings, &output).assert().success();
    let original = fs::read_to_string(&settings).unwrap();
    for (from, to) in [
        ("[\"condemnation\", \"speculation\"]", "[\"speculation\", \"condemnation\"]"),
        ("storage = \"f32\"", "casing = true"),
        ("storage = \"f32\"", "window = 64"),
        ("storage = \"f32\"", "pooling = \"pooler\""),
        ("[[dev]]", "weight = 2.0\n[[dev]]"),
    ] {
        fs::write(&settings, &original).unwrap();
        change(&settings, from, to);
        train_into(&settings, &output).assert().failure().stderr(contains("is of another run"));
    }
    // How it is stored does not change what was learnt.
    fs::write(&settings, &original).unwrap();
    change(&settings, "storage = \"f32\"", "storage = \"int8\"");
    train_into(&settings, &output).assert().success();
    let events = records(&fs::read_to_string(output.join("metrics.jsonl")).unwrap());
    assert_eq!(events.last().unwrap()["event"], "resumed");
    assert_eq!(events.iter().filter(|e| e["event"] == "step").count(), 24);
}

#[test]
fn a_model_that_no_run_of_ours_has_made_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    for name in ["model.safetensors", "config.json"] {
        let output = folder.path().join(name).with_extension("folder");
        fs::create_dir(&output).unwrap();
        fs::write(output.join(name), "theirs").unwrap();
        train_into(&settings, &output).assert().code(2).stderr(contains("would be overwritten"));
        assert_eq!(fs::read_dir(&output).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(output.join(name)).unwrap(), "theirs");
    }
}

#[test]
fn a_label_that_no_head_knows_is_named_with_its_file_before_training_begins() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let dev = folder.path().join("dev.jsonl");
    fs::write(&dev, "{\"text\":\"they met\",\"stance\":[\"speculaton\"]}\n").unwrap();
    let text = fs::read_to_string(&settings).unwrap();
    let (start, _) = text.split_once("[[dev]]").unwrap();
    fs::write(&settings, format!("{start}[[dev]]\npath = {dev:?}\n")).unwrap();
    let output = folder.path().join("out");
    train_into(&settings, &output)
        .assert()
        .code(2)
        .stderr(contains("dev.jsonl: the label \"speculaton\"").and(contains("condemnation, speculation")));
    assert!(!output.exists());
}
