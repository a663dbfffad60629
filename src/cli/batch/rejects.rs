//! What could not be read: told, counted, and kept where that was asked for.

use super::lines::Lines;
use super::manifest::Counts;
use super::progress::Progress;
use super::settings::OnError;
use crate::cli::described;
use crate::cli::output::PendingFile;
use serde_json::Value;
use std::path::Path;
use undertone::formats::BadRecord;

/// Takes the records that could not be read.
pub(crate) struct Rejects {
    on_error: OnError,
    file: Option<RejectsFile>,
    /// How many were told; `None` if nobody is to be told.
    told: Option<usize>,
}

struct RejectsFile {
    lines: Lines,
    /// If it is to have its name only once it is complete.
    pending: Option<PendingFile>,
}

/// Bad records that are told one by one where a file keeps them all.
const TOLD: usize = 20;

impl Rejects {
    /// Rejects that, where there is a path, become a file when they are finished.
    pub(crate) fn whole(path: Option<&Path>, on_error: OnError) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let pending = PendingFile::create(path)?;
            let lines = Lines::new(path, pending.handle()?);
            anyhow::Ok(RejectsFile { lines, pending: Some(pending) })
        };
        Ok(Self { on_error, file: path.map(open).transpose()?, told: Some(0) })
    }

    /// Rejects that, where there is a path, go on behind the first `bytes` of that file; what it has behind them came from parts
    /// that were never finished.
    pub(crate) fn appended(path: Option<&Path>, bytes: u64, on_error: OnError) -> anyhow::Result<Self> {
        let open =
            |path: &Path| anyhow::Ok(RejectsFile { lines: Lines::behind(path, bytes)?, pending: None });
        Ok(Self { on_error, file: path.map(open).transpose()?, told: Some(0) })
    }

    /// Rejects that nobody wants to hear of again.
    pub(super) fn silent() -> Self {
        Self { on_error: OnError::Skip, file: None, told: None }
    }

    /// Notes a record that could not be read, or fails with it.
    pub(super) fn record(
        &mut self,
        bad: BadRecord,
        counts: &mut Counts,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        if self.on_error == OnError::Fail {
            return Err(anyhow::Error::new(bad).context(
                "a record cannot be read (to pass over such records use `--on-error skip` or `--rejects FILE`)",
            ));
        }
        match bad.line {
            Some(_) => counts.skipped += 1,
            None => counts.failed += 1,
        }
        count(&bad.reason, counts);
        self.tell(&bad, progress);
        let BadRecord { input, line, reason, record } = bad;
        // Bytes that are no text are kept as numbers: the file holds all that came in.
        let record = match String::from_utf8(record) {
            Ok(text) => Value::String(text),
            Err(error) => error.into_bytes().into(),
        };
        self.write(&serde_json::json!({"input": input, "line": line, "reason": reason, "record": record}))
    }

    /// Notes an input that could not be read, or fails with it.
    pub(super) fn input(
        &mut self,
        name: &str,
        error: anyhow::Error,
        counts: &mut Counts,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        if self.on_error == OnError::Fail {
            return Err(error);
        }
        counts.failed += 1;
        let reason = described(&error);
        count(&error.root_cause().to_string(), counts);
        self.tell(&reason, progress);
        self.write(&serde_json::json!({"input": name, "line": null, "reason": reason, "record": null}))
    }

    fn tell(&mut self, bad: &dyn std::fmt::Display, progress: &Progress) {
        let Some(told) = &mut self.told else { return };
        *told += 1;
        if self.file.is_none() || *told <= TOLD {
            progress.suspend(|| tracing::warn!("passed over {bad}"));
        }
        if self.file.is_some() && *told == TOLD {
            progress.suspend(|| tracing::warn!("more of them are only kept in the rejects"));
        }
    }

    fn write(&mut self, line: &Value) -> anyhow::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.lines.write(line))
    }

    /// Makes sure that all is on disk; how long the file now is, if there is one.
    pub(super) fn sync(&mut self) -> anyhow::Result<Option<u64>> {
        self.file.as_mut().map(|file| file.lines.sync()).transpose()
    }

    /// Gives the file its name, if it has none yet.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.sync()?;
        self.file.and_then(|file| file.pending).map_or(Ok(()), PendingFile::keep)
    }
}

