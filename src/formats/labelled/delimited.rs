use super::lines::not_utf8;
use super::record::two_of_labels;
use super::sentences::LABELS;
use super::write::{LabelledWriter, Losses, Writing};
use super::{Flaw, Labelled, LabelledOptions, LabelledSentences, Loss};
use crate::formats::FormatError;
use crate::formats::quotes::Quotes;
use crate::labels::GoldSentence;
use csv::{ByteRecord, QuoteStyle, ReaderBuilder, StringRecord, WriterBuilder};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Result as IoResult, Write};
use std::path::Path;

/// What joins the labels of a cell.
const SEPARATOR: char = ';';

/// Rows of a file, each with its line.
pub(super) type Rows = Box<dyn Iterator<Item = Result<(usize, ByteRecord), FormatError>>>;

/// The rows of a file of separated values, the header, if there is one, among them. `quotes` says whether a quotation
/// mark opens a quoted cell.
pub(super) fn rows(path: &Path, delimiter: u8, quotes: bool) -> Result<Rows, FormatError> {
    let fail = |source| FormatError::File { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(fail)?);
    // The `csv` crate counts the second half of a CR LF with the row behind it.
    let start = reader.fill_buf().map_err(fail)?;
    let crlf = start.iter().position(|&b| b == b'\n').is_some_and(|end| start[..end].ends_with(b"\r"));
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(quotes)
        .flexible(true)
        .has_headers(false)
        .from_reader(reader);
    let path = path.to_owned();
    let (mut first, mut over) = (true, false);
    Ok(Box::new(std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut row = ByteRecord::new();
        match reader.read_byte_record(&mut row) {
            Ok(false) => None,
            Ok(true) => {
                let line = row.position().map_or(0, |p| p.line() as usize + usize::from(crlf && !first));
                first = false;
                Some(Ok((line, row)))
            }
            Err(error) => {
                over = true;
                Some(Err(FormatError::File { path: path.clone(), source: io_error(error) }))
            }
        }
    })))
}

