//! From tag probabilities to entities: the likeliest legal sequence of tags, then its spans.

use crate::labels::{Scheme, decode, encode};
use crate::text::{Entity, Span};
use std::collections::{BTreeMap, BTreeSet};

/// The tag of words outside every entity.
const OUTSIDE: &str = "O";

/// The tags of a model: what its labels stand for and which may follow which.
///
/// IOB1, IOB2, BIOES (or BILOU, BMES) and types without marks (IO) are told apart by the labels alone, marks before the
/// type (`B-PER`) or behind it (`PER-B`). IOB1 and IO forbid nothing: an entity begins wherever its type does. A set
/// with every `B-` is read as IOB2.
pub(super) struct TagSet {
    /// Per label `O`, or `B-`, `I-`, `E-` or `S-` and a type.
    tags: Vec<String>,
    kinds: Vec<String>,
    /// Per label those of an entity that it may go on, ascending.
    continued: Vec<Vec<usize>>,
    begins: Vec<bool>,
    closes: Vec<bool>,
}

/// What one label stands for: `B`, `I`, `E`, `S` or `O`, and the entity type.
type Tag<'a> = (char, &'a str);

impl TagSet {
    /// Reads a model's labels.
    pub(super) fn new(labels: &[String]) -> Self {
        let read = meanings(labels);
        let mut sorted = read.clone();
        sorted.sort_unstable_by_key(|&(mark, kind)| (kind, mark));
        let name = |&(mark, kind): &Tag| match mark {
            'O' => OUTSIDE.to_owned(),
            _ => format!("{mark}-{kind}"),
        };
        // All tags as one sentence, `B-` before `I-`: an `I-` without its `B-` begins an entity there, as in IOB1.
        let scheme = Scheme::detect([sorted.iter().map(name).collect::<Vec<_>>().as_slice()]);
        let there: BTreeSet<&Tag> = read.iter().collect();
        let has = |mark: char, kind: &str| there.contains(&(mark, kind));
        // A type that lacks the mark that the scheme asks for makes do with those it has.
        let begins = |&(mark, kind): &Tag| match mark {
            'I' | 'E' => scheme == Scheme::Iob1 || !has('B', kind),
            _ => true,
        };
        let closes = |&(mark, kind): &Tag| match mark {
            'B' => !has('S', kind) || !(has('I', kind) || has('E', kind)),
            'I' => !has('E', kind),
            _ => true,
        };
        let mut open: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (label, (mark, kind)) in read.iter().enumerate() {
            if matches!(mark, 'B' | 'I') {
                open.entry(kind).or_default().push(label);
            }
        }
        let continued = |&(mark, kind): &Tag| match mark {
            'I' | 'E' => open.get(kind).cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut kinds: Vec<String> =
            sorted.iter().filter(|(mark, _)| *mark != 'O').map(|(_, kind)| (*kind).to_owned()).collect();
        kinds.dedup();
        Self {
            tags: read.iter().map(name).collect(),
            kinds,
            continued: read.iter().map(continued).collect(),
            begins: read.iter().map(begins).collect(),
            closes: read.iter().map(closes).collect(),
        }
    }

    /// The entity types, sorted.
    pub(super) fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// The label of every word: the likeliest legal sequence (Viterbi over the words' probabilities). A word without a
    /// piece gets `None`.
    pub(super) fn best(&self, words: &[Option<Vec<f32>>]) -> Vec<Option<usize>> {
        let seen: Vec<(usize, &Vec<f32>)> =
            words.iter().enumerate().filter_map(|(i, word)| word.as_ref().map(|p| (i, p))).collect();
        let log = |p: f32| f64::from(p.max(1e-30)).ln();
        let mut scores: Vec<f64> = Vec::new();
        let mut back: Vec<Vec<usize>> = Vec::with_capacity(seen.len());
        for (step, (_, probabilities)) in seen.iter().enumerate() {
            let mut next = Vec::with_capacity(self.tags.len());
            let mut from = Vec::with_capacity(self.tags.len());
            let closed = likeliest((0..scores.len()).filter(|&tag| self.closes[tag]), &scores);
            for tag in 0..self.tags.len() {
                let (origin, score) = if step == 0 {
                    (0, if self.begins[tag] { 0.0 } else { f64::NEG_INFINITY })
                } else {
                    let continued = likeliest(self.continued[tag].iter().copied(), &scores);
                    let before = continued.into_iter().chain(closed.filter(|_| self.begins[tag]));
                    // Of equals the first, as if all had been gone through in order.
                    let best = before.reduce(|a, b| if (b.1, a.0) > (a.1, b.0) { b } else { a });
                    best.unwrap_or((0, f64::NEG_INFINITY))
                };
                next.push(score + log(probabilities[tag]));
                from.push(origin);
            }
            scores = next;
            back.push(from);
        }
        let mut best = vec![None; words.len()];
        if let Some((mut tag, _)) = likeliest((0..scores.len()).filter(|&tag| self.closes[tag]), &scores) {
            for (step, (word, _)) in seen.iter().enumerate().rev() {
                best[*word] = Some(tag);
                tag = back[step][tag];
            }
        }
        best
    }

    /// Entities of a labelled sentence, in bytes, scored by the mean probability of their words' labels; and the same
    /// entities as one IOB2 tag per word.
    ///
    /// A word without a label is passed over: an entity may go on behind it.
    pub(super) fn entities(
        &self,
        labels: &[Option<usize>],
        probabilities: &[Option<Vec<f32>>],
        words: &[Span],
    ) -> (Vec<Entity>, Vec<String>) {
        let labelled = labels.iter().zip(probabilities).enumerate();
        let seen: Vec<(usize, usize, f32)> = labelled
            .filter_map(|(word, (label, p))| label.zip(p.as_ref()).map(|(label, p)| (word, label, p[label])))
            .collect();
        let spans = decode(&seen.iter().map(|&(_, label, _)| &self.tags[label]).collect::<Vec<_>>());
        let mut tags = vec![OUTSIDE.to_owned(); words.len()];
        for (&(word, ..), tag) in seen.iter().zip(encode(&spans, seen.len())) {
            tags[word] = tag;
        }
        let entities = spans.into_iter().map(|found| {
            let (start, end) = (seen[found.start].0, seen[found.end - 1].0);
            let total: f32 = seen[found.start..found.end].iter().map(|(.., p)| p).sum();
            Entity {
                label: found.label,
                span: Span::new(words[start].start, words[end].end),
                score: total / (found.end - found.start) as f32,
            }
        });
        (entities.collect(), tags)
    }
}

/// The first tag with the highest score.
fn likeliest(tags: impl Iterator<Item = usize>, scores: &[f64]) -> Option<(usize, f64)> {
    tags.map(|tag| (tag, scores[tag])).reduce(|best, other| if other.1 > best.1 { other } else { best })
}

/// What every label stands for. Where no label has a `B` or `I`, all but `O` are types, each as if behind an `I-`; else
/// a label without a mark stands for its type if another names that type, and for nothing (`[CLS]`, `X`) if not.
fn meanings(labels: &[String]) -> Vec<Tag<'_>> {
    let styles: [fn(&str) -> Option<Tag<'_>>; 3] = [
        |label| label.split_once('-').and_then(|(letters, kind)| marked(letters, kind)),
        |label| label.rsplit_once('-').and_then(|(kind, letters)| marked(letters, kind)),
        |label| marked(label, "_"), // as seqeval names the type of a bare mark
    ];
    let fit =
        |style: &fn(&str) -> Option<Tag<'_>>| labels.iter().filter(|label| style(label).is_some()).count();
    // The first of equals.
    let style = styles.into_iter().reduce(|best, style| if fit(&style) > fit(&best) { style } else { best });
    let read: Vec<Option<Tag>> = labels.iter().map(|label| style.and_then(|style| style(label))).collect();
    let has_marks = read.iter().flatten().any(|(mark, _)| matches!(mark, 'B' | 'I'));
    let types: BTreeSet<&str> = read.iter().flatten().map(|(_, kind)| *kind).collect();
    let pairs = labels.iter().zip(&read);
    pairs
        .map(|(label, tag)| match tag {
            _ if label == OUTSIDE => ('O', ""),
            Some(tag) if has_marks => *tag,
            _ if !has_marks || types.contains(label.as_str()) => ('I', label.as_str()),
            _ => ('O', ""),
        })
        .collect()
}

