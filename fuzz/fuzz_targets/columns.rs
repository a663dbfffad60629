#![no_main]

#[path = "../laws/mod.rs"]
mod laws;

// The crates below us panic on what breaks their rules, and our readers catch that: no panic aborts that is caught.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| {})),
    |data: &[u8]| laws::run("columns", data)
);
