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
use crate::patches::{self, Task};

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

/// A batch as a step sees it. What comes from the host is made once, before the first pass.
struct Prepared<'a> {
    batch: &'a Batch,
    step: u64,
    mixed: Option<Mixed>,
    task: Option<Task>,
    /// See [`Noise::keeps`], of the whole batch.
    keeps: Option<Tensor>,
}

/// The batch weighed against itself, rolled by one.
struct Mixed {
    images: Tensor,
    /// Labels of the other part.
    labels: Tensor,
    /// Weight of the batch's own labels.
    share: f64,
}

impl Learner {
    /// A freshly initialised model.
    ///
    /// # Errors
    /// None while a family's initial parameters are those that it binds.
    pub fn new(recipe: &Recipe, device: Device) -> Result<Self, BindError> {
        let mut initial = models::initial(&recipe.model, recipe.seed);
        if let Objective::Sigmoid { head_bias, .. } = recipe.train.objective {
            let is_bias = |p: &&mut Parameter| p.is_head() && p.name.ends_with(".bias");
            for parameter in initial.iter_mut().filter(is_bias) {
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
        // muP's rates are of Adam and its kin (2203.03466, table 8).
        let multiplier = |parameter: &Parameter| match train.optimiser.is_adam() {
            true => models::rate_multiplier(spec, parameter),
            false => 1.0,
        };
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
        let prepared = self.prepared(batch, step);
        let (mut total_loss, mut total) = (None, None);
        for first in (0..size).step_by(usize::try_from(micro).unwrap_or(1)) {
            let count = micro.min(size - first);
            let Gradients { loss, of_leaves } = self.gradients(&prepared, first, count)?;
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

    fn prepared<'a>(&self, batch: &'a Batch, step: u64) -> Prepared<'a> {
        Prepared {
            batch,
            step,
            mixed: self.mixed(batch, step),
            task: self.task(&batch.images, &batch.draws, self.seed),
            keeps: self.keeps(step, batch.images.size()[0]),
        }
    }

    fn mixed(&self, batch: &Batch, step: u64) -> Option<Mixed> {
        (self.train.mixup > 0.0).then(|| {
            let share = mixup::share(self.seed, self.train.mixup, step);
            let rolled = batch.images.roll([1], [0]);
            Mixed {
                images: &batch.images * share + rolled * (1.0 - share),
                labels: batch.labels.roll([1], [0]),
                share,
            }
        })
    }

    /// What is corrupted and asked for where the objective is to predict patches.
    fn task(&self, images: &Tensor, draws: &[Draw], seed: u64) -> Option<Task> {
        let Objective::MaskedPatch { share } = self.train.objective else { return None };
        let ModelSpec::Vit(vit) = &self.spec else { return None };
        Some(Task::new(images, draws, vit.patch, seed, share))
    }

    /// Of the `count` examples from `first` on, weighed by their part of the batch.
    fn gradients(
        &self,
        prepared: &Prepared<'_>,
        first: i64,
        count: i64,
    ) -> Result<Gradients, TorchError> {
        let Prepared { batch, step, mixed, task, keeps } = prepared;
        let of = |tensor: &Tensor| tensor.narrow(0, first, count);
        let images = of(mixed.as_ref().map_or(&batch.images, |mixed| &mixed.images));
        let (corrupted, targets) = match (task, mixed) {
            (Some(task), _) => {
                let (corrupted, targets) = task.part(first, count);
                (Some(corrupted), targets)
            }
            (None, None) => (None, Targets::Labels(of(&batch.labels))),
            (None, Some(Mixed { labels, share, .. })) => {
                let (first, second) = (of(&batch.labels), of(labels));
                (None, Targets::Mixed { share: *share, first, second })
            }
        };
        // Purposes never share numbers, and sites are few: the block goes above them.
        let seed = |site: u32, block: i64| {
            let site = u64::from(site) | block.unsigned_abs() << u32::BITS;
            noise_seed(self.seed, *step, site)
        };
        let keeps = keeps.as_ref().map(|keeps| keeps.narrow(1, first, count));
        let noise = Noise { seed: &seed, first, keeps };
        let pass = Pass { noise: Some(&noise), corrupted: corrupted.as_ref(), watch: None };
        let share = count as f64 / batch.images.size()[0] as f64;
        let loss_of = |logits: &Tensor| {
            let loss = loss(&self.train.objective, logits, &targets);
            if share < 1.0 { loss * share } else { loss }
        };
        gradients(&self.model, &self.leaves, &images, &pass, self.way(), &loss_of)
    }

    fn keeps(&self, step: u64, batch: i64) -> Option<Tensor> {
        let rates = &self.drop_path_rates;
        rates.iter().any(|&rate| rate > 0.0).then(|| {
            let places = 0..u32::try_from(batch).expect("batches are counted in 32 bits");
            let keeps = drop_path::keeps(self.seed, rates, step, places);
            let keeps: Vec<f32> = keeps.into_iter().map(|keep| f32::from(u8::from(keep))).collect();
            Tensor::from_slice(&keeps).view([-1, batch]).to_device(self.device)
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
    learner: &'a Learner,
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
        let count = images.size()[0];
        let draws = patches::validation_draws(first, usize::try_from(count).expect("a size"));
        // Of no trial's seed: every trial is asked for the same patches.
        let (corrupted, targets) = match self.learner.task(images, &draws, 0) {
            Some(task) => {
                let (corrupted, targets) = task.part(0, count);
                (Some(corrupted), targets)
            }
            None => (None, Targets::Labels(labels)),
        };
        let _autocast = self.learner.way().autocast()?;
        let pass = Pass { noise: None, corrupted: corrupted.as_ref(), watch };
        Ok((full(&self.model.forward(images, &pass)), targets))
    }

    pub(crate) fn objective(&self) -> &Objective {
        &self.learner.train.objective
    }
}

#[cfg(test)]
mod tests;
