use super::bounded::{KEPT, Lines, floor, size, too_long};
use super::{About, BadRecord, Document, Documents, Segmentation, Source};
use crate::text::{Span, trimmed};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};

/// Articles that are no longer than this many bytes are one document.
pub(super) const ARTICLE: usize = 4 << 20;
/// Longer ones are handed out in stretches of so many bytes, and on to the next blank line.
const STRETCH: usize = 1 << 20;
/// Where no blank line comes, a stretch ends within so many bytes: after a line, else after white space.
const LONGEST: usize = 32 << 20;

/// The whole input as one article, or in stretches of it if it is long.
pub(super) fn article(source: Source) -> Documents {
    let Source { reader, about } = source;
    let mut article = Article {
        reader,
        about,
        held: Vec::new(),
        searched: 0,
        handed: 0,
        lines: 0,
        continues: false,
        over: false,
    };
    Box::new(std::iter::from_fn(move || {
        let stretch = article.next()?;
        article.over |= stretch.is_err();
        Some(stretch)
    }))
}

struct Article {
    reader: Box<dyn BufRead>,
    about: About,
    /// What is read and not yet handed out, and how far it has been searched for a blank line.
    held: Vec<u8>,
    searched: usize,
    /// Bytes and lines that have been handed out.
    handed: usize,
    lines: usize,
    continues: bool,
    over: bool,
}

impl Article {
    fn next(&mut self) -> Option<Result<Document, BadRecord>> {
        if self.over {
            return None;
        }
        let end = match self.stretch() {
            Ok(end) => end,
            Err(bad) => return Some(Err(bad)),
        };
        if self.over && self.continues && end == 0 {
            return None;
        }
        let rest = self.held.split_off(end);
        let bytes = std::mem::replace(&mut self.held, rest);
        self.searched = 0;
        let read = bytes.len();
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Some(Err(self.flawed(error.utf8_error().valid_up_to(), error.as_bytes()))),
        };
        self.handed += read;
        self.lines += newlines(text.as_bytes());
        Some(Ok(Document {
            id: Value::String(self.about.name.clone()),
            date: None,
            text,
            segmentation: self.about.options.segmentation(),
            continues: std::mem::replace(&mut self.continues, true),
            fields: Map::new(),
        }))
    }

    /// Reads on until a stretch is there, and tells its end in `held`.
    fn stretch(&mut self) -> Result<usize, BadRecord> {
        let About { name, options, .. } = &self.about;
        // A text that counts as one sentence cannot be cut.
        let (split, limit) = (options.split, options.max_record_bytes);
        let whole = if split { ARTICLE } else { limit };
        let mut wanted = if self.continues { STRETCH } else { whole };
        loop {
            let missing = wanted.saturating_add(1).saturating_sub(self.held.len());
            let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.held);
            let read = read.map_err(|error| {
                let line = self.lines + newlines(&self.held) + 1;
                BadRecord::at(name, line, error.to_string(), [])
            })?;
            if read < missing {
                self.over = true;
                return Ok(self.held.len());
            }
            if !split {
                let reason = format!(
                    "longer than {} (`--max-record-bytes`), which is too long for one sentence",
                    size(limit)
                );
                return Err(BadRecord::whole(name, reason));
            }
            if let Some(end) = blank_line(&self.held, &mut self.searched) {
                return Ok(end);
            }
            if self.held.len() > LONGEST {
                return Ok(forced(&self.held[..LONGEST]));
            }
            wanted = (self.held.len() + STRETCH).min(LONGEST);
        }
    }

    /// What is wrong with a stretch that is no text.
    fn flawed(&self, at: usize, stretch: &[u8]) -> BadRecord {
        let About { name, .. } = &self.about;
        let reason = self.about.malformed(self.handed + at);
        if self.handed == 0 && self.over {
            return BadRecord::whole(name, reason);
        }
        let line = self.lines + newlines(&stretch[..at]) + 1;
        BadRecord::at(name, line, format!("{reason}; the article is read no further"), [])
    }
}

