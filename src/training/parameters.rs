use super::TrainingError;
use super::batches::Stream;
use crate::bundle::{Bundle, Description, Head, Network, Weights};
use crate::encoder::Encoder;
use candle_core::{Device, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, HashMap};

/// Weights to start from: the encoder of `base`, its head for every head of `description` of the same kind, and new tensors for
/// heads that it has not ([`Bundle::open_encoder`] opens one that has none) and for the casing embedding. The dense
/// layer of a pooler is kept from `base` where it fits, in a new head too, as `transformers` keeps it: in HF checkpoints it often
/// belongs to the encoder.
///
/// New matrices are normal with the configuration's `initializer_range`, new biases 0 and new norms 1, as in HF; the casing embedding
/// starts at 0, so that the encoder starts as it was.
///
/// # Errors
/// If a head of `base` is not what `description` says of the head of its kind, or the tensor library fails.
pub fn initial_weights(
    base: &Bundle,
    description: &Description,
    seed: u64,
) -> Result<Weights, TrainingError> {
    // What the tensors of a head and of the one that it goes on from begin with.
    let mut continued: Vec<(String, String)> = Vec::new();
    for head in &description.heads {
        if let Some(known) = base.description.heads.iter().find(|known| known.is_like(head)) {
            let foreign = |reason| TrainingError::ForeignHead { head: known.name().to_owned(), reason };
            known.check_continues_as(head).map_err(foreign)?;
            if base.description.casing_classes > 0 && description.casing_classes == 0 {
                return Err(foreign(
                    "it has learnt with a casing embedding, and `casing = false` is asked for".into(),
                ));
            }
            let prefix = |head: &Head| format!("{}.", Network::head_prefix(head.name()));
            continued.push((prefix(head), prefix(known)));
        }
    }
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    let known = base.weights.tensors();
    for (name, tensor) in &known {
        if name.starts_with(&format!("{}.", Network::ENCODER)) && !name.ends_with(Encoder::CASING) {
            tensors.insert(name.clone(), tensor.clone());
        }
    }
    for (number, (name, shape)) in Network::new_tensors(&base.config, description).into_iter().enumerate() {
        let fits = |tensor: &&Tensor| tensor.dims() == shape;
        let theirs =
            continued.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", name.strip_prefix(ours)?)));
        let theirs = theirs.or_else(|| name.ends_with(Encoder::CASING).then(|| name.clone()));
        let known = theirs.and_then(|name| known.get(&name)).filter(fits).or_else(|| {
            let pooler = &name[name.find(".pooler.")?..];
            let others = known.iter().filter(|(other, _)| other.ends_with(pooler));
            others.map(|(_, tensor)| tensor).find(fits)
        });
        let tensor = match known {
            Some(tensor) => tensor.clone(),
            None => {
                let mut stream = Stream::new(&[seed, 0x6e65_7774, number as u64]);
                let zero = name.ends_with(".bias") || name.ends_with(Encoder::CASING);
                let (mean, spread) = match name.ends_with(".norm.weight") {
                    true => (1.0, 0.0),
                    false => (0.0, if zero { 0.0 } else { base.config.initializer_range }),
                };
                let values: Vec<f32> =
                    (0..shape.iter().product()).map(|_| (mean + stream.normal() * spread) as f32).collect();
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
    pub(super) fn new(weights: &Weights) -> candle_core::Result<Self> {
        let parameters = weights.tensors().into_iter().map(|(name, tensor)| {
            let is_table = name.contains(".embeddings.") && name.ends_with("_embeddings.weight");
            Ok(Parameter { name, var: Var::from_tensor(&tensor.copy()?)?, is_table })
        });
        Ok(Self(parameters.collect::<candle_core::Result<_>>()?))
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
    pub(super) fn snapshot(&self) -> candle_core::Result<Weights> {
        let tensors = self.0.iter().map(|p| Ok((p.name.clone(), p.var.as_detached_tensor().copy()?)));
        Ok(Weights::from_tensors(tensors.collect::<candle_core::Result<_>>()?))
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
        let mut tensors = base.weights.tensors();
        let full = |value: f32, shape: &[usize]| Tensor::full(value, shape, &Device::Cpu).unwrap();
        tensors.insert("heads.sequence.pooler.weight".into(), full(0.25, &[width, width]));
        tensors.insert("heads.sequence.pooler.bias".into(), full(0.5, &[width + 1]));
        let mut description = base.description.clone();
        description.sentence_mut().expect("a sentence head").pooling = Pooling::Pooler;
        let mut base = base.with(base.description.clone(), Weights::from_tensors(tensors));
        base.description.heads.clear();
        let weights = initial_weights(&base, &description, 1).unwrap();
        let values = |name: &str| weights.tensors()[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values("heads.stance.pooler.weight"), vec![0.25; width * width]);
        assert_eq!(values("heads.stance.pooler.bias"), vec![0.0; width], "of another shape, so new");
        assert!(!weights.tensors().contains_key("heads.sequence.pooler.weight"));
    }

    #[test]
    fn a_head_is_trained_on_under_its_new_name_or_begun_anew() {
        let base = tiny_bundle();
        let mut description = base.description.clone();
        description.sentence_mut().expect("a sentence head").name = "tone".into();
        let values = |base: &Bundle, name: &str| {
            let weights = initial_weights(base, &description, 1).unwrap();
            weights.tensors()[name].flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let theirs = base.weights.tensors()["heads.stance.classifier.weight"].flatten_all().unwrap();
        let theirs = theirs.to_vec1::<f32>().unwrap();
        assert_eq!(values(&base, "heads.tone.classifier.weight"), theirs);
        let mut headless = base.clone();
        headless.description.heads.clear();
        assert_ne!(values(&headless, "heads.tone.classifier.weight"), theirs);
    }

    #[test]
    fn a_head_of_other_labels_is_never_replaced_unasked() {
        let base = tiny_bundle();
        let mut description = base.description.clone();
        description.sentence_mut().expect("a sentence head").labels.swap(0, 1);
        let error = initial_weights(&base, &description, 1).unwrap_err().to_string();
        assert!(error.contains("head `stance`") && error.contains("reassurance, condemnation"), "{error}");
        let mut description = base.description.clone();
        description.sentence_mut().expect("a sentence head").pooling = Pooling::First;
        let error = initial_weights(&base, &description, 1).unwrap_err().to_string();
        assert!(error.contains("pools by `mean`"), "{error}");
    }
}
