use super::super::EntityRecord;
use super::super::record::testing::record;
use super::*;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_json::writer::LineDelimited;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::io::Cursor;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Parquet,
    File,
    Stream,
}

const FORMS: [Form; 3] = [Form::Parquet, Form::File, Form::Stream];

/// A writer that shows what it was given so far.
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

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

fn open(form: Form, shape: &Shape) -> (ColumnsReport, Shared) {
    let out = Shared::default();
    let writer = Box::new(out.clone());
    let report = match form {
        Form::Parquet => ColumnsReport::parquet(writer, shape),
        Form::File => ColumnsReport::arrow_file(writer, shape),
        Form::Stream => ColumnsReport::arrow_stream(writer, shape),
    };
    (report.unwrap(), out)
}

fn written(form: Form, shape: &Shape, records: &[SentenceRecord]) -> Vec<u8> {
    let (mut report, out) = open(form, shape);
    records.iter().for_each(|record| report.sentence(record).unwrap());
    report.finish().unwrap();
    out.bytes()
}

/// Batches of a file, and how many there are of columns without rows.
fn batches(form: Form, bytes: Vec<u8>) -> (arrow_schema::SchemaRef, Vec<RecordBatch>) {
    match form {
        Form::Parquet => {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            (reader.schema().clone(), reader.build().unwrap().map(|batch| batch.unwrap()).collect())
        }
        Form::File => {
            let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
            (reader.schema(), reader.map(|batch| batch.unwrap()).collect())
        }
        Form::Stream => {
            let reader = StreamReader::try_new(Cursor::new(bytes), None).unwrap();
            (reader.schema(), reader.map(|batch| batch.unwrap()).collect())
        }
    }
}

/// What stands in batches, as JSON; nulls are left out.
fn json_rows(batches: &[RecordBatch]) -> Vec<Value> {
    let mut writer = arrow_json::WriterBuilder::new().build::<_, LineDelimited>(Vec::new());
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    let lines = writer.into_inner();
    serde_json::Deserializer::from_slice(&lines).into_iter().map(|row| row.unwrap()).collect()
}

/// A record as its row says it.
fn expected(record: &SentenceRecord) -> Value {
    let mut row = serde_json::to_value(record).unwrap();
    if !record.id.is_string() {
        row["id"] = record.id.to_string().into();
    }
    if let Some(fields) = &record.fields {
        row["fields"] = serde_json::to_string(fields).unwrap().into();
    }
    row
}

fn shape(rows: Rows) -> Shape {
    let labels = Some(vec!["condemnation".to_owned(), "speculation".to_owned()]);
    Shape { rows, labels, abstained: true, entities: true, date: true, fields: true, ..Shape::default() }
}

/// Sentences of two articles.
fn records() -> Vec<SentenceRecord> {
    let mut first = record();
    first.abstain(false);
    first.date = Some("2024-01-10".into());
    first.fields = Some(Map::from_iter([("desk".to_owned(), json!({"a": [1, "é"]}))]));
    let mut second =
        SentenceRecord { sentence: 2, start: 32, end: 40, text: "\u{0}\n🕊️".into(), ..first.clone() };
    second.abstain(true);
    second.entities = Some(vec![]);
    let other = SentenceRecord { id: 7.into(), date: None, fields: Some(Map::new()), ..first.clone() };
    vec![first, second, other]
}

#[test]
fn what_is_written_is_what_is_read_back() {
    for form in FORMS {
        let (_, batches) = batches(form, written(form, &shape(Rows::Sentence), &records()));
        let expected: Vec<Value> = records().iter().map(expected).collect();
        assert_eq!(json_rows(&batches), expected, "{form:?}");
    }
}

#[test]
fn an_entity_is_a_row_and_an_article_is_one() {
    let records = records();
    for form in FORMS {
        let (_, found) = batches(form, written(form, &shape(Rows::Entity), &records));
        let found = json_rows(&found);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            json!({
                "id": "a, b.txt", "date": "2024-01-10", "sentence": 1, "start": 14, "end": 20, "label": "LOC",
                "text": "Zürich", "score": 0.5, "stance": ["condemnation"], "abstained": false,
                "sentence_text": "We condemn Zürich, they say.", "fields": "{\"desk\":{\"a\":[1,\"é\"]}}"
            })
        );
        let (_, found) = batches(form, written(form, &shape(Rows::Article), &records));
        let found = json_rows(&found);
        assert_eq!((found.len(), &found[0]["id"], &found[1]["id"]), (2, &json!("a, b.txt"), &json!("7")));
        let sentences = found[0]["sentences"].as_array().unwrap();
        assert_eq!((sentences.len(), &sentences[1]["text"]), (2, &json!("\u{0}\n🕊️")));
        assert_eq!(sentences[0]["entities"], expected(&records[0])["entities"]);
        assert_eq!(sentences[0]["scores"], json!({"condemnation": 0.981_235, "speculation": 0.25}));
    }
}

