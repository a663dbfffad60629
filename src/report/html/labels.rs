//! Sentence labels: their figures, what is taken for what, and their curves.

use super::charts;
use super::curves::{Bin, Decision, bins, decisions, risks, thinned};
use super::figures::{count, figure_cell, score, share, visible};
use super::heat::{HeatMap, heat_map};
use crate::evaluation::{Average, ClassificationReport, Figure, LabelReport};
use maud::{Markup, html};
use std::io::Result;

/// Rows of the tables behind the charts at most.
const ROWS: usize = 21;
/// Labels whose charts are open from the start.
const OPEN: usize = 3;

/// All that is told of sentence labels.
pub(super) fn section(number: usize, report: &ClassificationReport) -> Result<Markup> {
    let mut names: Vec<String> = report.labels.iter().map(|label| label.label.clone()).collect();
    names.push("no label".to_owned());
    let curves = report
        .labels
        .iter()
        .enumerate()
        .map(|(i, label)| curves(label, report.sentences, i < OPEN))
        .collect::<Result<Vec<_>>>()?;
    Ok(html! {
        section id={ "e" (number) "-labels" } {
            h3 { "Sentence labels" }
            (table(report))
            @if !report.confusion.is_empty() {
                h4 { "What is taken for what" }
                p.note { "Sentences by gold label and the model's label, shaded by their share of the row. A sentence with several labels counts in several cells." }
                (heat_map(&HeatMap { caption: "Gold labels and the model's", names: &names, cells: &report.confusion }))
            }
            @if !report.coverage.is_empty() {
                h4 { "When the least sure sentences are passed over" }
                (coverage(report)?)
            }
            h4 { "Label by label" }
            @for label in curves { (label) }
        }
    })
}

fn table(report: &ClassificationReport) -> Markup {
    let support = report.labels.iter().map(|label| label.support).sum::<usize>();
    let averages = [
        ("macro", report.macro_average),
        ("micro", report.micro_average),
        ("weighted", report.weighted_average),
    ];
    html! {
        div.scroll role="region" aria-label="Figures by label" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Label" } th.n scope="col" { "Precision" } th.n scope="col" { "Recall" }
                    th.n scope="col" { "F1" } th.n scope="col" { "Support" } th.n scope="col" { "Avg precision" }
                    th.n scope="col" { "Brier" } th.n scope="col" { "ECE" } th.n scope="col" { "Threshold" }
                } }
                tbody { @for label in &report.labels { tr {
                    th scope="row" { (visible(&label.label)) }
                    td.n { (score(label.precision)) }
                    td.n { (score(label.recall)) }
                    (figure_cell(label.f1))
                    td.n { (count(label.support)) }
                    (figure_cell(label.average_precision))
                    td.n { (score(label.brier)) }
                    td.n { (score(label.ece)) }
                    td.n { (score(label.threshold.map(f64::from))) }
                } } }
                tfoot { @for (name, Average { precision, recall, f1 }) in averages { tr {
                    th scope="row" { (name) }
                    td.n { (score(precision)) }
                    td.n { (score(recall)) }
                    (figure_cell(f1))
                    td.n { (count(support)) }
                    @if name == "macro" { (figure_cell(report.mean_average_precision)) } @else { td {} }
                    td colspan="3" {}
                } } }
            }
        }
    }
}

fn coverage(report: &ClassificationReport) -> Result<Markup> {
    let points = risks(&report.coverage, report.sentences);
    Ok(html! {
        div.charts {
            figure {
                (charts::coverage(&points)?)
                figcaption {
                    "Share of answered sentences whose set of labels is wrong, when only the surest are answered."
                }
            }
        }
        details.numbers {
            summary { "Numbers behind this chart" }
            div.scroll role="region" aria-label="Risk by coverage" tabindex="0" { table {
                thead { tr {
                    th.n scope="col" { "Confidence from" } th.n scope="col" { "Answered" } th.n scope="col" { "Wrong" }
                    th.n scope="col" { "Coverage" } th.n scope="col" { "Risk" }
                } }
                tbody { @for point in thinned(&points, ROWS) { tr {
                    td.n { (score(Some(point.confidence))) } td.n { (count(point.answered)) } td.n { (count(point.wrong)) }
                    td.n { (score(Some(point.coverage))) } td.n { (score(Some(point.risk))) }
                } } }
            } }
        }
    })
}

