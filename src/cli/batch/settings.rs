//! What determines a run: everything that its records depend on but the texts and the model.

use crate::cli::input::InputArgs;
use crate::cli::misuse;
use crate::cli::output::{Format, RowKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;
use undertone::bundle::Description;
use undertone::encoder::layers::Precision;
use undertone::engine::{Aggregation, Engine, EngineError, Tasks, ZeroShot};
use undertone::report::Shape;
use undertone::text::OffsetUnit;

/// The settings of a run, under the names of their flags.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Settings {
    pub(crate) command: Command,
    #[serde(flatten)]
    pub(crate) input: InputArgs,
    pub(crate) format: Format,
    pub(crate) rows: RowKind,
    pub(crate) offsets: Unit,
    pub(crate) keep_fields: bool,
    pub(crate) special_tokens: SpecialTokens,
    pub(crate) aggregation: Strategy,
    pub(crate) min_confidence: Option<f32>,
    pub(crate) zero_shot: Option<ZeroShot>,
    pub(crate) on_error: OnError,
    pub(crate) rejects: Option<PathBuf>,
    pub(crate) device: String,
    pub(crate) precision: Arithmetic,
    pub(crate) look_ahead: usize,
    pub(crate) part_sentences: usize,
}

/// Which of the reading commands it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Command {
    Classify,
    Ner,
    Analyze,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Strategy {
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

impl From<Strategy> for Aggregation {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Words => Self::Words,
            Strategy::None => Self::None,
            Strategy::Simple => Self::Simple,
            Strategy::First => Self::First,
            Strategy::Average => Self::Average,
            Strategy::Max => Self::Max,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SpecialTokens {
    /// Text like any other: nobody can part a sentence by what is written in it
    Text,
    /// The token, as in `transformers`
    Token,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arithmetic {
    /// What the model's `undertone.json` says under `precision`, which is what was measured to answer as well as f32, if the CPU has
    /// instructions for it; else f32
    #[default]
    Auto,
    /// As exact as numbers are kept
    F32,
    /// Operands rounded to bf16, which is no faster where the CPU has no instructions for it
    Bf16,
    /// Operands in bytes, with a scale for every output and every token
    Int8,
}

impl Arithmetic {
    /// What it is for a model on a device.
    pub(crate) fn resolved(self, description: &Description, on_cpu: bool) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Int8 => Precision::Int8,
            Self::Auto if !on_cpu => Precision::F32,
            Self::Auto => description.usual_precision(),
        }
    }
}

impl From<Precision> for Arithmetic {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
            Precision::Int8 => Self::Int8,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnError {
    Fail,
    Skip,
}

impl Settings {
    /// The engine as these settings want it, but for device and precision.
    pub(crate) fn adapt(&self, mut engine: Engine) -> anyhow::Result<Engine> {
        if self.special_tokens == SpecialTokens::Token {
            engine = engine.reading_special_tokens();
        }
        engine = engine.with_aggregation(self.aggregation.into());
        match &self.zero_shot {
            None => Ok(engine),
            Some(zero_shot) => engine.with_zero_shot(zero_shot.clone()).map_err(|error| match error {
                EngineError::ZeroShot { .. } => misuse(error.to_string()),
                error => error.into(),
            }),
        }
    }

    /// What is asked for, checked against the heads that the model has.
    pub(crate) fn tasks(&self, engine: &Engine) -> anyhow::Result<Tasks> {
        let (labels, entities) = (!engine.labels().is_empty(), !engine.entity_labels().is_empty());
        match (self.command, labels, entities) {
            (Command::Classify, false, _) => {
                Err(misuse("the model has no sentence labels; `undertone ner` asks for what it knows"))
            }
            (Command::Ner, _, false) => {
                Err(misuse("the model knows no entities; `undertone classify` asks for what it knows"))
            }
            (Command::Analyze, false, false) => Err(misuse(
                "the model has neither sentence labels nor entities: it is an encoder that must be trained first (`undertone train`)",
            )),
            (Command::Analyze, true, true) => Ok(Tasks::Both),
            (Command::Classify, true, _) | (Command::Analyze, true, false) => Ok(Tasks::Classify),
            (Command::Ner, _, true) | (Command::Analyze, false, true) => Ok(Tasks::Ner),
        }
    }

    /// What every record of the run has.
    pub(crate) fn shape(&self, engine: &Engine, tasks: Tasks, dates: bool) -> Shape {
        Shape {
            rows: self.rows.into(),
            labels: (tasks != Tasks::Ner).then(|| engine.labels().to_vec()),
            abstained: self.min_confidence.is_some(),
            entities: tasks != Tasks::Classify,
            entity_types: engine.entity_labels().to_vec(),
            date: dates,
            fields: self.keep_fields,
        }
    }

    /// In which settings this run differs from one that was begun with `begun`: `--offsets: was char, is byte`.
    ///
    /// A run that stopped at bad records may go on passing over them: until then it met none.
    pub(super) fn differences(&self, begun: &Self) -> anyhow::Result<Vec<String>> {
        let mut ours = self.clone();
        if begun.on_error == OnError::Fail && self.on_error == OnError::Skip {
            (ours.on_error, ours.rejects) = (begun.on_error, begun.rejects.clone());
        }
        let (was, is) = (begun.listed()?, ours.listed()?);
        let differs = |(name, is): (&String, &Value)| {
            let was = was.get(name).unwrap_or(&Value::Null);
            let dashes = if name == "command" { "" } else { "--" };
            (was != is).then(|| format!("{dashes}{name}: was {}, is {}", told(was), told(is)))
        };
        Ok(is.iter().filter_map(differs).collect())
    }

    fn listed(&self) -> anyhow::Result<Map<String, Value>> {
        // By way of text, which is how the manifest has them: numbers then compare as they are written.
        Ok(serde_json::from_str(&serde_json::to_string(self)?)?)
    }
}

/// A setting in words.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "not given".into(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "given".into(),
        Value::Bool(false) => "not given".into(),
        Value::Object(parts) => {
            let given = parts.values().filter(|part| !part.is_null());
            given.map(told).collect::<Vec<_>>().join(" ")
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        input: InputArgs,
    }

    pub(in crate::cli::batch) fn settings() -> Settings {
        Settings {
            command: Command::Classify,
            input: Args::parse_from(["undertone"]).input,
            format: serde_json::from_str(r#"{"form": "jsonl", "compression": null}"#).unwrap(),
            rows: RowKind::Sentence,
            offsets: Unit::Char,
            keep_fields: false,
            special_tokens: SpecialTokens::Text,
            aggregation: Strategy::Words,
            min_confidence: Some(0.7),
            zero_shot: None,
            on_error: OnError::Fail,
            rejects: None,
            device: "cpu".into(),
            precision: Arithmetic::F32,
            look_ahead: 1024,
            part_sentences: 16384,
        }
    }

    #[test]
    fn settings_that_were_written_and_read_do_not_differ() {
        let begun: Settings = serde_json::from_str(&serde_json::to_string(&settings()).unwrap()).unwrap();
        assert_eq!(settings().differences(&begun).unwrap(), [""; 0]);
    }

    #[test]
    fn every_difference_is_named_with_both_values() {
        let now = Settings { offsets: Unit::Byte, min_confidence: None, keep_fields: true, ..settings() };
        let told = now.differences(&settings()).unwrap();
        let expected = [
            "--offsets: was char, is byte",
            "--keep-fields: was not given, is given",
            "--min-confidence: was 0.7, is not given",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_run_that_stopped_at_a_bad_record_may_go_on_past_it_but_not_the_other_way_round() {
        let skipping =
            Settings { on_error: OnError::Skip, rejects: Some("rejects.jsonl".into()), ..settings() };
        assert_eq!(skipping.differences(&settings()).unwrap(), [""; 0]);
        assert_eq!(settings().differences(&skipping).unwrap().len(), 2);
    }
}
