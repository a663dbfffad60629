/// What a row of the results stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rows {
    /// A sentence.
    #[default]
    Sentence,
    /// An entity of a sentence; sentences without entities have no row.
    Entity,
    /// A text with all its sentences.
    Article,
}

/// What the records of a run have: formats with columns must know it before the first one comes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// What a row stands for.
    pub rows: Rows,
    /// Labels of which every sentence has a probability, in the order of the model; `None` if the sentence head does not run.
    pub labels: Option<Vec<String>>,
    /// Whether the model may abstain from labels.
    pub abstained: bool,
    /// Whether entities are looked for.
    pub entities: bool,
    /// Types of entities that the model knows, where they are looked for.
    pub entity_types: Vec<String>,
    /// Whether dates are handed on.
    pub date: bool,
    /// Whether other fields of the input are handed on.
    pub fields: bool,
}
