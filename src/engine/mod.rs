//! Text in, predictions out: a bundle ready to answer.

mod aggregation;
mod device;
mod entities;
mod schedule;
mod zero_shot;

pub use crate::kernels::threads::keep_operations_on_the_calling_thread;
pub use crate::labels::Prediction;
pub use aggregation::Aggregation;
pub use device::DeviceChoice;
pub use zero_shot::ZeroShot;

use crate::bundle::{Bundle, BundleError, Network};
use crate::cpu;
use crate::encoder::layers::Precision;
use crate::encoder::{Pass, Sequences};
use crate::head::Activation;
use crate::text::Span;
use crate::tokens::{Pieces, TokenizerError, Window, casing_classes, first_pieces, split_words, windows};
use candle_core::Device;
use entities::TagSet;
use std::ops::Range;
use std::path::Path;
use zero_shot::Hypotheses;

/// One sentence to read.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The sentence.
    pub text: &'a str,
    /// Its words, in bytes of `text`, where the caller has them; else the engine splits words itself.
    pub words: Option<&'a [Span]>,
}

/// Which heads to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    /// Sentence classification only.
    Classify,
    /// Named entities only.
    Ner,
    /// Both, in one pass through the encoder.
    Both,
}

impl Tasks {
    fn classify(self) -> bool {
        self != Tasks::Ner
    }

    fn ner(self) -> bool {
        self != Tasks::Classify
    }
}

/// Why an engine could not be opened or could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A text could not be tokenised.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The tensor library failed.
    #[error("the encoder failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A device cannot be used.
    #[error("device {device} cannot be used: {reason}")]
    Device {
        /// Its name.
        device: String,
        /// Why.
        reason: String,
    },
    /// The encoder gave a logit that is NaN or infinite, from which nothing can be concluded.
    #[error("the {head} head gives logits that are no finite numbers; the model's weights are damaged")]
    NotFinite {
        /// Which head: `sentence` or `token`.
        head: &'static str,
    },
    /// The level of instructions that is asked for is none, or one that this CPU has not.
    #[error("{0}")]
    Cpu(&'static str),
    /// Labels or model do not do for zero-shot classification.
    #[error("zero-shot classification cannot be done: {reason}")]
    ZeroShot {
        /// Why.
        reason: String,
    },
}

/// A bundle ready to answer.
pub struct Engine {
    bundle: Bundle,
    network: Network,
    device: Device,
    tag_set: TagSet,
    threads: usize,
    precision: Precision,
    aggregation: Aggregation,
    zero_shot: Option<Hypotheses>,
}

/// A sequence for the encoder: a stretch of the pieces of one input, with a hypothesis behind it where one is asked.
#[derive(Clone)]
struct Row {
    input: usize,
    read: Range<usize>,
    hypothesis: Option<usize>,
}

/// A sentence cut up for the encoder.
struct Prepared {
    pieces: Pieces,
    /// Casing class of every piece.
    casing: Vec<u32>,
    windows: Vec<Window>,
    words: Vec<Span>,
    /// First piece of every word.
    first: Vec<Option<usize>>,
    /// Whether every piece continues the word before it, where the aggregation asks for that.
    continued: Vec<bool>,
}

/// What one window gave: logits of the sentence head, and of the token head for every piece of the window.
#[derive(Default)]
struct Answer {
    sentence: Vec<f32>,
    token: Vec<Vec<f32>>,
}

impl Engine {
    /// Opens a bundle folder, or with `None` the default bundle inside the library.
    ///
    /// # Errors
    /// If the folder holds no bundle that can be read.
    pub fn open(folder: Option<&Path>) -> Result<Self, EngineError> {
        Self::new(match folder {
            Some(folder) => Bundle::open(folder)?,
            None => Bundle::embedded()?,
        })
    }

    /// Makes a bundle ready, on the CPU with a thread per core, in the [usual precision](crate::bundle::Description::usual_precision) of
    /// its description.
    ///
    /// # Errors
    /// As of [`Engine::on`].
    pub fn new(bundle: Bundle) -> Result<Self, EngineError> {
        let precision = bundle.description.usual_precision();
        Self::on(bundle, Device::Cpu, precision)
    }

