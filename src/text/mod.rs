//! Words on a page: articles, sentences, spans and entities. No tensors, no files.

mod entity;
mod offsets;
mod paragraph;
mod sentence;
mod span;

pub use entity::Entity;
pub use offsets::{OffsetUnit, Offsets};
pub use sentence::split_sentences;
pub use span::Span;
pub(crate) use span::trimmed;
