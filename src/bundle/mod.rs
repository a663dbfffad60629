//! A bundle: configuration, tokenizer, labels and weights that belong together, checked together.
//!
//! On disk it is a folder in the Hugging Face layout. Folders made by HF `save_pretrained` load unchanged; ours add
//! `undertone.json` ([`Description`]).

mod checkpoint;
mod default;
mod description;
mod export;
mod mean;
mod names;
mod network;
mod pickle;
mod save;
mod torch;
mod weights;

pub use description::{Description, Head, SentenceTask, TokenTask};
pub use mean::MeanError;
pub use network::{Logits, Network};
pub use save::Storage;
pub use weights::Weights;

#[cfg(feature = "hub")]
pub(crate) use checkpoint::{weights_files, weights_names};

use crate::digest;
use crate::encoder::layers::Precision;
use crate::encoder::{ConfigError, EncoderConfig, Family, Stored};
use crate::tokens::{Beside, Tokenizer, TokenizerError, Vocabulary};
use bytes::Bytes;
use candle_core::Device;
use checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use weights::read_safetensors;

/// Everything a model is made of.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// What the encoder computes.
    pub config: EncoderConfig,
    /// Text to pieces.
    pub tokenizer: Tokenizer,
    /// Heads, labels, thresholds, provenance.
    pub description: Description,
    /// Tensors by name, f32.
    pub weights: Weights,
    /// The files that are kept as they came: `config.json`, `tokenizer.json`, `tokenizer_config.json`.
    files: Files,
}

/// Files of a bundle that are carried over unchanged.
#[derive(Debug, Clone)]
struct Files {
    config: Vec<u8>,
    tokenizer: Vec<u8>,
    tokenizer_config: Option<Vec<u8>>,
}

/// What tells one bundle from another: SHA-256 in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Of the weights ([`Bundle::weights_sha256`]).
    pub weights: String,
    /// Of the tokenizer and its configuration.
    pub tokenizer: String,
    /// Of the encoder's configuration and what is said of the heads: labels, thresholds, temperatures.
    pub config: String,
}

/// Why a bundle could not be opened or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A file is missing or cannot be read or written.
    #[error("{path}: {source}{}", missing_hint(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `config.json` cannot be honoured.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// `undertone.json`, or the label fields of `config.json`, cannot be understood.
    #[error("{path}: {reason}")]
    Description {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The tokenizer cannot be read.
    #[error("{path}: {source}")]
    Tokenizer {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: TokenizerError,
    },
    /// The folder has no file that tells how text is cut into tokens.
    #[error(
        "{path}: there is no `tokenizer.json`, nor for BERT, DistilBERT and ELECTRA `vocab.txt`, nor for RoBERTa `vocab.json` with `merges.txt`\n\nhint: make it in Python: `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
    )]
    NoTokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// The vocabulary files of an older checkpoint make no tokenizer.
    #[error("{path}: {reason}")]
    Vocabulary {
        /// The folder.
        path: PathBuf,
        /// The file and why.
        reason: String,
    },
    /// The weights file is damaged or of an unknown kind.
    #[error(
        "{path}: {reason}\n\nhint: the file may be damaged or have come only in part; fetch or copy the folder again as a whole"
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The folder has its weights in files of another framework, or in a bare pickle.
    #[error(
        "{path}: weights in this form are not read; `model.safetensors` and torch's zip form of `pytorch_model.bin` are\n\nhint: convert the folder in Python with the class that its `config.json` names, for example `BertForTokenClassification.from_pretrained(FOLDER).save_pretrained(FOLDER, safe_serialization=True)`"
    )]
    ForeignWeights {
        /// The file that was found.
        path: PathBuf,
    },
    /// `transformers` has no class that computes what a head does.
    #[error("head `{head}` cannot be exported: {reason}")]
    Export {
        /// The head.
        head: String,
        /// Why.
        reason: String,
    },
    /// The parts do not fit each other.
    #[error(
        "the parts of {path} do not belong together: {reason}\n\nhint: these files may come from different training runs; fetch or copy the folder again as a whole"
    )]
    Mismatch {
        /// The folder.
        path: PathBuf,
        /// The two facts that disagree.
        reason: String,
    },
}

