//! The top of the page and of every evaluation: what was evaluated, and the headline figures.

use super::Evaluated;
use super::figures::{count, counted, interval_bar, range, score, visible};
use crate::evaluation::{Decisions, Evaluation, Figure};
use maud::{Markup, html};
use std::path::Path;

/// The name of the page.
pub(super) fn title(evaluated: &[Evaluated<'_>]) -> String {
    match evaluated {
        [] => "No evaluation".to_owned(),
        [only] => {
            let Evaluation { model, data, .. } = only.evaluation;
            format!("{} on {}", visible(&model.name), visible(&file_name(&data.path)))
        }
        [first, rest @ ..] => {
            let same = rest.iter().all(|run| run.evaluation.model == first.evaluation.model);
            let model =
                if same { visible(&first.evaluation.model.name) } else { "Several models".to_owned() };
            format!("{model} on {} files", evaluated.len())
        }
    }
}

/// The head of the page; with several evaluations also their headline figures side by side.
pub(super) fn masthead(evaluated: &[Evaluated<'_>]) -> Markup {
    html! {
        a.skip href="#content" { "Skip to the figures" }
        header.masthead {
            p.brand { "Undertone · evaluation" }
            h1 { (title(evaluated)) }
            @if evaluated.len() > 1 { (side_by_side(evaluated)) }
            button #save type="button" hidden { "Save the figures as JSON" }
        }
    }
}

fn side_by_side(evaluated: &[Evaluated<'_>]) -> Markup {
    let headline = |figure: Option<Figure>| {
        let figure = figure.unwrap_or_default();
        html! {
            td.n { (score(figure.value)) @if let Some(interval) = figure.interval { small { (range(interval)) } } }
        }
    };
    html! {
        div.scroll role="region" aria-label="All evaluations" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Data" } th scope="col" { "Model" } th.n scope="col" { "Sentences" }
                    th.n scope="col" { "Macro-F1" } th.n scope="col" { "Exact match" } th.n scope="col" { "Entity F1" }
                } }
                tbody {
                    @for (number, Evaluated { evaluation, .. }) in (1..).zip(evaluated) {
                        @let labels = evaluation.classification.as_ref();
                        tr {
                            th scope="row" { a href={ "#e" (number) } { (path(&evaluation.data.path)) } }
                            td { (visible(&evaluation.model.name)) }
                            td.n { (count(evaluation.data.sentences)) }
                            (headline(labels.map(|report| report.macro_average.f1)))
                            (headline(labels.map(|report| report.exact_match)))
                            (headline(evaluation.entities.as_ref().map(|report| report.lenient.micro.f1)))
                        }
                    }
                }
            }
        }
    }
}

/// The head of one evaluation: its identity, its headline figures, the way to its sections.
pub(super) fn opening(number: usize, run: &Evaluated<'_>) -> Markup {
    let Evaluation { undertone, model, data, classification, entities, by, comparison, .. } = run.evaluation;
    let links = [
        ("labels", "Labels", classification.is_some()),
        ("entities", "Entities", entities.is_some()),
        ("comparison", "Comparison", comparison.is_some()),
        ("by", "Breakdown", !by.is_empty()),
        ("mistakes", "Mistakes", run.wrong > 0 || !run.errors.is_empty()),
    ];
    html! {
        header.opening {
            h2 { (path(&data.path)) }
            dl.facts {
                div { dt { "Model" } dd { (visible(&model.name)) } }
                div { dt { "Weights SHA-256" } dd { code { (visible(&model.weights_sha256)) } } }
                div { dt { "Data SHA-256" } dd { code title=(visible(&data.sha256)) { (visible(&short(&data.sha256))) } } }
                div { dt { "Sentences" } dd { (count(data.sentences)) } }
                @if data.articles > 0 { div { dt { "Articles" } dd { (count(data.articles)) } } }
                @if let Some(report) = classification { div { dt { "Labels decided" } dd { (decided(report.thresholds)) } } }
                div { dt { "Intervals" } dd { "95%, bootstrap over " (visible(&data.resampled)) } }
                div { dt { "Undertone" } dd { (visible(undertone)) } }
            }
        }
        @if classification.is_none() && entities.is_none() {
            p.note { "Nothing was scored: the data have no labels for any head of the model." }
        } @else {
            div.cards { (cards(run.evaluation)) }
            nav aria-label="Sections of this evaluation" {
                @for (id, name, there) in links {
                    @if there { a href={ "#e" (number) "-" (id) } { (name) } }
                }
                a href="#reading" { "How to read the figures" }
            }
        }
    }
}

