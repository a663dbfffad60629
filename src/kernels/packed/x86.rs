//! Products by AVX-512 and AVX2.
//!
//! Every function here is only called from one that is compiled for its instructions ([`super::Way::run`]), which is what the blocks of
//! `unsafe` rely on; loads and stores may be unaligned, and the caller points to a whole vector.

use super::product::{Block, Floats, Lanewise, Product, sums, sums_by_lanes};
use std::arch::x86_64::*;
use std::mem::transmute;

/// A vector of numbers, by its instructions.
macro_rules! floats {
    (
        $name:ident, $lanes:literal, $vector:ty,
        $spread:ident, $load:ident, $store:ident, $add:ident, $multiply_add:ident
    ) => {
        pub(super) struct $name;

        impl Floats for $name {
            const LANES: usize = $lanes;
            type Vector = $vector;

            #[inline(always)]
            unsafe fn spread(x: f32) -> $vector {
                // SAFETY: as the module says, here and below.
                unsafe { $spread(x) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> $vector {
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(x: $vector, to: *mut f32) {
                unsafe { $store(to, x) }
            }

            #[inline(always)]
            unsafe fn add(x: $vector, y: $vector) -> $vector {
                unsafe { $add(x, y) }
            }

            #[inline(always)]
            unsafe fn multiply_add(x: $vector, y: $vector, z: $vector) -> $vector {
                unsafe { $multiply_add(x, y, z) }
            }
        }
    };
}

floats!(
    F32x16,
    16,
    __m512,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_fmadd_ps
);
floats!(F32x8, 8, __m256, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps);

/// A product, by its instructions.
macro_rules! product {
    (
        $(#[$meta:meta])*
        $name:ident: $floats:ty, bytes: $bytes:literal, $(group: $group:literal,)? operands: $operand:ty, sums: $sum:ty,
        zero: $zero:expr,
        spread: |$element:ident| $spread:expr,
        load: |$from:ident| $load:expr,
        add: |$s:ident, $left:ident, $right:ident| $add:expr,
        floats: |$x:ident| $converted:expr $(,)?
    ) => {
        $(#[$meta])*
        pub(super) struct $name;

        impl Product for $name {
            type Floats = $floats;
            const BYTES: bool = $bytes;
            $(const GROUP: usize = $group;)?
            type Sum = $sum;

            sums_by_lanes!();

            #[inline(always)]
            #[allow(unused_unsafe)]
            unsafe fn floats($x: $sum) -> <$floats as Floats>::Vector {
                // SAFETY: as the module says, here and below; vectors of one size have no values that are invalid in another type.
                unsafe { $converted }
            }
        }

        impl Lanewise for $name {
            type Left = $operand;
            type Right = $operand;

            #[inline(always)]
            unsafe fn zero() -> $sum {
                unsafe { $zero }
            }

            #[inline(always)]
            unsafe fn spread($element: u32) -> $operand {
                unsafe { $spread }
            }

            #[inline(always)]
            unsafe fn load($from: *const u32) -> $operand {
                unsafe { $load }
            }

            #[inline(always)]
            unsafe fn add($s: $sum, $left: $operand, $right: $operand) -> $sum {
                unsafe { $add }
            }
        }
    };
}

product! {
    /// f32, 16 a vector.
    Avx512F32: F32x16, bytes: false, operands: __m512, sums: __m512,
    zero: _mm512_setzero_ps(),
    spread: |element| _mm512_set1_ps(f32::from_bits(element)),
    load: |from| _mm512_loadu_ps(from.cast()),
    add: |sum, left, right| _mm512_fmadd_ps(left, right, sum),
    floats: |sum| sum,
}

product! {
    /// Pairs of bf16 (AVX-512 BF16).
    Avx512Bf16: F32x16, bytes: false, operands: __m512bh, sums: __m512,
    zero: _mm512_setzero_ps(),
    spread: |element| transmute(_mm512_set1_epi32(element as i32)),
    load: |from| transmute(_mm512_loadu_si512(from.cast())),
    add: |sum, left, right| _mm512_dpbf16_ps(sum, left, right),
    floats: |sum| sum,
}

product! {
    /// Fours of bytes (AVX-512 VNNI).
    Avx512Vnni: F32x16, bytes: true, operands: __m512i, sums: __m512i,
    zero: _mm512_setzero_si512(),
    spread: |element| _mm512_set1_epi32(element as i32),
    load: |from| _mm512_loadu_si512(from.cast()),
    add: |sum, left, right| _mm512_dpbusd_epi32(sum, left, right),
    floats: |sum| _mm512_cvtepi32_ps(sum),
}

product! {
    /// f32, 8 a vector.
    Avx2F32: F32x8, bytes: false, operands: __m256, sums: __m256,
    zero: _mm256_setzero_ps(),
    spread: |element| _mm256_set1_ps(f32::from_bits(element)),
    load: |from| _mm256_loadu_ps(from.cast()),
    add: |sum, left, right| _mm256_fmadd_ps(left, right, sum),
    floats: |sum| sum,
}

product! {
    /// Fours of bytes; those of rows go up to 127 alone, as two products of them must fit 16 bits. Scales of short groups make up for it.
    Avx2Int8: F32x8, bytes: true, group: 24, operands: __m256i, sums: __m256i,
    zero: _mm256_setzero_si256(),
    spread: |element| _mm256_set1_epi32(element as i32),
    load: |from| _mm256_loadu_si256(from.cast()),
    add: |sum, left, right| {
        let pairs = _mm256_maddubs_epi16(left, right);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    },
    floats: |sum| _mm256_cvtepi32_ps(sum),
}

product! {
    /// Fours of bytes (AVX-VNNI).
    AvxVnni: F32x8, bytes: true, operands: __m256i, sums: __m256i,
    zero: _mm256_setzero_si256(),
    spread: |element| _mm256_set1_epi32(element as i32),
    load: |from| _mm256_loadu_si256(from.cast()),
    add: |sum, left, right| _mm256_dpbusd_avx_epi32(sum, left, right),
    floats: |sum| _mm256_cvtepi32_ps(sum),
}
