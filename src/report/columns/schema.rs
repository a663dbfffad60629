use super::super::{Rows, Shape};
use arrow_schema::{DataType, Field, Fields, Schema};
use std::sync::Arc;

/// The columns of records of a shape. What every record has is never null; the rest may be where a record lacks it.
pub(super) fn schema(shape: &Shape) -> Schema {
    let mut fields = vec![Field::new("id", DataType::Utf8, false)];
    fields.extend(shape.date.then(|| Field::new("date", DataType::Utf8, true)));
    match shape.rows {
        Rows::Sentence => fields.extend(sentence(shape)),
        Rows::Entity => {
            fields.push(Field::new("sentence", DataType::Int64, false));
            fields.extend(place());
            fields.extend(named());
            fields.extend(labels(shape).map(|_| stance()));
            fields.extend(abstained(shape));
            fields.push(Field::new("sentence_text", DataType::Utf8, false));
        }
        Rows::Article => fields.push(Field::new("sentences", list_of_structs(sentence(shape)), false)),
    }
    fields.extend(shape.fields.then(|| Field::new("fields", DataType::Utf8, true)));
    Schema::new(fields)
}

/// What is said of a sentence.
fn sentence(shape: &Shape) -> Vec<Field> {
    let mut fields = vec![Field::new("sentence", DataType::Int64, false)];
    fields.extend(place());
    fields.push(Field::new("text", DataType::Utf8, false));
    if let Some(labels) = labels(shape) {
        let score = |label: &String| Field::new(label, DataType::Float64, false);
        let scores = DataType::Struct(labels.iter().map(score).collect());
        fields.extend([stance(), Field::new("scores", scores, true)]);
    }
    fields.extend(abstained(shape));
    let entity = || place().into_iter().chain(named()).collect::<Vec<_>>();
    fields.extend(shape.entities.then(|| Field::new("entities", list_of_structs(entity()), true)));
    fields
}

/// Labels of which there are scores: a struct without fields is nothing that Parquet knows.
fn labels(shape: &Shape) -> Option<&Vec<String>> {
    shape.labels.as_ref().filter(|labels| !labels.is_empty())
}

fn place() -> [Field; 2] {
    [Field::new("start", DataType::Int64, false), Field::new("end", DataType::Int64, false)]
}

fn named() -> [Field; 3] {
    let text = |name| Field::new(name, DataType::Utf8, false);
    [text("label"), text("text"), Field::new("score", DataType::Float64, false)]
}

fn stance() -> Field {
    let label = Field::new_list_field(DataType::Utf8, false);
    Field::new("stance", DataType::List(Arc::new(label)), true)
}

fn abstained(shape: &Shape) -> Option<Field> {
    (shape.abstained && labels(shape).is_some()).then(|| Field::new("abstained", DataType::Boolean, true))
}

fn list_of_structs(fields: Vec<Field>) -> DataType {
    let item = Field::new_list_field(DataType::Struct(Fields::from(fields)), false);
    DataType::List(Arc::new(item))
}
