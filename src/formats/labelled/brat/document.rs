//! The lines of an `.ann` file.

use super::{SEGMENT, SENTENCE, on_one_line};
use crate::formats::labelled::{Flaw, FlawKind};
use crate::text::{OffsetUnit, Offsets, Span};
use std::collections::BTreeMap;

/// A text-bound annotation.
pub(super) struct Mark {
    /// Line of the file, from 1.
    pub(super) line: usize,
    pub(super) id: String,
    pub(super) kind: String,
    /// Where it lies in the document, in bytes, or what is wrong with it.
    pub(super) span: Result<Span, Flaw>,
    /// Where it begins, in bytes, if that much is known.
    pub(super) start: Option<usize>,
}

/// What is marked in a document.
#[derive(Default)]
pub(super) struct Marks {
    /// Sentences, with and without labels.
    pub(super) sentences: Vec<Mark>,
    /// All else.
    pub(super) entities: Vec<Mark>,
    /// Labels by what they are attached to.
    pub(super) labels: BTreeMap<String, Vec<String>>,
    /// Lines that are none.
    pub(super) flaws: Vec<Flaw>,
}

impl Marks {
    /// Reads the lines; relations, events, notes and all else is passed over.
    pub(super) fn parse(content: &str, text: &str, unit: OffsetUnit) -> Self {
        let mut marks = Self::default();
        let mut offsets = Offsets::new(text, unit);
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        for (i, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let number = i + 1;
            let mut columns = line.split('\t');
            let id = columns.next().unwrap_or_default();
            match id.chars().next() {
                Some('T') => match columns.next().and_then(|place| place.split_once(' ')) {
                    Some((kind, place)) => {
                        // The text may have tabs in files of other tools.
                        let expected: Vec<&str> = columns.collect();
                        let (start, span) = locate(number, &mut offsets, text, place, &expected.join("\t"));
                        let mark = Mark { line: number, id: id.into(), kind: kind.into(), span, start };
                        if matches!(kind, SENTENCE | SEGMENT) {
                            marks.sentences.push(mark);
                        } else {
                            marks.entities.push(mark);
                        }
                    }
                    None => marks.flaws.push(Flaw::malformed(
                        number,
                        format!("`{id}` has no type and offsets, such as `T1`, a tab and `ORG 0 6`"),
                    )),
                },
                Some('A' | 'M') => {
                    let mut parts = columns.next().unwrap_or_default().splitn(3, ' ');
                    let (name, of, value) = (parts.next(), parts.next(), parts.next());
                    if let (Some(name), Some(of)) = (name.filter(|name| !name.is_empty()), of) {
                        let labels = marks.labels.entry(of.to_owned()).or_default();
                        let label = value.unwrap_or(name).to_owned();
                        if !labels.contains(&label) {
                            labels.push(label);
                        }
                    } else {
                        let reason =
                            format!("`{id}` has no name and target, such as `A1`, a tab and `hope T1`");
                        marks.flaws.push(Flaw::malformed(number, reason));
                    }
                }
                Some('E' | 'R' | 'N' | '*' | '#') => {}
                _ => {
                    let reason = format!("`{id}` begins no annotation that brat knows, such as `T1` or `A1`");
                    marks.flaws.push(Flaw::malformed(number, reason));
                }
            }
        }
        marks
    }
}

/// Where an annotation begins, if that is known, and where it lies.
fn locate(
    line: usize,
    offsets: &mut Offsets<'_>,
    text: &str,
    place: &str,
    expected: &str,
) -> (Option<usize>, Result<Span, Flaw>) {
    let misaligned = |reason: String| Flaw { line, kind: FlawKind::Misaligned, reason };
    let pieces: Vec<&str> = place.split([' ', ';']).collect();
    let start = pieces[0].parse().ok().and_then(|start| offsets.byte(start));
    let numbers: Result<Vec<usize>, _> = pieces.iter().map(|piece| piece.parse()).collect();
    let (numbers, end) = match numbers.as_deref() {
        Ok(numbers @ [_, .., end]) if numbers.len() % 2 == 0 => (numbers, *end),
        _ => return (start, Err(Flaw::malformed(line, format!("\"{place}\" are no offsets")))),
    };
    // brat cuts what goes on over the end of a line.
    let whole = numbers[1..numbers.len() - 1].chunks_exact(2).all(|gap| {
        let gap = (offsets.byte(gap[0]), offsets.byte(gap[1]));
        matches!(gap, (Some(end), Some(start)) if text.get(end..start).is_some_and(|gap| gap.trim().is_empty()))
    });
    if !whole {
        let reason =
            format!("\"{expected}\" ({place}) lies in several pieces; undertone's entities are in one");
        return (start, Err(Flaw::malformed(line, reason)));
    }
    let span = match (start, offsets.byte(end)) {
        (Some(start), Some(end)) if start < end => Span::new(start, end),
        _ => return (start, Err(misaligned(format!("\"{expected}\" ({place}) lies outside the text")))),
    };
    let slice = span.of(text).unwrap_or_default();
    let same = match numbers {
        [_, _] => on_one_line(slice) == on_one_line(expected),
        _ => slice.split_whitespace().eq(expected.split_whitespace()),
    };
    if same {
        (start, Ok(span))
    } else {
        let reason = format!("\"{expected}\" ({place}): the text has \"{slice}\" there");
        (start, Err(misaligned(reason)))
    }
}
