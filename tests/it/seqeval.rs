//! Entity counts against seqeval's default (lenient) mode, by the numbers of `scripts/golden_seqeval.py`.

use serde::Deserialize;
use std::path::Path;
use undertone::evaluation::{Counts, EntityCounts, count_entities};
use undertone::labels::{TagSpan, decode};

#[derive(Deserialize)]
struct Golden {
    all: Scores,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    gold: Vec<String>,
    found: Vec<String>,
    gold_entities: Vec<(String, usize, usize)>,
    found_entities: Vec<(String, usize, usize)>,
    #[serde(flatten)]
    scores: Scores,
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
