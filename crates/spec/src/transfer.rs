//! Evaluations of a trial's checkpoint on another task: what the field calls transfer.
//!
//! They are no part of a trial: a sweep may ask for more of them later, and its trials stay the same.

use serde::{Deserialize, Serialize};

use crate::data::DataSpec;
use crate::model::{HybridSpec, ModelError, ModelSpec, Pool};

/// One evaluation: a task, and what is done with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferSpec {
    /// Begins the names of the measurements, as in `cifar10_few_shot_10_error`; None: nothing does.
    pub name: Option<String>,
    /// Where the task's examples come from, at its resolution.
    pub data: DataSpec,
    /// Classes of the task.
    pub classes: u32,
    /// Test examples: the first ones of the task's validation stream.
    pub examples: u64,
    pub method: TransferMethod,
}

/// How a checkpoint is measured on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TransferMethod {
    /// Of frozen features, without training.
    FewShot(FewShot),
    /// Of frozen features, by a classifier that is trained.
    LinearProbe(LinearProbe),
    /// All parameters are trained.
    FineTune(FineTune),
}

/// Ridge regression on frozen features in closed form, big_vision's `fewshot_lsr` (2010.11929,
/// section 4.1; 2106.04560, section 2). Measures `few_shot_<shots>_error`, the mean over draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewShot {
    /// Examples of each class.
    pub shots: Vec<u32>,
    /// How often the examples are drawn anew.
    pub draws: u32,
    /// Weight of the squared norm of the solution.
    pub l2: f64,
    /// Examples of the train stream that the draws are made from.
    pub pool: u64,
}

/// A linear classifier on frozen features by SGD with momentum 0.9 and a cosine from
/// `learning_rate` (2302.05442, section 4.1). Measures `linear_probe_error` and `linear_probe_loss`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearProbe {
    /// Examples of the train stream.
    pub unique_examples: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Examples per step.
    pub batch: u32,
    /// Peak learning rate, of gradients of the mean loss in features of unit spread.
    pub learning_rate: f64,
}

/// All parameters and a new classifier by SGD with momentum 0.9, clipping at norm 1, no decay, a
/// warm-up and a cosine, at a resolution of its own (2010.11929, section 3.2 and appendix B.1.1).
/// Measures `fine_tune_error` and `fine_tune_loss`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTune {
    /// Examples of the train stream.
    pub unique_examples: u64,
    /// Optimiser steps, the warm-up included.
    pub steps: u64,
    /// Examples per step.
    pub batch: u32,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up from zero; fewer than `steps`.
    pub warmup: u64,
    /// How position embeddings come to the task's grid.
    pub resample: Resample,
}

/// How position embeddings are brought to another grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resample {
    /// With aligned corners: big_vision's.
    #[default]
    Bilinear,
    /// Antialiased, corners not aligned: timm's.
    Bicubic,
}

impl TransferSpec {
    /// Steps of the segment: those of training, or one where nothing is trained.
    pub const fn steps(&self) -> u64 {
        match &self.method {
            TransferMethod::FewShot(_) => 1,
            TransferMethod::LinearProbe(probe) => probe.steps,
            TransferMethod::FineTune(tune) => tune.steps,
        }
    }

