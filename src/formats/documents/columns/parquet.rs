use super::super::{BadRecord, DocumentOptions};
use super::pages::OneGroup;
use super::rows::Columns;
use super::{ROWS, Stretch, guarded, rows, thrift};
use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

/// Rows of a Parquet file, row group by row group. What is wrong in one costs its rows and none of the next.
pub(super) struct Groups<P> {
    file: Arc<File>,
    name: String,
    metadata: ArrowReaderMetadata,
    levels: FieldLevels,
    mask: ProjectionMask,
    progress: P,
    /// Bytes of the file, and those of which `progress` knows.
    bytes: u64,
    told: u64,
    /// The next row group, and the rows of those before it.
    next: usize,
    before: usize,
    open: Option<Open>,
}

/// A row group that is being read.
struct Open {
    reader: ParquetRecordBatchReader,
    rows: usize,
    read: usize,
}

impl<P: FnMut(u64)> Groups<P> {
    pub(super) fn open(
        file: File,
        name: String,
        options: DocumentOptions,
        progress: P,
    ) -> Result<(Columns, Self), String> {
        let bytes = file.metadata().map_err(|error| error.to_string())?.len();
        // The Arrow schema that writers may leave in the file says nothing that is needed, and is one more thing to trust.
        check_footer(&file, bytes).map_err(|reason| format!("not a whole Parquet file: {reason}"))?;
        let reading = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, reading))
            .map_err(|reason| format!("not a whole Parquet file: {reason}"))?;
        let columns = Columns::new(metadata.schema(), name.clone(), options)?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), columns.projection().iter().copied());
        let levels =
            guarded(|| parquet_to_arrow_field_levels(metadata.parquet_schema(), mask.clone(), None))?;
        let file = Arc::new(file);
        let groups = Self {
            file,
            levels,
            name,
            metadata,
            mask,
            progress,
            bytes,
            told: 0,
            next: 0,
            before: 0,
            open: None,
        };
        Ok((columns, groups))
    }

    /// Rows that a row group says it has.
    fn rows(&self, group: usize) -> Result<usize, String> {
        let rows = self.metadata.metadata().row_group(group).num_rows();
        usize::try_from(rows).map_err(|_| format!("it says it has {rows} rows"))
    }

    fn open_next(&self) -> Result<Open, String> {
        let group = self.metadata.metadata().row_group(self.next);
        for (place, column) in group.columns().iter().enumerate() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let end = start.checked_add(column.compressed_size());
            let within = start >= 0
                && column.compressed_size() >= 0
                && end.is_some_and(|end| end.unsigned_abs() <= self.bytes);
            if self.mask.leaf_included(place) && !within {
                return Err(format!("column `{}` lies outside of the file", column.column_path()));
            }
        }
        let rows = self.rows(self.next)?;
        let (file, metadata) = (self.file.clone(), self.metadata.metadata().clone());
        let group = OneGroup { file, metadata, group: self.next };
        let open = || ParquetRecordBatchReader::try_new_with_row_groups(&self.levels, &group, ROWS, None);
        Ok(Open { reader: guarded(open)?, rows, read: 0 })
    }

    /// Says what cannot be read of the row group before `next`, and passes over it.
    fn passed_over(&mut self, read: usize, reason: &str) -> BadRecord {
        let count = self.rows(self.next - 1).unwrap_or(0).saturating_sub(read);
        let first = self.before.saturating_add(read + 1);
        let which = match count {
            0 => "its rows".to_owned(),
            count => rows(first, count),
        };
        self.close(read + count);
        BadRecord::at(
            &self.name,
            first,
            format!("row group {}: {which} cannot be read: {reason}", self.next),
            [],
        )
    }

    /// Notes that the row group before `next` is done with.
    fn close(&mut self, rows: usize) {
        self.open = None;
        // Row groups may say any number.
        self.before = self.before.saturating_add(rows);
        let total = self.metadata.metadata().file_metadata().num_rows().max(1) as u128;
        let done = (u128::from(self.bytes) * self.before as u128 / total).min(self.bytes.into()) as u64;
        (self.progress)(done.saturating_sub(self.told));
        self.told = done.max(self.told);
    }
}

impl Open {
    /// Rows that come next; `None` behind the last.
    fn next(&mut self) -> Result<Option<RecordBatch>, String> {
        let batch = guarded(|| self.reader.next().transpose())?;
        let rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
        match &batch {
            None if self.read < self.rows => {
                Err(format!("it has {} of the {} rows it says", self.read, self.rows))
            }
            Some(_) if self.read + rows > self.rows => {
                Err(format!("it has more rows than the {} it says", self.rows))
            }
            _ => {
                self.read += rows;
                Ok(batch)
            }
        }
    }
}

/// Whether the file ends in a footer whose lengths can be.
fn check_footer(mut file: &File, bytes: u64) -> Result<(), String> {
    const TAIL: u64 = 8;
    let tail = || -> std::io::Result<[u8; TAIL as usize]> {
        let mut tail = [0; TAIL as usize];
        file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL)))?;
        file.read_exact(&mut tail)?;
        Ok(tail)
    };
    let [a, b, c, d, magic @ ..] = { tail }().map_err(|_| "it is too short")?;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if &magic == b"PARE" {
        return Err("it is encrypted".to_owned());
    }
    if &magic != b"PAR1" || length + TAIL > bytes {
        return Err("its end, which says what is in it, is missing".to_owned());
    }
    let mut footer = Vec::new();
    file.seek(SeekFrom::Start(bytes - TAIL - length))
        .and_then(|_| file.take(length).read_to_end(&mut footer))
        .map_err(|error| error.to_string())?;
    thrift::check(&footer).map_err(|reason| format!("of its end, {reason}"))
}

impl<P: FnMut(u64)> Iterator for Groups<P> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        loop {
            let Some(open) = &mut self.open else {
                if self.next == self.metadata.metadata().num_row_groups() {
                    return None;
                }
                let opened = self.open_next();
                self.next += 1;
                match opened {
                    Ok(open) => self.open = Some(open),
                    Err(reason) => return Some(Err(self.passed_over(0, &reason))),
                }
                continue;
            };
            let first = self.before.saturating_add(open.read + 1);
            match open.next() {
                Ok(Some(batch)) => return Some(Ok((first, batch))),
                Ok(None) => {
                    let rows = open.rows;
                    self.close(rows);
                }
                Err(reason) => {
                    let read = open.read;
                    return Some(Err(self.passed_over(read, &reason)));
                }
            }
        }
    }
}
