//! The law of every format: what is written is read again, but for what the writer says is lost.

use super::{
    BratWriter, Contents, LabelledFormat, LabelledOptions, LabelledWriter, Loss, Losses, WriteOptions,
    labelled_writer, read_labelled,
};
use crate::labels::{GoldEntity, GoldSentence};
use crate::text::{OffsetUnit, Span, trimmed};
use crate::tokens::split_words;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const STREAMS: [LabelledFormat; 11] = [
    LabelledFormat::Articles,
    LabelledFormat::Sentences,
    LabelledFormat::Conll,
    LabelledFormat::HuggingFace,
    LabelledFormat::Doccano,
    LabelledFormat::Prodigy,
    LabelledFormat::LabelStudio,
    LabelledFormat::Spacy,
    LabelledFormat::Conflibert,
    LabelledFormat::Csv,
    LabelledFormat::Tsv,
];

/// Written and read again, and what the writer says is lost.
fn round(
    format: LabelledFormat,
    unit: Option<OffsetUnit>,
    gold: &[GoldSentence],
) -> (Vec<GoldSentence>, Losses) {
    let folder = tempfile::tempdir().unwrap();
    let contents = Contents::of(gold);
    // One bit for one label is read as one label of two.
    let has_bits =
        format == LabelledFormat::Conflibert && !contents.single_label() && contents.labels.len() > 1;
    let label_names = if has_bits { contents.label_names() } else { Vec::new() };
    let options = WriteOptions { offsets: unit, label_names: Vec::new(), contents };
    let (path, mut writer): (_, Box<dyn LabelledWriter>) = if format == LabelledFormat::Brat {
        (folder.path().to_owned(), Box::new(BratWriter::create(folder.path(), options).unwrap()))
    } else {
        let path = folder.path().join("data");
        (path.clone(), labelled_writer(format, std::fs::File::create(path).unwrap(), options).unwrap())
    };
    for sentence in gold {
        writer.write(sentence).unwrap();
    }
    let losses = writer.finish().unwrap();
    let options = LabelledOptions { offsets: unit, label_names, ..format.into() };
    let read = read_labelled(&path, options).unwrap();
    (read.map(|labelled| labelled.unwrap().gold(&path).unwrap()).collect(), losses)
}

/// What is not as it was. Labels are a set; words and entities are told by what they cover.
fn changes(before: &GoldSentence, after: &GoldSentence) -> BTreeSet<Loss> {
    let plain = |text: &str| text.replace(['\t', '\n', '\r'], " ");
    let mut changes = BTreeSet::new();
    let mut note = |loss, changed: bool| {
        if changed {
            changes.insert(loss);
        }
    };
    let text_changed = before.text != after.text;
    note(Loss::Article, before.article != after.article);
    note(Loss::Text, text_changed);
    note(Loss::Fields, before.fields != after.fields);
    let words = |gold: &GoldSentence| -> Option<Vec<String>> {
        Some(gold.words.as_ref()?.iter().map(|word| plain(word.of(&gold.text).unwrap())).collect())
    };
    note(Loss::Words, before.words.is_some() && words(before) != words(after));
    let labels =
        |gold: &GoldSentence| -> BTreeSet<String> { gold.labels.iter().flatten().cloned().collect() };
    note(Loss::Labels, labels(before) != labels(after));
    let none = |labels: &BTreeSet<String>| labels.is_empty();
    let labels_kept = labels(before) == labels(after) && none(&labels(before));
    note(Loss::Annotation, labels_kept && before.labels.is_some() != after.labels.is_some());
    let entities = |gold: &GoldSentence| -> Vec<(String, String)> {
        let name = |entity: &GoldEntity| entity.span.of(&gold.text).unwrap().to_owned();
        let name = |entity| if text_changed { String::new() } else { name(entity) };
        gold.entities.iter().flatten().map(|entity| (entity.label.clone(), name(entity))).collect()
    };
    note(Loss::Entities, entities(before) != entities(after));
    let no_entities = entities(before).is_empty() && entities(after).is_empty();
    note(Loss::Annotation, no_entities && before.entities.is_some() != after.entities.is_some());
    changes
}

fn assert_law(
    format: LabelledFormat,
    unit: Option<OffsetUnit>,
    gold: &[GoldSentence],
) -> Result<(), TestCaseError> {
    let (read, losses) = round(format, unit, gold);
    prop_assert_eq!(read.len(), gold.len(), "{:?}", format);
    let mut expected = Losses::new();
    for loss in gold.iter().zip(&read).flat_map(|(before, after)| changes(before, after)) {
        *expected.entry(loss).or_default() += 1;
    }
    prop_assert_eq!(&losses, &expected, "{:?} {:#?}", format, read);
    Ok(())
}

/// Names that are fit for any format, and a few that are not.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "(hope|fear|PER|LOC|ORG)",
        1 => prop::sample::select(vec!["", "0", "1", "two words", "a;b", "x\ty", " x", "Sentence", "B-ORG", "-1"])
            .prop_map(str::to_owned),
    ]
}

