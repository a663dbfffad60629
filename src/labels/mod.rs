//! Per-word tags, gold answers and a model's answers. Depends on `text` alone.

mod gold;
mod prediction;
mod tags;

pub use gold::{GoldEntity, GoldSentence};
pub use prediction::{Prediction, confidence};
pub use tags::{Scheme, TagSpan, decode, decode_strict, encode, to_iob2};
