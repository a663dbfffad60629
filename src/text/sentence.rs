use super::paragraph::{item, paragraphs};
use super::{Span, trimmed};

/// Splits an article into sentences: spans in bytes of `text`, in order, without the white space around them.
///
/// A blank line ends a sentence, and so does the end of a line that was not broken for lack of room (a headline);
/// inside such a paragraph the rules of [sentencex](https://github.com/wikimedia/sentencex) hold, which know
/// abbreviations ("U.N.", "Gen.") and keep a quotation of several sentences together, and a few repairs of ours where it
/// slips on news. Text of white space alone, or none, has no sentences.
///
/// ```
/// use undertone::text::split_sentences;
///
/// let text = "Talks end\n\nGen. Ruiz left the U.N. on Friday. He said nothing.";
/// let sentences: Vec<&str> = split_sentences(text).into_iter().filter_map(|span| span.of(text)).collect();
/// assert_eq!(sentences, ["Talks end", "Gen. Ruiz left the U.N. on Friday.", "He said nothing."]);
/// ```
pub fn split_sentences(text: &str) -> Vec<Span> {
    let mut sentences = Vec::new();
    for paragraph in paragraphs(text) {
        let Some(words) = paragraph.of(text) else { continue };
        let mut start = 0;
        for end in ends(words) {
            let span = Span::new(paragraph.start + start, paragraph.start + end);
            start = end;
            sentences.extend(trimmed(text, span));
        }
    }
    sentences
}

/// Where the sentences of a paragraph end: sentencex's answer, less its slips.
fn ends(words: &str) -> Vec<usize> {
    let mut ends: Vec<usize> = Vec::new();
    let mut start = 0;
    let body = words.len() - words.trim_start().len();
    let body = body + item(&words[body..]);
    for sentence in sentencex::get_sentence_boundaries("en", &words[body..]) {
        let end = opening(words, closing(words, body + sentence.end_byte));
        if end <= start {
            continue;
        }
        if end < words.len() && reads_on(words[start..end].trim(), words[end..].trim_start()) {
            continue;
        }
        ends.extend(asides(words, start, end));
        ends.push(end);
        start = end;
    }
    if ends.last() != Some(&words.len()) {
        ends.push(words.len());
    }
    ends
}

/// The end moved right over marks that close what stands before them: `Stop it. |]`, `**He left. |**`.
fn closing(words: &str, end: usize) -> usize {
    let (before, after) = words.split_at(end);
    if before.ends_with(char::is_whitespace) {
        return end;
    }
    let marks =
        after.len() - after.trim_start_matches([']', ')', '}', '*', '_', '"', '\'', '”', '’', '»']).len();
    let rest = &after[marks..];
    if marks > 0 && (rest.is_empty() || rest.starts_with(char::is_whitespace)) { end + marks } else { end }
}

/// The end moved left over a mark that opens what comes after it: `he said. “| It is over` (the quotation has no end).
fn opening(words: &str, end: usize) -> usize {
    let before = words[..end].trim_end();
    let bare = before.trim_end_matches(['“', '‘', '«', '„', '"', '\'', '(', '[']);
    let inside = bare.trim_end();
    if end < words.len()
        && bare.len() < before.len()
        && bare.len() > inside.len()
        && inside.ends_with(['.', '!', '?', '…'])
    {
        bare.len()
    } else {
        end
    }
}

/// True if what sentencex takes for the end of a sentence is none.
fn reads_on(sentence: &str, next: &str) -> bool {
    let last = sentence.rsplit(char::is_whitespace).next().unwrap_or_default();
    let last = last.trim_start_matches(['(', '[', '“', '"', '‘', '\'']);
    let word = next.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let second = next.split_whitespace().nth(1).unwrap_or_default();
    TITLES.contains(&last)
        || matches!(last, "a.m." | "p.m." | "A.M." | "P.M.")
            && (AFTER_HOUR.contains(&word) || second.starts_with("time"))
        || sentence.strip_suffix('.').is_some_and(|n| {
            !n.is_empty() && n.len() < 3 && n.bytes().all(|b| b.is_ascii_digit())
                || n.len() == 1 && n.bytes().all(|b| b.is_ascii_uppercase())
        })
        || sentence.ends_with(['!', '?'])
            && !word.is_empty()
            && word.chars().all(char::is_lowercase)
            && !next[word.len()..].starts_with('-')
        || sentence.ends_with(['”', '"']) && next.starts_with(['–', '—'])
}

