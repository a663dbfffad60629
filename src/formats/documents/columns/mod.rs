//! Rows of columns: Parquet files, Arrow files and streams.

mod arrow;
mod blocks;
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
use std::io::{BufRead, Cursor, Read, Seek};

/// Rows that are turned into documents at a time.
const ROWS: usize = 1024;

/// Rows that stand together, with the number of the first, from 1; or why rows cannot be read.
type Stretch = Result<(usize, RecordBatch), BadRecord>;

/// Rows of an input that is read from its beginning to its end. Parquet and Arrow files are read from their end: such an
/// input is copied to a temporary file first, however large it is.
pub(super) fn read(
    mut reader: Box<dyn BufRead>,
    format: InputFormat,
    name: String,
    options: DocumentOptions,
) -> Documents {
    let mut start = Vec::new();
    if let Err(error) = reader.by_ref().take(InputFormat::MAGIC as u64).read_to_end(&mut start) {
        return failed(BadRecord::whole(&name, error.to_string()));
    }
    let found = InputFormat::of_magic(&start);
    let mut reader = Cursor::new(start).chain(reader);
    let copy = || {
        let mut file = tempfile::tempfile()?;
        std::io::copy(&mut reader, &mut file)?;
        Ok::<File, std::io::Error>(file)
    };
    match (format, found) {
        (InputFormat::Parquet, _) | (_, Some(InputFormat::Arrow)) => {}
        _ => return arrow::read(Box::new(reader), name, options),
    }
    match { copy }() {
        Ok(file) => read_file(file, name, options, |_| {}),
        Err(error) => failed(BadRecord::whole(
            &name,
            format!(
                "cannot be copied to {}, as a file of columns that does not come from disk must be: {error}; \
                 `TMPDIR` names another folder",
                std::env::temp_dir().display()
            ),
        )),
    }
}

/// Rows of a Parquet file or an Arrow file; `progress` is told of the bytes that the rows read are of the file.
pub(super) fn read_file(
    mut file: File,
    name: String,
    options: DocumentOptions,
    progress: impl FnMut(u64) + 'static,
) -> Documents {
    let mut start = Vec::new();
    let looked = file.rewind().and_then(|()| (&file).take(InputFormat::MAGIC as u64).read_to_end(&mut start));
    if let Err(error) = looked {
        return failed(BadRecord::whole(&name, error.to_string()));
    }
    if InputFormat::of_magic(&start) == Some(InputFormat::Arrow) {
        return arrow::read_file(file, name, options, Box::new(progress));
    }
    match parquet::Groups::open(file, name.clone(), options, progress) {
        Ok((columns, groups)) => documents(columns, groups),
        Err(reason) => failed(BadRecord::whole(&name, reason)),
    }
}

/// The documents of rows that are read one stretch after the other.
fn documents(columns: Columns, stretches: impl Iterator<Item = Stretch> + 'static) -> Documents {
    Box::new(stretches.flat_map(move |stretch| -> Box<dyn Iterator<Item = Result<Document, BadRecord>>> {
        match stretch {
            Ok((first, batch)) => Box::new(columns.documents(first, &batch).into_iter()),
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

/// "rows 1 to 7", "row 7".
fn rows(first: usize, count: usize) -> String {
    if count == 1 { format!("row {first}") } else { format!("rows {first} to {}", first + count - 1) }
}
