use super::document::{Mark, Marks};
use super::{SEGMENT, SENTENCE};
use crate::formats::FormatError;
use crate::formats::labelled::spans::check;
use crate::formats::labelled::{Flaw, FlawKind, Labelled, LabelledOptions, LabelledSentences};
use crate::labels::{GoldEntity, GoldSentence};
use crate::text::{Span, split_sentences, trimmed};
use std::path::{Path, PathBuf};

/// [`LabelledFormat::Brat`](crate::formats::LabelledFormat::Brat)
pub(in crate::formats::labelled) fn read(
    path: &Path,
    options: LabelledOptions,
) -> Result<LabelledSentences, FormatError> {
    let root = path.to_owned();
    let documents = documents(path).map_err(|source| FormatError::File { path: path.to_owned(), source })?;
    Ok(Box::new(documents.into_iter().flat_map(move |text| {
        let name = text.strip_prefix(&root).ok().filter(|rest| !rest.as_os_str().is_empty());
        let name =
            name.unwrap_or_else(|| text.file_name().map_or(Path::new(""), Path::new)).with_extension("");
        match document(&text, &name.to_string_lossy(), &options) {
            Ok(sentences) => sentences.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    })))
}

/// The texts of the documents of a folder and the folders in it, in order of their names; or the one that is named by its
/// text or its marks.
pub(crate) fn documents(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.with_extension("txt")]);
    }
    let mut entries =
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let is = |end: &str| entry.extension().is_some_and(|found| found == end);
        if entry.is_dir() {
            found.extend(documents(&entry)?);
        } else if is("txt") || is("ann") && !entry.with_extension("txt").is_file() {
            found.push(entry.with_extension("txt"));
        }
    }
    Ok(found)
}

/// The sentences of a document.
fn document(path: &Path, name: &str, options: &LabelledOptions) -> Result<Vec<Labelled>, FormatError> {
    let marks = path.with_extension("ann");
    let content = |path: &Path| match std::fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| FormatError::Line {
            path: path.to_owned(),
            line: 1,
            reason: "not UTF-8; convert the file, e.g. with `iconv -t utf-8`".into(),
        }),
        Err(source) => Err(FormatError::File { path: path.to_owned(), source }),
    };
    let text = content(path)?;
    let marks = Marks::parse(&content(&marks)?, &text, options.unit());
    let in_file = |flaw: Flaw| Flaw { reason: format!("{name}.ann:{}: {}", flaw.line, flaw.reason), ..flaw };
    let mut lines = Lines { text: &text, byte: 0, line: 1 };
    match Document::new(&text, name, marks, options.lines) {
        Err(flaws) => {
            let flaws = flaws.into_iter().map(|flaw| Flaw { line: 1, ..in_file(flaw) }).collect();
            Ok(vec![Labelled { line: 1, sentence: Err(flaws) }])
        }
        Ok(document) => {
            let sentences = document.sentences().map(|(start, sentence)| {
                let line = lines.at(start);
                let place =
                    |flaws: Vec<Flaw>| flaws.into_iter().map(|flaw| Flaw { line, ..in_file(flaw) }).collect();
                Labelled { line, sentence: sentence.map_err(place) }
            });
            Ok(sentences.collect())
        }
    }
}

/// Counts lines up to places that rise.
struct Lines<'a> {
    text: &'a str,
    byte: usize,
    line: usize,
}

impl Lines<'_> {
    fn at(&mut self, byte: usize) -> usize {
        self.line += self.text[self.byte..byte].matches('\n').count();
        self.byte = byte;
        self.line
    }
}

/// A document whose sentences are known.
struct Document<'a> {
    text: &'a str,
    name: &'a str,
    parts: Vec<Part>,
    /// True if entities are annotated, as far as the document tells.
    has_entities: bool,
}

/// A sentence and what lies in it.
struct Part {
    span: Span,
    labels: Option<Vec<String>>,
    /// True if its bounds were marked, not found.
    marked: bool,
    entities: Vec<GoldEntity>,
    flaws: Vec<Flaw>,
}

