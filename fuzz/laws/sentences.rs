use undertone::text::{OffsetUnit, Offsets, Span, split_sentences};

/// Sentences lie in order on character boundaries and lose nothing but white space; their offsets slice the text in every unit.
pub(crate) fn law(data: &[u8]) {
    let text = &String::from_utf8_lossy(data);
    let spans = split_sentences(text);
    let blank = |span: Span| {
        span.of(text).expect("between boundaries").chars().all(|c| c.is_whitespace() || c == '\u{feff}')
    };
    let mut at = 0;
    for &span in &spans {
        assert!(span.start >= at && !span.is_empty(), "{span:?} after {at}");
        let sentence = span.of(text).expect("a span on character boundaries");
        assert_eq!(sentence.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}'), sentence);
        assert!(blank(Span::new(at, span.start)), "lost {:?}", &text[at..span.start]);
        at = span.end;
    }
    assert!(blank(Span::new(at, text.len())), "lost {:?}", &text[at..]);
    let units: Vec<u16> = text.encode_utf16().collect();
    let chars: Vec<char> = text.chars().collect();
    let mut in_chars = Offsets::new(text, OffsetUnit::Char);
    let mut in_units = Offsets::new(text, OffsetUnit::Utf16);
    for span in spans {
        let sentence = &text[span.start..span.end];
        let (start, end) = in_chars.of(span);
        assert_eq!(chars[start..end].iter().collect::<String>(), sentence);
        assert_eq!(in_chars.byte(start), Some(span.start));
        let (start, end) = in_units.of(span);
        assert_eq!(String::from_utf16(&units[start..end]).ok().as_deref(), Some(sentence));
        assert_eq!(in_units.byte(end), Some(span.end));
    }
}
