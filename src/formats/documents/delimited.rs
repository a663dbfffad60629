use super::{BadRecord, Document, DocumentOptions, Documents, listed, not_utf8};
use crate::formats::quotes::Followed;
use csv::ByteRecord;
use serde_json::{Map, Value};
use std::io::BufRead;

/// Rows under a header; comma-separated ones are quoted as in RFC 4180.
pub(super) fn read(
    reader: Box<dyn BufRead>,
    name: String,
    options: DocumentOptions,
    delimiter: u8,
) -> Documents {
    let reader = match Followed::new(reader, delimiter) {
        Ok(reader) => reader,
        Err(error) => return Box::new(std::iter::once(Err(BadRecord::whole(&name, error.to_string())))),
    };
    let quoting = delimiter == b',';
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).quoting(quoting).flexible(true).from_reader(reader);
    let header = match header(&mut reader, quoting, &options) {
        Ok(header) => header,
        Err(reason) => return Box::new(std::iter::once(Err(BadRecord::at(&name, 1, reason, [])))),
    };
    let mut over = false;
    Box::new(std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut row = ByteRecord::new();
        match reader.read_byte_record(&mut row) {
            Ok(false) => None,
            Ok(true) => {
                // The `csv` crate counts the second half of a CR LF with the row behind it.
                let behind = usize::from(reader.get_ref().quotes.ends_in_crlf());
                let line = row.position().map_or(0, |p| p.line() as usize + behind);
                let document = match reader.get_ref().never_closed().filter(|_| quoting) {
                    Some(opened) => Err(never_closed(opened)),
                    None => document(&row, line, &name, &header, &options),
                };
                Some(document.map_err(|reason| BadRecord::at(&name, line, reason, raw(&row, delimiter))))
            }
            Err(error) => {
                over = true;
                Some(Err(BadRecord::whole(&name, error.to_string())))
            }
        }
    }))
}

fn never_closed(opened: usize) -> String {
    format!(
        "a quotation mark opens a value on line {opened} and is never closed: the rest of the input is in it; double the \
         marks that belong to a value"
    )
}

/// Column names, checked for the one that holds the text.
fn header(
    reader: &mut csv::Reader<Followed<impl BufRead>>,
    quoting: bool,
    options: &DocumentOptions,
) -> Result<Vec<String>, String> {
    let header = reader.headers().map_err(|e| format!("no header can be read: {e}"))?;
    let header: Vec<String> = header.iter().map(str::to_owned).collect();
    let field = &options.text_field;
    // An input without a header has no rows either.
    if header.is_empty() || header.contains(field) {
        return Ok(header);
    }
    Err(match reader.get_ref().never_closed().filter(|_| quoting) {
        Some(opened) => never_closed(opened),
        None => format!(
            "no column `{field}` among {}; name the column that holds the text with --text-field",
            listed(header.iter())
        ),
    })
}

fn document(
    row: &ByteRecord,
    line: usize,
    name: &str,
    header: &[String],
    options: &DocumentOptions,
) -> Result<Document, String> {
    if row.len() != header.len() {
        return Err(format!("{} fields where the header names {}", row.len(), header.len()));
    }
    let mut document = Document {
        id: Value::String(format!("{name}:{line}")),
        date: None,
        text: String::new(),
        segmentation: options.segmentation(),
        continues: false,
        fields: Map::new(),
    };
    for (column, value) in header.iter().zip(row) {
        let value = std::str::from_utf8(value)
            .map_err(|e| format!("column `{column}`: {}", not_utf8(e.valid_up_to())))?
            .to_owned();
        if *column == options.text_field {
            document.text = value;
        } else if *column == options.id_field {
            if !value.is_empty() {
                document.id = Value::String(value);
            }
        } else if options.date_field.as_ref() == Some(column) {
            document.date = (!value.is_empty()).then_some(value);
        } else {
            document.fields.insert(column.clone(), Value::String(value));
        }
    }
    Ok(document)
}

/// The row as a line of its format.
fn raw(row: &ByteRecord, delimiter: u8) -> Vec<u8> {
    let quotes = if delimiter == b',' { csv::QuoteStyle::Necessary } else { csv::QuoteStyle::Never };
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .quote_style(quotes)
        .flexible(true)
        .from_writer(Vec::new());
    writer.write_byte_record(row).expect("writing to memory does not fail");
    writer.into_inner().expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::super::{InputFormat, testing::*};
    use serde_json::json;

    #[test]
    fn quoted_fields_may_hold_anything_and_rows_keep_their_fields() {
        let content = "\u{feff}id,text,desk\r\n1,\"A, \"\"b\"\".\r\nC.\",x\r\n,D.,y\r\n";
        let documents = read(InputFormat::Csv, content.as_bytes());
        let first = documents[0].as_ref().unwrap();
        assert_eq!((&first.id, first.text.as_str()), (&json!("1"), "A, \"b\".\r\nC."));
        assert_eq!(first.fields["desk"], "x");
        assert_eq!(documents[1].as_ref().unwrap().id, json!("in:4"));
    }

    #[test]
    fn a_row_of_another_width_is_named_kept_and_passed() {
        let documents = read(InputFormat::Tsv, b"text\tb\nonly\nx\ty\n");
        let bad = documents[0].as_ref().unwrap_err();
        assert_eq!(bad.to_string(), "in:2: 1 fields where the header names 2");
        assert_eq!(bad.record, b"only\n");
        assert_eq!(sentences(documents[1].as_ref().unwrap()), ["x"]);
    }

    #[test]
    fn a_quotation_that_never_closes_swallows_no_rows_in_silence() {
        let documents = read(InputFormat::Csv, b"id,text\n1,A.\n2,B \"b\"\n3,\"C\n4,D\n5,E\n");
        assert_eq!(documents.iter().flatten().count(), 2);
        let bad = documents[2].as_ref().unwrap_err();
        assert!(
            bad.to_string().contains("in:4: a quotation mark opens a value on line 4 and is never closed")
        );
        assert_eq!(bad.record, b"3,\"C\n4,D\n5,E\n\"\n");
        let header = read(InputFormat::Csv, b"id,\"text\n1,A.\n");
        assert!(header[0].as_ref().unwrap_err().to_string().contains("line 1 and is never closed"));
        // Where nothing is quoted, nothing is open.
        assert!(read(InputFormat::Tsv, b"id\ttext\n1\t\"A.\n")[0].is_ok());
    }

    #[test]
    fn a_quotation_mark_in_a_tsv_is_part_of_its_value() {
        let documents = read(InputFormat::Tsv, b"id\ttext\n1\t\"We condemn it.\n2\t\"No,\" he said.\n");
        let texts: Vec<&str> = documents.iter().map(|d| d.as_ref().unwrap().text.as_str()).collect();
        assert_eq!(texts, ["\"We condemn it.", "\"No,\" he said."]);
    }

    #[test]
    fn a_missing_column_is_named_with_those_there_are() {
        let error = read(InputFormat::Csv, b"title,body\n1,2\n").remove(0).unwrap_err().to_string();
        assert!(error.contains("no column `text` among title, body") && error.contains("--text-field"));
        assert!(read(InputFormat::Csv, b"").is_empty());
    }
}
