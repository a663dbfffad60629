//! What is kept of a file that is to be divided.

use super::stratify::Group;
use super::{Part, SplitOptions};
use crate::datasets::audit::PHRASE;
use crate::datasets::near_duplicates::{Shingles, each_near_duplicate, words};
use crate::labels::GoldSentence;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What is known of a file.
#[derive(Default)]
pub(super) struct Reading {
    /// Line that a record begins on, and its article's number.
    pub(super) records: Vec<(usize, usize)>,
    articles: Vec<Article>,
    numbers: HashMap<u64, usize>,
    /// Labels and entity types by number.
    pub(super) names: BTreeMap<Name, usize>,
    /// Article of each text of `shingles`.
    article_of: Vec<usize>,
    shingles: Shingles,
    /// Articles that have the same text.
    pairs: Vec<(usize, usize)>,
    /// The first article with a text, by its hash.
    first: HashMap<u64, usize>,
}

#[derive(Default)]
struct Article {
    key: u64,
    size: usize,
    /// Sorted by label.
    labels: Vec<(usize, usize)>,
    date: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Label(String),
    NoLabel,
    Entity(String),
}

/// Articles that stay together.
pub(super) struct Tied {
    /// The first of them.
    pub(super) owner: usize,
    pub(super) articles: usize,
    pub(super) group: Group,
    /// Dates of the oldest and of the newest.
    pub(super) dates: Option<(String, String)>,
}

impl Reading {
    pub(super) fn note(
        &mut self,
        line: usize,
        sentence: &GoldSentence,
        options: &SplitOptions,
    ) -> Result<(), String> {
        let date = options.date_field.as_ref().map(|field| date(sentence, field)).transpose()?;
        let number = self.article(sentence, options.seed);
        if self.records.last().is_none_or(|(last, _)| *last != line) {
            self.records.push((line, number));
        }
        let labels: BTreeSet<&String> = sentence.labels.iter().flatten().collect();
        let names = labels.into_iter().map(|label| Name::Label(label.clone()));
        let none = sentence.labels.as_ref().filter(|labels| labels.is_empty()).map(|_| Name::NoLabel);
        let entities = sentence.entities.iter().flatten().map(|entity| Name::Entity(entity.label.clone()));
        let article = &mut self.articles[number];
        for name in names.chain(none).chain(entities) {
            let new = self.names.len();
            add(&mut article.labels, *self.names.entry(name).or_insert(new), 1);
        }
        article.size += 1;
        article.date = date.max(article.date.take());
        if options.similarity.is_some() {
            self.note_text(number, &sentence.text);
        }
        Ok(())
    }

    /// The number of a sentence's article; a sentence without one is one of its own.
    fn article(&mut self, sentence: &GoldSentence, seed: u64) -> usize {
        let new = self.articles.len();
        let name = sentence.article.as_ref();
        let key = xxh3_64_with_seed(name.unwrap_or(&sentence.text).as_bytes(), seed);
        let number = if name.is_some() { *self.numbers.entry(key).or_insert(new) } else { new };
        if number == new {
            self.articles.push(Article { key, ..Article::default() });
        }
        number
    }

    fn note_text(&mut self, article: usize, text: &str) {
        let words = words(text);
        if words.len() < PHRASE {
            return;
        }
        let first = *self.first.entry(xxh3_64_with_seed(words.join(" ").as_bytes(), 0)).or_insert(article);
        if first != article {
            self.pairs.push((first, article));
            return;
        }
        self.article_of.push(article);
        self.shingles.push(&words);
    }

