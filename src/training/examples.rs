use super::TrainingError;
use crate::bundle::{Bundle, Description};
use crate::head::Activation;
use crate::labels::{GoldEntity, GoldSentence};
use crate::text::Span;
use crate::tokens::{casing_classes, first_pieces, split_words};

/// A sentence ready for the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// Casing class of every token.
    pub casing: Vec<u32>,
    /// Target per label of the sentence head, from 0 to 1; `None` where the sentence is not annotated for it.
    pub labels: Option<Vec<f32>>,
    /// `(token, tag)` of the first piece of every word; `None` where the sentence is not annotated for it.
    pub tags: Option<Vec<(u32, u32)>>,
    /// Weight of the sentence in both losses.
    pub weight: f32,
}

/// Annotated sentences and how much they count.
#[derive(Debug, Clone, Copy)]
pub struct ExampleSource<'a> {
    /// The sentences.
    pub sentences: &'a [GoldSentence],
    /// Weight of each.
    pub weight: f32,
    /// Whether their sentence labels are learnt.
    pub labels: bool,
    /// Whether their entities are learnt.
    pub entities: bool,
    /// What teachers say of them, if there are any.
    pub distilled: Option<Distilled<'a>>,
}

/// Teachers' answers, learnt beside the gold labels or in place of those that are missing (knowledge distillation,
/// Hinton et al. 2015, arXiv 1503.02531; with teachers that never saw the sentence it also evens out annotation noise).
#[derive(Debug, Clone, Copy)]
pub struct Distilled<'a> {
    /// Probability per sentence label, in the order of the sentences; `None` where no teacher was asked.
    pub answers: &'a [Option<Vec<f32>>],
    /// Share of the teachers in the target of an annotated sentence, from 0 to 1.
    pub share: f32,
}

/// Turns annotated sentences into examples; also tells how many were longer than `max_tokens` and cut.
///
/// Sentences that have nothing to teach the bundle's heads are left out.
///
/// # Errors
/// If a label is unknown to its head, or a sentence has not the one label that a softmax head is taught.
pub fn examples(
    source: ExampleSource<'_>,
    bundle: &Bundle,
    max_tokens: usize,
) -> Result<(Vec<Example>, usize), TrainingError> {
    let tokenizer = &bundle.tokenizer;
    let room = max_tokens.min(bundle.max_tokens()) - tokenizer.prefix().len() - tokenizer.suffix().len();
    let mut examples = Vec::with_capacity(source.sentences.len());
    let mut cut = 0;
    for (i, sentence) in source.sentences.iter().enumerate() {
        let gold = match &sentence.labels {
            Some(labels) if source.labels => targets(i, labels, &bundle.description)?,
            _ => None,
        };
        let labels = match source.distilled.and_then(|d| Some((d.share, d.answers[i].as_ref()?))) {
            Some((share, answer)) => Some(match gold {
                Some(gold) => gold.iter().zip(answer).map(|(g, a)| g + share * (a - g)).collect(),
                None => answer.clone(),
            }),
            None => gold,
        };
        let pieces = tokenizer.pieces(&sentence.text)?;
        let tags = match &sentence.entities {
            Some(entities) if source.entities => {
                let own;
                let words = match &sentence.words {
                    Some(words) => words,
                    None => {
                        own = split_words(&sentence.text);
                        &own
                    }
                };
                word_tags(words, entities, &bundle.description)?.map(|tags| {
                    let first = first_pieces(words, &pieces);
                    let offset = tokenizer.prefix().len() as u32;
                    let known =
                        first.into_iter().zip(tags).filter_map(|(piece, tag)| Some((piece? as u32, tag)));
                    known.filter(|&(p, _)| (p as usize) < room).map(|(p, tag)| (p + offset, tag)).collect()
                })
            }
            _ => None,
        };
        if labels.is_none() && tags.is_none() {
            continue;
        }
        let mut casing = casing_classes(&sentence.text, &pieces);
        let mut ids = pieces.ids;
        cut += usize::from(ids.len() > room);
        ids.truncate(room);
        casing.truncate(room);
        let zeros = |n: usize| vec![0u32; n];
        examples.push(Example {
            ids: [tokenizer.prefix(), &ids, tokenizer.suffix()].concat(),
            casing: [zeros(tokenizer.prefix().len()), casing, zeros(tokenizer.suffix().len())].concat(),
            labels,
            tags,
            weight: source.weight,
        });
    }
    Ok((examples, cut))
}

