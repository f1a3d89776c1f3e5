//! The vision transformer of Dosovitskiy et al. (2010.11929) with the options of Zhai et al.
//! (2106.04560) and Dehghani et al. (2302.05442), over image patches or over a ResNet's output.
//! Pre-norm; initialised as big_vision does; named and laid out as timm's.

use spec::{Block as BlockKind, Pool, Positions, Stages, VitSpec};
use tch::{Device, Kind, Tensor};

use crate::block::{Block, BlockSpec};
use crate::hybrid::Stem;
use crate::init::Init;
use crate::layers::{Linear, Mlp, MlpInit, Norm, PatchEmbedding};
use crate::parameters::Builder;
use crate::pass::Pass;

#[derive(Debug)]
pub(crate) struct Vit {
    stem: Option<Stem>,
    embedding: PatchEmbedding,
    class_token: Option<Tensor>,
    mask_token: Option<Tensor>,
    /// `[1, tokens, width]`; without the class token where that has no position.
    positions: Tensor,
    no_embed_class: bool,
    dropout: f64,
    norm_pre: Option<Norm>,
    blocks: Vec<Block>,
    norm: Option<Norm>,
    pooling: Pooling,
    pre_logits: Option<Linear>,
    head: Option<Linear>,
}

#[derive(Debug)]
enum Pooling {
    Mean { fc_norm: Option<Norm> },
    Token,
    Attention(Box<AttentionPool>),
    None,
}

/// 2106.04560, section 2, as timm's `AttentionPoolLatent`: one learned query attends over all tokens;
/// an MLP with a norm and a residual follows.
#[derive(Debug)]
struct AttentionPool {
    /// `[1, 1, width]`.
    latent: Tensor,
    query: Linear,
    key_value: Linear,
    projection: Linear,
    norm: Norm,
    mlp: Mlp,
    heads: i64,
    /// Of the attention logits; None: `1 / sqrt(head)`.
    scale: Option<f64>,
}

/// Dropout site of the sum of patches and positions; blocks count on from 1.
const EMBEDDING_SITE: u32 = 0;

impl Vit {
    /// `grid` is the number of patches on a side.
    pub(crate) fn build(
        builder: &mut Builder<'_>,
        spec: &VitSpec,
        stem: Option<&Stages>,
        grid: i64,
    ) -> Self {
        let width = i64::from(spec.shape.shape.width);
        let zero = Init::Constant(0.0);
        let class_token =
            (spec.pool == Pool::Token).then(|| builder.tensor("cls_token", &[1, 1, width], zero));
        let mask_token = spec
            .mask_token
            .then(|| builder.tensor("mask_token", &[1, 1, width], Init::Normal { std: 0.02 }));
        let positions = positions(builder, spec, grid);
        let (stem, embedding) = builder.within("patch_embed", |builder| {
            let stem = stem.map(|stages| Stem::build(builder, stages, spec.resolution));
            let channels = stem.as_ref().map_or(3, Stem::channels);
            let size = (channels, width, i64::from(spec.patch));
            (stem, PatchEmbedding::build(builder, "proj", size, !spec.pre_norm))
        });
        let positions = embedding.like(&positions);
        let norm_pre = spec.pre_norm.then(|| Norm::build(builder, "norm_pre", width, spec.norm));
        let blocks = (0..spec.shape.shape.depth)
            .map(|index| {
                builder.within(format!("blocks.{index}"), |builder| {
                    Block::build(builder, BlockSpec::of(spec, index))
                })
            })
            .collect();
        let norm = (!spec.fc_norm).then(|| Norm::build(builder, "norm", width, spec.norm));
        let pooling = Pooling::build(builder, spec);
        let pre_logits = spec.pre_logits.then(|| {
            let init = Init::XavierUniform { fan_in: width, fan_out: width };
            Linear::build(builder, "pre_logits.fc", (width, width), init, Some(zero))
        });
        let classes = i64::from(spec.classes);
        let head = (classes > 0)
            .then(|| Linear::build(builder, "head", (width, classes), zero, Some(zero)));
        Self {
            stem,
            embedding,
            class_token,
            mask_token,
            positions,
            no_embed_class: spec.no_embed_class,
            dropout: spec.dropout,
            norm_pre,
            blocks,
            norm,
            pooling,
            pre_logits,
            head,
        }
    }

    /// The embedding, the blocks, and what makes features of tokens.
    pub(crate) fn n_stages(&self) -> usize {
        self.stem.as_ref().map_or(0, Stem::n_stages) + self.blocks.len() + 2
    }

