//! `undertone doctor`: what this program finds where it runs, and whether its main job works there.

use crate::cli::config::places;
use crate::cli::model;
use indicatif::DecimalBytes;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use undertone::bundle::Bundle;
use undertone::cpu;
use undertone::engine::{DeviceChoice, Engine, Input, Tasks};

/// Say what is found here - CPU, devices, model, caches, settings - and whether classifying works
///
/// Exits with 1 if what `classify`, `ner` and `analyze` need does not work. Nothing is sent anywhere, and no token is shown.
#[derive(clap::Args)]
#[command(after_help = "Example:  undertone doctor\n          undertone doctor --json")]
pub(crate) struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How it is with what was looked at.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Good,
    /// Some of what the program does will not work.
    Doubtful,
    /// The main job does not work.
    Bad,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
struct Finding {
    name: &'static str,
    state: State,
    told: String,
    facts: Value,
}

impl Finding {
    fn good(name: &'static str, told: String, facts: Value) -> Self {
        Self { name, state: State::Good, told, facts }
    }

    fn not(name: &'static str, state: State, error: &dyn ToString) -> Self {
        let error = error.to_string();
        let told = error.lines().next().unwrap_or_default().to_owned();
        Self { name, state, told, facts: json!({"error": error}) }
    }
}

pub(crate) fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = vec![program(), cpu(), memory(), devices()];
    findings.extend(default_model());
    findings.extend([hub(), settings(), temporary_folder()]);
    let works = findings.iter().all(|finding| finding.state != State::Bad);
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut object = Map::from_iter([("works".to_owned(), works.into())]);
        for Finding { name, state, mut facts, .. } in findings {
            facts["state"] = state.word().into();
            object.insert(name.replace(' ', "_"), facts);
        }
        writeln!(out, "{}", Value::from(object))?;
    } else {
        for Finding { name, state, told, .. } in findings {
            writeln!(out, "{:<8} {name:<16} {told}", state.word())?;
        }
    }
    if works {
        return Ok(ExitCode::SUCCESS);
    }
    tracing::error!("classifying does not work here");
    Ok(ExitCode::FAILURE)
}

fn program() -> Finding {
    let features = [
        ("columns", cfg!(feature = "columns")),
        ("cuda", cfg!(feature = "cuda")),
        ("html", cfg!(feature = "html")),
        ("hub", cfg!(feature = "hub")),
        ("metal", cfg!(feature = "metal")),
        ("pages", cfg!(feature = "pages")),
    ];
    let features: Vec<&str> = features.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    let (version, target) =
        (env!("CARGO_PKG_VERSION"), format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS));
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let told = format!("{version}, {profile} build for {target}, with {}", features.join(", "));
    let facts = json!({"version": version, "target": target, "profile": profile, "features": features});
    Finding::good("undertone", told, facts)
}

fn cpu() -> Finding {
    let described = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&described, "model name");
    let instructions = instructions(field(&described, "flags").unwrap_or_default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let level = match cpu::chosen() {
        Ok(level) => level.name(),
        Err(error) => return Finding::not("cpu", State::Bad, &error),
    };
    let told = format!(
        "{}, {threads} {}; {}; products by {level}",
        model.unwrap_or("model not known"),
        if threads == 1 { "thread" } else { "threads" },
        if instructions.is_empty() { "no instructions of note".into() } else { instructions.join(", ") }
    );
    let facts = json!({"model": model, "threads": threads, "instructions": instructions, "level": level});
    Finding::good("cpu", told, facts)
}

/// What stands behind a name in a file such as /proc/cpuinfo.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut named = text.lines().filter_map(|line| line.split_once(':'));
    named.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// The instruction sets that decide how fast the encoder is.
///
/// * `flags`: those that Linux tells, for sets that Rust cannot ask for yet
#[cfg(target_arch = "x86_64")]
fn instructions(flags: &str) -> Vec<&'static str> {
    let linux = |name: &str| flags.split(' ').any(|flag| flag == name);
    let sets = [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("AVX-512 F", is_x86_feature_detected!("avx512f")),
        ("AVX-512 VNNI", is_x86_feature_detected!("avx512vnni")),
        ("AVX-512 BF16", is_x86_feature_detected!("avx512bf16")),
        ("AMX INT8", linux("amx_int8")),
        ("AMX BF16", linux("amx_bf16")),
    ];
    sets.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions(_: &str) -> Vec<&'static str> {
    if cfg!(target_feature = "neon") { vec!["NEON"] } else { Vec::new() }
}

fn memory() -> Finding {
    let described = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| Some(field(&described, name)?.strip_suffix(" kB")?.parse::<u64>().ok()? * 1024);
    let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
    let size = |bytes: Option<u64>| bytes.map_or("not known".into(), |b| DecimalBytes(b).to_string());
    let told = format!("{}, available {}", size(total), size(available));
    Finding::good("memory", told, json!({"bytes": total, "available": available}))
}

