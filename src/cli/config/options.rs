//! Which options can be set elsewhere than on the command line, and what they are called there.

use clap::{Arg, ArgAction, Command};
use std::collections::BTreeSet;

/// Options that are for one run: what they do must be asked for each time.
const TYPED_ONLY: [&str; 9] =
    ["all", "config", "dry-run", "force", "no-config", "origin", "overwrite", "resume", "yes"];

/// Whether an option can be set in a file or in the environment.
pub(crate) fn is_configurable(option: &Arg) -> bool {
    let action = option.get_action();
    let acts =
        matches!(action, ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version);
    // What must be typed anyhow has no use for a setting.
    let required = option.is_required_set();
    option.get_long().is_some_and(|long| !TYPED_ONLY.contains(&long)) && !acts && !required
}

/// The configurable options of one command and those that all commands have, by name.
pub(super) fn of_command<'a>(root: &'a Command, path: &[&str]) -> Vec<(String, &'a Arg)> {
    let own = path.iter().try_fold(root, |node, name| node.find_subcommand(name));
    let own = own.filter(|_| !path.is_empty()).into_iter().flat_map(Command::get_arguments);
    let all = root.get_arguments().chain(own.filter(|option| !option.is_global_set()));
    let named = all.filter(|option| is_configurable(option));
    named.filter_map(|option| Some((option.get_long()?.to_owned(), option))).collect()
}

/// An option of this name that a command or one below it has, if possible one that can be set.
pub(super) fn find_option<'a>(node: &'a Command, key: &str) -> Option<&'a Arg> {
    let nodes = descendants(node);
    let all = nodes.iter().flat_map(|(_, below)| below.get_arguments());
    let named: Vec<&Arg> = all.filter(|option| option.get_long() == Some(key)).collect();
    named.iter().find(|option| is_configurable(option)).or(named.first()).copied()
}

/// Whether an option of this name is one without a value, whatever command has it.
pub(super) fn is_flag(root: &Command, key: &str) -> bool {
    let nodes = descendants(root);
    let mut named =
        nodes.iter().flat_map(|(_, node)| node.get_arguments()).filter(|o| o.get_long() == Some(key));
    named.all(|option| matches!(option.get_action(), ArgAction::SetTrue | ArgAction::SetFalse))
}

/// Every command with its path, the root first.
pub(crate) fn descendants(root: &Command) -> Vec<(Vec<&str>, &Command)> {
    let mut all = vec![(Vec::new(), root)];
    let mut at = 0;
    while let Some((path, node)) = all.get(at).cloned() {
        all.extend(node.get_subcommands().map(|below| ([&path[..], &[below.get_name()]].concat(), below)));
        at += 1;
    }
    all
}

/// The known name that is most like one that is not known: an option or a command below a command.
pub(super) fn nearest(node: &Command, unknown: &str) -> Option<String> {
    let mut names = BTreeSet::new();
    for (_, below) in descendants(node) {
        names.extend(below.get_subcommands().map(Command::get_name));
        names.extend(below.get_arguments().filter(|o| is_configurable(o)).filter_map(Arg::get_long));
    }
    let likeness = |name: &str| strsim::jaro_winkler(name, unknown);
    let best = names.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.75).then(|| best.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn what_destroys_or_is_for_one_run_must_be_typed() {
        let root = crate::cli::Args::command();
        let every = descendants(&root);
        let options = every.iter().flat_map(|(_, node)| node.get_arguments());
        let settable: BTreeSet<&str> =
            options.filter(|o| is_configurable(o)).filter_map(Arg::get_long).collect();
        for long in ["force", "config", "dry-run", "help", "version", "no-config"] {
            assert!(!settable.contains(long), "{long}");
        }
        for long in ["model", "on-error", "color", "quiet", "verbose", "epochs"] {
            assert!(settable.contains(long), "{long}");
        }
    }

    #[test]
    fn the_nearest_name_is_told_only_where_it_is_near() {
        let root = crate::cli::Args::command();
        assert_eq!(nearest(&root, "on-eror").as_deref(), Some("on-error"));
        assert_eq!(nearest(&root, "xyzzy"), None);
    }
}
