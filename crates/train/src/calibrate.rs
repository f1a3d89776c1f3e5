//! What a step of a segment takes in time and memory, measured on random images: without data, and
//! without anything that stays.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use data::Draw;
use models::{BindError, Pass};
use serde::Serialize;
use spec::{Failure, Recipe, SegmentSpec, TransferMethod};
use tch::{Device, Kind, Tensor, no_grad_guard};
use torch_ext::TorchError;

use crate::device::Setting;
use crate::evaluate::BATCH;
use crate::failure::{first_line, of_message};
use crate::feed::Batch;
use crate::learner::Learner;
use crate::memory::{Peak, give_back};
use crate::transfer;

/// Steps that are measured at most.
const STEPS: f64 = 20.0;

/// What a segment takes. Memory that runs out is an answer, in which the rest is None.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Seconds of an optimiser step on a whole batch; None where nothing is trained.
    pub step_s: Option<f64>,
    /// Seconds of one example's forward pass, in an evaluation's batch.
    pub example_s: Option<f64>,
    /// As [`spec::Spent::peak_bytes`], without the examples that training keeps on the device.
    pub peak_bytes: Option<u64>,
    pub out_of_memory: bool,
    pub device_name: String,
    pub threads: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Torch(#[from] TorchError),
    #[error("{0}")]
    Panic(String),
}

/// Seconds of a step and of an example, as far as there are any.
type Times = (Option<f64>, Option<f64>);

/// Measures a segment, steps for at least `time` unless `STEPS` take less.
///
/// # Errors
/// A model that libtorch does not execute, for other reasons than memory.
pub fn calibrate(
    segment: &SegmentSpec,
    setting: &Setting,
    time: Duration,
) -> Result<Calibration, CalibrateError> {
    let peak = Peak::begin(setting.device);
    let measured = catch_unwind(AssertUnwindSafe(|| measure(segment, setting.device, time)));
    let measured = measured.unwrap_or_else(|panic| Err(CalibrateError::Panic(first_line(&*panic))));
    let peak_bytes = peak.bytes();
    give_back(setting.device);
    let calibration = Calibration {
        step_s: None,
        example_s: None,
        peak_bytes: None,
        out_of_memory: false,
        device_name: setting.name.clone(),
        threads: setting.threads,
    };
    match measured {
        Ok((step_s, example_s)) => Ok(Calibration { step_s, example_s, peak_bytes, ..calibration }),
        Err(error) if of_message(&error.to_string()) == Failure::OutOfMemory => {
            Ok(Calibration { out_of_memory: true, ..calibration })
        }
        Err(error) => Err(error),
    }
}

fn measure(segment: &SegmentSpec, device: Device, time: Duration) -> Result<Times, CalibrateError> {
    let recipe = &segment.recipe;
    let Some(transfer) = &segment.transfer else { return of_training(recipe, device, time) };
    match &transfer.method {
        TransferMethod::FineTune(tune) => {
            of_training(&transfer::recipe(transfer, tune, recipe), device, time)
        }
        TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_) => {
            let _no_grad = no_grad_guard();
            let parameters = models::initial(&recipe.model, 0);
            let model = transfer::frozen(transfer, recipe, &parameters, device)?;
            let images = images(BATCH as u32, transfer.data.resolution(), device);
            let features = || Ok(model.features(&images, &Pass::PLAIN));
            Ok((None, Some(example_s(time, &features)?)))
        }
    }
}

fn of_training(recipe: &Recipe, device: Device, time: Duration) -> Result<Times, CalibrateError> {
    let mut learner = Learner::new(recipe, device)?;
    let batch = batch(recipe, recipe.train.batch, device);
    let step_s = step_s(&mut learner, &batch, time)?;
    let _no_grad = no_grad_guard();
    let evaluated = learner.evaluated()?;
    let Batch { images, labels, .. } = self::batch(recipe, BATCH as u32, device);
    let logits = || Ok(evaluated.logits(&images, labels.shallow_clone(), 0, None)?.0);
    Ok((Some(step_s), Some(example_s(time, &logits)?)))
}

/// After two steps that warm up; the second one tells how many to take. At a rate of zero, so that no
/// number becomes infinite.
fn step_s(learner: &mut Learner, batch: &Batch, time: Duration) -> Result<f64, TorchError> {
    let mut done = 0;
    let mut take = |steps: u64| {
        let begun = Instant::now();
        for step in done..done + steps {
            let measured = learner.step(batch, step, 0.0)?;
            if step + 1 == done + steps {
                wait_for(&measured.loss);
            }
        }
        done += steps;
        Ok::<_, TorchError>(begun.elapsed().as_secs_f64() / steps as f64)
    };
    take(1)?;
    let second = take(1)?;
    match (time.as_secs_f64() / second).clamp(1.0, STEPS) as u64 {
        1 => Ok(second),
        steps => take(steps),
    }
}

/// The second of two passes, where the first did not take long.
fn example_s(
    time: Duration,
    forward: &dyn Fn() -> Result<Tensor, TorchError>,
) -> Result<f64, TorchError> {
    let pass = || {
        let begun = Instant::now();
        wait_for(&forward()?);
        Ok::<_, TorchError>(begun.elapsed())
    };
    let first = pass()?;
    let taken = if first < time { pass()? } else { first };
    Ok(taken.as_secs_f64() / BATCH as f64)
}

/// Reading a number waits for the device.
fn wait_for(tensor: &Tensor) {
    let _sum = tensor.sum(Kind::Float).double_value(&[]);
}

fn batch(recipe: &Recipe, size: u32, device: Device) -> Batch {
    let classes = i64::from(recipe.model.classes().max(1));
    Batch {
        images: images(size, recipe.model.resolution(), device),
        labels: Tensor::randint(classes, [i64::from(size)], (Kind::Int64, device)),
        draws: (0..u64::from(size)).map(|index| Draw { index, epoch: 0 }).collect(),
    }
}

/// `[size, 3, side, side]` in [-1, 1].
fn images(size: u32, side: u32, device: Device) -> Tensor {
    let side = i64::from(side);
    Tensor::rand([size.into(), 3, side, side], (Kind::Float, device)) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting { device: Device::Cpu, label: "cpu".into(), name: "a CPU".into(), threads: 1 }
    }

    fn segment() -> SegmentSpec {
        SegmentSpec {
            parent: None,
            recipe: test_support::recipe(0).into(),
            kind: spec::SegmentKind::Trunk,
            start: 0,
            end: 10,
            cooldown: 0,
            transfer: None,
        }
    }

    fn calibrated(segment: &SegmentSpec) -> Calibration {
        calibrate(segment, &setting(), Duration::from_millis(20)).unwrap()
    }

    #[test]
    fn training_and_evaluations_take_what_they_are_made_of() {
        let trained = calibrated(&segment());
        assert!(trained.step_s > Some(0.0) && trained.example_s > Some(0.0), "{trained:?}");
        for (transfer, trains) in
            [(test_support::fine_tune(3), true), (test_support::few_shot(&[1]), false)]
        {
            let found = calibrated(&SegmentSpec { transfer: Some(transfer), ..segment() });
            assert_eq!(found.step_s.is_some(), trains, "{found:?}");
            assert!(found.example_s > Some(0.0), "{found:?}");
        }
    }

    #[test]
    fn memory_that_runs_out_is_an_answer() {
        let mut large = segment();
        large.recipe_mut().train.batch = 1 << 31;
        let found = calibrated(&large);
        assert!(found.out_of_memory && found.step_s.is_none(), "{found:?}");
    }
}
