//! Rooms meeting each other: one binary, because linking is slow.

mod golden;
mod seqeval;
