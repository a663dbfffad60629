//! How the commands tell what they found.

use crate::cli::labelled::readable;
use crate::cli::misuse;
use std::path::{Path, PathBuf};
use undertone::report::{TableStyle, TextTable, visible};

/// Refuses inputs that are not files, or that are named twice.
pub(super) fn present<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    let files: Vec<&PathBuf> = files.into_iter().collect();
    readable(files.iter().copied())?;
    match files.into_iter().find(|path| path.is_dir()) {
        Some(folder) => Err(misuse(format!("{}: it is a folder; name the files in it", folder.display()))),
        None => Ok(()),
    }
}

/// Whether two names are those of one file that is there.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// The name of a file, which may be no text.
pub(super) fn name(path: &Path) -> String {
    path.display().to_string()
}

/// The name of a file and a line in it.
pub(super) fn at(path: &Path, line: impl std::fmt::Display) -> String {
    format!("{}:{line}", path.display())
}

/// A number and what it counts.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The beginning of a text on one line, without control characters, so that no text can steer the terminal.
pub(super) fn excerpt(text: &str, width: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut excerpt = visible(&words.chars().take(width).collect::<String>());
    if words.chars().nth(width).is_some() {
        excerpt.pop();
        excerpt.push('…');
    }
    excerpt
}

/// A share in percent.
pub(super) fn percent(part: usize, whole: usize) -> String {
    match whole {
        0 => "-".into(),
        whole => format!("{:.1}%", 100.0 * part as f64 / whole as f64),
    }
}

/// Rows in columns, the first to the left and the others to the right.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let cells = |row: &Vec<String>| row.iter().map(|cell| cell.trim_end().to_owned()).collect::<Vec<_>>();
    let Some((header, rows)) = rows.split_first() else { return String::new() };
    let header = cells(header);
    let mut table = TextTable::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    rows.iter().for_each(|row| table.row(cells(row)));
    let mut out = Vec::new();
    table.write(&mut out, TableStyle::Text).expect("writing to memory does not fail");
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_cut_with_a_mark_and_cannot_steer_the_terminal() {
        assert_eq!(excerpt("a\n b\u{1b}[31m", 20), "a b\u{fffd}[31m");
        assert_eq!(excerpt("naïve text", 5), "naïv…");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "10".into()], vec!["long".into(), "1".into()]];
        assert_eq!(columns(&rows), "a     10\nlong   1\n");
        assert_eq!(columns(&[vec!["a\u{1b}[2J\n".to_owned()]]), "a\u{fffd}[2J\n");
    }
}
