//! What a folder of parts holds and what it was made from, in a file beside the parts.

use super::chunks::Place;
use super::interrupt::{Interrupted, interrupted};
use super::settings::Settings;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use undertone::bundle::Digests;

/// Name of the file.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The version that makes and continues runs.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A run so far. There are no times in it: the same run gives the same file.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Version of the program.
    pub(super) undertone: String,
    /// Whether nothing is left to do.
    pub(super) complete: bool,
    pub(super) settings: Settings,
    pub(super) model: Model,
    pub(super) inputs: Vec<Input>,
    /// Length of the file of rejects, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rejects_bytes: Option<u64>,
    /// Those of all parts.
    pub(super) totals: Counts,
    pub(super) parts: Vec<Part>,
}

/// The model of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// As it was typed; `None` for the one inside the program.
    pub(crate) name: Option<String>,
    /// SHA-256 of what it is made of.
    #[serde(flatten)]
    pub(crate) digests: Digests,
}

/// An input of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Input {
    /// As it was named.
    pub(super) path: String,
    /// What it held when it was first opened; `None` before that, and for what cannot be read twice.
    #[serde(flatten)]
    pub(super) digest: Option<Digest>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Digest {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A part of the output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Name of its file.
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) digest: Digest,
    /// Where reading began for it.
    pub(super) first: Cursor,
    /// Where reading goes on behind it.
    pub(super) next: Cursor,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

/// A place between records, and how far the text had come that may go on there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Number of the input, from 0.
    pub(super) input: usize,
    /// Records of the input before it.
    pub(super) record: usize,
    /// Sentences of the text before it.
    pub(super) sentence: usize,
    /// Length of the text before it, in the unit of offsets.
    pub(super) offset: usize,
}

impl Cursor {
    pub(super) fn place(self) -> Place {
        Place { input: self.input, record: self.record }
    }
}

/// What was read and written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Texts.
    pub(super) documents: u64,
    pub(super) sentences: u64,
    pub(super) tokens: u64,
    /// Tokens that the model's vocabulary lacks.
    pub(super) unknown_tokens: u64,
    /// Windows of the encoder.
    pub(super) windows: u64,
    /// Records that could not be read.
    pub(super) skipped: u64,
    /// Inputs that could not be read, or not to their end.
    pub(super) failed: u64,
    /// Why, and how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) reasons: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds other counts to these.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { documents, sentences, tokens, unknown_tokens, windows, skipped, failed, reasons } = other;
        self.documents += documents;
        self.sentences += sentences;
        self.tokens += tokens;
        self.unknown_tokens += unknown_tokens;
        self.windows += windows;
        self.skipped += skipped;
        self.failed += failed;
        for (reason, count) in reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }

    /// Whether all that was to be read could be read.
    pub(super) fn clean(&self) -> bool {
        self.skipped == 0 && self.failed == 0
    }
}

impl Digest {
    /// Reads a file to its end.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        let (mut hash, mut bytes) = (sha2::Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer).with_context(|| path.display().to_string())? {
                0 => break,
                // A long file must not hold up who wants to stop.
                _ if interrupted() => return Err(Interrupted.into()),
                n => {
                    hash.update(&buffer[..n]);
                    bytes += n as u64;
                }
            }
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { bytes, sha256 })
    }

    /// Says how a file differs from what it held, if it does.
    pub(super) fn difference(&self, path: &Path) -> anyhow::Result<Option<String>> {
        let bytes = match std::fs::metadata(path) {
            Ok(found) => found.len(),
            Err(error) => return Ok(Some(format!("it cannot be read: {error}"))),
        };
        if bytes != self.bytes {
            return Ok(Some(format!("it had {} bytes and has {bytes}", self.bytes)));
        }
        let same = Self::of(path)?.sha256 == self.sha256;
        Ok((!same).then(|| "its content is another (SHA-256)".into()))
    }
}

impl Manifest {
    /// A run of which nothing is done yet.
    pub(super) fn new(settings: Settings, model: Model, paths: &[impl AsRef<Path>]) -> Self {
        let input =
            |path: &dyn AsRef<Path>| Input { path: path.as_ref().display().to_string(), digest: None };
        Self {
            undertone: VERSION.into(),
            complete: false,
            settings,
            model,
            inputs: paths.iter().map(|path| input(path)).collect(),
            rejects_bytes: None,
            totals: Counts::default(),
            parts: Vec::new(),
        }
    }