#[test]
fn columns_are_those_of_the_shape_even_where_nothing_is_found() {
    let names = |shape: &Shape| {
        FORMS.map(|form| {
            let (schema, batches) = batches(form, written(form, shape, &[]));
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
            let columns = schema
                .fields()
                .iter()
                .map(|field| format!("{}{}", field.name(), if field.is_nullable() { "?" } else { "" }));
            columns.collect::<Vec<_>>().join(" ")
        })
    };
    for (shape, columns) in [
        (
            shape(Rows::Sentence),
            "id date? sentence start end text stance? scores? abstained? entities? fields?",
        ),
        (
            shape(Rows::Entity),
            "id date? sentence start end label text score stance? abstained? sentence_text fields?",
        ),
        (shape(Rows::Article), "id date? sentences fields?"),
        (Shape::default(), "id sentence start end text"),
        (Shape { labels: Some(vec![]), abstained: true, ..Shape::default() }, "id sentence start end text"),
    ] {
        assert_eq!(names(&shape), [columns; 3], "{shape:?}");
    }
}

#[test]
fn the_same_records_make_the_same_bytes() {
    for form in FORMS {
        let [first, second] = [(); 2].map(|()| written(form, &shape(Rows::Sentence), &records()));
        assert_eq!(first, second);
    }
}

#[test]
fn a_stream_can_be_read_before_it_ends_and_a_flush_ends_a_batch() {
    let (mut report, out) = open(Form::Stream, &shape(Rows::Sentence));
    let (schema, none) = batches(Form::Stream, out.bytes());
    assert_eq!((schema.fields().len(), none.len()), (11, 0));
    for (flushes, record) in records().iter().enumerate() {
        report.sentence(record).unwrap();
        report.flush().unwrap();
        report.flush().unwrap();
        assert_eq!(batches(Form::Stream, out.bytes()).1.len(), flushes + 1);
    }
}

#[test]
fn files_have_batches_of_bounded_size_whenever_they_are_flushed() {
    let record = record();
    let shape = Shape { abstained: false, date: false, fields: false, ..shape(Rows::Sentence) };
    let (mut report, out) = open(Form::File, &shape);
    for row in 0..20_000 {
        report.sentence(&record).unwrap();
        if row % 100 == 0 {
            report.flush().unwrap();
        }
    }
    report.finish().unwrap();
    let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>();
    assert_eq!(rows(&batches(Form::File, out.bytes()).1), [8192, 8192, 3616]);

    let long = SentenceRecord { text: "long ".repeat(1 << 20), ..record };
    let found = batches(Form::File, written(Form::File, &shape, &vec![long; 10])).1;
    assert_eq!(rows(&found), [3, 3, 3, 1]);
}

#[test]
fn names_and_fields_count_in_a_batch_and_what_sentences_share_is_there_once() {
    let shape = |rows| Shape { fields: true, ..Shape { rows, ..Shape::default() } };
    let named = SentenceRecord { id: "long ".repeat(1 << 20).into(), ..record() };
    let found = batches(Form::File, written(Form::File, &shape(Rows::Sentence), &vec![named; 10])).1;
    assert_eq!(found.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3, 3, 3, 1]);

    // Counted with every sentence, these would be more than a row can have.
    let fields = Map::from_iter([("page".to_owned(), Value::from("x".repeat(32 << 20)))]);
    let mut sentence = SentenceRecord { fields: Some(fields), ..record() };
    let (mut report, out) = open(Form::Stream, &shape(Rows::Article));
    for number in 1..=80 {
        sentence.sentence = number;
        report.sentence(&sentence).unwrap();
    }
    report.finish().unwrap();
    let found = json_rows(&batches(Form::Stream, out.bytes()).1);
    assert_eq!((found.len(), found[0]["sentences"].as_array().unwrap().len()), (1, 80));
    assert_eq!(found[0]["fields"].as_str().unwrap().len(), (32 << 20) + r#"{"page":""}"#.len());
}

#[test]
fn a_broken_pipe_is_known_as_one() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }
    let shape = shape(Rows::Sentence);
    let error = ColumnsReport::arrow_stream(Box::new(Broken), &shape).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let error = ColumnsReport::parquet(Box::new(Broken), &shape).unwrap().finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_number_or_score_is_lost(
        text in any::<String>(),
        start in 0usize..1 << 40,
        score in 0f32..=1.0,
        labels in proptest::collection::vec("[a-z]{1,3}", 0..3),
        named in proptest::option::of(any::<String>()),
    ) {
        let span = crate::text::Span::new(0, 0);
        let entity = |text: String| EntityRecord { label: "PER".into(), text, start, end: start, score, span };
        let record = SentenceRecord {
            id: text.clone().into(),
            text,
            start,
            stance: Some(labels),
            scores: Some(vec![("condemnation".into(), score), ("speculation".into(), 1.0 - score)]),
            entities: Some(named.into_iter().map(entity).collect()),
            ..record()
        };
        for form in FORMS {
            let (_, batches) = batches(form, written(form, &shape(Rows::Sentence), std::slice::from_ref(&record)));
            prop_assert_eq!(json_rows(&batches), vec![expected(&record)]);
        }
    }
}

#[test]
fn nested_columns_are_lists_and_structs() {
    let (schema, found) = batches(Form::Parquet, written(Form::Parquet, &shape(Rows::Sentence), &records()));
    let kind = |name: &str| schema.field_with_name(name).unwrap().data_type().to_string();
    assert_eq!(kind("stance"), "List(non-null Utf8)");
    assert_eq!(
        kind("scores"),
        "Struct(\"condemnation\": non-null Float64, \"speculation\": non-null Float64)"
    );
    assert_eq!(found[0].column_by_name("stance").unwrap().null_count(), 0);
}
