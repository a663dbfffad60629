use super::super::{BadRecord, Document, DocumentOptions, InputFormat, read_documents};
use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, Date32Array, FixedSizeBinaryArray, Float64Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataWriter};
use parquet::file::properties::WriterProperties;
use serde_json::json;
use std::io::{Cursor, Write};
use std::sync::Arc;

const FORMATS: [InputFormat; 3] = [InputFormat::Parquet, InputFormat::Arrow, InputFormat::ArrowStream];

fn options(format: InputFormat) -> DocumentOptions {
    DocumentOptions { format: Some(format), date_field: Some("date".into()), ..DocumentOptions::default() }
}

fn read(content: Vec<u8>, options: &DocumentOptions) -> Vec<Result<Document, BadRecord>> {
    read_documents(Box::new(Cursor::new(content)), "in", options).collect()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Batches as a file of the format: in Parquet a row group each.
fn written(format: InputFormat, batches: &[RecordBatch]) -> Vec<u8> {
    written_with(format, batches, WriterProperties::builder().build(), None)
}

fn written_with(
    format: InputFormat,
    batches: &[RecordBatch],
    parquet: WriterProperties,
    arrow: Option<CompressionType>,
) -> Vec<u8> {
    let schema = batches[0].schema();
    let arrow = IpcWriteOptions::default().try_with_compression(arrow).unwrap();
    let mut out = Vec::new();
    match format {
        InputFormat::Parquet => {
            let mut writer = ArrowWriter::try_new(&mut out, schema, Some(parquet)).unwrap();
            for batch in batches {
                writer.write(batch).unwrap();
                writer.flush().unwrap();
            }
            writer.close().unwrap();
        }
        InputFormat::Arrow => {
            let mut writer = FileWriter::try_new_with_options(&mut out, &schema, arrow).unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
        }
        _ => {
            let mut writer = StreamWriter::try_new_with_options(&mut out, &schema, arrow).unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
        }
    }
    out
}

fn dictionary(texts: &[&str]) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    texts.iter().for_each(|text| builder.append_value(text));
    Arc::new(builder.finish())
}

/// Rows `from..to` with a text, a number as name, and a score.
fn numbered(from: i64, to: i64) -> RecordBatch {
    let texts: StringArray = (from..to).map(|row| Some(format!("Row {row} may hold. It stays."))).collect();
    let scores: Float64Array = (from..to).map(|row| Some(row as f64 / 2.0)).collect();
    let ids = Int64Array::from_iter_values(from..to);
    batch(vec![("id", Arc::new(ids)), ("text", Arc::new(texts)), ("score", Arc::new(scores))])
}

#[test]
fn texts_of_every_type_are_read_in_every_format() {
    let texts = ["One left. Two stay.", "", "Zürich 🕊️"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(texts.to_vec())),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(StringViewArray::from(texts.to_vec())),
        Arc::new(BinaryArray::from_iter_values(texts)),
        dictionary(&texts),
    ];
    for format in FORMATS {
        for column in &columns {
            let content = written(format, &[batch(vec![("text", column.clone())])]);
            let documents = read(content, &options(format));
            let found: Vec<&str> = documents.iter().map(|d| d.as_ref().unwrap().text.as_str()).collect();
            assert_eq!(found, texts, "{format:?} {:?}", column.data_type());
            assert_eq!(documents[1].as_ref().unwrap().id, json!("in:2"));
            assert_eq!(documents[0].as_ref().unwrap().sentences().len(), 2);
        }
    }
}

#[test]
fn names_are_numbers_or_text_dates_are_iso_text_and_the_rest_is_json() {
    let uuid = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8];
    let id: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([uuid, uuid].into_iter()).unwrap());
    let day: ArrayRef = Arc::new(Date32Array::from(vec![Some(19_732), None]));
    let moments = || TimestampMillisecondArray::from(vec![Some(1_704_877_323_500), None]);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["One.", "Two."]));
    let content = written(
        InputFormat::Arrow,
        &[batch(vec![
            ("at", Arc::new(moments().with_timezone("Europe/Zurich"))),
            ("date", day.clone()),
            ("desk", Arc::new(StringArray::from(vec![Some("world"), None]))),
            ("text", text.clone()),
            ("id", id),
        ])],
    );
    let documents = read(content, &options(InputFormat::Arrow));
    let [first, second] = [&documents[0], &documents[1]].map(|document| document.as_ref().unwrap());
    assert_eq!(
        (&first.id, first.date.as_deref()),
        (&json!("12345678-9abc-def0-0102-030405060708"), Some("2024-01-10"))
    );
    assert_eq!(json!(first.fields), json!({"at": "2024-01-10T09:02:03.500Z", "desk": "world"}));
    assert_eq!(first.fields.keys().collect::<Vec<_>>(), ["at", "desk"]);
    assert_eq!((second.date.as_deref(), json!(second.fields)), (None, json!({"at": null, "desk": null})));

    for (date, expected) in [
        (Arc::new(moments()) as ArrayRef, "2024-01-10T09:02:03.500"),
        (Arc::new(moments().with_timezone("+00:00")), "2024-01-10T09:02:03.500Z"),
        (Arc::new(StringArray::from(vec!["in May", "2024"])), "in May"),
        (Arc::new(Int64Array::from(vec![2024, 2025])), "2024"),
    ] {
        let id: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 2]));
        let rows = batch(vec![("id", id), ("text", text.clone()), ("date", date)]);
        for format in FORMATS {
            let documents = read(written(format, std::slice::from_ref(&rows)), &options(format));
            let first = documents[0].as_ref().unwrap();
            assert_eq!((first.date.as_deref(), &first.id), (Some(expected), &json!(i64::MAX)), "{format:?}");
        }
    }
}

