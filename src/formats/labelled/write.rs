//! Labelled sentences out again, and what a format cannot hold of them.

use super::{
    LabelledFormat, articles, conflibert, conll, delimited, doccano, hugging_face, label_studio, prodigy,
    sentences, spacy,
};
use crate::labels::GoldSentence;
use crate::text::OffsetUnit;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result, Write};

/// What a format can fail to hold of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The name of its article, or that it is not known.
    Article,
    /// Its exact text: white space or line ends were changed.
    Text,
    /// The words that it came split into.
    Words,
    /// Some of its labels.
    Labels,
    /// Some of its entities.
    Entities,
    /// Some of its other fields, or their types.
    Fields,
    /// Whether it has no labels (or entities) or was not annotated for them.
    Annotation,
}

/// How many sentences lost something, by what was lost.
pub type Losses = BTreeMap<Loss, usize>;

/// Writes labelled sentences in one format.
pub trait LabelledWriter {
    /// Writes a sentence, or holds it back until its article is complete.
    ///
    /// # Errors
    /// If it cannot be written.
    fn write(&mut self, sentence: &GoldSentence) -> Result<()>;

    /// Hands on what is written so far; an article that is not complete is still held back.
    ///
    /// # Errors
    /// If it cannot be written.
    fn flush(&mut self) -> Result<()>;

    /// Writes what was held back, and tells what was lost.
    ///
    /// # Errors
    /// If it cannot be written.
    fn finish(self: Box<Self>) -> Result<Losses>;
}

/// What sentences have, all in all: some formats must know it before the first sentence is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Sentences.
    pub sentences: usize,
    /// Sentences annotated for labels.
    pub labelled: usize,
    /// Those of them that have exactly one label.
    pub with_one_label: usize,
    /// Sentences annotated for entities.
    pub marked: usize,
    /// Whether articles are named.
    pub articles: bool,
    /// Labels that occur.
    pub labels: BTreeSet<String>,
    /// Types of entities that occur.
    pub entity_types: BTreeSet<String>,
    /// Other fields, in the order they first occur.
    pub fields: Vec<String>,
}

impl Contents {
    /// What some sentences have.
    pub fn of<'a>(sentences: impl IntoIterator<Item = &'a GoldSentence>) -> Self {
        let mut contents = Self::default();
        sentences.into_iter().for_each(|sentence| contents.add(sentence));
        contents
    }

    /// Counts a sentence in.
    pub fn add(&mut self, sentence: &GoldSentence) {
        let GoldSentence { article, labels, entities, fields, .. } = sentence;
        self.sentences += 1;
        self.articles |= article.is_some();
        if let Some(labels) = labels {
            self.labelled += 1;
            self.with_one_label += usize::from(labels.len() == 1);
            for label in labels.iter().filter(|label| !self.labels.contains(*label)).collect::<Vec<_>>() {
                self.labels.insert(label.clone());
            }
        }
        if let Some(entities) = entities {
            self.marked += 1;
            for entity in entities {
                if !self.entity_types.contains(&entity.label) {
                    self.entity_types.insert(entity.label.clone());
                }
            }
        }
        for field in fields.keys() {
            if !self.fields.contains(field) {
                self.fields.push(field.clone());
            }
        }
    }

    /// True if every sentence that is annotated for labels has exactly one.
    pub fn single_label(&self) -> bool {
        self.labelled == self.with_one_label
    }

    /// Labels in order: numbers by size, other names by the alphabet.
    pub fn label_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.labels.iter().cloned().collect();
        if names.iter().all(|name| name.parse::<u64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<u64>().ok());
        }
        names
    }
}

/// How sentences are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// What offsets count; `None` for what the format counts.
    pub offsets: Option<OffsetUnit>,
    /// The labels in the order of their numbers, where labels are written as numbers; if empty, in alphabetical order.
    pub label_names: Vec<String>,
    /// What will be written.
    pub contents: Contents,
}

/// A writer of any format but brat, which has [`BratWriter`](super::BratWriter).
///
/// # Errors
/// For [`LabelledFormat::Brat`], which is no stream.
pub fn labelled_writer<'a>(
    format: LabelledFormat,
    out: impl Write + Send + 'a,
    options: WriteOptions,
) -> Result<Box<dyn LabelledWriter + Send + 'a>> {
    let writing = Writing::new(format, options);
    let encode: Encode = match format {
        LabelledFormat::Articles => return Ok(Box::new(articles::Writer::new(out, writing))),
        LabelledFormat::Conll => return Ok(Box::new(conll::Writer::new(out, writing))),
        LabelledFormat::Conflibert => return Ok(Box::new(conflibert::Writer::new(out, writing))),
        LabelledFormat::Csv => return Ok(Box::new(delimited::Writer::new(out, writing, b',')?)),
        LabelledFormat::Tsv => return Ok(Box::new(delimited::Writer::new(out, writing, b'\t')?)),
        LabelledFormat::Brat => {
            return Err(Error::new(ErrorKind::Unsupported, "brat keeps its documents in a folder"));
        }
        LabelledFormat::Sentences => sentences::record,
        LabelledFormat::HuggingFace => hugging_face::record,
        LabelledFormat::Doccano => doccano::record,
        LabelledFormat::Prodigy => prodigy::record,
        LabelledFormat::LabelStudio => label_studio::record,
        LabelledFormat::Spacy => spacy::record,
    };
    let array = format == LabelledFormat::LabelStudio;
    Ok(Box::new(Records { out, encode, array, writing, begun: false }))
}

