//! Products without any special instructions: what the others are tested against, and NEON's, as compilers make them.

use super::product::{Block, Floats, Lanewise, Product, sums, sums_by_lanes};

const LANES: usize = 4;

/// Numbers side by side.
pub(super) struct Side;

impl Floats for Side {
    const LANES: usize = LANES;
    type Vector = [f32; LANES];

    #[inline(always)]
    unsafe fn spread(x: f32) -> Self::Vector {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: the caller points to four numbers.
        unsafe { from.cast::<Self::Vector>().read() }
    }

    #[inline(always)]
    unsafe fn store(x: Self::Vector, to: *mut f32) {
        // SAFETY: the caller points to four numbers.
        unsafe { to.cast::<Self::Vector>().write(x) }
    }

    #[inline(always)]
    unsafe fn add(x: Self::Vector, y: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| x[i] + y[i])
    }

    #[inline(always)]
    unsafe fn multiply_add(x: Self::Vector, y: Self::Vector, z: Self::Vector) -> Self::Vector {
        // Where it is not an instruction, it is a slow call.
        if cfg!(target_arch = "aarch64") {
            std::array::from_fn(|i| x[i].mul_add(y[i], z[i]))
        } else {
            std::array::from_fn(|i| x[i] * y[i] + z[i])
        }
    }
}

/// f32.
pub(super) struct F32;

impl Product for F32 {
    type Floats = Side;
    const BYTES: bool = false;
    type Sum = [f32; LANES];

    sums_by_lanes!();

    #[inline(always)]
    unsafe fn floats(sum: Self::Sum) -> Self::Sum {
        sum
    }
}

impl Lanewise for F32 {
    type Left = [f32; LANES];
    type Right = [f32; LANES];

    #[inline(always)]
    unsafe fn zero() -> Self::Sum {
        [0.0; LANES]
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> Self::Left {
        [f32::from_bits(element); LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self::Right {
        // SAFETY: the caller points to four elements.
        unsafe { from.cast::<Self::Right>().read() }
    }

    #[inline(always)]
    unsafe fn add(sum: Self::Sum, left: Self::Left, right: Self::Right) -> Self::Sum {
        // SAFETY: it needs no special instructions.
        unsafe { Side::multiply_add(left, right, sum) }
    }
}

/// Bytes: unsigned ones of rows, signed ones of weights.
pub(super) struct Int8;

impl Product for Int8 {
    type Floats = Side;
    const BYTES: bool = true;
    type Sum = [i32; LANES];

    sums_by_lanes!();

    #[inline(always)]
    unsafe fn floats(sum: Self::Sum) -> [f32; LANES] {
        sum.map(|x| x as f32)
    }
}

impl Lanewise for Int8 {
    type Left = [i32; 4];
    type Right = [[i8; 4]; LANES];

    #[inline(always)]
    unsafe fn zero() -> Self::Sum {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> [i32; 4] {
        element.to_ne_bytes().map(i32::from)
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self::Right {
        // SAFETY: the caller points to four elements of four bytes.
        unsafe { from.cast::<[u32; LANES]>().read() }.map(|element| element.to_ne_bytes().map(|x| x as i8))
    }

    #[inline(always)]
    unsafe fn add(mut sum: Self::Sum, left: [i32; 4], right: Self::Right) -> Self::Sum {
        for (sum, right) in sum.iter_mut().zip(right) {
            for (left, right) in left.into_iter().zip(right) {
                *sum += left * i32::from(right);
            }
        }
        sum
    }
}
