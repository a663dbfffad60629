//! `undertone evaluate`: score a model against labelled data.

use crate::cli::batch::Arithmetic;
use crate::cli::calibration::{decisions, is_softmax};
use crate::cli::differences::Differences;
use crate::cli::labelled::{LabelledArgs, readable};
use crate::cli::mistakes::{Mistakes, field_value, record};
use crate::cli::model::{engine, optional_folder};
use crate::cli::output::{JsonLines, PendingFile};
use crate::cli::scoring::{self, Answer, Answers, CHUNK};
use crate::cli::{misuse, requirement::Requirement};
use anyhow::Context;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use undertone::bundle::Bundle;
use undertone::datasets::sha256;
use undertone::engine::{DeviceChoice, Engine};
use undertone::evaluation::{
    DataIdentity, Decisions, ErrorRecord, Evaluation, FieldValues, Groups, ModelIdentity, RESAMPLES,
    breakdown, compare,
};
use undertone::formats::{LabelledOptions, read_labelled};
use undertone::labels::GoldSentence;
use undertone::report::{Evaluated, TableStyle, html, write_evaluation};

/// Score a model against labelled data
#[derive(clap::Args)]
#[command(
    after_help = "Example:  undertone evaluate datasets/dispatches/test.jsonl\n          undertone evaluate -m models/new --compare models/old --errors errors.jsonl test.jsonl\n\nExit codes: 0 done, 1 failed or a figure is under what --fail-under asks, 2 misuse."
)]
pub(crate) struct EvaluateArgs {
    /// Labelled files, or folders of brat's documents
    #[arg(required = true, value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Model: a folder, or `owner/name[@revision]` on the Hugging Face hub, which is fetched once [default: the one inside
    /// the program]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Decision thresholds: those stored with the model, or fitted on the other folds of the data themselves
    #[arg(long, value_enum, default_value_t = Thresholds::Stored)]
    thresholds: Thresholds,
    /// Another model to compare with on the same data: differences with intervals and p-values
    #[arg(long, value_name = "MODEL")]
    compare: Option<PathBuf>,
    /// File for the sentences that the two models answer differently (JSONL)
    #[arg(long, value_name = "FILE", requires = "compare")]
    differences: Option<PathBuf>,
    /// Figures by the values of a field of the records (`month` and `year` are those of `date`)
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
    by: Vec<String>,
    /// File for the sentences with something wrong, the most confident mistakes first (JSONL)
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// File for a page with figures, charts and the surest mistakes (HTML, whole in itself)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Exit with 1 if a figure is lower than asked, such as `macro_f1=0.8` or `condemnation.recall=0.7`
    #[arg(long, value_name = "METRIC=LEAST,...", value_delimiter = ',')]
    fail_under: Vec<Requirement>,
    #[command(flatten)]
    labelled: LabelledArgs,
    /// Where the model runs: `auto` (the first GPU that this build can use, else the CPU), `cpu`, `cuda`, `cuda:N` or `metal`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Arithmetic of the encoder's matrix products on the CPU, of the model and of that of `--compare`
    #[arg(long, value_enum, value_name = "PRECISION", default_value_t)]
    precision: Arithmetic,
    /// DATA are what `--json` wrote of parts of a corpus: put them together; counts are added, intervals and average precisions left
    /// out
    #[arg(long, conflicts_with_all = ["model", "compare", "by", "errors", "thresholds"])]
    merge: bool,
    /// Tables in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// One JSON object a file, with the counts behind every figure
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Thresholds {
    Stored,
    CrossFitted,
}

pub(crate) fn run(args: EvaluateArgs) -> anyhow::Result<ExitCode> {
    let EvaluateArgs {
        data,
        model,
        thresholds,
        compare,
        differences,
        by,
        errors,
        report,
        fail_under,
        labelled,
        device,
        precision,
        merge,
        markdown,
        json,
    } = args;
    let form = match (json, markdown) {
        (true, _) => None,
        (false, true) => Some(TableStyle::Markdown),
        (false, false) => Some(TableStyle::Text),
    };
    readable(&data)?;
    apart(&data, [&errors, &differences, &report])?;
    if merge {
        let evaluation = merged(&data)?;
        Requirement::check_merged(&fail_under, &evaluation)?;
        let page = report.map(|path| Page::create(&path)).transpose()?;
        print(&evaluation, form)?;
        if let Some(page) = page {
            page.write(&[(evaluation.clone(), Vec::new(), 0)])?;
        }
        return Ok(exit(Requirement::report_missed(&fail_under, &evaluation)));
    }
    let labelled = labelled.options();
    let open = |model: Option<&Path>| Judged::open(model, device, precision);
    let judged = open(model.as_deref())?;
    let other = compare.map(|model| open(Some(&model))).transpose()?;
    let decisions = [Some(&judged), other.as_ref()].into_iter().flatten().map(|m| m.decisions(thresholds));
    let decisions = decisions.collect::<Result<Vec<Decisions>, _>>()?;
    if let Some(other) = &other {
        comparable(&judged, other)?;
    }
    Requirement::check_names(&fail_under, &judged.engine)?;
    let mut errors = errors.map(|path| JsonLines::create(&path)).transpose()?;
    let page = report.map(|path| Page::create(&path)).transpose()?;
    let mut shown = Vec::new();
    let mut differing = differences.map(|path| JsonLines::create(&path)).transpose()?;
    let mut missed = false;
    for path in data {
        let run = Run {
            path: &path,
            judged: &judged,
            other: other.as_ref(),
            decisions: &decisions,
            by: &by,
            labelled: &labelled,
            keep_mistakes: errors.is_some() || page.is_some(),
        };
        let (evaluation, mistakes) = run.evaluate(differing.as_mut())?;
        print(&evaluation, form)?;
        let wrong = mistakes.len();
        let mut surest = Vec::new();
        for mistake in mistakes.ranked()? {
            let mistake = mistake?;
            match &mut errors {
                Some(errors) => errors.write(&mistake)?,
                None if surest.len() == SHOWN => break,
                None => {}
            }
            if surest.len() < SHOWN {
                surest.push(mistake);
            }
        }
        missed |= Requirement::report_missed(&fail_under, &evaluation);
        if page.is_some() {
            shown.push((evaluation, surest, wrong));
        }
    }
    if let Some(page) = page {
        page.write(&shown)?;
    }
    [errors, differing].into_iter().flatten().try_for_each(JsonLines::finish)?;
    Ok(exit(missed))
}

/// Refuses to write over the data, and to write two outputs to one file.
fn apart(data: &[PathBuf], outputs: [&Option<PathBuf>; 3]) -> anyhow::Result<()> {
    // A file that is not there yet has no place of its own; its folder has.
    let place = |path: &PathBuf| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let new = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
        path.canonicalize().ok().or_else(new).unwrap_or_else(|| path.clone())
    };
    let mut taken: Vec<PathBuf> = data.iter().map(place).collect();
    for path in outputs.into_iter().flatten() {
        let place = place(path);
        if taken.contains(&place) {
            return Err(misuse(format!(
                "{} would be written over: it is among the data, or two outputs are to go there",
                path.display()
            )));
        }
        taken.push(place);
    }
    Ok(())
}

