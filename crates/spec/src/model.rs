//! What a model is, and what it costs in closed form.
//!
//! Counting follows Dosovitskiy et al. (2010.11929) and PyTorch's flop counter: convolutions and
//! matrix products only, a multiply-add is two; biases, norms, softmax and GELU are not counted.

use serde::{Deserialize, Serialize};

use crate::shape::{NamedShape, ShapeError};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSpec {
    Vit(VitSpec),
}

/// A vision transformer (2010.11929) for square images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitSpec {
    pub shape: NamedShape,
    /// Side of a patch, pixels. A remainder at the border is dropped, as a VALID convolution does.
    pub patch: u32,
    /// Side of the image, pixels.
    pub resolution: u32,
    pub classes: u32,
    pub pool: Pool,
    pub positions: Positions,
}

/// What the classifier reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The mean of all tokens, after the last norm.
    #[default]
    Gap,
    /// A learned class token, after the last norm.
    Token,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    #[default]
    Learned,
    /// Fixed two-dimensional sines and cosines (big_vision's `sincos2d`); width must be a multiple of 4.
    Sincos2d,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("`{0}` must be at least 1")]
    Zero(&'static str),
    #[error("a model this large cannot be counted in 64 bits; check its shape")]
    TooLarge,
    #[error("patch = {patch} does not divide resolution = {resolution}")]
    PatchDoesNotDivideResolution { patch: u32, resolution: u32 },
    #[error("positions = \"sincos2d\" needs a width that is a multiple of 4, at least 8, not {0}")]
    SincosWidth(u32),
}

impl ModelSpec {
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Vit(_) => "vit",
        }
    }

    pub const fn shape(&self) -> &NamedShape {
        match self {
            Self::Vit(vit) => &vit.shape,
        }
    }

    pub const fn resolution(&self) -> u32 {
        match self {
            Self::Vit(vit) => vit.resolution,
        }
    }

    pub const fn classes(&self) -> u32 {
        match self {
            Self::Vit(vit) => vit.classes,
        }
    }

    /// # Errors
    /// Numbers that make no model.
    pub fn check(&self) -> Result<(), ModelError> {
        match self {
            Self::Vit(vit) => vit.check(),
        }
    }

    /// Learned parameters, all of them.
    pub fn params(&self) -> u64 {
        match self {
            Self::Vit(vit) => vit.params(),
        }
    }

    /// FLOPs of one forward pass over one example.
    pub fn forward_flops(&self) -> u64 {
        match self {
            Self::Vit(vit) => vit.forward_flops(),
        }
    }

    /// FLOPs of training on one example: forward, and twice that for backward.
    pub fn train_flops_per_example(&self) -> u64 {
        3 * self.forward_flops()
    }
}

impl VitSpec {
    /// Patches per image, N.
    pub fn patches(&self) -> u64 {
        u64::from(self.resolution / self.patch).pow(2)
    }

    /// Tokens per image, T: the patches and the class token if there is one.
    pub fn tokens(&self) -> u64 {
        self.patches() + self.class_tokens()
    }

    fn class_tokens(&self) -> u64 {
        match self.pool {
            Pool::Gap => 0,
            Pool::Token => 1,
        }
    }

    fn check(&self) -> Result<(), ModelError> {
        self.shape.shape.check()?;
        let fields =
            [("patch", self.patch), ("resolution", self.resolution), ("classes", self.classes)];
        if let Some((field, _)) = fields.iter().find(|(_, value)| *value == 0) {
            return Err(ModelError::Zero(field));
        }
        if !self.resolution.is_multiple_of(self.patch) {
            let (patch, resolution) = (self.patch, self.resolution);
            return Err(ModelError::PatchDoesNotDivideResolution { patch, resolution });
        }
        let width = self.shape.shape.width;
        if self.positions == Positions::Sincos2d && (width < 8 || !width.is_multiple_of(4)) {
            return Err(ModelError::SincosWidth(width));
        }
        match u64::try_from(3 * self.wide_forward_flops()) {
            Ok(_) => Ok(()),
            Err(_) => Err(ModelError::TooLarge),
        }
    }

    /// `L(4D^2 + 2DM + 9D + M) + 3P^2 D + D + TD + tD + 2D + DK + K`: blocks, patch embedding,
    /// positions (none learned with sincos2d), class token, last norm, classifier.
    fn params(&self) -> u64 {
        let (d, l, m) = self.dimensions();
        let (p, k) = (u64::from(self.patch), u64::from(self.classes));
        let block = 4 * d * d + 2 * d * m + 9 * d + m;
        let positions = match self.positions {
            Positions::Learned => self.tokens() * d,
            Positions::Sincos2d => 0,
        };
        let embedding = 3 * p * p * d + d + positions + self.class_tokens() * d;
        l * block + embedding + 2 * d + d * k + k
    }

    /// # Panics
    /// A model that [`ModelSpec::check`] refuses.
    fn forward_flops(&self) -> u64 {
        u64::try_from(self.wide_forward_flops()).expect("a checked model's FLOPs fit")
    }

    /// `2 [ N 3P^2 D + L( T(4D^2 + 2DM) + 2 T^2 D ) + D K ]`.
    fn wide_forward_flops(&self) -> u128 {
        let (d, l, m) = self.dimensions();
        let (d, l, m, t) = (u128::from(d), u128::from(l), u128::from(m), u128::from(self.tokens()));
        let (n, p, k) =
            (u128::from(self.patches()), u128::from(self.patch), u128::from(self.classes));
        let block = t * (4 * d * d + 2 * d * m) + 2 * t * t * d;
        2 * (n * 3 * p * p * d + l * block + d * k)
    }

    fn dimensions(&self) -> (u64, u64, u64) {
        let shape = self.shape.shape;
        (u64::from(shape.width), u64::from(shape.depth), u64::from(shape.mlp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vit(name: &str, patch: u32, resolution: u32, pool: Pool) -> ModelSpec {
        let shape = NamedShape::published(name).unwrap();
        let positions = Positions::Learned;
        ModelSpec::Vit(VitSpec { shape, patch, resolution, classes: 1000, pool, positions })
    }

    /// Published figures of timm 1.0.31's models, counted by PyTorch's flop counter.
    #[test]
    fn params_and_flops_are_those_that_timm_and_pytorch_count() {
        let rows = [
            ("Ti", 16, 224, Pool::Token, 5_717_416, 2_507_366_400),
            ("B", 16, 224, Pool::Token, 86_567_656, 35_127_656_448),
            ("B", 16, 384, Pool::Token, 86_859_496, 110_968_700_928),
            ("L", 32, 224, Pool::Token, 306_535_400, 30_755_078_144),
            ("H", 14, 224, Pool::Token, 632_045_800, 334_590_218_240),
            ("S", 16, 224, Pool::Gap, 22_049_896, 9_148_053_504),
            ("H", 14, 224, Pool::Gap, 632_043_240, 333_247_877_120),
        ];
        for (name, patch, resolution, pool, params, flops) in rows {
            let model = vit(name, patch, resolution, pool);
            assert_eq!((model.params(), model.forward_flops()), (params, flops), "{name}/{patch}");
        }
    }

    #[test]
    fn a_patch_that_does_not_divide_the_resolution_is_refused() {
        let error = vit("B", 15, 224, Pool::Gap).check().unwrap_err();
        assert_eq!(error.to_string(), "patch = 15 does not divide resolution = 224");
    }
}
