//! The fast CPU path: plain arithmetic over `f32` slices, one file a job.
//!
//! The only home of `unsafe` arithmetic, and of the fused operations that the encoder is trained with: candle's own
//! layer norm and softmax give no gradient, its dropout cannot be seeded, and its matrix product takes a lock shared by
//! all threads. Everything here runs on the calling thread; callers that want two cores call from two threads.
//!
//! Loops are written so that the compiler vectorises them, and compiled for AVX-512, AVX2 and the baseline: [`cpu`] says which run.

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod bf16;
pub mod cpu;
pub(crate) mod dropout;
pub(crate) mod gelu;
pub(crate) mod gemm;
pub(crate) mod math;
pub(crate) mod norm;
pub(crate) mod packed;
pub(crate) mod rows;
pub(crate) mod threads;
