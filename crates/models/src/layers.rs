//! The primitives that families are written over.

use tch::Tensor;

/// timm's and flax's; PyTorch's own default is 1e-5.
const NORM_EPS: f64 = 1e-6;

/// `weight [out, in]`, `bias [out]`.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

/// `weight [width]`, `bias [width]`.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

/// `[.., in]` to `[.., out]`.
pub(crate) fn linear(x: &Tensor, layer: &Linear) -> Tensor {
    x.linear(&layer.weight, Some(&layer.bias))
}

/// Over the last dimension.
pub(crate) fn layer_norm(x: &Tensor, norm: &Norm) -> Tensor {
    let width = norm.weight.size();
    x.layer_norm(width, Some(&norm.weight), Some(&norm.bias), NORM_EPS, true)
}

/// The exact GELU, `x Phi(x)`, as in timm; flax's default is the tanh approximation.
pub(crate) fn gelu(x: &Tensor) -> Tensor {
    x.gelu("none")
}

/// Multi-head attention without its projections. `qkv [batch, tokens, 3 width]` holds queries, keys
/// and values in this order, head-major inside each, as timm's; returns `[batch, tokens, width]`.
pub(crate) fn attention(qkv: &Tensor, heads: i64) -> Tensor {
    let (batch, tokens, width) = qkv.size3().expect("qkv has three dimensions");
    let width = width / 3;
    let split = qkv.view([batch, tokens, 3, heads, width / heads]).permute([2, 0, 3, 1, 4]);
    let (query, key, value) = (split.select(0, 0), split.select(0, 1), split.select(0, 2));
    Tensor::scaled_dot_product_attention(
        &query,
        &key,
        &value,
        None::<Tensor>,
        0.0,
        false,
        None,
        false,
    )
    .transpose(1, 2)
    .reshape([batch, tokens, width])
}

/// Images `[batch, 3, side, side]` to patch embeddings `[batch, (side/patch)^2, width]`, row-major:
/// the convolution of stride and kernel `patch` as a matrix product, with `layer.weight` of shape
/// `[width, 3, patch, patch]`.
pub(crate) fn embed(images: &Tensor, layer: &Linear, patch: i64) -> Tensor {
    let (batch, channels, height, width) = images.size4().expect("images have four dimensions");
    let (rows, columns) = (height / patch, width / patch);
    let patches = images
        .view([batch, channels, rows, patch, columns, patch])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch, rows * columns, channels * patch * patch]);
    patches.linear(&layer.weight.flatten(1, -1), Some(&layer.bias))
}
