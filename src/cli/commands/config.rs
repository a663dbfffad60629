//! `undertone config`: what is set besides what is typed, and by whom.

use crate::cli::config::{Configuration, Origin, Setting, Value, descendants, is_configurable, places};
use clap::{Arg, ArgAction, Command};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// Show which options are set in files and in the environment
///
/// An option that is not typed has the value of the variable UNDERTONE_OPTION (UNDERTONE_ON_ERROR for --on-error), else that of the
/// nearest undertone.toml in the current folder and those above it, else that of the user's settings file, else its default. In a
/// file, keys above the first table hold for every command that has the option, those in a table such as [classify] or
/// [datasets.check] for that command. Paths in a file are relative to the folder of the file.
#[derive(clap::Args)]
#[command(after_help = "Example:  undertone config show --origin\n          undertone config path")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(clap::Subcommand)]
enum ConfigCommand {
    /// Print what is set, in the form of a settings file
    #[command(after_help = "Example:  undertone config show --all > undertone.toml")]
    Show {
        /// Say behind every value where it was set
        #[arg(long)]
        origin: bool,
        /// Print every option that can be set, command by command, with the value that it has
        #[arg(long)]
        all: bool,
        /// Print one JSON object a setting
        #[arg(long)]
        json: bool,
    },
    /// Print where settings files are looked for
    Path {
        /// Print one JSON object a file
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(
    args: ConfigArgs,
    configuration: &Configuration,
    command: &Command,
) -> anyhow::Result<ExitCode> {
    match args.command {
        ConfigCommand::Show { origin, all, json } => {
            let shown = if all { every_option(configuration, command) } else { effective(configuration) };
            let mut out = std::io::stdout().lock();
            if json {
                shown.iter().try_for_each(|line| writeln!(out, "{}", line.record()))?;
            } else {
                write!(out, "{}", as_file(&shown, origin))?;
            }
        }
        ConfigCommand::Path { json } => show_places(json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// An option and the value that it has.
struct Line {
    table: Vec<String>,
    key: String,
    /// `None` if neither a setting nor a default gives it one.
    value: Option<Value>,
    /// `None` for the default.
    origin: Option<Origin>,
}

impl Line {
    fn new(setting: &Setting) -> Self {
        let Setting { table, key, value, origin } = setting.clone();
        Self { table, key, value: Some(value), origin: Some(origin) }
    }

    fn record(&self) -> serde_json::Value {
        let value = match &self.value {
            None => serde_json::Value::Null,
            Some(Value::Flag(on)) => (*on).into(),
            Some(Value::Number(number)) => serde_json::from_str(number).unwrap_or(number.as_str().into()),
            Some(Value::Text(text)) => text.as_str().into(),
            Some(Value::List(texts)) => texts.as_slice().into(),
        };
        let origin = match &self.origin {
            None => json!("default"),
            Some(Origin::Variable(name)) => json!({"variable": name}),
            Some(Origin::File { path, line, .. }) => json!({"file": path, "line": line}),
        };
        json!({"command": self.table.join(" "), "key": self.key, "value": value, "origin": origin})
    }
}

/// What is set and has an effect: what goes before it may take it away from all commands that it is for.
fn effective(configuration: &Configuration) -> Vec<Line> {
    let all = &configuration.settings;
    let overruled = |setting: &Setting| {
        all.iter().any(|other| {
            other.key == setting.key
                && other.origin.rank() < setting.origin.rank()
                && setting.table.starts_with(&other.table)
        })
    };
    let mut lines: Vec<Line> = all.iter().filter(|setting| !overruled(setting)).map(Line::new).collect();
    lines.sort_by(|a, b| (&a.table, &a.key).cmp(&(&b.table, &b.key)));
    lines
}

/// Every option that can be set, with the value that it has, command by command.
fn every_option(configuration: &Configuration, root: &Command) -> Vec<Line> {
    let mut lines = Vec::new();
    for (path, node) in descendants(root) {
        for option in node.get_arguments().filter(|option| is_configurable(option)) {
            let key = option.get_long().unwrap_or_default().to_owned();
            let table = path.iter().map(|&name| name.to_owned()).collect();
            lines.push(match configuration.get(&path, &key) {
                Some(setting) => Line { table, ..Line::new(setting) },
                None => Line { table, key, value: default(option), origin: None },
            });
        }
    }
    lines
}

fn default(option: &Arg) -> Option<Value> {
    match option.get_action() {
        ArgAction::SetTrue => Some(Value::Flag(false)),
        ArgAction::Count => Some(Value::Number("0".into())),
        _ => {
            let text = option.get_default_values().first()?.to_str()?;
            let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
            Some(if is_number { Value::Number(text.into()) } else { Value::Text(text.into()) })
        }
    }
}

/// Lines as they would stand in a settings file.
fn as_file(lines: &[Line], with_origin: bool) -> String {
    if lines.is_empty() {
        return "# nothing is set\n".into();
    }
    let mut tables: BTreeMap<&[String], Vec<&Line>> = BTreeMap::new();
    for line in lines {
        tables.entry(&line.table).or_default().push(line);
    }
    let mut out = String::new();
    for (table, lines) in tables {
        if !table.is_empty() {
            let gap = if out.is_empty() { "" } else { "\n" };
            out += &format!("{gap}[{}]\n", table.join("."));
        }
        for Line { key, value, origin, .. } in lines {
            out += &match value {
                Some(value) => format!("{key} = {value}"),
                None => format!("# {key} ="),
            };
            if with_origin {
                out += "  # ";
                out += &origin.as_ref().map_or("default".into(), ToString::to_string);
            }
            out.push('\n');
        }
    }
    out
}

fn show_places(json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for place in places() {
        let (of, path, found) = (place.of, place.path, place.found);
        if json {
            writeln!(out, "{}", json!({"of": of, "path": path, "found": found}))?;
        } else {
            let absent = if found { "" } else { " (not there)" };
            writeln!(out, "{of:<8} {}{absent}", path.display())?;
        }
    }
    Ok(())
}
