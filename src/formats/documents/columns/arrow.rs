use super::super::{BadRecord, DocumentOptions, Documents};
use super::blocks::{self, Blocks};
use super::message::{self, Message, Next};
use super::rows::Columns;
use super::{Stretch, documents, failed, guarded, rows};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::MessageHeader;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_schema::{Schema, SchemaRef};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::sync::Arc;

/// What fills an Arrow file up to where the stream within begins, and how often at most: writers align it as they align
/// columns.
const FILLING: [u8; 8] = [0; 8];
const FILLINGS: usize = 512;
/// What a file begins with that was written before Arrow files were what Feather means.
const OLD_FEATHER: &[u8] = b"FEA1";

/// Rows of an Arrow stream.
pub(super) fn read(reader: Box<dyn BufRead>, name: String, options: DocumentOptions) -> Documents {
    told(begin(reader, false).and_then(|(schema, source)| open(schema, source, &name, options)), &name)
}

/// Rows of an Arrow file. Where its end is missing, it is read from its beginning as far as it goes.
pub(super) fn read_file(
    file: File,
    name: String,
    options: DocumentOptions,
    progress: Box<dyn FnMut(u64)>,
) -> Documents {
    let opened = blocks::read(&file, progress).and_then(|whole| match whole {
        Some((schema, blocks)) => Ok((schema, Source::Blocks(blocks))),
        None => {
            let mut reader = BufReader::new(file);
            reader.rewind().map_err(|error| error.to_string())?;
            begin(Box::new(reader), true)
        }
    });
    told(opened.and_then(|(schema, source)| open(schema, source, &name, options)), &name)
}

fn told(opened: Result<(Columns, Batches), String>, name: &str) -> Documents {
    match opened {
        Ok((columns, batches)) => documents(columns, batches),
        Err(reason) => failed(BadRecord::whole(name, reason)),
    }
}

fn open(
    schema: Schema,
    source: Source,
    name: &str,
    options: DocumentOptions,
) -> Result<(Columns, Batches), String> {
    let columns = Columns::new(&schema, name.to_owned(), options)?;
    let projection = columns.projection().to_vec();
    let needed = schema.project(&projection).map_err(|error| error.to_string())?;
    let decoder = Decoder { schema: Arc::new(schema), needed, projection, dictionaries: HashMap::new() };
    Ok((columns, Batches { source, name: name.to_owned(), decoder, before: 0, over: false }))
}

/// Reads what stands before the batches of a stream, or of the one in a file.
fn begin(mut reader: Box<dyn BufRead>, in_file: bool) -> Result<(Schema, Source), String> {
    let mut eight = || {
        let mut bytes = Vec::new();
        reader.by_ref().take(8).read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.to_string())
    };
    let mut start = eight()?;
    if start.starts_with(OLD_FEATHER) {
        return Err("it is a Feather file of version 1; write it again as version 2".to_owned());
    }
    for _ in 0..FILLINGS {
        if !start.starts_with(blocks::MAGIC) && start != FILLING {
            break;
        }
        start = eight()?;
    }
    reader = Box::new(Cursor::new(start).chain(reader));
    let schema = schema(&mut reader)?;
    Ok((schema, Source::Stream { reader, in_file }))
}

/// What the first message says of the columns.
fn schema(reader: &mut impl Read) -> Result<Schema, String> {
    let none = || "neither an Arrow stream nor an Arrow file: it does not begin with a schema".to_owned();
    let Next::Message(message) = message::next(reader).map_err(|reason| format!("{}: {reason}", none()))?
    else {
        return Err(none());
    };
    let schema = message.head().header_as_schema().ok_or_else(none)?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err("its numbers are big-endian".to_owned());
    }
    guarded(|| Ok::<_, String>(fb_to_schema(schema)))
}

/// Where messages come from.
enum Source {
    Stream {
        reader: Box<dyn BufRead>,
        /// Whether it stands in a file: it then has an end mark.
        in_file: bool,
    },
    Blocks(Blocks),
}

