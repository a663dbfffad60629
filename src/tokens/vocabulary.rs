//! The tokenizer of a checkpoint from before `tokenizer.json`, from its vocabulary files.

use super::tokenizer::Token;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Vocabulary files, by the kind of tokenizer that reads them.
pub enum Vocabulary {
    /// `vocab.txt`, a piece a line: WordPiece, as BERT has it.
    WordPiece {
        /// The file.
        vocab: String,
    },
    /// `vocab.json` and `merges.txt`: byte-pair encoding of bytes, as RoBERTa has it.
    BytePairs {
        /// Pieces and their ids.
        vocab: String,
        /// Pairs of pieces that are joined, the most frequent first.
        merges: String,
    },
}

/// What stands beside a vocabulary and changes how it is read.
#[derive(Default)]
pub struct Beside<'a> {
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<&'a [u8]>,
    /// `config.json`, which may name the tokenizer's class.
    pub config: Option<&'a [u8]>,
    /// `added_tokens.json`: tokens and their ids.
    pub added_tokens: Option<&'a [u8]>,
}

/// Fields of `tokenizer_config.json`.
#[derive(Deserialize, Default)]
struct Settings {
    unk_token: Option<Token>,
    cls_token: Option<Token>,
    sep_token: Option<Token>,
    pad_token: Option<Token>,
    mask_token: Option<Token>,
    tokenizer_class: Option<String>,
    auto_map: Option<Value>,
    add_prefix_space: Option<bool>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, Token>,
}

/// Classes of `transformers` that read these files as is done here, without `Fast` behind.
const READERS: [&str; 4] = ["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "RobertaTokenizer"];

impl Vocabulary {
    /// The `tokenizer.json` that `transformers` makes of these files and of what stands beside them: with its defaults, which for
    /// WordPiece put text into lower case (`BertTokenizer`, `RobertaTokenizer`).
    ///
    /// # Errors
    /// With a reason, if a file is malformed or lacks a special token, the tokenizer is of another class, or there are tokens besides
    /// the vocabulary.
    pub fn definition(&self, beside: &Beside) -> Result<Vec<u8>, String> {
        let settings: Settings = match beside.tokenizer_config {
            Some(json) => serde_json::from_slice(json).map_err(|e| format!("tokenizer_config.json: {e}"))?,
            None => Settings::default(),
        };
        let config: Settings =
            beside.config.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
        let class = settings.tokenizer_class.as_ref().or(config.tokenizer_class.as_ref());
        let foreign = class.filter(|class| !READERS.contains(&class.strip_suffix("Fast").unwrap_or(class)));
        if let Some(class) = foreign {
            return Err(format!(
                "the tokenizer is a `{class}`, and without tokenizer.json only {} are known{CONVERT}",
                READERS.join(", ")
            ));
        }
        if settings.auto_map.is_some() {
            return Err(format!("tokenizer_config.json names code of its own (`auto_map`){CONVERT}"));
        }
        let added: BTreeMap<String, Value> = match beside.added_tokens {
            Some(json) => serde_json::from_slice(json).map_err(|e| format!("added_tokens.json: {e}"))?,
            None => BTreeMap::new(),
        };
        let named = settings.added_tokens_decoder.values().map(Token::name).map(str::to_owned);
        let added: Vec<String> = named.chain(added.into_keys()).collect();
        let definition = match self {
            Self::WordPiece { vocab } => word_piece(vocab, settings),
            Self::BytePairs { vocab, merges } => byte_pairs(vocab, merges, settings),
        }?;
        let known = &definition["model"]["vocab"];
        match added.iter().find(|token| known.get(token.as_str()).is_none()) {
            Some(token) => {
                Err(format!("`{token}` was added to the vocabulary and is not in its file{CONVERT}"))
            }
            None => Ok(definition.to_string().into_bytes()),
        }
    }
}

/// What to do about a tokenizer that is not made here.
const CONVERT: &str = "\n\nhint: make tokenizer.json in Python: `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`";

fn word_piece(vocab: &str, settings: Settings) -> Result<Value, String> {
    let pieces = vocab.strip_suffix('\n').unwrap_or(vocab).split('\n');
    let pieces = pieces.map(|piece| piece.strip_suffix('\r').unwrap_or(piece));
    // Of a piece that stands there twice, the later line counts.
    let vocab: Map<String, Value> = pieces.enumerate().map(|(id, piece)| (piece.into(), id.into())).collect();
    let unknown = or_default(settings.unk_token, "[UNK]");
    let unknown_name = unknown.name().to_owned();
    let specials = Specials {
        cls: or_default(settings.cls_token, "[CLS]"),
        sep: or_default(settings.sep_token, "[SEP]"),
        others: vec![or_default(settings.pad_token, "[PAD]"), unknown],
        mask: or_default(settings.mask_token, "[MASK]"),
        file: "vocab.txt",
    };
    let (cls, sep) = (specials.frame(&vocab, &specials.cls)?, specials.frame(&vocab, &specials.sep)?);
    if !vocab.contains_key(&unknown_name) {
        return Err(format!("vocab.txt has no `{unknown_name}`"));
    }
    Ok(json!({
        "version": "1.0",
        "added_tokens": specials.added(&vocab),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": sep, "cls": cls},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unknown_name, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocab
        }
    }))
}

