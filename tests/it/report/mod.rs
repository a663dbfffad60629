//! The page of an evaluation, as a parser and, where there is one, a browser sees it.

mod fuzz;
mod page;
mod sample;

use page::Page;
use proptest::prelude::*;
use std::collections::BTreeMap;
use undertone::evaluation::{ErrorRecord, Evaluation};
use undertone::report::{Evaluated, html};

/// A whole page, as text.
fn rendered(evaluation: &Evaluation, errors: &[ErrorRecord], wrong: usize) -> String {
    let mut out = Vec::new();
    html(&mut out, &[Evaluated { evaluation, errors, wrong }]).expect("memory takes it all");
    String::from_utf8(out).expect("a page is text")
}

/// Text that would like to be more than text.
const HOSTILE: &str = "</script></style><img src=x onerror=alert(1)>\"'&amp;<!-- \u{1}]]>";

/// Everything that is text is hostile.
fn hostile() -> (Evaluation, Vec<ErrorRecord>) {
    let mut evaluation = sample::evaluation();
    evaluation.undertone = HOSTILE.into();
    evaluation.model.name = HOSTILE.into();
    evaluation.model.weights_sha256 = HOSTILE.into();
    evaluation.data.path = HOSTILE.into();
    evaluation.data.sha256 = HOSTILE.into();
    evaluation.data.resampled = HOSTILE.into();
    if let Some(report) = &mut evaluation.classification {
        report.labels.iter_mut().for_each(|label| label.label.push_str(HOSTILE));
    }
    if let Some(report) = &mut evaluation.entities {
        report.lenient.types.iter_mut().for_each(|kind| kind.label.push_str(HOSTILE));
        report.confusion.insert(HOSTILE.into(), [(HOSTILE.to_owned(), 3)].into());
    }
    if let Some(comparison) = &mut evaluation.comparison {
        comparison.other.name = HOSTILE.into();
        comparison.other.weights_sha256 = HOSTILE.into();
        comparison.metrics[0].metric = HOSTILE.into();
    }
    for breakdown in &mut evaluation.by {
        breakdown.field = HOSTILE.into();
        for row in &mut breakdown.rows {
            row.value = HOSTILE.into();
            row.labels.insert(HOSTILE.into(), Default::default());
        }
    }
    let mut errors = sample::errors(4);
    for error in &mut errors {
        error.file = HOSTILE.into();
        error.article = Some(HOSTILE.into());
        error.text.push_str(HOSTILE);
        error.fields.insert(HOSTILE.into(), HOSTILE.into());
        let labels = error.labels.as_mut().expect("labels are there");
        labels.gold = vec![HOSTILE.into()];
        labels.scores.insert(HOSTILE.into(), 0.5);
        for answer in error.entities.iter_mut().flatten() {
            for mention in answer.gold.iter_mut().chain(&mut answer.found) {
                mention.label = HOSTILE.into();
                mention.text = HOSTILE.into();
            }
        }
    }
    (evaluation, errors)
}

#[test]
fn a_page_is_whole_and_needs_nothing_from_elsewhere() {
    let evaluation = sample::evaluation();
    for (errors, wrong) in [(sample::errors(12), 40), (Vec::new(), 0)] {
        Page::new(&rendered(&evaluation, &errors, wrong)).is_whole();
    }
    Page::new(&rendered(&sample::nothing(), &[], 0)).is_whole();
    let mut none = Vec::new();
    html(&mut none, &[]).unwrap();
    Page::new(&String::from_utf8(none).unwrap()).is_whole();
}

#[test]
fn text_stays_text() {
    let (evaluation, errors) = hostile();
    let text = rendered(&evaluation, &errors, 4);
    let page = Page::new(&text);
    page.is_whole();
    assert_eq!((page.count("img"), page.count("script"), page.count("style")), (0, 2, 1));
    let shown = HOSTILE.replace('\u{1}', "\u{fffd}");
    let sentences = page.texts(".mistakes ol .text");
    assert!(sentences.iter().all(|sentence| sentence.contains(&shown)), "{sentences:?}");
    assert!(page.texts("h2")[0] == shown && page.texts("h1")[0].starts_with(&shown));
    assert_eq!(page.evaluations(), [evaluation]);
}

