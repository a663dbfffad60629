//! One file a command.

pub(crate) mod evaluate;
pub(crate) mod train;
