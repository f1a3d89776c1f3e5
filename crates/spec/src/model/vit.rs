//! The vision transformer and its variants: Dosovitskiy et al. (2010.11929), Zhai et al.
//! (2106.04560), Dehghani et al. (2302.05442).

use serde::{Deserialize, Serialize};

use super::{Gelu, ModelError, in_range, probability};
use crate::shape::NamedShape;

/// A vision transformer for square images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitSpec {
    pub shape: NamedShape,
    /// Side of a patch, pixels (of the stem's output in a hybrid); divides the image's side.
    pub patch: u32,
    /// Side of the image, pixels.
    pub resolution: u32,
    /// 0: no classifier.
    pub classes: u32,
    pub pool: Pool,
    pub positions: Positions,
    pub gelu: Gelu,
    /// The kind of every norm of the model.
    pub norm: Norm,
    pub block: Block,
    /// Queries and keys are normed per head before their product (2302.05442, section 2).
    pub qk_norm: bool,
    /// Whether the projections to queries, keys and values have biases; ViT-22B's have none.
    pub qkv_bias: bool,
    /// With mean pooling: the last norm comes after the mean, as in timm; else before, as in
    /// big_vision.
    pub fc_norm: bool,
    /// The class token joins after the positions are added and has none of its own, as in big_vision.
    pub no_embed_class: bool,
    /// A norm after the position embedding, and no bias in the patch embedding, as in timm's `xp`
    /// models.
    pub pre_norm: bool,
    /// A tanh layer of the model's width before the classifier (2010.11929, section 3.1).
    pub pre_logits: bool,
    /// Probability that a unit after a dense layer or the embedding is dropped in training.
    pub dropout: f64,
    /// Probability that the last block's residual branch is skipped for an example in training;
    /// rises linearly from 0 at the first block.
    pub drop_path: f64,
    pub mup: Option<Mup>,
    /// A learned embedding that takes the place of corrupted patches (2010.11929, appendix B.1.2).
    pub mask_token: bool,
}

/// What the classifier reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The mean of all tokens.
    #[default]
    Gap,
    /// A learned class token.
    Token,
    /// Attention of one learned query over all tokens, and an MLP (2106.04560, section 2).
    Map,
    /// Every token by itself: logits are `[batch, tokens, classes]`. Features are the tokens' mean.
    None,
}

/// What is added to each token to say where it is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// A parameter, `[1, tokens, width]`.
    #[default]
    Learned,
    /// Fixed two-dimensional sines and cosines (big_vision's `sincos2d`); width must be a multiple of 4.
    Sincos2d,
}

/// Normalisation of a token over its width, or of a query or key over its head; epsilon is 1e-6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Centred, scaled, with weight and bias (1607.06450).
    #[default]
    LayerNorm,
    /// Centred and scaled, without the bias.
    LayerNormNoBias,
    /// `x / sqrt(mean(x^2) + eps) * weight`: ViT-22B's, which neither centres nor shifts.
    RmsNorm,
}

/// How attention and the MLP of a block are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Attention, then the MLP, each with a norm and a residual of its own.
    #[default]
    Sequential,
    /// Attention and MLP side by side after one norm, with fused projections (2302.05442, section 2).
    Parallel,
}

/// Maximal update parametrisation (Yang et al., 2203.03466, table 8, for Adam): rates and initial
/// scales that were tuned at a base width hold at any width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mup {
    /// Width at which the rates were tuned.
    pub base_width: u32,
    /// Head width at which attention is scaled by `1 / sqrt(head)`; wider heads scale by
    /// `sqrt(base) / head`. None: the model's own.
    #[serde(default)]
    pub base_head: Option<u32>,
}

