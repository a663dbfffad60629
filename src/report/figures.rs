//! An evaluation as tables for people, in plain text or in Markdown.

use super::{TableStyle, TextTable};
use crate::evaluation::{
    Average, Breakdown, ClassificationReport, Comparison, Decisions, EntityErrors, EntityFigures,
    EntityReport, Evaluation, Figure, Interval,
};
use std::io::{Result, Write};

/// Writes everything that is told of a model on a file.
///
/// # Errors
/// If the writer fails.
pub fn write_evaluation(out: &mut impl Write, evaluation: &Evaluation, style: TableStyle) -> Result<()> {
    let Evaluation { model, data, .. } = evaluation;
    writeln!(out, "model {} (weights SHA-256 {})", model.name, model.weights_sha256)?;
    let hash = data.sha256.get(..12).unwrap_or(&data.sha256);
    let (path, sentences, articles) = (data.path.display(), data.sentences, data.articles);
    writeln!(out, "{path} (SHA-256 {hash}): {sentences} sentences, {articles} articles\n")?;
    if let Some(report) = &evaluation.classification {
        classification(out, report, &data.resampled, style)?;
    }
    if let Some(report) = &evaluation.entities {
        entities(out, report, &data.resampled, style)?;
    }
    evaluation.by.iter().try_for_each(|by| breakdown(out, by, evaluation, style))?;
    evaluation.comparison.iter().try_for_each(|comparison| compared(out, comparison, style))
}

fn classification(
    out: &mut impl Write,
    report: &ClassificationReport,
    unit: &str,
    style: TableStyle,
) -> Result<()> {
    let columns = ["label", "precision", "recall", "F1", "support", "avg prec", "Brier", "ECE", "threshold"];
    let mut table = TextTable::new(&columns);
    for label in &report.labels {
        table.row([
            label.label.clone(),
            figure(label.precision),
            figure(label.recall),
            figure(label.f1.value),
            label.support.to_string(),
            figure(label.average_precision.value),
            figure(label.brier),
            figure(label.ece),
            label.threshold.map_or_else(|| "-".into(), |threshold| format!("{threshold:.3}")),
        ]);
    }
    let support: usize = report.labels.iter().map(|label| label.support).sum();
    let precision = figure(report.mean_average_precision.value);
    let blank = String::new();
    for (name, average, precision) in [
        ("macro", &report.macro_average, &precision),
        ("micro", &report.micro_average, &blank),
        ("weighted", &report.weighted_average, &blank),
    ] {
        table.row(average_row(name, average, support).into_iter().chain([precision.clone()]));
    }
    table.write(out, style)?;
    writeln!(
        out,
        "macro-F1 {}{} {}; micro-F1 {}, exact match {}, mean average precision {}\n",
        figure(report.macro_average.f1.value),
        interval(report.macro_average.f1.interval, unit),
        match report.thresholds {
            Decisions::Stored => "at stored thresholds",
            Decisions::CrossFitted => "at cross-fitted thresholds",
            Decisions::Likeliest => "of the likeliest label",
        },
        figure(report.micro_average.f1.value),
        figure(report.exact_match.value),
        precision
    )
}

fn average_row(name: &str, average: &Average, support: usize) -> [String; 5] {
    let Average { precision, recall, f1 } = average;
    [name.to_owned(), figure(*precision), figure(*recall), figure(f1.value), support.to_string()]
}

