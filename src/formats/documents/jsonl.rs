use super::bounded::{Lines, too_long};
use super::{About, BadRecord, Document, Documents, Source, listed};
use serde_json::{Map, Value};

/// One JSON object a line; blank lines are passed over.
pub(super) fn read(source: Source) -> Documents {
    let Source { reader, about } = source;
    let limit = about.options.max_record_bytes;
    let mut lines = Lines::new(reader, limit);
    let mut over = false;
    Box::new(std::iter::from_fn(move || {
        while !over {
            let read = lines.next().and_then(|line| match line {
                Some(line) if !line.whole => lines.skip().map(|()| Some(line)),
                line => Ok(line),
            });
            let number = lines.number();
            match read {
                Ok(None) => over = true,
                Ok(Some(line)) if !line.whole => {
                    let (reason, record) = too_long(line.bytes, limit);
                    return Some(Err(BadRecord::at(&about.name, number, reason, record)));
                }
                Ok(Some(line)) if line.bytes.trim_ascii().is_empty() => {}
                Ok(Some(line)) => {
                    let document = document(&line.bytes, number, &about);
                    return Some(
                        document.map_err(|reason| BadRecord::at(&about.name, number, reason, line.bytes)),
                    );
                }
                Err(error) => {
                    over = true;
                    return Some(Err(BadRecord::at(&about.name, number, error.to_string(), [])));
                }
            }
        }
        None
    }))
}

fn document(bytes: &[u8], line: usize, about: &About) -> Result<Document, String> {
    let About { name, options, .. } = about;
    let record = std::str::from_utf8(bytes).map_err(|e| about.malformed(e.valid_up_to()))?;
    let record = record.strip_prefix('\u{feff}').filter(|_| line == 1).unwrap_or(record);
    // A record is one line: its number is told, and that of a line within it would only confuse.
    let mut fields: Map<String, Value> = serde_json::from_str(record.trim_ascii_end())
        .map_err(|e| format!("not a JSON object: {e}").replace(" at line 1 column ", " at column "))?;
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
    use super::super::{DocumentOptions, InputFormat, testing::*};
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
        let content = b"{\"body\":\"x\"}\n[1]\n{\"text\":3}\n{\"text\":\"ok\"}\n{\"text\": \n";
        let documents = read(InputFormat::Jsonl, content);
        let bad: Vec<String> = documents.iter().filter_map(|d| Some(d.as_ref().err()?.to_string())).collect();
        assert_eq!(bad.len(), 4);
        assert_eq!(bad[3], "in:5: not a JSON object: EOF while parsing a value at column 8");
        assert!(bad[0].contains("in:1: no field `text` among body") && bad[0].contains("--text-field"));
        assert!(bad[1].contains("in:2: not a JSON object"));
        assert!(bad[2].contains("in:3: field `text` is not a string"));
        assert_eq!(documents[0].as_ref().unwrap_err().record, b"{\"body\":\"x\"}\n");
        assert!(documents[3].is_ok());
    }

    #[test]
    fn of_many_fields_a_message_names_some() {
        let fields: Vec<String> = (0..500).map(|i| format!("\"f{i}\":0")).collect();
        let reason = read(InputFormat::Jsonl, format!("{{{}}}", fields.join(",")).as_bytes()).remove(0);
        let reason = reason.unwrap_err().reason;
        assert!(reason.contains("f19 and 480 others; name") && reason.len() < 300, "{reason}");
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_passed_over() {
        let long = format!("{{\"text\":\"{}\"}}", "ü".repeat(3000));
        let content = format!("{{\"text\":\"One.\"}}\n{long}\n{{\"text\":\"Three.\"}}\n{long}");
        let with = |max_record_bytes| {
            let format = Some(InputFormat::Jsonl);
            read_with(
                DocumentOptions { format, max_record_bytes, ..DocumentOptions::default() },
                content.as_bytes(),
            )
        };
        assert!(with(long.len()).iter().all(Result::is_ok));
        let documents = with(long.len() - 1);
        let bad = documents[1].as_ref().unwrap_err();
        assert_eq!((bad.line, documents[2].as_ref().unwrap().text.as_str()), (Some(2), "Three."));
        assert!(long.as_bytes().starts_with(&bad.record) && (1020..=1024).contains(&bad.record.len()));
        assert!(
            std::str::from_utf8(&bad.record).is_ok() && bad.reason.contains("1024 bytes")
                || bad.record.len() < 1024
        );
        assert_eq!(documents[3].as_ref().unwrap_err().line, Some(4));
    }

    #[test]
    fn half_a_record_tells_the_format_too() {
        let start = format!("{{\"text\":\"{}", "One. ".repeat(50_000));
        assert_eq!(InputFormat::of_content(&start.as_bytes()[..64 << 10]), InputFormat::Jsonl);
        assert_eq!(InputFormat::of_content(b"{\n\"text\": \"pretty\"}"), InputFormat::Text);
    }
}
