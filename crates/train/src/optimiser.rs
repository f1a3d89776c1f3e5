//! AdamW with clipping by the global norm, over a [`Flat`], without a host synchronisation.

use spec::{AdamW, Optimiser, TrainSpec};
use tch::{Device, Kind, Tensor};
use torch_ext::{AdamWState, TorchError, fused_adamw};

use crate::flat::{DecayGroup, Flat};

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
        let Optimiser::Adamw(adamw) = train.optimiser.clone() else { todo!() };
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
                DecayGroup::Body => self.decay_body,
                DecayGroup::Head => self.decay_head,
                DecayGroup::None => 0.0,
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

#[cfg(test)]
mod tests {
    use models::Parameter;

    use super::*;

    const LEN: i64 = 6;

    /// `sin(i + 1)`, as one decayed matrix.
    fn flat() -> Flat {
        let values = (Tensor::arange(LEN, (Kind::Float, Device::Cpu)) + 1.0).sin();
        Flat::new(
            &[Parameter { name: "a.weight".into(), tensor: values.view([2, 3]) }],
            Device::Cpu,
        )
    }

    /// `t cos(t (i + 1) / 2)`.
    fn gradient(flat: &Flat, t: u32) -> Tensor {
        let t = f64::from(t);
        let values =
            ((Tensor::arange(LEN, (Kind::Float, Device::Cpu)) + 1.0) * (0.5 * t)).cos() * t;
        flat.gather(&[values])
    }

    fn train(clip: Option<f64>) -> TrainSpec {
        let mut train = test_support::recipe(0).train;
        train.weight_decay = spec::WeightDecay { body: 0.2, head: 0.0 };
        train.clip = clip;
        train
    }

    fn host(tensor: &Tensor) -> Vec<f64> {
        (0..LEN).map(|at| tensor.double_value(&[at])).collect()
    }

    fn close(left: &[f64], right: &[f64]) {
        let error = left.iter().zip(right).map(|(l, r)| (l - r).abs()).fold(0.0, f64::max);
        assert!(error < 2e-6, "{left:?} is not {right:?}");
    }

    /// torch 2.11: AdamW(lr = 0.1 / t, betas (0.9, 0.95), weight_decay 0.2) after clip_grad_norm_ to 2
    /// (norms 1.69, 3.39, 5.11, 6.88, 8.83), five steps, in f64.
    #[test]
    fn five_clipped_steps_give_pytorchs_numbers() {
        let (flat, mut update) = (flat(), Update::new(&train(Some(2.0)), Device::Cpu));
        let norms = [
            1.6917966520788679,
            3.391065385712,
            5.110370463114536,
            6.88146024787604,
            8.830656166936578,
        ];
        for (step, norm) in (0..5).zip(norms) {
            let found = update.apply(
                &flat,
                &gradient(&flat, step + 1),
                step.into(),
                0.1 / f64::from(step + 1),
            );
            close(&[found.unwrap().double_value(&[])], &[norm]);
        }
        let expected = [
            0.6232827141526311,
            0.8143770502753768,
            0.09083512448914839,
            -0.5719130687782134,
            -0.7953768260957244,
            -0.1637870290374484,
        ];
        close(&host(&flat.params), &expected);
    }

    /// 1711.05101, algorithm 2, written out in f64.
    #[test]
    fn unclipped_steps_follow_the_paper() {
        let (flat, mut update) = (flat(), Update::new(&train(None), Device::Cpu));
        let mut expected: Vec<(f64, f64, f64)> =
            host(&flat.params).into_iter().map(|p| (p, 0.0, 0.0)).collect();
        for t in 1..=4 {
            let gradient = gradient(&flat, t);
            for ((p, m, v), g) in expected.iter_mut().zip(host(&gradient)) {
                *p *= 1.0 - 0.01 * 0.2;
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.95 * *v + 0.05 * g * g;
                let exponent = i32::try_from(t).unwrap();
                let (m, v) =
                    (*m / (1.0 - 0.9f64.powi(exponent)), *v / (1.0 - 0.95f64.powi(exponent)));
                *p -= 0.01 * m / (v.sqrt() + 1e-8);
            }
            let _norm = update.apply(&flat, &gradient, u64::from(t) - 1, 0.01).unwrap();
        }
        close(&host(&flat.params), &expected.iter().map(|(p, ..)| *p).collect::<Vec<_>>());
        close(&host(&flat.exp_avg), &expected.iter().map(|(_, m, _)| *m).collect::<Vec<_>>());
        close(&host(&flat.exp_avg_sq), &expected.iter().map(|(.., v)| *v).collect::<Vec<_>>());
    }
}
