use super::{Report, SentenceRecord};
use std::io::{Result, Write};

/// One JSON object a sentence.
#[derive(Debug)]
pub struct JsonlReport<W> {
    out: W,
}

impl<W: Write> JsonlReport<W> {
    /// Records to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> Report for JsonlReport<W> {
    fn sentence(&mut self, record: &SentenceRecord) -> Result<()> {
        serde_json::to_writer(&mut self.out, record)?;
        self.out.write_all(b"\n")
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::record;
    use super::*;

    #[test]
    fn a_record_is_a_line_with_its_keys_in_order() {
        let mut out = Vec::new();
        JsonlReport::new(&mut out).sentence(&record()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"id\":\"a, b.txt\",\"sentence\":1,\"start\":3,\"end\":31,\"text\":\"We condemn Zürich, they say.\",\
             \"stance\":[\"condemnation\"],\"scores\":{\"condemnation\":0.981235,\"speculation\":0.25},\
             \"entities\":[{\"label\":\"LOC\",\"text\":\"Zürich\",\"start\":14,\"end\":20,\"score\":0.5}]}\n"
        );
    }
}
