use super::{FormatError, lines};
use crate::labels::{GoldEntity, GoldSentence, decode};
use crate::text::Span;
use std::path::Path;

/// Reads CoNLL columns: a word and, as the last column, its tag, separated by tabs or spaces; a blank line between
/// sentences; `-DOCSTART-` lines are passed over. IOB1, IOB2 and BIOES tags are understood.
///
/// The text of a sentence is its words joined by single spaces.
///
/// # Errors
/// If the file cannot be read, or with file and line if a line has no tag column or the tag is none.
pub fn read_conll(path: &Path) -> Result<Vec<GoldSentence>, FormatError> {
    let mut gold = Vec::new();
    let mut sentence = Sentence::default();
    for line in lines(path)? {
        let (number, line) = line?;
        let mut columns = columns(&line);
        let Some(word) = columns.next() else {
            gold.extend(std::mem::take(&mut sentence).finish());
            continue;
        };
        if word == "-DOCSTART-" {
            continue;
        }
        let Some(tag) = columns.next_back() else {
            let reason =
                format!("\"{word}\" stands alone; a line is a word, a tab and its tag (such as B-PER or O)");
            return Err(FormatError::Line { path: path.to_owned(), line: number, reason });
        };
        if tag != "O"
            && !matches!(tag.split_once('-'), Some(("B" | "I" | "E" | "S" | "L" | "U", kind)) if !kind.is_empty())
        {
            let reason = format!("\"{tag}\" is no tag; tags are O, or B-, I-, E- or S- and a type");
            return Err(FormatError::Line { path: path.to_owned(), line: number, reason });
        }
        sentence.push(word, tag);
    }
    gold.extend(sentence.finish());
    Ok(gold)
}

/// Columns are separated by tabs if there is one, else by spaces; other white space (a no-break space in a number) is part
/// of a word.
fn columns(line: &str) -> impl DoubleEndedIterator<Item = &str> {
    let tabs = line.contains('\t');
    line.split(move |c| c == '\t' || c == ' ' && !tabs).filter(|column| !column.trim().is_empty())
}

#[derive(Default)]
struct Sentence {
    text: String,
    words: Vec<Span>,
    tags: Vec<String>,
}

impl Sentence {
    fn push(&mut self, word: &str, tag: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len();
        self.text.push_str(word);
        self.words.push(Span::new(start, self.text.len()));
        self.tags.push(tag.to_owned());
    }

    fn finish(self) -> Option<GoldSentence> {
        let entities = decode(&self.tags).into_iter().map(|span| GoldEntity {
            span: Span::new(self.words[span.start].start, self.words[span.end - 1].end),
            label: span.label,
        });
        let entities = Some(entities.collect());
        (!self.words.is_empty()).then_some(GoldSentence {
            article: None,
            text: self.text,
            words: Some(self.words),
            labels: None,
            entities,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::file;
    use super::*;

    #[test]
    fn words_and_entities_lie_in_the_joined_text() {
        let (_folder, path) = file(
            "-DOCSTART-\tO\n\nEU\tI-ORG\nrejects\tO\nNew NNP X I-LOC\nYork NNP X I-LOC\n\n\nPeter\tB-PER",
        );
        let gold = read_conll(&path).unwrap();
        assert_eq!(gold.len(), 2);
        assert_eq!(gold[0].text, "EU rejects New York");
        let entities = gold[0].entities.as_ref().unwrap();
        assert_eq!(
            (entities[1].span.of(&gold[0].text), entities[1].label.as_str()),
            (Some("New York"), "LOC")
        );
        assert_eq!(gold[0].words.as_ref().unwrap().len(), 4);
    }

    #[test]
    fn only_the_separator_of_the_line_cuts_it() {
        let (_folder, path) = file("-DOCSTART-\n\n10\u{a0}000\tO\nNew York\tB-LOC\n");
        let gold = read_conll(&path).unwrap();
        assert_eq!(
            (gold[0].text.as_str(), gold[0].words.as_ref().unwrap().len()),
            ("10\u{a0}000 New York", 2)
        );
    }

    #[test]
    fn a_missing_or_foreign_tag_is_named_by_line() {
        for (content, expected) in [
            ("EU\tB-ORG\nrejects", "data:2: \"rejects\" stands alone"),
            ("EU\tORG", "data:1: \"ORG\" is no tag"),
        ] {
            let (_folder, path) = file(content);
            let error = read_conll(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
