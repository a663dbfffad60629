/// A row of values per sentence and a value per label, `[sentences, labels]`, without an allocation per row: what a million
/// sentences can be kept in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows<T> {
    width: usize,
    values: Vec<T>,
}

impl<T: Copy> Rows<T> {
    /// No rows yet; `width` values will be in each, at least one.
    pub fn new(width: usize) -> Self {
        Self { width, values: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has another number of values than the rows before it.
    pub fn push(&mut self, row: &[T]) {
        if self.values.is_empty() {
            self.width = row.len();
        }
        assert_eq!(row.len(), self.width, "rows are of one width");
        self.values.extend_from_slice(row);
    }

    /// Values in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The row of a sentence.
    pub fn row(&self, sentence: usize) -> &[T] {
        &self.values[sentence * self.width..(sentence + 1) * self.width]
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// The values of one label, sentence by sentence.
    pub fn column(&self, label: usize) -> Vec<T> {
        self.iter().map(|row| row[label]).collect()
    }

    /// All values, row after row.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Some of the rows.
    pub fn select(&self, sentences: &[usize]) -> Self {
        sentences.iter().map(|&sentence| self.row(sentence)).collect()
    }
}

impl<T: Copy, R: AsRef<[T]>> FromIterator<R> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut collected = Self { width: 0, values: Vec::new() };
        rows.into_iter().for_each(|row| collected.push(row.as_ref()));
        collected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_columns_and_selections_agree() {
        let rows: Rows<u8> = [[1, 2], [3, 4], [5, 6]].into_iter().collect();
        assert_eq!((rows.len(), rows.width(), rows.row(1)), (3, 2, &[3, 4][..]));
        assert_eq!(rows.column(1), [2, 4, 6]);
        assert_eq!(rows.select(&[2, 0]).values(), [5, 6, 1, 2]);
        let none: Rows<u8> = Rows::new(2);
        assert_eq!((none.len(), none.is_empty(), none.iter().len()), (0, true, 0));
    }
}
