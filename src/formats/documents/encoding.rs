//! From bytes to text: encodings that are named, marked or guessed.

use super::peeked::Peeked;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read};
use std::str::FromStr;

/// An encoding of text, by any of the names that the [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels)
/// knows: `utf-8`, `windows-1252`, `latin1`, `utf-16le`, `shift_jis`, `gb18030`.
///
/// An input that has one is decoded while it is read, and offsets count in the decoded text. Bytes that mean nothing in it
/// make the record they stand in a bad one, which shows each as the byte 0xFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TextEncoding(&'static Encoding);

/// A name that is of no encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no encoding that is known; those are the ones of the web, such as utf-8, utf-16le, windows-1252, windows-1251, iso-8859-2, koi8-r, shift_jis, euc-kr, gb18030 and big5"
)]
pub struct UnknownEncoding(String);

impl TextEncoding {
    pub(super) const UTF_8: Self = Self(UTF_8);

    /// Its name in the Encoding Standard.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The encoding that a byte-order mark at the start of an input tells.
    pub(super) fn of_mark(start: &[u8]) -> Option<Self> {
        Encoding::for_bom(start).map(|(encoding, _)| Self(encoding))
    }

    /// UTF-16 without a mark, known by the zeros that halves of its characters are: most of one half, and none of the other.
    pub(super) fn of_zeros(start: &[u8]) -> Option<Self> {
        let zeros = |from: usize| start.iter().skip(from).step_by(2).filter(|&&byte| byte == 0).count();
        let most = start.len() / 4;
        match (zeros(0), zeros(1)) {
            (0, odd) if odd > most => Some(Self(UTF_16LE)),
            (even, 0) if even > most => Some(Self(UTF_16BE)),
            _ => None,
        }
    }

    /// The text of the beginning of an input, as far as it can be made out.
    pub(super) fn glance(self, start: &[u8]) -> String {
        self.0.decode_with_bom_removal(start).0.into_owned()
    }
}

#[cfg(feature = "pages")]
impl TextEncoding {
    /// The text of all of an input, and how many malformed characters were replaced in it.
    pub(super) fn decode(self, bytes: &[u8]) -> (String, usize) {
        let (text, malformed) = self.0.decode_with_bom_removal(bytes);
        let replaced = if malformed { text.matches('\u{fffd}').count() } else { 0 };
        (text.into_owned(), replaced)
    }
}

impl From<TextEncoding> for String {
    fn from(encoding: TextEncoding) -> Self {
        encoding.name().into()
    }
}

impl TryFrom<String> for TextEncoding {
    type Error = UnknownEncoding;

    fn try_from(name: String) -> Result<Self, UnknownEncoding> {
        name.parse()
    }
}

impl FromStr for TextEncoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        // Some old names are known only to be refused: what they stand for is not safe to read.
        let known = Encoding::for_label_no_replacement(name.as_bytes());
        known.map(Self).ok_or_else(|| UnknownEncoding(name.to_owned()))
    }
}

/// The encoding that a beginning which is not UTF-8 looks like; `None` if it is UTF-8, or not text at all.
///
/// UTF-8 in which single lines are broken stays UTF-8: of the lines with more than ASCII in them, most must be broken, and
/// a line is where its malformed bytes are as many as its well-formed characters. One or two malformed bytes are damage: they
/// tell nothing of all the others. NUL bytes are in no old text but UTF-16.
pub(super) fn guess(start: &[u8], whole: bool) -> Option<TextEncoding> {
    if start.contains(&0) {
        return TextEncoding::of_zeros(start);
    }
    let lines = match start.iter().rposition(|&byte| byte == b'\n') {
        _ if whole => start,
        Some(end) => &start[..end],
        // The last character may not be there as a whole.
        None => {
            &start[..start.len() - start.iter().rev().take(3).take_while(|byte| !byte.is_ascii()).count()]
        }
    };
    let (mut sound, mut broken, mut flaws) = (0usize, 0usize, 0usize);
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_ascii()) {
        let (mut characters, mut malformed) = (0usize, 0usize);
        for chunk in line.utf8_chunks() {
            characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
            malformed += usize::from(!chunk.invalid().is_empty());
        }
        if malformed > 0 && malformed >= characters {
            broken += 1
        } else {
            sound += 1
        }
        flaws += malformed;
    }
    (broken > sound && flaws >= EVIDENCE).then(|| {
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        detector.feed(start, whole);
        TextEncoding(detector.guess(None, Utf8Detection::Deny))
    })
}

