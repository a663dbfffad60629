//! `undertone classify`, `ner` and `analyze`: one way of reading, with one head or with both.

use crate::cli::input::InputArgs;
use crate::cli::model::{on_device, optional_folder};
use crate::cli::output::{Output, OutputArgs, PendingFile};
use crate::cli::{described, misuse};
use anyhow::Context;
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use undertone::engine::{Aggregation, DeviceChoice, Engine, EngineError, Input, Tasks, ZeroShot};
use undertone::formats::{BadRecord, Document};
use undertone::report::{Origin, Rows, Shape};
use undertone::text::{OffsetUnit, Offsets, Span};

#[derive(clap::Args)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Model: a folder, or `owner/name[@revision]` on the Hugging Face hub, which is fetched once [default: the one inside
    /// the program]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Unit of `start` and `end`
    #[arg(long, value_enum, default_value_t = Unit::Char)]
    offsets: Unit,
    /// Hand on the other fields of JSONL, CSV and TSV records, as `fields`
    #[arg(long)]
    keep_fields: bool,
    /// What to do when a record cannot be read: stop, or go on, tell at the end and exit with 1
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = OnError::Fail)]
    on_error: OnError,
    /// File for the records that could not be read, with the reasons (JSONL); implies `--on-error skip`
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// What a special token that is written out in a text (`[SEP]`, `<s>`) counts as
    #[arg(long, value_enum, value_name = "KIND", default_value_t = SpecialTokens::Text)]
    special_tokens: SpecialTokens,
    /// Where the model runs: `auto` (the first GPU that this build can use, else the CPU), `cpu`, `cuda`, `cuda:N` or `metal`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Threads that work at the same time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// What the commands that give labels take besides.
#[derive(clap::Args)]
struct LabelArgs {
    /// Say of a sentence whose least sure decision is below P, a probability, that the model abstains: such records have no
    /// labels and `"abstained": true`
    #[arg(long, value_name = "P", value_parser = probability)]
    min_confidence: Option<f32>,
}

/// Reads a probability.
fn probability(text: &str) -> Result<f32, String> {
    let p = text.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    p.ok_or_else(|| "it must be a probability, from 0 to 1".into())
}

/// What `classify` takes besides.
#[derive(clap::Args)]
pub(crate) struct ClassifyArgs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    label: LabelArgs,
    /// What labels to give: the model's own, or any, if the model judges natural-language inference
    #[arg(long, value_enum, default_value_t = Task::Labels)]
    task: Task,
    /// Labels of `--task zero-shot`
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    labels: Vec<String>,
    /// What `--task zero-shot` says of a sentence, `{}` being the label
    #[arg(long, value_name = "TEXT", default_value = ZeroShot::TEMPLATE)]
    template: String,
    /// Judge every label of `--task zero-shot` by itself: none or several may apply
    #[arg(long)]
    multi_label: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Task {
    /// The labels that the model was trained on
    Labels,
    /// Those of `--labels`, by a classifier of natural-language inference
    ZeroShot,
}

impl ClassifyArgs {
    /// The labels that are asked for in place of the model's own.
    fn zero_shot(&self) -> anyhow::Result<Option<ZeroShot>> {
        match (self.task, self.labels.is_empty()) {
            (Task::Labels, true) if !self.multi_label => Ok(None),
            (Task::Labels, _) => Err(misuse(
                "--labels and --multi-label belong to `--task zero-shot`; without it the model has labels of its own",
            )),
            (Task::ZeroShot, true) => Err(misuse(
                "`--task zero-shot` needs labels to choose from, such as `--labels war,trade,health`",
            )),
            (Task::ZeroShot, false) => Ok(Some(ZeroShot {
                labels: self.labels.iter().map(|label| label.trim().to_owned()).collect(),
                template: self.template.clone(),
                multi_label: self.multi_label,
            })),
        }
    }
}

/// What `analyze` takes.
#[derive(clap::Args)]
pub(crate) struct AnalyzeArgs {
    #[command(flatten)]
    naming: NamingArgs,
    #[command(flatten)]
    label: LabelArgs,
}

