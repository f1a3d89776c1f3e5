//! MLP-Mixer (Tolstikhin et al., 2105.01601), equation 1. Initialised as big_vision does; named as
//! timm's `MlpMixer`.

use spec::{MixerSpec, Norm as NormKind};
use tch::{Kind, Tensor};

use crate::init::Init;
use crate::layers::{Linear, Mlp, MlpInit, Norm, PatchEmbedding};
use crate::parameters::Builder;
use crate::pass::Pass;

#[derive(Debug)]
pub(crate) struct Mixer {
    embedding: PatchEmbedding,
    blocks: Vec<Block>,
    norm: Norm,
    head: Option<Linear>,
}

#[derive(Debug)]
struct Block {
    norm1: Norm,
    tokens: Mlp,
    norm2: Norm,
    channels: Mlp,
    drop_path: f64,
    first_branch: i64,
}

impl Mixer {
    pub(crate) fn build(builder: &mut Builder<'_>, spec: &MixerSpec) -> Self {
        let (width, classes) = (i64::from(spec.shape.width), i64::from(spec.classes));
        let zero = Init::Constant(0.0);
        let size = (3, width, i64::from(spec.patch));
        Self {
            embedding: builder
                .within("stem", |builder| PatchEmbedding::build(builder, "proj", size, true)),
            blocks: (0..spec.shape.depth).map(|index| Block::build(builder, spec, index)).collect(),
            norm: Norm::build(builder, "norm", width, NormKind::LayerNorm),
            head: (classes > 0)
                .then(|| Linear::build(builder, "head", (width, classes), zero, Some(zero))),
        }
    }

    pub(crate) fn n_stages(&self) -> usize {
        self.blocks.len() + 2
    }

    pub(crate) fn stage(&self, number: usize, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        match number {
            0 => self.embedding.forward(x),
            number if number <= self.blocks.len() => self.blocks[number - 1].forward(x, pass),
            _ => self.norm.forward(x).mean_dim(1, false, None::<Kind>),
        }
    }

    pub(crate) fn head(&self) -> Option<&Linear> {
        self.head.as_ref()
    }

    /// Rates of stochastic depth by residual branch.
    pub(crate) fn drop_path_rates(&self) -> Vec<f64> {
        self.blocks.iter().flat_map(|block| [block.drop_path; 2]).collect()
    }
}

impl Block {
    fn build(builder: &mut Builder<'_>, spec: &MixerSpec, index: u32) -> Self {
        let width = i64::from(spec.shape.width);
        let patches = i64::try_from(spec.patches()).expect("patches are at most pixels");
        let (token_hidden, hidden) = (i64::from(spec.shape.tokens), i64::from(spec.shape.mlp));
        let last = f64::from(spec.shape.depth.saturating_sub(1).max(1));
        let mlp = |builder: &mut Builder<'_>, name: &str, from: i64, to: i64| {
            Mlp::build(builder, name, (from, to), spec.gelu, MlpInit::lecun(from, to))
        };
        builder.within(format!("blocks.{index}"), |builder| Self {
            norm1: Norm::build(builder, "norm1", width, NormKind::LayerNorm),
            tokens: mlp(builder, "mlp_tokens", patches, token_hidden),
            norm2: Norm::build(builder, "norm2", width, NormKind::LayerNorm),
            channels: mlp(builder, "mlp_channels", width, hidden),
            drop_path: spec.drop_path * f64::from(index) / last,
            first_branch: i64::from(2 * index),
        })
    }

    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        let mixed = self.norm1.forward(x).transpose(1, 2);
        let mixed = self.tokens.forward(&mixed, 0.0, 0, pass).transpose(1, 2);
        let x = x + pass.drop_path(mixed, self.drop_path, self.first_branch);
        let hidden = self.channels.forward(&self.norm2.forward(&x), 0.0, 0, pass);
        x + pass.drop_path(hidden, self.drop_path, self.first_branch + 1)
    }
}
