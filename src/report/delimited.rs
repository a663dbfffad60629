use super::record::rounded;
use super::{Report, SentenceRecord};
use std::io::{Result, Write};

/// Comma-separated values, one row a sentence, under a header.
///
/// Labels that apply are joined by `;`, every label's probability has a column `score_{label}`, entities and kept fields
/// are JSON in a column of their own.
pub struct CsvReport<W: Write> {
    out: csv::Writer<W>,
    begun: bool,
}

impl<W: Write> CsvReport<W> {
    /// Rows to `out`.
    pub fn new(out: W) -> Self {
        Self { out: csv::Writer::from_writer(out), begun: false }
    }
}

impl<W: Write> Report for CsvReport<W> {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        let cells = cells(record)?;
        if !self.begun {
            self.begun = true;
            self.out.write_record(cells.iter().map(|(column, _)| column)).map_err(io_error)?;
        }
        self.out.write_record(cells.iter().map(|(_, value)| value)).map_err(io_error)
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

/// The error of the writer itself: `csv` hides its kind, and a broken pipe must be known as one.
fn io_error(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

/// Column names and values of a record.
fn cells(record: &SentenceRecord) -> Result<Vec<(String, String)>> {
    let SentenceRecord { id, date, sentence, start, end, text, stance, scores, abstained, entities, fields } =
        record;
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    let mut cells = vec![("id".to_owned(), id)];
    cells.extend(date.iter().map(|date| ("date".to_owned(), date.clone())));
    cells.extend([
        ("sentence".to_owned(), sentence.to_string()),
        ("start".to_owned(), start.to_string()),
        ("end".to_owned(), end.to_string()),
        ("text".to_owned(), text.clone()),
    ]);
    cells.extend(stance.iter().map(|labels| ("stance".to_owned(), labels.join(";"))));
    let scores = scores.iter().flatten();
    cells.extend(scores.map(|(label, score)| (format!("score_{label}"), rounded(*score).to_string())));
    cells.extend(abstained.iter().map(|abstained| ("abstained".to_owned(), abstained.to_string())));
    if let Some(entities) = entities {
        cells.push(("entities".to_owned(), serde_json::to_string(entities)?));
    }
    if let Some(fields) = fields {
        cells.push(("fields".to_owned(), serde_json::to_string(fields)?));
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;

    #[test]
    fn rows_stand_under_one_header_and_are_quoted() {
        let mut out = Vec::new();
        let mut report = CsvReport::new(&mut out);
        report.sentence(&record()).unwrap();
        report.sentence(&record()).unwrap();
        drop(report);
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines[0],
            "id,sentence,start,end,text,stance,score_condemnation,score_speculation,entities"
        );
        assert!(
            lines[1].starts_with(
                "\"a, b.txt\",1,3,31,\"We condemn Zürich, they say.\",condemnation,0.981235,0.25,"
            )
        );
        assert_eq!((lines.len(), lines[1]), (3, lines[2]));
    }
}
