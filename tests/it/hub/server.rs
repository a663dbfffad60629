//! A small hub on 127.0.0.1: its API, redirects to a second host, and whatever can go wrong.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const OLDER: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// A running hub with a second listener that hands out large files, as a content network does.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    state: Arc<State>,
}

/// Content by file name.
type Files = BTreeMap<String, Vec<u8>>;

struct State {
    /// Repository and commit to files.
    repos: Mutex<BTreeMap<(String, String), Files>>,
    /// Repository and branch to commit.
    branches: Mutex<BTreeMap<(String, String), String>>,
    faults: Mutex<Vec<(String, Fault)>>,
    log: Mutex<Vec<Request>>,
    network: String,
    done: AtomicBool,
}

/// What goes wrong with one request whose line holds a text; each goes wrong once.
#[derive(Clone)]
pub(crate) enum Fault {
    /// A status with headers of its own and no file.
    Status(u16, &'static str),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// A range is ignored, and the connection ends after so many bytes of the whole.
    Restart(usize),
    /// The body stops after so many bytes, and the connection stays open.
    Stall(usize),
    /// The body comes in pieces with a pause before each.
    Trickle(usize, Duration),
    /// One byte of the body is another.
    Flip,
    /// A header that the answer should have is left out.
    Without(&'static str),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /path`.
    pub(crate) line: String,
    /// The headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether the second host was asked.
    pub(crate) network: bool,
}

impl Server {
    pub(crate) fn start() -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let network = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = |listener: &TcpListener| listener.local_addr().expect("a bound port").port();
        let state = Arc::new(State {
            repos: Mutex::default(),
            branches: Mutex::default(),
            faults: Mutex::default(),
            log: Mutex::default(),
            network: format!("http://localhost:{}", port(&network)),
            done: AtomicBool::new(false),
        });
        let endpoint = format!("http://127.0.0.1:{}", port(&hub));
        for (listener, is_network) in [(hub, false), (network, true)] {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if state.done.load(Ordering::Relaxed) {
                        return;
                    }
                    let state = Arc::clone(&state);
                    // A client that goes away in the middle is part of what is tested.
                    std::thread::spawn(move || drop(state.serve(stream, is_network)));
                }
            });
        }
        Self { endpoint, state }
    }

    /// Puts files into a repository, at `main`.
    pub(crate) fn add(&self, repo: &str, commit: &str, files: &[(&str, Vec<u8>)]) {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        self.state.repos.lock().unwrap().insert((repo.into(), commit.into()), files);
        self.state.branches.lock().unwrap().insert((repo.into(), "main".into()), commit.into());
    }

    /// Puts the files of a folder into a repository.
    pub(crate) fn add_folder(&self, repo: &str, commit: &str, folder: &Path, more: &[(&str, Vec<u8>)]) {
        let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
            })
            .collect();
        files.extend(more.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())));
        let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
        self.add(repo, commit, &files);
    }

    /// Lets the next request whose line (or, of the second host, `NETWORK` and its line) holds this text go wrong.
    pub(crate) fn fail(&self, text: &str, fault: Fault) {
        self.state.faults.lock().unwrap().push((text.into(), fault));
    }

    /// The requests so far whose line holds a text.
    pub(crate) fn requests(&self, text: &str) -> Vec<Request> {
        self.state.log.lock().unwrap().iter().filter(|r| r.line.contains(text)).cloned().collect()
    }

    pub(crate) fn forget_requests(&self) {
        self.state.log.lock().unwrap().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.done.store(true, Ordering::Relaxed);
        for address in [&self.endpoint, &self.state.network] {
            drop(TcpStream::connect(address.trim_start_matches("http://")));
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn git_sha1(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    sha1::Digest::update(&mut hash, bytes);
    sha1::Digest::finalize(hash).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the hub keeps a file apart, under its SHA-256, on the second host.
fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

impl State {
    fn serve(&self, stream: TcpStream, network: bool) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut parts = line.split_whitespace();
        let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
        }
        let request = Request { line: format!("{method} {path}"), headers, network };
        let named = if network { format!("NETWORK {}", request.line) } else { request.line.clone() };
        self.log.lock().unwrap().push(request.clone());
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let at = faults.iter().position(|(text, _)| named.contains(text.as_str()));
            at.map(|at| faults.remove(at).1)
        };
        self.answer(stream, &request, path, fault)
    }

    fn answer(
        &self,
        mut out: TcpStream,
        request: &Request,
        path: &str,
        fault: Option<Fault>,
    ) -> std::io::Result<()> {
        if let Some(Fault::Status(status, headers)) = fault {
            return write!(
                out,
                "HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: 0\r\n\r\n"
            );
        }
        let head = request.line.starts_with("HEAD");
        let lost = |code: &str| {
            format!(
                "HTTP/1.1 404 X\r\nConnection: close\r\nX-Error-Code: {code}\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let path = path.split('?').next().unwrap_or_default();
        if let Some(rest) = path.strip_prefix("/api/models/") {
            let (repo, revision) = rest.split_once("/revision/").unwrap_or((rest, "main"));
            let revision = revision.replace("%2F", "/");
            if !self.branches.lock().unwrap().keys().any(|(found, _)| found == repo) {
                return out.write_all(lost("RepoNotFound").as_bytes());
            }
            let Some((commit, files)) = self.files(repo, &revision) else {
                return out.write_all(lost("RevisionNotFound").as_bytes());
            };
            let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
            let body = serde_json::json!({"id": repo, "sha": commit, "siblings": siblings}).to_string();
            return write!(
                out,
                "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
        let Some((repo, rest)) = path[1..].split_once("/resolve/") else {
            return out.write_all(lost("RepoNotFound").as_bytes());
        };
        let (revision, name) = rest.split_once('/').unwrap_or_default();
        let Some((commit, files)) = self.files(repo, &revision.replace("%2F", "/")) else {
            return out.write_all(lost("RevisionNotFound").as_bytes());
        };
        let Some(bytes) = files.get(name) else {
            return out.write_all(lost("EntryNotFound").as_bytes());
        };
        let without = |header: &str| matches!(fault, Some(Fault::Without(name)) if name == header);
        let mut headers = String::from("Connection: close\r\n");
        if !request.network && !without("X-Repo-Commit") {
            write!(headers, "X-Repo-Commit: {commit}\r\n").unwrap();
        }
        if is_large(name) && !request.network {
            let (etag, size) = (sha256(bytes), bytes.len());
            let to = format!("{}{path}?Signature=secret", self.network);
            let linked = format!("X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\n");
            return write!(
                out,
                "HTTP/1.1 302 X\r\n{headers}{linked}Location: {to}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        // The second host has an ETag of its own, as content networks do.
        let etag = if request.network {
            format!("\"cdn-{}\"", bytes.len())
        } else {
            format!("W/\"{}\"", git_sha1(bytes))
        };
        let etag = if name.ends_with(".txt") { etag.replace("W/", "") } else { etag };
        if !without("ETag") {
            write!(headers, "ETag: {etag}\r\n").unwrap();
        }
        let from = request
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let same = request.headers.get("if-range").is_none_or(|wanted| *wanted == etag);
        let from = from.filter(|_| same && !matches!(fault, Some(Fault::Restart(_))));
        if from.is_some_and(|from| from >= bytes.len()) {
            return write!(out, "HTTP/1.1 416 X\r\n{headers}Content-Length: 0\r\n\r\n");
        }
        let mut body = bytes[from.unwrap_or(0)..].to_vec();
        match from {
            Some(from) => {
                let range = format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                write!(out, "HTTP/1.1 206 X\r\n{headers}{range}Content-Length: {}\r\n\r\n", body.len())?;
            }
            None => write!(out, "HTTP/1.1 200 X\r\n{headers}Content-Length: {}\r\n\r\n", body.len())?,
        }
        if head {
            return Ok(());
        }
        match fault {
            Some(Fault::Cut(n) | Fault::Restart(n)) => out.write_all(&body[..n]),
            Some(Fault::Stall(n)) => {
                out.write_all(&body[..n])?;
                out.flush()?;
                // Until the client has had enough.
                out.set_read_timeout(Some(Duration::from_secs(20)))?;
                let _ = std::io::Read::read(&mut out, &mut [0]);
                Ok(())
            }
            Some(Fault::Trickle(pieces, pause)) => {
                for piece in body.chunks(body.len().div_ceil(pieces)) {
                    std::thread::sleep(pause);
                    out.write_all(piece)?;
                    out.flush()?;
                }
                Ok(())
            }
            Some(Fault::Flip) => {
                let middle = body.len() / 2;
                body[middle] ^= 1;
                out.write_all(&body)
            }
            _ => out.write_all(&body),
        }
    }

    fn files(&self, repo: &str, revision: &str) -> Option<(String, Files)> {
        let branch = self.branches.lock().unwrap().get(&(repo.into(), revision.into())).cloned();
        let commit = branch.unwrap_or(revision.to_owned());
        let files = self.repos.lock().unwrap().get(&(repo.into(), commit.clone())).cloned()?;
        Some((commit, files))
    }
}
