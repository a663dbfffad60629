use crate::guarded::guarded;
use crate::text::Span;
use serde::Deserialize;
use tokenizers::NormalizerWrapper;

/// The pieces of one text, without special tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Where each piece stands, in bytes of the text.
    pub spans: Vec<Span>,
    /// The pre-tokeniser's word that each piece belongs to, counted from 0; [`Pieces::NO_WORD`] for special tokens in the text.
    pub words: Vec<u32>,
}

impl Pieces {
    /// The word of pieces that belong to none.
    pub const NO_WORD: u32 = u32::MAX;
}

/// What a tokenizer puts around and between the pieces of two texts that go through the encoder as one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFrame {
    /// Before the first text, `[CLS]` for BERT.
    pub prefix: Vec<u32>,
    /// Between the two, `[SEP]` for BERT.
    pub middle: Vec<u32>,
    /// Behind the second, `[SEP]` for BERT.
    pub suffix: Vec<u32>,
    /// Token type of the second text and what stands behind it; all before it has 0.
    pub second: u32,
}

impl PairFrame {
    /// Ids and token types of the sequence for two texts, given their pieces.
    pub fn join(&self, first: &[u32], second: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let ids = [&self.prefix[..], first, &self.middle, second, &self.suffix].concat();
        let behind = second.len() + self.suffix.len();
        let types = (0..ids.len()).map(|i| if i < ids.len() - behind { 0 } else { self.second }).collect();
        (ids, types)
    }

    /// Number of special tokens.
    pub fn len(&self) -> usize {
        self.prefix.len() + self.middle.len() + self.suffix.len()
    }

    /// True for a tokenizer that only puts the texts side by side.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A Hugging Face tokenizer, with the settings that `tokenizer.json` may have frozen taken out.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    unknown: Option<u32>,
    max_length: Option<usize>,
}

