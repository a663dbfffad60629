//! A run from its first text to its last: to one place, or in parts that it can be gone on from.

use super::chunks::{Chunks, Cut, Source};
use super::folder::{PartsFolder, RunFolder};
use super::interrupt::{INTERRUPTED, Interrupted};
use super::manifest::{Counts, Cursor, Digest, Manifest, Model};
use super::pipeline::Pipeline;
use super::progress::Progress;
use super::rejects::{Rejects, summary};
use super::settings::Settings;
use super::writer::{CANNOT_WRITE, Writer, Written};
use crate::cli::input::Inputs;
use crate::cli::logging::say;
use crate::cli::output::{Output, RowKind};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use undertone::engine::{Engine, Tasks};
use undertone::formats::Documents;
use undertone::report::{Report, Shape};

/// What a run works with.
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) engine: Arc<Engine>,
    pub(crate) tasks: Tasks,
    pub(crate) inputs: Arc<Inputs>,
}

/// Share of unknown tokens from which on the user is told.
const UNKNOWN_SHARE: f64 = 0.02;
/// Unknown tokens that say nothing of a vocabulary: names and signs that any text may have.
const UNKNOWN_TOKENS: u64 = 20;

impl Run {
    /// What every record has.
    pub(crate) fn shape(&self) -> Shape {
        self.settings.shape(&self.engine, self.tasks, self.inputs.has_dates())
    }

    /// Writes all to one place, whole or, where that is a stream, as far as it comes.
    pub(crate) fn to(self, mut output: Output, mut rejects: Rejects) -> anyhow::Result<ExitCode> {
        let streams = output.is_stream();
        let mut progress = self.progress(output.on_terminal());
        let pipeline = self.start(Cursor::default(), None);
        let names = self.inputs.paths();
        let mut writer = Writer::new(&self.settings, &self.engine, names, &mut progress, &mut rejects);
        writer.at_once = streams;
        let written = writer.part(&pipeline, &mut *output.report);
        let counts = match written {
            Ok(written) => written.counts,
            Err(error) if error.is::<Interrupted>() => {
                if streams {
                    for answered in pipeline.rest() {
                        writer.chunk(answered, &mut *output.report)?;
                    }
                    output.report.finish()?;
                }
                let sentences = writer.counts().sentences;
                progress.finish();
                if streams {
                    rejects.finish()?;
                }
                match streams {
                    true => say!("interrupted after {sentences} sentences"),
                    false => say!("interrupted: the output is not written"),
                }
                say!(
                    "hint: a run that writes to a folder (`--output out/`) can be gone on with (`--resume`)"
                );
                return Ok(ExitCode::from(INTERRUPTED));
            }
            Err(error) => {
                progress.finish();
                return Err(error);
            }
        };
        progress.finish();
        output.finish()?;
        rejects.finish()?;
        Ok(conclude(&counts))
    }

    /// Writes parts into a folder, from where an earlier run has stopped, if one has.
    pub(crate) fn into(self, folder: RunFolder, model: Model) -> anyhow::Result<ExitCode> {
        let manifest = Manifest::new(self.settings.clone(), model, self.inputs.paths());
        let mut folder = folder.begin(manifest, self.inputs.paths())?;
        let done = folder.manifest().parts.count;
        if folder.manifest().complete {
            say!("{} is complete already: {}", folder.path().display(), told(folder.manifest()));
            return Ok(conclude(&folder.manifest().totals));
        }
        if done > 0 {
            say!("going on behind {}", told(folder.manifest()));
        }
        let mut progress = self.progress(false);
        let result = self.parts(&mut folder, &mut progress);
        progress.finish();
        let so_far = told(folder.manifest());
        match result {
            Ok(()) => Ok(conclude(&folder.manifest().totals)),
            Err(error) if error.is::<Interrupted>() => {
                say!("interrupted: {so_far} done; the same command with `--resume` goes on");
                Ok(ExitCode::from(INTERRUPTED))
            }
            Err(error) => {
                say!("{so_far} done; the same command with `--resume` goes on");
                Err(error)
            }
        }
    }

    fn parts(&self, folder: &mut PartsFolder, progress: &mut Progress) -> anyhow::Result<()> {
        let (shape, cursor, listed) =
            (self.shape(), folder.manifest().parts.next, folder.manifest().inputs.opened);
        self.passed_over(cursor);
        let Settings { rejects, on_error, format, .. } = &self.settings;
        let kept = folder.manifest().rejects_bytes.unwrap_or_default();
        let mut rejects = Rejects::appended(rejects.as_deref(), kept, *on_error)?;
        let pipeline = self.start(cursor, Some(listed));
        let mut writer =
            Writer::new(&self.settings, &self.engine, self.inputs.paths(), progress, &mut rejects)
                .from(cursor)
                .listing(listed);
        loop {
            let part = folder.part(*format)?;
            let mut report = format.report(Box::new(part.handle()?), &shape)?;
            let written = writer.part(&pipeline, &mut *report)?;
            report.finish().context(CANNOT_WRITE)?;
            drop(report);
            let last = written.last;
            let rejects_bytes = writer.rejects.sync()?;
            folder.commit(part, written, rejects_bytes)?;
            if last {
                return Ok(());
            }
        }
    }

