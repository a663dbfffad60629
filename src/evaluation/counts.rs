use std::ops::{Add, AddAssign};

/// True positives, false positives, false negatives. Counts are added, divided last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Found and right.
    pub tp: usize,
    /// Found and wrong.
    pub fp: usize,
    /// Missed.
    #[serde(rename = "fn")]
    pub fn_: usize,
}

impl Counts {
    /// Share of what was found that is right; `None` where nothing was found.
    pub fn precision(self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp)
    }

    /// Share of what is there that was found; `None` where nothing is there.
    pub fn recall(self) -> Option<f64> {
        ratio(self.tp, self.support())
    }

    /// `2 tp / (2 tp + fp + fn)`; `None` where there is nothing to score.
    pub fn f1(self) -> Option<f64> {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// The same so many times over.
    pub(super) fn times(self, n: usize) -> Self {
        Self { tp: self.tp * n, fp: self.fp * n, fn_: self.fn_ * n }
    }

    /// How many there are.
    pub fn support(self) -> usize {
        self.tp + self.fn_
    }

    /// Adds one decision.
    pub fn note(&mut self, found: bool, there: bool) {
        match (found, there) {
            (true, true) => self.tp += 1,
            (true, false) => self.fp += 1,
            (false, true) => self.fn_ += 1,
            (false, false) => {}
        }
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts { tp: self.tp + other.tp, fp: self.fp + other.fp, fn_: self.fn_ + other.fn_ }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Counts>>(counts: I) -> Counts {
        counts.fold(Counts::default(), Counts::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_score_is_not_zero() {
        assert_eq!(Counts::default().f1(), None);
        let missed = Counts { fn_: 2, ..Counts::default() };
        assert_eq!((missed.precision(), missed.recall(), missed.f1()), (None, Some(0.0), Some(0.0)));
    }

    #[test]
    fn merging_counts_equals_counting_the_merge() {
        let decisions = [(true, true), (true, false), (false, true), (false, false), (true, true)];
        let count = |decisions: &[(bool, bool)]| {
            let mut counts = Counts::default();
            decisions.iter().for_each(|&(found, there)| counts.note(found, there));
            counts
        };
        assert_eq!(count(&decisions[..2]) + count(&decisions[2..]), count(&decisions));
        assert_eq!(count(&decisions).f1(), Some(4.0 / 6.0));
    }
}
