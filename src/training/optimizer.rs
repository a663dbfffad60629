//! AdamW over parameters in groups, with clipping by the norm of all gradients together.

use super::config::TrainingConfig;
use super::parameters::{Parameter, Parameters};
use crate::kernels::adamw::{self, Update};
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Gradients of one step by parameter name.
#[derive(Default)]
pub(super) struct Gradients {
    /// Of matrices and vectors.
    pub(super) dense: BTreeMap<String, Tensor>,
    /// Of embedding tables: row to gradient.
    pub(super) rows: BTreeMap<String, BTreeMap<u32, Vec<f32>>>,
}

impl Gradients {
    /// Adds the gradients of another shard.
    pub(super) fn add(&mut self, other: Gradients) -> Result<()> {
        for (name, grad) in other.dense {
            let sum = match self.dense.remove(&name) {
                Some(own) => (own + grad)?,
                None => grad,
            };
            self.dense.insert(name, sum);
        }
        for (name, rows) in other.rows {
            let own = self.rows.entry(name).or_default();
            for (id, grad) in rows {
                match own.get_mut(&id) {
                    Some(sum) => sum.iter_mut().zip(&grad).for_each(|(sum, g)| *sum += g),
                    None => {
                        own.insert(id, grad);
                    }
                }
            }
        }
        Ok(())
    }

    /// Euclidean norm over everything.
    pub(super) fn norm(&self) -> Result<f64> {
        let mut total = 0.0;
        for grad in self.dense.values() {
            let grad = grad.flatten_all()?;
            total += with_values(&grad, |g| f64::from(crate::kernels::math::dot(g, g)))?;
        }
        for rows in self.rows.values() {
            total += rows.values().map(|g| f64::from(crate::kernels::math::dot(g, g))).sum::<f64>();
        }
        Ok(total.sqrt())
    }
}

/// First and second moments of a parameter, as large as itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Moments {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

/// AdamW with its state.
///
/// Embedding tables are updated lazily: a row that no sentence of the batch touches keeps its value and its moments (as
/// torch's `SparseAdam` does), where the dense update would go on moving it by its fading first moment.
pub(super) struct Optimizer {
    pub(super) step: usize,
    pub(super) moments: Vec<Moments>,
    groups: Vec<Group>,
}

/// What is special about a parameter.
struct Group {
    rate: f64,
    decay: f64,
}

impl Optimizer {
    pub(super) fn new(parameters: &Parameters, config: &TrainingConfig, layers: usize) -> Self {
        let zeros = |p: &Parameter| vec![0.0; p.var.elem_count()];
        let moments = parameters.0.iter().map(|p| Moments { first: zeros(p), second: zeros(p) }).collect();
        let groups = parameters.0.iter().map(|p| Group {
            rate: rate_factor(&p.name, config, layers),
            decay: if p.var.rank() > 1 { config.weight_decay } else { 0.0 },
        });
        Self { step: 0, moments, groups: groups.collect() }
    }

    /// One update. `rate` is the scheduled rate of this step, `scale` the clipping factor on the gradients.
    pub(super) fn update(
        &mut self,
        parameters: &Parameters,
        gradients: &Gradients,
        config: &TrainingConfig,
        rate: f64,
        scale: f64,
    ) -> Result<()> {
        self.step += 1;
        let correction1 = 1.0 - config.beta1.powi(self.step as i32);
        let correction2 = 1.0 - config.beta2.powi(self.step as i32);
        for ((parameter, moments), group) in parameters.0.iter().zip(&mut self.moments).zip(&self.groups) {
            let rate = rate * group.rate;
            let update = Update {
                beta1: config.beta1 as f32,
                beta2: config.beta2 as f32,
                step: (rate / correction1) as f32,
                correction: (1.0 / correction2.sqrt()) as f32,
                epsilon: config.epsilon as f32,
                shrink: (rate * group.decay) as f32,
                grad_scale: scale as f32,
            };
            let gradient = if parameter.is_table {
                gradients.rows.get(&parameter.name).map(Gradient::Rows)
            } else {
                gradients.dense.get(&parameter.name).map(Gradient::Dense)
            };
            if let Some(gradient) = gradient {
                let op = Step { update, gradient, moments: RefCell::new(moments) };
                parameter.var.inplace_op1(&op)?;
            }
        }
        Ok(())
    }
}

/// Factor on the rate of a parameter: falls by `layer_decay` from layer to layer downwards, and is `new_tensor_rate` for
/// heads and the casing embedding.
fn rate_factor(name: &str, config: &TrainingConfig, layers: usize) -> f64 {
    if name.starts_with("heads.") || name.ends_with(crate::encoder::Encoder::CASING) {
        return config.new_tensor_rate;
    }
    let layer =
        name.split_once("encoder.layer.").and_then(|(_, rest)| rest.split('.').next()?.parse::<usize>().ok());
    let below = match layer {
        Some(layer) => layers.saturating_sub(1 + layer),
        None => layers,
    };
    config.layer_decay.powi(below as i32)
}

enum Gradient<'a> {
    Dense(&'a Tensor),
    Rows(&'a BTreeMap<u32, Vec<f32>>),
}

struct Step<'a> {
    update: Update,
    gradient: Gradient<'a>,
    moments: RefCell<&'a mut Moments>,
}

