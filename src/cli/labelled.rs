//! How labelled files are read.

use crate::cli::batch::Unit;
use crate::cli::misuse;
use std::collections::BTreeSet;
use std::path::PathBuf;
use undertone::formats::{LabelledFormat, LabelledOptions};

/// What every command takes that reads labelled files.
#[derive(clap::Args)]
#[command(next_help_heading = "Form of the labelled files")]
pub(crate) struct LabelledArgs {
    /// Format of the files [default: by the name and the first records of each]
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<Form>,
    /// What offsets in the files count [default: what the format counts: utf16 in doccano, else char]
    #[arg(long, value_enum, value_name = "UNIT")]
    offsets: Option<Unit>,
    /// Field or column that holds the text [default: the names of the format]
    #[arg(long, value_name = "NAME")]
    text_field: Option<String>,
    /// Field or column that holds the labels [default: the names of the format]
    #[arg(long, value_name = "NAME")]
    label_field: Option<String>,
    /// Names of labels that are written as numbers, in the order of their numbers from 0
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    label_names: Vec<String>,
    /// Names of tags that are written as numbers, in the order of their numbers from 0, such as O,B-PER,I-PER
    #[arg(long, value_name = "TAG,...", value_delimiter = ',')]
    tag_names: Vec<String>,
    /// Take every line of a document of brat as a sentence, in place of finding sentences
    #[arg(long)]
    lines: bool,
}

impl LabelledArgs {
    /// What was typed, as the reader takes it.
    pub(crate) fn options(self) -> LabelledOptions {
        let Self { from, offsets, text_field, label_field, label_names, tag_names, lines } = self;
        LabelledOptions {
            format: from.map(LabelledFormat::from),
            offsets: offsets.map(Into::into),
            text_field,
            label_field,
            label_names,
            tag_names,
            lines,
        }
    }
}

/// Refuses inputs that are not there, that can be read only once (their format is told from their first records), or that are
/// named twice.
pub(crate) fn readable<'a>(inputs: impl IntoIterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for path in inputs {
        let found = std::fs::metadata(path).map_err(|e| misuse(format!("{}: {e}", path.display())))?;
        if !found.is_file() && !found.is_dir() {
            let reason = "it is neither file nor folder, and inputs are read twice; copy it to a file";
            return Err(misuse(format!("{}: {reason}", path.display())));
        }
        if !seen.insert(path) {
            return Err(misuse(format!("{}: it is named twice", path.display())));
        }
    }
    Ok(())
}

/// A labelled format by name.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Form {
    /// An article a line (JSONL), with its sentences
    Articles,
    /// A sentence a line (JSONL)
    Sentences,
    /// A word and its tag a line
    Conll,
    /// Records of Hugging Face datasets (JSONL): text and label, or tokens and ner_tags
    #[value(alias = "hugging-face", alias = "huggingface")]
    Hf,
    /// JSONL of doccano
    Doccano,
    /// JSONL of Prodigy
    Prodigy,
    /// JSON of Label Studio
    LabelStudio,
    /// JSONL of spaCy
    Spacy,
    /// A folder of brat's texts and marks
    Brat,
    /// Tab-separated text and labels without a header, as ConfliBERT reads them
    Conflibert,
    /// Comma-separated values under a header
    Csv,
    /// Tab-separated values under a header
    Tsv,
}

impl From<Form> for LabelledFormat {
    fn from(form: Form) -> Self {
        match form {
            Form::Articles => Self::Articles,
            Form::Sentences => Self::Sentences,
            Form::Conll => Self::Conll,
            Form::Hf => Self::HuggingFace,
            Form::Doccano => Self::Doccano,
            Form::Prodigy => Self::Prodigy,
            Form::LabelStudio => Self::LabelStudio,
            Form::Spacy => Self::Spacy,
            Form::Brat => Self::Brat,
            Form::Conflibert => Self::Conflibert,
            Form::Csv => Self::Csv,
            Form::Tsv => Self::Tsv,
        }
    }
}
