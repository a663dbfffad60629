//! The first stage: inputs one after the other, split into sentences, in chunks that are worth a batch.
//!
//! Where chunks and parts end depends on the documents and the settings alone, never on time: the same run gives the same bytes.

use super::interrupt::Interrupted;
use super::manifest::Digest;
use anyhow::anyhow;
use serde_json::Value;
use std::collections::VecDeque;
use undertone::formats::{BadRecord, Document, Documents, Segmentation};
use undertone::text::Span;

/// How chunks are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Sentences that are enough for a chunk.
    pub(super) look_ahead: usize,
    /// Sentences that are enough for a part.
    pub(super) part_sentences: usize,
    /// Whether a text that is read in stretches stays in one part.
    pub(super) whole_texts: bool,
    /// Whether the other fields of a record are handed on.
    pub(super) keep_fields: bool,
}

/// What is read and written together.
pub(super) struct Chunk {
    pub(super) items: Vec<Item>,
    pub(super) end: End,
}

/// What comes out of the inputs.
pub(super) enum Item {
    /// An input that was opened, and what it holds if that was asked for.
    Opened(usize, Option<Digest>),
    /// An input that could not be opened, or that became another one while it was read.
    Failed(usize, anyhow::Error),
    /// An input that cannot be the one that the run has begun to read, which ends the run.
    Lost(usize, anyhow::Error),
    /// A text and its sentences.
    Document(Document, Vec<Span>),
    /// A record that is none.
    Bad(BadRecord),
}

/// What ends with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing else.
    Chunk,
    /// A part of the output; reading goes on at this place.
    Part(Place),
    /// The run, and with it a part.
    Run(Place),
}

/// A place between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Number of the input, from 0.
    pub(super) input: usize,
    /// Records of the input before it.
    pub(super) record: usize,
}

/// Where texts come from.
pub(super) trait Source {
    /// How many inputs there are.
    fn count(&self) -> usize;

    /// The records of an input, and what the input holds if that is to be known.
    fn open(&mut self, input: usize) -> anyhow::Result<(Documents, Option<Digest>)>;

    /// Fails if the input is no longer what it was when it was opened.
    fn close(&mut self, _input: usize) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Bytes of text that count as a sentence, where sentences are longer or there are none.
const BYTES_PER_SENTENCE: usize = 256;

/// The chunks of a run, from a place on.
pub(super) struct Chunks<S> {
    source: S,
    cut: Cut,
    place: Place,
    open: Option<Documents>,
    /// Items that were read and are in no chunk yet; those before which a part may end with their place.
    ahead: VecDeque<(Item, Option<Place>)>,
    /// Sentences of the part so far.
    part: usize,
    over: bool,
}

impl<S: Source> Chunks<S> {
    pub(super) fn new(source: S, cut: Cut, place: Place) -> Self {
        Self { source, cut, place, open: None, ahead: VecDeque::new(), part: 0, over: false }
    }

    /// Reads on until there is an item, or the inputs are at their end.
    fn read(&mut self) {
        while !self.over && self.ahead.is_empty() && self.place.input < self.source.count() {
            match &mut self.open {
                None => self.open_input(),
                Some(documents) => match documents.next() {
                    Some(record) => {
                        let place = self.place;
                        self.place.record += 1;
                        self.take(record, place);
                    }
                    None => {
                        let closed = self.source.close(self.place.input);
                        if let Err(error) = closed {
                            self.ahead.push_back((Item::Failed(self.place.input, error), None));
                        }
                        self.open = None;
                        self.place = Place { input: self.place.input + 1, record: 0 };
                    }
                },
            }
        }
    }

    fn open_input(&mut self) {
        let Place { input, record } = self.place;
        let item = match self.source.open(input) {
            Ok((mut documents, digest)) => {
                // Records that an earlier run has written are neither split nor predicted.
                let passed = documents.by_ref().take(record).count();
                self.open = Some(documents);
                match passed == record {
                    true => Item::Opened(input, digest),
                    false => Item::Lost(
                        input,
                        anyhow!("it has {passed} records, of which the run has read {record} already"),
                    ),
                }
            }
            // This is no input that cannot be read: the run ends here, and goes on here.
            Err(error) if error.is::<Interrupted>() => {
                self.over = true;
                return;
            }
            Err(error) => {
                self.place = Place { input: input + 1, record: 0 };
                Item::Failed(input, error)
            }
        };
        // An input in whose midst a part began was opened before: it must not count here as if it were read from its start.
        let place = (record == 0).then_some(Place { input, record });
        self.ahead.push_back((item, place));
    }

