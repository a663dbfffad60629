//! Evaluations made by hand: a lifelike one, from answers that are drawn, and one with nothing to score.

use undertone::evaluation::*;

pub(crate) const LABELS: [&str; 4] = ["condemnation", "support", "speculation", "call for action"];
const TYPES: [&str; 4] = ["LOC", "MISC", "ORG", "PER"];
const SENTENCES: usize = 1840;

/// Numbers in an order that looks like none (SplitMix64), from 0 to 1.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn figure(value: Option<f64>, reach: f64) -> Figure {
    let interval = value.map(|v| Interval { low: (v - reach).max(0.0), high: (v + 0.8 * reach).min(1.0) });
    Figure { value, interval }
}

/// Probability and truth of one label, sentence by sentence.
fn answers(seed: u64, prevalence: f64, sharpness: f64) -> Vec<(f32, bool)> {
    let mut draw = Draw(seed);
    let answer = |_| {
        let gold = draw.next() < prevalence;
        let noise = (draw.next() + draw.next() + draw.next() - 1.5) * 3.0;
        let logit = sharpness * if gold { 1.0 } else { -1.0 } + noise - 0.4;
        ((1.0 / (1.0 + (-logit).exp())) as f32, gold)
    };
    (0..SENTENCES).map(answer).collect()
}

/// Sentences of an article.
const ARTICLE: usize = 16;

pub(crate) fn classification() -> ClassificationReport {
    let columns =
        [answers(1, 0.11, 2.2), answers(2, 0.16, 1.6), answers(3, 0.07, 1.3), answers(4, 0.04, 1.9)];
    let thresholds = [0.62, 0.55, 0.71, 0.66];
    let (mut table, mut groups) = (LabelTable::default(), Groups::default());
    for i in 0..SENTENCES {
        let row = columns.each_ref().map(|column| column[i]);
        let decided: [bool; 4] = std::array::from_fn(|label| row[label].0 >= thresholds[label]);
        let group = groups.next(Some(&(i / ARTICLE).to_string()));
        table.push(&row.map(|(score, _)| score), &decided, &row.map(|(_, gold)| gold), group);
    }
    table.report(&LABELS.map(str::to_owned), &groups, Decisions::Stored, Some(&thresholds), 100)
}

fn kinds(counts: [(usize, usize, usize); 4]) -> EntityFigures {
    let kind = |(label, (tp, fp, fn_)): (&str, (usize, usize, usize))| {
        let counts = Counts { tp, fp, fn_ };
        EntityTypeReport {
            label: label.to_owned(),
            counts,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: figure(counts.f1(), 0.02),
            support: counts.support(),
        }
    };
    let types: Vec<EntityTypeReport> = TYPES.into_iter().zip(counts).map(kind).collect();
    let total: Counts = types.iter().map(|kind| kind.counts).sum();
    let average = |f1: Option<f64>| Average {
        precision: total.precision(),
        recall: total.recall(),
        f1: figure(f1, 0.014),
    };
    EntityFigures {
        micro: average(total.f1()),
        macro_average: average(total.f1().map(|f1| f1 - 0.041)),
        weighted: average(total.f1().map(|f1| f1 - 0.003)),
        types,
    }
}

pub(crate) fn entities() -> EntityReport {
    let rows = [
        ("LOC", [("LOC", 1512), ("ORG", 41), ("PER", 6), ("", 59)].as_slice()),
        ("MISC", &[("MISC", 402), ("ORG", 37), ("", 96)]),
        ("ORG", &[("ORG", 1204), ("LOC", 66), ("MISC", 25), ("", 102)]),
        ("PER", &[("PER", 1433), ("ORG", 19), ("", 31)]),
        ("", &[("LOC", 38), ("MISC", 57), ("ORG", 71), ("PER", 22)]),
    ];
    let row = |&(found, count): &(&str, usize)| (found.to_owned(), count);
    EntityReport {
        sentences: SENTENCES,
        lenient: kinds([(1480, 140, 138), (371, 112, 164), (1139, 229, 258), (1401, 68, 82)]),
        strict: kinds([(1471, 146, 147), (366, 117, 169), (1126, 240, 271), (1396, 73, 87)]),
        words: Some(WordCounts { right: 44_871, words: 46_435 }),
        token_accuracy: Some(44_871.0 / 46_435.0),
        errors: EntityErrors {
            correct: 4391,
            boundary: 160,
            kind: 171,
            both: 23,
            missed: 288,
            spurious: 188,
        },
        confusion: rows.map(|(gold, found)| (gold.to_owned(), found.iter().map(row).collect())).into(),
    }
}