/// What a writer knows and counts.
pub(super) struct Writing {
    pub(super) options: WriteOptions,
    pub(super) unit: OffsetUnit,
    lost: BTreeSet<Loss>,
    losses: Losses,
}

impl Writing {
    pub(super) fn new(format: LabelledFormat, options: WriteOptions) -> Self {
        let unit = options.offsets.unwrap_or(format.offsets());
        Self { options, unit, lost: BTreeSet::new(), losses: Losses::new() }
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.options.contents
    }

    /// Notes a loss of the sentence that is being written, if there is one.
    pub(super) fn lose(&mut self, loss: Loss, lost: bool) {
        if lost {
            self.lost.insert(loss);
        }
    }

    /// Notes that labels or entities will be read as annotated or not.
    pub(super) fn annotation<T>(&mut self, gold: &Option<Vec<T>>, read_as_annotated: bool) {
        let has_none = gold.as_ref().is_none_or(Vec::is_empty);
        self.lose(Loss::Annotation, has_none && gold.is_some() != read_as_annotated);
    }

    /// Puts the other fields of a sentence beside those of its record.
    pub(super) fn fields(
        &mut self,
        record: &mut Map<String, Value>,
        sentence: &GoldSentence,
        taken: &[&str],
    ) {
        for (name, value) in &sentence.fields {
            if taken.contains(&name.as_str()) {
                self.lose(Loss::Fields, true);
            } else {
                record.insert(name.clone(), value.clone());
            }
        }
    }

    /// Counts what the sentence lost; the next may come.
    pub(super) fn done(&mut self) {
        for loss in std::mem::take(&mut self.lost) {
            *self.losses.entry(loss).or_default() += 1;
        }
    }

    pub(super) fn losses(self) -> Losses {
        self.losses
    }
}

/// Makes a record of a sentence.
type Encode = fn(&GoldSentence, &mut Writing) -> Map<String, Value>;

/// A JSON record a sentence, each in a line of its own, all of them in an array if so asked.
struct Records<W> {
    out: W,
    encode: Encode,
    array: bool,
    writing: Writing,
    begun: bool,
}

impl<W: Write> LabelledWriter for Records<W> {
    fn write(&mut self, sentence: &GoldSentence) -> Result<()> {
        let record = (self.encode)(sentence, &mut self.writing);
        self.writing.done();
        match (self.array, self.begun) {
            (true, false) => self.out.write_all(b"[\n")?,
            (true, true) => self.out.write_all(b",\n")?,
            (false, _) => {}
        }
        self.begun = true;
        serde_json::to_writer(&mut self.out, &record)?;
        if self.array { Ok(()) } else { self.out.write_all(b"\n") }
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> Result<Losses> {
        match (self.array, self.begun) {
            (true, false) => self.out.write_all(b"[]\n")?,
            (true, true) => self.out.write_all(b"\n]\n")?,
            (false, _) => {}
        }
        self.out.flush()?;
        Ok(self.writing.losses())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(labels: Option<&[&str]>) -> GoldSentence {
        let labels = labels.map(|labels| labels.iter().map(|&label| label.to_owned()).collect());
        GoldSentence { text: "a".into(), labels, ..GoldSentence::default() }
    }

    #[test]
    fn contents_tell_whether_every_sentence_has_one_label() {
        let of = |labels: &[Option<&[&str]>]| {
            Contents::of(&labels.iter().map(|&l| sentence(l)).collect::<Vec<_>>())
        };
        assert!(of(&[Some(&["x"]), None, Some(&["y"])]).single_label());
        assert!(!of(&[Some(&["x"]), Some(&[])]).single_label());
        assert!(!of(&[Some(&["x", "y"])]).single_label());
        assert_eq!(of(&[Some(&["10"]), Some(&["9"])]).label_names(), ["9", "10"]);
        assert_eq!(of(&[Some(&["10"]), Some(&["9", "x"])]).label_names(), ["10", "9", "x"]);
    }

    #[test]
    fn an_array_is_whole_even_without_a_sentence() {
        let mut out = Vec::new();
        let writer = labelled_writer(LabelledFormat::LabelStudio, &mut out, WriteOptions::default()).unwrap();
        assert!(writer.finish().unwrap().is_empty());
        assert_eq!(out, b"[]\n");
    }

    #[test]
    fn brat_is_no_stream() {
        let error = labelled_writer(LabelledFormat::Brat, Vec::new(), WriteOptions::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