    /// The model that the task runs, at its resolution.
    ///
    /// Frozen features are those of the trial's model, of which it lacks the classifier alone: a tanh
    /// layer, a mask token and no pooling stay.
    ///
    /// Fine-tuning puts one new classifier in the place of the last two layers and leaves out what
    /// served pre-training alone. That is also muP's rule for rates, which is Adam's and not that of
    /// SGD; its scale of attention is kept, and with it `mup`: whoever sets rates by it must ask
    /// [`crate::Optimiser::is_adam`].
    pub fn model(&self, of_trial: &ModelSpec) -> ModelSpec {
        match &self.method {
            TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_) => {
                of_trial.adapted(self.data.resolution(), 0)
            }
            TransferMethod::FineTune(_) => self.tuned(of_trial),
        }
    }

    fn tuned(&self, of_trial: &ModelSpec) -> ModelSpec {
        let mut model = of_trial.adapted(self.data.resolution(), self.classes);
        if let ModelSpec::Vit(vit) | ModelSpec::Hybrid(HybridSpec { vit, .. }) = &mut model {
            (vit.pre_logits, vit.mask_token) = (false, false);
            vit.mup = vit.mup.filter(|mup| mup.base_head.is_some());
            if vit.pool == Pool::None {
                vit.pool = Pool::Gap;
            }
        }
        model
    }

    /// # Errors
    /// A task whose images the trial's model cannot read.
    pub fn check(&self, of_trial: &ModelSpec) -> Result<(), ModelError> {
        match of_trial {
            ModelSpec::Mixer(mixer) if mixer.resolution != self.data.resolution() => {
                Err(ModelError::FixedResolution { resolution: mixer.resolution })
            }
            _ => self.model(of_trial).check(),
        }
    }

    /// How position embeddings come to the task's grid.
    pub const fn resample(&self) -> Resample {
        match &self.method {
            TransferMethod::FineTune(tune) => tune.resample,
            TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_) => Resample::Bilinear,
        }
    }

    /// FLOPs: passes over the task's examples, and those of training. The arithmetic on features
    /// alone is not counted.
    pub fn flops(&self, of_trial: &ModelSpec) -> f64 {
        let forward = self.model(of_trial).forward_flops() as f64;
        let examples = match &self.method {
            TransferMethod::FewShot(few) => few.pool as f64,
            TransferMethod::LinearProbe(probe) => probe.unique_examples as f64,
            TransferMethod::FineTune(tune) => 3.0 * tune.steps as f64 * f64::from(tune.batch),
        };
        forward * (examples + self.examples as f64)
    }

    /// A measurement's full name.
    pub fn metric(&self, name: &str) -> String {
        match &self.name {
            Some(prefix) => format!("{}_{name}", prefix.replace('-', "_")),
            None => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ProceduralSpec;
    use crate::model::{Mup, VitSpec};
    use crate::shape::NamedShape;

    fn transfer(method: TransferMethod) -> TransferSpec {
        let data = DataSpec::Procedural(ProceduralSpec {
            resolution: 32,
            classes: 7,
            first_class: 0,
            difficulty: 1.0,
            seed: 0,
        });
        TransferSpec { name: None, data, classes: 7, examples: 100, method }
    }

    /// A model of masked patches with all that pre-training may have.
    fn of_trial(base_head: Option<u32>) -> VitSpec {
        let shape = NamedShape::published("mu").unwrap();
        VitSpec {
            pool: Pool::None,
            mask_token: true,
            pre_logits: true,
            mup: Some(Mup { base_width: 16, base_head }),
            ..VitSpec::new(shape, 8, 16, 512)
        }
    }

    #[test]
    fn features_are_those_of_the_trials_model_and_cost_its_passes() {
        let probe = LinearProbe { unique_examples: 60, steps: 5, batch: 4, learning_rate: 0.1 };
        let few = FewShot { shots: vec![1], draws: 1, l2: 1.0, pool: 60 };
        let expected = VitSpec { resolution: 32, classes: 0, ..of_trial(None) };
        let expected = ModelSpec::Vit(expected);
        for method in [TransferMethod::LinearProbe(probe), TransferMethod::FewShot(few)] {
            let transfer = transfer(method);
            let of_trial = ModelSpec::Vit(of_trial(None));
            assert_eq!(transfer.model(&of_trial), expected);
            assert_eq!(transfer.flops(&of_trial), 160.0 * expected.forward_flops() as f64);
        }
    }

    #[test]
    fn fine_tuning_has_a_new_classifier_and_no_rates_of_adam() {
        let transfer = transfer(TransferMethod::FineTune(FineTune {
            unique_examples: 60,
            steps: 5,
            batch: 4,
            learning_rate: 0.1,
            warmup: 0,
            resample: Resample::default(),
        }));
        let plain = VitSpec::new(NamedShape::published("mu").unwrap(), 8, 32, 7);
        let tuned = transfer.model(&ModelSpec::Vit(of_trial(None)));
        assert_eq!(tuned, ModelSpec::Vit(plain.clone()));
        let mup = of_trial(Some(8)).mup;
        let tuned = transfer.model(&ModelSpec::Vit(of_trial(Some(8))));
        assert_eq!(tuned, ModelSpec::Vit(VitSpec { mup, ..plain }));
    }
}
