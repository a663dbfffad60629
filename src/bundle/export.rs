//! A bundle as a folder that HF `transformers` loads with its own classes.

use super::names::their_name;
use super::save::{metadata, write};
use super::{Bundle, BundleError, Head};
use crate::head::{Activation, Pooling};
use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// `model_type` values and what the names of their classes begin with.
const CLASSES: [(&str, &str); 10] = [
    ("bert", "Bert"),
    ("roberta", "Roberta"),
    ("xlm-roberta", "XLMRoberta"),
    ("camembert", "Camembert"),
    ("distilbert", "DistilBert"),
    ("electra", "Electra"),
    ("mpnet", "MPNet"),
    ("albert", "Albert"),
    ("deberta-v2", "DebertaV2"),
    ("modernbert", "ModernBert"),
];

impl Bundle {
    /// Writes the encoder and one head as a folder (new or empty) that `AutoModelForSequenceClassification` or
    /// `AutoModelForTokenClassification` of `transformers` loads and that gives the same probabilities there: `config.json`,
    /// `tokenizer.json`, `tokenizer_config.json` and `model.safetensors`. A temperature goes into the classifier. Thresholds
    /// have no place in such a folder: who reads it decides at 0.5, or knows better.
    ///
    /// * `head`: the name of the head
    /// * `dtype`: of the tensors; F32, F16 or BF16
    ///
    /// # Errors
    /// If there is no such head, `transformers` has no class that computes the same, a value is too large for the type, or a file
    /// cannot be written.
    pub fn export(&self, folder: &Path, head: &str, dtype: DType) -> Result<(), BundleError> {
        let refused = |reason| BundleError::Export { head: head.to_owned(), reason };
        let head = self.head(head).map_err(refused)?;
        self.check_equivalent(head).map_err(refused)?;
        let config = self.exported_config(head, dtype).map_err(refused)?;
        let tokenizer_config = self.exported_tokenizer_config().map_err(refused)?;
        let tensors = self.exported_tensors(head, dtype).map_err(refused)?;
        let weights =
            safetensors::serialize(&tensors, Some(metadata())).map_err(|e| refused(e.to_string()))?;
        std::fs::create_dir_all(folder)
            .map_err(|source| BundleError::File { path: folder.to_owned(), source })?;
        write(folder, "config.json", &config)?;
        write(folder, "tokenizer.json", &self.files.tokenizer)?;
        write(folder, "tokenizer_config.json", &tokenizer_config)?;
        write(folder, "model.safetensors", &weights)
    }

    fn head(&self, name: &str) -> Result<&Head, String> {
        let heads = &self.description.heads;
        heads.iter().find(|head| head.name() == name).ok_or_else(|| {
            let names: Vec<&str> = heads.iter().map(Head::name).collect();
            format!("the model has no such head; its heads: {}", names.join(", "))
        })
    }

    /// Refuses what no class of `transformers` computes.
    fn check_equivalent(&self, head: &Head) -> Result<(), String> {
        if self.description.casing_classes > 0 {
            return Err(
                "its encoder has a casing embedding, which no class of `transformers` has\n\nhint: a model trained with `casing = false` can be exported"
                    .into(),
            );
        }
        let wanted = self.config.modern.is_some();
        if head.has_transform() != wanted {
            let layers = if wanted { "a dense layer and a norm" } else { "no other layer" };
            return Err(format!(
                "the class of `transformers` for this encoder has {layers} before the classifier\n\nhint: a model trained with `transform = {wanted}` can be exported"
            ));
        }
        let expected = Pooling::of(&self.config);
        match head {
            Head::Sentence(task) if task.activation == Activation::Softmax && task.labels.len() == 1 => {
                Err("a softmax over one label always gives 1, and `transformers` would take a sigmoid".into())
            }
            Head::Sentence(task) if task.pooling != expected => {
                let (found, expected) = (task.pooling.name(), expected.name());
                Err(format!(
                    "it pools by `{found}`, and the class of `transformers` for this encoder by `{expected}`\n\nhint: a model trained with `pooling = \"{expected}\"` can be exported"
                ))
            }
            _ => Ok(()),
        }
    }

