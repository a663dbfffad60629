//! Sentences that two models answer differently.

use crate::cli::mistakes::{Spool, confidence, record};
use crate::cli::output::JsonLines;
use crate::cli::scoring::{Answer, named};
use serde::{Deserialize, Serialize};
use std::path::Path;
use undertone::evaluation::{ErrorRecord, LabelAnswers, LabelTable, Mention};
use undertone::labels::GoldSentence;

/// A sentence that two models answer differently, as `--differences` writes it.
#[derive(Serialize, Deserialize)]
struct Difference {
    #[serde(flatten)]
    this: ErrorRecord,
    other: Other,
}

/// What the other model says of it.
#[derive(Serialize, Deserialize)]
struct Other {
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<LabelAnswers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entities: Option<Vec<Mention>>,
}

impl Difference {
    fn new(
        place: (&Path, usize),
        gold: &GoldSentence,
        [this, other]: [&Answer; 2],
        labels: &[String],
    ) -> Self {
        let entities = this.entities.as_ref().map(|entities| entities.answers.clone());
        let found = other
            .entities
            .as_ref()
            .map(|entities| entities.answers.iter().filter_map(|answer| answer.found.clone()).collect());
        Self {
            this: record(place, gold, this.label_answers(labels), entities),
            other: Other { labels: other.label_answers(labels), entities: found },
        }
    }
}

/// The differences of a file, counted and, where that is asked for, written.
pub(crate) struct Differences<'a> {
    written: Option<&'a mut JsonLines>,
    count: usize,
    /// Where labels are decided at the end: every sentence, and whether its entities differ.
    undecided: Option<Spool>,
}

impl<'a> Differences<'a> {
    /// * `at_the_end`: whether the labels of the answers are not decided yet, only [`Self::count`] is told them.
    pub(crate) fn new(written: Option<&'a mut JsonLines>, at_the_end: bool) -> anyhow::Result<Self> {
        let undecided = at_the_end.then(Spool::new).transpose()?;
        Ok(Self { written, count: 0, undecided })
    }

    /// Notes both models' answers to a sentence.
    pub(crate) fn push(
        &mut self,
        place: (&Path, usize),
        gold: &GoldSentence,
        answers: [&Answer; 2],
        labels: &[String],
    ) -> anyhow::Result<()> {
        let entities = !answers[0].same_entities(answers[1]);
        if let Some(undecided) = &mut self.undecided {
            undecided.push(&(entities, Difference::new(place, gold, answers, labels)))?;
        } else if entities || !answers[0].same_labels(answers[1]) {
            self.count += 1;
            if let Some(file) = &mut self.written {
                file.write(&Difference::new(place, gold, answers, labels))?;
            }
        }
        Ok(())
    }

    /// Takes the labels as they are decided in the models' tables, and tells how many sentences differ.
    pub(crate) fn count(
        mut self,
        tables: [Option<&LabelTable>; 2],
        labels: &[String],
    ) -> anyhow::Result<usize> {
        let Some(undecided) = self.undecided.take() else { return Ok(self.count) };
        let mut rows = [0; 2];
        for kept in undecided.in_order::<(bool, Difference)>()? {
            let (entities, mut difference) = kept?;
            let Difference { this, other } = &mut difference;
            for ((answers, table), row) in
                [&mut this.labels, &mut other.labels].into_iter().zip(tables).zip(&mut rows)
            {
                if let (Some(answers), Some(table)) = (answers, table) {
                    answers.found = named(labels, table.decided.row(*row));
                    *row += 1;
                }
            }
            this.confidence = confidence(this.labels.as_ref(), this.entities.as_deref());
            let both = this.labels.as_ref().zip(other.labels.as_ref());
            if entities || both.is_some_and(|(this, other)| this.found != other.found) {
                self.count += 1;
                if let Some(file) = &mut self.written {
                    file.write(&difference)?;
                }
            }
        }
        Ok(self.count)
    }
}