    /// Writes again the part that begins at a place.
    pub(super) fn again(&self, cursor: Cursor, report: &mut dyn Report) -> anyhow::Result<Written> {
        let (mut progress, mut rejects) = (Progress::hidden(), Rejects::silent());
        let pipeline = self.start(cursor, Some(usize::MAX));
        let names = self.inputs.paths();
        let mut writer =
            Writer::new(&self.settings, &self.engine, names, &mut progress, &mut rejects).from(cursor);
        writer.part(&pipeline, report)
    }

    /// Counts the inputs before a place as read, and warns of one whose beginning cannot be compared.
    fn passed_over(&self, cursor: Cursor) {
        let (before, rest) = self.inputs.paths().split_at(cursor.input);
        let length = |path: &PathBuf| std::fs::metadata(path).ok().filter(|m| m.is_file()).map(|m| m.len());
        let bytes = before.iter().filter_map(length).sum();
        self.inputs.bytes_read().fetch_add(bytes, Ordering::Relaxed);
        if let Some(path) = rest.first().filter(|path| cursor.record > 0 && length(path).is_none()) {
            tracing::warn!(
                "{}: its first {} records are passed over, and nothing tells whether they are those that the run has read",
                path.display(),
                cursor.record
            );
        }
    }

    /// Starts to read and to predict: in parts, with the number of the first input whose content is to be known, or as a whole.
    fn start(&self, cursor: Cursor, parts: Option<usize>) -> Pipeline {
        let Settings { look_ahead, part_sentences, .. } = self.settings;
        let cut = Cut {
            look_ahead,
            part_sentences: if parts.is_some() { part_sentences } else { usize::MAX },
            whole_texts: self.settings.rows == RowKind::Article,
            keep_fields: self.settings.keep_fields,
        };
        let source = Files { inputs: self.inputs.clone(), unknown: parts, stamp: None };
        let (engine, tasks) = (self.engine.clone(), self.tasks);
        Pipeline::start(
            move || Chunks::new(source, cut, cursor.place()),
            move |inputs| engine.predict(inputs, tasks),
        )
    }

    fn progress(&self, results_shown: bool) -> Progress {
        Progress::new(self.inputs.bytes(), self.inputs.bytes_read(), results_shown)
    }
}

/// How far a run has come.
fn told(manifest: &Manifest) -> String {
    let (parts, sentences) = (manifest.parts.count, manifest.totals.sentences);
    format!("{parts} {} ({sentences} sentences)", if parts == 1 { "part" } else { "parts" })
}

/// Tells what a run was like, and how it exits.
fn conclude(counts: &Counts) -> ExitCode {
    let share = counts.unknown_tokens as f64 / counts.tokens.max(1) as f64;
    if counts.unknown_tokens >= UNKNOWN_TOKENS && share > UNKNOWN_SHARE {
        // A vocabulary that does not suit the text: answers are then not to be trusted.
        tracing::warn!(
            "{:.0}% of the tokens are not in the model's vocabulary; it may be of another language, or its tokenizer may not be set as in training (`do_lower_case` in tokenizer_config.json)",
            share * 100.0
        );
    }
    if let Some(summary) = summary(counts) {
        say!("{summary}");
    }
    if counts.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The inputs of a run.
struct Files {
    inputs: Arc<Inputs>,
    /// The first of which it is to be known what it holds, where that none changes while it is read.
    unknown: Option<usize>,
    /// Length and time of the input that is open.
    stamp: Option<Stamp>,
}

type Stamp = (u64, Option<SystemTime>);

impl Files {
    /// The input's length and time; `None` for what cannot be read twice.
    fn stamp(&self, input: usize) -> Option<Stamp> {
        let found = std::fs::metadata(self.path(input)).ok().filter(|found| found.is_file())?;
        Some((found.len(), found.modified().ok()))
    }

    fn path(&self, input: usize) -> &PathBuf {
        &self.inputs.paths()[input]
    }
}

impl Source for Files {
    fn count(&self) -> usize {
        self.inputs.paths().len()
    }

    fn open(&mut self, input: usize) -> anyhow::Result<(Documents, Option<Digest>)> {
        self.stamp = self.unknown.and_then(|_| self.stamp(input));
        let unknown = self.stamp.is_some() && self.unknown.is_some_and(|unknown| input >= unknown);
        let digest = unknown.then(|| Digest::of(self.path(input))).transpose()?;
        Ok((self.inputs.open(input)?, digest))
    }

    fn close(&mut self, input: usize) -> anyhow::Result<()> {
        if self.stamp.is_some() && self.stamp != self.stamp(input) {
            bail!("{}: it was changed while it was read", self.path(input).display());
        }
        Ok(())
    }
}
