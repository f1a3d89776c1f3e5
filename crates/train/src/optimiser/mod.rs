//! The optimisers, over a [`Flat`] and without a host synchronisation: a file for each, and here what
//! they have in common.
//!
//! - Clipping is by the global norm, as PyTorch's `clip_grad_norm_`, before anything else.
//! - Decay is decoupled, of the parameters before the update: `p -= rate wd p`, where the rate is
//!   the step's learning rate, or with [`Convention::Independent`] the schedule alone, the share of the
//!   peak rate that is left. A group's rate multiplier does not reach it.
//! - Polyak's average starts as the initial parameters and moves after each update; it is not debiased.

mod adafactor;
mod adamw;
mod moment;
mod sgd;

use std::ops::Range;

use spec::{Convention, Optimiser, TrainSpec, WeightDecay};
use tch::{Kind, Tensor};
use torch_ext::TorchError;

use self::adafactor::Adafactor;
use self::adamw::AdamW;
use self::sgd::Sgd;
use crate::flat::{DecayGroup, Flat, Group};

/// Elements that one kernel adds up the squares of: libtorch keeps a running sum in f32 for each, which over
/// 5 million elements is off by 3e-4.
const NORM_ROW: i64 = 4096;

/// As in PyTorch's `clip_grad_norm_`: a norm of zero must not be divided by.
const NORM_EPS: f64 = 1e-6;

/// What the names of the average's tensors begin with.
pub(crate) const AVERAGE: &str = "average.";

/// An optimiser and its state.
#[derive(Debug)]
pub(crate) struct Update {
    rule: Rule,
    weight_decay: WeightDecay,
    /// The learning rate at which decay is what it is called: 1, or the peak.
    decay_rate: f64,
    clip: Option<f64>,
    polyak: Option<Polyak>,
    state: Vec<(String, Tensor)>,
}

#[derive(Debug)]
enum Rule {
    AdamW(AdamW),
    Adafactor(Adafactor),
    Sgd(Sgd),
}

#[derive(Debug)]
struct Polyak {
    decay: f64,
    average: Tensor,
}

/// What an optimiser is told.
struct Step<'a> {
    flat: &'a Flat,
    gradient: &'a Tensor,
    /// Scalar that the gradient is still to be divided by; None is 1.
    divisor: Option<&'a Tensor>,
    /// 1 for the first.
    number: u64,
    /// One for each group of `flat`.
    rates: Vec<Rate>,
}

/// A group's: `p -= learning_rate (direction + weight_decay p)`.
#[derive(Clone, Copy, Debug)]
struct Rate {
    learning_rate: f64,
    weight_decay: f64,
}

/// Elements of a buffer that are updated by one kernel where a copy of another kind is made of them:
/// large enough to keep a device busy, and small beside a model that fills it.
const PIECE: i64 = 1 << 20;

impl Step<'_> {
    fn groups(&self) -> impl Iterator<Item = (Range<i64>, Rate)> {
        let ranges = self.flat.groups.iter().map(|group| group.range.clone());
        ranges.zip(self.rates.iter().copied())
    }

    /// The groups in pieces of at most [`PIECE`].
    fn pieces(&self) -> impl Iterator<Item = (Range<i64>, Rate)> {
        self.groups().flat_map(|(range, rate)| {
            let starts = range.clone().step_by(PIECE as usize);
            starts.map(move |start| (start..range.end.min(start + PIECE), rate))
        })
    }
}

/// A view of a stretch of a buffer.
fn piece(buffer: &Tensor, range: &Range<i64>) -> Tensor {
    buffer.narrow(0, range.start, range.end - range.start)
}

impl Update {
    pub(crate) fn new(train: &TrainSpec, flat: &Flat) -> Self {
        let rule = Rule::new(&train.optimiser, flat);
        let polyak =
            train.polyak.map(|decay| Polyak { decay, average: flat.params.detach().copy() });
        let mut state = rule.named(flat);
        if let Some(polyak) = &polyak {
            state.extend(flat.named(AVERAGE, &polyak.average));
        }
        let decay_rate = match train.weight_decay.convention {
            Convention::Rate => 1.0,
            Convention::Independent => train.learning_rate,
        };
        let (weight_decay, clip) = (train.weight_decay, train.clip);
        Self { rule, weight_decay, decay_rate, clip, polyak, state }
    }

