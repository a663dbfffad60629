use super::server::{COMMIT, Fault, OLDER, Server, git_sha1, sha256};
use super::{hub, id, settings, tree};
use crate::cli::{root, token_model};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use undertone::bundle::Bundle;
use undertone::hub::{Hub, HubError, Planned, Progress, Secret};

const WEIGHTS: &str = "model.safetensors";

/// A server with one small model, and an empty cache.
fn ready() -> (Server, tempfile::TempDir) {
    let server = Server::start();
    let more = [
        ("README.md", b"---\nlicense: mit\n---\n".to_vec()),
        ("vocab.txt", b"[PAD]\n[UNK]\n".repeat(50)),
        ("tf_model.h5", b"not for us".to_vec()),
        ("pytorch_model.bin", b"not needed".to_vec()),
    ];
    server.add_folder("ana/names", COMMIT, &token_model(), &more);
    (server, tempfile::tempdir().unwrap())
}

fn weights() -> Vec<u8> {
    fs::read(token_model().join(WEIGHTS)).unwrap()
}

fn repo(cache: &Path) -> PathBuf {
    cache.join("models--ana--names")
}

/// Where a part of the weights waits to be gone on with.
fn part(cache: &Path, etag: &str) -> PathBuf {
    fs::create_dir_all(repo(cache).join("blobs")).unwrap();
    repo(cache).join("blobs").join(format!("{etag}.incomplete"))
}

/// Fetched weights are those of the fixture.
fn assert_whole(cache: &Path) {
    let folder = repo(cache).join("snapshots").join(COMMIT);
    assert!(fs::read(folder.join(WEIGHTS)).unwrap() == weights());
    assert!(!tree(cache).iter().any(|path| path.contains(".incomplete")), "{:?}", tree(cache));
}

#[test]
fn a_pulled_model_lies_as_python_lays_it_and_is_not_asked_for_again() {
    let (server, cache) = ready();
    let hub = hub(cache.path(), &server.endpoint);
    let pulled = hub.pull(&id("ana/names"), &()).unwrap();
    let mut expected = vec![
        format!("models--ana--names/.no_exist/{COMMIT}/undertone.json"),
        "models--ana--names/refs/main".to_owned(),
    ];
    for name in ["README.md", "config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    {
        let bytes = fs::read(pulled.folder.join(name)).unwrap();
        let blob = if name == WEIGHTS { sha256(&bytes) } else { git_sha1(&bytes) };
        expected.push(format!(".locks/models--ana--names/{blob}.lock"));
        expected.push(format!("models--ana--names/blobs/{blob}"));
        expected.push(format!("models--ana--names/snapshots/{COMMIT}/{name} -> ../../blobs/{blob}"));
    }
    expected.sort();
    assert_eq!(tree(cache.path()), expected);
    assert_eq!(fs::read_to_string(repo(cache.path()).join("refs/main")).unwrap(), COMMIT);
    Bundle::open(&pulled.folder).unwrap();

    server.forget_requests();
    assert_eq!(hub.folder(&id("ana/names"), &()).unwrap(), pulled.folder);
    assert!(server.requests("").is_empty(), "{:?}", server.requests(""));
    hub.pull(&id("ana/names"), &()).unwrap();
    assert_eq!(server.requests("").len(), 1, "only whether there is a newer commit is asked");
}

#[test]
fn a_model_in_several_files_comes_with_all_of_them() {
    let server = Server::start();
    let cache = tempfile::tempdir().unwrap();
    server.add_folder("ana/shards", COMMIT, &root().join("tests/fixtures/families/forms/sharded-bf16"), &[]);
    let folder = hub(cache.path(), &server.endpoint).folder(&id("ana/shards"), &()).unwrap();
    Bundle::open(&folder).unwrap();
}