#[test]
fn rows_are_counted_through_batches_and_row_groups_of_any_size() {
    let batches = [numbered(0, 3000), numbered(3000, 3001), numbered(3001, 4500)];
    for format in FORMATS {
        let documents = read(written(format, &batches), &options(format));
        assert_eq!(documents.len(), 4500);
        for (row, document) in documents.iter().enumerate() {
            let document = document.as_ref().unwrap();
            assert_eq!((&document.id, &document.fields["score"]), (&json!(row), &json!(row as f64 / 2.0)));
        }
    }
}

#[test]
fn a_row_without_text_is_told_by_its_number_and_what_it_has() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("One."), None, Some("Three.")]));
    let id: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30]));
    for format in FORMATS {
        let content = written(format, &[batch(vec![("text", text.clone()), ("id", id.clone())])]);
        let documents = read(content, &options(format));
        let bad = documents[1].as_ref().unwrap_err();
        assert_eq!((bad.line, bad.reason.as_str()), (Some(2), "row 2: `text` is null"));
        assert_eq!(bad.record, br#"{"id":20,"text":null}"#);
        assert_eq!(documents[2].as_ref().unwrap().id, json!(30));
    }
}

#[test]
fn bytes_that_are_no_text_are_told_of_their_row() {
    let text: ArrayRef = Arc::new(BinaryArray::from_iter_values([&b"One."[..], b"caf\xe9", b"Two."]));
    let documents =
        read(written(InputFormat::Parquet, &[batch(vec![("text", text)])]), &options(InputFormat::Parquet));
    let bad = documents[1].as_ref().unwrap_err();
    assert!(bad.reason.contains("row 2: byte 3 is not UTF-8") && bad.record == b"caf\xe9", "{bad}");
    assert!(documents[0].is_ok() && documents[2].is_ok());
}

#[test]
fn a_text_that_is_too_long_is_told_and_the_rest_is_read() {
    let long = "Long. ".repeat(1000);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["One.", &long, "Three."]));
    for format in FORMATS {
        let content = written(format, &[batch(vec![("text", text.clone())])]);
        let documents = read(content, &DocumentOptions { max_record_bytes: 5999, ..options(format) });
        let bad = documents[1].as_ref().unwrap_err();
        assert!(
            bad.reason.starts_with("row 2: longer than 5999 bytes") && bad.record.starts_with(b"Long."),
            "{bad}"
        );
        assert!(documents[0].is_ok() && documents[2].is_ok());
    }
}

#[test]
fn a_column_that_is_missing_or_no_text_is_told_with_those_there_are() {
    for format in FORMATS {
        let content = written(format, &[numbered(0, 2)]);
        let told = |text_field: &str| {
            let options = DocumentOptions { text_field: text_field.into(), ..options(format) };
            let found = read(content.clone(), &options);
            assert_eq!(found.len(), 1);
            found[0].as_ref().unwrap_err().to_string()
        };
        let missing = told("body");
        assert!(
            missing.contains("no column `body` among id, text, score") && missing.contains("--text-field")
        );
        assert!(told("score").contains("column `score` holds Float64, not text"));
    }
}

#[test]
fn only_the_columns_that_are_needed_are_read() {
    let needed = |format| DocumentOptions { keep_fields: false, ..options(format) };
    for format in FORMATS {
        let content = written(format, &[numbered(0, 3)]);
        assert!(read(content, &needed(format)).into_iter().all(|d| d.unwrap().fields.is_empty()));
    }
    // The pages of a column that is not read may be anything.
    let mut content = written(InputFormat::Parquet, &[numbered(0, 3)]);
    let metadata = metadata(&content);
    let score = metadata.row_group(0).column(2);
    assert_eq!(score.column_path().string(), "score");
    let (start, length) = score.byte_range();
    content[start as usize..(start + length) as usize].fill(0xff);
    assert!(read(content.clone(), &options(InputFormat::Parquet)).iter().any(Result::is_err));
    let found = read(content, &needed(InputFormat::Parquet));
    assert!(found.iter().all(Result::is_ok), "{found:?}");
}

