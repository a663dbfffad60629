use super::visible;
use std::io::{Result, Write};

/// How tables are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableStyle {
    /// Columns of even width.
    Text,
    /// Cells between bars.
    Markdown,
}

/// Cells in rows; the first column is of words, the others of numbers. Cells may be from the data: what would end a line or command
/// a terminal is shown as what cannot be shown.
pub struct TextTable {
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with names of columns alone.
    pub fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|name| visible(name)).collect()] }
    }

    /// Adds a row; cells that it lacks are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| visible(&cell)).collect());
    }

    /// Draws the table.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn write(&self, out: &mut impl Write, style: TableStyle) -> Result<()> {
        let columns = self.rows[0].len();
        let cell = |row: &Vec<String>, column: usize| row.get(column).map_or("", String::as_str).to_owned();
        let width = |column: usize| {
            let widths = self.rows.iter().map(|row| textwrap::core::display_width(&cell(row, column)));
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (i, row) in self.rows.iter().enumerate() {
            let cells = (0..columns).map(|column| {
                let cell = cell(row, column);
                let fill = " ".repeat(widths[column] - textwrap::core::display_width(&cell));
                if column == 0 { format!("{cell}{fill}") } else { format!("{fill}{cell}") }
            });
            let cells: Vec<String> = cells.collect();
            match style {
                TableStyle::Text => writeln!(out, "{}", cells.join("  ").trim_end())?,
                TableStyle::Markdown => {
                    let escaped: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                    writeln!(out, "| {} |", escaped.join(" | "))?;
                    if i == 0 {
                        writeln!(out, "|---|{}", "---:|".repeat(columns - 1))?;
                    }
                }
            }
        }
        if style == TableStyle::Markdown { writeln!(out) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_markdown_has_bars() {
        let mut table = TextTable::new(&["label", "F1"]);
        table.row(["a|b".into(), "0.5000".into()]);
        table.row(["é".into()]);
        let write = |style| {
            let mut out = Vec::new();
            table.write(&mut out, style).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(TableStyle::Text), "label      F1\na|b    0.5000\né\n");
        let markdown = write(TableStyle::Markdown);
        assert!(markdown.starts_with("| label |     F1 |\n|---|---:|\n| a\\|b"), "{markdown}");
    }

    #[test]
    fn no_cell_ends_its_line_or_commands_the_terminal() {
        let mut table = TextTable::new(&["a\nb"]);
        table.row(["\u{1b}[31mred".into()]);
        let mut out = Vec::new();
        table.write(&mut out, TableStyle::Text).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\u{fffd}b\n\u{fffd}[31mred\n");
    }
}