/// What the commands that find names take besides.
#[derive(clap::Args)]
pub(crate) struct NamingArgs {
    #[command(flatten)]
    read: ReadArgs,
    /// From pieces of words to entities; all but `words` are those of the pipelines of `transformers`
    #[arg(long, value_enum, value_name = "STRATEGY", default_value_t = Strategy::Words)]
    aggregation: Strategy,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Strategy {
    /// The first piece of a word speaks for it; the likeliest legal sequence of tags
    Words,
    /// Every piece alone, with its tag
    None,
    /// Neighbouring pieces of one type joined
    Simple,
    /// Neighbouring words of one type joined, each with the tag of its first piece
    First,
    /// The same, each with the likeliest tag of its pieces' mean probabilities
    Average,
    /// The same, each with the tag of its surest piece
    Max,
}

impl Strategy {
    fn aggregation(self) -> Aggregation {
        match self {
            Self::Words => Aggregation::Words,
            Self::None => Aggregation::None,
            Self::Simple => Aggregation::Simple,
            Self::First => Aggregation::First,
            Self::Average => Aggregation::Average,
            Self::Max => Aggregation::Max,
        }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Unit {
    /// Unicode code points, as in Python
    Char,
    /// Bytes of UTF-8, as in Rust
    Byte,
    /// UTF-16 units, as in JavaScript
    Utf16,
}

impl From<Unit> for OffsetUnit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Char => Self::Char,
            Unit::Byte => Self::Byte,
            Unit::Utf16 => Self::Utf16,
        }
    }
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum SpecialTokens {
    /// Text like any other: nobody can part a sentence by what is written in it
    Text,
    /// The token, as in `transformers`
    Token,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum OnError {
    Fail,
    Skip,
}

/// Sentences that are read before the engine is asked: enough to batch well, few enough to keep memory flat.
const LOOK_AHEAD: usize = 1024;
/// Share of unknown tokens from which on the user is told.
const UNKNOWN_SHARE: f64 = 0.02;
/// Unknown tokens that say nothing of a vocabulary: names and signs that any text may have.
const UNKNOWN_TOKENS: usize = 20;
/// Bytes of text that count as a sentence, where sentences are longer or there are none.
const BYTES_PER_SENTENCE: usize = 256;

/// `undertone classify`
pub(crate) fn classify(args: ClassifyArgs) -> anyhow::Result<ExitCode> {
    let zero_shot = args.zero_shot()?;
    run(args.read, Tasks::Classify, args.label.min_confidence, |engine| match zero_shot {
        None => Ok(engine),
        Some(zero_shot) => engine.with_zero_shot(zero_shot).map_err(|error| match error {
            EngineError::ZeroShot { .. } => misuse(error.to_string()),
            error => error.into(),
        }),
    })
}

/// `undertone ner`
pub(crate) fn ner(args: NamingArgs) -> anyhow::Result<ExitCode> {
    let aggregation = args.aggregation.aggregation();
    run(args.read, Tasks::Ner, None, |engine| Ok(engine.with_aggregation(aggregation)))
}

/// `undertone analyze`
pub(crate) fn analyze(args: AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let AnalyzeArgs { naming, label } = args;
    let aggregation = naming.aggregation.aggregation();
    let adapt = |engine: Engine| Ok(engine.with_aggregation(aggregation));
    run(naming.read, Tasks::Both, label.min_confidence, adapt)
}

/// Reads every input and writes a record a sentence, with the engine as `adapt` makes it.
fn run(
    args: ReadArgs,
    tasks: Tasks,
    min_confidence: Option<f32>,
    adapt: impl FnOnce(Engine) -> anyhow::Result<Engine>,
) -> anyhow::Result<ExitCode> {
    let ReadArgs {
        input,
        output,
        model,
        offsets,
        keep_fields,
        on_error,
        rejects,
        special_tokens,
        device,
        threads,
    } = args;
    let inputs = input.resolve(keep_fields)?;
    if rejects.is_some() && rejects == output.output {
        return Err(misuse("--output and --rejects name the same file"));
    }
    let mut rejects = Rejects::open(rejects, on_error)?;
    let place = output.open()?;
    let folder = optional_folder(model.as_deref())?;
    let mut engine = on_device(Engine::open(folder.as_deref())?, device)?;
    if folder.is_some() && engine.bundle().tokenizer.lowers_a_cased_vocabulary() {
        anstream::eprintln!(
            "warning: the model's tokenizer puts text into lower case, but its vocabulary has upper-case pieces; if the model was trained on cased text, set `\"do_lower_case\": false` in its tokenizer_config.json"
        );
    }
    if special_tokens == SpecialTokens::Token {
        engine = engine.reading_special_tokens();
    }
    engine = adapt(engine)?;
    if let Some(threads) = threads {
        engine = engine.with_threads(threads.into());
    }
    let unit = offsets.into();
    let tasks = possible(tasks, &engine)?;
    let output = place.output(&Shape {
        rows: Rows::Sentence,
        labels: (tasks != Tasks::Ner).then(|| engine.labels().to_vec()),
        abstained: min_confidence.is_some(),
        entities: tasks != Tasks::Classify,
        date: inputs.has_dates(),
        fields: keep_fields,
    })?;
    let mut writer = Writer {
        engine: &engine,
        tasks,
        unit,
        keep_fields,
        min_confidence,
        output,
        ahead: Vec::new(),
        load: 0,
        sentences: 0,
        length: 0,
        tokens: 0,
        unknown_tokens: 0,
    };
    for input in 0..inputs.paths().len() {
        let documents = match inputs.open(input) {
            Ok(documents) => documents,
            Err(error) => {
                writer.write()?;
                rejects.input(error)?;
                continue;
            }
        };
        for document in documents {
            match document {
                Ok(document) => writer.push(document)?,
                Err(bad) => {
                    // What came before it is written first: an error then stands where it happened.
                    writer.write()?;
                    rejects.record(bad)?;
                }
            }
        }
    }
    writer.write()?;
    writer.warn_of_unknown_tokens();
    writer.output.finish()?;
    rejects.finish()
}

/// What is asked for, checked against the heads that the model has.
fn possible(tasks: Tasks, engine: &Engine) -> anyhow::Result<Tasks> {
    let (labels, entities) = (!engine.labels().is_empty(), !engine.entity_labels().is_empty());
    match tasks {
        Tasks::Classify if !labels => {
            Err(misuse("the model has no sentence labels; `undertone ner` asks for what it knows"))
        }
        Tasks::Ner if !entities => {
            Err(misuse("the model knows no entities; `undertone classify` asks for what it knows"))
        }
        Tasks::Both => match (labels, entities) {
            (true, true) => Ok(Tasks::Both),
            (true, false) => Ok(Tasks::Classify),
            (false, true) => Ok(Tasks::Ner),
            (false, false) => Err(misuse(
                "the model has neither sentence labels nor entities: it is an encoder that must be trained first (`undertone train`)",
            )),
        },
        tasks => Ok(tasks),
    }
}

struct Writer<'a> {
    engine: &'a Engine,
    tasks: Tasks,
    unit: OffsetUnit,
    keep_fields: bool,
    /// Below which the model abstains from labels.
    min_confidence: Option<f32>,
    output: Output,
    /// Documents that are read and not yet written, and what they weigh, in sentences.
    ahead: Vec<(Document, Vec<Span>)>,
    load: usize,
    /// Sentences of the text that the last document belongs to, so far.
    sentences: usize,
    /// Length of that text so far, in the unit of offsets.
    length: usize,
    /// Tokens so far, and those of them that the vocabulary lacks.
    tokens: usize,
    unknown_tokens: usize,
}

impl Writer<'_> {
    /// Takes a document, and writes when there is enough to batch.
    fn push(&mut self, document: Document) -> anyhow::Result<()> {
        let sentences = document.sentences();
        self.load += sentences.len().max(document.text.len() / BYTES_PER_SENTENCE).max(1);
        self.ahead.push((document, sentences));
        if self.load >= LOOK_AHEAD { self.write() } else { Ok(()) }
    }

