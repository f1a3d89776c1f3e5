//! A model and its optimiser: one step, or a forward pass.

use models::{BindError, Model};
use spec::{Precision, Recipe};
use tch::{Device, Kind, Reduction, Tensor};
use torch_ext::{Autocast, TorchError};

use crate::feed::Batch;
use crate::flat::Flat;
use crate::optimiser::Update;

#[derive(Debug)]
pub struct Learner {
    pub(crate) device: Device,
    pub(crate) flat: Flat,
    model: Model,
    leaves: Vec<Tensor>,
    update: Update,
    precision: Precision,
}

/// Scalars on the device, before the step's update.
#[derive(Debug)]
pub struct Measured {
    /// Mean cross-entropy of the batch, nats.
    pub loss: Tensor,
    pub gradient_norm: Tensor,
}

impl Learner {
    /// A freshly initialised model.
    ///
    /// # Errors
    /// None while a family's initial parameters are those that it binds.
    pub fn new(recipe: &Recipe, device: Device) -> Result<Self, BindError> {
        let flat = Flat::new(&models::initial(&recipe.model, recipe.seed), device);
        let leaves = flat.leaves();
        let model = Model::bind(&recipe.model, &leaves)?;
        let update = Update::new(&recipe.train, device);
        let leaves = leaves.into_iter().map(|leaf| leaf.tensor).collect();
        Ok(Self { device, flat, model, leaves, update, precision: recipe.train.precision })
    }

    /// One optimiser step after `step` finished ones. Nothing here waits for the device.
    ///
    /// # Errors
    /// What libtorch says; shapes that do not fit each other panic.
    pub fn step(
        &mut self,
        batch: &Batch,
        step: u64,
        learning_rate: f64,
    ) -> Result<Measured, TorchError> {
        let loss = self.logits(&batch.images)?.cross_entropy_loss::<Tensor>(
            &batch.labels,
            None,
            Reduction::Mean,
            -100,
            0.0,
        );
        let gradients = Tensor::run_backward(&[&loss], &self.leaves, false, false);
        let gradient = self.flat.gather(&gradients);
        let gradient_norm = self.update.apply(&self.flat, &gradient, step, learning_rate)?;
        Ok(Measured { loss: loss.detach(), gradient_norm })
    }

    /// Logits `[batch, classes]` in f32.
    ///
    /// # Errors
    /// What libtorch says.
    pub(crate) fn logits(&self, images: &Tensor) -> Result<Tensor, TorchError> {
        let _autocast = match self.precision {
            Precision::F32 => None,
            Precision::Bf16 => Some(Autocast::bf16(self.device)?),
        };
        Ok(self.model.forward(images).to_kind(Kind::Float))
    }
}
