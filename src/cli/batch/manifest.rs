//! What a folder of parts holds and what it was made from, in three files beside the parts: two lists that only grow, and a
//! small file that is replaced with every part and tells how much of the lists counts.

use super::chunks::Place;
use super::interrupt::{Interrupted, interrupted};
use super::settings::Settings;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use undertone::bundle::Digests;

/// Name of the file that is replaced.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Name of the list of parts.
pub(super) const PARTS: &str = "parts.jsonl";
/// Name of the list of inputs.
pub(super) const INPUTS: &str = "inputs.jsonl";

/// The version that makes and continues runs.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A run so far. There are no times in it: the same run gives the same file. Its length does not depend on how many inputs and
/// parts there are, for it is written again with every part.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Version of the program.
    pub(super) undertone: String,
    /// Whether nothing is left to do.
    pub(super) complete: bool,
    pub(super) settings: Settings,
    pub(super) model: Model,
    pub(super) inputs: InputList,
    pub(super) parts: PartList,
    /// Length of the file of rejects, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rejects_bytes: Option<u64>,
    /// Those of all parts.
    pub(super) totals: Counts,
}

/// The inputs of a run as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InputList {
    pub(super) count: usize,
    /// SHA-256 of their names, a zero behind each.
    pub(super) names_sha256: String,
    /// How many are in the list, each since it was first opened.
    pub(super) opened: usize,
    /// Length of the list.
    pub(super) list_bytes: u64,
}

/// The parts of a run as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct PartList {
    pub(super) count: usize,
    /// Length of the list.
    pub(super) list_bytes: u64,
    /// Where reading goes on.
    pub(super) next: Cursor,
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
    #[serde(with = "any_path")]
    pub(super) path: PathBuf,
    /// What it held when it was first opened; `None` for what could not be opened or cannot be read twice.
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

/// Paths as text, or as bytes where they are none.
mod any_path {
    use crate::cli::input::path_of;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::path::{Path, PathBuf};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        Text(PathBuf),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(serializer),
            None => path.as_os_str().as_encoded_bytes().serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Named::deserialize(deserializer)? {
            Named::Text(path) => path,
            Named::Bytes(bytes) => path_of(&bytes),
        })
    }
}

