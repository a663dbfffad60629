//! Options that are set elsewhere than on the command line: in the environment, and in files of a project and of a user.
//!
//! What is set counts as if it had been typed, where nothing that excludes it was. clap's own parsers judge it therefore.

mod files;
mod options;
mod setting;

pub(crate) use files::places;
pub(crate) use options::{descendants, is_configurable};
pub(crate) use setting::{Origin, Setting, Value};

use crate::cli::misuse;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use std::ffi::OsString;

/// What is set, by whom it was set.
#[derive(Default)]
pub(crate) struct Configuration {
    /// Those that go before others first.
    pub(crate) settings: Vec<Setting>,
    /// Variables that look as if they were meant to set an option.
    unknown: Vec<String>,
}

impl Configuration {
    /// What the environment and, unless they are left out, the files set.
    ///
    /// # Errors
    /// If a file cannot be read, or sets what is no option.
    pub(crate) fn load(command: &Command, with_files: bool) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        setting::read_variables(command, variables, &mut found.settings, &mut found.unknown)?;
        for (number, place) in places().iter().enumerate().filter(|(_, place)| with_files && place.found) {
            files::read(command, &place.path, number, &mut found.settings)?;
        }
        Ok(found)
    }

    /// Tells of variables that set nothing.
    pub(crate) fn warn(&self) {
        for name in &self.unknown {
            tracing::warn!("{name} sets nothing: no command has such an option, or it can only be typed");
        }
    }

    /// The setting that holds for an option of a command: of the first place that has one, the one for the fewest commands.
    pub(crate) fn get(&self, path: &[&str], key: &str) -> Option<&Setting> {
        let holding = self.settings.iter().filter(|setting| setting.key == key && setting.holds_for(path));
        holding.min_by_key(|setting| (setting.origin.rank(), usize::MAX - setting.table.len()))
    }

    /// Reads the words of a command line again, with what is set among them.
    ///
    /// * `matches`: what clap found in the words alone
    ///
    /// # Errors
    /// If a value is none that the option takes.
    pub(crate) fn apply(
        &self,
        command: &mut Command,
        typed: &[OsString],
        matches: ArgMatches,
    ) -> anyhow::Result<ArgMatches> {
        let (path, given) = leaf(&matches);
        let mut candidates = Vec::new();
        for (key, option) in options::of_command(command, &path) {
            if given.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine) {
                continue;
            }
            if let Some(setting) = self.get(&path, &key) {
                candidates.push(Candidate { setting, words: setting.words(option)? });
            }
        }
        candidates.retain(|candidate| !candidate.words.is_empty());
        if candidates.is_empty() {
            return Ok(matches);
        }
        candidates.sort_by_key(|candidate| candidate.setting.origin.rank());
        let at = words_of(command, &path, typed);
        let mut parse = |chosen: &[&Candidate]| {
            let mut words = typed.to_vec();
            let set = chosen.iter().flat_map(|candidate| candidate.words.iter().map(OsString::from));
            words.splice(at..at, set);
            command.try_get_matches_from_mut(words)
        };
        let all: Vec<&Candidate> = candidates.iter().collect();
        match parse(&all) {
            Ok(matches) => Ok(matches),
            Err(_) => settle(all, path.len(), parse),
        }
    }
}

/// A setting, and what would have been typed in its place.
struct Candidate<'a> {
    setting: &'a Setting,
    words: Vec<String>,
}

/// Tries settings one by one. Those that what was typed, or what goes before them, excludes or makes pointless are left out.
fn settle(
    mut waiting: Vec<&Candidate>,
    depth: usize,
    mut parse: impl FnMut(&[&Candidate]) -> clap::error::Result<ArgMatches>,
) -> anyhow::Result<ArgMatches> {
    let mut chosen: Vec<&Candidate> = Vec::new();
    loop {
        let (before, mut left) = (chosen.len(), Vec::new());
        for candidate in waiting {
            chosen.push(candidate);
            let Err(error) = parse(&chosen) else { continue };
            chosen.pop();
            match error.kind() {
                ErrorKind::ArgumentConflict => {
                    let rank = candidate.setting.origin.rank();
                    let equals = chosen.iter().filter(|other| other.setting.origin.rank() == rank);
                    for other in equals {
                        if parse(&[candidate]).is_ok() && parse(&[other, candidate]).is_err() {
                            let (one, two) = (other.setting, candidate.setting);
                            return Err(misuse(format!("{one} and {two} exclude each other")));
                        }
                    }
                    left.push(candidate);
                }
                ErrorKind::MissingRequiredArgument => left.push(candidate),
                _ => return Err(refused(candidate.setting, depth, &error)),
            }
        }
        // What is now there may be what another has need of.
        if left.is_empty() || chosen.len() == before {
            return parse(&chosen).map_err(|error| misuse(error.to_string()));
        }
        waiting = left;
    }
}

/// What clap says of a value, with the place where the value was set.
fn refused(setting: &Setting, depth: usize, error: &clap::Error) -> anyhow::Error {
    let told = error.to_string();
    let told = told.strip_prefix("error: ").unwrap_or(&told);
    let told =
        ["\n\nUsage:", "\n\nFor more"].iter().fold(told, |told, end| told.split(end).next().unwrap_or(told));
    let hint = match &setting.origin {
        Origin::File { .. } if setting.table.len() < depth => {
            "\n\nhint: it is set for every command that has the option; what is meant for one goes into its table, such as [classify]"
        }
        _ => "",
    };
    misuse(format!("{setting}: {}{hint}", told.trim_end()))
}

/// The names of the command that is run, and what was found of its options.
fn leaf(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let (mut path, mut at) = (Vec::new(), matches);
    while let Some((name, below)) = at.subcommand() {
        path.push(name);
        at = below;
    }
    (path, at)
}

/// How many words there are up to the name of the command and with it.
fn words_of(command: &Command, path: &[&str], typed: &[OsString]) -> usize {
    let (mut at, mut node) = (1, command);
    for name in path {
        node = node.find_subcommand(name).expect("clap has found the command");
        let is_name = |word: &OsString| node.get_name_and_visible_aliases().iter().any(|name| word == name);
        at += 1 + typed[at..].iter().position(is_name).expect("clap has found the command in these words");
    }
    at
}
