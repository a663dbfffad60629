//! Divides groups so that every part has its share of every label.
//!
//! Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data"), over groups
//! of sentences in place of single ones: the rarest label is dealt out first, always to the part that is furthest behind with
//! it. How far is judged in proportion to the part's share (as seats go to parties by Sainte-Laguë), so that groups with many
//! and with few of a label are spread alike.

use std::cmp::{Ordering, Reverse};

/// What is dealt out together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Sentences.
    pub(super) size: usize,
    /// Labels, each with how often the group has it.
    pub(super) labels: Vec<(usize, usize)>,
    /// Decides between what is otherwise equal.
    pub(super) lot: u64,
}

impl Group {
    fn count(&self, label: usize) -> usize {
        self.labels.iter().find(|(l, _)| *l == label).map_or(0, |(_, count)| *count)
    }
}

/// The part that each group goes to. `shares` are those of the parts, all above 0.
pub(super) fn stratify(groups: &[Group], labels: usize, shares: &[f64]) -> Vec<usize> {
    let mut by_label: Vec<Vec<usize>> = vec![Vec::new(); labels];
    let mut left = vec![0; labels];
    for (number, group) in groups.iter().enumerate() {
        for &(label, count) in &group.labels {
            by_label[label].push(number);
            left[label] += count;
        }
    }
    let mut parts: Vec<Part> =
        shares.iter().map(|&share| Part { share, size: 0, labels: vec![0; labels] }).collect();
    let mut part_of: Vec<Option<usize>> = vec![None; groups.len()];
    loop {
        let rarest = (0..labels).filter(|&label| left[label] > 0).min_by_key(|&label| left[label]);
        let mut members = match rarest {
            Some(label) => std::mem::take(&mut by_label[label]),
            None => (0..groups.len()).collect(),
        };
        members.retain(|&number| part_of[number].is_none());
        // Large groups go first: the small ones make up for what is uneven.
        members.sort_by_key(|&number| {
            let group = &groups[number];
            (Reverse(rarest.map_or(group.size, |label| group.count(label))), group.lot)
        });
        for number in members {
            let group = &groups[number];
            let part = furthest_behind(&parts, group, rarest);
            part_of[number] = Some(part);
            parts[part].size += group.size;
            for &(label, count) in &group.labels {
                parts[part].labels[label] += count;
                left[label] -= count;
            }
        }
        if rarest.is_none() {
            return part_of.into_iter().map(|part| part.expect("every group is dealt out")).collect();
        }
    }
}

/// What a part has so far.
struct Part {
    share: f64,
    size: usize,
    labels: Vec<usize>,
}

/// The part that would be least full with half of a group: of a label, then in all; then by lot.
fn furthest_behind(parts: &[Part], group: &Group, label: Option<usize>) -> usize {
    let full = |part: &Part, label: Option<usize>| {
        let (has, more) = match label {
            Some(label) => (part.labels[label], group.count(label)),
            None => (part.size, group.size),
        };
        (has as f64 + more as f64 / 2.0) / part.share
    };
    let compare = |&a: &usize, &b: &usize| {
        let by = |label| full(&parts[a], label).total_cmp(&full(&parts[b], label));
        let drawn = |part: usize| group.lot.rotate_left(7 * part as u32 + 1);
        label.map_or(Ordering::Equal, |label| by(Some(label))).then(by(None)).then(drawn(a).cmp(&drawn(b)))
    };
    (0..parts.len()).min_by(compare).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(groups: &[Group], parts: &[usize], part: usize, label: usize) -> f64 {
        let count =
            |group: &Group| group.labels.iter().filter(|(l, _)| *l == label).map(|(_, c)| c).sum::<usize>();
        let all: usize = groups.iter().map(count).sum();
        let here: usize = groups.iter().zip(parts).filter(|(_, p)| **p == part).map(|(g, _)| count(g)).sum();
        here as f64 / all as f64
    }

    #[test]
    fn every_part_gets_its_share_of_a_rare_and_of_a_frequent_label() {
        // Label 0 in every group, label 1 in one of ten, label 2 (rarer) only together with label 1.
        let groups: Vec<Group> = (0..1000)
            .map(|i| {
                let mut labels = vec![(0, 1 + i % 3)];
                if i % 10 == 0 {
                    labels.push((1, 1));
                }
                if i % 50 == 0 {
                    labels.push((2, 1));
                }
                Group { size: 5, labels, lot: (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) }
            })
            .collect();
        let shares = [0.8, 0.1, 0.1];
        let parts = stratify(&groups, 3, &shares);
        for (part, expected) in shares.iter().enumerate() {
            let sentences = parts.iter().filter(|p| **p == part).count() as f64 / 1000.0;
            assert!((sentences - expected).abs() < 0.01, "part {part} has {sentences} of the sentences");
            for label in 0..3 {
                let found = share(&groups, &parts, part, label);
                assert!((found - expected).abs() < 0.02, "part {part} has {found} of label {label}");
            }
        }
    }

    #[test]
    fn what_is_too_rare_to_be_shared_goes_to_the_largest_part() {
        let groups = |count: usize| -> Vec<Group> {
            (0..count).map(|lot| Group { size: 1, labels: vec![(0, 1)], lot: lot as u64 }).collect()
        };
        assert_eq!(stratify(&groups(3), 1, &[0.1, 0.8, 0.1]), [1; 3]);
        let parts = stratify(&groups(10), 1, &[0.1, 0.8, 0.1]);
        assert_eq!([0, 1, 2].map(|part| parts.iter().filter(|p| **p == part).count()), [1, 8, 1]);
    }

    proptest! {
        #[test]
        fn every_group_goes_to_one_part_and_always_to_the_same(
            groups in prop::collection::vec((1usize..9, prop::collection::btree_map(0usize..4, 1usize..4, 0..4), any::<u64>()), 0..40)
        ) {
            let groups: Vec<Group> = groups
                .into_iter()
                .map(|(size, labels, lot)| Group { size, labels: labels.into_iter().collect(), lot })
                .collect();
            let parts = stratify(&groups, 4, &[0.5, 0.5]);
            prop_assert_eq!(parts.len(), groups.len());
            prop_assert!(parts.iter().all(|&part| part < 2));
            prop_assert_eq!(&stratify(&groups, 4, &[0.5, 0.5]), &parts);
            // Without labels, what was dealt out last evens out the halves.
            if groups.iter().all(|group| group.labels.is_empty()) {
                let halves = [0, 1].map(|half| {
                    groups.iter().zip(&parts).filter(|(_, part)| **part == half).map(|(group, _)| group.size).sum::<usize>()
                });
                let largest = groups.iter().map(|group| group.size).max().unwrap_or_default();
                prop_assert!(halves[0].abs_diff(halves[1]) <= largest);
            }
        }
    }
}