impl InplaceOp1 for Step<'_> {
    fn name(&self) -> &'static str {
        "AdamW"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(weights) = weights else { candle_core::bail!("AdamW: a parameter is not f32") };
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("AdamW: a parameter is not contiguous");
        };
        let weights = &mut weights[start..end];
        let mut moments = self.moments.borrow_mut();
        let Moments { first, second } = &mut **moments;
        match self.gradient {
            Gradient::Dense(grad) => with_values(&grad.flatten_all()?, |grad| {
                adamw::apply(self.update, weights, first, second, grad);
            }),
            Gradient::Rows(rows) => {
                for (&row, grad) in rows {
                    let range = row as usize * grad.len()..(row as usize + 1) * grad.len();
                    adamw::apply(
                        self.update,
                        &mut weights[range.clone()],
                        &mut first[range.clone()],
                        &mut second[range],
                        grad,
                    );
                }
                Ok(())
            }
        }
    }
}

/// Lends the values of a contiguous f32 CPU tensor.
pub(super) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("a gradient is not on the CPU")
    };
    let start = layout.start_offset();
    Ok(f(&storage.as_slice::<f32>()?[start..start + layout.shape().elem_count()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Weights;
    use candle_core::Device;

    fn one(name: &str, values: &[f32], shape: &[usize]) -> Parameters {
        let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        Parameters::new(&Weights::from_tensors([(name.to_owned(), tensor)].into())).unwrap()
    }

    fn values(parameters: &Parameters) -> Vec<f32> {
        parameters.0[0].var.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn two_steps_equal_torch_adamw() {
        // torch.optim.AdamW([p], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1), p = [[1, -2]], grads below
        let config = TrainingConfig { weight_decay: 0.1, ..TrainingConfig::default() };
        let parameters = one("heads.x.weight", &[1.0, -2.0], &[1, 2]);
        let mut optimizer = Optimizer::new(&parameters, &config, 1);
        for grad in [[0.5f32, 1.0], [0.5, -1.0]] {
            let grad = Tensor::from_slice(&grad, (1, 2), &Device::Cpu).unwrap();
            let gradients =
                Gradients { dense: [("heads.x.weight".to_owned(), grad)].into(), ..Gradients::default() };
            optimizer.update(&parameters, &gradients, &config, 0.1, 1.0).unwrap();
        }
        let expected = [0.781_1, -2.053_936_8]; // by hand: shrink, then m / (sqrt(v) + eps), both corrected
        for (a, b) in values(&parameters).iter().zip(expected) {
            assert!((a - b).abs() < 1e-5, "{a} against {b}");
        }
    }

    #[test]
    fn vectors_are_not_decayed_and_untouched_rows_stay() {
        let config = TrainingConfig { weight_decay: 0.5, ..TrainingConfig::default() };
        let parameters = one("bert.embeddings.word_embeddings.weight", &[1.0, 1.0, 2.0, 2.0], &[2, 2]);
        let mut optimizer = Optimizer::new(&parameters, &config, 1);
        let rows = BTreeMap::from([(1u32, vec![1.0f32, 1.0])]);
        let name = "bert.embeddings.word_embeddings.weight".to_owned();
        let gradients = Gradients { rows: [(name, rows)].into(), ..Gradients::default() };
        optimizer.update(&parameters, &gradients, &config, 0.1, 1.0).unwrap();
        let now = values(&parameters);
        assert_eq!(now[..2], [1.0, 1.0]);
        assert!(now[2] < 2.0);

        let parameters = one("bert.x.bias", &[1.0], &[1]);
        let mut optimizer = Optimizer::new(&parameters, &config, 1);
        let zero = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
        let gradients =
            Gradients { dense: [("bert.x.bias".to_owned(), zero)].into(), ..Gradients::default() };
        optimizer.update(&parameters, &gradients, &config, 0.1, 1.0).unwrap();
        assert_eq!(values(&parameters), [1.0]);
    }

    #[test]
    fn rates_fall_from_layer_to_layer() {
        let config = TrainingConfig { layer_decay: 0.5, new_tensor_rate: 4.0, ..TrainingConfig::default() };
        let factor = |name| rate_factor(name, &config, 6);
        assert_eq!(factor("heads.stance.classifier.weight"), 4.0);
        assert_eq!(factor("bert.embeddings.casing_embeddings.weight"), 4.0);
        assert_eq!(factor("bert.encoder.layer.5.output.dense.weight"), 1.0);
        assert_eq!(factor("bert.encoder.layer.0.output.dense.weight"), 0.5f64.powi(5));
        // Checkpoints may hold more layers than their configuration counts.
        assert_eq!(factor("bert.encoder.layer.6.output.dense.weight"), 1.0);
        assert_eq!(factor("bert.embeddings.word_embeddings.weight"), 0.5f64.powi(6));
    }

    #[test]
    fn the_norm_covers_dense_and_row_gradients() {
        let dense = Tensor::new(&[3f32], &Device::Cpu).unwrap();
        let mut gradients = Gradients { dense: [("a".to_owned(), dense)].into(), ..Gradients::default() };
        gradients.rows.insert("b".into(), [(0, vec![4.0])].into());
        assert_eq!(gradients.norm().unwrap(), 5.0);
    }
}
