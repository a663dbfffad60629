//! Which epoch was the best, and whether to go on.

use serde::{Deserialize, Serialize};

/// The best development score so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stopping {
    pub(super) best: Option<f64>,
    pub(super) best_epoch: usize,
    stale: usize,
}

impl Stopping {
    /// Notes the score of an epoch (counted from 1); true if it is the best so far. Of equals the first wins. As long as
    /// there was nothing to score, the last epoch counts as the best, and none as stale.
    pub(super) fn note(&mut self, epoch: usize, score: Option<f64>) -> bool {
        let better = match (score, self.best) {
            (Some(score), Some(best)) => score > best,
            (_, best) => best.is_none(),
        };
        if better {
            *self = Self { best: score, best_epoch: epoch, stale: 0 };
        } else if score.is_some() {
            self.stale += 1;
        }
        better
    }

    /// True once `patience` epochs in a row were no better; never for 0.
    pub(super) fn should_stop(&self, patience: usize) -> bool {
        patience > 0 && self.stale >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_stops_after_patience_runs_out() {
        let mut stopping = Stopping::default();
        assert!(stopping.note(1, Some(0.5)));
        assert!(!stopping.note(2, Some(0.5)));
        assert!(!stopping.should_stop(2) && stopping.should_stop(1) && !stopping.should_stop(0));
        assert!(stopping.note(3, Some(0.6)));
        assert!(!stopping.should_stop(1));
        assert_eq!(stopping.best_epoch, 3);
    }

    #[test]
    fn without_scores_the_last_epoch_wins_and_patience_never_runs_out() {
        let mut stopping = Stopping::default();
        for epoch in 1..=3 {
            assert!(stopping.note(epoch, None));
            assert!(!stopping.should_stop(1));
        }
        assert_eq!((stopping.best, stopping.best_epoch), (None, 3));
        assert!(stopping.note(4, Some(0.1)) && !stopping.note(5, None));
        assert_eq!(stopping.best_epoch, 4);
    }
}