    /// For each article the first of those it stays together with, and how many stay with others.
    pub(super) fn owners(&mut self, similarity: Option<f64>) -> (Vec<usize>, usize) {
        let mut forest = Forest { parents: (0..self.articles.len()).collect() };
        self.first = HashMap::new();
        std::mem::take(&mut self.pairs).into_iter().for_each(|(a, b)| forest.join(a, b));
        if let Some(similarity) = similarity {
            let article_of = &self.article_of;
            each_near_duplicate(&self.shingles, similarity, &mut |early, late, _| {
                forest.join(article_of[early], article_of[late]);
            });
        }
        self.shingles = Shingles::default();
        let owners: Vec<usize> = (0..self.articles.len()).map(|article| forest.root(article)).collect();
        let mut members = vec![0; owners.len()];
        owners.iter().for_each(|&owner| members[owner] += 1);
        let tied = members.into_iter().filter(|&count| count > 1).sum();
        (owners, tied)
    }

    pub(super) fn groups(&self, owners: &[usize]) -> Vec<Tied> {
        let mut number_of = HashMap::new();
        let mut groups: Vec<Tied> = Vec::new();
        for (article, &owner) in self.articles.iter().zip(owners) {
            let number = *number_of.entry(owner).or_insert(groups.len());
            if number == groups.len() {
                let group = Group { size: 0, labels: Vec::new(), lot: article.key };
                groups.push(Tied { owner, articles: 0, group, dates: None });
            }
            let tied = &mut groups[number];
            tied.articles += 1;
            tied.group.size += article.size;
            article.labels.iter().for_each(|&(label, count)| add(&mut tied.group.labels, label, count));
            if let Some(date) = &article.date {
                let (oldest, newest) = tied.dates.take().unwrap_or_else(|| (date.clone(), date.clone()));
                tied.dates = Some((oldest.min(date.clone()), newest.max(date.clone())));
            }
        }
        groups
    }

    pub(super) fn parts(&self, groups: &[Tied], part_of: &[usize], parts: usize) -> Vec<Part> {
        let mut names: Vec<&Name> = self.names.keys().collect();
        names.sort_by_key(|name| self.names[*name]);
        let mut parts = vec![Part::default(); parts];
        for (tied, &part) in groups.iter().zip(part_of) {
            let part = &mut parts[part];
            part.articles += tied.articles;
            part.sentences += tied.group.size;
            for &(label, count) in &tied.group.labels {
                match names[label] {
                    Name::Label(name) => *part.labels.entry(name.clone()).or_default() += count,
                    Name::Entity(name) => *part.entities.entry(name.clone()).or_default() += count,
                    Name::NoLabel => part.without_label += count,
                }
            }
            if let Some((old, new)) = tied.dates.clone() {
                let (oldest, newest) = part.dates.take().unwrap_or_else(|| (old.clone(), new.clone()));
                part.dates = Some((oldest.min(old), newest.max(new)));
            }
        }
        parts
    }
}

/// Adds to a count in a list that is sorted by label.
fn add(counts: &mut Vec<(usize, usize)>, label: usize, count: usize) {
    match counts.binary_search_by_key(&label, |(label, _)| *label) {
        Ok(at) => counts[at].1 += count,
        Err(at) => counts.insert(at, (label, count)),
    }
}

/// The date in a field: a year, month and day at least, so that texts sort as dates do.
fn date(sentence: &GoldSentence, field: &str) -> Result<String, String> {
    let told = "dates are written as in 2024-05-31 or 2024-05-31T09:00:00Z";
    match sentence.fields.get(field) {
        Some(serde_json::Value::String(date)) if is_date(date) => Ok(date.clone()),
        Some(other) => Err(format!("`{field}` is {other}, which is no date; {told}")),
        None => Err(format!("there is no `{field}`; {told}")),
    }
}

fn is_date(text: &str) -> bool {
    let day = text.as_bytes().get(..10);
    let fits =
        |(i, byte): (usize, &u8)| if matches!(i, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() };
    day.is_some_and(|day| day.iter().enumerate().all(fits))
}

/// Disjoint sets; the root of one is its smallest member.
struct Forest {
    parents: Vec<usize>,
}

impl Forest {
    fn root(&mut self, mut item: usize) -> usize {
        while self.parents[item] != item {
            self.parents[item] = self.parents[self.parents[item]];
            item = self.parents[item];
        }
        item
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}
