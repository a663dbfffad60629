//! Entities as records have them, checked against their text.

use super::{Flaw, FlawKind};
use crate::labels::GoldEntity;
use crate::text::{OffsetUnit, Offsets, Span};
use serde::Deserialize;

/// An entity as our own records have it.
// A key that is not known is refused in what carries the gold: misspelt, it would pass as "not annotated".
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entity {
    start: usize,
    end: usize,
    label: String,
    text: String,
}

impl From<Entity> for Mark {
    fn from(Entity { start, end, label, text }: Entity) -> Self {
        Self { start, end, label, text: Some(text) }
    }
}

/// An entity as any record has it: offsets in some unit and, in most formats, the text between them.
pub(super) struct Mark {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) label: String,
    pub(super) text: Option<String>,
}

/// Entities in bytes, in order, or all that is wrong with them.
pub(super) fn spans(
    line: usize,
    text: &str,
    unit: OffsetUnit,
    marks: impl IntoIterator<Item = impl Into<Mark>>,
) -> Result<Vec<GoldEntity>, Vec<Flaw>> {
    let mut offsets = Offsets::new(text, unit);
    let mut flaws = Vec::new();
    let mut flaw = |kind, reason| flaws.push(Flaw { line, kind, reason });
    let mut found: Vec<GoldEntity> = Vec::new();
    for mark in marks {
        let mark: Mark = mark.into();
        let Mark { start, end, label, text: expected } = &mark;
        let name = match expected {
            Some(expected) => format!("entity \"{expected}\" ({label}, {start} to {end})"),
            None => format!("entity at {start} to {end} ({label})"),
        };
        let span = match (offsets.byte(*start), offsets.byte(*end)) {
            (Some(from), Some(to)) if from < to => Span::new(from, to),
            _ if start < end && *end <= unit.measure(text) => {
                flaw(
                    FlawKind::Misaligned,
                    format!("{name} begins or ends inside a character{}", hint(text, &mark)),
                );
                continue;
            }
            _ => {
                let reason = format!(
                    "{name} lies outside the text of {} {}{}",
                    unit.measure(text),
                    unit_name(unit),
                    hint(text, &mark)
                );
                flaw(FlawKind::Misaligned, reason);
                continue;
            }
        };
        let slice = span.of(text).unwrap_or_default();
        if expected.as_ref().is_some_and(|expected| slice != expected) {
            let counted = match unit {
                OffsetUnit::Char => "code points",
                unit => unit_name(unit),
            };
            let reason = format!(
                "{name}: the text has \"{slice}\" there; offsets count {counted} of the sentence{}",
                hint(text, &mark)
            );
            flaw(FlawKind::Misaligned, reason);
            continue;
        }
        found.push(GoldEntity { label: mark.label, span });
    }
    match check(line, text, found) {
        Ok(found) if flaws.is_empty() => Ok(found),
        Ok(_) => Err(flaws),
        Err(more) => {
            flaws.extend(more);
            Err(flaws)
        }
    }
}

/// Entities in order, if they begin and end with their words and share none of them.
pub(super) fn check(
    line: usize,
    text: &str,
    mut found: Vec<GoldEntity>,
) -> Result<Vec<GoldEntity>, Vec<Flaw>> {
    let mut flaws = Vec::new();
    let mut flaw = |kind, reason| flaws.push(Flaw { line, kind, reason });
    found.sort_by_key(|e| e.span);
    for entity in &found {
        let slice = entity.span.of(text).unwrap_or_default();
        if slice.trim() != slice {
            let reason = format!("entity \"{slice}\" ({}) begins or ends with white space", entity.label);
            flaw(FlawKind::WhiteSpace, reason);
        }
    }
    for pair in found.windows(2).filter(|pair| pair[0].span.overlaps(pair[1].span)) {
        let text = |e: &GoldEntity| e.span.of(text).unwrap_or_default().to_owned();
        let reason = format!("entities \"{}\" and \"{}\" overlap", text(&pair[0]), text(&pair[1]));
        flaw(FlawKind::Overlap, reason);
    }
    if flaws.is_empty() { Ok(found) } else { Err(flaws) }
}

fn unit_name(unit: OffsetUnit) -> &'static str {
    match unit {
        OffsetUnit::Char => "characters",
        OffsetUnit::Byte => "bytes",
        OffsetUnit::Utf16 => "UTF-16 units",
    }
}

/// A remedy for offsets that would be right if they counted something else.
fn hint(text: &str, mark: &Mark) -> String {
    let fits = |&(unit, _): &(OffsetUnit, &str)| {
        let mut offsets = Offsets::new(text, unit);
        let (start, end) = (offsets.byte(mark.start), offsets.byte(mark.end));
        let slice = start.zip(end).and_then(|(start, end)| text.get(start..end));
        slice.is_some() && slice == mark.text.as_deref()
    };
    [(OffsetUnit::Char, "char"), (OffsetUnit::Byte, "byte"), (OffsetUnit::Utf16, "utf16")]
        .iter()
        .find(|unit| fits(unit))
        .map_or_else(String::new, |(_, name)| format!(" (they are right in another unit: --offsets {name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(start: usize, end: usize, text: Option<&str>) -> [Mark; 1] {
        [Mark { start, end, label: "LOC".into(), text: text.map(str::to_owned) }]
    }

    #[test]
    fn offsets_count_what_they_are_said_to_count() {
        let text = "🕊 Zürich.";
        for (unit, start, end) in
            [(OffsetUnit::Char, 2, 8), (OffsetUnit::Utf16, 3, 9), (OffsetUnit::Byte, 5, 12)]
        {
            let found = spans(1, text, unit, mark(start, end, None)).unwrap();
            assert_eq!(found[0].span.of(text), Some("Zürich"));
        }
    }

    #[test]
    fn offsets_in_another_unit_are_told_which() {
        let text = "🕊 Lima.";
        let flaws = spans(1, text, OffsetUnit::Char, mark(3, 7, Some("Lima"))).unwrap_err();
        assert!(flaws[0].reason.contains("the text has \"ima.\" there"), "{}", flaws[0].reason);
        assert!(flaws[0].reason.ends_with("--offsets utf16)"), "{}", flaws[0].reason);
        let flaws = spans(1, text, OffsetUnit::Utf16, mark(1, 2, None)).unwrap_err();
        assert!(flaws[0].reason.contains("inside a character"), "{}", flaws[0].reason);
        let flaws = spans(1, text, OffsetUnit::Utf16, mark(5, 9, None)).unwrap_err();
        assert!(flaws[0].reason.contains("outside the text of 8 UTF-16 units"), "{}", flaws[0].reason);
    }
}
