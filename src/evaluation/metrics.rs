use super::{Average, ClassificationReport, EntityReport, Evaluation};

impl Evaluation {
    /// Every figure by name: `macro_f1`, `micro_f1`, `weighted_f1` (and `_precision`, `_recall` of each), `exact_match`,
    /// `average_precision`; of entities `entity_f1`, `entity_macro_f1`, `entity_weighted_f1`, `strict_entity_f1`, `token_accuracy`;
    /// and `LABEL.f1`, `LABEL.precision`, `LABEL.recall` of every label and entity type, `LABEL.average_precision` of labels.
    /// `None` where there is nothing to score.
    pub fn metrics(&self) -> Vec<(String, Option<f64>)> {
        metrics(self.classification.as_ref(), self.entities.as_ref())
    }
}

/// Every figure of a model's answers by name, as [`Evaluation::metrics`] tells them.
pub fn metrics(
    classification: Option<&ClassificationReport>,
    entities: Option<&EntityReport>,
) -> Vec<(String, Option<f64>)> {
    let mut metrics: Vec<(String, Option<f64>)> = Vec::new();
    let mut average = |name: &str, average: &Average| {
        metrics.push((format!("{name}_f1"), average.f1.value));
        metrics.push((format!("{name}_precision"), average.precision));
        metrics.push((format!("{name}_recall"), average.recall));
    };
    if let Some(report) = classification {
        average("macro", &report.macro_average);
        average("micro", &report.micro_average);
        average("weighted", &report.weighted_average);
    }
    if let Some(report) = entities {
        average("entity", &report.lenient.micro);
        average("entity_macro", &report.lenient.macro_average);
        average("entity_weighted", &report.lenient.weighted);
        average("strict_entity", &report.strict.micro);
        metrics.push(("token_accuracy".into(), report.token_accuracy));
        for kind in &report.lenient.types {
            metrics.push((format!("{}.f1", kind.label), kind.f1.value));
            metrics.push((format!("{}.precision", kind.label), kind.precision));
            metrics.push((format!("{}.recall", kind.label), kind.recall));
        }
    }
    if let Some(report) = classification {
        metrics.push(("exact_match".into(), report.exact_match.value));
        metrics.push(("average_precision".into(), report.mean_average_precision.value));
        for label in &report.labels {
            metrics.push((format!("{}.f1", label.label), label.f1.value));
            metrics.push((format!("{}.precision", label.label), label.precision));
            metrics.push((format!("{}.recall", label.label), label.recall));
            metrics.push((format!("{}.average_precision", label.label), label.average_precision.value));
        }
    }
    metrics
}