fn breakdowns(labels: &ClassificationReport) -> Vec<Breakdown> {
    let row = |value: &str, sentences: usize, shift: f64| {
        let part = |n: usize| (n as f64 * sentences as f64 / SENTENCES as f64 * (1.0 + shift)) as usize;
        let reach = 0.9 / (sentences as f64).sqrt();
        let entities = Counts { tp: part(4391), fp: part(549), fn_: 642 * sentences / SENTENCES };
        let counts = |l: &LabelReport| Counts {
            tp: part(l.counts.tp),
            fp: l.counts.fp * sentences / SENTENCES,
            fn_: part(l.counts.fn_),
        };
        BreakdownRow {
            value: value.to_owned(),
            sentences,
            labelled: sentences,
            exact: part(labels.exact),
            labels: labels.labels.iter().map(|l| (l.label.clone(), counts(l))).collect(),
            macro_f1: figure(labels.macro_average.f1.value.map(|f1| f1 * (1.0 + shift)), reach),
            exact_match: labels.exact_match.value.map(|share| share * (1.0 + 0.5 * shift)),
            entities,
            entity_f1: figure(entities.f1(), 0.6 * reach),
        }
    };
    vec![
        Breakdown {
            field: "outlet".into(),
            rows: vec![
                row("", 61, -0.16),
                row("Harbour Gazette", 702, 0.04),
                row("Northern Wire", 803, 0.01),
                row("The Lisbon Evening Correspondent", 274, -0.07),
            ],
        },
        Breakdown {
            field: "year".into(),
            rows: vec![row("2021", 590, 0.03), row("2022", 640, 0.0), row("2023", 610, -0.05)],
        },
    ]
}

fn comparison() -> Comparison {
    let metric = |name: &str, this: f64, difference: f64, reach: f64, p: f64| ComparedMetric {
        metric: name.to_owned(),
        this: Some(this),
        other: Some(this - difference),
        difference: Figure {
            value: Some(difference),
            interval: Some(Interval { low: difference - reach, high: difference + reach }),
        },
        bootstrap_p_value: Some((2.0 * p).min(1.0)),
        p_value: (name != "average_precision").then_some(p),
    };
    Comparison {
        other: ModelIdentity { name: "models/stance-small".into(), weights_sha256: "0c41d92be7aa".into() },
        metrics: vec![
            metric("macro_f1", 0.7311, 0.0312, 0.0171, 0.0004),
            metric("exact_match", 0.8203, 0.0098, 0.0121, 0.112),
            metric("average_precision", 0.7893, 0.0226, 0.0134, 0.002),
            metric("entity_f1", 0.8806, -0.0041, 0.0063, 0.204),
        ],
        labels: Some(McNemar { only_this: 121, only_other: 103, p_value: 0.2567 }),
        entities: Some(McNemar { only_this: 88, only_other: 97, p_value: 0.5566 }),
        differing: 409,
    }
}

/// An evaluation with everything in it.
pub(crate) fn evaluation() -> Evaluation {
    let classification = classification();
    Evaluation {
        schema: Evaluation::SCHEMA,
        undertone: "0.1.0".into(),
        model: ModelIdentity { name: "models/stance-base".into(), weights_sha256: "5f0e9c3a77d1".into() },
        data: DataIdentity {
            path: "datasets/dispatches/test.jsonl".into(),
            sha256: "9b74c9897bac770ffc029102a200c5de0ab52fd4e2d6dd4d0a3fbb1d9e9f9a11".into(),
            sentences: SENTENCES,
            articles: 163,
            resampled: "articles".into(),
        },
        by: breakdowns(&classification),
        classification: Some(classification),
        entities: Some(entities()),
        comparison: Some(comparison()),
    }
}

