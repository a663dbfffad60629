use super::findings::{Finding, FindingKind, Place};
use super::label_names::{self, Name, Tally};
use super::near_duplicates::{Shingles, each_near_duplicate, words};
use crate::formats::{FormatError, LabelledFormat, LabelledOptions, read_labelled};
use crate::labels::{GoldEntity, GoldSentence};
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_64;

/// Words below which a text is a phrase (a dateline, a byline): it comes again without having been copied.
pub(super) const PHRASE: usize = 6;

/// A part of a corpus that must share nothing with the others, such as what models learn from or are tested on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What it is called.
    pub name: String,
    /// Its labelled files.
    pub files: Vec<PathBuf>,
}

/// How an audit judges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AuditOptions {
    /// Jaccard similarity of word 3-shingles, above 0 and up to 1, from which on texts are near-duplicates.
    pub similarity: f64,
    /// Examples below which a label counts as rare.
    pub min_count: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        // On 22,661 sentences of news, pairs from 0.6 on are one sentence retouched or rows of one table; below 0.5
        // most only share a turn of phrase. Of spaCy's `debug data` is 50.
        Self { similarity: 0.6, min_count: 50 }
    }
}

/// What was found in a corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Its files; a [`Place`] counts them.
    pub files: Vec<PathBuf>,
    /// Sentences that could be read.
    pub sentences: usize,
    /// What is wrong, by kind and then by place.
    pub findings: Vec<Finding>,
}

/// Looks through a corpus, read as `labelled` says. The files are read once; of a sentence only hashes are kept, about four
/// bytes a word.
///
/// # Errors
/// If a file cannot be read. What is wrong with a record is a finding.
pub fn audit(
    splits: &[Split],
    labelled: &LabelledOptions,
    options: &AuditOptions,
) -> Result<Audit, FormatError> {
    let mut auditor = Auditor { splits: splits.len(), ..Auditor::default() };
    let files: Vec<PathBuf> = splits.iter().flat_map(|split| split.files.clone()).collect();
    for (split, index) in splits.iter().zip(0..) {
        for path in &split.files {
            let format = labelled.format_of(path)?;
            let mut place = Place { file: auditor.split_of.len() as u32, line: 0, sentence: 0 };
            auditor.split_of.push(index);
            for sentence in read_labelled(path, LabelledOptions { format: Some(format), ..labelled.clone() })?
            {
                let sentence = sentence?;
                place.advance(sentence.line);
                match sentence.sentence {
                    Ok(sentence) => auditor.note(place, &sentence, format),
                    Err(flaws) => auditor.findings.extend(flaws.into_iter().map(|flaw| Finding {
                        kind: flaw.kind.into(),
                        place: Place { line: flaw.line as u32, sentence: 0, ..place },
                        other: None,
                        similarity: None,
                        reason: flaw.reason.into(),
                    })),
                }
            }
            if place.line == 0 {
                auditor.findings.push(Finding {
                    kind: FindingKind::NoSentences,
                    place: Place { line: 1, ..place },
                    other: None,
                    similarity: None,
                    reason: "there is no sentence in the file".into(),
                });
            }
        }
    }
    let names: Vec<String> = splits.iter().map(|split| split.name.clone()).collect();
    let (sentences, findings) = auditor.finish(&names, options);
    Ok(Audit { files, sentences, findings })
}

/// The texts at some places, each read again from its file as `labelled` says.
///
/// # Errors
/// If a file cannot be read.
pub fn texts(
    files: &[PathBuf],
    places: &BTreeSet<Place>,
    labelled: &LabelledOptions,
) -> Result<HashMap<Place, String>, FormatError> {
    let mut texts = HashMap::new();
    for (file, path) in (0..).zip(files) {
        let whole_file = Place { file, line: 0, sentence: 0 }..Place { file: file + 1, line: 0, sentence: 0 };
        let Some(last) = places.range(whole_file).next_back() else { continue };
        let mut place = Place { file, line: 0, sentence: 0 };
        for sentence in read_labelled(path, labelled.clone())? {
            let sentence = sentence?;
            place.advance(sentence.line);
            if let Ok(sentence) = sentence.sentence
                && places.contains(&place)
            {
                texts.insert(place, sentence.text);
            }
            if place > *last {
                break;
            }
        }
    }
    Ok(texts)
}

