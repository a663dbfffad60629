//! Matrix products with weights that are repacked once, for inference: `[rows, inputs] x [outputs, inputs]^T + bias`, in f32, bf16
//! or int8, on AVX-512.
//!
//! Weights lie in panels of [`COLUMNS`] outputs, in the order in which a tile reads them; a tile of [`ROWS`] rows keeps its sums in 24 of
//! the 32 registers over all inputs (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication", without the
//! blocking of the summed dimension: panels of an encoder fit the second-level cache). Every row is summed by itself in one order, so
//! that its result does not depend on the rows beside it.
//!
//! int8: weights have one scale an output, activations one scale and one zero point a row, and are kept as unsigned bytes, as
//! `vpdpbusd` wants them (Zafrir et al. 2019, arXiv 1910.06188, with dynamic scales a row in place of one for all).

#![allow(unsafe_code)]

use super::bf16;
use multiversion::multiversion;

/// Rows of a tile.
pub(crate) const ROWS: usize = 8;
/// Columns of a tile: three vectors.
const COLUMNS: usize = 48;
const LANES: usize = 16;
const VECTORS: usize = COLUMNS / LANES;

/// What the operands of products are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    Bf16,
    Int8,
}

impl Kind {
    /// True if this CPU has the instructions.
    pub(crate) fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && match self {
                    Self::F32 => true,
                    Self::Bf16 => bf16::is_available(),
                    Self::Int8 => is_x86_feature_detected!("avx512vnni"),
                }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = bf16::is_available();
            false
        }
    }

    /// Inputs that can be summed: a product of bytes is at most 255 * 127, and a sum of them has 31 bits.
    pub(crate) fn most_inputs(self) -> usize {
        if self == Self::Int8 { i32::MAX as usize / (255 * 127) } else { usize::MAX }
    }

    /// Inputs in one element of a panel or an operand.
    fn together(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }
}

/// A linear layer, repacked.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    kind: Kind,
    inputs: usize,
    outputs: usize,
    /// Panel by panel: for every element of the inputs, that of each output of the panel. f32, two bf16 or four int8.
    panels: Vec<u32>,
    bias: Vec<f32>,
    /// int8: what a unit of a weight stands for, and the sum of an output's weights.
    scales: Vec<f32>,
    sums: Vec<f32>,
}

impl Weights {
    /// Repacks `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`.
    ///
    /// # Panics
    /// If the sizes do not fit each other, there are more inputs than [`Kind::most_inputs`], or this CPU lacks the instructions.
    pub(crate) fn new(kind: Kind, weight: &[f32], bias: &[f32]) -> Self {
        assert!(kind.is_available(), "this CPU has no products in {kind:?}");
        let outputs = bias.len();
        let inputs = weight.len().checked_div(outputs).unwrap_or(0);
        assert_eq!(weight.len(), inputs * outputs, "a bias of {outputs} for {} weights", weight.len());
        assert!(inputs <= kind.most_inputs(), "sums over {inputs} inputs do not fit");
        let padded = outputs.next_multiple_of(COLUMNS);
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        let (mut scales, mut sums) = (vec![0.0; padded], vec![0.0; padded]);
        let elements = inputs.div_ceil(kind.together());
        let mut panels = vec![0u32; elements * padded];
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let panel = &mut panels[output / COLUMNS * elements * COLUMNS..][..elements * COLUMNS];
            let column = panel.iter_mut().skip(output % COLUMNS).step_by(COLUMNS);
            match kind {
                Kind::F32 => column.zip(row).for_each(|(out, x)| *out = x.to_bits()),
                Kind::Bf16 => column.zip(row.chunks(2)).for_each(|(out, pair)| {
                    *out = bf16::pair(pair[0], pair.get(1).copied().unwrap_or(0.0));
                }),
                Kind::Int8 => (scales[output], sums[output]) = quantize_weights(row, column),
            }
        }
        Self { kind, inputs, outputs, panels, bias, scales, sums }
    }

    /// Outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out = x weight^T + bias` for `rows` rows of `x`, `[rows, inputs]`; `out` has rows of [`Weights::outputs`].
    ///
    /// # Panics
    /// If `x` or `out` is shorter than that.
    pub(crate) fn apply(&self, x: &[f32], rows: usize, operand: &mut Operand, out: &mut [f32]) {
        let Self { kind, inputs, outputs, .. } = *self;
        assert!(x.len() >= rows * inputs && out.len() >= rows * outputs, "operands are too short");
        operand.fill(kind, &x[..rows * inputs], rows, inputs);
        let elements = inputs.div_ceil(kind.together());
        let step = elements * COLUMNS;
        for (number, panel) in self.panels.chunks_exact(step.max(1)).enumerate() {
            let first = number * COLUMNS;
            let width = COLUMNS.min(outputs - first);
            for row in (0..rows).step_by(ROWS) {
                let tile = Tile {
                    left: &operand.elements[row * elements..][..ROWS * elements],
                    right: panel,
                    elements,
                    bias: &self.bias[first..][..COLUMNS],
                    scales: &self.scales[first..][..COLUMNS],
                    sums: &self.sums[first..][..COLUMNS],
                    row_scales: &operand.scales[row..][..ROWS],
                    row_zeros: &operand.zeros[row..][..ROWS],
                };
                let height = ROWS.min(rows - row);
                let out = &mut out[row * outputs + first..];
                // SAFETY: `new` has made sure that the CPU has the instructions of the kind.
                #[cfg(target_arch = "x86_64")]
                unsafe {
                    match kind {
                        Kind::F32 => x86::f32(&tile, out, outputs, (height, width)),
                        Kind::Bf16 => x86::bf16(&tile, out, outputs, (height, width)),
                        Kind::Int8 => x86::int8(&tile, out, outputs, (height, width)),
                    }
                }
                #[cfg(not(target_arch = "x86_64"))]
                unreachable!("{height} {width} {} {}", out.len(), tile.left.len());
            }
        }
    }
}

