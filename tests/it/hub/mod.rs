//! The hub client against a real server on 127.0.0.1.

mod commands;
mod pull;
mod server;

use std::path::Path;
use std::time::Duration;
use undertone::hub::{Hub, ModelId, Proxies, Settings};

fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

/// Settings that reach this server and nothing else, and that try again at once.
fn settings(cache: &Path, endpoint: &str) -> Settings {
    let mut settings = Settings::from_env().unwrap();
    settings.cache = cache.to_owned();
    settings.endpoint = endpoint.to_owned();
    (settings.token, settings.offline, settings.certificates) = (None, None, None);
    settings.proxies = Proxies::default();
    settings.backoff = Duration::from_millis(1);
    settings.retries = 3;
    settings
}

fn hub(cache: &Path, endpoint: &str) -> Hub {
    Hub::new(settings(cache, endpoint))
}

/// All paths below a folder, in order, with what links lead to.
fn tree(folder: &Path) -> Vec<String> {
    let mut paths: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap().display().to_string();
            match std::fs::read_link(entry.path()) {
                Ok(target) => format!("{name} -> {}", target.display()),
                Err(_) => name,
            }
        })
        .collect();
    paths.sort();
    paths
}
