//! Products by AVX-512 and AVX2.
//!
//! Every function here is only called from one that is compiled for its instructions ([`super::Way::run`]), which is what its blocks
//! of `unsafe` rely on; loads and stores may be unaligned, and the caller points to a whole vector.

use super::product::{Floats, Product};
use std::arch::x86_64::*;
use std::mem::transmute;

/// 16 numbers.
pub(super) struct F32x16;

impl Floats for F32x16 {
    const LANES: usize = 16;
    type Vector = __m512;

    #[inline(always)]
    unsafe fn spread(x: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(x: __m512, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn add(x: __m512, y: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn multiply(x: __m512, y: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn multiply_add(x: __m512, y: __m512, z: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(x, y, z) }
    }
}

/// 8 numbers.
pub(super) struct F32x8;

impl Floats for F32x8 {
    const LANES: usize = 8;
    type Vector = __m256;

    #[inline(always)]
    unsafe fn spread(x: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(x: __m256, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn add(x: __m256, y: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn multiply(x: __m256, y: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn multiply_add(x: __m256, y: __m256, z: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(x, y, z) }
    }
}

/// f32, 16 a vector.
pub(super) struct Avx512F32;

impl Product for Avx512F32 {
    type Floats = F32x16;
    const BYTES: bool = false;
    type Left = __m512;
    type Right = __m512;
    type Sum = __m512;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(f32::from_bits(element)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m512, left: __m512, right: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(left, right, sum) }
    }

    #[inline(always)]
    unsafe fn floats(sum: __m512) -> __m512 {
        sum
    }
}

/// Pairs of bf16 (AVX-512 BF16).
pub(super) struct Avx512Bf16;

impl Product for Avx512Bf16 {
    type Floats = F32x16;
    const BYTES: bool = false;
    type Left = __m512bh;
    type Right = __m512bh;
    type Sum = __m512;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> __m512bh {
        // SAFETY: see above; both types are 512 bits without invalid values.
        unsafe { transmute(_mm512_set1_epi32(element as i32)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512bh {
        // SAFETY: as above.
        unsafe { transmute(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m512, left: __m512bh, right: __m512bh) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_dpbf16_ps(sum, left, right) }
    }

    #[inline(always)]
    unsafe fn floats(sum: __m512) -> __m512 {
        sum
    }
}

/// Fours of bytes (AVX-512 VNNI).
pub(super) struct Avx512Vnni;

impl Product for Avx512Vnni {
    type Floats = F32x16;
    const BYTES: bool = true;
    type Left = __m512i;
    type Right = __m512i;
    type Sum = __m512i;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi32(element as i32) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m512i, left: __m512i, right: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_dpbusd_epi32(sum, left, right) }
    }

    #[inline(always)]
    unsafe fn floats(sum: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(sum) }
    }
}

/// f32, 8 a vector.
pub(super) struct Avx2F32;

impl Product for Avx2F32 {
    type Floats = F32x8;
    const BYTES: bool = false;
    type Left = __m256;
    type Right = __m256;
    type Sum = __m256;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(f32::from_bits(element)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m256, left: __m256, right: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(left, right, sum) }
    }

    #[inline(always)]
    unsafe fn floats(sum: __m256) -> __m256 {
        sum
    }
}

/// Fours of bytes; those of rows go up to 127 alone, as two products of them must fit 16 bits.
pub(super) struct Avx2Int8;

impl Product for Avx2Int8 {
    type Floats = F32x8;
    const BYTES: bool = true;
    type Left = __m256i;
    type Right = __m256i;
    type Sum = __m256i;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi32(element as i32) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m256i, left: __m256i, right: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let pairs = _mm256_maddubs_epi16(left, right);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn floats(sum: __m256i) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(sum) }
    }
}

/// Fours of bytes (AVX-VNNI).
pub(super) struct AvxVnni;

impl Product for AvxVnni {
    type Floats = F32x8;
    const BYTES: bool = true;
    type Left = __m256i;
    type Right = __m256i;
    type Sum = __m256i;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: see above.
        unsafe { Avx2Int8::zero() }
    }

    #[inline(always)]
    unsafe fn spread(element: u32) -> __m256i {
        // SAFETY: see above.
        unsafe { Avx2Int8::spread(element) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256i {
        // SAFETY: see above.
        unsafe { Avx2Int8::load(from) }
    }

    #[inline(always)]
    unsafe fn add(sum: __m256i, left: __m256i, right: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_dpbusd_avx_epi32(sum, left, right) }
    }

    #[inline(always)]
    unsafe fn floats(sum: __m256i) -> __m256 {
        // SAFETY: see above.
        unsafe { Avx2Int8::floats(sum) }
    }
}
