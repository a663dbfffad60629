//! `undertone completions` and `undertone man`: the command line described to shells and to `man`.

use crate::cli::misuse;
use clap::Command;
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone completions bash > ~/.local/share/bash-completion/completions/undertone"
)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for
    shell: clap_complete::Shell,
}

#[derive(clap::Args)]
#[command(after_help = "Example:  undertone man analyze | man -l -")]
pub(crate) struct ManArgs {
    /// Command to describe [default: all of them in short]
    command: Option<String>,
}

pub(crate) fn completions(args: CompletionsArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    // `generate` panics on a broken pipe; into memory it cannot fail.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: ManArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    command.build();
    let page = match &args.command {
        None => command,
        Some(name) => command
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| misuse(format!("there is no command `{name}`; `undertone --help` lists them")))?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    std::io::stdout().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
