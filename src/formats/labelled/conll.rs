use super::lines::Line;
use super::write::{LabelledWriter, Losses, Writing};
use super::{Flaw, Labelled, Loss, words};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use crate::text::Span;
use std::io::Write;

/// [`LabelledFormat::Conll`](super::LabelledFormat::Conll)
pub(super) fn read(
    mut lines: impl Iterator<Item = Result<Line, FormatError>>,
) -> impl Iterator<Item = Result<Labelled, FormatError>> {
    let mut articles = 0;
    let mut over = false;
    std::iter::from_fn(move || {
        let mut sentence = Sentence::default();
        let mut ends = None;
        while !over && ends.is_none() {
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
                Ok(None) => ends = Some(articles),
                Ok(Some("-DOCSTART-")) => {
                    // A sentence before it ends there, with a blank line or without.
                    ends = (!sentence.is_empty()).then_some(articles);
                    articles += 1;
                }
                _ => sentence.push(line),
            }
        }
        let number = ends.unwrap_or(articles);
        let article = (number > 0).then(|| document(number));
        sentence.finish(article).map(Ok)
    })
}

/// Columns are separated by tabs if there is one, else by spaces; other white space (a no-break space in a number) is part
/// of a word.
pub(super) fn columns(line: &str) -> impl DoubleEndedIterator<Item = &str> {
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
        let entities = Some(words::entities(&self.words, &self.tags));
        let (text, words) = (self.text, Some(self.words));
        let gold = GoldSentence { article, text, words, entities, ..GoldSentence::default() };
        Some(Labelled { line: self.line, sentence: Ok(gold) })
    }
}

/// True for `O`, and for a mark, a hyphen and a type.
pub(super) fn is_tag(tag: &str) -> bool {
    tag == "O"
        || matches!(tag.split_once('-'), Some(("B" | "I" | "E" | "S" | "L" | "U", kind)) if !kind.is_empty())
}

fn word_and_tag(line: usize, text: &str) -> Result<(String, String), Flaw> {
    let fail = |reason: String| Flaw::malformed(line, reason);
    let mut columns = columns(text);
    let word = columns.next().unwrap_or_default();
    let tag = columns.next_back().ok_or_else(|| {
        fail(format!("\"{word}\" stands alone; a line is a word, a tab and its tag (such as B-PER or O)"))
    })?;
    if !is_tag(tag) {
        return Err(fail(format!("\"{tag}\" is no tag; tags are O, or B-, I-, E- or S- and a type")));
    }
    Ok((word.to_owned(), tag.to_owned()))
}

/// A word a line and its tag (IOB2), a blank line behind every sentence.
pub(super) struct Writer<W> {
    out: W,
    writing: Writing,
    /// Articles begun.
    articles: usize,
    article: Option<String>,
    begun: bool,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, writing: Writing) -> Self {
        Self { out, writing, articles: 0, article: None, begun: false }
    }

    /// Begins an article where the sentence does.
    fn article(&mut self, article: &Option<String>) -> std::io::Result<()> {
        if self.article != *article {
            self.articles += 1;
            self.article.clone_from(article);
            self.out.write_all(b"-DOCSTART-\tO\n\n")?;
        }
        let read = (self.articles > 0).then(|| document(self.articles));
        self.writing.lose(Loss::Article, read != *article);
        Ok(())
    }
}

/// The name of an article, which the format itself does not give.
fn document(number: usize) -> String {
    format!("document {number}")
}

/// A word or a type that a line can have.
fn plain(word: &str) -> String {
    let word = word.replace(['\t', '\n', '\r'], " ");
    if word == "-DOCSTART-" { "DOCSTART".into() } else { word }
}

impl<W: Write> LabelledWriter for Writer<W> {
    fn write(&mut self, sentence: &GoldSentence) -> std::io::Result<()> {
        let GoldSentence { text, words: own, labels, entities, fields, .. } = sentence;
        self.article(&sentence.article)?;
        let words = words::words(sentence);
        let tags = words::tags(&words, entities.as_deref().unwrap_or_default());
        let written: Vec<String> =
            words.iter().map(|word| plain(word.of(text).unwrap_or_default())).collect();
        // A byte-order mark at the start of a file is no text.
        if !self.begun
            && self.articles == 0
            && written.first().is_some_and(|word| word.starts_with('\u{feff}'))
        {
            self.out.write_all(b"\n")?;
        }
        self.begun = true;
        for (word, tag) in written.iter().zip(&tags) {
            writeln!(self.out, "{word}\t{}", plain(tag))?;
        }
        self.out.write_all(b"\n")?;
        self.writing.lose(Loss::Text, written.join(" ") != *text);
        self.writing.lose(Loss::Words, own.as_ref().is_some_and(|own| *own != words));
        self.writing.lose(Loss::Labels, labels.as_ref().is_some_and(|labels| !labels.is_empty()));
        self.writing.annotation(labels, false);
        let kept = |label: &str| !label.is_empty() && plain(label) == label;
        self.writing.lose(Loss::Entities, entities.iter().flatten().any(|entity| !kept(&entity.label)));
        self.writing.annotation(entities, true);
        self.writing.lose(Loss::Fields, !fields.is_empty());
        self.writing.done();
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> std::io::Result<Losses> {
        self.out.flush()?;
        Ok(self.writing.losses())
    }
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
        let lines =
            lines.map(|(i, text)| Ok(super::super::lines::Line { number: i + 1, text: Ok(text.to_owned()) }));
        let read: Vec<_> = super::read(lines).map(Result::unwrap).collect();
        let at: Vec<usize> = read[0].sentence.as_ref().unwrap_err().iter().map(|flaw| flaw.line).collect();
        assert_eq!(at, [2, 3]);
        let lines = ["a O", "-DOCSTART-", "b O", "", "-DOCSTART-", "", "c O"].into_iter().enumerate();
        let lines = lines.map(|(i, text)| Ok(super::Line { number: i + 1, text: Ok(text.to_owned()) }));
        let sentences = super::read(lines).map(|labelled| labelled.unwrap().sentence.unwrap());
        let told: Vec<_> = sentences.map(|gold| (gold.text, gold.article)).collect();
        let article = |number: usize| Some(format!("document {number}"));
        assert_eq!(told, [("a".into(), None), ("b".into(), article(1)), ("c".into(), article(2))]);
        let second = read[1].sentence.as_ref().unwrap();
        assert_eq!((read[1].line, second.article.as_deref()), (7, Some("document 1")));
    }
}
