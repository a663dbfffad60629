//! Rows of columns: Parquet files, Arrow files and streams.

mod arrow;
mod message;
mod pages;
mod parquet;
mod rows;
#[cfg(test)]
mod tests;
mod thrift;

use self::rows::Columns;
use super::{BadRecord, Document, DocumentOptions, Documents, InputFormat};
use arrow_array::RecordBatch;
use std::fs::File;
use std::io::{BufRead, Seek};
use std::rc::Rc;

/// Rows that are turned into documents at a time: long texts must fit into memory so often.
const ROWS: usize = 128;

/// Rows that stand together, with the number of the first, from 1; or why rows cannot be read.
type Stretch = Result<(usize, RecordBatch), BadRecord>;

/// Rows of an input that is read from its beginning to its end. A Parquet file is read from its end: it is copied to a
/// temporary file first, however large it is.
pub(super) fn read(
    mut reader: Box<dyn BufRead>,
    format: InputFormat,
    name: String,
    options: DocumentOptions,
) -> Documents {
    if format != InputFormat::Parquet {
        return arrow::read(reader, name, options);
    }
    let copy = || {
        let mut file = tempfile::tempfile()?;
        std::io::copy(&mut reader, &mut file)?;
        file.rewind()?;
        Ok::<File, std::io::Error>(file)
    };
    match { copy }() {
        Ok(file) => read_parquet(file, name, options, |_| {}),
        Err(error) => failed(BadRecord::whole(
            &name,
            format!(
                "cannot be copied to {}, as a Parquet file that does not come from disk must be: {error}; \
                 `TMPDIR` names another folder",
                std::env::temp_dir().display()
            ),
        )),
    }
}

/// Rows of a Parquet file; `progress` is told of the bytes that the rows read are of the file.
pub(super) fn read_parquet(
    file: File,
    name: String,
    options: DocumentOptions,
    progress: impl FnMut(u64) + 'static,
) -> Documents {
    match parquet::Groups::open(file, name.clone(), options, progress) {
        Ok((columns, groups)) => documents(columns, groups),
        Err(reason) => failed(BadRecord::whole(&name, reason)),
    }
}

/// The documents of rows that are read one stretch after the other.
fn documents(columns: Columns, stretches: impl Iterator<Item = Stretch> + 'static) -> Documents {
    let columns = Rc::new(columns);
    Box::new(stretches.flat_map(move |stretch| -> Box<dyn Iterator<Item = Result<Document, BadRecord>>> {
        match stretch {
            Ok((first, batch)) => Box::new(columns.clone().documents(first, batch)),
            Err(bad) => Box::new(std::iter::once(Err(bad))),
        }
    }))
}

fn failed(bad: BadRecord) -> Documents {
    Box::new(std::iter::once(Err(bad)))
}

/// What a reader of `arrow` or `parquet` answers, a panic being an error: of what a file says they check most, and assert
/// the rest. Files with one wrong byte are enough to reach such a place: in `parquet` widths of bits, lengths written as
/// differences, levels of more values than there are, a dictionary that is missing; in `arrow_ipc` types that there are not,
/// and batches with fewer buffers than their columns call for.
fn guarded<T, E: std::fmt::Display>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    crate::guarded::guarded(read)?.map_err(|error| error.to_string())
}

/// Whether there is memory for so many bytes, which will be asked for at once.
fn there_is_memory(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

/// "rows 1 to 7", "row 7".
fn rows(first: usize, count: usize) -> String {
    if count == 1 {
        format!("row {first}")
    } else {
        format!("rows {first} to {}", first.saturating_add(count - 1))
    }
}
