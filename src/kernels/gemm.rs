//! Matrix products, by the `gemm` crate (its AVX-512 kernels reach 110-146 GFLOP/s a core here, against 47-74 for the
//! AVX2 ones that candle builds by default), always on the calling thread.

#![allow(unsafe_code)]

use super::bf16::Lanes;

/// A matrix in a slice: element `(r, c)` is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `stride` elements one after the other.
    pub(crate) fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: stride, col_stride: 1 }
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Self { data: self.data, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    /// As vectors along the columns, one a row.
    pub(super) fn along_rows(self) -> Lanes<'a> {
        Lanes { data: self.data, lane_stride: self.row_stride, stride: self.col_stride }
    }

    /// As vectors along the rows, one a column.
    pub(super) fn along_columns(self) -> Lanes<'a> {
        self.t().along_rows()
    }

    fn holds(&self, rows: usize, cols: usize) -> bool {
        rows == 0
            || cols == 0
            || (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.data.len()
    }
}

/// The three sizes of a product: `[m, k] x [k, n] -> [m, n]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

/// What happens to the values that are already in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Overwritten.
    Replace,
    /// Added to.
    Add,
}

/// Refuses operands and outputs that do not hold what a product reads and writes.
pub(super) fn check(sizes: Sizes, a: Matrix, b: Matrix, out: &[f32], out_stride: usize) {
    let Sizes { m, n, k } = sizes;
    assert!(a.holds(m, k) && b.holds(k, n), "operands are too short for {sizes:?}");
    assert!(Matrix::rows(out, out_stride).holds(m, n), "output is too short for {sizes:?}");
    assert!(n <= out_stride || m <= 1, "output rows overlap");
}

/// `out = scale * a x b`, or `out += scale * a x b`; `out` has rows of `out_stride`.
///
/// # Panics
/// If a slice is too short for the sizes.
pub(crate) fn matmul(
    sizes: Sizes,
    scale: f32,
    a: Matrix,
    b: Matrix,
    out: &mut [f32],
    out_stride: usize,
    mode: Output,
) {
    check(sizes, a, b, out, out_stride);
    let Sizes { m, n, k } = sizes;
    // SAFETY: the check above bounds every element the product touches inside the three slices; `out` is borrowed
    // mutably, so it overlaps neither operand, and its rows do not overlap each other.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            mode == Output::Add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 31 + seed * 17) % 19) as f32 - 9.0).collect()
    }

    /// The plain twin.
    fn plain(s: Sizes, a: impl Fn(usize, usize) -> f32, b: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let mut out = vec![0.0; s.m * s.n];
        for i in 0..s.m {
            for j in 0..s.n {
                out[i * s.n + j] = (0..s.k).map(|p| a(i, p) * b(p, j)).sum();
            }
        }
        out
    }

    #[test]
    fn products_equal_the_plain_loop_at_every_size() {
        for (m, n, k) in [(0, 3, 2), (1, 1, 1), (3, 5, 7), (16, 17, 33), (65, 9, 1)] {
            let s = Sizes { m, n, k };
            let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut out = vec![1.0; m * n];
            matmul(s, 1.0, Matrix::rows(&a, k), Matrix::rows(&b, k).t(), &mut out, n, Output::Replace);
            let expected = plain(s, |i, p| a[i * k + p], |p, j| b[j * k + p]);
            assert_eq!(out, expected, "{s:?}");
            matmul(s, 2.0, Matrix::rows(&a, k), Matrix::rows(&b, k).t(), &mut out, n, Output::Add);
            let thrice: Vec<f32> = expected.iter().map(|x| x * 3.0).collect();
            assert_eq!(out, thrice, "{s:?} added");
        }
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn a_short_operand_is_refused() {
        let mut out = vec![0.0; 4];
        let s = Sizes { m: 2, n: 2, k: 2 };
        matmul(s, 1.0, Matrix::rows(&[0.0; 3], 2), Matrix::rows(&[0.0; 4], 2), &mut out, 2, Output::Replace);
    }
}
