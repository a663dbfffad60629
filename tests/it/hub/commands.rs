use super::server::{COMMIT, Fault, OLDER, Server, git_sha1, sha256};
use super::tree;
use crate::cli::{records, root, sentence_model, succeeds, token_model, undertone};
use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

/// The program with this home for everything of the hub, and no other setting.
fn run(home: &Path, endpoint: &str, args: &[&str]) -> Command {
    let mut command = undertone();
    for (name, _) in std::env::vars() {
        let upper = name.to_uppercase();
        if upper.starts_with("HF_") || upper.ends_with("_PROXY") || upper.ends_with("_OFFLINE") {
            command.env_remove(name);
        }
    }
    for name in ["HUGGINGFACE_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN", "XDG_CACHE_HOME", "SSL_CERT_FILE"] {
        command.env_remove(name);
    }
    command.env("HF_HOME", home).env("HF_ENDPOINT", endpoint).args(args);
    command
}

fn ready() -> (Server, tempfile::TempDir) {
    let server = Server::start();
    let card = ("README.md", b"---\nlicense: mit\n---\n".to_vec());
    server.add_folder("ana/names", COMMIT, &token_model(), std::slice::from_ref(&card));
    server.add_folder("plain", COMMIT, &sentence_model(), &[card]);
    (server, tempfile::tempdir().unwrap())
}

const TEXT: &str = "The envoy Ana Duarte may leave.";

#[test]
fn a_model_of_the_hub_answers_as_its_folder_does_and_is_fetched_once() {
    let (server, home) = ready();
    for (command, model, folder) in
        [("ner", "ana/names", token_model()), ("classify", "plain", sentence_model())]
    {
        let here = succeeds(undertone().args([command, "-m"]).arg(folder).write_stdin(TEXT));
        let mut first = run(home.path(), &server.endpoint, &[command, "--model", model]);
        first.write_stdin(TEXT).assert().success().stdout(here.clone()).stderr("");
        server.forget_requests();
        let mut second = run(home.path(), &server.endpoint, &[command, "--model", model]);
        second.write_stdin(TEXT).env("HF_HUB_OFFLINE", "1").assert().success().stdout(here);
        assert!(server.requests("").is_empty());
    }
}

#[test]
fn what_is_neither_folder_nor_id_is_misuse_and_never_asked_for() {
    let (server, home) = ready();
    for model in
        ["./names", "/nowhere/names", "a/b/c", "ana/..", "ana/na mes", "ana//names", "../names", "ana/names@"]
    {
        let mut command = run(home.path(), &server.endpoint, &["ner", "-m", model]);
        command.write_stdin(TEXT).assert().code(2).stdout("").stderr(contains("no such folder"));
    }
    for args in [["models", "pull", "a/../b"], ["models", "remove", "/"], ["models", "pull", "-x"]] {
        run(home.path(), &server.endpoint, &args).assert().code(2);
    }
    run(home.path(), "ftp://hub", &["models", "list"]).assert().code(2).stderr(contains("HF_ENDPOINT"));
    assert!(server.requests("").is_empty());
}

#[test]
fn a_model_that_is_not_there_is_explained() {
    let (server, home) = ready();
    let mut command = run(home.path(), &server.endpoint, &["ner", "-m", "ana/nmaes"]);
    command.write_stdin(TEXT).assert().code(1).stderr(contains("misspelt").and(contains("HF_TOKEN")));
    let mut offline = run(home.path(), &server.endpoint, &["ner", "-m", "ana/names"]);
    let cache = home.path().join("hub").display().to_string();
    offline.env("TRANSFORMERS_OFFLINE", "YES").write_stdin(TEXT).assert().code(1).stderr(
        contains("TRANSFORMERS_OFFLINE").and(contains("`config.json` of ana/names")).and(contains(cache)),
    );
}

#[test]
fn the_token_is_never_shown() {
    let (server, home) = ready();
    fs::write(home.path().join("token"), "hf_secret\n").unwrap();
    server.fail("GET /api", Fault::Status(401, ""));
    let mut command = run(home.path(), &server.endpoint, &["models", "pull", "ana/names"]);
    command.assert().code(1).stderr(contains("token in use").and(contains("hf_secret").not()));
    assert_eq!(server.requests("")[0].headers["authorization"], "Bearer hf_secret");
    server.forget_requests();
    let mut command = run(home.path(), &server.endpoint, &["models", "pull", "ana/names"]);
    command.env("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1").assert().success();
    assert!(server.requests("").iter().all(|r| !r.headers.contains_key("authorization")));
}

