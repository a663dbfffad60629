//! What must hold whatever bytes come in: run by the fuzzers, and by an ordinary test on seeds and regressions.

mod answers;
mod bundle;
mod columns;
mod documents;
mod fixture;
mod labelled;
mod sentences;
mod settings;
mod tags;
mod words;

/// A law: it panics where it does not hold.
pub(crate) type Law = fn(&[u8]);

/// Every law under the name of its fuzz target and of its folders of inputs.
pub(crate) const LAWS: [(&str, Law); 9] = [
    ("answers", answers::law),
    ("bundle", bundle::law),
    ("columns", columns::law),
    ("documents", documents::law),
    ("labelled", labelled::law),
    ("sentences", sentences::law),
    ("settings", settings::law),
    ("tags", tags::law),
    ("words", words::law),
];

/// Runs the law of a fuzz target.
pub(crate) fn run(name: &str, data: &[u8]) {
    let (_, law) = LAWS.iter().find(|(law, _)| *law == name).expect("the law of a fuzz target");
    law(data);
}
