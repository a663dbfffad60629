//! Matrix products with weights that are repacked once, for inference: `[rows, inputs] x [outputs, inputs]^T + bias`, in f32, bf16
//! or int8, on every [`Level`].
//!
//! Weights lie in panels of three vectors of outputs, in the order in which a tile reads them; a tile of rows keeps its sums in
//! registers over all inputs (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication", without the blocking of
//! the summed dimension: panels of an encoder fit the second-level cache). Every row is summed by itself in one order, so that its
//! result does not depend on the rows beside it.
//!
//! int8: weights have one scale an output, activations one scale and one zero point a row, and are kept as unsigned bytes, as
//! `vpdpbusd` and `vpmaddubsw` want them (Zafrir et al. 2019, arXiv 1910.06188, with dynamic scales a row in place of one for all).
//! AMX has tiles of 16 rows, 16 outputs and 64 bytes of inputs, for bytes and bf16 ([`amx`]).
//! With `vpmaddubsw` they have 7 bits, and each group of [`Product::GROUP`] elements of a row has its own scale and zero point.
//!
//! What crates have was looked at first. `gemm` packs both operands anew in every product, and knows neither bytes nor bf16
//! instructions (it widens bf16 to f32); `rten-gemm` packs once, in f32 and int8, but per-row zero points, the steps that are done
//! while a tile is in registers (bias, GELU, residual) and bf16 are not to be had from outside; `tract-linalg` is the inside of an
//! engine of graphs; oneDNN is a C++ library to build and link.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
mod plain;
mod product;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use product::Finish;

use super::bf16;
use super::cpu::{Level, for_every_level, level};
use product::{Bytes, Job, Product, VECTORS, run};

/// What the operands of products are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    Bf16,
    Int8,
}

impl Kind {
    /// Inputs that can be summed: a product of bytes is at most 255 * 128, and a sum of them has 31 bits.
    pub(crate) fn most_inputs(self) -> usize {
        if self == Self::Int8 { i32::MAX as usize / (255 * 128) } else { usize::MAX }
    }
}

/// How a product is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    PlainF32,
    PlainInt8,
    #[cfg(target_arch = "x86_64")]
    Avx2F32,
    #[cfg(target_arch = "x86_64")]
    Avx2Int8,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512F32,
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    AmxBf16,
    #[cfg(target_arch = "x86_64")]
    AmxInt8,
}

/// True if this CPU has instructions for products of bytes: plain loops over them are slower than over f32.
pub(crate) fn multiplies_bytes() -> bool {
    Way::of(Kind::Int8, level()) != Way::PlainInt8
}

