//! A transformer's block: attention and an MLP, one after the other or side by side.

use spec::{Block as BlockKind, Gelu, Norm as NormKind};
use tch::{Kind, Tensor};

use crate::init::Init;
use crate::layers::{Heads, Linear, Mlp, MlpInit, Norm, activate};
use crate::parameters::Builder;
use crate::pass::Pass;

#[derive(Debug)]
pub(crate) struct BlockSpec {
    pub(crate) width: i64,
    pub(crate) hidden: i64,
    pub(crate) heads: i64,
    pub(crate) kind: BlockKind,
    pub(crate) norm: NormKind,
    pub(crate) gelu: Gelu,
    pub(crate) qk_norm: bool,
    pub(crate) qkv_bias: bool,
    /// Of the attention logits; None: `1 / sqrt(head)`.
    pub(crate) scale: Option<f64>,
    pub(crate) dropout: f64,
    pub(crate) drop_path: f64,
    /// Numbers of its dropout masks and residual branches begin here.
    pub(crate) first_site: u32,
    pub(crate) first_branch: i64,
}

#[derive(Debug)]
pub(crate) struct Block {
    spec: BlockSpec,
    layers: Layers,
}

#[derive(Debug)]
enum Layers {
    /// 2010.11929, equations 2 and 3.
    Sequential { norm1: Norm, attention: Attention, norm2: Norm, mlp: Mlp },
    /// 2302.05442, section 2: `x + MLP(LN(x)) + Attention(LN(x))`, as timm's `ParallelScalingBlock`.
    Parallel(Parallel),
}

#[derive(Debug)]
struct Attention {
    qkv: Linear,
    qk_norm: Option<(Norm, Norm)>,
    projection: Linear,
}

#[derive(Debug)]
struct Parallel {
    in_norm: Norm,
    /// Rows are the MLP's hidden units, then queries, keys and values: one product for all.
    in_weight: Tensor,
    in_bias: InBias,
    qk_norm: Option<(Norm, Norm)>,
    attention_out: Linear,
    mlp_out: Linear,
}

#[derive(Debug)]
enum InBias {
    All(Tensor),
    /// Queries, keys and values have none.
    Mlp(Tensor),
}

impl Block {
    pub(crate) fn build(builder: &mut Builder<'_>, spec: BlockSpec) -> Self {
        let layers = match spec.kind {
            BlockKind::Sequential => Layers::Sequential {
                norm1: Norm::build(builder, "norm1", spec.width, spec.norm),
                attention: builder.within("attn", |builder| Attention::build(builder, &spec)),
                norm2: Norm::build(builder, "norm2", spec.width, spec.norm),
                mlp: Mlp::build(
                    builder,
                    "mlp",
                    (spec.width, spec.hidden),
                    spec.gelu,
                    MlpInit::xavier(spec.width, spec.hidden),
                ),
            },
            BlockKind::Parallel => Layers::Parallel(Parallel::build(builder, &spec)),
        };
        Self { spec, layers }
    }

    /// `[batch, tokens, width]` to the same.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let BlockSpec { dropout, drop_path, first_site, first_branch, .. } = self.spec;
        match &self.layers {
            Layers::Sequential { norm1, attention, norm2, mlp } => {
                let attended = attention.forward(&norm1.forward(x), &self.spec, pass);
                let attended = pass.dropout(attended, dropout, first_site);
                let x = x + pass.drop_path(attended, drop_path, first_branch);
                let hidden = mlp.forward(&norm2.forward(&x), dropout, first_site + 1, pass);
                x + pass.drop_path(hidden, drop_path, first_branch + 1)
            }
            Layers::Parallel(layers) => {
                let both = layers.forward(x, &self.spec, pass);
                x + pass.drop_path(both, drop_path, first_branch)
            }
        }
    }

    /// One for every residual branch.
    pub(crate) fn drop_path_rates(&self) -> Vec<f64> {
        let branches = match self.layers {
            Layers::Sequential { .. } => 2,
            Layers::Parallel(_) => 1,
        };
        vec![self.spec.drop_path; branches]
    }
}

