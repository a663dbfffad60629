//! gzip and zstd, undone while an input is read.

use super::peeked::Peeked;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{self, BufRead, BufReader, Read};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

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
    let decoder: io::Result<Box<dyn Decoder>> = match kind {
        Kind::Gzip => Ok(Box::new(Gzip::new())),
        Kind::Zstd => Zstd::new().map(|decoder| Box::new(decoder) as Box<dyn Decoder>),
    };
    match decoder {
        Ok(decoder) => Box::new(BufReader::new(Decompressing { reader, decoder, kind, failed: None })),
        Err(error) => Peeked::failed(error).into_reader(),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Gzip,
    Zstd,
}

/// Decoders of the libraries, below their readers: those drop what they had decoded of a piece of input in which they meet an error.
trait Decoder {
    /// Decodes some of `input` into `out`.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step;

    /// True where data may end: behind a member or a frame, and before the first.
    fn is_between(&self) -> bool;
}

struct Step {
    read: usize,
    written: usize,
    result: io::Result<()>,
}

struct Gzip {
    decoder: Decompress,
    between: bool,
}

impl Gzip {
    fn new() -> Self {
        const WINDOW_BITS: u8 = 15;
        Self { decoder: Decompress::new_gzip(WINDOW_BITS), between: true }
    }
}

impl Decoder for Gzip {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        if self.between {
            if input.is_empty() {
                return Step { read: 0, written: 0, result: Ok(()) };
            }
            self.decoder.reset(true);
            self.between = false;
        }
        let before = (self.decoder.total_in(), self.decoder.total_out());
        let result = self.decoder.decompress(input, out, FlushDecompress::None);
        self.between = matches!(result, Ok(Status::StreamEnd));
        // Of a failure too the counts tell how far it came.
        let read = (self.decoder.total_in() - before.0) as usize;
        let written = (self.decoder.total_out() - before.1) as usize;
        // The library's own words depend on how the bytes came in.
        let result = result.map(drop).map_err(|_| io::Error::other("corrupt deflate stream"));
        Step { read, written, result }
    }

    fn is_between(&self) -> bool {
        self.between
    }
}

struct Zstd {
    decoder: zstd::stream::raw::Decoder<'static>,
    between: bool,
    /// Bytes that the decoder asks for, at most to the end of a block: of a step that fails nothing is told, so that no step may
    /// have a whole block before one that is broken.
    wanted: usize,
    /// There may be more to write before more is read.
    full: bool,
}

impl Zstd {
    fn new() -> io::Result<Self> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW))?;
        Ok(Self { decoder, between: true, wanted: 0, full: false })
    }
}

impl Decoder for Zstd {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let most = if self.full { 0 } else { input.len().min(self.wanted.max(1)) };
        if self.between && most == 0 {
            return Step { read: 0, written: 0, result: Ok(()) };
        }
        let (mut input, mut output) = (InBuffer::around(&input[..most]), OutBuffer::around(out));
        let result = self.decoder.run(&mut input, &mut output);
        self.full = output.pos() == output.capacity();
        self.between = matches!(result, Ok(0));
        let result = result.map(|wanted| self.wanted = wanted);
        Step { read: input.pos(), written: output.pos(), result }
    }

    fn is_between(&self) -> bool {
        self.between
    }
}

/// What a decoder makes of an input; errors say what is wrong with it, behind all that was decoded before.
struct Decompressing {
    reader: Box<dyn BufRead>,
    decoder: Box<dyn Decoder>,
    kind: Kind,
    failed: Option<String>,
}

impl Read for Decompressing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut idle = 0;
        while !buffer.is_empty() {
            if let Some(failed) = &self.failed {
                return Err(told(io::Error::other(failed.clone()), self.kind));
            }
            let input = self.reader.fill_buf()?;
            let ended = input.is_empty();
            let step = self.decoder.step(input, buffer);
            self.reader.consume(step.read);
            self.failed = step.result.err().map(|error| error.to_string());
            if step.written > 0 {
                return Ok(step.written);
            }
            if ended && self.failed.is_none() && self.decoder.is_between() {
                return Ok(0);
            }
            idle = if step.read > 0 { 0 } else { idle + 1 };
            if idle > 1 && self.failed.is_none() {
                return Err(match ended {
                    true => told(io::ErrorKind::UnexpectedEof.into(), self.kind),
                    false => told(io::Error::other("the decoder stands still"), self.kind),
                });
            }
        }
        Ok(0)
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
    fn records_before_damage_are_read_however_the_bytes_come_in() {
        let content = rows(20_000);
        for whole in [gzip(content.as_bytes()), zstd_of(content.as_bytes())] {
            let mut told = 0;
            for part in 2..20 {
                let mut broken = whole.clone();
                let at = broken.len() * part / 20;
                broken[at..at + 8].fill(0xff);
                let read = |size| read_by(size, InputFormat::Jsonl, &broken);
                let found = read(1 << 20);
                // Without a checksum, as here, zstd takes some damage for other text.
                told += usize::from(found.iter().flatten().count() > 0 && found.iter().any(Result::is_err));
                for size in [1, 1000, 8192] {
                    assert!(read(size) == found, "damage at {at}, read by {size}");
                }
            }
            assert!(told > 3, "{told}");
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
