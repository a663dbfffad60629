use super::super::{BadRecord, DocumentOptions, Documents};
use super::message::{self, Message, Next};
use super::rows::Columns;
use super::{Stretch, documents, failed, guarded, rows};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::MessageHeader;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_schema::{Schema, SchemaRef};
use std::collections::HashMap;
use std::io::{BufRead, Cursor, Read};
use std::sync::Arc;

/// What an Arrow file begins with.
const MAGIC: [u8; 8] = *b"ARROW1\0\0";
/// What fills it up to where the stream within begins, and how often at most: writers align it as they align columns.
const FILLING: [u8; 8] = [0; 8];
const FILLINGS: usize = 512;
/// What a file begins with that was written before Arrow files were what Feather means.
const OLD_FEATHER: &[u8] = b"FEA1";

/// Rows of an Arrow stream or file. A file is a stream too, between a magic number and a footer that says where its
/// batches are: read from its beginning it need not be on disk, and what stands before a cut is not lost.
pub(super) fn read(reader: Box<dyn BufRead>, name: String, options: DocumentOptions) -> Documents {
    match open(reader, &name, options) {
        Ok((columns, batches)) => documents(columns, batches),
        Err(reason) => failed(BadRecord::whole(&name, reason)),
    }
}

fn open(
    mut reader: Box<dyn BufRead>,
    name: &str,
    options: DocumentOptions,
) -> Result<(Columns, Batches), String> {
    let mut eight = || {
        let mut bytes = Vec::new();
        reader.by_ref().take(8).read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.to_string())
    };
    let mut start = eight()?;
    if start.starts_with(OLD_FEATHER) {
        return Err("it is a Feather file of version 1; write it again as version 2".to_owned());
    }
    let in_file = start == MAGIC;
    for _ in 0..FILLINGS {
        if start != MAGIC && start != FILLING {
            break;
        }
        start = eight()?;
    }
    let bare = in_file && !start.starts_with(&message::CONTINUATION);
    let bare = if bare { message::bare_schema(&mut reader, &mut start)? } else { None };
    reader = Box::new(Cursor::new(start).chain(reader));
    let schema = match bare {
        Some(message) => schema(&message)?,
        None => schema(&first(&mut reader)?)?,
    };
    let columns = Columns::new(&schema, name.to_owned(), options)?;
    let projection = columns.projection().to_vec();
    let needed = schema.project(&projection).map_err(|error| error.to_string())?;
    let decoder = Decoder { schema: Arc::new(schema), needed, projection, dictionaries: HashMap::new() };
    Ok((columns, Batches { reader, name: name.to_owned(), decoder, in_file, before: 0, over: false }))
}

const NO_SCHEMA: &str = "neither an Arrow stream nor an Arrow file: it does not begin with a schema";

/// The first message.
fn first(reader: &mut impl Read) -> Result<Message, String> {
    match message::next(reader).map_err(|reason| format!("{NO_SCHEMA}: {reason}"))? {
        Next::Message(message) => Ok(message),
        Next::End | Next::Nothing => Err(NO_SCHEMA.to_owned()),
    }
}

/// What the first message says of the columns.
fn schema(message: &Message) -> Result<Schema, String> {
    let schema = message.head().header_as_schema().ok_or(NO_SCHEMA)?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err("its numbers are big-endian".to_owned());
    }
    guarded(|| Ok::<_, String>(fb_to_schema(schema)))
}

/// Batches of rows, one message after the other.
struct Batches {
    reader: Box<dyn BufRead>,
    name: String,
    decoder: Decoder,
    /// Whether the stream stands in a file: it then has an end mark.
    in_file: bool,
    /// Rows before the next batch.
    before: usize,
    over: bool,
}

impl Iterator for Batches {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        while !self.over {
            let message = match message::next(&mut self.reader) {
                Ok(Next::Message(message)) => message,
                Ok(Next::Nothing) if self.in_file => {
                    return Some(Err(self.cut("the end of the file is missing")));
                }
                Ok(Next::Nothing | Next::End) => {
                    self.over = true;
                    break;
                }
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
                Err(Failure::Batch(reason)) => {
                    self.before += count;
                    let which = match count {
                        0 => format!("the batch before row {first}"),
                        count => rows(first, count),
                    };
                    let reason = format!("{which} cannot be read: {reason}");
                    return Some(Err(BadRecord::at(&self.name, first, reason, [])));
                }
            }
        }
        None
    }
}

impl Batches {
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
