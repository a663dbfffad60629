//! What a run tells besides its results: events on standard error, for people or for programs.
//!
//! Commands and the library tell what they have to tell as events of `tracing`. Which of them are shown, and in which form, is
//! decided here, once.

use anstyle::{AnsiColor, Style};
use clap::ArgAction;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is told, and how; every command takes these.
#[derive(clap::Args, Clone, Copy)]
#[command(next_help_heading = "Global options")]
pub(crate) struct LogArgs {
    /// Tell of errors only, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell more of what is done: -v in short, -vv in detail, -vvv everything. The variable RUST_LOG chooses more finely
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Form of the messages on standard error: for people, or one JSON object a line with `timestamp`, `level` and `message`
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    log_format: Form,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

/// Target of the events that are told without a word for their level: how far the work is, what came of it.
pub(crate) const SAID: &str = "undertone::cli::said";
/// Target of the error that ends a run, which no setting can hide.
const LAST: &str = "undertone::cli::last";

/// Tells how the work goes, in a line of its own that `--quiet` leaves out.
macro_rules! say {
    ($($told:tt)*) => { tracing::info!(target: crate::cli::logging::SAID, $($told)*) };
}
pub(crate) use say;

static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether progress is to be hidden.
pub(crate) fn quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Begins to tell events; to be called once, before the first of them.
pub(crate) fn begin(args: LogArgs) {
    // Bars among JSON lines would make them unreadable.
    QUIET.store(args.quiet || args.log_format == Form::Json, Ordering::Relaxed);
    let asked = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let (filter, refused) = match asked.as_deref().map(named) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(reason)) => (args.filter(), Some(reason)),
        None => (args.filter(), None),
    };
    let filter = filter.add_directive(directive(&format!("{LAST}=error")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(anstream::stderr);
    // Fails only where events are told already.
    let _ = match args.log_format {
        Form::Text => builder.event_format(Plain).try_init(),
        Form::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if let Some(reason) = refused {
        tracing::warn!("RUST_LOG is left out of account: {reason}");
    }
}

/// Tells the error that ends the run.
pub(crate) fn tell_error(message: &str) {
    tracing::error!(target: LAST, "{message}");
}

impl LogArgs {
    /// The events that are told where RUST_LOG does not say it. What commands have to say is told without being asked for.
    fn filter(self) -> EnvFilter {
        EnvFilter::new(match (self.quiet, self.verbose) {
            (true, _) => "undertone=error",
            (false, 0) => "undertone=warn,undertone::cli=info",
            (false, 1) => "undertone=info",
            (false, 2) => "undertone=debug",
            (false, _) => "undertone=trace",
        })
    }
}

/// The filter that a text describes; a level alone is that of this program, not of everything that it is built from.
fn named(text: &str) -> Result<EnvFilter, String> {
    let text = match text.trim().parse::<LevelFilter>() {
        Ok(level) => format!("undertone={level}"),
        Err(_) => text.to_owned(),
    };
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into());
    builder.parse(&text).map_err(|error| error.to_string())
}

fn directive(text: &str) -> tracing_subscriber::filter::Directive {
    text.parse().expect("the directive is well-formed")
}

/// Events as people read them: `warning: ...`, and the fields behind the message.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != SAID {
            let (word, style) = word(*event.metadata().level());
            // The stream takes colours out where they are not wanted.
            write!(writer, "{style}{word}:{style:#} ")?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// What an event begins with.
fn word(level: Level) -> (&'static str, Style) {
    let bold = |colour: AnsiColor| colour.on_default().bold();
    match level {
        Level::ERROR => ("error", bold(AnsiColor::Red)),
        Level::WARN => ("warning", bold(AnsiColor::Yellow)),
        Level::INFO => ("note", bold(AnsiColor::Cyan)),
        Level::DEBUG => ("debug", Style::new().dimmed()),
        Level::TRACE => ("trace", Style::new().dimmed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_that_of_this_program() {
        assert_eq!(named("debug").unwrap().to_string(), "undertone=debug");
        assert_eq!(named(" WARN ").unwrap().to_string(), "undertone=warn");
        let both = named("ureq=trace,undertone=info").unwrap().to_string();
        assert!(both.contains("ureq=trace") && both.contains("undertone=info"), "{both}");
        assert!(named("undertone=loud").is_err());
    }

    #[test]
    fn more_is_told_the_more_it_is_asked_for() {
        let filter = |quiet, verbose| {
            LogArgs { quiet, verbose, log_format: Form::Text }.filter().max_level_hint().unwrap()
        };
        let levels = [filter(true, 0), filter(false, 1), filter(false, 2), filter(false, 9)];
        assert_eq!(levels, [LevelFilter::ERROR, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE]);
    }
}
