use std::collections::HashMap;

/// The units that intervals resample and folds keep together: articles, and single sentences where there is no article.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    articles: HashMap<String, u32>,
    /// A hash of each group's name.
    keys: Vec<u64>,
    sentences: usize,
    singles: usize,
}

impl Groups {
    /// The group of the next sentence.
    pub fn next(&mut self, article: Option<&str>) -> u32 {
        let number = self.sentences;
        self.sentences += 1;
        match article {
            Some(article) => match self.articles.get(article) {
                Some(&group) => group,
                None => {
                    let group = self.add(article);
                    self.articles.insert(article.to_owned(), group);
                    group
                }
            },
            None => {
                self.singles += 1;
                self.add(&format!("sentence {number}"))
            }
        }
    }

    fn add(&mut self, name: &str) -> u32 {
        self.keys.push(fnv(name));
        u32::try_from(self.keys.len() - 1).expect("a file has fewer than 2^32 sentences")
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True before the first sentence.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Number of articles.
    pub fn articles(&self) -> usize {
        self.articles.len()
    }

    /// What the groups are, in words.
    pub fn unit(&self) -> &'static str {
        match (self.articles.is_empty(), self.singles) {
            (true, _) => "sentences",
            (false, 0) => "articles",
            (false, _) => "articles and single sentences",
        }
    }

    /// The fold of each group when they are dealt into `folds` parts, by hash of their names, so that neighbours in the
    /// alphabet (one source, one date) part ways.
    pub(super) fn folds(&self, folds: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_by_key(|&group| self.keys[group]);
        let mut fold = vec![0; order.len()];
        for (i, group) in order.into_iter().enumerate() {
            fold[group] = i % folds.max(1);
        }
        fold
    }
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_are_groups_and_so_are_single_sentences() {
        let mut groups = Groups::default();
        assert_eq!(groups.unit(), "sentences");
        assert_eq!([Some("a"), Some("b"), Some("a")].map(|article| groups.next(article)), [0, 1, 0]);
        assert_eq!((groups.len(), groups.articles(), groups.unit()), (2, 2, "articles"));
        assert_eq!([None, None].map(|article| groups.next(article)), [2, 3]);
        assert_eq!((groups.len(), groups.articles(), groups.unit()), (4, 2, "articles and single sentences"));
    }

    #[test]
    fn folds_are_of_one_size_and_do_not_depend_on_the_order() {
        let names: Vec<String> = (0..50).map(|i| format!("article {i}")).collect();
        let (mut groups, mut reversed) = (Groups::default(), Groups::default());
        names.iter().for_each(|name| assert!(groups.next(Some(name)) < 50));
        names.iter().rev().for_each(|name| assert!(reversed.next(Some(name)) < 50));
        let mut backwards = reversed.folds(5);
        backwards.reverse();
        assert_eq!(groups.folds(5), backwards);
        assert!((0..5).all(|fold| backwards.iter().filter(|&&f| f == fold).count() == 10));
    }
}
