//! Three stages that work at the same time: one reads and splits, one predicts, and whoever holds the pipeline writes.

use super::chunks::{Chunk, Chunks, Item, Source};
use super::interrupt::{Interrupted, interrupted};
use anyhow::bail;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use undertone::engine::{EngineError, Input};
use undertone::labels::Prediction;

/// Chunks that wait between two stages: memory holds a handful of them, however long the inputs.
const WAITING: usize = 1;
/// How soon an interruption is noticed.
const PATIENCE: Duration = Duration::from_millis(50);

/// What was read, and what the engine says of it.
pub(super) struct Answered {
    pub(super) chunk: Chunk,
    pub(super) predictions: Result<Vec<Prediction>, EngineError>,
}

/// The first two stages, and what comes out of them.
pub(super) struct Pipeline {
    answered: Receiver<Answered>,
}

impl Pipeline {
    /// Starts to read and to predict. The stages end when the chunks do, or when nobody holds the pipeline any more.
    pub(super) fn start<S: Source + Send + 'static>(
        chunks: impl FnOnce() -> Chunks<S> + Send + 'static,
        predict: impl Fn(&[Input]) -> Result<Vec<Prediction>, EngineError> + Send + 'static,
    ) -> Self {
        let (read, to_predict) = sync_channel(WAITING);
        let (predicted, answered) = sync_channel(WAITING);
        // The inputs' iterators never leave the thread that made them.
        std::thread::spawn(move || send_all(chunks(), read));
        std::thread::spawn(move || {
            let answers = to_predict.into_iter().map(|chunk| {
                let predictions = predict(&sentences(&chunk));
                Answered { chunk, predictions }
            });
            send_all(answers, predicted);
        });
        Self { answered }
    }

    /// The next chunk. Must not be asked for more behind the one that ends the run.
    ///
    /// # Errors
    /// [`Interrupted`] if the run should end.
    pub(super) fn next(&self) -> anyhow::Result<Answered> {
        loop {
            if interrupted() {
                return Err(Interrupted.into());
            }
            match self.answered.recv_timeout(PATIENCE) {
                Ok(answered) => return Ok(answered),
                Err(RecvTimeoutError::Disconnected) if !interrupted() => {
                    bail!("reading or predicting has stopped")
                }
                Err(_) => {}
            }
        }
    }

    /// What is predicted already.
    pub(super) fn rest(self) -> impl Iterator<Item = Answered> {
        self.answered.try_iter().take(WAITING).collect::<Vec<_>>().into_iter()
    }
}

fn send_all<T>(items: impl Iterator<Item = T>, to: SyncSender<T>) {
    for item in items {
        if to.send(item).is_err() {
            // Nobody waits for it any more.
            return;
        }
    }
}

/// The sentences of a chunk, in order.
fn sentences(chunk: &Chunk) -> Vec<Input<'_>> {
    let documents = chunk.items.iter().filter_map(|item| match item {
        Item::Document(document, sentences) => Some((document, sentences)),
        _ => None,
    });
    let text = documents.flat_map(|(d, spans)| spans.iter().map(|span| span.of(&d.text).unwrap_or_default()));
    text.map(|text| Input { text, words: None }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::chunks::testing::document;
    use super::super::chunks::{Cut, End, Place};
    use super::super::manifest::Digest;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use undertone::formats::Documents;

    const CUT: Cut =
        Cut { look_ahead: 4, part_sentences: usize::MAX, whole_texts: false, keep_fields: false };

    /// So many texts of one sentence, counted as they are read.
    struct Counted {
        texts: usize,
        read: Arc<AtomicUsize>,
    }

    impl Source for Counted {
        fn count(&self) -> usize {
            1
        }

        fn open(&mut self, _: usize) -> anyhow::Result<(Documents, Option<Digest>)> {
            let read = self.read.clone();
            let text = move |number| {
                read.fetch_add(1, Ordering::SeqCst);
                Ok(document(number, format!("Line {number}."), false))
            };
            Ok((Box::new((0..self.texts).map(text)), None))
        }
    }

    fn start(texts: usize) -> (Pipeline, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let source = Counted { texts, read: read.clone() };
        let answer = |input: &Input| Prediction { tokens: input.text.len(), ..Prediction::default() };
        let chunks = move || Chunks::new(source, CUT, Place::default());
        (Pipeline::start(chunks, move |inputs| Ok(inputs.iter().map(answer).collect())), read)
    }

    #[test]
    fn what_is_read_waits_for_what_is_written() {
        let (pipeline, read) = start(usize::MAX);
        for written in [0, 10] {
            (0..written).for_each(|_| drop(pipeline.next().unwrap()));
            std::thread::sleep(Duration::from_millis(200));
            // One chunk with every stage, one waiting behind each, and one that begins.
            let chunks = read.load(Ordering::SeqCst).div_ceil(CUT.look_ahead);
            assert!(chunks > written && chunks <= written + 2 * WAITING + 3, "{chunks}");
        }
    }

    #[test]
    fn answers_come_in_the_order_of_the_texts() {
        let (pipeline, _) = start(1234);
        let mut number = 0;
        loop {
            let Answered { chunk, predictions } = pipeline.next().unwrap();
            let predictions = predictions.unwrap();
            for (input, prediction) in sentences(&chunk).iter().zip(&predictions) {
                assert_eq!(input.text, format!("Line {number}."));
                assert_eq!(prediction.tokens, input.text.len());
                number += 1;
            }
            if matches!(chunk.end, End::Run(_)) {
                break;
            }
        }
        assert_eq!(number, 1234);
    }

    #[test]
    fn a_stage_that_breaks_down_ends_the_run_with_an_error() {
        let chunks = || -> Chunks<Counted> { panic!("as a test would") };
        let pipeline = Pipeline::start(chunks, |_| Ok(Vec::new()));
        assert!(pipeline.next().map(drop).unwrap_err().to_string().contains("has stopped"));
    }
}
