//! Words on a page: articles, sentences, spans and entities. No tensors, no files.

mod entity;
mod span;

pub use entity::Entity;
pub use span::Span;
