//! What surrounds the work: settings, messages, manual pages, and the program's own account of where it runs.

use crate::cli::{records, sentence_model, succeeds, undertone};
use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A project's folder and, in it, that of its user's settings.
struct Project(tempfile::TempDir);

impl Project {
    fn new(project: &str, user: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("below/further")).unwrap();
        fs::create_dir_all(folder.path().join("home/undertone")).unwrap();
        fs::write(folder.path().join("undertone.toml"), project).unwrap();
        fs::write(folder.path().join("home/undertone/config.toml"), user).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program run two folders below that of the project.
    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = undertone();
        command
            .current_dir(self.path().join("below/further"))
            .env("XDG_CONFIG_HOME", self.path().join("home"));
        command.args(arguments);
        command
    }

    /// Where the second sentence begins, as `classify` is told to count.
    fn start(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> u64 {
        let mut command = self.run(&["classify", "-m"]);
        command.arg(sentence_model()).write_stdin("Zürich 🕊️ met.\n\nThey left.\n");
        change(&mut command);
        records(&succeeds(&mut command))[1]["start"].as_u64().unwrap()
    }
}

const CHARS: u64 = 16;
const UTF16: u64 = 17;
const BYTES: u64 = 22;

#[test]
fn what_is_typed_goes_before_the_environment_the_project_the_user_and_the_default() {
    assert_eq!(Project::new("", "").start(|run| run), CHARS);
    assert_eq!(Project::new("", "offsets = \"byte\"").start(|run| run), BYTES);
    let both = Project::new("offsets = \"utf16\"", "offsets = \"byte\"\n[classify]\noffsets = \"char\"");
    assert_eq!(both.start(|run| run), UTF16);
    assert_eq!(both.start(|run| run.env("UNDERTONE_OFFSETS", "byte")), BYTES);
    assert_eq!(both.start(|run| run.env("UNDERTONE_OFFSETS", "byte").args(["--offsets", "char"])), CHARS);
    assert_eq!(both.start(|run| run.arg("--no-config")), CHARS);
}

#[test]
fn a_table_is_for_its_command_and_goes_before_what_is_for_all() {
    let project =
        Project::new("offsets = \"utf16\"\n[ner]\noffsets = \"char\"\n[classify]\noffsets = \"byte\"\n", "");
    assert_eq!(project.start(|run| run), BYTES);
}

#[test]
fn flags_and_lists_are_set_too_and_lists_are_replaced_as_wholes() {
    let project = Project::new("no_split = true\nlabel-field = \"kind\"\n", "no_split = false");
    let mut run = project.run(&["classify", "-m"]);
    run.arg(sentence_model()).write_stdin("One met. Two left.\n\nThree stayed.\n");
    assert_eq!(records(&succeeds(&mut run)).len(), 1);
    assert_eq!(records(&succeeds(run.env("UNDERTONE_NO_SPLIT", "off"))).len(), 3);
    run.env("UNDERTONE_NO_SPLIT", "perhaps")
        .assert()
        .code(2)
        .stderr(contains("UNDERTONE_NO_SPLIT: it must be true or false"));
}

#[test]
fn a_value_that_is_refused_is_told_with_its_file_line_and_key() {
    let refused = |project: &str, reason: &str| {
        let project = Project::new(project, "");
        let place = project.path().join("undertone.toml").canonicalize().unwrap();
        let mut run = project.run(&["classify", "-m"]);
        let run = run.arg(sentence_model()).write_stdin("It met.").assert().code(2).stdout("");
        run.stderr(contains(format!("error: {}:", place.display())).and(contains(reason)));
    };
    refused("\n[classify]\noffsets = \"bytes\"\n", ":3: `offsets`: invalid value 'bytes'");
    refused("offsets = \"bytes\"\n", "goes into its table");
    refused("threads = 0\n", "`threads`");
    refused("threads = [1, 2]\n", "it must be one value");
    refused("keep-fields = \"yes\"\n", "it must be true or false");
    refused("ofsets = \"byte\"\n", ":1: `ofsets` is no option; did you mean `offsets`?");
    refused("[clasify]\noffsets = \"byte\"\n", "`clasify` is no command; did you mean `classify`?");
    refused("[classify]\nratio = [1]\n", "`ratio` is no option of `undertone classify`");
    refused("[classify]\nquiet = true\n", "belongs above the tables");
    refused("[models.pull]\nforce = true\n", "it must be typed");
    refused("offsets = 1979-05-27\n", "`offsets` must be a text");
    refused("offsets = \"byte\"\noffsets = \"char\"\n", "duplicate key");
    refused("on_error = \"skip\"\non-error = \"fail\"\n", "set twice");
}