/// Mistakes that a page shows of each file.
const SHOWN: usize = 200;

/// The file of `--report`.
struct Page {
    file: PendingFile,
}

impl Page {
    fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { file: PendingFile::create(path)? })
    }

    /// Writes evaluations, each with the surest of its mistakes and how many there are.
    fn write(self, shown: &[(Evaluation, Vec<ErrorRecord>, usize)]) -> anyhow::Result<()> {
        let evaluated =
            shown.iter().map(|(evaluation, errors, wrong)| Evaluated { evaluation, errors, wrong: *wrong });
        let mut writer = BufWriter::new(self.file.handle()?);
        html(&mut writer, &evaluated.collect::<Vec<_>>())?;
        writer.flush()?;
        self.file.keep()
    }
}

fn exit(missed: bool) -> ExitCode {
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints as tables or, without a style, as JSON.
fn print(evaluation: &Evaluation, style: Option<TableStyle>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match style {
        None => writeln!(out, "{}", serde_json::to_string(evaluation)?)?,
        Some(style) => write_evaluation(&mut out, evaluation, style)?,
    }
    Ok(out.flush()?)
}

/// The runs that `--json` wrote, as one.
fn merged(paths: &[PathBuf]) -> anyhow::Result<Evaluation> {
    let mut all: Option<Evaluation> = None;
    for path in paths {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        for (number, line) in (1..).zip(text.lines()) {
            let place = || format!("{}:{number}", path.display());
            let run: Evaluation = serde_json::from_str(line).map_err(|e| {
                misuse(format!("{}: no run that `undertone evaluate --json` wrote: {e}", place()))
            })?;
            if run.schema != Evaluation::SCHEMA {
                return Err(misuse(format!(
                    "{}: the run is of schema {}; this program reads schema {}",
                    place(),
                    run.schema,
                    Evaluation::SCHEMA
                )));
            }
            all = Some(match all {
                None => run,
                Some(all) => all.merge(run).map_err(|reason| {
                    misuse(format!(
                        "{}: this run and those before it cannot be put together: {reason}",
                        place()
                    ))
                })?,
            });
        }
    }
    all.ok_or_else(|| misuse("there is no run in these files"))
}

/// A model that is scored.
struct Judged {
    engine: Engine,
    identity: ModelIdentity,
}

impl Judged {
    fn open(model: Option<&Path>, device: DeviceChoice, precision: Arithmetic) -> anyhow::Result<Self> {
        let folder = optional_folder(model)?;
        let engine = engine(folder.as_deref(), device, precision)?;
        let mut weights_sha256 = Bundle::weights_sha256(folder.as_deref())?;
        weights_sha256.truncate(12);
        let name = model.map_or("default".to_owned(), |model| model.display().to_string());
        Ok(Self { engine, identity: ModelIdentity { name, weights_sha256 } })
    }

    fn decisions(&self, thresholds: Thresholds) -> anyhow::Result<Decisions> {
        let bundle = self.engine.bundle();
        match thresholds {
            Thresholds::Stored => Ok(decisions(bundle)),
            Thresholds::CrossFitted if is_softmax(bundle) => Err(misuse(
                "`--thresholds cross-fitted` does not suit this model: it answers with its likeliest label (softmax), \
                 not with those above a threshold",
            )),
            Thresholds::CrossFitted => Ok(Decisions::CrossFitted),
        }
    }
}

/// Refuses models that do not answer the same question.
fn comparable(this: &Judged, other: &Judged) -> anyhow::Result<()> {
    let (ours, theirs) = (this.engine.labels(), other.engine.labels());
    let both = |has: fn(&Engine) -> bool| has(&this.engine) && has(&other.engine);
    if !both(|engine| !engine.labels().is_empty()) && !both(|engine| !engine.entity_labels().is_empty()) {
        return Err(misuse(format!(
            "the models cannot be compared: of {} and {} one labels sentences and the other finds entities",
            this.identity.name, other.identity.name
        )));
    }
    if !ours.is_empty() && !theirs.is_empty() && ours != theirs {
        return Err(misuse(format!(
            "the models cannot be compared: {} knows the labels {}; {} knows {}",
            this.identity.name,
            ours.join(", "),
            other.identity.name,
            theirs.join(", ")
        )));
    }
    Ok(())
}

/// One file and what is asked of it.
struct Run<'a> {
    path: &'a Path,
    judged: &'a Judged,
    other: Option<&'a Judged>,
    /// How labels are decided, of this model and then of the other.
    decisions: &'a [Decisions],
    by: &'a [String],
    labelled: &'a LabelledOptions,
    keep_mistakes: bool,
}