    fn exported_config(&self, head: &Head, dtype: DType) -> Result<Vec<u8>, String> {
        let mut config = object(&self.files.config)?;
        let kind = config.get("model_type").and_then(Value::as_str).unwrap_or("bert").to_owned();
        let class = CLASSES.iter().find(|(name, _)| *name == kind).map(|(_, class)| class);
        let class = class.ok_or_else(|| format!("no class of `transformers` is known for \"{kind}\""))?;
        let (suffix, labels, problem) = match head {
            Head::Sentence(task) => {
                let problem = match task.activation {
                    Activation::Sigmoid => "multi_label_classification",
                    Activation::Softmax => "single_label_classification",
                };
                ("ForSequenceClassification", &task.labels, Some(problem))
            }
            Head::Token(task) => ("ForTokenClassification", &task.labels, None),
        };
        let by_number: Map<String, Value> =
            labels.iter().enumerate().map(|(i, label)| (i.to_string(), json!(label))).collect();
        let by_label: Map<String, Value> =
            labels.iter().enumerate().map(|(i, label)| (label.clone(), json!(i))).collect();
        for stale in ["num_labels", "problem_type", "quantization_config"] {
            config.shift_remove(stale);
        }
        config.insert("model_type".into(), kind.into());
        config.insert("architectures".into(), json!([format!("{class}{suffix}")]));
        config.insert("id2label".into(), by_number.into());
        config.insert("label2id".into(), by_label.into());
        config.extend(problem.map(|problem| ("problem_type".to_owned(), problem.into())));
        let dtype = match dtype {
            DType::F32 => "float32",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            other => return Err(format!("weights are F32, F16 or BF16 there, not {}", other.as_str())),
        };
        // The first is the name from `transformers` 4.56 on.
        for name in ["dtype", "torch_dtype"] {
            config.insert(name.into(), dtype.into());
        }
        pretty(&config)
    }

    /// With the window that this model reads, so that longer texts are cut there where they are windowed here, and with what its
    /// normaliser does: `BertTokenizer` takes the defaults for what is not said.
    fn exported_tokenizer_config(&self) -> Result<Vec<u8>, String> {
        let mut config = self.files.tokenizer_config.as_deref().map_or(Ok(Map::new()), object)?;
        config.insert("model_max_length".into(), self.max_tokens().into());
        for (name, value) in self.tokenizer.bert_normalizer() {
            config.insert(name.into(), json!(value));
        }
        pretty(&config)
    }

    fn exported_tensors(&self, head: &Head, dtype: DType) -> Result<BTreeMap<String, Tensor>, String> {
        let temperature = match head {
            Head::Sentence(task) => f64::from(task.temperature),
            Head::Token(_) => 1.0,
        };
        let mut exported = BTreeMap::new();
        for (ours, tensor) in self.weights.tensors() {
            let Some(theirs) = their_name(&ours, self.config.family, head) else { continue };
            let scale = if ours.contains(".classifier.") { 1.0 / temperature } else { 1.0 };
            let converted = if scale == 1.0 { Ok(tensor) } else { tensor * scale };
            let converted = converted.and_then(|tensor| tensor.contiguous()?.to_dtype(dtype));
            let converted = converted.map_err(|e| e.to_string())?;
            if dtype == DType::F16 && !is_finite(&converted).map_err(|e| e.to_string())? {
                return Err(format!(
                    "tensor `{ours}` has values too large for f16\n\nhint: use `--dtype bf16`"
                ));
            }
            exported.insert(theirs, converted);
        }
        Ok(exported)
    }
}

fn is_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().all(|x| x.is_finite()))
}

fn object(json: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(json).map_err(|e| e.to_string())
}