/// Counts a reason under its kind: what stands before the remedy, with a sign in place of every number.
fn count(reason: &str, counts: &mut Counts) {
    let mut kind = String::new();
    for c in reason.split(';').next().unwrap_or_default().chars() {
        match c {
            '0'..='9' if kind.ends_with('#') => {}
            // The 8 of UTF-8 is no number.
            '0'..='9' if !kind.ends_with(|c: char| c.is_alphanumeric() || c == '-') => kind.push('#'),
            c => kind.push(c),
        }
    }
    counts.add_reason(kind, 1);
}

/// What was passed over in a whole run, for its end; `None` if nothing was.
pub(super) fn summary(counts: &Counts) -> Option<String> {
    let Counts { skipped, failed, reasons, .. } = counts;
    let number = |count: u64, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {one}s")),
    };
    let what: Vec<String> =
        [number(*skipped, "record"), number(*failed, "input")].into_iter().flatten().collect();
    if what.is_empty() {
        return None;
    }
    let mut summary = format!("{} could not be read", what.join(" and "));
    let mut reasons: Vec<(&String, &u64)> = reasons.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (reason, count) in reasons {
        summary.push_str(&format!("\n  {count} x {reason}"));
    }
    Some(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(line: usize, reason: &str) -> BadRecord {
        BadRecord { input: "in".into(), line: Some(line), reason: reason.into(), record: b"x".to_vec() }
    }

    #[test]
    fn reasons_are_counted_by_kind_and_told_the_most_frequent_first() {
        let mut counts = Counts { skipped: 3, failed: 1, ..Counts::default() };
        for reason in
            ["no text", "byte 12 is not UTF-8; convert it", "byte 7 is not UTF-8; convert it", "gone"]
        {
            count(reason, &mut counts);
        }
        let told = summary(&counts).unwrap();
        let (first, rest) = told.split_once('\n').unwrap();
        assert_eq!(first, "3 records and 1 input could not be read");
        assert!(rest.starts_with("  2 x byte # is not UTF-8\n"), "{told}");
        assert_eq!(summary(&Counts::default()), None);
    }

    #[test]
    fn however_many_reasons_there_are_few_kinds_are_kept() {
        let mut counts = Counts::default();
        for number in 0..1000u32 {
            let name: String =
                number.to_string().chars().map(|c| char::from(c as u8 - b'0' + b'a')).collect();
            count(&format!("no field {name}"), &mut counts);
        }
        assert_eq!(counts.reasons.len(), 21);
        let mut total = counts.clone();
        for letter in 'a'..='z' {
            let mut part = Counts::default();
            part.add_reason(letter.into(), 1);
            total.add(&part);
        }
        assert_eq!(total.reasons.len(), 21, "nor in the sum of many parts");
        assert_eq!(total.reasons.values().sum::<u64>(), 1026);
        assert_eq!(counts.reasons.values().sum::<u64>(), 1000);
    }

    #[test]
    fn rejects_that_go_on_drop_what_no_finished_part_has_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejects.jsonl");
        let (mut counts, quiet) = (Counts::default(), Progress::hidden());
        let mut rejects = Rejects::appended(Some(&path), 0, OnError::Skip).unwrap();
        rejects.record(bad(1, "first"), &mut counts, &quiet).unwrap();
        let kept = rejects.sync().unwrap().unwrap();
        rejects.record(bad(2, "second"), &mut counts, &quiet).unwrap();
        rejects.sync().unwrap();
        drop(rejects);
        let mut rejects = Rejects::appended(Some(&path), kept, OnError::Skip).unwrap();
        rejects.record(bad(3, "third"), &mut counts, &quiet).unwrap();
        rejects.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("first") && !text.contains("second") && text.contains("third"), "{text}");
        let error = Rejects::appended(Some(&path), 10_000, OnError::Skip).map(drop).unwrap_err();
        assert!(error.to_string().contains("the run has written 10000"), "{error}");
    }
}
