//! A sentence with its entities marked: what the annotator has is underlined, what the model has is shaded.

use super::figures::visible;
use crate::evaluation::{EntityAnswer, EntityOutcome, Mention};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The sentence, cut wherever an entity of either side begins or ends; behind each entity stands what became of it.
pub(super) fn marked(text: &str, answers: &[EntityAnswer]) -> Markup {
    let characters: Vec<char> = text.chars().collect();
    let within = |mention: &Mention| mention.start.min(characters.len())..mention.end.min(characters.len());
    let mentions = answers.iter().flat_map(|answer| answer.gold.iter().chain(&answer.found)).map(within);
    let cuts: BTreeSet<usize> =
        mentions.flat_map(|range| [range.start, range.end]).chain([0, characters.len()]).collect();
    let cuts: Vec<usize> = cuts.into_iter().collect();
    let pieces = cuts.windows(2).map(|cut| (cut[0], cut[1]));
    html! {
        @for (start, end) in pieces {
            @let piece = visible(&characters[start..end].iter().collect::<String>());
            @let covers = |mention: &Option<Mention>| {
                mention.as_ref().map(within).is_some_and(|range| range.start <= start && end <= range.end)
            };
            @let gold = answers.iter().any(|answer| covers(&answer.gold));
            @let found = answers.iter().any(|answer| covers(&answer.found));
            @if gold || found { mark.gold[gold].found[found] { (piece) } } @else { (piece) }
            @for answer in answers.iter().filter(|answer| last(answer, within) == Some(end)) { (tag(answer)) }
        }
    }
}

/// Where the longer of both sides ends; `None` if nothing of it lies in the sentence.
fn last(answer: &EntityAnswer, within: impl Fn(&Mention) -> std::ops::Range<usize>) -> Option<usize> {
    let sides = answer.gold.iter().chain(&answer.found).map(within);
    sides.filter(|range| range.start < range.end).map(|range| range.end).max()
}

fn tag(answer: &EntityAnswer) -> Markup {
    let right = answer.outcome == EntityOutcome::Correct;
    html! { span.tag.right[right] { (if right { "✓ " } else { "✗ " }) (verdict(answer)) } }
}

/// What became of an entity, in a few words.
fn verdict(answer: &EntityAnswer) -> String {
    let label = |mention: &Option<Mention>| mention.as_ref().map_or(String::new(), |m| visible(&m.label));
    let (gold, found) = (label(&answer.gold), label(&answer.found));
    match answer.outcome {
        EntityOutcome::Correct => gold,
        EntityOutcome::Boundary => format!("{gold}, other extent"),
        EntityOutcome::Type => format!("{gold}, taken for {found}"),
        EntityOutcome::Both => format!("{gold}, taken for {found}, other extent"),
        EntityOutcome::Missed => format!("{gold} missed"),
        EntityOutcome::Spurious => format!("{found} spurious"),
    }
}

/// The short name of what became of an entity.
pub(super) fn outcome_name(outcome: EntityOutcome) -> &'static str {
    match outcome {
        EntityOutcome::Correct => "correct",
        EntityOutcome::Boundary => "boundary",
        EntityOutcome::Type => "type",
        EntityOutcome::Both => "both",
        EntityOutcome::Missed => "missed",
        EntityOutcome::Spurious => "spurious",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mention(label: &str, start: usize, end: usize) -> Option<Mention> {
        Some(Mention { label: label.into(), start, end, text: String::new(), score: None })
    }

    #[test]
    fn gold_and_found_are_told_apart_and_each_entity_says_what_became_of_it() {
        let answers = [
            EntityAnswer {
                outcome: EntityOutcome::Boundary,
                gold: mention("PER", 0, 10),
                found: mention("PER", 4, 10),
            },
            EntityAnswer { outcome: EntityOutcome::Missed, gold: mention("LOC", 15, 21), found: None },
        ];
        assert_eq!(
            marked("Ana Duarte left Zürich.", &answers[..1]).into_string(),
            "<mark class=\"gold\">Ana </mark><mark class=\"gold found\">Duarte</mark>\
             <span class=\"tag\">✗ PER, other extent</span> left Zürich."
        );
        let page = marked("Ana Duarte saw Zürich.", &answers).into_string();
        assert!(
            page.ends_with(" saw <mark class=\"gold\">Zürich</mark><span class=\"tag\">✗ LOC missed</span>."),
            "{page}"
        );
    }

    proptest! {
        #[test]
        fn marks_keep_the_text_whatever_the_offsets(
            text in "[a-zé🕊 ]{0,30}",
            ranges in prop::collection::vec((0usize..40, 0usize..40, 0usize..40, 0usize..40), 0..5),
        ) {
            let answers: Vec<EntityAnswer> = ranges
                .iter()
                .map(|&(a, b, c, d)| EntityAnswer { outcome: EntityOutcome::Both, gold: mention("", a, b), found: mention("", c, d) })
                .collect();
            let page = marked(&text, &answers).into_string();
            let mut kept = String::new();
            for (i, part) in page.split("<span class=\"tag\">").enumerate() {
                let part = if i == 0 { part } else { part.split_once("</span>").unwrap().1 };
                kept.extend(part.split('<').enumerate().map(|(j, s)| if j == 0 { s } else { s.split_once('>').unwrap().1 }));
            }
            prop_assert_eq!(kept, text);
        }
    }
}
