//! Places that a run must not write to.

use super::folder::RunFolder;
use super::manifest::PARTS;
use crate::cli::misuse;
use glob::{MatchOptions, Pattern};
use std::path::{Path, PathBuf};

/// Refuses to write rejects in the place of something that is read or that the run writes besides.
pub(crate) fn refuse_in_use(rejects: &Path, output: Option<&Path>, inputs: &[PathBuf]) -> anyhow::Result<()> {
    let (place, output) = (real(rejects), output.map(real));
    let name = rejects.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let of_the_run = RunFolder::owns(&name) && output.as_deref() == place.parent();
    if of_the_run || output.as_ref() == Some(&place) {
        return Err(misuse("--output and --rejects name the same file"));
    }
    let same = |input: &&PathBuf| input.file_name() == rejects.file_name() && real(input) == place;
    match inputs.iter().find(same) {
        Some(input) => Err(misuse(format!("--rejects would replace {}, which is read", input.display()))),
        None => Ok(()),
    }
}

/// Refuses a folder for results, or a file for rejects, that folders or patterns to read take in: the run could not be gone on
/// with, for it would find more inputs, and another one would read them.
pub(crate) fn refuse_among_inputs(
    folder: &Path,
    rejects: Option<&Path>,
    extension: &str,
    inputs: &[PathBuf],
) -> anyhow::Result<()> {
    let part = format!("part-00000.{extension}");
    let written = [(folder, vec![folder.join(part), folder.join(PARTS)])];
    for (output, files) in
        written.into_iter().chain(rejects.map(|rejects| (rejects, vec![rejects.to_owned()])))
    {
        let files: Vec<PathBuf> = files.iter().map(|file| real(file)).collect();
        if let Some(input) = inputs.iter().find(|input| files.iter().any(|file| takes_in(input, file))) {
            return Err(misuse(format!(
                "{} lies in {}, which is read\n\nhint: give a place beside it",
                output.display(),
                input.display()
            )));
        }
    }
    Ok(())
}

/// Whether an input is a folder with this file below it, or a pattern that matches it.
fn takes_in(input: &Path, file: &Path) -> bool {
    if input.is_dir() {
        return file.starts_with(real(input));
    }
    let Some(pattern) = input.to_str().filter(|_| !input.exists()) else { return false };
    let here = std::env::current_dir().ok().map(|here| real(&here));
    let here = here.as_deref().and_then(Path::to_str).map(Pattern::escape).unwrap_or_default();
    let pattern = match input.is_absolute() {
        true => Pattern::new(pattern),
        false => Pattern::new(&format!("{here}/{}", pattern.trim_start_matches("./"))),
    };
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    pattern.is_ok_and(|pattern| pattern.matches_path_with(file, options))
}

/// A path without links and `..`, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        // Joining nothing would add a separator.
        there
            .canonicalize()
            .ok()
            .map(|there| if rest.as_os_str().is_empty() { there } else { there.join(rest) })
    });
    found.unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_among_what_is_read_are_refused_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let news = folder.path().join("news");
        std::fs::create_dir_all(news.join("2020")).unwrap();
        std::fs::create_dir_all(folder.path().join("out")).unwrap();
        let told = |folder: &Path, rejects: Option<&Path>, input: PathBuf| {
            refuse_among_inputs(folder, rejects, "jsonl", &[input]).is_err()
        };
        let (within, beside) = (news.join("out"), folder.path().join("out"));
        assert!(told(&within, None, news.clone()));
        assert!(told(&folder.path().join("out/../news/out"), None, news.clone()));
        assert!(told(&within, None, news.join("**/*.jsonl")));
        assert!(told(&beside, Some(&news.join("rejects.jsonl")), news.clone()));
        assert!(told(&beside, Some(&news.join("rejects.jsonl")), news.join("*.jsonl")));
        assert!(!told(&within, None, news.join("2020")));
        assert!(!told(&within, None, news.join("*/*.txt")));
        assert!(!told(&beside, Some(&folder.path().join("rejects.jsonl")), news.clone()));
    }

    #[test]
    fn rejects_take_the_place_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (input, out) = (folder.path().join("a.jsonl"), folder.path().join("out"));
        std::fs::write(&input, "").unwrap();
        std::fs::create_dir(&out).unwrap();
        let told = |rejects: &str, output: &str| {
            let refused = refuse_in_use(
                &folder.path().join(rejects),
                Some(&folder.path().join(output)),
                std::slice::from_ref(&input),
            );
            refused.map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        assert!(told("out/../a.jsonl", "out/").contains("would replace"));
        for name in ["manifest.json", "parts.jsonl", "inputs.jsonl", "part-00007.jsonl"] {
            assert!(told(&format!("out/{name}"), "out/").contains("the same file"), "{name}");
        }
        assert!(told("b.jsonl", "out/../b.jsonl").contains("the same file"));
        assert_eq!(told("out/rejects.jsonl", "out/"), "");
        assert_eq!(told("rejects.jsonl", "out/"), "");
    }
}
