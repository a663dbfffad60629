//! Results to any writer: JSON lines, CSV and TSV, Parquet and Arrow, a table for people, the formats of tools for
//! annotation; evaluations as a page for the browser.

#[cfg(feature = "columns")]
mod columns;
mod compressed;
mod delimited;
mod figures;
#[cfg(feature = "html")]
mod html;
mod jsonl;
mod labelled;
mod lines;
mod record;
mod rows;
mod shape;
mod summary;
mod table;
mod text_table;

#[cfg(feature = "columns")]
pub use columns::ColumnsReport;
pub use compressed::{CompressedReport, Compression};
pub use delimited::{DelimitedReport, Separator};
pub use figures::write_evaluation;
#[cfg(feature = "html")]
pub use html::{Evaluated, html};
pub use jsonl::JsonlReport;
pub use labelled::LabelledReport;
pub use lines::LinesReport;
pub use record::{EntityRecord, Origin, SentenceRecord};
pub use shape::{Rows, Shape};
pub use table::TableReport;
pub use text_table::{TableStyle, TextTable};

/// Text with a sign in place of every control character, so that no text can end a line or steer the terminal.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Where records go, one sentence after the other.
pub trait Report {
    /// Writes a sentence.
    ///
    /// # Errors
    /// If the writer fails.
    fn sentence(&mut self, record: &SentenceRecord) -> std::io::Result<()>;

    /// Hands everything on to whoever reads the output.
    ///
    /// # Errors
    /// If the writer fails.
    fn flush(&mut self) -> std::io::Result<()>;

    /// Writes what stands at the end, and hands everything on. Nothing may be written after it.
    ///
    /// # Errors
    /// If the writer fails.
    fn finish(&mut self) -> std::io::Result<()> {
        self.flush()
    }
}
