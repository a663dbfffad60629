use super::rows::begins;
use super::{Report, SentenceRecord, visible};
use anstyle::{AnsiColor, Effects, Style};
use serde_json::Value;
use std::io::{Result, Write};

/// A table for people: number, labels with their probabilities, the sentence, its entities.
///
/// Colours are ANSI sequences; wrap the writer in one that strips them where they are not wanted. Nothing rests on
/// colour alone.
#[derive(Debug)]
pub struct TableReport<W> {
    out: W,
    width: usize,
    /// The text whose sentences are being written.
    current: Option<Value>,
}

/// Columns before the sentence: number, label, probability.
const MARGIN: usize = 4 + 2 + LABEL + 2;
/// Width of a label and its probability.
const LABEL: usize = 18;
const DIM: Style = Style::new().effects(Effects::DIMMED);
const BOLD: Style = Style::new().effects(Effects::BOLD);
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Red,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
];

impl<W: Write> TableReport<W> {
    /// A table on `out`, `width` columns wide (at least 60 are used).
    pub fn new(out: W, width: usize) -> Self {
        Self { out, width: width.max(60), current: None }
    }
}

impl<W: Write> Report for TableReport<W> {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        if begins(record, self.current.as_ref()) {
            if self.current.is_some() {
                writeln!(self.out)?;
            }
            let name = record.id.as_str().map_or_else(|| record.id.to_string(), str::to_owned);
            writeln!(self.out, "{BOLD}{}{BOLD:#}", printable(&name))?;
            self.current = Some(record.id.clone());
        }
        let right = self.width - MARGIN;
        let sentence = textwrap::wrap(&printable(&record.text), right)
            .into_iter()
            .map(|line| (line.into_owned(), Style::new()))
            .collect::<Vec<_>>();
        let names: Vec<String> = record
            .entities
            .iter()
            .flatten()
            .map(|entity| format!("{} {}", printable(&entity.text), printable(&entity.label)))
            .collect();
        // Nothing wraps to one empty line.
        let names = textwrap::wrap(&names.join(" · "), right)
            .into_iter()
            .filter(|line| !line.is_empty())
            .map(|line| (line.into_owned(), DIM))
            .collect::<Vec<_>>();
        let lines: Vec<(String, Style)> = sentence.into_iter().chain(names).collect();
        let labels = labels(record);
        for row in 0..lines.len().max(labels.len()) {
            match row {
                0 => write!(self.out, "{DIM}{:>4}{DIM:#}  ", record.sentence)?,
                _ => write!(self.out, "{:6}", "")?,
            }
            match labels.get(row) {
                Some((label, style)) => write!(self.out, "{style}{label:<LABEL$}{style:#}  ")?,
                None => write!(self.out, "{:1$}", "", LABEL + 2)?,
            }
            match lines.get(row) {
                Some((line, style)) => writeln!(self.out, "{style}{line}{style:#}")?,
                None => writeln!(self.out)?,
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

/// The labels that apply, each with its probability and its colour; a dash where none does.
fn labels(record: &SentenceRecord) -> Vec<(String, Style)> {
    let Some(stance) = &record.stance else { return Vec::new() };
    if record.abstained == Some(true) {
        return vec![("abstained".to_owned(), DIM)];
    }
    if stance.is_empty() {
        return vec![("-".to_owned(), DIM)];
    }
    let scores = record.scores.iter().flatten().enumerate();
    scores
        .filter(|(_, (label, _))| stance.contains(label))
        .map(|(i, (label, score))| {
            let colour = COLOURS[i % COLOURS.len()];
            (format!("{} {score:.2}", printable(label)), Style::new().fg_color(Some(colour.into())).bold())
        })
        .collect()
}

/// One line without control characters, so that no text can steer the terminal.
pub(super) fn printable(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;

    fn table(records: &[SentenceRecord], width: usize) -> String {
        let mut out = Vec::new();
        let mut report = TableReport::new(&mut out, width);
        records.iter().for_each(|record| report.sentence(record).unwrap());
        let out = String::from_utf8(out).unwrap();
        // Style sequences end in `m`.
        out.split('\x1b')
            .enumerate()
            .map(|(i, s)| if i == 0 { s } else { s.split_once('m').unwrap().1 })
            .collect()
    }

    #[test]
    fn a_text_is_named_once_and_its_sentences_follow() {
        let second = SentenceRecord { sentence: 2, ..record() };
        let shown = table(&[record(), second], 80);
        assert_eq!(shown.matches("a, b.txt").count(), 1);
        assert!(shown.contains("   1  condemnation 0.98   We condemn Zürich, they say.\n"), "{shown}");
        assert!(shown.contains("                          Zürich LOC\n"), "{shown}");
    }

    #[test]
    fn another_text_of_the_same_name_is_named_again() {
        let shown = table(&[record(), record()], 80);
        assert_eq!(shown.matches("a, b.txt\n   1  ").count(), 2, "{shown}");
    }

    #[test]
    fn labels_of_a_model_cannot_steer_the_terminal() {
        let mut record = record();
        let label = "\x1b]0;label".to_owned();
        record.stance = Some(vec![label.clone()]);
        record.scores = Some(vec![(label.clone(), 0.5)]);
        record.entities.as_mut().unwrap()[0].label = label;
        assert_eq!(table(&[record], 80).matches("\u{fffd}]0;label").count(), 2);
    }

    #[test]
    fn long_sentences_are_wrapped_and_control_characters_are_shown_as_such() {
        let mut long = record();
        long.text = "word ".repeat(40) + "\x1b[31mred";
        long.stance = Some(Vec::new());
        let shown = table(&[long], 60);
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
        assert!(shown.contains("\u{fffd}[31mred") && shown.contains("   1  - "));
    }
}
