//! `undertone datasets split`: divide a labelled file.

use super::told::{self, columns, counted, is_same, percent, present};
use crate::cli::labelled::LabelledArgs;
use crate::cli::logging::say;
use crate::cli::misuse;
use crate::cli::output::PendingFile;
use anyhow::Context;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use undertone::datasets::{AuditOptions, Division, Part, SplitError, SplitOptions, divide};

/// Divide a labelled file into parts to learn from, tune on and test on
///
/// An article is never torn, and articles that share texts, or almost the same texts, stay on one side. Every part gets its share of
/// every label and entity type, or with `--by-date` the newest articles go to the last part. Records are copied as they are, byte by
/// byte, in their order.
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone datasets split corpus.jsonl --output corpus/\n          undertone datasets split corpus.jsonl --ratio 0.9,0.1 --by-date --output corpus/"
)]
pub(crate) struct SplitCommand {
    /// Labelled file with records on lines of their own: JSONL, CSV, TSV or CoNLL columns
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Share of the sentences that each part is to have; together 1
    #[arg(long, value_name = "SHARES", value_delimiter = ',', default_value = "0.8,0.1,0.1")]
    ratio: Vec<f64>,
    /// Names of the parts, which their files get [default: train,test or train,dev,test]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    names: Vec<String>,
    /// Folder for the parts; made if it is not there
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Put the oldest articles into the first part and the newest into the last, by their date
    #[arg(long)]
    by_date: bool,
    /// Field with the date, such as 2024-05-31
    #[arg(long, value_name = "NAME", default_value = "date", requires = "by_date")]
    date_field: String,
    /// Jaccard similarity of word 3-shingles from which on two texts keep their articles on one side, up to 1; 0 keeps none
    #[arg(long, value_name = "SHARE", default_value_t = AuditOptions::default().similarity)]
    similarity: f64,
    /// Seed of chance, which decides between articles that are equally fit
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Replace parts that are there
    #[arg(long)]
    force: bool,
    /// One JSON object a part
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    labelled: LabelledArgs,
}

pub(crate) fn run(args: SplitCommand) -> anyhow::Result<ExitCode> {
    let SplitCommand {
        file,
        ratio,
        names,
        output,
        by_date,
        date_field,
        similarity,
        seed,
        force,
        json,
        labelled,
    } = args;
    let names = names_of(names, ratio.len())?;
    let sum: f64 = ratio.iter().sum();
    if (sum - 1.0).abs() > 1e-3 || ratio.iter().any(|&share| share.is_nan() || share <= 0.0) {
        return Err(misuse(format!(
            "the shares of `--ratio` are {sum:.3} together; all are above 0, and together 1"
        )));
    }
    if !(0.0..=1.0).contains(&similarity) {
        return Err(misuse(format!("`--similarity {similarity}` is not from 0 to 1")));
    }
    present([&file])?;
    let extension = file.extension().unwrap_or("txt".as_ref()).to_string_lossy().into_owned();
    let paths: Vec<PathBuf> = names.iter().map(|name| output.join(format!("{name}.{extension}"))).collect();
    check_free(&file, &paths, force)?;
    let options = SplitOptions {
        shares: ratio.iter().map(|share| share / sum).collect(),
        date_field: by_date.then_some(date_field),
        similarity: (similarity > 0.0).then_some(similarity),
        seed,
    };
    let division = divide(&file, &labelled.options(), &options).map_err(|error| match error {
        SplitError::NoLines { .. } => misuse(error.to_string()),
        SplitError::EmptyPart { .. } => misuse(format!("{}: {error}", file.display())),
        error => error.into(),
    })?;
    write(&division, &output, &paths)?;
    let mut out = std::io::stdout().lock();
    if json {
        for ((name, path), part) in names.iter().zip(&paths).zip(&division.parts) {
            writeln!(out, "{}", record(name, path, part))?;
        }
    } else {
        write!(out, "{}", columns(&table(&names, &division.parts)))?;
    }
    if division.tied > 0 {
        let all: usize = division.parts.iter().map(|part| part.sentences).sum();
        say!(
            "{} on one side with others because of equal or almost equal texts; the largest group has {} ({})",
            counted(division.tied, "article is", "articles are"),
            counted(division.largest, "sentence", "sentences"),
            percent(division.largest, all)
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn names_of(names: Vec<String>, parts: usize) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = match (names.len(), parts) {
        (0, 2) => ["train", "test"].map(str::to_owned).into(),
        (0, 3) => ["train", "dev", "test"].map(str::to_owned).into(),
        (0, _) => return Err(misuse(format!("`--ratio` has {parts} shares; name the parts with `--names`"))),
        (named, parts) if named != parts => {
            return Err(misuse(format!("`--names` has {named} names and `--ratio` {parts} shares")));
        }
        _ => names,
    };
    let is_name = |name: &String| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(misuse(format!("`{name}` cannot name a file")));
    }
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
        return Err(misuse("two parts have the same name"));
    }
    Ok(names)
}

