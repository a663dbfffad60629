//! What the `csv` crate does not tell of the rows that it reads.

use std::io::{self, BufRead, Chain, Cursor, Read};

/// Follows the quotation marks of separated values byte by byte, by the rules of the `csv` crate.
pub(super) struct Quotes {
    delimiter: u8,
    at: At,
    line: usize,
    opened: usize,
    /// True if something stands between a quotation mark that closes and the end of its cell.
    pub(super) loose: bool,
    /// Whether the first line ends in CR LF.
    crlf: Option<bool>,
    before: u8,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Bare,
    Quoted,
    Closed,
}

impl Quotes {
    /// At the beginning of a file, behind its byte-order mark.
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, at: At::Start, line: 1, opened: 1, loose: false, crlf: None, before: 0 }
    }

    /// Goes on over these bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.at = match self.at {
                At::Start if byte == b'"' => {
                    self.opened = self.line;
                    At::Quoted
                }
                At::Closed if byte == b'"' => At::Quoted,
                At::Quoted if byte == b'"' => At::Closed,
                At::Quoted => At::Quoted,
                _ if byte == self.delimiter || matches!(byte, b'\n' | b'\r') => At::Start,
                At::Closed => {
                    self.loose = true;
                    At::Bare
                }
                At::Start | At::Bare => At::Bare,
            };
            if byte == b'\n' {
                self.line += 1;
                self.crlf.get_or_insert(self.before == b'\r');
            }
            self.before = byte;
        }
    }

    /// Line of the quotation mark that opens the cell which the bytes so far end in. At the end of a file it is never
    /// closed: all that follows it is in that cell.
    pub(super) fn open(&self) -> Option<usize> {
        (self.at == At::Quoted).then_some(self.opened)
    }

    /// True if the first line ends in CR LF.
    pub(super) fn ends_in_crlf(&self) -> bool {
        self.crlf == Some(true)
    }
}

/// A reader without the byte-order mark of its input, whose quotation marks are followed.
pub(super) struct Followed<R> {
    reader: Chain<Cursor<Vec<u8>>, R>,
    pub(super) quotes: Quotes,
    ended: bool,
}

impl<R: BufRead> Followed<R> {
    /// # Errors
    /// If the reader fails.
    pub(super) fn new(mut reader: R, delimiter: u8) -> io::Result<Self> {
        // The `csv` crate overlooks a mark that comes in parts, as through a pipe.
        let mut start = Vec::new();
        reader.by_ref().take(3).read_to_end(&mut start)?;
        if start == b"\xef\xbb\xbf" {
            start.clear();
        }
        Ok(Self { reader: Cursor::new(start).chain(reader), quotes: Quotes::new(delimiter), ended: false })
    }

    /// Line of a quotation mark that is never closed; `None` as long as there is more to read.
    pub(super) fn never_closed(&self) -> Option<usize> {
        self.quotes.open().filter(|_| self.ended)
    }
}

impl<R: BufRead> Read for Followed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.quotes.follow(&buffer[..read]);
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(text: &str) -> Option<usize> {
        let mut quotes = Quotes::new(b',');
        quotes.follow(text.as_bytes());
        quotes.open()
    }

    #[test]
    fn a_mark_inside_a_cell_opens_nothing() {
        assert_eq!(open("a,5\" pipe\n"), None);
        assert_eq!(open("a,\"b \"\"c\"\"\nd\"\n"), None);
        assert_eq!(open("a,b\n\"c\nd,e\n"), Some(2));
    }

    proptest! {
        /// Behind an open quotation mark the `csv` crate takes rows for a part of the cell.
        #[test]
        fn marks_are_followed_as_csv_reads_them(text in "[a,\"\r\n]{0,12}") {
            let ends_in_x = |text: &str| {
                let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_bytes());
                let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
                rows.last().is_some_and(|row| row.iter().eq(["x", "y"]))
            };
            prop_assert_eq!(ends_in_x(&format!("{text}\nx,y\n")), open(&text).is_none());
        }
    }
}
