//! Undertone reads news and says, sentence by sentence, what stance it takes and whom it names.

pub mod engine;
pub mod labels;
pub mod text;