impl<'a> Document<'a> {
    /// Puts every mark into its sentence.
    fn new(text: &'a str, name: &'a str, marks: Marks, by_line: bool) -> Result<Self, Vec<Flaw>> {
        let Marks { sentences, entities, labels, flaws } = marks;
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let has_entities = !entities.is_empty()
            || !sentences.iter().any(|mark| mark.kind == SENTENCE || mark.kind == SEGMENT);
        let mut parts = parts(text, sentences, labels, by_line)?;
        for Mark { line, kind, span, start, .. } in entities {
            let at = parts.partition_point(|part| start.is_some_and(|start| part.span.end <= start));
            let reach = |end: usize| parts.partition_point(|part| part.span.start < end);
            match span {
                Err(flaw) if start.is_some() && at < parts.len() => parts[at].flaws.push(flaw),
                Err(flaw) => return Err(vec![flaw]),
                Ok(span) => {
                    let last = reach(span.end);
                    let covered = parts[at..last].first().is_some_and(|part| part.span.start <= span.start);
                    if !covered || parts[last - 1].span.end < span.end {
                        let reason =
                            format!("\"{}\" ({kind}) lies in no sentence", span.of(text).unwrap_or_default());
                        return Err(vec![Flaw { line, kind: FlawKind::Misaligned, reason }]);
                    }
                    if last - at > 1 {
                        join(&mut parts, at, last, line)?;
                    }
                    parts[at].entities.push(GoldEntity { label: kind, span });
                }
            }
        }
        Ok(Self { text, name, parts, has_entities })
    }

    /// The sentences, and where they begin.
    fn sentences(self) -> impl Iterator<Item = (usize, Result<GoldSentence, Vec<Flaw>>)> + use<'a> {
        let Self { text, name, parts, has_entities } = self;
        parts.into_iter().map(move |Part { span, labels, entities, mut flaws, .. }| {
            let start = span.start;
            let text = span.of(text).unwrap_or_default().to_owned();
            let entities = entities.into_iter().map(|entity| {
                let span = Span::new(entity.span.start - start, entity.span.end - start);
                GoldEntity { span, ..entity }
            });
            let entities = match check(1, &text, entities.collect()) {
                Ok(entities) => entities,
                Err(more) => {
                    flaws.extend(more);
                    Vec::new()
                }
            };
            if !flaws.is_empty() {
                return (start, Err(flaws));
            }
            let entities = has_entities.then_some(entities);
            (
                start,
                Ok(GoldSentence {
                    article: Some(name.into()),
                    text,
                    labels,
                    entities,
                    ..GoldSentence::default()
                }),
            )
        })
    }
}

/// The sentences of a document: those that are marked, and in what is left those that are found.
fn parts(
    text: &str,
    marks: Vec<Mark>,
    mut labels: std::collections::BTreeMap<String, Vec<String>>,
    by_line: bool,
) -> Result<Vec<Part>, Vec<Flaw>> {
    let mut marked = Vec::new();
    for Mark { line, id, kind, span, .. } in marks {
        let labels = (kind == SENTENCE).then(|| labels.remove(&id).unwrap_or_default());
        let span = span?;
        if span.of(text).is_none_or(|text| text.trim().is_empty()) {
            return Err(vec![Flaw::empty_text(line)]);
        }
        marked.push((line, Part { span, labels, marked: true, entities: Vec::new(), flaws: Vec::new() }));
    }
    marked.sort_by_key(|(_, part)| part.span);
    if let Some(pair) = marked.windows(2).find(|pair| pair[0].1.span.overlaps(pair[1].1.span)) {
        let reason = format!("the sentence overlaps that of line {}", pair[0].0);
        return Err(vec![Flaw { line: pair[1].0, kind: FlawKind::Overlap, reason }]);
    }
    let mut parts = Vec::new();
    let mut end = 0;
    for (_, part) in marked {
        parts.extend(found(text, Span::new(end, part.span.start), by_line));
        end = part.span.end;
        parts.push(part);
    }
    parts.extend(found(text, Span::new(end, text.len()), by_line));
    Ok(parts)
}

/// The sentences of a stretch without marks.
fn found(text: &str, stretch: Span, by_line: bool) -> Vec<Part> {
    let slice = stretch.of(text).unwrap_or_default();
    let spans = if by_line {
        let mut start = 0;
        let lines = slice.split_inclusive('\n').filter_map(|line| {
            start += line.len();
            trimmed(slice, Span::new(start - line.len(), start))
        });
        lines.collect()
    } else {
        split_sentences(slice)
    };
    let part = |span: Span| Part {
        span: span.shifted(stretch.start),
        labels: None,
        marked: false,
        entities: Vec::new(),
        flaws: Vec::new(),
    };
    spans.into_iter().map(part).collect()
}

