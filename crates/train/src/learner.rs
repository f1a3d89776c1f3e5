//! A model and its optimiser: one step, or a forward pass.

use data::random::noise_seed;
use data::{Draw, drop_path, mixup};
use models::{BindError, Model, Noise, Parameter, Pass, Watch};
use spec::{ModelSpec, Objective, Precision, Recipe, TrainSpec};
use tch::{Device, Tensor};
use torch_ext::TorchError;

use crate::feed::Batch;
use crate::flat::Flat;
use crate::gradient::{Gradients, Way, add, full, gradients};
use crate::objective::{Targets, loss};
use crate::optimiser::Update;
use crate::patches;

#[derive(Debug)]
pub struct Learner {
    pub(crate) device: Device,
    pub(crate) flat: Flat,
    pub(crate) update: Update,
    spec: ModelSpec,
    train: TrainSpec,
    /// Of noise: dropout, stochastic depth, mixup, corrupted patches.
    seed: u64,
    model: Model,
    leaves: Vec<Tensor>,
    drop_path_rates: Vec<f64>,
}

/// Scalars on the device, before the step's update.
#[derive(Debug)]
pub struct Measured {
    /// Mean loss of the batch, nats.
    pub loss: Tensor,
    pub gradient_norm: Tensor,
}

/// Examples `[first, first + count)` of a batch, mixed and with what is asked of them.
struct Part {
    images: Tensor,
    targets: Targets,
    corrupted: Option<models::Corrupted>,
    first: i64,
}

impl Learner {
    /// A freshly initialised model.
    ///
    /// # Errors
    /// None while a family's initial parameters are those that it binds.
    pub fn new(recipe: &Recipe, device: Device) -> Result<Self, BindError> {
        let mut initial = models::initial(&recipe.model, recipe.seed);
        if let Objective::Sigmoid { head_bias, .. } = recipe.train.objective {
            for parameter in initial.iter_mut().filter(|parameter| is_head_bias(parameter)) {
                let _ = parameter.tensor.fill_(head_bias);
            }
        }
        Self::of(&recipe.model, &recipe.train, recipe.seed, &initial, device)
    }

    /// A model with given parameters, which are copied.
    ///
    /// # Errors
    /// Parameters that are not the model's.
    pub fn of(
        spec: &ModelSpec,
        train: &TrainSpec,
        seed: u64,
        parameters: &[Parameter],
        device: Device,
    ) -> Result<Self, BindError> {
        let multiplier = |parameter: &Parameter| models::rate_multiplier(spec, parameter);
        let flat = Flat::new(parameters, &multiplier, device);
        let leaves = flat.leaves();
        let model = Model::bind(spec, &leaves)?;
        Ok(Self {
            device,
            update: Update::new(train, &flat),
            flat,
            spec: spec.clone(),
            train: train.clone(),
            seed,
            drop_path_rates: model.drop_path_rates(),
            model,
            leaves: leaves.into_iter().map(|leaf| leaf.tensor).collect(),
        })
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
        let size = batch.images.size()[0];
        let micro = self.train.micro_batch.map_or(size, i64::from).min(size);
        let mixed = self.mixed(batch, step);
        let (mut total_loss, mut total) = (None, None);
        for first in (0..size).step_by(usize::try_from(micro).unwrap_or(1)) {
            let part = self.part(batch, &mixed, first, micro.min(size - first));
            let share = part.images.size()[0] as f64 / size as f64;
            let Gradients { loss, of_leaves } = self.gradients(&part, size, step, share)?;
            add(&mut total_loss, Some(loss));
            add(&mut total, Some(self.flat.gather(&of_leaves)));
        }
        let (loss, gradient) = total_loss.zip(total).expect("a batch has an example");
        let gradient_norm = self.update.apply(&self.flat, &gradient, step, learning_rate)?;
        Ok(Measured { loss, gradient_norm })
    }

