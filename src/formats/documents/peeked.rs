use std::io::{self, BufRead, Cursor, Read};

/// A reader whose beginning has been looked at.
pub(super) struct Peeked {
    start: Vec<u8>,
    failed: Option<io::Error>,
    ended: bool,
    rest: Box<dyn BufRead>,
}

impl Peeked {
    pub(super) fn new(rest: Box<dyn BufRead>) -> Self {
        Self { start: Vec::new(), failed: None, ended: false, rest }
    }

    /// A reader that only fails.
    pub(super) fn failed(error: io::Error) -> Self {
        Self { failed: Some(error), ended: true, ..Self::new(Box::new(io::empty())) }
    }

    /// Looks at the first bytes, `length` of them or more where there are as many.
    pub(super) fn fill(&mut self, length: usize) -> &[u8] {
        if !self.ended && self.start.len() < length {
            let missing = length - self.start.len();
            match self.rest.by_ref().take(missing as u64).read_to_end(&mut self.start) {
                Ok(read) => self.ended = read < missing,
                // What came before it is still to be read; the error has its turn after that.
                Err(error) => (self.failed, self.ended) = (Some(error), true),
            }
        }
        &self.start
    }

    /// What has been looked at.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    /// True if what has been looked at is all there is.
    pub(super) fn is_whole(&self) -> bool {
        self.ended
    }

    /// The reader as if nothing had been looked at.
    pub(super) fn into_reader(self) -> Box<dyn BufRead> {
        let start = Cursor::new(self.start);
        match self.failed {
            Some(error) => Box::new(start.chain(Failing(Some(error)))),
            None => Box::new(start.chain(self.rest)),
        }
    }
}

/// An error, once.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

impl BufRead for Failing {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.take().map_or(Ok(&[]), Err)
    }

    fn consume(&mut self, _: usize) {}
}