impl Attention {
    fn build(builder: &mut Builder<'_>, spec: &BlockSpec) -> Self {
        let width = spec.width;
        // Queries, keys and values are three D x D projections in one matrix: the fans are of one.
        let square = Init::XavierUniform { fan_in: width, fan_out: width };
        let zero = Init::Constant(0.0);
        Self {
            qkv: Linear::build(
                builder,
                "qkv",
                (width, 3 * width),
                square,
                spec.qkv_bias.then_some(zero),
            ),
            qk_norm: qk_norm(builder, spec),
            projection: Linear::build(builder, "proj", (width, width), square, Some(zero)),
        }
    }

    fn forward(&self, x: &Tensor, spec: &BlockSpec, pass: &Pass<'_>) -> Tensor {
        let heads = Heads::split(&self.qkv.forward(x), spec.heads);
        self.projection.forward(&normed(heads, self.qk_norm.as_ref()).attend(spec.scale, pass))
    }
}

impl Parallel {
    fn build(builder: &mut Builder<'_>, spec: &BlockSpec) -> Self {
        let BlockSpec { width, hidden, .. } = *spec;
        let zero = Init::Constant(0.0);
        let square = Init::XavierUniform { fan_in: width, fan_out: width };
        let mlp = MlpInit::xavier(width, hidden);
        let in_norm = Norm::build(builder, "in_norm", width, spec.norm);
        let parts = [(hidden, mlp.up), (3 * width, square)];
        let in_weight = builder.stacked("in_proj.weight", &[width], &parts);
        let in_bias = match spec.qkv_bias {
            true => {
                let parts = [(hidden, mlp.bias), (3 * width, zero)];
                InBias::All(builder.stacked("in_proj.bias", &[], &parts))
            }
            false => InBias::Mlp(builder.tensor("mlp_bias", &[hidden], mlp.bias)),
        };
        Self {
            in_norm,
            in_weight,
            in_bias,
            qk_norm: qk_norm(builder, spec),
            attention_out: Linear::build(
                builder,
                "attn_out_proj",
                (width, width),
                square,
                Some(zero),
            ),
            mlp_out: Linear::build(
                builder,
                "mlp_out_proj",
                (hidden, width),
                mlp.down,
                Some(mlp.bias),
            ),
        }
    }

    fn forward(&self, x: &Tensor, spec: &BlockSpec, pass: &Pass<'_>) -> Tensor {
        let BlockSpec { width, hidden, dropout, first_site, .. } = *spec;
        let bias = match &self.in_bias {
            InBias::All(bias) => bias.shallow_clone(),
            InBias::Mlp(bias) => {
                Tensor::cat(&[bias, &bias.new_zeros([3 * width], (bias.kind(), bias.device()))], 0)
            }
        };
        let projected = self.in_norm.forward(x).linear(&self.in_weight, Some(&bias));
        let parts = projected.split_with_sizes([hidden, 3 * width], -1);
        let heads = normed(Heads::split(&parts[1], spec.heads), self.qk_norm.as_ref());
        let attended = self.attention_out.forward(&heads.attend(spec.scale, pass));
        let activated = pass.dropout(activate(&parts[0], spec.gelu), dropout, first_site);
        pass.dropout(attended + self.mlp_out.forward(&activated), dropout, first_site + 1)
    }
}

fn qk_norm(builder: &mut Builder<'_>, spec: &BlockSpec) -> Option<(Norm, Norm)> {
    let head = spec.width / spec.heads;
    spec.qk_norm.then(|| {
        (
            Norm::build(builder, "q_norm", head, spec.norm),
            Norm::build(builder, "k_norm", head, spec.norm),
        )
    })
}

/// Queries and keys normed over each head's width; as many bits as the values have.
fn normed(heads: Heads, norms: Option<&(Norm, Norm)>) -> Heads {
    let Some((q_norm, k_norm)) = norms else { return heads };
    let kind: Kind = heads.value.kind();
    Heads {
        query: q_norm.forward(&heads.query).to_kind(kind),
        key: k_norm.forward(&heads.key).to_kind(kind),
        value: heads.value,
    }
}
