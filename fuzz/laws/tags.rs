use undertone::labels::{Scheme, TagSpan, decode, decode_strict, encode, to_iob2};

/// Any tags, one a line, give spans in order and inside the sentence; IOB2 made from them means the same entities.
pub(crate) fn law(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let tags: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let (spans, strict) = (decode(&tags), decode_strict(&tags));
    for found in [&spans, &strict] {
        assert!(found.iter().all(|span| span.start < span.end && span.end <= tags.len()), "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start), "{found:?}");
    }
    let iob2 = to_iob2(&tags);
    assert_eq!(iob2.len(), tags.len());
    assert_eq!(decode(&iob2), spans);
    assert_eq!(decode_strict(&iob2), spans);
    assert_eq!(encode(&spans, tags.len()), iob2);
    assert_eq!(to_iob2(&iob2), iob2);
    // What is strict already is found by the lenient rules too.
    let covers =
        |span: &TagSpan| spans.iter().any(|found| found.start <= span.start && found.end >= span.end);
    assert!(strict.iter().all(covers), "{strict:?} {spans:?}");
    assert_ne!(Scheme::detect([iob2.as_slice()]), Scheme::Bioes);
}
