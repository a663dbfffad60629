//! From text to integers and back: pieces with offsets, words, casing classes, windows over long text.

mod casing;
mod tokenizer;
mod vocabulary;
mod window;
mod words;

pub use casing::{CASING_CLASSES, casing_classes};
pub use tokenizer::{PairFrame, Pieces, Tokenizer, TokenizerError};
pub use vocabulary::{Beside, Vocabulary};
pub use window::{Window, windows};
pub use words::{first_pieces, split_words};

#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::tokenizer::testing::tiny_tokenizer_json;
}
