//! What a figure must reach: `--fail-under`.

use crate::cli::logging::SAID;
use crate::cli::misuse;
use std::collections::BTreeSet;
use std::str::FromStr;
use undertone::engine::Engine;
use undertone::evaluation::{
    Counts, Decisions, EntityCounts, EntityTable, Evaluation, Groups, LabelTable, SentenceEntities, metrics,
};

/// A figure and the least it may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Requirement {
    metric: String,
    least: f64,
}

impl FromStr for Requirement {
    type Err = String;

    /// Reads `macro_f1=0.8`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .rsplit_once('=')
            .and_then(|(metric, least)| Some((metric.trim(), least.trim().parse().ok()?)));
        match parts {
            Some((metric, least)) if !metric.is_empty() && (0.0..=1.0).contains(&least) => {
                Ok(Self { metric: metric.to_owned(), least })
            }
            _ => Err("it must be a metric and the least it may be, from 0 to 1, such as macro_f1=0.8".into()),
        }
    }
}

impl Requirement {
    /// Refuses metrics that there are not, before the long work starts.
    pub(crate) fn check_names(requirements: &[Self], engine: &Engine) -> anyhow::Result<()> {
        let known = metrics_of(engine).into_iter().map(|(name, _)| name).collect();
        Self::check_known(requirements, &known, "for this model")
    }

    /// Refuses metrics that runs which were put together do not have, such as average precisions.
    pub(crate) fn check_merged(requirements: &[Self], evaluation: &Evaluation) -> anyhow::Result<()> {
        let metrics = evaluation.metrics().into_iter();
        let known = metrics.filter(|(name, value)| value.is_some() || !name.ends_with("average_precision"));
        Self::check_known(requirements, &known.map(|(name, _)| name).collect(), "of the runs put together")
    }

    fn check_known(requirements: &[Self], known: &BTreeSet<String>, of: &str) -> anyhow::Result<()> {
        match requirements.iter().find(|requirement| !known.contains(&requirement.metric)) {
            None => Ok(()),
            Some(unknown) => Err(misuse(format!(
                "--fail-under: there is no metric \"{}\" {of}; there are {}",
                unknown.metric,
                known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// Tells which requirements an evaluation does not meet; true if there are any. A figure that could not be worked out meets
    /// none.
    pub(crate) fn report_missed(requirements: &[Self], evaluation: &Evaluation) -> bool {
        let metrics = evaluation.metrics();
        let mut missed = false;
        for Requirement { metric, least } in requirements {
            let value = metrics.iter().find(|(name, _)| name == metric).and_then(|(_, value)| *value);
            let path = evaluation.data.path.display();
            match value {
                Some(value) if value >= *least => continue,
                Some(value) => tracing::error!(target: SAID, "{path}: {metric} is {value:.4}, under {least}"),
                None => {
                    tracing::error!(target: SAID, "{path}: {metric} cannot be worked out: there is nothing to score")
                }
            }
            missed = true;
        }
        missed
    }
}

/// The figures that a model's answers have, by the names that they are told by: those of one sentence without labels or names.
fn metrics_of(engine: &Engine) -> Vec<(String, Option<f64>)> {
    let mut groups = Groups::default();
    let group = groups.next(None);
    let labels = engine.labels();
    let classification = (!labels.is_empty()).then(|| {
        let mut table = LabelTable::default();
        let none = vec![false; labels.len()];
        table.push(&vec![0.0; labels.len()], &none, &none, group);
        table.report(labels, &groups, Decisions::Stored, None, 0)
    });
    let types = engine.entity_labels();
    let entities = (!types.is_empty()).then(|| {
        let mut table = EntityTable::default();
        let types = types.iter().map(|kind| (kind.clone(), Counts::default())).collect();
        let lenient = EntityCounts { types };
        table.push(&SentenceEntities { lenient, ..SentenceEntities::default() }, group);
        table.report(groups.len(), 0)
    });
    metrics(classification.as_ref(), entities.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_a_metric_and_a_share() {
        let read: Requirement = "condemnation.recall=0.7".parse().unwrap();
        assert_eq!(read, Requirement { metric: "condemnation.recall".into(), least: 0.7 });
        assert_eq!("condemnation.recall = 0.7".parse(), Ok(read));
        for wrong in [" =0.5", "macro_f1", "=0.5", "macro_f1=", "macro_f1=1.5", "macro_f1=x"] {
            assert!(wrong.parse::<Requirement>().unwrap_err().contains("macro_f1=0.8"), "{wrong}");
        }
    }

    #[test]
    fn a_metric_that_there_is_not_is_refused_with_those_there_are() {
        let engine = Engine::open(None).unwrap();
        let check = |text: &str| Requirement::check_names(&[text.parse().unwrap()], &engine);
        for fine in ["macro_f1=0.5", "entity_f1=0.5", "speculation.average_precision=0", "PER.f1=1"] {
            check(fine).unwrap();
        }
        let error = check("f1=0.5").unwrap_err();
        assert!(error.is::<crate::cli::Misuse>() && error.to_string().contains("condemnation.f1"), "{error}");
    }
}
