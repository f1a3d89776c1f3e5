//! The primitives that transformers and mixers are written over.

use spec::{Gelu, Norm as NormKind};
use tch::Tensor;

use crate::init::Init;
use crate::parameters::Builder;
use crate::pass::Pass;

/// timm's and flax's; PyTorch's own default is 1e-5.
const NORM_EPS: f64 = 1e-6;

/// `weight [out, in]`, `bias [out]`.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
}

impl Linear {
    /// The fans of `weight`'s initialisation are the caller's: a fused matrix has those of its parts.
    pub(crate) fn build(
        builder: &mut Builder<'_>,
        name: &str,
        (input, output): (i64, i64),
        weight: Init,
        bias: Option<Init>,
    ) -> Self {
        builder.within(name, |builder| Self {
            weight: builder.tensor("weight", &[output, input], weight),
            bias: bias.map(|bias| builder.tensor("bias", &[output], bias)),
        })
    }

    /// `[.., in]` to `[.., out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }
}

/// `weight [width]`, `bias [width]`.
#[derive(Debug)]
pub(crate) struct Norm {
    kind: NormKind,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    pub(crate) fn build(builder: &mut Builder<'_>, name: &str, width: i64, kind: NormKind) -> Self {
        builder.within(name, |builder| Self {
            kind,
            weight: builder.tensor("weight", &[width], Init::Constant(1.0)),
            bias: (kind == NormKind::LayerNorm)
                .then(|| builder.tensor("bias", &[width], Init::Constant(0.0))),
        })
    }

    /// Over the last dimension.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let width = self.weight.size();
        match self.kind {
            NormKind::LayerNorm | NormKind::LayerNormNoBias => {
                x.layer_norm(width, Some(&self.weight), self.bias.as_ref(), NORM_EPS, true)
            }
            NormKind::RmsNorm => x.rms_norm(width, Some(&self.weight), NORM_EPS),
        }
    }
}

/// Two linear layers with a GELU between them, and dropout after each.
#[derive(Debug)]
pub(crate) struct Mlp {
    fc1: Linear,
    fc2: Linear,
    gelu: Gelu,
}

impl Mlp {
    pub(crate) fn build(
        builder: &mut Builder<'_>,
        name: &str,
        (width, hidden): (i64, i64),
        gelu: Gelu,
        init: MlpInit,
    ) -> Self {
        builder.within(name, |builder| Self {
            fc1: Linear::build(builder, "fc1", (width, hidden), init.up, Some(init.bias)),
            fc2: Linear::build(builder, "fc2", (hidden, width), init.down, Some(init.bias)),
            gelu,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, dropout: f64, site: u32, pass: &Pass<'_>) -> Tensor {
        let hidden = activate(&self.fc1.forward(x), self.gelu);
        let hidden = pass.dropout(hidden, dropout, site);
        pass.dropout(self.fc2.forward(&hidden), dropout, site + 1)
    }
}

/// How an MLP begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MlpInit {
    pub(crate) up: Init,
    pub(crate) down: Init,
    pub(crate) bias: Init,
}

impl MlpInit {
    /// big_vision's ViT: Xavier matrices, biases hardly above zero.
    pub(crate) const fn xavier(width: i64, hidden: i64) -> Self {
        Self {
            up: Init::XavierUniform { fan_in: width, fan_out: hidden },
            down: Init::XavierUniform { fan_in: hidden, fan_out: width },
            bias: Init::Normal { std: 1e-6 },
        }
    }

    /// flax's default, as in big_vision's Mixer.
    pub(crate) const fn lecun(width: i64, hidden: i64) -> Self {
        Self {
            up: Init::LecunNormal { fan_in: width },
            down: Init::LecunNormal { fan_in: hidden },
            bias: Init::Constant(0.0),
        }
    }
}

pub(crate) fn activate(x: &Tensor, gelu: Gelu) -> Tensor {
    x.gelu(match gelu {
        Gelu::Exact => "none",
        Gelu::Tanh => "tanh",
    })
}

/// Queries, keys and values of multi-head attention, each `[batch, heads, tokens, head]`.
#[derive(Debug)]
pub(crate) struct Heads {
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
}

impl Heads {
    /// From `[batch, tokens, 3 width]`: queries, keys and values in this order, head-major inside
    /// each, as timm's.
    pub(crate) fn split(qkv: &Tensor, heads: i64) -> Self {
        let (batch, tokens, width) = qkv.size3().expect("qkv has three dimensions");
        let head = width / (3 * heads);
        let split = qkv.view([batch, tokens, 3, heads, head]).permute([2, 0, 3, 1, 4]);
        Self { query: split.select(0, 0), key: split.select(0, 1), value: split.select(0, 2) }
    }

    /// `softmax(scale q k^T) v`, joined to `[batch, tokens, width]`; without a scale `1 / sqrt(head)`.
    pub(crate) fn attend(&self, scale: Option<f64>, pass: &Pass<'_>) -> Tensor {
        let (batch, heads, tokens, head) = self.query.size4().expect("heads have four dimensions");
        pass.watch(&self.query, &self.key, scale.unwrap_or(1.0 / (head as f64).sqrt()));
        Tensor::scaled_dot_product_attention(
            &self.query,
            &self.key,
            &self.value,
            None::<Tensor>,
            0.0,
            false,
            scale,
            false,
        )
        .transpose(1, 2)
        .reshape([batch, tokens, heads * head])
    }
}

/// A convolution whose stride is its kernel, and what follows from it.
#[derive(Debug)]
pub(crate) struct PatchEmbedding {
    /// `[width, channels, patch, patch]`.
    weight: Tensor,
    bias: Option<Tensor>,
    patch: i64,
}

impl PatchEmbedding {
    pub(crate) fn build(
        builder: &mut Builder<'_>,
        name: &str,
        (channels, width, patch): (i64, i64, i64),
        has_bias: bool,
    ) -> Self {
        let fan_in = channels * patch * patch;
        builder.within(name, |builder| Self {
            weight: builder.tensor(
                "weight",
                &[width, channels, patch, patch],
                Init::LecunNormal { fan_in },
            ),
            bias: has_bias.then(|| builder.tensor("bias", &[width], Init::Constant(0.0))),
            patch,
        })
    }

    /// `constant` in the kind and place of the parameters; one that is there already is shared.
    pub(crate) fn like(&self, constant: &Tensor) -> Tensor {
        constant.to_kind(self.weight.kind()).to_device(self.weight.device())
    }

    /// Images `[batch, channels, side, side]` to `[batch, (side/patch)^2, width]`, row-major, as one
    /// matrix product.
    pub(crate) fn forward(&self, images: &Tensor) -> Tensor {
        let (batch, channels, height, width) = images.size4().expect("images have four dimensions");
        let patch = self.patch;
        let (rows, columns) = (height / patch, width / patch);
        let patches = images
            .reshape([batch, channels, rows, patch, columns, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, rows * columns, channels * patch * patch]);
        patches.linear(&self.weight.flatten(1, -1), self.bias.as_ref())
    }
}
