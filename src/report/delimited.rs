use super::record::rounded;
use super::rows::begins;
use super::summary::Summary;
use super::{EntityRecord, Report, Rows, SentenceRecord, Shape};
use serde_json::{Map, Value};
use std::io::{Result, Write};

/// What separates cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// Commas; cells are quoted where they must be.
    Comma,
    /// Tabs. Nothing is quoted: every tab and line end of a cell becomes a space.
    Tab,
}

/// Rows of cells under a header, which stands there even if there is no row.
///
/// Labels that apply are joined by `;`, every label's probability has a column `score_{label}`, entities and kept fields
/// are JSON in a column of their own. The row of an article counts what its sentences have.
pub struct DelimitedReport<W: Write> {
    cells: Cells<W>,
    shape: Shape,
    /// The article whose sentences are counted.
    article: Option<Summary>,
}

impl<W: Write> DelimitedReport<W> {
    /// Rows of records of the given shape to `out`.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn new(out: W, separator: Separator, shape: &Shape) -> Result<Self> {
        let mut builder = csv::WriterBuilder::new();
        match separator {
            Separator::Comma => {}
            Separator::Tab => {
                builder.delimiter(b'\t').quote_style(csv::QuoteStyle::Never);
            }
        }
        let cells = Cells { out: builder.from_writer(out), plain: separator == Separator::Tab };
        let mut report = Self { cells, shape: shape.clone(), article: None };
        report.header()?;
        Ok(report)
    }

    /// The names of the columns; the rows keep to their order.
    fn header(&mut self) -> Result<()> {
        let Shape { rows, labels, abstained, entities, date, fields, .. } = &self.shape;
        let labels = labels.as_ref();
        let mut names = vec!["id".to_owned()];
        let mut name = |there: bool, more: &[&str]| {
            names.extend(more.iter().filter(|_| there).map(|&name| name.to_owned()));
        };
        name(*date, &["date"]);
        match rows {
            Rows::Sentence => name(true, &["sentence", "start", "end", "text"]),
            Rows::Entity => name(true, &["sentence", "start", "end", "label", "text", "score"]),
            Rows::Article => name(true, &["sentences"]),
        }
        name(labels.is_some() && *rows != Rows::Article, &["stance"]);
        match rows {
            Rows::Sentence => {
                names.extend(labels.into_iter().flatten().map(|label| format!("score_{label}")))
            }
            Rows::Article => names.extend(labels.into_iter().flatten().map(|label| format!("count_{label}"))),
            Rows::Entity => {}
        }
        let mut name = |there: bool, more: &str| names.extend(there.then(|| more.to_owned()));
        name(*abstained && labels.is_some(), "abstained");
        name(*rows == Rows::Entity, "sentence_text");
        name(*entities && *rows != Rows::Entity, "entities");
        name(*fields, "fields");
        names.iter().try_for_each(|name| self.cells.cell(name))?;
        self.cells.end()
    }

    fn sentence_row(&mut self, record: &SentenceRecord) -> Result<()> {
        let Self { cells, shape, .. } = self;
        let SentenceRecord { text, scores, entities, .. } = record;
        cells.origin(shape, &record.id, record.date.as_deref())?;
        cells.number(record.sentence)?;
        cells.number(record.start)?;
        cells.number(record.end)?;
        cells.cell(text)?;
        cells.labels(shape, record)?;
        let scores = scores.as_deref().unwrap_or_default();
        for label in 0..shape.labels.as_ref().map_or(0, Vec::len) {
            let score = scores.get(label).map(|(_, score)| rounded(*score).to_string());
            cells.cell(&score.unwrap_or_default())?;
        }
        cells.abstained(shape, record)?;
        if shape.entities {
            cells.cell(&serde_json::to_string(entities.as_deref().unwrap_or_default())?)?;
        }
        cells.fields(shape, record.fields.as_ref())?;
        cells.end()
    }

    fn entity_row(&mut self, record: &SentenceRecord, entity: &EntityRecord) -> Result<()> {
        let Self { cells, shape, .. } = self;
        cells.origin(shape, &record.id, record.date.as_deref())?;
        cells.number(record.sentence)?;
        cells.number(entity.start)?;
        cells.number(entity.end)?;
        cells.cell(&entity.label)?;
        cells.cell(&entity.text)?;
        cells.cell(&rounded(entity.score).to_string())?;
        cells.labels(shape, record)?;
        cells.abstained(shape, record)?;
        cells.cell(&record.text)?;
        cells.fields(shape, record.fields.as_ref())?;
        cells.end()
    }

    fn article_row(&mut self) -> Result<()> {
        let Some(article) = self.article.take() else { return Ok(()) };
        let Self { cells, shape, .. } = self;
        cells.origin(shape, &article.id, article.date.as_deref())?;
        cells.number(article.sentences)?;
        for label in shape.labels.iter().flatten() {
            cells.number(article.labels.get(label).copied().unwrap_or_default())?;
        }
        if shape.abstained && shape.labels.is_some() {
            cells.number(article.abstained)?;
        }
        if shape.entities {
            cells.cell(&serde_json::to_string(&article.entities())?)?;
        }
        cells.fields(shape, article.fields.as_ref())?;
        cells.end()
    }
}