/// One label's charts and the numbers behind them.
fn curves(label: &LabelReport, sentences: usize, open: bool) -> Result<Markup> {
    let name = visible(&label.label);
    let (bins, decisions) = (bins(&label.reliability), decisions(label));
    let decided = label.recall.zip(label.precision).filter(|(r, p)| r.is_finite() && p.is_finite());
    let decided = decided.map(|(recall, precision)| (recall.clamp(0.0, 1.0), precision.clamp(0.0, 1.0)));
    let prevalence = share(label.support, sentences).min(1.0);
    let stored = label.threshold.map(f64::from).filter(|stored| (0.0..=1.0).contains(stored));
    Ok(html! {
        details.label open[open] {
            summary {
                h5 { (name) }
                span { "F1 " (score(label.f1.value)) " · average precision " (score(label.average_precision.value)) " · " (count(label.support)) " of " (count(sentences)) " sentences" }
            }
            @if bins.is_empty() && decisions.is_empty() {
                p.note { "No curve: the label never occurs, or no probabilities were kept." }
            } @else {
                div.charts {
                    figure {
                        h6 { "Precision and recall" }
                        (charts::precision_recall(&name, &decisions, decided, prevalence)?)
                        figcaption {
                            span.key.a { "as the threshold falls" }
                            @if let Some((recall, precision)) = decided {
                                span.key.ring { "decided: precision " (score(Some(precision))) ", recall " (score(Some(recall))) }
                            }
                            span.key.guide { "the label for all: " (score(Some(prevalence))) }
                        }
                    }
                    figure {
                        h6 { "Thresholds" }
                        (charts::sweep(&name, &decisions, stored)?)
                        figcaption {
                            span.key.a { "precision" } span.key.b { "recall" } span.key.c { "F1" }
                            @if let Some(stored) = stored { span.key.mark { "in use: " (score(Some(stored))) } }
                        }
                    }
                    figure {
                        h6 { "Reliability" }
                        (charts::reliability(&name, &bins, label.reliability.len())?)
                        figcaption {
                            span.key.a { "observed, with 95% interval" }
                            span.key.guide { "perfectly calibrated" }
                            span.key.box { "sentences by probability, on a log scale" }
                        }
                    }
                }
                (numbers(&name, &decisions, &bins, label.reliability.len()))
            }
        }
    })
}

fn numbers(name: &str, decisions: &[Decision], bins: &[Bin], all: usize) -> Markup {
    let edge = |number: usize| score(Some(share(number, all)));
    html! {
        details.numbers {
            summary { "Numbers behind these charts" }
            div.tables {
                div.scroll role="region" aria-label={ "Thresholds of " (name) } tabindex="0" { table {
                    caption { "Thresholds" }
                    thead { tr {
                        th.n scope="col" { "Threshold" } th.n scope="col" { "Right" } th.n scope="col" { "Wrong" }
                        th.n scope="col" { "Precision" } th.n scope="col" { "Recall" } th.n scope="col" { "F1" }
                    } }
                    tbody { @for point in thinned(decisions, ROWS) { tr {
                        td.n { (score(Some(point.threshold))) } td.n { (count(point.tp)) } td.n { (count(point.fp)) }
                        td.n { (score(Some(point.precision))) } td.n { (score(Some(point.recall))) } td.n { (score(Some(point.f1))) }
                    } } }
                } }
                div.scroll role="region" aria-label={ "Reliability of " (name) } tabindex="0" { table {
                    caption { "Reliability" }
                    thead { tr {
                        th.n scope="col" { "Bin" } th.n scope="col" { "Sentences" } th.n scope="col" { "With label" }
                        th.n scope="col" { "Probability" } th.n scope="col" { "Observed" }
                    } }
                    tbody { @for bin in bins { tr {
                        td.n { (edge(bin.number)) "–" (edge(bin.number + 1)) }
                        td.n { (count(bin.sentences)) } td.n { (count(bin.positives)) }
                        td.n { (score(Some(bin.probability))) }
                        (figure_cell(Figure {
                            value: Some(bin.observed),
                            interval: Some(crate::evaluation::Interval { low: bin.interval.0, high: bin.interval.1 }),
                        }))
                    } } }
                } }
            }
        }
    }
}
