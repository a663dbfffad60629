//! Labelled corpora over formats: what is in them, what is wrong with them, how they are divided.

mod agreement;
mod audit;
mod coefficients;
mod findings;
mod label_names;
mod matching;
mod near_duplicates;
mod split;
mod stats;

pub use agreement::{
    Agreement, Both, Disagreement, EntityAgreement, LabelAgreement, LabelRow, TypeRow, agreement,
};
pub use audit::{Audit, AuditOptions, Split, audit, texts};
pub use coefficients::{cohen_kappa, krippendorff_alpha, masi_distance, nominal_distance};
pub use findings::{Finding, FindingKind, Place, Severity};
pub use matching::MatchBy;
pub use split::{Division, Part, SplitError, SplitOptions, divide};
pub use stats::{Lengths, Overlap, Stats, Window, stats};

use crate::digest;
use crate::formats::{FormatError, LabelledFormat, read_labelled};
use crate::labels::GoldSentence;
use sha2::{Digest, Sha256};
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
    let sentences = read_labelled(path, LabelledFormat::detect(path)?)?;
    let sentences = sentences.map(|labelled| labelled?.gold(path)).collect::<Result<_, _>>()?;
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
