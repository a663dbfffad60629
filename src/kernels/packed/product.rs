//! The loops of a product, for every set of instructions: a tile of rows and vectors of outputs keeps its sums in registers over all
//! inputs, and is finished there.

use super::super::gelu;

/// Vectors of outputs in a tile; the last panel may have fewer.
pub(super) const VECTORS: usize = 3;

/// Vectors of f32.
///
/// # Safety
/// All functions may only be called where the CPU has the instructions, with pointers to `LANES` numbers.
pub(super) trait Floats {
    /// Numbers in a vector.
    const LANES: usize;
    type Vector: Copy;

    unsafe fn spread(x: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(x: Self::Vector, to: *mut f32);
    unsafe fn add(x: Self::Vector, y: Self::Vector) -> Self::Vector;
    unsafe fn multiply(x: Self::Vector, y: Self::Vector) -> Self::Vector;
    /// `x * y + z`, rounded once or twice.
    unsafe fn multiply_add(x: Self::Vector, y: Self::Vector, z: Self::Vector) -> Self::Vector;
}

/// How one set of instructions multiplies: a vector of outputs at a time.
///
/// # Safety
/// As for [`Floats`].
pub(super) trait Product {
    /// What sums become.
    type Floats: Floats;
    /// True if sums are of bytes.
    const BYTES: bool;
    /// An element of a row, for every output of a vector.
    type Left: Copy;
    /// An element of the weights of each output of a vector.
    type Right: Copy;
    type Sum: Copy;

    unsafe fn zero() -> Self::Sum;
    unsafe fn spread(element: u32) -> Self::Left;
    unsafe fn load(from: *const u32) -> Self::Right;
    unsafe fn add(sum: Self::Sum, left: Self::Left, right: Self::Right) -> Self::Sum;
    unsafe fn floats(sum: Self::Sum) -> <Self::Floats as Floats>::Vector;
}

/// What is done to a product before it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Finish<'a> {
    Nothing,
    Gelu,
    GeluTanh,
    Relu,
    /// Adds numbers that lie as the result does.
    Add(&'a [f32]),
}

/// A product `[rows, elements] x [outputs, elements]^T`.
pub(super) struct Job<'a> {
    /// Rows of `elements`, each `stride` after the other.
    pub(super) left: &'a [u32],
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) elements: usize,
    /// Panels of up to [`VECTORS`] vectors: for every element, that of each output.
    pub(super) panels: &'a [u32],
    pub(super) outputs: usize,
    /// Of whole vectors, as all that belongs to an output.
    pub(super) bias: &'a [f32],
    /// What sums of bytes stand for; empty for others.
    pub(super) bytes: Bytes<'a>,
    pub(super) finish: Finish<'a>,
    /// Distance between rows of the result.
    pub(super) out_stride: usize,
}

/// What sums of bytes stand for: `(sum - zero * total) * row_scale * scale`.
#[derive(Clone, Copy, Default)]
pub(super) struct Bytes<'a> {
    pub(super) scales: &'a [f32],
    pub(super) totals: &'a [f32],
    pub(super) row_scales: &'a [f32],
    pub(super) row_zeros: &'a [f32],
}

/// Does the job, `ROWS` rows at a time.
///
/// # Safety
/// The CPU must have the instructions of `P`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(super) unsafe fn run<P: Product, const ROWS: usize>(job: &Job, out: &mut [f32]) {
    let lanes = P::Floats::LANES;
    let columns = VECTORS * lanes;
    let mut rest = job.panels;
    for first in (0..job.outputs).step_by(columns) {
        let width = columns.min(job.outputs - first);
        let vectors = width.div_ceil(lanes);
        let (panel, others) = rest.split_at(vectors * lanes * job.elements);
        rest = others;
        for row in (0..job.rows).step_by(ROWS) {
            let height = ROWS.min(job.rows - row);
            // SAFETY: as for this function.
            unsafe {
                match vectors {
                    1 => tile::<P, ROWS, 1>(job, panel, (row, height), (first, width), out),
                    2 => tile::<P, ROWS, 2>(job, panel, (row, height), (first, width), out),
                    _ => tile::<P, ROWS, VECTORS>(job, panel, (row, height), (first, width), out),
                }
            }
            for line in out[row * job.out_stride..].chunks_mut(job.out_stride).take(height) {
                activate(job.finish, &mut line[first..][..width]);
            }
        }
    }
}

