use super::Span;

/// Splits an article into sentences: spans in bytes of `text`, in order, without the white space around them.
///
/// A blank line ends a sentence, and so does the end of a line that was not broken for lack of room (a headline);
/// inside such a paragraph the rules of [sentencex](https://github.com/wikimedia/sentencex) hold, which know
/// abbreviations ("U.N.", "Gen.") and keep a quotation of several sentences together. Text of white space alone, or
/// none, has no sentences.
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
        for sentence in sentencex::get_sentence_boundaries("en", words) {
            let span = Span::new(paragraph.start + sentence.start_byte, paragraph.start + sentence.end_byte);
            sentences.extend(trimmed(text, span));
        }
    }
    sentences
}

/// The span without white space and byte-order marks at its ends; `None` if nothing is left.
pub(crate) fn trimmed(text: &str, span: Span) -> Option<Span> {
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let slice = span.of(text)?;
    let start = span.start + (slice.len() - slice.trim_start_matches(blank).len());
    let rest = Span::new(start, span.end).of(text)?.trim_end_matches(blank);
    (!rest.is_empty()).then(|| Span::new(start, start + rest.len()))
}

/// Runs of lines that read on: ended by a blank line, or by a line that stopped although the next word had room.
fn paragraphs(text: &str) -> Vec<Span> {
    let mut paragraphs = Vec::new();
    let mut block: Vec<Span> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive(['\n', '\u{2029}']) {
        let span = Span::new(start, start + line.len());
        start = span.end;
        match trimmed(text, span) {
            Some(_) => block.push(span),
            None => unwrap(text, &std::mem::take(&mut block), &mut paragraphs),
        }
    }
    unwrap(text, &block, &mut paragraphs);
    paragraphs
}

/// Joins the lines of a block that were broken only for lack of room, the block's longest line being the room there was.
fn unwrap(text: &str, lines: &[Span], paragraphs: &mut Vec<Span>) {
    let words = |span: Span| span.of(text).unwrap_or_default().trim();
    let room = lines.iter().map(|&line| words(line).chars().count()).max().unwrap_or(0);
    let mut current: Option<Span> = None;
    for &line in lines {
        current = Some(match current {
            None => line,
            Some(so_far) => {
                let last = words(so_far).lines().next_back().unwrap_or_default().trim().chars().count();
                let next = words(line).split_whitespace().next().unwrap_or_default().chars().count();
                if last + 1 + next > room {
                    Span::new(so_far.start, line.end)
                } else {
                    paragraphs.push(so_far);
                    line
                }
            }
        });
    }
    paragraphs.extend(current);
}

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
    fn a_headline_and_wrapped_lines_are_told_apart() {
        let text = "\u{feff}Ministers meet in Lima\r\nThe ministers of three states met on Friday to\r\nspeak of trade. They\r\nwill meet again.\r\n\r\nEnd";
        assert_eq!(
            sentences(text),
            [
                "Ministers meet in Lima",
                "The ministers of three states met on Friday to\r\nspeak of trade.",
                "They\r\nwill meet again.",
                "End"
            ]
        );
    }

    #[test]
    fn paragraphs_of_a_line_each_stay_apart() {
        let text = "A long first paragraph that goes on and on without a full stop\nShort one\nAnother";
        assert_eq!(sentences(text).len(), 3);
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
