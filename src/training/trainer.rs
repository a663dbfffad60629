use super::batches::{Stream, plan};
use super::checkpoint::{self, Progress};
use super::config::TrainingConfig;
use super::examples::Example;
use super::loss;
use super::optimizer::{Gradients, Optimizer};
use super::parameters::Parameters;
use super::{TrainingError, schedule};
use crate::bundle::{Bundle, Network, Weights};
use crate::encoder::layers::{Randomness, RowGradients};
use crate::encoder::{Pass, Sequences};
use crate::head::Activation;
use crate::kernels::dropout::mix64;
use candle_core::Result as TensorResult;
use candle_core::{Device, Tensor};
use std::path::PathBuf;
use std::time::Instant;

/// A training run: the bundle to start from, the data, and where to keep checkpoints.
pub struct Trainer<'a> {
    /// Configuration, tokenizer, heads and initial weights.
    pub bundle: &'a Bundle,
    /// What to learn.
    pub examples: &'a [Example],
    /// How.
    pub config: &'a TrainingConfig,
    /// Folder for checkpoints; `None` keeps none.
    pub checkpoints: Option<PathBuf>,
    /// Steps between checkpoints within an epoch; 0 writes them at the end of epochs only.
    pub checkpoint_every: usize,
    /// What else the run depends on (data hashes and the like): a checkpoint made under another fingerprint is refused.
    pub fingerprint: String,
}

/// Means over one optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Optimiser step, from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Loss of the batch, both heads, weighted.
    pub loss: f64,
    /// Mean loss of the sentence head over the annotated sentences, if there were any.
    pub sentence_loss: Option<f64>,
    /// Mean loss of the token head over the annotated words, if there were any.
    pub token_loss: Option<f64>,
    /// Norm of the gradient before clipping.
    pub norm: f64,
    /// Learning rate.
    pub rate: f64,
    /// Examples in the batch.
    pub examples: usize,
    /// Seconds the step took.
    pub seconds: f64,
}

/// An epoch and its development score.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Development score, higher is better; `None` if there was nothing to score.
    pub score: Option<f64>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// What a run tells while it goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run goes on from a checkpoint, after this many steps.
    Resumed(usize),
    /// A step is done.
    Step(StepReport),
    /// An epoch is done, and scored if there is something to score.
    Epoch(EpochReport),
}

/// What a run leaves.
pub struct Outcome {
    /// The weights with the best development score, or the last ones if nothing was scored.
    pub weights: Weights,
    /// Their score; `None` if nothing was scored.
    pub score: Option<f64>,
    /// The epoch they are of, from 1.
    pub epoch: usize,
    /// Optimiser steps made.
    pub steps: usize,
}

/// Losses of a shard, already divided by the counts of the whole batch.
#[derive(Debug, Default, Clone, Copy)]
struct Losses {
    total: f64,
    sentence: f64,
    token: f64,
}

/// What the losses of a batch are divided by.
#[derive(Debug, Clone, Copy)]
struct Counts {
    sentences: f64,
    words: f64,
}