/// Why a tokenizer could not be read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// `tokenizer.json` is not a tokenizer.
    #[error("tokenizer.json cannot be read: {0}")]
    Definition(#[source] tokenizers::Error),
    /// `tokenizer_config.json` is not what it should be.
    #[error("tokenizer_config.json cannot be read: {0}")]
    Config(#[from] serde_json::Error),
    /// A text could not be tokenised.
    #[error("the text cannot be tokenised: {0}")]
    Encode(#[source] tokenizers::Error),
}

/// The fields of `tokenizer_config.json` that change what comes out.
#[derive(Debug, Default, Deserialize)]
struct Overrides {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    model_max_length: Option<f64>,
    unk_token: Option<Token>,
}

/// A special token, plain or with its properties.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Token {
    Name(String),
    Added {
        content: String,
        /// Whether the space before it belongs to it.
        #[serde(default)]
        lstrip: bool,
    },
}

impl Token {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Added { content: name, .. } => name,
        }
    }

    pub(super) fn takes_space(&self) -> bool {
        matches!(self, Self::Added { lstrip: true, .. })
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, where there is one, `tokenizer_config.json`.
    ///
    /// Truncation and padding that the file carries are switched off (callers window and pad), special tokens written
    /// out in a text stay text (see [`Tokenizer::reading_special_tokens`]), and a BERT normaliser follows what
    /// `tokenizer_config.json` says of it, as in `BertTokenizer`; where that says nothing, `tokenizer.json` holds.
    ///
    /// # Errors
    /// If a file is not what its name says.
    pub fn parse(tokenizer: &[u8], config: Option<&[u8]>) -> Result<Self, TokenizerError> {
        let mut definition: serde_json::Value =
            serde_json::from_slice(tokenizer).map_err(|e| TokenizerError::Definition(Box::new(e)))?;
        let overrides: Overrides = match config {
            Some(json) => serde_json::from_slice(json)?,
            None => Overrides::default(),
        };
        if let Some(normalizer) = definition.get_mut("normalizer").and_then(|n| n.as_object_mut())
            && normalizer.get("type").and_then(|t| t.as_str()) == Some("BertNormalizer")
        {
            if let Some(lower) = overrides.do_lower_case {
                normalizer.insert("lowercase".into(), lower.into());
            }
            if let Some(strip) = overrides.strip_accents {
                normalizer.insert("strip_accents".into(), strip.into());
            }
            if let Some(chinese) = overrides.tokenize_chinese_chars {
                normalizer.insert("handle_chinese_chars".into(), chinese.into());
            }
        }
        check_merges(&definition).map_err(|reason| TokenizerError::Definition(reason.into()))?;
        let (inner, prefix, suffix) = guarded(move || -> Result<_, TokenizerError> {
            let mut inner: tokenizers::Tokenizer =
                serde_json::from_value(definition).map_err(|e| TokenizerError::Definition(Box::new(e)))?;
            inner.with_truncation(None).map_err(TokenizerError::Definition)?;
            inner.with_padding(None);
            inner.set_encode_special_tokens(true);
            let (prefix, suffix) = special_tokens(&inner)?;
            Ok((inner, prefix, suffix))
        })
        .unwrap_or_else(|reason| Err(TokenizerError::Definition(reason.into())))?;
        let max_length = overrides.model_max_length.filter(|&n| (1.0..1e9).contains(&n)).map(|n| n as usize);
        let unknown = match overrides.unk_token {
            Some(token) => inner.token_to_id(token.name()),
            None => ["[UNK]", "<unk>"].iter().find_map(|token| inner.token_to_id(token)),
        };
        Ok(Self { inner, prefix, suffix, unknown, max_length })
    }

    /// The same tokenizer taking special tokens that are written out in a text (`[SEP]`, `<s>`) for those tokens, as
    /// `transformers` does. Whoever writes a text can then part it, and with it its reading.
    pub fn reading_special_tokens(mut self) -> Self {
        self.inner.set_encode_special_tokens(false);
        self
    }

    /// Cuts a text into pieces. An empty text has none.
    ///
    /// # Errors
    /// If the tokenizer's model fails on the text.
    pub fn pieces(&self, text: &str) -> Result<Pieces, TokenizerError> {
        // What a definition leaves out may show at some text only.
        let encoding = guarded(|| self.inner.encode(text, false));
        let encoding =
            encoding.unwrap_or_else(|reason| Err(reason.into())).map_err(TokenizerError::Encode)?;
        let spans = encoding.get_offsets().iter().map(|&(start, end)| snap(text, start, end)).collect();
        let ids = encoding.get_ids().to_vec();
        let words = encoding.get_word_ids().iter().zip(&ids).map(|(word, &id)| match word {
            Some(word) if !self.reads_as_special(id) => *word,
            _ => Pieces::NO_WORD,
        });
        Ok(Pieces { words: words.collect(), ids, spans })
    }

    /// Whether an id in a text is that of a special token, which it can be only where those are read.
    fn reads_as_special(&self, id: u32) -> bool {
        !self.inner.get_encode_special_tokens()
            && self
                .inner
                .id_to_token(id)
                .is_some_and(|token| self.inner.get_added_vocabulary().is_special_token(&token))
    }

    /// Whether each piece continues the word of the piece before it, by the rule of `transformers`' token-classification
    /// pipeline: where the vocabulary marks continuations (`##`), a piece whose name is not as long as its text does; elsewhere one
    /// without a space before it. The unknown token never does.
    pub fn continuations(&self, text: &str, pieces: &Pieces) -> Vec<bool> {
        use tokenizers::ModelWrapper::{BPE, WordPiece};
        let mark = match self.inner.get_model() {
            WordPiece(model) => Some(&model.continuing_subword_prefix),
            BPE(model) => model.continuing_subword_prefix.as_ref(),
            _ => None,
        };
        let marked = mark.is_some_and(|mark| !mark.is_empty());
        let pairs = pieces.ids.iter().zip(&pieces.spans);
        pairs
            .map(|(&id, span)| {
                let continues = if marked {
                    let length = |text: &str| text.chars().count();
                    let named = self.inner.id_to_token(id).map_or(0, |name| length(&name));
                    named != length(span.of(text).unwrap_or_default())
                } else {
                    let before = text[..span.start].chars().next_back();
                    before.is_some_and(|c| c != ' ') && !text[span.start..].starts_with(' ')
                };
                continues && Some(id) != self.unknown
            })
            .collect()
    }

    /// Ids put before a sequence (`[CLS]` for BERT).
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// Ids put behind a sequence (`[SEP]` for BERT).
    pub fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// What is put around and between two texts, found by looking at a pair.
    ///
    /// # Errors
    /// If the tokenizer's model fails.
    pub fn pair_frame(&self) -> Result<PairFrame, TokenizerError> {
        let encoding = self.inner.encode(("a", "a"), true).map_err(TokenizerError::Encode)?;
        let (ids, types) = (encoding.get_ids(), encoding.get_type_ids());
        let of = encoding.get_sequence_ids();
        let first = |text| of.iter().position(|&s| s == Some(text)).unwrap_or(ids.len());
        let behind = |text| of.iter().rposition(|&s| s == Some(text)).map_or(ids.len(), |i| i + 1);
        Ok(PairFrame {
            prefix: ids[..first(0)].to_vec(),
            middle: ids[behind(0)..first(1)].to_vec(),
            suffix: ids[behind(1)..].to_vec(),
            second: types.get(first(1)).copied().unwrap_or(0),
        })
    }

    /// `model_max_length` in tokens, special ones included, where the configuration states a real one.
    pub fn max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// Number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id that stands for what the vocabulary lacks, if it has one.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// What a BERT normaliser does, under the names of `tokenizer_config.json`; nothing for another.
    pub(crate) fn bert_normalizer(&self) -> Vec<(&'static str, Option<bool>)> {
        match self.inner.get_normalizer() {
            Some(NormalizerWrapper::BertNormalizer(normalizer)) => vec![
                ("do_lower_case", Some(normalizer.lowercase)),
                ("strip_accents", normalizer.strip_accents),
                ("tokenize_chinese_chars", Some(normalizer.handle_chinese_chars)),
            ],
            _ => Vec::new(),
        }
    }

    /// True if texts are put into lower case before they are looked up in a vocabulary that was made from cased text: one of
    /// which more than one piece in a hundred has an upper-case letter. Most of those are then out of reach; as a rule
    /// `do_lower_case` is missing from `tokenizer_config.json` or wrong there.
    pub fn lowers_a_cased_vocabulary(&self) -> bool {
        let lowers = match self.inner.get_normalizer() {
            Some(NormalizerWrapper::BertNormalizer(normalizer)) => normalizer.lowercase,
            _ => false,
        };
        if !lowers {
            return false;
        }
        let vocab = self.inner.get_vocab(false);
        let named = |piece: &str| piece.starts_with('[') && piece.ends_with(']'); // [CLS], [unused1]
        let cased = vocab.keys().filter(|piece| !named(piece) && piece.chars().any(char::is_uppercase));
        cased.count() * 100 > vocab.len()
    }

    /// The id of the mask token, if the vocabulary has one.
    pub fn mask(&self) -> Option<u32> {
        ["[MASK]", "<mask>"].iter().find_map(|token| self.inner.token_to_id(token))
    }
}

