//! Products without any special instructions: what the others are tested against, and NEON's, as compilers make them.

use super::product::Product;

const LANES: usize = 4;

/// f32.
pub(super) struct F32;

impl Product for F32 {
    const LANES: usize = LANES;
    type Left = f32;
    type Right = [f32; LANES];
    type Sum = [f32; LANES];

    #[inline(always)]
    unsafe fn zero() -> Self::Sum {
        [0.0; LANES]
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> f32 {
        f32::from_bits(element)
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self::Right {
        // SAFETY: the caller points to four elements.
        unsafe { from.cast::<Self::Right>().read() }
    }

    #[inline(always)]
    unsafe fn add(mut sum: Self::Sum, left: f32, right: Self::Right) -> Self::Sum {
        for (sum, right) in sum.iter_mut().zip(right) {
            // Where it is not an instruction, it is a slow call.
            *sum =
                if cfg!(target_arch = "aarch64") { left.mul_add(right, *sum) } else { *sum + left * right };
        }
        sum
    }

    #[inline(always)]
    unsafe fn store(sum: Self::Sum, to: *mut f32) {
        // SAFETY: the caller points to four numbers.
        unsafe { to.cast::<Self::Sum>().write(sum) }
    }
}

/// Bytes: unsigned ones of rows, signed ones of weights.
pub(super) struct Int8;

impl Product for Int8 {
    const LANES: usize = LANES;
    type Left = [i32; 4];
    type Right = [[i8; 4]; LANES];
    type Sum = [i32; LANES];

    #[inline(always)]
    unsafe fn zero() -> Self::Sum {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> [i32; 4] {
        element.to_le_bytes().map(i32::from)
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self::Right {
        // SAFETY: the caller points to four elements of four bytes.
        unsafe { from.cast::<[u32; LANES]>().read() }.map(|element| element.to_le_bytes().map(|x| x as i8))
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

    #[inline(always)]
    unsafe fn store(sum: Self::Sum, to: *mut f32) {
        // SAFETY: the caller points to four numbers.
        unsafe { to.cast::<[f32; LANES]>().write(sum.map(|x| x as f32)) }
    }
}
