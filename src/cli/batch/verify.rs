//! Whether a folder of parts still is what its run has written, and whether the same would be written again.

use super::folder::unlisted;
use super::lines;
use super::manifest::{
    Counts, Digest, INPUTS, Input, InputList, MANIFEST, Manifest, PARTS, Part, VERSION, names_sha256,
};
use super::run::Run;
use super::settings::Settings;
use crate::cli::input::STDIN;
use crate::cli::misuse;
use crate::cli::model::{engine, optional_folder};
use crate::cli::output::{Compression, Form, Format};
use anyhow::Context;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tempfile::NamedTempFile;
use undertone::engine::{DeviceChoice, Engine};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What is to be computed again, and where.
pub(crate) struct Sample {
    /// How many parts.
    pub(crate) parts: usize,
    /// Chooses them.
    pub(crate) seed: u64,
    /// In place of the model's place in the run.
    pub(crate) model: Option<PathBuf>,
    /// In place of the run's device.
    pub(crate) device: Option<DeviceChoice>,
    pub(crate) threads: Option<u16>,
}

/// Checks a folder, and tells on standard output what is as it was and what is not.
pub(crate) fn verify(folder: &Path, sample: &Sample) -> anyhow::Result<ExitCode> {
    let manifest = manifest(folder)?;
    let mut findings = Findings::default();
    if !manifest.complete {
        findings.differs("the run is not complete: the same command with `--resume` goes on");
    }
    if manifest.undertone != VERSION {
        println!("note: the run is of undertone {}, and this is {VERSION}", manifest.undertone);
    }
    let listed: Vec<Part> =
        lines::read(&folder.join(PARTS), manifest.parts.list_bytes)?.collect::<Result<_, _>>()?;
    let read: Vec<Input> =
        lines::read(&folder.join(INPUTS), manifest.inputs.list_bytes)?.collect::<Result<_, _>>()?;
    parts(folder, &manifest, &listed, &mut findings)?;
    inputs(&manifest, &read, &mut findings)?;
    let model = sample.model.clone().or_else(|| manifest.model.name.clone().map(PathBuf::from));
    let model = optional_folder(model.as_deref())?;
    let device = match sample.device {
        Some(device) => device,
        None => manifest.settings.device.parse().map_err(misuse)?,
    };
    let engine = engine(model.as_deref(), device, manifest.settings.precision)?;
    let digests = engine.bundle().digests(model.as_deref())?;
    if digests == manifest.model.digests {
        println!("model: the same");
    } else {
        findings.differs("model: it is another (SHA-256)");
    }
    let engine = match sample.threads {
        Some(threads) => engine.with_threads(threads.into()),
        None => engine,
    };
    let engine = Arc::new(manifest.settings.adapt(engine)?);
    for part in chosen(&listed, sample) {
        compute(folder, &manifest.settings, &read, part, &engine, &mut findings)?;
    }
    println!("{}", findings.told());
    Ok(if findings.count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is not as it was.
#[derive(Default)]
struct Findings {
    count: usize,
}

impl Findings {
    fn differs(&mut self, finding: impl std::fmt::Display) {
        self.count += 1;
        println!("{finding}");
    }

    fn told(&self) -> String {
        match self.count {
            0 => "verified".into(),
            1 => "1 difference".into(),
            count => format!("{count} differences"),
        }
    }
}

fn manifest(folder: &Path) -> anyhow::Result<Manifest> {
    let wrong = |what: &str| misuse(format!("{}: {what}", folder.display()));
    match std::fs::metadata(folder) {
        Err(error) => Err(wrong(&error.to_string())),
        Ok(found) if !found.is_dir() => Err(wrong(
            "it is a file, of which nothing is recorded that could be verified; runs that write to a folder (`--output out/`) can be",
        )),
        Ok(_) => Manifest::read(folder)?.ok_or_else(|| {
            wrong(&format!(
                "it has no {MANIFEST}: no run with `--output {}/` has written to it",
                folder.display()
            ))
        }),
    }
}

fn parts(folder: &Path, manifest: &Manifest, parts: &[Part], findings: &mut Findings) -> anyhow::Result<()> {
    let before = findings.count;
    for part in parts {
        if let Some(difference) = part.digest.difference(&folder.join(&part.name))? {
            findings.differs(format_args!("{}: {difference}", part.name));
        }
    }
    for name in unlisted(folder, &parts.iter().map(|part| part.name.clone()).collect())? {
        findings.differs(format_args!("{name}: it is not listed in {PARTS}"));
    }
    let mut totals = Counts::default();
    parts.iter().for_each(|part| totals.add(&part.counts));
    if (parts.len(), &totals) != (manifest.parts.count, &manifest.totals) {
        findings.differs(format_args!("{MANIFEST}: its totals are not those of {PARTS}"));
    }
    if let (Some(rejects), Some(bytes)) = (&manifest.settings.rejects, manifest.rejects_bytes) {
        let found = std::fs::metadata(rejects).map_or(0, |found| found.len());
        if found != bytes {
            findings.differs(format_args!("{}: it had {bytes} bytes and has {found}", rejects.display()));
        }
    }
    if findings.count == before {
        println!("parts: all {} as they were written", parts.len());
    }
    Ok(())
}

fn inputs(manifest: &Manifest, inputs: &[Input], findings: &mut Findings) -> anyhow::Result<()> {
    let before = findings.count;
    let InputList { count, names_sha256: names, .. } = &manifest.inputs;
    if inputs.len() == *count && names_sha256(inputs.iter().map(|input| input.path.as_path())) != *names {
        findings.differs(format_args!("{INPUTS}: it names others than the run has read"));
    }
    for input in inputs {
        if let Some(difference) = input.difference()? {
            findings.differs(difference);
        }
    }
    if findings.count == before {
        let known = inputs.iter().filter(|input| input.digest.is_some()).count();
        println!("inputs: {known} of {count} known, all as they were read");
    }
    Ok(())
}

/// Parts by lot.
fn chosen<'a>(parts: &'a [Part], sample: &Sample) -> Vec<&'a Part> {
    let mut parts: Vec<&Part> = parts.iter().collect();
    parts.sort_by_key(|part| xxh3_64_with_seed(part.name.as_bytes(), sample.seed));
    parts.truncate(sample.parts);
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    parts
}

