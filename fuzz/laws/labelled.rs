use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use undertone::formats::{
    Contents, FormatError, Labelled, LabelledFormat, LabelledOptions, WriteOptions, labelled_writer,
    read_labelled,
};
use undertone::labels::GoldSentence;
use undertone::text::OffsetUnit;

const FORMATS: [Option<LabelledFormat>; 13] = [
    None,
    Some(LabelledFormat::Articles),
    Some(LabelledFormat::Sentences),
    Some(LabelledFormat::Conll),
    Some(LabelledFormat::HuggingFace),
    Some(LabelledFormat::Doccano),
    Some(LabelledFormat::Prodigy),
    Some(LabelledFormat::LabelStudio),
    Some(LabelledFormat::Spacy),
    Some(LabelledFormat::Brat),
    Some(LabelledFormat::Conflibert),
    Some(LabelledFormat::Csv),
    Some(LabelledFormat::Tsv),
];

const UNITS: [Option<OffsetUnit>; 4] =
    [None, Some(OffsetUnit::Char), Some(OffsetUnit::Byte), Some(OffsetUnit::Utf16)];

/// Parts the marks of a brat document from its text.
const MARKS: &[u8] = b"\n@@ann\n";

/// What is read is inside its text, and read again when it is written. The first two bytes pick format and options.
pub(crate) fn law(data: &[u8]) {
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    let [choice, more, content @ ..] = data else { return };
    let more = more ^ b'@'; // so that nothing has a character of its own
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path();
        let format = FORMATS[usize::from(*choice) % FORMATS.len()];
        let names = |wanted: bool, names: &[&str]| match wanted {
            true => names.iter().map(|&name| name.to_owned()).collect(),
            false => Vec::new(),
        };
        let options = LabelledOptions {
            format,
            offsets: UNITS[usize::from(more) % UNITS.len()],
            text_field: (more & 4 != 0).then(|| "body".into()),
            label_field: (more & 8 != 0).then(|| "tone".into()),
            label_names: names(more & 16 != 0, &["hope", "fear"]),
            tag_names: names(more & 32 != 0, &["O", "B-PER", "I-PER"]),
            lines: more & 64 != 0,
        };
        let path = lay_out(folder, content, format == Some(LabelledFormat::Brat));
        let mut good = Vec::new();
        let mut over = false;
        for read in read_labelled(&path, options).into_iter().flatten() {
            assert!(!over, "the stream goes on behind an error");
            match read {
                Ok(Labelled { line, sentence: Ok(gold) }) => {
                    assert!(line > 0);
                    marks_lie_in_the_text(&gold);
                    good.push(gold);
                }
                Ok(Labelled { line, sentence: Err(flaws) }) => {
                    assert!(line > 0 && !flaws.is_empty());
                    assert!(flaws.iter().all(|flaw| flaw.line > 0 && !flaw.reason.is_empty()));
                }
                Err(FormatError::Line { line, reason, .. }) => {
                    over = true;
                    assert!(line > 0 && !reason.is_empty());
                }
                Err(_) => over = true,
            }
        }
        let path = folder.join("written");
        for format in FORMATS.into_iter().flatten().filter(|&format| format != LabelledFormat::Brat) {
            is_read_again(&path, format, &good);
        }
    });
}

/// The content in a file, or the two parts of a brat document in two.
fn lay_out(folder: &Path, content: &[u8], brat: bool) -> PathBuf {
    let path = folder.join("data.txt");
    let write =
        |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).expect("a file in a temporary folder");
    let cut = content.windows(MARKS.len()).position(|part| part == MARKS).filter(|_| brat);
    let (text, marks) = cut.map_or((content, &b""[..]), |at| (&content[..at], &content[at + MARKS.len()..]));
    write(&path, text);
    let beside = path.with_extension("ann");
    if brat {
        write(&beside, marks);
    } else if beside.exists() {
        std::fs::remove_file(beside).expect("a file of ours");
    }
    path
}

fn marks_lie_in_the_text(gold: &GoldSentence) {
    assert!(!gold.text.trim().is_empty());
    let mut at = 0;
    for entity in gold.entities.iter().flatten() {
        assert!(!entity.span.is_empty() && entity.span.start >= at, "{gold:?}");
        assert!(entity.span.of(&gold.text).is_some(), "{gold:?}");
        at = entity.span.end;
    }
    let mut at = 0;
    for word in gold.words.iter().flatten() {
        assert!(word.start >= at && word.of(&gold.text).is_some(), "{gold:?}");
        at = word.end;
    }
}

/// Sentences that lose nothing when they are written are the same when they are read.
fn is_read_again(path: &Path, format: LabelledFormat, gold: &[GoldSentence]) {
    let contents = Contents::of(gold);
    let label_names = match format {
        LabelledFormat::Conflibert if !contents.single_label() && contents.labels.len() > 1 => {
            contents.label_names()
        }
        _ => Vec::new(),
    };
    let options = WriteOptions { contents, ..WriteOptions::default() };
    let file = std::fs::File::create(path).expect("a file in a temporary folder");
    let mut writer = labelled_writer(format, file, options).expect("a stream");
    gold.iter().for_each(|sentence| writer.write(sentence).expect("written"));
    if !writer.finish().expect("written").is_empty() {
        return;
    }
    let read = read_labelled(path, LabelledOptions { label_names, ..format.into() }).expect("a file");
    let read: Vec<GoldSentence> = read
        .map(|labelled| {
            labelled.and_then(|labelled| labelled.gold(path)).unwrap_or_else(|e| panic!("{format:?}: {e}"))
        })
        .collect();
    assert_eq!(read.len(), gold.len(), "{format:?}");
    for (read, gold) in read.iter().zip(gold) {
        assert_eq!(
            (&read.text, &read.article, &read.fields),
            (&gold.text, &gold.article, &gold.fields),
            "{format:?}"
        );
        let entities = |gold: &GoldSentence| gold.entities.clone().unwrap_or_default();
        assert_eq!(entities(read), entities(gold), "{format:?}");
    }
}
