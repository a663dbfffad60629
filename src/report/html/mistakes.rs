//! Sentences with something wrong, to be filtered and searched.

use super::figures::{count, counted, percent, probability, score, visible};
use super::sentence::{marked, outcome_name};
use super::write;
use crate::evaluation::{EntityAnswer, EntityOutcome, ErrorRecord, LabelAnswers};
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Result, Write};

/// Labels shown with each sentence at most, beside those that are gold or found.
const SCORES: usize = 8;
/// Characters of another field at most.
const FIELD: usize = 120;

/// A mistake, as the filter knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mistake {
    kind: &'static str,
    label: String,
    outcome: &'static str,
}

/// The sentences, the worst first, written one by one.
pub(super) fn section(
    out: &mut impl Write,
    number: usize,
    errors: &[ErrorRecord],
    wrong: usize,
) -> Result<()> {
    let all: Vec<Vec<Mistake>> = errors.iter().map(mistakes).collect();
    let labels: BTreeSet<(&'static str, &str)> =
        all.iter().flatten().map(|mistake| (mistake.kind, mistake.label.as_str())).collect();
    let labels: Vec<(&'static str, &str)> = labels.into_iter().collect();
    let outcomes: BTreeSet<(&'static str, &'static str)> =
        all.iter().flatten().map(|mistake| (mistake.kind, mistake.outcome)).collect();
    out.write_all(format!("<section class=\"mistakes\" id=\"e{number}-mistakes\">\n").as_bytes())?;
    write(out, opening(errors.len(), wrong.max(errors.len())))?;
    write(out, filter(&labels, &outcomes))?;
    out.write_all(b"<ol>\n")?;
    for (error, mistakes) in errors.iter().zip(&all) {
        let place = |m: &Mistake| labels.iter().position(|&(kind, label)| kind == m.kind && label == m.label);
        let tokens: BTreeSet<String> =
            mistakes.iter().filter_map(|m| Some(format!("{}:{}:{}", m.kind, place(m)?, m.outcome))).collect();
        write(out, item(error, &tokens.into_iter().collect::<Vec<_>>().join(" ")))?;
    }
    out.write_all(b"</ol>\n")?;
    write(out, html! { p.nothing hidden { "No mistake here is like that." } })?;
    out.write_all(b"</section>\n")
}

/// What is wrong with a sentence.
fn mistakes(error: &ErrorRecord) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if let Some(LabelAnswers { gold, found, .. }) = &error.labels {
        let wrong = |a: &[String], b: &[String], outcome: &'static str| -> Vec<Mistake> {
            let alone = a.iter().filter(|label| !b.contains(label));
            alone.map(|label| Mistake { kind: "label", label: label.clone(), outcome }).collect()
        };
        mistakes.extend(wrong(gold, found, "missed"));
        mistakes.extend(wrong(found, gold, "spurious"));
    }
    for EntityAnswer { outcome, gold, found } in error.entities.iter().flatten() {
        if *outcome != EntityOutcome::Correct {
            mistakes.extend(gold.iter().chain(found).map(|mention| Mistake {
                kind: "entity",
                label: mention.label.clone(),
                outcome: outcome_name(*outcome),
            }));
        }
    }
    mistakes
}

fn opening(shown: usize, wrong: usize) -> Markup {
    html! {
        h3 { "Mistakes" }
        p.note {
            @if shown < wrong {
                "The " (count(shown)) " surest of " (counted(wrong, "sentence")) " with something wrong, the surest first."
            } @else {
                (counted(wrong, "sentence")) " with something wrong, the surest first."
            }
        }
        p.legend {
            span { mark.gold { "underlined" } " by the annotator" }
            span { mark.found { "shaded" } " by the model" }
            span { mark.gold.found { "underlined and shaded" } " by both" }
            span { "✓ right, ✗ wrong" }
        }
    }
}

