//! `undertone datasets`: look after labelled files.

mod agreement;
mod check;
mod convert;
mod split;
mod splits;
mod stats;
mod told;

use std::process::ExitCode;

/// Look after labelled files
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone datasets check --train train.jsonl --test test.jsonl\n          undertone datasets convert annotated.json --to sentences -o train.jsonl"
)]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    command: DatasetsCommand,
}

#[derive(clap::Subcommand)]
enum DatasetsCommand {
    Check(check::CheckArgs),
    Stats(stats::StatsArgs),
    Split(split::SplitCommand),
    Agreement(agreement::AgreementArgs),
    Convert(convert::ConvertArgs),
}

pub(crate) fn run(args: DatasetsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        DatasetsCommand::Check(args) => check::run(args),
        DatasetsCommand::Stats(args) => stats::run(args),
        DatasetsCommand::Split(args) => split::run(args),
        DatasetsCommand::Agreement(args) => agreement::run(args),
        DatasetsCommand::Convert(args) => convert::run(args),
    }
}
