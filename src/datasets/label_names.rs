//! What the names and counts of labels give away.

use super::findings::{Finding, FindingKind, Place};
use std::collections::{BTreeMap, HashMap};

/// How many times more frequent a label must be for another to pass as its misspelling.
const FAR_MORE: usize = 20;
/// Letters from which on two may be wrong; below, one.
const LONG: usize = 7;
/// Letters below which names are codes, not words.
const SHORT: usize = 3;

/// A label or an entity type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Label(String),
    Entity(String),
}

impl Name {
    fn text(&self) -> &str {
        match self {
            Self::Label(name) | Self::Entity(name) => name,
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Label(name) => format!("label `{name}`"),
            Self::Entity(name) => format!("entity type `{name}`"),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Label(_), Self::Label(_)) | (Self::Entity(_), Self::Entity(_)))
    }
}

/// Sentences or entities with a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tally {
    /// By split.
    pub(super) counts: Vec<usize>,
    /// Where the first one is.
    pub(super) first: Place,
}

impl Tally {
    fn total(&self) -> usize {
        self.counts.iter().sum()
    }
}

/// What is wrong with names and counts. `splits` are the splits' names, the first being the one that models learn from.
pub(super) fn findings(names: &BTreeMap<Name, Tally>, splits: &[String], min_count: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Where a wrong column is taken for the labels there are as many of them as sentences, and no time to compare all with all.
    let key = |name: &Name| (matches!(name, Name::Label(_)), folded(name.text()));
    let mut alike: HashMap<_, Vec<(&Name, &Tally)>> = HashMap::new();
    names.iter().for_each(|named| alike.entry(key(named.0)).or_default().push(named));
    let frequent: Vec<(&Name, &Tally)> =
        names.iter().filter(|(_, tally)| tally.total() >= FAR_MORE).collect();
    for (name, tally) in names {
        let mut note = |kind, reason: String| {
            let place = tally.first;
            findings.push(Finding { kind, place, other: None, similarity: None, reason: reason.into() });
        };
        let (told, total) = (name.told(), tally.total());
        // Of a pair, the less frequent one is told, and of two equally frequent ones the later.
        let clash = alike[&key(name)].iter().find(|(other, more)| (more.total(), name) > (total, other));
        let typo = frequent.iter().find(|(other, more)| {
            more.total() >= FAR_MORE * total
                && other.is_like(name)
                && is_misspelling(name.text(), other.text())
        });
        if let Some((other, more)) = clash {
            let (other, more) = (other.text(), more.total());
            let reason = format!("{told} ({total}) and `{other}` ({more}) are two labels; make them one");
            note(FindingKind::LabelClash, reason);
        } else if let Some((other, more)) = typo {
            let (other, more) = (other.text(), more.total());
            let reason = format!("{told} ({total}) may be misspelt: there is `{other}` ({more})");
            note(FindingKind::LabelTypo, reason);
        } else if name.text().trim().is_empty() {
            note(FindingKind::LabelTypo, format!("{told} ({total}) is empty; \"none\" is written []"));
        }
        let train = tally.counts[0];
        if train > 0 && train < min_count {
            let reason =
                format!("{told} has {train} in {}; fewer than {min_count} teach a model little", splits[0]);
            note(FindingKind::RareLabel, reason);
        }
        let without = splits.iter().zip(&tally.counts).filter(|(_, count)| **count == 0);
        let without: Vec<&str> = without.map(|(split, _)| split.as_str()).collect();
        if !without.is_empty() {
            note(FindingKind::MissingLabel, format!("{told} ({total}) is not in {}", without.join(", ")));
        }
    }
    findings
}

/// A name without case, and without the spaces, hyphens and underscores between its letters; "-1" and "C++" keep their signs.
fn folded(name: &str) -> String {
    let letters: Vec<char> = name.trim().chars().flat_map(char::to_lowercase).collect();
    let joins = |i: usize| {
        let (before, after) = (i.checked_sub(1).map(|i| letters[i]), letters.get(i + 1));
        matches!(letters[i], ' ' | '-' | '_')
            && before.is_some_and(char::is_alphanumeric)
            && after.is_some_and(|c| c.is_alphabetic())
    };
    (0..letters.len()).filter(|&i| !joins(i)).map(|i| letters[i]).collect()
}