#[test]
fn a_branch_a_tag_and_a_commit_can_be_asked_for() {
    let (server, cache) = ready();
    server.add_folder("ana/names", OLDER, &token_model(), &[]);
    let hub = hub(cache.path(), &server.endpoint);
    for (revision, commit) in [("main", OLDER), (COMMIT, COMMIT)] {
        let snapshot = hub.pull(&id(&format!("ana/names@{revision}")), &()).unwrap();
        assert_eq!(snapshot.commit, commit);
    }
    // A commit that was asked for by its hash gets no name.
    assert_eq!(fs::read_dir(repo(cache.path()).join("refs")).unwrap().count(), 1);
    let moved = format!("Location: /api/models/ana/names/revision/{OLDER}\r\n").leak();
    server.fail(&format!("GET /api/models/ana/names/revision/{COMMIT}"), Fault::Status(307, moved));
    let error = hub.pull(&id(&format!("ana/names@{COMMIT}")), &()).unwrap_err().to_string();
    assert!(error.contains(OLDER) && error.contains(COMMIT), "{error}");
    let error = hub.pull(&id("ana/names@v9"), &()).unwrap_err().to_string();
    assert!(error.contains("ana/names has no revision `v9`"), "{error}");
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let (server, cache) = ready();
    server.fail(&format!("NETWORK GET /ana/names/resolve/{COMMIT}/{WEIGHTS}"), Fault::Cut(10_000));
    server.fail(&format!("NETWORK GET /ana/names/resolve/{COMMIT}/{WEIGHTS}"), Fault::Cut(20_000));
    hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap();
    assert_whole(cache.path());
    let asked = server.requests(WEIGHTS);
    let ranges: Vec<_> =
        asked.iter().filter(|r| r.network).map(|r| r.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=10000-".into()), Some("bytes=30000-".into())]);
}

#[test]
fn what_an_earlier_process_has_left_is_gone_on_with_unless_it_is_of_something_else() {
    let (server, cache) = ready();
    let etag = sha256(&weights());
    for (left, requests) in
        [(weights()[..5000].to_vec(), 1), (vec![7; 5000], 2), (weights(), 0), (vec![7; 1 << 20], 1)]
    {
        fs::write(part(cache.path(), &etag), &left).unwrap();
        server.forget_requests();
        hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap();
        assert_whole(cache.path());
        let asked = server.requests(&format!("GET /ana/names/resolve/{COMMIT}/{WEIGHTS}"));
        assert_eq!(asked.iter().filter(|r| r.network).count(), requests, "{} bytes left", left.len());
        fs::remove_dir_all(repo(cache.path())).unwrap();
    }
}

#[test]
fn a_part_is_gone_on_with_only_if_the_file_is_still_the_same() {
    let (server, cache) = ready();
    let vocabulary = b"[PAD]\n[UNK]\n".repeat(50);
    let etag = git_sha1(&vocabulary);
    fs::write(part(cache.path(), &etag), &vocabulary[..100]).unwrap();
    hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap();
    let asked =
        &server.requests("GET /ana/names/resolve/0123456789abcdef0123456789abcdef01234567/vocab.txt")[0];
    assert_eq!(asked.headers.get("if-range"), Some(&format!("\"{etag}\"")));
    assert_eq!(asked.headers["range"], "bytes=100-");
    assert_eq!(fs::read(repo(cache.path()).join("blobs").join(&etag)).unwrap(), vocabulary);
}

#[test]
fn a_server_that_refuses_or_ignores_a_range_sends_the_whole() {
    let (server, cache) = ready();
    let etag = sha256(&weights());
    fs::write(part(cache.path(), &etag), &weights()[..5000]).unwrap();
    server.fail(&format!("NETWORK GET /ana/names/resolve/{COMMIT}/{WEIGHTS}"), Fault::Status(416, ""));
    hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap();
    assert_whole(cache.path());
}

#[test]
fn a_server_that_always_begins_anew_and_breaks_off_is_given_up() {
    let (server, cache) = ready();
    let get = format!("NETWORK GET /ana/names/resolve/{COMMIT}/{WEIGHTS}");
    (0..9).for_each(|_| server.fail(&get, Fault::Restart(10_000)));
    let error = hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("10000 bytes"), "{error}");
    assert!(!error.to_string().contains("secret"), "a signed address opens a file: {error}");
    let asked = server.requests(&format!("GET /ana/names/resolve/{COMMIT}/{WEIGHTS}"));
    assert_eq!(asked.iter().filter(|r| r.network).count(), 4, "one try and three more");
}

