//! AdamW (Loshchilov & Hutter, 1711.05101, algorithm 2, as PyTorch scales it). A first moment in bf16
//! is as in Scaling ViT (2106.04560, section 3.4): computed and used in f32, rounded when it is kept.

use tch::{Kind, Tensor};
use torch_ext::{AdamWState, TorchError, fused_adamw};

use super::moment::FirstMoment;
use super::{Step, piece};
use crate::flat::Flat;

#[derive(Debug)]
pub(super) struct AdamW {
    spec: spec::AdamW,
    exp_avg: FirstMoment,
    exp_avg_sq: Tensor,
    /// Number of the update, where the kernel reads it.
    number: Tensor,
}

impl AdamW {
    pub(super) fn new(spec: &spec::AdamW, flat: &Flat) -> Self {
        Self {
            spec: spec.clone(),
            exp_avg: FirstMoment::new(spec.first_moment, flat),
            exp_avg_sq: flat.params.zeros_like(),
            number: Tensor::zeros([], (Kind::Float, flat.params.device())),
        }
    }

    pub(super) fn apply(&mut self, step: &Step<'_>) -> Result<(), TorchError> {
        let _ = self.number.fill_(step.number as f64);
        for (range, rate) in step.pieces() {
            let param = piece(&step.flat.params, &range);
            let exp_avg = self.exp_avg.widened(&range, param.kind());
            let state = AdamWState {
                param: &param,
                grad: &piece(step.gradient, &range),
                exp_avg: &exp_avg,
                exp_avg_sq: &piece(&self.exp_avg_sq, &range),
                step: &self.number,
                grad_scale: step.divisor,
            };
            let betas = (self.spec.beta1, self.spec.beta2);
            fused_adamw(&state, rate.learning_rate, betas, self.spec.eps, rate.weight_decay)?;
            self.exp_avg.keep(&range, &exp_avg);
        }
        Ok(())
    }

    pub(super) fn named(&self, flat: &Flat) -> Vec<(String, Tensor)> {
        let mut named = self.exp_avg.named(flat);
        named.extend(flat.named("exp_avg_sq.", &self.exp_avg_sq));
        named
    }
}
