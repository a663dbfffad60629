//! One option that is set: its value, and who set it.

use super::options::{find_option, is_configurable, is_flag};
use crate::cli::misuse;
use clap::{Arg, ArgAction, Command, ValueHint};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// What the names of variables that set options begin with.
const PREFIX: &str = "UNDERTONE_";

/// An option that is set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// Names of the command that it holds for, with those below it; none for all commands.
    pub(crate) table: Vec<String>,
    /// Long name of the option.
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What an option is set to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Flag(bool),
    /// A number as it was written.
    Number(String),
    Text(String),
    List(Vec<String>),
}

/// Who set an option.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    Variable(String),
    File {
        path: PathBuf,
        line: usize,
        /// Place of the file among the files.
        number: usize,
    },
}

impl Origin {
    /// The lower, the more it counts.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Variable(_) => 0,
            Self::File { number, .. } => 1 + number,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.origin {
            Origin::Variable(name) => f.write_str(name),
            Origin::File { .. } => write!(f, "{}: `{}`", self.origin, self.key),
        }
    }
}

impl fmt::Display for Value {
    /// Writes it as TOML.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let text = |text: &String| toml::Value::from(text.as_str()).to_string();
        match self {
            Self::Flag(on) => write!(f, "{on}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(value) => f.write_str(&text(value)),
            Self::List(values) => write!(f, "[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Setting {
    /// Whether it is for this command, or for one above it.
    pub(super) fn holds_for(&self, path: &[&str]) -> bool {
        self.table.len() <= path.len() && self.table.iter().zip(path).all(|(own, name)| own == name)
    }

    /// What would be typed to the same effect; nothing for a flag that is off.
    ///
    /// # Errors
    /// If the value is of a kind that the option does not take.
    pub(super) fn words(&self, option: &Arg) -> anyhow::Result<Vec<String>> {
        let name = format!("--{}", self.key);
        let wrong = |needed: &str| misuse(format!("{self}: it must be {needed}, and is {}", self.value));
        let with = |value: &String| format!("{name}={value}");
        match (option.get_action(), &self.value) {
            (ArgAction::SetTrue | ArgAction::SetFalse, Value::Flag(true)) => Ok(vec![name]),
            (ArgAction::SetTrue | ArgAction::SetFalse, Value::Flag(false)) => Ok(Vec::new()),
            (ArgAction::SetTrue | ArgAction::SetFalse, _) => Err(wrong("true or false")),
            (ArgAction::Count, Value::Number(times) | Value::Text(times)) => match times.parse::<u8>() {
                Ok(times) => Ok(vec![name; times.into()]),
                Err(_) => Err(wrong("a number from 0 to 255")),
            },
            (ArgAction::Count, _) => Err(wrong("a number from 0 to 255")),
            (ArgAction::Append, Value::List(values)) => Ok(values.iter().map(with).collect()),
            (_, Value::List(_)) => Err(wrong("one value")),
            (_, Value::Flag(on)) => Ok(vec![format!("{name}={on}")]),
            (_, Value::Number(value) | Value::Text(value)) => Ok(vec![with(value)]),
        }
    }

    /// The same setting with paths as seen from the current folder; in a file they are relative to the folder of the file.
    pub(super) fn seen_from(mut self, option: &Arg, folder: &Path, current: Option<&Path>) -> Self {
        if option.get_value_hint() != ValueHint::AnyPath || current == Some(folder) {
            return self;
        }
        // A model may be the name of one on the hub as well.
        let is_model =
            option.get_value_names().is_some_and(|names| names.iter().any(|n| n.as_str() == "MODEL"));
        let place = |text: &mut String| {
            let path = folder.join(&text);
            let dotted = text.starts_with("./") || text.starts_with("../");
            if text != "-" && (!is_model || dotted || path.exists()) {
                *text = path.display().to_string();
            }
        };
        match &mut self.value {
            Value::Text(text) => place(text),
            Value::List(texts) => texts.iter_mut().for_each(place),
            Value::Flag(_) | Value::Number(_) => {}
        }
        self
    }
}

/// What the value of a variable says of a flag. Variables have no kinds: words do.
fn is_on(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Adds what variables such as `UNDERTONE_ON_ERROR` set; an empty one counts as unset.
pub(super) fn read_variables(
    command: &Command,
    variables: impl Iterator<Item = (String, OsString)>,
    settings: &mut Vec<Setting>,
    unknown: &mut Vec<String>,
) -> anyhow::Result<()> {
    let ours: BTreeMap<String, OsString> =
        variables.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect();
    for (name, value) in ours {
        if name == undertone::cpu::VARIABLE {
            continue;
        }
        let key = name[PREFIX.len()..].to_lowercase().replace('_', "-");
        if !find_option(command, &key).is_some_and(is_configurable) {
            unknown.push(name);
            continue;
        }
        let text = value.into_string().map_err(|_| misuse(format!("{name}: the value is not UTF-8")))?;
        let flag = if is_flag(command, &key) { is_on(&text) } else { None };
        let (value, origin) = (flag.map_or(Value::Text(text), Value::Flag), Origin::Variable(name));
        settings.push(Setting { table: Vec::new(), key, value, origin });
    }
    Ok(())
}
