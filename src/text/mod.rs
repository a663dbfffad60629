//! Words on a page: articles, sentences, spans and entities. No tensors, no files.

mod entity;
mod offsets;
mod sentence;
mod span;

pub use entity::Entity;
pub use offsets::{OffsetUnit, Offsets};
pub use sentence::split_sentences;
pub(crate) use sentence::trimmed;
pub use span::Span;
