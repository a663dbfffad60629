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
use crate::formats::{FormatError, LabelledOptions, brat_documents, read_labelled};
use crate::labels::GoldSentence;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A labelled file and what identifies it.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Where it was read from.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal; of a folder, of the bytes of its documents in order.
    pub sha256: String,
    /// Its sentences in order.
    pub sentences: Vec<GoldSentence>,
}

/// Reads a labelled file, or a folder of brat's documents, in any [format](crate::formats::LabelledFormat), told from its
/// name and its first records.
///
/// # Errors
/// If it cannot be read or a record is malformed, with file and line.
pub fn load(path: &Path) -> Result<Dataset, FormatError> {
    load_with(path, LabelledOptions::default())
}

/// Reads a labelled file as the options say.
///
/// # Errors
/// If it cannot be read or a record is malformed, with file and line.
pub fn load_with(path: &Path, options: LabelledOptions) -> Result<Dataset, FormatError> {
    let sentences = read_labelled(path, options)?;
    let sentences = sentences.map(|labelled| labelled?.gold(path)).collect::<Result<_, _>>()?;
    let sha256 = sha256(path)?;
    Ok(Dataset { path: path.to_owned(), sha256, sentences })
}

/// The part, from 0, that a sentence belongs to when its corpus is cut into `of` parts; sentences of one article stay
/// together, one without an article goes by its text.
pub fn fold(sentence: &GoldSentence, of: usize) -> usize {
    let digest = Sha256::digest(sentence.article.as_ref().unwrap_or(&sentence.text));
    let number = digest.iter().take(8).fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    (number % of.max(1) as u64) as usize
}

/// SHA-256 of a file's bytes, in hexadecimal; of a folder of brat's, of the bytes of its documents in order.
///
/// # Errors
/// If it cannot be read.
pub fn sha256(path: &Path) -> Result<String, FormatError> {
    hash(path).map_err(|source| FormatError::File { path: path.to_owned(), source })
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let marks = path.with_extension("ann");
    if path.is_dir() || path.extension().is_some_and(|end| end == "txt" || end == "ann") && marks.is_file() {
        for text in brat_documents(path)? {
            digest::add_file(&mut hash, &text)?;
            digest::add_file(&mut hash, &text.with_extension("ann"))?;
        }
    } else {
        digest::add_file(&mut hash, path)?;
    }
    Ok(digest::hexadecimal(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Contents;

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

    #[test]
    fn a_data_set_tells_whether_its_sentences_have_one_label_each() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let dataset = load(&path).unwrap();
            let labels: Vec<Vec<String>> =
                dataset.sentences.iter().map(|s| s.labels.clone().unwrap_or_default()).collect();
            (labels.join(&"|".to_owned()).concat(), Contents::of(&dataset.sentences).single_label())
        };
        assert_eq!(read("a.tsv", "They met.\t0\nNo one.\t1\n"), ("0|1".into(), true));
        assert_eq!(read("b.tsv", "They met.\t1010\nNo one.\t0000\nAll.\t0001\n"), ("02||3".into(), false));
        assert_eq!(read("c.csv", "text,label\nThey met.,x\nNo one.,y\n"), ("x|y".into(), true));
        assert_eq!(read("d.csv", "text,labels\nThey met.,x;y\nNo one.,\n"), ("xy|".into(), false));
        assert_eq!(
            read("e.jsonl", "{\"sentence\":\"a\",\"label\":1}\n{\"sentence\":\"b\",\"label\":0}"),
            ("1|0".into(), true)
        );
        assert_eq!(read("f.jsonl", "{\"text\":\"a\",\"label\":[]}"), ("".into(), false));
    }

    #[test]
    fn the_hash_of_a_document_covers_its_marks() {
        let folder = tempfile::tempdir().unwrap();
        let (text, marks) = (folder.path().join("a.txt"), folder.path().join("a.ann"));
        std::fs::write(&text, "In Lima.").unwrap();
        std::fs::write(&marks, "T1\tLOC 3 7\tLima\n").unwrap();
        let first = load(folder.path()).unwrap();
        assert_eq!(first.sha256, load(&text).unwrap().sha256);
        std::fs::write(&marks, "").unwrap();
        assert_ne!(first.sha256, load(folder.path()).unwrap().sha256);
    }
}
