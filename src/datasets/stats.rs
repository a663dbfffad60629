use super::audit::Split;
use crate::formats::{FormatError, LabelledFormat, LabelledOptions, read_labelled};
use crate::labels::GoldSentence;
use crate::tokens::{Tokenizer, TokenizerError, split_words};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The pieces that a model sees of a sentence.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Pieces that it reads at once, without those that it adds itself.
    pub pieces: usize,
}

/// What is in a split.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Sentences that could be read.
    pub sentences: usize,
    /// Sentences that something is wrong with; they count nowhere else.
    pub bad: usize,
    /// Articles that sentences name.
    pub articles: usize,
    /// Words a sentence: those of the corpus, else as running text is cut for models.
    pub words: Lengths,
    /// Pieces a sentence, if a window was given.
    pub pieces: Lengths,
    /// Sentences that do not fit into the window.
    pub over_window: usize,
    /// Sentences annotated with labels, be it none.
    pub labelled: usize,
    /// Those of them that have none.
    pub without_label: usize,
    /// Sentences by label.
    pub labels: BTreeMap<String, usize>,
    /// Sentences by two labels that they have both, in alphabetical order.
    pub pairs: BTreeMap<(String, String), usize>,
    /// Sentences annotated with entities, be it none.
    pub with_entities: usize,
    /// Entities by type.
    pub entities: BTreeMap<String, usize>,
    /// Entities by text and type.
    forms: HashMap<String, BTreeMap<String, usize>>,
}

/// How long things are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lengths {
    /// How many have a length.
    counts: BTreeMap<usize, usize>,
}

/// How much of a split's entities another one has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Entities.
    pub mentions: usize,
    /// Those whose text the other split has with the same type.
    pub mentions_seen: usize,
    /// Those whose text the other split has with other types only.
    pub mentions_seen_otherwise: usize,
    /// Different texts, by type.
    pub forms: usize,
    /// Those that the other split has with the same type.
    pub forms_seen: usize,
}

/// Counts what is in a split, read as `labelled` says. Of the sentences nothing is kept, of entities each text once.
///
/// # Errors
/// If a file cannot be read, or the tokenizer fails on a text.
pub fn stats(
    split: &Split,
    labelled: &LabelledOptions,
    window: Option<Window<'_>>,
) -> Result<Stats, FormatError> {
    let mut stats = Stats::default();
    let mut articles = HashSet::new();
    for path in &split.files {
        let mut texts = Vec::new();
        let count =
            |texts: &mut Vec<(usize, String)>, stats: &mut Stats| match window {
                Some(window) => count_pieces(texts, window, stats).map_err(|(line, error)| {
                    FormatError::Line { path: path.clone(), line, reason: error.to_string() }
                }),
                None => Ok(()),
            };
        let format = labelled.format_of(path)?;
        // Documents of columns have no name but their number in the file.
        let seed =
            if format == LabelledFormat::Conll { xxh3_64(path.as_os_str().as_encoded_bytes()) } else { 0 };
        for read in read_labelled(path, LabelledOptions { format: Some(format), ..labelled.clone() })? {
            let read = read?;
            let Ok(sentence) = read.sentence else {
                stats.bad += 1;
                continue;
            };
            stats.note(&sentence);
            articles.extend(sentence.article.map(|article| xxh3_64_with_seed(article.as_bytes(), seed)));
            if window.is_some() {
                texts.push((read.line, sentence.text));
            }
            if texts.len() >= BATCH {
                count(&mut texts, &mut stats)?;
            }
        }
        count(&mut texts, &mut stats)?;
    }
    stats.articles = articles.len();
    Ok(stats)
}

/// Sentences that are cut into pieces together.
const BATCH: usize = 8192;

/// Cuts texts into pieces, on all processors, and empties the list. An error comes with the line of its text.
fn count_pieces(
    texts: &mut Vec<(usize, String)>,
    window: Window<'_>,
    stats: &mut Stats,
) -> Result<(), (usize, TokenizerError)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = |(line, text): &(usize, String)| {
        let pieces = window.tokenizer.pieces(text).map_err(|error| (*line, error))?;
        Ok(pieces.ids.len())
    };
    let counted: Vec<Result<Vec<usize>, _>> = std::thread::scope(|scope| {
        let parts = texts.chunks(texts.len().div_ceil(threads).max(1));
        let running: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(count).collect())).collect();
        running.into_iter().map(|thread| thread.join().expect("tokenizers do not panic")).collect()
    });
    for part in counted {
        for pieces in part? {
            stats.pieces.note(pieces);
            stats.over_window += usize::from(pieces > window.pieces);
        }
    }
    texts.clear();
    Ok(())
}

impl Stats {
    fn note(&mut self, sentence: &GoldSentence) {
        self.sentences += 1;
        self.words.note(sentence.words.as_ref().map_or_else(|| split_words(&sentence.text).len(), Vec::len));
        if let Some(labels) = &sentence.labels {
            let labels: BTreeSet<&String> = labels.iter().collect();
            self.labelled += 1;
            self.without_label += usize::from(labels.is_empty());
            for label in &labels {
                *self.labels.entry((*label).clone()).or_default() += 1;
                for other in labels.range::<&String, _>(label..).skip(1) {
                    *self.pairs.entry(((*label).clone(), (*other).clone())).or_default() += 1;
                }
            }
        }
        if let Some(entities) = &sentence.entities {
            self.with_entities += 1;
            for entity in entities {
                *self.entities.entry(entity.label.clone()).or_default() += 1;
                let text = entity.span.of(&sentence.text).unwrap_or_default();
                let types = self.forms.entry(text.to_owned()).or_default();
                *types.entry(entity.label.clone()).or_default() += 1;
            }
        }
    }