/// What to do about a file that is not there.
fn missing_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "\n\nhint: a model is a folder with config.json, a tokenizer and all files of its weights; fetch or copy it again as a whole"
        }
        _ => "",
    }
}

impl Bundle {
    /// Opens a bundle folder.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the files do not fit each other.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        Self::open_with(folder, true)
    }

    /// Opens a bundle folder without its heads, to put new ones on its encoder. Their tensors may be missing or of another shape.
    ///
    /// # Errors
    /// If a file is missing or damaged, or the files do not fit each other.
    pub fn open_encoder(folder: &Path) -> Result<Self, BundleError> {
        Self::open_with(folder, false)
    }

    fn open_with(folder: &Path, heads: bool) -> Result<Self, BundleError> {
        let started = Instant::now();
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|source| BundleError::File { path, source })
        };
        let optional = |name: &str| match read(name) {
            Err(BundleError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            other => other.map(Some),
        };
        let (config, tokenizer_config) = (read("config.json")?, optional("tokenizer_config.json")?);
        let tokenizer = match optional("tokenizer.json")? {
            Some(tokenizer) => tokenizer,
            None => tokenizer_of_vocabulary(folder, &config, tokenizer_config.as_deref())?,
        };
        let files = Files { config, tokenizer, tokenizer_config };
        let description = optional("undertone.json")?;
        let tensors = Checkpoint::find(folder)?.tensors()?;
        let bundle = Self::assemble(folder, files, description.as_deref(), tensors, heads)?;
        bundle.tell_opened(folder, started);
        Ok(bundle)
    }

    fn tell_opened(&self, folder: &Path, started: Instant) {
        let parameters = self.weights.parameters();
        let milliseconds = started.elapsed().as_millis() as u64;
        tracing::info!(model = %folder.display(), parameters, milliseconds, "model opened");
    }

    /// The default bundle, embedded in the library.
    ///
    /// # Errors
    /// If it was built from a damaged checkout.
    pub fn embedded() -> Result<Self, BundleError> {
        let started = Instant::now();
        let files = Files {
            config: default::CONFIG.to_vec(),
            tokenizer: default::TOKENIZER.to_vec(),
            tokenizer_config: Some(default::TOKENIZER_CONFIG.to_vec()),
        };
        let folder = Path::new("the embedded default");
        let tensors = read_safetensors(&Bytes::from_static(default::WEIGHTS))
            .map_err(|reason| BundleError::Weights { path: folder.to_owned(), reason })?;
        let bundle = Self::assemble(folder, files, Some(default::DESCRIPTION), tensors, true)?;
        bundle.tell_opened(folder, started);
        Ok(bundle)
    }

    /// SHA-256, in hexadecimal, of the weights that [`Bundle::open`] reads from a folder (several files one after the other, in
    /// the order of their names), or of the embedded ones.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn weights_sha256(folder: Option<&Path>) -> Result<String, BundleError> {
        match folder {
            None => Ok(digest::hexadecimal(Sha256::new_with_prefix(default::WEIGHTS))),
            Some(folder) => Checkpoint::find(folder)?.sha256(),
        }
    }

    /// SHA-256 of what answers depend on, for a bundle that was opened from `folder`, or is the embedded one.
    ///
    /// # Errors
    /// If the weights cannot be read.
    pub fn digests(&self, folder: Option<&Path>) -> Result<Digests, BundleError> {
        let Files { config, tokenizer, tokenizer_config } = &self.files;
        let mut tokenizers = Sha256::new_with_prefix(tokenizer);
        tokenizers.update(tokenizer_config.as_deref().unwrap_or_default());
        let description = serde_json::to_vec(&self.description).map_err(|e| BundleError::Description {
            path: folder.unwrap_or(Path::new("")).join("undertone.json"),
            reason: e.to_string(),
        })?;
        let mut configs = Sha256::new_with_prefix(config);
        configs.update(description);
        Ok(Digests {
            weights: Self::weights_sha256(folder)?,
            tokenizer: digest::hexadecimal(tokenizers),
            config: digest::hexadecimal(configs),
        })
    }

    fn assemble(
        folder: &Path,
        files: Files,
        description: Option<&[u8]>,
        tensors: BTreeMap<String, Stored>,
        heads: bool,
    ) -> Result<Self, BundleError> {
        let config = EncoderConfig::parse(&files.config)
            .map_err(|source| BundleError::Config { path: folder.join("config.json"), source })?;
        let tokenizer = Tokenizer::parse(&files.tokenizer, files.tokenizer_config.as_deref())
            .map_err(|source| BundleError::Tokenizer { path: folder.to_owned(), source })?;
        let mut description = match description {
            None if !heads => Description::headless(&config),
            Some(json) => Description::parse(json)
                .map_err(|reason| BundleError::Description { path: folder.join("undertone.json"), reason })?,
            None => Description::from_hugging_face(&files.config, &config)
                .map_err(|reason| BundleError::Description { path: folder.join("config.json"), reason })?,
        };
        if !heads {
            description.heads.clear();
        }
        let weights = Weights::of_checkpoint(tensors, config.family).with_head_names(&description);
        let bundle = Self { config, tokenizer, description, weights, files };
        bundle.check().map_err(|reason| BundleError::Mismatch { path: folder.to_owned(), reason })?;
        Ok(bundle)
    }

    /// `config.json` as it came.
    pub fn config_json(&self) -> &[u8] {
        &self.files.config
    }

    /// The same configuration and tokenizer under another description and other weights.
    pub fn with(&self, description: Description, weights: Weights) -> Self {
        Self { description, weights, ..self.clone() }
    }

    /// Longest sequence in tokens, special ones included.
    pub fn max_tokens(&self) -> usize {
        let positions = self.config.max_tokens();
        let limits = [self.description.max_tokens, self.tokenizer.max_length()];
        limits.into_iter().flatten().fold(positions, usize::min)
    }

    /// Encoder and heads on a device.
    ///
    /// # Errors
    /// If a tensor is missing or mis-shaped.
    pub fn network(&self, device: &Device) -> candle_core::Result<Network> {
        Network::load(self.weights.builder(device), &self.config, &self.description)
    }

    /// Encoder and heads for inference on the CPU.
    ///
    /// # Errors
    /// If a tensor is missing or mis-shaped.
    pub fn inference_network(&self, precision: Precision) -> candle_core::Result<Network> {
        Network::for_inference(&self.weights, &self.config, &self.description, precision)
    }

    fn check(&self) -> Result<(), String> {
        let (ids, rows) = (self.tokenizer.vocab_size(), self.config.vocab_size);
        if ids > rows {
            return Err(format!("the tokenizer has {ids} tokens and `config.json` gives the encoder {rows}"));
        }
        let room = self.tokenizer.prefix().len() + self.tokenizer.suffix().len();
        if self.max_tokens() <= room {
            return Err(format!("{} tokens leave no room between {room} special ones", self.max_tokens()));
        }
        Network::load(self.weights.shapes(), &self.config, &self.description)
            .map(drop)
            .map_err(|e| e.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// `tokenizer.json` for a folder that has none, from its vocabulary files.
fn tokenizer_of_vocabulary(
    folder: &Path,
    config: &[u8],
    tokenizer_config: Option<&[u8]>,
) -> Result<Vec<u8>, BundleError> {
    let refused = || BundleError::NoTokenizer { path: folder.to_owned() };
    let family = EncoderConfig::parse(config)
        .map_err(|source| BundleError::Config { path: folder.join("config.json"), source })?
        .family;
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => refused(),
            _ => BundleError::File { path, source },
        })
    };
    let vocabulary = match family {
        Family::Bert | Family::DistilBert | Family::Electra => {
            Vocabulary::WordPiece { vocab: read("vocab.txt")? }
        }
        Family::Roberta => Vocabulary::BytePairs { vocab: read("vocab.json")?, merges: read("merges.txt")? },
        _ => return Err(refused()),
    };
    let added_tokens = match read("added_tokens.json") {
        Err(BundleError::NoTokenizer { .. }) => None,
        added => Some(added?),
    };
    let beside = Beside {
        tokenizer_config,
        config: Some(config),
        added_tokens: added_tokens.as_deref().map(str::as_bytes),
    };
    vocabulary
        .definition(&beside)
        .map_err(|reason| BundleError::Vocabulary { path: folder.to_owned(), reason })
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::tokens::{CASING_CLASSES, testing::tiny_tokenizer_json};

    /// A seeded random bundle, two layers deep, with a stance and an entity head.
    pub(crate) fn tiny_bundle() -> Bundle {
        let (tokenizer, vocab) = tiny_tokenizer_json();
        let config = serde_json::json!({
            "model_type": "bert", "vocab_size": vocab, "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 40
        });
        let config = config.to_string().into_bytes();
        let parsed = EncoderConfig::parse(&config).expect("the tiny configuration is supported");
        let strings = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let description = Description {
            format: Description::FORMAT,
            casing_classes: CASING_CLASSES,
            max_tokens: None,
            heads: vec![
                Head::Sentence(SentenceTask {
                    name: "stance".into(),
                    labels: strings(&["condemnation", "reassurance", "speculation"]),
                    activation: crate::head::Activation::Sigmoid,
                    pooling: crate::head::Pooling::Mean,
                    transform: false,
                    thresholds: vec![0.5; 3],
                    temperature: 1.0,
                }),
                Head::Token(TokenTask {
                    name: "entities".into(),
                    labels: strings(&["O", "B-PER", "I-PER"]),
                    transform: false,
                }),
            ],
            precision: None,
            training: None,
        };
        let mut shapes = Network::new_tensors(&parsed, &description);
        let (width, inner) = (parsed.hidden_size, parsed.intermediate_size);
        for (table, rows) in [("word", vocab), ("position", 40), ("token_type", 2)] {
            shapes.push((format!("bert.embeddings.{table}_embeddings.weight"), vec![rows, width]));
        }
        let mut norms = vec!["bert.embeddings.LayerNorm".to_owned()];
        for layer in 0..2 {
            let layer = format!("bert.encoder.layer.{layer}");
            let square = [
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
            ];
            let mut linears: Vec<(&str, usize, usize)> =
                square.iter().map(|name| (*name, width, width)).collect();
            linears.push(("intermediate.dense", inner, width));
            linears.push(("output.dense", width, inner));
            for (name, outputs, inputs) in linears {
                shapes.push((format!("{layer}.{name}.weight"), vec![outputs, inputs]));
                shapes.push((format!("{layer}.{name}.bias"), vec![outputs]));
            }
            norms.extend(
                ["attention.output.LayerNorm", "output.LayerNorm"].map(|norm| format!("{layer}.{norm}")),
            );
        }
        let mut tensors = std::collections::BTreeMap::new();
        for (seed, (name, shape)) in shapes.into_iter().enumerate() {
            let numbers = crate::encoder::layers::testing::numbers(&shape, seed as u64);
            tensors.insert(name, (numbers * 0.3).expect("a scaled tensor"));
        }
        for norm in norms {
            let ones = candle_core::Tensor::ones(width, candle_core::DType::F32, &Device::Cpu).expect("ones");
            tensors.insert(format!("{norm}.bias"), (&ones * 0.01).expect("a scaled tensor"));
            tensors.insert(format!("{norm}.weight"), ones);
        }
        let bundle = Bundle {
            tokenizer: Tokenizer::parse(&tokenizer, None).expect("the tiny tokenizer is well-formed"),
            config: parsed,
            description,
            weights: Weights::from_tensors(tensors),
            files: Files { config, tokenizer, tokenizer_config: None },
        };
        bundle.check().expect("the tiny bundle fits together");
        bundle
    }
}

