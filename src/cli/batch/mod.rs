//! A run over many texts: read, predicted and written at the same time, in parts that an interruption cannot harm.

mod chunks;
mod folder;
mod interrupt;
mod lines;
mod manifest;
mod pipeline;
mod places;
mod progress;
mod rejects;
mod run;
mod settings;
mod verify;
mod writer;

pub(crate) use folder::RunFolder;
pub(crate) use interrupt::{INTERRUPTED, Interrupted, watch as watch_for_interrupts};
pub(crate) use manifest::Model;
pub(crate) use places::{refuse_among_inputs, refuse_in_use};
pub(crate) use rejects::Rejects;
pub(crate) use run::Run;
pub(crate) use settings::{Arithmetic, Command, OnError, Settings, SpecialTokens, Strategy, Unit};
pub(crate) use verify::{Sample, verify};
