use super::TrainingError;
use crate::encoder::layers::Precision;
use serde::{Deserialize, Serialize};

/// Everything that decides what training computes, apart from the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Drives shuffling, dropout and new weights.
    pub seed: u64,
    /// What the operands of the encoder's matrix products are rounded to: `f32` (not at all), or `bf16`, which is faster where the
    /// CPU has instructions for it (elsewhere it trains in f32). Weights, sums and gradients are kept in f32 either way.
    pub precision: Precision,
    /// Passes over the data.
    pub epochs: usize,
    /// Sentences per optimiser step.
    pub batch_size: usize,
    /// Parts that a batch is cut into, each on a thread of its own. Weights are identical only for one number of shards.
    pub shards: usize,
    /// Longest sequence in tokens, special ones included; longer sentences are cut, and counted.
    pub max_tokens: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Factor on the rate of heads and casing embedding, which as a rule are new.
    pub new_tensor_rate: f64,
    /// Factor on the rate from each layer to the one below (1: none).
    pub layer_decay: f64,
    /// Decoupled weight decay on matrices; biases and norms have none.
    pub weight_decay: f64,
    /// Decay of AdamW's first moment.
    pub beta1: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// AdamW's epsilon.
    pub epsilon: f64,
    /// Share of the steps over which the rate rises from 0; it then falls to 0 in a straight line.
    pub warmup: f64,
    /// Largest norm of the gradient of all parameters together.
    pub clip_norm: f64,
    /// Share of the pieces replaced by `[MASK]` in training.
    pub token_dropout: f64,
    /// Weight of the sentence loss.
    pub sentence_weight: f64,
    /// Weight of the token loss.
    pub token_weight: f64,
    /// Weight of a label's positive examples: `(negatives / positives) ^ power`; 0 leaves them as they are.
    pub positive_weight_power: f64,
    /// Share of the sentence targets moved towards 1/2 (sigmoid) or towards the uniform distribution (softmax), as that of the
    /// tag targets is.
    pub label_smoothing: f64,
    /// Weight of the R-Drop term (Liang et al. 2021, arXiv 2106.14448) on the sentence head; 0 leaves it out, else every
    /// batch goes through the network twice.
    pub r_drop: f64,
    /// Share of the run, at its end, over which weights are averaged; 0 takes the last ones.
    pub average_last: f64,
    /// Steps between two weights that go into the average.
    pub average_every: usize,
    /// Epochs without a better development score after which training stops; 0 never stops early.
    pub patience: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            precision: Precision::F32,
            epochs: 4,
            batch_size: 32,
            shards: 2,
            max_tokens: 128,
            learning_rate: 1e-4,
            new_tensor_rate: 1.0,
            layer_decay: 1.0,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            warmup: 0.06,
            clip_norm: 1.0,
            token_dropout: 0.0,
            sentence_weight: 1.0,
            token_weight: 1.0,
            positive_weight_power: 0.0,
            label_smoothing: 0.0,
            r_drop: 0.0,
            average_last: 0.0,
            average_every: 20,
            patience: 0,
        }
    }
}

impl TrainingConfig {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// With the first that is outside.
    pub fn validate(&self) -> Result<(), TrainingError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let from_zero = |x: f64| x.is_finite() && x >= 0.0;
        let share = |x: f64| (0.0..1.0).contains(&x);
        let trained = self.precision != Precision::Int8;
        let checks: [(&'static str, bool, String, &'static str); 22] = [
            ("precision", trained, format!("{:?}", self.precision).to_lowercase(), "f32 or bf16"),
            ("epochs", self.epochs > 0, self.epochs.to_string(), "at least 1"),
            ("batch_size", self.batch_size > 0, self.batch_size.to_string(), "at least 1"),
            ("shards", (1..=64).contains(&self.shards), self.shards.to_string(), "from 1 to 64"),
            ("max_tokens", self.max_tokens > 2, self.max_tokens.to_string(), "at least 3"),
            ("learning_rate", positive(self.learning_rate), self.learning_rate.to_string(), "above 0"),
            ("new_tensor_rate", positive(self.new_tensor_rate), self.new_tensor_rate.to_string(), "above 0"),
            (
                "layer_decay",
                positive(self.layer_decay) && self.layer_decay <= 1.0,
                self.layer_decay.to_string(),
                "above 0 and at most 1",
            ),
            ("weight_decay", from_zero(self.weight_decay), self.weight_decay.to_string(), "0 or more"),
            ("beta1", share(self.beta1), self.beta1.to_string(), "from 0 to below 1"),
            ("beta2", share(self.beta2), self.beta2.to_string(), "from 0 to below 1"),
            ("epsilon", positive(self.epsilon), self.epsilon.to_string(), "above 0"),
            ("warmup", share(self.warmup), self.warmup.to_string(), "from 0 to below 1"),
            ("clip_norm", positive(self.clip_norm), self.clip_norm.to_string(), "above 0"),
            ("token_dropout", share(self.token_dropout), self.token_dropout.to_string(), "from 0 to below 1"),
            (
                "sentence_weight",
                from_zero(self.sentence_weight),
                self.sentence_weight.to_string(),
                "0 or more",
            ),
            ("token_weight", from_zero(self.token_weight), self.token_weight.to_string(), "0 or more"),
            (
                "positive_weight_power",
                from_zero(self.positive_weight_power),
                self.positive_weight_power.to_string(),
                "0 or more",
            ),
            (
                "label_smoothing",
                share(self.label_smoothing),
                self.label_smoothing.to_string(),
                "from 0 to below 1",
            ),
            ("r_drop", from_zero(self.r_drop), self.r_drop.to_string(), "0 or more"),
            (
                "average_last",
                (0.0..=1.0).contains(&self.average_last),
                self.average_last.to_string(),
                "from 0 to 1",
            ),
            ("average_every", self.average_every > 0, self.average_every.to_string(), "at least 1"),
        ];
        match checks.into_iter().find(|(_, holds, _, _)| !holds) {
            Some((field, _, value, expected)) => Err(TrainingError::Setting { field, value, expected }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_bad_setting_is_named() {
        TrainingConfig::default().validate().unwrap();
        let config = TrainingConfig { layer_decay: 1.5, ..TrainingConfig::default() };
        assert!(config.validate().unwrap_err().to_string().contains("`layer_decay` is 1.5"));
        let config = TrainingConfig { learning_rate: f64::NAN, ..TrainingConfig::default() };
        assert!(config.validate().is_err());
    }
}
