//! gzip and zstd, undone while an input is read.

use super::peeked::Peeked;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};

/// Ends of names below which the end that tells the format stands.
const ENDS: [&str; 3] = ["gz", "zst", "zstd"];

/// The largest distance back that zstd data may ask for, as a power of two: that of the `zstd` tool. A larger one would
/// take memory as it likes.
const WINDOW: u32 = 27;

/// The name without the end that tells how the file is compressed: `wire.jsonl` of `wire.jsonl.gz`.
pub(super) fn uncompressed(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((before, end)) if ENDS.iter().any(|known| known.eq_ignore_ascii_case(end)) => before,
        _ => name,
    }
}

/// What a reader gives, decompressed if it begins as gzip or zstd data do.
///
/// Data that stop too early, or are broken, are an error where that is met, after all that could be had before it.
pub(super) fn decompressed(reader: Box<dyn BufRead>) -> Box<dyn BufRead> {
    let mut peeked = Peeked::new(reader);
    let kind = match *peeked.fill(4) {
        [0x1f, 0x8b, ..] => Kind::Gzip,
        // Data, or what other tools put before them: frames that decoders pass over.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Kind::Zstd,
        _ => return peeked.into_reader(),
    };
    let reader = peeked.into_reader();
    let reader: Box<dyn Read> = match kind {
        Kind::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Kind::Zstd => match zstd(reader) {
            Ok(decoder) => Box::new(decoder),
            Err(error) => Box::new(Peeked::failed(error).into_reader()),
        },
    };
    Box::new(BufReader::new(Decompressing { reader, kind }))
}

fn zstd<R: BufRead>(reader: R) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
    decoder.window_log_max(WINDOW)?;
    Ok(decoder)
}

#[derive(Clone, Copy)]
enum Kind {
    Gzip,
    Zstd,
}

/// A decoder whose errors say what is wrong with the input.
struct Decompressing {
    reader: Box<dyn Read>,
    kind: Kind,
}

impl Read for Decompressing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| told(error, self.kind))
    }
}

fn told(error: io::Error, kind: Kind) -> io::Error {
    let kind = match kind {
        Kind::Gzip => "gzip",
        Kind::Zstd => "zstd",
    };
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => error,
        // The disk's own troubles are none of the data's.
        _ if error.raw_os_error().is_some() => error,
        io::ErrorKind::UnexpectedEof => {
            let told = format!(
                "the {kind} data are truncated: they stop before their end, and what stood there is missing"
            );
            io::Error::new(io::ErrorKind::UnexpectedEof, told)
        }
        _ => io::Error::new(io::ErrorKind::InvalidData, format!("the {kind} data are corrupt: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{BadRecord, Document, InputFormat};
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd_of(content: &[u8]) -> Vec<u8> {
        zstd::encode_all(content, 1).unwrap()
    }

    fn rows(count: usize) -> String {
        (0..count).map(|i| format!("{{\"id\":{i},\"text\":\"Line {} holds.\"}}\n", i * 7919 % 1000)).collect()
    }

    #[test]
    fn the_format_is_that_of_the_name_below() {
        assert_eq!(InputFormat::of_name("a/wire.JSONL.GZ"), Some(InputFormat::Jsonl));
        assert_eq!(InputFormat::of_name("a.csv.zst"), Some(InputFormat::Csv));
        assert_eq!((InputFormat::of_name("a.gz"), InputFormat::of_name("gz")), (None, None));
    }

    #[test]
    fn members_and_frames_that_follow_each_other_are_one_input() {
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let halves = [&b"One left.\nTwo"[..], b" stay.\n"];
        let zstd = [skipped.to_vec(), zstd_of(halves[0]), zstd_of(halves[1])].concat();
        for content in [halves.map(gzip).concat(), zstd] {
            let documents = read(InputFormat::Lines, &content);
            assert_eq!(sentences(documents[0].as_ref().unwrap()), ["One left.", "Two stay."]);
        }
    }

    #[test]
    fn records_before_a_cut_are_read_and_the_one_at_the_cut_is_not() {
        let content = rows(20_000);
        for whole in [gzip(content.as_bytes()), zstd_of(content.as_bytes())] {
            let mut documents = read(InputFormat::Jsonl, &whole[..whole.len() / 2]);
            let bad = documents.pop().unwrap().unwrap_err();
            assert!(bad.reason.contains("truncated"), "{bad}");
            let read: Vec<Document> = documents.into_iter().map(Result::unwrap).collect();
            assert!(read.len() > 1000, "{}", read.len());
            assert_eq!(bad.line, Some(read.len() + 1));
            assert!(read.iter().enumerate().all(|(i, document)| document.id == i));
        }
    }

    #[test]
    fn no_format_takes_what_stands_at_a_cut_for_whole() {
        let line = "id,text\n1,The minister may leave the country on Friday\n";
        let content: String = line.repeat(3000);
        for whole in [gzip(content.as_bytes()), zstd_of(content.as_bytes())] {
            for format in [InputFormat::Text, InputFormat::Lines, InputFormat::Csv] {
                let documents = read(format, &whole[..whole.len() - 5]);
                let (last, before) = documents.split_last().unwrap();
                let bad = last.as_ref().unwrap_err();
                assert!(bad.reason.contains("truncated") && bad.line.is_some(), "{bad}");
                assert!(
                    before.iter().flatten().all(|d| !d.text.contains("Frid") || d.text.contains("Friday"))
                );
                assert_eq!(before.iter().any(Result::is_ok), format != InputFormat::Text);
            }
        }
    }

    #[test]
    fn broken_data_are_told_and_end_the_input() {
        let mut gz = gzip(rows(1000).as_bytes());
        let at = gz.len() - 6;
        gz[at] ^= 0xff;
        let bad = read(InputFormat::Jsonl, &gz).pop().unwrap().unwrap_err();
        assert!(bad.reason.contains("the gzip data are corrupt"), "{bad}");
        let bad = read(InputFormat::Jsonl, &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff]).pop().unwrap();
        assert!(bad.is_err());
    }

    #[test]
    fn a_window_that_would_take_much_memory_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(30).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"One left.\n").unwrap();
        let bad = read(InputFormat::Lines, &encoder.finish().unwrap()).pop().unwrap().unwrap_err();
        assert!(bad.reason.contains("the zstd data are corrupt"), "{bad}");
    }

    proptest! {
        #[test]
        fn what_is_compressed_reads_like_what_is_not(
            content in "(\\{\"text\":\"[a-z. ]{0,20}\"\\}|a,b|\"|[a-z. ]{0,9}|é|\r|\n|\n\n){0,40}",
            chunk in 1usize..50,
        ) {
            for format in [InputFormat::Text, InputFormat::Lines, InputFormat::Jsonl, InputFormat::Csv, InputFormat::Tsv] {
                let plain: Vec<Result<Document, BadRecord>> = read(format, content.as_bytes());
                for compressed in [gzip(content.as_bytes()), zstd_of(content.as_bytes())] {
                    prop_assert_eq!(&read_by(chunk, format, &compressed), &plain);
                }
                prop_assert_eq!(&read_by(chunk, format, content.as_bytes()), &plain);
            }
        }
    }
}