/// An evaluation with nothing to score anywhere.
pub(crate) fn nothing() -> Evaluation {
    let label = LabelReport {
        label: "never seen".into(),
        counts: Counts::default(),
        precision: None,
        recall: None,
        f1: Figure::default(),
        support: 0,
        average_precision: Figure::default(),
        brier: None,
        ece: None,
        threshold: None,
        reliability: Vec::new(),
        curve: Vec::new(),
    };
    let mut evaluation = evaluation();
    evaluation.data.articles = 0;
    evaluation.by = vec![Breakdown { field: "outlet".into(), rows: Vec::new() }];
    evaluation.comparison = None;
    evaluation.classification = Some(ClassificationReport {
        thresholds: Decisions::Likeliest,
        sentences: 0,
        exact: 0,
        exact_match: Figure::default(),
        labels: vec![label],
        macro_average: Average::default(),
        micro_average: Average::default(),
        weighted_average: Average::default(),
        mean_average_precision: Figure::default(),
        confusion: Vec::new(),
        coverage: Vec::new(),
    });
    evaluation.entities = Some(EntityReport {
        sentences: 0,
        lenient: EntityFigures::default(),
        strict: EntityFigures::default(),
        words: None,
        token_accuracy: None,
        errors: EntityErrors::default(),
        confusion: Default::default(),
    });
    evaluation
}

fn mention(text: &str, part: &str, label: &str, score: Option<f32>) -> Option<Mention> {
    let start = text[..text.find(part).expect("the part is in the text")].chars().count();
    Some(Mention { label: label.into(), start, end: start + part.chars().count(), text: part.into(), score })
}

/// Sentences with something wrong, of every sort.
pub(crate) fn errors(number: usize) -> Vec<ErrorRecord> {
    let texts = [
        "The foreign minister, Ana Duarte, said on Friday that the attack near Zürich “must not go unanswered”.",
        "Analysts at Northern Credit expect the Lisbon talks to fail, though few would say so in public.",
        "Save the Reefs, a group of fishermen and divers, welcomed the ruling and called on parliament to act before the autumn, when the trawlers return to the waters off Cabo Verde and the moratorium lapses.",
        "Prices rose.",
    ];
    let mut draw = Draw(9);
    let mut record = |i: usize| {
        let text = texts[i % texts.len()];
        let scores = LABELS.iter().map(|label| ((*label).to_owned(), draw.next() as f32)).collect();
        let label = |i: usize| LABELS[i % LABELS.len()].to_owned();
        let (gold, found) = match i % 3 {
            0 => (vec![label(i)], vec![]),
            1 => (vec![label(i), label(i + 1)], vec![label(i)]),
            _ => (vec![], vec![label(i), label(i + 2)]),
        };
        let answer = |outcome, gold, found| EntityAnswer { outcome, gold, found };
        let entities = match i % texts.len() {
            0 => vec![
                answer(
                    EntityOutcome::Boundary,
                    mention(text, "Ana Duarte", "PER", None),
                    mention(text, "minister, Ana Duarte", "PER", Some(0.81)),
                ),
                answer(
                    EntityOutcome::Correct,
                    mention(text, "Zürich", "LOC", None),
                    mention(text, "Zürich", "LOC", Some(0.99)),
                ),
            ],
            1 => vec![
                answer(
                    EntityOutcome::Type,
                    mention(text, "Northern Credit", "ORG", None),
                    mention(text, "Northern Credit", "LOC", Some(0.64)),
                ),
                answer(EntityOutcome::Missed, mention(text, "Lisbon", "LOC", None), None),
            ],
            2 => vec![
                answer(
                    EntityOutcome::Both,
                    mention(text, "Save the Reefs", "ORG", None),
                    mention(text, "the Reefs", "LOC", Some(0.72)),
                ),
                answer(EntityOutcome::Spurious, None, mention(text, "parliament", "ORG", Some(0.58))),
                answer(
                    EntityOutcome::Correct,
                    mention(text, "Cabo Verde", "LOC", None),
                    mention(text, "Cabo Verde", "LOC", Some(0.97)),
                ),
            ],
            _ => Vec::new(),
        };
        ErrorRecord {
            file: "datasets/dispatches/test.jsonl".into(),
            line: 3 + 7 * i,
            article: Some(format!("dispatch-{:03}", i / 3)),
            text: text.to_owned(),
            confidence: 0.998 - i as f32 * 0.003,
            labels: Some(LabelAnswers { gold, found, scores }),
            entities: Some(entities),
            fields: [("outlet".to_owned(), "Northern Wire".into()), ("year".to_owned(), 2022.into())]
                .into_iter()
                .collect(),
        }
    };
    (0..number).map(&mut record).collect()
}