/// 0 or 1 per label of the sentence head for the sentence with the index `i`; `None` without such a head.
fn targets(
    i: usize,
    labels: &[String],
    description: &Description,
) -> Result<Option<Vec<f32>>, TrainingError> {
    let Some(task) = description.sentence() else { return Ok(None) };
    if task.activation == Activation::Softmax && labels.len() != 1 {
        return Err(TrainingError::NotOneLabel { sentence: i + 1, found: labels.len() });
    }
    let mut targets = vec![0.0; task.labels.len()];
    for label in labels {
        match task.labels.iter().position(|known| known == label) {
            Some(i) => targets[i] = 1.0,
            None => return Err(unknown(label, "sentence", &task.labels)),
        }
    }
    Ok(Some(targets))
}

/// The IOB2 tag of every word, as ids of the token head; `None` without such a head. A word belongs to the entity that
/// covers its first byte.
fn word_tags(
    words: &[Span],
    entities: &[GoldEntity],
    description: &Description,
) -> Result<Option<Vec<u32>>, TrainingError> {
    let Some(task) = description.token() else { return Ok(None) };
    let id = |tag: &str| match task.labels.iter().position(|known| known == tag) {
        Some(i) => Ok(i as u32),
        None => Err(unknown(tag, "token", &task.labels)),
    };
    let mut begun = None;
    let tags = words.iter().map(|word| {
        let covers = |e: &GoldEntity| e.span.start <= word.start && word.start < e.span.end;
        match entities.iter().position(covers) {
            None => id("O"),
            Some(entity) if begun == Some(entity) => id(&format!("I-{}", entities[entity].label)),
            Some(entity) => {
                begun = Some(entity);
                id(&format!("B-{}", entities[entity].label))
            }
        }
    });
    Ok(Some(tags.collect::<Result<_, _>>()?))
}

fn unknown(label: &str, head: &'static str, known: &[String]) -> TrainingError {
    TrainingError::UnknownLabel { label: label.to_owned(), head, known: known.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::tiny_bundle;

    #[test]
    fn a_softmax_head_is_taught_one_label_a_sentence_and_no_other_number() {
        let mut bundle = tiny_bundle();
        bundle.description.sentence_mut().unwrap().activation = Activation::Softmax;
        let read = |labels: &[&[&str]]| {
            let sentence = |labels: &&[&str]| GoldSentence {
                text: "the troops leave".into(),
                labels: Some(labels.iter().map(|&label| label.to_owned()).collect()),
                ..GoldSentence::default()
            };
            let sentences: Vec<GoldSentence> = labels.iter().map(sentence).collect();
            let source = ExampleSource {
                sentences: &sentences,
                weight: 1.0,
                labels: true,
                entities: true,
                distilled: None,
            };
            examples(source, &bundle, 32)
        };
        let (one, _) = read(&[&["reassurance"]]).unwrap();
        assert_eq!(one[0].labels, Some(vec![0.0, 1.0, 0.0]));
        for (labels, found) in [(&[][..], 0), (&["reassurance", "speculation"][..], 2)] {
            let error = read(&[&["reassurance"], labels]).unwrap_err();
            assert!(
                matches!(error, TrainingError::NotOneLabel { sentence: 2, found: n } if n == found),
                "{error}"
            );
        }
    }
}
