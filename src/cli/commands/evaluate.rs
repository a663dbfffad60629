//! `undertone evaluate`: score a model against labelled data.

use crate::cli::model::{on_device, optional_folder};
use crate::cli::{misuse, scoring};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use undertone::bundle::Bundle;
use undertone::datasets::load;
use undertone::engine::{DeviceChoice, Engine};
use undertone::evaluation::{
    Classification, Counts, EntityCounts, Interval, average_precision, bootstrap, brier,
    expected_calibration_error,
};
use undertone::head::Activation;
use undertone::labels::GoldSentence;

/// Score a model against labelled data
#[derive(clap::Args)]
#[command(after_help = "Example:  undertone evaluate datasets/dispatches/test.jsonl")]
pub(crate) struct EvaluateArgs {
    /// Labelled files: articles or sentences (JSONL), or CoNLL columns
    #[arg(required = true, value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Model: a folder, or `owner/name[@revision]` on the Hugging Face hub, which is fetched once [default: the one inside
    /// the program]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Decision thresholds: those stored with the model, or fitted on the other folds of the data themselves
    #[arg(long, value_enum, default_value_t = Thresholds::Stored)]
    thresholds: Thresholds,
    /// Where the model runs: `auto` (the first GPU that this build can use, else the CPU), `cpu`, `cuda`, `cuda:N` or `metal`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// One JSON object a file, with counts
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Thresholds {
    Stored,
    CrossFitted,
}

/// Resamples behind every interval.
const RESAMPLES: usize = 1000;

pub(crate) fn run(args: EvaluateArgs) -> anyhow::Result<ExitCode> {
    let EvaluateArgs { data, model, thresholds, device, json } = args;
    let folder = optional_folder(model.as_deref())?;
    let engine = on_device(Engine::open(folder.as_deref())?, device)?;
    let softmax = is_softmax(&engine);
    if softmax && thresholds == Thresholds::CrossFitted {
        return Err(misuse(
            "`--thresholds cross-fitted` does not suit this model: it answers with its likeliest label (softmax), \
             not with those above a threshold",
        ));
    }
    let decisions = match thresholds {
        _ if softmax => Decisions::Likeliest,
        Thresholds::Stored => Decisions::Stored,
        Thresholds::CrossFitted => Decisions::CrossFitted,
    };
    let identity = Identity::new(model.as_deref(), folder.as_deref())?;
    let mut out = std::io::stdout().lock();
    for path in data {
        let dataset = load(&path)?;
        let answers = scoring::answer(&engine, &dataset.sentences)?;
        if answers.sentence.is_none() && answers.entities.is_none() {
            return Err(misuse(format!(
                "{}: the data have no labels for any head of the model",
                path.display()
            )));
        }
        let mut articles: Vec<&str> = dataset.sentences.iter().filter_map(|s| s.article.as_deref()).collect();
        articles.sort_unstable();
        articles.dedup();
        let sentence = answers
            .sentence
            .map(|a| SentenceReport::new(&a, engine.labels(), engine.thresholds(), decisions));
        let entities = answers.entities.map(|a| EntityReport::new(&a));
        let unit = resampled(&dataset.sentences);
        if json {
            let report = serde_json::json!({
                "model": identity, "resampled": unit, "data": path, "sha256": dataset.sha256, "sentences": dataset.sentences.len(),
                "articles": articles.len(), "classification": sentence, "entities": entities,
            });
            writeln!(out, "{report}")?;
            continue;
        }
        writeln!(out, "model {} (weights SHA-256 {})", identity.name, identity.weights_sha256)?;
        writeln!(
            out,
            "{} (SHA-256 {}): {} sentences, {} articles",
            path.display(),
            &dataset.sha256[..12],
            dataset.sentences.len(),
            articles.len()
        )?;
        if let Some(report) = sentence {
            report.print(&mut out, unit)?;
        }
        if let Some(report) = entities {
            report.print(&mut out, unit)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is drawn with repeats for the intervals.
fn resampled(sentences: &[GoldSentence]) -> &'static str {
    match sentences.iter().filter(|s| s.article.is_some()).count() {
        0 => "sentences",
        n if n == sentences.len() => "articles",
        _ => "articles and single sentences",
    }
}

fn is_softmax(engine: &Engine) -> bool {
    engine.bundle().description.sentence().is_some_and(|task| task.activation == Activation::Softmax)
}

/// Which model a report is about.
#[derive(serde::Serialize)]
struct Identity {
    /// Its folder or id, or `default`.
    name: String,
    /// First 12 digits.
    weights_sha256: String,
}

impl Identity {
    fn new(model: Option<&Path>, folder: Option<&Path>) -> anyhow::Result<Self> {
        let mut weights_sha256 = Bundle::weights_sha256(folder)?;
        weights_sha256.truncate(12);
        Ok(Self { name: model.map_or("default".to_owned(), |m| m.display().to_string()), weights_sha256 })
    }
}

/// How a sentence's labels are decided.
#[derive(Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Decisions {
    /// At the thresholds stored with the model.
    Stored,
    /// At thresholds fitted on the other folds of the data.
    CrossFitted,
    /// One label, the likeliest: softmax has no thresholds.
    Likeliest,
}

#[derive(serde::Serialize)]
struct LabelReport {
    label: String,
    counts: Counts,
    f1: Option<f64>,
    average_precision: Option<f64>,
    brier: Option<f64>,
    ece: Option<f64>,
    threshold: Option<f32>,
}

#[derive(serde::Serialize)]
struct SentenceReport {
    labels: Vec<LabelReport>,
    macro_f1: Option<f64>,
    macro_f1_interval: Option<Interval>,
    micro_f1: Option<f64>,
    exact_match: Option<f64>,
    thresholds: Decisions,
}

impl SentenceReport {
    fn new(
        answers: &scoring::SentenceAnswers,
        labels: &[String],
        stored: &[f32],
        decisions: Decisions,
    ) -> Self {
        let decided = match decisions {
            Decisions::Stored | Decisions::Likeliest => answers.decided.clone(),
            Decisions::CrossFitted => answers.cross_fitted(),
        };
        let counts = Classification::count(&decided, &answers.gold);
        let groups = members(&answers.groups);
        let statistic = |drawn: &[usize]| {
            let rows = drawn.iter().flat_map(|&g| &groups[g]);
            let (decided, gold): (Vec<_>, Vec<_>) =
                rows.map(|&i| (decided[i].clone(), answers.gold[i].clone())).unzip();
            Classification::count(&decided, &gold).macro_f1()
        };
        let reports = labels.iter().enumerate().map(|(i, label)| {
            let (scores, gold) = answers.column(i);
            LabelReport {
                label: label.clone(),
                counts: counts.labels.get(i).copied().unwrap_or_default(),
                f1: counts.labels.get(i).and_then(|c| c.f1()),
                average_precision: average_precision(&scores, &gold),
                brier: brier(&scores, &gold),
                ece: expected_calibration_error(&scores, &gold),
                threshold: (decisions == Decisions::Stored).then(|| stored[i]),
            }
        });
        Self {
            labels: reports.collect(),
            macro_f1: counts.macro_f1(),
            macro_f1_interval: bootstrap(groups.len(), RESAMPLES, 1, statistic),
            micro_f1: counts.micro_f1(),
            exact_match: counts.exact_match(),
            thresholds: decisions,
        }
    }

    fn print(&self, out: &mut impl Write, unit: &str) -> std::io::Result<()> {
        writeln!(
            out,
            "\n{:<16} {:>9} {:>9} {:>9} {:>8} {:>9} {:>7}",
            "label", "precision", "recall", "F1", "support", "avg prec", "ECE"
        )?;
        for label in &self.labels {
            writeln!(
                out,
                "{:<16} {} {} {} {:>8} {} {}",
                label.label,
                figure(label.counts.precision(), 9),
                figure(label.counts.recall(), 9),
                figure(label.f1, 9),
                label.counts.support(),
                figure(label.average_precision, 9),
                figure(label.ece, 7)
            )?;
        }
        writeln!(
            out,
            "macro-F1 {}{} {}; micro-F1 {}, exact match {}\n",
            figure(self.macro_f1, 0),
            interval(self.macro_f1_interval, unit),
            match self.thresholds {
                Decisions::Stored => "at stored thresholds",
                Decisions::CrossFitted => "at cross-fitted thresholds",
                Decisions::Likeliest => "of the likeliest label",
            },
            figure(self.micro_f1, 0),
            figure(self.exact_match, 0)
        )
    }
}

#[derive(serde::Serialize)]
struct EntityReport {
    /// By the rules of conlleval and seqeval.
    #[serde(flatten)]
    lenient: EntityFigures,
    f1_interval: Option<Interval>,
    /// By strict IOB2.
    strict: EntityFigures,
    token_accuracy: Option<f64>,
}

#[derive(serde::Serialize)]
struct EntityFigures {
    types: Vec<EntityRow>,
    #[serde(flatten)]
    all: Figures,
}

#[derive(serde::Serialize)]
struct EntityRow {
    label: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(serde::Serialize)]
struct Figures {
    counts: Counts,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
}

impl From<Counts> for Figures {
    fn from(counts: Counts) -> Self {
        Self { counts, precision: counts.precision(), recall: counts.recall(), f1: counts.f1() }
    }
}

impl Figures {
    fn row(&self, name: &str) -> String {
        let [precision, recall, f1] = [self.precision, self.recall, self.f1].map(|value| figure(value, 9));
        format!("{name:<16} {precision} {recall} {f1} {:>8}", self.counts.support())
    }
}

impl From<EntityCounts> for EntityFigures {
    fn from(counts: EntityCounts) -> Self {
        let all = counts.total().into();
        let row = |(label, counts): (String, Counts)| EntityRow { label, figures: counts.into() };
        Self { types: counts.types.into_iter().map(row).collect(), all }
    }
}

impl EntityReport {
    fn new(answers: &scoring::EntityAnswers) -> Self {
        let groups = members(&answers.groups);
        let statistic = |drawn: &[usize]| {
            let rows = drawn.iter().flat_map(|&g| &groups[g]);
            rows.map(|&i| answers.lenient[i].total()).sum::<Counts>().f1()
        };
        Self {
            lenient: scoring::sum(answers.lenient.iter()).into(),
            f1_interval: bootstrap(groups.len(), RESAMPLES, 1, statistic),
            strict: scoring::sum(answers.strict.iter()).into(),
            token_accuracy: answers.words.map(|(right, all)| right as f64 / all.max(1) as f64),
        }
    }

    fn print(&self, out: &mut impl Write, unit: &str) -> std::io::Result<()> {
        writeln!(
            out,
            "\n{:<16} {:>9} {:>9} {:>9} {:>8}",
            "entity type", "precision", "recall", "F1", "support"
        )?;
        for row in &self.lenient.types {
            writeln!(out, "{}", row.figures.row(&row.label))?;
        }
        writeln!(out, "{}", self.lenient.all.row("all (micro)"))?;
        writeln!(out, "{}", self.strict.all.row("strict (micro)"))?;
        write!(
            out,
            "entity F1 {}{} (seqeval, lenient); strict IOB2 {}",
            figure(self.lenient.all.f1, 0),
            interval(self.f1_interval, unit),
            figure(self.strict.all.f1, 0)
        )?;
        match self.token_accuracy {
            Some(accuracy) => writeln!(out, ", token accuracy {accuracy:.4}\n"),
            None => writeln!(out, "\n"),
        }
    }
}

/// Row numbers by group, groups in alphabetical order.
fn members(groups: &[String]) -> Vec<Vec<usize>> {
    let mut members: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
    for (row, group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(row);
    }
    members.into_values().collect()
}

fn figure(value: Option<f64>, width: usize) -> String {
    match value {
        Some(value) => format!("{value:>width$.4}"),
        None => format!("{:>width$}", "-"),
    }
}

fn interval(interval: Option<Interval>, unit: &str) -> String {
    interval.map_or_else(String::new, |i| format!(" [{:.4}-{:.4}, 95% bootstrap over {unit}]", i.low, i.high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Misuse;

    /// A model that shares 1 among three labels, and a file with one sentence.
    fn softmax_model() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert/sequence");
        for file in std::fs::read_dir(fixture).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let path = folder.path().join("config.json");
        let json = std::fs::read_to_string(&path).unwrap();
        let json = json.replace("multi_label_classification", "single_label_classification");
        std::fs::write(&path, json).unwrap();
        let data = folder.path().join("data.jsonl");
        (folder, data)
    }

    #[test]
    fn softmax_is_scored_by_the_likeliest_label_as_classify_answers() {
        let (folder, _) = softmax_model();
        let engine = Engine::open(Some(folder.path())).unwrap();
        assert!(is_softmax(&engine));
        let sentence = |text: &str| GoldSentence {
            text: text.to_owned(),
            labels: Some(vec![engine.labels()[0].clone()]),
            ..GoldSentence::default()
        };
        let gold = ["Ceasefire", "The ministers met in Lisbon on Friday.", ""].map(sentence);
        let answers = scoring::answer(&engine, &gold).unwrap().sentence.unwrap();
        for (scores, decided) in answers.scores.iter().zip(&answers.decided) {
            let top = (0..scores.len()).reduce(|a, b| if scores[b] > scores[a] { b } else { a }).unwrap();
            let likeliest: Vec<bool> = (0..scores.len()).map(|i| i == top).collect();
            assert_eq!(decided, &likeliest);
        }
        // Where p >= 0.5 would have decided nothing.
        assert!(answers.scores.iter().any(|scores| scores.iter().all(|p| *p < 0.5)), "{:?}", answers.scores);
        let report =
            SentenceReport::new(&answers, engine.labels(), engine.thresholds(), Decisions::Likeliest);
        assert!(report.labels.iter().all(|label| label.threshold.is_none()));
        let found: usize = report.labels.iter().map(|label| label.counts.tp + label.counts.fp).sum();
        assert_eq!(found, 3);
    }

    #[test]
    fn cross_fitted_thresholds_of_a_softmax_model_are_misuse() {
        let (folder, data) = softmax_model();
        let model = Some(folder.path().to_owned());
        let args = EvaluateArgs {
            data: vec![data],
            model,
            thresholds: Thresholds::CrossFitted,
            device: DeviceChoice::Auto,
            json: false,
        };
        let error = run(args).unwrap_err();
        assert!(error.is::<Misuse>() && error.to_string().contains("softmax"), "{error}");
    }

    #[test]
    fn a_report_says_what_was_resampled() {
        let lone = GoldSentence::default();
        let of_article = GoldSentence { article: Some("a".into()), ..GoldSentence::default() };
        assert_eq!(resampled(&[lone.clone(), lone.clone()]), "sentences");
        assert_eq!(resampled(&[of_article.clone(), of_article.clone()]), "articles");
        assert_eq!(resampled(&[lone, of_article]), "articles and single sentences");
        let ends = Some(Interval { low: 0.5, high: 1.0 });
        assert_eq!(interval(ends, "sentences"), " [0.5000-1.0000, 95% bootstrap over sentences]");
    }

    #[test]
    fn a_report_names_the_model() {
        let default = Identity::new(None, None).unwrap();
        assert_eq!((default.name.as_str(), default.weights_sha256.len()), ("default", 12));
        let (folder, _) = softmax_model();
        assert_eq!(
            Identity::new(Some(folder.path()), Some(folder.path())).unwrap().name,
            folder.path().display().to_string()
        );
    }

    #[test]
    fn strict_figures_stand_beside_the_lenient_ones() {
        let count = |tp, fp, fn_| EntityCounts { types: [("PER".into(), Counts { tp, fp, fn_ })].into() };
        let answers = scoring::EntityAnswers {
            lenient: vec![count(3, 1, 0)],
            strict: vec![count(1, 3, 1)],
            groups: vec!["a".into()],
            ..scoring::EntityAnswers::default()
        };
        let report = EntityReport::new(&answers);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["precision"], &json["strict"]["precision"]), (&0.75.into(), &0.25.into()));
        assert_eq!((&json["recall"], &json["strict"]["types"][0]["recall"]), (&1.0.into(), &0.5.into()));
        assert_eq!(json["strict"]["types"][0]["label"], "PER");
        let mut text = Vec::new();
        report.print(&mut text, "sentences").unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("strict (micro)      0.2500    0.5000    0.3333        2"), "{text}");
    }
}
