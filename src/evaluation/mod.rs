//! Compares two lists of answers. Has never heard of a model.

mod bootstrap;
mod classification;
mod counts;
mod entities;
mod report;
mod thresholds;

pub use bootstrap::{Interval, bootstrap};
pub use classification::{Classification, average_precision, brier, expected_calibration_error};
pub use counts::{Counts, macro_f1};
pub use entities::{EntityCounts, count_entities};
pub use report::{
    Average, Breakdown, BreakdownRow, ClassificationReport, ComparedMetric, Comparison, CoveragePoint,
    CurvePoint, DataIdentity, Decisions, EntityAnswer, EntityErrors, EntityFigures, EntityOutcome,
    EntityReport, EntityTypeReport, ErrorRecord, Evaluation, Figure, LabelAnswers, LabelReport, McNemar,
    Mention, ModelIdentity, ReliabilityBin, WordCounts,
};
pub use thresholds::{binary_nll, cross_fitted_decisions, fit_temperature, fit_thresholds};