impl Trainer<'_> {
    /// Trains, and gives back the weights that `score` likes best.
    ///
    /// `score` is called at the end of every epoch with the weights as they would be saved; higher is better. Where it
    /// has nothing to score it says `None`: then the weights of the last epoch are given back, and nothing stops early.
    /// If a checkpoint is found, the run goes on from it.
    ///
    /// # Errors
    /// If a setting is out of range, there is nothing to learn, the loss diverges, or a checkpoint cannot be used.
    pub fn run(
        &self,
        score: &mut dyn FnMut(&Weights) -> Result<Option<f64>, TrainingError>,
        observe: &mut dyn FnMut(Event),
    ) -> Result<Outcome, TrainingError> {
        self.config.validate()?;
        if self.examples.is_empty() {
            return Err(TrainingError::NoExamples);
        }
        let parameters = Parameters::new(&self.bundle.weights)?;
        let network = Network::load(parameters.builder(), &self.bundle.config, &self.bundle.description)?;
        let mut optimizer = Optimizer::new(&parameters, self.config, self.bundle.config.distinct_layers);
        let lengths: Vec<usize> = self.examples.iter().map(|e| e.ids.len()).collect();
        let per_epoch = self.examples.len().div_ceil(self.config.batch_size);
        let steps = per_epoch * self.config.epochs;
        let fingerprint = self.fingerprint()?;
        let mut progress = Progress::default();
        let mut best = self.bundle.weights.clone();
        if let Some(folder) = &self.checkpoints
            && let Some(found) = checkpoint::load(folder, &fingerprint, &parameters, &mut optimizer)?
        {
            (progress, best) = found;
            observe(Event::Resumed(optimizer.step));
        }
        while progress.epoch < self.config.epochs && !progress.stopping.should_stop(self.config.patience) {
            let batches = plan(&lengths, self.config.batch_size, self.config.seed, progress.epoch);
            while progress.batch < batches.len() {
                let mut report =
                    self.step(&batches[progress.batch], &network, &parameters, &mut optimizer, steps)?;
                report.epoch = progress.epoch + 1;
                progress.batch += 1;
                self.average(&mut progress, &parameters, optimizer.step, steps)?;
                observe(Event::Step(report));
                let due = self.checkpoint_every > 0 && optimizer.step.is_multiple_of(self.checkpoint_every);
                if let (Some(folder), true) = (&self.checkpoints, due && progress.batch < batches.len()) {
                    checkpoint::save(folder, &fingerprint, &parameters, &optimizer, &progress, &best)?;
                }
            }
            progress.epoch += 1;
            progress.batch = 0;
            let weights = match &progress.average {
                Some(average) => average.weights(&parameters)?,
                None => parameters.snapshot()?,
            };
            let value = score(&weights)?;
            let is_best = progress.stopping.note(progress.epoch, value);
            if is_best {
                best = weights;
            }
            observe(Event::Epoch(EpochReport { epoch: progress.epoch, score: value, best: is_best }));
            if let Some(folder) = &self.checkpoints {
                checkpoint::save(folder, &fingerprint, &parameters, &optimizer, &progress, &best)?;
            }
        }
        let stopping = &progress.stopping;
        Ok(Outcome { weights: best, score: stopping.best, epoch: stopping.best_epoch, steps: optimizer.step })
    }

    /// Everything a checkpoint depends on, as text.
    fn fingerprint(&self) -> Result<String, TrainingError> {
        let config = serde_json::to_string(self.config)
            .map_err(|e| TrainingError::Checkpoint { path: PathBuf::new(), reason: e.to_string() })?;
        Ok(format!("{config} {} examples {}", self.examples.len(), self.fingerprint))
    }

    /// One optimiser step over one batch.
    fn step(
        &self,
        batch: &[usize],
        network: &Network,
        parameters: &Parameters,
        optimizer: &mut Optimizer,
        steps: usize,
    ) -> Result<StepReport, TrainingError> {
        let started = Instant::now();
        let step = optimizer.step;
        let counts = self.counts(batch);
        // Dealt out one by one: neighbours are of one length, so the shards are of one size.
        let shards: Vec<Vec<usize>> = (0..self.config.shards.min(batch.len()))
            .map(|shard| batch.iter().copied().skip(shard).step_by(self.config.shards).collect())
            .collect();
        let run = |number: usize| {
            let key = mix64(mix64(self.config.seed ^ mix64(step as u64)) ^ number as u64);
            self.shard(&shards[number], counts, network, parameters, key)
        };
        let results: Vec<TensorResult<(Losses, Gradients)>> = std::thread::scope(|scope| {
            let run = &run;
            let others: Vec<_> = (1..shards.len()).map(|number| scope.spawn(move || run(number))).collect();
            let first = run(0);
            let others = others.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            std::iter::once(first).chain(others).collect()
        });
        let mut losses = Losses::default();
        let mut gradients = Gradients::default();
        for result in results {
            let (shard, grads) = result?;
            losses.total += shard.total;
            losses.sentence += shard.sentence;
            losses.token += shard.token;
            gradients.add(grads)?;
        }
        let norm = gradients.norm()?;
        if !losses.total.is_finite() || !norm.is_finite() {
            return Err(TrainingError::Diverged { step: step + 1, loss: losses.total });
        }
        let rate = self.config.learning_rate * schedule::linear(step, steps, self.config.warmup);
        let scale = (self.config.clip_norm / norm).min(1.0);
        optimizer.update(parameters, &gradients, self.config, rate, scale)?;
        Ok(StepReport {
            step: step + 1,
            steps,
            epoch: 0,
            loss: losses.total,
            sentence_loss: (counts.sentences > 0.0).then_some(losses.sentence),
            token_loss: (counts.words > 0.0).then_some(losses.token),
            norm,
            rate,
            examples: batch.len(),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn counts(&self, batch: &[usize]) -> Counts {
        let mut counts = Counts { sentences: 0.0, words: 0.0 };
        for example in batch.iter().map(|&i| &self.examples[i]) {
            let weight = f64::from(example.weight);
            counts.sentences += if example.labels.is_some() { weight } else { 0.0 };
            counts.words += example.tags.as_ref().map_or(0, Vec::len) as f64 * weight;
        }
        counts
    }

    /// Forward and backward over a part of a batch.
    fn shard(
        &self,
        shard: &[usize],
        counts: Counts,
        network: &Network,
        parameters: &Parameters,
        key: u64,
    ) -> TensorResult<(Losses, Gradients)> {
        let examples: Vec<&Example> = shard.iter().map(|&i| &self.examples[i]).collect();
        let ids: Vec<Vec<u32>> = examples
            .iter()
            .enumerate()
            .map(|(i, e)| self.with_token_dropout(&e.ids, key ^ i as u64))
            .collect();
        let rows: Vec<(&[u32], &[u32])> =
            ids.iter().zip(&examples).map(|(ids, e)| (&ids[..], &e.casing[..])).collect();
        let casing = network.encoder().has_casing();
        let sequences = Sequences::new(&rows, self.bundle.config.pad_token_id, casing, &Device::Cpu)?;
        let tables = parameters.tables().map(|name| (name.to_owned(), RowGradients::default())).collect();
        let pass = Pass { randomness: Randomness::seeded(key), tables, precision: self.config.precision };

        let logits = network.forward(&sequences, &pass, counts.sentences > 0.0, counts.words > 0.0)?;
        let mut losses = Losses::default();
        let mut total: Option<Tensor> = None;
        let mut add = |term: Tensor, weight: f64| -> TensorResult<f64> {
            let value = f64::from(term.to_scalar::<f32>()?);
            let term = (term * weight)?;
            total = Some(match total.take() {
                Some(total) => (total + term)?,
                None => term,
            });
            losses.total += value * weight;
            Ok(value)
        };
        if let Some(logits) = &logits.sentence
            && let Some(targets) = self.sentence_targets(&examples)?
        {
            let picked = logits.index_select(&targets.rows, 0)?;
            let positive = self.positive_weights(picked.dim(1)?)?;
            type Loss = fn(&Tensor, &Tensor, &Tensor, &Tensor) -> TensorResult<Tensor>;
            type Apart = fn(&Tensor, &Tensor, &Tensor) -> TensorResult<Tensor>;
            let (loss, r_drop): (Loss, Apart) = match targets.activation {
                Activation::Sigmoid => (loss::binary_cross_entropy, loss::r_drop),
                Activation::Softmax => (loss::soft_cross_entropy, loss::soft_r_drop),
            };
            let cost = loss(&picked, &targets.values, &positive, &targets.weights)?;
            losses.sentence = add((cost / counts.sentences)?, self.config.sentence_weight)?;
            if self.config.r_drop > 0.0 {
                // Only the annotated sentences go through the network again.
                let known = rows.iter().zip(&examples).filter(|(_, e)| e.labels.is_some());
                let rows: Vec<_> = known.map(|(&row, _)| row).collect();
                let annotated = Sequences::new(&rows, self.bundle.config.pad_token_id, casing, &Device::Cpu)?;
                if let Some(again) = network.forward(&annotated, &pass, true, false)?.sentence {
                    let cost = loss(&again, &targets.values, &positive, &targets.weights)?;
                    add((cost / counts.sentences)?, self.config.sentence_weight)?;
                    let apart = r_drop(&picked, &again, &targets.weights)?;
                    add((apart / counts.sentences)?, self.config.r_drop * self.config.sentence_weight)?;
                }
            }
        }
        if let Some(logits) = &logits.token
            && let Some((positions, tags, weights)) = token_targets(&examples, sequences.ids.dim(1)?)?
        {
            let picked = logits.flatten_to(1)?.index_select(&positions, 0)?;
            let cost = loss::cross_entropy(&picked, &tags, &weights, self.config.label_smoothing)?;
            losses.token = add((cost / counts.words)?, self.config.token_weight)?;
        }
        let Some(total) = total else { return Ok((losses, Gradients::default())) };
        let mut grads = total.backward()?;
        let mut gradients = Gradients::default();
        for parameter in parameters.0.iter().filter(|p| !p.is_table) {
            if let Some(grad) = grads.remove(parameter.var.as_tensor()) {
                gradients.dense.insert(parameter.name.clone(), grad);
            }
        }
        gradients.rows = pass.tables.iter().map(|(name, rows)| (name.clone(), rows.take())).collect();
        gradients.rows.retain(|_, rows| !rows.is_empty());
        Ok((losses, gradients))
    }

    fn with_token_dropout(&self, ids: &[u32], key: u64) -> Vec<u32> {
        let mut ids = ids.to_vec();
        if let (true, Some(mask)) = (self.config.token_dropout > 0.0, self.bundle.tokenizer.mask()) {
            let mut stream = Stream::new(&[key, 0x6472_6f70]);
            let tokenizer = &self.bundle.tokenizer;
            let inner = tokenizer.prefix().len()..ids.len() - tokenizer.suffix().len();
            for id in &mut ids[inner] {
                if stream.unit() < self.config.token_dropout {
                    *id = mask;
                }
            }
        }
        ids
    }

    fn sentence_targets(&self, examples: &[&Example]) -> TensorResult<Option<SentenceTargets>> {
        let known: Vec<(u32, &Vec<f32>, f32)> = examples
            .iter()
            .enumerate()
            .filter_map(|(i, e)| Some((i as u32, e.labels.as_ref()?, e.weight)))
            .collect();
        let (Some((_, first, _)), Some(task)) = (known.first(), self.bundle.description.sentence()) else {
            return Ok(None);
        };
        let (rows, labels) = (known.len(), first.len());
        let smoothing = self.config.label_smoothing as f32;
        let ignorance = match task.activation {
            Activation::Sigmoid => 0.5,
            Activation::Softmax => 1.0 / labels as f32,
        };
        let smooth = |y: &f32| y * (1.0 - smoothing) + smoothing * ignorance;
        let values = known.iter().flat_map(|(_, y, _)| y.iter().map(smooth));
        Ok(Some(SentenceTargets {
            activation: task.activation,
            rows: Tensor::from_vec(known.iter().map(|k| k.0).collect(), rows, &Device::Cpu)?,
            values: Tensor::from_vec(values.collect::<Vec<f32>>(), (rows, labels), &Device::Cpu)?,
            weights: Tensor::from_vec(known.iter().map(|k| k.2).collect(), (rows, 1), &Device::Cpu)?,
        }))
    }

    /// `[1, labels]`: `(negatives / positives) ^ power` over the whole data.
    fn positive_weights(&self, labels: usize) -> TensorResult<Tensor> {
        let power = self.config.positive_weight_power;
        if power == 0.0 {
            return Tensor::ones((1, labels), candle_core::DType::F32, &Device::Cpu);
        }
        let mut positives = vec![0f64; labels];
        let mut total = 0f64;
        for example in self.examples {
            let Some(targets) = &example.labels else { continue };
            total += f64::from(example.weight);
            for (sum, &y) in positives.iter_mut().zip(targets) {
                *sum += f64::from(y * example.weight);
            }
        }
        let weights: Vec<f32> =
            positives.iter().map(|&p| (((total - p) / p.max(1.0)).max(1e-3)).powf(power) as f32).collect();
        Tensor::from_vec(weights, (1, labels), &Device::Cpu)
    }

    /// Adds the weights to the running average when their step is due.
    fn average(
        &self,
        progress: &mut Progress,
        parameters: &Parameters,
        step: usize,
        steps: usize,
    ) -> Result<(), TrainingError> {
        let from = steps as f64 * (1.0 - self.config.average_last);
        let due = self.config.average_last > 0.0
            && step as f64 > from
            && ((steps - step).is_multiple_of(self.config.average_every));
        if due {
            progress.average.get_or_insert_default().add(parameters)?;
        }
        Ok(())
    }
}

struct SentenceTargets {
    activation: Activation,
    /// Rows of the shard that are annotated, `[rows]`.
    rows: Tensor,
    /// `[rows, labels]`
    values: Tensor,
    /// `[rows, 1]`
    weights: Tensor,
}

/// Positions in the flattened `[batch * tokens]`, tags and weights of the annotated words, each `[words]`.
fn token_targets(examples: &[&Example], tokens: usize) -> TensorResult<Option<(Tensor, Tensor, Tensor)>> {
    let (mut positions, mut tags, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for (row, example) in examples.iter().enumerate() {
        for &(token, tag) in example.tags.iter().flatten() {
            positions.push((row * tokens) as u32 + token);
            tags.push(tag);
            weights.push(example.weight);
        }
    }
    let n = positions.len();
    if n == 0 {
        return Ok(None);
    }
    let cpu = &Device::Cpu;
    Ok(Some((
        Tensor::from_vec(positions, n, cpu)?,
        Tensor::from_vec(tags, n, cpu)?,
        Tensor::from_vec(weights, n, cpu)?,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::tiny_bundle;
    use crate::head::Pooling;
    use crate::labels::{GoldEntity, GoldSentence};
    use crate::text::Span;
    use crate::training::{ExampleSource, examples, initial_weights};

    fn data(bundle: &Bundle) -> Vec<Example> {
        let texts = [
            "ana duarte may leave",
            "the troops leave.",
            "troops may, may leave - ana",
            "the ana 1 2 duarte",
        ];
        let gold: Vec<GoldSentence> = (0..24)
            .map(|i| {
                let text = texts[i % 4].to_owned();
                let labels = if text.contains("may") { vec!["speculation".to_owned()] } else { vec![] };
                let entities = text
                    .find("ana")
                    .map(|at| GoldEntity { label: "PER".into(), span: Span::new(at, at + 3) });
                GoldSentence {
                    text,
                    labels: (i % 3 != 2).then_some(labels),
                    entities: (i % 3 != 1).then_some(entities.into_iter().collect()),
                    ..GoldSentence::default()
                }
            })
            .collect();
        let source =
            ExampleSource { sentences: &gold, weight: 1.0, labels: true, entities: true, distilled: None };
        examples(source, bundle, 32).unwrap().0
    }

    fn config() -> TrainingConfig {
        TrainingConfig {
            epochs: 3,
            batch_size: 4,
            learning_rate: 1e-2,
            average_last: 0.5,
            average_every: 2,
            ..Default::default()
        }
    }

    /// A trainer that keeps no checkpoints.
    fn trainer<'a>(bundle: &'a Bundle, examples: &'a [Example], config: &'a TrainingConfig) -> Trainer<'a> {
        let fingerprint = String::new();
        Trainer { bundle, examples, config, checkpoints: None, checkpoint_every: 0, fingerprint }
    }

    fn run(
        bundle: &Bundle,
        config: &TrainingConfig,
        folder: Option<PathBuf>,
        stop_after: usize,
    ) -> (Weights, Vec<f64>) {
        let data = data(bundle);
        let trainer = Trainer { checkpoints: folder, checkpoint_every: 2, ..trainer(bundle, &data, config) };
        let mut losses = Vec::new();
        let mut seen = 0;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut epoch = 0.0;
            trainer.run(
                &mut |_| {
                    epoch += 1.0;
                    Ok(Some(epoch))
                },
                &mut |event| {
                    if let Event::Step(report) = event {
                        losses.push(report.loss);
                        seen += 1;
                        assert!(seen != stop_after, "interrupted");
                    }
                },
            )
        }));
        match outcome {
            Ok(outcome) => (outcome.unwrap().weights, losses),
            Err(_) => (bundle.weights.clone(), losses),
        }
    }

    fn bits(weights: &Weights) -> Vec<(String, Vec<u32>)> {
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        weights
            .tensors()
            .iter()
            .map(|(n, t)| (n.clone(), flat(t).into_iter().map(f32::to_bits).collect()))
            .collect()
    }

    #[test]
    fn every_parameter_has_a_gradient_after_one_step() {
        for (pooling, transform) in [(Pooling::Mean, false), (Pooling::Pooler, false), (Pooling::First, true)]
        {
            let bundle = tiny_bundle();
            let mut description = bundle.description.clone();
            let task = description.sentence_mut().expect("a sentence head");
            (task.pooling, task.transform) = (pooling, transform);
            let mut headless = bundle.clone();
            headless.description.heads.clear();
            let weights = initial_weights(&headless, &description, 1).unwrap();
            assert_every_parameter_has_a_gradient(&bundle.with(description, weights));
        }
    }

    #[test]
    fn every_family_can_be_trained() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families");
        let folders: Vec<PathBuf> = std::fs::read_dir(fixtures).unwrap().map(|e| e.unwrap().path()).collect();
        let families: Vec<PathBuf> =
            folders.iter().map(|folder| folder.join("sequence")).filter(|folder| folder.exists()).collect();
        assert!(families.len() > 10, "{folders:?}");
        for family in families {
            let base = Bundle::open_encoder(&family).unwrap();
            let description = tiny_bundle().description;
            let weights = initial_weights(&base, &description, 1).unwrap();
            assert_every_parameter_has_a_gradient(&base.with(description, weights));
        }
    }

    /// True for biases that move all scores of a row alike, which softmax does not see.
    fn is_invisible(name: &str, bundle: &Bundle) -> bool {
        use crate::encoder::RelativeAttention::Disentangled;
        // A key that attends to distances shows its bias in every score by another factor.
        let attends =
            matches!(bundle.config.relative, Disentangled(settings) if settings.position_to_content);
        name.ends_with("pos_key_proj.bias") || name.ends_with("attention.self.key.bias") && !attends
    }

    fn assert_every_parameter_has_a_gradient(bundle: &Bundle) {
        let data = data(bundle);
        let config = config();
        let trainer = trainer(bundle, &data, &config);
        let parameters = Parameters::new(&bundle.weights).unwrap();
        let network = Network::load(parameters.builder(), &bundle.config, &bundle.description).unwrap();
        let batch: Vec<usize> = (0..data.len()).collect();
        let (_, gradients) = trainer.shard(&batch, trainer.counts(&batch), &network, &parameters, 1).unwrap();
        for parameter in &parameters.0 {
            let norm: f32 = if parameter.is_table {
                gradients.rows[&parameter.name].values().flatten().map(|g| g.abs()).sum()
            } else {
                let grad = &gradients.dense[&parameter.name];
                grad.abs().unwrap().sum_all().unwrap().to_scalar().unwrap()
            };
            if is_invisible(&parameter.name, bundle) {
                assert!(norm < 1e-4, "{} has gradient {norm}, and softmax cannot see it", parameter.name);
            } else {
                assert!(norm > 1e-6, "{} has gradient {norm}", parameter.name);
            }
        }
        let before = bits(&bundle.weights);
        let mut optimizer = Optimizer::new(&parameters, &config, bundle.config.num_hidden_layers);
        trainer.step(&batch, &network, &parameters, &mut optimizer, 10).unwrap();
        for ((name, old), (_, new)) in before.iter().zip(bits(&parameters.snapshot().unwrap())) {
            assert!(*old != new, "{name} did not move");
        }
    }

    #[test]
    fn the_loss_falls() {
        let (_, losses) = run(&tiny_bundle(), &TrainingConfig { epochs: 12, ..config() }, None, 0);
        let mean = |xs: &[f64]| xs.iter().sum::<f64>() / xs.len() as f64;
        assert!(mean(&losses[losses.len() - 6..]) < 0.5 * mean(&losses[..6]), "{losses:?}");
    }

    #[test]
    fn a_softmax_head_learns_one_label_a_sentence() {
        let mut bundle = tiny_bundle();
        bundle.description.sentence_mut().expect("a sentence head").activation = Activation::Softmax;
        let gold: Vec<GoldSentence> = (0..24)
            .map(|i| {
                let (text, label) =
                    [("ana may leave", "speculation"), ("the troops leave.", "reassurance")][i % 2];
                let labels = Some(vec![label.to_owned()]);
                GoldSentence { text: text.into(), labels, ..GoldSentence::default() }
            })
            .collect();
        let source =
            ExampleSource { sentences: &gold, weight: 1.0, labels: true, entities: true, distilled: None };
        let data = examples(source, &bundle, 32).unwrap().0;
        for (r_drop, label_smoothing) in [(0.0, 0.0), (0.5, 0.1)] {
            let config = TrainingConfig { epochs: 12, r_drop, label_smoothing, ..config() };
            let mut losses = Vec::new();
            let mut observe = |event| {
                if let Event::Step(report) = event {
                    losses.push(report.sentence_loss.expect("every sentence has a label"));
                }
            };
            trainer(&bundle, &data, &config).run(&mut |_| Ok(None), &mut observe).unwrap();
            let (first, last) = (losses[0], losses[losses.len() - 1]);
            // Untrained, three labels are about equally likely.
            assert!((first - 3f64.ln()).abs() < 0.5, "{first}");
            // The least loss that smoothing leaves is the entropy of its targets.
            let off: f64 = label_smoothing / 3.0;
            let on = 1.0 - 2.0 * off;
            let entropy = if off > 0.0 { -on * on.ln() - 2.0 * off * off.ln() } else { 0.0 };
            assert!(last > entropy - 1e-6 && last < entropy + 0.25, "{last} against {entropy}");
        }
    }

    #[test]
    fn one_seed_gives_identical_weights_and_another_does_not() {
        let bundle = tiny_bundle();
        let config = TrainingConfig { token_dropout: 0.1, r_drop: 0.5, ..config() };
        let one = bits(&run(&bundle, &config, None, 0).0);
        assert_eq!(one, bits(&run(&bundle, &config, None, 0).0));
        assert_ne!(one, bits(&run(&bundle, &TrainingConfig { seed: 2, ..config }, None, 0).0));
    }

    #[test]
    fn an_interrupted_run_resumes_to_the_same_weights() {
        let bundle = tiny_bundle();
        let whole = bits(&run(&bundle, &config(), None, 0).0);
        for stop_after in [3, 7, 11] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("checkpoint");
            run(&bundle, &config(), Some(path.clone()), stop_after);
            let (resumed, losses) = run(&bundle, &config(), Some(path), 0);
            assert!(losses.len() < 18, "the run began anew");
            assert_eq!(whole, bits(&resumed), "stopped after {stop_after}");
        }
    }

    #[test]
    fn a_checkpoint_of_another_run_is_refused() {
        let bundle = tiny_bundle();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        run(&bundle, &config(), Some(path.clone()), 3);
        let data = data(&bundle);
        let other = TrainingConfig { learning_rate: 2e-2, ..config() };
        let trainer = Trainer { checkpoints: Some(path), ..trainer(&bundle, &data, &other) };
        let error = trainer.run(&mut |_| Ok(None), &mut |_| {}).err().expect("refused");
        assert!(matches!(error, TrainingError::ForeignCheckpoint { .. }), "{error}");
    }

    #[test]
    fn without_a_score_the_last_epoch_wins_and_none_is_made_up() {
        let bundle = tiny_bundle();
        let data = data(&bundle);
        let config = TrainingConfig { patience: 1, ..config() };
        let trainer = trainer(&bundle, &data, &config);
        let mut scores = Vec::new();
        let mut observe = |event| {
            if let Event::Epoch(report) = event {
                scores.push((report.score, report.best));
            }
        };
        let mut last = Vec::new();
        let mut keep = |weights: &Weights| {
            last = bits(weights);
            Ok(None)
        };
        let outcome = trainer.run(&mut keep, &mut observe).unwrap();
        assert_eq!(scores, [(None, true); 3]);
        assert_eq!((outcome.epoch, outcome.score), (3, None));
        assert_eq!(bits(&outcome.weights), last);
    }

    #[test]
    fn shards_add_up_to_the_batch() {
        let bundle = tiny_bundle();
        let data = data(&bundle);
        // Without dropout, which is drawn per shard.
        let mut still = bundle.clone();
        still.config.embedding_dropout = 0.0;
        still.config.hidden_dropout_prob = 0.0;
        still.config.attention_probs_dropout_prob = 0.0;
        let losses = |shards| {
            let config = TrainingConfig { shards, ..config() };
            let trainer = trainer(&still, &data, &config);
            let mut norms = Vec::new();
            let mut observe = |event| {
                if let Event::Step(report) = event {
                    norms.push((report.loss, report.norm));
                }
            };
            trainer.run(&mut |_| Ok(None), &mut observe).unwrap();
            norms[0]
        };
        let (one, three) = (losses(1), losses(3));
        assert!(
            (one.0 - three.0).abs() < 1e-5 && (one.1 - three.1).abs() < 1e-4,
            "{one:?} against {three:?}"
        );
    }
}
