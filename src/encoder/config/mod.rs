mod deberta;
mod modern_bert;

pub use deberta::Disentangled;
pub use modern_bert::ModernBert;

use deberta::DebertaFields;
use modern_bert::ModernBertFields;
use serde::Deserialize;

/// The fields of a `config.json` that decide what the encoder computes, under the names of HF `configuration_bert.py`,
/// whatever the family calls them. Values that this encoder cannot honour are refused by [`EncoderConfig::parse`].
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Which relative of BERT it is.
    pub family: Family,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the embeddings; where it is not `hidden_size`, or the family is ALBERT, a projection follows.
    pub embedding_size: usize,
    /// Width of a token state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Layers with weights of their own: fewer than `num_hidden_layers` where layers share them (ALBERT's groups).
    pub distinct_layers: usize,
    /// Times that a layer's weights are used before the next distinct layer comes.
    pub repeats: usize,
    /// Attention heads per layer.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Activation of the feed-forward block.
    pub hidden_act: HiddenAct,
    /// Dropout on embeddings.
    pub embedding_dropout: f64,
    /// Dropout on block outputs.
    pub hidden_dropout_prob: f64,
    /// Dropout on attention probabilities.
    pub attention_probs_dropout_prob: f64,
    /// Rows of the position embedding, or without one the longest sequence.
    pub max_position_embeddings: usize,
    /// Whether there is a position embedding.
    pub has_positions: bool,
    /// Row of the position embedding that belongs to the first token.
    pub first_position: usize,
    /// What attention knows of the distance between two tokens.
    pub relative: RelativeAttention,
    /// Whether layer norms add a bias.
    pub norm_bias: bool,
    /// What ModernBERT alone has.
    pub modern: Option<ModernBert>,
    /// Rows of the token type embedding; 0 where there is none.
    pub type_vocab_size: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// Id that fills the end of short sequences.
    pub pad_token_id: u32,
    /// Dropout before the classifier; falls back to `hidden_dropout_prob`.
    pub classifier_dropout: Option<f64>,
}

/// A `model_type` of `transformers` that this encoder computes: BERT and those that differ from it in names, embeddings,
/// sharing of layers or the attention bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `bert`: Devlin et al. 2019, arXiv 1810.04805.
    Bert,
    /// `roberta`, `xlm-roberta`, `camembert`: Liu et al. 2019, arXiv 1907.11692. Positions begin after the padding id.
    Roberta,
    /// `distilbert`: Sanh et al. 2019, arXiv 1910.01108. No token types.
    DistilBert,
    /// `electra`: Clark et al. 2020, arXiv 2003.10555. Embeddings may be narrower than the states.
    Electra,
    /// `mpnet`: Song et al. 2020, arXiv 2004.09297. No token types; one relative attention bias for all layers.
    MpNet,
    /// `albert`: Lan et al. 2020, arXiv 1909.11942. Narrow embeddings; layers share weights.
    Albert,
    /// `deberta-v2` (v3 too): He et al. 2021, arXiv 2111.09543. Disentangled attention; mostly no position embedding.
    DebertaV2,
    /// `modernbert`: Warner et al. 2024, arXiv 2412.13663. Pre-norm, rotary positions, attention in windows.
    ModernBert,
}

impl Family {
    /// `model_type` values, and the family each belongs to.
    const MODEL_TYPES: [(&str, Self); 10] = [
        ("bert", Self::Bert),
        ("roberta", Self::Roberta),
        ("xlm-roberta", Self::Roberta),
        ("camembert", Self::Roberta),
        ("distilbert", Self::DistilBert),
        ("electra", Self::Electra),
        ("mpnet", Self::MpNet),
        ("albert", Self::Albert),
        ("deberta-v2", Self::DebertaV2),
        ("modernbert", Self::ModernBert),
    ];

    /// What stands before the encoder's tensors in an HF checkpoint with a head.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert.",
            Self::Roberta => "roberta.",
            Self::DistilBert => "distilbert.",
            Self::Electra => "electra.",
            Self::MpNet => "mpnet.",
            Self::Albert => "albert.",
            Self::DebertaV2 => "deberta.",
            Self::ModernBert => "model.",
        }
    }
}

/// Activation of a feed-forward block, by the names of `transformers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenAct {
    /// `gelu`: x Φ(x), with the error function.
    Gelu,
    /// `gelu_new`, `gelu_pytorch_tanh`: the tanh form, another function.
    GeluTanh,
    /// `relu`.
    Relu,
}

/// What attention knows of the distance between two tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelativeAttention {
    /// Nothing.
    None,
    /// One bias a head for every bucket of distances.
    Bias {
        /// Number of buckets.
        buckets: usize,
    },
    /// Distances have states of their own, which queries and keys attend to.
    Disentangled(Disentangled),
}