#[test]
fn every_figure_stands_in_its_table() {
    let evaluation = sample::evaluation();
    let page = Page::new(&rendered(&evaluation, &sample::errors(3), 3));
    let f = |value: f64| format!("{value:.4}");

    let report = evaluation.classification.as_ref().unwrap();
    let rows = page.table("Figures by label");
    for (row, label) in rows.iter().zip(&report.labels) {
        let (f1, ap) = (label.f1, label.average_precision);
        let interval = |i: Option<undertone::evaluation::Interval>| {
            i.map(|i| format!("{:.4}–{:.4}", i.low, i.high)).unwrap()
        };
        let expected = [
            label.label.clone(),
            f(label.precision.unwrap()),
            f(label.recall.unwrap()),
            f(f1.value.unwrap()) + &interval(f1.interval),
            label.support.to_string(),
            f(ap.value.unwrap()) + &interval(ap.interval),
            f(label.brier.unwrap()),
            f(label.ece.unwrap()),
            f(f64::from(label.threshold.unwrap())),
        ];
        assert_eq!(row, &expected);
    }
    let averages = [report.macro_average, report.micro_average, report.weighted_average];
    for (row, average) in rows[report.labels.len()..].iter().zip(averages) {
        assert_eq!(row[1..3], [average.precision, average.recall].map(|value| f(value.unwrap())));
        assert!(row[3].starts_with(&f(average.f1.value.unwrap())), "{row:?}");
    }
    assert_eq!(rows.len(), report.labels.len() + 3);

    let entities = evaluation.entities.as_ref().unwrap();
    for (name, figures) in
        [("Lenient (conlleval, seqeval)", &entities.lenient), ("Strict (IOB2)", &entities.strict)]
    {
        let rows = page.table(name);
        assert_eq!(rows.len(), figures.types.len() + 3);
        for (row, kind) in rows.iter().zip(&figures.types) {
            assert_eq!(row[..3], [kind.label.clone(), f(kind.precision.unwrap()), f(kind.recall.unwrap())]);
            assert!(row[3].starts_with(&f(kind.f1.value.unwrap())), "{row:?}");
        }
    }
    let sorts: Vec<String> = page.table("Sorts of mistakes").iter().map(|row| row[1].clone()).collect();
    assert_eq!(sorts, ["4,391", "160", "171", "23", "288", "188"]);
    assert_eq!(page.table("Gold labels and the model's").len(), report.labels.len() + 1);
    assert_eq!(page.table("Gold types and the model's")[2], ["ORG", "66", "25", "1,204", "0", "102"]);

    let compared = page.table("Differences");
    assert_eq!(compared[0][..3], ["Macro-F1 of labels", "0.7311", "0.6999"]);
    assert_eq!(compared[0][3..], ["+0.03120.0141–0.0483", "", "< 0.001", "< 0.001"]);
    assert_eq!(compared[3][3], "−0.0041−0.0104 to +0.0022");
    assert_eq!(
        page.table("McNemar's test"),
        [["labels", "121", "103", "0.257"], ["entities", "88", "97", "0.557"]]
    );

    let by = page.table("By year");
    for (row, expected) in by.iter().zip(&evaluation.by[1].rows) {
        assert_eq!(row[..2], [expected.value.clone(), expected.sentences.to_string()]);
        assert!(row[2].starts_with(&f(expected.macro_f1.value.unwrap())), "{row:?}");
        assert!(row[5].starts_with(&f(expected.entity_f1.value.unwrap())), "{row:?}");
    }
    // The columns are in the order of the model.
    assert_eq!(page.texts("[aria-label='F1 of every label by year'] thead th"), sample::LABELS);
}

#[test]
fn the_head_says_what_was_evaluated_and_how() {
    let page = Page::new(&rendered(&sample::evaluation(), &[], 0));
    let facts = page.texts(".facts dd");
    let expected = [
        "models/stance-base",
        "5f0e9c3a77d1",
        "9b74c9897bac",
        "1,840",
        "163",
        "at the thresholds stored with the model",
        "95%, bootstrap over articles",
        "0.1.0",
    ];
    assert_eq!(facts, expected);
    assert_eq!(page.texts("h1"), ["models/stance-base on test.jsonl"]);
    assert_eq!(page.count(".card"), 6);
    assert_eq!(page.count("#e1-mistakes"), 0);
}

#[test]
fn every_label_has_its_charts() {
    let page = Page::new(&rendered(&sample::evaluation(), &[], 0));
    let names = page.texts("svg.chart > title");
    for label in sample::LABELS {
        for chart in ["Precision and recall", "Thresholds", "Reliability"] {
            assert!(names.contains(&format!("{chart} of {label}")), "{names:?}");
        }
    }
    assert!(names.contains(&"Risk by coverage".to_owned()));
    assert_eq!(names.len(), 3 * sample::LABELS.len() + 1);
}

