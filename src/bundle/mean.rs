use super::{Bundle, Description, Head, Weights};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Why models have no mean.
#[derive(Debug, thiserror::Error)]
pub enum MeanError {
    /// There is none to take it of.
    #[error("the mean of no models was asked for")]
    Nothing,
    /// A model differs from the first in more than its numbers.
    #[error(
        "model {model} has another {what} than the first; only models that were trained from one checkpoint, for the same answers, have a mean"
    )]
    Unlike {
        /// Which, from 1.
        model: usize,
        /// What differs.
        what: String,
    },
    /// The tensor library fails.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Bundle {
    /// The mean of the weights of models that were trained from one beginning, in f32 (a "soup": Wortsman et al. 2022, arXiv
    /// 2203.05482): often steadier than any of them, and as fast as one. Models whose new heads began differently (with another seed)
    /// lie too far apart.
    ///
    /// Thresholds and temperature are those of the first model, which suit the mean only by chance: fit them anew.
    ///
    /// # Errors
    /// If there are no models, or one has another configuration, tokenizer, head or tensor than the first.
    pub fn mean(models: &[Bundle]) -> Result<Bundle, MeanError> {
        let (first, others) = models.split_first().ok_or(MeanError::Nothing)?;
        let mut sums = first.weights.tensors();
        for (model, other) in (2..).zip(others) {
            if let Some(what) = first.unlike(other) {
                return Err(MeanError::Unlike { model, what });
            }
            let mut tensors = other.weights.tensors();
            for (name, sum) in &mut sums {
                match tensors.remove(name).filter(|tensor| tensor.shape() == sum.shape()) {
                    Some(tensor) => *sum = (&*sum + tensor)?,
                    None => return Err(MeanError::Unlike { model, what: format!("tensor `{name}`") }),
                }
            }
            if let Some(name) = tensors.into_keys().next() {
                return Err(MeanError::Unlike { model, what: format!("tensor `{name}`") });
            }
        }
        let share = 1.0 / models.len() as f64;
        let mean = |(name, sum): (String, Tensor)| Ok((name, (sum * share)?));
        let weights = sums.into_iter().map(mean).collect::<candle_core::Result<BTreeMap<_, _>>>()?;
        let trainings: Vec<_> = models.iter().map(|model| &model.description.training).collect();
        let training = Some(serde_json::json!({ "mean_of": trainings }));
        Ok(first.with(Description { training, ..first.description.clone() }, Weights::from_tensors(weights)))
    }

    /// What of another model that is no number differs from this one.
    fn unlike(&self, other: &Bundle) -> Option<String> {
        let heads = |bundle: &Bundle| {
            let mut heads = bundle.description.heads.clone();
            for head in &mut heads {
                if let Head::Sentence(task) = head {
                    task.thresholds.clear();
                    task.temperature = 1.0;
                }
            }
            heads
        };
        let parts = [
            ("config.json", self.config == other.config),
            ("tokenizer", self.files.tokenizer == other.files.tokenizer),
            ("tokenizer_config.json", self.files.tokenizer_config == other.files.tokenizer_config),
            ("casing embedding", self.description.casing_classes == other.description.casing_classes),
            ("window", self.description.max_tokens == other.description.max_tokens),
            ("head", heads(self) == heads(other)),
        ];
        parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::tiny_bundle;

    fn moved(bundle: &Bundle, by: f64) -> Bundle {
        let move_one = |(name, tensor): (String, Tensor)| (name, (tensor + by).unwrap());
        let tensors = bundle.weights.tensors().into_iter().map(move_one).collect();
        bundle.with(bundle.description.clone(), Weights::from_tensors(tensors))
    }

    #[test]
    fn every_weight_is_the_mean() {
        let bundle = tiny_bundle();
        let mean = Bundle::mean(&[moved(&bundle, 1.0), moved(&bundle, 2.0), bundle.clone()]).unwrap();
        for (name, tensor) in mean.weights.tensors() {
            let expected = (&bundle.weights.tensors()[&name] + 1.0).unwrap();
            let off = (tensor - expected).unwrap().abs().unwrap().flatten_all().unwrap();
            let off = off.max(0).unwrap().to_scalar::<f32>().unwrap();
            assert!(off < 1e-5, "{name} is off by {off}");
        }
        assert_eq!(mean.description.heads, bundle.description.heads);
    }

    #[test]
    fn models_that_differ_in_more_than_numbers_have_no_mean() {
        let bundle = tiny_bundle();
        let refused = |other: Bundle| Bundle::mean(&[bundle.clone(), other]).unwrap_err().to_string();
        let mut other = bundle.clone();
        other.description.sentence_mut().unwrap().labels.reverse();
        assert!(refused(other).starts_with("model 2 has another head than the first"));
        let mut other = bundle.clone();
        other.config.layer_norm_eps *= 2.0;
        assert!(refused(other).contains("another config.json"));
        let mut tensors = bundle.weights.tensors();
        let (name, _) = tensors.pop_first().unwrap();
        let other = bundle.with(bundle.description.clone(), Weights::from_tensors(tensors));
        assert!(refused(other).contains(&format!("another tensor `{name}`")));
        assert!(matches!(Bundle::mean(&[]), Err(MeanError::Nothing)));
        let mut same = bundle.clone();
        same.description.sentence_mut().unwrap().thresholds.fill(0.3);
        Bundle::mean(&[bundle.clone(), same]).unwrap();
    }
}