/// Why a `config.json` cannot be honoured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not JSON, or a field is missing or of another type.
    #[error("the configuration cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A value outside what this encoder computes.
    #[error("`{field}` is {value}, and only {supported} is supported")]
    Unsupported {
        /// Field of `config.json`.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        supported: &'static str,
    },
}

/// Other names of fields, and the names that [`Fields`] has for them.
const SYNONYMS: [(&str, &str); 9] = [
    ("dim", "hidden_size"),
    ("n_layers", "num_hidden_layers"),
    ("n_heads", "num_attention_heads"),
    ("hidden_dim", "intermediate_size"),
    ("activation", "hidden_act"),
    ("dropout", "hidden_dropout_prob"),
    ("attention_dropout", "attention_probs_dropout_prob"),
    ("seq_classif_dropout", "classifier_dropout"),
    ("classifier_dropout_prob", "classifier_dropout"),
];

/// Sizes beyond this, and more layers than these, are a mistake: sums of such sizes would overflow, and a model whose layers
/// share weights could be asked for any number of them.
const LARGEST: usize = i32::MAX as usize;
const MOST_LAYERS: usize = 1000;

/// `config.json` as it stands. A field that a family does not write is `None`.
#[derive(Deserialize)]
struct Fields {
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    embedding_size: Option<usize>,
    num_hidden_groups: Option<usize>,
    inner_group_num: Option<usize>,
    relative_attention_num_buckets: Option<usize>,
    hidden_act: Option<String>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    type_vocab_size: Option<usize>,
    initializer_range: Option<f64>,
    layer_norm_eps: Option<f64>,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    classifier_dropout: Option<f64>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(flatten)]
    deberta: DebertaFields,
    #[serde(flatten)]
    modern: ModernBertFields,
}

/// A field that cannot be honoured, its value, and what it may be.
type Refused = (&'static str, String, &'static str);

