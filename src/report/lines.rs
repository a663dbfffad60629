use super::table::printable;
use super::{Report, SentenceRecord, Shape};
use std::io::{Result, Write};

/// A line a sentence, for `cut`, `grep` and `sort`: its labels joined by `;`, its entities as `TYPE:text` joined by `; `,
/// and the sentence itself, with tabs between the columns; a dash stands for none, and `abstained` for labels that the
/// model was not sure of.
///
/// White space is made one space and control characters are shown as signs, so that a line is a sentence whatever is in it.
#[derive(Debug)]
pub struct LinesReport<W> {
    out: W,
    labels: bool,
    entities: bool,
}

impl<W: Write> LinesReport<W> {
    /// Lines of records of the given shape to `out`: a column that the shape has not is left out.
    pub fn new(out: W, shape: &Shape) -> Self {
        Self { out, labels: shape.labels.is_some(), entities: shape.entities }
    }
}

impl<W: Write> Report for LinesReport<W> {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        if self.labels {
            let labels = record.stance.iter().flatten().map(|label| printable(label)).collect::<Vec<_>>();
            let none = if record.abstained == Some(true) { "abstained" } else { "-" };
            write!(self.out, "{}\t", if labels.is_empty() { none.to_owned() } else { labels.join(";") })?;
        }
        if self.entities {
            let named = record
                .entities
                .iter()
                .flatten()
                .map(|entity| format!("{}:{}", printable(&entity.label), printable(&entity.text)))
                .collect::<Vec<_>>();
            write!(self.out, "{}\t", if named.is_empty() { "-".to_owned() } else { named.join("; ") })?;
        }
        writeln!(self.out, "{}", printable(&record.text))
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;
    use proptest::prelude::*;

    fn line(shape: &Shape, record: &SentenceRecord) -> String {
        let mut out = Vec::new();
        LinesReport::new(&mut out, shape).sentence(record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_columns_of_the_run_whatever_the_sentence_has() {
        let (labels, entities) = (Some(vec!["condemnation".to_owned()]), true);
        let both = Shape { labels: labels.clone(), entities, ..Shape::default() };
        assert_eq!(line(&both, &record()), "condemnation\tLOC:Zürich\tWe condemn Zürich, they say.\n");
        let mut bare = record();
        bare.stance = Some(Vec::new());
        bare.entities = None;
        bare.text = "One\r\n\ttwo \u{1b}[31m".into();
        assert_eq!(line(&both, &bare), "-\t-\tOne two \u{fffd}[31m\n");
        bare.abstain(true);
        assert_eq!(line(&Shape { labels, ..Shape::default() }, &bare), "abstained\tOne two \u{fffd}[31m\n");
        let names = Shape { entities, ..Shape::default() };
        assert_eq!(line(&names, &record()), "LOC:Zürich\tWe condemn Zürich, they say.\n");
    }

    proptest! {
        #[test]
        fn any_sentence_is_one_line_of_three_columns(text in "\\PC*|[\\s\\x00-\\x1f]*", label in "(?s).*", entity in "(?s).*") {
            let mut record = record();
            record.text = text;
            record.stance = Some(vec![label]);
            record.entities.as_mut().unwrap()[0].text = entity;
            let shape = Shape { labels: Some(Vec::new()), entities: true, ..Shape::default() };
            let line = line(&shape, &record);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(line.split('\t').count(), 3);
        }
    }
}