/// How a file quotes its cells.
pub(super) fn quotes(path: &Path, delimiter: u8) -> Result<Quotes, FormatError> {
    let fail = |source| FormatError::File { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(fail)?);
    if reader.fill_buf().map_err(fail)?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let mut quotes = Quotes::new(delimiter);
    loop {
        let bytes = reader.fill_buf().map_err(fail)?;
        if bytes.is_empty() {
            return Ok(quotes);
        }
        quotes.follow(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
}

/// The cells of a row as text.
pub(super) fn cells(line: usize, row: ByteRecord) -> Result<StringRecord, Flaw> {
    StringRecord::from_byte_record(row).map_err(|error| {
        let error = error.utf8_error();
        Flaw::malformed(line, format!("cell {}: {}", error.field() + 1, not_utf8(error.valid_up_to())))
    })
}

/// The labels of a cell.
pub(super) fn labels(cell: &str, names: &[String]) -> Result<Vec<String>, String> {
    let parts = cell.split(SEPARATOR).map(str::trim).filter(|label| !label.is_empty());
    parts.map(|label| by_number(label, names)).collect()
}

/// A label, which may be the number of a name.
pub(super) fn by_number(label: &str, names: &[String]) -> Result<String, String> {
    match label.parse::<usize>() {
        Ok(number) if !names.is_empty() && !names.iter().any(|name| name == label) => names
            .get(number)
            .cloned()
            .ok_or_else(|| format!("no label has the number {number}: there are {} names", names.len())),
        _ => Ok(label.to_owned()),
    }
}

/// The columns of a file by their place.
struct Header {
    names: Vec<String>,
    text: usize,
    labels: usize,
    article: Option<usize>,
}

impl Header {
    fn new(path: &Path, row: &StringRecord, options: &LabelledOptions) -> Result<Self, FormatError> {
        let names: Vec<String> = row.iter().map(str::to_owned).collect();
        let fail = |reason| FormatError::Line { path: path.to_owned(), line: 1, reason };
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !name.is_empty() && !seen.insert(*name)) {
            return Err(fail(format!("two columns are called `{name}`")));
        }
        let find = |asked: &Option<String>, known: &[&str], flag: &str| {
            let known = asked.as_deref().map_or_else(|| known.to_vec(), |asked| vec![asked]);
            let there = known.iter().filter_map(|known| names.iter().position(|name| name == known));
            let there: Vec<usize> = there.collect();
            if there.is_empty() {
                return Err(fail(format!(
                    "no column `{}` among {}; name the column with {flag}",
                    known.join("`, `"),
                    names.join(", ")
                )));
            }
            Ok(there)
        };
        let text = find(&options.text_field, &["text", "sentence", "sentence1"], "--text-field")?[0];
        let labels = match find(&options.label_field, &LABELS, "--label-field")?[..] {
            [first, second, ..] => {
                let (first, second) = (&names[first], &names[second]);
                return Err(fail(two_of_labels(first, second)));
            }
            ref one => one[0],
        };
        let article = names.iter().position(|name| name == "article");
        Ok(Self { names, text, labels, article })
    }
}

/// [`LabelledFormat::Csv`](super::LabelledFormat::Csv) and [`LabelledFormat::Tsv`](super::LabelledFormat::Tsv)
pub(super) fn read(
    path: &Path,
    options: LabelledOptions,
    delimiter: u8,
) -> Result<LabelledSentences, FormatError> {
    let quoted = delimiter == b',';
    let quotes = if quoted { quotes(path, delimiter)? } else { Quotes::new(delimiter) };
    let mut rows = rows(path, delimiter, quoted)?;
    let Some(first) = rows.next().transpose()? else { return Ok(Box::new(std::iter::empty())) };
    let row = cells(first.0, first.1).map_err(|flaw| FormatError::Line {
        path: path.to_owned(),
        line: flaw.line,
        reason: flaw.reason,
    })?;
    let header = Header::new(path, &row, &options)?;
    let mut rows = rows.peekable();
    Ok(Box::new(std::iter::from_fn(move || {
        let (line, row) = match rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let (last, behind) = (rows.peek().is_none(), rows.peek().and_then(|row| Some(row.as_ref().ok()?.0)));
        let sentence = if let Some(opened) = quotes.open().filter(|_| last) {
            let reason =
                "a quotation mark opens a cell here and is never closed: the rest of the file is in it";
            Err(Flaw::malformed(opened, reason))
        } else if let Some(opened) = quotes.torn(line, behind) {
            let reason = "a quotation mark opens a cell here, and the next one, in a line below, does not end it; a mark that belongs to a cell must be doubled";
            Err(Flaw::malformed(opened, reason))
        } else {
            cells(line, row).and_then(|row| sentence(line, &row, &header, &options))
        };
        Some(Ok(Labelled { line, sentence: sentence.map_err(Vec::from) }))
    })))
}

fn sentence(
    line: usize,
    row: &StringRecord,
    header: &Header,
    options: &LabelledOptions,
) -> Result<GoldSentence, Flaw> {
    if row.len() != header.names.len() {
        let reason = format!("{} cells where the header names {}", row.len(), header.names.len());
        return Err(Flaw::malformed(line, reason));
    }
    let text = row[header.text].to_owned();
    if text.trim().is_empty() {
        return Err(Flaw::empty_text(line));
    }
    let cell = &row[header.labels];
    let one = header.names[header.labels] == "label";
    let labels =
        if one && cell.trim().is_empty() { Ok(None) } else { labels(cell, &options.label_names).map(Some) };
    let labels = labels.map_err(|reason| Flaw::malformed(line, reason))?;
    let article = header.article.map(|place| row[place].to_owned()).filter(|article| !article.is_empty());
    let known = [Some(header.text), Some(header.labels), header.article];
    let other = (0..row.len()).filter(|&place| !known.contains(&Some(place)) && !row[place].is_empty());
    let mut fields = Map::new();
    for place in other {
        if fields.insert(header.names[place].clone(), row[place].into()).is_some() {
            return Err(Flaw::malformed(line, "two cells stand in columns without a name"));
        }
    }
    Ok(GoldSentence { article, text, labels, fields, ..GoldSentence::default() })
}

/// Rows under a header.
pub(super) struct Writer<W: Write> {
    out: csv::Writer<W>,
    writing: Writing,
    /// True if a cell holds a tab, a line break and a quotation mark as they are.
    quoted: bool,
    fields: Vec<String>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, writing: Writing, delimiter: u8) -> IoResult<Self> {
        let quoted = delimiter == b',';
        let style = if quoted { QuoteStyle::Necessary } else { QuoteStyle::Never };
        let mut out = WriterBuilder::new().delimiter(delimiter).quote_style(style).from_writer(out);
        let contents = writing.contents();
        let known = ["text", "sentence", "sentence1", "article", "stance", "labels", "label"];
        let fits = |name: &&String| !known.contains(&name.as_str()) && (quoted || plain(name) == **name);
        let fields: Vec<String> = contents.fields.iter().filter(fits).cloned().collect();
        let labels = if contents.single_label() { "label" } else { "labels" };
        let article = contents.articles.then_some("article");
        let header = ["text", labels].into_iter().chain(article).chain(fields.iter().map(String::as_str));
        out.write_record(header).map_err(io_error)?;
        Ok(Self { out, writing, quoted, fields })
    }

    /// A cell as it can be written; notes the loss if it cannot be as it is.
    fn cell(&mut self, loss: Loss, cell: &str) -> String {
        if self.quoted {
            return cell.to_owned();
        }
        let plain = plain(cell);
        self.writing.lose(loss, plain != cell);
        plain
    }
}