    fn take(&mut self, record: Result<Document, BadRecord>, place: Place) {
        let mut place = Some(place);
        match record {
            Ok(mut document) => {
                if !self.cut.keep_fields {
                    document.fields.clear();
                }
                let sentences = document.sentences();
                for (document, sentences) in stretches(document, sentences, self.cut.look_ahead) {
                    self.ahead.push_back((Item::Document(document, sentences), place.take()));
                }
            }
            Err(bad) => self.ahead.push_back((Item::Bad(bad), place)),
        }
    }
}

impl<S: Source> Iterator for Chunks<S> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        if self.over {
            return None;
        }
        let (mut items, mut load) = (Vec::new(), 0);
        while load < self.cut.look_ahead {
            self.read();
            if self.over {
                return None;
            }
            let Some((item, place)) = self.ahead.pop_front() else {
                self.over = true;
                return Some(Chunk { items, end: End::Run(self.place) });
            };
            let torn = self.cut.whole_texts && may_go_on(&item);
            if let Some(place) = place.filter(|_| self.part >= self.cut.part_sentences && !torn) {
                self.ahead.push_front((item, Some(place)));
                self.part = 0;
                return Some(Chunk { items, end: End::Part(place) });
            }
            load += weight(&item).max(place.is_some().into());
            if let Item::Document(_, sentences) = &item {
                self.part += sentences.len();
            }
            items.push(item);
        }
        Some(Chunk { items, end: End::Chunk })
    }
}

/// Whether the text before an item may go on in it or behind it.
fn may_go_on(item: &Item) -> bool {
    match item {
        Item::Document(document, _) => document.continues,
        Item::Bad(_) => true,
        Item::Opened(..) | Item::Failed(..) | Item::Lost(..) => false,
    }
}

/// What an item weighs, in sentences.
fn weight(item: &Item) -> usize {
    match item {
        Item::Document(document, sentences) => {
            let bytes = document.text.len() + document.fields.values().map(size).sum::<usize>();
            sentences.len().max(bytes / BYTES_PER_SENTENCE)
        }
        Item::Bad(bad) => bad.record.len() / BYTES_PER_SENTENCE,
        Item::Opened(..) | Item::Failed(..) | Item::Lost(..) => 0,
    }
}

/// About how many bytes a value takes in memory.
fn size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(size).sum(),
            Value::Object(fields) => fields.values().map(size).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// A text in stretches of at most `most` sentences: one article may have more than fit the look-ahead.
