//! Entity counts and reports against seqeval, lenient (its default) and strict, by the numbers of
//! `scripts/golden_seqeval.py`.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use undertone::evaluation::{
    Counts, EntityCounts, EntityFigures, EntityReport, EntityTable, SentenceEntities, WordCounts,
    count_entities,
};
use undertone::labels::{TagSpan, decode, decode_strict};

#[derive(Deserialize)]
struct Golden {
    all: Scores,
    accuracy: f64,
    report: BTreeMap<String, Row>,
    strict_report: BTreeMap<String, Row>,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Row {
    precision: f64,
    recall: f64,
    #[serde(rename = "f1-score")]
    f1: f64,
    support: f64,
}

#[derive(Deserialize)]
struct Pair {
    gold: Vec<String>,
    found: Vec<String>,
    gold_entities: Vec<(String, usize, usize)>,
    found_entities: Vec<(String, usize, usize)>,
    #[serde(flatten)]
    scores: Scores,
    /// `None` where a tag is not of IOB2.
    strict_f1: Option<f64>,
}

#[derive(Deserialize)]
struct Scores {
    true_positives: usize,
    predicted: usize,
    gold_count: usize,
    f1: f64,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seqeval.json");
    let json = std::fs::read(path).expect("the fixture is in the checkout");
    serde_json::from_slice(&json).expect("the fixture has the fields of its script")
}

fn entities(tags: &[String]) -> Vec<(String, usize, usize)> {
    decode(tags).into_iter().map(|TagSpan { start, end, label }| (label, start, end)).collect()
}

fn count(pair: &Pair) -> EntityCounts {
    count_entities(&decode(&pair.found), &decode(&pair.gold), |span| span.label.clone())
}

#[track_caller]
fn assert_scores(counts: Counts, theirs: &Scores, what: &str) {
    let ours = (counts.tp, counts.tp + counts.fp, counts.support());
    assert_eq!(ours, (theirs.true_positives, theirs.predicted, theirs.gold_count), "{what}");
    match counts.f1() {
        // The same quotient in f64, by way of precision and recall there.
        Some(f1) => assert!((f1 - theirs.f1).abs() < 1e-12, "{what}: F1 {f1}, seqeval {}", theirs.f1),
        // Where there is nothing to score, seqeval says 0.
        None => assert_eq!((theirs.predicted + theirs.gold_count, theirs.f1), (0, 0.0), "{what}"),
    }
}

#[test]
fn any_tags_are_read_as_seqeval_reads_them() {
    for pair in golden().pairs {
        assert_eq!(entities(&pair.gold), pair.gold_entities, "{:?}", pair.gold);
        assert_eq!(entities(&pair.found), pair.found_entities, "{:?}", pair.found);
    }
}

#[test]
fn entities_are_counted_as_seqeval_counts_them() {
    let golden = golden();
    let mut all = EntityCounts::default();
    for pair in &golden.pairs {
        let counts = count(pair);
        assert_scores(counts.total(), &pair.scores, &format!("gold {:?}, found {:?}", pair.gold, pair.found));
        all.add(&counts);
    }
    assert_scores(all.total(), &golden.all, "all pairs together");
}

/// Counts and reports of pairs, as `undertone evaluate` puts them together.
fn reported<'a>(pairs: impl Iterator<Item = &'a Pair>) -> EntityReport {
    let mut table = EntityTable::default();
    for (number, pair) in (0..).zip(pairs) {
        let label = |span: &TagSpan| span.label.clone();
        let right = pair.found.iter().zip(&pair.gold).filter(|(a, b)| a == b).count();
        let strict = [&pair.found, &pair.gold].map(|tags| decode_strict(tags));
        let sentence = SentenceEntities {
            lenient: count(pair),
            strict: count_entities(&strict[0], &strict[1], label),
            words: Some(WordCounts { right, words: pair.gold.len() }),
            answers: Vec::new(),
        };
        table.push(&sentence, number);
    }
    table.report(table.len(), 0)
}

#[track_caller]
fn assert_figures(figures: &EntityFigures, theirs: &BTreeMap<String, Row>) {
    let close = |ours: Option<f64>, theirs: f64| (ours.unwrap_or(0.0) - theirs).abs() < 1e-12;
    let row = |precision, recall, f1, row: &Row| {
        close(precision, row.precision) && close(recall, row.recall) && close(f1, row.f1)
    };
    assert_eq!(figures.types.len() + 3, theirs.len());
    for kind in &figures.types {
        let theirs = &theirs[&kind.label];
        assert!(row(kind.precision, kind.recall, kind.f1.value, theirs), "{kind:?}");
        assert_eq!(kind.support as f64, theirs.support, "{}", kind.label);
    }
    let averages = [
        ("micro avg", figures.micro),
        ("macro avg", figures.macro_average),
        ("weighted avg", figures.weighted),
    ];
    for (name, average) in averages {
        assert!(
            row(average.precision, average.recall, average.f1.value, &theirs[name]),
            "{name}: {average:?}"
        );
    }
}

#[test]
fn types_and_averages_are_reported_as_seqeval_reports_them() {
    let golden = golden();
    let report = reported(golden.pairs.iter());
    assert_figures(&report.lenient, &golden.report);
    assert!((report.token_accuracy.unwrap() - golden.accuracy).abs() < 1e-12);
    let iob2 = golden.pairs.iter().filter(|pair| pair.strict_f1.is_some() || pair.gold.is_empty());
    assert_figures(&reported(iob2).strict, &golden.strict_report);
}

#[test]
fn strict_mode_is_that_of_seqeval_pair_by_pair() {
    let golden = golden();
    let mut differ = 0;
    for pair in &golden.pairs {
        let Some(theirs) = pair.strict_f1 else { continue };
        let report = reported(std::iter::once(pair));
        let ours = report.strict.micro.f1.value.unwrap_or(0.0);
        assert!((ours - theirs).abs() < 1e-12, "{:?} {:?}: {ours}, seqeval {theirs}", pair.gold, pair.found);
        differ += usize::from(report.lenient.micro.f1.value != report.strict.micro.f1.value);
    }
    assert!(differ >= 5, "the fixture has pairs on which the two modes differ");
}
