use super::Refused;
use serde::Deserialize;

/// Settings that ModernBERT alone has, as in HF `configuration_modernbert.py`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModernBert {
    /// For every layer, whether its attention sees all tokens (`full_attention`) or a window (`sliding_attention`).
    pub is_global: Vec<bool>,
    /// Tokens that attention in a window sees to each side.
    pub window: usize,
    /// Base of the rotary angles of layers that see all tokens.
    pub global_theta: f32,
    /// Base of the rotary angles of layers that see a window.
    pub local_theta: f32,
    /// Whether the attention's linear layers have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward blocks' linear layers have biases.
    pub mlp_bias: bool,
    /// Whether the dense layer before the classifier has a bias.
    pub classifier_bias: bool,
    /// Whether a sentence classifier reads the mean of the tokens, or the first.
    pub pools_mean: bool,
}

/// Fields that ModernBERT alone has. `rope_parameters` and `layer_types` are of `transformers` 5; older files have
/// `global_rope_theta`, `local_rope_theta` and `global_attn_every_n_layers`.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct ModernBertFields {
    pub(super) norm_eps: f64,
    pub(super) norm_bias: bool,
    attention_bias: bool,
    mlp_bias: bool,
    classifier_bias: bool,
    hidden_activation: String,
    classifier_activation: String,
    classifier_pooling: String,
    pub(super) embedding_dropout: f64,
    pub(super) mlp_dropout: f64,
    local_attention: usize,
    layer_types: Option<Vec<String>>,
    global_attn_every_n_layers: usize,
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<serde_json::Value>,
    global_rope_theta: Option<f32>,
    local_rope_theta: Option<f32>,
}

impl Default for ModernBertFields {
    fn default() -> Self {
        Self {
            norm_eps: 1e-5,
            norm_bias: false,
            attention_bias: false,
            mlp_bias: false,
            classifier_bias: false,
            hidden_activation: "gelu".into(),
            classifier_activation: "gelu".into(),
            classifier_pooling: "cls".into(),
            embedding_dropout: 0.0,
            mlp_dropout: 0.0,
            local_attention: 128,
            layer_types: None,
            global_attn_every_n_layers: 3,
            rope_parameters: None,
            rope_scaling: None,
            global_rope_theta: None,
            local_rope_theta: None,
        }
    }
}

#[derive(Deserialize)]
struct RopeParameters {
    full_attention: Option<Rope>,
    sliding_attention: Option<Rope>,
}

#[derive(Deserialize)]
struct Rope {
    #[serde(default = "default_rope")]
    rope_type: String,
    rope_theta: Option<f32>,
}

fn default_rope() -> String {
    "default".into()
}

impl ModernBertFields {
    pub(super) fn settings(&self, layers: usize) -> Result<ModernBert, Refused> {
        const KINDS: &str = "\"full_attention\" and \"sliding_attention\", one a layer";
        if self.hidden_activation != "gelu" {
            return Err(("hidden_activation", self.hidden_activation.clone(), "\"gelu\""));
        }
        if self.classifier_activation != "gelu" {
            return Err(("classifier_activation", self.classifier_activation.clone(), "\"gelu\""));
        }
        if let Some(scaling) = &self.rope_scaling {
            return Err(("rope_scaling", scaling.to_string(), "null"));
        }
        let pools_mean = match self.classifier_pooling.as_str() {
            "cls" => false,
            "mean" => true,
            other => return Err(("classifier_pooling", other.to_owned(), "\"cls\" or \"mean\"")),
        };
        let is_global = match &self.layer_types {
            None => (0..layers).map(|i| i.is_multiple_of(self.global_attn_every_n_layers)).collect(),
            Some(kinds) => kinds
                .iter()
                .map(|kind| match kind.as_str() {
                    "full_attention" => Ok(true),
                    "sliding_attention" => Ok(false),
                    other => Err(("layer_types", other.to_owned(), KINDS)),
                })
                .collect::<Result<Vec<bool>, Refused>>()?,
        };
        if is_global.len() != layers {
            return Err(("layer_types", format!("{} of them", is_global.len()), KINDS));
        }
        let theta = |rope: Option<&Rope>, older: Option<f32>, default: f32| match rope {
            Some(Rope { rope_type, .. }) if rope_type != "default" => {
                Err(("rope_type", rope_type.clone(), "\"default\""))
            }
            rope => Ok(rope.and_then(|rope| rope.rope_theta).or(older).unwrap_or(default)),
        };
        let ropes = self.rope_parameters.as_ref();
        Ok(ModernBert {
            is_global,
            window: self.local_attention / 2,
            global_theta: theta(
                ropes.and_then(|r| r.full_attention.as_ref()),
                self.global_rope_theta,
                160_000.0,
            )?,
            local_theta: theta(
                ropes.and_then(|r| r.sliding_attention.as_ref()),
                self.local_rope_theta,
                10_000.0,
            )?,
            attention_bias: self.attention_bias,
            mlp_bias: self.mlp_bias,
            classifier_bias: self.classifier_bias,
            pools_mean,
        })
    }
}
