//! Results in columns: Parquet and Arrow files, Arrow streams.

mod rows;
mod schema;
mod sink;
#[cfg(test)]
mod tests;

use self::rows::{ArticleRow, EntityRow, SentenceRow, bytes};
use self::schema::schema;
use self::sink::{Sink, io_error};
use super::rows::begins;
use super::{Report, Rows, SentenceRecord, Shape};
use arrow_json::ReaderBuilder;
use arrow_json::reader::Decoder;
use serde::Serialize;
use serde_json::Value;
use std::io::{Error, ErrorKind, Result, Write};
use std::sync::Arc;

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8192;
/// Bytes of a batch, as far as they come from the input, from which on no row is added.
const BATCH_BYTES: usize = 16 << 20;
/// Bytes from the input that a row cannot have: places in a column are 32 bits wide.
const ROW_BYTES: usize = i32::MAX as usize;

/// Records as rows of columns whose names and types are known before the first record comes.
///
/// What the columns are, `docs/columns.md` says. The same records give the same bytes, whatever the time and place.
pub struct ColumnsReport {
    rows: Rows,
    /// Makes columns of rows.
    decoder: Decoder,
    /// Rows that are not written yet, and the bytes they have from the input.
    pending: usize,
    bytes: usize,
    /// Sentences of the article that is not over yet. What they share the first has alone.
    article: Vec<SentenceRecord>,
    sink: Sink,
}

impl ColumnsReport {
    /// A Parquet file, compressed by Zstandard. It is one only when the report has finished.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn parquet(writer: Box<dyn Write + Send>, shape: &Shape) -> Result<Self> {
        Self::new(shape, |schema| Sink::parquet(writer, schema))
    }

    /// An Arrow file (Feather, version 2). It is one only when the report has finished.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn arrow_file(writer: Box<dyn Write + Send>, shape: &Shape) -> Result<Self> {
        Self::new(shape, |schema| Sink::arrow_file(writer, schema))
    }

    /// An Arrow stream: what the columns are is written at once, and every flush ends a batch, so that who reads a pipe
    /// waits for nothing.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn arrow_stream(writer: Box<dyn Write + Send>, shape: &Shape) -> Result<Self> {
        Self::new(shape, |schema| Sink::arrow_stream(writer, schema))
    }

    fn new(shape: &Shape, sink: impl FnOnce(&arrow_schema::SchemaRef) -> Result<Sink>) -> Result<Self> {
        let schema = Arc::new(schema(shape));
        let decoder = ReaderBuilder::new(schema.clone()).build_decoder().map_err(io_error)?;
        let sink = sink(&schema)?;
        Ok(Self { rows: shape.rows, decoder, pending: 0, bytes: 0, article: Vec::new(), sink })
    }

    fn row(&mut self, row: &impl Serialize, bytes: usize) -> Result<()> {
        if bytes > ROW_BYTES {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "more than 2 GiB do not fit into a row of columns; JSON lines have no such limit",
            ));
        }
        if self.pending == BATCH_ROWS || (self.pending > 0 && self.bytes + bytes > BATCH_BYTES) {
            self.write()?;
        }
        self.decoder.serialize(std::slice::from_ref(row)).map_err(io_error)?;
        self.pending += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Ends the batch.
    fn write(&mut self) -> Result<()> {
        (self.pending, self.bytes) = (0, 0);
        match self.decoder.flush().map_err(io_error)? {
            Some(batch) => self.sink.write(&batch),
            None => Ok(()),
        }
    }

    /// Ends the article.
    fn write_article(&mut self) -> Result<()> {
        let sentences = std::mem::take(&mut self.article);
        let bytes = sentences.iter().map(bytes).sum();
        ArticleRow::new(&sentences).map_or(Ok(()), |row| self.row(&row, bytes))
    }
}

impl Report for ColumnsReport {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        match self.rows {
            Rows::Sentence => self.row(&SentenceRow::new(record), bytes(record)),
            Rows::Entity => {
                let mut entities = record.entities.iter().flatten();
                entities.try_for_each(|entity| self.row(&EntityRow::new(record, entity), bytes(record)))
            }
            Rows::Article => {
                if begins(record, self.article.first().map(|first| &first.id)) {
                    self.write_article()?;
                    self.article.push(record.clone());
                } else {
                    let own = SentenceRecord { id: Value::Null, date: None, fields: None, ..record.clone() };
                    self.article.push(own);
                }
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        // Small batches make files slow to read, and nobody can read a file that is not finished.
        if !self.sink.is_stream() {
            return Ok(());
        }
        self.write()?;
        self.sink.flush()
    }

    fn finish(&mut self) -> Result<()> {
        self.write_article()?;
        self.write()?;
        self.sink.finish()
    }
}
