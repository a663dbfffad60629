//! Runs an engine over labelled sentences and lays its answers beside the gold ones.

use crate::cli::misuse;
use undertone::engine::{Engine, Input, Tasks};
use undertone::evaluation::{
    Answered, ClassificationReport, Decisions, EntityReport, EntityTable, Groups, LabelAnswers, LabelTable,
    Mention, Objective, Rows, SentenceEntities, WordCounts, count_entities, cross_fitted_decisions,
    match_entities,
};
use undertone::labels::{GoldSentence, Prediction, TagSpan, decode, decode_strict, encode};
use undertone::text::{OffsetUnit, Offsets, Span};

/// A model's answers to one sentence, laid beside the gold ones.
pub(crate) struct Answer {
    /// `None` where the gold or the model has no labels.
    pub(crate) labels: Option<LabelFlags>,
    /// `None` where the gold or the model has no entities.
    pub(crate) entities: Option<SentenceEntities>,
}

/// The labels of one sentence, in the order of the model's.
pub(crate) struct LabelFlags {
    logits: Vec<f32>,
    scores: Vec<f32>,
    /// What the engine itself decides: at the stored thresholds, or the likeliest label under softmax.
    decided: Vec<bool>,
    gold: Vec<bool>,
}

impl Answer {
    /// True if nothing in it is wrong.
    pub(crate) fn is_right(&self) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.decided == labels.gold)
            && self.entities.as_ref().is_none_or(SentenceEntities::is_right)
    }

    /// True if another model gives the same labels, or one of the two has none to give.
    pub(crate) fn same_labels(&self, other: &Self) -> bool {
        self.labels.as_ref().zip(other.labels.as_ref()).is_none_or(|(a, b)| a.decided == b.decided)
    }

    /// True if another model finds the same entities, or one of the two has none to find.
    pub(crate) fn same_entities(&self, other: &Self) -> bool {
        self.entities.as_ref().zip(other.entities.as_ref()).is_none_or(|(a, b)| found(a) == found(b))
    }

    /// The labels by name.
    pub(crate) fn label_answers(&self, names: &[String]) -> Option<LabelAnswers> {
        self.labels.as_ref().map(|labels| LabelAnswers {
            gold: named(names, &labels.gold),
            found: named(names, &labels.decided),
            scores: names.iter().cloned().zip(labels.scores.iter().copied()).collect(),
        })
    }
}

/// What is found, without its probabilities.
fn found(entities: &SentenceEntities) -> Vec<(&str, usize, usize)> {
    let found = entities.answers.iter().filter_map(|answer| answer.found.as_ref());
    found.map(|mention| (mention.label.as_str(), mention.start, mention.end)).collect()
}

/// The names of the labels that are given.
pub(crate) fn named(names: &[String], flags: &[bool]) -> Vec<String> {
    names.iter().zip(flags).filter(|(_, given)| **given).map(|(name, _)| name.clone()).collect()
}

/// One model's answers to the sentences that have gold labels, to be counted.
#[derive(Default)]
pub(crate) struct SentenceAnswers {
    pub(crate) table: LabelTable,
    /// Before temperature and activation.
    pub(crate) logits: Rows<f32>,
}

/// One model's answers to many sentences.
#[derive(Default)]
pub(crate) struct Answers {
    /// `None` where no sentence has such gold or the engine has no such head.
    pub(crate) sentence: Option<SentenceAnswers>,
    /// The same.
    pub(crate) entities: Option<EntityTable>,
}

impl Answers {
    /// Adds a sentence of a group.
    pub(crate) fn push(&mut self, answer: &Answer, group: u32) {
        if let Some(LabelFlags { logits, scores, decided, gold }) = &answer.labels {
            let sentence = self.sentence.get_or_insert_default();
            sentence.table.push(scores, decided, gold, group);
            sentence.logits.push(logits);
        }
        if let Some(entities) = &answer.entities {
            self.entities.get_or_insert_default().push(entities, group);
        }
    }

