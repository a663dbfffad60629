use super::fixture::{self, Files, MODELS};
use std::path::Path;
use undertone::bundle::{Bundle, Storage};
use undertone::engine::{Engine, Input, Tasks};

/// Begins a file of a folder: the rest of the line is its name.
const FILE: &[u8] = b"\n@@";

/// Files that a folder may have.
const NAMES: [&str; 11] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "undertone.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
];

/// A folder is refused, or it is a model that answers and is the same when it was saved. The first byte picks a tiny model; files
/// of the input stand in the place of its own, and one without content takes it away.
pub(crate) fn law(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    lay_out(folder.path(), MODELS[usize::from(choice) % MODELS.len()].1, rest);
    let _ = Bundle::open_encoder(folder.path());
    let Ok(bundle) = Bundle::open(folder.path()) else { return };
    let description = bundle.description.clone();
    let saved = tempfile::tempdir().expect("a temporary folder");
    bundle.save(saved.path(), Storage::F32).expect("a bundle can be saved");
    let engine = Engine::new(bundle).expect("a bundle that was opened fits together").with_threads(1);
    let inputs = [Input { text: "The envoy — Ana — left. <s> 🕊", words: None }];
    let answers = engine.predict(&inputs, Tasks::Both);
    let again = Bundle::open(saved.path()).expect("a saved bundle opens");
    assert_eq!(again.description, description);
    if let Ok(answers) = answers {
        let engine = Engine::new(again).expect("a bundle that was opened fits together").with_threads(1);
        assert_eq!(engine.predict(&inputs, Tasks::Both).expect("an answer"), answers);
    }
}

fn lay_out(folder: &Path, base: &Files, data: &[u8]) {
    fixture::write(base, folder);
    let starts: Vec<usize> = (0..data.len()).filter(|&at| data[at..].starts_with(FILE)).collect();
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(data.len());
        let file = &data[start + FILE.len()..end];
        let Some(line) = file.iter().position(|&byte| byte == b'\n') else { continue };
        let Some(name) = NAMES.iter().find(|name| name.as_bytes() == &file[..line]) else { continue };
        let path = folder.join(name);
        match &file[line + 1..] {
            [] if path.exists() => std::fs::remove_file(path).expect("a file of ours"),
            content => std::fs::write(path, content).expect("a file in a temporary folder"),
        }
    }
}
