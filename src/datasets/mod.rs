//! Labelled corpora over formats.

use crate::digest;
use crate::formats::{FormatError, read_articles, read_conll, read_sentences};
use crate::labels::GoldSentence;
use sha2::{Digest, Sha256};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// A labelled file and what identifies it.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Where it was read from.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its sentences in order.
    pub sentences: Vec<GoldSentence>,
}

/// Reads a labelled file: articles a line, sentences a line (both JSONL), or CoNLL columns, told apart by the first line
/// with something on it.
///
/// # Errors
/// If the file cannot be read or a record is malformed, with file and line.
pub fn load(path: &Path) -> Result<Dataset, FormatError> {
    let fail = |source| FormatError::File { path: path.to_owned(), source };
    let sentences = match first_line(path).map_err(fail)? {
        line if !line.trim_start_matches('\u{feff}').trim_start().starts_with('{') => read_conll(path)?,
        line if line.contains("\"sentences\"") => read_articles(path)?,
        _ => read_sentences(path)?,
    };
    let sha256 = sha256(path).map_err(fail)?;
    Ok(Dataset { path: path.to_owned(), sha256, sentences })
}

/// The part, from 0, that a sentence belongs to when its corpus is cut into `of` parts; sentences of one article stay
/// together, one without an article goes by its text.
pub fn fold(sentence: &GoldSentence, of: usize) -> usize {
    let digest = Sha256::digest(sentence.article.as_ref().unwrap_or(&sentence.text));
    let number = digest.iter().take(8).fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    (number % of.max(1) as u64) as usize
}

fn first_line(path: &Path) -> std::io::Result<String> {
    let mut reader = std::io::BufReader::new(std::fs::File::open(path)?);
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(String::new());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.trim().is_empty() {
            return Ok(line);
        }
    }
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    digest::add_file(&mut hash, path)?;
    Ok(digest::hexadecimal(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatches_has_the_counts_of_its_card() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/dispatches");
        let mut articles = std::collections::BTreeSet::new();
        let (mut sentences, mut entities) = (0, 0);
        for split in ["train", "dev", "test"] {
            let dataset = load(&root.join(format!("{split}.jsonl"))).unwrap();
            sentences += dataset.sentences.len();
            entities +=
                dataset.sentences.iter().map(|s| s.entities.as_ref().map_or(0, Vec::len)).sum::<usize>();
            articles.extend(dataset.sentences.iter().filter_map(|s| s.article.clone()));
        }
        assert_eq!((articles.len(), sentences, entities), (296, 5059, 7302));
    }

    #[test]
    fn the_format_is_seen_from_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, "\nEU\tB-ORG\n").unwrap();
        let dataset = load(&path).unwrap();
        assert_eq!(dataset.sentences[0].entities.as_ref().unwrap().len(), 1);
        assert_eq!(dataset.sha256.len(), 64);
        std::fs::write(&path, "{\"text\":\"a\",\"label\":\"x\"}").unwrap();
        assert_eq!(load(&path).unwrap().sentences[0].labels, Some(vec!["x".into()]));
    }
}