    /// Makes a bundle ready, on a device with a thread per core; a GPU is given one batch after the other.
    ///
    /// * `precision`: on a CPU, what the operands of the encoder's products are rounded to
    ///
    /// # Errors
    /// If the bundle's parts do not fit each other, the device has no room for the weights, or the variable
    /// [`UNDERTONE_CPU`](crate::cpu::VARIABLE) is wrong.
    pub fn on(bundle: Bundle, device: Device, precision: Precision) -> Result<Self, EngineError> {
        cpu::chosen().map_err(EngineError::Cpu)?;
        let network =
            if device.is_cpu() { bundle.inference_network(precision)? } else { bundle.network(&device)? };
        let tag_set = TagSet::new(bundle.description.token().map_or(&[], |task| &task.labels));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let aggregation = Aggregation::Words;
        Ok(Self { bundle, network, device, tag_set, threads, precision, aggregation, zero_shot: None })
    }

    /// What the operands of the encoder's products are rounded to on a CPU.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same engine on another number of threads, at least one. Answers do not depend on it.
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// The same engine with another way from pieces to entities.
    pub fn with_aggregation(self, aggregation: Aggregation) -> Self {
        Self { aggregation, ..self }
    }

    /// The same engine taking special tokens that are written out in a text for those tokens
    /// ([`Tokenizer::reading_special_tokens`](crate::tokens::Tokenizer::reading_special_tokens)).
    pub fn reading_special_tokens(mut self) -> Self {
        self.bundle.tokenizer = self.bundle.tokenizer.reading_special_tokens();
        self
    }

    /// The same engine asked for other labels than its model's, which must be those of natural-language inference: one of them
    /// begins with `entail`, or, where none has a name (`LABEL_0`), the last stands for entailment. It then finds no entities.
    ///
    /// # Errors
    /// If the model has no such label, or the labels or their template will not do.
    pub fn with_zero_shot(self, settings: ZeroShot) -> Result<Self, EngineError> {
        let zero_shot = Some(Hypotheses::new(&self.bundle, settings)?);
        Ok(Self { zero_shot, ..self })
    }

    /// The bundle behind the engine.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Names of the sentence labels in the order of scores; empty without a sentence head.
    pub fn labels(&self) -> &[String] {
        match &self.zero_shot {
            Some(hypotheses) => &hypotheses.labels,
            None => self.bundle.description.sentence().map_or(&[], |task| &task.labels),
        }
    }

    /// Decision threshold of each sentence label, a probability from 0 to 1.
    pub fn thresholds(&self) -> &[f32] {
        match &self.zero_shot {
            Some(hypotheses) => &hypotheses.thresholds,
            None => self.bundle.description.sentence().map_or(&[], |task| &task.thresholds),
        }
    }

    /// Entity types the token head knows, sorted; empty without a token head.
    pub fn entity_labels(&self) -> &[String] {
        if self.zero_shot.is_some() { &[] } else { self.tag_set.kinds() }
    }