/// Makes one sentence of those that share an entity.
fn join(parts: &mut Vec<Part>, first: usize, end: usize, line: usize) -> Result<(), Vec<Flaw>> {
    if parts[first..end].iter().any(|part| part.marked) {
        let reason = "the entity lies in several marked sentences".into();
        return Err(vec![Flaw { line, kind: FlawKind::Misaligned, reason }]);
    }
    let rest: Vec<Part> = parts.drain(first + 1..end).collect();
    for Part { span, entities, flaws, .. } in rest {
        parts[first].span.end = span.end;
        parts[first].entities.extend(entities);
        parts[first].flaws.extend(flaws);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::formats::{LabelledFormat, LabelledOptions, read_labelled};
    use crate::labels::GoldSentence;

    fn read(text: &str, marks: &str, lines: bool) -> Result<Vec<GoldSentence>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), text).unwrap();
        std::fs::write(folder.path().join("a.ann"), marks).unwrap();
        let options = LabelledOptions { lines, ..LabelledFormat::Brat.into() };
        let sentences = read_labelled(folder.path(), options).map_err(|e| e.to_string())?;
        let gold = sentences.map(|labelled| labelled.and_then(|labelled| labelled.gold("data".as_ref())));
        gold.collect::<Result<_, _>>().map_err(|e| e.to_string())
    }

    fn texts(gold: &[GoldSentence]) -> Vec<&str> {
        gold.iter().map(|gold| gold.text.as_str()).collect()
    }

    #[test]
    fn a_document_is_split_into_sentences_with_their_entities() {
        let text = "Talks end\n\n🕊 Lima agreed.  Ana\nDuarte left.\n";
        let marks = "T1\tLOC 13 17\tLima\nT2\tPER 27 37\tAna Duarte\nE1\tLeave:T2\nR1\tin Arg1:T2 Arg2:T1\n#1\tAnnotatorNotes T1\twhat\n";
        let gold = read(text, marks, false).unwrap();
        assert_eq!(texts(&gold), ["Talks end", "🕊 Lima agreed.", "Ana\nDuarte left."]);
        assert_eq!((gold[0].labels.as_ref(), gold[0].article.as_deref()), (None, Some("a")));
        let entities = gold[2].entities.as_ref().unwrap();
        assert_eq!(
            (entities[0].span.of(&gold[2].text), entities[0].label.as_str()),
            (Some("Ana\nDuarte"), "PER")
        );
    }

    #[test]
    fn sentences_that_share_an_entity_are_one() {
        let gold = read("One here. Two there. Three.", "T1\tX 4 13\there. Two\n", false).unwrap();
        assert_eq!(texts(&gold), ["One here. Two there.", "Three."]);
    }

    #[test]
    fn attributes_of_marked_sentences_are_their_labels() {
        let marks = "T1\tSentence 0 9\tOne here.\nA1\thope T1\nA2\tStance T1 fear\nT2\tSentence 10 20\tTwo there.\nT3\tX 10 13\tTwo\nA3\tNegated T3\n";
        let gold = read("One here. Two there. Three.", marks, false).unwrap();
        assert_eq!(texts(&gold), ["One here.", "Two there.", "Three."]);
        assert_eq!(gold[0].labels, Some(vec!["hope".into(), "fear".into()]));
        assert_eq!((gold[1].labels.clone(), gold[2].labels.clone()), (Some(vec![]), None));
        assert_eq!(gold[0].entities, Some(vec![]));
    }

    #[test]
    fn an_entity_that_is_cut_at_the_end_of_a_line_is_one() {
        let gold = read("Ana\n  Duarte left.", "\u{feff}T1\tPER 0 3;6 12\tAna Duarte\n", false).unwrap();
        let entity = &gold[0].entities.as_ref().unwrap()[0];
        assert_eq!(entity.span.of(&gold[0].text), Some("Ana\n  Duarte"));
    }

    #[test]
    fn lines_may_be_sentences() {
        let gold = read("One. Two.\r\n\nThree", "", true).unwrap();
        assert_eq!(texts(&gold), ["One. Two.", "Three"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let text = "One here. Two there.";
        for (marks, expected) in [
            ("T1\tX 0 3;10 13\tOne Two\n", "data:1: a.ann:1: \"One Two\" (0 3;10 13) lies in several pieces"),
            ("\nT1\tX 0 3\tTwo\n", "a.ann:2: \"Two\" (0 3): the text has \"One\" there"),
            ("T1\tX 0 99\tOne\n", "a.ann:1: \"One\" (0 99) lies outside the text"),
            ("T1\tX 0 3;x\tOne\n", "a.ann:1: \"0 3;x\" are no offsets"),
            ("X 0 3\tOne\n", "a.ann:1: `X 0 3` begins no annotation that brat knows"),
            ("T1\tX\n", "a.ann:1: `T1` has no type and offsets"),
            ("A1\thope\n", "a.ann:1: `A1` has no name and target"),
            ("T1\tX 0 3\tOne\nT2\tY 2 5\te h\n", "overlap"),
            ("T1\tSentence 0 9\tOne here.\nT2\tSentence 4 20\there. Two there.\n", "overlaps that of line 1"),
            ("T1\tSentence 0 9\tOne here.\nT2\tX 4 13\there. Two\n", "several marked sentences"),
            ("T1\tX 3 9\t here.\n", "white space"),
        ] {
            let error = read(text, marks, false).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_text_without_its_marks_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "a").unwrap();
        let error = read_labelled(folder.path(), LabelledFormat::Brat).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("a.ann: "), "{error}");
    }
}