/// Refuses byte pairs whose second piece lacks the prefix of continuations: `tokenizers` 0.23 cuts off as many bytes unseen.
fn check_merges(definition: &serde_json::Value) -> Result<(), String> {
    let model = &definition["model"];
    let Some(prefix) = model["continuing_subword_prefix"].as_str() else { return Ok(()) };
    for merge in model["merges"].as_array().into_iter().flatten() {
        let second = match merge {
            serde_json::Value::String(pair) => pair.split(' ').nth(1),
            pair => pair[1].as_str(),
        };
        if second.is_some_and(|second| !second.starts_with(prefix)) {
            return Err(format!("the merge {merge} has no `{prefix}` before its second piece"));
        }
    }
    Ok(())
}

/// What the post-processor puts around a sequence, found by looking at one.
fn special_tokens(tokenizer: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let encoding = tokenizer.encode("a", true).map_err(TokenizerError::Encode)?;
    let special = encoding.get_special_tokens_mask();
    let ids = encoding.get_ids();
    let first = special.iter().position(|&s| s == 0).unwrap_or(ids.len());
    let last = special.iter().rposition(|&s| s == 0).map_or(ids.len(), |i| i + 1);
    Ok((ids[..first].to_vec(), ids[last..].to_vec()))
}

/// Moves offsets outwards to character boundaries: byte-level tokenizers may cut inside a character.
fn snap(text: &str, start: usize, end: usize) -> Span {
    let start = text.floor_char_boundary(start);
    Span::new(start, text.ceil_char_boundary(end).max(start))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Tokenizer;

    /// A WordPiece tokenizer of a few words, letters and digits, uncased as BERT's.
    pub(crate) fn tiny() -> Tokenizer {
        Tokenizer::parse(&tiny_tokenizer_json().0, None).expect("the tiny tokenizer is well-formed")
    }

    /// Its definition and the size of its vocabulary.
    pub(crate) fn tiny_tokenizer_json() -> (Vec<u8>, usize) {
        let mut vocab = serde_json::Map::new();
        let words =
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "troops", "may", "leave", "ana", "duarte"];
        let letters = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]);
        let others = ["##s", "##ing", ".", ",", "-", "'", "1", "2"].map(String::from);
        for word in words.map(String::from).into_iter().chain(letters).chain(others) {
            let id = vocab.len();
            vocab.entry(word).or_insert(id.into());
        }
        let size = vocab.len();
        let json = serde_json::json!({
            "version": "1.0",
            "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": null,
            "added_tokens": [
                {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
                {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
            ],
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}
        });
        (json.to_string().into_bytes(), size)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::tiny;
    use super::*;

    #[test]
    fn frozen_truncation_is_switched_off_and_specials_are_known() {
        let tokenizer = tiny();
        assert_eq!(tokenizer.pieces(&"the troops may leave. ".repeat(5)).unwrap().ids.len(), 25);
        assert_eq!((tokenizer.prefix(), tokenizer.suffix()), (&[2][..], &[3][..]));
    }

    #[test]
    fn two_texts_are_parted_as_the_tokenizer_parts_them() {
        let frame = tiny().pair_frame().unwrap();
        let (ids, types) = frame.join(&[5, 6], &[7]);
        assert_eq!((ids, types), (vec![2, 5, 6, 3, 7, 3], vec![0, 0, 0, 0, 1, 1]));
    }

    #[test]
    fn a_definition_that_contradicts_itself_is_refused_and_costs_no_panic() {
        let byte_pairs = |merge: serde_json::Value| {
            let json = serde_json::json!({
                "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
                "post_processor": null, "decoder": null,
                "model": {"type": "BPE", "continuing_subword_prefix": "##", "vocab": {"a": 0, "##b": 1, "ab": 2, "b": 3, "##é": 4},
                    "merges": [merge]}
            });
            Tokenizer::parse(json.to_string().as_bytes(), None).map_err(|e| e.to_string())
        };
        assert!(byte_pairs("a ##b".into()).is_ok() && byte_pairs(serde_json::json!(["a", "##b"])).is_ok());
        for merge in ["a b".into(), serde_json::json!(["a", "b"]), "a é".into()] {
            assert!(byte_pairs(merge).unwrap_err().contains("no `##` before its second piece"));
        }
    }

    #[test]
    fn a_special_token_written_in_a_text_stays_text() {
        let pieces = tiny().pieces("the [SEP] troops").unwrap();
        assert!(!pieces.ids.contains(&3), "{pieces:?}");
        let text = "the [SEP][SEP] troops";
        let pieces = tiny().reading_special_tokens().pieces(text).unwrap();
        assert_eq!(pieces.ids, [5, 3, 3, 6]);
        assert_eq!(crate::tokens::casing_classes(text, &pieces), [1, 0, 0, 1]);
    }

    #[test]
    fn a_piece_longer_than_its_text_continues_a_word_and_an_unknown_one_never_does() {
        let text = "Anab's é€";
        let pieces = tiny().pieces(text).unwrap();
        let slices: Vec<&str> = pieces.spans.iter().map(|s| s.of(text).unwrap()).collect();
        assert_eq!(slices, ["Ana", "b", "'", "s", "é€"]);
        let continued = tiny().continuations(text, &pieces);
        assert_eq!(continued, [false, true, false, false, false]);
    }

    #[test]
    fn spans_are_bytes_of_the_original_text() {
        let text = "Ána  Duarte";
        let pieces = tiny().pieces(text).unwrap();
        let slices: Vec<&str> = pieces.spans.iter().map(|s| s.of(text).unwrap()).collect();
        assert_eq!(slices, ["Ána", "Duarte"]);
        assert_eq!(pieces.words, [0, 1]);
    }

    #[test]
    fn a_cased_vocabulary_behind_lower_casing_is_noticed() {
        assert!(!tiny().lowers_a_cased_vocabulary());
        let (json, _) = super::testing::tiny_tokenizer_json();
        let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        json["model"]["vocab"]["Troops"] = 1000.into();
        json["model"]["vocab"]["##S"] = 1001.into();
        let parse = |config: Option<&[u8]>| Tokenizer::parse(json.to_string().as_bytes(), config).unwrap();
        assert!(parse(None).lowers_a_cased_vocabulary());
        assert!(!parse(Some(br#"{"do_lower_case": false}"#)).lowers_a_cased_vocabulary());
    }

    #[test]
    fn tokenizer_config_overrides_the_normaliser() {
        let cased = serde_json::json!({"do_lower_case": false, "model_max_length": 1e30});
        let mut json = serde_json::to_value(&tiny().inner).unwrap();
        json["normalizer"]["strip_accents"] = serde_json::Value::Null;
        let tokenizer =
            Tokenizer::parse(json.to_string().as_bytes(), Some(cased.to_string().as_bytes())).unwrap();
        assert_eq!(tokenizer.pieces("The").unwrap().ids, [1], "upper case is unknown to a cased reading");
        assert_eq!(tokenizer.max_length(), None);
    }
}
