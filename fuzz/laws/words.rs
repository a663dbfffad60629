use std::sync::OnceLock;
use undertone::text::Span;
use undertone::tokens::{
    CASING_CLASSES, Pieces, Tokenizer, casing_classes, first_pieces, split_words, windows,
};

/// WordPiece, byte-pair encoding and two kinds of Unigram.
const TOKENIZERS: [&[u8]; 4] = [
    include_bytes!("../../tests/fixtures/bert/token/tokenizer.json"),
    include_bytes!("../../tests/fixtures/families/roberta/token/tokenizer.json"),
    include_bytes!("../../tests/fixtures/families/xlm-roberta/token/tokenizer.json"),
    include_bytes!("../../tests/fixtures/families/albert/token/tokenizer.json"),
];

/// Words and pieces lie in the text, every word has a piece of its own or none, and windows decide every piece once. The
/// first two bytes pick tokenizer and window.
pub(crate) fn law(data: &[u8]) {
    static PARSED: OnceLock<Vec<Tokenizer>> = OnceLock::new();
    let [choice, share, text @ ..] = data else { return };
    let text = &String::from_utf8_lossy(text);
    let tokenizers = PARSED.get_or_init(|| {
        TOKENIZERS.iter().map(|json| Tokenizer::parse(json, None).expect("a tokenizer")).collect()
    });
    let tokenizer = &tokenizers[usize::from(choice & 3)];

    let words = split_words(text);
    let mut at = 0;
    for word in &words {
        assert!(word.start >= at && !word.is_empty(), "{word:?} after {at}");
        assert!(!word.of(text).expect("on character boundaries").contains(char::is_whitespace));
        assert!(text[at..word.start].chars().all(char::is_whitespace));
        at = word.end;
    }
    assert!(text[at..].chars().all(char::is_whitespace));

    let special = choice & 4 != 0;
    let reading = special.then(|| tokenizer.clone().reading_special_tokens());
    let pieces = reading.as_ref().unwrap_or(tokenizer).pieces(text).expect("any text has pieces");
    check_pieces(text, &pieces);
    assert_eq!(tokenizer.continuations(text, &pieces).len(), pieces.ids.len());
    check_first(&words, &pieces);
    check_windows(pieces.ids.len(), usize::from(choice >> 3) + 1, usize::from(*share));
}

fn check_pieces(text: &str, pieces: &Pieces) {
    let Pieces { ids, spans, words } = pieces;
    assert_eq!((spans.len(), words.len()), (ids.len(), ids.len()));
    assert!(spans.iter().all(|span| span.of(text).is_some()), "{spans:?}");
    let classes = casing_classes(text, pieces);
    assert_eq!(classes.len(), ids.len());
    assert!(classes.iter().all(|&class| (class as usize) < CASING_CLASSES));
}

fn check_first(words: &[Span], pieces: &Pieces) {
    let first = first_pieces(words, pieces);
    assert_eq!(first.len(), words.len());
    let found: Vec<usize> = first.iter().flatten().copied().collect();
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
    for (word, piece) in words.iter().zip(&first) {
        if let Some(piece) = piece {
            let piece = pieces.spans[*piece];
            assert!(piece.start < word.end && piece.end > word.start, "{piece:?} speaks for {word:?}");
        }
    }
}

fn check_windows(pieces: usize, size: usize, share: usize) {
    let windows = windows(pieces, size, share % size);
    let decided: Vec<usize> = windows.iter().flat_map(|window| window.decide.clone()).collect();
    assert!(decided.iter().copied().eq(0..pieces));
    for window in windows {
        assert!(window.read.len() <= size);
        assert!(window.read.start <= window.decide.start && window.decide.end <= window.read.end);
    }
}
