//! AdamW with clipping by the global norm, over a [`Flat`], without a host synchronisation.

use spec::{AdamW, Optimiser, TrainSpec};
use tch::{Device, Kind, Tensor};
use torch_ext::{AdamWState, TorchError, fused_adamw};

use crate::flat::{Decay, Flat};

/// What a step needs beside the gradient; scalars live on the device.
#[derive(Debug)]
pub(crate) struct Update {
    adamw: AdamW,
    decay_body: f64,
    decay_head: f64,
    clip: Option<f64>,
    number: Tensor,
    learning_rate: Tensor,
}

/// As in PyTorch's `clip_grad_norm_`: a norm of zero must not be divided by.
const NORM_EPS: f64 = 1e-6;

impl Update {
    pub(crate) fn new(train: &TrainSpec, device: Device) -> Self {
        let Optimiser::Adamw(adamw) = train.optimiser.clone();
        let scalar = || Tensor::zeros([], (Kind::Float, device));
        Self {
            adamw,
            decay_body: train.weight_decay.body,
            decay_head: train.weight_decay.head,
            clip: train.clip,
            number: scalar(),
            learning_rate: scalar(),
        }
    }

    /// Applies `gradient` (clipped in place) as the update after `step` finished ones, and returns
    /// its norm before clipping, a scalar on the device.
    pub(crate) fn apply(
        &mut self,
        flat: &Flat,
        gradient: &Tensor,
        step: u64,
        learning_rate: f64,
    ) -> Result<Tensor, TorchError> {
        let norm = gradient.norm();
        let grad_scale = self.clip.map(|clip| ((&norm + NORM_EPS) / clip).clamp_min_(1.0));
        let _ = self.number.fill_((step + 1) as f64);
        let _ = self.learning_rate.fill_(learning_rate);
        for (decay, range) in &flat.groups {
            let part = |buffer: &Tensor| buffer.narrow(0, range.start, range.end - range.start);
            let state = AdamWState {
                param: &part(&flat.params),
                grad: &part(gradient),
                exp_avg: &part(&flat.exp_avg),
                exp_avg_sq: &part(&flat.exp_avg_sq),
                step: &self.number,
                learning_rate: &self.learning_rate,
                grad_scale: grad_scale.as_ref(),
            };
            let weight_decay = match decay {
                Decay::Body => self.decay_body,
                Decay::Head => self.decay_head,
                Decay::None => 0.0,
            };
            fused_adamw(
                &state,
                (self.adamw.beta1, self.adamw.beta2),
                self.adamw.eps,
                weight_decay,
            )?;
        }
        Ok(norm)
    }
}
