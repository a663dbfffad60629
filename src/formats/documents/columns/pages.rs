//! The pages of a row group, checked before anything is made of them.

use super::there_is_memory;
use super::thrift::{self, PageHead, varint};
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;
use std::fs::File;
use std::sync::Arc;

/// One row group of a file.
pub(super) struct OneGroup {
    pub(super) file: Arc<File>,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) group: usize,
}

impl OneGroup {
    fn group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.group)
    }
}

impl RowGroups for OneGroup {
    fn num_rows(&self) -> usize {
        self.group().num_rows().try_into().unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.group().column(column);
        let pages = SerializedPageReader::new(self.file.clone(), chunk, self.num_rows(), None)?;
        let column = chunk.column_descr();
        let levels = usize::from(column.max_rep_level() > 0) + usize::from(column.max_def_level() > 0);
        let (start, length) = chunk.byte_range();
        let most = most_expansion(chunk.compression());
        let heads = Heads { file: self.file.clone(), next: start, end: start.saturating_add(length), most };
        Ok(Box::new(OneChunk(Some(Checked { pages, heads, levels }))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of one column.
struct OneChunk(Option<Checked>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}

struct Checked {
    pages: SerializedPageReader<File>,
    heads: Heads,
    /// Levels that stand before the values of a page: of repetition, of definition, both or none.
    levels: usize,
}

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.heads.check_next().map_err(ParquetError::General)?;
        let page = self.pages.get_next_page()?;
        match page.as_ref().map_or(Ok(()), |page| check(page, self.levels)) {
            Ok(()) => Ok(page),
            Err(reason) => Err(ParquetError::General(reason)),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.heads.check_next().map_err(ParquetError::General)?;
        self.pages.skip_next_page()
    }
}

/// The heads of the pages of one column, looked at before the pages are read.
struct Heads {
    file: Arc<File>,
    /// Where the next head stands, and where the last page ends.
    next: u64,
    end: u64,
    /// What a byte can stand for at most; `None` if nothing is compressed.
    most: Option<u64>,
}

impl Heads {
    /// Whether the next page can grow to the size it says, and there is memory for that: it is asked for at once.
    fn check_next(&mut self) -> std::result::Result<(), String> {
        let Some(most) = self.most else { return Ok(()) };
        while self.next < self.end {
            let PageHead { length, kind, compressed, size } = self.read()?;
            self.next = self.next.saturating_add(length).saturating_add(compressed);
            if size > compressed.saturating_mul(most) {
                return Err(format!("a page of {compressed} bytes says it stands for {size}"));
            }
            if !usize::try_from(size).is_ok_and(there_is_memory) {
                return Err(format!("there is no memory for a page of {size} bytes"));
            }
            // The reader passes over these.
            if kind != PageHead::INDEX {
                break;
            }
        }
        Ok(())
    }

    fn read(&self) -> std::result::Result<PageHead, String> {
        /// Bytes of a head, usually and at most: it may have the least and the greatest of its values.
        const USUAL: u64 = 4 << 10;
        const MOST: u64 = 64 << 20;
        let there = (self.end - self.next).min(MOST);
        let mut length = there.min(USUAL);
        loop {
            let bytes = self.file.get_bytes(self.next, length as usize).map_err(|error| error.to_string())?;
            match thrift::page_head(&bytes) {
                Err(_) if length < there => length = there.min(length * 16),
                head => return head.map_err(|reason| format!("of the head of a page, {reason}")),
            }
        }
    }
}

/// The most bytes that a compressed byte can stand for: copies in Snappy and LZ4, matches in gzip, blocks of one repeated
/// byte in Zstandard, all of what a block may have in Brotli.
fn most_expansion(codec: Compression) -> Option<u64> {
    match codec {
        Compression::UNCOMPRESSED => None,
        Compression::SNAPPY => Some(32),
        Compression::LZ4 | Compression::LZ4_RAW => Some(255),
        Compression::GZIP(_) => Some(1032),
        Compression::ZSTD(_) => Some(1 << 15),
        Compression::BROTLI(_) | Compression::LZO => Some(1 << 24),
    }
}

/// Whether a page has as many values as its lengths are: memory for them is asked for at once.
fn check(page: &Page, levels: usize) -> std::result::Result<(), String> {
    let lists = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    let short = || "a page is cut short".to_owned();
    let mut values: &[u8] = page.buffer();
    match page {
        Page::DataPage { .. } => {
            for _ in 0..levels {
                let (length, rest) = values.split_first_chunk().ok_or_else(short)?;
                values = rest.get(u32::from_le_bytes(*length) as usize..).ok_or_else(short)?;
            }
        }
        Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            values = values.get(levels as usize..).ok_or_else(short)?;
        }
        Page::DictionaryPage { .. } => {}
    }
    for _ in 0..lists {
        let count = skip_delta(&mut values).ok_or_else(short)?;
        if count > page.num_values().into() {
            return Err(format!("a page of {} values has the lengths of {count}", page.num_values()));
        }
    }
    Ok(())
}

/// Passes over a list of numbers that are written as differences, and says how many there are.
fn skip_delta(rest: &mut &[u8]) -> Option<u64> {
    let (block, parts, count) = (varint(rest)?, varint(rest)?, varint(rest)?);
    let _first = varint(rest)?;
    let per_part = block.checked_div(parts)?;
    let mut left = count.saturating_sub(1);
    while left > 0 && per_part > 0 {
        let _least = varint(rest)?;
        let (widths, parts) = rest.split_at_checked(usize::try_from(parts).ok()?)?;
        *rest = parts;
        for &width in widths {
            if left == 0 {
                break;
            }
            let bytes = per_part.checked_mul(width.into())?.div_ceil(8);
            *rest = rest.get(usize::try_from(bytes).ok()?..)?;
            left = left.saturating_sub(per_part);
        }
    }
    Some(count)
}
