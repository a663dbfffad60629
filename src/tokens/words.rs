use super::Pieces;
use crate::text::Span;

/// Cuts a text into words in the manner of CoNLL-2003, so that running text meets a token head as its training data did:
/// punctuation stands alone, abbreviations keep their full stops ("U.N.", "Gen."), numbers keep theirs ("3.5"),
/// possessive endings are cut off ("Biden 's"), and hyphens and slashes are cut between two capitalised words
/// ("Russia-North Korea").
///
/// Spans are in bytes of `text`, in order, without white space.
pub fn split_words(text: &str) -> Vec<Span> {
    let mut words = Vec::new();
    let mut start = None;
    for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_whitespace()) {
            (None, false) => start = Some(i),
            (Some(from), true) => {
                split_chunk(text, from, i, &mut words);
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Cuts one run without white space.
fn split_chunk(text: &str, start: usize, end: usize, words: &mut Vec<Span>) {
    let mut core = Span::new(start, end);
    while let Some(c) = text[core.start..core.end].chars().next().filter(|&c| peels(c)) {
        let marks = text[core.start + c.len_utf8()..core.end].chars().take_while(|&c| is_mark(c));
        let next = core.start + c.len_utf8() + marks.map(char::len_utf8).sum::<usize>();
        words.push(Span::new(core.start, next));
        core.start = next;
    }
    let mut behind = Vec::new();
    while let Some(c) = text[core.start..core.end].chars().next_back().filter(|&c| peels(c)) {
        if c == '.' && keeps_stop(&text[core.start..core.end]) {
            break;
        }
        core.end -= c.len_utf8();
        behind.push(Span::new(core.end, core.end + c.len_utf8()));
    }
    if let Some(at) = possessive(&text[core.start..core.end]) {
        behind.push(Span::new(core.start + at, core.end));
        core.end = core.start + at;
    }
    let mut from = core.start;
    let chars: Vec<(usize, char)> = text[core.start..core.end].char_indices().collect();
    for window in chars.windows(3) {
        let [(_, before), (at, c), (_, after)] = window else { continue };
        let joins = matches!(c, '-' | '–' | '—' | '/') && after.is_uppercase() && before.is_alphabetic();
        let dash = matches!(c, '—' | '…');
        let inner_quote =
            matches!(c, '"' | '“' | '”' | '(' | ')' | '[' | ']' | ';' | ':') && !before.is_numeric();
        let comma = *c == ',' && !(before.is_numeric() && after.is_numeric());
        if (joins && text[from..core.start + at].starts_with(char::is_uppercase))
            || dash
            || inner_quote
            || comma
        {
            let at = core.start + at;
            if from < at {
                words.push(Span::new(from, at));
            }
            words.push(Span::new(at, at + c.len_utf8()));
            from = at + c.len_utf8();
        }
    }
    if from < core.end {
        words.push(Span::new(from, core.end));
    }
    words.extend(behind.into_iter().rev());
}

/// Punctuation that stands alone at the edges of a word.
fn peels(c: char) -> bool {
    !c.is_alphanumeric()
        && !matches!(c, '$' | '%' | '&' | '@' | '#' | '_' | '+' | '\u{ad}' | '\u{200b}')
        && !is_mark(c)
}

/// Combining marks belong to the letter before them.
fn is_mark(c: char) -> bool {
    matches!(c as u32, 0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f)
}

/// True for "U.N.", "J." and titles: the full stop is part of the word. ("Inc.", "Corp." and the like lose theirs at the
/// end of a sentence only in theory: CoNLL keeps it in the middle, which is where names have it.)
fn keeps_stop(word: &str) -> bool {
    const TITLES: [&str; 27] = [
        "Mr.", "Mrs.", "Ms.", "Dr.", "Gen.", "Lt.", "Col.", "Maj.", "Sgt.", "Capt.", "Adm.", "Sen.", "Rep.",
        "Gov.", "St.", "Jr.", "Sr.", "Prof.", "Rev.", "Hon.", "Inc.", "Corp.", "Co.", "Ltd.", "vs.", "No.",
        "Mt.",
    ];
    let Some(body) = word.strip_suffix('.') else { return false };
    let initials =
        body.rsplit('.').all(|part| part.chars().count() == 1 && part.chars().all(char::is_alphabetic));
    initials || TITLES.contains(&word)
}

/// Where a possessive ending begins.
fn possessive(word: &str) -> Option<usize> {
    ["'s", "’s", "'S", "’S"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending))
        .map(str::len)
        .filter(|&n| n > 0)
}

/// The first piece of every word: the one whose state speaks for the word. `None` where a word has no piece of its own
/// (control characters and other things that tokenizers drop).
pub fn first_pieces(words: &[Span], pieces: &Pieces) -> Vec<Option<usize>> {
    let mut next = 0;
    words
        .iter()
        .map(|word| {
            while pieces
                .spans
                .get(next)
                .is_some_and(|piece| piece.end <= word.start || piece.start < word.start && piece.is_empty())
            {
                next += 1;
            }
            let piece = pieces.spans.get(next)?;
            if piece.start >= word.end {
                return None;
            }
            next += 1;
            Some(next - 1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer::testing::tiny;
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        split_words(text).into_iter().map(|s| s.of(text).unwrap()).collect()
    }

    #[test]
    fn words_are_cut_as_conll_cuts_them() {
        assert_eq!(
            words("The U.N. envoy, Gen. J. Doe, left."),
            ["The", "U.N.", "envoy", ",", "Gen.", "J.", "Doe", ",", "left", "."]
        );
        assert_eq!(
            words("Trump’s “America First” plan"),
            ["Trump", "’s", "“", "America", "First", "”", "plan"]
        );
        assert_eq!(
            words("Russia-North Korea ties grew 3.5% (up)."),
            ["Russia", "-", "North", "Korea", "ties", "grew", "3.5%", "(", "up", ")", "."]
        );
        assert_eq!(
            words("pro-Russian co-operation in Asia/Pacific"),
            ["pro-Russian", "co-operation", "in", "Asia", "/", "Pacific"]
        );
        assert_eq!(
            words("talks—Paris said—failed; 1,200 left"),
            ["talks", "—", "Paris", "said", "—", "failed", ";", "1,200", "left"]
        );
        assert_eq!(words("  \u{200b} "), ["\u{200b}"]);
        assert_eq!(words("🕊\u{fe0f}, yes"), ["🕊\u{fe0f}", ",", "yes"]);
        assert!(words("").is_empty());
    }

    #[test]
    fn the_first_piece_speaks_for_its_word() {
        let text = "Ana's zz-1 may";
        let pieces = tiny().pieces(text).unwrap();
        let words = split_words(text);
        let first = first_pieces(&words, &pieces);
        let slices: Vec<&str> = first.iter().map(|p| pieces.spans[p.unwrap()].of(text).unwrap()).collect();
        assert_eq!(slices, ["Ana", "'", "z", "may"]);
    }

    #[test]
    fn a_word_that_tokenises_to_nothing_has_no_piece() {
        let text = "may \u{1} leave";
        let pieces = tiny().pieces(text).unwrap();
        assert_eq!(first_pieces(&split_words(text), &pieces), [Some(0), None, Some(1)]);
    }
}
