use super::{Flaw, FlawKind, Labelled, Line};
use crate::formats::FormatError;
use crate::labels::{GoldEntity, GoldSentence, decode};
use crate::text::Span;

/// [`LabelledFormat::Conll`](super::LabelledFormat::Conll)
pub(super) fn read(
    mut lines: impl Iterator<Item = Result<Line, FormatError>>,
) -> impl Iterator<Item = Result<Labelled, FormatError>> {
    let mut articles = 0;
    let mut over = false;
    std::iter::from_fn(move || {
        let mut sentence = Sentence::default();
        while !over {
            let line = match lines.next() {
                Some(Ok(line)) => line,
                Some(Err(error)) => {
                    over = true;
                    return Some(Err(error));
                }
                None => {
                    over = true;
                    break;
                }
            };
            match line.text.as_deref().map(|text| columns(text).next()) {
                Ok(None) if sentence.is_empty() => {}
                Ok(None) => break,
                Ok(Some("-DOCSTART-")) => articles += 1,
                _ => sentence.push(line),
            }
        }
        let article = (articles > 0).then(|| format!("document {articles}"));
        sentence.finish(article).map(Ok)
    })
}

/// Columns are separated by tabs if there is one, else by spaces; other white space (a no-break space in a number) is part
/// of a word.
fn columns(line: &str) -> impl DoubleEndedIterator<Item = &str> {
    let tabs = line.contains('\t');
    line.split(move |c| c == '\t' || c == ' ' && !tabs).filter(|column| !column.trim().is_empty())
}

/// A sentence as far as it is read.
#[derive(Default)]
struct Sentence {
    line: usize,
    text: String,
    words: Vec<Span>,
    tags: Vec<String>,
    flaws: Vec<Flaw>,
}

impl Sentence {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.flaws.is_empty()
    }

    fn push(&mut self, line: Line) {
        if self.is_empty() {
            self.line = line.number;
        }
        match line.text.and_then(|text| word_and_tag(line.number, &text)) {
            Ok((word, tag)) => {
                if !self.text.is_empty() {
                    self.text.push(' ');
                }
                let start = self.text.len();
                self.text.push_str(&word);
                self.words.push(Span::new(start, self.text.len()));
                self.tags.push(tag);
            }
            Err(flaw) => self.flaws.push(flaw),
        }
    }

    fn finish(self, article: Option<String>) -> Option<Labelled> {
        if self.is_empty() {
            return None;
        }
        if !self.flaws.is_empty() {
            return Some(Labelled { line: self.line, sentence: Err(self.flaws) });
        }
        let entities = decode(&self.tags).into_iter().map(|span| GoldEntity {
            span: Span::new(self.words[span.start].start, self.words[span.end - 1].end),
            label: span.label,
        });
        let entities = Some(entities.collect());
        let (text, words) = (self.text, Some(self.words));
        let gold = GoldSentence { article, text, words, entities, ..GoldSentence::default() };
        Some(Labelled { line: self.line, sentence: Ok(gold) })
    }
}

fn word_and_tag(line: usize, text: &str) -> Result<(String, String), Flaw> {
    let fail = |reason| Flaw { line, kind: FlawKind::Malformed, reason };
    let mut columns = columns(text);
    let word = columns.next().unwrap_or_default();
    let tag = columns.next_back().ok_or_else(|| {
        fail(format!("\"{word}\" stands alone; a line is a word, a tab and its tag (such as B-PER or O)"))
    })?;
    let is_tag = tag == "O"
        || matches!(tag.split_once('-'), Some(("B" | "I" | "E" | "S" | "L" | "U", kind)) if !kind.is_empty());
    if !is_tag {
        return Err(fail(format!("\"{tag}\" is no tag; tags are O, or B-, I-, E- or S- and a type")));
    }
    Ok((word.to_owned(), tag.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, testing};
    use crate::labels::GoldSentence;

    fn read(content: &str) -> Result<Vec<GoldSentence>, String> {
        testing::read(LabelledFormat::Conll, content)
    }

    #[test]
    fn words_and_entities_lie_in_the_joined_text() {
        let gold = read(
            "-DOCSTART-\tO\n\nEU\tI-ORG\nrejects\tO\nNew NNP X I-LOC\nYork NNP X I-LOC\n\n\nPeter\tB-PER",
        )
        .unwrap();
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
        let gold = read("-DOCSTART-\n\n10\u{a0}000\tO\nNew York\tB-LOC\n").unwrap();
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
            let error = read(content).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn every_bad_line_of_a_sentence_is_told_and_the_next_sentence_is_read() {
        let lines = "a O\nb\nc X\n\n-DOCSTART- O\n\nd O\n".lines().enumerate();
        let lines = lines.map(|(i, text)| Ok(super::Line { number: i + 1, text: Ok(text.to_owned()) }));
        let read: Vec<_> = super::read(lines).map(Result::unwrap).collect();
        let at: Vec<usize> = read[0].sentence.as_ref().unwrap_err().iter().map(|flaw| flaw.line).collect();
        assert_eq!(at, [2, 3]);
        let second = read[1].sentence.as_ref().unwrap();
        assert_eq!((read[1].line, second.article.as_deref()), (7, Some("document 1")));
    }
}
