//! The messages that an Arrow stream consists of, checked before anything is made of them.

use super::there_is_memory;
use arrow_ipc::{CompressionType, MessageHeader, RecordBatch, root_as_message};
use std::io::Read;

/// A message: what it says, and the values behind it.
pub(super) struct Message {
    head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// What comes next in a stream.
pub(super) enum Next {
    Message(Message),
    /// The mark that stands at the end.
    End,
    /// Nothing.
    Nothing,
}

/// What stands before the length of a message, since 2019.
pub(super) const CONTINUATION: [u8; 4] = [0xff; 4];
/// Rows that no batch has: counts above are hostile, and sums of them would not be safe.
const MANY: i64 = 1 << 32;

/// Reads the next message. Memory grows with what is there, whatever lengths it says.
pub(super) fn next(reader: &mut impl Read) -> Result<Next, String> {
    let mut word = read(reader, 4)?;
    if word.is_empty() {
        return Ok(Next::Nothing);
    }
    if word == CONTINUATION {
        word = read(reader, 4)?;
    }
    let length = whole(word, 4)?.try_into().map(i32::from_le_bytes).expect("four bytes");
    if length == 0 {
        return Ok(Next::End);
    }
    let length = u64::try_from(length).map_err(|_| format!("a message says it has {length} bytes"))?;
    let head = whole(read(reader, length)?, length)?;
    let length = parsed(&head)?.bodyLength();
    let length = u64::try_from(length).map_err(|_| format!("a message says {length} bytes follow it"))?;
    let body = whole(read(reader, length)?, length)?;
    Ok(Next::Message(Message { head, body }))
}

/// Reads a schema that stands in a file without the length before it: Polars leaves that out, as readers go by the footer.
/// It ends where the next message begins. `start` is what was read already, and then what is to be read again.
pub(super) fn bare_schema(reader: &mut impl Read, start: &mut Vec<u8>) -> Result<Option<Message>, String> {
    /// Bytes of a schema, at most.
    const MOST: usize = 1 << 20;
    while start.len() < MOST {
        let word = read(reader, 8)?;
        if word.starts_with(&CONTINUATION)
            && parsed(start).is_ok_and(|head| head.header_as_schema().is_some())
        {
            return Ok(Some(Message { head: std::mem::replace(start, word), body: Vec::new() }));
        }
        start.extend_from_slice(&word);
        if word.len() < 8 {
            break;
        }
    }
    Ok(None)
}

/// Up to so many bytes.
fn read(reader: &mut impl Read, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn whole(bytes: Vec<u8>, length: u64) -> Result<Vec<u8>, String> {
    if bytes.len() as u64 == length {
        return Ok(bytes);
    }
    Err(format!("it ends in the middle of a message: {} bytes of {length} are there", bytes.len()))
}

fn parsed(head: &[u8]) -> Result<arrow_ipc::Message<'_>, String> {
    root_as_message(head).map_err(|error| format!("no message stands where one should: {error}"))
}

impl Message {
    pub(super) fn head(&self) -> arrow_ipc::Message<'_> {
        parsed(&self.head).expect("it was parsed when it was read")
    }

    /// Rows that the message says it has; 0 if it is no batch of rows, or says what no batch has.
    pub(super) fn rows(&self) -> usize {
        let rows = self.head().header_as_record_batch().map_or(0, |batch| batch.length());
        if (0..MANY).contains(&rows) { rows as usize } else { 0 }
    }
}

/// Whether the counts and places that a message says lie within what is there.
pub(super) fn check(head: &arrow_ipc::Message, body: &[u8]) -> Result<(), String> {
    let batch = match head.header_type() {
        MessageHeader::RecordBatch => head.header_as_record_batch(),
        MessageHeader::DictionaryBatch => head.header_as_dictionary_batch().and_then(|batch| batch.data()),
        _ => return Ok(()),
    };
    check_batch(&batch.ok_or("a batch says nothing of its columns")?, body)
}

fn check_batch(batch: &RecordBatch, body: &[u8]) -> Result<(), String> {
    if !(0..MANY).contains(&batch.length()) {
        return Err(format!("a batch says it has {} rows", batch.length()));
    }
    for node in batch.nodes().into_iter().flatten() {
        if !(0..MANY).contains(&node.length()) || !(0..=node.length()).contains(&node.null_count()) {
            let (length, nulls) = (node.length(), node.null_count());
            return Err(format!("a column says it has {length} values, {nulls} of them null"));
        }
    }
    let buffers = batch.buffers().map_or(0, |buffers| buffers.len()) as i64;
    let counts = batch.variadicBufferCounts().into_iter().flatten();
    if counts.into_iter().any(|count| !(0..=buffers).contains(&count)) {
        return Err("a column says it has more buffers than there are".to_owned());
    }
    for buffer in batch.buffers().into_iter().flatten() {
        let (start, length) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        let range =
            start.ok().zip(length.ok()).and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let bytes = range.and_then(|range| body.get(range)).ok_or_else(|| {
            let (start, length, whole) = (buffer.offset(), buffer.length(), body.len());
            format!(
                "a buffer of {length} bytes from {start} on does not lie within the {whole} bytes there are"
            )
        })?;
        if let Some(compression) = batch.compression() {
            check_expansion(bytes, compression.codec())?;
        }
    }
    Ok(())
}

/// Whether a compressed buffer can grow to the size it says, and there is memory for that: it would be asked for at once.
fn check_expansion(bytes: &[u8], codec: CompressionType) -> Result<(), String> {
    let Some((size, compressed)) = bytes.split_first_chunk() else {
        return if bytes.is_empty() { Ok(()) } else { Err("a compressed buffer says no size".to_owned()) };
    };
    let size = i64::from_le_bytes(*size);
    if size == -1 {
        return Ok(());
    }
    // The most that a byte can stand for: long matches in LZ4, blocks of one repeated byte in Zstandard.
    let most = if codec == CompressionType::LZ4_FRAME { 255 } else { 1 << 15 };
    let possible = |size: &usize| *size <= compressed.len().saturating_mul(most);
    match usize::try_from(size).ok().filter(possible) {
        Some(size) if there_is_memory(size) => Ok(()),
        Some(size) => {
            Err(format!("there is no memory for a buffer of {size} bytes; write batches of fewer rows"))
        }
        None => Err(format!("a buffer of {} bytes says it stands for {size}", compressed.len())),
    }
}