    /// The parameters as they are, by name; they share the learner's memory.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.flat.views(&self.flat.params)
    }

    /// The batch weighed against itself, rolled by one, and the share of the first; None without
    /// mixup.
    fn mixed(&self, batch: &Batch, step: u64) -> Option<(Tensor, Tensor, f64)> {
        (self.train.mixup > 0.0).then(|| {
            let share = mixup::share(self.seed, self.train.mixup, step);
            let rolled = batch.images.roll([1], [0]);
            let images = &batch.images * share + rolled * (1.0 - share);
            (images, batch.labels.roll([1], [0]), share)
        })
    }

    fn part(
        &self,
        batch: &Batch,
        mixed: &Option<(Tensor, Tensor, f64)>,
        first: i64,
        count: i64,
    ) -> Part {
        let of = |tensor: &Tensor| tensor.narrow(0, first, count);
        let (images, labels) = (of(&batch.images), of(&batch.labels));
        if let (Objective::MaskedPatch { share }, ModelSpec::Vit(vit)) =
            (self.train.objective, &self.spec)
        {
            let draws = &batch.draws[range(first, count)];
            let (corrupted, targets) = patches::task(&images, draws, vit.patch, self.seed, share);
            return Part { images, targets, corrupted: Some(corrupted), first };
        }
        let (images, targets) = match mixed {
            None => (images, Targets::Labels(labels)),
            Some((images, second, share)) => {
                (of(images), Targets::Mixed { share: *share, first: labels, second: of(second) })
            }
        };
        Part { images, targets, corrupted: None, first }
    }

    /// Of the part's loss times `share`, its part of the batch.
    fn gradients(
        &self,
        part: &Part,
        batch: i64,
        step: u64,
        share: f64,
    ) -> Result<Gradients, TorchError> {
        let seed = |site: u32| noise_seed(self.seed, step, site.into());
        let noise = Noise {
            seed: &seed,
            batch,
            first: part.first,
            keeps: self.keeps(step, part.first, part.images.size()[0]),
        };
        let pass = Pass { noise: Some(&noise), corrupted: part.corrupted.as_ref(), watch: None };
        let loss_of = |logits: &Tensor| {
            let loss = loss(&self.train.objective, logits, &part.targets);
            if share < 1.0 { loss * share } else { loss }
        };
        gradients(&self.model, &self.leaves, &part.images, &pass, self.way(), &loss_of)
    }

    fn keeps(&self, step: u64, first: i64, count: i64) -> Option<Tensor> {
        let rates = &self.drop_path_rates;
        rates.iter().any(|&rate| rate > 0.0).then(|| {
            let place = |place: i64| u32::try_from(place).expect("batches are counted in 32 bits");
            let places = place(first)..place(first + count);
            let keeps = drop_path::keeps(self.seed, rates, step, places);
            let keeps: Vec<f32> = keeps.into_iter().map(|keep| f32::from(u8::from(keep))).collect();
            let branches = rates.len() as u64 as i64;
            Tensor::from_slice(&keeps).view([branches, count]).to_device(self.device)
        })
    }

    fn way(&self) -> Way {
        Way {
            checkpoint: self.train.checkpoint_activations,
            bf16: (self.train.precision == Precision::Bf16).then_some(self.device),
        }
    }

    /// The model to evaluate: with the moving average of the parameters where there is one.
    ///
    /// # Errors
    /// None; see [`Self::new`].
    pub(crate) fn evaluated(&self) -> Result<Evaluated<'_>, BindError> {
        let parameters = self.flat.views(self.update.average().unwrap_or(&self.flat.params));
        Ok(Evaluated { model: Model::bind(&self.spec, &parameters)?, learner: self })
    }
}

/// A model as it is evaluated.
pub(crate) struct Evaluated<'a> {
    model: Model,
    pub(crate) learner: &'a Learner,
}

impl Evaluated<'_> {
    /// Logits in f32, and what is asked for of validation examples from `first` on.
    ///
    /// # Errors
    /// What libtorch says.
    pub(crate) fn logits(
        &self,
        images: &Tensor,
        labels: Tensor,
        first: u64,
        watch: Option<&Watch>,
    ) -> Result<(Tensor, Targets), TorchError> {
        let Learner { train, spec, .. } = self.learner;
        let (corrupted, targets) = match (train.objective, spec) {
            (Objective::MaskedPatch { share }, ModelSpec::Vit(vit)) => {
                let count = usize::try_from(images.size()[0]).expect("a size");
                let draws: Vec<Draw> = patches::validation_draws(first, count);
                // Of no trial's seed: every trial is asked for the same patches.
                let (corrupted, targets) = patches::task(images, &draws, vit.patch, 0, share);
                (Some(corrupted), targets)
            }
            _ => (None, Targets::Labels(labels)),
        };
        let _autocast = self.learner.way().autocast()?;
        let pass = Pass { noise: None, corrupted: corrupted.as_ref(), watch };
        Ok((full(&self.model.forward(images, &pass)), targets))
    }

    pub(crate) fn objective(&self) -> &Objective {
        &self.learner.train.objective
    }
}

fn is_head_bias(parameter: &Parameter) -> bool {
    parameter.name == "head.bias" || parameter.name == "head.fc.bias"
}

fn range(first: i64, count: i64) -> std::ops::Range<usize> {
    let place = |place: i64| usize::try_from(place).expect("a place in a batch");
    place(first)..place(first + count)
}

#[cfg(test)]
mod tests;
