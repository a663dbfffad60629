use super::batches::Stream;
use crate::bundle::{Bundle, Description, Network, Weights};
use crate::encoder::Encoder;
use candle_core::{Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, HashMap};

/// Weights to start from: the encoder of `base`, and new tensors for the heads and the casing embedding of `description`
/// where `base` has none of the right shape. A pooler is taken from a head of another name if need be: HF checkpoints have
/// one that belongs to no head of ours.
///
/// New matrices are normal with the configuration's `initializer_range`, new biases 0, as in HF; the casing embedding
/// starts at 0, so that the encoder starts as it was.
///
/// # Errors
/// If the tensor library fails.
pub fn initial_weights(base: &Bundle, description: &Description, seed: u64) -> Result<Weights> {
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, tensor) in base.weights.tensors() {
        if name.starts_with(&format!("{}.", Network::ENCODER)) && !name.ends_with(Encoder::CASING) {
            tensors.insert(name.clone(), tensor.clone());
        }
    }
    for (number, (name, shape)) in Network::new_tensors(&base.config, description).into_iter().enumerate() {
        let fits = |tensor: &&Tensor| tensor.dims() == shape;
        let known = base.weights.tensors().get(&name).filter(fits).or_else(|| {
            let pooler = &name[name.find(".pooler.")?..];
            let others = base.weights.tensors().iter().filter(|(other, _)| other.ends_with(pooler));
            others.map(|(_, tensor)| tensor).find(fits)
        });
        let tensor = match known {
            Some(tensor) => tensor.clone(),
            None => {
                let mut stream = Stream::new(&[seed, 0x6e65_7774, number as u64]);
                let zero = name.ends_with(".bias") || name.ends_with(Encoder::CASING);
                let spread = if zero { 0.0 } else { base.config.initializer_range };
                let values: Vec<f32> =
                    (0..shape.iter().product()).map(|_| (stream.normal() * spread) as f32).collect();
                Tensor::from_vec(values, shape, &Device::Cpu)?
            }
        };
        tensors.insert(name, tensor);
    }
    Ok(Weights::from_tensors(tensors))
}

/// One tensor that is trained.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) var: Var,
    /// An embedding table: its gradient comes row by row.
    pub(super) is_table: bool,
}

/// All of them, in name order.
pub(super) struct Parameters(pub(super) Vec<Parameter>);

impl Parameters {
    pub(super) fn new(weights: &Weights) -> Result<Self> {
        let parameters = weights.tensors().iter().map(|(name, tensor)| {
            let is_table = name.contains(".embeddings.") && name.ends_with("_embeddings.weight");
            Ok(Parameter { name: name.clone(), var: Var::from_tensor(&tensor.copy()?)?, is_table })
        });
        Ok(Self(parameters.collect::<Result<_>>()?))
    }

    /// A builder that hands out the variables themselves, so that gradients reach them.
    pub(super) fn builder(&self) -> VarBuilder<'static> {
        let tensors: HashMap<String, Tensor> =
            self.0.iter().map(|p| (p.name.clone(), p.var.as_tensor().clone())).collect();
        VarBuilder::from_tensors(tensors, candle_core::DType::F32, &Device::Cpu)
    }

    /// Names of the embedding tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|p| p.is_table).map(|p| p.name.as_str())
    }

    /// A copy of the values as they are now.
    pub(super) fn snapshot(&self) -> Result<Weights> {
        let tensors = self.0.iter().map(|p| Ok((p.name.clone(), p.var.as_detached_tensor().copy()?)));
        Ok(Weights::from_tensors(tensors.collect::<Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::tiny_bundle;
    use crate::head::Pooling;

    #[test]
    fn a_pretrained_pooler_is_kept_under_the_name_of_our_head() {
        let base = tiny_bundle();
        let width = base.config.hidden_size;
        let mut tensors = base.weights.tensors().clone();
        let full = |value: f32, shape: &[usize]| Tensor::full(value, shape, &Device::Cpu).unwrap();
        tensors.insert("heads.sequence.pooler.weight".into(), full(0.25, &[width, width]));
        tensors.insert("heads.sequence.pooler.bias".into(), full(0.5, &[width + 1]));
        let mut description = base.description.clone();
        description.sentence_mut().expect("a sentence head").pooling = Pooling::Pooler;
        let base = base.with(base.description.clone(), Weights::from_tensors(tensors));
        let weights = initial_weights(&base, &description, 1).unwrap();
        let values = |name: &str| weights.tensors()[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values("heads.stance.pooler.weight"), vec![0.25; width * width]);
        assert_eq!(values("heads.stance.pooler.bias"), vec![0.0; width], "of another shape, so new");
        assert!(!weights.tensors().contains_key("heads.sequence.pooler.weight"));
    }
}