impl EncoderConfig {
    /// Reads and checks a `config.json`; what it leaves out has the defaults of `transformers`.
    ///
    /// # Errors
    /// If a field is missing, or holds a value that this encoder would have to approximate.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json)?;
        for (theirs, ours) in SYNONYMS {
            if let (Some(value), false) = (json.get(theirs).cloned(), json.contains_key(ours)) {
                json.insert(ours.to_owned(), value);
            }
        }
        let fields = Fields::deserialize(serde_json::Value::Object(json))?;
        let refuse = |field, value: &dyn ToString, supported| {
            Err(ConfigError::Unsupported { field, value: format!("\"{}\"", value.to_string()), supported })
        };
        let kind = fields.model_type.as_deref().unwrap_or("bert");
        let Some((_, family)) = Family::MODEL_TYPES.into_iter().find(|(name, _)| *name == kind) else {
            let known = "\"bert\", \"roberta\", \"xlm-roberta\", \"camembert\", \"distilbert\", \"electra\", \"mpnet\", \"albert\", \"deberta-v2\" or \"modernbert\"";
            return refuse("model_type", &kind, known);
        };
        let (albert, mpnet) = (family == Family::Albert, family == Family::MpNet);
        let hidden_act =
            match fields.hidden_act.as_deref().unwrap_or(if albert { "gelu_new" } else { "gelu" }) {
                "gelu" => HiddenAct::Gelu,
                "gelu_new" | "gelu_pytorch_tanh" => HiddenAct::GeluTanh,
                "relu" => HiddenAct::Relu,
                other => {
                    let known = "\"gelu\", \"gelu_new\", \"gelu_pytorch_tanh\" or \"relu\"";
                    return refuse("hidden_act", &other, known);
                }
            };
        if let Some(other) = fields.position_embedding_type.as_deref().filter(|&kind| kind != "absolute") {
            return refuse("position_embedding_type", &other, "\"absolute\"");
        }
        if fields.is_decoder {
            return refuse("is_decoder", &true, "false");
        }
        let narrow = matches!(family, Family::Electra | Family::Albert);
        let embedding_size = if narrow { fields.embedding_size.unwrap_or(128) } else { fields.hidden_size };
        let (groups, inner) = match family {
            Family::Albert => (fields.num_hidden_groups.unwrap_or(1), fields.inner_group_num.unwrap_or(1)),
            _ => (fields.num_hidden_layers, 1),
        };
        let deberta = family == Family::DebertaV2;
        if !(1..=MOST_LAYERS).contains(&fields.num_hidden_layers) {
            let supported = "a number above 0 and at most 1000";
            return refuse("num_hidden_layers", &fields.num_hidden_layers, supported);
        }
        for (field, size) in [
            ("vocab_size", fields.vocab_size),
            ("hidden_size", fields.hidden_size),
            ("embedding_size", embedding_size),
            ("num_hidden_groups", groups),
            ("num_attention_heads", fields.num_attention_heads),
            ("intermediate_size", fields.intermediate_size),
            ("max_position_embeddings", fields.max_position_embeddings),
            ("type_vocab_size", if deberta { 1 } else { fields.type_vocab_size.unwrap_or(2) }),
        ] {
            if !(1..=LARGEST).contains(&size) {
                return refuse(field, &size, "a number above 0 and below 2^31");
            }
        }
        let buckets = fields.relative_attention_num_buckets.unwrap_or(32);
        let relative = match family {
            Family::MpNet => RelativeAttention::Bias { buckets },
            Family::DebertaV2 => match fields.deberta.attention(&fields) {
                Ok(attention) => attention,
                Err((field, value, supported)) => return refuse(field, &value, supported),
            },
            _ => RelativeAttention::None,
        };
        let modern = match family {
            Family::ModernBert => match fields.modern.settings(fields.num_hidden_layers) {
                Ok(settings) => Some(settings),
                Err((field, value, supported)) => return refuse(field, &value, supported),
            },
            _ => None,
        };
        let types = match family {
            Family::MpNet | Family::DistilBert | Family::ModernBert => 0,
            Family::DebertaV2 => fields.type_vocab_size.unwrap_or(0),
            _ => fields.type_vocab_size.unwrap_or(2),
        };
        if inner != 1 {
            return refuse("inner_group_num", &inner, "1");
        }
        if mpnet && buckets != 32 {
            // HF's `compute_position_bias` counts in 32 buckets whatever the configuration says.
            return refuse("relative_attention_num_buckets", &buckets, "32");
        }
        if !fields.num_hidden_layers.is_multiple_of(groups) {
            return refuse("num_hidden_groups", &groups, "a divisor of `num_hidden_layers`");
        }
        let dropout = if albert || modern.is_some() { 0.0 } else { 0.1 };
        let hidden_dropout_prob = match modern {
            Some(_) => fields.modern.mlp_dropout,
            None => fields.hidden_dropout_prob.unwrap_or(dropout),
        };
        let config = Self {
            family,
            vocab_size: fields.vocab_size,
            embedding_size,
            hidden_size: fields.hidden_size,
            num_hidden_layers: fields.num_hidden_layers,
            distinct_layers: groups,
            repeats: fields.num_hidden_layers / groups,
            num_attention_heads: fields.num_attention_heads,
            intermediate_size: fields.intermediate_size,
            hidden_act,
            embedding_dropout: match modern {
                Some(_) => fields.modern.embedding_dropout,
                None => hidden_dropout_prob,
            },
            hidden_dropout_prob,
            attention_probs_dropout_prob: fields.attention_probs_dropout_prob.unwrap_or(dropout),
            max_position_embeddings: fields.max_position_embeddings,
            first_position: match family {
                Family::Roberta => fields.pad_token_id.unwrap_or(1) as usize + 1,
                Family::MpNet => 2, // `padding_idx` is 1 in its code, whatever the configuration says
                _ => 0,
            },
            has_positions: modern.is_none() && (!deberta || fields.deberta.position_biased_input),
            relative,
            type_vocab_size: types,
            initializer_range: fields.initializer_range.unwrap_or(0.02),
            layer_norm_eps: match modern {
                Some(_) => fields.modern.norm_eps,
                None => fields.layer_norm_eps.unwrap_or(if deberta { 1e-7 } else { 1e-12 }),
            },
            norm_bias: modern.is_none() || fields.modern.norm_bias,
            // `transformers` writes null where a model has no padding token; which id fills masked places then does not
            // matter.
            pad_token_id: fields.pad_token_id.unwrap_or(match family {
                Family::Roberta | Family::MpNet => 1,
                _ => 0,
            }),
            classifier_dropout: fields.classifier_dropout.or(fields.deberta.cls_dropout),
            modern,
        };
        for (field, share) in [
            ("hidden_dropout_prob", config.hidden_dropout_prob),
            ("embedding_dropout", config.embedding_dropout),
            ("attention_probs_dropout_prob", config.attention_probs_dropout_prob),
            ("classifier_dropout", config.classifier_dropout.unwrap_or(0.0)),
        ] {
            // At 1 nothing would be left to scale up.
            if !(0.0..1.0).contains(&share) {
                return refuse(field, &share, "a share from 0 to below 1");
            }
        }
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return refuse("num_attention_heads", &config.num_attention_heads, "a divisor of `hidden_size`");
        }
        if config.modern.is_some() && !(config.hidden_size / config.num_attention_heads).is_multiple_of(2) {
            let supported = "a divisor of `hidden_size` that leaves an even width a head";
            return refuse("num_attention_heads", &config.num_attention_heads, supported);
        }
        if config.max_tokens() == 0 {
            return refuse(
                "max_position_embeddings",
                &config.max_position_embeddings,
                "more than the padding id and one",
            );
        }
        Ok(config)
    }

    /// Longest sequence in tokens that there are positions for.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position)
    }

    /// True if the embeddings go through a linear layer to become states.
    pub fn projects_embeddings(&self) -> bool {
        self.family == Family::Albert || self.embedding_size != self.hidden_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"vocab_size":9,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,
        "intermediate_size":16,"max_position_embeddings":12"#;

    #[test]
    fn a_plain_config_is_read_with_the_defaults_of_transformers() {
        let config = EncoderConfig::parse(format!("{TINY}}}").as_bytes()).unwrap();
        assert_eq!(
            (config.type_vocab_size, config.hidden_dropout_prob, config.layer_norm_eps),
            (2, 0.1, 1e-12)
        );
    }

    #[test]
    fn a_field_under_two_names_counts_once() {
        let both = format!(r#"{TINY},"classifier_dropout":0.3,"seq_classif_dropout":0.2}}"#);
        assert_eq!(EncoderConfig::parse(both.as_bytes()).unwrap().classifier_dropout, Some(0.3));
        let distil = r#"{"model_type":"distilbert","vocab_size":9,"dim":8,"n_layers":1,"n_heads":2,"hidden_dim":16,
            "max_position_embeddings":12,"activation":"relu"}"#;
        let config = EncoderConfig::parse(distil.as_bytes()).unwrap();
        assert_eq!((config.hidden_size, config.hidden_act), (8, HiddenAct::Relu));
    }

    #[test]
    fn values_that_would_be_approximated_are_refused_by_name() {
        for (extra, field) in [
            (r#""hidden_act":"silu""#, "hidden_act"),
            (r#""position_embedding_type":"relative_key""#, "position_embedding_type"),
            (r#""model_type":"gpt2""#, "model_type"),
            (
                r#""model_type":"deberta-v2","relative_attention":true,"conv_kernel_size":3"#,
                "conv_kernel_size",
            ),
            (r#""model_type":"deberta-v2""#, "relative_attention"),
            (r#""model_type":"modernbert","rope_scaling":{"type":"yarn"}"#, "rope_scaling"),
            (r#""model_type":"modernbert","layer_types":["chunked_attention"]"#, "layer_types"),
            (r#""model_type":"modernbert","num_hidden_layers":1,"layer_types":[]"#, "layer_types"),
            (r#""model_type":"albert","inner_group_num":2"#, "inner_group_num"),
            (r#""model_type":"mpnet","relative_attention_num_buckets":16"#, "relative_attention_num_buckets"),
            (r#""model_type":"roberta","pad_token_id":11"#, "max_position_embeddings"),
            (r#""is_decoder":true"#, "is_decoder"),
            (r#""type_vocab_size":0"#, "type_vocab_size"),
            (r#""hidden_dropout_prob":1.0"#, "`hidden_dropout_prob` is \"1\""),
            (r#""attention_probs_dropout_prob":-0.1"#, "attention_probs_dropout_prob"),
            (r#""classifier_dropout":1.5"#, "classifier_dropout"),
        ] {
            let error = EncoderConfig::parse(format!("{TINY},{extra}}}").as_bytes()).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn sizes_that_make_no_encoder_are_refused_by_name() {
        for (sound, broken) in [
            (r#""vocab_size":9"#, r#""vocab_size":0"#),
            (r#""hidden_size":8"#, r#""hidden_size":0"#),
            (r#""num_hidden_layers":1"#, r#""num_hidden_layers":0"#),
            (r#""num_attention_heads":2"#, r#""num_attention_heads":0"#),
            (r#""num_attention_heads":2"#, r#""num_attention_heads":3"#),
            (r#""intermediate_size":16"#, r#""intermediate_size":0"#),
            (r#""max_position_embeddings":12"#, r#""max_position_embeddings":0"#),
            (r#""num_hidden_layers":1"#, r#""num_hidden_layers":1001"#),
            (
                r#""num_hidden_layers":1"#,
                r#""num_hidden_layers":18446744073709551615,"model_type":"modernbert""#,
            ),
            (r#""intermediate_size":16"#, r#""intermediate_size":9223372036854775808"#),
        ] {
            let json = format!("{}}}", TINY.replace(sound, broken));
            let error = EncoderConfig::parse(json.as_bytes()).unwrap_err().to_string();
            let field = broken.split('"').nth(1).unwrap();
            assert!(error.starts_with(&format!("`{field}` is ")), "{error}");
        }
    }
}
