//! What the `csv` crates do not tell of the quotation marks that they read.

/// Follows the quotation marks of separated values byte by byte, by the rules of the `csv` crates.
///
/// A cell is torn if it goes on over the end of its line and something stands behind the mark that closes it: that mark was
/// meant to open another cell, and rows between the two are in this one.
pub(super) struct Quotes {
    delimiter: u8,
    at: At,
    line: usize,
    opened: usize,
    /// True if something stands between a quotation mark that closes and the end of its cell.
    pub(super) loose: bool,
    /// Lines, rising, of the quotation marks that open torn cells.
    torn: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Bare,
    /// In a quoted cell, in the line of its mark or in one below it.
    Quoted {
        below: bool,
    },
    Closed {
        below: bool,
    },
}

impl Quotes {
    /// At the beginning of a file, behind its byte-order mark.
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, at: At::Start, line: 1, opened: 1, loose: false, torn: Vec::new() }
    }

    /// Goes on over these bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let ends_line = matches!(byte, b'\n' | b'\r');
            self.at = match self.at {
                At::Start if byte == b'"' => {
                    self.opened = self.line;
                    At::Quoted { below: false }
                }
                At::Closed { below } if byte == b'"' => At::Quoted { below },
                At::Quoted { below } if byte == b'"' => At::Closed { below },
                At::Quoted { below } => At::Quoted { below: below || ends_line },
                _ if byte == self.delimiter || ends_line => At::Start,
                At::Closed { below } => {
                    self.loose = true;
                    if below {
                        self.torn.push(self.opened);
                    }
                    At::Bare
                }
                At::Start | At::Bare => At::Bare,
            };
            self.line += usize::from(byte == b'\n');
        }
    }

    /// Line of the quotation mark that opens the cell which the bytes so far end in. At the end of a file it is never
    /// closed: all that follows it is in that cell.
    pub(super) fn open(&self) -> Option<usize> {
        matches!(self.at, At::Quoted { .. }).then_some(self.opened)
    }

    /// Line of the quotation mark that opens the first torn cell of a row.
    ///
    /// * `line`: that on which the row begins
    /// * `behind`: that on which the row behind it begins
    pub(super) fn torn(&self, line: usize, behind: Option<usize>) -> Option<usize> {
        let opened = *self.torn.get(self.torn.partition_point(|&opened| opened < line))?;
        // Lone carriage returns end rows, but count for no lines.
        (opened == line || behind.is_none_or(|behind| opened < behind)).then_some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn followed(text: &str) -> Quotes {
        let mut quotes = Quotes::new(b',');
        quotes.follow(text.as_bytes());
        quotes
    }

    #[test]
    fn a_mark_inside_a_cell_opens_nothing() {
        let open = |text: &str| followed(text).open();
        assert_eq!(open("a,5\" pipe\n"), None);
        assert_eq!(open("a,\"b \"\"c\"\"\nd\"\n"), None);
        assert_eq!(open("a,b\n\"c\nd,e\n"), Some(2));
    }

    #[test]
    fn a_cell_is_torn_where_a_mark_of_a_later_line_closes_it_and_it_goes_on() {
        assert_eq!(followed("a,\"b\nc,\"d\ne,\"f\"\n").torn, [1]);
        assert_eq!(followed("a\n\"b\n\"c\n\"d\r\n\"e,f\n").torn, [2, 4]);
        let sound = followed("\"a\nb\",c\n\"d\n\"\"e\"\"\"\n\"f\" g,h\n");
        assert!(sound.torn.is_empty() && sound.loose);
    }

    proptest! {
        /// Behind an open quotation mark the `csv` crate takes rows for a part of the cell.
        #[test]
        fn marks_are_followed_as_csv_reads_them(text in "[a,\"\r\n]{0,12}") {
            let ends_in_x = |text: &str| {
                let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_bytes());
                let last = reader.byte_records().last().expect("there is a row").expect("bytes are read");
                last.len() == 1 && &last[0] == b"x"
            };
            prop_assert_eq!(followed(&text).open().is_some(), !ends_in_x(&(text + "\nx")));
        }
    }
}
