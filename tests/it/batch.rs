//! Runs that write to a folder: stopped in every way, gone on with, verified.

use crate::cli::{records, root, sentence_model, succeeds, undertone};
use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A folder with two inputs, in which some records are bad.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(articles: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        let (mut first, mut second) = (String::new(), String::new());
        for number in 0..articles {
            let text: String = (0..number % 7).map(|i| format!("Line {i} of {number} é.\\n\\n")).collect();
            let line = match number % 50 {
                49 => format!("{{\"txt\": {number}}}\n"),
                _ => format!("{{\"id\": {number}, \"text\": \"{text}\"}}\n"),
            };
            if number < articles / 3 { first.push_str(&line) } else { second.push_str(&line) }
        }
        fs::write(place.path("first.jsonl"), first).unwrap();
        fs::write(place.path("second.jsonl"), second).unwrap();
        fs::write(place.path("lines"), (0..articles).map(|i| format!("Line {i} é.\n")).collect::<String>())
            .unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run into a folder; what it rejects is written beside that.
    fn run(&self, output: &str) -> Command {
        let mut command = undertone();
        command.current_dir(self.folder.path()).args([
            "classify",
            "--part-sentences",
            "300",
            "--look-ahead",
            "64",
        ]);
        command.arg("-m").arg(sentence_model()).args(["first.jsonl", "second.jsonl"]);
        command.arg("-o").arg(format!("{output}/")).arg("--rejects").arg(format!("{output}.rejects"));
        command
    }

    fn started(&self, output: &str) -> Child {
        let built = self.run(output);
        let mut command = std::process::Command::new(built.get_program());
        command.args(built.get_args()).arg("--resume").current_dir(self.folder.path());
        command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn verify(&self, output: &str) -> Command {
        let mut command = undertone();
        command.current_dir(self.folder.path()).args(["verify-run", output, "--parts", "99"]);
        command
    }

    /// Every file of an output, by its name, the rejects with it; their names are not part of what is compared.
    fn files(&self, output: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(self.path(output)).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let content = match name.as_str() {
                "manifest.json" => {
                    let rejects = format!("{output}.rejects");
                    String::from_utf8(content).unwrap().replace(&rejects, "REJECTS").into_bytes()
                }
                _ => content,
            };
            files.insert(name, content);
        }
        if let Ok(rejects) = fs::read(self.path(&format!("{output}.rejects"))) {
            files.insert("REJECTS".into(), rejects);
        }
        files
    }

    fn manifest(&self, output: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(output).join("manifest.json")).unwrap()).unwrap()
    }

    /// The lines of one of the lists beside the manifest.
    fn listed(&self, output: &str, list: &str) -> Vec<Value> {
        records(&fs::read_to_string(self.path(output).join(list)).unwrap())
    }

    fn same(&self, one: &str, other: &str) {
        let (one, other) = (self.files(one), self.files(other));
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&one), names(&other));
        for (name, content) in &one {
            assert!(content == &other[name], "{name} is another");
        }
    }
}

/// Numbers that look like chance, the same in every run.
fn lot(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *seed >> 33
}

/// Sends a signal to a process. For `INT` and `HUP` it is `TERM` where whoever started the tests has them ignore those, as a shell in
/// the background and `nohup` do: the program, which is told the same, heeds that.
#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let bit = match name {
        "HUP" => 0b1,
        "INT" => 0b10,
        _ => 0,
    };
    send(child, if ignored.is_some_and(|signals| signals & bit != 0) { "TERM" } else { name });
}