    /// Decides labels as asked, where the engine has not decided them so.
    pub(crate) fn decide(&mut self, decisions: Decisions, groups: &Groups) {
        if let (Some(sentence), Decisions::CrossFitted) = (&mut self.sentence, decisions) {
            sentence.table.decided = sentence.cross_fitted(groups, Objective::F1);
        }
    }

    /// Everything that is told of the answers, which are [decided](Self::decide) as `decisions` says.
    pub(crate) fn reports(
        &self,
        engine: &Engine,
        decisions: Decisions,
        groups: &Groups,
        resamples: usize,
    ) -> (Option<ClassificationReport>, Option<EntityReport>) {
        let thresholds = (decisions == Decisions::Stored).then(|| engine.thresholds());
        let labels = self
            .sentence
            .as_ref()
            .map(|sentence| sentence.table.report(engine.labels(), groups, decisions, thresholds, resamples));
        let entities = self.entities.as_ref().map(|entities| entities.report(groups.len(), resamples));
        (labels, entities)
    }

    /// As the comparison of models takes them.
    pub(crate) fn answered(&self) -> Answered<'_> {
        Answered { labels: self.sentence.as_ref().map(|s| &s.table), entities: self.entities.as_ref() }
    }
}

/// Folds for thresholds fitted on the data that are scored.
pub(crate) const FOLDS: usize = 5;

impl SentenceAnswers {
    /// Decisions at thresholds fitted on the other folds of these very data, by article.
    pub(crate) fn cross_fitted(&self, groups: &Groups, objective: Objective) -> Rows<bool> {
        let LabelTable { scores, gold, groups: group_of, .. } = &self.table;
        cross_fitted_decisions(scores, gold, group_of, groups, FOLDS, objective)
    }
}

/// Sentences given to the engine at once.
pub(crate) const CHUNK: usize = 1024;

/// Answers to all sentences.
pub(crate) fn answer_all(engine: &Engine, gold: &[GoldSentence]) -> anyhow::Result<(Answers, Groups)> {
    let (mut answers, mut groups) = (Answers::default(), Groups::default());
    for gold in gold.chunks(CHUNK) {
        for (gold, answer) in gold.iter().zip(answer(engine, gold)?) {
            answers.push(&answer, groups.next(gold.article.as_deref()));
        }
    }
    Ok((answers, groups))
}

/// Answers to sentences that are predicted together.
pub(crate) fn answer(engine: &Engine, gold: &[GoldSentence]) -> anyhow::Result<Vec<Answer>> {
    let labelled = gold.iter().any(|g| g.labels.is_some()) && !engine.labels().is_empty();
    let named = gold.iter().any(|g| g.entities.is_some()) && !engine.entity_labels().is_empty();
    let tasks = match (labelled, named) {
        (true, true) => Tasks::Both,
        (true, false) => Tasks::Classify,
        (false, true) => Tasks::Ner,
        (false, false) => return Ok(gold.iter().map(|_| Answer { labels: None, entities: None }).collect()),
    };
    let inputs: Vec<Input> =
        gold.iter().map(|g| Input { text: &g.text, words: g.words.as_deref() }).collect();
    let predictions = engine.predict(&inputs, tasks)?;
    let lay = |(gold, prediction): (&GoldSentence, Prediction)| {
        let labels = gold.labels.as_ref().filter(|_| labelled);
        let labels = labels.map(|labels| label_flags(labels, &prediction, engine.labels())).transpose()?;
        let entities = gold.entities.as_ref().filter(|_| named).map(|_| sentence_entities(gold, &prediction));
        Ok(Answer { labels, entities })
    };
    gold.iter().zip(predictions).map(lay).collect()
}

fn label_flags(gold: &[String], prediction: &Prediction, known: &[String]) -> anyhow::Result<LabelFlags> {
    if let Some(foreign) = gold.iter().find(|label| !known.contains(label)) {
        return Err(misuse(format!(
            "the data have the label \"{foreign}\"; the model knows {}",
            known.join(", ")
        )));
    }
    Ok(LabelFlags {
        logits: prediction.logits.clone(),
        scores: prediction.scores.clone(),
        decided: (0..known.len()).map(|label| prediction.labels.contains(&label)).collect(),
        gold: known.iter().map(|label| gold.contains(label)).collect(),
    })
}

