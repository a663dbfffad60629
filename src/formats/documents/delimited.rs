use super::bounded::{Line, Lines, size, too_long};
use super::{About, BadRecord, Document, Documents, Source, listed};
use crate::formats::quotes::Quotes;
use csv_core::ReadRecordResult;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::io;

/// Rows under a header; comma-separated ones are quoted as in RFC 4180.
pub(super) fn read(source: Source, delimiter: u8) -> Documents {
    let Source { reader, about } = source;
    let limit = about.options.max_record_bytes;
    let parser = csv_core::ReaderBuilder::new().delimiter(delimiter).quoting(delimiter == b',').build();
    let lines = Lines::new(reader, limit);
    let again = limit.saturating_mul(REREADINGS);
    let mut rows = Rows { lines, parser, limit, again, row: Row::default() };
    let header = match header(&mut rows, &about) {
        Ok(header) => header,
        Err(reason) => return Box::new(std::iter::once(Err(BadRecord::whole(&about.name, reason)))),
    };
    let mut over = false;
    Box::new(std::iter::from_fn(move || {
        if over {
            return None;
        }
        let bad = |line, reason, record| Some(Err(BadRecord::at(&about.name, line, reason, record)));
        match rows.next() {
            Ok(Read::End) => None,
            Ok(Read::Row) => {
                let row = &mut rows.row;
                match document(row, &about, &header) {
                    Ok(document) => Some(Ok(document)),
                    Err(reason) => bad(row.line, reason, std::mem::take(&mut row.raw)),
                }
            }
            Ok(Read::Bad { line, reason, record }) => bad(line, reason, record),
            Err(error) => {
                over = true;
                bad(rows.lines.number(), error.to_string(), Vec::new())
            }
        }
    }))
}

/// How many times the longest record may be read again, to find the rows that a quotation mark has swallowed. More of it would
/// take too long.
const REREADINGS: usize = 100;

struct Rows {
    lines: Lines,
    parser: csv_core::Reader,
    limit: usize,
    /// Bytes that may still be read again.
    again: usize,
    row: Row,
}

/// A row as it came, and its values.
#[derive(Default)]
struct Row {
    line: usize,
    raw: Vec<u8>,
    values: Vec<u8>,
    ends: Vec<usize>,
}

enum Read {
    End,
    /// The one in `row`.
    Row,
    Bad {
        line: usize,
        reason: String,
        record: Vec<u8>,
    },
}

