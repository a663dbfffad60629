//! Names of tensors: those of Hugging Face checkpoints to this crate's, which are BERT's.

use super::{Head, Network};
use crate::encoder::Family;
use std::collections::BTreeMap;

/// Where a family's names differ from BERT's: a piece of a name, and what stands in its place here. Read in order, the
/// first that is found counts, so that a longer piece stands before a shorter one.
fn differences(family: Family) -> &'static [(&'static str, &'static str)] {
    match family {
        Family::Bert | Family::Roberta | Family::Electra => &[],
        Family::DistilBert => &[
            ("attention.q_lin", "attention.self.query"),
            ("attention.k_lin", "attention.self.key"),
            ("attention.v_lin", "attention.self.value"),
            ("attention.out_lin", "attention.output.dense"),
            ("sa_layer_norm", "attention.output.LayerNorm"),
            ("ffn.lin1", "intermediate.dense"),
            ("ffn.lin2", "output.dense"),
            ("output_layer_norm", "output.LayerNorm"),
        ],
        Family::MpNet => &[
            ("attention.attn.q", "attention.self.query"),
            ("attention.attn.k", "attention.self.key"),
            ("attention.attn.v", "attention.self.value"),
            ("attention.attn.o", "attention.output.dense"),
            ("attention.LayerNorm", "attention.output.LayerNorm"),
        ],
        Family::ModernBert => &[
            ("embeddings.tok_embeddings", "embeddings.word_embeddings"),
            ("embeddings.norm", "embeddings.LayerNorm"),
        ],
        Family::DebertaV2 => &[
            ("attention.self.query_proj", "attention.self.query"),
            ("attention.self.key_proj", "attention.self.key"),
            ("attention.self.value_proj", "attention.self.value"),
        ],
        Family::Albert => &[
            ("attention.query", "attention.self.query"),
            ("attention.key", "attention.self.key"),
            ("attention.value", "attention.self.value"),
            ("attention.dense", "attention.output.dense"),
            ("attention.LayerNorm", "attention.output.LayerNorm"),
            ("full_layer_layer_norm", "output.LayerNorm"),
            ("ffn_output", "output.dense"),
            ("ffn", "intermediate.dense"),
            ("encoder.embedding_hidden_mapping_in", "embeddings_project"),
        ],
    }
}

/// What stands before the number of a layer in a family's names.
fn layers(family: Family) -> &'static str {
    match family {
        Family::DistilBert => "transformer.layer.",
        Family::Albert => "encoder.albert_layer_groups.",
        Family::ModernBert => "layers.",
        _ => "encoder.layer.",
    }
}

/// HF names to ours: wrappers taken off, the encoder below `bert.`, the dense layer before a sentence classifier below
/// `heads.sequence.pooler.`, the norm names of TensorFlow checkpoints (`gamma`, `beta`) to torch's. Names that are ours already stay.
pub(super) fn under_our_names<T>(tensors: BTreeMap<String, T>, family: Family) -> BTreeMap<String, T> {
    // The pooler that some checkpoints carry beside a classifier with a dense layer of its own is used by neither head.
    let dense = tensors.keys().any(|name| DENSE.iter().any(|dense| unwrapped(name).starts_with(dense)));
    tensors
        .into_iter()
        .filter(|(name, _)| !(dense && encoder_name(name, family).starts_with("pooler.")))
        .map(|(name, tensor)| (our_name(&name, family), tensor))
        .collect()
}

/// Dense layers before the classifier, where it is not the encoder's pooler.
const DENSE: [&str; 2] = ["classifier.dense.", "pre_classifier."];

/// A name without what training wrappers put before it.
fn unwrapped(name: &str) -> &str {
    ["module.", "_orig_mod."].iter().fold(name, |name, wrapper| name.strip_prefix(wrapper).unwrap_or(name))
}

