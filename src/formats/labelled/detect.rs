//! The format of a file, from its name and its first records.

use super::conll::{columns, is_tag};
use super::json::{self, Entry};
use super::{LabelledFormat, LabelledOptions, sentences};
use crate::formats::FormatError;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Records that are looked at: the first may be without annotations.
const RECORDS: usize = 100;
/// Bytes that are looked at line by line: a whole export may stand in one line.
const BYTES: u64 = 1 << 20;

/// The format of a file or folder.
pub(super) fn format(path: &Path, options: &LabelledOptions) -> Result<LabelledFormat, FormatError> {
    let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if path.is_dir() || end == "ann" || end == "txt" && path.with_extension("ann").is_file() {
        return Ok(LabelledFormat::Brat);
    }
    let lines = first_lines(path).map_err(|source| FormatError::File { path: path.to_owned(), source })?;
    let first = lines.iter().find(|line| !line.trim().is_empty()).map_or("", |line| line.trim_start());
    if first.starts_with('{') || first.starts_with('[') {
        if first.starts_with('{') && first.contains("\"sentences\"") {
            return Ok(LabelledFormat::Articles);
        }
        if let Some(format) = of_records(path, first.starts_with('['))? {
            return Ok(format);
        }
    }
    let header = |separator: char| {
        let mut columns = first.trim_end().split(separator).map(|column| column.trim_matches('"'));
        let text = options.text_field.as_deref().unwrap_or("text");
        let labels = options.label_field.as_deref();
        let (mut texts, mut answers) = (false, false);
        for column in &mut columns {
            texts |=
                column == text || options.text_field.is_none() && matches!(column, "sentence" | "sentence1");
            answers |= labels.map_or(sentences::LABELS.contains(&column), |labels| column == labels);
        }
        (texts, answers)
    };
    Ok(if end == "csv" || header(',') == (true, true) {
        LabelledFormat::Csv
    } else if header('\t') == (true, true) {
        LabelledFormat::Tsv
    } else if are_conflibert(&lines) {
        // Half a header is no sentence: the reader of headers tells which column to name.
        if header('\t') == (false, false) { LabelledFormat::Conflibert } else { LabelledFormat::Tsv }
    } else {
        LabelledFormat::Conll
    })
}

/// The first lines; of a longer one that is the first, its beginning.
fn first_lines(path: &Path) -> std::io::Result<Vec<String>> {
    let mut reader = BufReader::new(std::fs::File::open(path)?).take(BYTES);
    let mut lines = Vec::new();
    while lines.len() < RECORDS {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let line = if lines.is_empty() { line.trim_start_matches('\u{feff}').to_owned() } else { line };
        lines.push(line);
    }
    if reader.limit() == 0 && lines.len() > 1 {
        lines.pop();
    }
    Ok(lines)
}

/// True for rows of a text and its labels: a tab in every line, texts of several words, and no tags.
fn are_conflibert(lines: &[String]) -> bool {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end_matches(['\n', '\r'])).collect();
    let rows = || lines.iter().filter_map(|line| line.split_once('\t'));
    !lines.is_empty()
        && rows().count() == lines.len()
        && rows().any(|(text, _)| text.trim().contains(' '))
        && !lines.iter().any(|line| columns(line).next_back().is_some_and(is_tag))
}

/// The format of JSON records; `None` if the file has none.
fn of_records(path: &Path, array: bool) -> Result<Option<LabelledFormat>, FormatError> {
    let (mut entries, mut records) = (0, 0);
    for entry in json::entries(path)?.take(RECORDS) {
        entries += 1;
        // A file that is broken further on is still of its format.
        let Ok(Entry { value, .. }) = entry else { break };
        let Ok(value) = value else { continue };
        records += 1;
        if let Some(format) = of_record(&value) {
            return Ok(Some(format));
        }
    }
    let default = if array { LabelledFormat::HuggingFace } else { LabelledFormat::Sentences };
    Ok((records > 0 || entries == 0 || !array).then_some(default))
}

/// The format of a record that tells it.
fn of_record(value: &Value) -> Option<LabelledFormat> {
    let record = match value {
        Value::Object(record) => record,
        Value::Array(pair) if pair.len() == 2 && pair[0].is_string() => return Some(LabelledFormat::Spacy),
        _ => return None,
    };
    let has = |name: &str| record.get(name).is_some_and(|value| !value.is_null());
    let list = |name: &str| record.get(name).and_then(Value::as_array);
    let first = |name: &str| list(name).and_then(|list| list.first());
    let object = |name: &str| first(name).and_then(Value::as_object);
    let keys = |name: &str, key: &str| object(name).is_some_and(|object| object.contains_key(key));
    if has("stance") || keys("entities", "text") {
        return Some(LabelledFormat::Sentences);
    }
    if record.get("data").is_some_and(Value::is_object) || has("annotation_id") {
        return Some(LabelledFormat::LabelStudio);
    }
    let answered =
        matches!(record.get("answer").and_then(Value::as_str), Some("accept" | "reject" | "ignore"));
    if answered || has("_task_hash") || has("_input_hash") || keys("spans", "start") {
        return Some(LabelledFormat::Prodigy);
    }
    let of_words = list("tokens").is_some_and(|tokens| tokens.iter().all(Value::is_string));
    if of_words && (has("ner_tags") || has("tags") || !has("text")) {
        return Some(LabelledFormat::HuggingFace);
    }
    if list("ents").is_some()
        || ["cats", "spans"].iter().any(|name| record.get(*name).is_some_and(Value::is_object))
    {
        return Some(LabelledFormat::Spacy);
    }
    if is_doccano(record) {
        return Some(LabelledFormat::Doccano);
    }
    let numbered = ["label", "labels"].iter().any(|name| record.get(*name).is_some_and(Value::is_number));
    if !has("text") && (has("sentence") || has("sentence1")) || numbered {
        return Some(LabelledFormat::HuggingFace);
    }
    None
}

