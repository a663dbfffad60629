use super::delimited::{by_number, cells, io_error, quotes, rows};
use super::write::{LabelledWriter, Losses, Writing};
use super::{Flaw, Labelled, LabelledOptions, LabelledSentences, Loss};
use crate::formats::FormatError;
use crate::labels::GoldSentence;
use csv::{QuoteStyle, StringRecord, WriterBuilder};
use std::io::{Result as IoResult, Write};
use std::path::Path;

/// [`LabelledFormat::Conflibert`](super::LabelledFormat::Conflibert)
pub(super) fn read(path: &Path, options: LabelledOptions) -> Result<LabelledSentences, FormatError> {
    let quotes = is_quoted(path)?;
    let bits = has_bits(path, quotes)?;
    Ok(Box::new(rows(path, b'\t', quotes)?.map(move |row| {
        let (line, row) = row?;
        let sentence = cells(line, row).and_then(|row| sentence(line, &row, bits, &options.label_names));
        Ok(Labelled { line, sentence: sentence.map_err(Vec::from) })
    })))
}

/// True if every quotation mark that opens a cell has one that closes it. A file without quoting may have sentences that
/// begin with one.
fn is_quoted(path: &Path) -> Result<bool, FormatError> {
    let quotes = quotes(path, b'\t')?;
    Ok(quotes.open().is_none() && !quotes.loose)
}

/// Labels in one cell, bit after bit, if every row has as many of them, and at least two: one bit is a label by itself.
fn has_bits(path: &Path, quotes: bool) -> Result<Option<usize>, FormatError> {
    let mut width = None;
    for row in rows(path, b'\t', quotes)? {
        let (_, row) = row?;
        let Some(bits) =
            row.get(1).filter(|cell| row.len() == 2 && cell.iter().all(|b| matches!(b, b'0' | b'1')))
        else {
            return Ok(None);
        };
        if bits.len() < 2 || *width.get_or_insert(bits.len()) != bits.len() {
            return Ok(None);
        }
    }
    Ok(width)
}

fn sentence(
    line: usize,
    row: &StringRecord,
    bits: Option<usize>,
    names: &[String],
) -> Result<GoldSentence, Flaw> {
    let malformed = |reason: String| Flaw::malformed(line, reason);
    let text = row[0].to_owned();
    if text.trim().is_empty() {
        return Err(Flaw::empty_text(line));
    }
    let cells: Vec<&str> = row.iter().skip(1).map(str::trim).collect();
    let labels = match (cells.as_slice(), bits) {
        ([], _) => {
            return Err(malformed("the text stands alone; a row is a text, a tab and its label".into()));
        }
        ([""], None) => None,
        ([label], None) => Some(vec![by_number(label, names).map_err(malformed)?]),
        ([label], Some(_)) => Some(set(label.chars(), names).map_err(malformed)?),
        (cells, _) => {
            if let Some(cell) = cells.iter().find(|cell| !matches!(**cell, "0" | "1")) {
                let reason =
                    format!("\"{cell}\" stands among the labels, which are 0 or 1 where there are several");
                return Err(malformed(reason));
            }
            Some(set(cells.iter().flat_map(|cell| cell.chars()), names).map_err(malformed)?)
        }
    };
    Ok(GoldSentence { text, labels, ..GoldSentence::default() })
}

/// The labels whose bits are set.
fn set(bits: impl Iterator<Item = char>, names: &[String]) -> Result<Vec<String>, String> {
    let set = bits.enumerate().filter(|&(_, bit)| bit == '1').map(|(place, _)| match names.get(place) {
        None if names.is_empty() => Ok(place.to_string()),
        name => name
            .cloned()
            .ok_or_else(|| format!("there is no name for label {place}: there are {} names", names.len())),
    });
    set.collect()
}