fn byte_pairs(vocab: &str, merges: &str, settings: Settings) -> Result<Value, String> {
    let vocab: Map<String, Value> = serde_json::from_str(vocab).map_err(|e| format!("vocab.json: {e}"))?;
    let lines = merges.lines().enumerate().filter(|(i, line)| !(*i == 0 && line.starts_with("#version")));
    let pairs: Result<Vec<_>, String> = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            let pair = line.trim_end().split_once(' ').filter(|(_, second)| !second.contains(' '));
            pair.ok_or_else(|| format!("merges.txt:{}: \"{line}\" is no pair of pieces", i + 1))
        })
        .collect();
    let specials = Specials {
        cls: or_default(settings.cls_token, "<s>"),
        sep: or_default(settings.sep_token, "</s>"),
        others: vec![or_default(settings.pad_token, "<pad>"), or_default(settings.unk_token, "<unk>")],
        mask: or_default(settings.mask_token, "<mask>"),
        file: "vocab.json",
    };
    let (cls, sep) = (specials.frame(&vocab, &specials.cls)?, specials.frame(&vocab, &specials.sep)?);
    let space = settings.add_prefix_space.unwrap_or(false);
    Ok(json!({
        "version": "1.0",
        "added_tokens": specials.added(&vocab),
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": true},
        "post_processor": {
            "type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": true, "add_prefix_space": space
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": pairs?
        }
    }))
}

fn or_default(token: Option<Token>, name: &str) -> Token {
    token.unwrap_or_else(|| Token::Name(name.to_owned()))
}

/// Special tokens by what they do, and the file that must have them.
struct Specials {
    cls: Token,
    sep: Token,
    mask: Token,
    others: Vec<Token>,
    file: &'static str,
}

impl Specials {
    /// A token that goes around every text, with its id.
    fn frame(&self, vocab: &Map<String, Value>, token: &Token) -> Result<Value, String> {
        let token = token.name();
        let id = vocab.get(token).ok_or_else(|| format!("{} has no `{token}`", self.file))?;
        Ok(json!([token, id]))
    }