/// An entity of either side: where it is, its type, and what the model gave it.
type Found<'a> = (Span, &'a str, Option<f32>);

fn sentence_entities(gold: &GoldSentence, prediction: &Prediction) -> SentenceEntities {
    let expected = gold.entities.iter().flatten().map(|e| (e.span, e.label.as_str()));
    let found: Vec<Found> =
        prediction.entities.iter().flatten().map(|e| (e.span, e.label.as_str(), Some(e.score))).collect();
    let label = |span: &TagSpan| span.label.clone();
    match &gold.words {
        Some(words) => {
            let tags = word_tags(words, expected);
            let (in_words, spans) = (decode(&prediction.tags), decode(&tags));
            let place = |span: &TagSpan| Span::new(words[span.start].start, words[span.end - 1].end);
            let score = |span: Span| found.iter().find(|found| found.0 == span).and_then(|found| found.2);
            let right = prediction.tags.iter().zip(&tags).filter(|(a, b)| a == b).count();
            let expected = spans.iter().map(|span| (place(span), span.label.as_str(), None));
            let found = in_words.iter().map(|span| (place(span), span.label.as_str(), score(place(span))));
            SentenceEntities {
                lenient: count_entities(&in_words, &spans, label),
                strict: count_entities(&decode_strict(&prediction.tags), &decode_strict(&tags), label),
                words: Some(WordCounts { right, words: tags.len() }),
                answers: match_entities(mentions(&gold.text, expected), mentions(&gold.text, found)),
            }
        }
        None => {
            let expected: Vec<(Span, &str)> = expected.collect();
            let in_bytes: Vec<(Span, &str)> = found.iter().map(|&(span, label, _)| (span, label)).collect();
            let counts = count_entities(&in_bytes, &expected, |(_, label)| (*label).to_owned());
            let expected = expected.into_iter().map(|(span, label)| (span, label, None));
            SentenceEntities {
                lenient: counts.clone(),
                strict: counts,
                words: None,
                answers: match_entities(
                    mentions(&gold.text, expected),
                    mentions(&gold.text, found.into_iter()),
                ),
            }
        }
    }
}

/// Entities with offsets in code points.
fn mentions<'a>(text: &str, entities: impl Iterator<Item = Found<'a>>) -> Vec<Mention> {
    let mut offsets = Offsets::new(text, OffsetUnit::Char);
    let mention = |(span, label, score): Found| {
        let (start, end) = offsets.of(span);
        let text = span.of(text).unwrap_or_default().to_owned();
        Mention { label: label.to_owned(), start, end, text, score }
    };
    entities.map(mention).collect()
}

/// IOB2 tags of words from entities in bytes.
fn word_tags<'a>(words: &[Span], entities: impl Iterator<Item = (Span, &'a str)>) -> Vec<String> {
    let spans: Vec<TagSpan> = entities
        .filter_map(|(span, label)| {
            let start = words.iter().position(|w| w.start >= span.start && w.start < span.end)?;
            let end = words.iter().rposition(|w| w.start >= span.start && w.start < span.end)? + 1;
            Some(TagSpan { start, end, label: label.to_owned() })
        })
        .collect();
    encode(&spans, words.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_one_model_lacks_makes_no_difference() {
        let labels = |decided| {
            Some(LabelFlags {
                logits: vec![0.0],
                scores: vec![0.5],
                decided: vec![decided],
                gold: vec![true],
            })
        };
        let both = Answer { labels: labels(true), entities: Some(SentenceEntities::default()) };
        let names_only = Answer { labels: None, entities: Some(SentenceEntities::default()) };
        let other = Answer { labels: labels(false), entities: None };
        assert!(both.same_labels(&names_only) && both.same_entities(&other));
        assert!(!both.same_labels(&other) && both.same_entities(&names_only));
    }
}
