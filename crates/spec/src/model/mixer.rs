//! MLP-Mixer (Tolstikhin et al., 2105.01601).

use serde::{Deserialize, Serialize};

use super::vit::check_patch;
use super::{Gelu, ModelError, in_range, probability};
use crate::shape::ShapeError;

/// A Mixer for square images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixerSpec {
    pub shape: MixerShape,
    /// Side of a patch, pixels.
    pub patch: u32,
    /// Side of the image, pixels. The token MLPs are made for it: it cannot change later.
    pub resolution: u32,
    /// 0: no classifier.
    pub classes: u32,
    pub gelu: Gelu,
    /// As in a ViT, linear from 0 at the first block.
    pub drop_path: f64,
}

/// The numbers that make a Mixer's size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixerShape {
    /// What tables, figures and `learning_rate` tables know it by.
    pub name: String,
    /// Width of a token, D.
    pub width: u32,
    /// Number of blocks, L.
    pub depth: u32,
    /// Hidden width of the MLP over channels, D_C.
    pub mlp: u32,
    /// Hidden width of the MLP over tokens, D_S.
    pub tokens: u32,
}

/// 2105.01601, table 1: name, D, L, D_C, D_S.
const TABLE: [(&str, [u32; 4]); 4] = [
    ("S", [512, 8, 2048, 256]),
    ("B", [768, 12, 3072, 384]),
    ("L", [1024, 24, 4096, 512]),
    ("H", [1280, 32, 5120, 640]),
];

impl MixerShape {
    /// # Errors
    /// A name that the paper does not have.
    pub fn published(name: &str) -> Result<Self, ShapeError> {
        TABLE
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(name, [width, depth, mlp, tokens])| Self {
                name: name.to_owned(),
                width,
                depth,
                mlp,
                tokens,
            })
            .ok_or_else(|| ShapeError::UnknownMixer(name.to_owned()))
    }

    /// A spelt-out shape goes by `widthxdepth`, as in `96x6`.
    pub fn spelt_out(width: u32, depth: u32, mlp: u32, tokens: u32) -> Self {
        Self { name: format!("{width}x{depth}"), width, depth, mlp, tokens }
    }
}

impl MixerSpec {
    /// Patches per image, S.
    pub const fn patches(&self) -> u64 {
        ((self.resolution / self.patch) as u64).pow(2)
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        let MixerShape { width, depth, mlp, tokens, .. } = self.shape;
        let shape = [("width", width), ("depth", depth), ("mlp", mlp), ("tokens", tokens)];
        in_range(shape).map_err(ShapeError::Range)?;
        let sides = [("patch", self.patch), ("resolution", self.resolution)];
        in_range(sides).map_err(ModelError::Range)?;
        probability("drop_path", self.drop_path)?;
        check_patch(self.patch, "resolution", self.resolution)
    }

    /// `L(4D + 2 S D_S + D_S + S + 2 D D_C + D_C + D) + 3P^2 D + D + 2D + DK + K`.
    pub(super) fn params(&self) -> u128 {
        let [d, l, m, t] = self.dimensions();
        let (s, p, k) =
            (u128::from(self.patches()), u128::from(self.patch), u128::from(self.classes));
        let block = 4 * d + (2 * s * t + t + s) + (2 * d * m + m + d);
        l * block + (3 * p * p * d + d) + 2 * d + (d * k + k)
    }

    /// `2 [ S 3P^2 D + L(2 D S D_S + 2 S D D_C) + D K ]`.
    pub(super) fn forward_flops(&self) -> u128 {
        let [d, l, m, t] = self.dimensions();
        let (s, p, k) =
            (u128::from(self.patches()), u128::from(self.patch), u128::from(self.classes));
        2 * (s * 3 * p * p * d + l * (2 * d * s * t + 2 * s * d * m) + d * k)
    }

    pub(super) fn activations(&self) -> f64 {
        let [d, l, m, t] = self.dimensions().map(|number| number as f64);
        let s = self.patches() as f64;
        l * (8.0 * s * d + 3.0 * (d * t + s * m))
    }

    fn dimensions(&self) -> [u128; 4] {
        let MixerShape { width, depth, mlp, tokens, .. } = self.shape;
        [width, depth, mlp, tokens].map(u128::from)
    }
}
