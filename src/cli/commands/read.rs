//! `undertone classify`, `ner` and `analyze`: one way of reading, with one head or with both.

use crate::cli::batch::{
    Arithmetic, Command, Model, OnError, Rejects, Run, RunFolder, Settings, SpecialTokens, Strategy, Unit,
    refuse_among_inputs, refuse_in_use, watch_for_interrupts,
};
use crate::cli::input::InputArgs;
use crate::cli::misuse;
use crate::cli::model::{engine, optional_folder};
use crate::cli::output::{Form, OutputArgs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use undertone::engine::{DeviceChoice, ZeroShot};

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
    /// What to do when a record or an input cannot be read: stop, or go on, tell at the end and exit with 1 [default: skip
    /// where inputs are looked for, as in folders, else fail]
    #[arg(long, value_enum, value_name = "ACTION")]
    on_error: Option<OnError>,
    /// File for the records that could not be read, with the reasons (JSONL); implies `--on-error skip`
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// What a special token that is written out in a text (`[SEP]`, `<s>`) counts as
    #[arg(long, value_enum, value_name = "KIND", default_value_t = SpecialTokens::Text)]
    special_tokens: SpecialTokens,
    /// Where the model runs: `auto` (the first GPU that this build can use, else the CPU), `cpu`, `cuda`, `cuda:N` or `metal`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Arithmetic of the encoder's matrix products on the CPU: less exact ones are faster
    #[arg(long, value_enum, value_name = "PRECISION", default_value_t)]
    precision: Arithmetic,
    /// Threads that work at the same time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Sentences that are read before the model is asked: more are batched better and take more memory
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    look_ahead: u32,
    /// Sentences of a part, where `--output` is a folder; parts end between texts
    #[arg(long, value_name = "N", default_value_t = 16384, value_parser = clap::value_parser!(u32).range(1..))]
    part_sentences: u32,
    /// Go on behind the last part of a run that was stopped, where `--output` is a folder; without one there, begin it
    #[arg(long)]
    resume: bool,
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

/// `undertone classify`
pub(crate) fn classify(args: ClassifyArgs) -> anyhow::Result<ExitCode> {
    let zero_shot = args.zero_shot()?;
    let ClassifyArgs { read, label, .. } = args;
    let asked = Asked { min_confidence: label.min_confidence, zero_shot, ..Asked::of(Command::Classify) };
    run(read, asked)
}

/// `undertone ner`
pub(crate) fn ner(args: NamingArgs) -> anyhow::Result<ExitCode> {
    let NamingArgs { read, aggregation } = args;
    run(read, Asked { aggregation, ..Asked::of(Command::Ner) })
}

/// `undertone analyze`
pub(crate) fn analyze(args: AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let AnalyzeArgs { naming: NamingArgs { read, aggregation }, label } = args;
    run(read, Asked { aggregation, min_confidence: label.min_confidence, ..Asked::of(Command::Analyze) })
}

/// What one of the commands asks for besides.
struct Asked {
    command: Command,
    aggregation: Strategy,
    min_confidence: Option<f32>,
    zero_shot: Option<ZeroShot>,
}

impl Asked {
    fn of(command: Command) -> Self {
        Self { command, aggregation: Strategy::Words, min_confidence: None, zero_shot: None }
    }
}

/// Reads every input and writes a record a sentence.
fn run(args: ReadArgs, asked: Asked) -> anyhow::Result<ExitCode> {
    watch_for_interrupts()?;
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
        precision,
        threads,
        look_ahead,
        part_sentences,
        resume,
    } = args;
    let inputs = input.resolve(keep_fields)?;
    if let Some(rejects) = &rejects {
        refuse_in_use(rejects, output.output.as_deref(), inputs.paths())?;
    }
    let on_error = match (on_error, &rejects) {
        (_, Some(_)) => OnError::Skip,
        (Some(action), None) => action,
        (None, None) if inputs.opened_up() => OnError::Skip,
        (None, None) => OnError::Fail,
    };
    let (format, rows) = (output.format()?, output.rows);
    // Places are opened before the model, which takes longer.
    let place = match output
        .output
        .clone()
        .filter(|output| format.form != Form::Brat && RunFolder::is_meant(output))
    {
        Some(folder) => {
            refuse_among_inputs(&folder, rejects.as_deref(), &format.extension(), &input.inputs)?;
            Place::Folder(Box::new(RunFolder::open(&folder, resume)?))
        }
        None if resume => {
            return Err(misuse(
                "only a run that writes to a folder can be gone on with\n\nhint: give `--output` a folder, such as `out/`",
            ));
        }
        None => Place::Whole(output.open()?, Rejects::whole(rejects.as_deref(), on_error)?),
    };
    let folder = optional_folder(model.as_deref())?;
    let device = device.resolved().map_err(|error| misuse(error.to_string()))?;
    let mut engine = engine(folder.as_deref(), device, precision)?;
    if folder.is_some() && engine.bundle().tokenizer.lowers_a_cased_vocabulary() {
        tracing::warn!(
            "the model's tokenizer puts text into lower case, but its vocabulary has upper-case pieces; if the model was trained on cased text, set `\"do_lower_case\": false` in its tokenizer_config.json"
        );
    }
    if let Some(threads) = threads {
        engine = engine.with_threads(threads.into());
    }
    let Asked { command, aggregation, min_confidence, zero_shot } = asked;
    let settings = Settings {
        command,
        input,
        format,
        rows,
        offsets,
        keep_fields,
        special_tokens,
        aggregation,
        min_confidence,
        zero_shot,
        on_error,
        rejects,
        device: device.to_string(),
        precision: engine.precision().into(),
        look_ahead: look_ahead as usize,
        part_sentences: part_sentences as usize,
    };
    let engine = settings.adapt(engine)?;
    let tasks = settings.tasks(&engine)?;
    let run = Run { settings, engine: Arc::new(engine), tasks, inputs: Arc::new(inputs) };
    match place {
        Place::Whole(place, rejects) => {
            let output = place.output(&run.shape())?;
            run.to(output, rejects)
        }
        Place::Folder(parts) => {
            let name = model.map(|model| model.display().to_string());
            let digests = run.engine.bundle().digests(folder.as_deref())?;
            run.into(*parts, Model { name, digests })
        }
    }
}

/// Where records go.
enum Place {
    /// A stream or a file.
    Whole(crate::cli::output::Place, Rejects),
    /// A folder of parts.
    Folder(Box<RunFolder>),
}
