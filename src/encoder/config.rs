use serde::Deserialize;

/// The fields of a BERT `config.json` that decide what the encoder computes.
///
/// Follows HF `configuration_bert.py`. Values that this encoder cannot honour are refused by [`BertConfig::parse`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of a token state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads per layer.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Activation of the feed-forward block; `gelu` (the erf form) alone is honoured.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Dropout on embeddings and block outputs.
    #[serde(default = "one_tenth")]
    pub hidden_dropout_prob: f64,
    /// Dropout on attention probabilities.
    #[serde(default = "one_tenth")]
    pub attention_probs_dropout_prob: f64,
    /// Rows of the position embedding: the longest sequence.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Standard deviation of new weights.
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
    /// Added to the variance in layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Id that fills the end of short sequences.
    #[serde(default, deserialize_with = "zero_for_null")]
    pub pad_token_id: u32,
    /// Position scheme; `absolute` alone is honoured.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
    /// Dropout before the classifier; falls back to `hidden_dropout_prob`.
    #[serde(default)]
    pub classifier_dropout: Option<f64>,
    /// Model family.
    #[serde(default = "bert")]
    pub model_type: String,
    /// Decoder mode, which this encoder has not.
    #[serde(default)]
    pub is_decoder: bool,
}

fn gelu() -> String {
    "gelu".into()
}
fn absolute() -> String {
    "absolute".into()
}
fn bert() -> String {
    "bert".into()
}
fn one_tenth() -> f64 {
    0.1
}
fn two() -> usize {
    2
}
fn initializer_range() -> f64 {
    0.02
}
fn layer_norm_eps() -> f64 {
    1e-12
}
/// `transformers` writes null where a model has no padding token; which id fills masked places then does not matter.
fn zero_for_null<'de, D: serde::Deserializer<'de>>(value: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(0))
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

impl BertConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// If a field is missing, or holds a value that this encoder would have to approximate.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(json)?;
        let refuse = |field, value: &dyn ToString, supported| {
            Err(ConfigError::Unsupported { field, value: format!("\"{}\"", value.to_string()), supported })
        };
        if config.model_type != "bert" {
            return refuse("model_type", &config.model_type, "\"bert\"");
        }
        if config.hidden_act != "gelu" {
            return refuse("hidden_act", &config.hidden_act, "\"gelu\"");
        }
        if config.position_embedding_type != "absolute" {
            return refuse("position_embedding_type", &config.position_embedding_type, "\"absolute\"");
        }
        if config.is_decoder {
            return refuse("is_decoder", &true, "false");
        }
        for (field, size) in [
            ("vocab_size", config.vocab_size),
            ("hidden_size", config.hidden_size),
            ("num_hidden_layers", config.num_hidden_layers),
            ("num_attention_heads", config.num_attention_heads),
            ("intermediate_size", config.intermediate_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("type_vocab_size", config.type_vocab_size),
        ] {
            if size == 0 {
                return refuse(field, &size, "a number above 0");
            }
        }
        for (field, share) in [
            ("hidden_dropout_prob", config.hidden_dropout_prob),
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
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"vocab_size":9,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,
        "intermediate_size":16,"max_position_embeddings":12"#;

    #[test]
    fn a_plain_config_is_read_with_the_defaults_of_transformers() {
        let config = BertConfig::parse(format!("{TINY}}}").as_bytes()).unwrap();
        assert_eq!(
            (config.type_vocab_size, config.hidden_dropout_prob, config.layer_norm_eps),
            (2, 0.1, 1e-12)
        );
    }

    #[test]
    fn values_that_would_be_approximated_are_refused_by_name() {
        for (extra, field) in [
            (r#""hidden_act":"gelu_new""#, "hidden_act"),
            (r#""position_embedding_type":"relative_key""#, "position_embedding_type"),
            (r#""model_type":"roberta""#, "model_type"),
            (r#""is_decoder":true"#, "is_decoder"),
            (r#""type_vocab_size":0"#, "type_vocab_size"),
            (r#""hidden_dropout_prob":1.0"#, "`hidden_dropout_prob` is \"1\""),
            (r#""attention_probs_dropout_prob":-0.1"#, "attention_probs_dropout_prob"),
            (r#""classifier_dropout":1.5"#, "classifier_dropout"),
        ] {
            let error = BertConfig::parse(format!("{TINY},{extra}}}").as_bytes()).unwrap_err();
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
        ] {
            let json = format!("{}}}", TINY.replace(sound, broken));
            let error = BertConfig::parse(json.as_bytes()).unwrap_err().to_string();
            let field = broken.split('"').nth(1).unwrap();
            assert!(error.starts_with(&format!("`{field}` is ")), "{error}");
        }
    }
}
