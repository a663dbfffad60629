//! What a training run tells while it goes on: the metrics file and the progress bar.

use crate::cli::logging::{quiet, say};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use undertone::training::{Event, StepReport};

/// The metrics file and the progress bar.
pub(crate) struct Record {
    file: File,
    /// Nothing was told yet.
    fresh: bool,
    bar: ProgressBar,
    failed: Option<std::io::Error>,
    since: Instant,
    examples: usize,
    loss: f64,
}

impl Record {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let bar = ProgressBar::new(0);
        bar.set_draw_target(if quiet() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        });
        let style = ProgressStyle::with_template("{bar:24} step {pos}/{len} {msg} ETA {eta}")?;
        bar.set_style(style);
        Ok(Self { file, fresh: true, bar, failed: None, since: Instant::now(), examples: 0, loss: 0.0 })
    }

    pub(crate) fn note(&mut self, event: &Event) {
        // What an earlier run has told is kept only where this one goes on from it.
        if std::mem::take(&mut self.fresh)
            && !matches!(event, Event::Resumed(_))
            && let Err(error) = self.file.set_len(0)
        {
            self.failed.get_or_insert(error);
        }
        let line = match event {
            Event::Resumed(step) => {
                self.bar.set_position(*step as u64);
                self.bar.reset_eta();
                serde_json::json!({"event": "resumed", "step": step})
            }
            Event::Step(report) => {
                self.show(report);
                serde_json::json!({
                    "event": "step", "step": report.step, "epoch": report.epoch, "loss": report.loss,
                    "sentence_loss": report.sentence_loss, "token_loss": report.token_loss, "norm": report.norm,
                    "rate": report.rate, "examples": report.examples, "seconds": report.seconds,
                })
            }
            Event::Epoch(report) => {
                let (epoch, score) = (report.epoch, report.score);
                let best = if report.best && score.is_some() { ", the best so far" } else { "" };
                self.bar.suspend(|| say!("epoch {epoch}: {}{best}", told(score)));
                serde_json::json!({"event": "epoch", "epoch": epoch, "score": score, "best": report.best})
            }
        };
        if let Err(error) = writeln!(self.file, "{line}") {
            self.failed.get_or_insert(error);
        }
    }

    fn show(&mut self, report: &StepReport) {
        self.examples += report.examples;
        self.loss = if self.loss == 0.0 { report.loss } else { 0.95 * self.loss + 0.05 * report.loss };
        let rate = self.examples as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_length(report.steps as u64);
        self.bar.set_position(report.step as u64);
        self.bar.set_message(format!("loss {:.4} {rate:.1} sentences/s", self.loss));
    }

    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        self.failed.map_or(Ok(()), |error| Err(error).context("the metrics file could not be written"))
    }
}

/// A development score in words.
pub(crate) fn told(score: Option<f64>) -> String {
    score.map_or_else(
        || "no development sentences to score".into(),
        |score| format!("development score {score:.4}"),
    )
}
