use super::fixture;
use std::sync::OnceLock;
use undertone::bundle::{Bundle, Head};
use undertone::engine::{Aggregation, Engine, Input, Tasks};
use undertone::labels::{Prediction, decode};
use undertone::tokens::split_words;

const AGGREGATIONS: [Aggregation; 6] = [
    Aggregation::Words,
    Aggregation::None,
    Aggregation::Simple,
    Aggregation::First,
    Aggregation::Average,
    Aggregation::Max,
];

/// Whatever the tags of a model are called and whatever it reads, entities lie in the text, and a sentence has the same
/// answers alone and beside another. The first byte picks the aggregation; lines up to a blank one are names of tags.
pub(crate) fn law(data: &[u8]) {
    let Some((&choice, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let (names, text) = text.split_once("\n\n").unwrap_or(("", &text));
    let aggregation = AGGREGATIONS[usize::from(choice) % AGGREGATIONS.len()];
    let engine = engine(names).with_aggregation(aggregation);
    let input = |text| Input { text, words: None };
    let alone = engine.predict(&[input(text)], Tasks::Ner).expect("an answer").remove(0);
    check(text, &alone, aggregation);
    let beside =
        engine.predict(&[input("No one left Lima ."), input(text)], Tasks::Ner).expect("answers").remove(1);
    assert_eq!((&alone.tags, alone.tokens), (&beside.tags, beside.tokens));
    let plain = |prediction: &Prediction| -> Vec<_> {
        prediction.entities.iter().flatten().map(|e| (e.span, e.label.clone())).collect()
    };
    assert_eq!(plain(&alone), plain(&beside));
}

/// The tiny tagger with the given names for its tags, as far as they go.
fn engine(names: &str) -> Engine {
    static BUNDLE: OnceLock<Bundle> = OnceLock::new();
    let bundle = BUNDLE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fixture::write(fixture::MODELS[0].1, folder.path());
        Bundle::open(folder.path()).expect("a model")
    });
    let mut description = bundle.description.clone();
    if let Some(Head::Token(task)) = description.heads.first_mut() {
        for (label, name) in task.labels.iter_mut().zip(names.lines()) {
            name.clone_into(label);
        }
    }
    Engine::new(bundle.with(description, bundle.weights.clone())).expect("a model").with_threads(1)
}

fn check(text: &str, prediction: &Prediction, aggregation: Aggregation) {
    let entities = prediction.entities.as_ref().expect("a tagger finds entities");
    for entity in entities {
        assert!(entity.span.of(text).is_some(), "{entity:?}");
        assert!((0.0..=1.0001).contains(&entity.score), "{entity:?}");
    }
    assert!(entities.windows(2).all(|pair| pair[0].span.start <= pair[1].span.start));
    if aggregation == Aggregation::Words {
        assert!(entities.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
        assert_eq!(prediction.tags.len(), split_words(text).len());
        assert!(entities.len() <= decode(&prediction.tags).len());
    }
}