#[test]
fn a_hub_that_takes_a_connection_and_says_nothing_is_left() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings(cache.path(), &format!("http://{}", silent.local_addr().unwrap()));
    (settings.stall, settings.retries) = (Duration::from_millis(300), 1);
    let started = Instant::now();
    let error = Hub::new(settings).pull(&id("ana/names"), &()).unwrap_err();
    assert!(error.is_outage(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_stalled_connection_is_left_and_a_slow_one_is_not() {
    let (server, cache) = ready();
    let mut settings = settings(cache.path(), &server.endpoint);
    settings.stall = Duration::from_millis(400);
    let hub = Hub::new(settings);
    server.fail(&format!("NETWORK GET /ana/names/resolve/{COMMIT}/{WEIGHTS}"), Fault::Stall(3000));
    // Longer as a whole than the time after which silence counts as an end.
    server.fail(
        &format!("GET /ana/names/resolve/{COMMIT}/vocab.txt"),
        Fault::Trickle(6, Duration::from_millis(100)),
    );
    let started = Instant::now();
    hub.pull(&id("ana/names"), &()).unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_whole(cache.path());
    let asked = server.requests(&format!("GET /ana/names/resolve/{COMMIT}/{WEIGHTS}"));
    assert_eq!(asked.last().unwrap().headers["range"], "bytes=3000-");
    assert_eq!(server.requests(&format!("GET /ana/names/resolve/{COMMIT}/vocab.txt")).len(), 1);
}

#[test]
fn damaged_content_is_thrown_away_and_both_hashes_are_told() {
    let config = fs::read(token_model().join("config.json")).unwrap();
    for (file, announced) in [(WEIGHTS, sha256(&weights())), ("config.json", git_sha1(&config))] {
        // A cache of its own: what another failed pull had already brought would not be asked for again.
        let (server, cache) = ready();
        let hub = hub(cache.path(), &server.endpoint);
        let request = format!("GET /ana/names/resolve/{COMMIT}/{file}");
        let request = if file == WEIGHTS { format!("NETWORK {request}") } else { request };
        server.fail(&request, Fault::Flip);
        let error = hub.pull(&id("ana/names"), &()).unwrap_err();
        let HubError::Damaged { file: named, expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!((named.as_str(), expected), (file, &announced));
        assert!(found.len() == announced.len() && *found != announced, "{found}");
        assert!(error.to_string().contains(found.as_str()) && error.to_string().contains(&announced));
        let blob = repo(cache.path()).join("blobs").join(&announced);
        assert!(!blob.exists() && !part(cache.path(), &announced).exists());
        assert!(hub.cache().find(&id("ana/names")).is_none(), "`main` must not stand for half a model");
        assert!(hub.cache().verify(None).unwrap().damaged.is_empty());
        hub.pull(&id("ana/names"), &()).unwrap();
        assert_whole(cache.path());
    }
}

/// Notes what it hears.
#[derive(Default)]
struct Heard {
    waits: Mutex<Vec<(String, Duration)>>,
    planned: Mutex<Vec<Planned>>,
    finished: Mutex<Vec<String>>,
    reached: Mutex<u64>,
}

impl Progress for Heard {
    fn planned(&self, files: &[Planned]) {
        self.planned.lock().unwrap().extend_from_slice(files);
    }
    fn reached(&self, file: &str, bytes: u64) {
        if file == WEIGHTS {
            *self.reached.lock().unwrap() = bytes;
        }
    }
    fn retrying(&self, file: &str, _error: &HubError, wait: Duration) {
        self.waits.lock().unwrap().push((file.to_owned(), wait));
    }
    fn finished(&self, file: &str) {
        self.finished.lock().unwrap().push(file.to_owned());
    }
}

#[test]
fn a_busy_hub_is_asked_again_as_it_wishes_and_progress_is_told() {
    let (server, cache) = ready();
    let date = "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2015 07:28:01 GMT\r\n";
    server.fail("GET /api/models/ana/names", Fault::Status(503, date));
    server.fail(
        &format!("HEAD /ana/names/resolve/{COMMIT}/config.json"),
        Fault::Status(429, "Retry-After: 1\r\n"),
    );
    server.fail(&format!("GET /ana/names/resolve/{COMMIT}/tokenizer.json"), Fault::Status(500, ""));
    let heard = Heard::default();
    hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &heard).unwrap();
    let waits = heard.waits.into_inner().unwrap();
    assert_eq!(waits.len(), 3, "{waits:?}");
    for file in ["the list of files", "config.json"] {
        assert!(waits.contains(&(file.into(), Duration::from_secs(1))), "{waits:?}");
    }
    let planned = heard.planned.into_inner().unwrap();
    let size = planned.iter().find(|p| p.file == WEIGHTS).unwrap().size;
    assert_eq!(size, Some(weights().len() as u64));
    assert_eq!(*heard.reached.lock().unwrap(), weights().len() as u64);
    assert_eq!((planned.len(), heard.finished.lock().unwrap().len()), (6, 6));
}

#[test]
fn a_hub_that_stays_unwell_is_given_up_and_named() {
    let (server, cache) = ready();
    (0..9).for_each(|_| server.fail("GET /api/models/ana/names", Fault::Status(502, "")));
    let error = hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("status 502"), "{error}");
    assert_eq!(server.requests("").len(), 4, "one try and three more");
    // Nothing listens there any more.
    let gone = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let error = hub(cache.path(), &format!("http://{gone}")).pull(&id("ana/names"), &()).unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("refused"), "{error}");
}

