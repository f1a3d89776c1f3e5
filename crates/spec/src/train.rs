//! How a model is trained and evaluated, apart from its length.

use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// Everything about the optimisation that does not depend on how long it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Examples per optimiser step.
    pub batch: u32,
    pub optimiser: Optimiser,
    /// Peak learning rate; the schedule multiplies it.
    pub learning_rate: f64,
    pub weight_decay: WeightDecay,
    /// Largest global gradient norm; larger gradients are scaled down to it. None: no clipping.
    pub clip: Option<f64>,
    pub schedule: Schedule,
    pub augmentation: Augmentation,
    pub precision: Precision,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimiser {
    Adamw(AdamW),
}

/// Loshchilov & Hutter (1711.05101), with decay multiplied by the learning rate, as in PyTorch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    pub beta1: f64,
    /// 0.95 rather than 0.999 by default: a short trial does not have thousands of steps to average over.
    pub beta2: f64,
    pub eps: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8 }
    }
}

/// Decoupled decay of matrices; biases, norms, positions and the class token are never decayed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightDecay {
    /// Every matrix but the classifier's.
    pub body: f64,
    /// The classifier's matrix.
    pub head: f64,
}

/// Light augmentation of training examples, keyed by example and epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Mirror half of the examples; refused where the source's labels do not survive it.
    #[serde(default)]
    pub flip: bool,
    /// Pad by this many pixels on each side and crop back at a random place; 0 is off.
    #[serde(default)]
    pub crop_padding: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    #[default]
    F32,
    /// Autocast to bfloat16 in the forward pass; parameters and optimiser state stay f32.
    Bf16,
}

/// When and on how much a segment is evaluated. Every segment is evaluated at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalSpec {
    /// Validation examples; the first ones of the validation stream, the same for every trial.
    pub examples: u64,
    /// Also evaluate at every multiple of this many steps. None: only at the end.
    pub every: Option<u64>,
}