/// The form; the script shows it.
fn filter(labels: &[(&'static str, &str)], outcomes: &BTreeSet<(&'static str, &'static str)>) -> Markup {
    let of = |kind: &str| match kind {
        "label" => "Sentence labels",
        _ => "Entities",
    };
    let kinds: BTreeSet<&'static str> = labels.iter().map(|(kind, _)| *kind).collect();
    let names: BTreeSet<&'static str> = outcomes.iter().map(|(_, outcome)| *outcome).collect();
    html! {
        form.filter hidden {
            label { span { "Kind" } select name="kind" {
                option value="" { "all" }
                @for kind in kinds.iter().rev() { option value=(kind) { (of(kind)) } }
            } }
            label { span { "Label or type" } select name="label" {
                option value="" { "all" }
                @for kind in kinds.iter().rev() { optgroup label=(of(kind)) {
                    @for (i, (_, label)) in labels.iter().enumerate().filter(|(_, (of, _))| of == kind) {
                        option value=(i) { (visible(label)) }
                    }
                } }
            } }
            label { span { "Outcome" } select name="outcome" {
                option value="" { "all" }
                @for name in names { option value=(name) { (name) } }
            } }
            label.search { span { "Text" } input type="search" name="text" autocomplete="off" placeholder="any words"; }
            output aria-live="polite" {}
        }
    }
}

fn item(error: &ErrorRecord, tokens: &str) -> Markup {
    let ErrorRecord { file, line, article, text, confidence, labels, entities, fields } = error;
    let wrong: Vec<&EntityAnswer> =
        entities.iter().flatten().filter(|answer| answer.outcome != EntityOutcome::Correct).collect();
    html! {
        li data-mistakes=(tokens) {
            p.text dir="auto" { (marked(text, entities.as_deref().unwrap_or_default())) }
            @if let Some(labels) = labels { (scores(labels)) }
            @if !wrong.is_empty() { ul.entities { @for answer in wrong { li { (told(answer)) } } } }
            p.source {
                "surest mistake " b { (score(Some(f64::from(*confidence)))) }
                " · " (visible(&file.display().to_string())) ":" (line)
                @if let Some(article) = article { " · article " (visible(article)) }
                @for (name, value) in fields { " · " (visible(name)) " " (field(value)) }
            }
        }
    }
}

/// Labels with their probabilities: those of either side, then the likeliest others.
fn scores(answers: &LabelAnswers) -> Markup {
    let LabelAnswers { gold, found, scores } = answers;
    let none = f32::NEG_INFINITY;
    let mut rows: Vec<(&str, f32, bool, bool)> = scores
        .iter()
        .map(|(label, score)| (label.as_str(), *score, gold.contains(label), found.contains(label)))
        .collect();
    let unscored = gold.iter().chain(found).filter(|label| !scores.contains_key(*label));
    let unscored: BTreeSet<&String> = unscored.collect();
    rows.extend(unscored.into_iter().map(|l| (l.as_str(), none, gold.contains(l), found.contains(l))));
    rows.sort_by(|a, b| (b.2 || b.3).cmp(&(a.2 || a.3)).then(b.1.total_cmp(&a.1)));
    let shown = rows.iter().filter(|row| row.2 || row.3).count().max(SCORES.min(rows.len()));
    let left = rows.len() - shown;
    html! {
        ul.scores {
            @for &(label, score, gold, found) in &rows[..shown] {
                @let class = if gold != found { Some("wrong") } else { gold.then_some("right") };
                li class=[class] {
                    span { (visible(label)) }
                    span.level aria-hidden="true" { i style={ "width:" (percent(score.into())) "%" } {} }
                    span.n { (probability(score)) }
                    span {
                        @match (gold, found) {
                            (true, true) => "✓ right", (true, false) => "✗ missed", (false, true) => "✗ spurious", (false, false) => {},
                        }
                    }
                }
            }
            @if left > 0 { li.more { "and " (counted(left, "label")) " below" } }
        }
    }
}

fn told(answer: &EntityAnswer) -> Markup {
    let EntityAnswer { outcome, gold, found } = answer;
    html! {
        b { (outcome_name(*outcome)) }
        @if let Some(gold) = gold { " · gold " (visible(&gold.label)) " “" (visible(&gold.text)) "”" }
        @if let Some(found) = found {
            " · model " (visible(&found.label)) " “" (visible(&found.text)) "”"
            @if let Some(score) = found.score { " " (probability(score)) }
        }
    }
}

fn field(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut shown: String = text.chars().take(FIELD).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    visible(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_either_side_come_first_and_the_rest_is_counted() {
        let scores: std::collections::BTreeMap<String, f32> =
            (0..12u8).map(|i| (format!("l{i:02}"), f32::from(i) / 20.0)).collect();
        let answers = LabelAnswers { gold: vec!["l00".into()], found: vec!["l11".into()], scores };
        let page = super::scores(&answers).into_string();
        let at = |label: &str| page.find(label).unwrap();
        assert!(at("l11") < at("l00") && at("l00") < at("l10"), "{page}");
        assert!(
            page.contains("✗ missed") && page.contains("✗ spurious") && page.contains("and 4 labels below")
        );
        assert_eq!(page.matches("<li").count(), 9);
    }
}