/// Malformed bytes that are more than damage.
const EVIDENCE: usize = 3;

/// The text of an input as UTF-8. UTF-8 itself is left as it is, its mark and its flaws included.
pub(super) fn decoded(input: Peeked, encoding: TextEncoding) -> Box<dyn BufRead> {
    let reader = input.into_reader();
    if encoding.0 == UTF_8 {
        return reader;
    }
    let decoder = encoding.0.new_decoder_with_bom_removal();
    Box::new(Decoding { reader, decoder, text: Vec::new(), at: 0, over: false })
}

/// Bytes of text that are decoded at a time.
const CHUNK: usize = 8 << 10;
/// What stands for malformed bytes: no text has it, so the record it is in is found to be a bad one.
const MALFORMED: u8 = 0xff;

struct Decoding {
    reader: Box<dyn BufRead>,
    decoder: Decoder,
    text: Vec<u8>,
    at: usize,
    over: bool,
}

impl BufRead for Decoding {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.text.len() && !self.over {
            self.text.clear();
            self.at = 0;
            let bytes = self.reader.fill_buf()?;
            let last = bytes.is_empty();
            self.text.resize(CHUNK, 0);
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.text, last);
            self.text.truncate(written);
            self.reader.consume(read);
            match result {
                DecoderResult::InputEmpty => self.over = last,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => self.text.push(MALFORMED),
            }
        }
        Ok(&self.text[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl Read for Decoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{DocumentOptions, InputFormat, Segmentation};
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str, format: InputFormat, content: &[u8]) -> Vec<Result<String, String>> {
        let encoding = Some(name.parse().unwrap());
        let options = DocumentOptions { format: Some(format), encoding, ..DocumentOptions::default() };
        let documents = read_with(options, content).into_iter();
        documents.map(|document| document.map(|d| d.text).map_err(|bad| bad.to_string())).collect()
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_named_encoding_is_decoded_and_an_unknown_name_is_told_with_some_that_are_known() {
        assert_eq!(named("latin1", InputFormat::Text, b"caf\xe9"), [Ok("café".into())]);
        assert_eq!(
            named("utf-16le", InputFormat::Lines, &utf16("\u{feff}Zürich 🕊\n")),
            [Ok("Zürich 🕊\n".into())]
        );
        let json = b"{\"text\":\"\x93\xfa\x96{\"}\n";
        assert_eq!(named("Shift_JIS", InputFormat::Jsonl, json), [Ok("日本".into())]);
        let error = "latin-9000".parse::<TextEncoding>().unwrap_err().to_string();
        assert!(error.contains("latin-9000") && error.contains("windows-1252"), "{error}");
        assert!("hz-gb-2312".parse::<TextEncoding>().is_err());
    }

    #[test]
    fn a_mark_tells_the_encoding_and_even_the_format_is_found_by_it() {
        let content = utf16("\u{feff}{\"text\":\"Zürich\"}\n");
        let documents = read_with(DocumentOptions::default(), &content);
        assert_eq!(documents[0].as_ref().unwrap().text, "Zürich");
        let big: Vec<u8> = "\u{feff}Zürich".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(InputFormat::Text, &big)[0].as_ref().unwrap().text, "Zürich");
    }

    #[test]
    fn malformed_bytes_make_their_record_a_bad_one_and_no_other() {
        let mut content = utf16("one\ntwo\nthree\n");
        content[8..10].copy_from_slice(&[0, 0xd8]);
        content.pop();
        let read = named("utf-16le", InputFormat::Lines, &content);
        assert_eq!(read[0], Ok("one\n\u{fffd}wo\n".into()));
        assert_eq!(read[1], Err("in:2: what stands at byte 0 of the text is not UTF-16LE".into()));
        assert!(read[3].as_ref().unwrap_err().starts_with("in:3"), "{read:?}");
        assert!(named("gb18030", InputFormat::Text, b"a\xff")[0].is_err());
    }

    #[test]
    fn most_lines_with_more_than_ascii_decide() {
        let guess = |content: &[u8]| guess(content, true).map(TextEncoding::name);
        assert_eq!(guess("Zürich\nplain\n".as_bytes()), None);
        assert_eq!(
            guess(b"Z\xfcrich und K\xf6ln liegen nicht in \xd6sterreich\nplain\n"),
            Some("windows-1252")
        );
        assert_eq!(
            guess(
                "Zürich\nKöln\n".as_bytes().iter().chain(b"b\xe4d\n").copied().collect::<Vec<_>>().as_slice()
            ),
            None
        );
        // One broken byte in a line of good ones is damage, and NUL is in no old text.
        assert_eq!(guess(&["Zürich, Köln, Münster ".as_bytes(), b"\xe4"].concat()), None);
        assert_eq!(guess(b"PNG\0\0\x89\xff\xfe\xfd"), None);
        // Among lines of ASCII alone two bytes are damage too, as is what is cut off at the end.
        assert_eq!(guess(b"One left.\nTw\xffo st\xfeay.\nThree.\n"), None);
        assert_eq!(guess(b"One left.\nTwo st\xc3"), None);
        let (russian, _, _) =
            encoding_rs::WINDOWS_1251.encode("Министры встретились в пятницу в Лиме и осудили нападение.\n");
        assert_eq!(guess(&russian), Some("windows-1251"));
    }

    #[test]
    fn utf_16_is_known_without_a_mark() {
        let text = "{\"text\":\"Zürich: 2 Österreicher, – \"}\n";
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for content in [utf16(text), big] {
            let documents = read_with(DocumentOptions::default(), &content);
            assert_eq!(documents[0].as_ref().unwrap().text, "Zürich: 2 Österreicher, – ");
        }
        // Single NUL bytes are a part of the text.
        assert_eq!(read(InputFormat::Text, b"a\0b\0c de")[0].as_ref().unwrap().text, "a\0b\0c de");
    }

    #[test]
    fn a_stream_is_judged_by_its_beginning_and_read_as_what_was_guessed() {
        let line = b"Die Minister trafen sich in Z\xfcrich und K\xf6ln.\n";
        let documents = read(InputFormat::Lines, &line.repeat(5000));
        assert!(documents.iter().flatten().all(|d| d.text.contains("Zürich und Köln")));
        assert_eq!(documents.iter().flatten().map(|d| d.sentences().len()).sum::<usize>(), 5000);
        let late = ["Zürich\n".repeat(20_000).as_bytes(), line].concat();
        assert_eq!(read(InputFormat::Lines, &late).iter().filter(|d| d.is_err()).count(), 1);
    }

    #[test]
    fn a_cut_within_the_sample_is_no_flaw() {
        for text in
            ["ü".repeat(100_000), "x".repeat((64 << 10) - 1) + "ü", "x".repeat((64 << 10) - 2) + "漢\n"]
        {
            let documents = read(InputFormat::Lines, text.as_bytes());
            assert_eq!(documents[0].as_ref().unwrap().text, text);
        }
    }

    proptest! {
        #[test]
        fn any_chunks_decode_to_the_same_text(text in "\\PC{0,30}", chunk in 1usize..9) {
            let mut bytes = vec![0xff, 0xfe];
            bytes.extend(utf16(&text));
            let documents = read_by(chunk, InputFormat::Text, &bytes);
            let document = documents[0].as_ref().unwrap();
            prop_assert_eq!(&document.text, &text);
            prop_assert_eq!(&document.segmentation, &Segmentation::Split);
        }
    }
}