impl<W: Write> Report for DelimitedReport<W> {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        match self.shape.rows {
            Rows::Sentence => self.sentence_row(record),
            Rows::Entity => {
                record.entities.iter().flatten().try_for_each(|entity| self.entity_row(record, entity))
            }
            Rows::Article => {
                if begins(record, self.article.as_ref().map(|article| &article.id)) {
                    self.article_row()?;
                }
                self.article.get_or_insert_with(|| Summary::new(record)).add(record);
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.cells.out.flush()
    }

    fn finish(&mut self) -> Result<()> {
        self.article_row()?;
        self.flush()
    }
}

/// A row, cell by cell.
struct Cells<W: Write> {
    out: csv::Writer<W>,
    /// True if a cell can hold neither tabs nor line ends.
    plain: bool,
}

impl<W: Write> Cells<W> {
    fn cell(&mut self, cell: &str) -> Result<()> {
        let cut = self.plain && cell.contains(BREAKS);
        // A space for each: offsets into the cell stay what they are.
        let written =
            if cut { self.out.write_field(cell.replace(BREAKS, " ")) } else { self.out.write_field(cell) };
        written.map_err(io_error)
    }

    fn number(&mut self, number: usize) -> Result<()> {
        self.cell(&number.to_string())
    }

    /// The name of the text and, where dates are handed on, its date.
    fn origin(&mut self, shape: &Shape, id: &Value, date: Option<&str>) -> Result<()> {
        match id.as_str() {
            Some(id) => self.cell(id)?,
            None => self.cell(&id.to_string())?,
        }
        if shape.date { self.cell(date.unwrap_or_default()) } else { Ok(()) }
    }

    fn labels(&mut self, shape: &Shape, record: &SentenceRecord) -> Result<()> {
        let labels = || record.stance.as_deref().unwrap_or_default().join(";");
        if shape.labels.is_some() { self.cell(&labels()) } else { Ok(()) }
    }

    fn abstained(&mut self, shape: &Shape, record: &SentenceRecord) -> Result<()> {
        let abstained = || record.abstained.map(|abstained| abstained.to_string()).unwrap_or_default();
        if shape.abstained && shape.labels.is_some() { self.cell(&abstained()) } else { Ok(()) }
    }