    /// Answers for every input, in input order, however they were batched. No inputs, no answers; an empty text is scored
    /// like any other, as in `transformers`, and has no entities.
    ///
    /// Text longer than the encoder's window is read in overlapping windows: a label's logit is the largest of its
    /// windows (a stance anywhere in the sentence counts), a word's tag comes from the window where it has most context.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn predict(&self, inputs: &[Input<'_>], tasks: Tasks) -> Result<Vec<Prediction>, EngineError> {
        let prepared = schedule::parallel(inputs.len(), self.threads, |i| self.prepare(inputs[i], tasks))?;
        let hypotheses: Vec<Option<usize>> = match &self.zero_shot {
            Some(hypotheses) => (0..hypotheses.pieces.len()).map(Some).collect(),
            None => vec![None],
        };
        let mut rows: Vec<Row> = Vec::with_capacity(prepared.len());
        for (input, p) in prepared.iter().enumerate() {
            for &hypothesis in &hypotheses {
                rows.extend(p.windows.iter().map(|window| Row {
                    input,
                    read: window.read.clone(),
                    hypothesis,
                }));
            }
        }
        let behind = |row: &Row| match (&self.zero_shot, row.hypothesis) {
            (Some(hypotheses), Some(i)) => hypotheses.pieces[i].len(),
            _ => 0,
        };
        let lengths: Vec<usize> = rows.iter().map(|row| row.read.len() + behind(row)).collect();
        let batches = schedule::batches(&lengths);
        let workers = if self.device.is_cpu() { self.threads } else { 1 };
        let answers = schedule::parallel(batches.len(), workers, |b| {
            let batch: Vec<_> = batches[b].iter().map(|&row| rows[row].clone()).collect();
            self.encode(&prepared, &batch, tasks)
        })?;
        let mut by_row: Vec<Answer> = Vec::new();
        by_row.resize_with(rows.len(), Answer::default);
        for (batch, answers) in batches.iter().zip(answers) {
            for (&row, answer) in batch.iter().zip(answers) {
                by_row[row] = answer;
            }
        }
        let mut by_row = by_row.into_iter();
        Ok(prepared
            .iter()
            .map(|p| {
                let answers: Vec<Answer> = by_row.by_ref().take(p.windows.len() * hypotheses.len()).collect();
                self.conclude(p, &answers, tasks)
            })
            .collect())
    }

    fn prepare(&self, input: Input<'_>, tasks: Tasks) -> Result<Prepared, EngineError> {
        let tokenizer = &self.bundle.tokenizer;
        let pieces = tokenizer.pieces(input.text)?;
        let casing = casing_classes(input.text, &pieces);
        let room = match &self.zero_shot {
            Some(hypotheses) => hypotheses.room,
            None => self.bundle.max_tokens() - tokenizer.prefix().len() - tokenizer.suffix().len(),
        };
        let windows = windows(pieces.ids.len(), room, room / 2);
        let words = match input.words {
            _ if !tasks.ner() || self.aggregation != Aggregation::Words => Vec::new(),
            Some(words) => words.to_vec(),
            None => split_words(input.text),
        };
        let first = first_pieces(&words, &pieces);
        let continued = match tasks.ner() && self.aggregation.joins_words() {
            true => tokenizer.continuations(input.text, &pieces),
            false => Vec::new(),
        };
        Ok(Prepared { pieces, casing, windows, words, first, continued })
    }

    fn encode(&self, prepared: &[Prepared], batch: &[Row], tasks: Tasks) -> Result<Vec<Answer>, EngineError> {
        let (prefix, suffix) = (self.bundle.tokenizer.prefix(), self.bundle.tokenizer.suffix());
        let (mut ids, mut casing, mut types) = (Vec::new(), Vec::new(), Vec::new());
        for Row { input, read, hypothesis } in batch {
            let pieces = &prepared[*input].pieces.ids[read.clone()];
            let (before, row) = match self.zero_shot.as_ref().zip(*hypothesis) {
                Some((hypotheses, i)) => {
                    let (row, kinds) = hypotheses.frame.join(pieces, &hypotheses.pieces[i]);
                    types.push(kinds);
                    (hypotheses.frame.prefix.len(), row)
                }
                None => (prefix.len(), [prefix, pieces, suffix].concat()),
            };
            let mut classes = vec![0; before];
            classes.extend_from_slice(&prepared[*input].casing[read.clone()]);
            classes.resize(row.len(), 0);
            ids.push(row);
            casing.push(classes);
        }
        let rows: Vec<(&[u32], &[u32])> =
            ids.iter().zip(&casing).map(|(ids, casing)| (&ids[..], &casing[..])).collect();
        let with_casing = self.network.encoder().has_casing();
        let mut sequences =
            Sequences::new(&rows, self.bundle.config.pad_token_id, with_casing, &self.device)?;
        if !types.is_empty() {
            sequences = sequences.with_types(&types.iter().map(|kinds| &kinds[..]).collect::<Vec<_>>())?;
        }
        let pass = Pass { precision: self.precision, ..Pass::inference() };
        let logits = self.network.forward(&sequences, &pass, tasks.classify(), tasks.ner())?;
        let mut answers: Vec<Answer> = batch.iter().map(|_| Answer::default()).collect();
        if let Some(logits) = logits.sentence {
            for (answer, logits) in answers.iter_mut().zip(logits.to_vec2::<f32>()?) {
                finite("sentence", &logits)?;
                answer.sentence = logits;
            }
        }
        if let Some(logits) = logits.token {
            for ((answer, mut logits), row) in answers.iter_mut().zip(logits.to_vec3::<f32>()?).zip(batch) {
                logits.truncate(prefix.len() + row.read.len());
                answer.token = logits.split_off(prefix.len());
                answer.token.iter().try_for_each(|logits| finite("token", logits))?;
            }
        }
        Ok(answers)
    }

    fn conclude(&self, prepared: &Prepared, answers: &[Answer], tasks: Tasks) -> Prediction {
        let ids = &prepared.pieces.ids;
        let unknown = self.bundle.tokenizer.unknown();
        let mut prediction = match &self.zero_shot {
            Some(hypotheses) => hypotheses.conclude(answers),
            None => Prediction::default(),
        };
        prediction.tokens = ids.len();
        prediction.unknown_tokens = ids.iter().filter(|&&id| Some(id) == unknown).count();
        prediction.windows = prepared.windows.len();
        if self.zero_shot.is_some() {
            return prediction;
        }
        if let Some(task) = self.bundle.description.sentence().filter(|_| tasks.classify()) {
            prediction.logits = (0..task.labels.len())
                .map(|label| answers.iter().map(|a| a.sentence[label]).fold(f32::NEG_INFINITY, f32::max))
                .collect();
            let scaled: Vec<f32> = prediction.logits.iter().map(|x| x / task.temperature).collect();
            prediction.scores = task.activation.apply(&scaled);
            prediction.labels = task.activation.decide(&prediction.scores, &task.thresholds);
        }
        if let Some(task) = self.bundle.description.token().filter(|_| tasks.ner()) {
            let pieces = prepared.windows.iter().zip(answers).flat_map(|(window, answer)| {
                window.decide.clone().map(|piece| &answer.token[piece - window.read.start])
            });
            let pieces: Vec<&Vec<f32>> = pieces.collect();
            let probabilities = |piece: usize| Activation::Softmax.apply(pieces[piece]);
            if self.aggregation == Aggregation::Words {
                let words: Vec<Option<Vec<f32>>> =
                    prepared.first.iter().map(|piece| piece.map(probabilities)).collect();
                let (found, tags) =
                    self.tag_set.entities(&self.tag_set.best(&words), &words, &prepared.words);
                prediction.entities = Some(found);
                prediction.tags = tags;
            } else {
                let pieces: Vec<Vec<f32>> = (0..pieces.len()).map(probabilities).collect();
                let spans = &prepared.pieces.spans;
                prediction.entities =
                    Some(self.aggregation.entities(&task.labels, &pieces, spans, &prepared.continued));
            }
        }
        prediction
    }
}

/// Refuses NaN, which a comparison would silently pass over.
fn finite(head: &'static str, logits: &[f32]) -> Result<(), EngineError> {
    if logits.iter().all(|x| x.is_finite()) { Ok(()) } else { Err(EngineError::NotFinite { head }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Weights, testing::tiny_bundle};

    #[test]
    fn logits_that_are_no_numbers_are_an_error_and_not_a_confident_no() {
        use candle_core::Tensor;
        for (tensor, head) in
            [("heads.stance.classifier.bias", "sentence"), ("heads.entities.classifier.bias", "token")]
        {
            let bundle = tiny_bundle();
            let mut tensors = bundle.weights.tensors();
            let nan = Tensor::full(f32::NAN, 3, &Device::Cpu).unwrap();
            tensors.insert(tensor.to_owned(), nan);
            let bundle = bundle.with(bundle.description.clone(), Weights::from_tensors(tensors));
            let engine = Engine::new(bundle).unwrap();
            let error = engine.predict(&[Input { text: "a b", words: None }], Tasks::Both).unwrap_err();
            assert!(matches!(error, EngineError::NotFinite { head: found } if found == head), "{error}");
        }
    }
}
