//! Products by AMX: blocks of 16 rows and 16 outputs, each summed over 64 bytes of inputs an instruction (Intel 64 and IA-32
//! Architectures Software Developer's Manual, volume 2, TDPBUSD and TDPBF16PS).
//!
//! Panels lie as those of AVX-512: 16 elements of a vector of outputs are the right tile, `stride` bytes apart.
//! Rows and panels are filled up to [`STEP`] elements, and rows to [`ROWS`], so that every tile is whole.

use super::product::{Block, Product};
use super::x86::{Avx512Bf16, Avx512Vnni};
use std::arch::asm;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Rows of a tile, outputs of a tile, and elements of a row that one instruction takes.
pub(super) const STEP: usize = 16;
/// Rows of a block: two tiles, which share a tile of weights.
pub(super) const ROWS: usize = 2 * STEP;
/// The tiles that hold a left and a right operand; those before them hold sums.
const LEFT: u8 = 6;
const RIGHT: u8 = 7;

/// True if the CPU has tiles, and the system lets this process use them.
pub(in super::super) fn is_available() -> bool {
    static AVAILABLE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *AVAILABLE.get_or_init(|| cpu_has_tiles() && system_saves_tiles() && is_permitted())
}

/// AMX-TILE, AMX-INT8 and AMX-BF16, by CPUID.
fn cpu_has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const FEATURES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & FEATURES == FEATURES
}

/// True if the system saves tiles when it changes threads.
fn system_saves_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, _xgetbv};
    const XSAVE: u32 = 1 << 27;
    const TILES: u64 = 0b11 << 17;
    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: the register 0 is there wherever XGETBV is.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: the CPU has the instruction, and the system has enabled it.
    __cpuid(1).ecx & XSAVE != 0 && unsafe { saved() } & TILES == TILES
}

/// Asks for the right to use tiles, which Linux gives to a process on demand.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers, and changes nothing but what this process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What is done with tiles of 16 lines of 64 bytes.
///
/// # Safety
/// All functions may only be called where there are such tiles, with pointers to 16 lines of 16 elements, each `stride` elements after
/// the last.
pub(super) trait Tiles {
    unsafe fn new() -> Self;
    unsafe fn zero<const TILE: u8>(&mut self);
    unsafe fn load<const TILE: u8>(&mut self, from: *const u32, stride: usize);
    unsafe fn store<const TILE: u8>(&mut self, to: *mut u32, stride: usize);
    /// Adds the products of [`LEFT`]'s unsigned bytes and [`RIGHT`]'s signed ones, summed in fours.
    unsafe fn add_bytes<const SUMS: u8>(&mut self);
    /// Adds the products of [`LEFT`]'s and [`RIGHT`]'s bf16, summed in pairs.
    unsafe fn add_pairs<const SUMS: u8>(&mut self);
}

/// The CPU's. Nothing else in this process uses them: compilers do not, of their own accord, and no instruction that saves them is left
/// out by [`system_saves_tiles`].
pub(super) struct Hardware;

/// `LDTILECFG`'s operand: palette 1, and the bytes of a line and lines of each of eight tiles.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    lines: [u8; 16],
}