/// Ends that sentencex takes for the inside of brackets or of a quotation: `(Laughter.)| He`, `‘Go away.’”| She`; and
/// the word "no", which it takes for "number".
fn asides(words: &str, start: usize, end: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = start;
    for (i, _) in words[start..end].char_indices().filter(|(_, c)| c.is_whitespace()) {
        let at = start + i;
        let head = words[from..at].trim_start();
        let next = words[at..end].trim_start();
        let starts = next.starts_with(|c: char| c.is_uppercase() || "“‘\"([".contains(c));
        let bracketed = head.starts_with('(')
            && ends_with_any(head, &[".)", "!)", "?)"])
            && !head[..head.len() - 1].contains(')')
            || head.starts_with('[')
                && ends_with_any(head, &[".]", "!]", "?]"])
                && !head[..head.len() - 1].contains(']');
        let quoted = ends_with_any(head, &[".’”", "!’”", "?’”", ".'\"", "!'\"", "?'\""]);
        let no = (head.ends_with(" no.") || head == "No.") && !head.contains(['“', '"']);
        if starts && (bracketed || quoted || no) {
            found.push(at);
            from = at;
        }
    }
    found
}

fn ends_with_any(text: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| text.ends_with(end))
}

/// Titles that sentencex does not know, or takes for something else ("Ms." for a master's degree).
const TITLES: [&str; 14] = [
    "Ms.", "Mses.", "Mx.", "J.D.", "Gens.", "Cols.", "Profs.", "Govs.", "Lts.", "Atty.", "Lieut.", "Amb.",
    "Dep.", "Spc.",
];

/// What may follow "a.m." in the same sentence.
const AFTER_HOUR: [&str; 33] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
    "Eastern",
    "Central",
    "Mountain",
    "Pacific",
    "ET",
    "EST",
    "EDT",
    "CT",
    "PT",
    "GMT",
    "UTC",
    "BST",
    "CET",
    "CEST",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sentences(text: &str) -> Vec<&str> {
        split_sentences(text).into_iter().map(|span| span.of(text).unwrap()).collect()
    }

    #[test]
    fn abbreviations_and_initials_do_not_end_a_sentence() {
        for whole in [
            "The U.N. Security Council met on Friday.",
            "Gen. Ruiz and St. Clair spoke in Washington, D.C. on Monday.",
            "He criticised Donald J. Trump's return to the White House.",
            "Prices rose 3.5 percent, said Acme Inc. in a note.",
        ] {
            assert_eq!(sentences(whole), [whole]);
        }
    }

    #[test]
    fn a_quotation_ends_with_its_closing_mark() {
        let text = "“I think it’s built to last,” he said. She left. “We will see.” They agreed.";
        let found = sentences(text);
        assert_eq!(found[0], "“I think it’s built to last,” he said.");
        assert_eq!(found[1], "She left.");
    }

    #[test]
    fn titles_hours_and_numbers_of_a_list_do_not_end_a_sentence() {
        for whole in [
            "They had attacked Ms. Harris in the hall.",
            "He met with J.D. Vance on Monday.",
            "It begins at 3 p.m. Monday, or 11 a.m. London time.",
            "“Oh no!” she cried.",
            "Oh no! she cried.",
            "1. The start.",
        ] {
            assert_eq!(sentences(whole), [whole]);
        }
    }

    #[test]
    fn brackets_quotations_and_a_plain_no_end_sentences() {
        for (text, expected) in [
            ("I’d go with both. (Laughter.) Because he can.", 3),
            ("“She told me ‘Go away.’” She wept.", 2),
            ("The answer is no. Ministers will not move.", 2),
            ("He saw No. 10 on Friday.", 1),
            ("“Stop it. Stop the crimes.”] They left.", 2),
        ] {
            assert_eq!(sentences(text).len(), expected, "{:?}", sentences(text));
        }
        // A quotation that goes on in the next paragraph has no end in this one.
        assert_eq!(sentences("He spoke. “It is over for us"), ["He spoke.", "“It is over for us"]);
    }

    #[test]
    fn nothing_has_no_sentences() {
        assert!(sentences("").is_empty());
        assert!(sentences(" \r\n\u{a0}\n\u{feff}").is_empty());
    }

    proptest! {
        /// Sentences lie in order on character boundaries, lose nothing but white space, and have none at their ends.
        #[test]
        fn every_word_is_in_one_sentence(text in "(?s)([A-Za-z]{1,6}|[.!?][ \"”]|\r\n|\n|\n\n|[“\"é字🎉\u{301}\u{feff}\u{2028}\u{85}]| |\\PC){0,60}") {
            let mut at = 0;
            for span in split_sentences(&text) {
                prop_assert!(span.start >= at && !span.is_empty());
                prop_assert!(trimmed(&text, Span::new(at, span.start)).is_none(), "lost {:?}", &text[at..span.start]);
                prop_assert_eq!(trimmed(&text, span), Some(span));
                at = span.end;
            }
            prop_assert!(trimmed(&text, Span::new(at, text.len())).is_none());
        }
    }
}
