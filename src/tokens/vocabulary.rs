//! The tokenizer of a checkpoint from before `tokenizer.json`, from its vocabulary files.

use serde::Deserialize;
use serde_json::{Map, Value, json};

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

/// Special tokens, under the names of `tokenizer_config.json`.
#[derive(Deserialize, Default)]
struct Named {
    unk_token: Option<String>,
    cls_token: Option<String>,
    sep_token: Option<String>,
    pad_token: Option<String>,
    mask_token: Option<String>,
    tokenizer_class: Option<String>,
    #[serde(default)]
    add_prefix_space: bool,
}

/// Classes of `transformers` that read these files as is done here, without `Fast` behind.
const CLASSES: [&str; 4] = ["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "RobertaTokenizer"];

impl Vocabulary {
    /// The `tokenizer.json` that `transformers` makes of these files and of `tokenizer_config.json`: with its defaults, which for
    /// WordPiece put text into lower case (`BertTokenizer`, `RobertaTokenizer`).
    ///
    /// # Errors
    /// With a reason, if a file is malformed or lacks a special token.
    pub fn definition(&self, config: Option<&[u8]>) -> Result<Vec<u8>, String> {
        let named = match config {
            // Special tokens with properties of their own are in files that have `tokenizer.json`.
            Some(json) => serde_json::from_slice(json).unwrap_or_default(),
            None => Named::default(),
        };
        if let Some(class) = &named.tokenizer_class
            && !CLASSES.contains(&class.strip_suffix("Fast").unwrap_or(class))
        {
            return Err(format!(
                "tokenizer_config.json names `{class}`, and without tokenizer.json only {} are known\n\nhint: make that file in Python: `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`",
                CLASSES.join(", ")
            ));
        }
        let definition = match self {
            Self::WordPiece { vocab } => word_piece(vocab, named),
            Self::BytePairs { vocab, merges } => byte_pairs(vocab, merges, named),
        };
        Ok(definition?.to_string().into_bytes())
    }
}

fn word_piece(vocab: &str, named: Named) -> Result<Value, String> {
    let pieces = vocab.strip_suffix('\n').unwrap_or(vocab).split('\n');
    let pieces = pieces.map(|piece| piece.strip_suffix('\r').unwrap_or(piece));
    // Of a piece that stands there twice, the later line counts.
    let vocab: Map<String, Value> = pieces.enumerate().map(|(id, piece)| (piece.into(), id.into())).collect();
    let or = |token: Option<String>, default: &str| token.unwrap_or_else(|| default.to_owned());
    let unknown = or(named.unk_token, "[UNK]");
    let specials = Specials {
        cls: or(named.cls_token, "[CLS]"),
        sep: or(named.sep_token, "[SEP]"),
        others: vec![or(named.pad_token, "[PAD]"), unknown.clone()],
        mask: or(named.mask_token, "[MASK]"),
        file: "vocab.txt",
    };
    let (cls, sep) = (specials.frame(&vocab, &specials.cls)?, specials.frame(&vocab, &specials.sep)?);
    if !vocab.contains_key(&unknown) {
        return Err(format!("vocab.txt has no `{unknown}`"));
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
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocab
        }
    }))
}

fn byte_pairs(vocab: &str, merges: &str, named: Named) -> Result<Value, String> {
    let vocab: Map<String, Value> = serde_json::from_str(vocab).map_err(|e| format!("vocab.json: {e}"))?;
    let lines = merges.lines().enumerate().filter(|(i, line)| !(*i == 0 && line.starts_with("#version")));
    let pairs: Result<Vec<_>, String> = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            let pair = line.trim_end().split_once(' ').filter(|(_, second)| !second.contains(' '));
            pair.ok_or_else(|| format!("merges.txt:{}: \"{line}\" is no pair of pieces", i + 1))
        })
        .collect();
    let or = |token: Option<String>, default: &str| token.unwrap_or_else(|| default.to_owned());
    let specials = Specials {
        cls: or(named.cls_token, "<s>"),
        sep: or(named.sep_token, "</s>"),
        others: vec![or(named.pad_token, "<pad>"), or(named.unk_token, "<unk>")],
        mask: or(named.mask_token, "<mask>"),
        file: "vocab.json",
    };
    let (cls, sep) = (specials.frame(&vocab, &specials.cls)?, specials.frame(&vocab, &specials.sep)?);
    let space = named.add_prefix_space;
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

/// Special tokens by what they do, and the file that must have them.
struct Specials {
    cls: String,
    sep: String,
    mask: String,
    others: Vec<String>,
    file: &'static str,
}

impl Specials {
    /// A token that goes around every text, with its id.
    fn frame(&self, vocab: &Map<String, Value>, token: &str) -> Result<Value, String> {
        let id = vocab.get(token).ok_or_else(|| format!("{} has no `{token}`", self.file))?;
        Ok(json!([token, id]))
    }

    /// Those that the vocabulary has, in the order of their ids.
    fn added(&self, vocab: &Map<String, Value>) -> Vec<Value> {
        let all = [&self.cls, &self.sep, &self.mask].into_iter().chain(&self.others);
        let mut known: Vec<(u64, &String)> =
            all.filter_map(|token| Some((vocab.get(token)?.as_u64()?, token))).collect();
        known.sort_unstable();
        known.dedup();
        let added = |(id, token): (u64, &String)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": true
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
        let ours = vocabulary.definition(Some(config)).unwrap();
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
        let error = |vocabulary: Vocabulary| vocabulary.definition(None).unwrap_err();
        let words = |text: &str| Vocabulary::WordPiece { vocab: text.into() };
        assert!(error(words("the\n[CLS]\n")).contains("vocab.txt has no `[SEP]`"));
        assert!(error(words("[CLS]\n[SEP]\n")).contains("no `[UNK]`"));
        let bytes =
            |vocab: &str, merges: &str| Vocabulary::BytePairs { vocab: vocab.into(), merges: merges.into() };
        assert!(error(bytes("[]", "")).contains("vocab.json"));
        let japanese = Some(&br#"{"tokenizer_class": "BertJapaneseTokenizer"}"#[..]);
        let told = words("[CLS]\n[SEP]\n[UNK]\n").definition(japanese).unwrap_err();
        assert!(told.contains("`BertJapaneseTokenizer`"), "{told}");
        let told = error(bytes(r#"{"<s>": 0, "</s>": 1}"#, "#version: 0.2\na b\na b c\n"));
        assert!(told.contains("merges.txt:3"), "{told}");
    }
}
