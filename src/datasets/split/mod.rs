mod reading;
mod stratify;

use crate::formats::{FormatError, LabelledFormat, LabelledOptions, read_labelled};
use reading::{Reading, Tied};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use stratify::{Group, stratify};

/// How a file is divided.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitOptions {
    /// Share of each part, above 0; together 1.
    pub shares: Vec<f64>,
    /// Field with the date (ISO 8601) by which articles are ordered, the oldest in the first part; else every part gets its
    /// share of every label and entity type.
    pub date_field: Option<String>,
    /// Jaccard similarity of word 3-shingles from which on texts stay on one side with their articles; `None`: all may part.
    pub similarity: Option<f64>,
    /// Chance decides between articles that are equally fit; the same seed decides alike.
    pub seed: u64,
}

/// Why a file cannot be divided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// It cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its records do not stand on lines of their own, so that they cannot be copied.
    #[error(
        "{path}: only files with records on lines of their own can be divided\n\nhint: `undertone datasets convert {path} --to sentences -o sentences.jsonl` writes such a file"
    )]
    NoLines {
        /// The file.
        path: PathBuf,
    },
    /// A part would be empty.
    #[error(
        "part {part} of {parts} would be empty: {groups} to deal out, counting articles that stay together as one"
    )]
    EmptyPart {
        /// Which one, from 1.
        part: usize,
        /// Parts in all.
        parts: usize,
        /// What there is to deal out.
        groups: usize,
    },
    /// A part cannot be written.
    #[error("cannot write part {part}: {source}")]
    Write {
        /// Which one, from 1.
        part: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What goes where.
#[derive(Debug, Clone, PartialEq)]
pub struct Division {
    path: PathBuf,
    format: LabelledFormat,
    /// Line that a record begins on, and its part.
    records: Vec<(usize, usize)>,
    /// What each part gets.
    pub parts: Vec<Part>,
    /// Articles that stay with others because of near-duplicates.
    pub tied: usize,
    /// Sentences of the largest group of articles that stay together.
    pub largest: usize,
}

/// What a part gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Articles; a sentence without one is one of its own.
    pub articles: usize,
    /// Sentences.
    pub sentences: usize,
    /// Sentences that are annotated as having no label.
    pub without_label: usize,
    /// Sentences by label.
    pub labels: BTreeMap<String, usize>,
    /// Entities by type.
    pub entities: BTreeMap<String, usize>,
    /// Dates of its oldest and its newest article, if the file is divided by date.
    pub dates: Option<(String, String)>,
}

/// Decides what goes where of a file that is read as `labelled` says; an article is never torn. Of the sentences only hashes
/// are kept.
///
/// # Errors
/// If the file cannot be read, something is wrong with a sentence, a date is missing, or a part would be empty.
pub fn divide(
    path: &Path,
    labelled: &LabelledOptions,
    options: &SplitOptions,
) -> Result<Division, SplitError> {
    let format = labelled.format_of(path)?;
    if !has_lines(path, format).map_err(|source| FormatError::File { path: path.to_owned(), source })? {
        return Err(SplitError::NoLines { path: path.to_owned() });
    }
    let mut reading = Reading::default();
    for read in read_labelled(path, LabelledOptions { format: Some(format), ..labelled.clone() })? {
        let read = read?;
        let line = read.line;
        let sentence = read.gold(path)?;
        reading.note(line, &sentence, options).map_err(|reason| FormatError::Line {
            path: path.to_owned(),
            line,
            reason,
        })?;
    }
    let (owners, tied) = reading.owners(options.similarity);
    let groups = reading.groups(&owners);
    let part_of = match options.date_field {
        Some(_) => by_date(&groups, &options.shares),
        None => {
            let groups: Vec<Group> = groups.iter().map(|group| group.group.clone()).collect();
            stratify(&groups, reading.names.len(), &options.shares)
        }
    };
    let parts = reading.parts(&groups, &part_of, options.shares.len());
    if let Some(empty) = parts.iter().position(|part| part.sentences == 0) {
        return Err(SplitError::EmptyPart { part: empty + 1, parts: parts.len(), groups: groups.len() });
    }
    let largest = groups.iter().map(|group| group.group.size).max().unwrap_or_default();
    let mut part_of_owner = HashMap::new();
    for (group, part) in groups.iter().zip(part_of) {
        part_of_owner.insert(group.owner, part);
    }
    let record = |&(line, article): &(usize, usize)| (line, part_of_owner[&owners[article]]);
    let records = reading.records.iter().map(record).collect();
    Ok(Division { path: path.to_owned(), format, records, parts, tied, largest })
}