    /// 2010.11929, equations 1 to 4.
    pub(crate) fn stage(&self, number: usize, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let in_stem = self.stem.as_ref().map_or(0, Stem::n_stages);
        match (&self.stem, number) {
            (Some(stem), number) if number < in_stem => stem.stage(number, x),
            (_, number) if number == in_stem => self.embed(x, pass),
            (_, number) if number <= in_stem + self.blocks.len() => {
                self.blocks[number - in_stem - 1].forward(x, pass)
            }
            (..) => self.features(x, pass),
        }
    }

    /// Images, or the stem's output, to tokens.
    fn embed(&self, images: &Tensor, pass: &Pass<'_>) -> Tensor {
        let mut patches = self.embedding.forward(images);
        if let (Some(corrupted), Some(mask)) = (pass.corrupted, &self.mask_token) {
            let source = corrupted.source.unsqueeze(-1).expand_as(&patches);
            patches = patches.gather(1, &source, false);
            patches =
                mask.to_kind(patches.kind()).where_self(&corrupted.masked.unsqueeze(-1), &patches);
        }
        let with_class = |patches: Tensor| match &self.class_token {
            Some(token) => {
                let token = token.expand([images.size()[0], -1, -1], false);
                Tensor::cat(&[token, patches], 1)
            }
            None => patches,
        };
        let x = match self.no_embed_class {
            true => with_class(patches + &self.positions),
            false => with_class(patches) + &self.positions,
        };
        let x = pass.dropout(x, self.dropout, EMBEDDING_SITE);
        self.norm_pre.as_ref().map_or_else(|| x.shallow_clone(), |norm| norm.forward(&x))
    }

    /// `[batch, width]`, or `[batch, tokens, width]` where nothing is pooled.
    fn features(&self, tokens: &Tensor, pass: &Pass<'_>) -> Tensor {
        let normed = self.norm.as_ref().map(|norm| norm.forward(tokens));
        let pooled = self.pooling.forward(normed.as_ref().unwrap_or(tokens), pass);
        match &self.pre_logits {
            Some(layer) => layer.forward(&pooled).tanh(),
            None => pooled,
        }
    }

    pub(crate) fn head(&self) -> Option<&Linear> {
        self.head.as_ref()
    }

    /// Rates of stochastic depth by residual branch.
    pub(crate) fn drop_path_rates(&self) -> Vec<f64> {
        self.blocks.iter().flat_map(Block::drop_path_rates).collect()
    }
}

impl Pooling {
    fn build(builder: &mut Builder<'_>, spec: &VitSpec) -> Self {
        let width = i64::from(spec.shape.shape.width);
        match spec.pool {
            Pool::Gap => Self::Mean {
                fc_norm: spec.fc_norm.then(|| Norm::build(builder, "fc_norm", width, spec.norm)),
            },
            Pool::Token => Self::Token,
            Pool::Map => Self::Attention(Box::new(
                builder.within("attn_pool", |builder| AttentionPool::build(builder, spec)),
            )),
            Pool::None => Self::None,
        }
    }

    fn forward(&self, tokens: &Tensor, pass: &Pass<'_>) -> Tensor {
        match self {
            Self::Mean { fc_norm } => {
                let mean = tokens.mean_dim(1, false, None::<Kind>);
                fc_norm.as_ref().map_or_else(|| mean.shallow_clone(), |norm| norm.forward(&mean))
            }
            Self::Token => tokens.select(1, 0),
            Self::Attention(pool) => pool.forward(tokens, pass),
            Self::None => tokens.shallow_clone(),
        }
    }
}

impl AttentionPool {
    fn build(builder: &mut Builder<'_>, spec: &VitSpec) -> Self {
        let shape = spec.shape.shape;
        let (width, hidden) = (i64::from(shape.width), i64::from(shape.mlp));
        let square = Init::XavierUniform { fan_in: width, fan_out: width };
        let zero = Some(Init::Constant(0.0));
        let probe = Init::XavierUniform { fan_in: 1, fan_out: base_width(spec) };
        Self {
            latent: builder.tensor("latent", &[1, 1, width], probe),
            query: Linear::build(builder, "q", (width, width), square, zero),
            key_value: Linear::build(builder, "kv", (width, 2 * width), square, zero),
            projection: Linear::build(builder, "proj", (width, width), square, zero),
            norm: Norm::build(builder, "norm", width, spec.norm),
            mlp: Mlp::build(
                builder,
                "mlp",
                (width, hidden),
                spec.gelu,
                MlpInit::xavier(width, hidden),
            ),
            heads: i64::from(shape.heads),
            scale: attention_scale(spec),
        }
    }

