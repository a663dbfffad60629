//! Tables of counts, shaded.

use super::figures::{count, share, visible};
use maud::{Markup, html};

/// What was decided (columns) for what is there (rows).
pub(super) struct HeatMap<'a> {
    /// What the table tells.
    pub(super) caption: &'a str,
    /// Names of the rows and columns; the last may stand for none.
    pub(super) names: &'a [String],
    /// Rows of counts; shorter rows are filled up with 0.
    pub(super) cells: &'a [Vec<usize>],
}

/// The counts, each shaded by its share of the row.
pub(super) fn heat_map(map: &HeatMap<'_>) -> Markup {
    let HeatMap { caption, names, cells } = *map;
    let cell =
        |row: usize, column: usize| cells.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0);
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table.heat.many[names.len() > 6] {
                caption.quiet { (caption) }
                thead { tr {
                    td.corner { "gold ↓ model →" }
                    @for name in names { th scope="col" { span { (visible(name)) } } }
                } }
                tbody { @for (row, gold) in names.iter().enumerate() {
                    @let all: usize = (0..names.len()).map(|column| cell(row, column)).sum();
                    tr {
                        th scope="row" { (visible(gold)) }
                        @for column in 0..names.len() {
                            @let n = cell(row, column);
                            td class=[(row == column).then_some("same")] style=[(n > 0).then(|| shade(share(n, all)))] { (count(n)) }
                        }
                    }
                } }
            }
        }
    }
}

/// The weight of the shade, never so light that it is taken for none.
pub(super) fn shade(share: f64) -> String {
    format!("--heat:{:.0}%", 6.0 + 94.0 * share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_shaded_by_their_share_of_the_row() {
        let names = ["a".to_owned(), "b".to_owned()];
        let map = HeatMap { caption: "Labels", names: &names, cells: &[vec![3, 1], vec![0]] };
        let page = heat_map(&map).into_string();
        assert!(
            page.contains("<td class=\"same\" style=\"--heat:76%\">3</td><td style=\"--heat:30%\">1</td>"),
            "{page}"
        );
        // A short row is filled up, and nothing is not shaded.
        assert!(page.contains("<td>0</td><td class=\"same\">0</td>"), "{page}");
    }
}