impl Way {
    /// The best of `level`. Where it has no products of bf16, numbers are rounded to bf16 and multiplied as f32.
    #[cfg(target_arch = "x86_64")]
    fn of(kind: Kind, level: Level) -> Self {
        match (kind, level) {
            (Kind::F32 | Kind::Bf16, Level::Plain) => Self::PlainF32,
            (Kind::Int8, Level::Plain) => Self::PlainInt8,
            (Kind::F32 | Kind::Bf16, Level::Avx2 | Level::AvxVnni) => Self::Avx2F32,
            (Kind::Int8, Level::AvxVnni) => Self::AvxVnni,
            (Kind::Bf16, Level::Avx512) if bf16::is_available() => Self::Avx512Bf16,
            (Kind::F32, Level::Avx512 | Level::Amx) | (Kind::Bf16, Level::Avx512) => Self::Avx512F32,
            (Kind::Int8, Level::Avx512) if is_x86_feature_detected!("avx512vnni") => Self::Avx512Vnni,
            (Kind::Int8, Level::Avx2 | Level::Avx512) => Self::Avx2Int8,
            (Kind::Bf16, Level::Amx) => Self::AmxBf16,
            (Kind::Int8, Level::Amx) => Self::AmxInt8,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(kind: Kind, _: Level) -> Self {
        if kind == Kind::Int8 { Self::PlainInt8 } else { Self::PlainF32 }
    }

    /// Outputs in a vector.
    fn lanes(self) -> usize {
        match self {
            Self::PlainF32 | Self::PlainInt8 => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2F32 | Self::Avx2Int8 | Self::AvxVnni => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512F32 | Self::Avx512Bf16 | Self::Avx512Vnni | Self::AmxBf16 | Self::AmxInt8 => 16,
        }
    }

    /// Elements and rows come in multiples of this; what is added is zeros, and rows that nobody reads.
    fn step(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::AmxBf16 | Self::AmxInt8 => amx::STEP,
            _ => 1,
        }
    }

    /// Elements of a row of `inputs` inputs.
    fn elements(self, inputs: usize) -> usize {
        inputs.div_ceil(self.element().inputs()).next_multiple_of(self.step())
    }

    /// What an element of an operand holds.
    fn element(self) -> Element {
        match self {
            Self::PlainF32 => Element::F32,
            Self::PlainInt8 => Element::Bytes { most: 255.0, group: plain::Int8::GROUP },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2F32 | Self::Avx512F32 => Element::F32,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 | Self::AmxBf16 => Element::Pair,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Int8 => Element::Bytes { most: 127.0, group: x86::Avx2Int8::GROUP },
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni | Self::Avx512Vnni | Self::AmxInt8 => {
                Element::Bytes { most: 255.0, group: x86::Avx512Vnni::GROUP }
            }
        }
    }

    /// Does a job, in a function that is compiled for the instructions.
    fn run(self, job: &Job, out: &mut [f32]) {
        /// A way's function, called.
        #[cfg(target_arch = "x86_64")]
        macro_rules! compiled {
            ($features:literal, $product:ty, $rows:tt) => {{
                #[target_feature(enable = $features)]
                fn compiled(job: &Job, out: &mut [f32]) {
                    // SAFETY: the features are those of the product.
                    unsafe { run::<$product, $rows>(job, out) }
                }
                // SAFETY: `of` chooses a way only where the CPU has its instructions.
                unsafe { compiled(job, out) }
            }};
        }
        /// The same by tiles: those of the CPU, or, in tests where it has none, tiles in memory.
        #[cfg(target_arch = "x86_64")]
        macro_rules! tiled {
            ($features:literal, $product:ident) => {{
                #[cfg(test)]
                if !amx::is_available() {
                    return compiled!($features, amx::$product<amx::tests::Software>, { amx::ROWS });
                }
                let run = || compiled!($features, amx::$product<amx::Hardware>, { amx::ROWS });
                // SAFETY: as above.
                unsafe { amx::with_tiles(run) }
            }};
        }
        // Sums, what meets in them and what is on the way must fit the registers: 32 of AVX-512 and NEON, 16 of the others. A row
        // more there, and compilers put sums into memory, which made AVX2 almost twice as slow.
        const PLAIN: usize = if cfg!(target_arch = "aarch64") { 8 } else { 3 };
        match self {
            // SAFETY: these need no special instructions.
            Self::PlainF32 => unsafe { run::<plain::F32, PLAIN>(job, out) },
            // SAFETY: as above.
            Self::PlainInt8 => unsafe { run::<plain::Int8, PLAIN>(job, out) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2F32 => compiled!("avx2,fma", x86::Avx2F32, 3),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Int8 => compiled!("avx2,fma", x86::Avx2Int8, 3),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => compiled!("avx2,fma,avxvnni", x86::AvxVnni, 3),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512F32 => compiled!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma", x86::Avx512F32, 8),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                compiled!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16", x86::Avx512Bf16, 8)
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                compiled!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512vnni", x86::Avx512Vnni, 8)
            }
            #[cfg(target_arch = "x86_64")]
            Self::AmxBf16 => tiled!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16", Bf16),
            #[cfg(target_arch = "x86_64")]
            Self::AmxInt8 => tiled!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512vnni", Int8),
        }
    }
}

/// What an element of an operand, 32 bits, holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    /// A number.
    F32,
    /// Two bf16, the first in the low half.
    Pair,
    /// Four bytes, those of rows from 0 to `most`, with a scale and a zero point for `group` elements.
    Bytes { most: f32, group: usize },
}