    /// Reads the manifest of a folder; `None` if it has none.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| path.display().to_string())?,
        };
        match serde_json::from_str(&text) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) => {
                let version = serde_json::from_str::<serde_json::Value>(&text).ok();
                let version = version.and_then(|json| Some(json.get("undertone")?.as_str()?.to_owned()));
                match version.filter(|version| version != VERSION) {
                    Some(version) => bail!(
                        "{}: it was written by undertone {version} and this is {VERSION}, which cannot read it: {error}",
                        path.display()
                    ),
                    None => bail!("{}: it is no manifest of a run: {error}", path.display()),
                }
            }
        }
    }

    /// Where the run goes on.
    pub(super) fn next(&self) -> Cursor {
        self.parts.last().map_or(Cursor::default(), |part| part.next)
    }

    /// Takes note of a finished part.
    pub(super) fn add(&mut self, part: Part) {
        self.totals.add(&part.counts);
        self.parts.push(part);
    }

    /// In what a run that would go on from this one differs from it; empty if in nothing.
    pub(super) fn differences(&self, now: &Self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        if self.undertone != now.undertone {
            found.push(format!("version of undertone: was {}, is {}", self.undertone, now.undertone));
        }
        let (was, is) = (&self.model, &now.model);
        if was.digests != is.digests {
            let name = |model: &Model| model.name.clone().unwrap_or_else(|| "the default".into());
            let parts = [
                ("weights", was.digests.weights != is.digests.weights),
                ("tokenizer", was.digests.tokenizer != is.digests.tokenizer),
                ("configuration", was.digests.config != is.digests.config),
            ];
            let parts: Vec<&str> =
                parts.iter().filter(|(_, differs)| *differs).map(|(part, _)| *part).collect();
            let parts = parts.join(" and ");
            found.push(format!("--model: was {}, is {} ({parts} differ)", name(was), name(is)));
        }
        found.extend(now.settings.differences(&self.settings)?);
        let paths = |manifest: &Self| -> Vec<String> {
            manifest.inputs.iter().map(|input| input.path.clone()).collect()
        };
        let (was, is) = (paths(self), paths(now));
        if let Some(number) = (0..was.len().max(is.len())).find(|&i| was.get(i) != is.get(i)) {
            let name = |paths: &[String]| paths.get(number).cloned().unwrap_or_else(|| "none".into());
            found.push(format!(
                "inputs: were {}, are {}; number {}: was {}, is {}",
                was.len(),
                is.len(),
                number + 1,
                name(&was),
                name(&is)
            ));
        }
        for input in &self.inputs {
            if let Some(digest) = &input.digest
                && let Some(difference) = digest.difference(Path::new(&input.path))?
            {
                found.push(format!("input {}: {difference}", input.path));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::super::settings::testing::settings;
    use super::*;

    pub(in crate::cli::batch) fn manifest(paths: &[&Path]) -> Manifest {
        let digests = Digests { weights: "w".into(), tokenizer: "t".into(), config: "c".into() };
        Manifest::new(settings(), Model { name: None, digests }, paths)
    }

    fn part(next: Cursor, counts: Counts) -> Part {
        let digest = Digest { bytes: 3, sha256: "00".into() };
        Part { name: "part-00000.jsonl".into(), digest, first: Cursor::default(), next, counts }
    }

    #[test]
    fn a_manifest_that_was_written_and_read_is_the_same_and_goes_on_behind_its_last_part() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Manifest::read(folder.path()).unwrap().is_none());
        let mut manifest = manifest(&[Path::new("a.txt"), Path::new("-")]);
        assert_eq!(manifest.next(), Cursor::default());
        let next = Cursor { input: 1, record: 7, sentence: 3, offset: 120 };
        let reasons = BTreeMap::from([("no text".to_owned(), 2)]);
        manifest.add(part(next, Counts { sentences: 5, skipped: 2, reasons, ..Counts::default() }));
        manifest.inputs[0].digest = Some(Digest { bytes: 1, sha256: "ff".into() });
        let text = serde_json::to_string_pretty(&manifest).unwrap();
        std::fs::write(folder.path().join(MANIFEST), &text).unwrap();
        let read = Manifest::read(folder.path()).unwrap().unwrap();
        assert_eq!(serde_json::to_string_pretty(&read).unwrap(), text);
        assert_eq!((read.next(), read.inputs[1].digest.clone()), (next, None));
        assert!(!read.totals.clean());
    }

    #[test]
    fn totals_are_those_of_the_parts_whatever_the_reasons() {
        let mut manifest = manifest(&[]);
        for reason in ["a", "b", "a"] {
            let reasons = BTreeMap::from([(reason.to_owned(), 1)]);
            manifest.add(part(
                Cursor::default(),
                Counts { tokens: 10, skipped: 1, reasons, ..Counts::default() },
            ));
        }
        assert_eq!((manifest.totals.tokens, manifest.totals.skipped), (30, 3));
        assert_eq!(manifest.totals.reasons, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
    }

    #[test]
    fn every_difference_of_version_model_and_inputs_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.txt"), folder.path().join("b.txt"));
        std::fs::write(&a, "One.").unwrap();
        let mut was = manifest(&[&a]);
        was.inputs[0].digest = Some(Digest::of(&a).unwrap());
        assert_eq!(was.differences(&manifest(&[&a])).unwrap(), [""; 0]);
        let mut now = manifest(&[&a, &b]);
        now.undertone = "9.9.9".into();
        now.model.digests.tokenizer = "other".into();
        std::fs::write(&a, "Two.").unwrap();
        let told = was.differences(&now).unwrap();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].ends_with("is 9.9.9"), "{told:?}");
        assert_eq!(told[1], "--model: was the default, is the default (tokenizer differ)");
        assert!(told[2].starts_with("inputs: were 1, are 2; number 2: was none, is "), "{told:?}");
        assert!(told[3].ends_with("its content is another (SHA-256)"), "{told:?}");
        std::fs::write(&a, "Three.").unwrap();
        let told = was.differences(&manifest(&[&a])).unwrap();
        assert!(told[0].ends_with("it had 4 bytes and has 6"), "{told:?}");
        std::fs::remove_file(&a).unwrap();
        assert!(was.differences(&manifest(&[&a])).unwrap()[0].contains("cannot be read"));
    }

    #[test]
    fn a_file_that_is_no_manifest_or_of_another_version_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), "{\"undertone\": \"0.0.1\"}").unwrap();
        let error = Manifest::read(folder.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("written by undertone 0.0.1"), "{error}");
        std::fs::write(folder.path().join(MANIFEST), "{}").unwrap();
        let error = Manifest::read(folder.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("no manifest of a run"), "{error}");
    }
}