/// Computes a part again and compares it.
fn compute(
    folder: &Path,
    settings: &Settings,
    inputs: &[Input],
    part: &Part,
    engine: &Arc<Engine>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    // An input of which nothing was read yet is none of the part's.
    let end = part.next.input + usize::from(part.next.record > 0);
    let sources = inputs.iter().take(end).skip(part.first.input);
    let once = |input: &Input| {
        input.path.as_os_str() == STDIN || std::fs::metadata(&input.path).is_ok_and(|found| !found.is_file())
    };
    if let Some(input) = sources.clone().find(|input| once(input)) {
        println!("{}: not computed again, for {} cannot be read twice", part.name, input.path.display());
        return Ok(());
    }
    let mut known = sources.filter(|input| input.digest.is_some()).map(|input| &input.path);
    if let Some(path) = known.find(|path| !path.is_file()) {
        findings.differs(format_args!("{}: cannot be computed again without {}", part.name, path.display()));
        return Ok(());
    }
    let paths = inputs.iter().map(|input| input.path.clone()).collect();
    let run = Run {
        settings: settings.clone(),
        engine: engine.clone(),
        tasks: settings.tasks(engine)?,
        inputs: Arc::new(settings.input.of(paths, settings.keep_fields)),
    };
    let file = NamedTempFile::new()?;
    let mut report = settings.format.report(Box::new(file.as_file().try_clone()?), &run.shape())?;
    run.again(part.first, &mut *report)?;
    report.finish()?;
    drop(report);
    let written = folder.join(&part.name);
    if Digest::of(file.path())? == part.digest {
        println!("{}: computed again, the same bytes", part.name);
        return Ok(());
    }
    findings.differs(match difference(&written, file.path(), settings.format) {
        Some(difference) => format!("{}: computed again, {difference}", part.name),
        None => format!("{}: computed again, other bytes", part.name),
    });
    Ok(())
}