    /// Applies `gradient`, which it leaves in an unknown state, as the update after `step` finished
    /// ones, and returns its norm before clipping, a scalar on the device.
    pub(crate) fn apply(
        &mut self,
        flat: &Flat,
        gradient: &Tensor,
        step: u64,
        learning_rate: f64,
    ) -> Result<Tensor, TorchError> {
        let norm = norm(gradient);
        let divisor = self.clip.and_then(|clip| clip_by(clip, &norm, gradient));
        let rates = flat.groups.iter().map(|group| self.rate(group, learning_rate)).collect();
        let step = Step { flat, gradient, divisor: divisor.as_ref(), number: step + 1, rates };
        match &mut self.rule {
            Rule::AdamW(rule) => rule.apply(&step)?,
            Rule::Adafactor(rule) => rule.apply(&step)?,
            Rule::Sgd(rule) => rule.apply(&step)?,
        }
        if let Some(Polyak { decay, average }) = &mut self.polyak {
            let _ = average.lerp_(&flat.params, 1.0 - *decay);
        }
        Ok(norm)
    }

    fn rate(&self, group: &Group, learning_rate: f64) -> Rate {
        let weight_decay = match group.decay {
            DecayGroup::Body => self.weight_decay.body,
            DecayGroup::Head => self.weight_decay.head,
            DecayGroup::None => 0.0,
        };
        Rate {
            learning_rate: learning_rate * group.multiplier,
            weight_decay: weight_decay / (self.decay_rate * group.multiplier),
        }
    }

    /// All that a checkpoint must hold beside the parameters: views of what [`Self::apply`] updates.
    pub(crate) fn state(&self) -> &[(String, Tensor)] {
        &self.state
    }

    /// Polyak's average, laid out as the parameters are.
    pub(crate) fn average(&self) -> Option<&Tensor> {
        self.polyak.as_ref().map(|polyak| &polyak.average)
    }
}

/// The global norm of a flat gradient, a scalar.
fn norm(gradient: &Tensor) -> Tensor {
    let len = gradient.size()[0];
    let whole = len / NORM_ROW * NORM_ROW;
    let rows = gradient.narrow(0, 0, whole).view([-1, NORM_ROW]);
    let rows = rows.norm_scalaropt_dim(2.0, [1], false);
    let rest = gradient.narrow(0, whole, len - whole).norm().unsqueeze(0);
    Tensor::cat(&[rows, rest], 0).norm()
}

impl Rule {
    fn new(optimiser: &Optimiser, flat: &Flat) -> Self {
        match optimiser {
            Optimiser::Adamw(spec) => Self::AdamW(AdamW::new(spec, flat)),
            Optimiser::Adafactor(spec) => Self::Adafactor(Adafactor::new(spec, flat)),
            Optimiser::Sgd(spec) => Self::Sgd(Sgd::new(spec, flat)),
        }
    }

    fn named(&self, flat: &Flat) -> Vec<(String, Tensor)> {
        match self {
            Self::AdamW(rule) => rule.named(flat),
            Self::Adafactor(rule) => rule.named(flat),
            Self::Sgd(rule) => rule.named(flat),
        }
    }
}

/// What a gradient of this norm is to be divided by. Kernels do it in passing, but take an f32 only:
/// a gradient in f64 is divided here.
fn clip_by(clip: f64, norm: &Tensor, gradient: &Tensor) -> Option<Tensor> {
    let divisor = ((norm + NORM_EPS) / clip).clamp_min_(1.0);
    if divisor.kind() == Kind::Float {
        return Some(divisor);
    }
    let _ = gradient.shallow_clone().g_div_(&divisor);
    None
}

#[cfg(test)]
mod tests;
