//! The last stage: records out of predictions, in the order of the texts.

use super::chunks::{End, Item};
use super::manifest::{Counts, Cursor, Digest, Input};
use super::pipeline::{Answered, Pipeline};
use super::progress::Progress;
use super::rejects::Rejects;
use super::settings::Settings;
use anyhow::Context;
use std::path::PathBuf;
use undertone::engine::Engine;
use undertone::formats::Document;
use undertone::labels::Prediction;
use undertone::report::{Origin, Report};
use undertone::text::{Offsets, Span};

pub(super) const CANNOT_WRITE: &str = "cannot write the results";

/// Writes what was predicted.
pub(super) struct Writer<'a> {
    pub(super) settings: &'a Settings,
    pub(super) engine: &'a Engine,
    /// Names of the inputs.
    pub(super) inputs: &'a [PathBuf],
    pub(super) progress: &'a mut Progress,
    pub(super) rejects: &'a mut Rejects,
    /// Whether every chunk is handed on at once to whoever reads the output.
    pub(super) at_once: bool,
    /// Sentences of the text that the last document belongs to, so far.
    sentences: usize,
    /// Length of that text so far, in the unit of offsets.
    length: usize,
    counts: Counts,
    opened: Vec<Input>,
    /// Number of the first input that is to be listed when it is opened.
    unlisted: usize,
}

/// What a part came to.
pub(super) struct Written {
    pub(super) counts: Counts,
    /// Inputs that were opened for it, or could not be, and for no part before.
    pub(super) opened: Vec<Input>,
    /// Where reading goes on.
    pub(super) next: Cursor,
    /// Whether the run is at its end.
    pub(super) last: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        engine: &'a Engine,
        inputs: &'a [PathBuf],
        progress: &'a mut Progress,
        rejects: &'a mut Rejects,
    ) -> Self {
        let (counts, opened) = (Counts::default(), Vec::new());
        let (at_once, sentences, length, unlisted) = (false, 0, 0, usize::MAX);
        Self {
            settings,
            engine,
            inputs,
            progress,
            rejects,
            at_once,
            sentences,
            length,
            counts,
            opened,
            unlisted,
        }
    }

    /// Goes on with the text that an earlier part has left off.
    pub(super) fn from(self, cursor: Cursor) -> Self {
        Self { sentences: cursor.sentence, length: cursor.offset, ..self }
    }

    /// Lists inputs from this one on as they are opened.
    pub(super) fn listing(self, unlisted: usize) -> Self {
        Self { unlisted, ..self }
    }

    /// Writes all that belongs to one part.
    ///
    /// # Errors
    /// If a stage fails, or the run was interrupted; what came before is then written.
    pub(super) fn part(&mut self, pipeline: &Pipeline, report: &mut dyn Report) -> anyhow::Result<Written> {
        loop {
            let answered = pipeline.next()?;
            let end = answered.chunk.end;
            self.chunk(answered, report)?;
            let (End::Part(place) | End::Run(place)) = end else { continue };
            let next = Cursor {
                input: place.input,
                record: place.record,
                sentence: self.sentences,
                offset: self.length,
            };
            return Ok(Written {
                counts: std::mem::take(&mut self.counts),
                opened: std::mem::take(&mut self.opened),
                next,
                last: matches!(end, End::Run(_)),
            });
        }
    }

    /// Writes one chunk.
    pub(super) fn chunk(&mut self, answered: Answered, report: &mut dyn Report) -> anyhow::Result<()> {
        let before = (self.counts.sentences, self.counts.tokens);
        let mut predictions = answered.predictions?.into_iter();
        for item in answered.chunk.items {
            let noted = match item {
                Item::Opened(input, digest) => {
                    self.list(input, digest);
                    Ok(())
                }
                Item::Document(document, sentences) => {
                    self.document(document, &sentences, &mut predictions, report)?;
                    Ok(())
                }
                Item::Lost(input, error) => Err(error.context(self.inputs[input].display().to_string())),
                Item::Bad(bad) => self.rejects.record(bad, &mut self.counts, self.progress),
                Item::Failed(input, error) => {
                    self.list(input, None);
                    let name = self.inputs[input].display().to_string();
                    self.rejects.input(&name, error, &mut self.counts, self.progress)
                }
            };
            if noted.is_err() {
                // What came before it is written first: an error then stands where it happened.
                report.flush().context(CANNOT_WRITE)?;
                return noted;
            }
        }
        self.progress.add(self.counts.sentences - before.0, self.counts.tokens - before.1);
        if self.at_once {
            report.flush().context(CANNOT_WRITE)?;
        }
        Ok(())
    }

    /// Takes note of an input, once: it may be opened again behind a part, and fail when it is read.
    fn list(&mut self, input: usize, digest: Option<Digest>) {
        if input >= self.unlisted {
            self.opened.push(Input { path: self.inputs[input].clone(), digest });
            self.unlisted = input + 1;
        }
    }

    fn document(
        &mut self,
        document: Document,
        sentences: &[Span],
        predictions: &mut impl Iterator<Item = Prediction>,
        report: &mut dyn Report,
    ) -> anyhow::Result<()> {
        let Document { id, date, text, continues, fields, .. } = document;
        let unit = self.settings.offsets.into();
        if !continues {
            (self.sentences, self.length) = (0, 0);
            self.counts.documents += 1;
        }
        let (sentences_before, length, offsets) = (self.sentences, self.length, Offsets::new(&text, unit));
        let mut origin = Origin { id: &id, sentences: sentences_before, length, offsets };
        for (&span, prediction) in sentences.iter().zip(predictions) {
            self.counts.sentences += 1;
            self.counts.tokens += prediction.tokens as u64;
            self.counts.unknown_tokens += prediction.unknown_tokens as u64;
            self.counts.windows += prediction.windows as u64;
            let mut record = origin.record(&text, span, &prediction, self.engine.labels());
            record.date = date.clone();
            record.fields = self.settings.keep_fields.then(|| fields.clone());
            if let Some(least) = self.settings.min_confidence {
                record.abstain(prediction.confidence() < least);
            }
            report.sentence(&record).context(CANNOT_WRITE)?;
        }
        self.sentences = origin.sentences;
        self.length += unit.measure(&text);
        Ok(())
    }

    /// What was written so far of a part that is not at its end.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }
}
