use super::Pieces;
use crate::text::Span;

/// Number of casing classes: rows of a casing embedding.
pub const CASING_CLASSES: usize = 8;

/// Casing class of every piece, from the original text of the pre-tokeniser's word that the piece belongs to.
///
/// 0 is left for special tokens and padding, 1 lower case, 2 capitalised, 3 all capitals, 4 a single capital letter,
/// 5 mixed ("McCain", "iPhone"), 6 with digits, 7 without letters or digits.
pub fn casing_classes(text: &str, pieces: &Pieces) -> Vec<u32> {
    let mut classes = Vec::with_capacity(pieces.ids.len());
    let mut start = 0;
    while start < pieces.ids.len() {
        let word = pieces.words[start];
        let end = start + pieces.words[start..].iter().take_while(|&&w| w == word).count();
        let span =
            Span::new(pieces.spans[start].start, pieces.spans[end - 1].end.max(pieces.spans[start].start));
        classes.resize(end, if word == Pieces::NO_WORD { 0 } else { class(span.of(text).unwrap_or("")) });
        start = end;
    }
    classes
}

fn class(word: &str) -> u32 {
    let letters = word.chars().filter(|c| c.is_alphabetic());
    let (mut total, mut upper) = (0, 0);
    for letter in letters {
        total += 1;
        upper += usize::from(letter.is_uppercase());
    }
    let capitalised = word.chars().find(|c| c.is_alphabetic()).is_some_and(char::is_uppercase);
    match (total, upper) {
        _ if word.chars().any(char::is_numeric) => 6,
        (0, _) => 7,
        (1, 1) => 4,
        (_, 0) => 1,
        (total, upper) if total == upper => 3,
        (_, 1) if capitalised => 2,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer::testing::tiny;
    use super::*;

    #[test]
    fn words_fall_into_their_classes() {
        let cases = [
            ("troops", 1),
            ("Troops", 2),
            ("UN", 3),
            ("U", 4),
            ("McCain", 5),
            ("iPhone", 5),
            ("G20", 6),
            ("-", 7),
            ("Ána", 2),
        ];
        for (word, expected) in cases {
            assert_eq!(class(word), expected, "{word}");
        }
    }

    #[test]
    fn every_piece_of_a_word_has_the_class_of_the_word() {
        let text = "Zz the UN";
        let pieces = tiny().pieces(text).unwrap();
        assert_eq!(casing_classes(text, &pieces), [2, 2, 1, 3, 3]);
    }
}