fn send(child: &Child, name: &str) {
    let status = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Waits until so many parts of a run are listed.
fn wait_for_parts(place: &Place, output: &str, parts: usize) {
    for _ in 0..3000 {
        let listed = fs::read(place.path(output).join("manifest.json")).ok();
        let listed = listed.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        if listed.is_some_and(|json| json["parts"]["count"].as_u64() >= Some(parts as u64)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the run has not come to {parts} parts");
}

#[test]
fn parts_hold_what_one_file_would_and_end_between_texts() {
    let place = Place::new(900);
    place.run("out").assert().code(1).stdout("").stderr(contains("18 records could not be read"));
    let manifest = place.manifest("out");
    let parts = place.listed("out", "parts.jsonl");
    assert!(parts.len() > 5);
    assert_eq!(manifest["parts"]["count"], parts.len());
    let inputs = place.listed("out", "inputs.jsonl");
    assert_eq!(inputs.len(), 2);
    for (input, name) in inputs.iter().zip(["first.jsonl", "second.jsonl"]) {
        assert_eq!(input["path"], name);
        assert_eq!(input["bytes"], fs::metadata(place.path(name)).unwrap().len());
        assert_eq!(input["sha256"].as_str().unwrap().len(), 64);
    }
    let mut joined = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        assert_eq!(part["name"], format!("part-{number:05}.jsonl"));
        let content = fs::read(place.path("out").join(part["name"].as_str().unwrap())).unwrap();
        assert_eq!(part["bytes"], content.len() as u64);
        let sentences = records(std::str::from_utf8(&content).unwrap());
        assert_eq!(sentences[0]["sentence"], 1, "a text begins");
        assert_eq!(part["sentences"], sentences.len() as u64);
        assert!(number + 1 == parts.len() || (300..310).contains(&sentences.len()));
        joined.extend(content);
    }
    let whole = place.path("whole.jsonl");
    let mut command = undertone();
    command
        .current_dir(place.folder.path())
        .args(["classify", "--on-error", "skip", "-m"])
        .arg(sentence_model());
    command.args(["first.jsonl", "second.jsonl", "-o"]).arg(&whole).assert().code(1);
    assert!(fs::read(&whole).unwrap() == joined, "the same records as in one file");
    assert_eq!(manifest["totals"]["documents"], 900 - 18);
    assert_eq!(manifest["totals"]["skipped"], 18);
    assert_eq!(manifest["totals"]["windows"], manifest["totals"]["sentences"]);
    assert_eq!(manifest["complete"], true);
    assert_eq!(fs::read_to_string(place.path("out.rejects")).unwrap().lines().count(), 18);
}

#[test]
#[cfg(unix)]
fn a_run_that_is_killed_again_and_again_ends_as_if_it_never_was() {
    let place = Place::new(3000);
    place.run("whole").assert().code(1);
    let (mut seed, mut killed) = (4, 0);
    for _ in 0..12 {
        let mut child = place.started("killed");
        std::thread::sleep(Duration::from_millis(20 + lot(&mut seed) % 700));
        // On a fast machine it may be done by now: then there is nothing left to kill.
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            killed += 1;
        }
        child.wait().unwrap();
    }
    assert!(killed > 0);
    place.run("killed").arg("--resume").assert().code(1).stderr(contains("60 records could not be read"));
    place.same("whole", "killed");
    succeeds(place.verify("killed").args(["--seed", "1"]));
}

#[test]
#[cfg(unix)]
fn a_run_that_is_killed_right_behind_a_part_goes_on_there() {
    let place = Place::new(3000);
    place.run("whole").assert().code(1);
    for parts in [1, 4] {
        let mut child = place.started("killed");
        wait_for_parts(&place, "killed", parts);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // What a run leaves that was killed amidst a part: half a file, and a part that is not listed.
    let listed = place.listed("killed", "parts.jsonl").len();
    fs::write(place.path("killed/.undertone-x1y2"), "{\"id\":").unwrap();
    fs::write(place.path("killed").join(format!("part-{:05}.jsonl", listed + 3)), "{\"id\":").unwrap();
    let rejects = fs::read_to_string(place.path("killed.rejects")).unwrap();
    fs::write(place.path("killed.rejects"), rejects + "{\"input\":").unwrap();
    for list in ["parts.jsonl", "inputs.jsonl"] {
        let lines = fs::read_to_string(place.path("killed").join(list)).unwrap();
        let last = lines.lines().last().unwrap();
        fs::write(place.path("killed").join(list), format!("{lines}{last}\n{{\"na")).unwrap();
    }
    place.run("killed").arg("--resume").assert().code(1).stderr(contains("going on behind"));
    place.same("whole", "killed");
}

#[test]
#[cfg(unix)]
fn a_run_that_is_interrupted_leaves_no_half_files_and_says_how_to_go_on() {
    let place = Place::new(3000);
    for (name, parts) in [("INT", 1), ("TERM", 2), ("HUP", 3)] {
        let built = place.run("out");
        let mut command = std::process::Command::new(built.get_program());
        command.args(built.get_args()).arg("--resume").current_dir(place.folder.path());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        wait_for_parts(&place, "out", parts);
        signal(&child, name);
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{told}");
        assert!(told.contains("interrupted: ") && told.contains("`--resume`"), "{told}");
        let temporary = |name: &String| name.starts_with(".undertone-");
        assert!(!place.files("out").keys().any(temporary), "{:?}", place.files("out").keys());
    }
    place.verify("out").assert().code(1).stdout(contains("the run is not complete"));
    place.run("out").arg("--resume").assert().code(1);
    place.run("whole").assert().code(1);
    place.same("whole", "out");
}

#[test]
#[cfg(unix)]
fn a_stream_that_is_interrupted_ends_with_a_whole_record() {
    let place = Place::new(60_000);
    let mut command = std::process::Command::new(undertone().get_program());
    command.args(["classify", "--input-format", "lines", "--look-ahead", "64", "-m"]).arg(sentence_model());
    command.arg(place.path("lines")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut out = String::new();
    reader.read_line(&mut out).unwrap();
    signal(&child, "INT");
    reader.read_to_string(&mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let records = records(&out);
    assert!(out.ends_with('\n') && records.len() < 60_000, "{}", records.len());
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["text"], format!("Line {number} é."));
    }
}

#[test]
#[cfg(unix)]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let place = Place::new(3000);
    let built = place.run("out");
    let mut command = std::process::Command::new("nohup");
    command.arg(built.get_program()).args(built.get_args()).current_dir(place.folder.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_parts(&place, "out", 1);
    send(&child, "HUP");
    assert_eq!(child.wait().unwrap().code(), Some(1), "it goes on to its end");
    assert_eq!(place.manifest("out")["complete"], true);
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_told_and_leaves_a_run_that_can_be_gone_on_with() {
    let place = Place::new(900);
    place.run("whole").assert().code(1);
    let built = place.run("out");
    let arguments: Vec<&std::ffi::OsStr> = built.get_args().collect();
    let mut limited = Command::new("sh");
    // Files of more than 16 kB cannot be written, which is an error and not a signal where that one is ignored.
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$@\"", "sh"])
        .arg(built.get_program())
        .args(arguments);
    limited.current_dir(place.folder.path());
    limited
        .assert()
        .code(1)
        .stderr(contains("error: cannot write the results: ").and(contains("`--resume` goes on")));
    assert!(!place.files("out").keys().any(|name| name.starts_with(".undertone-")));
    place.run("out").arg("--resume").assert().code(1);
    place.same("whole", "out");
}

#[test]
fn a_run_goes_on_only_as_the_run_it_was_begun_as() {
    let place = Place::new(900);
    place.run("out").assert().code(1);
    place.run("out").assert().code(2).stderr(contains("has a run already").and(contains("`--resume`")));
    place
        .run("out")
        .arg("--resume")
        .assert()
        .code(1)
        .stderr(contains("complete already").and(contains("18 records could not be read")));
    place.run("out").args(["--resume", "--offsets", "byte", "--keep-fields"]).assert().code(2).stderr(
        contains("--offsets: was char, is byte").and(contains("--keep-fields: was not given, is given")),
    );
    let other = place.path("model");
    fs::create_dir(&other).unwrap();
    for entry in fs::read_dir(sentence_model()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, other.join(path.file_name().unwrap())).unwrap();
    }
    let run = || {
        let mut command = undertone();
        command.current_dir(place.folder.path()).args([
            "classify",
            "--part-sentences",
            "300",
            "--look-ahead",
            "64",
        ]);
        command.args([
            "first.jsonl",
            "second.jsonl",
            "-o",
            "out/",
            "--rejects",
            "out.rejects",
            "--resume",
            "-m",
        ]);
        command.arg(&other);
        command
    };
    run().assert().code(1).stderr(contains("complete already"));
    let config = other.join("config.json");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("\"type_vocab_size\"", "\"pooler\": 1, \"type_vocab_size\"");
    fs::write(&config, text).unwrap();
    run().assert().code(2).stderr(contains("--model: was").and(contains("configuration differ")));
    let first = fs::read_to_string(place.path("first.jsonl")).unwrap();
    fs::write(place.path("first.jsonl"), first.replacen("Line", "Lime", 1)).unwrap();
    place
        .run("out")
        .arg("--resume")
        .assert()
        .code(2)
        .stderr(contains("input first.jsonl: its content is another"));
    place
        .run("out")
        .args(["lines", "--resume"])
        .assert()
        .code(2)
        .stderr(contains("inputs: were 2, are 3; number 3"));
}