#[test]
fn a_broken_row_group_costs_its_rows_and_no_others() {
    let mut content = written(InputFormat::Parquet, &[numbered(0, 10), numbered(10, 20), numbered(20, 30)]);
    let text = b"Row 10 may hold";
    let at = content.windows(text.len()).position(|bytes| bytes == text).unwrap();
    // The header of the page before it.
    content[at - 40..at].fill(0xff);
    let documents = read(content, &options(InputFormat::Parquet));
    let bad: Vec<&BadRecord> = documents.iter().filter_map(|d| d.as_ref().err()).collect();
    assert_eq!((bad.len(), documents.len()), (1, 21));
    assert_eq!(bad[0].line, Some(11));
    assert!(bad[0].reason.starts_with("row group 2: rows 11 to 20 cannot be read: "), "{}", bad[0]);
    assert_eq!(documents[20].as_ref().unwrap().id, json!(29));
}

/// The metadata of a Parquet file.
fn metadata(content: &[u8]) -> Arc<ParquetMetaData> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).unwrap().metadata().clone()
}

#[test]
fn a_page_that_cannot_have_the_size_it_says_is_refused_before_memory_is_asked_for() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["Long. ".repeat(5000)]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .build();
    let mut content = written_with(InputFormat::Parquet, &[batch(vec![("text", text)])], properties, None);
    let (start, _) = metadata(&content).row_group(0).column(0).byte_range();
    // The head: a kind, and the size as a number of three bytes.
    let head = &mut content[start as usize..][..6];
    assert_eq!((&head[..3], head[5] & 0x80), (&[0x15, 0, 0x15][..], 0));
    head[3..].copy_from_slice(&[0xfe, 0xff, 0x7f]);
    let documents = read(content, &options(InputFormat::Parquet));
    let bad = documents[0].as_ref().unwrap_err();
    assert!(bad.reason.contains("says it stands for 1048575"), "{bad}");
}

#[test]
fn row_groups_may_say_any_number_of_rows() {
    let mut content = written(InputFormat::Parquet, &[numbered(0, 2), numbered(2, 4), numbered(4, 6)]);
    let whole = metadata(&content);
    let many = |group: &parquet::file::metadata::RowGroupMetaData| {
        group.clone().into_builder().set_num_rows(i64::MAX / 3).build().unwrap()
    };
    let groups = whole.row_groups().iter().map(many).collect();
    let lying = ParquetMetaData::new(whole.file_metadata().clone(), groups);
    ParquetMetaDataWriter::new(&mut content, &lying).finish().unwrap();
    let documents = read(content, &options(InputFormat::Parquet));
    assert!(documents.iter().any(Result::is_err) && documents.len() <= 9, "{documents:?}");
}

#[test]
fn an_encrypted_file_is_told_as_one() {
    let mut content = written(InputFormat::Parquet, &[numbered(0, 2)]);
    *content.last_mut().unwrap() = b'E';
    let bad = read(content, &options(InputFormat::Parquet)).remove(0).unwrap_err();
    assert!(bad.reason.contains("it is encrypted"), "{bad}");
}

/// An Arrow file as Polars writes it: the length before the schema is left out.
fn bare(mut file: Vec<u8>) -> Vec<u8> {
    let at = file.windows(4).position(|bytes| bytes == [0xff; 4]).unwrap();
    file.drain(at..at + 8);
    file
}

#[test]
fn a_schema_without_its_length_is_read() {
    let content = bare(written(InputFormat::Arrow, &[numbered(0, 3), numbered(3, 6)]));
    let documents = read(content, &options(InputFormat::Arrow));
    let ids: Vec<_> = documents.into_iter().map(|document| document.unwrap().id).collect();
    assert_eq!(ids, (0..6).map(|row| json!(row)).collect::<Vec<_>>());
    let empty = bare(written(InputFormat::Arrow, &[numbered(0, 0)]));
    assert!(read(empty, &options(InputFormat::Arrow)).is_empty());
}

