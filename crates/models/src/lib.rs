//! Model families: a spec and named parameters in, logits out. One file per family, written over a
//! handful of primitives and plain structs of tensors, so that nothing hides state.
//!
//! A model does not own how its parameters are stored: it is bound to tensors that the caller made,
//! in the names, shapes and order of timm's state dicts, so that weights travel.

mod bit;
mod block;
mod hybrid;
mod init;
mod layers;
mod mixer;
mod parameters;
mod pass;
mod positions;
mod resnet;
mod vit;

use bit::Bit;
use mixer::Mixer;
use spec::{HybridSpec, ModelSpec, Mup, VitSpec};
use tch::{Kind, Tensor};
use vit::Vit;

use parameters::Builder;
pub use parameters::{BindError, Mismatch, Parameter};
pub use pass::{Corrupted, DROPOUT_BLOCK, Noise, Pass, Watch, Watched};
pub use positions::resample;

/// Initial parameters on the CPU, f32, in the order of timm's state dict. Each depends on the seed
/// and its own name alone.
pub fn initial(spec: &ModelSpec, seed: u64) -> Vec<Parameter> {
    let mut builder = Builder::fresh(seed);
    Network::build(&mut builder, spec);
    builder.made()
}

/// What a parameter's learning rate is multiplied by: 1, but for the matrices of a model under maximal
/// update parametrisation (2203.03466, table 8), whose rate falls with the width.
pub fn rate_multiplier(spec: &ModelSpec, parameter: &Parameter) -> f64 {
    let (ModelSpec::Vit(vit) | ModelSpec::Hybrid(HybridSpec { vit, .. })) = spec else {
        return 1.0;
    };
    let is_matrix = parameter.name.ends_with(".weight") && parameter.tensor.dim() == 2;
    match vit.mup {
        Some(Mup { base_width, .. }) if is_matrix => {
            f64::from(base_width) / f64::from(vit.shape.shape.width)
        }
        Some(_) | None => 1.0,
    }
}

/// A model bound to its parameters: a chain of stages from images to features, and a classifier.
/// Cutting the chain between stages is what activation checkpointing does.
#[derive(Debug)]
pub struct Model {
    network: Network,
}

#[derive(Debug)]
enum Network {
    Vit(Box<Vit>),
    Bit(Bit),
    Mixer(Mixer),
}

impl Model {
    /// Binds `parameters`, in whatever order, kind (f32, f64) and place they are; they are shared,
    /// not copied.
    ///
    /// # Errors
    /// Every parameter that is missing, of another shape, or not of this model.
    pub fn bind(spec: &ModelSpec, parameters: &[Parameter]) -> Result<Self, BindError> {
        let mut builder = Builder::given(parameters);
        let network = Network::build(&mut builder, spec);
        builder.finish()?;
        Ok(Self { network })
    }

    /// Images `[batch, 3, resolution, resolution]` in [-1, 1] to logits `[batch, classes]`, or
    /// `[batch, tokens, classes]` where nothing is pooled; to features where there is no classifier.
    pub fn forward(&self, images: &Tensor, pass: &Pass<'_>) -> Tensor {
        self.logits(&self.unpooled_features(images, pass))
    }

    /// What the classifier reads, `[batch, features]`: the mean over tokens where nothing is pooled.
    pub fn features(&self, images: &Tensor, pass: &Pass<'_>) -> Tensor {
        pooled(self.unpooled_features(images, pass))
    }

    /// [`Self::forward`] and [`Self::features`] of one pass.
    pub fn forward_with_features(&self, images: &Tensor, pass: &Pass<'_>) -> (Tensor, Tensor) {
        let features = self.unpooled_features(images, pass);
        (self.logits(&features), pooled(features))
    }

    fn unpooled_features(&self, images: &Tensor, pass: &Pass<'_>) -> Tensor {
        (0..self.n_stages()).fold(images.shallow_clone(), |x, number| self.stage(number, &x, pass))
    }

    pub fn n_stages(&self) -> usize {
        match &self.network {
            Network::Vit(vit) => vit.n_stages(),
            Network::Bit(bit) => bit.n_stages(),
            Network::Mixer(mixer) => mixer.n_stages(),
        }
    }

    /// One stage: images into the first, features out of the last.
    pub fn stage(&self, number: usize, x: &Tensor, pass: &Pass<'_>) -> Tensor {
        match &self.network {
            Network::Vit(vit) => vit.stage(number, x, pass),
            Network::Bit(bit) => bit.stage(number, x),
            Network::Mixer(mixer) => mixer.stage(number, x, pass),
        }
    }

    /// The classifier's logits of what the last stage gave.
    pub fn logits(&self, features: &Tensor) -> Tensor {
        let head = match &self.network {
            Network::Vit(vit) => vit.head(),
            Network::Mixer(mixer) => mixer.head(),
            Network::Bit(bit) => return bit.logits(features),
        };
        head.map_or_else(|| features.shallow_clone(), |head| head.forward(features))
    }

    /// Rates of stochastic depth, residual branch by residual branch.
    pub fn drop_path_rates(&self) -> Vec<f64> {
        match &self.network {
            Network::Vit(vit) => vit.drop_path_rates(),
            Network::Mixer(mixer) => mixer.drop_path_rates(),
            Network::Bit(_) => Vec::new(),
        }
    }
}

/// The mean over tokens where there are several.
fn pooled(features: Tensor) -> Tensor {
    if features.dim() == 3 { features.mean_dim(1, false, None::<Kind>) } else { features }
}

impl Network {
    fn build(builder: &mut Builder<'_>, spec: &ModelSpec) -> Self {
        let grid = |vit: &VitSpec| i64::from(vit.resolution / vit.patch);
        match spec {
            ModelSpec::Vit(vit) => Self::Vit(Box::new(Vit::build(builder, vit, None, grid(vit)))),
            ModelSpec::Hybrid(hybrid) => {
                let grid = i64::from(hybrid.grid() / hybrid.vit.patch);
                Self::Vit(Box::new(Vit::build(builder, &hybrid.vit, Some(&hybrid.stem), grid)))
            }
            ModelSpec::Bit(bit) => Self::Bit(Bit::build(builder, bit)),
            ModelSpec::Mixer(mixer) => Self::Mixer(Mixer::build(builder, mixer)),
        }
    }
}
