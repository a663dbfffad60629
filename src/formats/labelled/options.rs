use super::detect;
use crate::formats::FormatError;
use crate::text::OffsetUnit;
use std::path::Path;

/// How a labelled file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LabelledFormat {
    /// An article a line (JSONL): `{"id", "sentences": [{"text", "stance": [], "entities": [{"start", "end", "label",
    /// "text"}]}]}`, offsets in code points of the sentence; other fields are those of the article.
    Articles,
    /// A sentence a line (JSONL): `{"text", "stance": []}`, where `stance` may also be called `labels` or `label` and be a
    /// single string, with an optional `article` and optional `entities` as in articles.
    Sentences,
    /// A word a line and, as the last column, its tag, separated by tabs or spaces; a blank line between sentences. IOB1,
    /// IOB2 and BIOES tags are understood. The text of a sentence is its words joined by single spaces; a `-DOCSTART-`
    /// line begins an article.
    Conll,
    /// Records as Hugging Face's `datasets` has them (JSONL or an array): `{"tokens": [], "ner_tags": []}` with tags by name,
    /// or by number in [`LabelledOptions::tag_names`]; or `{"text", "label"}`, where the text may also be called `sentence`
    /// or `sentence1`, and labels are names, or numbers in [`LabelledOptions::label_names`]; or both in one record. The
    /// label -1 stands for "not annotated".
    HuggingFace,
    /// What doccano takes and gives (JSONL or an array): `{"text", "label": ["x"]}`, `{"text", "label": [[0, 2, "ORG"]]}`,
    /// or both kinds as `cats` and `entities`; the text may be called `data`, spans may be objects with `start_offset` and
    /// `end_offset`, `label` may be `labels` or `annotations`. Offsets count UTF-16 units, as doccano does unless it counts
    /// grapheme clusters. An empty `label` means what the other records of the file have there.
    Doccano,
    /// Prodigy's tasks (JSONL or an array): `text`, `spans`, `tokens`, and `accept` or `label`. Tasks answered `ignore`
    /// are left out, and so are rejected ones; but a rejected task that asked for one `label` has none. The entries of
    /// `meta` are fields of the sentence; Prodigy's own keys, which begin with `_`, are left out.
    Prodigy,
    /// Label Studio's tasks (an array or JSONL), JSON or JSON-MIN: regions of the types `labels` and `choices` in the first
    /// annotation that was not cancelled; predictions, and choices about a region, are passed over. The other entries of `data` are fields of the
    /// sentence. An annotated task has labels, or entities, if any task of the file has such regions. Offsets count code
    /// points, as Label Studio has done since 2022; before, it counted UTF-16 units.
    LabelStudio,
    /// spaCy's records (JSONL or an array): `{"text", "ents": [{"start", "end", "label"}], "cats": {"x": 1.0}}`, with `spans`
    /// in place of `ents`, or `tokens` besides; or the pairs that spaCy trained on, `["text", {"entities": [[0, 2, "ORG"]],
    /// "cats": {}}]`. A category holds from 0.5 on.
    Spacy,
    /// A document of brat, a `.txt` file and the `.ann` file beside it, or a folder of them, each an article. Its sentences
    /// are those marked by text-bound annotations of the type `Sentence`, whose attributes are their labels, or `Segment`,
    /// which are not annotated for labels; what is not marked is split by
    /// [`split_sentences`](crate::text::split_sentences), or into lines, and sentences that share an entity are taken as
    /// one. Text-bound annotations of other types are entities, in code points; one in several pieces
    /// is refused, unless these have only white space between them, as at the end of a line.
    /// Attributes of entities, relations, events and notes are passed over.
    Brat,
    /// The files of ConfliBERT: tab-separated values without a header, quoted where needed, a text and its label, or a
    /// text and a column of 0 or 1 for every label (or these in one cell, as `1010`). Such labels are called by their
    /// position, from 0, unless [`LabelledOptions::label_names`] names them.
    Conflibert,
    /// Comma-separated values under a header: `text`; `labels` (or `stance`), joined by `;`, where an empty cell means none,
    /// or `label`, one, where an empty cell means not annotated; `article`; the other columns are fields of the sentence.
    Csv,
    /// The same with tabs. A quotation mark is part of its value.
    Tsv,
}

impl LabelledFormat {
    /// The format of a file or folder, from its name and its first records.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn detect(path: &Path) -> Result<Self, FormatError> {
        detect::format(path, &LabelledOptions::default())
    }

    /// What offsets count in this format.
    pub fn offsets(self) -> OffsetUnit {
        match self {
            Self::Doccano => OffsetUnit::Utf16,
            _ => OffsetUnit::Char,
        }
    }
}

/// How the records of a labelled file are taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelledOptions {
    /// Layout; `None` has it told from the file.
    pub format: Option<LabelledFormat>,
    /// What offsets count; `None` for what the format counts.
    pub offsets: Option<OffsetUnit>,
    /// Field or column that holds the text; `None` for the names of the format.
    pub text_field: Option<String>,
    /// Field or column that holds the labels; `None` for the names of the format.
    pub label_field: Option<String>,
    /// Names of labels that the file gives by number, from 0.
    pub label_names: Vec<String>,
    /// Names of tags (`O`, `B-PER`, ...) that the file gives by number, from 0.
    pub tag_names: Vec<String>,
    /// Whether the lines of a document are its sentences, where its format has no marks for them (brat).
    pub lines: bool,
}

impl LabelledOptions {
    /// The layout of a file: the one given, else told from the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn format_of(&self, path: &Path) -> Result<LabelledFormat, FormatError> {
        self.format.map_or_else(|| detect::format(path, self), Ok)
    }

    /// What offsets count.
    pub(super) fn unit(&self) -> OffsetUnit {
        self.offsets.or_else(|| self.format.map(LabelledFormat::offsets)).unwrap_or_default()
    }
}

impl From<LabelledFormat> for LabelledOptions {
    fn from(format: LabelledFormat) -> Self {
        Self { format: Some(format), ..Self::default() }
    }
}
