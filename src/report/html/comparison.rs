//! A model against another on the same data.

use super::figures::{count, counted, difference_bar, p_value, range, score, signed, visible};
use crate::evaluation::{Comparison, Interval, McNemar};
use maud::{Markup, html};

/// Differences metric by metric, and the sentences that only one model has right.
pub(super) fn section(number: usize, comparison: &Comparison) -> Markup {
    let Comparison { other, metrics, labels, entities, differing } = comparison;
    let ends = metrics.iter().flat_map(|metric| {
        let Interval { low, high } = metric.difference.interval.unwrap_or(Interval { low: 0.0, high: 0.0 });
        [low, high, metric.difference.value.unwrap_or(0.0)]
    });
    // So that differences of a few hundredths are seen, and nothing of nothing does not divide.
    let reach = ends.filter(|end| end.is_finite()).fold(0.01, |reach: f64, end| reach.max(end.abs())) * 1.1;
    let tests: Vec<(&str, McNemar)> = [("labels", labels), ("entities", entities)]
        .into_iter()
        .filter_map(|(n, t)| t.map(|t| (n, t)))
        .collect();
    html! {
        section id={ "e" (number) "-comparison" } {
            h3 { "Against " (visible(&other.name)) }
            p.note {
                "The other model's weights SHA-256: " code { (visible(&other.weights_sha256)) } ". "
                "The two answer " (counted(*differing, "sentence")) " differently."
            }
            div.scroll role="region" aria-label="Differences" tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Figure" } th.n scope="col" { "This model" } th.n scope="col" { "The other" }
                    th.n scope="col" { "Difference" } td.wide aria-hidden="true" { "other better · this better" }
                    th.n scope="col" { "p, randomised" } th.n scope="col" { "p, resampled" }
                } }
                tbody { @for metric in metrics { tr {
                    th scope="row" { (named(&metric.metric)) }
                    td.n { (score(metric.this)) }
                    td.n { (score(metric.other)) }
                    td.n {
                        (signed(metric.difference.value))
                        @if let Some(interval) = metric.difference.interval { small { (signed_range(interval)) } }
                    }
                    td.wide { (difference_bar(metric.difference, reach)) }
                    td.n { (p_value(metric.p_value)) }
                    td.n { (p_value(metric.bootstrap_p_value)) }
                } } }
            } }
            p.note { "Intervals and p-values are two-sided and of the difference: under paired resampling, and under approximate randomisation, in which the models change sides." }
            @if !tests.is_empty() {
                h4 { "Sentences that only one model has wholly right" }
                div.scroll role="region" aria-label="McNemar's test" tabindex="0" { table {
                    caption { "McNemar's test, exact and two-sided" }
                    thead { tr {
                        th scope="col" { "In" } th.n scope="col" { "Only this" } th.n scope="col" { "Only the other" } th.n scope="col" { "p" }
                    } }
                    tbody { @for (name, test) in tests { tr {
                        th scope="row" { (name) }
                        td.n { (count(test.only_this)) } td.n { (count(test.only_other)) } td.n { (p_value(Some(test.p_value))) }
                    } } }
                } }
            }
        }
    }
}

fn signed_range(interval: Interval) -> String {
    if interval.low >= 0.0 {
        return range(interval);
    }
    format!("{} to {}", signed(Some(interval.low)), signed(Some(interval.high)))
}

/// A metric as people write it.
fn named(metric: &str) -> String {
    match metric {
        "macro_f1" => "Macro-F1 of labels".to_owned(),
        "micro_f1" => "Micro-F1 of labels".to_owned(),
        "weighted_f1" => "Weighted F1 of labels".to_owned(),
        "exact_match" => "Exact match".to_owned(),
        "average_precision" => "Mean average precision".to_owned(),
        "entity_f1" => "Entity F1".to_owned(),
        "strict_entity_f1" => "Entity F1, strict".to_owned(),
        "token_accuracy" => "Token accuracy".to_owned(),
        other => match other.strip_suffix(".f1") {
            Some(label) => format!("F1 of {}", visible(label)),
            None => visible(other).replace('_', " "),
        },
    }
}