impl Source {
    fn next(&mut self) -> Result<Next, String> {
        match self {
            Self::Stream { reader, in_file } => match message::next(reader)? {
                Next::Nothing if *in_file => Err("the end of the file is missing".to_owned()),
                next => Ok(next),
            },
            Self::Blocks(blocks) => blocks.next(),
        }
    }

    /// True if something can be read behind what could not be.
    fn can_go_on(&self) -> bool {
        matches!(self, Self::Blocks(blocks) if blocks.can_go_on())
    }
}

/// Batches of rows, one message after the other.
struct Batches {
    source: Source,
    name: String,
    decoder: Decoder,
    /// Rows before the next batch.
    before: usize,
    over: bool,
}

impl Iterator for Batches {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        while !self.over {
            let message = match self.source.next() {
                Ok(Next::Message(message)) => message,
                Ok(Next::Nothing | Next::End) => {
                    self.over = true;
                    break;
                }
                Err(reason) if self.source.can_go_on() => return Some(Err(self.lost(0, &reason))),
                Err(reason) => return Some(Err(self.cut(&reason))),
            };
            let (first, count) = (self.before + 1, message.rows());
            match self.decoder.take(message) {
                Ok(Taken::Batch(batch)) => {
                    self.before += batch.num_rows();
                    return Some(Ok((first, batch)));
                }
                Ok(Taken::Nothing) => {}
                // The rows behind it would be read with what was in its place before.
                Err(Failure::Dictionary(reason)) => return Some(Err(self.cut(&reason))),
                Err(Failure::Batch(reason)) => return Some(Err(self.lost(count, &reason))),
            }
        }
        None
    }
}

impl Batches {
    /// Says that a batch cannot be read, and passes over its rows; 0 if nobody knows how many it has.
    fn lost(&mut self, count: usize, reason: &str) -> BadRecord {
        let first = self.before + 1;
        self.before += count;
        let which = match count {
            0 => format!("a batch before row {first}"),
            count => rows(first, count),
        };
        BadRecord::at(&self.name, first, format!("{which} cannot be read: {reason}"), [])
    }

    /// Says that nothing more can be read.
    fn cut(&mut self, reason: &str) -> BadRecord {
        self.over = true;
        let first = self.before + 1;
        BadRecord::at(&self.name, first, format!("nothing can be read from row {first} on: {reason}"), [])
    }
}

/// Makes rows of messages.
struct Decoder {
    schema: SchemaRef,
    /// The columns that are read.
    needed: Schema,
    projection: Vec<usize>,
    dictionaries: HashMap<i64, ArrayRef>,
}

enum Taken {
    Batch(RecordBatch),
    /// It was a dictionary, or something that is not read.
    Nothing,
}

enum Failure {
    Batch(String),
    Dictionary(String),
}

impl Decoder {
    fn take(&mut self, mut message: Message) -> Result<Taken, Failure> {
        let body = std::mem::take(&mut message.body);
        let head = message.head();
        match head.header_type() {
            MessageHeader::RecordBatch => {
                message::check(&head, &body).map_err(Failure::Batch)?;
                let batch = head.header_as_record_batch().expect("a batch is one");
                let decode = || {
                    RecordBatchDecoder::try_new(
                        &body.into(),
                        batch,
                        self.schema.clone(),
                        &self.dictionaries,
                        &head.version(),
                    )?
                    .with_projection(Some(&self.projection))
                    .read_record_batch()
                };
                guarded(decode).map(Taken::Batch).map_err(Failure::Batch)
            }
            MessageHeader::DictionaryBatch => {
                message::check(&head, &body).map_err(Failure::Dictionary)?;
                let batch = head.header_as_dictionary_batch().expect("a dictionary is one");
                #[expect(deprecated, reason = "no other way to know the columns of a dictionary")]
                if self.needed.fields_with_dict_id(batch.id()).is_empty() {
                    return Ok(Taken::Nothing);
                }
                let (schema, dictionaries) = (&self.schema, &mut self.dictionaries);
                let decode = || read_dictionary(&body.into(), batch, schema, dictionaries, &head.version());
                guarded(decode).map(|()| Taken::Nothing).map_err(Failure::Dictionary)
            }
            _ => Ok(Taken::Nothing),
        }
    }
}
