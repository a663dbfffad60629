//! B/I/O tags and the spans they stand for.

/// A run of words with one entity type; words counted from 0, half-open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagSpan {
    /// First word.
    pub start: usize,
    /// One past the last word.
    pub end: usize,
    /// Entity type.
    pub label: String,
}

/// Which marks a corpus uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `B-` only where an entity touches one of its own type before it (the original CoNLL-2003 files).
    Iob1,
    /// `B-` on every first word.
    Iob2,
    /// Also `E-` (or `L-`) on last words and `S-` (or `U-`) on single ones.
    Bioes,
}

impl Scheme {
    /// The scheme of a corpus, from all its sentences. Text without any entity is `Iob2`.
    ///
    /// A corpus is in IOB1 if some entity begins with `I-`.
    pub fn detect<'a>(sentences: impl IntoIterator<Item = &'a [String]>) -> Self {
        let mut scheme = Scheme::Iob2;
        for tags in sentences {
            let mut before = "O";
            for tag in tags {
                let (mark, label) = split(tag);
                match mark {
                    'E' | 'L' | 'S' | 'U' => return Scheme::Bioes,
                    'I' if split(before).0 == 'O' || split(before).1 != label => scheme = Scheme::Iob1,
                    _ => {}
                }
                before = tag;
            }
        }
        scheme
    }
}

/// Mark and type of a tag. `U` and `L` are the BILOU names of `S` and `E`. A bare `B` or `I` has the type `_`, as in
/// seqeval.
fn split(tag: &str) -> (char, &str) {
    let mut chars = tag.chars();
    let mark = match chars.next() {
        Some('U') => 'S',
        Some('L') => 'E',
        Some(c) => c,
        None => 'O',
    };
    let rest = chars.as_str();
    match rest.strip_prefix('-') {
        Some(label) if !label.is_empty() => (mark, label),
        _ => (mark, "_"),
    }
}

/// The entities of a tagged sentence by the rules of conlleval, which seqeval follows by default: an `I-` may begin one.
///
/// Takes any scheme. Never fails: a tag that is no mark ends whatever is open.
pub fn decode<T: AsRef<str>>(tags: &[T]) -> Vec<TagSpan> {
    let mut spans = Vec::new();
    let mut begun = 0;
    let mut before = ('O', "_");
    for i in 0..=tags.len() {
        let now = tags.get(i).map_or(('O', "_"), |tag| split(tag.as_ref()));
        if ends(before, now) {
            spans.push(TagSpan { start: begun, end: i, label: before.1.to_owned() });
        }
        if starts(before, now) {
            begun = i;
        }
        before = now;
    }
    spans
}

fn is_inside((mark, _): (char, &str)) -> bool {
    matches!(mark, 'B' | 'I' | 'E' | 'S')
}

fn ends(before: (char, &str), now: (char, &str)) -> bool {
    is_inside(before)
        && (matches!(before.0, 'E' | 'S')
            || !is_inside(now)
            || matches!(now.0, 'B' | 'S')
            || before.1 != now.1)
}

fn starts(before: (char, &str), now: (char, &str)) -> bool {
    is_inside(now) && (!is_inside(before) || ends(before, now))
}

/// The entities of a sentence in strict IOB2: only what begins with `B-` counts, and an `I-` continues its own type.
pub fn decode_strict<T: AsRef<str>>(tags: &[T]) -> Vec<TagSpan> {
    let mut spans: Vec<TagSpan> = Vec::new();
    let mut open = false;
    for (i, tag) in tags.iter().enumerate() {
        let (mark, label) = split(tag.as_ref());
        match (mark, spans.last_mut()) {
            ('B', _) => {
                spans.push(TagSpan { start: i, end: i + 1, label: label.to_owned() });
                open = true;
            }
            ('I', Some(last)) if open && last.label == label => last.end = i + 1,
            _ => open = false,
        }
    }
    spans
}