impl Element {
    /// Inputs in an element.
    fn inputs(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Pair => 2,
            Self::Bytes { .. } => 4,
        }
    }

    /// Elements in a group, of `elements`.
    fn group(self, elements: usize) -> usize {
        if let Self::Bytes { group, .. } = self { group.min(elements).max(1) } else { elements.max(1) }
    }
}

/// Where output `output` stands in panels of `outputs` outputs of `elements` elements: the first place, and the distance between
/// elements.
fn place(way: Way, outputs: usize, elements: usize, output: usize) -> (usize, usize) {
    let columns = VECTORS * way.lanes();
    let panel = output / columns;
    let width = columns.min((outputs - panel * columns).next_multiple_of(way.lanes()));
    (panel * columns * elements + output % columns, width)
}

/// A linear layer, repacked.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    kind: Kind,
    way: Way,
    inputs: usize,
    outputs: usize,
    panels: Vec<u32>,
    bias: Vec<f32>,
    /// int8: what a unit of a weight stands for, and the sums of an output's weights over each group, `[groups, outputs]`.
    scales: Vec<f32>,
    totals: Vec<f32>,
}

/// Rows of weights, one an output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rows<'a> {
    F32(&'a [f32]),
    /// Bytes, and what a unit of them stands for in every row.
    Int8(&'a [i8], &'a [f32]),
}

impl Weights {
    /// Repacks weights for the level of this process: the rows of all `matrices`, one after the other, are `[outputs, inputs]`, and
    /// `bias` is `[outputs]`.
    ///
    /// # Panics
    /// If the sizes do not fit each other, or there are more inputs than [`Kind::most_inputs`].
    pub(crate) fn new(kind: Kind, matrices: &[Rows], bias: &[f32]) -> Self {
        let way = Way::of(kind, level());
        let outputs = bias.len();
        let numbers: usize = matrices.iter().map(Rows::numbers).sum();
        let inputs = numbers.checked_div(outputs).unwrap_or(0);
        assert_eq!(numbers, inputs * outputs, "a bias of {outputs} for {numbers} weights");
        assert!(inputs <= kind.most_inputs(), "sums over {inputs} inputs do not fit");
        let padded = outputs.next_multiple_of(way.lanes());
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        let elements = way.elements(inputs);
        let group = way.element().group(elements);
        let (mut scales, mut totals) = (vec![0.0; padded], vec![0.0; padded * elements.div_ceil(group)]);
        let mut panels = vec![0u32; elements * padded];
        let (mut row, mut packed) = (Vec::new(), vec![0u32; elements]);
        let all = matrices
            .iter()
            .flat_map(|rows| (0..rows.numbers().checked_div(inputs).unwrap_or(0)).map(move |i| (rows, i)));
        for (output, (rows, i)) in all.enumerate() {
            match (way.element(), rows) {
                (Element::Bytes { .. }, Rows::Int8(values, units)) => {
                    pack_bytes(&values[i * inputs..][..inputs], &mut packed);
                    scales[output] = units[i];
                }
                (Element::Bytes { .. }, Rows::F32(values)) => {
                    scales[output] = quantize_weights(&values[i * inputs..][..inputs], &mut packed);
                }
                (element, rows) => {
                    rows.read(i, inputs, &mut row);
                    match element {
                        Element::Pair => round_pairs(&row, &mut packed),
                        _ if kind == Kind::Bf16 => round(&row, &mut packed),
                        _ => packed.copy_from_slice(bytemuck::cast_slice(&row)),
                    }
                }
            }
            if let Element::Bytes { .. } = way.element() {
                for (total, elements) in totals[output..].iter_mut().step_by(padded).zip(packed.chunks(group))
                {
                    let bytes: &[i8] = bytemuck::cast_slice(elements);
                    *total = bytes.iter().map(|&x| i32::from(x)).sum::<i32>() as f32;
                }
            }
            let (first, step) = place(way, outputs, elements, output);
            for (out, element) in panels[first..].iter_mut().step_by(step).zip(&packed) {
                *out = *element;
            }
        }
        Self { kind, way, inputs, outputs, panels, bias, scales, totals }
    }