#[test]
fn a_run_that_stopped_at_a_bad_record_goes_on_past_it_when_told_to() {
    let place = Place::new(900);
    let run = |output: &str| {
        let mut command = undertone();
        command.current_dir(place.folder.path()).args(["classify", "--part-sentences", "50", "-m"]);
        command.arg(sentence_model()).args(["first.jsonl", "second.jsonl", "-o"]).arg(format!("{output}/"));
        command
    };
    run("out")
        .assert()
        .code(1)
        .stderr(contains("first.jsonl:50: no field `text`").and(contains("`--resume` goes on")));
    assert_eq!(place.manifest("out")["parts"]["count"], 2);
    run("out").args(["--resume", "--on-error", "skip"]).assert().code(1).stderr(contains("18 records"));
    run("whole").args(["--on-error", "skip"]).assert().code(1);
    place.same("whole", "out");
}

#[test]
fn where_inputs_are_looked_for_a_bad_one_is_passed_over_and_kept_in_the_rejects() {
    let place = Place::new(100);
    fs::create_dir(place.path("in")).unwrap();
    fs::rename(place.path("first.jsonl"), place.path("in/a.jsonl")).unwrap();
    fs::write(place.path("in/b.txt"), b"caf\xe9 \xff\xfe\x00").unwrap();
    fs::rename(place.path("second.jsonl"), place.path("in/c.jsonl")).unwrap();
    let run = || {
        let mut command = undertone();
        command.current_dir(place.folder.path()).args(["classify", "in", "-m"]).arg(sentence_model());
        command
    };
    let all = run().assert().code(1).stderr(contains("could not be read")).get_output().stdout.clone();
    assert!(records(std::str::from_utf8(&all).unwrap()).len() > 200);
    run().args(["--on-error", "fail"]).assert().code(1).stderr(contains("a record cannot be read"));
    run().args(["-o", "out/", "--rejects", "rejects.jsonl"]).assert().code(1);
    let rejects = records(&fs::read_to_string(place.path("rejects.jsonl")).unwrap());
    assert!(rejects.iter().any(|reject| reject["input"] == "in/b.txt"), "{rejects:?}");
    assert_eq!(rejects.iter().filter(|reject| reject["line"].is_u64()).count(), 2);
}