fn devices() -> Finding {
    let mut told = vec!["cpu".to_owned()];
    let mut facts = Map::from_iter([("cpu".to_owned(), json!(true))]);
    for (device, built) in
        [(DeviceChoice::Cuda(0), cfg!(feature = "cuda")), (DeviceChoice::Metal, cfg!(feature = "metal"))]
    {
        let found =
            device.open().map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned());
        told.push(match &found {
            Ok(_) => device.to_string(),
            Err(_) if !built => {
                format!("no code for {} in this build", device.to_string().trim_end_matches(":0"))
            }
            Err(reason) => reason.clone(),
        });
        facts.insert(device.to_string(), found.map_or_else(Value::from, |_| true.into()));
    }
    Finding::good("devices", told.join("; "), facts.into())
}

/// A sentence for the self-test, its labels and the names in it.
const SENTENCE: &str = "Ministers of Peru strongly condemned the attack.";
const LABELS: [&str; 1] = ["condemnation"];
const NAMES: [&str; 1] = ["Peru"];

fn default_model() -> Vec<Finding> {
    let started = Instant::now();
    let opened = Engine::open(None).and_then(|engine| Ok((engine, Bundle::weights_sha256(None)?)));
    let (engine, sha256) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![Finding::not("default model", State::Bad, &error)],
    };
    let milliseconds = started.elapsed().as_millis() as u64;
    let parameters: usize = engine.bundle().weights.parameters();
    let (labels, entities) = (engine.labels(), engine.entity_labels());
    let told = format!(
        "{parameters} parameters, opened in {milliseconds} ms, SHA-256 {sha256}; labels {}; names {}",
        labels.join(", "),
        entities.join(", ")
    );
    let facts = json!({
        "parameters": parameters, "weights_sha256": sha256, "labels": labels, "entity_types": entities,
        "milliseconds": milliseconds,
    });
    vec![Finding::good("default model", told, facts), self_test(&engine)]
}

/// One sentence, answered as it is meant to be.
fn self_test(engine: &Engine) -> Finding {
    let started = Instant::now();
    let answer = match engine.predict(&[Input { text: SENTENCE, words: None }], Tasks::Both) {
        Ok(mut answers) => answers.remove(0),
        Err(error) => return Finding::not("self-test", State::Bad, &error),
    };
    let milliseconds = started.elapsed().as_millis() as u64;
    let labels: Vec<&str> = answer.labels.iter().map(|&label| engine.labels()[label].as_str()).collect();
    let names = answer.entities.iter().flatten().filter_map(|name| name.span.of(SENTENCE));
    let names: Vec<&str> = names.collect();
    let found = format!("{} ({})", labels.join(", "), names.join(", "));
    let facts = json!({"sentence": SENTENCE, "labels": labels, "names": names, "milliseconds": milliseconds});
    if labels == LABELS && names == NAMES {
        return Finding::good("self-test", format!("one sentence in {milliseconds} ms: {found}"), facts);
    }
    let told = format!("`{SENTENCE}` is answered with {found} in place of {} ({})", LABELS[0], NAMES[0]);
    Finding { name: "self-test", state: State::Bad, told, facts }
}

fn hub() -> Finding {
    let hub = match model::hub() {
        Ok(hub) => hub,
        Err(error) => return Finding::not("hub", State::Doubtful, &error),
    };
    let (settings, root) = (hub.settings(), hub.cache().root());
    let models = match hub.cache().models() {
        Ok(models) => models,
        Err(error) => return Finding::not("hub", State::Doubtful, &error),
    };
    let size: u64 = models.iter().map(|model| model.size).sum();
    let token = settings.token.is_some();
    let told = format!(
        "{} models ({}) in {}; {}, {}{}",
        models.len(),
        DecimalBytes(size),
        root.display(),
        settings.endpoint,
        if token { "with a token" } else { "no token" },
        settings.offline.map(|name| format!(", offline by {name}")).unwrap_or_default()
    );
    let facts = json!({
        "cache": root, "models": models.iter().map(|model| &model.id).collect::<Vec<_>>(), "size": size,
        "endpoint": settings.endpoint, "token": token, "offline": settings.offline,
    });
    Finding::good("hub", told, facts)
}

/// The settings files that were read; one that cannot be ends every run before it begins.
fn settings() -> Finding {
    let found: Vec<PathBuf> =
        places().into_iter().filter(|place| place.found).map(|place| place.path).collect();
    let told: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    let told = if told.is_empty() { "no settings files".into() } else { told.join(", ") };
    Finding::good("settings", told, json!({"files": found}))
}

fn temporary_folder() -> Finding {
    let folder = std::env::temp_dir();
    match tempfile::tempfile() {
        Ok(_) => Finding::good("temporary files", folder.display().to_string(), json!({"folder": folder})),
        Err(error) => {
            let told = format!("cannot write in {}: {error}", folder.display());
            Finding {
                name: "temporary files",
                state: State::Doubtful,
                told,
                facts: json!({"folder": folder}),
            }
        }
    }
}