#[cfg(test)]
mod tests {
    use super::testing::tiny_bundle;
    use super::*;

    fn logits(bundle: &Bundle) -> Vec<Vec<f32>> {
        let sequences =
            crate::encoder::Sequences::new(&[(&[2, 5, 6, 3], &[0, 1, 2, 0])], 0, true, &Device::Cpu).unwrap();
        let pass = crate::encoder::Pass::inference();
        let logits = bundle.network(&Device::Cpu).unwrap().forward(&sequences, &pass, true, false).unwrap();
        logits.sentence.unwrap().to_vec2().unwrap()
    }

    #[test]
    fn save_then_open_gives_equal_outputs() {
        let bundle = tiny_bundle();
        let folder = tempfile::tempdir().unwrap();
        bundle.save(folder.path(), Storage::F32).unwrap();
        let opened = Bundle::open(folder.path()).unwrap();
        assert_eq!(opened.description, bundle.description);
        assert_eq!(logits(&opened), logits(&bundle));
    }

    #[test]
    fn another_threshold_is_another_configuration_under_the_same_weights_and_tokenizer() {
        let bundle = tiny_bundle();
        let folder = tempfile::tempdir().unwrap();
        bundle.save(folder.path(), Storage::F32).unwrap();
        let opened = Bundle::open(folder.path()).unwrap();
        let digests = opened.digests(Some(folder.path())).unwrap();
        assert_eq!(digests.weights, Bundle::weights_sha256(Some(folder.path())).unwrap());
        let mut description = opened.description.clone();
        for head in &mut description.heads {
            if let Head::Sentence(task) = head {
                task.thresholds[0] += 0.125;
            }
        }
        let other = opened.with(description, opened.weights.clone());
        let others = other.digests(Some(folder.path())).unwrap();
        assert_ne!(others.config, digests.config);
        assert_eq!(Digests { config: digests.config.clone(), ..others }, digests);
    }

