use super::bounded::{KEPT, Lines, floor, too_long};
use super::{About, BadRecord, Document, Documents, Segmentation, Source};
use crate::text::{Span, trimmed};
use serde_json::{Map, Value};

/// Lines that are handed on together, if they are not longer than this many bytes.
const LINES: usize = 1024;
const BYTES: usize = 1 << 20;

/// One sentence a line, in stretches of the input.
pub(super) fn read(source: Source) -> Documents {
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
    use super::super::BadRecord;
    use super::super::{DocumentOptions, InputFormat, testing::*};
    use super::BYTES;

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
