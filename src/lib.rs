//! Undertone reads news and says, sentence by sentence, what stance it takes and whom it names.

pub mod bundle;
pub mod datasets;
pub mod encoder;
pub mod engine;
pub mod evaluation;
pub mod formats;
pub mod head;
mod kernels;
pub mod labels;
pub mod report;
pub mod text;
pub mod tokens;
pub mod training;
