//! Named entities: figures by type, sorts of mistakes, what is taken for what.

use super::figures::{count, figure_cell, percent, score, share, visible};
use super::heat::{HeatMap, heat_map};
use crate::evaluation::{Average, EntityErrors, EntityFigures, EntityReport};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// All that is told of entities.
pub(super) fn section(number: usize, report: &EntityReport) -> Markup {
    let (names, cells) = square(report);
    html! {
        section id={ "e" (number) "-entities" } {
            h3 { "Named entities" }
            p.note { "In " (count(report.sentences)) " sentences." }
            div.tables {
                (table("Lenient (conlleval, seqeval)", &report.lenient))
                (table("Strict (IOB2)", &report.strict))
            }
            @if let Some(accuracy) = report.token_accuracy {
                p {
                    "Token accuracy " b { (score(Some(accuracy))) }
                    @if let Some(words) = report.words { ": " (count(words.right)) " of " (count(words.words)) " words have the right tag" }
                    "."
                }
            }
            h4 { "Sorts of mistakes" }
            (sorts(&report.errors))
            @if names.len() > 1 {
                h4 { "What is taken for what" }
                p.note { "Entities by gold type and the model's type where the two overlap, shaded by their share of the row." }
                (heat_map(&HeatMap { caption: "Gold types and the model's", names: &names, cells: &cells }))
            }
        }
    }
}

fn table(caption: &str, figures: &EntityFigures) -> Markup {
    let support = figures.types.iter().map(|kind| kind.support).sum::<usize>();
    let averages =
        [("micro", figures.micro), ("macro", figures.macro_average), ("weighted", figures.weighted)];
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" { table {
            caption { (caption) }
            thead { tr {
                th scope="col" { "Type" } th.n scope="col" { "Precision" } th.n scope="col" { "Recall" }
                th.n scope="col" { "F1" } th.n scope="col" { "Support" }
            } }
            tbody { @for kind in &figures.types { tr {
                th scope="row" { (visible(&kind.label)) }
                td.n { (score(kind.precision)) }
                td.n { (score(kind.recall)) }
                (figure_cell(kind.f1))
                td.n { (count(kind.support)) }
            } } }
            tfoot { @for (name, Average { precision, recall, f1 }) in averages { tr {
                th scope="row" { (name) }
                td.n { (score(precision)) }
                td.n { (score(recall)) }
                (figure_cell(f1))
                td.n { (count(support)) }
            } } }
        } }
    }
}

fn sorts(errors: &EntityErrors) -> Markup {
    let EntityErrors { correct, boundary, kind, both, missed, spurious } = *errors;
    let rows = [
        ("correct", correct, "extent and type are right"),
        ("boundary", boundary, "the type is right, the extent overlaps"),
        ("type", kind, "the extent is right, the type is not"),
        ("both", both, "type and extent are wrong, but they overlap"),
        ("missed", missed, "nothing was found there"),
        ("spurious", spurious, "nothing is there"),
    ];
    let all = rows.iter().map(|(_, n, _)| n).sum();
    html! {
        div.scroll role="region" aria-label="Sorts of mistakes" tabindex="0" { table.sorts {
            thead { tr {
                th scope="col" { "Sort" } th.n scope="col" { "Entities" } th.n scope="col" { "Share" }
                td.wide aria-hidden="true" {} th scope="col" { "Meaning" }
            } }
            tbody { @for (name, n, meaning) in rows { tr {
                th scope="row" { (name) }
                td.n { (count(n)) }
                td.n { (percent(share(n, all))) "%" }
                td.wide aria-hidden="true" { span.level.right[name == "correct"] { i style={ "width:" (percent(share(n, all))) "%" } {} } }
                td { (meaning) }
            } } }
        } }
    }
}

/// The types of both sides in alphabetical order with "none" last, and the counts in that order.
fn square(report: &EntityReport) -> (Vec<String>, Vec<Vec<usize>>) {
    let rows = report.confusion.iter();
    let types: BTreeSet<&str> =
        rows.flat_map(|(gold, found)| found.keys().chain([gold])).map(String::as_str).collect();
    let keys: Vec<&str> = types.into_iter().filter(|kind| !kind.is_empty()).chain([""]).collect();
    let cell = |gold: &str, found: &str| report.confusion.get(gold).and_then(|row| row.get(found)).copied();
    let cells =
        keys.iter().map(|gold| keys.iter().map(|found| cell(gold, found).unwrap_or(0)).collect()).collect();
    let name = |key: &str| if key.is_empty() { "none".to_owned() } else { key.to_owned() };
    (keys.into_iter().map(name).collect(), cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_only_one_side_has_are_rows_and_columns_and_none_is_last() {
        let row = |found: &[(&str, usize)]| found.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
        let report = EntityReport {
            sentences: 1,
            lenient: EntityFigures::default(),
            strict: EntityFigures::default(),
            words: None,
            token_accuracy: None,
            errors: EntityErrors::default(),
            confusion: [("".to_owned(), row(&[("LOC", 2)])), ("PER".to_owned(), row(&[("PER", 5), ("", 1)]))]
                .into(),
        };
        let (names, cells) = square(&report);
        assert_eq!(names, ["LOC", "PER", "none"]);
        assert_eq!(cells, [vec![0, 0, 0], vec![0, 5, 1], vec![2, 0, 0]]);
    }
}
