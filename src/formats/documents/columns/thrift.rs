//! What a Parquet footer, and the head of a page, says of sizes, checked before it is believed: memory is asked for by them
//! and by the lengths of lists, and the stack by the depth of a schema.

/// Types of the compact protocol of Thrift.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Numbers of fields: the schema of a file, and the children that an element of it has.
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;
/// Values within values, at most, in Thrift and in a schema.
const DEPTH: usize = 100;

/// Whether every list of a footer can have as many items as it says, and its schema is no deeper than is safe.
pub(super) fn check(footer: &[u8]) -> Result<(), &'static str> {
    let mut thrift = Thrift { rest: footer };
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field)? {
        if (field, kind) == (SCHEMA, LIST) { thrift.schema()? } else { thrift.skip(kind, 0)? }
    }
    Ok(())
}

/// What stands before a page.
#[derive(Debug, PartialEq)]
pub(super) struct PageHead {
    /// Bytes of the head itself.
    pub(super) length: u64,
    pub(super) kind: i64,
    /// Bytes of the page as it stands in the file, and as it will be.
    pub(super) compressed: u64,
    pub(super) size: u64,
}

impl PageHead {
    /// The kind of pages that hold no values.
    pub(super) const INDEX: i64 = 1;
}

/// The head that stands at the beginning of these bytes.
pub(super) fn page_head(bytes: &[u8]) -> Result<PageHead, &'static str> {
    let mut thrift = Thrift { rest: bytes };
    let mut said = [None; 3];
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field)? {
        match (field, kind) {
            (1..=3, I32) => said[field as usize - 1] = Some(thrift.zigzag()?),
            _ => thrift.skip(kind, 0)?,
        }
    }
    let [Some(kind), Some(size), Some(compressed)] = said else { return Err("its sizes are missing") };
    let bytes_of = |size: i64| u64::try_from(size).map_err(|_| "a size is less than nothing");
    let length = (bytes.len() - thrift.rest.len()) as u64;
    Ok(PageHead { length, kind, compressed: bytes_of(compressed)?, size: bytes_of(size)? })
}

struct Thrift<'a> {
    rest: &'a [u8],
}

impl<'a> Thrift<'a> {
    /// A list of elements, each followed by the children it says it has.
    fn schema(&mut self) -> Result<(), &'static str> {
        let (count, kind) = self.list()?;
        if kind != STRUCT {
            return Err("its schema is none");
        }
        // Children that are still to come, of every element around the next.
        let mut around: Vec<u64> = Vec::new();
        for _ in 0..count {
            let (mut children, mut field) = (0, 0);
            while let Some(kind) = self.field(&mut field)? {
                if (field, kind) == (CHILDREN, I32) { children = self.zigzag()? } else { self.skip(kind, 0)? }
            }
            match u64::try_from(children) {
                Ok(0) => {
                    while let Some(left) = around.last_mut() {
                        *left -= 1;
                        if *left > 0 {
                            break;
                        }
                        around.pop();
                    }
                }
                Ok(children) if children <= count && around.len() < DEPTH => around.push(children),
                _ => return Err("its schema has more elements, or is deeper, than can be"),
            }
        }
        Ok(())
    }

    /// The type of the next field of a struct, whose number then is in `field`; `None` at its end.
    fn field(&mut self, field: &mut i64) -> Result<Option<u8>, &'static str> {
        let head = self.byte()?;
        let (step, kind) = (head >> 4, head & 0xf);
        if kind == 0 {
            return Ok(None);
        }
        *field = if step == 0 { self.zigzag()? } else { field.wrapping_add(step.into()) };
        Ok(Some(kind))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        if depth > DEPTH {
            return Err("it is deeper than can be");
        }
        match kind {
            TRUE | FALSE => {}
            BYTE => drop(self.byte()?),
            I16 | I32 | I64 => drop(self.varint()?),
            DOUBLE => drop(self.bytes(8)?),
            BINARY => {
                let length = self.varint()?;
                self.bytes(length)?;
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.item(kind, depth)?;
                }
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..self.plausible(count)? {
                    self.item(kinds >> 4, depth)?;
                    self.item(kinds & 0xf, depth)?;
                }
            }
            STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return Err("it has a value of no type"),
        }
        Ok(())
    }

    /// A value in a list: there a truth value is a byte.
    fn item(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        self.skip(if matches!(kind, TRUE | FALSE) { BYTE } else { kind }, depth + 1)
    }

    /// Length of a list, and the type of its items.
    fn list(&mut self) -> Result<(u64, u8), &'static str> {
        let head = self.byte()?;
        let count = if head >> 4 == 0xf { self.varint()? } else { (head >> 4).into() };
        Ok((self.plausible(count)?, head & 0xf))
    }

    /// A count of things that have a byte each, at least.
    fn plausible(&self, count: u64) -> Result<u64, &'static str> {
        if count <= self.rest.len() as u64 {
            Ok(count)
        } else {
            Err("a list of it has more items than can be there")
        }
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn bytes(&mut self, count: u64) -> Result<&'a [u8], &'static str> {
        let count = usize::try_from(count).ok();
        let (bytes, rest) =
            count.and_then(|count| self.rest.split_at_checked(count)).ok_or("it is cut short")?;
        self.rest = rest;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        varint(&mut self.rest).ok_or("it is cut short, or has a number that is too long")
    }

    fn zigzag(&mut self) -> Result<i64, &'static str> {
        self.varint().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

