//! Compares two lists of answers. Has never heard of a model.

mod average;
mod bootstrap;
mod classification;
mod comparison;
mod counts;
mod curves;
mod entities;
mod groups;
mod matching;
mod merge;
mod metrics;
mod report;
mod rows;
mod thresholds;

pub use bootstrap::{Interval, RESAMPLES, bootstrap};
pub use classification::{LabelSums, LabelTable};
pub use comparison::{Answered, FieldValues, breakdown, compare};
pub use counts::Counts;
pub use entities::{EntityCounts, EntityTable, SentenceEntities, count_entities};
pub use groups::Groups;
pub use matching::match_entities;
pub use metrics::metrics;
pub use report::{
    Average, Breakdown, BreakdownRow, ClassificationReport, ComparedMetric, Comparison, CoveragePoint,
    CurvePoint, DataIdentity, Decisions, EntityAnswer, EntityErrors, EntityFigures, EntityOutcome,
    EntityReport, EntityTypeReport, ErrorRecord, Evaluation, Figure, LabelAnswers, LabelReport, McNemar,
    Mention, ModelIdentity, ReliabilityBin, WordCounts,
};
pub use rows::Rows;
pub use thresholds::{
    Cut, Objective, binary_nll, cross_fitted_decisions, fit_temperature, fit_thresholds, softmax_nll,
};