impl Division {
    /// Copies the records of the file, byte by byte and in order, each to the writer of its part.
    ///
    /// # Errors
    /// If the file cannot be read or a part cannot be written.
    pub fn copy<W: Write>(&self, parts: &mut [W]) -> Result<(), SplitError> {
        let fail = |source| FormatError::File { path: self.path.clone(), source };
        let mut reader = BufReader::new(File::open(&self.path).map_err(fail)?);
        let mut write = |part: usize, bytes: &[u8]| {
            parts[part].write_all(bytes).map_err(|source| SplitError::Write { part: part + 1, source })
        };
        let mut records = self.records.iter().peekable();
        // The part of the record that is being copied; lines that belong to the record to come (`-DOCSTART-`).
        let (mut part, mut heading) = (None, Vec::new());
        // The names of columns are for every part.
        let mut header = matches!(self.format, LabelledFormat::Csv | LabelledFormat::Tsv);
        let is_delimited = header || self.format == LabelledFormat::Conflibert;
        let (mut line, mut number) = (Vec::new(), 0);
        while reader.read_until(b'\n', &mut line).map_err(fail)? > 0 {
            number += 1;
            if header && records.peek().is_none_or(|(start, _)| number < *start) {
                (0..self.parts.len()).try_for_each(|part| write(part, &line))?;
                line.clear();
                continue;
            }
            header = false;
            if let Some(&(_, next)) = records.next_if(|(start, _)| *start == number) {
                write(next, &heading)?;
                write(next, &line)?;
                heading.clear();
                part = Some(next);
            } else if let Some(part) = part.filter(|_| is_delimited) {
                // A quoted value goes on over lines.
                write(part, &line)?;
            } else if self.format == LabelledFormat::Conll {
                match part {
                    Some(part) if heading.is_empty() && !is_heading(&line) => write(part, &line)?,
                    _ => heading.extend_from_slice(&line),
                }
            }
            line.clear();
        }
        part.map_or(Ok(()), |part| write(part, &heading))
    }
}

/// Whether the records of a file stand on lines of their own, or on several.
fn has_lines(path: &Path, format: LabelledFormat) -> std::io::Result<bool> {
    if format == LabelledFormat::Brat || !path.is_file() {
        return Ok(false);
    }
    if matches!(
        format,
        LabelledFormat::Csv | LabelledFormat::Tsv | LabelledFormat::Conflibert | LabelledFormat::Conll
    ) {
        return Ok(true);
    }
    // An array begins with a bracket and a record; a line that is a pair of a text and its marks with a bracket and the text.
    let bytes = BufReader::new(File::open(path)?).bytes().filter(|byte| {
        byte.as_ref().map_or(true, |byte| !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(byte))
    });
    let first = bytes.take(2).collect::<std::io::Result<Vec<u8>>>()?;
    Ok(!matches!(first[..], [b'[', b'{' | b'[' | b']']))
}

fn is_heading(line: &[u8]) -> bool {
    line.split(u8::is_ascii_whitespace).find(|column| !column.is_empty()) == Some(b"-DOCSTART-")
}