/// Where the first blank line ends of those that begin a stretch's length away or further, and further than what has been
/// searched.
fn blank_line(text: &[u8], searched: &mut usize) -> Option<usize> {
    let newline = |from: usize| Some(from + text.get(from..)?.iter().position(|&byte| byte == b'\n')?);
    let Some(mut before) = newline(STRETCH.max(*searched)) else {
        *searched = text.len();
        return None;
    };
    while let Some(end) = newline(before + 1) {
        let line = std::str::from_utf8(&text[before + 1..=end]);
        if line.is_ok_and(|line| trimmed(line, Span::new(0, line.len())).is_none()) {
            return Some(end + 1);
        }
        before = end;
    }
    *searched = before;
    None
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Where a text without blank lines is cut: after its last line, else after its last white space, both in its second
/// half, else between two characters.
fn forced(text: &[u8]) -> usize {
    let half = text.len() / 2;
    let line = text[half..].iter().rposition(|&byte| byte == b'\n');
    let end = line.or_else(|| text[half..].iter().rposition(u8::is_ascii_whitespace));
    end.map_or_else(|| floor(text, text.len() - 1), |end| half + end + 1)
}

/// Lines that are handed on together, if they are not longer than this many bytes.
const LINES: usize = 1024;
const BYTES: usize = 1 << 20;

/// One sentence a line, in stretches of the input.
pub(super) fn lines(source: Source) -> Documents {
    let Source { reader, about } = source;
    let limit = about.options.max_record_bytes;
    let mut lines = Sentences {
        lines: Lines::new(reader, limit),
        about,
        continues: false,
        over: false,
        long: None,
        held: None,
    };
    Box::new(std::iter::from_fn(move || lines.next()))
}

struct Sentences {
    lines: Lines,
    about: About,
    continues: bool,
    over: bool,
    /// A line that is too long, while the rest of it is read.
    long: Option<Long>,
    /// A bad record whose turn is after the text before it.
    held: Option<BadRecord>,
}

struct Long {
    /// Its beginning, to know it by.
    start: Vec<u8>,
    /// What is read of it and not yet handed out.
    piece: Vec<u8>,
}

impl Sentences {
    fn next(&mut self) -> Option<Result<Document, BadRecord>> {
        loop {
            if let Some(bad) = self.held.take() {
                return Some(Err(bad));
            }
            let (text, spans) = match self.long.take() {
                Some(long) => (self.passed_over(long), Vec::new()),
                None if self.over => return None,
                None => self.stretch(),
            };
            if text.is_empty() {
                continue;
            }
            return Some(Ok(Document {
                id: Value::String(self.about.name.clone()),
                date: None,
                text,
                segmentation: Segmentation::Spans(spans),
                continues: std::mem::replace(&mut self.continues, true),
                fields: Map::new(),
            }));
        }
    }

    /// The next lines, up to one that is bad.
    fn stretch(&mut self) -> (String, Vec<Span>) {
        let mut text = String::new();
        let mut spans = Vec::new();
        while spans.len() < LINES && text.len() < BYTES {
            match self.lines.next() {
                Ok(None) => self.over = true,
                Ok(Some(line)) if !line.whole => {
                    let start = line.bytes[..floor(&line.bytes, KEPT)].to_vec();
                    self.long = Some(Long { start, piece: line.bytes });
                }
                Ok(Some(line)) => match String::from_utf8(line.bytes) {
                    Ok(sentence) => {
                        let span = Span::new(0, sentence.len()).shifted(text.len());
                        text.push_str(&sentence);
                        spans.extend(trimmed(&text, span));
                        continue;
                    }
                    Err(error) => {
                        // Its characters cannot be counted, so it stands in the text as the characters that a lossy
                        // decoder would show.
                        let reason = self.about.malformed(error.utf8_error().valid_up_to());
                        let bytes = error.into_bytes();
                        text.push_str(&String::from_utf8_lossy(&bytes));
                        self.hold(reason, bytes);
                    }
                },
                Err(error) => self.fail(&error),
            }
            break;
        }
        (text, spans)
    }

    /// The next piece of a line that is too long: it has no sentence, but the offsets behind it count it.
    fn passed_over(&mut self, mut long: Long) -> String {
        match self.lines.more(BYTES) {
            Ok(line) => {
                long.piece.extend_from_slice(&line.bytes);
                let text = if line.whole {
                    let (reason, record) = too_long(long.start, self.about.options.max_record_bytes);
                    self.hold(reason, record);
                    long.piece
                } else {
                    // The last character may not be there as a whole.
                    let piece = long.piece.split_off(floor(&long.piece, long.piece.len() - 1));
                    let text = std::mem::replace(&mut long.piece, piece);
                    self.long = Some(long);
                    text
                };
                String::from_utf8_lossy(&text).into_owned()
            }
            Err(error) => {
                self.fail(&error);
                String::new()
            }
        }
    }

    fn hold(&mut self, reason: String, record: Vec<u8>) {
        self.held = Some(BadRecord::at(&self.about.name, self.lines.number(), reason, record));
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.over = true;
        self.hold(error.to_string(), Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DocumentOptions, InputFormat, testing::*};
    use super::*;

    #[test]
    fn an_article_keeps_its_line_ends_and_its_mark() {
        let content = "\u{feff}Head\r\n\r\nOne. Two.\r\n";
        let documents = read(InputFormat::Text, content.as_bytes());
        let document = documents[0].as_ref().unwrap();
        assert_eq!(document.text, content);
        assert_eq!(sentences(document), ["Head", "One.", "Two."]);
    }

    #[test]
    fn an_article_that_is_damaged_is_refused_with_its_byte() {
        let error = read(InputFormat::Text, b"Z\xc3\xbcrich, K\xc3\xb6ln, caf\xe9")
            .remove(0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("in: byte 19 is not UTF-8") && error.contains("--encoding"), "{error}");
    }

    #[test]
    fn nul_bytes_are_text_like_any_other() {
        let content = b"One\0two.\n\0\n";
        for format in [InputFormat::Text, InputFormat::Lines] {
            let documents = read(format, content);
            assert_eq!(documents[0].as_ref().unwrap().text.as_bytes(), content);
        }
        let row = read(InputFormat::Csv, b"text\nOne\0two.\n").remove(0).unwrap();
        assert_eq!(row.text, "One\0two.");
    }

    /// Paragraphs of about a hundred bytes.
    fn long(bytes: usize, between: &str) -> String {
        let paragraphs = (0..).map(|i| {
            format!("The envoy may leave Zürich. Nobody said so in paragraph {i}, or later{between}")
        });
        let mut text = String::with_capacity(bytes + 200);
        paragraphs.take_while(|_| true).find(|paragraph| {
            text.push_str(paragraph);
            text.len() >= bytes
        });
        text
    }

    #[test]
    fn a_long_article_is_read_in_stretches_with_the_sentences_of_the_whole() {
        for between in ["\n\n", ".\r\n \t\r\n"] {
            let text = long(ARTICLE + STRETCH, between);
            let documents: Vec<_> =
                read(InputFormat::Text, text.as_bytes()).into_iter().map(Result::unwrap).collect();
            assert!(documents.len() >= 4, "{}", documents.len());
            assert_eq!(documents.iter().map(|d| d.text.as_str()).collect::<String>(), text);
            assert!(documents.iter().all(|d| d.text.len() < 2 * STRETCH + 200));
            assert!(documents.iter().enumerate().all(|(i, d)| d.continues == (i > 0)));
            let stretches: Vec<&str> = documents.iter().flat_map(sentences).collect();
            let whole: Vec<&str> =
                crate::text::split_sentences(&text).into_iter().map(|s| s.of(&text).unwrap()).collect();
            assert_eq!(stretches, whole);
        }
    }

    #[test]
    fn an_article_of_four_mebibytes_is_one_document() {
        let text = long(ARTICLE - 200, "\n\n");
        let text = text.clone() + &"x".repeat(ARTICLE - text.len());
        assert_eq!(read(InputFormat::Text, text.as_bytes()).len(), 1);
        assert!(read(InputFormat::Text, (text + "x").as_bytes()).len() > 1);
    }

    #[test]
    fn a_text_without_blank_lines_is_cut_after_a_line_or_a_word_or_a_character() {
        for (unit, end) in [("one two\n", "\n"), ("one two ", " "), ("ü漢", "")] {
            let text = unit.repeat(LONGEST / unit.len() + 1000);
            let documents = read(InputFormat::Text, text.as_bytes());
            let first = &documents[0].as_ref().unwrap().text;
            assert!(
                first.len() <= LONGEST && first.len() > LONGEST - 20 && first.ends_with(end),
                "{}",
                first.len()
            );
            assert!(documents.iter().flatten().map(|d| d.text.as_str()).collect::<String>() == text);
        }
    }

    #[test]
    fn a_long_article_that_is_damaged_is_read_up_to_the_damage() {
        let mut bytes = long(ARTICLE + STRETCH, "\n\n").into_bytes();
        let at = ARTICLE + STRETCH / 2;
        bytes[at] = 0xff;
        let documents = read(InputFormat::Text, &bytes);
        let (bad, before) = documents.split_last().unwrap();
        let bad = bad.as_ref().unwrap_err();
        assert_eq!(bad.line, Some(bytes[..at].iter().filter(|&&b| b == b'\n').count() + 1));
        assert!(
            bad.reason.contains(&format!("byte {at} is not UTF-8")) && bad.reason.contains("no further"),
            "{bad}"
        );
        assert!(before.len() >= 3 && before.iter().all(Result::is_ok));
    }

    #[test]
    fn a_text_that_is_one_sentence_is_not_cut() {
        let whole = |content: &str, max_record_bytes| {
            let options = DocumentOptions {
                split: false,
                max_record_bytes,
                format: Some(InputFormat::Text),
                ..DocumentOptions::default()
            };
            read_with(options, content.as_bytes())
        };
        let text = long(ARTICLE + STRETCH, "\n\n");
        assert_eq!(whole(&text, text.len())[0].as_ref().unwrap().text, text);
        let bad = whole(&text, 1 << 20);
        assert!(bad.len() == 1 && bad[0].as_ref().unwrap_err().reason.contains("longer than 1 MiB"));
    }

    #[test]
    fn a_line_that_is_too_long_is_told_and_counted_and_has_no_sentence() {
        let long = "Zürich ".repeat(400_000);
        let content = format!("One.\n{long}\nThree.\n");
        let options = DocumentOptions {
            format: Some(InputFormat::Lines),
            max_record_bytes: 1000,
            ..DocumentOptions::default()
        };
        let documents = read_with(options, content.as_bytes());
        assert_eq!(documents.iter().flatten().map(|d| d.text.as_str()).collect::<String>(), content);
        assert_eq!(documents.iter().flatten().flat_map(sentences).collect::<Vec<_>>(), ["One.", "Three."]);
        assert!(documents.iter().flatten().all(|d| d.text.len() < BYTES + 2000));
        let bad: Vec<&BadRecord> = documents.iter().filter_map(|d| d.as_ref().err()).collect();
        assert_eq!((bad.len(), bad[0].line), (1, Some(2)));
        assert!(bad[0].record.len() > 990 && long.as_bytes().starts_with(&bad[0].record));
        assert!(bad[0].reason.contains("longer than 1000 bytes"), "{}", bad[0].reason);
    }

    #[test]
    fn every_line_is_a_sentence_and_stretches_join_to_the_input() {
        let content: String = (0..3000).map(|i| format!("Line {i}. Same line.\r\n\n")).collect();
        let documents: Vec<_> =
            read(InputFormat::Lines, content.as_bytes()).into_iter().map(Result::unwrap).collect();
        assert!(documents.len() > 1 && !documents[0].continues && documents[1].continues);
        assert_eq!(documents.iter().map(|d| d.text.as_str()).collect::<String>(), content);
        let all: Vec<&str> = documents.iter().flat_map(sentences).collect();
        assert_eq!((all.len(), all[2999]), (3000, "Line 2999. Same line."));
    }

    #[test]
    fn a_bad_line_is_named_and_the_rest_goes_on() {
        let documents = read(
            InputFormat::Lines,
            "one\nZürich\n".as_bytes().iter().chain(b"\xff\nthree").copied().collect::<Vec<_>>().as_slice(),
        );
        assert_eq!(sentences(documents[0].as_ref().unwrap()), ["one", "Zürich"]);
        let bad = documents[1].as_ref().unwrap_err();
        assert_eq!((bad.line, bad.record.as_slice()), (Some(3), b"\xff\n".as_slice()));
        assert_eq!(sentences(documents[2].as_ref().unwrap()), ["three"]);
    }
}
