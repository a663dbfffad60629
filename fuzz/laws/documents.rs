use std::io::{BufReader, Cursor};
use undertone::formats::{BadRecord, Document, DocumentOptions, InputFormat, read_documents};

const FORMATS: [Option<InputFormat>; 7] = [
    Some(InputFormat::Text),
    Some(InputFormat::Lines),
    Some(InputFormat::Jsonl),
    Some(InputFormat::Csv),
    Some(InputFormat::Tsv),
    Some(InputFormat::Html),
    None,
];

/// Documents are read without loss, and in the same way however their bytes come in. The first byte picks format and options.
pub(crate) fn law(data: &[u8]) {
    let Some((&choice, content)) = data.split_first() else { return };
    let format = FORMATS[usize::from(choice & 0x1f) % FORMATS.len()];
    // Columns have a law of their own.
    if format.is_none() && InputFormat::of_magic(content).is_some() {
        return;
    }
    let utf8 = choice & 0x40 != 0;
    let options = DocumentOptions {
        format,
        encoding: utf8.then(|| "utf-8".parse().expect("a known encoding")),
        date_field: Some("date".into()),
        split: choice & 0x20 == 0,
        max_record_bytes: if choice & 0x80 == 0 { 1 << 20 } else { 64 },
        ..DocumentOptions::default()
    };
    let whole = read(content, content.len().max(1), &options);
    for size in [1, 7] {
        assert_eq!(read(content, size, &options), whole, "by {size} bytes");
    }
    whole.iter().flatten().for_each(sentences_lie_in_the_text);
    for bad in whole.iter().filter_map(|read| read.as_ref().err()) {
        assert!(!bad.reason.is_empty() && bad.input == "in" && bad.line != Some(0), "{bad}");
    }
    let compressed = content.starts_with(b"\x1f\x8b") || content.get(1..4) == Some(b"\xb5\x2f\xfd");
    if !utf8 || compressed || options.max_record_bytes == 64 {
        return;
    }
    match format {
        Some(InputFormat::Text) => whole_text(content, &whole),
        Some(InputFormat::Lines) => every_line(content, &whole),
        Some(InputFormat::Jsonl) => every_record(content, &whole),
        Some(InputFormat::Csv | InputFormat::Tsv) => bad_rows(content, &whole),
        _ => {}
    }
}

type Read = Vec<Result<Document, BadRecord>>;

/// What is read where at most `size` bytes come at a time.
fn read(content: &[u8], size: usize, options: &DocumentOptions) -> Read {
    let reader = BufReader::with_capacity(size, Cursor::new(content.to_vec()));
    read_documents(Box::new(reader), "in", options).collect()
}

pub(super) fn sentences_lie_in_the_text(document: &Document) {
    let mut at = 0;
    for span in document.sentences() {
        assert!(span.start >= at && !span.is_empty(), "{span:?} after {at}");
        let sentence = span.of(&document.text).expect("a span on character boundaries");
        assert_eq!(sentence.trim(), sentence);
        at = span.end;
    }
}

fn whole_text(content: &[u8], read: &Read) {
    let [document] = &read[..] else { panic!("{} documents of one text", read.len()) };
    match (document, std::str::from_utf8(content)) {
        (Ok(document), text) => assert_eq!(Ok(document.text.as_str()), text),
        (Err(_), text) => assert!(text.is_err()),
    }
}

/// Stretches join to the input, and what is no text is told.
fn every_line(content: &[u8], read: &Read) {
    let lines = || content.split_inclusive(|&byte| byte == b'\n');
    let expected: String = lines().map(String::from_utf8_lossy).collect();
    let documents: Vec<&Document> = read.iter().flatten().collect();
    assert_eq!(documents.iter().map(|document| document.text.as_str()).collect::<String>(), expected);
    assert!(documents.iter().enumerate().all(|(i, document)| document.continues == (i > 0)));
    let bad = lines().enumerate().filter(|(_, line)| std::str::from_utf8(line).is_err());
    let told = read.iter().filter_map(|read| read.as_ref().err());
    assert!(told.map(|bad| (bad.line, &bad.record[..])).eq(bad.map(|(i, line)| (Some(i + 1), line))));
}

/// A line that is not blank is a document or a bad record with that line.
fn every_record(content: &[u8], read: &Read) {
    let lines = content.split_inclusive(|&byte| byte == b'\n').enumerate();
    let lines: Vec<(usize, &[u8])> = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    assert_eq!(read.len(), lines.len());
    for (read, (number, line)) in read.iter().zip(lines) {
        if let Err(bad) = read {
            assert_eq!((bad.line, &bad.record[..]), (Some(number + 1), line));
        }
    }
}

/// A bad row stands in the input, on the line that is told.
fn bad_rows(content: &[u8], read: &Read) {
    let starts = content.iter().enumerate().filter(|&(_, &byte)| byte == b'\n').map(|(at, _)| at + 1);
    let starts: Vec<usize> = std::iter::once(0).chain(starts).collect();
    for bad in read.iter().filter_map(|read| read.as_ref().err()) {
        // Without a line it is the input as a whole that cannot be read, for its header.
        let Some(line) = bad.line else { continue };
        let from =
            content.get(*starts.get(line - 1).expect("a line of the input")..).expect("a place in the input");
        let record = bad.record.strip_suffix(b"\n").unwrap_or(&bad.record);
        assert!(from.windows(record.len().max(1)).any(|part| part == record) || record.is_empty(), "{bad}");
    }
}
