//! From tag probabilities to entities: the likeliest legal sequence of tags, then its spans.

use crate::text::{Entity, Span};

/// The tag of words outside every entity.
pub(super) const OUTSIDE: &str = "O";

/// The entity type of a tag: what stands behind the first hyphen. `None` for `O` and for tags without a type.
pub(super) fn kind(tag: &str) -> Option<&str> {
    tag.split_once('-').map(|(_, kind)| kind)
}

/// True if `tag` may follow `before` under IOB2: an `I-X` continues a `B-X` or an `I-X`.
fn follows(before: Option<&str>, tag: &str) -> bool {
    !tag.starts_with("I-") || before.is_some_and(|before| before != OUTSIDE && kind(before) == kind(tag))
}

/// The tag of every word: the likeliest sequence without an `I-X` that continues nothing (Viterbi over the words'
/// probabilities). Label sets that have such tags by design (IOB1, IO: some `I-X` without its `B-X`) are taken word by
/// word. A word without a piece gets `None`.
pub(super) fn best_tags(labels: &[String], words: &[Option<Vec<f32>>]) -> Vec<Option<usize>> {
    let legal_scheme = labels.iter().all(|tag| match tag.strip_prefix("I-") {
        Some(kind) => labels.iter().any(|other| other.strip_prefix("B-") == Some(kind)),
        None => true,
    });
    if !legal_scheme {
        return words.iter().map(|word| word.as_deref().and_then(best)).collect();
    }
    let seen: Vec<(usize, &Vec<f32>)> =
        words.iter().enumerate().filter_map(|(i, word)| word.as_ref().map(|p| (i, p))).collect();
    let log = |p: f32| f64::from(p.max(1e-30)).ln();
    let mut scores: Vec<f64> = Vec::new();
    let mut back: Vec<Vec<usize>> = Vec::with_capacity(seen.len());
    for (step, (_, probabilities)) in seen.iter().enumerate() {
        let mut next = Vec::with_capacity(labels.len());
        let mut from = Vec::with_capacity(labels.len());
        for (tag, label) in labels.iter().enumerate() {
            let (origin, score) = if step == 0 {
                (0, if follows(None, label) { 0.0 } else { f64::NEG_INFINITY })
            } else {
                (0..labels.len())
                    .filter(|&before| follows(Some(&labels[before]), label))
                    .map(|before| (before, scores[before]))
                    .reduce(|best, other| if other.1 > best.1 { other } else { best })
                    .unwrap_or((0, f64::NEG_INFINITY))
            };
            next.push(score + log(probabilities[tag]));
            from.push(origin);
        }
        scores = next;
        back.push(from);
    }
    let mut tags = vec![None; words.len()];
    let last = (0..scores.len()).reduce(|best, tag| if scores[tag] > scores[best] { tag } else { best });
    if let Some(mut tag) = last {
        for (step, (word, _)) in seen.iter().enumerate().rev() {
            tags[*word] = Some(tag);
            tag = back[step][tag];
        }
    }
    tags
}

fn best(probabilities: &[f32]) -> Option<usize> {
    (0..probabilities.len()).reduce(|best, i| if probabilities[i] > probabilities[best] { i } else { best })
}

/// Entities of a tagged sentence, in bytes, scored by the mean probability of their words' tags.
///
/// A word continues an entity if its tag is an `I-` of the same type; anything else with a type begins one.
pub(super) fn entities(
    labels: &[String],
    tags: &[Option<usize>],
    probabilities: &[Option<Vec<f32>>],
    words: &[Span],
) -> Vec<Entity> {
    let mut found: Vec<(Entity, f32)> = Vec::new();
    let mut open = false;
    for ((tag, word), probabilities) in tags.iter().zip(words).zip(probabilities) {
        let Some((tag, p)) = tag.zip(probabilities.as_ref()) else { continue };
        let Some(kind) = kind(&labels[tag]) else {
            open = false;
            continue;
        };
        match found.last_mut() {
            Some((entity, count)) if open && labels[tag].starts_with("I-") && entity.label == kind => {
                entity.span.end = word.end;
                entity.score += p[tag];
                *count += 1.0;
            }
            _ => found.push((Entity { label: kind.to_owned(), span: *word, score: p[tag] }, 1.0)),
        }
        open = true;
    }
    found.into_iter().map(|(entity, count)| Entity { score: entity.score / count, ..entity }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn spans(n: usize) -> Vec<Span> {
        (0..n).map(|i| Span::new(2 * i, 2 * i + 1)).collect()
    }

    #[test]
    fn an_orphan_continuation_is_resolved_by_the_whole_sequence() {
        let labels = labels(&["O", "B-PER", "I-PER"]);
        // Word by word: O, I-PER; together B-PER, I-PER is likelier than O, B-PER.
        let words = vec![Some(vec![0.5, 0.4, 0.1]), Some(vec![0.05, 0.05, 0.9])];
        let tags = best_tags(&labels, &words);
        assert_eq!(tags, [Some(1), Some(2)]);
        let found = entities(&labels, &tags, &words, &spans(2));
        assert_eq!((found.len(), found[0].span), (1, Span::new(0, 3)));
        assert!((found[0].score - 0.65).abs() < 1e-6);
    }

    #[test]
    fn touching_entities_of_one_type_stay_two() {
        let labels = labels(&["O", "B-LOC", "I-LOC"]);
        let words = vec![Some(vec![0.0, 1.0, 0.0]), Some(vec![0.0, 1.0, 0.0]), Some(vec![0.0, 0.0, 1.0])];
        let found = entities(&labels, &best_tags(&labels, &words), &words, &spans(3));
        assert_eq!(found.iter().map(|e| e.span).collect::<Vec<_>>(), [Span::new(0, 1), Span::new(2, 5)]);
    }

    #[test]
    fn a_scheme_without_b_tags_is_read_word_by_word() {
        let labels = labels(&["O", "I-PER"]);
        let words = vec![Some(vec![0.1, 0.9]), Some(vec![0.2, 0.8]), Some(vec![0.9, 0.1])];
        let found = entities(&labels, &best_tags(&labels, &words), &words, &spans(3));
        assert_eq!(found[0].span, Span::new(0, 3));
    }

    proptest! {
        #[test]
        fn any_probabilities_give_a_legal_sequence_and_ordered_entities(
            words in prop::collection::vec(prop::option::of(prop::collection::vec(0.0f32..1.0, 5)), 0..20)
        ) {
            let labels = labels(&["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]);
            let tags = best_tags(&labels, &words);
            let mut before = None;
            for (tag, word) in tags.iter().zip(&words) {
                prop_assert_eq!(tag.is_some(), word.is_some());
                if let Some(tag) = tag {
                    prop_assert!(follows(before, &labels[*tag]));
                    before = Some(&labels[*tag]);
                }
            }
            let found = entities(&labels, &tags, &words, &spans(words.len()));
            prop_assert!(found.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
            prop_assert!(found.iter().all(|e| (0.0..=1.0).contains(&e.score)));
        }
    }
}