impl Place {
    /// The place of the next sentence of the file, which begins on a line.
    pub(super) fn advance(&mut self, line: usize) {
        let line = line as u32;
        self.sentence = if self.line == line { self.sentence + 1 } else { 1 };
        self.line = line;
    }
}

/// What is known so far.
#[derive(Default)]
struct Auditor {
    splits: usize,
    /// By file.
    split_of: Vec<usize>,
    findings: Vec<Finding>,
    /// By sentence that could be read.
    places: Vec<Place>,
    shingles: Shingles,
    /// Sentences that are phrases.
    phrases: HashSet<u32>,
    /// The first sentence with the words of a text, by their hash.
    first: HashMap<u64, u32>,
    answers: Vec<Answer>,
    /// The first and the last place of an article, by the hash of its name.
    articles: HashMap<u64, (Place, Place)>,
    names: BTreeMap<Name, Tally>,
}

/// What a text was given, as hashes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    /// The very text and what sort of answer it is.
    question: u64,
    sentence: u32,
    answer: u64,
}

impl Auditor {
    fn note(&mut self, place: Place, sentence: &GoldSentence, format: LabelledFormat) {
        let split = self.split_of[place.file as usize];
        let number = self.places.len() as u32;
        self.places.push(place);
        self.note_names(place, split, sentence);
        self.note_answers(number, sentence);
        if let Some(article) = &sentence.article
            && format != LabelledFormat::Conll
        {
            self.note_article(place, article, format);
        }
        let words = words(&sentence.text);
        let key = if words.is_empty() { sentence.text.trim().to_owned() } else { words.join(" ") };
        match self.first.entry(xxh3_64(key.as_bytes())) {
            Entry::Vacant(entry) => {
                entry.insert(number);
                self.shingles.push(&words);
                if words.len() < PHRASE {
                    self.phrases.insert(number);
                }
            }
            Entry::Occupied(entry) => {
                // Files of one split follow each other, so the first one is in this split only if all are.
                let other = self.places[*entry.get() as usize];
                let (kind, reason) = match split == self.split_of[other.file as usize] {
                    true => (FindingKind::Duplicate, "the text is there twice"),
                    false if words.len() < PHRASE => {
                        (FindingKind::PhraseLeak, "the phrase is in another split too")
                    }
                    false => (FindingKind::Leak, "the text is in another split too"),
                };
                self.findings.push(pair(kind, place, other, None, reason));
                self.shingles.push(&[]);
            }
        }
    }

    fn note_names(&mut self, place: Place, split: usize, sentence: &GoldSentence) {
        let labels: BTreeSet<&String> = sentence.labels.iter().flatten().collect();
        let labels = labels.into_iter().map(|label| Name::Label(label.clone()));
        let entities = sentence.entities.iter().flatten().map(|entity| Name::Entity(entity.label.clone()));
        for name in labels.chain(entities) {
            let none = || Tally { counts: vec![0; self.splits], first: place };
            self.names.entry(name).or_insert_with(none).counts[split] += 1;
        }
    }

    fn note_answers(&mut self, sentence: u32, gold: &GoldSentence) {
        let text = xxh3_64(gold.text.as_bytes());
        let labels = gold.labels.as_ref().map(|labels| {
            let mut labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            labels.sort_unstable();
            labels.dedup();
            labels.join("\n")
        });
        let entities = gold.entities.as_ref().map(|entities| {
            let told = |e: &GoldEntity| format!("{} {} {}\n", e.span.start, e.span.end, e.label);
            entities.iter().map(told).collect::<String>()
        });
        for (sort, answer) in [labels, entities].iter().enumerate() {
            if let Some(answer) = answer {
                let question = text.wrapping_add(sort as u64);
                self.answers.push(Answer { question, sentence, answer: xxh3_64(answer.as_bytes()) });
            }
        }
    }

