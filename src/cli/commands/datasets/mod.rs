//! `undertone datasets`: look after labelled files.

mod convert;

use std::process::ExitCode;

/// Look after labelled files
#[derive(clap::Args)]
#[command(after_help = "Example:  undertone datasets convert annotated.json --to sentences -o train.jsonl")]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    command: DatasetsCommand,
}

#[derive(clap::Subcommand)]
enum DatasetsCommand {
    Convert(convert::ConvertArgs),
}

pub(crate) fn run(args: DatasetsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        DatasetsCommand::Convert(args) => convert::run(args),
    }
}