    /// Predicts and writes the documents that were taken.
    fn write(&mut self) -> anyhow::Result<()> {
        self.load = 0;
        let (documents, sentences): (Vec<Document>, Vec<Vec<Span>>) =
            std::mem::take(&mut self.ahead).into_iter().unzip();
        let inputs: Vec<Input> = documents
            .iter()
            .zip(&sentences)
            .flat_map(|(d, spans)| spans.iter().map(|span| span.of(&d.text).unwrap_or_default()))
            .map(|text| Input { text, words: None })
            .collect();
        // One article may have more sentences than fit the look-ahead: it is predicted as it is written.
        let mut predictions =
            inputs.chunks(LOOK_AHEAD).flat_map(|inputs| match self.engine.predict(inputs, self.tasks) {
                Ok(predictions) => predictions.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            });
        for (Document { id, date, text, continues, fields, .. }, sentences) in
            documents.iter().zip(&sentences)
        {
            if !continues {
                (self.sentences, self.length) = (0, 0);
            }
            let mut origin = Origin {
                id,
                sentences: self.sentences,
                length: self.length,
                offsets: Offsets::new(text, self.unit),
            };
            for (&span, prediction) in sentences.iter().zip(&mut predictions) {
                let prediction = prediction?;
                self.tokens += prediction.tokens;
                self.unknown_tokens += prediction.unknown_tokens;
                let mut record = origin.record(text, span, &prediction, self.engine.labels());
                record.date = date.clone();
                record.fields = self.keep_fields.then(|| fields.clone());
                if let Some(least) = self.min_confidence {
                    record.abstain(prediction.confidence() < least);
                }
                self.output.report.sentence(&record)?;
            }
            self.sentences = origin.sentences;
            self.length += self.unit.measure(text);
        }
        Ok(self.output.report.flush()?)
    }