fn is_doccano(record: &Map<String, Value>) -> bool {
    let spans = ["label", "labels", "entities", "annotations"].iter().any(|name| {
        match record.get(*name).and_then(|list| list.get(0)) {
            Some(Value::Array(_)) => true,
            Some(Value::Object(first)) => first.contains_key("start_offset"),
            _ => false,
        }
    });
    spans
        || record.contains_key("Comments")
        || record.get("cats").is_some_and(Value::is_array)
        || record.get("data").is_some_and(Value::is_string)
}

#[cfg(test)]
mod tests {
    use super::super::LabelledFormat::{self, *};

    fn detect(name: &str, content: &str) -> LabelledFormat {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        LabelledFormat::detect(&path).unwrap()
    }

    #[test]
    fn json_records_tell_their_format_by_their_keys() {
        let records = [
            (r#"{"id":"a","sentences":[]}"#, Articles),
            (r#"{"text":"a","stance":["x"],"answer":"accept","tokens":["a"]}"#, Sentences),
            (r#"{"text":"a","label":"x"}"#, Sentences),
            (r#"{"text":"a","label":"x","tokens":["a"]}"#, Sentences),
            (r#"{"text":"a","label":["x"]}"#, Sentences),
            (
                r#"{"text":"a b","entities":[{"start":0,"end":1,"label":"X","text":"a"}],"labels":[]}"#,
                Sentences,
            ),
            (r#"{"text":"a","label":1}"#, HuggingFace),
            (r#"{"sentence1":"a","sentence2":"b","label":"x"}"#, HuggingFace),
            (r#"{"id":"0","tokens":["a"],"ner_tags":[0]}"#, HuggingFace),
            (r#"[{"text":"a","label":"x"}]"#, HuggingFace),
            (r#"{"text":"a","label":[[0,1,"X"]]}"#, Doccano),
            ("{\"text\":\"a\",\"label\":[]}\n{\"text\":\"a\",\"label\":[[0,1,\"X\"]]}", Doccano),
            (r#"{"data":"a","label":["x"]}"#, Doccano),
            (
                r#"{"text":"a","entities":[{"id":1,"start_offset":0,"end_offset":1,"label":"X"}],"relations":[]}"#,
                Doccano,
            ),
            (r#"{"text":"a","spans":[{"start":0,"end":1,"label":"X"}]}"#, Prodigy),
            (r#"{"text":"a","accept":["x"],"answer":"accept"}"#, Prodigy),
            ("[\n{\"id\":1,\"data\":{\"text\":\"a\"},\"annotations\":[]}]", LabelStudio),
            (r#"[{"id":1,"text":"a","tone":"x","annotation_id":3}]"#, LabelStudio),
            (r#"{"text":"a","ents":[],"cats":{"x":1.0}}"#, Spacy),
            (r#"[["a",{"entities":[]}],["b",{"entities":[]}]]"#, Spacy),
            ("[\"a\",{\"entities\":[]}]\n", Spacy),
        ];
        for (content, format) in records {
            assert_eq!(detect("data", &format!("\n{content}\n")), format, "{content}");
        }
        assert_eq!(detect("data", "{\n"), Sentences);
    }

    #[test]
    fn lines_and_rows_tell_their_format_by_their_columns() {
        let files = [
            ("data", "\u{feff}EU\tB-ORG\n\nPeter\tB-PER\n", Conll),
            ("data.txt", "[\tO\nEU\tB-ORG\n", Conll),
            ("data.tsv", "-DOCSTART-\tO\n\nNew York\tB-LOC\n", Conll),
            ("data.tsv", "EU\tORG\n", Conll),
            ("data.tsv", "They met.\t0\nNo one came.\t1\n", Conflibert),
            ("data", "\"They met.\"\t0\t1\nNo one came.\t1\t0\n", Conflibert),
            ("data.tsv", "label\ttext\nx\ta b\n", Tsv),
            ("data.tsv", "headline\tstance\nThey met.\tx\n", Tsv),
            ("data.tsv", "text\tO\nNew York\tB-LOC\n", Conll),
            ("data.csv", "a;b\n", Csv),
            ("data", "\"id\",\"text\",\"label\"\n1,a,x\n", Csv),
            ("data.tsv", "", Conll),
        ];
        for (name, content, format) in files {
            assert_eq!(detect(name, content), format, "{content}");
        }
    }

    #[test]
    fn a_long_line_is_not_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let long = "a".repeat(super::BYTES as usize);
        for (content, first) in [(format!("{long}b\n"), long.len()), (format!("x\n{long}"), 2)] {
            std::fs::write(&path, content).unwrap();
            let lines: Vec<usize> = super::first_lines(&path).unwrap().iter().map(String::len).collect();
            assert_eq!(lines, [first]);
        }
    }

    #[test]
    fn a_text_beside_its_marks_is_a_document_of_brat() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("a.txt");
        std::fs::write(&text, "EU\tB-ORG\n").unwrap();
        assert_eq!(LabelledFormat::detect(&text).unwrap(), Conll);
        std::fs::write(folder.path().join("a.ann"), "").unwrap();
        for path in [text.clone(), folder.path().join("a.ann"), folder.path().to_owned()] {
            assert_eq!(LabelledFormat::detect(&path).unwrap(), Brat);
        }
    }
}