    fn note_article(&mut self, place: Place, article: &str, format: LabelledFormat) {
        let (first, last) = self.articles.entry(xxh3_64(article.as_bytes())).or_insert((place, place));
        let split = |place: &Place| self.split_of[place.file as usize];
        let line = Place { sentence: 0, ..place };
        if split(last) != split(&place) {
            let reason = format!("article `{article}` is in another split too");
            self.findings.push(pair(FindingKind::ArticleLeak, line, *first, None, reason));
        } else if format == LabelledFormat::Articles && (last.file, last.line) != (place.file, place.line) {
            let reason = format!("there are two articles `{article}`");
            self.findings.push(pair(FindingKind::RepeatedArticle, line, *first, None, reason));
        }
        *last = place;
    }

    fn finish(mut self, splits: &[String], options: &AuditOptions) -> (usize, Vec<Finding>) {
        self.findings.extend(label_names::findings(&self.names, splits, options.min_count));
        self.first = HashMap::new();
        self.contradictions();
        self.near_duplicates(options.similarity);
        self.findings.sort_by_key(|finding| (finding.kind, finding.place, finding.other));
        (self.places.len(), self.findings)
    }

    fn contradictions(&mut self) {
        let mut answers = std::mem::take(&mut self.answers);
        answers.sort_unstable();
        let mut contradicting = BTreeMap::new();
        for same in answers.chunk_by(|a, b| a.question == b.question) {
            let unlike = same.iter().filter(|later| later.answer != same[0].answer);
            contradicting.extend(unlike.map(|later| (later.sentence, same[0].sentence)));
        }
        for (later, first) in contradicting {
            let (place, other) = (self.places[later as usize], self.places[first as usize]);
            let reason = "the very same text is labelled otherwise";
            self.findings.push(pair(FindingKind::Contradiction, place, other, None, reason));
        }
    }

    fn near_duplicates(&mut self, threshold: f64) {
        let split = |text: usize| self.split_of[self.places[text].file as usize];
        // The most similar earlier text of every text, and of equally similar ones the first; one of another split goes
        // before all of its own.
        let mut nearest: BTreeMap<usize, (bool, f64, usize)> = BTreeMap::new();
        each_near_duplicate(&self.shingles, threshold, &mut |early, late, similarity| {
            let new = (split(early) != split(late), similarity, early);
            let best = nearest.entry(late).or_insert(new);
            if (new.0, new.1, best.2) > (best.0, best.1, new.2) {
                *best = new;
            }
        });
        for (text, (leaks, similarity, early)) in nearest {
            let phrase = [text, early].iter().any(|&text| self.phrases.contains(&(text as u32)));
            let (kind, reason) = match leaks {
                true if phrase => (FindingKind::PhraseLeak, "almost the same phrase is in another split"),
                true => (FindingKind::NearLeak, "almost the same text is in another split"),
                false => (FindingKind::NearDuplicate, "almost the same text is there twice"),
            };
            self.findings.push(pair(kind, self.places[text], self.places[early], Some(similarity), reason));
        }
    }
}