/// How records that were computed again differ; `None` of a form whose records cannot be compared one by one.
fn difference(written: &Path, again: &Path, format: Format) -> Option<String> {
    if format.form != Form::Jsonl {
        return None;
    }
    let (mut was, mut is) = (records(written, format).ok()?, records(again, format).ok()?);
    let (mut records, mut differ, mut largest) = (0, 0, 0.0);
    loop {
        let (was, is) = match (was.next(), is.next()) {
            (None, None) => break,
            (was, is) => (was.transpose().ok()?, is.transpose().ok()?),
        };
        records += 1;
        if was != is {
            differ += 1;
            let json = |line: Option<Vec<u8>>| serde_json::from_slice(&line?).ok();
            if let (Some(was), Some(is)) = (json(was), json(is)) {
                largest = f64::max(largest, largest_difference(&was, &is));
            }
        }
    }
    Some(format!("{differ} of {records} records differ; the largest difference of a score is {largest:.6}"))
}

type Records = Box<dyn Iterator<Item = std::io::Result<Vec<u8>>>>;

fn records(path: &Path, format: Format) -> anyhow::Result<Records> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let reader: Box<dyn Read> = match format.compression {
        None => Box::new(file),
        Some(Compression::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some(Compression::Zstd) => Box::new(zstd::Decoder::new(file)?),
    };
    Ok(Box::new(BufReader::new(reader).split(b'\n')))
}

/// The largest difference of two numbers under the same keys that are probabilities: scores.
fn largest_difference(was: &Value, is: &Value) -> f64 {
    fn scores(value: &Value, within: bool, found: &mut Vec<f64>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    // Fields of the input are not ours.
                    if name != "fields" {
                        scores(value, within || name == "score" || name == "scores", found);
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| scores(value, within, found)),
            value => found.extend(value.as_f64().filter(|_| within)),
        }
    }
    let (mut before, mut now) = (Vec::new(), Vec::new());
    scores(was, false, &mut before);
    scores(is, false, &mut now);
    before.iter().zip(&now).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Cursor;
    use super::*;

    #[test]
    fn the_largest_difference_is_that_of_scores_and_not_of_offsets_or_fields() {
        let was = serde_json::json!({"start": 3, "scores": {"a": 0.5, "b": 0.25}, "entities": [{"end": 9, "score": 0.75}], "fields": {"score": 7}});
        let is = serde_json::json!({"start": 4, "scores": {"a": 0.5, "b": 0.125}, "entities": [{"end": 8, "score": 0.5}], "fields": {"score": 9}});
        assert_eq!(largest_difference(&was, &is), 0.25);
    }

    #[test]
    fn the_same_seed_chooses_the_same_parts_and_none_twice() {
        let part = |number| Part {
            name: format!("part-{number:05}.jsonl"),
            digest: Digest { bytes: 0, sha256: String::new() },
            first: Cursor::default(),
            next: Cursor::default(),
            counts: Counts::default(),
        };
        let parts: Vec<Part> = (0..20).map(part).collect();
        let names = |seed| -> Vec<String> {
            let sample = Sample { parts: 5, seed, model: None, device: None, threads: None };
            chosen(&parts, &sample).iter().map(|part| part.name.clone()).collect()
        };
        let first = names(1);
        assert_eq!((first.len(), &first), (5, &names(1)));
        assert!(first.is_sorted() && first.windows(2).all(|pair| pair[0] != pair[1]));
        assert!((2..9).any(|seed| names(seed) != first));
    }
}