impl Rows {
    fn next(&mut self) -> io::Result<Read> {
        self.row = Row::default();
        let mut first = 0;
        loop {
            let Some(Line { bytes, whole }) = self.lines.next()? else {
                return if self.row.raw.is_empty() {
                    Ok(Read::End)
                } else {
                    self.broken(first, true, Broken::Endless)
                };
            };
            if self.row.raw.is_empty() {
                if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                    continue;
                }
                self.row.line = self.lines.number();
                first = bytes.len();
                if !whole {
                    self.lines.skip()?;
                    let (reason, record) = too_long(bytes, self.limit);
                    return Ok(Read::Bad { line: self.row.line, reason, record });
                }
            }
            let at = self.row.raw.len();
            self.row.raw.extend_from_slice(&bytes);
            if !whole || at > 0 && self.row.raw.len() > self.limit {
                return self.broken(first, whole, Broken::Endless);
            }
            if let Some(end) = self.parse(at) {
                if at > 0 && is_torn(&self.row.raw[..end]) {
                    return self.broken(first, whole, Broken::Torn);
                }
                self.finish(end);
                return Ok(Read::Row);
            }
        }
    }

    /// Parses the line of the row that begins at `at`, and tells where the row ends if that is in this line; else the line
    /// ends between quotation marks.
    fn parse(&mut self, at: usize) -> Option<usize> {
        let Row { raw, values, ends, .. } = &mut self.row;
        if !raw.ends_with(b"\n") {
            // The last line of an input may do without an end; the parser tells by it that a row is complete.
            raw.push(b'\n');
        }
        let (mut at, mut value, mut count) = (at, values.len(), ends.len());
        values.resize(value + raw.len() - at + 1, 0);
        let ended = loop {
            ends.resize(count + 64, 0);
            let (result, read, written, found) =
                self.parser.read_record(&raw[at..], &mut values[value..], &mut ends[count..]);
            (at, value, count) = (at + read, value + written, count + found);
            if matches!(result, ReadRecordResult::Record) {
                break Some(at);
            } else if at == raw.len() {
                break None;
            }
        };
        values.truncate(value);
        ends.truncate(count);
        ended
    }

    /// Ends the row within its last line, where a lone carriage return ends a row too.
    fn finish(&mut self, end: usize) {
        let rest = &self.row.raw[end..];
        if !rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            self.lines.put_back(self.row.raw.split_off(end), self.lines.number());
        }
    }

    /// What is told of a row that a quotation mark makes of several: its first line is taken for bad, and those behind it are
    /// read again.
    fn broken(&mut self, first: usize, whole: bool, how: Broken) -> io::Result<Read> {
        self.parser.reset();
        let Row { line, mut raw, .. } = std::mem::take(&mut self.row);
        let size = size(self.limit);
        let what = match how {
            Broken::Endless => format!(
                "a quotation mark opens a value that ends neither before the end of the input nor within {size} (`--max-record-bytes`)"
            ),
            Broken::Torn => {
                "a quotation mark opens a value, and the next one, in a line below, does not end it".into()
            }
        };
        let remedy = "a mark that belongs to a value must be doubled";
        let behind = raw.len() - first;
        if let Some(again) = self.again.checked_sub(behind) {
            self.again = again;
            self.lines.put_back(raw.split_off(first), line + 1);
            return Ok(Read::Bad { line, reason: format!("{what}; {remedy}"), record: raw });
        }
        let last = self.lines.number();
        if !whole {
            self.lines.skip()?;
        }
        let (_, record) = too_long(raw, self.limit);
        let reason = format!("{what}, like many before it: passed over up to line {last}; {remedy}");
        Ok(Read::Bad { line, reason, record })
    }
}

/// How a quotation mark makes one row of several.
enum Broken {
    /// No other ends the value that it opens.
    Endless,
    /// One that was meant to open another value ends it.
    Torn,
}

/// True if a value of a row, quoted over several lines, goes on behind the mark that closes it.
fn is_torn(row: &[u8]) -> bool {
    let mut quotes = Quotes::new(b',');
    quotes.follow(row);
    quotes.torn(1, None).is_some()
}

impl Row {
    fn values(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.values[start..end])
    }
}

/// Column names, checked for the one that holds the text.
fn header(rows: &mut Rows, about: &About) -> Result<Vec<String>, String> {
    let unread = |reason: String| format!("no header can be read: {reason}");
    match rows.next().map_err(|error| unread(error.to_string()))? {
        // An input without a header has no rows either.
        Read::End => return Ok(Vec::new()),
        Read::Row => {}
        Read::Bad { reason, .. } => return Err(unread(reason)),
    }
    let names = rows.row.values().map(|name| std::str::from_utf8(name).map(str::to_owned));
    let names: Vec<String> =
        names.collect::<Result<_, _>>().map_err(|error| unread(about.malformed(error.valid_up_to())))?;
    let options = &about.options;
    let field = &options.text_field;
    if !names.contains(field) {
        return Err(format!(
            "no column `{field}` among {}; name the column that holds the text with --text-field",
            listed(names.iter())
        ));
    }
    let chosen = [Some(field), Some(&options.id_field), options.date_field.as_ref()];
    let is_read = |name: &String| !name.is_empty() && (options.keep_fields || chosen.contains(&Some(name)));
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| is_read(name) && !seen.insert(*name)) {
        Some(name) => Err(format!("two columns are called `{name}`; give one of them another name")),
        None => Ok(names),
    }
}