    /// Outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out = finish(x weight^T + bias)` for `rows` rows of `x`, `[rows, inputs]`; `out` has rows of [`Weights::outputs`].
    ///
    /// # Panics
    /// If `x` or `out` is shorter than that.
    pub(crate) fn apply(
        &self,
        x: &[f32],
        rows: usize,
        finish: Finish,
        operand: &mut Operand,
        out: &mut [f32],
    ) {
        let Self { kind, way, inputs, outputs, .. } = *self;
        let x = &x[..rows * inputs];
        let elements = way.elements(inputs);
        let left = match way.element() {
            Element::F32 if kind == Kind::F32 => bytemuck::cast_slice(x),
            _ => {
                operand.fill(way, x, rows, inputs);
                &operand.elements
            }
        };
        let bytes = Bytes {
            scales: &self.scales,
            totals: &self.totals,
            row_scales: &operand.scales,
            row_zeros: &operand.zeros,
        };
        let job = Job {
            left,
            stride: elements,
            rows,
            elements,
            panels: &self.panels,
            outputs,
            bias: &self.bias,
            bytes,
            finish,
            out_stride: outputs,
        };
        way.run(&job, out);
    }
}

/// The right side of a product that is used once, in f32.
#[derive(Debug, Default)]
pub(crate) struct Once {
    panels: Vec<u32>,
    zeros: Vec<f32>,
    elements: usize,
    outputs: usize,
}

impl Once {
    /// Takes `given` rows of `elements` numbers, each `stride` after the other, and zeros up to `outputs`.
    pub(crate) fn rows(
        &mut self,
        data: &[f32],
        stride: usize,
        given: usize,
        outputs: usize,
        elements: usize,
    ) {
        let way = self.resize(outputs, elements);
        // Four rows at a time: vectors have as many lanes or more, so that they lie in one panel.
        for output in (0..given).step_by(4) {
            let (first, step) = place(way, outputs, elements, output);
            let panel = &mut self.panels[first..];
            if output + 4 <= given {
                let rows: [&[f32]; 4] = std::array::from_fn(|r| &data[(output + r) * stride..][..elements]);
                transpose(rows, panel, step);
            } else {
                for (r, output) in (output..given).enumerate() {
                    let row = &data[output * stride..][..elements];
                    panel[r..].iter_mut().step_by(step).zip(row).for_each(|(out, x)| *out = x.to_bits());
                }
            }
        }
    }

    /// Takes the first `outputs` columns of `elements` rows, each `stride` after the other.
    pub(crate) fn columns(&mut self, data: &[f32], stride: usize, outputs: usize, elements: usize) {
        let way = self.resize(outputs, elements);
        let columns = VECTORS * way.lanes();
        for output in (0..outputs).step_by(columns) {
            let (first, step) = place(way, outputs, elements, output);
            let width = columns.min(outputs - output);
            for (out, row) in
                self.panels[first..].chunks_exact_mut(step).zip(data.chunks(stride)).take(elements)
            {
                let row = bytemuck::cast_slice(&row[output..][..width]);
                out[..width].copy_from_slice(row);
            }
        }
    }

    fn resize(&mut self, outputs: usize, elements: usize) -> Way {
        let way = Way::of(Kind::F32, level());
        let padded = outputs.next_multiple_of(way.lanes());
        (self.outputs, self.elements) = (outputs, elements);
        self.panels.clear();
        self.panels.resize(padded * elements, 0);
        self.zeros.resize(padded, 0.0);
        way
    }

    /// `[rows, elements] x [outputs, elements]^T`; rows of `left` lie `stride` apart, those of `out` `out_stride`.
    ///
    /// # Panics
    /// If a slice is too short.
    pub(crate) fn product(
        &self,
        left: &[f32],
        stride: usize,
        rows: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let job = Job {
            left: bytemuck::cast_slice(left),
            stride,
            rows,
            elements: self.elements,
            panels: &self.panels,
            outputs: self.outputs,
            bias: &self.zeros,
            bytes: Bytes::default(),
            finish: Finish::Nothing,
            out_stride,
        };
        Way::of(Kind::F32, level()).run(&job, out);
    }
}

