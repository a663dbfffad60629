use super::Span;

/// What offsets count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetUnit {
    /// Unicode code points, as slices of a Python string do.
    #[default]
    Char,
    /// Bytes of UTF-8, as slices of a Rust string do.
    Byte,
    /// UTF-16 units, as slices of a JavaScript or Java string do.
    Utf16,
}

impl OffsetUnit {
    /// Length of a text in this unit.
    pub fn measure(self, text: &str) -> usize {
        match self {
            OffsetUnit::Char => text.chars().count(),
            OffsetUnit::Byte => text.len(),
            OffsetUnit::Utf16 => text.encode_utf16().count(),
        }
    }
}

/// Turns byte offsets of one text into another unit. Offsets that rise cost one pass over the text in all.
#[derive(Debug, Clone)]
pub struct Offsets<'a> {
    text: &'a str,
    unit: OffsetUnit,
    byte: usize,
    units: usize,
}

impl<'a> Offsets<'a> {
    /// Offsets of `text` in `unit`.
    pub fn new(text: &'a str, unit: OffsetUnit) -> Self {
        Self { text, unit, byte: 0, units: 0 }
    }

    /// The offset in units of a byte offset. One past the end counts as the end, one inside a character as its start.
    pub fn at(&mut self, byte: usize) -> usize {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        if byte < self.byte {
            (self.byte, self.units) = (0, 0);
        }
        self.units += self.unit.measure(&self.text[self.byte..byte]);
        self.byte = byte;
        self.units
    }

    /// The byte that an offset in units stands for; `None` past the end, or inside a character.
    pub fn byte(&mut self, units: usize) -> Option<usize> {
        if units < self.units {
            (self.byte, self.units) = (0, 0);
        }
        for c in self.text[self.byte..].chars() {
            if self.units >= units {
                break;
            }
            self.byte += c.len_utf8();
            self.units += match self.unit {
                OffsetUnit::Char => 1,
                OffsetUnit::Byte => c.len_utf8(),
                OffsetUnit::Utf16 => c.len_utf16(),
            };
        }
        (self.units == units).then_some(self.byte)
    }

    /// Start and end in units.
    pub fn of(&mut self, span: Span) -> (usize, usize) {
        (self.at(span.start), self.at(span.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slicing_by_an_offset_gives_the_text_in_every_unit(text in "(?s).{0,40}", cuts in (0usize..41, 0usize..41)) {
            let bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
            let (a, b) = (cuts.0 % bounds.len(), cuts.1 % bounds.len());
            let span = Span::new(bounds[a.min(b)], bounds[a.max(b)]);
            let expected = span.of(&text).unwrap();

            let (start, end) = Offsets::new(&text, OffsetUnit::Char).of(span);
            prop_assert_eq!(text.chars().skip(start).take(end - start).collect::<String>(), expected);
            let (start, end) = Offsets::new(&text, OffsetUnit::Utf16).of(span);
            let units: Vec<u16> = text.encode_utf16().collect();
            prop_assert_eq!(String::from_utf16(&units[start..end]).unwrap(), expected);
            prop_assert_eq!(Offsets::new(&text, OffsetUnit::Byte).of(span), (span.start, span.end));
        }
    }

    proptest! {
        #[test]
        fn a_byte_and_its_offset_stand_for_each_other(text in "(?s).{0,20}", units in prop::collection::vec(0usize..60, 1..6)) {
            for unit in [OffsetUnit::Char, OffsetUnit::Byte, OffsetUnit::Utf16] {
                let (mut there, mut back) = (Offsets::new(&text, unit), Offsets::new(&text, unit));
                let bounds = text.char_indices().map(|(i, _)| i).chain([text.len()]);
                prop_assert!(bounds.clone().all(|byte| there.byte(back.at(byte)) == Some(byte)));
                for &n in &units {
                    let byte = there.byte(n);
                    let is_bound = bounds.clone().any(|bound| back.at(bound) == n);
                    prop_assert_eq!(byte.is_some(), is_bound);
                    prop_assert!(byte.is_none_or(|byte| back.at(byte) == n));
                }
            }
        }
    }

    #[test]
    fn offsets_may_go_back() {
        let mut offsets = Offsets::new("né à Z", OffsetUnit::Char);
        assert_eq!((offsets.at(8), offsets.at(3), offsets.at(99)), (6, 2, 6));
    }
}
