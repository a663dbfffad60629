//! The default bundle's files, put into the library at build time.

pub(super) const CONFIG: &[u8] = include_bytes!("../../models/default/config.json");
pub(super) const TOKENIZER: &[u8] = include_bytes!("../../models/default/tokenizer.json");
pub(super) const TOKENIZER_CONFIG: &[u8] = include_bytes!("../../models/default/tokenizer_config.json");
pub(super) const DESCRIPTION: &[u8] = include_bytes!("../../models/default/undertone.json");
pub(super) const WEIGHTS: &[u8] = include_bytes!("../../models/default/model.safetensors");
