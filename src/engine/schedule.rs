//! Which sequences go through the encoder together, and on which thread.

use super::EngineError;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tokens in one batch, padding included: small enough that its states stay in the cache of a core.
const BATCH_TOKENS: usize = 512;

/// Groups rows of about one length, longest first, so that little is padded and the last batches are short ones.
pub(super) fn batches(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for row in order {
        match batches.last_mut() {
            // Two for the special tokens; the first row of a batch is its longest.
            Some(batch) if (batch.len() + 1) * (lengths[batch[0]] + 2) <= BATCH_TOKENS => batch.push(row),
            _ => batches.push(vec![row]),
        }
    }
    batches
}

/// Runs `job(0..jobs)` on `threads` threads that take the next job when they are free; results in order of jobs.
pub(super) fn parallel<T: Send>(
    jobs: usize,
    threads: usize,
    job: impl Fn(usize) -> Result<T, EngineError> + Sync,
) -> Result<Vec<T>, EngineError> {
    if threads <= 1 || jobs <= 1 {
        return (0..jobs).map(job).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= jobs {
                        break;
                    }
                    let result = job(i);
                    done.lock().expect("no thread panics while it pushes").push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics while it pushes");
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_batch_and_batches_keep_their_budget() {
        let lengths: Vec<usize> = (0..500).map(|i| i * 7919 % 300).chain([5000]).collect();
        let batches = batches(&lengths);
        let mut rows: Vec<usize> = batches.concat();
        rows.sort();
        assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
        for batch in &batches {
            assert!(batch.len() == 1 || batch.len() * (lengths[batch[0]] + 2) <= BATCH_TOKENS);
        }
    }

    #[test]
    fn results_come_back_in_order_and_the_first_error_wins() {
        assert_eq!(parallel(50, 3, |i| Ok(i * 2)).unwrap(), (0..50).map(|i| i * 2).collect::<Vec<_>>());
        let failed = parallel(9, 2, |i| {
            if i % 4 == 3 { Err(candle_core::Error::Msg(format!("job {i}")).into()) } else { Ok(()) }
        });
        assert!(failed.unwrap_err().to_string().contains("job 3"));
    }
}
