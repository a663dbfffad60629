//! Rooms meeting each other: one binary, because linking is slow.

mod batch;
mod cli;
mod convert;
mod datasets;
mod default_model;
mod evaluate;
mod families;
mod golden;
mod hub;
mod metrics;
mod pipelines;
mod reading;
mod report;
mod seqeval;
mod train;
mod writing;