fn document(row: &Row, about: &About, header: &[String]) -> Result<Document, String> {
    let About { name, options, .. } = about;
    if row.ends.len() != header.len() {
        return Err(format!("{} fields where the header names {}", row.ends.len(), header.len()));
    }
    let mut document = Document {
        id: Value::String(format!("{name}:{}", row.line)),
        date: None,
        text: String::new(),
        segmentation: options.segmentation(),
        continues: false,
        fields: Map::new(),
    };
    for (column, value) in header.iter().zip(row.values()) {
        let value = std::str::from_utf8(value)
            .map_err(|e| format!("column `{column}`: {}", about.malformed(e.valid_up_to())))?
            .to_owned();
        if *column == options.text_field {
            document.text = value;
        } else if *column == options.id_field {
            if !value.is_empty() {
                document.id = Value::String(value);
            }
        } else if options.date_field.as_ref() == Some(column) {
            document.date = (!value.is_empty()).then_some(value);
        } else if !options.keep_fields || column.is_empty() && value.is_empty() {
            // Spreadsheets leave columns behind that have neither a name nor values.
        } else if document.fields.insert(column.clone(), Value::String(value)).is_some() {
            return Err("two values stand in columns without a name".into());
        }
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::super::{DocumentOptions, InputFormat, testing::*};
    use super::REREADINGS;
    use proptest::prelude::*;
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

    #[test]
    fn a_quotation_mark_that_is_never_closed_costs_its_line_alone() {
        let content = "text,b\n\"One\n two.\",1\n\"We condemn it.,2\nThree.,3\n\nFour.,4";
        let documents = read(InputFormat::Csv, content.as_bytes());
        let bad = documents[1].as_ref().unwrap_err();
        assert_eq!((bad.line, bad.record.as_slice()), (Some(4), b"\"We condemn it.,2\n".as_slice()));
        assert!(bad.reason.contains("a quotation mark opens a value"), "{bad}");
        let texts: Vec<&str> = documents.iter().flatten().map(|d| d.text.as_str()).collect();
        assert_eq!(texts, ["One\n two.", "Three.", "Four."]);
        assert_eq!(documents[3].as_ref().unwrap().id, json!("in:7"));
    }

    #[test]
    fn many_that_are_never_closed_are_passed_over_together() {
        let content = "text,b,c\n".to_owned() + &"a\"b\",1,\"c\n".repeat(30 * REREADINGS);
        let options = DocumentOptions {
            format: Some(InputFormat::Csv),
            max_record_bytes: 100,
            ..DocumentOptions::default()
        };
        let documents = read_with(options, content.as_bytes());
        assert!(documents.len() > REREADINGS && documents.len() < 15 * REREADINGS, "{}", documents.len());
        let last = documents.last().unwrap().as_ref().unwrap_err();
        assert!(last.reason.contains("passed over up to line"), "{last}");
    }

    #[test]
    fn a_quotation_mark_that_another_row_closes_swallows_no_row() {
        let content = "id,text\n1,\"One.\n2,\"Two.\n3,Three.\n4,\"Four,\nfour.\"\n";
        let documents = read(InputFormat::Csv, content.as_bytes());
        let bad: Vec<(Option<usize>, &[u8])> =
            documents.iter().filter_map(|d| d.as_ref().err()).map(|b| (b.line, &b.record[..])).collect();
        // The second mark opens a value too, that the fourth row's closes.
        assert_eq!(bad, [(Some(2), &b"1,\"One.\n"[..]), (Some(3), b"2,\"Two.\n")]);
        let texts: Vec<&str> = documents.iter().flatten().map(|d| d.text.as_str()).collect();
        assert_eq!(texts, ["Three.", "Four,\nfour."]);
        let header = read(InputFormat::Csv, b"id,\"text\n1,A.\n").remove(0).unwrap_err();
        assert!(header.line.is_none() && header.reason.contains("no header can be read: a quotation mark"));
    }

    #[test]
    fn columns_of_one_name_are_refused_where_one_would_hide_the_other() {
        let with = |keep_fields, content: &str| {
            let format = Some(InputFormat::Csv);
            read_with(
                DocumentOptions { format, keep_fields, ..DocumentOptions::default() },
                content.as_bytes(),
            )
        };
        for (keep_fields, content) in [(false, "text,text\na,b\n"), (true, "text,a,a\nb,1,2\n")] {
            let bad = with(keep_fields, content).remove(0).unwrap_err();
            assert!(bad.line.is_none() && bad.reason.starts_with("two columns are called"), "{bad}");
        }
        assert!(with(false, "text,a,a\nb,1,2\n")[0].is_ok());
        let unnamed = with(true, "text,,\na,,\nb,1,2\n");
        assert!(unnamed[0].as_ref().unwrap().fields.is_empty());
        assert!(unnamed[1].as_ref().unwrap_err().reason.contains("without a name"));
    }

    #[test]
    fn a_row_that_is_too_long_is_passed_over() {
        let options = |format| DocumentOptions {
            format: Some(format),
            max_record_bytes: 2000,
            ..DocumentOptions::default()
        };
        let content =
            format!("text,b\n{},1\nTwo.,2\n\"{}\",3\nFour.,4\n", "x".repeat(5000), "y\n".repeat(2000));
        let documents = read_with(options(InputFormat::Csv), content.as_bytes());
        let bad = documents[0].as_ref().unwrap_err();
        assert_eq!((bad.line, bad.record.len()), (Some(2), 1024));
        assert_eq!(documents[1].as_ref().unwrap().text, "Two.");
        let bad = documents[2].as_ref().unwrap_err();
        assert!(bad.line == Some(4) && bad.reason.contains("within 2000 bytes"), "{bad}");
        assert_eq!(documents.last().unwrap().as_ref().unwrap().text, "Four.");
        let documents = read_with(options(InputFormat::Tsv), content.replace(',', "\t").as_bytes());
        assert_eq!(documents[0].as_ref().unwrap_err().line, Some(2));
    }

    #[test]
    fn lone_carriage_returns_end_rows_too() {
        let texts = |content: &[u8]| -> Vec<String> {
            read(InputFormat::Csv, content).into_iter().map(|d| d.unwrap().text).collect()
        };
        assert_eq!(texts(b"text,b\rOne.,1\rTwo.,2\r"), ["One.", "Two."]);
        assert_eq!(texts(b"text,b\r\nOne.,1\rTwo.,2\r\n"), ["One.", "Two."]);
    }

    proptest! {
        /// What the `csv` crate writes is read as it was, whatever it holds.
        #[test]
        fn rows_are_those_that_were_written(rows in proptest::collection::vec(("[a\"\n\r,é ]{0,8}", "[a\"\n\r,é ]{0,8}"), 0..8), chunk in 1usize..9) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record(["text", "b"]).unwrap();
            for (text, b) in &rows {
                writer.write_record([text, b]).unwrap();
            }
            let content = writer.into_inner().unwrap();
            let documents = read_by(chunk, InputFormat::Csv, &content);
            let found: Vec<(String, String)> = documents
                .into_iter()
                .map(|d| d.map(|d| (d.text, d.fields["b"].as_str().unwrap().to_owned())).unwrap())
                .collect();
            prop_assert_eq!(found, rows);
        }

        /// Whatever an input holds, every byte of it is looked at and the reading ends.
        #[test]
        fn any_input_comes_to_its_end(content in "([a,]|\"|\"\"|\n|\r\n|\r){0,60}", limit in 1usize..40) {
            let content = format!("text,b\n{content}");
            let options = DocumentOptions { format: Some(InputFormat::Csv), max_record_bytes: limit.max(8), ..DocumentOptions::default() };
            let rows = content.split(['\n', '\r']).count();
            prop_assert!(read_with(options, content.as_bytes()).len() <= rows);
        }
    }
}
