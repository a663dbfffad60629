//! Label names, per-word tags and gold answers. Depends on `text` alone.

mod gold;

pub use gold::{GoldEntity, GoldSentence};
