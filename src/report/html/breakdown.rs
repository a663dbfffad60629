//! The figures by the values of a field.

use super::figures::{Axis, count, figure_cell, score, visible};
use super::heat::shade;
use crate::evaluation::{Breakdown, BreakdownRow};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// A table for each field; `order` is that of the labels.
pub(super) fn section(number: usize, by: &[Breakdown], order: &[&str]) -> Markup {
    html! {
        section id={ "e" (number) "-by" } {
            h3 { "Breakdown" }
            @for breakdown in by {
                h4 { "By " (visible(&breakdown.field)) }
                (table(breakdown))
                (label_by_label(breakdown, order))
            }
        }
    }
}

fn table(breakdown: &Breakdown) -> Markup {
    let rows = &breakdown.rows;
    let labelled = rows.iter().any(|row| !row.labels.is_empty() || row.macro_f1.value.is_some());
    let named = rows.iter().any(|row| row.entity_f1.value.is_some());
    let macros = Axis::over(rows.iter().map(|row| row.macro_f1));
    let names = Axis::over(rows.iter().map(|row| row.entity_f1));
    let ends = |axis: Axis| html! { td.wide.ends aria-hidden="true" { span { (tenth(axis.low)) } span { (tenth(axis.high)) } } };
    html! {
        div.scroll role="region" aria-label={ "By " (visible(&breakdown.field)) } tabindex="0" { table {
            thead { tr {
                th scope="col" { (visible(&breakdown.field)) } th.n scope="col" { "Sentences" }
                @if labelled {
                    th.n scope="col" { "Macro-F1" } (ends(macros)) th.n scope="col" { "Exact match" }
                }
                @if named {
                    th.n scope="col" { "Entity F1" } (ends(names)) th.n scope="col" { "Entities" }
                }
            } }
            tbody { @for row in rows { tr {
                th scope="row" { (value(row)) }
                td.n { (count(row.sentences)) }
                @if labelled {
                    (figure_cell(row.macro_f1)) td.wide { (macros.bar(row.macro_f1)) } td.n { (score(row.exact_match)) }
                }
                @if named {
                    (figure_cell(row.entity_f1)) td.wide { (names.bar(row.entity_f1)) } td.n { (count(row.entities.support())) }
                }
            } } }
        } }
    }
}

/// F1 of every label for every value, shaded.
fn label_by_label(breakdown: &Breakdown, order: &[&str]) -> Markup {
    let labels: BTreeSet<&str> =
        breakdown.rows.iter().flat_map(|row| row.labels.keys()).map(String::as_str).collect();
    let place = |label: &str| order.iter().position(|known| *known == label).unwrap_or(order.len());
    let mut labels: Vec<&str> = labels.into_iter().collect();
    labels.sort_by_key(|label| place(label));
    html! {
        @if !labels.is_empty() {
            details.numbers {
                summary { "F1 of every label by " (visible(&breakdown.field)) }
                div.scroll role="region" aria-label={ "F1 of every label by " (visible(&breakdown.field)) } tabindex="0" {
                    table.heat.many[labels.len() > 6] {
                        thead { tr {
                            td.corner {}
                            @for label in &labels { th scope="col" { span { (visible(label)) } } }
                        } }
                        tbody { @for row in &breakdown.rows { tr {
                            th scope="row" { (value(row)) }
                            @for label in &labels {
                                @let counts = row.labels.get(*label).copied().unwrap_or_default();
                                @let f1 = counts.f1();
                                td style=[f1.map(shade)] { (score(f1)) small { (count(counts.support())) } }
                            }
                        } } }
                    }
                }
                p.note { "The number under each figure is the label's support." }
            }
        }
    }
}

fn tenth(end: f64) -> String {
    format!("{end:.1}")
}

fn value(row: &BreakdownRow) -> Markup {
    html! { @if row.value.is_empty() { em { "without" } } @else { (visible(&row.value)) } }
}
