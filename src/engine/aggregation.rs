//! From tag probabilities of pieces to entities, in the ways of `transformers`' token-classification pipeline.

use crate::head::likeliest;
use crate::text::{Entity, Span};

/// How the answers for pieces become entities.
///
/// All but [`Aggregation::Words`] are the strategies of `transformers`' `TokenClassificationPipeline` and give its entities and
/// scores: pieces of one type are joined until one of another type or one with a `B-` comes, an `E-`, `S-`, `L-` or `U-` is part of
/// the type, and a sequence of tags need not be legal. (Texts longer than the window are an exception: there every piece is decided
/// where it has most context.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// The first piece of a word speaks for it, and the likeliest legal sequence of tags is taken (Viterbi).
    #[default]
    Words,
    /// Every piece stands alone, under its label as the model has it.
    None,
    /// Every piece has its likeliest label; neighbours of one type are joined.
    Simple,
    /// As `Simple` over words, each of which has the label of its first piece.
    First,
    /// As `Simple` over words, each of which has the likeliest label of its pieces' mean probabilities.
    Average,
    /// As `Simple` over words, each of which has the label of the piece that is surest of its own.
    Max,
}

/// A piece, a word or a run of them with one label.
struct Part<'a> {
    label: &'a str,
    score: f32,
    span: Span,
}

impl Aggregation {
    /// Whether it must be told which pieces make up a word.
    pub(super) fn joins_words(self) -> bool {
        matches!(self, Self::First | Self::Average | Self::Max)
    }

    /// Entities of one sentence.
    ///
    /// * `labels`: the model's labels
    /// * `pieces`: a probability per label for every piece
    /// * `spans`: where the pieces stand
    /// * `continued`: whether each continues the word before it, where [`Self::joins_words`]
    pub(super) fn entities(
        self,
        labels: &[String],
        pieces: &[Vec<f32>],
        spans: &[Span],
        continued: &[bool],
    ) -> Vec<Entity> {
        let part = |probabilities: &[f32], span: Span| {
            let best = likeliest(probabilities).expect("a token head has labels");
            Part { label: &labels[best], score: probabilities[best], span }
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut start = 0;
        while start < pieces.len() {
            let joined = match self.joins_words() {
                true => continued[start + 1..].iter().take_while(|&&continued| continued).count(),
                false => 0,
            };
            let end = start + 1 + joined;
            let span = Span::new(spans[start].start, spans[end - 1].end);
            parts.push(part(&self.word(&pieces[start..end]), span));
            start = end;
        }
        let parts = if self == Self::None { parts } else { runs(&parts) };
        let named = parts.into_iter().filter(|part| part.label != "O");
        named
            .map(|part| Entity { label: part.label.to_owned(), span: part.span, score: part.score })
            .collect()
    }

    /// The probabilities that speak for a word, given those of its pieces.
    fn word(self, pieces: &[Vec<f32>]) -> Vec<f32> {
        match self {
            Self::Average => {
                let mean = |label: usize| pieces.iter().map(|p| p[label]).sum::<f32>() / pieces.len() as f32;
                (0..pieces[0].len()).map(mean).collect()
            }
            Self::Max => {
                let tops: Vec<f32> = pieces.iter().map(|p| p.iter().copied().fold(0.0, f32::max)).collect();
                pieces[likeliest(&tops).expect("a word has pieces")].clone()
            }
            _ => pieces[0].clone(),
        }
    }
}

/// Joins neighbours of one type; a run's score is the mean of its parts'.
fn runs<'a>(parts: &[Part<'a>]) -> Vec<Part<'a>> {
    let follows =
        |before: &Part, now: &Part| kind(before.label) == kind(now.label) && !now.label.starts_with("B-");
    let runs = parts.chunk_by(follows);
    runs.map(|run| Part {
        label: run[0].label.split_once('-').map_or(run[0].label, |(_, kind)| kind),
        score: run.iter().map(|part| part.score).sum::<f32>() / run.len() as f32,
        span: Span::new(run[0].span.start, run[run.len() - 1].span.end),
    })
    .collect()
}

/// What must be equal in neighbours for them to be joined: a label without its `B-` or `I-`.
fn kind(label: &str) -> &str {
    label.strip_prefix("B-").or_else(|| label.strip_prefix("I-")).unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `label start..end` of every entity among three pieces, of which the second continues the first.
    fn found(aggregation: Aggregation, pieces: [[f32; 3]; 3]) -> Vec<String> {
        let labels = ["O", "B-PER", "I-PER"].map(String::from);
        let spans = [Span::new(0, 3), Span::new(3, 5), Span::new(6, 9)];
        let pieces = pieces.map(|p| p.to_vec());
        let entities = aggregation.entities(&labels, &pieces, &spans, &[false, true, false]);
        entities
            .iter()
            .map(|e| format!("{} {}..{} {:.2}", e.label, e.span.start, e.span.end, e.score))
            .collect()
    }

    #[test]
    fn each_strategy_lets_other_pieces_speak_for_a_word() {
        let pieces = [[0.4, 0.6, 0.0], [0.9, 0.0, 0.1], [0.2, 0.0, 0.8]];
        assert_eq!(found(Aggregation::None, pieces), ["B-PER 0..3 0.60", "I-PER 6..9 0.80"]);
        assert_eq!(found(Aggregation::Simple, pieces), ["PER 0..3 0.60", "PER 6..9 0.80"]);
        assert_eq!(found(Aggregation::First, pieces), ["PER 0..9 0.70"]);
        assert_eq!(found(Aggregation::Average, pieces), ["PER 6..9 0.80"]);
        assert_eq!(found(Aggregation::Max, pieces), ["PER 6..9 0.80"]);
    }

    #[test]
    fn a_new_beginning_parts_neighbours_of_one_type() {
        let begin = [0.0, 1.0, 0.0];
        assert_eq!(found(Aggregation::First, [begin; 3]), ["PER 0..5 1.00", "PER 6..9 1.00"]);
        assert_eq!(found(Aggregation::Simple, [begin; 3]).len(), 3);
    }

    #[test]
    fn nothing_in_nothing_out() {
        for aggregation in [Aggregation::None, Aggregation::Average] {
            assert!(aggregation.entities(&["O".to_owned()], &[], &[], &[]).is_empty());
        }
    }
}
