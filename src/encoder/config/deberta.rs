use super::{Fields, LARGEST, Refused, RelativeAttention};
use serde::Deserialize;

/// Settings of disentangled attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disentangled {
    /// Logarithmic buckets of distances (`position_buckets`); 0 for one a distance.
    pub buckets: usize,
    /// Largest distance (`max_relative_positions`).
    pub farthest: usize,
    /// `c2p` in `pos_att_type`: queries attend to distances.
    pub content_to_position: bool,
    /// `p2c` in `pos_att_type`: keys attend to distances.
    pub position_to_content: bool,
    /// `share_att_key`: distances go through the projections of the tokens.
    pub shares_projections: bool,
    /// `norm_rel_ebd` is `layer_norm`: the states of distances are normed.
    pub norm: bool,
}

impl Disentangled {
    /// Half the rows of the table of distances.
    pub fn span(&self) -> usize {
        if self.buckets > 0 { self.buckets } else { self.farthest }
    }
}

/// Fields that DeBERTa-v2 alone has, under the names and defaults of HF `configuration_deberta_v2.py`.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct DebertaFields {
    relative_attention: bool,
    max_relative_positions: i64,
    position_buckets: i64,
    pub(super) position_biased_input: bool,
    pos_att_type: Option<OneOrMany>,
    share_att_key: bool,
    norm_rel_ebd: String,
    conv_kernel_size: usize,
    z_steps: usize,
    attention_head_size: Option<usize>,
    pooler_hidden_act: String,
    pub(super) cls_dropout: Option<f64>,
}

impl Default for DebertaFields {
    fn default() -> Self {
        Self {
            relative_attention: false,
            max_relative_positions: -1,
            position_buckets: -1,
            position_biased_input: true,
            pos_att_type: None,
            share_att_key: false,
            norm_rel_ebd: "none".into(),
            conv_kernel_size: 0,
            z_steps: 0,
            attention_head_size: None,
            pooler_hidden_act: "gelu".into(),
            cls_dropout: None,
        }
    }
}

/// `"c2p|p2c"` or `["c2p", "p2c"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(names) => names.split('|').any(|one| one.trim().eq_ignore_ascii_case(name)),
            Self::Many(names) => names.iter().any(|one| one.eq_ignore_ascii_case(name)),
        }
    }
}

impl DebertaFields {
    /// The attention, or the field that cannot be honoured, its value, and what it may be.
    pub(super) fn attention(&self, fields: &Fields) -> Result<RelativeAttention, Refused> {
        let head_size = fields.hidden_size / fields.num_attention_heads.max(1);
        for (holds, field, value, supported) in [
            (self.relative_attention, "relative_attention", "false".to_owned(), "true"),
            (self.conv_kernel_size == 0, "conv_kernel_size", self.conv_kernel_size.to_string(), "0"),
            (self.z_steps <= 1, "z_steps", self.z_steps.to_string(), "0 or 1"),
            (
                self.pooler_hidden_act == "gelu",
                "pooler_hidden_act",
                self.pooler_hidden_act.clone(),
                "\"gelu\"",
            ),
            (
                self.attention_head_size.is_none_or(|size| size == head_size),
                "attention_head_size",
                self.attention_head_size.unwrap_or_default().to_string(),
                "`hidden_size` divided by `num_attention_heads`",
            ),
            (
                self.position_buckets <= LARGEST as i64,
                "position_buckets",
                self.position_buckets.to_string(),
                "a number below 2^31",
            ),
            (
                self.max_relative_positions <= LARGEST as i64,
                "max_relative_positions",
                self.max_relative_positions.to_string(),
                "a number below 2^31",
            ),
            (
                fields.embedding_size.is_none_or(|size| size == fields.hidden_size),
                "embedding_size",
                fields.embedding_size.unwrap_or_default().to_string(),
                "`hidden_size`",
            ),
        ] {
            if !holds {
                return Err((field, value, supported));
            }
        }
        let has = |kind| self.pos_att_type.as_ref().is_some_and(|kinds| kinds.contains(kind));
        Ok(RelativeAttention::Disentangled(Disentangled {
            buckets: usize::try_from(self.position_buckets).unwrap_or(0),
            farthest: match usize::try_from(self.max_relative_positions) {
                Ok(n) if n > 0 => n,
                _ => fields.max_position_embeddings,
            },
            content_to_position: has("c2p"),
            position_to_content: has("p2c"),
            shares_projections: self.share_att_key,
            norm: self.norm_rel_ebd.split('|').any(|one| one.trim().eq_ignore_ascii_case("layer_norm")),
        }))
    }
}
