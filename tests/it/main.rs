//! Rooms meeting each other: one binary, because linking is slow.

mod cli;
mod datasets;
mod default_model;
mod families;
mod golden;
mod hub;
mod pipelines;
mod seqeval;
