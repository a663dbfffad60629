//! Figures on labels against scikit-learn and scipy, by the numbers of `scripts/golden_metrics.py`.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use undertone::evaluation::{Answered, Average, Decisions, Groups, LabelTable, ModelIdentity, compare};

#[derive(Deserialize)]
struct Golden {
    exact_match: f64,
    averages: BTreeMap<String, Row>,
    labels: Vec<Label>,
    sign_tests: Vec<(usize, usize, f64)>,
    scores: Vec<Vec<f32>>,
    gold: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
struct Row {
    precision: f64,
    recall: f64,
    f1: f64,
}

#[derive(Deserialize)]
struct Label {
    #[serde(flatten)]
    row: Row,
    support: f64,
    average_precision: Option<f64>,
    brier: f64,
    ece: f64,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics.json");
    let json = std::fs::read(path).expect("the fixture is in the checkout");
    serde_json::from_slice(&json).expect("the fixture has the fields of its script")
}

#[test]
fn labels_and_averages_have_the_figures_of_scikit_learn() {
    let golden = golden();
    let (mut table, mut groups) = (LabelTable::default(), Groups::default());
    for (scores, gold) in golden.scores.iter().zip(&golden.gold) {
        let decided: Vec<bool> = scores.iter().map(|&p| p >= 0.5).collect();
        let gold: Vec<bool> = gold.iter().map(|&flag| flag == 1).collect();
        table.push(scores, &decided, &gold, groups.next(None));
    }
    let names: Vec<String> = (0..golden.labels.len()).map(|i| format!("label {i}")).collect();
    let report = table.report(&names, &groups, Decisions::Stored, None, 0);
    // Where scikit-learn divides by nothing it says 0.
    let close = |ours: Option<f64>, theirs: f64| (ours.unwrap_or(0.0) - theirs).abs() < 1e-12;
    let row = |average: &Average, row: &Row| {
        close(average.precision, row.precision)
            && close(average.recall, row.recall)
            && close(average.f1.value, row.f1)
    };
    assert!(close(report.exact_match.value, golden.exact_match));
    for (name, average) in [
        ("macro", report.macro_average),
        ("micro", report.micro_average),
        ("weighted", report.weighted_average),
    ] {
        assert!(row(&average, &golden.averages[name]), "{name}: {average:?}");
    }
    for (ours, theirs) in report.labels.iter().zip(&golden.labels) {
        let average = Average { precision: ours.precision, recall: ours.recall, f1: ours.f1 };
        assert!(row(&average, &theirs.row) && ours.support as f64 == theirs.support, "{average:?}");
        let precision = ours.average_precision.value;
        assert!(precision.is_some() == theirs.average_precision.is_some());
        assert!(close(precision, theirs.average_precision.unwrap_or(0.0)), "{precision:?}");
        // Probabilities are f32 here.
        let close = |ours: Option<f64>, theirs: f64| (ours.unwrap() - theirs).abs() < 1e-6;
        assert!(close(ours.brier, theirs.brier) && close(ours.ece, theirs.ece), "{}", ours.label);
    }
}

#[test]
fn mcnemar_has_the_p_values_of_the_binomial_test() {
    for (only_this, only_other, p_value) in golden().sign_tests {
        let (mut groups, mut of_groups) = (Groups::default(), Vec::new());
        of_groups.extend((0..only_this + only_other).map(|_| groups.next(Some("one article"))));
        let table = |right: &dyn Fn(usize) -> bool| {
            let mut table = LabelTable::default();
            for (i, &group) in of_groups.iter().enumerate() {
                table.push(&[0.5], &[right(i)], &[true], group);
            }
            table
        };
        let (this, other) = (table(&|i| i < only_this), table(&|i| i >= only_this));
        let answered = |table| Answered { labels: Some(table), entities: None };
        let identity = ModelIdentity { name: "other".into(), weights_sha256: String::new() };
        let comparison = compare(answered(&this), (answered(&other), identity), &["a".into()], &groups, 0);
        let test = comparison.labels.unwrap();
        assert_eq!((test.only_this, test.only_other), (only_this, only_other));
        assert!((test.p_value - p_value).abs() < 1e-9, "{test:?}, scipy {p_value}");
    }
}