/// IOB2 tags of `words` words from spans that do not overlap. Of spans that do, the first in the list wins.
pub fn encode(spans: &[TagSpan], words: usize) -> Vec<String> {
    let mut tags = vec!["O".to_owned(); words];
    for span in spans {
        let range = span.start.min(words)..span.end.min(words);
        if range.is_empty() || tags[range.clone()].iter().any(|tag| tag != "O") {
            continue;
        }
        for word in range {
            let mark = if word == span.start { 'B' } else { 'I' };
            tags[word] = format!("{mark}-{}", span.label);
        }
    }
    tags
}

/// The same entities in IOB2.
pub fn to_iob2<T: AsRef<str>>(tags: &[T]) -> Vec<String> {
    encode(&decode(tags), tags.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn spans(line: &str) -> Vec<(usize, usize, String)> {
        decode(&tags(line)).into_iter().map(|s| (s.start, s.end, s.label)).collect()
    }

    #[test]
    fn conlleval_begins_an_entity_at_an_orphan_i() {
        assert_eq!(spans("O I-PER I-PER O"), [(1, 3, "PER".into())]);
        assert_eq!(spans("B-PER I-LOC"), [(0, 1, "PER".into()), (1, 2, "LOC".into())]);
        assert_eq!(spans("I-PER B-PER"), [(0, 1, "PER".into()), (1, 2, "PER".into())]);
        assert!(decode_strict(&tags("O I-PER I-PER O")).is_empty());
        assert_eq!(decode_strict(&tags("B-PER I-LOC I-PER")).len(), 1);
    }

    #[test]
    fn other_schemes_are_understood() {
        assert_eq!(spans("S-LOC B-PER I-PER E-PER O"), [(0, 1, "LOC".into()), (1, 4, "PER".into())]);
        assert_eq!(spans("U-LOC B-PER L-PER"), [(0, 1, "LOC".into()), (1, 3, "PER".into())]);
        assert_eq!(spans("S-X S-X"), [(0, 1, "X".into()), (1, 2, "X".into())]);
        assert_eq!(to_iob2(&tags("I-ORG O I-PER B-PER")), tags("B-ORG O B-PER B-PER"));
    }

    #[test]
    fn the_scheme_of_a_corpus_is_recognised() {
        let detect = |lines: &[&str]| {
            let sentences: Vec<Vec<String>> = lines.iter().map(|line| tags(line)).collect();
            Scheme::detect(sentences.iter().map(Vec::as_slice))
        };
        assert_eq!(detect(&["B-PER I-PER O", "O"]), Scheme::Iob2);
        assert_eq!(detect(&["O O", "I-PER I-PER"]), Scheme::Iob1);
        assert_eq!(detect(&["B-PER E-PER O"]), Scheme::Bioes);
    }

    proptest! {
        #[test]
        fn tags_to_spans_and_back_is_the_identity(steps in prop::collection::vec((0usize..3, 1usize..4, 0usize..3), 0..8)) {
            let mut spans = Vec::new();
            let mut at = 0;
            for (gap, length, label) in steps {
                let start = at + gap;
                at = start + length;
                spans.push(TagSpan { start, end: at, label: ["PER", "LOC", "ORG"][label].to_owned() });
            }
            let tags = encode(&spans, at + 2);
            prop_assert_eq!(&decode(&tags), &spans);
            prop_assert_eq!(&decode_strict(&tags), &spans);
            prop_assert_eq!(to_iob2(&tags), tags);
        }

        #[test]
        fn any_junk_gives_ordered_spans_in_range(tags in prop::collection::vec("[BIESULOX]?-?(PER|LOC)?|\\PC{0,3}", 0..12)) {
            for found in [decode(&tags), decode_strict(&tags)] {
                prop_assert!(found.iter().all(|s| s.start < s.end && s.end <= tags.len()));
                prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
            }
        }
    }
}
