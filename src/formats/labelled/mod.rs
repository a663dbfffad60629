//! Labelled sentences in the forms that people keep them in, as streams that outlive a bad record.

mod articles;
mod brat;
mod conflibert;
mod conll;
mod delimited;
mod detect;
mod doccano;
mod flaw;
mod hugging_face;
mod json;
mod label_studio;
mod lines;
mod options;
mod prodigy;
mod record;
#[cfg(test)]
mod round_trip;
mod sentences;
mod spacy;
mod spans;
mod unique;
mod words;
mod write;

pub use brat::BratWriter;
pub(crate) use brat::documents as brat_documents;
pub use flaw::{Flaw, FlawKind, Labelled};
pub use options::{LabelledFormat, LabelledOptions};
pub use write::{Contents, LabelledWriter, Loss, Losses, WriteOptions, labelled_writer};

use super::FormatError;
use std::path::Path;

/// The sentences of a labelled file in order. An error ends the stream: the file can be read no further.
pub type LabelledSentences = Box<dyn Iterator<Item = Result<Labelled, FormatError>>>;

/// Reads a labelled file, sentence by sentence. A [`LabelledFormat`] alone will do for the options.
///
/// # Errors
/// If the file cannot be opened. What is wrong with a sentence stands in its place in the stream.
pub fn read_labelled(
    path: &Path,
    options: impl Into<LabelledOptions>,
) -> Result<LabelledSentences, FormatError> {
    let mut options = options.into();
    let format = options.format_of(path)?;
    options.format = Some(format);
    match format {
        LabelledFormat::Articles => Ok(Box::new(articles::read(lines::lines(path)?, options.unit()))),
        LabelledFormat::Sentences => sentences::read(path, options),
        LabelledFormat::Conll => Ok(Box::new(conll::read(lines::lines(path)?))),
        LabelledFormat::HuggingFace => hugging_face::read(path, options),
        LabelledFormat::Doccano => doccano::read(path, options),
        LabelledFormat::Prodigy => prodigy::read(path, options),
        LabelledFormat::LabelStudio => label_studio::read(path, options),
        LabelledFormat::Spacy => spacy::read(path, options),
        LabelledFormat::Brat => brat::read(path, options),
        LabelledFormat::Conflibert => conflibert::read(path, options),
        LabelledFormat::Csv => delimited::read(path, options, b','),
        LabelledFormat::Tsv => delimited::read(path, options, b'\t'),
    }
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::labels::GoldSentence;

    /// The sentences of a file with the given content, which is called `data`.
    pub(super) fn read(
        options: impl Into<LabelledOptions>,
        content: impl AsRef<[u8]>,
    ) -> Result<Vec<GoldSentence>, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data");
        std::fs::write(&path, content).expect("a written file");
        let sentences = read_labelled(&path, options).map_err(|error| error.to_string())?;
        let gold = sentences.map(|labelled| labelled.and_then(|labelled| labelled.gold(&path)));
        gold.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_past_a_bad_record() {
        let content: &[u8] =
            b"{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"\xff\"}\n{\n{\"text\":\"b\",\"stance\":[]}\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, content).unwrap();
        let read: Vec<Labelled> =
            read_labelled(&path, LabelledFormat::Sentences).unwrap().collect::<Result<_, _>>().unwrap();
        let lines: Vec<(usize, bool)> = read.iter().map(|l| (l.line, l.sentence.is_ok())).collect();
        assert_eq!(lines, [(1, true), (2, false), (3, false), (4, true)]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let error =
            testing::read(LabelledFormat::Sentences, b"{\"text\":\"a\",\"stance\":[]}\n{\"text\":\"\xff\"}");
        assert!(error.unwrap_err().contains("data:2: byte 9 is not UTF-8"));
    }
}
