use super::{Report, SentenceRecord, Shape};
use crate::formats::{BratWriter, Contents, LabelledFormat, LabelledWriter, WriteOptions, labelled_writer};
use crate::labels::{GoldEntity, GoldSentence};
use serde_json::{Map, Value};
use std::io::{Error, Result, Write};
use std::path::Path;

/// Answers in the format of a tool for annotation or training, as if someone had given them: to be looked through, corrected
/// and trained on.
///
/// Offsets are those of the format and count in the sentence; probabilities have no place. Dates and kept fields are fields
/// of the sentence where the format has such.
pub struct LabelledReport {
    writer: Option<Box<dyn LabelledWriter + Send>>,
}

impl LabelledReport {
    /// Records of the given shape to `out`, in any format but brat's, which is no stream.
    ///
    /// # Errors
    /// For brat, or if the beginning cannot be written.
    pub fn new(out: impl Write + Send + 'static, format: LabelledFormat, shape: &Shape) -> Result<Self> {
        Ok(Self { writer: Some(labelled_writer(format, out, options(shape))?) })
    }

    /// Records of the given shape to documents of brat in a folder that is there.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn brat(folder: &Path, shape: &Shape) -> Result<Self> {
        Ok(Self { writer: Some(Box::new(BratWriter::create(folder, options(shape))?)) })
    }

    fn writer(&mut self) -> Result<&mut Box<dyn LabelledWriter + Send>> {
        self.writer.as_mut().ok_or_else(|| Error::other("the report has been finished"))
    }
}

impl Report for LabelledReport {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        self.writer()?.write(&gold(record))
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.flush())
    }

    fn finish(&mut self) -> Result<()> {
        self.writer.take().map_or(Ok(()), |writer| writer.finish().map(drop))
    }
}

/// What the formats must know before the first sentence.
fn options(shape: &Shape) -> WriteOptions {
    let contents = Contents {
        labelled: usize::from(shape.labels.is_some()),
        // A model may give a sentence one label, several or none: the form for several holds them all.
        with_one_label: 0,
        marked: usize::from(shape.entities),
        articles: true,
        labels: shape.labels.iter().flatten().cloned().collect(),
        entity_types: shape.entity_types.iter().cloned().collect(),
        ..Contents::default()
    };
    WriteOptions { contents, ..WriteOptions::default() }
}

/// A record as if someone had annotated it.
fn gold(record: &SentenceRecord) -> GoldSentence {
    let SentenceRecord { id, date, text, stance, abstained, entities, fields, .. } = record;
    let mut others = fields.clone().unwrap_or_else(Map::new);
    if let Some(date) = date {
        others.entry("date").or_insert_with(|| Value::from(date.as_str()));
    }
    let entities = entities.as_ref().map(|entities| {
        entities.iter().map(|entity| GoldEntity { label: entity.label.clone(), span: entity.span }).collect()
    });
    GoldSentence {
        article: Some(id.as_str().map_or_else(|| id.to_string(), str::to_owned)),
        text: text.clone(),
        words: None,
        // What the model is not sure of is for someone to say.
        labels: stance.clone().filter(|_| *abstained != Some(true)),
        entities,
        fields: others,
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;
    use crate::formats::read_labelled;

    /// What is read of the records that were written.
    fn read_back(format: LabelledFormat, shape: &Shape, records: &[SentenceRecord]) -> Vec<GoldSentence> {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data");
        let mut report = if format == LabelledFormat::Brat {
            std::fs::create_dir(&place).unwrap();
            LabelledReport::brat(&place, shape).unwrap()
        } else {
            LabelledReport::new(std::fs::File::create(&place).unwrap(), format, shape).unwrap()
        };
        for record in records {
            report.sentence(record).unwrap();
            report.flush().unwrap();
        }
        report.finish().unwrap();
        let read = read_labelled(&place, format).unwrap();
        read.map(|labelled| labelled.unwrap().gold(&place).unwrap()).collect()
    }

    fn shape() -> Shape {
        Shape {
            labels: Some(vec!["condemnation".into(), "speculation".into()]),
            entities: true,
            entity_types: vec!["LOC".into()],
            ..Shape::default()
        }
    }

    const FORMATS: [LabelledFormat; 7] = [
        LabelledFormat::Conll,
        LabelledFormat::Doccano,
        LabelledFormat::Spacy,
        LabelledFormat::Prodigy,
        LabelledFormat::LabelStudio,
        LabelledFormat::HuggingFace,
        LabelledFormat::Brat,
    ];

    #[test]
    fn what_is_written_reads_back_with_the_same_labels_and_entities() {
        let second = SentenceRecord {
            sentence: 2,
            stance: Some(Vec::new()),
            entities: Some(Vec::new()),
            text: "Nobody came.".into(),
            ..record()
        };
        let records = [record(), second];
        for format in FORMATS {
            let read = read_back(format, &shape(), &records);
            assert_eq!(read.len(), 2, "{format:?}");
            for (read, record) in read.iter().zip(&records) {
                let texts = |gold: &GoldSentence| -> Vec<(String, String)> {
                    let entities = gold.entities.iter().flatten();
                    entities.map(|e| (e.label.clone(), e.span.of(&gold.text).unwrap().into())).collect()
                };
                let expected = gold(record);
                assert_eq!(texts(read), texts(&expected), "{format:?}");
                if format != LabelledFormat::Conll {
                    assert_eq!((&read.text, &read.labels), (&expected.text, &expected.labels), "{format:?}");
                }
            }
        }
    }

    #[test]
    fn names_alone_are_read_back_as_not_annotated_for_labels() {
        let names = SentenceRecord { stance: None, scores: None, ..record() };
        let shape = Shape { labels: None, ..shape() };
        for format in FORMATS {
            let read = &read_back(format, &shape, std::slice::from_ref(&names))[0];
            assert_eq!(
                (read.labels.as_ref(), read.entities.as_ref().unwrap().len()),
                (None, 1),
                "{format:?}"
            );
        }
    }

    #[test]
    fn labels_that_the_model_is_not_sure_of_are_left_to_an_annotator() {
        let mut unsure = SentenceRecord { date: Some("2024".into()), ..record() };
        unsure.abstain(true);
        let read = &read_back(LabelledFormat::Doccano, &shape(), &[unsure])[0];
        assert_eq!((read.labels.as_ref(), &read.fields["date"]), (None, &Value::from("2024")));
    }

    #[test]
    fn nothing_is_written_behind_the_end() {
        let mut report = LabelledReport::new(Vec::new(), LabelledFormat::LabelStudio, &shape()).unwrap();
        report.finish().unwrap();
        report.finish().unwrap();
        assert!(report.sentence(&record()).unwrap_err().to_string().contains("finished"));
    }
}
