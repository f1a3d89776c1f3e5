//! Stochastic gradient descent with momentum as PyTorch has it, but with decoupled decay, as big_vision
//! fine-tunes (2010.11929, section 4.1). A momentum in bf16 is computed and used in f32.

use tch::Tensor;
use torch_ext::{SgdState, TorchError, fused_sgd};

use super::moment::FirstMoment;
use super::{Step, piece};
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
        for (range, rate) in step.pieces() {
            let mut params = piece(&step.flat.params, &range);
            let exp_avg = self.exp_avg.widened(&range, params.kind());
            if rate.weight_decay != 0.0 {
                // Before the kernel, which would add its own decay to the momentum.
                params *= 1.0 - rate.learning_rate * rate.weight_decay;
            }
            let state = SgdState {
                param: &params,
                grad: &piece(step.gradient, &range),
                // The kernel refuses a buffer that nothing is to be kept in.
                momentum: (self.spec.momentum > 0.0).then_some((&exp_avg, self.spec.momentum)),
                grad_scale: step.divisor,
            };
            fused_sgd(&state, rate.learning_rate, 0.0, self.spec.nesterov)?;
            self.exp_avg.keep(&range, &exp_avg);
        }
        Ok(())
    }

    pub(super) fn named(&self, flat: &Flat) -> Vec<(String, Tensor)> {
        self.exp_avg.named(flat)
    }
}
