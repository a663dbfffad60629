use super::{HubError, Settings};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How often and how long something that failed may still be tried again.
#[derive(Debug)]
pub(super) struct Patience {
    retries: u32,
    backoff: Duration,
    failed: u32,
    /// Bytes that there were at best.
    most: u64,
}

/// Longest wait that is chosen here.
const LONGEST: Duration = Duration::from_secs(8);
/// Longest wait that a hub may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

impl Patience {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { retries: settings.retries, backoff: settings.backoff, failed: 0, most: 0 }
    }

    /// A file has so many bytes by now. If there were never so many, as many tries are left as at the beginning; what is fetched
    /// a second time, because a server cannot go on where it ended, is no progress.
    pub(super) fn reached(&mut self, bytes: u64) {
        if bytes > self.most {
            self.most = bytes;
            self.failed = 0;
        }
    }

    /// How long to wait before the next try, or the error again if there is to be none. Waits double, with up to a quarter more
    /// by chance so that many clients do not come back at once; a hub that says how long (`Retry-After`) is believed.
    pub(super) fn after(&mut self, error: HubError) -> Result<(HubError, Duration), HubError> {
        let asked = match &error {
            HubError::Status { wait, .. } => *wait,
            HubError::Network { again: true, .. } => None,
            _ => return Err(error),
        };
        if self.failed >= self.retries || asked.is_some_and(|wait| wait > LONGEST_ASKED) {
            return Err(error);
        }
        let wait = self.backoff.saturating_mul(1 << self.failed.min(16)).min(LONGEST);
        self.failed += 1;
        let wait = wait + wait.mul_f64(chance() / 4.0);
        Ok((error, asked.unwrap_or(wait)))
    }
}

/// A number from 0 to 1 that differs from call to call; no tensor depends on it, so it needs no seed.
fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience { retries: 3, backoff: Duration::from_secs(3), failed: 0, most: 0 }
    }

    fn busy(wait: Option<u64>) -> HubError {
        HubError::Status { url: String::new(), status: 429, wait: wait.map(Duration::from_secs) }
    }

    #[test]
    fn waits_double_up_to_a_limit_and_tries_end() {
        let mut patience = patience();
        for expected in [3, 6, 8] {
            let (_, wait) = patience.after(busy(None)).unwrap();
            let expected = Duration::from_secs(expected);
            assert!(wait >= expected && wait <= expected.mul_f64(1.25), "{wait:?}");
        }
        assert!(patience.after(busy(None)).is_err());
        patience.reached(5);
        assert!(patience.after(busy(None)).is_ok());
        patience.reached(5);
        assert_eq!(patience.failed, 1);
    }

    #[test]
    fn a_hub_that_says_how_long_is_believed_within_reason() {
        assert_eq!(patience().after(busy(Some(0))).unwrap().1, Duration::ZERO);
        assert_eq!(patience().after(busy(Some(20))).unwrap().1, Duration::from_secs(20));
        assert!(patience().after(busy(Some(3600))).is_err());
    }

    #[test]
    fn what_would_fail_again_is_not_tried_again() {
        let network = |again| HubError::Network { url: String::new(), reason: String::new(), again };
        assert!(patience().after(network(true)).is_ok());
        assert!(patience().after(network(false)).is_err());
        assert!(patience().after(HubError::GivenUp).is_err());
    }

    #[test]
    fn chance_differs_and_stays_in_range() {
        let drawn: Vec<f64> = (0..8).map(|_| chance()).collect();
        assert!(drawn.iter().all(|x| (0.0..=1.0).contains(x)) && drawn.iter().any(|x| *x != drawn[0]));
    }
}