    /// Tells of a vocabulary that does not suit the text: answers are then not to be trusted.
    fn warn_of_unknown_tokens(&self) {
        let share = self.unknown_tokens as f64 / self.tokens.max(1) as f64;
        if self.unknown_tokens >= UNKNOWN_TOKENS && share > UNKNOWN_SHARE {
            anstream::eprintln!(
                "warning: {:.0}% of the tokens are not in the model's vocabulary; it may be of another language, or its tokenizer may not be set as in training (`do_lower_case` in tokenizer_config.json)",
                share * 100.0
            );
        }
    }
}

/// What could not be read.
struct Rejects {
    skip: bool,
    count: usize,
    file: Option<(PendingFile, BufWriter<File>)>,
}

impl Rejects {
    fn open(path: Option<PathBuf>, on_error: OnError) -> anyhow::Result<Self> {
        let skip = on_error == OnError::Skip || path.is_some();
        let file = match path {
            Some(path) => {
                let file = PendingFile::create(&path)?;
                let writer = BufWriter::new(file.handle()?);
                Some((file, writer))
            }
            None => None,
        };
        Ok(Self { skip, count: 0, file })
    }

    /// Notes a record that could not be read, or fails with it.
    fn record(&mut self, bad: BadRecord) -> anyhow::Result<()> {
        if !self.skip {
            return Err(anyhow::Error::new(bad).context(
                "a record cannot be read (to pass over such records use `--on-error skip` or `--rejects FILE`)",
            ));
        }
        self.count += 1;
        anstream::eprintln!("warning: passed over {bad}");
        if let Some((_, writer)) = &mut self.file {
            let BadRecord { input, line, reason, record } = bad;
            // Bytes that are no text are kept as numbers: the file holds all that came in.
            let record = match String::from_utf8(record) {
                Ok(text) => Value::String(text),
                Err(error) => error.into_bytes().into(),
            };
            let line = serde_json::json!({"input": input, "line": line, "reason": reason, "record": record});
            writeln!(writer, "{line}").context("cannot write the rejects")?;
        }
        Ok(())
    }

    /// Notes an input that could not be opened, or fails with it.
    fn input(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        if !self.skip {
            return Err(error);
        }
        self.count += 1;
        let reason = described(&error);
        anstream::eprintln!("warning: passed over {reason}");
        if let Some((_, writer)) = &mut self.file {
            let line = serde_json::json!({"input": error.to_string(), "reason": reason});
            writeln!(writer, "{line}").context("cannot write the rejects")?;
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<ExitCode> {
        if let Some((file, mut writer)) = self.file {
            writer.flush().context("cannot write the rejects")?;
            file.keep()?;
        }
        if self.count == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let records = if self.count == 1 { "record" } else { "records" };
        anstream::eprintln!("{} {records} could not be read", self.count);
        Ok(ExitCode::FAILURE)
    }
}
