use super::{BadRecord, Document, DocumentOptions, Documents, listed, not_utf8};
use serde_json::{Map, Value};
use std::io::BufRead;

/// One JSON object a line; blank lines are passed over.
pub(super) fn read(mut reader: Box<dyn BufRead>, name: String, options: DocumentOptions) -> Documents {
    let mut line = 0;
    let mut over = false;
    Box::new(std::iter::from_fn(move || {
        while !over {
            let mut bytes = Vec::new();
            line += 1;
            match reader.read_until(b'\n', &mut bytes) {
                Ok(0) => over = true,
                Ok(_) if bytes.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let document = document(&bytes, line, &name, &options);
                    return Some(document.map_err(|reason| BadRecord::at(&name, line, reason, bytes)));
                }
                Err(error) => {
                    over = true;
                    return Some(Err(BadRecord::at(&name, line, error.to_string(), [])));
                }
            }
        }
        None
    }))
}

fn document(bytes: &[u8], line: usize, name: &str, options: &DocumentOptions) -> Result<Document, String> {
    let record = std::str::from_utf8(bytes).map_err(|e| not_utf8(e.valid_up_to()))?;
    let record = record.strip_prefix('\u{feff}').filter(|_| line == 1).unwrap_or(record);
    let mut fields: Map<String, Value> =
        serde_json::from_str(record).map_err(|e| format!("not a JSON object: {e}"))?;
    let field = &options.text_field;
    let text = match fields.shift_remove(field) {
        Some(Value::String(text)) => text,
        Some(_) => return Err(format!("field `{field}` is not a string")),
        None => {
            return Err(format!(
                "no field `{field}` among {}; name the field that holds the text with --text-field",
                listed(fields.keys())
            ));
        }
    };
    let id = match fields.shift_remove(&options.id_field) {
        None | Some(Value::Null) => Value::String(format!("{name}:{line}")),
        Some(id) => id,
    };
    let date = options.date_field.as_ref().and_then(|field| match fields.shift_remove(field)? {
        Value::Null => None,
        Value::String(date) => Some(date),
        other => Some(other.to_string()),
    });
    Ok(Document { id, date, text, segmentation: options.segmentation(), continues: false, fields })
}

#[cfg(test)]
mod tests {
    use super::super::{InputFormat, testing::*};
    use serde_json::json;

    #[test]
    fn a_record_keeps_its_name_and_its_fields_in_order() {
        let documents = read(
            InputFormat::Jsonl,
            b"\xef\xbb\xbf{\"z\":1,\"id\":7,\"text\":\"One left. Two stay.\",\"a\":[2]}\r\n\n{\"text\":\"\"}",
        );
        let first = documents[0].as_ref().unwrap();
        assert_eq!((&first.id, sentences(first)), (&json!(7), vec!["One left.", "Two stay."]));
        assert_eq!(first.fields.keys().collect::<Vec<_>>(), ["z", "a"]);
        let second = documents[1].as_ref().unwrap();
        assert_eq!((&second.id, second.sentences().len()), (&json!("in:3"), 0));
    }

    #[test]
    fn bad_records_are_named_and_kept() {
        let documents = read(InputFormat::Jsonl, b"{\"body\":\"x\"}\n[1]\n{\"text\":3}\n{\"text\":\"ok\"}\n");
        let bad: Vec<String> = documents.iter().filter_map(|d| Some(d.as_ref().err()?.to_string())).collect();
        assert_eq!(bad.len(), 3);
        assert!(bad[0].contains("in:1: no field `text` among body") && bad[0].contains("--text-field"));
        assert!(bad[1].contains("in:2: not a JSON object"));
        assert!(bad[2].contains("in:3: field `text` is not a string"));
        assert_eq!(documents[0].as_ref().unwrap_err().record, b"{\"body\":\"x\"}\n");
        assert!(documents[3].is_ok());
    }
}
