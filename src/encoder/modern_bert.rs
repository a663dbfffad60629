//! ModernBERT (Warner et al. 2024, arXiv 2412.13663), pre-norm, as in HF `modeling_modernbert.py`: rotary positions (Su et
//! al. 2021, arXiv 2104.09864), gated feed-forward blocks, and attention that in most layers sees a window only.

use super::config::ModernBert;
use super::layers::{attention, dropout, gelu};
use super::modules::{Linear, Norm};
use super::{EncoderConfig, Pass};
use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

/// The layers above the embeddings.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    settings: ModernBert,
    layers: Vec<Layer>,
    norm: Norm,
}

#[derive(Debug, Clone)]
struct Layer {
    /// The first layer has none: the embeddings are normed.
    attention_norm: Option<Norm>,
    /// Queries, keys and values side by side.
    projections: Linear,
    attention_output: Linear,
    norm: Norm,
    /// Input and gate side by side.
    intermediate: Linear,
    output: Linear,
}

/// Added to the scores of tokens outside the window. Not infinite: a row of padding may see nothing else.
const OUTSIDE: f32 = -1e30;

impl Layers {
    pub(super) fn load(vb: &VarBuilder, config: &EncoderConfig, settings: &ModernBert) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |vb: VarBuilder| Norm::load_with(vb, width, config.norm_bias);
        let linear = |vb: VarBuilder, inputs, outputs, bias| Linear::load_with(vb, inputs, outputs, bias);
        let layer = |i: usize| -> Result<Layer> {
            let vb = vb.pp("encoder.layer").pp(i);
            Ok(Layer {
                attention_norm: if i > 0 { Some(norm(vb.pp("attn_norm"))?) } else { None },
                projections: linear(vb.pp("attn.Wqkv"), width, 3 * width, settings.attention_bias)?,
                attention_output: linear(vb.pp("attn.Wo"), width, width, settings.attention_bias)?,
                norm: norm(vb.pp("mlp_norm"))?,
                intermediate: linear(vb.pp("mlp.Wi"), width, 2 * inner, settings.mlp_bias)?,
                output: linear(vb.pp("mlp.Wo"), inner, width, settings.mlp_bias)?,
            })
        };
        Ok(Self {
            settings: settings.clone(),
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: norm(vb.pp("encoder.final_norm"))?,
        })
    }

    /// `[batch, tokens, width]` in and out.
    pub(super) fn forward(
        &self,
        embedded: Tensor,
        lengths: &[usize],
        config: &EncoderConfig,
        pass: &Pass,
    ) -> Result<Tensor> {
        let (tokens, heads) = (embedded.dim(1)?, config.num_attention_heads);
        let size = config.hidden_size / heads;
        let device = embedded.device();
        let everywhere = Rotation::new(tokens, size, self.settings.global_theta, device)?;
        let nearby = Rotation::new(tokens, size, self.settings.local_theta, device)?;
        let window = window(tokens, self.settings.window, device)?;
        let mut states = embedded;
        for (layer, &is_global) in self.layers.iter().zip(&self.settings.is_global) {
            let (rotation, bias) = if is_global { (&everywhere, None) } else { (&nearby, window.as_ref()) };
            let normed = match &layer.attention_norm {
                Some(norm) => norm.forward(&states, config)?,
                None => states.clone(),
            };
            let all = layer.projections.forward(&normed, pass)?;
            let part = |i| all.narrow(2, i * config.hidden_size, config.hidden_size)?.contiguous();
            let (q, k) = (rotation.apply(&part(0)?, heads)?, rotation.apply(&part(1)?, heads)?);
            let p = config.attention_probs_dropout_prob;
            let mixed = attention([&q, &k, &part(2)?], lengths, heads, bias, p, &pass.randomness)?;
            let attended = dropout(&layer.attention_output.forward(&mixed, pass)?, p, &pass.randomness)?;
            states = (states + attended)?;
            let inner = layer.intermediate.forward(&layer.norm.forward(&states, config)?, pass)?;
            let half = config.intermediate_size;
            let (input, gate) = (inner.narrow(2, 0, half)?.contiguous()?, inner.narrow(2, half, half)?);
            let inner = dropout(&(gelu(&input)? * gate)?, config.hidden_dropout_prob, &pass.randomness)?;
            states = (states + layer.output.forward(&inner, pass)?)?;
        }
        self.norm.forward(&states, config)
    }
}

/// Angles of rotary positions.
struct Rotation {
    /// `[1, tokens, 1, size / 2]`
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    fn new(tokens: usize, size: usize, theta: f32, device: &Device) -> Result<Self> {
        let half = size / 2;
        let angles: Vec<f32> = (0..tokens)
            .flat_map(|place| {
                (0..half).map(move |i| place as f32 * (1.0 / theta.powf((2 * i) as f32 / size as f32)))
            })
            .collect();
        let table = |f: fn(f32) -> f32| {
            Tensor::from_vec(angles.iter().map(|&x| f(x)).collect(), (1, tokens, 1, half), device)
        };
        Ok(Self { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }

    /// Turns every head of `[batch, tokens, width]` by its place.
    fn apply(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        let half = width / heads / 2;
        let x = x.reshape((batch, tokens, heads, 2 * half))?;
        let (first, second) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
        let (cos, sin) = (self.cos.to_dtype(x.dtype())?, self.sin.to_dtype(x.dtype())?);
        let turned_first = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
        let turned_second = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
        Tensor::cat(&[turned_first, turned_second], 3)?.reshape((batch, tokens, width))
    }
}

/// `[1, 1, tokens, tokens]`, 0 up to `window` tokens apart; `None` where all are.
fn window(tokens: usize, window: usize, device: &Device) -> Result<Option<Tensor>> {
    if tokens <= window + 1 {
        return Ok(None);
    }
    let bias: Vec<f32> = (0..tokens)
        .flat_map(|i| (0..tokens).map(move |j| if i.abs_diff(j) <= window { 0.0 } else { OUTSIDE }))
        .collect();
    Tensor::from_vec(bias, (1, 1, tokens, tokens), device).map(Some)
}