#[test]
fn lines_that_go_on_over_parts_keep_their_numbers_and_offsets() {
    let place = Place::new(5000);
    let run = || {
        let mut command = undertone();
        command.current_dir(place.folder.path()).args(["classify", "--input-format", "lines", "-m"]);
        command.arg(sentence_model()).arg("lines");
        command
    };
    let whole = succeeds(&mut run());
    succeeds(run().args(["-o", "out/", "--part-sentences", "1000"]));
    let parts = place.listed("out", "parts.jsonl").len();
    assert_eq!(parts, 5);
    let read =
        |number| fs::read_to_string(place.path("out").join(format!("part-{number:05}.jsonl"))).unwrap();
    assert!((0..parts).map(read).collect::<String>() == whole);
    succeeds(place.verify("out").args(["--seed", "3"]));
}

#[test]
fn one_run_at_a_time_writes_to_a_folder_and_only_to_one_of_its_own() {
    let place = Place::new(3000);
    let mut child = place.started("out");
    wait_for_parts(&place, "out", 1);
    place.run("out").arg("--resume").assert().code(1).stderr(contains("another run is writing to it"));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut command = undertone();
    command.current_dir(place.folder.path()).args(["classify", ".", "-o", "results/"]);
    command.assert().code(2).stderr(contains("lies in ., which is read"));
    fs::create_dir(place.path("notes")).unwrap();
    fs::write(place.path("notes/mine.txt"), "mine").unwrap();
    place.run("notes").arg("--resume").assert().code(2).stderr(contains("is not empty"));
    let mut command = undertone();
    command.args(["classify", "--resume", "-m"]).arg(sentence_model()).write_stdin("One.");
    command.assert().code(2).stderr(contains("only a run that writes to a folder"));
}

