use std::ops::Range;

/// A stretch of pieces that goes through the encoder at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The pieces it reads.
    pub read: Range<usize>,
    /// The pieces whose tags it decides: those that have the most context here. The parts of all windows
    /// follow each other and cover every piece once.
    pub decide: Range<usize>,
}

/// Lays windows of at most `size` pieces over `pieces` pieces, neighbours sharing `overlap`.
///
/// One window where everything fits, also for nothing at all. A shared stretch is decided half by the window before and
/// half by the window behind.
///
/// # Panics
/// If `overlap` is not below `size`: no window would ever move on.
pub fn windows(pieces: usize, size: usize, overlap: usize) -> Vec<Window> {
    assert!(overlap < size, "windows of {size} pieces cannot share {overlap}");
    let mut windows: Vec<Window> = Vec::new();
    let mut start = 0;
    loop {
        let end = (start + size).min(pieces);
        let decide_from = match windows.last_mut() {
            Some(last) => {
                let middle = start + (last.read.end - start).div_ceil(2);
                last.decide.end = middle;
                middle
            }
            None => 0,
        };
        windows.push(Window { read: start..end, decide: decide_from..end });
        if end == pieces {
            return windows;
        }
        start += size - overlap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_is_one_window() {
        assert_eq!(windows(0, 8, 4), [Window { read: 0..0, decide: 0..0 }]);
        assert_eq!(windows(8, 8, 4), [Window { read: 0..8, decide: 0..8 }]);
    }

    #[test]
    fn a_shared_stretch_is_decided_where_it_has_more_context() {
        let expected = [Window { read: 0..8, decide: 0..6 }, Window { read: 4..12, decide: 6..12 }];
        assert_eq!(windows(12, 8, 4), expected);
    }

    proptest! {
        #[test]
        fn every_piece_is_decided_once_by_a_window_that_reads_it(
            pieces in 0usize..300, size in 1usize..40, share in 0.0f64..1.0
        ) {
            let overlap = ((size as f64 * share) as usize).min(size - 1);
            let windows = windows(pieces, size, overlap);
            let decided: Vec<usize> = windows.iter().flat_map(|w| w.decide.clone()).collect();
            prop_assert_eq!(decided, (0..pieces).collect::<Vec<_>>());
            for window in windows {
                prop_assert!(window.read.len() <= size);
                prop_assert!(window.read.start <= window.decide.start && window.decide.end <= window.read.end);
            }
        }
    }
}
