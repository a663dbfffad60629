//! `undertone datasets convert`: from the format of one tool to that of another.

use super::told::counted;
use crate::cli::batch::{OnError, Unit};
use crate::cli::labelled::{Form, LabelledArgs, readable};
use crate::cli::logging::{SAID, say};
use crate::cli::output::{PendingFile, PendingFolder};
use crate::cli::{described, misuse};
use anyhow::Context;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use undertone::formats::{
    BratWriter, Contents, FormatError, LabelledFormat, LabelledOptions, LabelledWriter, Loss, Losses,
    WriteOptions, labelled_writer, read_labelled,
};
use undertone::labels::GoldSentence;

/// Bring labelled files into the format of another tool, and tell what it cannot hold
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone datasets convert project-1.json --to sentences -o train.jsonl\n          undertone datasets convert train.tsv --label-names protest,violence --to csv\n          undertone datasets convert articles.jsonl --to brat -o articles/"
)]
pub(crate) struct ConvertArgs {
    /// Labelled files, or folders of brat's documents
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// Format to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Form,
    #[command(flatten)]
    labelled: LabelledArgs,
    /// File to write, whole or not at all; for brat a new folder [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What offsets in the output count [default: what the format counts]
    #[arg(long, value_enum, value_name = "UNIT", hide_possible_values = true)]
    to_offsets: Option<Unit>,
    /// What to do when a record cannot be read: stop, or go on, tell at the end and exit with 1
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = OnError::Fail)]
    on_error: OnError,
}

pub(crate) fn run(args: ConvertArgs) -> anyhow::Result<ExitCode> {
    let ConvertArgs { inputs, to, labelled, output, to_offsets, on_error } = args;
    readable(&inputs)?;
    let place = Place::open(to, output)?;
    let options = labelled.options();
    let label_names = options.label_names.clone();
    let reader = Reader { inputs, options, skip: on_error == OnError::Skip };
    // Some formats must know what there is before the first sentence is written.
    let mut contents = Contents::default();
    let mut bad = 0;
    reader.each(
        |sentence| {
            contents.add(&sentence);
            Ok(())
        },
        |reason| {
            bad += 1;
            tracing::warn!("passed over {reason}");
        },
    )?;
    let total = contents.sentences;
    let numbers = numbers(to, &label_names, &contents);
    let write = WriteOptions { offsets: to_offsets.map(Into::into), label_names, contents };
    let losses = place.write(write, |writer| {
        reader.each(|sentence| writer.write(&sentence).context("cannot write the output"), |_| {})
    })?;
    tell(total, &losses, numbers);
    if bad == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    tracing::error!(target: SAID, "{} could not be read", counted(bad, "record", "records"));
    Ok(ExitCode::FAILURE)
}

/// The inputs, and how they are read.
struct Reader {
    inputs: Vec<PathBuf>,
    options: LabelledOptions,
    skip: bool,
}

impl Reader {
    /// Hands every sentence to `take`, and what is wrong with those that cannot be read to `pass`, or stops at the first.
    fn each(
        &self,
        mut take: impl FnMut(GoldSentence) -> anyhow::Result<()>,
        mut pass: impl FnMut(String),
    ) -> anyhow::Result<()> {
        let mut bad = |error: FormatError| {
            if self.skip {
                pass(described(&error.into()));
                return Ok(());
            }
            Err(anyhow::Error::new(error)
                .context("a record cannot be read (to pass over such records use `--on-error skip`)"))
        };
        for input in &self.inputs {
            let sentences = match read_labelled(input, self.options.clone()) {
                Ok(sentences) => sentences,
                Err(error) => {
                    bad(error)?;
                    continue;
                }
            };
            for labelled in sentences {
                match labelled.and_then(|labelled| labelled.gold(input)) {
                    Ok(sentence) => take(sentence)?,
                    Err(error) => bad(error)?,
                }
            }
        }
        Ok(())
    }
}

/// Where the output goes.
enum Place {
    Stdout(LabelledFormat),
    File(LabelledFormat, PendingFile),
    Folder(PendingFolder),
}

impl Place {
    /// Looks at the place before the work starts.
    fn open(to: Form, output: Option<PathBuf>) -> anyhow::Result<Self> {
        match (to, output) {
            (Form::Brat, None) => {
                Err(misuse("brat keeps its documents in a folder; name a new one with --output"))
            }
            (Form::Brat, Some(folder)) => Ok(Self::Folder(PendingFolder::create(&folder)?)),
            (to, None) => Ok(Self::Stdout(to.into())),
            (to, Some(path)) => Ok(Self::File(to.into(), PendingFile::create(&path)?)),
        }
    }

    /// Writes what `fill` hands to the writer.
    fn write(
        self,
        options: WriteOptions,
        fill: impl FnOnce(&mut dyn LabelledWriter) -> anyhow::Result<()>,
    ) -> anyhow::Result<Losses> {
        let cannot = "cannot write the output";
        match self {
            Self::Stdout(format) => {
                let mut writer = labelled_writer(format, BufWriter::new(std::io::stdout()), options)?;
                fill(writer.as_mut())?;
                writer.finish().context(cannot)
            }
            Self::File(format, file) => {
                let out: BufWriter<File> = BufWriter::new(file.handle()?);
                let mut writer = labelled_writer(format, out, options)?;
                fill(writer.as_mut())?;
                let losses = writer.finish().context(cannot)?;
                file.keep()?;
                Ok(losses)
            }
            Self::Folder(folder) => {
                let mut writer = Box::new(BratWriter::create(folder.path(), options).context(cannot)?);
                fill(writer.as_mut())?;
                let losses = writer.finish().context(cannot)?;
                folder.keep()?;
                Ok(losses)
            }
        }
    }
}

/// What numbers stand for in the output, if it has numbers in place of names.
fn numbers(to: Form, given: &[String], contents: &Contents) -> Option<String> {
    if to != Form::Conflibert || contents.single_label() && given.is_empty() {
        return None;
    }
    let names = if given.is_empty() { contents.label_names() } else { given.to_vec() };
    let names: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{i} {name}")).collect();
    Some(names.join(", "))
}

/// Tells what was written and what was lost.
fn tell(sentences: usize, losses: &Losses, numbers: Option<String>) {
    say!("{} written", counted(sentences, "sentence", "sentences"));
    if let Some(numbers) = numbers {
        say!("labels by number: {numbers}");
    }
    for (loss, &count) in losses {
        let what = match loss {
            Loss::Article => "the article is lost, or a name was made up",
            Loss::Text => "white space or line ends of the text were changed",
            Loss::Words => "the given words are lost",
            Loss::Labels => "labels are lost or renamed",
            Loss::Entities => "entities are lost",
            Loss::Fields => "other fields, or their types, are lost",
            Loss::Annotation => "\"none\" and \"not annotated\" cannot be told apart",
            _ => "something is lost",
        };
        tracing::info!("in {}: {what}", counted(count, "sentence", "sentences"));
    }
}
