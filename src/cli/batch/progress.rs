//! How far a run is, for whoever watches it on a terminal.

use crate::cli::logging::quiet;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far a run is: a line on a terminal, else now and then an event (`-v`).
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When an event is due, where nobody watches a terminal.
    due: Option<Instant>,
    bytes: Option<u64>,
    bytes_read: Arc<AtomicU64>,
    /// Bytes that were read before the first sentence came.
    passed_over: u64,
    since: Instant,
    sentences: u64,
    tokens: u64,
}

/// Time between two events.
const PAUSE: Duration = Duration::from_secs(60);

impl Progress {
    /// Of inputs of so many bytes in all, if that is known. `results_shown`: whether results go to the terminal, among which a line
    /// would be in the way.
    pub(crate) fn new(bytes: Option<u64>, bytes_read: Arc<AtomicU64>, results_shown: bool) -> Self {
        if !std::io::stderr().is_terminal() || results_shown || quiet() {
            let due = Some(Instant::now() + PAUSE);
            return Self { due, bytes, bytes_read, ..Self::hidden() };
        }
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        let template = match bytes {
            Some(_) => "{bar:24} {percent:>3}% {msg} ETA {eta}",
            None => "{spinner} {decimal_bytes} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, bytes, bytes_read, ..Self::hidden() }
    }

    /// Of nothing that anybody wants to see.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            due: None,
            bytes: None,
            bytes_read: Arc::default(),
            passed_over: 0,
            since: Instant::now(),
            sentences: 0,
            tokens: 0,
        }
    }

    /// Counts what was written.
    pub(super) fn add(&mut self, sentences: u64, tokens: u64) {
        let read = self.bytes_read.load(Ordering::Relaxed);
        if self.sentences == 0 {
            // What an earlier run has read already says nothing of how long the rest will take.
            self.passed_over = read;
            self.bar.set_position(read);
            self.bar.reset_eta();
        }
        self.sentences += sentences;
        self.tokens += tokens;
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let rate = |count: u64| (count as f64 / seconds).round() as u64;
        let (sentences_per_second, tokens_per_second) = (rate(self.sentences), rate(self.tokens));
        self.bar.set_position(read);
        self.bar.set_message(format!(
            "{} sentences, {sentences_per_second}/s, {tokens_per_second} tokens/s",
            self.sentences,
        ));
        if self.due.is_some_and(|due| due <= Instant::now()) {
            self.due = Some(Instant::now() + PAUSE);
            let percent = self.bytes.map(|bytes| 100 * read / bytes.max(1));
            let left = self.bytes.map(|bytes| bytes.saturating_sub(read) as f64);
            let pace = read.saturating_sub(self.passed_over) as f64 / seconds;
            let seconds_left = left.filter(|_| pace > 0.0).map(|left| (left / pace).round() as u64);
            // Of a target of its own, so that it is told only when more is asked for.
            tracing::info!(
                target: "undertone::progress",
                sentences = self.sentences,
                sentences_per_second,
                tokens_per_second,
                percent,
                seconds_left,
                "on the way"
            );
        }
    }

    /// Lets `tell` write to the terminal with the line out of its way.
    pub(super) fn suspend(&self, tell: impl FnOnce()) {
        self.bar.suspend(tell);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
