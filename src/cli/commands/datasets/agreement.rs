//! `undertone datasets agreement`: how far two annotators agree.

use super::told::{columns, counted, is_same, name, percent, present};
use crate::cli::labelled::LabelledArgs;
use crate::cli::misuse;
use crate::cli::output::PendingFile;
use serde_json::json;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use undertone::datasets::{Agreement, EntityAgreement, LabelAgreement, MatchBy, agreement};
use undertone::evaluation::Counts;

/// Tell how far two annotators agree
///
/// Labels: Cohen's kappa and Krippendorff's alpha of each label and of whole sets of labels (alpha also with MASI distance, to which
/// sets that share labels are nearer). Entities: F1 of one annotator against the other, of the very same and of overlapping ones, and
/// kappa over words. 1 is agreement, 0 that of chance.
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone datasets agreement ana.jsonl ben.jsonl --disagreements to-discuss.jsonl"
)]
pub(crate) struct AgreementArgs {
    /// Labelled file of one annotator
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Labelled file of the other
    #[arg(value_name = "B")]
    b: PathBuf,
    /// By what sentences are matched [default: ids if all have one of their own, else article and text if all have one, else text]
    #[arg(long, value_enum, value_name = "NAME")]
    match_by: Option<Matching>,
    /// File for the sentences that they do not agree on, one JSON object each
    #[arg(long, value_name = "FILE")]
    disagreements: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    labelled: LabelledArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Matching {
    /// Field `id`
    Id,
    /// Article and text
    Article,
    /// Text
    Text,
}

impl From<Matching> for MatchBy {
    fn from(matching: Matching) -> Self {
        match matching {
            Matching::Id => Self::Id,
            Matching::Article => Self::Article,
            Matching::Text => Self::Text,
        }
    }
}

pub(crate) fn run(args: AgreementArgs) -> anyhow::Result<ExitCode> {
    let AgreementArgs { a, b, match_by, disagreements, json, labelled } = args;
    present([&a, &b])?;
    if let Some(path) =
        disagreements.as_deref().filter(|path| [&a, &b].iter().any(|input| is_same(path, input)))
    {
        return Err(misuse(format!("`--disagreements {}` would replace what is compared", path.display())));
    }
    let file = disagreements.as_deref().map(PendingFile::create).transpose()?;
    let agreement = agreement(&a, &b, &labelled.options(), match_by.map(MatchBy::from))?;
    if agreement.matched == 0 {
        return Err(misuse(format!(
            "no sentence is in both {} and {}, matched by {}; `--match-by` chooses what they are matched by",
            a.display(),
            b.display(),
            matched_by(&agreement)
        )));
    }
    if agreement.labels.is_none() && agreement.entities.is_none() {
        return Err(misuse("no sentence has labels in both files, or entities in both"));
    }
    if let Some(file) = file {
        let mut out = BufWriter::new(file.handle()?);
        for disagreement in &agreement.disagreements {
            serde_json::to_writer(&mut out, disagreement)?;
            writeln!(out)?;
        }
        out.flush()?;
        drop(out);
        file.keep()?;
    }
    let mut out = std::io::stdout().lock();
    if json {
        let mut record =
            json!({"a": name(&a), "b": name(&b), "disagreements": agreement.disagreements.len()});
        let figures = serde_json::to_value(&agreement)?;
        if let (Some(record), serde_json::Value::Object(figures)) = (record.as_object_mut(), figures) {
            record.extend(figures);
        }
        writeln!(out, "{record}")?;
        return Ok(ExitCode::SUCCESS);
    }
    write_text(&mut out, &agreement)?;
    Ok(ExitCode::SUCCESS)
}

fn matched_by(agreement: &Agreement) -> &'static str {
    match agreement.matched_by {
        MatchBy::Id => "id",
        MatchBy::Article => "article and text",
        MatchBy::Text => "text",
    }
}

fn write_text(out: &mut impl Write, agreement: &Agreement) -> std::io::Result<()> {
    let Agreement { matched, only_a, only_b, different_texts, labels, entities, disagreements, .. } =
        agreement;
    writeln!(
        out,
        "{} in both files, matched by {}; {only_a} only in the first, {only_b} only in the second",
        counted(*matched, "sentence is", "sentences are"),
        matched_by(agreement)
    )?;
    if *different_texts > 0 {
        writeln!(
            out,
            "{} of one id have different texts and are not compared",
            counted(*different_texts, "pair", "pairs")
        )?;
    }
    if let Some(labels) = labels {
        write_labels(out, labels)?;
    }
    if let Some(entities) = entities {
        write_entities(out, entities)?;
    }
    writeln!(out, "\n{} with a disagreement", counted(disagreements.len(), "sentence", "sentences"))
}

fn write_equal(out: &mut impl Write, what: &str, equal: usize, sentences: usize) -> std::io::Result<()> {
    let (of, share) = (counted(sentences, "sentence", "sentences"), percent(equal, sentences));
    writeln!(out, "\n{what} of {of}: equal in {equal} ({share})")
}

fn write_labels(out: &mut impl Write, labels: &LabelAgreement) -> std::io::Result<()> {
    write_equal(out, "labels", labels.equal, labels.sentences)?;
    let mut rows =
        vec![cells(["label", "both", "only A", "only B", "neither", "agreement", "kappa", "alpha"])];
    for row in &labels.labels {
        rows.push(vec![
            row.label.clone(),
            row.both.to_string(),
            row.only_a.to_string(),
            row.only_b.to_string(),
            row.neither.to_string(),
            percent(row.both + row.neither, labels.sentences),
            figure(row.kappa),
            figure(row.alpha),
        ]);
    }
    write!(out, "{}", columns(&rows))?;
    writeln!(
        out,
        "whole sets: Cohen's kappa {}; Krippendorff's alpha {} (nominal), {} (MASI)",
        figure(labels.kappa),
        figure(labels.alpha),
        figure(labels.alpha_masi)
    )
}

fn write_entities(out: &mut impl Write, entities: &EntityAgreement) -> std::io::Result<()> {
    write_equal(out, "entities", entities.equal, entities.sentences)?;
    let row = |name: &str, exact: Counts, overlap: Counts| {
        vec![
            name.to_owned(),
            exact.tp.to_string(),
            exact.fn_.to_string(),
            exact.fp.to_string(),
            figure(exact.f1()),
            figure(overlap.f1()),
        ]
    };
    let mut rows = vec![cells(["type", "both", "only A", "only B", "F1", "F1 of overlaps"])];
    rows.extend(entities.types.iter().map(|kind| row(&kind.label, kind.exact, kind.overlap)));
    rows.push(row("all", entities.exact, entities.overlap));
    write!(out, "{}", columns(&rows))?;
    writeln!(
        out,
        "words: equal {} of {} ({}), Cohen's kappa {}",
        entities.equal_words,
        entities.words,
        percent(entities.equal_words, entities.words),
        figure(entities.word_kappa)
    )
}

fn cells<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.3}"))
}