impl Run<'_> {
    /// Reads, predicts and counts, a chunk of sentences at a time.
    fn evaluate(&self, differing: Option<&mut JsonLines>) -> anyhow::Result<(Evaluation, Mistakes)> {
        let cross_fitted = self.decisions[0] == Decisions::CrossFitted;
        let mut state = State {
            answers: [Answers::default(), Answers::default()],
            groups: Groups::default(),
            fields: self.by.iter().map(|field| FieldValues::new(field)).collect(),
            mistakes: Mistakes::new()?,
            sentences: 0,
            differences: Differences::new(differing, cross_fitted && self.other.is_some())?,
        };
        let mut chunk: Vec<(usize, GoldSentence)> = Vec::with_capacity(CHUNK);
        for labelled in read_labelled(self.path, self.labelled.clone())? {
            let labelled = labelled?;
            chunk.push((labelled.line, labelled.gold(self.path)?));
            if chunk.len() == CHUNK {
                self.answer(&std::mem::take(&mut chunk), &mut state)?;
            }
        }
        self.answer(&chunk, &mut state)?;
        self.conclude(state)
    }

    fn answer(&self, chunk: &[(usize, GoldSentence)], state: &mut State) -> anyhow::Result<()> {
        let gold: Vec<GoldSentence> = chunk.iter().map(|(_, gold)| gold.clone()).collect();
        let answers = self.ask(&self.judged.engine, &gold)?;
        let others = self.other.map(|other| self.ask(&other.engine, &gold)).transpose()?;
        let labels = self.judged.engine.labels();
        let cross_fitted = self.decisions[0] == Decisions::CrossFitted;
        for (i, ((line, gold), answer)) in chunk.iter().zip(&answers).enumerate() {
            let group = state.groups.next(gold.article.as_deref());
            state.sentences += 1;
            state.answers[0].push(answer, group);
            for field in &mut state.fields {
                let value = field_value(gold, &field.field);
                field.push(&value, answer.labels.is_some(), answer.entities.is_some());
            }
            let place = (self.path, *line);
            if let Some(other) = others.as_ref().map(|others| &others[i]) {
                state.answers[1].push(other, group);
                state.differences.push(place, gold, [answer, other], labels)?;
            }
            // Whether a decision that is made at the end is wrong is not known yet.
            if self.keep_mistakes && (cross_fitted && answer.labels.is_some() || !answer.is_right()) {
                let entities = answer.entities.as_ref().map(|entities| entities.answers.clone());
                state.mistakes.push(&record(place, gold, answer.label_answers(labels), entities))?;
            }
        }
        Ok(())
    }

    fn ask(&self, engine: &Engine, gold: &[GoldSentence]) -> anyhow::Result<Vec<Answer>> {
        scoring::answer(engine, gold).with_context(|| self.path.display().to_string())
    }

    fn conclude(&self, state: State) -> anyhow::Result<(Evaluation, Mistakes)> {
        let State { mut answers, groups, fields, mut mistakes, sentences, differences } = state;
        let [this, other] = &mut answers;
        if this.sentence.is_none() && this.entities.is_none() {
            return Err(misuse(format!(
                "{}: the data have no labels for any head of the model",
                self.path.display()
            )));
        }
        for (answers, decisions) in [this, other].into_iter().zip(self.decisions) {
            answers.decide(*decisions, &groups);
        }
        let [this, other] = &answers;
        let labels = self.judged.engine.labels();
        if let (Some(sentence), Decisions::CrossFitted) = (&this.sentence, self.decisions[0]) {
            mistakes =
                mistakes.decided_anew(|row| scoring::named(labels, sentence.table.decided.row(row)))?;
        }
        let tables = [this, other].map(|answers| answers.sentence.as_ref().map(|s| &s.table));
        let differing = differences.count(tables, labels)?;
        let (classification, entities) =
            this.reports(&self.judged.engine, self.decisions[0], &groups, RESAMPLES);
        for field in fields.iter().filter(|field| field.is_blank()) {
            tracing::warn!("{}: no sentence has a `{}`", self.path.display(), field.field);
        }
        let evaluation = Evaluation {
            schema: Evaluation::SCHEMA,
            undertone: env!("CARGO_PKG_VERSION").into(),
            model: self.judged.identity.clone(),
            data: DataIdentity {
                path: self.path.to_owned(),
                sha256: sha256(self.path)?,
                sentences,
                articles: groups.articles(),
                resampled: groups.unit().into(),
            },
            classification,
            entities,
            by: fields.iter().map(|field| breakdown(this.answered(), labels, field)).collect(),
            comparison: self.other.map(|judged| {
                let other = (other.answered(), judged.identity.clone());
                compare(this.answered(), other, labels, &groups, differing)
            }),
        };
        Ok((evaluation, mistakes))
    }
}

/// What is known of a file so far.
struct State<'a> {
    /// Of this model and of the other.
    answers: [Answers; 2],
    groups: Groups,
    fields: Vec<FieldValues>,
    mistakes: Mistakes,
    sentences: usize,
    differences: Differences<'a>,
}