/// A name without wrappers and the encoder's prefix.
fn encoder_name(name: &str, family: Family) -> &str {
    let name = unwrapped(name);
    [family.prefix(), "bert."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

fn our_name(name: &str, family: Family) -> String {
    let head = unwrapped(name);
    for dense in DENSE {
        if let Some(rest) = head.strip_prefix(dense) {
            return format!("heads.sequence.pooler.{rest}");
        }
    }
    if let Some(rest) = head.strip_prefix("head.") {
        return format!("transform.{rest}");
    }
    if let Some(rest) = head.strip_prefix("classifier.out_proj.") {
        return format!("classifier.{rest}");
    }
    let name = encoder_name(name, family)
        .replace("LayerNorm.gamma", "LayerNorm.weight")
        .replace("LayerNorm.beta", "LayerNorm.bias");
    if let Some(rest) = name.strip_prefix("pooler.") {
        return format!("heads.sequence.pooler.{}", rest.strip_prefix("dense.").unwrap_or(rest));
    }
    let mut ours = match name.strip_prefix(layers(family)) {
        // An ALBERT group holds one layer, number 0.
        Some(rest) => format!("encoder.layer.{}", rest.replacen(".albert_layers.0.", ".", 1)),
        None => name,
    };
    if let Some(rest) = ours.strip_prefix("final_norm.") {
        ours = format!("encoder.final_norm.{rest}");
    }
    if ["encoder.", "embeddings."].iter().any(|part| ours.starts_with(part))
        && let Some((theirs, our)) = differences(family).iter().find(|(theirs, _)| ours.contains(theirs))
    {
        ours = ours.replacen(theirs, our, 1);
    }
    if ["embeddings.", "encoder.", "embeddings_project."].iter().any(|part| ours.starts_with(part)) {
        return format!("{}.{ours}", Network::ENCODER);
    }
    ours
}

/// The name that a tensor of ours has in the HF checkpoint of a model with this head alone; `None` for what does not belong there.
pub(super) fn their_name(ours: &str, family: Family, head: &Head) -> Option<String> {
    let head_prefix = format!("{}.", Network::head_prefix(head.name()));
    if let Some(name) = ours.strip_prefix(&head_prefix) {
        return Some(match (name.split_once('.')?, family) {
            (("transform", rest), _) => format!("head.{rest}"),
            (("pooler", rest), Family::Bert) => format!("bert.pooler.dense.{rest}"),
            (("pooler", rest), Family::Albert) => format!("albert.pooler.{rest}"),
            (("pooler", rest), Family::DebertaV2) => format!("pooler.dense.{rest}"),
            (("pooler", rest), Family::DistilBert) => format!("pre_classifier.{rest}"),
            (("pooler", rest), _) => format!("classifier.dense.{rest}"),
            (("classifier", rest), Family::Roberta | Family::Electra | Family::MpNet)
                if matches!(head, Head::Sentence(_)) =>
            {
                format!("classifier.out_proj.{rest}")
            }
            _ => name.to_owned(),
        });
    }
    let name = ours.strip_prefix(Network::ENCODER)?.strip_prefix('.')?;
    let found = differences(family).iter().filter(|(_, ours)| name.contains(ours));
    let name = match found.max_by_key(|(_, ours)| ours.len()) {
        Some((theirs, ours)) => name.replacen(ours, theirs, 1),
        None => name.to_owned(),
    };
    let name = match name.strip_prefix("encoder.layer.") {
        Some(rest) if family == Family::Albert => {
            let (group, rest) = rest.split_once('.')?;
            format!("{}{group}.albert_layers.0.{rest}", layers(family))
        }
        Some(rest) => format!("{}{rest}", layers(family)),
        None => match name.strip_prefix("encoder.final_norm.") {
            Some(rest) => format!("final_norm.{rest}"),
            None => name,
        },
    };
    Some(format!("{}{name}", family.prefix()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};

    fn renamed(family: Family, names: &[&str]) -> Vec<String> {
        let tensor = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
        let tensors = names.iter().map(|n| ((*n).to_owned(), tensor.clone())).collect();
        under_our_names(tensors, family).into_keys().collect()
    }

    #[test]
    fn checkpoint_names_become_ours_and_ours_stay() {
        let bert = ["bert.embeddings.LayerNorm.weight", "bert.encoder.layer.0.output.dense.bias"];
        let old = [
            "module.bert.embeddings.LayerNorm.gamma",
            "encoder.layer.0.output.dense.bias",
            "bert.pooler.dense.bias",
        ];
        assert_eq!(renamed(Family::Bert, &old), [bert[0], bert[1], "heads.sequence.pooler.bias"]);
        use Family::{Albert, DebertaV2, DistilBert, Electra, ModernBert, MpNet, Roberta};
        let families = [DistilBert, MpNet, Albert, Roberta, Electra, DebertaV2, ModernBert];
        let ours = [
            "bert.embeddings.word_embeddings.weight",
            "bert.embeddings_project.bias",
            "bert.encoder.layer.0.attention.output.LayerNorm.weight",
            "bert.encoder.layer.0.attention.output.dense.weight",
            "bert.encoder.layer.0.attention.self.key.bias",
            "bert.encoder.layer.0.intermediate.dense.bias",
            "bert.encoder.layer.0.output.LayerNorm.bias",
            "heads.sequence.classifier.weight",
            "heads.sequence.pooler.weight",
        ];
        for family in families {
            assert_eq!(renamed(family, &ours), ours, "{family:?}");
        }
    }

    #[test]
    fn families_differ_in_their_own_names() {
        for (family, theirs, ours) in [
            (
                Family::DistilBert,
                "distilbert.transformer.layer.1.sa_layer_norm.bias",
                "attention.output.LayerNorm.bias",
            ),
            (
                Family::DistilBert,
                "distilbert.transformer.layer.1.output_layer_norm.bias",
                "output.LayerNorm.bias",
            ),
            (
                Family::DebertaV2,
                "deberta.encoder.layer.1.attention.self.key_proj.bias",
                "attention.self.key.bias",
            ),
            (Family::ModernBert, "model.layers.1.mlp.Wi.weight", "mlp.Wi.weight"),
            (Family::MpNet, "mpnet.encoder.layer.1.attention.attn.o.weight", "attention.output.dense.weight"),
            (Family::MpNet, "mpnet.encoder.layer.1.output.dense.weight", "output.dense.weight"),
            (
                Family::Albert,
                "albert.encoder.albert_layer_groups.1.albert_layers.0.ffn.bias",
                "intermediate.dense.bias",
            ),
            (
                Family::Albert,
                "albert.encoder.albert_layer_groups.1.albert_layers.0.ffn_output.bias",
                "output.dense.bias",
            ),
        ] {
            assert_eq!(renamed(family, &[theirs]), [format!("bert.encoder.layer.1.{ours}")]);
        }
    }

    #[test]
    fn a_pooler_beside_a_dense_classifier_is_left_out() {
        let names = ["classifier.dense.bias", "classifier.out_proj.bias", "roberta.pooler.dense.bias"];
        assert_eq!(renamed(Family::Roberta, &names), ["classifier.bias", "heads.sequence.pooler.bias"]);
    }
}
