//! `undertone datasets check`: what is wrong with a corpus.

use super::splits::SplitArgs;
use super::told::{at, counted, excerpt, name};
use crate::cli::labelled::LabelledArgs;
use crate::cli::logging::say;
use crate::cli::misuse;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use undertone::datasets::{Audit, AuditOptions, Finding, FindingKind, Place, Severity, audit, texts};
use undertone::formats::LabelledOptions;

/// Look for what is wrong with a corpus
///
/// Every bad record is told with file and line: what the format does not allow, files and texts that are empty, entities that are
/// misaligned, overlap or hold white space at their ends. So are leaks (texts, almost the same texts and articles that are in
/// several splits), duplicates, equal texts that are labelled differently, labels that are misspelt, too rare to learn, or missing
/// from a split.
///
/// Exits with 1 if there is an error; warnings are what may be meant.
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone datasets check train.jsonl dev.jsonl test.jsonl\n          undertone datasets check --train a.jsonl b.jsonl --test c.jsonl --json > findings.jsonl"
)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    splits: SplitArgs,
    /// Jaccard similarity of word 3-shingles from which on two texts are almost the same, above 0 and up to 1
    #[arg(long, value_name = "SHARE", default_value_t = AuditOptions::default().similarity)]
    similarity: f64,
    /// Examples in the first split below which a label is rare
    #[arg(long, value_name = "COUNT", default_value_t = AuditOptions::default().min_count)]
    min_count: usize,
    /// Findings that are shown of each kind
    #[arg(long, value_name = "COUNT", default_value_t = 5, conflicts_with = "json")]
    limit: usize,
    /// Exit with 1 on warnings too
    #[arg(long)]
    strict: bool,
    /// One JSON object a finding
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    labelled: LabelledArgs,
}

/// Findings whose texts are held at once.
const CHUNK: usize = 100_000;
/// Characters shown of a text.
const EXCERPT: usize = 100;

pub(crate) fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let CheckArgs { splits, similarity, min_count, limit, strict, json, labelled } = args;
    if !(similarity > 0.0 && similarity <= 1.0) {
        return Err(misuse(format!("`--similarity {similarity}` is not above 0 and up to 1")));
    }
    let splits = splits.resolve()?;
    let labelled = labelled.options();
    let audit = audit(&splits, &labelled, &AuditOptions { similarity, min_count })?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    if json {
        write_json(&mut out, &audit, &labelled)?;
    } else {
        write_text(&mut out, &audit, &labelled, limit)?;
    }
    out.flush()?;
    let errors = audit.findings.iter().filter(|f| f.kind.severity() == Severity::Error).count();
    let warnings = audit.findings.len() - errors;
    let (sentences, files) =
        (counted(audit.sentences, "sentence", "sentences"), counted(audit.files.len(), "file", "files"));
    let (told, also) = (counted(errors, "error", "errors"), counted(warnings, "warning", "warnings"));
    say!("{told} and {also} in {sentences} of {files}");
    let wrong = errors > 0 || strict && warnings > 0;
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write_json(out: &mut impl Write, audit: &Audit, labelled: &LabelledOptions) -> anyhow::Result<()> {
    for chunk in audit.findings.chunks(CHUNK) {
        let texts = texts_of(audit, chunk, labelled)?;
        for finding in chunk {
            let mut record = place_record(audit, finding.place, &texts);
            record["kind"] = json!(finding.kind);
            record["severity"] = json!(finding.kind.severity());
            record["reason"] = json!(finding.reason);
            if let Some(other) = finding.other {
                record["other"] = place_record(audit, other, &texts);
            }
            if let Some(similarity) = finding.similarity {
                record["similarity"] = json!(similarity);
            }
            writeln!(out, "{record}")?;
        }
    }
    Ok(())
}

fn place_record(audit: &Audit, place: Place, texts: &HashMap<Place, String>) -> Value {
    let mut record = json!({"file": name(&audit.files[place.file as usize]), "line": place.line});
    if place.sentence > 0 {
        record["sentence"] = place.sentence.into();
    }
    if let Some(text) = texts.get(&place) {
        record["text"] = text.as_str().into();
    }
    record
}

fn write_text(
    out: &mut impl Write,
    audit: &Audit,
    labelled: &LabelledOptions,
    limit: usize,
) -> anyhow::Result<()> {
    let kinds: Vec<&[Finding]> = audit.findings.chunk_by(|a, b| a.kind == b.kind).collect();
    let shown: Vec<Finding> = kinds.iter().flat_map(|kind| kind.iter().take(limit).cloned()).collect();
    let texts = texts_of(audit, &shown, labelled)?;
    for kind in kinds {
        let severity = match kind[0].kind.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(out, "{severity}: {} ({})", title(kind[0].kind), kind.len())?;
        for finding in kind.iter().take(limit) {
            let other = finding.other.map(|other| format!(": {}", told(audit, other))).unwrap_or_default();
            let similarity = finding.similarity.map(|s| format!(" (similarity {s:.2})")).unwrap_or_default();
            writeln!(
                out,
                "  {}: {}{other}{similarity}",
                told(audit, finding.place),
                excerpt(&finding.reason, 300)
            )?;
            let mut lines = vec![finding.place];
            // What is the same need not be shown twice.
            lines.extend(finding.other.filter(|_| finding.similarity.is_some()));
            for text in lines.iter().filter_map(|place| texts.get(place)) {
                writeln!(out, "      {}", excerpt(text, EXCERPT))?;
            }
        }
        if kind.len() > limit {
            writeln!(out, "  and {} more", kind.len() - limit)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The texts that findings are about.
fn texts_of(
    audit: &Audit,
    findings: &[Finding],
    labelled: &LabelledOptions,
) -> anyhow::Result<HashMap<Place, String>> {
    let places = findings.iter().flat_map(|finding| [Some(finding.place), finding.other]).flatten();
    let places: BTreeSet<Place> = places.filter(|place| place.sentence > 0).collect();
    Ok(texts(&audit.files, &places, labelled)?)
}

fn told(audit: &Audit, place: Place) -> String {
    let told = at(&audit.files[place.file as usize], place.line);
    if place.sentence > 1 { format!("{told} (sentence {})", place.sentence) } else { told }
}

fn title(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::NoSentences => "files without sentences",
        FindingKind::Malformed => "malformed records",
        FindingKind::EmptyText => "empty texts",
        FindingKind::Misaligned => "misaligned entities",
        FindingKind::Overlap => "overlapping entities",
        FindingKind::WhiteSpace => "entities with white space at their ends",
        FindingKind::LabelClash => "labels that are one but for case, spaces or hyphens",
        FindingKind::Contradiction => "equal texts that are labelled differently",
        FindingKind::ArticleLeak => "articles in several splits",
        FindingKind::Leak => "texts in several splits",
        FindingKind::NearLeak => "almost the same texts in several splits",
        FindingKind::LabelTypo => "labels that may be misspelt",
        FindingKind::RareLabel => "rare labels",
        FindingKind::MissingLabel => "labels that a split lacks",
        FindingKind::RepeatedArticle => "articles of one name",
        FindingKind::PhraseLeak => "phrases in several splits",
        FindingKind::Duplicate => "duplicate texts",
        FindingKind::NearDuplicate => "almost the same texts",
    }
}
