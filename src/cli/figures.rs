//! The figures of a model on one labelled file, by name, and their mean over several models.

use crate::cli::scoring;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::io::Write;
use undertone::engine::Engine;
use undertone::evaluation::{Decisions, metrics};
use undertone::labels::GoldSentence;

/// Figures from 0 to 1 under the names that [`metrics`] gives them; what cannot be scored is not there.
pub(crate) type Figures = Map<String, Value>;

/// Scores a model on labelled sentences.
pub(crate) fn figures(
    engine: &Engine,
    gold: &[GoldSentence],
    decisions: Decisions,
) -> anyhow::Result<Figures> {
    let (mut answers, groups) = scoring::answer_all(engine, gold)?;
    answers.decide(decisions, &groups);
    let (labels, entities) = answers.reports(engine, decisions, &groups, 0);
    let known = metrics(labels.as_ref(), entities.as_ref()).into_iter();
    Ok(known.filter_map(|(name, value)| Some((name, value?.into()))).collect())
}

/// A figure over several models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    mean: f64,
    /// Of a sample (`n - 1`); `None` for one model.
    standard_deviation: Option<f64>,
    /// Models that have the figure.
    n: usize,
}

impl Summary {
    /// Of at least one value.
    fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Self { mean, standard_deviation: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()), n }
    }
}

/// Every figure over the models that have it, in order.
pub(crate) struct Summaries(Vec<(String, Summary)>);

impl Serialize for Summaries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, summary)| (name, summary)))
    }
}

/// Puts the figures of several models together.
pub(crate) fn summarise(models: &[&Figures]) -> Summaries {
    let mut values: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, value) in models.iter().flat_map(|figures| figures.iter()) {
        let Some(value) = value.as_f64() else { continue };
        match values.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => values.push((name.clone(), vec![value])),
        }
    }
    Summaries(values.into_iter().map(|(name, values)| (name, Summary::of(&values))).collect())
}

/// Names of the figures that are told, besides the F1 of every label and type.
const TOLD: [&str; 9] = [
    "macro_f1",
    "micro_f1",
    "exact_match",
    "average_precision",
    "entity_f1",
    "entity_precision",
    "entity_recall",
    "entity_macro_f1",
    "strict_entity_f1",
];

/// Tells the chief figures a line each; where fewer than `models` have one, how many do.
pub(crate) fn print(out: &mut impl Write, summaries: &Summaries, models: usize) -> std::io::Result<()> {
    let is_told = |name: &str| TOLD.contains(&name) || name.ends_with(".f1");
    let told: Vec<_> = summaries.0.iter().filter(|(name, _)| is_told(name)).collect();
    let width = told.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, Summary { mean, standard_deviation, n }) in told {
        write!(out, "  {name:<width$}  {mean:.4}")?;
        if let Some(deviation) = standard_deviation {
            write!(out, " ± {deviation:.4}")?;
        }
        if *n < models {
            write!(out, "  (of {n} of {models} models)")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[(&str, f64)]) -> Figures {
        values.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect()
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        // statistics.stdev([0.5, 0.7, 0.9]) in Python
        let summary = Summary::of(&[0.5, 0.7, 0.9]);
        assert!((summary.mean - 0.7).abs() < 1e-12);
        assert!((summary.standard_deviation.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(Summary::of(&[0.5]), Summary { mean: 0.5, standard_deviation: None, n: 1 });
        assert_eq!(Summary::of(&[0.25; 4]).standard_deviation, Some(0.0));
    }

    #[test]
    fn a_figure_that_some_models_lack_is_of_those_that_have_it() {
        let one = figures(&[("macro_f1", 0.5), ("macro_recall", 0.5), ("a.f1", 0.25)]);
        let other = figures(&[("macro_f1", 0.7), ("macro_recall", 0.5)]);
        let summaries = summarise(&[&one, &other]);
        let names: Vec<(&str, usize)> = summaries.0.iter().map(|(name, s)| (name.as_str(), s.n)).collect();
        assert_eq!(names, [("macro_f1", 2), ("macro_recall", 2), ("a.f1", 1)]);
        let mut out = Vec::new();
        print(&mut out, &summaries, 2).unwrap();
        let expected = "  macro_f1  0.6000 ± 0.1414\n  a.f1      0.2500  (of 1 of 2 models)\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