#[test]
fn a_variable_that_sets_no_option_is_warned_of_and_no_more() {
    let project = Project::new("", "");
    let mut run = project.run(&["config", "show"]);
    run.env("UNDERTONE_OFSETS", "byte").env("UNDERTONE_FORCE", "1").env("UNDERTONE_MODEL", "");
    let run = run.assert().success().stdout("# nothing is set\n");
    run.stderr(contains("warning: UNDERTONE_OFSETS sets nothing").and(contains("UNDERTONE_FORCE")));
}

#[test]
fn a_setting_gives_way_to_what_is_typed_against_it() {
    let project = Project::new("json = true\n[evaluate]\ndifferences = \"d.jsonl\"\n", "");
    let data = project.path().join("gold.jsonl");
    fs::write(&data, "{\"text\": \"They strongly condemned it.\", \"labels\": [\"condemnation\"]}\n")
        .unwrap();
    let mut run = project.run(&["evaluate", "--markdown"]);
    let out = succeeds(run.arg(&data));
    assert!(out.starts_with('#') || out.contains('|'), "{out}");
    let both = Project::new("[evaluate]\njson = true\nmarkdown = true\n", "");
    let run = both.run(&["evaluate", "x.jsonl"]).assert();
    run.code(2).stderr(contains("exclude each other").and(contains("`json`")).and(contains("`markdown`")));
}

#[test]
fn paths_in_a_file_are_relative_to_its_folder_and_typed_ones_to_the_current() {
    let project = Project::new("rejects = \"bad.jsonl\"\nmodel = \"./nowhere\"\n", "");
    let shown = succeeds(project.run(&["config", "show"]).env("UNDERTONE_REPORT", "r.html"));
    let folder = project.path().canonicalize().unwrap();
    assert!(shown.contains(&format!("rejects = \"{}\"", folder.join("bad.jsonl").display())), "{shown}");
    assert!(shown.contains("report = \"r.html\""), "{shown}");
    assert!(shown.contains("nowhere\"") && !shown.contains("\"./nowhere"), "{shown}");
    // What may be the name of a model on the hub stays as it is, unless there is such a folder.
    fs::create_dir_all(project.path().join("ana/names")).unwrap();
    for (model, there) in [("ana/names", true), ("ana/other", false)] {
        fs::write(project.path().join("undertone.toml"), format!("model = \"{model}\"")).unwrap();
        let shown = succeeds(&mut project.run(&["config", "show"]));
        assert_eq!(shown.contains(&folder.join(model).display().to_string()), there, "{shown}");
    }
}

#[test]
fn everything_that_can_be_set_is_listed_in_a_form_that_can_be_read_again() {
    let project = Project::new("", "");
    let shown = succeeds(&mut project.run(&["config", "show", "--all"]));
    for line in ["[classify]", "[datasets.check]", "on-error = \"fail\"", "# model ="] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("force ="), "{shown}");
    let again = Project::new(&shown, "");
    let records = records(&succeeds(&mut again.run(&["config", "show", "--json"])));
    let set = shown.lines().filter(|line| line.contains('=') && !line.starts_with('#')).count();
    assert_eq!(records.len(), set);
    assert!(records.iter().all(|record| record["origin"]["file"].is_string()));
}

