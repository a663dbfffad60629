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
    /// `x * y + z`, rounded once or twice.
    unsafe fn multiply_add(x: Self::Vector, y: Self::Vector, z: Self::Vector) -> Self::Vector;
}

/// How one set of instructions multiplies.
///
/// # Safety
/// As for [`Floats`].
pub(super) trait Product {
    /// What sums become.
    type Floats: Floats;
    /// True if sums are of bytes.
    const BYTES: bool;
    /// Elements that are summed with one scale and one zero point a row; all, unless said otherwise.
    const GROUP: usize = usize::MAX;
    /// Sums of a vector of outputs.
    type Sum: Copy;

    /// The sums of the elements `from..to` of a block's rows, for every vector of outputs of a panel. Rows behind the block's last
    /// have any sums.
    ///
    /// # Safety
    /// Rows must have `to` elements, and the panel as many lines of `VECTORS` vectors.
    unsafe fn sums<const ROWS: usize, const VECTORS: usize>(
        block: Block,
        panel: &[u32],
        from: usize,
        to: usize,
    ) -> [[Self::Sum; VECTORS]; ROWS];

    unsafe fn floats(sum: Self::Sum) -> <Self::Floats as Floats>::Vector;
}

/// A product that takes a vector of outputs and an element of a row at a time.
///
/// # Safety
/// As for [`Floats`].
pub(super) trait Lanewise: Product {
    /// An element of a row, for every output of a vector.
    type Left: Copy;
    /// An element of the weights of each output of a vector.
    type Right: Copy;

    unsafe fn zero() -> Self::Sum;
    unsafe fn spread(element: u32) -> Self::Left;
    unsafe fn load(from: *const u32) -> Self::Right;
    unsafe fn add(sum: Self::Sum, left: Self::Left, right: Self::Right) -> Self::Sum;
}

/// Rows of a left operand, each `stride` after the other: `height` of them count.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) left: &'a [u32],
    pub(super) stride: usize,
    pub(super) height: usize,
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

/// What sums of bytes stand for: that of `(sum - zero * total) * row_scale` over the groups, times `scale`.
#[derive(Clone, Copy, Default)]
pub(super) struct Bytes<'a> {
    /// `[outputs]`, of whole vectors.
    pub(super) scales: &'a [f32],
    /// `[groups, outputs]`, of whole vectors.
    pub(super) totals: &'a [f32],
    /// `[rows, groups]`, both.
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
    let block = Block { left: &job.left[row * job.stride..], stride: job.stride, height };
    let groups = elements.div_ceil(P::GROUP);
    // SAFETY: slices of a vector are cut before their pointers are taken.
    let mut tile = unsafe { [[P::Floats::spread(0.0); VECTORS]; ROWS] };
    for group in 0..groups {
        let from = group * P::GROUP.min(elements);
        // SAFETY: every row has `elements` elements, and the panel as many lines of `VECTORS * lanes`.
        let sums = unsafe {
            P::sums::<ROWS, VECTORS>(block, panel, from, elements.min(from.saturating_add(P::GROUP)))
        };
        for v in 0..VECTORS {
            // SAFETY: as above.
            unsafe {
                if P::BYTES {
                    let totals = &job.bytes.totals[group * job.bias.len() + first + v * lanes..];
                    let totals = P::Floats::load(totals[..lanes].as_ptr());
                    // All rows are named by constants, so that the tile stays in registers.
                    for (r, sums) in sums.iter().enumerate() {
                        if r >= height {
                            break;
                        }
                        let of_row = (row + r) * groups + group;
                        let zero = P::Floats::spread(-job.bytes.row_zeros[of_row]);
                        let scale = P::Floats::spread(job.bytes.row_scales[of_row]);
                        let sum = P::Floats::multiply_add(zero, totals, P::floats(sums[v]));
                        tile[r][v] = P::Floats::multiply_add(sum, scale, tile[r][v]);
                    }
                } else {
                    for (tile, sums) in tile.iter_mut().zip(sums) {
                        tile[v] = P::floats(sums[v]);
                    }
                }
            }
        }
    }
    for v in 0..VECTORS {
        let output = first + v * lanes;
        // SAFETY: as above.
        unsafe {
            let bias = P::Floats::load(job.bias[output..][..lanes].as_ptr());
            let scales =
                if P::BYTES { P::Floats::load(job.bytes.scales[output..][..lanes].as_ptr()) } else { bias };
            for (r, tile) in tile.iter().enumerate() {
                if r >= height {
                    break;
                }
                let result = if P::BYTES {
                    P::Floats::multiply_add(tile[v], scales, bias)
                } else {
                    P::Floats::add(tile[v], bias)
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

/// [`Product::sums`] of a [`Lanewise`] product.
macro_rules! sums_by_lanes {
    () => {
        #[inline(always)]
        unsafe fn sums<const ROWS: usize, const VECTORS: usize>(
            block: Block,
            panel: &[u32],
            from: usize,
            to: usize,
        ) -> [[Self::Sum; VECTORS]; ROWS] {
            // SAFETY: as for this function.
            unsafe { sums::<Self, ROWS, VECTORS>(block, panel, from, to) }
        }
    };
}
pub(super) use sums_by_lanes;

/// [`Product::sums`], an element and a vector at a time.
///
/// # Safety
/// As for it.
#[inline(always)]
pub(super) unsafe fn sums<P: Lanewise, const ROWS: usize, const VECTORS: usize>(
    block: Block,
    panel: &[u32],
    from: usize,
    to: usize,
) -> [[P::Sum; VECTORS]; ROWS] {
    let mut rows: [&[u32]; ROWS] = [&[]; ROWS];
    for (r, row) in rows.iter_mut().enumerate() {
        // Rows that are missing are the last once more.
        *row = &block.left[r.min(block.height - 1) * block.stride..][..to];
    }
    let lanes = P::Floats::LANES;
    // SAFETY: as for this function.
    unsafe {
        let mut sums = [[P::zero(); VECTORS]; ROWS];
        let mut line = panel.as_ptr().add(from * VECTORS * lanes);
        for p in from..to {
            let mut right = [P::load(line); VECTORS];
            for (v, right) in right.iter_mut().enumerate() {
                *right = P::load(line.add(v * lanes));
            }
            line = line.add(VECTORS * lanes);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let left = P::spread(*row.get_unchecked(p));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = P::add(*sum, left, right);
                }
            }
        }
        sums
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
