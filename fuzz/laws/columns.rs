use super::documents::sentences_lie_in_the_text;
use std::io::{BufReader, Cursor};
use undertone::formats::{BadRecord, Document, DocumentOptions, InputFormat, read_documents};

const FORMATS: [InputFormat; 3] = [InputFormat::Parquet, InputFormat::Arrow, InputFormat::ArrowStream];

/// Columns are read or refused, in the same way however their bytes come in. The first byte picks the format.
pub(crate) fn law(data: &[u8]) {
    let Some((&choice, content)) = data.split_first() else { return };
    let options = DocumentOptions {
        format: Some(FORMATS[usize::from(choice & 0x1f) % FORMATS.len()]),
        keep_fields: choice & 0x20 == 0,
        ..DocumentOptions::default()
    };
    let read = |size| -> Vec<Result<Document, BadRecord>> {
        let reader = BufReader::with_capacity(size, Cursor::new(content.to_vec()));
        read_documents(Box::new(reader), "in", &options).collect()
    };
    let whole = read(content.len().max(1));
    assert_eq!(read(7), whole);
    whole.iter().flatten().for_each(sentences_lie_in_the_text);
    assert!(whole.iter().filter_map(|read| read.as_ref().err()).all(|bad| !bad.reason.is_empty()));
}