#[test]
fn what_the_cache_has_stands_in_for_a_hub_that_is_unwell() {
    let (server, cache) = ready();
    let hub = hub(cache.path(), &server.endpoint);
    let folder = hub.pull(&id("ana/names"), &()).unwrap().folder;
    // As Python leaves it: without a note that there is no undertone.json.
    fs::remove_dir_all(repo(cache.path()).join(".no_exist")).unwrap();
    (0..9).for_each(|_| server.fail("GET /api/models/ana/names", Fault::Status(502, "")));
    assert_eq!(hub.folder(&id("ana/names"), &()).unwrap(), folder);
    let asked = server.requests("GET /api").len();
    assert!(asked > 1, "it was not asked whether there is an undertone.json");
}

#[test]
fn a_refusal_names_its_cause_and_is_final() {
    let (server, cache) = ready();
    for (status, headers, expected) in [
        (401, "", "needs a token in HF_TOKEN"),
        (403, "X-Error-Code: GatedRepo\r\n", "ana/names is gated"),
        (404, "X-Error-Code: RepoNotFound\r\n", "misspelt"),
        (418, "", "status 418"),
    ] {
        server.forget_requests();
        server.fail("GET /api/models/ana/names", Fault::Status(status, headers));
        let error = hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap_err();
        assert!(matches!(error, HubError::Refused { .. }) && error.to_string().contains(expected), "{error}");
        assert_eq!(server.requests("").len(), 1);
    }
    assert!(tree(cache.path()).is_empty());
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let (server, cache) = ready();
    let mut settings = settings(cache.path(), &server.endpoint);
    settings.token = Some(Secret::new("hf_secret"));
    let hub = Hub::new(settings);
    // A model that has moved is followed with the token, as long as it stays at the hub.
    let moved = "Location: /api/models/ana/names/revision/main\r\n";
    server.fail("GET /api/models/old/name", Fault::Status(307, moved));
    hub.pull(&id("old/name"), &()).unwrap_err();
    hub.pull(&id("ana/names"), &()).unwrap();
    let (elsewhere, here): (Vec<_>, Vec<_>) = server.requests("").into_iter().partition(|r| r.network);
    assert!(!elsewhere.is_empty() && elsewhere.iter().all(|r| !r.headers.contains_key("authorization")));
    assert!(here.iter().all(|r| r.headers.get("authorization").is_some_and(|a| a == "Bearer hf_secret")));
    assert_eq!(here.iter().filter(|r| r.line.starts_with("GET /api/models/ana/names")).count(), 2);
    assert!(!format!("{hub:?}").contains("hf_secret"));
}

