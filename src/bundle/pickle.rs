//! Pickles of a `state_dict`, taken apart without running anything that is named in them.
//!
//! Only what torch writes into such a file is known (Python's `pickletools.py` lists the operations, torch's
//! `_weights_only_unpickler.py` those it lets pass). What is made are nodes that refer to each other by number: a pickle can
//! neither nest them deeper than a program can follow nor double them at every step, and they take no more memory than a
//! small multiple of its size.

use std::collections::BTreeMap;

/// Number of a node.
pub(super) type Id = usize;

/// What a pickle makes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Mark,
    Number(i64),
    Text(String),
    /// A class or a function: `module name`.
    Name(String),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What is kept outside the pickle under this name.
    Outside(Id),
    /// What a function would make of arguments.
    Call(Id, Id),
    /// Something that no tensor is made of.
    Other,
}

/// Everything that a pickle makes.
#[derive(Debug)]
pub(super) struct Pickle {
    nodes: Vec<Node>,
    root: Id,
}

/// Node 0, of which there need be only one.
const OTHER: Id = 0;

impl Pickle {
    /// # Errors
    /// With a reason, if it is cut off, contradicts itself, or does what torch never asks for.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut machine =
            Machine { nodes: vec![Node::Other], stack: Vec::new(), memo: BTreeMap::new(), rest: bytes };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { nodes: machine.nodes, root })
    }

    pub(super) fn root(&self) -> &Node {
        self.node(self.root)
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A number that counts something.
    pub(super) fn count(&self, id: Id) -> Option<usize> {
        match self.node(id) {
            Node::Number(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }
}

struct Machine<'a> {
    nodes: Vec<Node>,
    stack: Vec<Id>,
    memo: BTreeMap<u32, Id>,
    rest: &'a [u8],
}

impl Machine<'_> {
    /// Takes one operation; false for the last.
    fn step(&mut self) -> Result<bool, String> {
        let node = match self.byte()? {
            0x80 => return self.byte().map(|_| true), // PROTO
            b'.' => return Ok(false),
            b'q' => return self.byte().and_then(|id| self.remember(id.into())),
            b'r' => return self.four().and_then(|id| self.remember(id)),
            b'h' => return self.byte().and_then(|id| self.recall(id.into())),
            b'j' => return self.four().and_then(|id| self.recall(id)),
            b's' => return self.set_items(2),
            b'u' => {
                let items = self.stack.len() - self.mark()? - 1;
                return self.set_items(items);
            }
            // What an object is told, or a list is given, makes no tensor.
            b'b' | b'a' => return self.pop().map(|_| true),
            b'e' => return self.since_mark().map(|_| true),
            b'N' | 0x88 | 0x89 | b']' => {
                self.stack.push(OTHER);
                return Ok(true);
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(OTHER);
                return Ok(true);
            }
            b'(' => Node::Mark,
            b'c' => Node::Name(format!("{} {}", self.line()?, self.line()?)),
            b'X' => {
                let length = self.four()? as usize;
                Node::Text(std::str::from_utf8(self.take(length)?).map_err(|e| e.to_string())?.to_owned())
            }
            b'J' => Node::Number(self.four()?.cast_signed().into()),
            b'K' => Node::Number(self.byte()?.into()),
            b'M' => Node::Number(u16::from_le_bytes([self.byte()?, self.byte()?]).into()),
            0x8a => self.long()?,
            b')' => Node::Tuple(Vec::new()),
            b't' => Node::Tuple(self.since_mark()?),
            count @ 0x85..=0x87 => Node::Tuple(self.pop_many(usize::from(count - 0x84))?),
            b'}' => Node::Dict(Vec::new()),
            b'd' => {
                let items = self.since_mark()?;
                Node::Dict(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
            }
            b'Q' => Node::Outside(self.pop()?),
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                match &self.nodes[function] {
                    Node::Name(name) if name == "collections OrderedDict" => Node::Dict(Vec::new()),
                    _ => Node::Call(function, arguments),
                }
            }
            other => {
                return Err(format!(
                    "the pickle has the operation {other:#04x}, which no `state_dict` needs"
                ));
            }
        };
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("the pickle is cut off")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn four(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    /// A number of up to eight bytes, the lowest first.
    fn long(&mut self) -> Result<Node, String> {
        let count = usize::from(self.byte()?);
        let bytes = self.take(count)?;
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide.get_mut(..count).ok_or("the pickle has a number of more than 64 bits")?.copy_from_slice(bytes);
        Ok(Node::Number(i64::from_le_bytes(wide)))
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or("the pickle is cut off")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.byte()?;
        Ok(line)
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| EMPTY.to_owned())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let start = self.stack.len().checked_sub(count).ok_or(EMPTY)?;
        Ok(self.stack.split_off(start))
    }

    /// Where the last mark is on the stack.
    fn mark(&self) -> Result<usize, String> {
        let mark = self.stack.iter().rposition(|&id| self.nodes[id] == Node::Mark);
        mark.ok_or_else(|| EMPTY.to_owned())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.mark()?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    /// Puts pairs from the top of the stack into the dictionary below them, with a mark between if there are more than one.
    fn set_items(&mut self, count: usize) -> Result<bool, String> {
        let items = self.pop_many(count)?;
        if self.stack.last().is_some_and(|&id| self.nodes[id] == Node::Mark) {
            self.stack.pop();
        }
        match self.stack.last().map(|&id| &mut self.nodes[id]) {
            Some(Node::Dict(pairs)) => pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Some(_) => {}
            None => return Err(EMPTY.into()),
        }
        Ok(true)
    }

    fn remember(&mut self, key: u32) -> Result<bool, String> {
        let top = *self.stack.last().ok_or(EMPTY)?;
        self.memo.insert(key, top);
        Ok(true)
    }

    fn recall(&mut self, key: u32) -> Result<bool, String> {
        let id = *self.memo.get(&key).ok_or("the pickle refers to what it does not have")?;
        self.stack.push(id);
        Ok(true)
    }
}

const EMPTY: &str = "the pickle takes what it has not put there";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_texts_and_dictionaries_are_read() {
        let pickle = Pickle::parse(
            b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01\x8a\x02\x00\xffX\x01\x00\x00\x00bh\x01\x85uK\x07\x86.",
        )
        .unwrap();
        let Node::Tuple(items) = pickle.root() else { panic!("{pickle:?}") };
        assert_eq!(pickle.count(items[1]), Some(7));
        let Node::Dict(pairs) = pickle.node(items[0]) else { panic!("{pickle:?}") };
        assert_eq!((pickle.text(pairs[0].0), pickle.node(pairs[0].1)), (Some("a"), &Node::Number(-256)));
        let inner = pickle.tuple(pairs[1].1).unwrap();
        assert_eq!((pickle.text(pairs[1].0), pickle.text(inner[0])), (Some("b"), Some("a")));
    }

    #[test]
    fn a_pickle_cannot_take_more_than_it_is_worth() {
        // A text of 4 GB in ten bytes; a tuple doubled sixty times; a million tuples in each other; a number of 255 bytes.
        assert!(Pickle::parse(b"X\xff\xff\xff\xffa.").unwrap_err().contains("cut off"));
        let doubled = [b")q\x00".to_vec(), b"h\x00h\x00\x86q\x00".repeat(60), b".".to_vec()].concat();
        assert_eq!(Pickle::parse(&doubled).unwrap().nodes.len(), 62);
        let nested = [b")".to_vec(), vec![0x85; 1_000_000], b".".to_vec()].concat();
        assert!(Pickle::parse(&nested).is_ok());
        let long = [b"\x8a\xff".to_vec(), vec![1; 255], b".".to_vec()].concat();
        assert!(Pickle::parse(&long).unwrap_err().contains("64 bits"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for broken in [
            &b""[..],
            b".",
            b"R.",
            b"K\x01R.",
            b"u.",
            b"s.",
            b"t.",
            b"e.",
            b"q\x00.",
            b"h\x00.",
            b"c\n",
            b"\x87.",
            b"i",
        ] {
            assert!(Pickle::parse(broken).is_err(), "{broken:?}");
        }
    }
}