/// A number of seven bits a byte, the lowest first.
pub(super) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer whose schema has these children, and a list of row groups that says it has `groups`.
    fn footer(children: &[u8], groups: &[u8]) -> Vec<u8> {
        let mut footer = vec![0x15, 4, 0x19, 0xf0 | STRUCT, children.len() as u8];
        // Field 4 is the name, field 5 the children.
        footer.extend(children.iter().flat_map(|&children| [0x48, 1, b'a', 0x15, children * 2, 0]));
        footer.extend([0x29]);
        footer.extend(groups);
        footer.push(0);
        footer
    }

    #[test]
    fn a_list_has_no_more_items_than_bytes_are_left() {
        assert_eq!(check(&footer(&[1, 0], &[STRUCT])), Ok(()));
        for count in [&[0xf0 | STRUCT, 0x7f][..], &[0xf0 | STRUCT, 0xff, 0xff, 0xff, 0xff, 0x07]] {
            assert_eq!(check(&footer(&[1, 0], count)), Err("a list of it has more items than can be there"));
        }
        for end in 0..footer(&[1, 0], &[STRUCT]).len() {
            assert!(check(&footer(&[1, 0], &[STRUCT])[..end]).is_err());
        }
    }

    #[test]
    fn a_schema_is_as_deep_as_is_safe() {
        let nested = |depth: usize| [vec![1; depth], vec![0]].concat();
        assert_eq!(check(&footer(&nested(DEPTH), &[STRUCT])), Ok(()));
        let flat = [vec![60], [2, 0, 1, 0].repeat(30)].concat();
        assert_eq!(check(&footer(&flat, &[STRUCT])), Ok(()));
        for bad in [nested(DEPTH + 1), vec![9, 0]] {
            assert_eq!(
                check(&footer(&bad, &[STRUCT])),
                Err("its schema has more elements, or is deeper, than can be")
            );
        }
    }

    #[test]
    fn a_head_of_a_page_says_its_sizes_and_where_it_ends() {
        // A kind, the size and the compressed size; then a struct, and what is not of the head.
        let head = [0x15, 0, 0x15, 200, 1, 0x15, 40, 0x2c, 0x15, 8, 0, 0, 0xff];
        let expected = PageHead { length: 12, kind: 0, compressed: 20, size: 100 };
        assert_eq!(page_head(&head), Ok(expected));
        assert!((0..12).all(|end| page_head(&head[..end]).is_err()));
        assert_eq!(page_head(&[0x15, 0, 0]), Err("its sizes are missing"));
        assert_eq!(page_head(&[0x15, 0, 0x15, 1, 0x15, 0, 0]), Err("a size is less than nothing"));
    }

    #[test]
    fn values_within_values_end_somewhere() {
        let nested = |depth| [vec![0x1c; depth], vec![0; depth + 1]].concat();
        assert_eq!(check(&nested(DEPTH)), Ok(()));
        assert_eq!(check(&nested(100_000)), Err("it is deeper than can be"));
    }
}