    fn fields(&mut self, shape: &Shape, fields: Option<&Map<String, Value>>) -> Result<()> {
        let fields = || fields.map_or_else(|| Ok("{}".to_owned()), serde_json::to_string);
        if shape.fields { self.cell(&fields()?) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<()> {
        self.out.write_record(None::<&[u8]>).map_err(io_error)
    }
}

/// What ends a cell or a row where nothing is quoted.
const BREAKS: [char; 3] = ['\t', '\n', '\r'];

/// The error of the writer itself: `csv` hides its kind, and a broken pipe must be known as one.
fn io_error(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;
    use proptest::prelude::*;

    fn shape(rows: Rows) -> Shape {
        let labels = Some(vec!["condemnation".to_owned(), "speculation".to_owned()]);
        Shape { rows, labels, entities: true, ..Shape::default() }
    }

    fn written(separator: Separator, shape: &Shape, records: &[SentenceRecord]) -> Vec<String> {
        let mut out = Vec::new();
        let mut report = DelimitedReport::new(&mut out, separator, shape).unwrap();
        records.iter().for_each(|record| report.sentence(record).unwrap());
        report.finish().unwrap();
        drop(report);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn rows_stand_under_one_header_and_are_quoted() {
        let lines = written(Separator::Comma, &shape(Rows::Sentence), &[record(), record()]);
        assert_eq!(
            lines[0],
            "id,sentence,start,end,text,stance,score_condemnation,score_speculation,entities"
        );
        assert!(
            lines[1].starts_with(
                "\"a, b.txt\",1,3,31,\"We condemn Zürich, they say.\",condemnation,0.981235,0.25,"
            )
        );
        assert_eq!((lines.len(), &lines[1]), (3, &lines[2]));
    }

    #[test]
    fn every_row_has_the_cells_of_the_header_whatever_the_record_lacks() {
        let mut bare = record();
        (bare.stance, bare.scores, bare.entities) = (None, None, None);
        let mut full = record();
        full.abstain(true);
        full.date = Some("2024-05-01".into());
        full.fields = Some(Map::from_iter([("desk".to_owned(), Value::from("a\tb"))]));
        for rows in [Rows::Sentence, Rows::Entity, Rows::Article] {
            for (date, abstained, fields) in [(true, true, true), (false, false, false)] {
                let shape = Shape { date, abstained, fields, ..shape(rows) };
                for separator in [Separator::Comma, Separator::Tab] {
                    let (delimiter, quoting) = match separator {
                        Separator::Comma => (b',', true),
                        Separator::Tab => (b'\t', false),
                    };
                    let out = written(separator, &shape, &[bare.clone(), full.clone(), record()]).join("\n");
                    // Not flexible: a row of another width is an error.
                    let mut reader = csv::ReaderBuilder::new()
                        .delimiter(delimiter)
                        .quoting(quoting)
                        .from_reader(out.as_bytes());
                    let read: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
                    assert_eq!(read.len(), if rows == Rows::Entity { 2 } else { 3 }, "{out}");
                    assert_eq!(written(separator, &shape, &[]), out.lines().take(1).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_tab_separated_cell_keeps_its_quotes_and_its_length() {
        let mut record = record();
        record.text = "\"One\"\r\n\ttwo".into();
        let lines = written(Separator::Tab, &Shape::default(), &[record]);
        assert_eq!(lines, ["id\tsentence\tstart\tend\ttext", "a, b.txt\t1\t3\t31\t\"One\"   two"]);
    }

    #[test]
    fn an_entity_has_a_row_with_its_sentence() {
        let lines = written(Separator::Comma, &shape(Rows::Entity), &[record()]);
        assert_eq!(lines[0], "id,sentence,start,end,label,text,score,stance,sentence_text");
        assert_eq!(
            lines[1],
            "\"a, b.txt\",1,14,20,LOC,Zürich,0.5,condemnation,\"We condemn Zürich, they say.\""
        );
    }

    #[test]
    fn the_row_of_an_article_counts() {
        let mut unsure = SentenceRecord { sentence: 2, ..record() };
        unsure.abstain(true);
        let other = SentenceRecord { id: 7.into(), entities: Some(Vec::new()), ..record() };
        let shape = Shape { abstained: true, ..shape(Rows::Article) };
        let lines = written(Separator::Tab, &shape, &[record(), unsure, other]);
        assert_eq!(
            lines,
            [
                "id\tsentences\tcount_condemnation\tcount_speculation\tabstained\tentities",
                "a, b.txt\t2\t1\t0\t1\t[{\"label\":\"LOC\",\"text\":\"Zürich\",\"count\":2}]",
                "7\t1\t1\t0\t0\t[]",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_record_is_a_row_that_reads_back(id in "(?s).*", text in "(?s).*", date in "(?s).*", label in "(?s).*", entity in "(?s).*") {
            let mut record = record();
            (record.id, record.text, record.date) = (id.into(), text, Some(date));
            record.stance = Some(vec![label]);
            record.entities.as_mut().unwrap()[0].text = entity;
            let shape = Shape { date: true, ..shape(Rows::Entity) };
            for (separator, delimiter) in [(Separator::Comma, b','), (Separator::Tab, b'\t')] {
                let mut out = Vec::new();
                let mut report = DelimitedReport::new(&mut out, separator, &shape).unwrap();
                report.sentence(&record).unwrap();
                report.sentence(&record).unwrap();
                drop(report);
                let mut reader = csv::ReaderBuilder::new()
                    .delimiter(delimiter)
                    .quoting(separator == Separator::Comma)
                    .from_reader(out.as_slice());
                let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
                prop_assert_eq!(rows.len(), 2);
                let cell = |text: &str| match separator {
                    Separator::Comma => text.to_owned(),
                    Separator::Tab => text.replace(BREAKS, " "),
                };
                prop_assert_eq!(&rows[1][0], cell(record.id.as_str().unwrap()));
                prop_assert_eq!(&rows[1][1], cell(record.date.as_deref().unwrap()));
                prop_assert_eq!(&rows[1][6], cell(&record.entities.as_ref().unwrap()[0].text));
                prop_assert_eq!(&rows[1][8], cell(&record.stance.as_ref().unwrap()[0]));
                prop_assert_eq!(&rows[1][9], cell(&record.text));
            }
        }
    }
}