#[test]
fn a_run_without_texts_has_one_part_without_records() {
    let place = Place::new(0);
    place.run("out").args(["--format", "csv"]).assert().success();
    let manifest = place.manifest("out");
    assert_eq!((&manifest["complete"], &manifest["parts"]["count"]), (&Value::Bool(true), &Value::from(1)));
    assert_eq!(fs::read_to_string(place.path("out/part-00000.csv")).unwrap().lines().count(), 1, "a header");
    succeeds(&mut place.verify("out"));
}

#[test]
fn what_is_written_with_every_part_does_not_grow_with_parts_and_inputs() {
    let place = Place::new(0);
    fs::create_dir(place.path("in")).unwrap();
    for number in 0..300 {
        fs::write(place.path(&format!("in/{number:03}.txt")), format!("One of {number}.\n\nTwo.\n")).unwrap();
    }
    let run = |output: &str, inputs: &[&str], sentences: &str| {
        let mut command = undertone();
        command.current_dir(place.folder.path()).args(["classify", "-m"]).arg(sentence_model());
        succeeds(command.args(inputs).args([
            "--on-error",
            "skip",
            "--part-sentences",
            sentences,
            "-o",
            output,
        ]));
        fs::metadata(place.path(output).join("manifest.json")).unwrap().len()
    };
    let (few, many) = (run("few/", &["in/000.txt"], "9999"), run("many/", &["in"], "2"));
    assert!(many < few + 100, "{few} {many}");
    assert_eq!(place.listed("many", "parts.jsonl").len(), 300);
    assert_eq!(place.listed("many", "inputs.jsonl").len(), 300);
    succeeds(&mut place.verify("many"));
}

#[test]
fn parts_are_the_same_with_any_number_of_threads() {
    let place = Place::new(600);
    place.run("one").args(["--threads", "1"]).assert().code(1);
    place.run("three").args(["--threads", "3"]).assert().code(1);
    place.same("one", "three");
}

#[test]
#[cfg(unix)]
fn inputs_whose_names_are_no_text_can_be_gone_on_with_and_verified() {
    use std::os::unix::ffi::OsStringExt;
    let place = Place::new(900);
    fs::create_dir(place.path("in")).unwrap();
    let name = std::ffi::OsString::from_vec(b"caf\xe9.jsonl".to_vec());
    if fs::rename(place.path("first.jsonl"), place.path("in").join(name)).is_err() {
        return; // Not every file system has such names.
    }
    let run = |on_error: &str| {
        let mut command = undertone();
        command.current_dir(place.folder.path()).args(["classify", "in", "--part-sentences", "50", "-m"]);
        command.arg(sentence_model()).args(["-o", "out/", "--resume", "--on-error", on_error]);
        command.assert().code(1)
    };
    run("fail").stderr(contains("no field `text`"));
    run("skip").stderr(contains("going on behind 2 parts"));
    succeeds(&mut place.verify("out"));
}

#[test]
fn standard_input_is_gone_on_with_behind_what_was_read_unless_it_is_shorter() {
    let place = Place::new(900);
    let input = fs::read_to_string(place.path("first.jsonl")).unwrap();
    let run = |output: &str, on_error: &str, input: &str| {
        let mut command = undertone();
        command.current_dir(place.folder.path()).args(["classify", "--part-sentences", "50", "-m"]);
        command.arg(sentence_model()).args(["--input-format", "jsonl", "--resume", "--on-error", on_error]);
        command.arg("-o").arg(output).write_stdin(input).assert().code(1)
    };
    run("out/", "fail", &input).stderr(contains("`--resume` goes on"));
    run("out/", "skip", "").stderr(contains("-: it has 0 records, of which the run has read"));
    assert_eq!(place.manifest("out")["complete"], false);
    run("out/", "skip", &input).stderr(contains("nothing tells whether they are those"));
    run("whole/", "skip", &input);
    place.same("whole", "out");
    succeeds(&mut place.verify("out"));
}

