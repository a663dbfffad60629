use std::io::{self, BufRead, Cursor, Read};

/// Bytes of a record that is too long which are kept, to know it by.
pub(super) const KEPT: usize = 1 << 10;

/// Lines of an input, none of which takes more memory than it may.
pub(super) struct Lines {
    reader: Box<dyn BufRead>,
    /// What is read before the reader goes on: lines that were read once and put back.
    again: Cursor<Vec<u8>>,
    /// Longest line, in bytes without its end.
    limit: usize,
    /// Number of the last line, from 1.
    number: usize,
}

/// A line, or the beginning of one.
pub(super) struct Line {
    /// The bytes, with the line's end if it has one.
    pub(super) bytes: Vec<u8>,
    /// False if the line is longer than lines may be: the rest of it is still to be read or skipped.
    pub(super) whole: bool,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn BufRead>, limit: usize) -> Self {
        Self { reader, again: Cursor::default(), limit, number: 0 }
    }

    /// Number of the line that was read last, or that failed.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next line; `None` at the end of the input.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        self.number += 1;
        let line = self.more(self.limit.saturating_add(1))?;
        Ok((!line.bytes.is_empty()).then_some(line))
    }

    /// More of the line that was too long, up to so many bytes; whole if its end is reached.
    pub(super) fn more(&mut self, bytes: usize) -> io::Result<Line> {
        let mut line = Vec::new();
        let mut reader = (&mut self.again).chain(&mut self.reader).take(bytes as u64);
        reader.read_until(b'\n', &mut line)?;
        let whole = line.len() < bytes || line.ends_with(b"\n");
        if self.again.position() as usize == self.again.get_ref().len() {
            self.again = Cursor::default();
        }
        Ok(Line { bytes: line, whole })
    }

    /// Passes over the rest of a line that was too long.
    pub(super) fn skip(&mut self) -> io::Result<()> {
        (&mut self.again).chain(&mut self.reader).skip_until(b'\n').map(drop)
    }

    /// Has bytes read again, the first of which is of the line with that number.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>, number: usize) {
        let read = self.again.position() as usize;
        bytes.extend_from_slice(&self.again.get_ref()[read..]);
        self.again = Cursor::new(bytes);
        self.number = number - 1;
    }
}

/// What is kept of a record that is too long, and why it is one.
pub(super) fn too_long(mut record: Vec<u8>, limit: usize) -> (String, Vec<u8>) {
    record.truncate(floor(&record, KEPT));
    record.shrink_to_fit();
    let reason = format!(
        "longer than {} (`--max-record-bytes`); of the record its first {} bytes are kept",
        size(limit),
        record.len()
    );
    (reason, record)
}

/// A number of bytes as people write it.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        n if n >= 1 << 30 && n % (1 << 30) == 0 => format!("{} GiB", n >> 30),
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

/// The last place at or before `at` at which no character is cut in two, if the bytes are UTF-8.
pub(super) fn floor(bytes: &[u8], at: usize) -> usize {
    if at >= bytes.len() {
        return bytes.len();
    }
    let lowest = at.saturating_sub(3);
    (lowest..=at).rev().find(|&at| bytes[at] & 0xc0 != 0x80).unwrap_or(at)
}
