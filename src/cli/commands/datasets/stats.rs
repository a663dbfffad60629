//! `undertone datasets stats`: what is in a corpus.

use super::splits::SplitArgs;
use super::told::{columns, counted, name, percent};
use crate::cli::labelled::LabelledArgs;
use crate::cli::model::optional_folder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use undertone::bundle::Bundle;
use undertone::datasets::{Lengths, Overlap, Split, Stats, Window, stats};

/// Count what is in a corpus
///
/// Articles, sentences and their lengths in words and in a model's pieces; labels alone and together; entities by type, and how many
/// of a split's entities the first split has already. A column is a split, and the first is what models learn from.
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone datasets stats train.jsonl dev.jsonl test.jsonl\n          undertone datasets stats --train a.jsonl b.jsonl --test c.jsonl --json"
)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    splits: SplitArgs,
    /// Model whose pieces are counted: a folder, or `owner/name[@revision]` on the Hugging Face hub, which is fetched once [default:
    /// the one inside the program]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// One JSON object a split
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    labelled: LabelledArgs,
}

pub(crate) fn run(args: StatsArgs) -> anyhow::Result<ExitCode> {
    let StatsArgs { splits, model, json, labelled } = args;
    let (splits, labelled) = (splits.resolve()?, labelled.options());
    let bundle = match optional_folder(model.as_deref())? {
        Some(folder) => Bundle::open(&folder)?,
        None => Bundle::embedded()?,
    };
    let (tokenizer, tokens) = (&bundle.tokenizer, bundle.max_tokens());
    let special = tokenizer.prefix().len() + tokenizer.suffix().len();
    let window = Window { tokenizer, pieces: tokens.saturating_sub(special) };
    let counted: Vec<Stats> =
        splits.iter().map(|split| stats(split, &labelled, Some(window))).collect::<Result<_, _>>()?;
    let mut out = std::io::stdout().lock();
    if json {
        for (split, stats) in splits.iter().zip(&counted) {
            writeln!(out, "{}", record(split, stats, &counted[0], tokens))?;
        }
    } else {
        write!(out, "{}", columns(&table(&splits, &counted, tokens)))?;
    }
    Ok(complain(&splits, &counted))
}

/// Tells of bad records, which the exit code remembers.
fn complain(splits: &[Split], counted: &[Stats]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (split, stats) in splits.iter().zip(counted).filter(|(_, stats)| stats.bad > 0) {
        let bad = self::counted(stats.bad, "sentence or record is", "sentences or records are");
        tracing::error!(
            "{}: {bad} bad and left out; `undertone datasets check` tells what is wrong",
            split.name
        );
        code = ExitCode::FAILURE;
    }
    code
}

fn record(split: &Split, stats: &Stats, first: &Stats, tokens: usize) -> Value {
    let pairs = stats.pairs.iter().map(|((a, b), count)| json!({"labels": [a, b], "sentences": count}));
    let files: Vec<String> = split.files.iter().map(|path| name(path)).collect();
    let mut record = json!({
        "name": split.name, "files": files, "articles": stats.articles, "sentences": stats.sentences, "bad": stats.bad,
        "words": lengths_record(&stats.words), "pieces": lengths_record(&stats.pieces), "window_tokens": tokens,
        "over_window": stats.over_window, "labelled": stats.labelled, "without_label": stats.without_label,
        "labels": stats.labels, "label_pairs": pairs.collect::<Vec<_>>(), "with_entities": stats.with_entities,
        "entities": stats.entities,
    });
    if !std::ptr::eq(stats, first) {
        let overlap = stats.overlap(first);
        let types: serde_json::Map<String, Value> =
            overlap.iter().map(|(label, overlap)| (label.clone(), overlap_record(*overlap))).collect();
        let all = overlap.into_values().fold(Overlap::default(), std::ops::Add::add);
        record["seen_in_first"] = json!({"all": overlap_record(all), "types": types});
    }
    record
}

fn lengths_record(lengths: &Lengths) -> Value {
    json!({
        "sum": lengths.sum(), "mean": lengths.mean(), "median": lengths.quantile(0.5), "p95": lengths.quantile(0.95),
        "max": lengths.quantile(1.0),
    })
}

fn overlap_record(overlap: Overlap) -> Value {
    json!({
        "mentions": overlap.mentions, "mentions_seen": overlap.mentions_seen,
        "mentions_seen_with_other_type": overlap.mentions_seen_otherwise, "forms": overlap.forms, "forms_seen": overlap.forms_seen,
    })
}

