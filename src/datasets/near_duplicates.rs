//! Texts that say the same with a word changed here or there, found without comparing every text with every other.
//!
//! MinHash and banding (Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3): the smallest
//! hash of a set of shingles is the same for two texts with the probability of their Jaccard similarity `s`. Texts that
//! agree in all `rows` hashes of one of `bands` bands, which they do with probability `1 - (1 - s^rows)^bands`, are
//! compared exactly.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use unicode_normalization::UnicodeNormalization;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Words in a shingle. One word changed in a sentence of `n` leaves a similarity of `(n - 5) / (n + 1)`: 0.71 at 20 words.
const SHINGLE: usize = 3;
/// Hashes a text, over all bands.
const HASHES: usize = 144;
/// The share of pairs at the threshold that must be found at least.
const RECALL: f64 = 0.99;
/// Texts of a bucket that one is compared with: those right before it. Keeps a corpus of one template from going quadratic.
const NEIGHBOURS: usize = 64;

/// The words of a text in lower case (NFKC), without punctuation: "Iraq's" and "Iraq 's" have the same. Scripts that set
/// no spaces give every character as a word.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.nfkc().flat_map(char::to_lowercase) {
        if !c.is_alphanumeric() || is_unspaced(c) {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if is_unspaced(c) {
                words.push(c.into());
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Thai to Lao, Burmese, Khmer, Japanese, Chinese.
fn is_unspaced(c: char) -> bool {
    matches!(c as u32, 0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0x20000..=0x3ffff)
}

/// The shingles of many texts as hashes of 32 bits: four bytes a word, which is all that is kept of a text.
#[derive(Debug, Default)]
pub(super) struct Shingles {
    hashes: Vec<u32>,
    /// Where each text's hashes end.
    ends: Vec<usize>,
}

impl Shingles {
    /// Adds a text by its words; one shorter than a shingle is a shingle of its own. No words: near nothing.
    pub(super) fn push(&mut self, words: &[String]) {
        let hashes: Vec<u64> = words.iter().map(|word| xxh3_64(word.as_bytes())).collect();
        let join = |shingle: &[u64]| {
            let joined = shingle.iter().fold(0, |h, word| xxh3_64_with_seed(&word.to_le_bytes(), h));
            (joined >> 32) as u32
        };
        let mut shingles: Vec<u32> = match hashes.len() {
            0 => Vec::new(),
            1..SHINGLE => vec![join(&hashes)],
            _ => hashes.windows(SHINGLE).map(join).collect(),
        };
        shingles.sort_unstable();
        shingles.dedup();
        self.hashes.extend(shingles);
        self.ends.push(self.hashes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn of(&self, text: usize) -> &[u32] {
        let start = text.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.hashes[start..self.ends[text]]
    }

    /// Share of the shingles of either text that both have.
    pub(super) fn similarity(&self, a: usize, b: usize) -> f64 {
        let (a, b) = (self.of(a), self.of(b));
        let (mut i, mut j, mut shared) = (0, 0, 0);
        while i < a.len() && j < b.len() {
            let (x, y) = (a[i], b[j]);
            shared += usize::from(x == y);
            i += usize::from(x <= y);
            j += usize::from(y <= x);
        }
        shared as f64 / (a.len() + b.len() - shared).max(1) as f64
    }
}

/// How the hashes of a text are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Banding {
    bands: usize,
    rows: usize,
}

impl Banding {
    /// The most selective bands that still find 99 of 100 pairs at the threshold: 36 of 4 at 0.6, 20 of 7 at 0.8.
    pub(super) fn for_threshold(threshold: f64) -> Self {
        let bandings = (1..=HASHES).rev().map(|rows| Self { bands: HASHES / rows, rows });
        let mut enough = bandings.filter(|banding| banding.collision(threshold) >= RECALL);
        enough.next().unwrap_or(Self { bands: HASHES, rows: 1 })
    }

    /// Probability that two texts of a similarity are compared.
    fn collision(self, similarity: f64) -> f64 {
        1.0 - (1.0 - similarity.powi(self.rows as i32)).powi(self.bands as i32)
    }
}

/// Calls `visit` with every pair of texts, the earlier one first, that is found at a similarity of at least `threshold`
/// (above 0), and with that similarity. Pairs come in no fixed order and may come twice; which ones come is fixed.
pub(super) fn each_near_duplicate(
    shingles: &Shingles,
    threshold: f64,
    visit: &mut (dyn FnMut(usize, usize, f64) + Send),
) {
    let banding = Banding::for_threshold(threshold);
    let (visit, next) = (Mutex::new(visit), AtomicUsize::new(0));
    let work = || {
        loop {
            let band = next.fetch_add(1, Ordering::Relaxed);
            if band >= banding.bands {
                return;
            }
            for_each_bucket(shingles, banding, band, |bucket| {
                for (i, &(_, late)) in bucket.iter().enumerate() {
                    for &(_, early) in &bucket[i.saturating_sub(NEIGHBOURS)..i] {
                        let similarity = shingles.similarity(early as usize, late as usize);
                        if similarity >= threshold {
                            let mut visit = visit.lock().expect("no visit panics");
                            visit(early as usize, late as usize, similarity);
                        }
                    }
                }
            });
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(banding.bands);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

/// The texts that agree in a band, several together and in order.
fn for_each_bucket(shingles: &Shingles, banding: Banding, band: usize, mut each: impl FnMut(&[(u32, u32)])) {
    let seeds: Vec<u64> = (0..banding.rows).map(|row| mix((band * banding.rows + row) as u64 + 1)).collect();
    let texts = (0..shingles.len()).filter(|&text| !shingles.of(text).is_empty());
    let mut keys: Vec<(u32, u32)> = texts
        .map(|text| {
            let smallest = seeds.iter().map(|seed| {
                let hashes = shingles.of(text).iter().map(|&shingle| mix(u64::from(shingle) ^ seed));
                hashes.min().unwrap_or_default()
            });
            let key = smallest.fold(0, |key, hash| mix(key ^ hash));
            ((key >> 32) as u32, text as u32)
        })
        .collect();
    keys.sort_unstable();
    keys.chunk_by(|a, b| a.0 == b.0).filter(|bucket| bucket.len() > 1).for_each(&mut each);
}

/// The SplitMix64 finaliser (Steele et al. 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn shingles<T: AsRef<str>>(texts: &[T]) -> Shingles {
        let mut shingles = Shingles::default();
        texts.iter().for_each(|text| shingles.push(&words(text.as_ref())));
        shingles
    }

    fn pairs(shingles: &Shingles, threshold: f64) -> BTreeSet<(usize, usize)> {
        let mut pairs = BTreeSet::new();
        each_near_duplicate(shingles, threshold, &mut |early, late, _| {
            pairs.insert((early, late));
        });
        pairs
    }

    #[test]
    fn words_do_not_depend_on_case_punctuation_or_how_they_are_cut() {
        assert_eq!(words("Iraq's “U.S.” envoy"), words("iraq 's \" U . S . \"  ENVOY"));
        assert_eq!(words("ﬁne １２"), ["fine", "12"]);
        assert_eq!(words("和平 talks"), ["和", "平", "talks"]);
        assert!(words("-- ?").is_empty());
    }

    #[test]
    fn one_changed_word_of_twenty_leaves_five_of_seven_shingles() {
        let text: Vec<String> = (0..20).map(|i| format!("w{i}")).collect();
        let mut changed = text.clone();
        changed[10] = "other".into();
        let shingles = shingles(&[text.join(" "), changed.join(" "), "w1 w2".into(), "W1, w2!".into()]);
        assert_eq!(shingles.similarity(0, 1), 15.0 / 21.0);
        assert_eq!((shingles.similarity(2, 3), shingles.similarity(0, 2)), (1.0, 0.0));
        assert_eq!(pairs(&shingles, 0.6), BTreeSet::from([(0, 1), (2, 3)]));
    }

    #[test]
    fn bands_are_as_selective_as_the_threshold_allows() {
        assert_eq!(Banding::for_threshold(0.6), Banding { bands: 36, rows: 4 });
        assert_eq!(Banding::for_threshold(0.8), Banding { bands: 20, rows: 7 });
        assert_eq!(Banding::for_threshold(1.0), Banding { bands: 1, rows: HASHES });
        for percent in 5..=100 {
            let threshold = f64::from(percent) / 100.0;
            assert!(Banding::for_threshold(threshold).collision(threshold) >= RECALL, "{threshold}");
        }
    }

    #[test]
    fn texts_of_a_similarity_collide_as_often_as_the_formula_says() {
        // 400 pairs of sets of 60 that share 30 of 90: similarity 1/3.
        let mut shingles = Shingles::default();
        for pair in 0..400u32 {
            for from in [0, 30] {
                let mut set: Vec<u32> =
                    (from..from + 60).map(|i| (mix(u64::from(pair * 1000 + i)) >> 32) as u32).collect();
                set.sort_unstable();
                shingles.hashes.extend(set);
                shingles.ends.push(shingles.hashes.len());
            }
        }
        let banding = Banding { bands: 36, rows: 4 };
        let mut met = BTreeSet::new();
        for band in 0..banding.bands {
            for_each_bucket(&shingles, banding, band, |bucket| {
                met.extend(bucket.iter().map(|&(_, t)| t / 2))
            });
        }
        let (share, expected) = (met.len() as f64 / 400.0, banding.collision(1.0 / 3.0));
        // Standard deviation of the share: sqrt(0.36 * 0.64 / 400) = 0.024.
        assert!((share - expected).abs() < 0.1, "{share} against {expected}");
    }

    proptest! {
        #[test]
        fn every_pair_found_is_as_similar_as_asked_and_equal_texts_are_always_found(
            texts in prop::collection::vec("[ab]( [abc]){0,6}", 2..12),
            threshold in 0.3f64..1.0,
        ) {
            let shingles = shingles(&texts);
            let found = pairs(&shingles, threshold);
            for late in 0..texts.len() {
                for early in 0..late {
                    let similarity = shingles.similarity(early, late);
                    prop_assert!(similarity >= threshold || !found.contains(&(early, late)));
                    prop_assert!(similarity < 1.0 || found.contains(&(early, late)));
                }
            }
        }
    }
}