impl<W: Write> LabelledWriter for Writer<W> {
    fn write(&mut self, sentence: &GoldSentence) -> IoResult<()> {
        let GoldSentence { article, text, words, labels, entities, fields } = sentence;
        self.writing.lose(Loss::Words, words.is_some());
        self.writing.lose(Loss::Entities, entities.as_ref().is_some_and(|entities| !entities.is_empty()));
        self.writing.annotation(entities, false);
        let single = self.writing.contents().single_label();
        self.writing.annotation(labels, !single);
        let written = labels.iter().flatten().map(|label| {
            let label = label.replace(SEPARATOR, ",");
            if self.quoted { label.trim().to_owned() } else { plain(&label).trim().to_owned() }
        });
        let written: Vec<String> = written.collect();
        let kept = labels.iter().flatten().eq(&written) && written.iter().all(|label| !label.is_empty());
        self.writing.lose(Loss::Labels, !kept);
        let text = self.cell(Loss::Text, text);
        let mut row = vec![text, written.join(&SEPARATOR.to_string())];
        if self.writing.contents().articles {
            self.writing.lose(Loss::Article, article.as_ref().is_some_and(String::is_empty));
            row.push(self.cell(Loss::Article, article.as_deref().unwrap_or_default()));
        }
        let names = self.fields.clone();
        for name in &names {
            row.push(match fields.get(name) {
                None => String::new(),
                Some(Value::String(value)) if !value.is_empty() => self.cell(Loss::Fields, value),
                Some(value) => {
                    self.writing.lose(Loss::Fields, true);
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                }
            });
        }
        self.writing.lose(Loss::Fields, fields.keys().any(|name| !names.contains(name)));
        self.writing.done();
        self.out.write_record(&row).map_err(io_error)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> IoResult<Losses> {
        self.out.flush()?;
        Ok(self.writing.losses())
    }
}

/// A cell without tabs and line breaks.
pub(super) fn plain(cell: &str) -> String {
    cell.replace(['\t', '\n', '\r'], " ")
}

/// The error of the file itself: `csv` hides its kind, and a broken pipe must be known as one.
pub(super) fn io_error(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LabelledFormat, LabelledOptions, testing};

