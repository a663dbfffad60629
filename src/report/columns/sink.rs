use arrow_array::RecordBatch;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::{BufWriter, Error, Result, Write};

/// Rows of a row group, at most: what engines take at a time.
const GROUP_ROWS: usize = 1 << 17;
/// Bytes of a row group, at most, as they are written: until then it is held in memory.
const GROUP_BYTES: usize = 64 << 20;

type Writer = BufWriter<Box<dyn Write + Send>>;

/// Where batches go.
pub(super) enum Sink {
    Parquet(Box<ArrowWriter<Writer>>),
    File(FileWriter<Writer>),
    Stream(StreamWriter<Writer>),
}

impl Sink {
    pub(super) fn parquet(writer: Box<dyn Write + Send>, schema: &SchemaRef) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .build();
        let writer = ArrowWriter::try_new(BufWriter::new(writer), schema.clone(), Some(properties));
        Ok(Self::Parquet(Box::new(writer.map_err(parquet_error)?)))
    }

    pub(super) fn arrow_file(writer: Box<dyn Write + Send>, schema: &SchemaRef) -> Result<Self> {
        FileWriter::try_new(BufWriter::new(writer), schema).map(Self::File).map_err(io_error)
    }

    pub(super) fn arrow_stream(writer: Box<dyn Write + Send>, schema: &SchemaRef) -> Result<Self> {
        let mut writer = StreamWriter::try_new(BufWriter::new(writer), schema).map_err(io_error)?;
        writer.flush().map_err(io_error)?;
        Ok(Self::Stream(writer))
    }

    /// Whether what is written can be read before the end.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet(writer) => writer.write(batch).map_err(parquet_error),
            Self::File(writer) => writer.write(batch).map_err(io_error),
            Self::Stream(writer) => writer.write(batch).map_err(io_error),
        }
    }

    /// Hands everything on; a file has more to come.
    pub(super) fn flush(&mut self) -> Result<()> {
        match self {
            Self::Parquet(_) => Ok(()),
            Self::File(writer) => writer.flush().map_err(io_error),
            Self::Stream(writer) => writer.flush().map_err(io_error),
        }
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        match self {
            Self::Parquet(writer) => {
                writer.finish().map_err(parquet_error)?;
                writer.inner_mut().flush()
            }
            Self::File(writer) => writer.finish().and_then(|()| writer.flush()).map_err(io_error),
            Self::Stream(writer) => writer.finish().and_then(|()| writer.flush()).map_err(io_error),
        }
    }
}

/// The error of the writer itself where it is one: a broken pipe must be known as one.
pub(super) fn io_error(error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => Error::other(error),
    }
}

fn parquet_error(error: ParquetError) -> Error {
    match error {
        ParquetError::External(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::other(error),
        },
        error => Error::other(error),
    }
}
