//! What a user types, and what they get back.

mod commands;
mod scoring;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Reads news and says, sentence by sentence, what stance it takes and whom it names.
#[derive(Parser)]
#[command(name = "undertone", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(commands::train::TrainArgs),
    Evaluate(commands::evaluate::EvaluateArgs),
}

/// A mistake in what was asked for, as against something that went wrong: exit code 2 in place of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// An error for a mistake in what was asked for.
fn misuse(message: impl Into<String>) -> anyhow::Error {
    Misuse(message.into()).into()
}

/// Parses, runs, prints the error, chooses the exit code: 0 done, 1 failed or finished with bad records, 2 misuse.
pub(crate) fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Train(args) => commands::train::run(args),
        Command::Evaluate(args) => commands::evaluate::run(args),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            if error.is::<Misuse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// A reader that has seen enough (`| head`) is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