/// Activations as a product reads them; kept to be used again.
#[derive(Debug, Default)]
pub(crate) struct Operand {
    /// Row by row, as many rows as whole tiles have: f32, two bf16 or four bytes an element.
    elements: Vec<u32>,
    /// int8: what a unit stands for in each row, and which byte is zero.
    scales: Vec<f32>,
    zeros: Vec<f32>,
}

impl Operand {
    fn fill(&mut self, kind: Kind, x: &[f32], rows: usize, inputs: usize) {
        let elements = inputs.div_ceil(kind.together());
        let padded = rows.next_multiple_of(ROWS);
        self.elements.resize(padded * elements, 0);
        self.scales.resize(padded, 0.0);
        self.zeros.resize(padded, 0.0);
        if inputs == 0 {
            return;
        }
        match kind {
            Kind::F32 => copy(x, &mut self.elements),
            Kind::Bf16 => {
                for (x, out) in x.chunks_exact(inputs).zip(self.elements.chunks_exact_mut(elements)) {
                    round_row(x, out);
                }
            }
            Kind::Int8 => {
                let rows = x.chunks_exact(inputs).zip(self.elements.chunks_exact_mut(elements));
                for ((x, out), (scale, zero)) in rows.zip(self.scales.iter_mut().zip(&mut self.zeros)) {
                    (*scale, *zero) = quantize_row(x, out);
                }
            }
        }
    }
}

