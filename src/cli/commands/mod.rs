//! One file a command; `classify`, `ner` and `analyze` are one, `read`.

pub(crate) mod calibrate;
pub(crate) mod config;
pub(crate) mod datasets;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod manual;
pub(crate) mod models;
pub(crate) mod read;
pub(crate) mod train;
pub(crate) mod verify_run;
