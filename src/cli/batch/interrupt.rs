//! Ctrl-C and its like: the first ends the run in order, the second at once.

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// What a run exits with that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

/// The run was asked to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

static FLAG: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From here on the signals that ask a program to end only raise [`interrupted`]. A second one ends it at once.
pub(crate) fn watch() -> anyhow::Result<()> {
    for signal in signals() {
        // In this order: the first signal finds the flag down and raises it.
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED.into(), FLAG.clone())
            .and_then(|_| signal_hook::flag::register(signal, FLAG.clone()))
            .context("signals cannot be caught")?;
    }
    Ok(())
}

/// Whether the run should end.
pub(super) fn interrupted() -> bool {
    FLAG.load(Ordering::Relaxed)
}

/// Those that whoever started the program has not asked it to ignore, as `nohup` does.
fn signals() -> Vec<i32> {
    #[cfg(unix)]
    let all = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
    #[cfg(not(unix))]
    let all = [SIGINT, SIGTERM];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    all.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect()
}

/// The mask of ignored signals in a process's status.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored_are_read_off_the_status() {
        assert_eq!(
            ignored("Name:\tundertone\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000440\n"),
            0x1001
        );
        assert_eq!(ignored("Name:\tundertone\n"), 0);
    }
}
