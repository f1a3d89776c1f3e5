//! Model families: a spec and named parameters in, logits out. One file per family, written over
//! the primitives of `layers` and plain structs of tensors, so that nothing hides state.
//!
//! A model does not own how its parameters are stored: it is bound to tensors that the caller made,
//! in the names, shapes and order of timm's state dicts, so that weights travel.

mod init;
mod layers;
mod parameters;
mod vit;

use spec::ModelSpec;
use tch::Tensor;

pub use parameters::{BindError, Parameter};
use vit::Vit;

/// Initial parameters on the CPU, f32, in the order of timm's state dict. Each depends on the seed
/// and its own name alone.
pub fn initial(spec: &ModelSpec, seed: u64) -> Vec<Parameter> {
    match spec {
        ModelSpec::Vit(vit) => vit::initial(vit, seed),
    }
}

/// A model bound to its parameters.
#[derive(Debug)]
pub enum Model {
    Vit(Vit),
}

impl Model {
    /// Binds `parameters`, in whatever order, kind (f32, f64) and place they are; they are shared,
    /// not copied.
    ///
    /// # Errors
    /// A parameter that is missing, of another shape, or not of this model.
    pub fn bind(spec: &ModelSpec, parameters: &[Parameter]) -> Result<Self, BindError> {
        match spec {
            ModelSpec::Vit(vit) => Vit::bind(vit, parameters).map(Self::Vit),
        }
    }

    /// Images `[batch, 3, resolution, resolution]` in [-1, 1] to logits `[batch, classes]`.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        match self {
            Self::Vit(vit) => vit.forward(images),
        }
    }
}
