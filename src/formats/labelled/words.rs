//! Words and tags: what lies between running text and formats that know words alone.

use crate::labels::{GoldEntity, GoldSentence, TagSpan, decode, encode};
use crate::text::Span;
use crate::tokens::split_words;

/// The words of a sentence, cut further where an entity begins or ends inside one, so that tags can tell every entity.
///
/// They are the sentence's own words if these cover its text, else those of [`split_words`].
pub(super) fn words(sentence: &GoldSentence) -> Vec<Span> {
    let GoldSentence { text, words, entities, .. } = sentence;
    let own = words.as_ref().filter(|words| covers(text, words));
    let words = own.cloned().unwrap_or_else(|| split_words(text));
    let bounds: Vec<usize> =
        entities.iter().flatten().flat_map(|entity| [entity.span.start, entity.span.end]).collect();
    words.into_iter().flat_map(|word| cut(text, word, &bounds)).collect()
}

/// IOB2 tags of words from [`words`]; of entities with a type that a tag cannot name, none.
pub(super) fn tags(words: &[Span], entities: &[GoldEntity]) -> Vec<String> {
    let spans = entities.iter().filter(|entity| !entity.label.is_empty()).map(|entity| TagSpan {
        start: words.partition_point(|word| word.start < entity.span.start),
        end: words.partition_point(|word| word.end <= entity.span.end),
        label: entity.label.clone(),
    });
    encode(&spans.collect::<Vec<_>>(), words.len())
}

/// The entities that tags tell of.
pub(super) fn entities(words: &[Span], tags: &[String]) -> Vec<GoldEntity> {
    let entities = decode(tags).into_iter().map(|found| GoldEntity {
        span: Span::new(words[found.start].start, words[found.end - 1].end),
        label: found.label,
    });
    entities.collect()
}

/// Where words stand in a text that has nothing but white space between them; else the first that is not there.
pub(super) fn align(text: &str, words: &[String]) -> Result<Vec<Span>, usize> {
    let mut at = 0;
    let mut spans = Vec::with_capacity(words.len());
    for (i, word) in words.iter().enumerate() {
        if !text[at..].starts_with(word.as_str()) {
            at = text.len() - text[at..].trim_start().len();
        }
        if !text[at..].starts_with(word.as_str()) {
            return Err(i);
        }
        spans.push(Span::new(at, at + word.len()));
        at += word.len();
    }
    Ok(spans)
}

/// True if the words stand in order with nothing but white space before, between, behind and at the ends of them.
fn covers(text: &str, words: &[Span]) -> bool {
    let mut end = 0;
    words.iter().all(|word| {
        let gap = text.get(end..word.start);
        end = word.end;
        let whole = word.of(text).is_some_and(|word| !word.is_empty() && word.trim() == word);
        whole && gap.is_some_and(|gap| gap.trim().is_empty())
    }) && text.get(end..).is_some_and(|rest| rest.trim().is_empty())
}

fn cut(text: &str, word: Span, bounds: &[usize]) -> Vec<Span> {
    let inside = |&bound: &usize| word.start < bound && bound < word.end;
    let mut ends: Vec<usize> = bounds.iter().copied().filter(inside).chain([word.end]).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut start = word.start;
    let pieces = ends.into_iter().filter_map(|end| {
        let slice = &text[start..end];
        let from = start + (slice.len() - slice.trim_start().len());
        start = end;
        let piece = Span::new(from, from + text[from..end].trim_end().len());
        (!piece.is_empty()).then_some(piece)
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(text: &str, spans: &[(usize, usize)]) -> GoldSentence {
        let entity =
            |&(start, end): &(usize, usize)| GoldEntity { label: "X".into(), span: Span::new(start, end) };
        GoldSentence {
            text: text.into(),
            entities: Some(spans.iter().map(entity).collect()),
            ..GoldSentence::default()
        }
    }

    fn texts(sentence: &GoldSentence) -> Vec<&str> {
        words(sentence).into_iter().filter_map(|word| word.of(&sentence.text)).collect()
    }

    #[test]
    fn words_are_cut_where_an_entity_begins_or_ends() {
        let gold = sentence("The Paris-based firm", &[(4, 9)]);
        assert_eq!(texts(&gold), ["The", "Paris", "-based", "firm"]);
        let words = words(&gold);
        let tags = tags(&words, gold.entities.as_ref().unwrap());
        assert_eq!(tags, ["O", "B-X", "O", "O"]);
        assert_eq!(Some(entities(&words, &tags)), gold.entities);
    }

    #[test]
    fn own_words_that_leave_out_text_are_not_used() {
        let mut gold = sentence("a b c", &[]);
        gold.words = Some(vec![Span::new(0, 1), Span::new(4, 5)]);
        assert_eq!(texts(&gold), ["a", "b", "c"]);
        gold.words = Some(vec![Span::new(0, 3), Span::new(4, 5)]);
        assert_eq!(texts(&gold), ["a b", "c"]);
    }

    #[test]
    fn words_are_found_in_their_text_or_the_first_missing_is_told() {
        let words = ["a".to_owned(), "b".to_owned()];
        assert_eq!(align(" a  b", &words), Ok(vec![Span::new(1, 2), Span::new(4, 5)]));
        assert_eq!(align("a, b", &words), Err(1));
    }
}