    /// How much of these entities is in another split, by type.
    pub fn overlap(&self, other: &Stats) -> BTreeMap<String, Overlap> {
        let mut overlaps: BTreeMap<String, Overlap> = BTreeMap::new();
        for (text, types) in &self.forms {
            let known = other.forms.get(text);
            for (label, &count) in types {
                let overlap = overlaps.entry(label.clone()).or_default();
                overlap.mentions += count;
                overlap.forms += 1;
                match known {
                    Some(known) if known.contains_key(label) => {
                        overlap.mentions_seen += count;
                        overlap.forms_seen += 1;
                    }
                    Some(_) => overlap.mentions_seen_otherwise += count,
                    None => {}
                }
            }
        }
        overlaps
    }
}

impl std::ops::Add for Overlap {
    type Output = Overlap;

    fn add(self, other: Overlap) -> Overlap {
        Overlap {
            mentions: self.mentions + other.mentions,
            mentions_seen: self.mentions_seen + other.mentions_seen,
            mentions_seen_otherwise: self.mentions_seen_otherwise + other.mentions_seen_otherwise,
            forms: self.forms + other.forms,
            forms_seen: self.forms_seen + other.forms_seen,
        }
    }
}

impl Lengths {
    fn note(&mut self, length: usize) {
        *self.counts.entry(length).or_default() += 1;
    }

    fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// Sum of all lengths.
    pub fn sum(&self) -> usize {
        self.counts.iter().map(|(length, count)| length * count).sum()
    }

    /// Mean length; `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.sum() as f64 / self.total() as f64)
    }

    /// The smallest length that a share of all does not exceed; `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<usize> {
        let wanted = (self.total() as f64 * share).ceil() as usize;
        let mut seen = 0;
        let reached = |(&length, count): (&usize, &usize)| {
            seen += count;
            (seen >= wanted).then_some(length)
        };
        self.counts.iter().find_map(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::testing::tiny_tokenizer_json;
    use proptest::prelude::*;

    fn split(content: &str) -> (tempfile::TempDir, Split) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, content).unwrap();
        (folder, Split { name: "data".into(), files: vec![path] })
    }

    fn of(content: &str) -> Stats {
        let (_folder, split) = split(content);
        stats(&split, &LabelledOptions::default(), None).unwrap()
    }

    #[test]
    fn labels_are_counted_alone_and_together() {
        let stats = of(concat!(
            "{\"text\":\"a man.\",\"article\":\"n\",\"labels\":[\"y\",\"x\",\"x\"]}\n{\n",
            "{\"text\":\"c\",\"article\":\"n\",\"labels\":[]}\n{\"text\":\"d\",\"entities\":[]}\n"
        ));
        assert_eq!((stats.sentences, stats.bad, stats.articles, stats.words.sum()), (3, 1, 1, 5));
        assert_eq!((stats.labelled, stats.without_label, stats.with_entities), (2, 1, 1));
        assert_eq!(stats.labels, BTreeMap::from([("x".into(), 1), ("y".into(), 1)]));
        assert_eq!(stats.pairs, BTreeMap::from([(("x".into(), "y".into()), 1)]));
    }

    #[test]
    fn documents_of_two_files_of_columns_are_not_one() {
        let (_folder, mut split) = split("-DOCSTART- O\n\nLima B-LOC\n");
        let other = split.files[0].with_file_name("other");
        std::fs::write(&other, "-DOCSTART- O\n\nOslo B-LOC\n\n-DOCSTART- O\n\nMay B-PER\n").unwrap();
        split.files.push(other);
        assert_eq!(stats(&split, &LabelledOptions::default(), None).unwrap().articles, 3);
    }

    #[test]
    fn entities_are_seen_with_their_type_or_with_another() {
        let train = of("Lima B-LOC\nis O\n\nMay B-PER\n");
        let test = of("Lima B-LOC\nLima B-LOC\nMay B-LOC\nOslo B-LOC\n");
        let overlap = test.overlap(&train);
        let expected =
            Overlap { mentions: 4, mentions_seen: 2, mentions_seen_otherwise: 1, forms: 3, forms_seen: 1 };
        assert_eq!(overlap, BTreeMap::from([("LOC".into(), expected)]));
    }

    #[test]
    fn a_sentence_over_the_window_is_counted() {
        let tokenizer = Tokenizer::parse(&tiny_tokenizer_json().0, None).unwrap();
        let (_folder, split) = split("may O\n\nmay O\nmay O\nmay O\n");
        let window = Window { tokenizer: &tokenizer, pieces: 2 };
        let stats = stats(&split, &LabelledOptions::default(), Some(window)).unwrap();
        assert_eq!((stats.pieces.sum(), stats.pieces.quantile(0.5), stats.over_window), (4, Some(1), 1));
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_lengths(mut lengths in prop::collection::vec(0usize..30, 1..40), share in 0.01f64..=1.0) {
            let mut counted = Lengths::default();
            lengths.iter().for_each(|&length| counted.note(length));
            lengths.sort_unstable();
            let rank = (lengths.len() as f64 * share).ceil() as usize;
            prop_assert_eq!(counted.quantile(share), Some(lengths[rank - 1]));
            prop_assert_eq!(counted.sum(), lengths.iter().sum::<usize>());
        }
    }
}
