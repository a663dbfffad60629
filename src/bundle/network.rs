use super::{Description, Head, Weights};
use crate::encoder::layers::Precision;
use crate::encoder::{Encoder, EncoderConfig, Pass, Sequences};
use crate::head::{SentenceHead, SentenceHeadTensors, TokenHead, Transform};
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

/// An encoder with its heads, for inference and training alike.
#[derive(Debug, Clone)]
pub struct Network {
    encoder: Encoder,
    sentence: Option<SentenceHead>,
    token: Option<TokenHead>,
}

/// Logits of the heads that ran.
#[derive(Debug, Clone)]
pub struct Logits {
    /// `[batch, labels]`
    pub sentence: Option<Tensor>,
    /// `[batch, tokens, tags]`; not defined on padding.
    pub token: Option<Tensor>,
}

impl Network {
    /// Prefix of the encoder's tensors.
    pub const ENCODER: &str = "bert";

    /// Prefix of a head's tensors.
    pub fn head_prefix(name: &str) -> String {
        format!("heads.{name}")
    }

    /// Takes the tensors from `vb`.
    ///
    /// # Errors
    /// If a tensor is missing or mis-shaped.
    pub fn load(vb: VarBuilder, config: &EncoderConfig, description: &Description) -> Result<Self> {
        let encoder = Encoder::load(vb.pp(Self::ENCODER), config, description.casing_classes)?;
        Self::with_encoder(encoder, vb, config, description)
    }

    /// Takes `weights` for inference on the CPU alone: those of the encoder's layers are repacked for products in `precision`.
    ///
    /// # Errors
    /// If a tensor is missing or mis-shaped.
    pub fn for_inference(
        weights: &Weights,
        config: &EncoderConfig,
        description: &Description,
        precision: Precision,
    ) -> Result<Self> {
        let vb = weights.builder(&Device::Cpu);
        let casing_classes = description.casing_classes;
        let below = vb.pp(Self::ENCODER);
        let encoder = Encoder::for_inference(below, weights.stored(), config, casing_classes, precision)?;
        Self::with_encoder(encoder, vb, config, description)
    }

    fn with_encoder(
        encoder: Encoder,
        vb: VarBuilder,
        config: &EncoderConfig,
        description: &Description,
    ) -> Result<Self> {
        let width = config.hidden_size;
        let dropout = config.classifier_dropout.unwrap_or(config.hidden_dropout_prob);
        let transform = |vb: &VarBuilder, wanted: bool| {
            wanted.then(|| Transform::load(vb.pp("transform"), config)).transpose()
        };
        let mut network = Self { encoder, sentence: None, token: None };
        for head in &description.heads {
            match head {
                Head::Sentence(task) => {
                    let vb = vb.pp(Self::head_prefix(&task.name));
                    let tensors = SentenceHeadTensors {
                        classifier: vb.pp("classifier"),
                        pooler: vb.pp("pooler"),
                        transform: transform(&vb, task.transform)?,
                        width,
                        labels: task.labels.len(),
                    };
                    network.sentence = Some(SentenceHead::load(tensors, task.pooling, dropout)?);
                }
                Head::Token(task) => {
                    let vb = vb.pp(Self::head_prefix(&task.name));
                    let transform = transform(&vb, task.transform)?;
                    let (vb, labels) = (vb.pp("classifier"), task.labels.len());
                    network.token = Some(TokenHead::load(vb, transform, width, labels, dropout)?);
                }
            }
        }
        Ok(network)
    }

    /// Names and shapes of the tensors that the heads and the casing embedding need, for those who make new ones.
    pub fn new_tensors(config: &EncoderConfig, description: &Description) -> Vec<(String, Vec<usize>)> {
        let width = config.hidden_size;
        let mut tensors = Vec::new();
        if description.casing_classes > 0 {
            let name = format!("{}.{}", Self::ENCODER, Encoder::CASING);
            tensors.push((name, vec![description.casing_classes, config.embedding_size]));
        }
        for head in &description.heads {
            let labels = head.labels().len();
            let prefix = Self::head_prefix(head.name());
            if matches!(head, Head::Sentence(task) if task.pooling.has_dense()) {
                tensors.push((format!("{prefix}.pooler.weight"), vec![width, width]));
                tensors.push((format!("{prefix}.pooler.bias"), vec![width]));
            }
            if head.has_transform() {
                let transform = format!("{prefix}.transform");
                tensors.extend(
                    Transform::tensors(config).map(|(name, shape)| (format!("{transform}.{name}"), shape)),
                );
            }
            tensors.push((format!("{prefix}.classifier.weight"), vec![labels, width]));
            tensors.push((format!("{prefix}.classifier.bias"), vec![labels]));
        }
        tensors
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// One pass through the encoder, then the heads asked for (those that exist).
    ///
    /// # Errors
    /// If the encoder refuses the sequences.
    pub fn forward(&self, sequences: &Sequences, pass: &Pass, sentence: bool, token: bool) -> Result<Logits> {
        let states = self.encoder.forward(sequences, pass)?;
        let sentence = match &self.sentence {
            Some(head) if sentence => Some(head.forward(&states, sequences, pass)?),
            _ => None,
        };
        let token = match &self.token {
            Some(head) if token => Some(head.forward(&states, pass)?),
            _ => None,
        };
        Ok(Logits { sentence, token })
    }
}