/// A row a figure, a column a split.
fn table(splits: &[Split], counted: &[Stats], tokens: usize) -> Vec<Vec<String>> {
    let mut rows = vec![row("", splits, |split| short_name(split, splits))];
    let mut add = |name: &str, cell: &dyn Fn(&Stats) -> String| rows.push(row(name, counted, cell));
    add("articles", &|s| s.articles.to_string());
    add("sentences", &|s| s.sentences.to_string());
    if counted.iter().any(|s| s.bad > 0) {
        add("bad sentences or records", &|s| s.bad.to_string());
    }
    add("words", &|s| s.words.sum().to_string());
    for (what, lengths) in [("words", (|s| &s.words) as fn(&Stats) -> &Lengths), ("pieces", |s| &s.pieces)] {
        let mean = |s: &Stats| lengths(s).mean().map_or("-".into(), |mean| format!("{mean:.1}"));
        add(&format!("{what} a sentence, mean"), &mean);
        for (name, share) in [("median", 0.5), ("95%", 0.95), ("longest", 1.0)] {
            let cell = |s: &Stats| lengths(s).quantile(share).map_or("-".into(), |length| length.to_string());
            add(&format!("  {name}"), &cell);
        }
    }
    add(&format!("over {tokens} tokens"), &|s| share(s.over_window, s.sentences));
    if counted.iter().any(|s| s.labelled > 0) {
        add("sentences with labels or none", &|s| s.labelled.to_string());
        add("  none", &|s| share(s.without_label, s.labelled));
        for label in names(counted, |s| s.labels.keys().collect()) {
            add(&format!("  {label}"), &|s| share(s.labels.get(label).copied().unwrap_or(0), s.labelled));
        }
        for pair in names(counted, |s| s.pairs.keys().collect()) {
            let count = |s: &Stats| share(s.pairs.get(pair).copied().unwrap_or(0), s.labelled);
            add(&format!("  {} and {}", pair.0, pair.1), &count);
        }
    }
    if counted.iter().any(|s| s.with_entities > 0) {
        add("sentences with entities or none", &|s| s.with_entities.to_string());
        let types = names(counted, |s| s.entities.keys().collect());
        add("entities", &|s| s.entities.values().sum::<usize>().to_string());
        for label in &types {
            add(&format!("  {label}"), &|s| s.entities.get(*label).copied().unwrap_or(0).to_string());
        }
        if counted.len() > 1 {
            add_overlaps(&mut rows, splits, counted, &types);
        }
    }
    rows
}

fn add_overlaps(rows: &mut Vec<Vec<String>>, splits: &[Split], counted: &[Stats], types: &[&String]) {
    let overlaps: Vec<_> = counted.iter().map(|stats| stats.overlap(&counted[0])).collect();
    let all: Vec<Overlap> = overlaps
        .iter()
        .map(|types| types.values().copied().fold(Overlap::default(), std::ops::Add::add))
        .collect();
    // The first split has seen itself.
    let mut add = |name: &str, cells: Vec<String>| {
        let cells = std::iter::once("-".to_owned()).chain(cells.into_iter().skip(1));
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    };
    let first = short_name(&splits[0], splits);
    add(
        &format!("entities that {first} has"),
        all.iter().map(|o| share(o.mentions_seen, o.mentions)).collect(),
    );
    for label in types {
        let of_type = overlaps.iter().map(|types| types.get(*label).copied().unwrap_or_default());
        add(&format!("  {label}"), of_type.map(|o| share(o.mentions_seen, o.mentions)).collect());
    }
    add("  with another type", all.iter().map(|o| share(o.mentions_seen_otherwise, o.mentions)).collect());
    add("  each text once", all.iter().map(|o| share(o.forms_seen, o.forms)).collect());
}

fn row<T>(name: &str, items: &[T], cell: impl Fn(&T) -> String) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(items.iter().map(cell)).collect()
}

/// A count and its share.
fn share(part: usize, whole: usize) -> String {
    if whole == 0 { "-".into() } else { format!("{part} ({})", percent(part, whole)) }
}

/// All names that any split has, in order.
fn names<'a, T: Ord>(counted: &'a [Stats], of: impl Fn(&'a Stats) -> Vec<&'a T>) -> Vec<&'a T> {
    counted.iter().flat_map(of).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The name of a split without its folders, where that is enough to tell it from the others.
fn short_name(split: &Split, splits: &[Split]) -> String {
    let short = |split: &Split| split.name.rsplit('/').next().unwrap_or_default().to_owned();
    let alike = splits.iter().filter(|other| short(other) == short(split)).count();
    if alike == 1 { short(split) } else { split.name.clone() }
}