#[test]
fn an_answer_that_is_none_of_a_hub_is_refused() {
    let (server, cache) = ready();
    let hub = hub(cache.path(), &server.endpoint);
    let head = format!("HEAD /ana/names/resolve/{COMMIT}/config.json");
    for (fault, expected) in [
        (Fault::Without("ETag"), "`ETag` is missing"),
        (Fault::Status(200, "ETag: \"../../../evil\"\r\n"), "cannot be the name of a file"),
        (Fault::Status(200, "ETag: \"\"\r\n"), "cannot be the name of a file"),
        (Fault::Status(200, "ETag: \"a\"\r\nX-Repo-Commit: other\r\n"), "`X-Repo-Commit` is other"),
    ] {
        server.fail(&head, fault);
        let error = hub.pull(&id("ana/names"), &()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    server.fail("GET /api/models/ana/names", Fault::Status(200, ""));
    let error = hub.pull(&id("ana/names"), &()).unwrap_err().to_string();
    assert!(error.contains("no JSON of a model"), "{error}");
    let around = "Location: /api/models/ana/names/revision/main\r\n";
    (0..20).for_each(|_| server.fail("GET /api/models/ana/names", Fault::Status(302, around)));
    let error = hub.pull(&id("ana/names"), &()).unwrap_err().to_string();
    assert!(error.contains("redirects"), "{error}");
}

#[test]
fn a_mirror_that_leaves_out_the_commit_will_do() {
    let (server, cache) = ready();
    let head = format!("HEAD /ana/names/resolve/{COMMIT}/");
    server.fail(&head, Fault::Without("X-Repo-Commit"));
    hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap();
    assert_whole(cache.path());
}

#[test]
fn offline_no_connection_is_made_and_the_error_says_what_is_missing() {
    let (server, cache) = ready();
    let mut offline = settings(cache.path(), &server.endpoint);
    offline.offline = Some("HF_HUB_OFFLINE");
    let offline = Hub::new(offline);
    let error = offline.folder(&id("ana/names"), &()).unwrap_err().to_string();
    for fact in ["HF_HUB_OFFLINE", "`config.json` of ana/names", cache.path().to_str().unwrap()] {
        assert!(error.contains(fact), "{error}");
    }
    let folder = hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap().folder;
    server.forget_requests();
    assert_eq!(offline.folder(&id("ana/names"), &()).unwrap(), folder);
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    let error = offline.folder(&id("ana/names"), &()).unwrap_err().to_string();
    assert!(error.contains("`model.safetensors` of ana/names"), "{error}");
    assert!(matches!(offline.pull(&id("ana/names"), &()), Err(HubError::Offline { .. })));
    assert!(server.requests("").is_empty());
}

/// Tells when it waits for another process.
struct Waiting(Mutex<Sender<String>>);

impl Progress for Waiting {
    fn waiting(&self, file: &str) {
        self.0.lock().unwrap().send(file.to_owned()).unwrap();
    }
}

#[test]
fn a_file_that_another_process_fetches_is_waited_for_and_not_fetched_twice() {
    let (server, cache) = ready();
    let etag = sha256(&weights());
    let locks = cache.path().join(".locks/models--ana--names");
    fs::create_dir_all(&locks).unwrap();
    // `flock`, as Python's filelock takes it.
    let other = fs::File::create(locks.join(format!("{etag}.lock"))).unwrap();
    other.lock().unwrap();
    let (told, hear) = channel();
    std::thread::scope(|scope| {
        let pull = scope.spawn(|| {
            hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &Waiting(Mutex::new(told))).unwrap()
        });
        assert_eq!(hear.recv_timeout(Duration::from_secs(10)).unwrap(), WEIGHTS);
        fs::create_dir_all(repo(cache.path()).join("blobs")).unwrap();
        fs::write(repo(cache.path()).join("blobs").join(&etag), weights()).unwrap();
        other.unlock().unwrap();
        pull.join().unwrap();
    });
    assert_whole(cache.path());
    assert!(server.requests("").iter().all(|r| !r.network), "the weights were fetched all the same");
}

#[test]
fn two_at_once_fetch_every_file_once() {
    let (server, cache) = ready();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| hub(cache.path(), &server.endpoint).pull(&id("ana/names"), &()).unwrap());
        }
    });
    assert_whole(cache.path());
    assert_eq!(server.requests("").iter().filter(|r| r.network).count(), 1);
}

/// What can be wrong with a blob.
fn damages() -> [fn(&Path); 3] {
    [
        |blob| fs::write(blob, &fs::read(blob).unwrap()[..1000]).unwrap(),
        |blob| {
            let mut bytes = fs::read(blob).unwrap();
            bytes[500] ^= 1;
            fs::write(blob, bytes).unwrap();
        },
        |blob| fs::remove_file(blob).unwrap(),
    ]
}

#[test]
fn a_pull_fetches_damaged_files_again_and_no_others() {
    let (server, cache) = ready();
    let hub = hub(cache.path(), &server.endpoint);
    hub.pull(&id("ana/names"), &()).unwrap();
    let blob = repo(cache.path()).join("blobs").join(sha256(&weights()));
    for damage in damages() {
        damage(&blob);
        assert_eq!(hub.cache().verify(None).unwrap().damaged.len(), 1);
        server.forget_requests();
        let heard = Heard::default();
        hub.pull(&id("ana/names"), &heard).unwrap();
        assert_whole(cache.path());
        assert!(hub.cache().verify(None).unwrap().damaged.is_empty());
        assert_eq!(server.requests("/resolve/").iter().filter(|r| !r.line.contains(WEIGHTS)).count(), 0);
        assert_eq!(heard.planned.into_inner().unwrap()[0].file, WEIGHTS);
    }
}