fn stretches(document: Document, sentences: Vec<Span>, most: usize) -> Vec<(Document, Vec<Span>)> {
    // Only sentences that follow each other can be told apart by a cut through the text.
    let in_order = sentences.windows(2).all(|pair| pair[0].end <= pair[1].start);
    if sentences.len() <= most || !in_order {
        return vec![(document, sentences)];
    }
    let Document { id, date, text, continues, fields, .. } = document;
    let groups: Vec<&[Span]> = sentences.chunks(most).collect();
    let starts = groups.iter().skip(1).map(|group| group[0].start);
    let ends: Vec<usize> = starts.chain([text.len()]).collect();
    let mut from = 0;
    let mut stretches = Vec::with_capacity(groups.len());
    for (number, (group, end)) in groups.into_iter().zip(ends).enumerate() {
        let spans: Vec<Span> = group.iter().map(|s| Span::new(s.start - from, s.end - from)).collect();
        let document = Document {
            id: id.clone(),
            date: date.clone(),
            text: text[from..end].to_owned(),
            segmentation: Segmentation::Spans(spans.clone()),
            continues: continues || number > 0,
            fields: fields.clone(),
        };
        stretches.push((document, spans));
        from = end;
    }
    stretches
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Map;

    pub(in crate::cli::batch) fn document(id: usize, text: String, continues: bool) -> Document {
        let id = Value::from(id);
        let segmentation = Segmentation::Split;
        Document { id, date: None, text, segmentation, continues, fields: Map::new() }
    }

    /// Inputs in memory: a number is a text of so many sentences, `None` a bad record.
    #[derive(Clone)]
    pub(in crate::cli::batch) struct Memory(pub(in crate::cli::batch) Vec<Vec<Option<usize>>>);

    impl Source for Memory {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn open(&mut self, input: usize) -> anyhow::Result<(Documents, Option<Digest>)> {
            let record = |(number, sentences): (usize, Option<usize>)| {
                let text = |n: usize| (0..n).map(|i| format!("Line {i} é.\n\n")).collect();
                sentences.map(|n| document(number, text(n), false)).ok_or(BadRecord {
                    input: "in".into(),
                    line: Some(number),
                    reason: "bad".into(),
                    record: vec![],
                })
            };
            Ok((Box::new(self.0[input].clone().into_iter().enumerate().map(record)), None))
        }
    }

    /// Every chunk as it would be written: what is in it, and what ends with it.
    fn told(chunks: impl Iterator<Item = Chunk>) -> Vec<(Vec<String>, End)> {
        let item = |item: Item| match item {
            Item::Document(d, spans) => format!("{} {:?} {:?} {}", d.id, d.text, spans, d.continues),
            Item::Bad(bad) => bad.to_string(),
            // Opened again after a part that ended within it, or not.
            Item::Opened(..) | Item::Failed(..) | Item::Lost(..) => String::new(),
        };
        let items = |items: Vec<Item>| items.into_iter().map(item).filter(|told| !told.is_empty()).collect();
        chunks.map(|chunk| (items(chunk.items), chunk.end)).collect()
    }

    const CUT: Cut = Cut { look_ahead: 5, part_sentences: 12, whole_texts: false, keep_fields: true };

    #[test]
    fn a_part_ends_before_the_first_record_that_finds_it_full() {
        let source = Memory(vec![vec![Some(6), Some(6), None, Some(1)], vec![], vec![Some(12)]]);
        let ends: Vec<End> = Chunks::new(source, CUT, Place::default()).map(|chunk| chunk.end).collect();
        let parts: Vec<End> = ends.into_iter().filter(|end| *end != End::Chunk).collect();
        let first = End::Part(Place { input: 0, record: 2 });
        assert_eq!(parts, [first, End::Run(Place { input: 3, record: 0 })]);
    }

    #[test]
    fn a_text_that_goes_on_stays_in_its_part_where_it_must_be_whole() {
        struct Stretches;
        impl Source for Stretches {
            fn count(&self) -> usize {
                1
            }
            fn open(&mut self, _: usize) -> anyhow::Result<(Documents, Option<Digest>)> {
                let stretch = |i| Ok(document(0, "One.\n\nTwo.\n\n".into(), i > 0));
                Ok((Box::new((0..20).map(stretch)), None))
            }
        }
        let parts = |whole_texts| {
            let chunks = Chunks::new(Stretches, Cut { whole_texts, ..CUT }, Place::default());
            chunks.filter(|chunk| chunk.end != End::Chunk).count()
        };
        assert_eq!((parts(false), parts(true)), (4, 1));
    }

    #[test]
    fn an_interruption_while_an_input_is_opened_is_no_input_that_cannot_be_read() {
        struct Stopped;
        impl Source for Stopped {
            fn count(&self) -> usize {
                2
            }
            fn open(&mut self, _: usize) -> anyhow::Result<(Documents, Option<Digest>)> {
                Err(Interrupted.into())
            }
        }
        assert_eq!(Chunks::new(Stopped, CUT, Place::default()).count(), 0);
    }

    #[test]
    fn large_fields_fill_a_chunk_where_they_are_handed_on_and_are_dropped_where_not() {
        struct Fields;
        impl Source for Fields {
            fn count(&self) -> usize {
                1
            }
            fn open(&mut self, _: usize) -> anyhow::Result<(Documents, Option<Digest>)> {
                let record = |i| {
                    let fields = Map::from_iter([("page".into(), Value::from(vec!["x".repeat(4000)]))]);
                    Ok(Document { fields, ..document(i, "One.".into(), false) })
                };
                Ok((Box::new((0..20).map(record)), None))
            }
        }
        let held = |keep_fields| {
            let chunks = Chunks::new(Fields, Cut { keep_fields, ..CUT }, Place::default());
            let bytes = |chunk: Chunk| chunk.items.iter().map(held).sum::<usize>();
            fn held(item: &Item) -> usize {
                match item {
                    Item::Document(document, _) => document.fields.values().map(size).sum(),
                    _ => 0,
                }
            }
            chunks.map(bytes).max().unwrap()
        };
        assert_eq!(held(false), 0);
        assert!((4000..9000).contains(&held(true)), "{}", held(true));
    }

    proptest! {
        #[test]
        fn from_the_place_where_a_part_ends_the_same_chunks_come_as_without_a_stop(
            inputs in proptest::collection::vec(proptest::collection::vec(proptest::option::weighted(0.9, 0..20usize), 0..12), 0..4)
        ) {
            let source = Memory(inputs);
            let whole = told(Chunks::new(source.clone(), CUT, Place::default()));
            for (number, (_, end)) in whole.iter().enumerate() {
                if let End::Part(place) = *end {
                    let rest = told(Chunks::new(source.clone(), CUT, place));
                    prop_assert_eq!(&rest, &whole[number + 1..]);
                }
            }
        }

        #[test]
        fn stretches_join_to_the_text_and_their_sentences_are_its_own(sentences in 0..40usize, most in 1..9usize) {
            let text: String = (0..sentences).map(|i| format!("Line {i} é.\n\n")).collect();
            let whole = document(0, text.clone(), false);
            let spans = whole.sentences();
            let of = |d: &Document, spans: &[Span]| -> Vec<String> {
                spans.iter().map(|span| span.of(&d.text).unwrap().to_owned()).collect()
            };
            let expected = of(&whole, &spans);
            let parts = stretches(whole, spans, most);
            prop_assert_eq!(parts.iter().map(|(d, _)| d.text.as_str()).collect::<String>(), text);
            prop_assert_eq!(parts.iter().flat_map(|(d, spans)| of(d, spans)).collect::<Vec<_>>(), expected);
            prop_assert!(parts.iter().enumerate().all(|(i, (d, _))| d.continues == (i > 0)));
        }
    }
}
