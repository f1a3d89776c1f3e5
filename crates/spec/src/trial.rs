//! A trial: one point of a sweep.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::DataSpec;
use crate::id::{Id, TrialId};
use crate::model::ModelSpec;
use crate::schedule::{Decay, Schedule};
use crate::train::{EvalSpec, TrainSpec, WeightDecay};
use crate::transfer::TransferSpec;

/// Everything that decides how a model trains, except for how long. Trials with one recipe differ
/// only in length, and may share a trunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub format: u32,
    pub data: DataSpec,
    /// D: the first this many examples of one seeded permutation, so that subsets are nested.
    pub unique_examples: u64,
    pub model: ModelSpec,
    pub train: TrainSpec,
    pub eval: EvalSpec,
    /// Seeds initialisation, order of examples and augmentation.
    pub seed: u64,
}

/// One point: a recipe and a length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialSpec {
    /// Shared: a large sweep has as many trials and segments of one recipe as it has lengths.
    #[serde(with = "crate::shared")]
    pub recipe: Arc<Recipe>,
    /// Optimiser steps in all, cooldown included.
    pub steps: u64,
    /// Of these, the steps of the linear cooldown at the end; 0 is none.
    pub cooldown: u64,
}

impl Recipe {
    /// FLOPs of one optimiser step. A float, as every sum of FLOPs is: a paper's largest trials
    /// exceed 2^64.
    pub fn step_flops(&self) -> f64 {
        self.model.train_flops_per_example() as f64 * f64::from(self.train.batch)
    }

    /// Names what a step takes in time and memory: recipes that differ in seed, amount of data, rates,
    /// schedule or when they evaluate have it in common. Of an evaluation on another task, with that.
    pub fn workload_id(&self, transfer: Option<&TransferSpec>) -> Id {
        let mut recipe = self.clone();
        (recipe.seed, recipe.unique_examples) = (0, 0);
        (recipe.eval.examples, recipe.eval.every) = (0, None);
        recipe.train.learning_rate = 0.0;
        recipe.train.weight_decay = WeightDecay::NONE;
        recipe.train.schedule = Schedule { decay: Decay::Constant, warmup: 0 };
        match transfer {
            None => Id::of(&recipe),
            Some(transfer) => Id::of(&(recipe, transfer)),
        }
    }
}

impl TrialSpec {
    /// The recipe, to be changed for this trial alone.
    pub fn recipe_mut(&mut self) -> &mut Recipe {
        Arc::make_mut(&mut self.recipe)
    }

    pub fn id(&self) -> TrialId {
        TrialId(Id::of(self))
    }

    /// Examples that training reads, repeats counted.
    pub fn examples_seen(&self) -> u64 {
        self.steps * u64::from(self.recipe.train.batch)
    }

    /// C: what the trial costs when trained alone.
    pub fn train_flops(&self) -> f64 {
        self.steps as f64 * self.recipe.step_flops()
    }
}