fn sentence() -> impl Strategy<Value = GoldSentence> {
    let piece = "([A-Za-z]{1,4}|é|e\u{301}|🕊️|👨‍👩‍👧|ß|-|\"|'|,|\\.|;|\\\\|\\{|\\[|\u{a0}|\u{feff}|\t|\r\n|\n|\r|  |#| | )";
    let text = prop_oneof![
        "[A-Z][a-z]{0,5}( [a-z]{1,6}|, [A-Z][a-z]{1,4}|-[a-z]{2}){0,6}\\.",
        prop::string::string_regex(&format!("{piece}{{1,12}}"))
            .unwrap()
            .prop_filter("there is text", |text: &String| !text.trim().is_empty()),
    ];
    let labels = prop::option::of(prop::collection::vec(name(), 0..3));
    let cuts =
        prop::option::of((prop::collection::btree_set(0usize..60, 0..6), prop::collection::vec(name(), 3)));
    let article = prop_oneof![
        2 => Just(None),
        6 => "a-[1-3]".prop_map(Some),
        1 => prop::sample::select(vec!["", "document 1", "b\tc", "d/e", "Zürich"]).prop_map(|name| Some(name.to_owned())),
    ];
    let value = prop_oneof![
        6 => "[a-z]{1,4}".prop_map(Value::from),
        1 => prop::sample::select(vec![json!(""), json!(3), json!(null), json!(["x"]), json!("a\tb\"")]),
    ];
    let key = prop_oneof![
        6 => prop::sample::select(vec!["desk", "date", "id"]),
        1 => prop::sample::select(vec!["text", "label", "tokens", "meta", "_key", "data", "article", "sentences", "", "a\nb"]),
    ];
    let fields = prop::collection::btree_map(key.prop_map(str::to_owned), value, 0..3);
    (text, labels, cuts, article, fields, 0..4u8).prop_map(|(text, labels, cuts, article, fields, words)| {
        let bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        let entities = cuts.map(|(cuts, names)| {
            let cuts: Vec<usize> = cuts.into_iter().filter_map(|cut| bounds.get(cut).copied()).collect();
            let spans = cuts.chunks_exact(2).filter_map(|pair| {
                let slice = Span::new(pair[0], pair[1]).of(&text)?;
                let start = pair[0] + (slice.len() - slice.trim_start().len());
                let span = Span::new(start, start + text[start..pair[1]].trim_end().len());
                (!span.is_empty()).then_some(span)
            });
            spans.zip(names).map(|(span, label)| GoldEntity { label, span }).collect()
        });
        let words = match words {
            0 => Some(split_words(&text)),
            1 => trimmed(&text, Span::new(0, text.len())).map(|whole| vec![whole]),
            _ => None,
        };
        let fields: Map<String, Value> = fields.into_iter().collect();
        GoldSentence { article, text, words, labels, entities, fields }
    })
}

fn unit() -> impl Strategy<Value = Option<OffsetUnit>> {
    prop::sample::select(vec![None, Some(OffsetUnit::Char), Some(OffsetUnit::Byte), Some(OffsetUnit::Utf16)])
}

macro_rules! what_is_written_is_read_again_but_for_what_is_told_as_lost {
    ($($name:ident: $format:ident,)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(
                #[test]
                fn $name(gold in prop::collection::vec(sentence(), 1..5), unit in unit()) {
                    assert_law(LabelledFormat::$format, unit, &gold)?;
                }
            )*
        }
    };
}

what_is_written_is_read_again_but_for_what_is_told_as_lost! {
    articles_lose_what_is_told: Articles,
    sentences_lose_what_is_told: Sentences,
    conll_loses_what_is_told: Conll,
    hugging_face_loses_what_is_told: HuggingFace,
    doccano_loses_what_is_told: Doccano,
    prodigy_loses_what_is_told: Prodigy,
    label_studio_loses_what_is_told: LabelStudio,
    spacy_loses_what_is_told: Spacy,
    conflibert_loses_what_is_told: Conflibert,
    csv_loses_what_is_told: Csv,
    tsv_loses_what_is_told: Tsv,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_document_of_brat_loses_what_is_told(
        mut gold in prop::collection::vec(sentence(), 1..5),
        unit in unit(),
    ) {
        // Other documents would be read in the order of their names.
        let article = gold[0].article.clone();
        gold.iter_mut().for_each(|sentence| sentence.article.clone_from(&article));
        assert_law(LabelledFormat::Brat, unit, &gold)?;
    }
}

fn labelled(text: &str, labels: Option<&[&str]>) -> GoldSentence {
    let labels = labels.map(|labels| labels.iter().map(|&label| label.to_owned()).collect());
    GoldSentence { text: text.into(), labels, ..GoldSentence::default() }
}

#[test]
fn sentences_with_labels_alone_lose_nothing_in_any_format_for_them() {
    let several =
        [labelled("a b", Some(&["x", "y"])), labelled("c \"d\"", Some(&["x"])), labelled("e", Some(&[]))];
    let one = [labelled("a b", Some(&["x"])), labelled("c \"d\"", Some(&["y"]))];
    for format in STREAMS {
        if matches!(format, LabelledFormat::Conll | LabelledFormat::Articles) {
            continue;
        }
        for gold in [&several[..], &one[..]] {
            let (read, losses) = round(format, None, gold);
            assert_eq!((read.as_slice(), losses), (gold, Losses::new()), "{format:?}");
        }
    }
}

#[test]
fn documents_of_brat_have_the_names_of_their_articles() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Box::new(BratWriter::create(folder.path(), WriteOptions::default()).unwrap());
    for (text, article) in [("a", "one"), ("b", "one"), ("c", "two/three"), ("d", "one")] {
        let gold = GoldSentence { article: Some(article.into()), ..labelled(text, Some(&[])) };
        writer.write(&gold).unwrap();
    }
    let losses: Vec<(Loss, usize)> = writer.finish().unwrap().into_iter().collect();
    assert_eq!(losses, [(Loss::Article, 2)]);
    let mut files: Vec<String> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let numbered = |n: usize| ["ann", "txt"].map(|end| format!("undertone-document-{n:06}.{end}"));
    let expected = ["annotation.conf", "one.ann", "one.txt"].map(str::to_owned);
    assert_eq!(files, [&expected[..], &numbered(2), &numbered(3)].concat());
    assert_eq!(std::fs::read_to_string(folder.path().join("one.txt")).unwrap(), "a\nb\n");
}