    /// Those that the vocabulary has, in the order of their ids.
    fn added(&self, vocab: &Map<String, Value>) -> Vec<Value> {
        let all = [&self.cls, &self.sep, &self.mask].into_iter().chain(&self.others);
        let mut known: Vec<(u64, &Token)> =
            all.filter_map(|token| Some((vocab.get(token.name())?.as_u64()?, token))).collect();
        known.sort_by_key(|(id, _)| *id);
        known.dedup_by_key(|(id, _)| *id);
        let added = |(id, token): (u64, &Token)| {
            json!({
                "id": id, "content": token.name(), "single_word": false, "lstrip": token.takes_space(), "rstrip": false,
                "normalized": false, "special": true
            })
        };
        known.into_iter().map(added).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Span;
    use crate::tokens::{Pieces, Tokenizer};
    use std::path::Path;

    /// What `transformers` has written, and the same from the vocabulary in it.
    fn both(folder: &str, config: &[u8]) -> (Tokenizer, Tokenizer) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
        let theirs = std::fs::read(folder.join("tokenizer.json")).expect("the fixture is in the checkout");
        let json: Value = serde_json::from_slice(&theirs).expect("it is JSON");
        let pieces = json["model"]["vocab"].as_object().expect("a vocabulary");
        let vocabulary = match json["model"]["merges"].as_array() {
            None => {
                let mut lines: Vec<(u64, &String)> =
                    pieces.iter().map(|(piece, id)| (id.as_u64().expect("an id"), piece)).collect();
                lines.sort_unstable();
                Vocabulary::WordPiece { vocab: lines.iter().map(|(_, piece)| format!("{piece}\n")).collect() }
            }
            Some(merges) => {
                let line =
                    |pair: &Value| format!("{} {}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
                let merges = merges.iter().map(line).collect::<String>();
                let vocab = json["model"]["vocab"].to_string();
                Vocabulary::BytePairs { vocab, merges: format!("#version: 0.2\n{merges}") }
            }
        };
        let ours =
            vocabulary.definition(&Beside { tokenizer_config: Some(config), ..Beside::default() }).unwrap();
        (Tokenizer::parse(&theirs, Some(config)).unwrap(), Tokenizer::parse(&ours, Some(config)).unwrap())
    }

    #[test]
    fn texts_have_the_pieces_of_the_newer_file() {
        for (folder, config) in [
            ("bert/sequence", &b"{}"[..]),
            ("bert/sequence", br#"{"do_lower_case": false}"#),
            ("families/roberta/sequence", b"{}"),
        ] {
            let (theirs, ours) = both(folder, config);
            for text in
                ["The troops may leave Zürich.", "  Ana—Duarte's\n[SEP] 漢字 🕊️ ", "", "<s> ÉCLAT </s>"]
            {
                let (ours, theirs) = (ours.pieces(text).unwrap(), theirs.pieces(text).unwrap());
                assert_eq!((&ours.ids, &ours.words), (&theirs.ids, &theirs.words), "{folder}: {text:?}");
                // The fixture of RoBERTa counts the space before a word to the word, and `RobertaTokenizer` does not.
                let trimmed = |span: &Span| span.of(text).map(str::trim_start);
                let spans = |pieces: &Pieces| pieces.spans.iter().map(trimmed).collect::<Vec<_>>();
                assert_eq!(spans(&ours), spans(&theirs), "{folder}: {text:?}");
            }
            assert_eq!((ours.prefix(), ours.suffix()), (theirs.prefix(), theirs.suffix()));
            assert_eq!(ours.vocab_size(), theirs.vocab_size());
        }
    }

    #[test]
    fn a_malformed_vocabulary_is_refused_by_file_and_line() {
        let error = |vocabulary: Vocabulary| vocabulary.definition(&Beside::default()).unwrap_err();
        let words = |text: &str| Vocabulary::WordPiece { vocab: text.into() };
        assert!(error(words("the\n[CLS]\n")).contains("vocab.txt has no `[SEP]`"));
        assert!(error(words("[CLS]\n[SEP]\n")).contains("no `[UNK]`"));
        let bytes =
            |vocab: &str, merges: &str| Vocabulary::BytePairs { vocab: vocab.into(), merges: merges.into() };
        assert!(error(bytes("[]", "")).contains("vocab.json"));
        let sound = || words("[CLS]\n[SEP]\n[UNK]\n[MASK]\n");
        let beside = |tokenizer_config: &'static str, config: &'static str, added: &'static str| {
            let some = |json: &'static str| (!json.is_empty()).then_some(json.as_bytes());
            let beside = Beside {
                tokenizer_config: some(tokenizer_config),
                config: some(config),
                added_tokens: some(added),
            };
            sound().definition(&beside)
        };
        let mask = r#"{"add_prefix_space": null, "mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": true}}"#;
        let made: Value = serde_json::from_slice(&beside(mask, "", r#"{"[MASK]": 3}"#).unwrap()).unwrap();
        assert_eq!(made["added_tokens"][3]["lstrip"], true);
        let japanese = r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#;
        for (tokenizer_config, config, added, expected) in [
            (japanese, "", "", "`BertJapaneseTokenizer`"),
            ("", japanese, "", "`BertJapaneseTokenizer`"),
            (r#"{"auto_map": {}}"#, "", "", "auto_map"),
            (r#"{"mask_token": 7}"#, "", "", "tokenizer_config.json"),
            ("", "", r#"{"<user>": 4}"#, "`<user>` was added"),
            (r#"{"added_tokens_decoder": {"4": {"content": "<user>"}}}"#, "", "", "`<user>` was added"),
        ] {
            let told = beside(tokenizer_config, config, added).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
        let told = error(bytes(r#"{"<s>": 0, "</s>": 1}"#, "#version: 0.2\na b\na b c\n"));
        assert!(told.contains("merges.txt:3"), "{told}");
    }
}
