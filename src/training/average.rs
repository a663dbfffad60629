use super::optimizer::with_values;
use super::parameters::Parameters;
use crate::bundle::Weights;
use candle_core::{Device, Result, Tensor};
use std::collections::BTreeMap;

/// The running mean of weights (Izmailov et al. 2018, arXiv 1803.05407, along one schedule).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Average {
    pub(super) count: usize,
    pub(super) means: BTreeMap<String, Vec<f32>>,
}

impl Average {
    /// Takes the weights as they are now into the mean.
    pub(super) fn add(&mut self, parameters: &Parameters) -> Result<()> {
        self.count += 1;
        let share = 1.0 / self.count as f32;
        for parameter in &parameters.0 {
            let mean = self
                .means
                .entry(parameter.name.clone())
                .or_insert_with(|| vec![0.0; parameter.var.elem_count()]);
            with_values(parameter.var.as_tensor(), |values| {
                for (mean, value) in mean.iter_mut().zip(values) {
                    *mean += (value - *mean) * share;
                }
            })?;
        }
        Ok(())
    }

    /// The mean so far; at least one must have been added.
    pub(super) fn weights(&self, parameters: &Parameters) -> Result<Weights> {
        let tensors = parameters.0.iter().map(|p| {
            let tensor = Tensor::from_slice(&self.means[&p.name], p.var.shape(), &Device::Cpu)?;
            Ok((p.name.clone(), tensor))
        });
        Ok(Weights::from_tensors(tensors.collect::<Result<_>>()?))
    }
}
