//! Matrix products of bf16 operands with f32 sums, by the AVX-512 BF16 instructions: twice the arithmetic of f32 a cycle
//! on Zen 4. Operands come and results go as f32; rounding to bf16 (nearest, ties to even) happens while packing.
//!
//! No crate does this from f32 slices in stable Rust (`gemm` 0.19 widens bf16 operands to f32 and multiplies those), so the
//! product is here: panels of [`ROWS`] rows and [`COLUMNS`] columns are packed as pairs of neighbours along the summed
//! dimension, as `vdpbf16ps` wants them, and a tile of the result stays in registers over a block of that dimension
//! (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication").

#![allow(unsafe_code)]

use super::cpu::{Level, for_every_level, level};
use super::gemm::{Matrix, Output, Sizes, check};
use std::cell::RefCell;

/// Rows of a tile: with three vectors of columns, 24 of the 32 registers hold sums.
const ROWS: usize = 8;
/// Columns of a tile.
const COLUMNS: usize = 48;
/// Pairs of the summed dimension in a block: a panel of rows (8 KiB) stays in the first-level cache.
const PAIRS: usize = 256;

/// True if this CPU has the instructions.
pub(crate) fn is_available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        level() >= Level::Avx512 && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

thread_local! {
    static PANELS: RefCell<(Vec<u32>, Vec<u32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// `out = a x b`, or `out += a x b`; `out` has rows of `out_stride`.
///
/// # Panics
/// If a slice is too short for the sizes, or [`is_available`] is false.
pub(crate) fn matmul(sizes: Sizes, a: Matrix, b: Matrix, out: &mut [f32], out_stride: usize, mode: Output) {
    assert!(is_available(), "this CPU has no bf16 products");
    check(sizes, a, b, out, out_stride);
    let Sizes { m, n, k } = sizes;
    if k == 0 && mode == Output::Replace {
        out.chunks_mut(out_stride.max(1)).take(m).for_each(|row| row[..n].fill(0.0));
    }
    let (rows, columns) = (a.along_rows(), b.along_columns());
    PANELS.with_borrow_mut(|(left, right)| {
        for first in (0..k).step_by(2 * PAIRS) {
            let part = first..k.min(first + 2 * PAIRS);
            let pairs = part.len().div_ceil(2);
            pack::<ROWS>(rows, m, part.clone(), left);
            pack::<COLUMNS>(columns, n, part, right);
            let add = mode == Output::Add || first > 0;
            for (right, column) in right.chunks_exact(pairs * COLUMNS).zip((0..n).step_by(COLUMNS)) {
                for (left, row) in left.chunks_exact(pairs * ROWS).zip((0..m).step_by(ROWS)) {
                    let size = (ROWS.min(m - row), COLUMNS.min(n - column));
                    let tile = &mut out[row * out_stride + column..];
                    // SAFETY: the CPU has the instructions, by the assertion above.
                    #[cfg(target_arch = "x86_64")]
                    unsafe {
                        multiply(left, right, tile, out_stride, size, add);
                    }
                    #[cfg(not(target_arch = "x86_64"))]
                    unreachable!("{size:?} {add} {} {} {}", left.len(), right.len(), tile.len());
                }
            }
        }
    });
}

/// Vectors side by side: element `i` of vector `lane` is `data[lane * lane_stride + i * stride]`.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub(super) data: &'a [f32],
    pub(super) lane_stride: usize,
    pub(super) stride: usize,
}

/// Two numbers as bf16, the first in the low half.
pub(super) fn pair(first: f32, second: f32) -> u32 {
    let round = |x: f32| {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        if x.is_nan() { bits | 0x0040_0000 } else { rounded }
    };
    (round(first) >> 16) | (round(second) & 0xffff_0000)
}

for_every_level! {
    /// Packs the elements `part` of `count` vectors into panels of `WIDTH` vectors: first the first pair of each, then the
    /// second pair of each; what is missing at the ends is zero.
    fn pack<const WIDTH: usize>(lanes: Lanes, count: usize, part: std::ops::Range<usize>, panels: &mut Vec<u32>) {
        let Lanes { data, lane_stride, stride } = lanes;
        let pairs = part.len().div_ceil(2);
        panels.clear();
        panels.resize(count.div_ceil(WIDTH) * pairs * WIDTH, 0);
        for (panel, first) in panels.chunks_exact_mut(pairs * WIDTH).zip((0..count).step_by(WIDTH)) {
            let width = WIDTH.min(count - first);
            if lane_stride == 1 {
                for (line, i) in panel.chunks_exact_mut(WIDTH).zip(part.clone().step_by(2)) {
                    let row = &data[i * stride + first..][..width];
                    if i + 1 < part.end {
                        let next = &data[(i + 1) * stride + first..][..width];
                        for ((out, &x), &y) in line.iter_mut().zip(row).zip(next) {
                            *out = pair(x, y);
                        }
                    } else {
                        for (out, &x) in line.iter_mut().zip(row) {
                            *out = pair(x, 0.0);
                        }
                    }
                }
            } else {
                for lane in 0..width {
                    let at = |i: usize| data[(first + lane) * lane_stride + i * stride];
                    for (line, i) in panel.chunks_exact_mut(WIDTH).zip(part.clone().step_by(2)) {
                        line[lane] = pair(at(i), if i + 1 < part.end { at(i + 1) } else { 0.0 });
                    }
                }
            }
        }
    }
}

/// One tile: the product of a panel of rows and a panel of columns, of which `size` belong to the result.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply(
    left: &[u32],
    right: &[u32],
    out: &mut [f32],
    stride: usize,
    (rows, columns): (usize, usize),
    add: bool,
) {
    use std::arch::x86_64::*;
    const LANES: usize = 16;
    const VECTORS: usize = COLUMNS / LANES;
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    for (a, b) in left.as_chunks::<ROWS>().0.iter().zip(right.as_chunks::<COLUMNS>().0) {
        // SAFETY: `b` holds 48 numbers of 32 bits, three vectors of 16; loads may be unaligned. The casts keep the bits.
        let b: [__m512bh; VECTORS] = std::array::from_fn(|v| unsafe {
            std::mem::transmute(_mm512_loadu_si512(b.as_ptr().add(v * LANES).cast()))
        });
        for (sums, &a) in sums.iter_mut().zip(a) {
            // SAFETY: both types are 512 bits without invalid values.
            let a: __m512bh = unsafe { std::mem::transmute(_mm512_set1_epi32(a as i32)) };
            for (sum, &b) in sums.iter_mut().zip(&b) {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate().take(rows) {
        let mut line = [0f32; COLUMNS];
        for (chunk, sum) in line.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
            // SAFETY: the chunk holds 16 numbers of 32 bits; stores may be unaligned.
            unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), *sum) };
        }
        let out = &mut out[row * stride..][..columns];
        if add {
            out.iter_mut().zip(&line).for_each(|(out, x)| *out += x);
        } else {
            out.copy_from_slice(&line[..columns]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even_and_keeps_nan() {
        for (x, expected) in [
            (1.0, 0x3f80),
            (f32::from_bits(0x3f80_8000), 0x3f80), // a tie, to even
            (f32::from_bits(0x3f81_8000), 0x3f82),
            (f32::from_bits(0x3f80_8001), 0x3f81),
            (f32::NEG_INFINITY, 0xff80),
            (f32::MAX, 0x7f80),
        ] {
            assert_eq!(pair(x, 0.0), expected, "{x}");
            assert_eq!(pair(0.0, x), expected << 16, "{x}");
        }
        let nan = f32::from_bits(0x7f80_0001); // its payload is all below bf16
        assert!(f32::from_bits(pair(nan, 1.0) << 16).is_nan());
        assert!(f32::from_bits(pair(1.0, f32::from_bits(u32::MAX))).is_nan());
    }

    #[test]
    fn products_equal_those_of_rounded_operands_at_every_size() {
        if !is_available() {
            return;
        }
        // Small whole numbers are exact in bf16 and their sums in f32.
        let numbers = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 31 + seed * 17) % 19) as f32 - 9.0).collect()
        };
        for (m, n, k) in
            [(0, 3, 2), (2, 3, 0), (1, 1, 1), (3, 5, 7), (8, 48, 2), (9, 49, 513), (65, 97, 1030)]
        {
            let sizes = Sizes { m, n, k };
            let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut expected = vec![0f32; m * n];
            for i in 0..m {
                for j in 0..n {
                    expected[i * n + j] = (0..k).map(|p| a[i * k + p] * b[j * k + p]).sum();
                }
            }
            let transposed = |x: &[f32], rows: usize| -> Vec<f32> {
                (0..k).flat_map(|p| (0..rows).map(move |i| x[i * k + p])).collect()
            };
            let (at, bt) = (transposed(&a, m), transposed(&b, n));
            let lefts = [Matrix::rows(&a, k), Matrix::rows(&at, m).t()];
            let rights = [Matrix::rows(&b, k).t(), Matrix::rows(&bt, n)];
            for left in lefts {
                for right in rights {
                    let mut out = vec![1.0; m * n];
                    matmul(sizes, left, right, &mut out, n, Output::Replace);
                    assert_eq!(out, expected, "{sizes:?}");
                    matmul(sizes, left, right, &mut out, n, Output::Add);
                    assert!(out.iter().zip(&expected).all(|(x, y)| *x == 2.0 * y), "{sizes:?} added");
                }
            }
        }
    }
}
