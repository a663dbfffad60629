//! What a user types, and what they get back.

mod batch;
mod calibration;
mod commands;
mod config;
mod corpus;
mod data_folder;
mod differences;
mod figures;
mod fit;
mod input;
mod labelled;
mod logging;
mod mistakes;
mod model;
mod output;
mod recipe;
mod record;
mod requirement;
mod scoring;
mod seeds;
mod task;
mod teachers;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use commands::{calibrate, datasets, doctor, evaluate, manual, models, read, train, verify_run};
use config::Configuration;
use std::ffi::OsString;
use std::process::ExitCode;

/// Reads news and says, sentence by sentence, what stance it takes and whom it names
#[derive(Parser)]
#[command(name = "undertone", version, max_term_width = 100)]
#[command(
    after_help = "Example:  undertone analyze article.txt\n\nExit codes: 0 done, 1 failed or finished with bad records, 2 misuse, 130 interrupted."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Colour in tables and messages
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Colour::Auto, help_heading = "Global options")]
    color: Colour,
    /// Leave out of account what files named undertone.toml and the user's settings file say
    #[arg(long, global = true, help_heading = "Global options")]
    no_config: bool,
    #[command(flatten)]
    log: logging::LogArgs,
}

impl Args {
    /// Sets how messages are told.
    fn begin(&self) {
        self.color.choice().write_global();
        logging::begin(self.log);
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

impl Colour {
    fn choice(self) -> anstream::ColorChoice {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Say what stance every sentence takes
    #[command(
        after_help = "Example:  zcat wire.jsonl.gz | undertone classify --input-format jsonl > stances.jsonl\n          undertone classify --model models/nli --task zero-shot --labels war,trade,health article.txt"
    )]
    Classify(read::ClassifyArgs),
    /// Find people, organisations, places and other names in text
    #[command(
        after_help = "Example:  undertone ner --input-format lines sentences.txt --format csv > names.csv"
    )]
    Ner(read::NamingArgs),
    /// Say what stance every sentence takes and whom it names, in one pass
    #[command(
        after_help = "Example:  undertone analyze article.txt\n          undertone analyze articles/ -o found.jsonl\n          undertone analyze articles/ -o found/ --resume"
    )]
    Analyze(read::AnalyzeArgs),
    VerifyRun(verify_run::VerifyRunArgs),
    Train(train::TrainArgs),
    Evaluate(evaluate::EvaluateArgs),
    Datasets(datasets::DatasetsArgs),
    Calibrate(calibrate::CalibrateArgs),
    Models(models::ModelsArgs),
    Config(commands::config::ConfigArgs),
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell
    Completions(manual::CompletionsArgs),
    /// Print a manual page
    Man(manual::ManArgs),
}

/// A mistake in what was asked for, as against something that went wrong: exit code 2 in place of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// An error for a mistake in what was asked for.
fn misuse(message: impl Into<String>) -> anyhow::Error {
    Misuse(message.into()).into()
}

/// Parses, runs, prints the error, chooses the exit code: 0 done, 1 failed or finished with bad records, 2 misuse, 130
/// interrupted.
pub(crate) fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let mut command = Args::command();
    let matches = command.try_get_matches_from_mut(&typed).unwrap_or_else(|error| error.exit());
    let args = read_args(&matches);
    let configured = Configuration::load(&Args::command(), !args.no_config).and_then(|configuration| {
        let matches = configuration.apply(&mut command, &typed, matches)?;
        Ok((read_args(&matches), configuration))
    });
    let result = match configured {
        Ok((args, configuration)) => {
            args.begin();
            configuration.warn();
            run(args.command, &configuration)
        }
        Err(error) => {
            args.begin();
            Err(error)
        }
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<batch::Interrupted>() => {
            logging::say!("{error}");
            ExitCode::from(batch::INTERRUPTED)
        }
        Err(error) => {
            logging::tell_error(&described(&error));
            if error.is::<Misuse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// What was typed, in the form that the commands take.
fn read_args(matches: &clap::ArgMatches) -> Args {
    Args::from_arg_matches(matches).unwrap_or_else(|error| error.exit())
}

fn run(command: Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    match command {
        Command::Classify(args) => read::classify(args),
        Command::Ner(args) => read::ner(args),
        Command::Analyze(args) => read::analyze(args),
        Command::VerifyRun(args) => verify_run::run(args),
        Command::Train(args) => train::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Datasets(args) => datasets::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Models(args) => models::run(args),
        Command::Completions(args) => manual::completions(args, Args::command()),
        Command::Man(args) => manual::man(args, Args::command()),
        Command::Config(args) => commands::config::run(args, configuration, &Args::command()),
        Command::Doctor(args) => doctor::run(args),
    }
}

/// An error and its causes, without those that an error above them tells already.
fn described(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// A reader that has seen enough (`| head`) is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