impl VitSpec {
    /// The plainest model of a shape: mean pooling, learned positions, nothing else.
    pub const fn new(shape: NamedShape, patch: u32, resolution: u32, classes: u32) -> Self {
        Self {
            shape,
            patch,
            resolution,
            classes,
            pool: Pool::Gap,
            positions: Positions::Learned,
            gelu: Gelu::Exact,
            norm: Norm::LayerNorm,
            block: Block::Sequential,
            qk_norm: false,
            qkv_bias: true,
            fc_norm: false,
            no_embed_class: false,
            pre_norm: false,
            pre_logits: false,
            dropout: 0.0,
            drop_path: 0.0,
            mup: None,
            mask_token: false,
        }
    }

    /// Patches per image, N.
    pub const fn patches(&self) -> u64 {
        ((self.resolution / self.patch) as u64).pow(2)
    }

    /// Tokens per image, T: the patches and the class token if there is one.
    pub const fn tokens(&self) -> u64 {
        self.patches() + self.class_tokens()
    }

    pub(super) const fn class_tokens(&self) -> u64 {
        match self.pool {
            Pool::Gap | Pool::Map | Pool::None => 0,
            Pool::Token => 1,
        }
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        self.check_body()?;
        check_patch(self.patch, "resolution", self.resolution)
    }

    /// Everything but whether patches tile what they are cut from.
    pub(super) fn check_body(&self) -> Result<(), ModelError> {
        self.shape.shape.check()?;
        let sides = [("patch", self.patch), ("resolution", self.resolution)];
        in_range(sides).map_err(ModelError::Range)?;
        probability("dropout", self.dropout)?;
        probability("drop_path", self.drop_path)?;
        if let Some(mup) = self.mup {
            let base_head = mup.base_head.unwrap_or(1);
            let bases = [("mup.base_width", mup.base_width), ("mup.base_head", base_head)];
            in_range(bases).map_err(ModelError::Range)?;
        }
        let width = self.shape.shape.width;
        if self.positions == Positions::Sincos2d && (width < 8 || !width.is_multiple_of(4)) {
            return Err(ModelError::SincosWidth(width));
        }
        match self.fc_norm && self.pool != Pool::Gap {
            true => Err(ModelError::FcNormWithoutGap),
            false => Ok(()),
        }
    }

    pub(super) fn params(&self) -> u128 {
        self.params_over(self.patches(), 3)
    }

    /// Parameters of a transformer over `patches` patches of an input of `channels` channels: blocks,
    /// patch embedding, positions, class and mask token, norms, pooling, classifier. For a plain ViT
    /// `L(4D^2 + 2DM + 9D + M) + 3P^2 D + D + TD + tD + 2D + DK + K`.
    pub(super) fn params_over(&self, patches: u64, channels: u64) -> u128 {
        let Dimensions { d, l, m, head } = self.dimensions();
        let (p, k, n) = (u128::from(self.patch), u128::from(self.classes), u128::from(patches));
        let class_token = u128::from(self.class_tokens());
        let when = |has: bool, count: u128| if has { count } else { 0 };
        let (norms, qk_norms) = match self.block {
            Block::Sequential => (2 * self.norm_params(d), 2 * self.norm_params(head)),
            Block::Parallel => (self.norm_params(d), 2 * self.norm_params(head)),
        };
        // Weights of queries, keys, values, output and the two layers of the MLP; then their biases.
        let block = 4 * d * d
            + 2 * d * m
            + (2 * d + m)
            + when(self.qkv_bias, 3 * d)
            + norms
            + when(self.qk_norm, qk_norms);
        let embedding = u128::from(channels) * p * p * d + when(!self.pre_norm, d);
        let positions = match self.positions {
            Positions::Learned if self.no_embed_class => n * d,
            Positions::Learned => (n + class_token) * d,
            Positions::Sincos2d => 0,
        };
        let tokens = class_token * d + when(self.mask_token, d);
        let around = self.norm_params(d) + when(self.pre_norm, self.norm_params(d));
        let pooling = when(
            self.pool == Pool::Map,
            5 * d + 4 * d * d + self.norm_params(d) + 2 * d * m + m + d,
        );
        l * block
            + embedding
            + positions
            + tokens
            + around
            + pooling
            + when(self.pre_logits, d * d + d)
            + (d * k + k)
    }

