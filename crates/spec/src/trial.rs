//! A trial: one point of a sweep.

use serde::{Deserialize, Serialize};

use crate::data::DataSpec;
use crate::id::{Id, TrialId};
use crate::model::ModelSpec;
use crate::train::{EvalSpec, TrainSpec};

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
    pub recipe: Recipe,
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
}

impl TrialSpec {
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
