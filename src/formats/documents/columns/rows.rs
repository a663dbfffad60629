use super::super::bounded::too_long;
use super::super::{BadRecord, Document, DocumentOptions};
use super::ROWS;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, LargeBinaryArray, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_json::writer::LineDelimited;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use serde_json::{Map, Value};
use std::rc::Rc;
use std::sync::Arc;

/// Which columns of an input are read, and what they are read as.
pub(super) struct Columns {
    name: String,
    options: DocumentOptions,
    /// Places of the columns that are read among those of the input, rising.
    projection: Vec<usize>,
    /// Place of the text among the columns that are read.
    text: usize,
}

impl Columns {
    /// Looks for the columns that are asked for.
    pub(super) fn new(schema: &Schema, name: String, options: DocumentOptions) -> Result<Self, String> {
        let field = &options.text_field;
        let Some((text, found)) = schema.column_with_name(field) else {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(format!(
                "no column `{field}` among {}; name the column that holds the text with --text-field",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ));
        };
        if !holds_text(found.data_type()) {
            return Err(format!(
                "column `{field}` holds {}, not text; name the column that holds the text with --text-field",
                found.data_type()
            ));
        }
        let asked_for = |field: &Field| {
            options.keep_fields
                || *field.name() == options.id_field
                || options.date_field.as_ref() == Some(field.name())
        };
        let read =
            |(place, field): (usize, &Arc<Field>)| (place == text || asked_for(field)).then_some(place);
        let projection: Vec<usize> = schema.fields().iter().enumerate().filter_map(read).collect();
        let text = projection.iter().position(|&place| place == text).expect("the text is read");
        Ok(Self { name, options, projection, text })
    }

    /// Places of the columns to read among those of the input.
    pub(super) fn projection(&self) -> &[usize] {
        &self.projection
    }

    /// The documents of some rows, which have the columns of the projection; the first is row `first`. However many rows
    /// there are, few are documents at a time.
    pub(super) fn documents(
        self: Rc<Self>,
        first: usize,
        batch: RecordBatch,
    ) -> impl Iterator<Item = Result<Document, BadRecord>> {
        let slices = (0..batch.num_rows()).step_by(ROWS);
        slices.flat_map(move |from| {
            self.few(first + from, &batch.slice(from, ROWS.min(batch.num_rows() - from)))
        })
    }

    fn few(&self, first: usize, batch: &RecordBatch) -> Vec<Result<Document, BadRecord>> {
        let bad = |row: usize, reason: String, record: Vec<u8>| {
            BadRecord::at(&self.name, first + row, format!("row {}: {reason}", first + row), record)
        };
        let texts = match texts(batch.column(self.text)) {
            Ok(texts) => texts,
            Err(error) => {
                return (0..batch.num_rows()).map(|row| Err(bad(row, error.to_string(), vec![]))).collect();
            }
        };
        let fields = self.fields(batch);
        let document = |(row, fields): (usize, Result<Map<String, Value>, String>)| {
            let mut fields = fields.map_err(|reason| bad(row, reason, vec![]))?;
            let raw = |fields: &Map<String, Value>| Value::Object(fields.clone()).to_string().into_bytes();
            if texts.is_null(row) {
                let reason = format!("`{}` is null", self.options.text_field);
                fields.insert(self.options.text_field.clone(), Value::Null);
                return Err(bad(row, reason, raw(&fields)));
            }
            let text = texts.value(row);
            if text.len() > self.options.max_record_bytes {
                let (reason, record) = too_long(text.to_vec(), self.options.max_record_bytes);
                return Err(bad(row, reason, record));
            }
            let not_utf8 = |at: usize| bad(row, format!("byte {at} is not UTF-8"), text.to_vec());
            let text = std::str::from_utf8(text).map_err(|error| not_utf8(error.valid_up_to()))?.to_owned();
            let id = match fields.shift_remove(&self.options.id_field) {
                None | Some(Value::Null) => Value::String(format!("{}:{}", self.name, first + row)),
                Some(id) => id,
            };
            let date =
                self.options.date_field.as_ref().and_then(|field| match fields.shift_remove(field)? {
                    Value::Null => None,
                    Value::String(date) => Some(date),
                    other => Some(other.to_string()),
                });
            let segmentation = self.options.segmentation();
            Ok(Document { id, date, text, segmentation, continues: false, fields })
        };
        fields.into_iter().enumerate().map(document).collect()
    }

    /// All but the text of every row.
    fn fields(&self, batch: &RecordBatch) -> Vec<Result<Map<String, Value>, String>> {
        if batch.num_columns() == 1 {
            return vec![Ok(Map::new()); batch.num_rows()];
        }
        match self.json(batch) {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            // One value that JSON cannot say is no reason to lose the rows around it.
            Err(_) if batch.num_rows() > 1 => {
                (0..batch.num_rows()).flat_map(|row| self.fields(&batch.slice(row, 1))).collect()
            }
            Err(reason) => vec![Err(reason)],
        }
    }

    fn json(&self, batch: &RecordBatch) -> Result<Vec<Map<String, Value>>, String> {
        let encode = || {
            let schema = batch.schema();
            let others = (0..batch.num_columns()).filter(|&column| column != self.text);
            let columns =
                others.map(|column| Ok((schema.field(column).name(), sayable(batch.column(column))?)));
            let others = RecordBatch::try_from_iter(columns.collect::<Result<Vec<_>, ArrowError>>()?)?;
            let options = arrow_json::WriterBuilder::new().with_explicit_nulls(true);
            let mut writer = options.build::<_, LineDelimited>(Vec::new());
            writer.write(&others)?;
            writer.finish()?;
            Ok::<_, ArrowError>(writer.into_inner())
        };
        let lines = super::guarded(encode)?;
        let rows = serde_json::Deserializer::from_slice(&lines).into_iter();
        rows.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

fn holds_text(kind: &DataType) -> bool {
    use DataType::*;
    match kind {
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => true,
        Dictionary(_, value) => holds_text(value),
        _ => false,
    }
}

/// Texts of any type that holds them. Old writers call them bytes: whether they are UTF-8 is seen row by row.
fn texts(column: &ArrayRef) -> Result<LargeBinaryArray, ArrowError> {
    use DataType::*;
    match column.data_type() {
        Dictionary(_, value) => texts(&cast(column, value)?),
        Binary | LargeBinary | BinaryView => Ok(cast(column, &LargeBinary)?.as_binary::<i64>().clone()),
        _ => Ok(cast(column, &LargeUtf8)?.as_string::<i64>().clone().into()),
    }
}

/// The column as JSON can say it: times of day of a zone as UTC, and what has the width of a UUID as one.
fn sayable(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if *column.data_type() == DataType::FixedSizeBinary(16) {
        let bytes = column.as_fixed_size_binary();
        let texts: StringArray = bytes.iter().map(|bytes| bytes.map(uuid)).collect();
        return Ok(Arc::new(texts));
    }
    let kind = in_utc(column.data_type());
    if kind == *column.data_type() { Ok(column.clone()) } else { cast(column, &kind) }
}

fn in_utc(kind: &DataType) -> DataType {
    use DataType::*;
    let child = |field: &Arc<Field>| Arc::new(Field::clone(field).with_data_type(in_utc(field.data_type())));
    match kind {
        Timestamp(unit, Some(_)) => Timestamp(*unit, Some("+00:00".into())),
        List(field) => List(child(field)),
        LargeList(field) => LargeList(child(field)),
        Struct(fields) => Struct(fields.iter().map(child).collect::<Fields>()),
        kind => kind.clone(),
    }
}

/// Bytes as the text of a UUID.
fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
