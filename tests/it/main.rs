//! Rooms meeting each other: one binary, because linking is slow.

mod cli;
mod convert;
mod datasets;
mod default_model;
mod evaluate;
mod families;
mod golden;
mod hostile;
mod hub;
mod metrics;
mod pipelines;
mod report;
mod seqeval;
mod train;
