use super::bounded::{floor, size};
use super::{About, BadRecord, Document, Documents, Source};
use crate::text::{Span, trimmed};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};

/// Articles that are no longer than this many bytes are one document.
pub(super) const LONG: usize = 4 << 20;
/// Longer ones are handed out in stretches of so many bytes, and on to the next blank line.
const STRETCH: usize = 1 << 20;
/// Where no blank line comes, a stretch ends within so many bytes: after a line, else after white space.
const LONGEST: usize = 32 << 20;

/// The whole input as one article, or in stretches of it if it is long.
pub(super) fn read(source: Source) -> Documents {
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
        let whole = if split { LONG } else { limit };
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

#[cfg(test)]
mod tests {
    use super::super::{DocumentOptions, InputFormat, testing::*};
    use super::{LONG, LONGEST, STRETCH};

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
            let text = long(LONG + STRETCH, between);
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
        let text = long(LONG - 200, "\n\n");
        let text = text.clone() + &"x".repeat(LONG - text.len());
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
        let mut bytes = long(LONG + STRETCH, "\n\n").into_bytes();
        let at = LONG + STRETCH / 2;
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
        let text = long(LONG + STRETCH, "\n\n");
        assert_eq!(whole(&text, text.len())[0].as_ref().unwrap().text, text);
        let bad = whole(&text, 1 << 20);
        assert!(bad.len() == 1 && bad[0].as_ref().unwrap_err().reason.contains("longer than 1 MiB"));
    }
}