/// A row a sentence: the one label, or a bit for every label.
pub(super) struct Writer<W: Write> {
    out: csv::Writer<W>,
    writing: Writing,
    /// The labels in the order of their bits; `None` where a sentence has one.
    bits: Option<Vec<String>>,
    begun: bool,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, writing: Writing) -> Self {
        let contents = writing.contents();
        let names = if writing.options.label_names.is_empty() {
            contents.label_names()
        } else {
            writing.options.label_names.clone()
        };
        let bits = (!contents.single_label()).then_some(names);
        let out = WriterBuilder::new()
            .delimiter(b'\t')
            .quote_style(QuoteStyle::Necessary)
            .flexible(true)
            .from_writer(out);
        Self { out, writing, bits, begun: false }
    }

    /// The cells behind the text.
    fn labels(&mut self, labels: &Option<Vec<String>>) -> Vec<String> {
        let given = labels.as_deref().unwrap_or_default();
        let bit = |name: &String| u8::from(given.contains(name)).to_string();
        match &self.bits {
            Some(names) if names.len() > 1 => {
                self.writing.lose(Loss::Labels, given.iter().any(|label| !names.contains(label)));
                self.writing.annotation(labels, true);
                names.iter().map(bit).collect()
            }
            // One column of bits is a column of labels: those are called "0" and "1" then.
            Some(names) => {
                let written = labels.as_ref().and_then(|_| names.first().map(bit));
                let kept = written.as_ref().is_none_or(|bit| given == std::slice::from_ref(bit));
                self.writing.lose(Loss::Labels, !kept);
                self.writing.annotation(labels, written.is_some());
                vec![written.unwrap_or_default()]
            }
            None => {
                let label = given.first().map(String::as_str).unwrap_or_default();
                let names = &self.writing.options.label_names;
                let number = names.iter().position(|name| name == label).filter(|_| !label.is_empty());
                let written = number.map_or_else(|| label.trim().to_owned(), |number| number.to_string());
                let read = by_number(&written, names).unwrap_or_default();
                self.writing.lose(Loss::Labels, labels.is_some() && (read != label || read.is_empty()));
                vec![written]
            }
        }
    }
}

impl<W: Write> LabelledWriter for Writer<W> {
    fn write(&mut self, sentence: &GoldSentence) -> IoResult<()> {
        let GoldSentence { article, text, words, labels, entities, fields } = sentence;
        self.writing.lose(Loss::Article, article.is_some());
        self.writing.lose(Loss::Words, words.is_some());
        self.writing.lose(Loss::Entities, entities.as_ref().is_some_and(|entities| !entities.is_empty()));
        self.writing.annotation(entities, false);
        self.writing.lose(Loss::Fields, !fields.is_empty());
        let cells = self.labels(labels);
        self.writing.done();
        // A byte-order mark at the start of a file is no text: one more keeps that of a text, unless it is quoted.
        let bare = !text.contains(['"', '\t', '\n', '\r']);
        let mark = if !self.begun && bare && text.starts_with('\u{feff}') { "\u{feff}" } else { "" };
        self.begun = true;
        let text = format!("{mark}{text}");
        self.out.write_record(std::iter::once(&text).chain(&cells)).map_err(io_error)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> IoResult<Losses> {
        self.out.flush()?;
        Ok(self.writing.losses())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, LabelledOptions, testing};

    fn labels(content: &str, names: &[&str]) -> Result<Vec<Option<Vec<String>>>, String> {
        let options = LabelledOptions {
            label_names: names.iter().map(|&name| name.to_owned()).collect(),
            ..LabelledFormat::Conflibert.into()
        };
        Ok(testing::read(options, content)?.into_iter().map(|gold| gold.labels).collect())
    }

    fn some(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn one_column_is_one_label() {
        assert_eq!(labels("a\t0\nb\t1\n", &[]).unwrap(), [some(&["0"]), some(&["1"])]);
        assert_eq!(labels("a\t0\nb\t1\n", &["no", "yes"]).unwrap(), [some(&["no"]), some(&["yes"])]);
        assert_eq!(labels("a\t3\nb\t10\n", &[]).unwrap(), [some(&["3"]), some(&["10"])]);
        assert_eq!(labels("a\tprotest\n", &[]).unwrap(), [some(&["protest"])]);
    }

    #[test]
    fn bits_stand_in_columns_or_in_one_cell() {
        let expected = [some(&["0", "2"]), some(&[])];
        assert_eq!(labels("a\t1\t0\t1\nb\t0\t0\t0\n", &[]).unwrap(), expected);
        assert_eq!(labels("a\t101\nb\t000\n", &[]).unwrap(), expected);
        assert_eq!(labels("a\t101\n", &["x", "y", "z"]).unwrap(), [some(&["x", "z"])]);
    }

    #[test]
    fn quotes_are_taken_off_only_in_a_file_that_is_quoted() {
        let texts = |content: &str| -> Vec<String> {
            testing::read(LabelledFormat::Conflibert, content)
                .unwrap()
                .into_iter()
                .map(|gold| gold.text)
                .collect()
        };
        assert_eq!(texts("\"He said \"\"no\"\".\"\t1\nb\t0\n"), ["He said \"no\".", "b"]);
        assert_eq!(texts("\"No,\" he said.\t1\nb\t0\n"), ["\"No,\" he said.", "b"]);
    }

    #[test]
    fn a_bad_row_is_named() {
        for (content, expected) in [
            ("a\t1\nb\n", "data:2: the text stands alone"),
            ("a\t1\t0\nb\t2\t0\n", "data:2: \"2\" stands among the labels"),
            (" \t1\n", "data:1: the text is empty"),
        ] {
            let error = labels(content, &[]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(labels("a\t7\n", &["x", "y"]).unwrap_err().contains("no label has the number 7"));
    }
}