    const fn norm_params(&self, width: u128) -> u128 {
        match self.norm {
            Norm::LayerNorm => 2 * width,
            Norm::LayerNormNoBias | Norm::RmsNorm => width,
        }
    }

    pub(super) fn forward_flops(&self) -> u128 {
        self.forward_flops_over(self.patches(), 3)
    }

    /// `2 [ N C P^2 D + L( T(4D^2 + 2DM) + 2 T^2 D ) + D K ]` with C input channels; a MAP head adds
    /// `2 [ 2D^2 + 2TD^2 + 2TD + 2DM ]`, a tanh layer `2 D^2`.
    pub(super) fn forward_flops_over(&self, patches: u64, channels: u64) -> u128 {
        let Dimensions { d, l, m, .. } = self.dimensions();
        let (p, k, n) = (u128::from(self.patch), u128::from(self.classes), u128::from(patches));
        let t = n + u128::from(self.class_tokens());
        let block = t * (4 * d * d + 2 * d * m) + 2 * t * t * d;
        let (pooling, rows) = match self.pool {
            Pool::Gap | Pool::Token => (0, 1),
            Pool::Map => (2 * d * d + 2 * t * d * d + 2 * t * d + 2 * d * m, 1),
            Pool::None => (0, t),
        };
        let head = rows * (d * k + if self.pre_logits { d * d } else { 0 });
        2 * (n * u128::from(channels) * p * p * d + l * block + pooling + head)
    }

    pub(super) fn activations(&self) -> f64 {
        self.activations_of(self.tokens())
    }

    /// For every token and block about 16 widths and 3 MLP widths.
    pub(super) fn activations_of(&self, tokens: u64) -> f64 {
        let shape = self.shape.shape;
        let per_token = 16.0 * f64::from(shape.width) + 3.0 * f64::from(shape.mlp);
        tokens as f64 * f64::from(shape.depth) * per_token
    }

    fn dimensions(&self) -> Dimensions {
        let shape = self.shape.shape;
        Dimensions {
            d: shape.width.into(),
            l: shape.depth.into(),
            m: shape.mlp.into(),
            head: (shape.width / shape.heads).into(),
        }
    }
}

/// A shape's numbers by their symbols, and the width of a head.
struct Dimensions {
    d: u128,
    l: u128,
    m: u128,
    head: u128,
}

/// # Errors
/// Patches that leave a remainder.
pub(super) const fn check_patch(patch: u32, of: &'static str, side: u32) -> Result<(), ModelError> {
    if side.is_multiple_of(patch) && side > 0 {
        Ok(())
    } else {
        Err(ModelError::PatchDoesNotDivide { patch, of, side })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModelSpec;
    use super::*;

    fn vit(name: &str, patch: u32, resolution: u32, pool: Pool) -> ModelSpec {
        let shape = NamedShape::published(name).unwrap();
        ModelSpec::Vit(VitSpec { pool, ..VitSpec::new(shape, patch, resolution, 1000) })
    }

    /// Published figures of timm 1.0.31's models, counted by PyTorch's flop counter.
    #[test]
    fn params_and_flops_are_those_that_timm_and_pytorch_count() {
        let rows = [
            ("Ti", 16, 224, Pool::Token, 5_717_416, 2_507_366_400),
            ("B", 16, 384, Pool::Token, 86_859_496, 110_968_700_928),
            ("L", 32, 224, Pool::Token, 306_535_400, 30_755_078_144),
            ("H", 14, 224, Pool::Gap, 632_043_240, 333_247_877_120),
            ("S", 16, 224, Pool::Map, 23_823_976, 9_266_909_184),
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