fn is_misspelling(name: &str, of: &str) -> bool {
    let lengths = (name.chars().count(), of.chars().count());
    let letters = lengths.0.min(lengths.1);
    let wrong = if letters < LONG { 1 } else { 2 };
    letters >= SHORT
        && lengths.0.abs_diff(lengths.1) <= wrong
        && !name.chars().any(char::is_numeric)
        && strsim::damerau_levenshtein(&name.to_lowercase(), &of.to_lowercase()) <= wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[(Name, &[usize])]) -> Vec<(FindingKind, String)> {
        let first = Place { file: 0, line: 1, sentence: 1 };
        let tallies =
            names.iter().map(|(name, counts)| (name.clone(), Tally { counts: counts.to_vec(), first }));
        let splits: Vec<String> = (0..names[0].1.len()).map(|i| format!("split {i}")).collect();
        let findings = findings(&tallies.collect(), &splits, 50);
        findings.into_iter().map(|finding| (finding.kind, finding.reason.into_owned())).collect()
    }

    fn label(name: &str) -> Name {
        Name::Label(name.into())
    }

    #[test]
    fn a_rare_label_that_is_almost_a_frequent_one_is_a_typo() {
        let found = found(&[
            (label("condemnation"), &[900]),
            (label("condmenation"), &[2]),
            (label("praise"), &[90]),
        ]);
        let typo = "label `condmenation` (2) may be misspelt: there is `condemnation` (900)";
        assert_eq!(found[0], (FindingKind::LabelTypo, typo.to_owned()));
        assert_eq!(
            found.iter().map(|f| f.0).collect::<Vec<_>>(),
            [FindingKind::LabelTypo, FindingKind::RareLabel]
        );
    }

    #[test]
    fn labels_that_differ_in_case_or_hyphens_clash_however_frequent_both_are() {
        let found = found(&[(label("no-label"), &[300]), (label("No label"), &[200])]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, FindingKind::LabelClash);
        assert!(found[0].1.contains("`No label` (200) and `no-label` (300)"), "{found:?}");
    }

    #[test]
    fn signs_and_numbers_tell_labels_apart() {
        let names = ["-1", "1", "+1", "C", "C++", "1-2", "12"];
        let names: Vec<(Name, &[usize])> = names.iter().map(|name| (label(name), &[300][..])).collect();
        assert_eq!(found(&names), []);
        assert_eq!(folded(" No-Label "), folded("no_label"));
    }

    #[test]
    fn codes_and_entity_types_of_other_letters_are_not_typos() {
        let entity = |name: &str| Name::Entity(name.into());
        let names: [(Name, &[usize]); 6] = [
            (label("0"), &[5000]),
            (label("1"), &[60]),
            (label("class10"), &[5000]),
            (label("class11"), &[60]),
            (entity("PER"), &[5000]),
            (entity("ORG"), &[60]),
        ];
        assert_eq!(found(&names), []);
        assert_eq!(found(&[(entity("PER"), &[5000]), (entity("PERS"), &[60])])[0].0, FindingKind::LabelTypo);
        assert_eq!(found(&[(label("PER"), &[5000]), (entity("PERS"), &[60])]), []);
    }

    #[test]
    fn as_many_labels_as_sentences_take_no_long_time() {
        let first = Place { file: 0, line: 1, sentence: 1 };
        let text = |i: usize| format!("Sentence number {i} taken for a label, {}", "word ".repeat(20));
        let tallies = (0..20_000).map(|i| (label(&text(i)), Tally { counts: vec![1], first })).collect();
        let started = std::time::Instant::now();
        assert_eq!(findings(&tallies, &["train".to_owned()], 0), []);
        // A second or two without optimisation; every label against every other took minutes.
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }

    #[test]
    fn labels_that_a_split_lacks_are_told_with_the_split() {
        let found = found(&[(label("threat"), &[80, 0, 2]), (label("praise"), &[0, 1, 1])]);
        let kinds: Vec<FindingKind> = found.iter().map(|f| f.0).collect();
        assert_eq!(kinds, [FindingKind::MissingLabel; 2]);
        assert_eq!(found[0].1, "label `praise` (2) is not in split 0");
    }
}