/// The mark that a letter names: `M`, `L` and `U` are what BMES and BILOU call `I`, `E` and `S`.
fn marked<'a>(letter: &str, kind: &'a str) -> Option<Tag<'a>> {
    let mark = match letter {
        "B" => 'B',
        "I" | "M" => 'I',
        "E" | "L" => 'E',
        "S" | "U" => 'S',
        _ => return None,
    };
    (!kind.is_empty()).then_some((mark, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(names: &[&str]) -> TagSet {
        TagSet::new(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
    }

    fn spans(n: usize) -> Vec<Span> {
        (0..n).map(|i| Span::new(2 * i, 2 * i + 1)).collect()
    }

    /// IOB2 tags of words whose likeliest labels are `line`.
    fn iob2(names: &[&str], line: &str) -> String {
        let certain = |label: &str| {
            let at = names.iter().position(|name| *name == label).unwrap();
            Some((0..names.len()).map(|i| if i == at { 0.9 } else { 0.1 / names.len() as f32 }).collect())
        };
        let words: Vec<Option<Vec<f32>>> = line.split(' ').map(certain).collect();
        let set = set(names);
        let (entities, tags) = set.entities(&set.best(&words), &words, &spans(words.len()));
        assert_eq!(entities.len(), decode(&tags).len());
        tags.join(" ")
    }

    #[test]
    fn an_orphan_continuation_is_resolved_by_the_whole_sequence() {
        let set = set(&["O", "B-PER", "I-PER"]);
        // Word by word: O, I-PER; together B-PER, I-PER is likelier than O, B-PER.
        let words = vec![Some(vec![0.5, 0.4, 0.1]), Some(vec![0.05, 0.05, 0.9])];
        let best = set.best(&words);
        assert_eq!(best, [Some(1), Some(2)]);
        let (found, tags) = set.entities(&best, &words, &spans(2));
        assert_eq!((found.len(), found[0].span), (1, Span::new(0, 3)));
        assert!((found[0].score - 0.65).abs() < 1e-6);
        assert_eq!(tags, ["B-PER", "I-PER"]);
    }

    #[test]
    fn touching_entities_of_one_type_stay_two() {
        assert_eq!(iob2(&["O", "B-LOC", "I-LOC"], "B-LOC B-LOC I-LOC"), "B-LOC B-LOC I-LOC");
    }

    #[test]
    fn an_entity_goes_on_behind_a_word_without_a_piece() {
        let set = set(&["O", "B-PER", "I-PER"]);
        let words = vec![Some(vec![0.0, 1.0, 0.0]), None, Some(vec![0.0, 0.0, 1.0])];
        let (found, tags) = set.entities(&set.best(&words), &words, &spans(3));
        assert_eq!((found.len(), found[0].span), (1, Span::new(0, 5)));
        assert_eq!(tags, ["B-PER", "O", "I-PER"]);
    }

    #[test]
    fn last_and_single_words_of_bioes_and_its_kin_are_understood() {
        let bioes = ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "S-LOC"];
        assert_eq!(iob2(&bioes, "B-PER E-PER S-PER O S-LOC"), "B-PER I-PER B-PER O B-LOC");
        assert_eq!(iob2(&bioes, "B-PER I-PER E-PER B-PER E-PER"), "B-PER I-PER I-PER B-PER I-PER");
        let bilou = ["O", "B-PER", "I-PER", "L-PER", "U-PER"];
        assert_eq!(iob2(&bilou, "B-PER L-PER U-PER O"), "B-PER I-PER B-PER O");
        assert_eq!(iob2(&["B-P", "M-P", "E-P", "S-P", "O"], "B-P M-P E-P S-P"), "B-P I-P I-P B-P");
        // Without single words in the set a first word may stand alone.
        assert_eq!(iob2(&["O", "B-PER", "I-PER", "E-PER"], "B-PER O"), "B-PER O");
    }

    #[test]
    fn an_unfinished_bioes_entity_is_resolved_by_the_whole_sequence() {
        let set = set(&["O", "B-PER", "E-PER", "S-PER"]);
        // Word by word: B-PER, O, which leaves the entity open.
        let words = vec![Some(vec![0.1, 0.5, 0.0, 0.4]), Some(vec![0.9, 0.0, 0.1, 0.0])];
        assert_eq!(set.best(&words), [Some(3), Some(0)]);
        assert_eq!(set.best(&words[..1]), [Some(3)]);
    }

    #[test]
    fn an_entity_of_iob1_or_io_begins_without_b() {
        assert_eq!(iob2(&["O", "I-PER", "I-LOC"], "I-PER I-PER I-LOC O"), "B-PER I-PER B-LOC O");
        let iob1 = ["O", "I-PER", "I-LOC", "B-LOC"];
        assert_eq!(iob2(&iob1, "I-LOC B-LOC I-LOC I-PER"), "B-LOC B-LOC I-LOC B-PER");
    }

    #[test]
    fn types_without_marks_are_entities() {
        assert_eq!(iob2(&["O", "PER", "LOC"], "PER PER O LOC PER"), "B-PER I-PER O B-LOC B-PER");
        assert_eq!(set(&["O", "PER", "E-mail"]).kinds(), ["E-mail", "PER"]);
        assert_eq!(iob2(&["O", "B", "I"], "B I B O"), "B-_ I-_ B-_ O");
    }

    #[test]
    fn marks_may_stand_behind_the_type() {
        let suffixed = ["O", "PER-B", "PER-I", "B-LOC-B"];
        assert_eq!(iob2(&suffixed, "PER-B PER-I PER-B O"), "B-PER I-PER B-PER O");
        assert_eq!(set(&suffixed).kinds(), ["B-LOC", "PER"]);
        assert_eq!(iob2(&["O", "PER-S", "PER-B", "PER-E"], "PER-B PER-E PER-S"), "B-PER I-PER B-PER");
    }

    #[test]
    fn labels_that_are_no_tags_stay_outside_beside_tags() {
        assert_eq!(iob2(&["O", "B-PER", "I-PER", "[CLS]", "X"], "[CLS] B-PER X B-PER"), "O B-PER O B-PER");
    }

    #[test]
    fn a_hundred_thousand_tags_are_no_burden() {
        let names: Vec<String> = (0..50_000).flat_map(|i| [format!("B-{i}"), format!("I-{i}")]).collect();
        let set = TagSet::new(&names);
        let certain = |at: usize| {
            let mut probabilities = vec![0.0; names.len()];
            probabilities[at] = 1.0;
            Some(probabilities)
        };
        assert_eq!(set.best(&[certain(14), certain(15), certain(8)]), [Some(14), Some(15), Some(8)]);
    }

    proptest! {
        #[test]
        fn any_probabilities_give_a_legal_sequence_and_ordered_entities(
            words in prop::collection::vec(prop::option::of(prop::collection::vec(0.0f32..1.0, 5)), 0..20),
            names in prop::sample::select(vec![
                ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
                ["O", "B-PER", "I-PER", "E-PER", "S-PER"],
                ["O", "I-PER", "PER", "LOC-B", "B-LOC"],
            ]),
        ) {
            let set = set(&names);
            let best = set.best(&words);
            let mut before: Option<usize> = None;
            for (tag, word) in best.iter().zip(&words) {
                prop_assert_eq!(tag.is_some(), word.is_some());
                if let Some(tag) = *tag {
                    let follows = |before: usize| {
                        set.continued[tag].contains(&before) || set.closes[before] && set.begins[tag]
                    };
                    prop_assert!(before.map_or(set.begins[tag], follows));
                    before = Some(tag);
                }
            }
            prop_assert!(before.is_none_or(|last| set.closes[last]));
            let (found, tags) = set.entities(&best, &words, &spans(words.len()));
            prop_assert_eq!(tags.len(), words.len());
            prop_assert!(found.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
            prop_assert!(found.iter().all(|e| (0.0..=1.0).contains(&e.score)));
        }
    }
}