fn entities(out: &mut impl Write, report: &EntityReport, unit: &str, style: TableStyle) -> Result<()> {
    let mut table = TextTable::new(&["entity type", "precision", "recall", "F1", "support"]);
    for kind in &report.lenient.types {
        table.row([
            kind.label.clone(),
            figure(kind.precision),
            figure(kind.recall),
            figure(kind.f1.value),
            kind.support.to_string(),
        ]);
    }
    let EntityFigures { types, micro, macro_average, weighted } = &report.lenient;
    let support = |figures: &EntityFigures| figures.types.iter().map(|kind| kind.support).sum();
    let all: usize = types.iter().map(|kind| kind.support).sum();
    table.row(average_row("all (micro)", micro, all));
    table.row(average_row("macro", macro_average, all));
    table.row(average_row("weighted", weighted, all));
    table.row(average_row("strict (micro)", &report.strict.micro, support(&report.strict)));
    table.write(out, style)?;
    write!(
        out,
        "entity F1 {}{} (seqeval, lenient); strict IOB2 {}",
        figure(micro.f1.value),
        interval(micro.f1.interval, unit),
        figure(report.strict.micro.f1.value)
    )?;
    match report.token_accuracy {
        Some(accuracy) => writeln!(out, ", token accuracy {accuracy:.4}")?,
        None => writeln!(out)?,
    }
    let EntityErrors { correct, boundary, kind, both, missed, spurious } = report.errors;
    writeln!(
        out,
        "entities: {correct} right, {boundary} of the wrong extent, {kind} of the wrong type, {both} of both, {missed} missed, {spurious} spurious\n"
    )
}

fn breakdown(out: &mut impl Write, by: &Breakdown, evaluation: &Evaluation, style: TableStyle) -> Result<()> {
    let mut columns = vec![by.field.as_str(), "sentences"];
    let (labels, entities) = (evaluation.classification.is_some(), evaluation.entities.is_some());
    if labels {
        columns.extend(["macro-F1", "95%", "exact match"]);
    }
    if entities {
        columns.extend(["entity F1", "95%"]);
    }
    let mut table = TextTable::new(&columns);
    for row in &by.rows {
        let value = if row.value.is_empty() { "(none)" } else { &row.value };
        let mut cells = vec![value.to_owned(), row.sentences.to_string()];
        let with_ends = |f: Figure| [figure(f.value), ends(f.interval)];
        if labels {
            cells.extend(with_ends(row.macro_f1));
            cells.push(figure(row.exact_match));
        }
        if entities {
            cells.extend(with_ends(row.entity_f1));
        }
        table.row(cells);
    }
    table.write(out, style)?;
    writeln!(out)
}

fn compared(out: &mut impl Write, comparison: &Comparison, style: TableStyle) -> Result<()> {
    let columns = ["metric", "this", "other", "difference", "95%", "p (randomisation)", "p (bootstrap)"];
    let mut table = TextTable::new(&columns);
    for metric in &comparison.metrics {
        let difference = metric.difference.value.map_or_else(|| "-".into(), |value| format!("{value:+.4}"));
        table.row([
            metric.metric.clone(),
            figure(metric.this),
            figure(metric.other),
            difference,
            ends(metric.difference.interval),
            metric.p_value.map_or_else(|| "-".into(), p_value),
            metric.bootstrap_p_value.map_or_else(|| "-".into(), p_value),
        ]);
    }
    let other = &comparison.other;
    writeln!(out, "against model {} (weights SHA-256 {})", other.name, other.weights_sha256)?;
    table.write(out, style)?;
    for (what, test) in [("labels", comparison.labels), ("entities", comparison.entities)] {
        if let Some(test) = test {
            writeln!(
                out,
                "{what} of a sentence all right: only this {}, only other {}; McNemar p {}",
                test.only_this,
                test.only_other,
                p_value(test.p_value)
            )?;
        }
    }
    writeln!(out, "{} sentences are answered differently\n", comparison.differing)
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.4}"))
}

/// A p-value, which is never 0.
fn p_value(p: f64) -> String {
    if p < 1e-4 { "<0.0001".into() } else { format!("{p:.4}") }
}

fn ends(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "-".into(), |i| format!("{:.3} to {:.3}", i.low, i.high))
}

fn interval(interval: Option<Interval>, unit: &str) -> String {
    interval.map_or_else(String::new, |i| format!(" [{:.4}-{:.4}, 95% bootstrap over {unit}]", i.low, i.high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_resampled() {
        let ends = Some(Interval { low: 0.5, high: 1.0 });
        assert_eq!(interval(ends, "sentences"), " [0.5000-1.0000, 95% bootstrap over sentences]");
    }
}
