//! Inputs that nobody would write by hand: laws replayed on what fuzzing knows, and whole runs that go on.

#[path = "../../fuzz/laws/mod.rs"]
mod laws;

use crate::cli::root;
use std::fs;

/// Seeds and what fuzzing once found, in folders by the name of their law.
#[test]
fn what_fuzzing_knows_holds() {
    for (law, _) in laws::LAWS {
        let mut inputs = 0;
        for folder in ["seeds", "regressions"] {
            let folder = root().join("fuzz").join(folder).join(law);
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                eprintln!("{}", path.display());
                laws::run(law, &fs::read(&path).unwrap());
                inputs += 1;
            }
        }
        assert!(inputs > 0, "{law} has no seeds");
    }
}