#[test]
fn verifying_finds_what_was_changed() {
    let place = Place::new(900);
    place.run("out").assert().code(1);
    let told = succeeds(place.verify("out").args(["--seed", "7"]));
    let parts = place.listed("out", "parts.jsonl").len();
    assert!(told.contains(&format!("parts: all {parts} as they were written")), "{told}");
    assert!(told.contains("part-00003.jsonl: computed again, the same bytes"), "{told}");
    assert!(told.ends_with("verified\n"), "{told}");

    let part = place.path("out/part-00003.jsonl");
    let content = fs::read_to_string(&part).unwrap();
    let at = content.find("\"scores\":{").unwrap()
        + content[content.find("\"scores\":{").unwrap()..].find("0.").unwrap()
        + 2;
    let digit = if &content[at..=at] == "9" { "1" } else { "9" };
    fs::write(&part, format!("{}{digit}{}", &content[..at], &content[at + 1..])).unwrap();
    // What the manifest says of the part is right no more; had it been told of the change, computing it again shows it.
    let changed = place.verify("out").assert().code(1).get_output().stdout.clone();
    let changed = String::from_utf8(changed).unwrap();
    assert!(changed.contains("part-00003.jsonl: its content is another (SHA-256)"), "{changed}");
    fs::write(&part, content).unwrap();

    fs::write(place.path("out/part-00099.jsonl"), "").unwrap();
    place.verify("out").assert().code(1).stdout(contains("part-00099.jsonl: it is not listed"));
    fs::remove_file(place.path("out/part-00099.jsonl")).unwrap();
    let second = fs::read_to_string(place.path("second.jsonl")).unwrap();
    fs::write(place.path("second.jsonl"), second.replacen("Line", "Lines", 1)).unwrap();
    place.verify("out").assert().code(1).stdout(contains("input second.jsonl: it had"));
    fs::remove_file(place.path("second.jsonl")).unwrap();
    place.verify("out").assert().code(1).stdout(contains("cannot be computed again without second.jsonl"));
    let file = root().join("README.md");
    undertone().arg("verify-run").arg(file).assert().code(2).stderr(contains("it is a file"));
    undertone()
        .arg("verify-run")
        .arg(place.folder.path())
        .assert()
        .code(2)
        .stderr(contains("has no manifest.json"));
}

#[test]
fn a_part_whose_scores_were_other_ones_is_told_with_their_largest_difference() {
    let place = Place::new(300);
    place.run("out").assert().code(1);
    let part = place.path("out/part-00001.jsonl");
    let content = fs::read_to_string(&part).unwrap();
    let mut lines: Vec<Value> = records(&content);
    let scores = lines[0]["scores"].as_object_mut().unwrap();
    let score = scores.values_mut().next().unwrap();
    *score = (score.as_f64().unwrap() + 0.125).into();
    let content: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&part, &content).unwrap();
    // A list to match: as if the run itself had computed them.
    let digest = std::process::Command::new("sha256sum").arg(&part).output().unwrap().stdout;
    let digest = String::from_utf8(digest).unwrap()[..64].to_owned();
    let mut parts = place.listed("out", "parts.jsonl");
    parts[1]["sha256"] = digest.into();
    parts[1]["bytes"] = content.len().into();
    let parts: String = parts.iter().map(|part| format!("{part}\n")).collect();
    let mut manifest = place.manifest("out");
    manifest["parts"]["list_bytes"] = parts.len().into();
    fs::write(place.path("out/parts.jsonl"), parts).unwrap();
    fs::write(place.path("out/manifest.json"), manifest.to_string()).unwrap();
    let told = "part-00001.jsonl: computed again, 1 of ";
    place
        .verify("out")
        .assert()
        .code(1)
        .stdout(contains(told).and(contains("difference of a score is 0.125")));
}
