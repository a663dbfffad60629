//! `undertone verify-run`: whether what a run has written is what it would write again.

use crate::cli::batch::{Sample, verify, watch_for_interrupts};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;
use undertone::engine::DeviceChoice;

/// Check a folder that a run has written: its parts, its inputs, its model, and some parts computed again
#[derive(clap::Args)]
#[command(after_help = "Example:  undertone verify-run out/ --parts 3")]
pub(crate) struct VerifyRunArgs {
    /// The folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Parts to compute again, by lot
    #[arg(long, value_name = "N", default_value_t = 1)]
    parts: usize,
    /// What the lot is drawn with; the same seed chooses the same parts [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where the model is now [default: where it was]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Where the model runs [default: where it ran]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// Threads that work at the same time [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// `undertone verify-run`
pub(crate) fn run(args: VerifyRunArgs) -> anyhow::Result<ExitCode> {
    watch_for_interrupts()?;
    let VerifyRunArgs { folder, parts, seed, model, device, threads } = args;
    let time = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
    let seed = seed.unwrap_or_else(time);
    verify(&folder, &Sample { parts, seed, model, device, threads })
}
