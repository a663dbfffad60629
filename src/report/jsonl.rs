use super::rows::{EntityRow, OfArticle, OfSentence, begins};
use super::{Report, Rows, SentenceRecord};
use serde_json::Value;
use std::io::{Result, Write};

/// One JSON object a row.
///
/// The row of an article is written sentence by sentence, however many there are: memory does not grow with it.
#[derive(Debug)]
pub struct JsonlReport<W> {
    out: W,
    rows: Rows,
    /// The article whose row is begun.
    article: Option<Value>,
}

impl<W: Write> JsonlReport<W> {
    /// Records to `out`, a row a sentence.
    pub fn new(out: W) -> Self {
        Self::with_rows(out, Rows::Sentence)
    }

    /// Records to `out`, in such rows.
    pub fn with_rows(out: W, rows: Rows) -> Self {
        Self { out, rows, article: None }
    }

    fn in_article(&mut self, record: &SentenceRecord) -> Result<()> {
        if begins(record, self.article.as_ref()) {
            self.end_article()?;
            self.article = Some(record.id.clone());
            let start = serde_json::to_string(&OfArticle(record))?;
            self.out.write_all(start.strip_suffix('}').unwrap_or(&start).as_bytes())?;
            self.out.write_all(b",\"sentences\":[")?;
        } else {
            self.out.write_all(b",")?;
        }
        Ok(serde_json::to_writer(&mut self.out, &OfSentence(record))?)
    }

    fn end_article(&mut self) -> Result<()> {
        match self.article.take() {
            Some(_) => self.out.write_all(b"]}\n"),
            None => Ok(()),
        }
    }
}

impl<W: Write> Report for JsonlReport<W> {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        match self.rows {
            Rows::Sentence => {
                serde_json::to_writer(&mut self.out, record)?;
                self.out.write_all(b"\n")
            }
            Rows::Entity => record.entities.iter().flatten().try_for_each(|entity| {
                serde_json::to_writer(&mut self.out, &EntityRow { sentence: record, entity })?;
                self.out.write_all(b"\n")
            }),
            Rows::Article => self.in_article(record),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> Result<()> {
        self.end_article()?;
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;

    fn written(rows: Rows, records: &[SentenceRecord]) -> String {
        let mut out = Vec::new();
        let mut report = JsonlReport::with_rows(&mut out, rows);
        records.iter().for_each(|record| report.sentence(record).unwrap());
        report.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_a_line_with_its_keys_in_order() {
        assert_eq!(
            written(Rows::Sentence, &[record()]),
            "{\"id\":\"a, b.txt\",\"sentence\":1,\"start\":3,\"end\":31,\"text\":\"We condemn Zürich, they say.\",\
             \"stance\":[\"condemnation\"],\"scores\":{\"condemnation\":0.981235,\"speculation\":0.25},\
             \"entities\":[{\"label\":\"LOC\",\"text\":\"Zürich\",\"start\":14,\"end\":20,\"score\":0.5}]}\n"
        );
    }

    #[test]
    fn an_entity_is_a_line_with_what_its_sentence_says() {
        let mut nobody = record();
        nobody.entities = Some(Vec::new());
        assert_eq!(
            written(Rows::Entity, &[nobody, record()]),
            "{\"id\":\"a, b.txt\",\"sentence\":1,\"start\":14,\"end\":20,\"label\":\"LOC\",\"text\":\"Zürich\",\
             \"score\":0.5,\"stance\":[\"condemnation\"],\"sentence_text\":\"We condemn Zürich, they say.\"}\n"
        );
    }

    #[test]
    fn an_article_is_a_line_with_the_sentences_that_follow_its_first() {
        let at = |id: &str, sentence: usize| SentenceRecord { id: id.into(), sentence, ..record() };
        let records = [at("a", 1), at("a", 2), at("b", 1), at("b", 1), at("c", 7)];
        let out = written(Rows::Article, &records);
        let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<(&str, usize)> = rows
            .iter()
            .map(|row| (row["id"].as_str().unwrap(), row["sentences"].as_array().unwrap().len()))
            .collect();
        assert_eq!(told, [("a", 2), ("b", 1), ("b", 1), ("c", 1)]);
        let mut whole = serde_json::to_value(&records[1]).unwrap();
        whole.as_object_mut().unwrap().remove("id");
        assert_eq!(rows[0]["sentences"][1], whole);
        assert_eq!(written(Rows::Article, &[]), "");
    }
}
