use super::{EntityAnswer, EntityOutcome, Mention};

/// Lays found entities beside gold ones. Those of the same extent belong together; of the others, each found one goes, from left
/// to right, with the gold one that it shares most with (of equals, one of its own type), and each gold one is taken once.
///
/// Neither list has entities that overlap each other. The answers are in order of appearance.
pub fn match_entities(gold: Vec<Mention>, found: Vec<Mention>) -> Vec<EntityAnswer> {
    let mut gold: Vec<Option<Mention>> = gold.into_iter().map(Some).collect();
    let mut found: Vec<Option<Mention>> = found.into_iter().map(Some).collect();
    let mut answers = Vec::new();
    for place in &mut found {
        let same = |mention: &Mention| {
            gold.iter().position(|gold| {
                gold.as_ref().is_some_and(|gold| (gold.start, gold.end) == (mention.start, mention.end))
            })
        };
        if let Some(at) = place.as_ref().and_then(same) {
            answers.push(answer(gold[at].take(), place.take()));
        }
    }
    for mention in found.into_iter().flatten() {
        let shared = |gold: &Mention| gold.end.min(mention.end).saturating_sub(gold.start.max(mention.start));
        let rank = |gold: &Mention| (shared(gold), gold.label == mention.label);
        let overlapping = gold.iter().enumerate().filter_map(|(i, gold)| Some((i, gold.as_ref()?)));
        let overlapping = overlapping.filter(|(_, gold)| shared(gold) > 0);
        // The first of equals.
        let best = overlapping.reduce(|best, next| if rank(next.1) > rank(best.1) { next } else { best });
        let at = best.map(|(at, _)| at);
        answers.push(answer(at.and_then(|at| gold[at].take()), Some(mention)));
    }
    answers.extend(gold.into_iter().flatten().map(|gold| answer(Some(gold), None)));
    answers.sort_by_key(|answer| {
        let mention = answer.gold.as_ref().or(answer.found.as_ref());
        mention.map(|mention| (mention.start, mention.end))
    });
    answers
}

fn answer(gold: Option<Mention>, found: Option<Mention>) -> EntityAnswer {
    let outcome = match (&gold, &found) {
        (Some(gold), Some(found)) => {
            let extent = (gold.start, gold.end) == (found.start, found.end);
            match (extent, gold.label == found.label) {
                (true, true) => EntityOutcome::Correct,
                (false, true) => EntityOutcome::Boundary,
                (true, false) => EntityOutcome::Type,
                (false, false) => EntityOutcome::Both,
            }
        }
        (Some(_), None) => EntityOutcome::Missed,
        (None, _) => EntityOutcome::Spurious,
    };
    EntityAnswer { outcome, gold, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EntityOutcome::{Both, Boundary, Correct, Missed, Spurious, Type};

    fn mention(label: &str, start: usize, end: usize) -> Mention {
        Mention { label: label.into(), start, end, text: String::new(), score: None }
    }

    fn outcomes(gold: &[Mention], found: &[Mention]) -> Vec<EntityOutcome> {
        match_entities(gold.to_vec(), found.to_vec()).into_iter().map(|answer| answer.outcome).collect()
    }

    #[test]
    fn every_sort_of_answer_is_told_apart() {
        let gold = [
            mention("PER", 0, 5),
            mention("ORG", 10, 15),
            mention("LOC", 20, 25),
            mention("LOC", 30, 39),
            mention("PER", 50, 52),
        ];
        let found = [
            mention("PER", 0, 5),
            mention("ORG", 12, 15),
            mention("ORG", 20, 25),
            mention("ORG", 29, 33),
            mention("MISC", 40, 42),
        ];
        assert_eq!(outcomes(&gold, &found), [Correct, Boundary, Type, Both, Spurious, Missed]);
    }

    #[test]
    fn one_gold_entity_cut_in_two_is_matched_once() {
        let gold = [mention("LOC", 0, 10)];
        let found = [mention("LOC", 0, 3), mention("LOC", 4, 10)];
        assert_eq!(outcomes(&gold, &found), [Boundary, Spurious]);
        // Two gold ones joined: the larger share takes it.
        let answers = match_entities(found.to_vec(), gold.to_vec());
        assert_eq!(answers[0].outcome, Missed);
        assert_eq!((answers[1].outcome, answers[1].gold.as_ref().unwrap().start), (Boundary, 4));
    }

    #[test]
    fn the_same_extent_goes_before_overlap() {
        let gold = [mention("LOC", 0, 3), mention("ORG", 3, 8)];
        let found = [mention("ORG", 3, 8)];
        assert_eq!(outcomes(&gold, &found), [Missed, Correct]);
    }
}
