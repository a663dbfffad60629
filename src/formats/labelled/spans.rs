//! Entities as records have them, checked against their text.

use super::{Flaw, FlawKind};
use crate::labels::GoldEntity;
use crate::text::Span;
use serde::Deserialize;

/// An entity as our own records have it; offsets in code points.
// A key that is not known is refused in what carries the gold: misspelt, it would pass as "not annotated".
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entity {
    start: usize,
    end: usize,
    label: String,
    text: String,
}

/// Entities in bytes, in order, or all that is wrong with them.
pub(super) fn spans(line: usize, text: &str, entities: Vec<Entity>) -> Result<Vec<GoldEntity>, Vec<Flaw>> {
    let mut bytes: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    bytes.push(text.len());
    let mut flaws = Vec::new();
    let mut flaw = |kind, reason| flaws.push(Flaw { line, kind, reason });
    let mut found: Vec<GoldEntity> = Vec::with_capacity(entities.len());
    for Entity { start, end, label, text: expected } in entities {
        let name = format!("entity \"{expected}\" ({label}, {start} to {end})");
        if start >= end || end >= bytes.len() {
            let reason = format!("{name} lies outside the text of {} characters", bytes.len() - 1);
            flaw(FlawKind::Misaligned, reason);
            continue;
        }
        let span = Span::new(bytes[start], bytes[end]);
        let slice = span.of(text).unwrap_or_default();
        if slice != expected {
            let reason =
                format!("{name}: the text has \"{slice}\" there; offsets count code points of the sentence");
            flaw(FlawKind::Misaligned, reason);
        } else if slice.trim() != slice {
            flaw(FlawKind::WhiteSpace, format!("{name} begins or ends with white space"));
        }
        found.push(GoldEntity { label, span });
    }
    found.sort_by_key(|e| e.span);
    for pair in found.windows(2).filter(|pair| pair[0].span.overlaps(pair[1].span)) {
        let text = |e: &GoldEntity| e.span.of(text).unwrap_or_default().to_owned();
        let reason = format!("entities \"{}\" and \"{}\" overlap", text(&pair[0]), text(&pair[1]));
        flaw(FlawKind::Overlap, reason);
    }
    if flaws.is_empty() { Ok(found) } else { Err(flaws) }
}
