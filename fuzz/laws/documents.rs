use std::io::{BufReader, Cursor};
use undertone::formats::{BadRecord, Document, DocumentOptions, InputFormat, read_documents};

const FORMATS: [InputFormat; 5] =
    [InputFormat::Text, InputFormat::Lines, InputFormat::Jsonl, InputFormat::Csv, InputFormat::Tsv];

/// Documents are read without loss, and in the same way however their bytes come in. The first byte picks format and options.
pub(crate) fn law(data: &[u8]) {
    let Some((&choice, content)) = data.split_first() else { return };
    let format = FORMATS[usize::from(choice & 0x1f) % FORMATS.len()];
    let options = DocumentOptions {
        format,
        text_field: "text".into(),
        id_field: "id".into(),
        date_field: (choice & 0x80 != 0).then(|| "date".into()),
        split: choice & 0x20 == 0,
    };
    let whole = read(content, content.len().max(1), &options);
    for size in [1, 7] {
        assert_eq!(read(content, size, &options), whole, "by {size} bytes");
    }
    whole.iter().flatten().for_each(sentences_lie_in_the_text);
    let last_line = content.split(|&byte| byte == b'\n').count();
    for bad in whole.iter().filter_map(|read| read.as_ref().err()) {
        assert!(!bad.reason.is_empty() && bad.input == "in");
        assert!(bad.line.is_none_or(|line| (1..=last_line).contains(&line)), "{bad}");
    }
    match format {
        InputFormat::Text => whole_text(content, &whole),
        InputFormat::Lines => every_line(content, &whole),
        InputFormat::Jsonl => every_record(content, &whole),
        _ => {}
    }
}

type Read = Vec<Result<Document, BadRecord>>;

/// What is read where at most `size` bytes come at a time.
fn read(content: &[u8], size: usize, options: &DocumentOptions) -> Read {
    let reader = BufReader::with_capacity(size, Cursor::new(content.to_vec()));
    read_documents(Box::new(reader), "in", options).collect()
}

fn sentences_lie_in_the_text(document: &Document) {
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
        (Err(bad), text) => assert!(text.is_err() && bad.line.is_none()),
    }
}

/// Stretches join to the input, and what is no text is told.
fn every_line(content: &[u8], read: &Read) {
    let lines = || content.split_inclusive(|&byte| byte == b'\n');
    let expected: String = lines().map(String::from_utf8_lossy).collect();
    let documents: Vec<&Document> = read.iter().flatten().collect();
    assert_eq!(documents.iter().map(|document| document.text.as_str()).collect::<String>(), expected);
    assert!(documents.iter().enumerate().all(|(i, document)| document.continues == (i > 0)));
    let bad: Vec<&[u8]> = lines().filter(|line| std::str::from_utf8(line).is_err()).collect();
    let told: Vec<&[u8]> =
        read.iter().filter_map(|read| Some(read.as_ref().err()?.record.as_slice())).collect();
    assert_eq!(told, bad);
}

/// A line that is not blank is a document or a bad record with that line.
fn every_record(content: &[u8], read: &Read) {
    let lines = content.split_inclusive(|&byte| byte == b'\n').enumerate();
    let lines: Vec<(usize, &[u8])> = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    assert_eq!(read.len(), lines.len());
    for (read, (number, line)) in read.iter().zip(lines) {
        if let Err(bad) = read {
            assert_eq!((bad.line, bad.record.as_slice()), (Some(number + 1), line));
        }
    }
}
