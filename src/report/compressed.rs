use super::{Report, SentenceRecord};
use flate2::write::GzEncoder;
use std::io::{Result, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zstd::stream::write::Encoder as ZstdEncoder;

/// How output is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip; its header has no time, so that the same records make the same bytes.
    Gzip,
    /// Zstandard, with a checksum.
    Zstd,
}

/// Records in any form, compressed.
///
/// [`Report::flush`] leaves in the encoder what it has not written by itself: a block cut short for every batch would cost
/// more than half of what compression gains. Whoever must see every record at once should not compress.
pub struct CompressedReport<W: Write> {
    report: Box<dyn Report + Send>,
    encoder: Handle<W>,
}

impl<W: Write + Send + 'static> CompressedReport<W> {
    /// Compresses to `out` what the report writes that `form` makes on the writer it is given.
    ///
    /// # Errors
    /// If the encoder cannot be made, or `form` fails.
    pub fn new<E: From<std::io::Error>>(
        out: W,
        compression: Compression,
        form: impl FnOnce(Box<dyn Write + Send>) -> std::result::Result<Box<dyn Report + Send>, E>,
    ) -> std::result::Result<Self, E> {
        let encoder = match compression {
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(out, flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = ZstdEncoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
        };
        let encoder = Handle(Arc::new(Mutex::new(encoder)));
        Ok(Self { report: form(Box::new(encoder.clone()))?, encoder })
    }
}

impl<W: Write> Report for CompressedReport<W> {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        self.report.sentence(record)
    }

    fn flush(&mut self) -> Result<()> {
        self.report.flush()
    }

    fn finish(&mut self) -> Result<()> {
        self.report.finish()?;
        self.encoder.lock().finish()
    }
}

enum Encoder<W: Write> {
    Gzip(GzEncoder<W>),
    Zstd(ZstdEncoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    fn finish(&mut self) -> Result<()> {
        match self {
            Self::Gzip(encoder) => {
                encoder.try_finish()?;
                encoder.get_mut().flush()
            }
            Self::Zstd(encoder) => {
                encoder.do_finish()?;
                encoder.get_mut().flush()
            }
        }
    }
}

/// The encoder, for the report that writes to it and for the one that ends it.
struct Handle<W: Write>(Arc<Mutex<Encoder<W>>>);

impl<W: Write> Handle<W> {
    fn lock(&self) -> MutexGuard<'_, Encoder<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> Clone for Handle<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Write> Write for Handle<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut *self.lock() {
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::JsonlReport;
    use super::super::record::testing::record;
    use super::*;
    use std::io::Read;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn written(compression: Compression, records: usize) -> Vec<u8> {
        let out = Shared::default();
        let mut report = CompressedReport::new(out.clone(), compression, |writer| {
            let writer = std::io::BufWriter::new(writer);
            Ok::<_, std::io::Error>(Box::new(JsonlReport::new(writer)) as Box<dyn Report + Send>)
        })
        .unwrap();
        for _ in 0..records {
            report.sentence(&record()).unwrap();
            report.flush().unwrap();
        }
        report.finish().unwrap();
        out.0.lock().unwrap().clone()
    }

    fn read(compression: Compression, bytes: &[u8]) -> String {
        let mut text = String::new();
        match compression {
            Compression::Gzip => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap(),
            Compression::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_string(&mut text).unwrap(),
        };
        text
    }

    #[test]
    fn what_is_compressed_comes_back_whole_and_the_same_records_make_the_same_bytes() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            for records in [0, 1, 1000] {
                let bytes = written(compression, records);
                assert_eq!(read(compression, &bytes).lines().count(), records);
                assert_eq!(bytes, written(compression, records));
            }
        }
    }

    #[test]
    fn flushing_every_record_does_not_cost_the_gain() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let bytes = written(compression, 1000);
            assert!(bytes.len() * 50 < read(compression, &bytes).len(), "{compression:?}: {}", bytes.len());
        }
    }
}
