//! What a model is, and what it costs in closed form: one file per family.
//!
//! Counting follows Dosovitskiy et al. (2010.11929) and PyTorch's flop counter: convolutions and
//! matrix products only, a multiply-add is two; biases, norms, softmax and GELU are not counted.

mod bit;
mod hybrid;
mod mixer;
mod resnet;
mod vit;

use serde::{Deserialize, Serialize};

pub use bit::{BitShape, BitSpec};
pub use hybrid::HybridSpec;
pub use mixer::{MixerShape, MixerSpec};
pub use resnet::{Stages, StagesError, Unit};
pub use vit::{Block, Mup, Norm, Pool, Positions, VitSpec};

use crate::shape::{MAX_SIDE, ShapeError, in_range};
use crate::train::Objective;

/// A model of a family, for images of one size and a number of classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSpec {
    Vit(VitSpec),
    Hybrid(HybridSpec),
    Bit(BitSpec),
    Mixer(MixerSpec),
}

/// The Gaussian error linear unit, `x Phi(x)`, or its approximation by tanh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gelu {
    /// As in PyTorch and timm.
    #[default]
    Exact,
    /// As in flax, and so in the papers of big_vision.
    Tanh,
}

/// Numbers that make no model.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("`{0}` must be from 1 to {MAX_SIDE}")]
    Range(&'static str),
    #[error("a model this large cannot be counted in 64 bits; check its shape")]
    TooLarge,
    #[error("patch = {patch} does not divide {of} = {side}")]
    PatchDoesNotDivide { patch: u32, of: &'static str, side: u32 },
    #[error("positions = \"sincos2d\" needs a width that is a multiple of 4, at least 8, not {0}")]
    SincosWidth(u32),
    #[error("`{0}` is a probability in [0, 1)")]
    Probability(&'static str),
    #[error("fc_norm norms what pool = \"gap\" averaged; this model pools otherwise")]
    FcNormWithoutGap,
    #[error("a Mixer's token MLPs are made for images of {resolution} pixels and read no others")]
    FixedResolution { resolution: u32 },
    #[error("objective \"masked-patch\" predicts the patches of a vit, not of a {0}")]
    MaskedFamily(&'static str),
    #[error("objective \"masked-patch\" predicts every patch: use pool = \"none\"")]
    MaskedPool,
    /// Of a ResNet that is the model.
    #[error(transparent)]
    Stages(StagesError),
    /// Of a ResNet below a transformer.
    #[error(transparent)]
    Stem(StagesError),
}

impl ModelSpec {
    /// Its name in sweep files.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Vit(_) => "vit",
            Self::Hybrid(_) => "hybrid",
            Self::Bit(_) => "bit",
            Self::Mixer(_) => "mixer",
        }
    }

    /// What tables, figures and `learning_rate` tables call the shape.
    pub fn shape_name(&self) -> &str {
        match self {
            Self::Vit(vit) => &vit.shape.name,
            Self::Hybrid(hybrid) => &hybrid.vit.shape.name,
            Self::Bit(bit) => &bit.shape.name,
            Self::Mixer(mixer) => &mixer.shape.name,
        }
    }

    /// Side of the images, pixels.
    pub const fn resolution(&self) -> u32 {
        match self {
            Self::Vit(vit) => vit.resolution,
            Self::Hybrid(hybrid) => hybrid.vit.resolution,
            Self::Bit(bit) => bit.resolution,
            Self::Mixer(mixer) => mixer.resolution,
        }
    }

    /// Outputs of the classifier; 0 is no classifier, and features are the output.
    pub const fn classes(&self) -> u32 {
        match self {
            Self::Vit(vit) => vit.classes,
            Self::Hybrid(hybrid) => hybrid.vit.classes,
            Self::Bit(bit) => bit.classes,
            Self::Mixer(mixer) => mixer.classes,
        }
    }

    /// The same model with a classifier for `classes`, for images of another size.
    #[must_use]
    pub fn adapted(&self, resolution: u32, classes: u32) -> Self {
        let mut model = self.clone();
        let (side, outputs) = match &mut model {
            Self::Vit(vit) => (&mut vit.resolution, &mut vit.classes),
            Self::Hybrid(hybrid) => (&mut hybrid.vit.resolution, &mut hybrid.vit.classes),
            Self::Bit(bit) => (&mut bit.resolution, &mut bit.classes),
            Self::Mixer(mixer) => (&mut mixer.resolution, &mut mixer.classes),
        };
        (*side, *outputs) = (resolution, classes);
        model
    }

    /// The model that the masked-patch objective trains (2010.11929, appendix B.1.2): logits of every
    /// patch for each colour, and a mask token. Its pool is left out, or `none`.
    ///
    /// # Errors
    /// Another family, another pool, or settings of pooling.
    pub fn for_masked_patches(self) -> Result<Self, ModelError> {
        let Self::Vit(vit) = self else { return Err(ModelError::MaskedFamily(self.family())) };
        if !matches!(vit.pool, Pool::Gap | Pool::None) {
            return Err(ModelError::MaskedPool);
        }
        let (pool, classes) = (Pool::None, Objective::COLOURS);
        let model = Self::Vit(VitSpec { pool, classes, mask_token: true, ..vit });
        model.check()?;
        Ok(model)
    }

    /// Patches on a side; None where there are no position embeddings that could be brought to another
    /// grid.
    pub fn grid(&self) -> Option<u32> {
        match self {
            Self::Vit(vit) => Some(vit.resolution / vit.patch),
            Self::Hybrid(hybrid) => Some(hybrid.grid() / hybrid.vit.patch),
            Self::Bit(_) | Self::Mixer(_) => None,
        }
    }

    /// Width of what the classifier reads.
    pub fn features(&self) -> u32 {
        match self {
            Self::Vit(vit) => vit.shape.shape.width,
            Self::Hybrid(hybrid) => hybrid.vit.shape.shape.width,
            Self::Bit(bit) => bit.stages().out_channels(),
            Self::Mixer(mixer) => mixer.shape.width,
        }
    }

    /// # Errors
    /// Numbers that make no model.
    pub fn check(&self) -> Result<(), ModelError> {
        match self {
            Self::Vit(vit) => vit.check()?,
            Self::Hybrid(hybrid) => hybrid.check()?,
            Self::Bit(bit) => bit.check()?,
            Self::Mixer(mixer) => mixer.check()?,
        }
        let limit = u128::from(u64::MAX);
        match 3 * self.wide_forward_flops() <= limit && self.wide_params() <= limit {
            true => Ok(()),
            false => Err(ModelError::TooLarge),
        }
    }

    /// Learned parameters, all of them.
    ///
    /// # Panics
    /// A model that [`Self::check`] refuses.
    pub fn params(&self) -> u64 {
        u64::try_from(self.wide_params()).expect("a checked model's parameters fit")
    }

    /// FLOPs of one forward pass over one example.
    ///
    /// # Panics
    /// A model that [`Self::check`] refuses.
    pub fn forward_flops(&self) -> u64 {
        u64::try_from(self.wide_forward_flops()).expect("a checked model's FLOPs fit")
    }

    /// FLOPs of training on one example: forward, and twice that for backward.
    pub fn train_flops_per_example(&self) -> u64 {
        3 * self.forward_flops()
    }

    fn wide_params(&self) -> u128 {
        match self {
            Self::Vit(vit) => vit.params(),
            Self::Hybrid(hybrid) => hybrid.params(),
            Self::Bit(bit) => bit.params(),
            Self::Mixer(mixer) => mixer.params(),
        }
    }

    fn wide_forward_flops(&self) -> u128 {
        match self {
            Self::Vit(vit) => vit.forward_flops(),
            Self::Hybrid(hybrid) => hybrid.forward_flops(),
            Self::Bit(bit) => bit.forward_flops(),
            Self::Mixer(mixer) => mixer.forward_flops(),
        }
    }

    /// Numbers that the forward pass of one example makes and that the backward pass reads: a rough
    /// upper bound. Attention matrices are not kept: the fused kernel recomputes them.
    pub fn activations(&self) -> f64 {
        match self {
            Self::Vit(vit) => vit.activations(),
            Self::Hybrid(hybrid) => {
                hybrid.stages_activations() + hybrid.vit.activations_of(hybrid.tokens())
            }
            Self::Bit(bit) => bit.activations(),
            Self::Mixer(mixer) => mixer.activations(),
        }
    }
}

fn probability(field: &'static str, value: f64) -> Result<(), ModelError> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(ModelError::Probability(field)) }
}