static SHAPES: Shapes = Shapes {
    palette: 1,
    start: 0,
    reserved: [0; 14],
    bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    lines: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Shapes this thread's tiles for `job`, and frees them after it.
///
/// # Safety
/// [`is_available`] must be true.
pub(super) unsafe fn with_tiles(job: impl FnOnce()) {
    struct Shaped;
    impl Drop for Shaped {
        fn drop(&mut self) {
            // SAFETY: there are tiles.
            unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
        }
    }
    // SAFETY: there are tiles, and the operand is 64 bytes that name a palette that every CPU with tiles has.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, preserves_flags, readonly)) }
    let _shaped = Shaped;
    job();
}

impl Tiles for Hardware {
    #[inline(always)]
    unsafe fn new() -> Self {
        Self
    }

    #[inline(always)]
    unsafe fn zero<const TILE: u8>(&mut self) {
        // SAFETY: as for the trait, here and below; no other code reads or writes the tile.
        unsafe { asm!("tilezero tmm{}", const TILE, options(nostack, preserves_flags, nomem)) }
    }

    #[inline(always)]
    unsafe fn load<const TILE: u8>(&mut self, from: *const u32, stride: usize) {
        unsafe {
            asm!("tileloadd tmm{}, [{} + {}*1]", const TILE, in(reg) from, in(reg) stride * 4,
                options(nostack, preserves_flags, readonly));
        }
    }

    #[inline(always)]
    unsafe fn store<const TILE: u8>(&mut self, to: *mut u32, stride: usize) {
        unsafe {
            asm!("tilestored [{} + {}*1], tmm{}", in(reg) to, in(reg) stride * 4, const TILE,
                options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn add_bytes<const SUMS: u8>(&mut self) {
        unsafe {
            asm!("tdpbusd tmm{}, tmm{}, tmm{}", const SUMS, const LEFT, const RIGHT,
                options(nostack, preserves_flags, nomem));
        }
    }

    #[inline(always)]
    unsafe fn add_pairs<const SUMS: u8>(&mut self) {
        unsafe {
            asm!("tdpbf16ps tmm{}, tmm{}, tmm{}", const SUMS, const LEFT, const RIGHT,
                options(nostack, preserves_flags, nomem));
        }
    }
}

/// Fours of bytes; what sums stand for is worked out by AVX-512.
pub(super) struct Int8<T>(PhantomData<T>);

/// Pairs of bf16.
pub(super) struct Bf16<T>(PhantomData<T>);

macro_rules! product {
    ($name:ident, $add:ident, $vectors:ty) => {
        impl<T: Tiles> Product for $name<T> {
            type Floats = <$vectors as Product>::Floats;
            const BYTES: bool = <$vectors as Product>::BYTES;
            type Sum = <$vectors as Product>::Sum;

            #[inline(always)]
            unsafe fn sums<const ROWS: usize, const VECTORS: usize>(
                block: Block,
                panel: &[u32],
                from: usize,
                to: usize,
            ) -> [[Self::Sum; VECTORS]; ROWS] {
                let Block { left, stride, height } = block;
                let width = VECTORS * STEP;
                let two = height > STEP;
                assert!(ROWS == self::ROWS && from % STEP == 0 && to % STEP == 0 && VECTORS <= 3);
                assert!(
                    panel.len() >= to * width
                        && left.len() >= (if two { ROWS } else { STEP } - 1) * stride + to
                );
                // SAFETY: the assertions say that all lines of all tiles are there; all sums are written, a line of 16 for each vector.
                unsafe {
                    let mut sums = MaybeUninit::<[[Self::Sum; VECTORS]; ROWS]>::uninit();
                    let mut tiles = T::new();
                    macro_rules! for_every_vector {
                        ($first:ident, $second:ident => $job:block) => {{
                            for_every_vector!(0, 0, 3, $first, $second, $job);
                            for_every_vector!(1, 1, 4, $first, $second, $job);
                            for_every_vector!(2, 2, 5, $first, $second, $job);
                        }};
                        ($v:literal, $a:literal, $b:literal, $first:ident, $second:ident, $job:block) => {
                            if $v < VECTORS {
                                const $first: u8 = $a;
                                const $second: u8 = $b;
                                $job
                            }
                        };
                    }
                    for_every_vector!(FIRST, SECOND => {
                        tiles.zero::<FIRST>();
                        tiles.zero::<SECOND>();
                    });
                    for p in (from..to).step_by(STEP) {
                        let rows = left.as_ptr().add(p);
                        let weights = panel.as_ptr().add(p * width);
                        for_every_vector!(FIRST, SECOND => {
                            tiles.load::<RIGHT>(weights.add(FIRST as usize * STEP), width);
                            tiles.load::<LEFT>(rows, stride);
                            tiles.$add::<FIRST>();
                            if two {
                                tiles.load::<LEFT>(rows.add(STEP * stride), stride);
                                tiles.$add::<SECOND>();
                            }
                        });
                    }
                    let out = sums.as_mut_ptr().cast::<u32>();
                    for_every_vector!(FIRST, SECOND => {
                        let out = out.add(FIRST as usize * STEP);
                        tiles.store::<FIRST>(out, width);
                        tiles.store::<SECOND>(out.add(STEP * width), width);
                    });
                    sums.assume_init()
                }
            }

            #[inline(always)]
            unsafe fn floats(sum: Self::Sum) -> <Self::Floats as super::product::Floats>::Vector {
                // SAFETY: as for this function.
                unsafe { <$vectors as Product>::floats(sum) }
            }
        }
    };
}

product!(Int8, add_bytes, Avx512Vnni);
product!(Bf16, add_pairs, Avx512Bf16);

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Tiles in memory, by the manual's words: so what is built on tiles is tested on every machine.
    pub(in super::super) struct Software([[[u32; STEP]; STEP]; 8]);

    impl Software {
        fn add(&mut self, sums: u8, products: impl Fn(u32, u32, u32) -> u32) {
            let [left, right] = [LEFT, RIGHT].map(|tile| self.0[tile as usize]);
            for (sums, left) in self.0[sums as usize].iter_mut().zip(left) {
                for (left, right) in left.into_iter().zip(right) {
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = products(*sum, left, right);
                    }
                }
            }
        }
    }

    impl Tiles for Software {
        unsafe fn new() -> Self {
            Self([[[0xdead_beef; STEP]; STEP]; 8])
        }

        unsafe fn zero<const TILE: u8>(&mut self) {
            self.0[TILE as usize] = Default::default();
        }

        unsafe fn load<const TILE: u8>(&mut self, from: *const u32, stride: usize) {
            for (i, line) in self.0[TILE as usize].iter_mut().enumerate() {
                // SAFETY: as for the trait.
                unsafe { *line = from.add(i * stride).cast::<[u32; STEP]>().read() }
            }
        }

        unsafe fn store<const TILE: u8>(&mut self, to: *mut u32, stride: usize) {
            for (i, line) in self.0[TILE as usize].iter().enumerate() {
                // SAFETY: as for the trait.
                unsafe { to.add(i * stride).cast::<[u32; STEP]>().write(*line) }
            }
        }

        unsafe fn add_bytes<const SUMS: u8>(&mut self) {
            self.add(SUMS, |sum, left, right| {
                let bytes = left.to_le_bytes().into_iter().zip(right.to_le_bytes());
                let sum = sum.cast_signed();
                bytes.fold(sum, |sum, (a, b)| sum + i32::from(a) * i32::from(b.cast_signed())).cast_unsigned()
            });
        }

        unsafe fn add_pairs<const SUMS: u8>(&mut self) {
            self.add(SUMS, |sum, left, right| {
                let halves = |pair: u32| [pair << 16, pair & 0xffff_0000].map(f32::from_bits);
                let ([a, b], [c, d]) = (halves(left), halves(right));
                b.mul_add(d, a.mul_add(c, f32::from_bits(sum))).to_bits()
            });
        }
    }

    #[test]
    fn shapes_are_as_the_manual_lays_them_out() {
        assert_eq!(size_of::<Shapes>(), 64);
        assert_eq!(std::mem::offset_of!(Shapes, bytes), 16);
        assert_eq!(std::mem::offset_of!(Shapes, lines), 48);
    }
}
