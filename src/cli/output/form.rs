//! The forms of results, and how they are compressed.

use crate::cli::misuse;
use anstream::AutoStream;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::io::{BufWriter, Write};
use undertone::formats::LabelledFormat;
use undertone::report::{
    self, ColumnsReport, CompressedReport, DelimitedReport, JsonlReport, LabelledReport, LinesReport, Report,
    Rows, Separator, Shape, TableReport,
};

/// A form of results by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    /// For people
    Table,
    /// The table without colour, its lines not wrapped
    Text,
    /// A line a sentence: labels, entities and the sentence, with tabs between them
    Lines,
    /// A JSON object a row
    Jsonl,
    /// Comma-separated values under a header
    Csv,
    /// Tab-separated values under a header, nothing quoted
    Tsv,
    /// A Parquet file
    Parquet,
    /// An Arrow file (Feather, version 2)
    Arrow,
    /// A stream of Arrow batches
    ArrowStream,
    /// A word and its tag a line; labels have no place in it
    Conll,
    /// A folder of brat's texts and marks
    Brat,
    /// JSONL of doccano
    Doccano,
    /// JSONL of spaCy
    Spacy,
    /// JSONL of Prodigy
    Prodigy,
    /// JSON of Label Studio
    LabelStudio,
    /// JSONL of Hugging Face datasets: text and labels, or tokens and ner_tags
    #[value(alias = "hugging-face", alias = "huggingface")]
    Hf,
}

/// How results are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compression {
    /// As gzip does, `.gz`
    Gzip,
    /// As Zstandard does, `.zst`
    Zstd,
}

/// The form of results and how they are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) form: Form,
    pub(crate) compression: Option<Compression>,
}

/// Columns of a table that is not on a terminal.
pub(super) const TABLE_WIDTH: usize = 100;

impl Format {
    /// Records of the given shape to `writer`, which need not be buffered. All is written, and a compressed stream ended,
    /// when the report has finished.
    ///
    /// # Errors
    /// If the form cannot hold such records, or the writer fails.
    pub(crate) fn report(
        self,
        writer: Box<dyn Write + Send>,
        shape: &Shape,
    ) -> anyhow::Result<Box<dyn Report + Send>> {
        self.refuse(shape.rows)?;
        if shape.rows == Rows::Entity && !shape.entities {
            return Err(misuse("--rows entity needs entities; `undertone ner` and `analyze` look for them"));
        }
        if self.form == Form::Conll && !shape.entities {
            return Err(misuse("conll has a place for entities alone; give another --format for labels"));
        }
        let compression = match self.compression {
            None => return self.form.report(writer, shape),
            Some(Compression::Gzip) => report::Compression::Gzip,
            Some(Compression::Zstd) => report::Compression::Zstd,
        };
        let report = CompressedReport::new(writer, compression, |writer| self.form.report(writer, shape))?;
        Ok(Box::new(report))
    }

    /// Refuses what the form cannot have.
    pub(super) fn refuse(self, rows: Rows) -> anyhow::Result<()> {
        let Self { form, compression } = self;
        let name = form.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        if rows != Rows::Sentence && !form.has_rows() {
            return Err(misuse(format!(
                "{name} is made of sentences; `--rows entity` and `--rows article` are for jsonl, csv, tsv, parquet, arrow and arrow-stream"
            )));
        }
        if form == Form::Brat && compression.is_some() {
            return Err(misuse(
                "a folder of brat is not compressed; leave out --compress, or `.gz` or `.zst` in the name of --output",
            ));
        }
        Ok(())
    }

    /// How the names of files of this format end, without the first dot: `jsonl`, `csv.gz`.
    pub(crate) fn extension(self) -> String {
        let compression = match self.compression {
            None => "",
            Some(Compression::Gzip) => ".gz",
            Some(Compression::Zstd) => ".zst",
        };
        format!("{}{compression}", self.form.extension())
    }

    /// What the name of a file tells by its end, any case.
    pub(super) fn of_name(name: &str) -> (Option<Form>, Option<Compression>) {
        let name = name.to_ascii_lowercase();
        let (compression, name) = match name.rsplit_once('.') {
            Some((name, "gz" | "gzip")) => (Some(Compression::Gzip), name),
            Some((name, "zst" | "zstd")) => (Some(Compression::Zstd), name),
            _ => (None, name.as_str()),
        };
        let form = match name.rsplit_once('.').map(|(_, end)| end) {
            Some("txt" | "text") => Some(Form::Text),
            Some("jsonl" | "ndjson") => Some(Form::Jsonl),
            Some("csv") => Some(Form::Csv),
            Some("tsv" | "tab") => Some(Form::Tsv),
            Some("parquet") => Some(Form::Parquet),
            Some("arrow" | "feather" | "ipc") => Some(Form::Arrow),
            Some("arrows") => Some(Form::ArrowStream),
            Some("conll" | "bio" | "iob") => Some(Form::Conll),
            _ => None,
        };
        (form, compression)
    }
}

