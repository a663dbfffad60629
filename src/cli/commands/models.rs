//! `undertone models`: what the cache holds, and what goes in and out of it.

use crate::cli::logging::say;
use crate::cli::misuse;
use crate::cli::model::{Bars, Place, folder, hub, id, place};
use crate::cli::output::refuse_full;
use anyhow::Context;
use candle_core::DType;
use indicatif::DecimalBytes;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;
use undertone::bundle::{Bundle, Head, MeanError, SentenceTask, Storage};
use undertone::head::Activation;
use undertone::hub::{CachedModel, CachedRevision, HubError};

/// Fetch models of the Hugging Face hub, and look after those that are there
///
/// Models are kept in the cache that Python's `huggingface_hub` keeps ($HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub), and
/// its other variables are honoured too: HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, HTTPS_PROXY and so on.
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone models pull dslim/bert-base-NER\n          undertone models list"
)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(clap::Subcommand)]
enum ModelsCommand {
    /// Fetch a model into the cache, and print its folder
    ///
    /// Only what is needed is fetched. What is there is compared with its hash, and fetched again if it is damaged. A download that
    /// was cut goes on where it ended when the same command is given again.
    #[command(after_help = "Example:  undertone models pull dslim/bert-base-NER@main")]
    Pull {
        /// Model on the hub: `owner/name`, with `@` and a branch, tag or commit if it is not to be `main`
        #[arg(value_name = "ID")]
        id: String,
        /// Fetch everything anew, even what is there and whole
        #[arg(long)]
        force: bool,
    },
    /// List the models in the cache
    #[command(after_help = "Example:  undertone models list --format jsonl")]
    List(FormatArgs),
    /// Tell what a model answers, how large it is and under which licence it stands
    #[command(
        after_help = "Example:  undertone models show default\n          undertone models show models/mine"
    )]
    Show {
        /// Model: an id in the cache, a folder, or `default` for the one inside the program
        #[arg(value_name = "MODEL")]
        model: PathBuf,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Compare the files in the cache with the hashes that they have on the hub; exit with 1 if one is damaged
    #[command(
        after_help = "Example:  undertone models verify\n          undertone models verify dslim/bert-base-NER"
    )]
    Verify {
        /// Model in the cache, with `@` and a revision if it is not to be all of them [default: all models]
        #[arg(value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Remove a model, or one revision of it, from the cache
    #[command(after_help = "Example:  undertone models remove dslim/bert-base-NER --dry-run")]
    Remove {
        /// Model in the cache, with `@` and a revision if it is not to be all of them
        #[arg(value_name = "ID")]
        id: String,
        /// Only tell what would be freed
        #[arg(long)]
        dry_run: bool,
    },
    /// Write one head of a model with its encoder as a folder that Python's `transformers` loads
    ///
    /// `AutoModelForSequenceClassification` or `AutoModelForTokenClassification` gives the same probabilities there. What no class of
    /// `transformers` computes is refused: a casing embedding, or another pooling than the class has.
    #[command(after_help = "Example:  undertone models export models/mine models/mine-hf --task stance")]
    Export {
        /// Model: a folder, an id of the hub, or `default`
        #[arg(value_name = "MODEL")]
        model: PathBuf,
        /// Folder for the result; must be new or empty
        #[arg(value_name = "OUTPUT")]
        output: PathBuf,
        /// Name of the head, as `models show` tells it [default: the only one]
        #[arg(long, value_name = "HEAD")]
        task: Option<String>,
        /// Type of the weights
        #[arg(long, value_enum, default_value_t = FloatType::F32)]
        dtype: FloatType,
    },
    /// Write a model with its matrices as int8, in a quarter of the space
    #[command(after_help = "Example:  undertone models quantize dslim/bert-base-NER models/ner-int8")]
    Quantize {
        /// Model: a folder, an id of the hub, or `default`
        #[arg(value_name = "MODEL")]
        model: PathBuf,
        /// Folder for the result; must be new or empty
        #[arg(value_name = "OUTPUT")]
        output: PathBuf,
    },
    /// Write the mean of models that were trained from one beginning, say on other data or at other rates: often it is steadier than
    /// any of them, and it is as fast as one
    ///
    /// Where heads were new, only models that began with one seed have a mean that is of use. The thresholds are those of the first
    /// model: fit them to the mean with `undertone calibrate`, which also tells whether it is better.
    #[command(after_help = "Example:  undertone models average runs/slow runs/fast --output runs/mean")]
    Average {
        /// Models: folders, ids of the hub, or `default`
        #[arg(value_name = "MODEL", required = true, num_args = 2..)]
        models: Vec<PathBuf>,
        /// Folder for the result; must be new or empty
        #[arg(short, long, value_name = "FOLDER")]
        output: PathBuf,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FloatType {
    /// Full precision
    F32,
    /// Half the size; fails if a weight is too large for it
    F16,
    /// Half the size, less exact
    Bf16,
}

#[derive(clap::Args)]
struct FormatArgs {
    /// Form of the results [default: table on a terminal, else jsonl]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    format: Option<Form>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Form {
    /// For people
    Table,
    /// One JSON object a line
    Jsonl,
}

impl FormatArgs {
    fn resolve(self) -> Form {
        let default = if std::io::stdout().is_terminal() { Form::Table } else { Form::Jsonl };
        self.format.unwrap_or(default)
    }
}

/// How the model inside the program is called.
const DEFAULT: &str = "default";

pub(crate) fn run(args: ModelsArgs) -> anyhow::Result<ExitCode> {
    let done = match args.command {
        ModelsCommand::Pull { id, force } => pull(&id, force),
        ModelsCommand::List(format) => list(format.resolve()),
        ModelsCommand::Show { model, format } => show(&model, format.resolve()),
        ModelsCommand::Verify { id, format } => return verify(id.as_deref(), format.resolve()),
        ModelsCommand::Remove { id, dry_run } => remove(&id, dry_run),
        ModelsCommand::Export { model, output, task, dtype } => export(&model, &output, task, dtype),
        ModelsCommand::Quantize { model, output } => quantize(&model, &output),
        ModelsCommand::Average { models, output } => average(&models, &output),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn pull(text: &str, force: bool) -> anyhow::Result<()> {
    let id = id(text)?;
    let hub = hub()?;
    let bars = Bars::new(hub.settings());
    let pulled = if force { hub.pull_anew(&id, &bars) } else { hub.pull(&id, &bars) };
    bars.clear();
    writeln!(std::io::stdout(), "{}", pulled?.folder.display())?;
    Ok(())
}

fn list(form: Form) -> anyhow::Result<()> {
    let hub = hub()?;
    let models = hub.cache().models()?;
    let mut out = std::io::stdout().lock();
    if form == Form::Jsonl {
        for CachedModel { id, revisions, size, used } in models {
            let used =
                used.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|at| at.as_secs());
            let kind = revisions.last().map(|revision| Kind::of(&revision.folder)).unwrap_or_default();
            let revisions = revisions.iter().map(|r| json!({"commit": r.commit, "names": r.names}));
            let record = json!({
                "id": id, "revisions": revisions.collect::<Vec<_>>(), "size": size, "architecture": kind.architecture,
                "heads": kind.heads, "used": used,
            });
            writeln!(out, "{record}")?;
        }
        return Ok(());
    }
    if models.is_empty() {
        writeln!(out, "no models in {}", hub.cache().root().display())?;
        return Ok(());
    }
    let mut rows = vec![["ID", "REVISIONS", "SIZE", "ANSWERS", "LAST USED"].map(str::to_owned)];
    for CachedModel { id, revisions, size, used } in models {
        let kind = revisions.last().map(|revision| Kind::of(&revision.folder)).unwrap_or_default();
        let revisions: Vec<String> = revisions.iter().map(told).collect();
        rows.push([id, revisions.join(", "), DecimalBytes(size).to_string(), kind.told(), ago(used)]);
    }
    print_columns(&mut out, &rows)
}

/// A revision in short: its names, or the beginning of its commit.
fn told(revision: &CachedRevision) -> String {
    let commit = revision.commit.get(..7).unwrap_or(&revision.commit);
    if revision.names.is_empty() {
        commit.to_owned()
    } else {
        format!("{} ({commit})", revision.names.join(", "))
    }
}

fn ago(time: Option<SystemTime>) -> String {
    let Some(past) = time.and_then(|time| time.elapsed().ok()) else { return "-".into() };
    match past.as_secs() {
        ..60 => "just now".into(),
        seconds @ ..3600 => format!("{} min ago", seconds / 60),
        seconds @ ..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

fn print_columns<const N: usize>(out: &mut impl Write, rows: &[[String; N]]) -> anyhow::Result<()> {
    let widths: Vec<usize> =
        (0..N).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or_default()).collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// What a folder's files say of a model without its weights being read.
#[derive(Default)]
struct Kind {
    architecture: Option<String>,
    heads: Vec<String>,
}

impl Kind {
    fn of(folder: &Path) -> Self {
        let json = |name: &str| -> Value {
            let text = std::fs::read(folder.join(name)).ok();
            text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
        };
        let (config, description) = (json("config.json"), json("undertone.json"));
        let heads = description["heads"].as_array().into_iter().flatten();
        let heads = heads.filter_map(|head| head["name"].as_str()).map(str::to_owned).collect();
        Self { architecture: architecture(&config), heads }
    }

    fn told(self) -> String {
        if self.heads.is_empty() { self.architecture.unwrap_or("-".into()) } else { self.heads.join(" + ") }
    }
}

/// What `config.json` calls the network: the class that wrote it, else the family.
fn architecture(config: &Value) -> Option<String> {
    config["architectures"][0].as_str().or(config["model_type"].as_str()).map(str::to_owned)
}

/// A model and its folder, which `find` finds; the one inside the program has none.
fn opened(
    model: &Path,
    find: impl FnOnce(&Path) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<(Bundle, Option<PathBuf>)> {
    if model.as_os_str() == DEFAULT && !model.exists() {
        return Ok((Bundle::embedded()?, None));
    }
    let folder = find(model)?;
    Ok((Bundle::open(&folder)?, Some(folder)))
}

/// The folder of a model that is there already: nothing is fetched.
fn present(model: &Path) -> anyhow::Result<PathBuf> {
    match place(model)? {
        Place::Folder(folder) => Ok(folder),
        Place::Hub(id) => {
            let hub = hub()?;
            let found = hub.cache().find(&id).map(|snapshot| snapshot.folder);
            let cache = hub.cache().root().to_owned();
            Ok(found.ok_or_else(|| HubError::NotCached { id: id.to_string(), cache })?)
        }
    }
}

fn show(model: &Path, form: Form) -> anyhow::Result<()> {
    let (bundle, folder) = opened(model, present)?;
    let architecture = serde_json::from_slice(bundle.config_json()).ok().and_then(|json| architecture(&json));
    let parameters: usize = bundle.weights.parameters();
    let licence = match &folder {
        Some(folder) => {
            std::fs::read_to_string(folder.join("README.md")).ok().and_then(|card| licence(&card))
        }
        None => Some(env!("CARGO_PKG_LICENSE").to_owned()),
    };
    let sha256 = Bundle::weights_sha256(folder.as_deref())?;
    let heads = &bundle.description.heads;
    let mut out = std::io::stdout().lock();
    if form == Form::Jsonl {
        let record = json!({
            "model": model, "folder": folder, "architecture": architecture, "parameters": parameters,
            "max_tokens": bundle.max_tokens(), "licence": licence, "weights_sha256": sha256, "heads": heads,
        });
        writeln!(out, "{record}")?;
        return Ok(());
    }
    let unknown = || "not stated".to_owned();
    let mut rows = vec![["model".to_owned(), model.display().to_string()]];
    rows.extend(folder.map(|folder| ["folder".to_owned(), folder.display().to_string()]));
    rows.push(["architecture".into(), architecture.unwrap_or_else(unknown)]);
    rows.push(["parameters".into(), grouped(parameters)]);
    rows.push(["window".into(), format!("{} tokens", bundle.max_tokens())]);
    rows.push(["licence".into(), licence.unwrap_or_else(unknown)]);
    rows.push(["weights".into(), format!("SHA-256 {sha256}")]);
    if heads.is_empty() {
        rows.push([
            "heads".into(),
            "none: it is an encoder that must be trained first (`undertone train`)".into(),
        ]);
    }
    for head in heads {
        rows.push(match head {
            Head::Sentence(task) if task.activation == Activation::Softmax => {
                [task.name.clone(), format!("one of {}", task.labels.join(", "))]
            }
            Head::Sentence(task) => [task.name.clone(), format!("any of {}", thresholds(task))],
            Head::Token(task) => [task.name.clone(), format!("tags {}", task.labels.join(", "))],
        });
    }
    print_columns(&mut out, &rows)
}

/// Labels, each with its threshold.
fn thresholds(task: &SentenceTask) -> String {
    let labels = task.labels.iter().zip(&task.thresholds);
    labels.map(|(label, t)| format!("{label} from {t:.2}")).collect::<Vec<_>>().join(", ")
}

/// A number with its thousands apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The licence that a model card names in its front matter: the value of `license`, or of `license_name` where that says `other`.
fn licence(card: &str) -> Option<String> {
    let card = card.trim_start_matches('\u{feff}');
    let mut lines = card.lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let front: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").collect();
    let value = |key: &str| {
        let at =
            front.iter().position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
        let value = front[at].split_once(':')?.1.trim();
        // A list has its items on the lines below.
        let items = front[at + 1..].iter().map_while(|line| line.trim_start().strip_prefix("- "));
        let values: Vec<&str> = if value.is_empty() { items.collect() } else { vec![value] };
        let values: Vec<&str> = values.iter().map(|value| value.trim_matches(['"', '\'', ' '])).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    value("license").and_then(|licence| {
        if licence == "other" { value("license_name").or(Some(licence)) } else { Some(licence) }
    })
}

fn verify(text: Option<&str>, form: Form) -> anyhow::Result<ExitCode> {
    let id = text.map(id).transpose()?;
    let found = hub()?.cache().verify(id.as_ref())?;
    let mut out = std::io::stdout().lock();
    for damage in &found.damaged {
        let (model, commit, file, reason) = (&damage.model, &damage.commit, &damage.file, &damage.reason);
        match form {
            Form::Jsonl => {
                let record = json!({"model": model, "commit": commit, "file": file, "reason": reason});
                writeln!(out, "{record}")?;
            }
            Form::Table => writeln!(out, "{model}@{commit}: `{file}` is damaged: {reason}")?,
        }
    }
    let unchecked = match found.unchecked {
        0 => String::new(),
        n => format!("; {n} have no hash to compare with"),
    };
    let files = if found.checked == 1 { "file is" } else { "files are" };
    say!("{} {files} as on the hub{unchecked}", found.checked);
    if found.damaged.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let pulls: BTreeSet<String> = found
        .damaged
        .iter()
        .map(|d| format!("      undertone models pull {}@{}\n", d.model, d.commit))
        .collect();
    tracing::error!(
        "{} damaged\n\nhint: fetch anew what undertone reads of it with\n{}      and `undertone models remove ID` clears away what it does not read",
        found.damaged.len(),
        String::from_iter(pulls)
    );
    Ok(ExitCode::FAILURE)
}

fn remove(text: &str, dry_run: bool) -> anyhow::Result<()> {
    let id = id(text)?;
    let removal = hub()?.cache().removal(&id)?;
    if !dry_run {
        removal.carry_out()?;
    }
    let (bytes, commits) = (DecimalBytes(removal.bytes), removal.commits.len());
    let (verb, revisions) =
        (if dry_run { "would free" } else { "freed" }, if commits == 1 { "revision" } else { "revisions" });
    writeln!(std::io::stdout(), "{verb} {bytes}: {id}, {commits} {revisions}")?;
    Ok(())
}

fn export(model: &Path, output: &Path, task: Option<String>, dtype: FloatType) -> anyhow::Result<()> {
    refuse_full(output)?;
    let (bundle, folder) = opened(model, folder)?;
    let names: Vec<&str> = bundle.description.heads.iter().map(Head::name).collect();
    let task = match (task, &names[..]) {
        (Some(task), names) if names.contains(&task.as_str()) => task,
        (None, [only]) => (*only).to_owned(),
        (_, []) => return Err(misuse("the model has no head: it is an encoder as it stands")),
        (_, names) => {
            return Err(misuse(format!(
                "name one of the model's heads: `--task {}`",
                names.join("` or `--task ")
            )));
        }
    };
    let dtype = match dtype {
        FloatType::F32 => DType::F32,
        FloatType::F16 => DType::F16,
        FloatType::Bf16 => DType::BF16,
    };
    bundle.export(output, &task, dtype)?;
    if let Some(sentence) = bundle.description.sentence().filter(|s| s.name == task)
        && sentence.thresholds.iter().any(|&threshold| threshold != 0.5)
    {
        tracing::info!("`transformers` knows no thresholds; decide yourself: {}", thresholds(sentence));
    }
    written(output, folder.as_deref())
}

fn quantize(model: &Path, output: &Path) -> anyhow::Result<()> {
    refuse_full(output)?;
    let (bundle, folder) = opened(model, folder)?;
    bundle.save(output, Storage::Int8)?;
    written(output, folder.as_deref())
}

fn average(models: &[PathBuf], output: &Path) -> anyhow::Result<()> {
    refuse_full(output)?;
    let bundles =
        models.iter().map(|model| Ok(opened(model, folder)?.0)).collect::<anyhow::Result<Vec<_>>>()?;
    let mean = Bundle::mean(&bundles).map_err(|error| match error {
        MeanError::Unlike { model, .. } => misuse(format!("{}: {error}", models[model - 1].display())),
        error => error.into(),
    })?;
    mean.save(output, Storage::F32)?;
    written(output, None)
}

/// Puts the card of the model in `folder`, with the licence, beside weights made of it, and tells where those are.
fn written(output: &Path, folder: Option<&Path>) -> anyhow::Result<()> {
    if let Some(card) = folder.map(|folder| folder.join("README.md")).filter(|card| card.exists()) {
        std::fs::copy(&card, output.join("README.md")).with_context(|| card.display().to_string())?;
    }
    let weights = output.join("model.safetensors");
    let size = std::fs::metadata(&weights).with_context(|| weights.display().to_string())?.len();
    writeln!(std::io::stdout(), "{}: {}", output.display(), DecimalBytes(size))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_read_from_the_front_matter_alone() {
        for (card, expected) in [
            ("---\nlanguage: en\nlicense: apache-2.0\n---\n# Card", Some("apache-2.0")),
            ("---\r\nlicense: \"mit\"\r\n---\r\n", Some("mit")),
            ("---\nlicense:\n- mit\n- gpl-3.0\ntags: x\n---\n", Some("mit, gpl-3.0")),
            ("---\nlicense: other\nlicense_name: gemma\n---\n", Some("gemma")),
            ("---\nlicense_link: x\n---\nlicense: mit\n", None),
            ("# Card\nlicense: mit\n", None),
            ("", None),
        ] {
            assert_eq!(licence(card).as_deref(), expected, "{card:?}");
        }
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (22_713_216, "22,713,216")] {
            assert_eq!(grouped(number), text);
        }
    }
}
