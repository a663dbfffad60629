//! `undertone completions` and `undertone man`: the command line described to shells and to `man`.

use crate::cli::misuse;
use anyhow::Context;
use clap::Command;
use clap_mangen::Man;
use std::io::Write;
use std::path::{Path, PathBuf};
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
#[command(
    after_help = "Example:  undertone man analyze | man -l -\n          undertone man --all ~/.local/share/man/man1"
)]
pub(crate) struct ManArgs {
    /// Command to describe, such as `classify` or `datasets check` [default: all of them in short]
    command: Vec<String>,
    /// Write the pages of all commands into a folder, which is made if need be
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    all: Option<PathBuf>,
}

pub(crate) fn completions(args: CompletionsArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    // `generate` panics on a broken pipe; into memory it cannot fail.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    if let Some(folder) = &args.all {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        write_all(&command, folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut described = &command;
    for name in &args.command {
        described = described.find_subcommand(name).ok_or_else(|| {
            misuse(format!(
                "there is no command `{}`; `{} --help` lists them",
                args.command.join(" "),
                described.get_bin_name().unwrap_or(described.get_name())
            ))
        })?;
    }
    std::io::stdout().write_all(&page(described)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of all below it.
fn write_all(command: &Command, folder: &Path) -> anyhow::Result<()> {
    for below in command.get_subcommands() {
        write_all(below, folder)?;
    }
    let path = folder.join(Man::new(command.clone()).get_filename());
    std::fs::write(&path, page(command)?).with_context(|| format!("cannot write {}", path.display()))
}

fn page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    if command.get_bin_name().is_none_or(|name| name == command.get_name()) {
        text.extend_from_slice(SECTIONS.as_bytes());
    }
    Ok(text)
}

/// What holds for all commands, in the page that is for all of them.
const SECTIONS: &str = r#".SH "EXIT STATUS"
.TP
\fB0\fR
What was asked for is done.
.TP
\fB1\fR
It failed, or was done but for records that could not be read.
.TP
\fB2\fR
What was asked for makes no sense: an unknown option, a file that is not there, a model that cannot do it.
.TP
\fB130\fR
It was interrupted.
.SH ENVIRONMENT
.TP
\fBUNDERTONE_\fIOPTION\fR
Sets an option of every command that has it, unless it is typed: \fBUNDERTONE_MODEL\fR is for \fB\-\-model\fR,
\fBUNDERTONE_ON_ERROR\fR for \fB\-\-on\-error\fR. Flags take 1, true, yes, on, 0, false, no and off.
.TP
\fBRUST_LOG\fR
Which messages are shown, such as \fBdebug\fR or \fBundertone::hub=trace\fR; goes before \fB\-\-quiet\fR and \fB\-\-verbose\fR.
.TP
\fBHF_HOME\fR, \fBHF_HUB_CACHE\fR, \fBHF_TOKEN\fR, \fBHF_ENDPOINT\fR, \fBHF_HUB_OFFLINE\fR, \fBHTTPS_PROXY\fR, \fBNO_PROXY\fR, \fBSSL_CERT_FILE\fR
The Hugging Face hub and the way to it, as for Python's \fBhuggingface_hub\fR.
.TP
\fBNO_COLOR\fR, \fBCLICOLOR_FORCE\fR
Never or always colour tables and messages, where \fB\-\-color\fR does not say it.
.SH FILES
.TP
\fIundertone.toml\fR
Options of a project, in the current folder or the nearest above it that has one. Keys are the long names of options. Those above
the first table hold for every command that has the option, those in a table such as \fB[classify]\fR or
\fB[datasets.check]\fR for that command. Paths are relative to the folder of the file.
.TP
\fI$XDG_CONFIG_HOME/undertone/config.toml\fR, \fI~/.config/undertone/config.toml\fR
Options of a user, in the same form; on Windows \fI%APPDATA%\\undertone\\config.toml\fR. What is typed goes before the environment,
that before the project's file, and that before the user's.
.TP
\fI~/.cache/huggingface/hub\fR
Models of the Hugging Face hub, shared with Python.
"#;