    #[test]
    fn int8_rows_are_small_and_close() {
        let bundle = tiny_bundle();
        let folder = tempfile::tempdir().unwrap();
        bundle.save(folder.path(), Storage::Int8).unwrap();
        let opened = Bundle::open(folder.path()).unwrap();
        for (a, b) in logits(&opened)[0].iter().zip(&logits(&bundle)[0]) {
            assert!((a - b).abs() < 0.02, "{a} against {b}");
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused_with_both_facts() {
        let mut bundle = tiny_bundle();
        let folder = tempfile::tempdir().unwrap();
        let Some(task) = bundle.description.sentence_mut() else { panic!("a sentence head") };
        task.labels.push("praise".into());
        task.thresholds.push(0.5);
        bundle.save(folder.path(), Storage::F32).unwrap();
        let error = Bundle::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("heads.stance.classifier.weight") && error.contains('4') && error.contains('3'),
            "{error}"
        );
    }

    #[test]
    fn weights_are_known_by_the_hash_of_their_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), "abc").unwrap();
        let hash = Bundle::weights_sha256(Some(folder.path())).unwrap();
        assert!(hash.starts_with("ba7816bf8f01cfea"), "{hash}"); // of "abc", FIPS 180-4
        assert_eq!(Bundle::weights_sha256(None).unwrap().len(), 64);
        assert!(Bundle::weights_sha256(Some(&folder.path().join("nowhere"))).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Bundle::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
    }
}