#[test]
fn a_damaged_file_stands_until_a_whole_one_takes_its_place() {
    let (server, cache) = ready();
    let hub = hub(cache.path(), &server.endpoint);
    let folder = hub.pull(&id("ana/names"), &()).unwrap().folder;
    let blob = repo(cache.path()).join("blobs").join(sha256(&weights()));
    fs::write(&blob, b"damaged").unwrap();
    server.fail("NETWORK GET", Fault::Flip);
    assert!(matches!(hub.pull(&id("ana/names"), &()), Err(HubError::Damaged { .. })));
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), b"damaged");
    let open = fs::File::open(&blob).unwrap();
    hub.pull(&id("ana/names"), &()).unwrap();
    assert_whole(cache.path());
    assert_eq!(open.metadata().unwrap().len(), 7, "whoever had it open had it changed under them");
}

#[test]
fn a_blob_that_has_no_hash_for_a_name_is_fetched_again_if_its_size_is_another() {
    let (server, cache) = ready();
    let head = format!("HEAD /ana/names/resolve/{COMMIT}/config.json");
    let config = fs::read(token_model().join("config.json")).unwrap();
    let headers: &'static str = format!("ETag: \"v1\"\r\nX-Linked-Size: {}\r\n", config.len()).leak();
    let hub = hub(cache.path(), &server.endpoint);
    let blob = repo(cache.path()).join("blobs/v1");
    for (content, fetches) in [(None, 1), (Some(&config[1..]), 1), (Some(&config[..]), 0)] {
        if let Some(content) = content {
            fs::write(&blob, content).unwrap();
        }
        server.fail(&head, Fault::Status(200, headers));
        server.forget_requests();
        hub.pull(&id("ana/names"), &()).unwrap();
        assert_eq!(fs::read(&blob).unwrap(), config);
        assert_eq!(server.requests(&head.replace("HEAD", "GET")).len(), fetches);
    }
}

#[test]
fn all_can_be_fetched_anew() {
    let (server, cache) = ready();
    let hub = hub(cache.path(), &server.endpoint);
    hub.pull(&id("ana/names"), &()).unwrap();
    let before = tree(cache.path());
    server.forget_requests();
    // What is left of another try is not gone on with.
    fs::write(part(cache.path(), &sha256(&weights())), &weights()[..5000]).unwrap();
    hub.pull_anew(&id("ana/names"), &()).unwrap();
    assert_whole(cache.path());
    assert_eq!(tree(cache.path()), before);
    let asked = server.requests("GET /ana");
    assert_eq!(asked.len(), 7, "six files, one of them by way of the second host: {asked:?}");
    assert!(asked.iter().all(|request| !request.headers.contains_key("range")));
}

#[test]
fn the_index_of_weights_is_fetched_once_whether_anew_or_not() {
    let server = Server::start();
    let cache = tempfile::tempdir().unwrap();
    server.add_folder("ana/shards", COMMIT, &root().join("tests/fixtures/families/forms/sharded-bf16"), &[]);
    let hub = hub(cache.path(), &server.endpoint);
    hub.pull_anew(&id("ana/shards"), &()).unwrap();
    assert_eq!(server.requests("index.json").iter().filter(|r| r.line.starts_with("GET")).count(), 1);
}

#[test]
fn a_commit_takes_over_the_blobs_of_another() {
    let (server, cache) = ready();
    let hub = hub(cache.path(), &server.endpoint);
    hub.pull(&id("ana/names"), &()).unwrap();
    server.add_folder("ana/names", OLDER, &token_model(), &[("README.md", b"new".to_vec())]);
    server.forget_requests();
    hub.pull(&id("ana/names"), &()).unwrap();
    let fetched = server.requests("GET /ana");
    assert_eq!(fetched.len(), 1, "{fetched:?}");
    assert_eq!(hub.cache().models().unwrap()[0].revisions.len(), 2);
}

#[test]
fn a_repository_that_is_no_model_is_refused_before_anything_is_fetched() {
    let server = Server::start();
    let cache = tempfile::tempdir().unwrap();
    server.add("ana/words", COMMIT, &[("config.json", b"{}".to_vec()), ("spiece.model", b"a".to_vec())]);
    let error = hub(cache.path(), &server.endpoint).pull(&id("ana/words"), &()).unwrap_err().to_string();
    assert!(error.contains("ana/words has no `tokenizer.json`"), "{error}");
    assert_eq!(server.requests("").len(), 1);
}
