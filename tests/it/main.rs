//! Rooms meeting each other: one binary, because linking is slow.

mod cli;
mod golden;
mod seqeval;