fn pretty(config: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let mut json = serde_json::to_vec_pretty(config).map_err(|e| e.to_string())?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::super::testing::tiny_bundle;
    use super::*;

    /// The tiny bundle as `transformers` could have it.
    fn plain_bundle() -> Bundle {
        let bundle = tiny_bundle();
        let (mut description, mut tensors) = (bundle.description.clone(), bundle.weights.tensors());
        description.casing_classes = 0;
        let task = description.sentence_mut().unwrap();
        (task.pooling, task.temperature) = (Pooling::Pooler, 2.0);
        let width = bundle.config.hidden_size;
        let numbers = |shape: &[usize]| crate::encoder::layers::testing::numbers(shape, 7);
        tensors.insert("heads.stance.pooler.weight".into(), numbers(&[width, width]));
        tensors.insert("heads.stance.pooler.bias".into(), numbers(&[width]));
        bundle.with(description, super::super::Weights::from_tensors(tensors))
    }

    #[test]
    fn an_exported_folder_is_read_back_with_the_same_logits_and_labels() {
        let bundle = plain_bundle();
        let task = bundle.description.sentence().unwrap().clone();
        let answer = |bundle: &Bundle| {
            let engine = crate::engine::Engine::new(bundle.clone()).unwrap();
            let input = crate::engine::Input { text: "The troops may leave Ana.", words: None };
            engine.predict(&[input], crate::engine::Tasks::Both).unwrap().remove(0)
        };
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F16, 2e-3), (DType::BF16, 2e-2)] {
            let folder = tempfile::tempdir().unwrap();
            bundle.export(folder.path(), "stance", dtype).unwrap();
            let back = Bundle::open(folder.path()).unwrap();
            assert_eq!(back.description.sentence().unwrap().labels, task.labels);
            assert_eq!(back.description.sentence().unwrap().activation, task.activation);
            assert_eq!(back.max_tokens(), bundle.max_tokens());
            let config: Value = serde_json::from_slice(back.config_json()).unwrap();
            let name = [(DType::F32, "float32"), (DType::F16, "float16"), (DType::BF16, "bfloat16")];
            let name = name.iter().find(|(known, _)| *known == dtype).unwrap().1;
            assert_eq!((&config["dtype"], &config["torch_dtype"]), (&json!(name), &json!(name)));
            for (ours, theirs) in answer(&bundle).scores.iter().zip(answer(&back).scores) {
                assert!((ours - theirs).abs() < tolerance, "{dtype:?}: {ours}, not {theirs}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        bundle.export(folder.path(), "entities", DType::F32).unwrap();
        let back = Bundle::open(folder.path()).unwrap();
        assert_eq!(back.description.token().unwrap().labels, ["O", "B-PER", "I-PER"]);
        assert_eq!(answer(&back).tags, answer(&bundle).tags);
    }

    #[test]
    fn a_softmax_head_is_exported_as_one_that_gives_a_single_label() {
        let mut bundle = plain_bundle();
        bundle.description.sentence_mut().unwrap().activation = Activation::Softmax;
        let folder = tempfile::tempdir().unwrap();
        bundle.export(folder.path(), "stance", DType::F32).unwrap();
        let back = Bundle::open(folder.path()).unwrap();
        let config: Value = serde_json::from_slice(back.config_json()).unwrap();
        assert_eq!(config["problem_type"], "single_label_classification");
        assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
        assert_eq!(back.description.sentence().unwrap().activation, Activation::Softmax);
        let scores = |bundle: &Bundle| {
            let engine = crate::engine::Engine::new(bundle.clone()).unwrap();
            let input = crate::engine::Input { text: "The troops may leave Ana.", words: None };
            engine.predict(&[input], crate::engine::Tasks::Classify).unwrap().remove(0).scores
        };
        let (ours, theirs) = (scores(&bundle), scores(&back));
        assert!((ours.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() < 1e-6, "{ours}, not {theirs}: the temperature was lost");
        }
    }

    #[test]
    fn what_transformers_cannot_compute_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = |bundle: &Bundle, head: &str| {
            bundle.export(folder.path(), head, DType::F32).unwrap_err().to_string()
        };
        let mut bundle = plain_bundle();
        assert!(error(&bundle, "tone").contains("its heads: stance, entities"));
        bundle.description.sentence_mut().unwrap().pooling = Pooling::Mean;
        let told = error(&bundle, "stance");
        assert!(told.contains("pools by `mean`") && told.contains("pooling = \"pooler\""), "{told}");
        assert!(error(&tiny_bundle(), "entities").contains("`casing = false`"));
        let mut tensors = plain_bundle().weights.tensors();
        let large = (&tensors["heads.entities.classifier.bias"] + 1e6).unwrap();
        tensors.insert("heads.entities.classifier.bias".into(), large);
        let bundle = bundle.with(bundle.description.clone(), super::super::Weights::from_tensors(tensors));
        let told = bundle.export(folder.path(), "entities", DType::F16).unwrap_err().to_string();
        assert!(told.contains("too large for f16") && told.contains("bf16"), "{told}");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is written");
    }
}