/// Nothing is overwritten unasked, and the input never.
fn check_free(file: &Path, paths: &[PathBuf], force: bool) -> anyhow::Result<()> {
    for path in paths {
        if is_same(path, file) {
            return Err(misuse(format!("{}: a part would replace the file that is divided", path.display())));
        }
        if !force && std::fs::symlink_metadata(path).is_ok() {
            return Err(misuse(format!("{} is there already; `--force` replaces it", path.display())));
        }
    }
    Ok(())
}

/// All parts get their names once all are complete.
fn write(division: &Division, output: &Path, paths: &[PathBuf]) -> anyhow::Result<()> {
    std::fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    let files = paths.iter().map(|path| PendingFile::create(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut writers =
        files.iter().map(|file| Ok(BufWriter::new(file.handle()?))).collect::<anyhow::Result<Vec<_>>>()?;
    division.copy(&mut writers)?;
    for (mut writer, path) in writers.into_iter().zip(paths) {
        writer.flush().with_context(|| format!("cannot write {}", path.display()))?;
    }
    files.into_iter().try_for_each(PendingFile::keep)
}

fn record(name: &str, path: &Path, part: &Part) -> serde_json::Value {
    let (oldest, newest) = part.dates.clone().unzip();
    json!({
        "name": name, "file": told::name(path), "articles": part.articles, "sentences": part.sentences, "without_label": part.without_label,
        "labels": part.labels, "entities": part.entities, "oldest": oldest, "newest": newest,
    })
}

/// A row a figure, a column a part; labels with their share of the part's sentences, entities of its entities.
fn table(names: &[String], parts: &[Part]) -> Vec<Vec<String>> {
    let all: usize = parts.iter().map(|part| part.sentences).sum();
    let mut rows = vec![std::iter::once(String::new()).chain(names.iter().cloned()).collect()];
    let mut add = |name: &str, cell: &dyn Fn(&Part) -> String| {
        rows.push(std::iter::once(name.to_owned()).chain(parts.iter().map(cell)).collect());
    };
    add("articles (or lone sentences)", &|part| part.articles.to_string());
    add("sentences", &|part| share(part.sentences, all));
    if parts.iter().any(|part| part.dates.is_some()) {
        let day = |date: &String| date.chars().take(10).collect::<String>();
        add("  oldest", &|part| part.dates.as_ref().map_or("-".into(), |(oldest, _)| day(oldest)));
        add("  newest", &|part| part.dates.as_ref().map_or("-".into(), |(_, newest)| day(newest)));
    }
    let labels: BTreeSet<&String> = parts.iter().flat_map(|part| part.labels.keys()).collect();
    if !labels.is_empty() {
        add("  no label", &|part| share(part.without_label, part.sentences));
    }
    for label in labels {
        add(&format!("  {label}"), &|part| {
            share(part.labels.get(label).copied().unwrap_or(0), part.sentences)
        });
    }
    let types: BTreeSet<&String> = parts.iter().flat_map(|part| part.entities.keys()).collect();
    let entities = |part: &Part| part.entities.values().sum::<usize>();
    if !types.is_empty() {
        add("entities", &|part| entities(part).to_string());
    }
    for label in types {
        add(&format!("  {label}"), &|part| {
            share(part.entities.get(label).copied().unwrap_or(0), entities(part))
        });
    }
    rows
}

fn share(part: usize, whole: usize) -> String {
    format!("{part} ({})", percent(part, whole))
}
