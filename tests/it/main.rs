//! Rooms meeting each other: one binary, because linking is slow.

mod batch;
mod cli;
mod columns;
mod convert;
mod datasets;
mod default_model;
mod evaluate;
mod families;
mod golden;
mod hostile;
mod hub;
mod metrics;
mod operations;
mod pipelines;
mod precision;
mod reading;
mod report;
mod seqeval;
mod snapshots;
mod train;
mod writing;