#[test]
fn models_are_pulled_listed_shown_and_removed() {
    let (server, home) = ready();
    let run = |args: &[&str]| run(home.path(), &server.endpoint, args);
    run(&["models", "list", "--format", "table"]).assert().success().stdout(contains("no models in"));
    assert_eq!(succeeds(&mut run(&["models", "list"])), "");
    let folder = succeeds(&mut run(&["models", "pull", "ana/names"]));
    assert_eq!(
        folder.trim_end(),
        home.path().join("hub/models--ana--names/snapshots").join(COMMIT).to_str().unwrap()
    );
    let list = &records(&succeeds(&mut run(&["models", "list"])))[0];
    assert_eq!(
        (&list["id"], &list["architecture"]),
        (&"ana/names".into(), &"BertForTokenClassification".into())
    );
    assert_eq!(list["revisions"], serde_json::json!([{"commit": COMMIT, "names": ["main"]}]));
    let blobs = home.path().join("hub/models--ana--names/blobs");
    let size: u64 = fs::read_dir(&blobs).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(list["size"], size);
    let table = succeeds(&mut run(&["models", "list", "-f", "table"]));
    assert!(table.contains("main (0123456)") && table.contains("just now"), "{table}");

    let show = &records(&succeeds(&mut run(&["models", "show", "ana/names"])))[0];
    assert_eq!(
        (&show["licence"], &show["architecture"]),
        (&"mit".into(), &"BertForTokenClassification".into())
    );
    assert_eq!(show["weights_sha256"], sha256(&fs::read(token_model().join("model.safetensors")).unwrap()));
    assert!(show["parameters"].as_u64().unwrap() > 1000 && show["heads"][0]["labels"][0] == "O");
    run(&["models", "show", "plain"]).assert().code(1).stderr(contains("models pull plain"));

    run(&["models", "remove", "ana/names", "--dry-run"]).assert().success().stdout(contains("would free"));
    assert!(blobs.exists());
    run(&["models", "remove", "ana/names"])
        .assert()
        .success()
        .stdout(contains("freed").and(contains("1 revision")));
    assert!(tree(&home.path().join("hub")).is_empty());
    run(&["models", "remove", "ana/names"]).assert().code(1).stderr(contains("not in the cache"));
}

