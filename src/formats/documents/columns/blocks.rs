//! The messages of an Arrow file where its footer says they are. A file is nearly a stream between two magic words, but not
//! all writers keep to that, and dictionaries may stand behind the rows that need them.

use super::guarded;
use super::message::{self, Next};
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::{Block, root_as_footer};
use arrow_schema::Schema;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// What an Arrow file begins and ends with.
pub(super) const MAGIC: &[u8] = b"ARROW1";

/// Messages of a file: dictionaries first, then batches.
pub(super) struct Blocks {
    reader: BufReader<File>,
    /// Where they begin and, in all, how many bytes they have.
    places: std::vec::IntoIter<(u64, u64)>,
    dictionaries: usize,
    /// Where the last batch began: a batch stands behind it, or a few bytes could say that there are many.
    last: Option<u64>,
    progress: Box<dyn FnMut(u64)>,
}

/// What the end of a file says; `None` if the end is missing.
pub(super) fn read(
    mut file: &File,
    progress: Box<dyn FnMut(u64)>,
) -> Result<Option<(Schema, Blocks)>, String> {
    let told = |error: std::io::Error| error.to_string();
    let bytes = file.metadata().map_err(told)?.len();
    let tail = (4 + MAGIC.len()) as u64;
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(bytes.saturating_sub(tail))).map_err(told)?;
    file.read_to_end(&mut end).map_err(told)?;
    let Some((length, MAGIC)) = end.split_first_chunk() else { return Ok(None) };
    let length = u64::try_from(i32::from_le_bytes(*length)).unwrap_or(u64::MAX);
    let Some(start) = (bytes - tail).checked_sub(length) else {
        return Err(format!("it says that {length} bytes stand at its end, and has {bytes}"));
    };
    let mut footer = Vec::new();
    file.seek(SeekFrom::Start(start))
        .and_then(|_| file.take(length).read_to_end(&mut footer))
        .map_err(told)?;
    let footer = root_as_footer(&footer).map_err(|error| format!("its end cannot be read: {error}"))?;
    let schema = footer.schema().ok_or("its end says nothing of its columns")?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err("its numbers are big-endian".to_owned());
    }
    let schema = guarded(|| Ok::<_, String>(fb_to_schema(schema)))?;
    let place = |block: &Block| {
        let length = i64::from(block.metaDataLength()).saturating_add(block.bodyLength());
        (block.offset().unsigned_abs(), length.unsigned_abs())
    };
    let mut places: Vec<(u64, u64)> = footer.dictionaries().into_iter().flatten().map(place).collect();
    let dictionaries = places.len();
    places.extend(footer.recordBatches().into_iter().flatten().map(place));
    let reader = BufReader::new(file.try_clone().map_err(told)?);
    Ok(Some((schema, Blocks { reader, places: places.into_iter(), dictionaries, last: None, progress })))
}

impl Blocks {
    /// True if an error in what was read last costs nothing but that.
    pub(super) fn can_go_on(&self) -> bool {
        self.dictionaries == 0
    }

    pub(super) fn next(&mut self) -> Result<Next, String> {
        let Some((place, length)) = self.places.next() else { return Ok(Next::End) };
        (self.progress)(length);
        match self.dictionaries.checked_sub(1) {
            Some(left) => self.dictionaries = left,
            None if self.last.is_some_and(|last| place <= last) => {
                return Err(format!("it does not stand behind the batch before it, but at byte {place}"));
            }
            None => self.last = Some(place),
        }
        self.reader.seek(SeekFrom::Start(place)).map_err(|error| error.to_string())?;
        match message::next(&mut self.reader)? {
            Next::Message(message) => Ok(Next::Message(message)),
            Next::End | Next::Nothing => Err(format!("no message stands at byte {place}")),
        }
    }
}