/// Cuts the groups, ordered by their newest article, so that no part has seen what is newer than the next one's oldest group.
fn by_date(groups: &[Tied], shares: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&number| {
        (groups[number].dates.as_ref().map(|(_, newest)| newest), groups[number].owner)
    });
    let all: usize = groups.iter().map(|tied| tied.group.size).sum();
    let mut part_of = vec![0; groups.len()];
    let mut before = 0;
    for number in order {
        let size = groups[number].group.size;
        let middle = (before as f64 + size as f64 / 2.0) / all as f64;
        let mut ends = shares.iter().scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        });
        part_of[number] = ends.position(|end| middle < end).unwrap_or(shares.len() - 1);
        before += size;
    }
    part_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(shares: &[f64]) -> SplitOptions {
        SplitOptions { shares: shares.to_vec(), date_field: None, similarity: Some(0.6), seed: 1 }
    }

    fn divided(content: &[u8], options: &SplitOptions) -> Result<(Division, Vec<String>), SplitError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, content).unwrap();
        let division = divide(&path, &LabelledOptions::default(), options)?;
        let mut parts = vec![Vec::new(); options.shares.len()];
        division.copy(&mut parts)?;
        Ok((division, parts.into_iter().map(|part| String::from_utf8(part).unwrap()).collect()))
    }

    fn record(article: usize, text: &str, date: &str) -> String {
        let date = if date.is_empty() { String::new() } else { format!(",\"date\":\"{date}\"") };
        format!("{{\"text\":\"{text}\", \"article\":\"a{article}\",\"labels\":[]{date}}}\n")
    }

    #[test]
    fn articles_are_never_torn_and_records_are_copied_byte_by_byte() {
        let content: String = (0..200).map(|i| record(i % 50, &format!("Text {i}"), "") + "\n").collect();
        let (division, parts) = divided(content.as_bytes(), &options(&[0.6, 0.4])).unwrap();
        assert_eq!(
            division.parts.iter().map(|p| (p.articles, p.sentences)).collect::<Vec<_>>(),
            [(30, 120), (20, 80)]
        );
        let mut lines: Vec<&str> = parts.iter().flat_map(|part| part.lines()).collect();
        let article = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["article"].as_str().unwrap().to_owned()
        };
        let [first, second] = [&parts[0], &parts[1]]
            .map(|part| part.lines().map(article).collect::<std::collections::BTreeSet<_>>());
        assert!(first.is_disjoint(&second));
        lines.sort_unstable();
        let mut expected: Vec<&str> = content.lines().filter(|line| !line.is_empty()).collect();
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }

    #[test]
    fn documents_of_columns_go_with_their_heading() {
        let document = |i: usize| {
            format!(
                "-DOCSTART- -X- O\r\n\r\nEU NNP B-ORG\r\nmet VBD O\r\n\r\nin IN O\r\nLima{i} NNP B-LOC\r\n\r\n"
            )
        };
        let content: String = (0..10).map(document).collect();
        let content = content.trim_end();
        let (division, parts) = divided(content.as_bytes(), &options(&[0.5, 0.5])).unwrap();
        assert_eq!(division.parts[0].entities, BTreeMap::from([("LOC".into(), 5), ("ORG".into(), 5)]));
        for i in 0..10 {
            let document = document(i);
            assert_eq!(parts.iter().filter(|part| part.contains(document.trim_end())).count(), 1);
        }
        assert_eq!(parts.iter().map(String::len).sum::<usize>(), content.len());
    }

    #[test]
    fn a_heading_without_a_blank_line_before_it_goes_with_its_document() {
        let document = |i: usize| format!("-DOCSTART- O\nLima{i} B-LOC\n\n-DOCSTART-{i} O\n");
        let content: String = (0..10).map(document).collect();
        let (_, parts) = divided(content.as_bytes(), &options(&[0.5, 0.5])).unwrap();
        for i in 0..10 {
            assert_eq!(parts.iter().filter(|part| part.contains(&document(i))).count(), 1, "{parts:?}");
        }
        assert!(parts.iter().all(|part| part.matches("-DOCSTART- O\n").count() == 5), "{parts:?}");
    }

    #[test]
    fn pairs_on_lines_can_be_divided_and_a_label_that_is_there_twice_counts_once() {
        let pair = |i: usize| format!("[\"Text {i}\", {{\"cats\": {{\"x\": {}}}}}]\n", i % 2);
        let content: String = (0..10).map(pair).collect();
        let (division, _) = divided(content.as_bytes(), &options(&[0.5, 0.5])).unwrap();
        assert_eq!(division.parts[0].sentences, 5);
        let twice = |i: usize| format!("{{\"text\": \"Text {i}\", \"labels\": [\"x\", \"x\"]}}\n");
        let content: String = (0..10).map(twice).collect();
        let (division, _) = divided(content.as_bytes(), &options(&[0.5, 0.5])).unwrap();
        assert_eq!(division.parts[0].labels["x"], 5);
    }

    #[test]
    fn every_part_of_a_table_has_its_header_and_quoted_lines_stay_whole() {
        let rows: String = (0..10).map(|i| format!("\"{i} said:\n\nno, never\",x\n")).collect();
        let (_, parts) = divided(format!("text,label\n{rows}").as_bytes(), &options(&[0.5, 0.5])).unwrap();
        for part in &parts {
            assert!(part.starts_with("text,label\n"));
            assert_eq!(part.matches(" said:\n\nno, never\",x\n").count(), 5, "{part}");
        }
    }

    #[test]
    fn sentences_of_columns_without_documents_are_dealt_out_one_by_one() {
        let content = "\n\na O\n\n\nb O\nc O\n\nd O\n\ne O";
        let (division, parts) = divided(content.as_bytes(), &options(&[0.5, 0.5])).unwrap();
        assert_eq!((division.parts[0].sentences, division.parts[1].sentences), (2, 2));
        let lines = |text: &str| text.lines().filter(|line| !line.is_empty()).count();
        assert_eq!(lines(&parts[0]) + lines(&parts[1]), lines(content));
    }

    #[test]
    fn articles_with_near_duplicates_stay_together() {
        let shared =
            "The minister said on Monday that the talks in Geneva would go on for another week at least";
        let content: String = (0..40)
            .map(|i| match i {
                3 => record(i, shared, ""),
                30 => record(i, &shared.replace("Monday", "Friday"), ""),
                35 => record(i, &shared.to_uppercase(), ""),
                _ => record(i, &format!("Nothing of note was seen by anyone in town {i} {i} {i}"), ""),
            })
            .collect();
        for seed in 0..20 {
            let (division, parts) =
                divided(content.as_bytes(), &SplitOptions { seed, ..options(&[0.5, 0.5]) }).unwrap();
            assert_eq!((division.tied >= 3, division.largest >= 3), (true, true));
            let count = parts[0].to_lowercase().matches("geneva").count();
            assert!(count == 0 || count == 3, "{count} of 3 in the first part");
        }
    }

    #[test]
    fn the_newest_articles_go_to_the_last_part() {
        let content: String =
            (0..10).map(|i| record(i, "x", &format!("2024-01-{:02}", 10 + (i * 7) % 10))).collect();
        let by_date = SplitOptions { date_field: Some("date".into()), ..options(&[0.8, 0.2]) };
        let (division, parts) = divided(content.as_bytes(), &by_date).unwrap();
        let dates = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
        assert_eq!(division.parts[0].dates, dates("2024-01-10", "2024-01-17"));
        assert_eq!(division.parts[1].dates, dates("2024-01-18", "2024-01-19"));
        assert_eq!((parts[0].lines().count(), parts[1].lines().count()), (8, 2));
    }

    #[test]
    fn what_cannot_be_divided_is_told() {
        let by_date = SplitOptions { date_field: Some("date".into()), ..options(&[0.8, 0.2]) };
        let cases = [
            (record(1, "x", ""), &by_date, "data:1: there is no `date`"),
            (record(1, "x", "May 5, 2024"), &by_date, "`date` is \"May 5, 2024\", which is no date"),
            ("{\n".into(), &options(&[0.5, 0.5]), "data:1: not a JSON record"),
            (format!("[{}]", record(1, "x", "")), &options(&[0.5, 0.5]), "records on lines of their own"),
            (record(1, "x", ""), &options(&[0.5, 0.5]), "would be empty: 1 to deal out"),
        ];
        for (content, options, expected) in cases {
            let error = divided(content.as_bytes(), options).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_record_is_in_exactly_one_part_whatever_the_seed(
            articles in prop::collection::vec((0usize..12, 0usize..3), 8..60),
            seed in any::<u64>(),
        ) {
            let content: String = articles.iter().enumerate().map(|(i, (article, label))| {
                format!("{{\"text\":\"number {i}\",\"article\":\"a{article}\",\"label\":\"l{label}\"}}\n")
            }).collect();
            match divided(content.as_bytes(), &SplitOptions { seed, ..options(&[0.5, 0.3, 0.2]) }) {
                Ok((_, parts)) => {
                    let mut lines: Vec<&str> = parts.iter().flat_map(|part| part.lines()).collect();
                    let mut expected: Vec<&str> = content.lines().collect();
                    lines.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(lines, expected);
                }
                Err(error) => prop_assert!(matches!(error, SplitError::EmptyPart { .. }), "{}", error),
            }
        }
    }
}