impl Form {
    /// The one place where forms are told apart when they are written.
    fn report(self, writer: Box<dyn Write + Send>, shape: &Shape) -> anyhow::Result<Box<dyn Report + Send>> {
        let labelled = |writer, format| -> anyhow::Result<Box<dyn Report + Send>> {
            Ok(Box::new(LabelledReport::new(BufWriter::new(writer), format, shape)?))
        };
        Ok(match self {
            Self::Table => Box::new(TableReport::new(AutoStream::never(buffered(writer)), TABLE_WIDTH)),
            Self::Text => Box::new(TableReport::new(AutoStream::never(buffered(writer)), usize::MAX)),
            Self::Lines => Box::new(LinesReport::new(BufWriter::new(writer), shape)),
            Self::Jsonl => Box::new(JsonlReport::with_rows(BufWriter::new(writer), shape.rows)),
            Self::Csv => Box::new(DelimitedReport::new(writer, Separator::Comma, shape)?),
            Self::Tsv => Box::new(DelimitedReport::new(writer, Separator::Tab, shape)?),
            Self::Parquet => Box::new(ColumnsReport::parquet(writer, shape)?),
            Self::Arrow => Box::new(ColumnsReport::arrow_file(writer, shape)?),
            Self::ArrowStream => Box::new(ColumnsReport::arrow_stream(writer, shape)?),
            Self::Conll => labelled(writer, LabelledFormat::Conll)?,
            Self::Doccano => labelled(writer, LabelledFormat::Doccano)?,
            Self::Spacy => labelled(writer, LabelledFormat::Spacy)?,
            Self::Prodigy => labelled(writer, LabelledFormat::Prodigy)?,
            Self::LabelStudio => labelled(writer, LabelledFormat::LabelStudio)?,
            Self::Hf => labelled(writer, LabelledFormat::HuggingFace)?,
            Self::Brat => {
                return Err(misuse("brat keeps its documents in a folder and not in one stream or in parts"));
            }
        })
    }

    /// True if its rows may be something else than sentences.
    fn has_rows(self) -> bool {
        matches!(self, Self::Jsonl | Self::Csv | Self::Tsv) || self.is_columns()
    }

    /// True if it is bytes and no text.
    pub(super) fn is_columns(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::ArrowStream)
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Table | Self::Text | Self::Lines => "txt",
            Self::Jsonl | Self::Doccano | Self::Spacy | Self::Prodigy | Self::Hf => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::ArrowStream => "arrows",
            Self::Conll => "conll",
            Self::LabelStudio => "json",
            Self::Brat => "brat",
        }
    }
}

/// A writer of the type that `anstream` can wrap.
pub(super) fn buffered(writer: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
    Box::new(BufWriter::new(writer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_name_tells_form_and_compression_by_its_end() {
        for (name, form, compression) in [
            ("a.csv", Some(Form::Csv), None),
            ("a.b.JSONL.GZ", Some(Form::Jsonl), Some(Compression::Gzip)),
            ("a.tsv.zst", Some(Form::Tsv), Some(Compression::Zstd)),
            ("csv", None, None),
            ("csv.gz", None, Some(Compression::Gzip)),
            ("a.json", None, None),
        ] {
            assert_eq!(Format::of_name(name), (form, compression), "{name}");
        }
    }

    #[test]
    fn a_file_is_called_by_what_its_name_is_read_as() {
        let columns = [Form::Parquet, Form::Arrow, Form::ArrowStream];
        for form in [Form::Jsonl, Form::Csv, Form::Tsv, Form::Conll, Form::Text].into_iter().chain(columns) {
            for compression in [None, Some(Compression::Gzip), Some(Compression::Zstd)] {
                let name = format!("part.{}", Format { form, compression }.extension());
                assert_eq!(Format::of_name(&name), (Some(form), compression), "{name}");
            }
        }
    }

    #[test]
    fn all_is_written_when_the_report_has_finished() {
        let shape = Shape { entities: true, ..Shape::default() };
        for &form in Form::value_variants().iter().filter(|form| **form != Form::Brat) {
            for compression in [None, Some(Compression::Gzip), Some(Compression::Zstd)] {
                let out = Shared::default();
                let format = Format { form, compression };
                let mut report = format.report(Box::new(out.clone()), &shape).unwrap();
                report.finish().unwrap();
                let before = out.0.lock().unwrap().clone();
                // Dropping it adds nothing.
                drop(report);
                let after = out.0.lock().unwrap().clone();
                assert_eq!(before, after, "{format:?}");
                let begun = matches!(form, Form::Csv | Form::Tsv | Form::LabelStudio) || form.is_columns();
                assert_eq!(!after.is_empty(), begun || compression.is_some(), "{format:?}");
            }
        }
    }

    #[test]
    fn what_a_form_cannot_hold_is_refused() {
        let format = |form| Format { form, compression: None };
        let refused = |form, shape: &Shape| {
            format(form).report(Box::new(Vec::new()), shape).err().map(|error| error.to_string())
        };
        let entity = Shape { rows: Rows::Entity, ..Shape::default() };
        assert!(refused(Form::Jsonl, &entity).unwrap().contains("needs entities"));
        let entity = Shape { entities: true, ..entity };
        assert_eq!(refused(Form::Jsonl, &entity), None);
        assert!(refused(Form::LabelStudio, &entity).unwrap().contains("label-studio is made of sentences"));
        assert!(refused(Form::Conll, &Shape::default()).unwrap().contains("entities alone"));
        assert!(refused(Form::Brat, &Shape::default()).unwrap().contains("folder"));
    }
}
