//! The files that set options: where they are looked for, and what stands in them.

use super::options::{find_option, is_configurable, nearest};
use super::setting::{Origin, Setting, Value};
use crate::cli::misuse;
use clap::Command;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Name of a project's file.
const PROJECT: &str = "undertone.toml";

/// A file that is looked for.
pub(crate) struct Place {
    /// Whose it is.
    pub(crate) of: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) found: bool,
}

/// The files that are looked for, those that go before others first: the nearest of the current folder and those above it, and
/// the user's.
pub(crate) fn places() -> Vec<Place> {
    let current = std::env::current_dir().ok();
    let project = current.as_deref().map(|current| project_file(current).unwrap_or(current.join(PROJECT)));
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = user_file(&variable, std::env::home_dir());
    let place = |of, path: PathBuf| Place { of, found: path.is_file(), path };
    [project.map(|path| place("project", path)), user.map(|path| place("user", path))]
        .into_iter()
        .flatten()
        .collect()
}

fn project_file(current: &Path) -> Option<PathBuf> {
    current.ancestors().map(|folder| folder.join(PROJECT)).find(|path| path.is_file())
}

fn user_file(variable: &dyn Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let system = if cfg!(windows) { variable("APPDATA") } else { None };
    let folder = variable("XDG_CONFIG_HOME").or(system).or_else(|| Some(home?.join(".config")));
    folder.map(|folder| folder.join("undertone/config.toml"))
}

/// Adds what a file sets.
///
/// * `number`: place of the file among the files
///
/// # Errors
/// If it cannot be read, or sets what cannot be set.
pub(super) fn read(
    command: &Command,
    path: &Path,
    number: usize,
    settings: &mut Vec<Setting>,
) -> anyhow::Result<()> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| misuse(format!("{name}: {error}")))?;
    let table = DeTable::parse(&text).map_err(|error| misuse(format!("{name}: {error}")))?;
    let file = ConfigFile { root: command, path, text: &text, number, current: std::env::current_dir().ok() };
    file.table(command, &mut Vec::new(), table.get_ref(), settings)
}

/// A file that is read.
struct ConfigFile<'a> {
    root: &'a Command,
    path: &'a Path,
    text: &'a str,
    number: usize,
    current: Option<PathBuf>,
}

impl ConfigFile<'_> {
    /// Adds what a table sets: that of `node`, whose names are `names`.
    fn table(
        &self,
        node: &Command,
        names: &mut Vec<String>,
        table: &DeTable,
        settings: &mut Vec<Setting>,
    ) -> anyhow::Result<()> {
        for (key, value) in table {
            let line = 1 + self.text[..key.span().start].matches('\n').count();
            let place = format!("{}:{line}", self.path.display());
            let name = key.get_ref().replace('_', "-");
            if let DeValue::Table(below) = value.get_ref() {
                let Some(command) = node.find_subcommand(&name) else {
                    return Err(misuse(format!("{place}: `{name}` is no command{}", meant(node, &name))));
                };
                names.push(name);
                self.table(command, names, below, settings)?;
                names.pop();
                continue;
            }
            let Some(option) = find_option(node, &name) else {
                return Err(misuse(if names.is_empty() || find_option(self.root, &name).is_none() {
                    format!("{place}: `{name}` is no option{}", meant(node, &name))
                } else if self.root.get_arguments().any(|option| option.get_long() == Some(&name)) {
                    format!("{place}: `{name}` holds for all commands; it belongs above the tables")
                } else {
                    format!(
                        "{place}: `{name}` is no option of `undertone {}`{}",
                        names.join(" "),
                        meant(node, &name)
                    )
                }));
            };
            if !is_configurable(option) {
                return Err(misuse(format!("{place}: `{name}` cannot be set here; it must be typed")));
            }
            let origin = Origin::File { path: self.path.to_owned(), line, number: self.number };
            if settings.iter().any(|s| s.key == name && s.table == *names && s.origin.rank() == origin.rank())
            {
                return Err(misuse(format!("{place}: `{name}` is set twice")));
            }
            let value = read_value(value).ok_or_else(|| {
                misuse(format!(
                    "{place}: `{name}` must be a text, a number, true, false or a list of texts and numbers"
                ))
            })?;
            let setting = Setting { table: names.clone(), key: name, value, origin };
            let folder = self.path.parent().unwrap_or(Path::new("."));
            settings.push(setting.seen_from(option, folder, self.current.as_deref()));
        }
        Ok(())
    }
}

/// What else may have been meant.
fn meant(node: &Command, unknown: &str) -> String {
    nearest(node, unknown).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn read_value(value: &Spanned<DeValue>) -> Option<Value> {
    Some(match value.get_ref() {
        DeValue::Boolean(on) => Value::Flag(*on),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            Value::Number(i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        DeValue::Array(values) => Value::List(
            values
                .iter()
                .map(|value| match read_value(value)? {
                    Value::Text(text) | Value::Number(text) => Some(text),
                    Value::Flag(_) | Value::List(_) => None,
                })
                .collect::<Option<_>>()?,
        ),
        DeValue::Table(_) | DeValue::Datetime(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_is_where_the_system_keeps_such_files() {
        let home = || Some(PathBuf::from("/home/ana"));
        let at = |name: &'static str| move |asked: &str| (asked == name).then(|| PathBuf::from("/set"));
        let file = |folder: &str| Some(Path::new(folder).join("undertone/config.toml"));
        assert_eq!(user_file(&at("XDG_CONFIG_HOME"), home()), file("/set"));
        assert_eq!(user_file(&at("HOME"), home()), file("/home/ana/.config"));
        assert_eq!(user_file(&at("APPDATA"), None), if cfg!(windows) { file("/set") } else { None });
    }
}