#[test]
fn nothing_to_score_is_told_without_figures() {
    let text = rendered(&sample::nothing(), &[], 0);
    let page = Page::new(&text);
    assert_eq!(page.texts(".card .value"), ["–"; 5]);
    assert_eq!(page.table("Figures by label")[0], ["never seen", "–", "–", "–", "0", "–", "–", "–", "–"]);
    assert_eq!(page.count("svg"), 0);
}

#[test]
fn several_evaluations_stand_side_by_side_and_one_after_the_other() {
    let (first, second) = (sample::evaluation(), sample::nothing());
    let errors = sample::errors(5);
    let mut out = Vec::new();
    let evaluated = [
        Evaluated { evaluation: &first, errors: &errors, wrong: 5 },
        Evaluated { evaluation: &second, errors: &errors[..1], wrong: 1 },
    ];
    html(&mut out, &evaluated).unwrap();
    let page = Page::new(&String::from_utf8(out).unwrap());
    page.is_whole();
    assert_eq!(page.table("All evaluations").len(), 2);
    assert_eq!((page.count("article"), page.count(".mistakes"), page.count("form")), (2, 2, 2));
    assert_eq!(page.evaluations(), [first, second]);
}

#[test]
fn mistakes_carry_what_the_filter_asks_for_and_say_how_many_are_left_out() {
    let errors = sample::errors(3);
    let page = Page::new(&rendered(&sample::evaluation(), &errors, 1200));
    assert!(page.texts(".mistakes .note")[0].starts_with("The 3 surest of 1,200 sentences"));
    // What the numbers of labels stand for is in the form.
    let values = page.attributes("select[name=label] option", "value");
    let labels: BTreeMap<String, String> =
        values.into_iter().zip(page.texts("select[name=label] option")).collect();
    let tokens = page.attributes(".mistakes ol > li", "data-mistakes");
    let named = |tokens: &str| -> Vec<String> {
        let token = |token: &str| {
            let parts: Vec<&str> = token.split(':').collect();
            format!("{} {} {}", parts[0], labels[parts[1]], parts[2])
        };
        tokens.split(' ').map(token).collect()
    };
    assert_eq!(named(&tokens[0]), ["entity PER boundary", "label condemnation missed"]);
    assert_eq!(
        named(&tokens[1]),
        ["entity LOC missed", "entity LOC type", "entity ORG type", "label speculation missed"]
    );
    let all = Page::new(&rendered(&sample::evaluation(), &errors, 3));
    assert!(all.texts(".mistakes .note")[0].starts_with("3 sentences with something wrong"));
}

#[test]
fn a_page_with_two_hundred_mistakes_is_small_and_the_same_every_time() {
    let errors = sample::errors(200);
    let page = rendered(&sample::evaluation(), &errors, 331);
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    assert_eq!(page, rendered(&sample::evaluation(), &errors, 331));
}

#[test]
fn a_writer_that_fails_is_told_of() {
    let full: &mut [u8] = &mut [0; 100];
    let evaluation = sample::evaluation();
    let mut full = full;
    assert!(html(&mut full, &[Evaluated { evaluation: &evaluation, errors: &[], wrong: 0 }]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_figures_a_page_is_whole((evaluation, errors) in fuzz::evaluated()) {
        let text = rendered(&evaluation, &errors, 1);
        let page = Page::new(&text);
        page.is_whole();
        prop_assert_eq!(page.count(".mistakes ol > li"), errors.len());
        let shown = page.texts("body").concat();
        prop_assert!(!shown.contains("NaN") && !text.contains("\"NaN") && !text.contains(":inf"), "{}", shown);
    }
}

#[test]
#[ignore = "needs Chromium and Node"]
fn a_page_is_good_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let (evil, evil_errors) = hostile();
    let pages = [
        ("lifelike", rendered(&sample::evaluation(), &sample::errors(60), 331)),
        ("hostile", rendered(&evil, &evil_errors, 4)),
        ("nothing", rendered(&sample::nothing(), &[], 0)),
    ];
    for (name, page) in pages {
        let file = folder.path().join(format!("{name}.html"));
        std::fs::write(&file, page).unwrap();
        let script = crate::cli::root().join("scripts/check-report");
        let output = std::process::Command::new(script).arg(&file).output().expect("the script runs");
        assert!(
            output.status.success(),
            "{name}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
