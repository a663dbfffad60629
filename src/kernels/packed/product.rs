//! The loops of a product, for every set of instructions: a tile of rows and vectors of outputs keeps its sums in registers over all
//! inputs, then is finished and written.

use super::super::gelu;

/// Vectors of outputs in a tile; the last panel may have fewer.
pub(super) const VECTORS: usize = 3;
/// Most rows of a tile, and most outputs.
const MOST_ROWS: usize = 8;
const MOST_OUTPUTS: usize = 48;

/// How one set of instructions multiplies: a vector of `LANES` outputs at a time.
///
/// # Safety
/// All functions may only be called where the CPU has the instructions.
pub(super) trait Product {
    /// Outputs in a vector.
    const LANES: usize;
    /// An element of a row, for every output of a vector.
    type Left: Copy;
    /// An element of the weights of each output of a vector.
    type Right: Copy;
    type Sum: Copy;

    unsafe fn zero() -> Self::Sum;
    unsafe fn spread(element: u32) -> Self::Left;
    /// `from` points to `LANES` elements.
    unsafe fn load(from: *const u32) -> Self::Right;
    unsafe fn add(sum: Self::Sum, left: Self::Left, right: Self::Right) -> Self::Sum;
    /// `to` points to `LANES` numbers.
    unsafe fn store(sum: Self::Sum, to: *mut f32);
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
    /// What sums of bytes stand for.
    pub(super) bytes: Option<Bytes<'a>>,
    pub(super) finish: Finish<'a>,
    /// Distance between rows of the result.
    pub(super) out_stride: usize,
}

/// What sums of bytes stand for: `(sum - zero * sums) * row_scale * scale`.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    pub(super) scales: &'a [f32],
    pub(super) sums: &'a [f32],
    pub(super) row_scales: &'a [f32],
    pub(super) row_zeros: &'a [f32],
}

type Sums = [[f32; MOST_OUTPUTS]; MOST_ROWS];

/// Does the job, `ROWS` rows at a time.
///
/// # Safety
/// The CPU must have the instructions of `P`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub(super) unsafe fn run<P: Product, const ROWS: usize>(job: &Job, out: &mut [f32]) {
    let columns = VECTORS * P::LANES;
    const { assert!(ROWS <= MOST_ROWS && VECTORS * P::LANES <= MOST_OUTPUTS) };
    let mut rest = job.panels;
    for first in (0..job.outputs).step_by(columns) {
        let width = columns.min(job.outputs - first);
        let vectors = width.div_ceil(P::LANES);
        let (panel, others) = rest.split_at(vectors * P::LANES * job.elements);
        rest = others;
        for row in (0..job.rows).step_by(ROWS) {
            let height = ROWS.min(job.rows - row);
            let mut lines: [&[u32]; ROWS] = [&[]; ROWS];
            for (r, line) in lines.iter_mut().enumerate() {
                // Rows that are missing are others once more.
                *line = &job.left[(row + r.min(height - 1)) * job.stride..][..job.elements];
            }
            let mut sums: Sums = [[0.0; MOST_OUTPUTS]; MOST_ROWS];
            // SAFETY: as for this function.
            unsafe {
                match vectors {
                    1 => tile::<P, ROWS, 1>(lines, panel, &mut sums),
                    2 => tile::<P, ROWS, 2>(lines, panel, &mut sums),
                    _ => tile::<P, ROWS, VECTORS>(lines, panel, &mut sums),
                }
            }
            for (r, sums) in sums.iter_mut().enumerate().take(height) {
                for (v, sums) in sums.chunks_exact_mut(P::LANES).enumerate().take(vectors) {
                    finish(job, row + r, first + v * P::LANES, sums);
                }
                let at = (row + r) * job.out_stride + first;
                write(job.finish, &sums[..width], at, out);
            }
        }
    }
}

/// Sums over all elements.
///
/// # Safety
/// The CPU must have the instructions of `P`.
#[inline(always)]
unsafe fn tile<P: Product, const ROWS: usize, const VECTORS: usize>(
    rows: [&[u32]; ROWS],
    panel: &[u32],
    sums: &mut Sums,
) {
    let elements = panel.len() / (VECTORS * P::LANES);
    assert!(rows.iter().all(|row| row.len() == elements), "rows and panels of different length");
    // SAFETY: every row has `elements` elements, and the panel as many lines of `VECTORS * LANES`; so does every row of the sums.
    unsafe {
        let mut tile = [[P::zero(); VECTORS]; ROWS];
        let mut line = panel.as_ptr();
        for p in 0..elements {
            let mut right = [P::load(line); VECTORS];
            for (v, right) in right.iter_mut().enumerate() {
                *right = P::load(line.add(v * P::LANES));
            }
            line = line.add(VECTORS * P::LANES);
            for (tile, row) in tile.iter_mut().zip(rows) {
                let left = P::spread(*row.get_unchecked(p));
                for (sum, right) in tile.iter_mut().zip(right) {
                    *sum = P::add(*sum, left, right);
                }
            }
        }
        for (tile, sums) in tile.into_iter().zip(sums) {
            for (v, sum) in tile.into_iter().enumerate() {
                P::store(sum, sums.as_mut_ptr().add(v * P::LANES));
            }
        }
    }
}

/// Writes finished numbers to `at`, eight by eight, which is quicker than a call that copies any number.
#[inline(always)]
fn write(finish: Finish, numbers: &[f32], at: usize, out: &mut [f32]) {
    let (eights, rest) = numbers.as_chunks::<8>();
    let (out_eights, out_rest) = out[at..][..numbers.len()].as_chunks_mut::<8>();
    if let Finish::Add(others) = finish {
        let (other_eights, other_rest) = others[at..][..numbers.len()].as_chunks::<8>();
        for ((out, numbers), others) in out_eights.iter_mut().zip(eights).zip(other_eights) {
            for i in 0..8 {
                out[i] = numbers[i] + others[i];
            }
        }
        for ((out, number), other) in out_rest.iter_mut().zip(rest).zip(other_rest) {
            *out = number + other;
        }
    } else {
        for (out, numbers) in out_eights.iter_mut().zip(eights) {
            *out = *numbers;
        }
        for (out, number) in out_rest.iter_mut().zip(rest) {
            *out = *number;
        }
    }
}

/// Turns the sums of a vector of outputs, of which `first` is the first, into results.
#[inline(always)]
fn finish(job: &Job, row: usize, first: usize, sums: &mut [f32]) {
    let width = sums.len();
    let bias = &job.bias[first..][..width];
    match job.bytes {
        Some(bytes) => {
            let (scale, zero) = (bytes.row_scales[row], bytes.row_zeros[row]);
            let (scales, totals) = (&bytes.scales[first..][..width], &bytes.sums[first..][..width]);
            for (((sum, bias), total), unit) in sums.iter_mut().zip(bias).zip(totals).zip(scales) {
                *sum = (*sum - zero * total) * (scale * unit) + bias;
            }
        }
        None => sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias),
    }
    match job.finish {
        Finish::Nothing | Finish::Add(_) => {}
        Finish::Gelu => sums.iter_mut().for_each(|x| *x = gelu::erf_form(*x)),
        Finish::GeluTanh => sums.iter_mut().for_each(|x| *x = gelu::tanh_form(*x)),
        Finish::Relu => sums.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
    }
}
