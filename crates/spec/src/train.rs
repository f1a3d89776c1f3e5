//! How a model is trained and evaluated, apart from its length.

use serde::{Deserialize, Serialize};

use crate::optimiser::Optimiser;
use crate::schedule::Schedule;

/// Everything about the optimisation that does not depend on how long it lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Examples per optimiser step.
    pub batch: u32,
    /// Examples per forward and backward pass; the gradients of a step's passes are added up. None:
    /// the whole batch at once. The numbers are the same but for rounding.
    pub micro_batch: Option<u32>,
    /// Keep only what enters each block, and compute the rest again in the backward pass.
    pub checkpoint_activations: bool,
    pub objective: Objective,
    /// p of the Beta(p, p) that weighs each batch against itself, rolled by one (1710.09412); 0 is off.
    pub mixup: f64,
    pub optimiser: Optimiser,
    /// Peak learning rate; the schedule multiplies it.
    pub learning_rate: f64,
    pub weight_decay: WeightDecay,
    /// Largest global gradient norm; larger gradients are scaled down to it. None: no clipping.
    pub clip: Option<f64>,
    /// Decay of the moving average of the parameters that is evaluated in their place. None: off.
    pub polyak: Option<f64>,
    pub schedule: Schedule,
    pub augmentation: Augmentation,
    pub precision: Precision,
}

/// What training minimises. Losses are in nats, means over examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Objective {
    /// Cross-entropy of one class among all.
    Softmax {
        /// Share of the target that is spread evenly over all classes.
        #[serde(default)]
        label_smoothing: f64,
    },
    /// Binary cross-entropy of every class, summed over classes, as for JFT and ImageNet-21k
    /// (2010.11929, section 4.1 and appendix B.1).
    Sigmoid {
        /// The classifier's biases at initialisation: log-odds of a rare class.
        #[serde(default = "rare")]
        head_bias: f64,
        #[serde(default)]
        label_smoothing: f64,
    },
    /// The mean colour of corrupted patches, 3 bits a channel, by cross-entropy over 512 colours
    /// (2010.11929, section 4.6 and appendix B.1.2).
    MaskedPatch {
        /// Share of the patches that are corrupted.
        #[serde(default = "half")]
        share: f64,
    },
}

impl Default for Objective {
    fn default() -> Self {
        Self::Softmax { label_smoothing: 0.0 }
    }
}

impl Objective {
    /// Colours of the masked-patch objective: 8 levels of each of 3 channels.
    pub const COLOURS: u32 = Self::LEVELS.pow(3);
    /// Levels of a channel.
    pub const LEVELS: u32 = 8;

    /// What validation measures: the same without label smoothing.
    #[must_use]
    pub const fn plain(self) -> Self {
        match self {
            Self::Softmax { .. } => Self::Softmax { label_smoothing: 0.0 },
            Self::Sigmoid { head_bias, .. } => Self::Sigmoid { head_bias, label_smoothing: 0.0 },
            Self::MaskedPatch { share } => Self::MaskedPatch { share },
        }
    }
}

const fn rare() -> f64 {
    -10.0
}

const fn half() -> f64 {
    0.5
}

/// Decoupled decay of matrices; biases, norms, positions and tokens are never decayed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightDecay {
    /// Every matrix but the classifier's.
    pub body: f64,
    /// The classifier's matrix.
    pub head: f64,
    #[serde(default)]
    pub convention: Convention,
}

impl WeightDecay {
    pub const NONE: Self = Self { body: 0.0, head: 0.0, convention: Convention::Rate };
}

/// What a decay is multiplied by at each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// The learning rate: `p -= lr(t) decay p`, PyTorch's.
    #[default]
    Rate,
    /// The schedule alone: `p -= schedule(t) decay p`, big_vision's, whatever the peak rate.
    Independent,
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

/// What the forward and backward pass compute in.
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
    /// Also measure attention logits and entropies of every block, on the first batch of examples
    /// (2302.05442, section 2 and appendix B).
    #[serde(default)]
    pub attention: bool,
}
