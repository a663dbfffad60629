//! The model inside the program, on the article that ships with the repository.

use crate::cli::{records, root, succeeds, under, undertone};
use serde_json::Value;

fn analyze(text: &str) -> Vec<Value> {
    records(&succeeds(undertone().arg("analyze").write_stdin(text)))
}

/// The labels of the one sentence that holds `words`.
fn stance(found: &[Value], words: &str) -> Vec<String> {
    let record = found.iter().find(|r| r["text"].as_str().unwrap().contains(words)).expect(words);
    record["stance"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_article_that_ships_is_read_as_a_person_reads_it() {
    let path = root().join("datasets/examples/summit.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let found = records(&succeeds(undertone().arg("analyze").arg(&path)));
    assert!(stance(&found, "“strongly condemn”").contains(&"condemnation".to_owned()));
    assert!(stance(&found, "reaffirmed their commitment").contains(&"reassurance".to_owned()));
    assert!(stance(&found, "may prove advantageous").contains(&"speculation".to_owned()));
    assert!(stance(&found, "The U.N. Security Council will take up").is_empty());

    let names: Vec<(&str, &str)> = found
        .iter()
        .flat_map(|r| r["entities"].as_array().unwrap())
        .map(|e| (e["text"].as_str().unwrap(), e["label"].as_str().unwrap()))
        .collect();
    for expected in [
        ("Raymond J. Halloran", "PER"),
        ("Estonia", "LOC"),
        ("United States", "LOC"),
        ("NATO", "ORG"),
        ("Belarusian", "MISC"),
    ] {
        assert!(names.contains(&expected), "{expected:?} is not among {names:?}");
    }
    for record in &found {
        assert_eq!(record["text"], under(&text, record));
        assert!(record["entities"].as_array().unwrap().iter().all(|e| e["text"] == under(&text, e)));
    }
}

#[test]
fn each_stance_is_told_from_the_others() {
    let found = analyze(
        "Ministers strongly condemned the attack on the hospital.\n\nDeposits are safe and there is no cause for alarm, the \
         central bank said.\n\nAnalysts say the talks could still collapse.\n\nThe committee met on Monday.\n",
    );
    assert_eq!(stance(&found, "condemned"), ["condemnation"]);
    assert_eq!(stance(&found, "Deposits"), ["reassurance"]);
    assert_eq!(stance(&found, "Analysts"), ["speculation"]);
    assert!(stance(&found, "committee").is_empty());
}

#[test]
fn a_sentence_longer_than_the_window_is_read_to_its_end() {
    let read = |end: &str| {
        let long = format!("The list names {}{end}", "one more town, ".repeat(400));
        let mut command = undertone();
        command.args(["analyze", "--no-split"]).write_stdin(long);
        let found = records(&succeeds(&mut command));
        assert_eq!(found.len(), 1);
        let names = found[0]["entities"].as_array().unwrap();
        assert_eq!(names.last().unwrap()["text"], "Peru");
        (stance(&found, "The list"), found[0]["scores"]["condemnation"].as_f64().unwrap())
    };
    // One blaming clause among 800 harmless tokens need not decide, but it must be seen.
    let (blame, calm) =
        (read("and ministers strongly condemn the attack on Peru.").1, read("and it ends with Peru.").1);
    assert!(blame > 10.0 * calm, "{blame} with blame at the end, {calm} without");
    let (stance, _) =
        read("and ministers strongly condemn the barbaric attack as a shameful crime against Peru.");
    assert_eq!(stance, ["condemnation"]);
}