/// Kinds of reasons that are counted apart.
const REASONS: usize = 20;
/// What the others count as.
const OTHER_REASONS: &str = "other reasons";

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
            self.add_reason(reason.clone(), *count);
        }
    }

    /// Counts a kind of reason.
    pub(super) fn add_reason(&mut self, kind: String, count: u64) {
        let full = self.reasons.len() >= REASONS && !self.reasons.contains_key(&kind);
        let kind = if full { OTHER_REASONS.into() } else { kind };
        *self.reasons.entry(kind).or_default() += count;
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
        Ok(Self { bytes, sha256: hexadecimal(hash) })
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
    pub(super) fn new(settings: Settings, model: Model, paths: &[PathBuf]) -> Self {
        Self {
            undertone: VERSION.into(),
            complete: false,
            settings,
            model,
            inputs: InputList {
                count: paths.len(),
                names_sha256: names_sha256(paths.iter().map(PathBuf::as_path)),
                opened: 0,
                list_bytes: 0,
            },
            parts: PartList::default(),
            rejects_bytes: None,
            totals: Counts::default(),
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

    /// Takes note of a part that is in the list, which is now so long.
    pub(super) fn add(&mut self, part: &Part, list_bytes: u64) {
        self.totals.add(&part.counts);
        self.parts = PartList { count: self.parts.count + 1, list_bytes, next: part.next };
    }

    /// In what a run that would go on from this one, over `paths`, differs from it; empty if in nothing. What the inputs hold
    /// is only compared if all else is the same, for it may take long.
    pub(super) fn differences(
        &self,
        now: &Self,
        paths: &[PathBuf],
        listed: impl Iterator<Item = anyhow::Result<Input>>,
    ) -> anyhow::Result<Vec<String>> {
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
        let (was, is) = (&self.inputs, &now.inputs);
        if (was.count, &was.names_sha256) != (is.count, &is.names_sha256) {
            let other = self.first_other(paths, listed)?;
            found.push(format!("inputs: were {}, are {}; {other}", was.count, is.count));
            return Ok(found);
        }
        if found.is_empty() {
            for input in listed {
                found.extend(input?.difference()?);
            }
        }
        Ok(found)
    }

    /// The first input that is known to be another; if none is, how many are the same.
    fn first_other(
        &self,
        paths: &[PathBuf],
        listed: impl Iterator<Item = anyhow::Result<Input>>,
    ) -> anyhow::Result<String> {
        let name = |path: Option<&PathBuf>| path.map_or("none".into(), |path| path.display().to_string());
        let mut number = 0;
        for input in listed {
            let (was, is) = (input?.path, paths.get(number));
            number += 1;
            if is != Some(&was) {
                return Ok(format!("number {number}: was {}, is {}", was.display(), name(is)));
            }
        }
        Ok(match paths.get(number) {
            Some(is) if number == self.inputs.count => {
                format!("number {}: was none, is {}", number + 1, is.display())
            }
            _ => format!("the {number} that were read are the same"),
        })
    }
}

impl Input {
    /// Says how an input differs from what it held, if it does.
    pub(super) fn difference(&self) -> anyhow::Result<Option<String>> {
        let Some(digest) = &self.digest else { return Ok(None) };
        let difference = digest.difference(&self.path)?;
        Ok(difference.map(|difference| format!("input {}: {difference}", self.path.display())))
    }
}

/// The SHA-256 of names, by which long lists of them are told apart.
pub(super) fn names_sha256<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let mut hash = sha2::Sha256::new();
    for path in paths {
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update([0]);
    }
    hexadecimal(hash)
}

fn hexadecimal(hash: sha2::Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::settings::testing::settings;
    use super::*;

    fn manifest(paths: &[&Path]) -> Manifest {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        let digests = Digests { weights: "w".into(), tokenizer: "t".into(), config: "c".into() };
        Manifest::new(settings(), Model { name: None, digests }, &paths)
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
        let next = Cursor { input: 1, record: 7, sentence: 3, offset: 120 };
        let reasons = BTreeMap::from([("no text".to_owned(), 2)]);
        manifest.add(&part(next, Counts { sentences: 5, skipped: 2, reasons, ..Counts::default() }), 77);
        let text = serde_json::to_string_pretty(&manifest).unwrap();
        std::fs::write(folder.path().join(MANIFEST), &text).unwrap();
        let read = Manifest::read(folder.path()).unwrap().unwrap();
        assert_eq!(serde_json::to_string_pretty(&read).unwrap(), text);
        assert_eq!(read.parts, PartList { count: 1, list_bytes: 77, next });
        assert!(!read.totals.clean());
    }

    #[test]
    fn totals_are_those_of_the_parts_whatever_the_reasons() {
        let mut manifest = manifest(&[]);
        for reason in ["a", "b", "a"] {
            let reasons = BTreeMap::from([(reason.to_owned(), 1)]);
            let counts = Counts { tokens: 10, skipped: 1, reasons, ..Counts::default() };
            manifest.add(&part(Cursor::default(), counts), 0);
        }
        assert_eq!((manifest.totals.tokens, manifest.totals.skipped), (30, 3));
        assert_eq!(manifest.totals.reasons, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
    }

    #[test]
    fn every_difference_of_version_model_and_inputs_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.txt"), folder.path().join("b.txt"));
        std::fs::write(&a, "One.").unwrap();
        let was = manifest(&[&a]);
        let digest = Some(Digest::of(&a).unwrap());
        let differences = |now: &Manifest, paths: &[&Path]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
            let listed = Input { path: a.clone(), digest: digest.clone() };
            was.differences(now, &paths, std::iter::once(Ok(listed))).unwrap()
        };
        assert_eq!(differences(&manifest(&[&a]), &[&a]), [""; 0]);
        let mut now = manifest(&[&a, &b]);
        now.undertone = "9.9.9".into();
        now.model.digests.tokenizer = "other".into();
        let told = differences(&now, &[&a, &b]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].ends_with("is 9.9.9"), "{told:?}");
        assert_eq!(told[1], "--model: was the default, is the default (tokenizer differ)");
        assert!(told[2].starts_with("inputs: were 1, are 2; number 2: was none, is "), "{told:?}");
        std::fs::write(&a, "Two.").unwrap();
        let told = differences(&manifest(&[&a]), &[&a]);
        assert!(told[0].ends_with("its content is another (SHA-256)"), "{told:?}");
        std::fs::write(&a, "Three.").unwrap();
        let told = differences(&manifest(&[&a]), &[&a]);
        assert!(told[0].ends_with("it had 4 bytes and has 6"), "{told:?}");
        std::fs::remove_file(&a).unwrap();
        assert!(differences(&manifest(&[&a]), &[&a])[0].contains("cannot be read"));
    }

    #[test]
    fn of_other_inputs_the_first_that_is_known_is_named_else_the_counts() {
        let paths = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(PathBuf::from).collect() };
        let told = |was: &[&str], opened: usize, is: &[&str]| {
            let manifest = |names: &[&str]| manifest(&names.iter().map(Path::new).collect::<Vec<_>>());
            let input = |name: &&str| Ok(Input { path: name.into(), digest: None });
            let listed = was[..opened].iter().map(input);
            manifest(was).differences(&manifest(is), &paths(is), listed).unwrap().join(" ")
        };
        assert_eq!(told(&["a", "b"], 1, &["a", "b"]), "");
        assert_eq!(told(&["a", "b"], 2, &["a", "c"]), "inputs: were 2, are 2; number 2: was b, is c");
        assert_eq!(told(&["a", "b"], 2, &["a"]), "inputs: were 2, are 1; number 2: was b, is none");
        assert_eq!(
            told(&["a", "b"], 1, &["a", "c"]),
            "inputs: were 2, are 2; the 1 that were read are the same"
        );
        assert_eq!(
            told(&["a", "b"], 0, &["a", "b", "c"]),
            "inputs: were 2, are 3; the 0 that were read are the same"
        );
        assert_ne!(told(&["ab", "c"], 0, &["a", "bc"]), "");
    }

    #[test]
    #[cfg(unix)]
    fn a_path_that_is_no_text_is_the_same_when_it_is_read_again() {
        use std::os::unix::ffi::OsStringExt;
        for bytes in [b"caf\xe9.txt".to_vec(), b"plain.txt".to_vec()] {
            let input = Input { path: std::ffi::OsString::from_vec(bytes).into(), digest: None };
            let text = serde_json::to_string(&input).unwrap();
            assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), input);
        }
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