#[test]
fn what_variables_set_can_be_read_again_from_a_file() {
    let shown = Project::new("", "").run(&["config", "show"]).env("UNDERTONE_KEEP_FIELDS", "Yes").assert();
    let mut shown = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    assert_eq!(shown, "keep-fields = true\n");
    shown += "offsets = \"byte\"\n";
    assert_eq!(Project::new(&shown, "").start(|run| run), BYTES);
}

#[test]
fn messages_can_be_had_as_json_lines_the_last_error_among_them() {
    let mut run = undertone();
    run.args(["--log-format", "json", "-vv", "classify", "-m"]).arg(sentence_model());
    let output =
        run.args(["--input-format", "jsonl"]).write_stdin("{\"text\": \"It met.\"}\n{").assert().code(1);
    let told = records(&String::from_utf8(output.get_output().stderr.clone()).unwrap());
    let opened = told.iter().find(|event| event["message"] == "model opened").expect("it was opened");
    assert!(opened["level"] == "INFO" && opened["parameters"].as_u64().unwrap() > 0, "{opened}");
    let last = told.last().unwrap();
    assert!(last["level"] == "ERROR" && last["timestamp"].is_string(), "{last}");
    assert!(last["message"].as_str().unwrap().contains("a record cannot be read"), "{last}");
}

#[test]
fn more_is_told_with_v_nothing_but_errors_with_q_and_the_variable_goes_before_both() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("in.jsonl");
    fs::write(&data, "{\"text\": \"It met.\", \"labels\": []}\n").unwrap();
    let run = |arguments: &[&str]| {
        let mut run = undertone();
        run.args(["datasets", "convert", "--to", "conll"]).args(arguments).arg(&data);
        run
    };
    run(&[]).assert().success().stderr(contains("1 sentence written"));
    run(&["-q"]).assert().success().stderr(is_empty());
    run(&["-q", "-v"]).assert().code(2);
    run(&["-q"]).env("RUST_LOG", "info").assert().success().stderr(contains("1 sentence written"));
    run(&["-v"]).env("RUST_LOG", "off").assert().success().stderr(is_empty());
    let loud = run(&[]).env("RUST_LOG", "undertone=loud").assert().success();
    loud.stderr(contains("warning: RUST_LOG is left out of account"));
    let nowhere = folder.path().join("nowhere.jsonl");
    let mut quiet = undertone();
    quiet.args(["-q", "classify"]).arg(nowhere).env("RUST_LOG", "off");
    quiet.assert().code(2).stderr(contains("error: ").and(contains("nowhere.jsonl")));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(undertone().args(["man", "--all"]).arg(folder.path().join("man1")));
    let mut pages: Vec<String> = fs::read_dir(folder.path().join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in
        ["undertone.1", "undertone-classify.1", "undertone-datasets-check.1", "undertone-config-show.1"]
    {
        assert!(pages.iter().any(|name| name == page), "{page} among {pages:?}");
    }
    let main = fs::read_to_string(folder.path().join("man1/undertone.1")).unwrap();
    for section in [".SH \"EXIT STATUS\"", ".SH ENVIRONMENT", ".SH FILES", "undertone.toml"] {
        assert!(main.contains(section), "{section}");
    }
    let page = succeeds(undertone().args(["man", "datasets", "check"]));
    assert!(page.contains("undertone datasets check"), "{page}");
    undertone()
        .args(["man", "datasets", "chek"])
        .assert()
        .code(2)
        .stderr(contains("no command `datasets chek`"));
}

#[test]
fn the_doctor_finds_that_classifying_works_and_shows_no_token() {
    let home = tempfile::tempdir().unwrap();
    let mut run = undertone();
    run.args(["doctor", "--json"]).env("HF_HOME", home.path()).env("HF_TOKEN", "hf_secret");
    let out = succeeds(&mut run);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["works"], true);
    assert_eq!(found["self-test"]["labels"], serde_json::json!(["condemnation"]));
    assert_eq!((&found["hub"]["token"], found["hub"]["models"].as_array().unwrap().len()), (&true.into(), 0));
    assert!(!out.contains("secret"), "{out}");
    run.env("HF_ENDPOINT", "nonsense").assert().success().stdout(contains("\"state\":\"doubtful\""));
}