fn copy(x: &[f32], out: &mut [u32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = x.to_bits();
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn round_row(x: &[f32], out: &mut [u32]) {
    let (pairs, rest) = x.as_chunks::<2>();
    for (out, &[a, b]) in out.iter_mut().zip(pairs) {
        *out = bf16::pair(a, b);
    }
    if let (Some(out), [last]) = (out.last_mut(), rest) {
        *out = bf16::pair(*last, 0.0);
    }
}

/// Puts the weights of an output into bytes, four an element; returns their scale and the sum of the bytes. A weight that is no finite
/// number makes the scale NaN, as it would make every result.
fn quantize_weights<'a>(row: &[f32], column: impl Iterator<Item = &'a mut u32>) -> (f32, f32) {
    let largest = row.iter().fold(0f32, |most, x| most.max(x.abs()));
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    let mut sum = 0;
    for (out, weights) in column.zip(row.chunks(4)) {
        let mut bytes = [0u8; 4];
        for (byte, x) in bytes.iter_mut().zip(weights) {
            let rounded = (x / scale).round_ties_even() as i8;
            sum += i32::from(rounded);
            *byte = rounded as u8;
        }
        *out = u32::from_le_bytes(bytes);
    }
    let finite = row.iter().all(|x| x.is_finite());
    (if finite { scale } else { f32::NAN }, sum as f32)
}

/// Puts a row into bytes from its smallest value (or 0) to its largest (or 0); returns its scale and the byte of 0. A value that is no
/// finite number makes the scale NaN, and so all that is computed from the row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn quantize_row(x: &[f32], out: &mut [u32]) -> (f32, f32) {
    let (mut low, mut high, mut broken) = ([0f32; 16], [0f32; 16], [0f32; 16]);
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for lane in 0..16 {
            low[lane] = if chunk[lane] < low[lane] { chunk[lane] } else { low[lane] };
            high[lane] = if chunk[lane] > high[lane] { chunk[lane] } else { high[lane] };
            broken[lane] += chunk[lane] * 0.0;
        }
    }
    let low = rest.iter().chain(&low).fold(0f32, |least, &x| if x < least { x } else { least });
    let high = rest.iter().chain(&high).fold(0f32, |most, &x| if x > most { x } else { most });
    let broken = rest.iter().map(|x| x * 0.0).sum::<f32>() + broken.iter().sum::<f32>();
    let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
    let unit = 1.0 / scale;
    let zero = (-low * unit).round_ties_even();
    // Adding 1.5 * 2^23 leaves the nearest whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let byte = |x: f32| (((x * unit + zero).clamp(0.0, 255.0) + ROUND).to_bits()) & 0xff;
    let (fours, rest) = x.as_chunks::<4>();
    for (out, &[a, b, c, d]) in out.iter_mut().zip(fours) {
        *out = byte(a) | byte(b) << 8 | byte(c) << 16 | byte(d) << 24;
    }
    if let (Some(out), false) = (out.last_mut(), rest.is_empty()) {
        // What is missing meets weights of zero.
        *out = rest.iter().enumerate().fold(0, |all, (i, &x)| all | byte(x) << (8 * i));
    }
    // Zero, unless something was infinite or no number.
    (scale + broken, zero)
}