/// The numbers of four rows side by side, each four `step` after the last.
fn transpose(rows: [&[f32]; 4], out: &mut [u32], step: usize) {
    let elements = rows[0].len();
    let whole = elements / 4 * 4;
    for i in (0..whole).step_by(4) {
        let fours: [[f32; 4]; 4] =
            std::array::from_fn(|r| rows[r][i..i + 4].try_into().expect("four of them"));
        for j in 0..4 {
            let side: [u32; 4] = std::array::from_fn(|r| fours[r][j].to_bits());
            out[(i + j) * step..][..4].copy_from_slice(&side);
        }
    }
    for i in whole..elements {
        let side: [u32; 4] = std::array::from_fn(|r| rows[r][i].to_bits());
        out[i * step..][..4].copy_from_slice(&side);
    }
}

/// Activations as a product reads them; kept to be used again.
#[derive(Debug, Default)]
pub(crate) struct Operand {
    /// Row by row.
    elements: Vec<u32>,
    /// int8: what a unit stands for in each group of each row, and which byte is zero; `[rows, groups]`.
    scales: Vec<f32>,
    zeros: Vec<f32>,
}

impl Operand {
    fn fill(&mut self, way: Way, x: &[f32], rows: usize, inputs: usize) {
        let (element, elements) = (way.element(), way.elements(inputs));
        let group = element.group(elements);
        let groups = elements.div_ceil(group);
        self.elements.resize(rows.next_multiple_of(way.step()) * elements, 0);
        self.scales.resize(rows * groups, 0.0);
        self.zeros.resize(rows * groups, 0.0);
        if inputs == 0 {
            return;
        }
        let values = group * element.inputs();
        for (row, (x, out)) in
            x.chunks_exact(inputs).zip(self.elements.chunks_exact_mut(elements)).enumerate()
        {
            match element {
                Element::F32 => round(x, out),
                Element::Pair => round_pairs(x, out),
                Element::Bytes { most, .. } => {
                    for (i, (x, out)) in x.chunks(values).zip(out.chunks_mut(group)).enumerate() {
                        let at = row * groups + i;
                        (self.scales[at], self.zeros[at]) = quantize_group(x, most, out);
                    }
                }
            }
        }
    }
}

for_every_level! {
    fn round(x: &[f32], out: &mut [u32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = bf16::pair(0.0, x);
        }
    }

    fn round_pairs(x: &[f32], out: &mut [u32]) {
        let (pairs, rest) = x.as_chunks::<2>();
        for (out, &[a, b]) in out.iter_mut().zip(pairs) {
            *out = bf16::pair(a, b);
        }
        let (_, behind) = out.split_at_mut(pairs.len());
        behind.fill(0);
        if let (Some(out), [last]) = (behind.first_mut(), rest) {
            *out = bf16::pair(*last, 0.0);
        }
    }
}

impl Rows<'_> {
    fn numbers(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Int8(values, _) => values.len(),
        }
    }

    /// Row `i`, of `inputs` numbers.
    fn read(&self, i: usize, inputs: usize, out: &mut Vec<f32>) {
        out.clear();
        match self {
            Self::F32(values) => out.extend_from_slice(&values[i * inputs..][..inputs]),
            Self::Int8(values, scales) => {
                out.extend(values[i * inputs..][..inputs].iter().map(|&x| f32::from(x) * scales[i]));
            }
        }
    }
}

/// The elements as bytes in the order of memory, four each: `count`, and zeros behind them, which add nothing to a product.
fn bytes_of(elements: &mut [u32], count: usize) -> &mut [u8] {
    let (bytes, rest) = bytemuck::cast_slice_mut(elements).split_at_mut(count);
    rest.fill(0);
    bytes
}