fn cards(evaluation: &Evaluation) -> Markup {
    html! {
        @if let Some(report) = &evaluation.classification {
            (card("Macro-F1 of labels", report.macro_average.f1, "mean over the labels, each counting the same", true))
            (card("Exact match", report.exact_match, &format!(
                "{} of {} have all their labels right and no other", count(report.exact), counted(report.sentences, "sentence")
            ), false))
            (card("Mean average precision", report.mean_average_precision, "how well labels are ranked, at all thresholds", false))
        }
        @if let Some(report) = &evaluation.entities {
            (card("Entity F1", report.lenient.micro.f1, "micro-average by the rules of conlleval and seqeval", true))
            (card("Entity F1, strict", report.strict.micro.f1, "micro-average by strict IOB2", false))
            @if let Some(accuracy) = report.token_accuracy {
                @let of = report.words.map_or_else(String::new, |words| {
                    format!("{} of {} have the right tag", count(words.right), counted(words.words, "word"))
                });
                (card("Token accuracy", Figure { value: Some(accuracy), interval: None }, &of, false))
            }
        }
    }
}

fn card(name: &str, figure: Figure, note: &str, first: bool) -> Markup {
    html! {
        section.card.first[first] {
            h3 { (name) }
            p.value { (score(figure.value)) }
            (interval_bar(figure))
            p.range {
                @match figure.interval {
                    Some(interval) => { "95% " (range(interval)) }
                    None => { "no interval" }
                }
            }
            p.note { (note) }
        }
    }
}

fn decided(decisions: Decisions) -> &'static str {
    match decisions {
        Decisions::Stored => "at the thresholds stored with the model",
        Decisions::CrossFitted => "at thresholds fitted on the other folds",
        Decisions::Likeliest => "the likeliest label",
    }
}

/// A path that may be broken behind its separators.
fn path(path: &Path) -> Markup {
    let shown = visible(&path.display().to_string());
    html! { @for part in shown.split_inclusive(['/', '\\']) { (part) wbr; } }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// The foot of the page: how its figures are to be read.
pub(super) fn colophon() -> Markup {
    let terms = [
        (
            "Precision, recall, F1",
            "The share of what was decided that is right; the share of what is there that was found; their harmonic mean.",
        ),
        (
            "Macro, micro, weighted",
            "The mean over the labels; over all decisions together; over the labels, each counting by its support.",
        ),
        (
            "Interval",
            "The range of 95% of the figures under resampling with repeats: how far the figure would move with other data of the same kind.",
        ),
        (
            "Average precision",
            "The mean precision over the ranking by probability, as scikit-learn defines it. Needs no threshold.",
        ),
        (
            "Brier score, ECE",
            "The mean squared distance of probability and truth; the mean distance of probability and observed share over the bins. Lower is better.",
        ),
        (
            "Lenient, strict",
            "Entities from tags by the rules of conlleval, as seqeval has them; from tags that are valid IOB2 only.",
        ),
        (
            "McNemar's test",
            "Whether the sentences that only one of two models has right are divided evenly: exact, two-sided.",
        ),
    ];
    html! {
        footer {
            details #reading {
                summary { "How to read the figures" }
                dl.terms { @for (term, meaning) in terms { div { dt { (term) } dd { (meaning) } } } }
            }
        }
    }
}