#[test]
fn the_default_model_can_be_shown() {
    let home = tempfile::tempdir().unwrap();
    let table =
        succeeds(&mut run(home.path(), "http://127.0.0.1:9", &["models", "show", "default", "-f", "table"]));
    for part in ["condemnation from 0.", "B-PER", "512 tokens", "parameters", "MIT OR Apache-2.0"] {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn removing_a_revision_frees_only_what_no_other_needs() {
    let (server, home) = ready();
    let run = |args: &[&str]| run(home.path(), &server.endpoint, args);
    run(&["models", "pull", "ana/names"]).assert().success();
    let card = b"a new card".to_vec();
    server.add_folder("ana/names", OLDER, &token_model(), &[("README.md", card.clone())]);
    run(&["models", "pull", "ana/names"]).assert().success();
    run(&["models", "remove", "ana/names@main"]).assert().success().stdout(contains("freed 10 B"));
    let repo = home.path().join("hub/models--ana--names");
    assert!(
        !repo.join("blobs").join(git_sha1(&card)).exists() && !repo.join("snapshots").join(OLDER).exists()
    );
    assert!(!repo.join("refs/main").exists());
    let mut ner = run(&["ner", "-m", &format!("ana/names@{COMMIT}")]);
    ner.env("HF_HUB_OFFLINE", "1").write_stdin(TEXT).assert().success();
    run(&["models", "verify"]).assert().success();
    run(&["models", "remove", "ana/names@v9"]).assert().code(1);
}

#[test]
fn damage_in_the_cache_is_found_and_named() {
    let (server, home) = ready();
    let run = |args: &[&str]| run(home.path(), &server.endpoint, args);
    run(&["models", "pull", "ana/names"]).assert().success();
    run(&["models", "verify", "ana/names"])
        .assert()
        .success()
        .stdout("")
        .stderr(contains("5 files are as on the hub"));
    let snapshot = home.path().join("hub/models--ana--names/snapshots").join(COMMIT);
    let weights = snapshot.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(weights.canonicalize().unwrap(), &bytes).unwrap();
    fs::remove_file(snapshot.join("config.json").canonicalize().unwrap()).unwrap();
    let remedy = format!("models pull ana/names@{COMMIT}");
    let assert =
        run(&["models", "verify"]).assert().code(1).stderr(contains("2 damaged").and(contains(&remedy)));
    let found = records(std::str::from_utf8(&assert.get_output().stdout).unwrap());
    assert_eq!(found[0]["file"], "config.json");
    assert_eq!(found[0]["reason"], "its content is missing");
    assert_eq!((&found[1]["file"], &found[1]["model"]), (&"model.safetensors".into(), &"ana/names".into()));
    assert!(found[1]["reason"].as_str().unwrap().contains(&sha256(&bytes)));
    run(&["models", "verify", "plain"]).assert().code(1).stderr(contains("not in the cache"));
    run(&remedy.split(' ').collect::<Vec<_>>()).assert().success();
    run(&["models", "verify"]).assert().success();
    server.forget_requests();
    run(&["models", "pull", "--force", "ana/names"]).assert().success();
    assert!(server.requests("GET").iter().any(|r| r.network), "nothing was fetched");
}

#[test]
fn a_quantised_model_is_small_and_answers() {
    let (server, home) = ready();
    let output = home.path().join("small");
    let to = output.to_str().unwrap();
    run(home.path(), &server.endpoint, &["models", "quantize", "ana/names", to]).assert().success();
    let size = |folder: &Path| fs::metadata(folder.join("model.safetensors")).unwrap().len();
    assert!(size(&output) * 2 < size(&token_model()));
    assert!(fs::read_to_string(output.join("README.md")).unwrap().contains("mit"));
    let mut ner = undertone();
    assert_eq!(records(&succeeds(ner.args(["ner", "-m", to]).write_stdin(TEXT))).len(), 1);
    let mut again = run(home.path(), &server.endpoint, &["models", "quantize", "ana/names", to]);
    again.assert().code(2).stderr(contains("is not empty"));
}

#[test]
fn the_mean_of_a_model_with_itself_is_that_model_and_unlike_models_have_none() {
    let (server, home) = ready();
    let (mean, own) = (home.path().join("mean"), token_model());
    let (mean, own) = (mean.to_str().unwrap(), own.to_str().unwrap());
    let average = |other: &str, to: &str| {
        run(home.path(), &server.endpoint, &["models", "average", "ana/names", other, "--output", to])
    };
    average(own, mean).assert().success();
    let answers = |model: &str| succeeds(undertone().args(["ner", "-m", model]).write_stdin(TEXT));
    assert_eq!(answers(mean), answers(own));
    average(own, mean).assert().code(2).stderr(contains("is not empty"));
    let other = home.path().join("other");
    let unlike = average("default", other.to_str().unwrap()).assert().code(2);
    unlike.stderr(contains("default: model 2 has another config.json than the first"));
    assert!(!other.exists());
}

#[test]
fn a_proxy_is_used_except_for_hosts_that_need_none() {
    let (server, home) = ready();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let (mut head, mut bytes) = (Vec::new(), [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            let n = stream.read(&mut bytes).unwrap();
            assert!(n > 0, "the request is cut");
            head.extend_from_slice(&bytes[..n]);
        }
        stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        String::from_utf8_lossy(&head).into_owned()
    });
    let mut direct = run(home.path(), &server.endpoint, &["models", "pull", "ana/names"]);
    direct.env("HTTP_PROXY", &address).env("NO_PROXY", "127.0.0.1,localhost").assert().success();
    let mut proxied = run(home.path(), "http://hub.invalid", &["models", "pull", "ana/names"]);
    proxied
        .env("HTTP_PROXY", &address)
        .assert()
        .code(1)
        .stderr(contains("403").and(contains("asked for a tunnel")));
    let heard = heard.join().unwrap();
    assert!(heard.starts_with("CONNECT hub.invalid:80 "), "{heard}");
}

#[test]
fn training_can_start_from_a_model_of_the_hub() {
    let (server, home) = ready();
    let data = home.path().join("data.jsonl");
    fs::write(&data, "{\"text\":\"they may leave\",\"stance\":[\"speculation\"]}\n".repeat(8)).unwrap();
    let settings = home.path().join("settings.toml");
    let text = "base = \"plain\"\nnew_head = true\nlabels = [\"speculation\"]\n[training]\nepochs = 1\nmax_tokens = 16\n";
    fs::write(&settings, format!("{text}[[train]]\npath = {data:?}\n")).unwrap();
    let output = home.path().join("out");
    let args = ["train", "-q", "-c", settings.to_str().unwrap(), "-o", output.to_str().unwrap()];
    run(home.path(), &server.endpoint, &args).current_dir(home.path()).assert().success();
    assert!(output.join("undertone.json").exists());
}

#[test]
fn evaluation_names_the_model_as_it_was_given() {
    let (server, home) = ready();
    let data = home.path().join("data.jsonl");
    fs::write(&data, "{\"text\":\"they may leave\",\"stance\":[\"speculation\"]}\n").unwrap();
    let args = ["evaluate", "--json", "-m", "plain", data.to_str().unwrap()];
    let report = &records(&succeeds(run(home.path(), &server.endpoint, &args).current_dir(root())))[0];
    assert_eq!(report["model"]["name"], "plain");
}
