//! The figures of a model on one labelled file, by name, and their mean over several models.

use crate::cli::scoring::{self, SentenceAnswers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use undertone::engine::Engine;
use undertone::evaluation::{Classification, EntityCounts, macro_f1};
use undertone::labels::GoldSentence;

/// Figures by name, from 0 to 1; what cannot be scored is not there.
pub(crate) type Figures = BTreeMap<Figure, f64>;

/// What a figure is, in the order in which figures are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Figure {
    MacroF1,
    MicroF1,
    /// Share of sentences whose labels are all right.
    Accuracy,
    /// Meaned over the labels.
    AveragePrecision,
    /// Of one label.
    LabelF1(String),
    EntityF1,
    EntityPrecision,
    EntityRecall,
    /// Meaned over the types.
    EntityMacroF1,
    /// By strict IOB2.
    EntityStrictF1,
    /// Of one type.
    TypeF1(String),
}

/// Names in files, and in words.
const NAMES: [(Figure, &str, &str); 9] = [
    (Figure::MacroF1, "macro_f1", "macro-F1"),
    (Figure::MicroF1, "micro_f1", "micro-F1"),
    (Figure::Accuracy, "accuracy", "accuracy"),
    (Figure::AveragePrecision, "average_precision", "average precision"),
    (Figure::EntityF1, "entity_f1", "entity F1"),
    (Figure::EntityPrecision, "entity_precision", "entity precision"),
    (Figure::EntityRecall, "entity_recall", "entity recall"),
    (Figure::EntityMacroF1, "entity_macro_f1", "entity macro-F1"),
    (Figure::EntityStrictF1, "entity_strict_f1", "entity F1, strict"),
];

/// What the names of figures of one label or type begin with, in files.
const LABEL: &str = "label_f1:";
const TYPE: &str = "entity_f1:";

impl Figure {
    fn told(&self) -> String {
        match self {
            Self::LabelF1(label) => format!("F1 of {label}"),
            Self::TypeF1(kind) => format!("entity F1 of {kind}"),
            _ => {
                NAMES.iter().find(|(figure, ..)| figure == self).map_or_else(String::new, |n| n.2.to_owned())
            }
        }
    }
}

impl From<Figure> for String {
    fn from(figure: Figure) -> Self {
        match figure {
            Figure::LabelF1(label) => format!("{LABEL}{label}"),
            Figure::TypeF1(kind) => format!("{TYPE}{kind}"),
            _ => NAMES.iter().find(|(known, ..)| *known == figure).map_or_else(Self::new, |n| n.1.to_owned()),
        }
    }
}

impl TryFrom<String> for Figure {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if let Some(label) = name.strip_prefix(LABEL) {
            return Ok(Self::LabelF1(label.to_owned()));
        }
        if let Some(kind) = name.strip_prefix(TYPE) {
            return Ok(Self::TypeF1(kind.to_owned()));
        }
        let known = NAMES.into_iter().find(|(_, known, _)| *known == name);
        known.map(|(figure, ..)| figure).ok_or_else(|| format!("there is no figure \"{name}\""))
    }
}

/// Which sentence labels a model is taken to give.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Decisions {
    /// At the stored thresholds, or the likeliest label.
    Stored,
    /// At thresholds fitted on the other parts of the very sentences that are scored, as the stored ones are fitted on all of them.
    CrossFitted,
}

/// Scores a model on labelled sentences.
pub(crate) fn figures(
    engine: &Engine,
    gold: &[GoldSentence],
    decisions: Decisions,
) -> anyhow::Result<Figures> {
    let answers = scoring::answer(engine, gold)?;
    let mut figures = Figures::new();
    let mut note = |figure, value: Option<f64>| {
        figures.extend(value.map(|value| (figure, value)));
    };
    if let Some(answers) = &answers.sentence {
        let counts = count(answers, decisions);
        note(Figure::MacroF1, counts.macro_f1());
        note(Figure::MicroF1, counts.micro_f1());
        note(Figure::Accuracy, counts.exact_match());
        note(Figure::AveragePrecision, answers.mean_average_precision());
        for (label, counts) in engine.labels().iter().zip(&counts.labels) {
            note(Figure::LabelF1(label.clone()), counts.f1());
        }
    }
    if let Some(answers) = &answers.entities {
        let lenient = scoring::sum(answers.lenient.iter());
        note(Figure::EntityF1, lenient.total().f1());
        note(Figure::EntityPrecision, lenient.total().precision());
        note(Figure::EntityRecall, lenient.total().recall());
        note(Figure::EntityMacroF1, macro_f1(&of_types(&lenient)));
        note(Figure::EntityStrictF1, scoring::sum(answers.strict.iter()).total().f1());
        for (kind, counts) in &lenient.types {
            note(Figure::TypeF1(kind.clone()), counts.f1());
        }
    }
    Ok(figures)
}

fn count(answers: &SentenceAnswers, decisions: Decisions) -> Classification {
    match decisions {
        Decisions::Stored => Classification::count(&answers.decided, &answers.gold),
        Decisions::CrossFitted => Classification::count(&answers.cross_fitted(), &answers.gold),
    }
}

fn of_types(counts: &EntityCounts) -> Vec<undertone::evaluation::Counts> {
    counts.types.values().copied().collect()
}

/// A figure over several models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) mean: f64,
    /// Of a sample (`n - 1`); `None` for one model.
    pub(crate) standard_deviation: Option<f64>,
    /// Models that have the figure.
    pub(crate) n: usize,
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

/// Every figure over the models that have it.
pub(crate) fn summarise(models: &[&Figures]) -> BTreeMap<Figure, Summary> {
    let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
    for (figure, value) in models.iter().copied().flatten() {
        values.entry(figure.clone()).or_default().push(*value);
    }
    values.into_iter().map(|(figure, values)| (figure, Summary::of(&values))).collect()
}

/// Tells figures a line each; where fewer than `models` have one, how many do.
pub(crate) fn print(
    out: &mut impl Write,
    summaries: &BTreeMap<Figure, Summary>,
    models: usize,
) -> std::io::Result<()> {
    let width = summaries.keys().map(|figure| figure.told().chars().count()).max().unwrap_or(0);
    for (figure, Summary { mean, standard_deviation, n }) in summaries {
        write!(out, "  {:<width$}  {mean:.4}", figure.told())?;
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
        let one = Figures::from([(Figure::MacroF1, 0.5), (Figure::LabelF1("a".into()), 0.25)]);
        let other = Figures::from([(Figure::MacroF1, 0.7)]);
        let summaries = summarise(&[&one, &other]);
        assert_eq!((summaries[&Figure::MacroF1].n, summaries[&Figure::LabelF1("a".into())].n), (2, 1));
        let mut out = Vec::new();
        print(&mut out, &summaries, 2).unwrap();
        let expected = "  macro-F1  0.6000 ± 0.1414\n  F1 of a   0.2500  (of 1 of 2 models)\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn figures_are_read_back_by_their_names() {
        let figures: Figures = NAMES
            .into_iter()
            .map(|(figure, ..)| figure)
            .chain([Figure::LabelF1("a:b".into()), Figure::TypeF1("PER".into())])
            .map(|figure| (figure, 0.5))
            .collect();
        let json = serde_json::to_string(&figures).unwrap();
        assert!(json.contains("\"label_f1:a:b\"") && json.contains("\"entity_strict_f1\""), "{json}");
        assert_eq!(serde_json::from_str::<Figures>(&json).unwrap(), figures);
        assert!(serde_json::from_str::<Figures>("{\"other\":1.0}").is_err());
    }
}
