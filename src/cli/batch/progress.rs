//! How far a run is, for whoever watches it on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A line on standard error that says how far a run is.
pub(crate) struct Progress {
    bar: ProgressBar,
    bytes_read: Arc<AtomicU64>,
    since: Instant,
    sentences: u64,
    tokens: u64,
}

impl Progress {
    /// The line, for inputs of so many bytes in all, if that is known. `results_shown`: whether results go to the terminal, among
    /// which it would be in the way.
    pub(crate) fn new(bytes: Option<u64>, bytes_read: Arc<AtomicU64>, results_shown: bool) -> Self {
        let shown = std::io::stderr().is_terminal() && !results_shown && !quiet();
        if !shown {
            return Self::hidden();
        }
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        let template = match bytes {
            Some(_) => "{bar:24} {percent:>3}% {msg} ETA {eta}",
            None => "{spinner} {decimal_bytes} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, bytes_read, since: Instant::now(), sentences: 0, tokens: 0 }
    }

    /// No line at all.
    pub(crate) fn hidden() -> Self {
        let (bar, bytes_read) = (ProgressBar::hidden(), Arc::default());
        Self { bar, bytes_read, since: Instant::now(), sentences: 0, tokens: 0 }
    }

    /// Counts what was written.
    pub(super) fn add(&mut self, sentences: u64, tokens: u64) {
        let read = self.bytes_read.load(Ordering::Relaxed);
        if self.sentences == 0 {
            // What an earlier run has read already says nothing of how long the rest will take.
            self.bar.set_position(read);
            self.bar.reset_eta();
        }
        self.sentences += sentences;
        self.tokens += tokens;
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let rate = |count: u64| count as f64 / seconds;
        self.bar.set_position(read);
        self.bar.set_message(format!(
            "{} sentences, {:.0}/s, {:.0} tokens/s",
            self.sentences,
            rate(self.sentences),
            rate(self.tokens)
        ));
    }

    /// Lets `tell` write to the terminal with the line out of its way.
    pub(super) fn suspend(&self, tell: impl FnOnce()) {
        self.bar.suspend(tell);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Whether nobody wants to see it.
fn quiet() -> bool {
    false
}
