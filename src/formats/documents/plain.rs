use super::{BadRecord, Document, Documents, Segmentation, not_utf8};
use crate::text::{Span, trimmed};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};

/// The whole input as one article.
pub(super) fn article(mut reader: Box<dyn BufRead>, name: String, segmentation: Segmentation) -> Documents {
    let read = move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|e| BadRecord::whole(&name, e.to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|e| BadRecord::whole(&name, not_utf8(e.utf8_error().valid_up_to())))?;
        Ok(Document {
            id: Value::String(name),
            date: None,
            text,
            segmentation,
            continues: false,
            fields: Map::new(),
        })
    };
    Box::new(std::iter::once_with(read))
}

/// Lines that are handed on together, if they are not longer than this many bytes.
const LINES: usize = 1024;
const BYTES: usize = 1 << 20;

/// One sentence a line, in stretches of the input.
pub(super) fn lines(mut reader: Box<dyn BufRead>, name: String) -> Documents {
    let mut line = 0;
    let mut continues = false;
    let mut over = false;
    let mut held: Option<BadRecord> = None;
    Box::new(std::iter::from_fn(move || {
        if let Some(bad) = held.take() {
            return Some(Err(bad));
        }
        if over {
            return None;
        }
        let mut text = String::new();
        let mut spans = Vec::new();
        while spans.len() < LINES && text.len() < BYTES {
            let mut bytes = Vec::new();
            line += 1;
            match reader.read_until(b'\n', &mut bytes) {
                Ok(0) => {
                    over = true;
                    break;
                }
                Ok(_) => match String::from_utf8(bytes) {
                    Ok(sentence) => {
                        let span = Span::new(0, sentence.len()).shifted(text.len());
                        text.push_str(&sentence);
                        spans.extend(trimmed(&text, span));
                    }
                    Err(error) => {
                        // Its characters cannot be counted, so it stands in the text as the characters that a lossy
                        // decoder would show.
                        let at = error.utf8_error().valid_up_to();
                        let bytes = error.into_bytes();
                        text.push_str(&String::from_utf8_lossy(&bytes));
                        held = Some(BadRecord::at(&name, line, not_utf8(at), bytes));
                        break;
                    }
                },
                Err(error) => {
                    over = true;
                    held = Some(BadRecord::at(&name, line, error.to_string(), []));
                    break;
                }
            }
        }
        if text.is_empty() {
            return held.take().map(Err);
        }
        Some(Ok(Document {
            id: Value::String(name.clone()),
            date: None,
            text,
            segmentation: Segmentation::Spans(spans),
            continues: std::mem::replace(&mut continues, true),
            fields: Map::new(),
        }))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{InputFormat, testing::*};

    #[test]
    fn an_article_keeps_its_line_ends_and_its_mark() {
        let content = "\u{feff}Head\r\n\r\nOne. Two.\r\n";
        let documents = read(InputFormat::Text, content.as_bytes());
        let document = documents[0].as_ref().unwrap();
        assert_eq!(document.text, content);
        assert_eq!(sentences(document), ["Head", "One.", "Two."]);
    }

    #[test]
    fn an_article_that_is_not_utf8_is_refused_with_its_byte() {
        let error = read(InputFormat::Text, b"caf\xe9").remove(0).unwrap_err().to_string();
        assert!(error.contains("in: byte 3 is not UTF-8") && error.contains("iconv"), "{error}");
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
        let documents = read(InputFormat::Lines, b"one\n\xff\nthree");
        assert_eq!(sentences(documents[0].as_ref().unwrap()), ["one"]);
        let bad = documents[1].as_ref().unwrap_err();
        assert_eq!((bad.line, bad.record.as_slice()), (Some(2), b"\xff\n".as_slice()));
        assert_eq!(sentences(documents[2].as_ref().unwrap()), ["three"]);
    }
}