#[test]
fn a_broken_batch_costs_its_rows_and_a_cut_those_behind_it() {
    for format in [InputFormat::Arrow, InputFormat::ArrowStream] {
        let whole = written(format, &[numbered(0, 10), numbered(10, 20), numbered(20, 30)]);
        let at = |text: &[u8]| whole.windows(text.len()).position(|bytes| bytes == text).unwrap();
        let mut broken = whole.clone();
        broken[at(b"Row 10")] = 0xff;
        let documents = read(broken, &options(format));
        let bad = documents[10].as_ref().unwrap_err();
        assert!(bad.reason.starts_with("rows 11 to 20 cannot be read: "), "{bad}");
        assert_eq!((documents.len(), bad.line), (21, Some(11)));

        let documents = read(whole[..at(b"Row 25")].to_vec(), &options(format));
        assert_eq!(documents.len(), 21);
        let bad = documents[20].as_ref().unwrap_err();
        assert!(bad.reason.starts_with("nothing can be read from row 21 on: it ends in the middle"), "{bad}");
    }
}

#[test]
fn an_empty_table_has_no_documents_and_an_empty_file_is_none() {
    for format in FORMATS {
        assert!(read(written(format, &[numbered(0, 0)]), &options(format)).is_empty());
        for content in [Vec::new(), b"PAR1".to_vec(), b"ARROW1\0\0".to_vec(), b"text\nOne.\n".to_vec()] {
            let found = read(content, &options(format));
            assert!(matches!(found.as_slice(), [Err(BadRecord { line: None, .. })]), "{format:?} {found:?}");
        }
    }
    let old = read(b"FEA1\0\0\0\0".to_vec(), &options(InputFormat::Arrow)).remove(0).unwrap_err();
    assert!(old.reason.contains("Feather file of version 1"));
}

/// Files of each format, with the encodings and compressions that there are, small enough to break every byte of.
fn samples() -> Vec<(InputFormat, Vec<u8>)> {
    let texts = ["One left. Two stay.", "We condemn it.", "We condemn it.", "Zürich."];
    let list = |from: i64| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 4));
        let views: ArrayRef = Arc::new(StringViewArray::from(texts.to_vec()));
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(1), None, Some(3), Some(4)]));
        let plain: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        batch(vec![
            ("id", ids),
            ("text", dictionary(&texts)),
            ("date", dates),
            ("view", views),
            ("plain", plain),
        ])
    };
    let batches = [list(0), list(4)];
    let parquet = |encoding: Option<Encoding>, compression: Compression| {
        let mut properties = WriterProperties::builder().set_compression(compression);
        if let Some(encoding) = encoding {
            properties = properties
                .set_dictionary_enabled(false)
                .set_column_encoding("text".into(), encoding)
                .set_column_encoding("plain".into(), encoding);
        }
        written_with(InputFormat::Parquet, &batches, properties.build(), None)
    };
    let arrow = |format, compression| {
        (format, written_with(format, &batches, WriterProperties::default(), compression))
    };
    vec![
        (InputFormat::Parquet, parquet(None, Compression::SNAPPY)),
        (InputFormat::Parquet, parquet(Some(Encoding::DELTA_BYTE_ARRAY), Compression::UNCOMPRESSED)),
        (InputFormat::Parquet, parquet(Some(Encoding::DELTA_LENGTH_BYTE_ARRAY), Compression::UNCOMPRESSED)),
        (InputFormat::Parquet, parquet(Some(Encoding::PLAIN), Compression::ZSTD(ZstdLevel::default()))),
        arrow(InputFormat::Arrow, None),
        arrow(InputFormat::Arrow, Some(CompressionType::LZ4_FRAME)),
        (InputFormat::Arrow, bare(arrow(InputFormat::Arrow, None).1)),
        arrow(InputFormat::ArrowStream, None),
        arrow(InputFormat::ArrowStream, Some(CompressionType::ZSTD)),
    ]
}

/// Reads a file with one broken byte or a cut, with and without its other columns. No row comes twice.
fn read_broken(format: InputFormat, content: Vec<u8>, what: &str) {
    for keep_fields in [true, false] {
        let options = DocumentOptions { keep_fields, ..options(format) };
        let found = read(content.clone(), &options).len();
        assert!(found <= 10, "{format:?} {what}: {found} documents");
    }
}

/// Breaks every file of the samples at every `step`th byte.
fn break_all(step: usize) {
    for (format, content) in samples() {
        assert_eq!(read(content.clone(), &options(format)).iter().filter(|d| d.is_ok()).count(), 8);
        for at in (0..content.len()).step_by(step) {
            read_broken(format, content[..at].to_vec(), &format!("cut at {at}"));
            let mut broken = content.clone();
            broken[at] ^= [0x01, 0x80, 0xff][at / step % 3];
            read_broken(format, broken, &format!("byte {at} broken"));
        }
    }
}

#[test]
fn no_broken_byte_and_no_cut_stops_the_reading_with_a_panic() {
    break_all(13);
}

#[test]
#[ignore = "takes minutes"]
fn no_byte_at_all_stops_the_reading_with_a_panic() {
    break_all(1);
}