/// What one tile of a product reads.
struct Tile<'a> {
    /// `[ROWS, elements]`
    left: &'a [u32],
    /// `[elements, COLUMNS]`
    right: &'a [u32],
    elements: usize,
    bias: &'a [f32],
    scales: &'a [f32],
    sums: &'a [f32],
    row_scales: &'a [f32],
    row_zeros: &'a [f32],
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{COLUMNS, LANES, ROWS, Tile, VECTORS};
    use std::arch::x86_64::*;

    /// The three vectors of a line of a panel.
    #[target_feature(enable = "avx512f")]
    fn line(line: &[u32; COLUMNS]) -> [__m512i; VECTORS] {
        // SAFETY: the line holds 48 numbers of 32 bits, three vectors of 16; loads may be unaligned.
        std::array::from_fn(|v| unsafe { _mm512_loadu_si512(line.as_ptr().add(v * LANES).cast()) })
    }

    /// 16 numbers of a slice of [`COLUMNS`].
    #[target_feature(enable = "avx512f")]
    fn vector(numbers: &[f32], v: usize) -> __m512 {
        let numbers = &numbers[v * LANES..][..LANES];
        // SAFETY: the slice holds 16 numbers; loads may be unaligned.
        unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
    }

    /// Writes the part of a tile that belongs to the result.
    #[target_feature(enable = "avx512f")]
    fn store(tile: [[__m512; VECTORS]; ROWS], out: &mut [f32], stride: usize, size: (usize, usize)) {
        let (height, width) = size;
        for (row, values) in tile.iter().enumerate().take(height) {
            let out = &mut out[row * stride..][..width];
            if width == COLUMNS {
                for (out, value) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(values) {
                    // SAFETY: the chunk holds 16 numbers; stores may be unaligned.
                    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *value) };
                }
            } else {
                let mut line = [0f32; COLUMNS];
                for (chunk, value) in line.as_chunks_mut::<LANES>().0.iter_mut().zip(values) {
                    // SAFETY: as above.
                    unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), *value) };
                }
                out.copy_from_slice(&line[..width]);
            }
        }
    }

    /// Sums `step` over all elements, starting from `start`.
    macro_rules! accumulate {
        ($tile:expr, $zero:expr, $step:expr) => {{
            let tile = $tile;
            let rows: [&[u32]; ROWS] =
                std::array::from_fn(|r| &tile.left[r * tile.elements..][..tile.elements]);
            let panel = &tile.right.as_chunks::<COLUMNS>().0[..tile.elements];
            let mut sums = [[$zero; VECTORS]; ROWS];
            for (p, b) in panel.iter().enumerate() {
                let b = line(b);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let a = _mm512_set1_epi32(row[p] as i32);
                    for (sum, &b) in sums.iter_mut().zip(&b) {
                        *sum = $step(*sum, a, b);
                    }
                }
            }
            sums
        }};
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn f32(tile: &Tile, out: &mut [f32], stride: usize, size: (usize, usize)) {
        let mut sums = accumulate!(tile, _mm512_setzero_ps(), |sum, a, b| {
            _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum)
        });
        add_bias(&mut sums, tile.bias);
        store(sums, out, stride, size);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn bf16(tile: &Tile, out: &mut [f32], stride: usize, size: (usize, usize)) {
        let mut sums = accumulate!(tile, _mm512_setzero_ps(), |sum, a, b| {
            // SAFETY: both types are 512 bits without invalid values.
            let (a, b) = unsafe {
                (std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b))
            };
            _mm512_dpbf16_ps(sum, a, b)
        });
        add_bias(&mut sums, tile.bias);
        store(sums, out, stride, size);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn int8(tile: &Tile, out: &mut [f32], stride: usize, size: (usize, usize)) {
        let sums = accumulate!(tile, _mm512_setzero_si512(), |sum, a, b| _mm512_dpbusd_epi32(sum, a, b));
        let mut values = [[_mm512_setzero_ps(); VECTORS]; ROWS];
        for (r, (values, sums)) in values.iter_mut().zip(&sums).enumerate() {
            let scale = _mm512_set1_ps(tile.row_scales[r]);
            let zero = _mm512_set1_ps(tile.row_zeros[r]);
            for (v, (value, &sum)) in values.iter_mut().zip(sums).enumerate() {
                let exact = _mm512_fnmadd_ps(zero, vector(tile.sums, v), _mm512_cvtepi32_ps(sum));
                let scale = _mm512_mul_ps(scale, vector(tile.scales, v));
                *value = _mm512_fmadd_ps(exact, scale, vector(tile.bias, v));
            }
        }
        store(values, out, stride, size);
    }

    #[target_feature(enable = "avx512f")]
    fn add_bias(sums: &mut [[__m512; VECTORS]; ROWS], bias: &[f32]) {
        for sums in sums {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_add_ps(*sum, vector(bias, v));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        (0..n as u64)
            .map(|i| (super::super::dropout::mix64(seed * 7919 + i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
            .collect()
    }

    /// Of numbers up to 1: f32 rounds little; bf16 has 8 bits, and int8 steps of 1/127 and 1/128.
    const TOLERANCES: [(Kind, f64); 3] = [(Kind::F32, 1e-6), (Kind::Bf16, 4e-3), (Kind::Int8, 8e-3)];

    /// The plain twin, in f64.
    fn plain(x: &[f32], weight: &[f32], bias: &[f32], rows: usize) -> Vec<f64> {
        let inputs = weight.len() / bias.len();
        let mut out = Vec::new();
        for r in 0..rows {
            for (o, bias) in bias.iter().enumerate() {
                let sum: f64 = (0..inputs)
                    .map(|i| f64::from(x[r * inputs + i]) * f64::from(weight[o * inputs + i]))
                    .sum();
                out.push(sum + f64::from(*bias));
            }
        }
        out
    }

    #[test]
    fn products_are_those_of_the_plain_loop_at_every_size() {
        for (kind, per_input) in TOLERANCES.into_iter().filter(|(kind, _)| kind.is_available()) {
            for (rows, outputs, inputs) in
                [(0, 3, 2), (1, 1, 1), (3, 5, 7), (8, 48, 4), (9, 49, 33), (17, 97, 130), (1, 384, 384)]
            {
                let (x, weight) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
                let bias = numbers(outputs, 3);
                let mut out = vec![f32::NAN; rows * outputs];
                let weights = Weights::new(kind, &weight, &bias);
                weights.apply(&x, rows, &mut Operand::default(), &mut out);
                let tolerance = per_input * (inputs as f64).sqrt() * 2.0 + per_input;
                for (ours, plain) in out.iter().zip(plain(&x, &weight, &bias, rows)) {
                    let off = (f64::from(*ours) - plain).abs();
                    assert!(off <= tolerance, "{kind:?} {rows}x{outputs}x{inputs}: off by {off}");
                }
            }
        }
    }

    #[test]
    fn whole_numbers_are_exact_in_bytes() {
        if !Kind::Int8.is_available() {
            return;
        }
        // Bytes from 0 to 255 hold these rows exactly, and so do weights from -127 to 127.
        let (rows, outputs, inputs) = (5, 50, 37);
        let mut x: Vec<f32> = (0..rows * inputs).map(|i| (i * 31 % 256) as f32 - 100.0).collect();
        let mut weight: Vec<f32> = (0..outputs * inputs).map(|i| (i * 17 % 255) as f32 - 127.0).collect();
        for row in x.chunks_mut(inputs) {
            (row[0], row[1]) = (-100.0, 155.0);
        }
        for row in weight.chunks_mut(inputs) {
            row[0] = 127.0;
        }
        let bias = vec![0.5; outputs];
        let mut out = vec![0.0; rows * outputs];
        Weights::new(Kind::Int8, &weight, &bias).apply(&x, rows, &mut Operand::default(), &mut out);
        let plain = plain(&x, &weight, &bias, rows);
        assert!(out.iter().zip(plain).all(|(ours, plain)| (f64::from(*ours) - plain).abs() < 0.01));
    }

    #[test]
    fn what_is_no_number_stays_none_in_every_kind() {
        for kind in [Kind::F32, Kind::Bf16, Kind::Int8].into_iter().filter(|kind| kind.is_available()) {
            for broken in [f32::NAN, f32::INFINITY] {
                for at in [0, 17, 33] {
                    let (mut x, mut weight) = (numbers(2 * 34, 1), numbers(3 * 34, 2));
                    let apply = |x: &[f32], weight: &[f32]| {
                        let mut out = vec![0.0; 6];
                        let weights = Weights::new(kind, weight, &[0.0; 3]);
                        weights.apply(x, 2, &mut Operand::default(), &mut out);
                        out
                    };
                    x[at] = broken;
                    let out = apply(&x, &weight);
                    assert!(out[..3].iter().all(|x| !x.is_finite()), "{kind:?}: {broken} at {at}: {out:?}");
                    assert!(out[3..].iter().all(|x| x.is_finite()), "{kind:?}: {broken} at {at}: {out:?}");
                    weight[34 + at] = broken;
                    let out = apply(&numbers(2 * 34, 1), &weight);
                    assert!(
                        !out[1].is_finite() && !out[4].is_finite(),
                        "{kind:?}: {broken} at {at}: {out:?}"
                    );
                    assert!(out[0].is_finite() && out[5].is_finite(), "{kind:?}: {broken} at {at}: {out:?}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn products_of_any_size_are_near_those_of_f64(
            rows in 0usize..20,
            outputs in 1usize..110,
            inputs in 1usize..140,
            seed in 0u64..1000,
        ) {
            let (x, weight) = (numbers(rows * inputs, seed), numbers(outputs * inputs, seed + 1));
            let bias = numbers(outputs, seed + 2);
            let plain = plain(&x, &weight, &bias, rows);
            for (kind, per_input) in TOLERANCES.into_iter().filter(|(kind, _)| kind.is_available()) {
                let mut out = vec![f32::NAN; rows * outputs];
                Weights::new(kind, &weight, &bias).apply(&x, rows, &mut Operand::default(), &mut out);
                let tolerance = per_input * (inputs as f64).sqrt() * 2.0 + per_input;
                for (ours, plain) in out.iter().zip(&plain) {
                    proptest::prop_assert!((f64::from(*ours) - plain).abs() <= tolerance, "{:?}", kind);
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company() {
        for kind in [Kind::F32, Kind::Bf16, Kind::Int8].into_iter().filter(|kind| kind.is_available()) {
            let (rows, outputs, inputs) = (21, 96, 64);
            let x = numbers(rows * inputs, 5);
            let weights = Weights::new(kind, &numbers(outputs * inputs, 6), &numbers(outputs, 7));
            let mut all = vec![0.0; rows * outputs];
            let mut operand = Operand::default();
            weights.apply(&x, rows, &mut operand, &mut all);
            for row in 0..rows {
                let mut alone = vec![0.0; outputs];
                weights.apply(&x[row * inputs..], 1, &mut operand, &mut alone);
                assert_eq!(alone, all[row * outputs..][..outputs], "{kind:?}, row {row}");
            }
        }
    }
}
