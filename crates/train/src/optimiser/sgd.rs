//! Stochastic gradient descent with momentum as PyTorch has it, but with decoupled decay, as big_vision
//! fine-tunes (2010.11929, section 4.1). A momentum in bf16 is computed and used in f32.

use tch::Tensor;
use torch_ext::{SgdState, TorchError, fused_sgd};

use super::Step;
use super::moment::FirstMoment;
use crate::flat::Flat;

#[derive(Debug)]
pub(super) struct Sgd {
    spec: spec::Sgd,
    exp_avg: FirstMoment,
}

impl Sgd {
    pub(super) fn new(spec: &spec::Sgd, flat: &Flat) -> Self {
        Self { spec: spec.clone(), exp_avg: FirstMoment::new(spec.first_moment, flat) }
    }

    pub(super) fn apply(&mut self, step: &Step<'_>) -> Result<(), TorchError> {
        let exp_avg = self.exp_avg.widened(step.flat.params.kind());
        for (group, rate) in step.groups() {
            let mut params = group.of(&step.flat.params);
            if rate.weight_decay != 0.0 {
                // Before the kernel, which would add its own decay to the momentum.
                params *= 1.0 - rate.learning_rate * rate.weight_decay;
            }
            let buffer = group.of(&exp_avg);
            let state = SgdState {
                param: &params,
                grad: &group.of(step.gradient),
                // The kernel refuses a buffer that nothing is to be kept in.
                momentum: (self.spec.momentum > 0.0).then_some((&buffer, self.spec.momentum)),
                grad_scale: step.divisor,
            };
            fused_sgd(&state, rate.learning_rate, 0.0, self.spec.nesterov)?;
        }
        self.exp_avg.keep(&exp_avg);
        Ok(())
    }

    pub(super) fn named(&self, flat: &Flat) -> Vec<(String, Tensor)> {
        self.exp_avg.named(flat)
    }
}