fn pair(
    kind: FindingKind,
    place: Place,
    other: Place,
    similarity: Option<f64>,
    reason: impl Into<Cow<'static, str>>,
) -> Finding {
    Finding { kind, place, other: Some(other), similarity, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Findings of files with the given contents, each a split; `(kind, file, line, other line)`.
    fn found(contents: &[&str]) -> Vec<(FindingKind, u32, u32, Option<u32>)> {
        let folder = tempfile::tempdir().unwrap();
        let splits: Vec<Split> = (0..contents.len())
            .map(|i| {
                let path = folder.path().join(i.to_string());
                std::fs::write(&path, contents[i]).unwrap();
                Split { name: i.to_string(), files: vec![path] }
            })
            .collect();
        let options = AuditOptions { min_count: 0, ..AuditOptions::default() };
        let audit = audit(&splits, &LabelledOptions::default(), &options).unwrap();
        let told = |f: &Finding| (f.kind, f.place.file, f.place.line, f.other.map(|o| o.line));
        audit.findings.iter().map(told).collect()
    }

    const LONG: &str =
        "The minister said on Monday that the talks in Geneva would go on for another week at least";

    fn sentence(text: &str, label: &str) -> String {
        format!("{}\n", serde_json::json!({"text": text, "label": label}))
    }

    #[test]
    fn what_two_splits_share_is_a_leak_and_what_one_has_twice_a_duplicate() {
        let retouched = LONG.replace("Monday", "Friday");
        let train =
            sentence(LONG, "x") + &sentence("GENEVA 1999", "x") + &sentence(&format!("“{LONG}!”"), "x");
        let test =
            sentence(&retouched, "x") + &sentence("Geneva, 1999", "x") + &sentence(&LONG.to_uppercase(), "x");
        assert_eq!(
            found(&[&train, &test]),
            [
                (FindingKind::Leak, 1, 3, Some(1)),
                (FindingKind::NearLeak, 1, 1, Some(1)),
                (FindingKind::PhraseLeak, 1, 2, Some(2)),
                (FindingKind::Duplicate, 0, 3, Some(1)),
            ]
        );
    }

    #[test]
    fn a_phrase_that_is_almost_in_another_split_is_no_more_an_error_than_one_that_is() {
        let train = sentence("Police said on Monday night", "x");
        let test = sentence("Police said on Monday night again", "x");
        assert_eq!(found(&[&train, &test]), [(FindingKind::PhraseLeak, 1, 1, Some(1))]);
    }

    #[test]
    fn a_label_that_a_sentence_has_twice_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, "{\"text\":\"One.\",\"labels\":[\"x\",\"x\"]}\n").unwrap();
        let splits = [Split { name: "train".into(), files: vec![path] }];
        let audit = audit(&splits, &LabelledOptions::default(), &AuditOptions::default()).unwrap();
        let reasons: Vec<&str> = audit.findings.iter().map(|finding| &*finding.reason).collect();
        assert_eq!(reasons, ["label `x` has 1 in train; fewer than 50 teach a model little"]);
    }

    #[test]
    fn a_file_without_sentences_is_no_clean_one() {
        assert_eq!(
            found(&["\n", "{\n"]),
            [(FindingKind::NoSentences, 0, 1, None), (FindingKind::Malformed, 1, 1, None)]
        );
    }

    #[test]
    fn every_bad_record_is_told_and_the_good_ones_are_compared() {
        let content =
            format!("{{\n{}{{\"text\":\" \",\"label\":\"x\"}}\n{}", sentence(LONG, "x"), sentence(LONG, "y"));
        let kinds = [
            (FindingKind::Malformed, 0, 1, None),
            (FindingKind::EmptyText, 0, 3, None),
            (FindingKind::Contradiction, 0, 4, Some(2)),
            (FindingKind::Duplicate, 0, 4, Some(2)),
        ];
        assert_eq!(found(&[&content]), kinds);
    }

    #[test]
    fn the_order_of_labels_and_another_case_are_no_contradiction() {
        let labels = |text: &str, labels: &str| format!("{{\"text\":\"{text}\",\"labels\":{labels}}}\n");
        let content = labels("Will he go?", r#"["a","b"]"#)
            + &labels("Will he go?", r#"["b","a"]"#)
            + &labels("will he go", r#"[]"#);
        assert!(found(&[&content]).iter().all(|found| found.0 == FindingKind::Duplicate));
    }

    #[test]
    fn an_article_in_two_splits_is_told_once_a_split_and_one_on_two_lines_too() {
        let article = |id: &str, texts: [&str; 2]| {
            let sentences = texts.map(|text| serde_json::json!({"text": text}));
            format!("{}\n", serde_json::json!({"id": id, "sentences": sentences}))
        };
        let train = article("a", ["One.", "Two."]) + &article("a", ["Three.", "Four."]);
        let test = article("a", ["Five.", "Six."]);
        assert_eq!(
            found(&[&train, &test]),
            [(FindingKind::ArticleLeak, 1, 1, Some(1)), (FindingKind::RepeatedArticle, 0, 2, Some(1))]
        );
    }

    #[test]
    fn texts_are_read_again_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, "{\"id\":\"a\",\"sentences\":[{\"text\":\"One.\"},{\"text\":\"Two.\"}]}\n")
            .unwrap();
        let place = Place { file: 0, line: 1, sentence: 2 };
        assert_eq!(
            texts(&[path], &BTreeSet::from([place]), &LabelledOptions::default()).unwrap()[&place],
            "Two."
        );
    }
}