/// The results of `height` rows from `row` and `width` outputs from `first`, all but activated.
///
/// # Safety
/// The CPU must have the instructions of `P`.
#[inline(always)]
unsafe fn tile<P: Product, const ROWS: usize, const VECTORS: usize>(
    job: &Job,
    panel: &[u32],
    (row, height): (usize, usize),
    (first, width): (usize, usize),
    out: &mut [f32],
) {
    let lanes = P::Floats::LANES;
    let elements = job.elements;
    assert!(panel.len() == elements * VECTORS * lanes && width <= VECTORS * lanes && height >= 1);
    let mut rows: [&[u32]; ROWS] = [&[]; ROWS];
    for (r, line) in rows.iter_mut().enumerate() {
        // Rows that are missing are the last once more.
        *line = &job.left[(row + r.min(height - 1)) * job.stride..][..elements];
    }
    // SAFETY: every row has `elements` elements, and the panel as many lines of `VECTORS * lanes`.
    let tile = unsafe {
        let mut tile = [[P::zero(); VECTORS]; ROWS];
        let mut line = panel.as_ptr();
        for p in 0..elements {
            let mut right = [P::load(line); VECTORS];
            for (v, right) in right.iter_mut().enumerate() {
                *right = P::load(line.add(v * lanes));
            }
            line = line.add(VECTORS * lanes);
            for (tile, row) in tile.iter_mut().zip(rows) {
                let left = P::spread(*row.get_unchecked(p));
                for (sum, right) in tile.iter_mut().zip(right) {
                    *sum = P::add(*sum, left, right);
                }
            }
        }
        tile
    };
    for v in 0..VECTORS {
        let output = first + v * lanes;
        // SAFETY: slices of a vector are cut before their pointers are taken.
        unsafe {
            let bias = P::Floats::load(job.bias[output..][..lanes].as_ptr());
            let (scales, totals) = if P::BYTES {
                (
                    P::Floats::load(job.bytes.scales[output..][..lanes].as_ptr()),
                    P::Floats::load(job.bytes.totals[output..][..lanes].as_ptr()),
                )
            } else {
                (bias, bias)
            };
            // All rows are named by constants, so that the tile stays in registers.
            for (r, sums) in tile.iter().enumerate() {
                if r >= height {
                    break;
                }
                let sum = P::floats(sums[v]);
                let result = if P::BYTES {
                    let zero = P::Floats::spread(-job.bytes.row_zeros[row + r]);
                    let scale = P::Floats::multiply(P::Floats::spread(job.bytes.row_scales[row + r]), scales);
                    P::Floats::multiply_add(P::Floats::multiply_add(zero, totals, sum), scale, bias)
                } else {
                    P::Floats::add(sum, bias)
                };
                write::<P::Floats>(
                    job,
                    result,
                    (row + r) * job.out_stride + output,
                    first + width - output,
                    out,
                );
            }
        }
    }
}

/// Writes the `room` first numbers of a vector to `at`, or all.
///
/// # Safety
/// The CPU must have the instructions of `F`.
#[inline(always)]
unsafe fn write<F: Floats>(job: &Job, result: F::Vector, at: usize, room: usize, out: &mut [f32]) {
    // SAFETY: slices of a vector are cut before their pointers are taken.
    unsafe {
        if room >= F::LANES {
            let result = match job.finish {
                Finish::Add(others) => F::add(result, F::load(others[at..][..F::LANES].as_ptr())),
                _ => result,
            };
            F::store(result, out[at..][..F::LANES].as_mut_ptr());
        } else {
            let mut numbers = [0.0; 16];
            F::store(result, numbers[..F::LANES].as_mut_ptr());
            let out = &mut out[at..][..room];
            out.copy_from_slice(&numbers[..room]);
            if let Finish::Add(others) = job.finish {
                out.iter_mut().zip(&others[at..]).for_each(|(out, other)| *out += other);
            }
        }
    }
}

#[inline(always)]
fn activate(finish: Finish, line: &mut [f32]) {
    match finish {
        Finish::Nothing | Finish::Add(_) => {}
        Finish::Gelu => apply(line, gelu::erf_form),
        Finish::GeluTanh => apply(line, gelu::tanh_form),
        Finish::Relu => apply(line, |x| if x < 0.0 { 0.0 } else { x }),
    }
}

/// In pieces of a constant size, which compilers make vectors of.
#[inline(always)]
fn apply(line: &mut [f32], f: impl Fn(f32) -> f32) {
    let (pieces, rest) = line.as_chunks_mut::<16>();
    for piece in pieces {
        for x in piece {
            *x = f(*x);
        }
    }
    let (pieces, rest) = rest.as_chunks_mut::<4>();
    for piece in pieces {
        for x in piece {
            *x = f(*x);
        }
    }
    for x in rest {
        *x = f(*x);
    }
}
