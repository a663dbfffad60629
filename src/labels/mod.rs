//! Per-word tags and gold answers. Depends on `text` alone.

mod gold;
mod tags;

pub use gold::{GoldEntity, GoldSentence};
pub use tags::{Scheme, TagSpan, decode, decode_strict, encode, to_iob2};
