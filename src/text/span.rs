use std::ops::Range;

/// A half-open range of bytes in some text, always on character boundaries.
///
/// Inside the library every offset is a byte offset; they are turned into code points or
/// UTF-16 units once, when a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A span from `start` to `end`, in bytes.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end, "span {start}..{end} runs backwards");
        Self { start, end }
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// True if the span covers nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The text under the span. `None` if it does not lie in `text` on character boundaries.
    pub fn of(self, text: &str) -> Option<&str> {
        text.get(self.start..self.end)
    }

    /// True if the two spans share at least one byte.
    pub fn overlaps(self, other: Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The same span counted from `origin` bytes earlier.
    pub fn shifted(self, origin: usize) -> Span {
        Span::new(self.start + origin, self.end + origin)
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Span::new(range.start, range.end)
    }
}

/// The span without white space and byte-order marks at its ends; `None` if nothing is left.
pub(crate) fn trimmed(text: &str, span: Span) -> Option<Span> {
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let slice = span.of(text)?;
    let start = span.start + (slice.len() - slice.trim_start_matches(blank).len());
    let rest = Span::new(start, span.end).of(text)?.trim_end_matches(blank);
    (!rest.is_empty()).then(|| Span::new(start, start + rest.len()))
}
