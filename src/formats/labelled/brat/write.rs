use super::{SEGMENT, SENTENCE, on_one_line};
use crate::formats::labelled::write::{LabelledWriter, Losses, WriteOptions, Writing};
use crate::formats::labelled::{LabelledFormat, Loss};
use crate::labels::GoldSentence;
use crate::text::{Offsets, Span};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

/// Writes documents of brat into a folder, a `.txt` and an `.ann` file for every run of sentences of one article, and an
/// `annotation.conf` that names what occurs.
pub struct BratWriter {
    folder: PathBuf,
    writing: Writing,
    article: Option<String>,
    ahead: Vec<GoldSentence>,
    documents: usize,
}

impl BratWriter {
    /// A writer to a folder that is there.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn create(folder: &Path, options: WriteOptions) -> Result<Self> {
        let mut configuration = format!("[entities]\n{SENTENCE}\n{SEGMENT}\n");
        for kind in options.contents.entity_types.iter().filter(|kind| is_type(kind)) {
            let _ = writeln!(configuration, "{kind}");
        }
        configuration.push_str("[relations]\n[events]\n[attributes]\n");
        for label in options.contents.labels.iter().filter(|label| is_word(label)) {
            let _ = writeln!(configuration, "{label}\tArg:{SENTENCE}");
        }
        std::fs::write(folder.join("annotation.conf"), configuration)?;
        let writing = Writing::new(LabelledFormat::Brat, options);
        Ok(Self { folder: folder.to_owned(), writing, article: None, ahead: Vec::new(), documents: 0 })
    }

    /// Writes the document that is complete.
    fn document(&mut self) -> Result<()> {
        let sentences = std::mem::take(&mut self.ahead);
        if sentences.is_empty() {
            return Ok(());
        }
        self.documents += 1;
        let (mut file, name) = self.file()?;
        let has_entities =
            sentences.iter().flat_map(|gold| gold.entities.iter().flatten()).any(|e| is_type(&e.label));
        let mut text = String::new();
        let mut marks = Vec::new();
        for gold in &sentences {
            let start = text.len();
            text.push_str(&gold.text);
            let kind = if gold.labels.is_some() { SENTENCE } else { SEGMENT };
            marks.push((kind, Span::new(start, text.len()), gold.labels.as_deref().unwrap_or_default()));
            for entity in gold.entities.iter().flatten().filter(|entity| is_type(&entity.label)) {
                marks.push((entity.label.as_str(), entity.span.shifted(start), &[]));
            }
            text.push('\n');
            self.count(gold, name.as_deref(), has_entities);
        }
        file.write_all(text.as_bytes())?;
        let mut offsets = Offsets::new(&text, self.writing.unit);
        let (mut lines, mut attributes) = (String::new(), 0);
        for (i, (kind, span, labels)) in marks.into_iter().enumerate() {
            let (start, end) = offsets.of(span);
            let words = on_one_line(span.of(&text).unwrap_or_default());
            let _ = writeln!(lines, "T{}\t{kind} {start} {end}\t{words}", i + 1);
            for label in labels.iter().filter(|label| is_word(label)) {
                attributes += 1;
                let _ = writeln!(lines, "A{attributes}\t{label} T{}", i + 1);
            }
        }
        std::fs::write(self.path(name.as_deref(), "ann"), lines)
    }

    /// Counts what a sentence loses.
    fn count(&mut self, gold: &GoldSentence, name: Option<&str>, has_entities: bool) {
        let writing = &mut self.writing;
        writing.lose(Loss::Article, gold.article.as_deref() != name || name.is_none());
        writing.lose(Loss::Words, gold.words.is_some());
        writing.lose(Loss::Labels, gold.labels.iter().flatten().any(|label| !is_word(label)));
        writing.lose(Loss::Entities, gold.entities.iter().flatten().any(|entity| !is_type(&entity.label)));
        writing.lose(Loss::Fields, !gold.fields.is_empty());
        writing.annotation(&gold.entities, has_entities);
        writing.done();
    }

    /// A new file for the text of the document, with the article's name if a file can have it.
    fn file(&self) -> Result<(std::fs::File, Option<String>)> {
        let create =
            |name: Option<&str>| OpenOptions::new().write(true).create_new(true).open(self.path(name, "txt"));
        if let Some(article) = self.article.as_deref().filter(|article| is_file_name(article)) {
            match create(Some(article)) {
                Ok(file) => return Ok((file, Some(article.to_owned()))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok((create(None)?, None))
    }

    /// The path of a file of the document: by the article's name, or by a number.
    fn path(&self, name: Option<&str>, end: &str) -> PathBuf {
        match name {
            Some(name) => self.folder.join(format!("{name}.{end}")),
            None => self.folder.join(format!("{NUMBERED}{:06}.{end}", self.documents)),
        }
    }
}

/// How the names of documents begin that are numbered.
const NUMBERED: &str = "undertone-document-";

impl LabelledWriter for BratWriter {
    fn write(&mut self, sentence: &GoldSentence) -> Result<()> {
        if self.article != sentence.article {
            self.document()?;
            self.article = sentence.article.clone();
        }
        self.ahead.push(sentence.clone());
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Losses> {
        self.document()?;
        Ok(self.writing.losses())
    }
}

/// True for what can be the name of an attribute.
fn is_word(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

/// True for what can be the type of an entity.
fn is_type(name: &str) -> bool {
    is_word(name) && !matches!(name, SENTENCE | SEGMENT)
}

/// True for what can be the name of a file on every system and does not end like one.
fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ');
    !name.is_empty()
        && name.len() <= 100
        && name.chars().all(plain)
        && name.trim() == name
        && !name.starts_with(NUMBERED)
}