/// Puts bytes together, four an element.
fn pack_bytes(row: &[i8], out: &mut [u32]) {
    bytes_of(out, row.len()).copy_from_slice(bytemuck::cast_slice(row));
}

/// Puts the weights of an output into bytes, four an element; returns their scale. A weight that is no finite number makes the scale
/// NaN, as it would make every result.
fn quantize_weights(row: &[f32], out: &mut [u32]) -> f32 {
    let largest = row.iter().fold(0f32, |most, x| most.max(x.abs()));
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    let mut bytes = vec![0i8; row.len()];
    to_bytes(row, 1.0 / scale, &mut bytes);
    pack_bytes(&bytes, out);
    if row.iter().all(|x| x.is_finite()) { scale } else { f32::NAN }
}

for_every_level! {
    /// The whole numbers nearest to `unit` times the numbers, which are from -127 to 127.
    fn to_bytes(row: &[f32], unit: f32, out: &mut [i8]) {
        for (out, x) in out.iter_mut().zip(row) {
            *out = ((x * unit).clamp(-127.0, 127.0) + ROUND).to_bits() as i8;
        }
    }
}

/// Added to a small number it leaves the nearest whole number in the low bits: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.0;

for_every_level! {
    /// Puts a group of a row into bytes up to `most`, from its smallest value (or 0) to its largest (or 0); returns its scale and the
    /// byte of 0. A value that is no finite number makes the scale NaN, and so all that is computed from the row.
    fn quantize_group(x: &[f32], most: f32, out: &mut [u32]) -> (f32, f32) {
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
        let scale = if high > low { (high - low) / most } else { 1.0 };
        let unit = 1.0 / scale;
        let zero = (-low * unit).round_ties_even();
        for (byte, &x) in bytes_of(out, x.len()).iter_mut().zip(x) {
            *byte = ((x * unit + zero).clamp(0.0, most) + ROUND).to_bits() as u8;
        }
        // Zero, unless something was infinite or no number.
        (scale + broken, zero)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cpu::tests::at_every_level;
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        (0..n as u64)
            .map(|i| (super::super::dropout::mix64(seed * 7919 + i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
            .collect()
    }

    /// Of numbers up to 1: f32 rounds little; bf16 has 8 bits, and int8 steps of 1/127 and 1/128, or 1/64 with AVX2 alone.
    const TOLERANCES: [(Kind, f64); 3] = [(Kind::F32, 1e-6), (Kind::Bf16, 4e-3), (Kind::Int8, 1.2e-2)];
    const KINDS: [Kind; 3] = [Kind::F32, Kind::Bf16, Kind::Int8];

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

    fn product(kind: Kind, x: &[f32], weight: &[f32], bias: &[f32], rows: usize, finish: Finish) -> Vec<f32> {
        let mut out = vec![f32::NAN; rows * bias.len()];
        let weights = Weights::new(kind, &[Rows::F32(weight)], bias);
        weights.apply(x, rows, finish, &mut Operand::default(), &mut out);
        out
    }

    /// Checks every kind at every level against the plain loop in f64.
    fn check((rows, outputs, inputs): (usize, usize, usize), seed: u64) {
        let (x, weight) = (numbers(rows * inputs, seed), numbers(outputs * inputs, seed + 1));
        let bias = numbers(outputs, seed + 2);
        let plain = plain(&x, &weight, &bias, rows);
        at_every_level(|level| {
            for (kind, per_input) in TOLERANCES {
                let tolerance = per_input * (inputs as f64).sqrt() * 2.0 + per_input;
                let out = product(kind, &x, &weight, &bias, rows, Finish::Nothing);
                for (ours, plain) in out.iter().zip(&plain) {
                    let off = (f64::from(*ours) - plain).abs();
                    assert!(off <= tolerance, "{level:?} {kind:?} {rows}x{outputs}x{inputs}: off by {off}");
                }
            }
        });
    }

    #[test]
    fn products_are_those_of_the_plain_loop_at_every_size() {
        for size in [(0, 3, 2), (1, 1, 1), (3, 5, 7), (4, 24, 4), (5, 25, 9), (8, 48, 4), (9, 49, 33)] {
            check(size, 1);
        }
        check((17, 97, 130), 2);
        check((1, 384, 384), 3);
    }

    proptest::proptest! {
        #[test]
        fn products_of_any_size_are_near_those_of_f64(
            rows in 0usize..20,
            outputs in 1usize..110,
            inputs in 1usize..140,
            seed in 0u64..1000,
        ) {
            check((rows, outputs, inputs), seed);
        }

        #[test]
        fn products_of_what_is_used_once_are_near_those_of_f64(
            rows in 1usize..20,
            outputs in 1usize..70,
            inputs in 1usize..70,
            seed in 0u64..1000,
        ) {
            // Everything lies in something wider.
            let (stride, out_stride) = (inputs.max(outputs) + 3, outputs + 2);
            let left = numbers(rows * stride, seed);
            let (as_rows, as_columns) = (numbers(outputs * stride, seed + 1), numbers(inputs * stride, seed + 2));
            at_every_level(|level| {
                let mut right = Once::default();
                for transposed in [false, true] {
                    if transposed {
                        right.rows(&as_rows, stride, outputs, outputs, inputs);
                    } else {
                        right.columns(&as_columns, stride, outputs, inputs);
                    }
                    let mut out = vec![7.0; rows * out_stride];
                    right.product(&left, stride, rows, &mut out, out_stride);
                    for row in 0..rows {
                        for output in 0..outputs {
                            let plain: f64 = (0..inputs)
                                .map(|i| {
                                    let right = if transposed {
                                        as_rows[output * stride + i]
                                    } else {
                                        as_columns[i * stride + output]
                                    };
                                    f64::from(left[row * stride + i]) * f64::from(right)
                                })
                                .sum();
                            let off = (f64::from(out[row * out_stride + output]) - plain).abs();
                            assert!(off < 1e-5, "{level:?}: off by {off}");
                        }
                        assert_eq!(out[row * out_stride + outputs..][..2], [7.0, 7.0], "{level:?}");
                    }
                }
            });
        }
    }

    #[test]
    fn what_is_done_at_the_end_is_done_to_the_product() {
        let (rows, outputs, inputs) = (9, 53, 20);
        let (x, weight) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
        let (bias, others) = (numbers(outputs, 3), numbers(rows * outputs, 4));
        at_every_level(|level| {
            for kind in KINDS {
                let product = |finish| product(kind, &x, &weight, &bias, rows, finish);
                let plain = product(Finish::Nothing);
                let near = |finish, expected: &dyn Fn(usize, f32) -> f32| {
                    for (i, (out, plain)) in product(finish).into_iter().zip(&plain).enumerate() {
                        let off = (out - expected(i, *plain)).abs();
                        assert!(off < 2e-6, "{level:?} {kind:?} {finish:?}: off by {off}");
                    }
                };
                near(Finish::Gelu, &|_, x| super::super::gelu::erf_form(x));
                near(Finish::GeluTanh, &|_, x| super::super::gelu::tanh_form(x));
                near(Finish::Relu, &|_, x| x.max(0.0));
                near(Finish::Add(&others), &|i, x| x + others[i]);
            }
        });
    }

    #[test]
    fn whole_numbers_are_exact_in_bytes() {
        let (rows, outputs, inputs) = (5, 50, 37);
        let mut weight: Vec<f32> = (0..outputs * inputs).map(|i| (i * 17 % 255) as f32 - 127.0).collect();
        for row in weight.chunks_mut(inputs) {
            row[0] = 127.0;
        }
        let bias = vec![0.5; outputs];
        at_every_level(|level| {
            let Element::Bytes { most, .. } = Way::of(Kind::Int8, level).element() else {
                panic!("{level:?} multiplies no bytes")
            };
            // Rows whose unit is one, and weights too.
            let mut x: Vec<f32> =
                (0..rows * inputs).map(|i| (i * 31 % (most as usize + 1)) as f32 - 50.0).collect();
            for row in x.chunks_mut(inputs) {
                (row[0], row[1]) = (-50.0, most - 50.0);
            }
            let out = product(Kind::Int8, &x, &weight, &bias, rows, Finish::Nothing);
            for (ours, plain) in out.iter().zip(plain(&x, &weight, &bias, rows)) {
                assert!((f64::from(*ours) - plain).abs() < 0.1, "{level:?}: {ours}, expected {plain}");
            }
        });
    }

    #[test]
    fn matrices_in_bytes_are_what_they_stand_for_one_after_the_other() {
        let (rows, inputs) = (5, 37);
        let bytes: Vec<i8> = (0..30 * inputs).map(|i| (i * 17 % 255) as u8 as i8).collect();
        let units: Vec<f32> = (0..30).map(|i| (i + 1) as f32 / 512.0).collect();
        let plain: Vec<f32> = bytes
            .chunks(inputs)
            .zip(&units)
            .flat_map(|(row, unit)| row.iter().map(move |&x| f32::from(x) * unit))
            .collect();
        let (others, bias) = (numbers(21 * inputs, 4), numbers(51, 5));
        let x = numbers(rows * inputs, 6);
        at_every_level(|level| {
            for kind in KINDS {
                let weights = Weights::new(kind, &[Rows::Int8(&bytes, &units), Rows::F32(&others)], &bias);
                let mut out = vec![f32::NAN; rows * 51];
                weights.apply(&x, rows, Finish::Nothing, &mut Operand::default(), &mut out);
                let expected =
                    product(kind, &x, &[&plain[..], &others].concat(), &bias, rows, Finish::Nothing);
                for (ours, expected) in out.iter().zip(&expected) {
                    // Bytes are not rounded a second time.
                    let tolerance = if kind == Kind::Int8 { 0.05 } else { 0.0 };
                    assert!(
                        (ours - expected).abs() <= tolerance,
                        "{level:?} {kind:?}: {ours}, expected {expected}"
                    );
                }
            }
        });
    }

    #[test]
    fn what_is_no_number_stays_none_in_every_kind() {
        at_every_level(|level| {
            for kind in KINDS {
                for broken in [f32::NAN, f32::INFINITY] {
                    for at in [0, 17, 33] {
                        let (mut x, mut weight) = (numbers(2 * 34, 1), numbers(3 * 34, 2));
                        let apply = |x: &[f32], weight: &[f32]| {
                            product(kind, x, weight, &[0.0; 3], 2, Finish::Nothing)
                        };
                        x[at] = broken;
                        let out = apply(&x, &weight);
                        let told = format!("{level:?} {kind:?}: {broken} at {at}: {out:?}");
                        assert!(out[..3].iter().all(|x| !x.is_finite()), "{told}");
                        assert!(out[3..].iter().all(|x| x.is_finite()), "{told}");
                        weight[34 + at] = broken;
                        let out = apply(&numbers(2 * 34, 1), &weight);
                        let told = format!("{level:?} {kind:?}: {broken} at {at}: {out:?}");
                        assert!(!out[1].is_finite() && !out[4].is_finite(), "{told}");
                        assert!(out[0].is_finite() && out[5].is_finite(), "{told}");
                    }
                }
            }
        });
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company() {
        let (rows, outputs, inputs) = (21, 96, 64);
        let x = numbers(rows * inputs, 5);
        at_every_level(|level| {
            for kind in KINDS {
                let weights =
                    Weights::new(kind, &[Rows::F32(&numbers(outputs * inputs, 6))], &numbers(outputs, 7));
                let mut operand = Operand::default();
                let mut apply = |x: &[f32], rows: usize| {
                    let mut out = vec![0.0; rows * outputs];
                    weights.apply(x, rows, Finish::Gelu, &mut operand, &mut out);
                    out
                };
                let all = apply(&x, rows);
                for row in 0..rows {
                    let alone = apply(&x[row * inputs..], 1);
                    assert_eq!(alone, all[row * outputs..][..outputs], "{level:?} {kind:?}, row {row}");
                }
            }
        });
    }
}