    #[test]
    fn a_row_has_its_labels_its_article_and_its_fields() {
        let content =
            "\u{feff}id,text,labels,article,desk\r\n1,\"A, \"\"b\"\".\r\nC.\",x; y,n,world\r\n2,D.,,,\r\n";
        let gold = testing::read(LabelledFormat::Csv, content).unwrap();
        assert_eq!((gold[0].text.as_str(), gold[0].article.as_deref()), ("A, \"b\".\r\nC.", Some("n")));
        assert_eq!((gold[0].labels.as_ref().unwrap().len(), &gold[0].fields["desk"]), (2, &"world".into()));
        assert_eq!((gold[1].labels.clone(), gold[1].article.clone()), (Some(vec![]), None));
        assert_eq!(gold[1].fields.keys().collect::<Vec<_>>(), ["id"]);
    }

    #[test]
    fn a_tab_separated_file_has_one_label_and_quotes_as_they_are() {
        let content = "label\tsentence\n0\t\"No,\" he said.\n\tb\n1\tc\n";
        let gold = testing::read(LabelledFormat::Tsv, content).unwrap();
        assert_eq!(
            (gold[0].text.as_str(), gold[0].labels.clone()),
            ("\"No,\" he said.", Some(vec!["0".into()]))
        );
        assert_eq!(gold[1].labels, None);
        let named =
            LabelledOptions { label_names: vec!["no".into(), "yes".into()], ..LabelledFormat::Tsv.into() };
        assert_eq!(testing::read(named, content).unwrap()[2].labels, Some(vec!["yes".into()]));
    }

    #[test]
    fn columns_that_are_missing_or_too_many_are_named() {
        let cases: [(&[u8], &str); 5] = [
            (b"body,label\na,x\n", "data:1: no column `text`, `sentence`, `sentence1` among body, label"),
            (b"text,class\na,x\n", "--label-field"),
            (b"text,label\na\n", "data:2: 1 cells where the header names 2"),
            (b"text,label\n\xff,x\n", "data:2: cell 1: byte 0 is not UTF-8"),
            (b"text,label\n ,x\n", "data:2: the text is empty"),
        ];
        for (content, expected) in cases {
            let error = testing::read(LabelledFormat::Csv, content).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let options = LabelledOptions {
            text_field: Some("body".into()),
            label_field: Some("class".into()),
            ..LabelledFormat::Csv.into()
        };
        assert_eq!(testing::read(options, "class,body\nx,a\n").unwrap()[0].labels, Some(vec!["x".into()]));
    }

    #[test]
    fn what_the_header_leaves_open_is_told() {
        for (content, expected) in [
            ("text,stance,label\na,x,y\n", "data:1: `stance` and `label` both name labels"),
            ("text,label,a,a\na,x,1,2\n", "data:1: two columns are called `a`"),
            ("text,label,,\na,x,,\nb,x,1,2\n", "data:3: two cells stand in columns without a name"),
        ] {
            let error = testing::read(LabelledFormat::Csv, content).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let gold = testing::read(LabelledFormat::Csv, "sentence,text,label\na,b,x\n").unwrap();
        assert_eq!(gold[0].text, "b");
    }

    #[test]
    fn a_cell_that_is_never_closed_does_not_swallow_the_rows_behind_it() {
        let error = testing::read(LabelledFormat::Csv, "text,label\na,x\nb,\"x\nc,y\n").unwrap_err();
        assert!(error.contains("data:3: a quotation mark opens a cell here and is never closed"), "{error}");
        let error = testing::read(LabelledFormat::Csv, "text,label\na,x\n\"b,x\n\"c,y\nd,x\n").unwrap_err();
        assert!(error.contains("data:3: a quotation mark opens a cell here, and the next one"), "{error}");
        let gold = testing::read(LabelledFormat::Csv, "text,label\n\"a \"\"b\"\"\nc\",x\nd \"e,y\n").unwrap();
        assert_eq!(gold.len(), 2);
        let gold = testing::read(LabelledFormat::Tsv, "text\tlabel\n\"a\tx\nb\ty\n").unwrap();
        assert_eq!(gold.len(), 2);
    }
}
