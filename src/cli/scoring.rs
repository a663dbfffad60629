//! Runs an engine over labelled sentences and lays its answers beside the gold ones.

use crate::cli::misuse;
use undertone::engine::{Engine, Input, Tasks};
use undertone::evaluation::{EntityCounts, average_precision, count_entities, cross_fitted_decisions};
use undertone::labels::{GoldSentence, TagSpan, decode, decode_strict, encode};
use undertone::text::Span;

/// Answers and gold of the sentences that have gold labels.
#[derive(Default)]
pub(crate) struct SentenceAnswers {
    pub(crate) logits: Vec<Vec<f32>>,
    pub(crate) scores: Vec<Vec<f32>>,
    /// What the engine itself decides: at the stored thresholds, or the likeliest label under softmax.
    pub(crate) decided: Vec<Vec<bool>>,
    pub(crate) gold: Vec<Vec<bool>>,
    /// Article of each sentence; a name of its own for a sentence without one.
    pub(crate) groups: Vec<String>,
}

/// Entity counts of the sentences that have gold entities, sentence by sentence.
#[derive(Default)]
pub(crate) struct EntityAnswers {
    /// By the rules of conlleval and seqeval.
    pub(crate) lenient: Vec<EntityCounts>,
    /// By strict IOB2.
    pub(crate) strict: Vec<EntityCounts>,
    /// Words with the right tag, and words, where the gold has words.
    pub(crate) words: Option<(usize, usize)>,
    pub(crate) groups: Vec<String>,
}

/// Both kinds of answers; `None` where no sentence has such gold or the engine has no such head.
pub(crate) struct Answers {
    pub(crate) sentence: Option<SentenceAnswers>,
    pub(crate) entities: Option<EntityAnswers>,
}

/// Sentences given to the engine at once.
const CHUNK: usize = 1024;

/// Answers for all sentences.
pub(crate) fn answer(engine: &Engine, gold: &[GoldSentence]) -> anyhow::Result<Answers> {
    let labelled = gold.iter().any(|g| g.labels.is_some()) && !engine.labels().is_empty();
    let named = gold.iter().any(|g| g.entities.is_some()) && !engine.entity_labels().is_empty();
    let tasks = match (labelled, named) {
        (true, true) => Tasks::Both,
        (true, false) => Tasks::Classify,
        (false, true) => Tasks::Ner,
        (false, false) => return Ok(Answers { sentence: None, entities: None }),
    };
    let mut sentence = SentenceAnswers::default();
    let mut entities = EntityAnswers::default();
    for (chunk, gold) in gold.chunks(CHUNK).enumerate() {
        let inputs: Vec<Input> =
            gold.iter().map(|g| Input { text: &g.text, words: g.words.as_deref() }).collect();
        for (i, (gold, prediction)) in gold.iter().zip(engine.predict(&inputs, tasks)?).enumerate() {
            let group = gold.article.clone().unwrap_or_else(|| format!("sentence {}", chunk * CHUNK + i));
            if let Some(labels) = gold.labels.as_ref().filter(|_| labelled) {
                sentence.gold.push(flags(labels, engine.labels())?);
                sentence.logits.push(prediction.logits);
                sentence.scores.push(prediction.scores);
                let applies = |label: usize| prediction.labels.contains(&label);
                sentence.decided.push((0..engine.labels().len()).map(applies).collect());
                sentence.groups.push(group.clone());
            }
            if let Some(expected) = gold.entities.as_ref().filter(|_| named) {
                match &gold.words {
                    Some(words) => {
                        let expected = word_tags(words, expected.iter().map(|e| (e.span, e.label.as_str())));
                        let found = &prediction.tags;
                        let label = |span: &TagSpan| span.label.clone();
                        entities.lenient.push(count_entities(&decode(found), &decode(&expected), label));
                        entities.strict.push(count_entities(
                            &decode_strict(found),
                            &decode_strict(&expected),
                            label,
                        ));
                        let right = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
                        let (sum, all) = entities.words.get_or_insert_default();
                        *sum += right;
                        *all += expected.len();
                    }
                    None => {
                        let expected: Vec<(Span, &str)> =
                            expected.iter().map(|e| (e.span, e.label.as_str())).collect();
                        let found: Vec<(Span, &str)> = prediction
                            .entities
                            .iter()
                            .flatten()
                            .map(|e| (e.span, e.label.as_str()))
                            .collect();
                        let counts = count_entities(&found, &expected, |(_, label)| (*label).to_owned());
                        entities.strict.push(counts.clone());
                        entities.lenient.push(counts);
                    }
                }
                entities.groups.push(group);
            }
        }
    }
    Ok(Answers { sentence: labelled.then_some(sentence), entities: named.then_some(entities) })
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

fn flags(labels: &[String], known: &[String]) -> anyhow::Result<Vec<bool>> {
    if let Some(foreign) = labels.iter().find(|label| !known.contains(label)) {
        return Err(misuse(format!(
            "the data have the label \"{foreign}\"; the model knows {}",
            known.join(", ")
        )));
    }
    Ok(known.iter().map(|label| labels.contains(label)).collect())
}

impl SentenceAnswers {
    /// Decisions at thresholds fitted on the other folds of these very data, by article.
    pub(crate) fn cross_fitted(&self) -> Vec<Vec<bool>> {
        cross_fitted_decisions(&self.scores, &self.gold, &self.groups, FOLDS)
    }

    /// Scores and gold of one label, sentence by sentence.
    pub(crate) fn column(&self, label: usize) -> (Vec<f32>, Vec<bool>) {
        self.scores.iter().zip(&self.gold).map(|(scores, gold)| (scores[label], gold[label])).unzip()
    }

    /// Mean of the labels' average precisions; `None` if no label has a positive sentence.
    pub(crate) fn mean_average_precision(&self) -> Option<f64> {
        let labels = self.gold.first().map_or(0, Vec::len);
        let of = |label: usize| {
            let (scores, gold) = self.column(label);
            average_precision(&scores, &gold)
        };
        let known: Vec<f64> = (0..labels).filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }
}

/// Folds for thresholds fitted on the data that are scored.
pub(crate) const FOLDS: usize = 5;

impl EntityAnswers {
    /// Micro F1 by the rules of conlleval.
    pub(crate) fn f1(&self) -> Option<f64> {
        sum(self.lenient.iter()).total().f1()
    }
}

/// All sentences' counts together.
pub(crate) fn sum<'a>(counts: impl Iterator<Item = &'a EntityCounts>) -> EntityCounts {
    let mut total = EntityCounts::default();
    counts.for_each(|counts| total.add(counts));
    total
}