    /// `[batch, tokens, width]` to `[batch, width]`; no dropout, and no residual from the query.
    fn forward(&self, tokens: &Tensor, pass: &Pass<'_>) -> Tensor {
        let (batch, length, width) = tokens.size3().expect("tokens have three dimensions");
        let head = width / self.heads;
        let query = self.query.forward(&self.latent).expand([batch, 1, width], false);
        let query = query.reshape([batch, 1, self.heads, head]).transpose(1, 2);
        let key_value = self.key_value.forward(tokens);
        let key_value =
            key_value.view([batch, length, 2, self.heads, head]).permute([2, 0, 3, 1, 4]);
        let (key, value) = (key_value.select(0, 0), key_value.select(0, 1));
        let attended = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<Tensor>,
            0.0,
            false,
            self.scale,
            false,
        );
        let x = self.projection.forward(&attended.reshape([batch, width]));
        &x + self.mlp.forward(&self.norm.forward(&x), 0.0, 0, pass)
    }
}

/// The width whose initial scale parameters have that do not grow with the width: under muP the base's.
fn base_width(spec: &VitSpec) -> i64 {
    spec.mup.map_or(spec.shape.shape.width, |mup| mup.base_width).into()
}

/// muP's `sqrt(base) / head` where a base is given (2203.03466, definition 4.1, scaled to the base).
fn attention_scale(spec: &VitSpec) -> Option<f64> {
    let head = f64::from(spec.shape.shape.width / spec.shape.shape.heads);
    let base = spec.mup?.base_head?;
    Some(f64::from(base).sqrt() / head)
}

fn positions(builder: &mut Builder<'_>, spec: &VitSpec, grid: i64) -> Tensor {
    let width = i64::from(spec.shape.shape.width);
    let has_class = spec.pool == Pool::Token && !spec.no_embed_class;
    match spec.positions {
        Positions::Learned => {
            let tokens = grid * grid + i64::from(has_class);
            let std = 1.0 / (base_width(spec) as f64).sqrt();
            builder.tensor("pos_embed", &[1, tokens, width], Init::Normal { std })
        }
        Positions::Sincos2d => sincos2d(grid, width, has_class),
    }
}

/// big_vision's `posemb_sincos_2d`: `[sin(x w), cos(x w), sin(y w), cos(y w)]` with x the column, y
/// the row and `w_j = 10000^(-j / (D/4 - 1))`. The class token, if any, has position zero.
fn sincos2d(side: i64, width: i64, has_class: bool) -> Tensor {
    let quarter = width / 4;
    let options = (Kind::Double, Device::Cpu);
    let exponent = Tensor::arange(quarter, options) / (quarter - 1) as f64;
    let omega = (exponent * -(10_000f64.ln())).exp();
    let coordinate = Tensor::arange(side, options);
    let x = coordinate.unsqueeze(0).expand([side, side], false).reshape([-1, 1]) * &omega;
    let y = coordinate.unsqueeze(1).expand([side, side], false).reshape([-1, 1]) * &omega;
    let patches = Tensor::cat(&[x.sin(), x.cos(), y.sin(), y.cos()], 1);
    let rows = match has_class {
        false => patches,
        true => Tensor::cat(&[Tensor::zeros([1, width], options), patches], 0),
    };
    rows.unsqueeze(0)
}

impl BlockSpec {
    fn of(spec: &VitSpec, index: u32) -> Self {
        let shape = spec.shape.shape;
        let last = f64::from(shape.depth.saturating_sub(1).max(1));
        let branches = match spec.block {
            BlockKind::Sequential => 2,
            BlockKind::Parallel => 1,
        };
        Self {
            width: shape.width.into(),
            hidden: shape.mlp.into(),
            heads: shape.heads.into(),
            kind: spec.block,
            norm: spec.norm,
            gelu: spec.gelu,
            qk_norm: spec.qk_norm,
            qkv_bias: spec.qkv_bias,
            scale: attention_scale(spec),
            dropout: spec.dropout,
            drop_path: spec.drop_path * f64::from(index) / last,
            first_site: EMBEDDING_SITE + 1 + 3 * index,
            first_branch: i64::from(branches * index),
        }
    }
}
