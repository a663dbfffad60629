//! Undertone reads news and says, sentence by sentence, what stance it takes and whom it names.
//!
//! An [`engine::Engine`] is a model ready to answer: the one inside the library, or any folder in the Hugging Face layout
//! that [`bundle::Bundle`] can open.
//!
//! ```
//! use undertone::engine::{Engine, Input, Tasks};
//! use undertone::text::split_sentences;
//!
//! let article = "Talks end\n\nMinisters of Peru strongly condemned the attack. They met on Friday.";
//! let engine = Engine::open(None)?;
//! let spans = split_sentences(article);
//! let sentences: Vec<Input> =
//!     spans.iter().map(|span| Input { text: span.of(article).unwrap_or_default(), words: None }).collect();
//! let predictions = engine.predict(&sentences, Tasks::Both)?;
//!
//! let stance: Vec<&str> = predictions[1].labels.iter().map(|&label| engine.labels()[label].as_str()).collect();
//! assert_eq!(stance, ["condemnation"]);
//! let names = predictions[1].entities.iter().flatten();
//! let names: Vec<_> = names.map(|name| (name.span.of(sentences[1].text), name.label.as_str())).collect();
//! assert_eq!(names, [(Some("Peru"), "LOC")]);
//! # Ok::<(), undertone::engine::EngineError>(())
//! ```
//!
//! Rooms, from the ground up: [`text`] and [`labels`] are plain words; [`tokens`], [`encoder`] and [`head`] make the
//! network, [`bundle`] keeps it on disk, `hub` fetches it; [`formats`] read records, [`evaluation`] counts; [`engine`] answers,
//! [`training`] learns, [`datasets`] name labelled files, [`report`] writes results.

pub mod bundle;
pub mod datasets;
mod digest;
pub mod encoder;
pub mod engine;
pub mod evaluation;
pub mod formats;
mod guarded;
pub mod head;
#[cfg(feature = "hub")]
pub mod hub;
mod kernels;
pub mod labels;
pub mod report;
pub mod text;
pub mod tokens;
pub mod training;

pub use kernels::cpu;
