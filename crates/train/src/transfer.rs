//! Evaluations of a trial's checkpoint on another task. Few-shot regression and linear probes work on
//! frozen features, computed once; fine-tuning is training, and the segment's loop does it.

mod few_shot;
mod fine_tune;
mod linear_probe;

use std::collections::BTreeMap;
use std::path::Path;

use data::few_shot::TooFewShots;
use data::{Cached, DataError, Source, Split};
use models::{BindError, Model, Parameter, Pass};
use spec::{Recipe, TransferMethod, TransferSpec};
use tch::{Device, Kind, Tensor, no_grad_guard};

pub(crate) use self::fine_tune::{initial, recipe, renamed};
use crate::evaluate::batches;
use crate::gradient::full;
use crate::stop::Stop;

/// Divides by the spread of a feature that never changes; big_vision's `fewshot_lsr`.
const STD_EPS: f64 = 1e-5;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("few-shot evaluation: {0}")]
    Shots(#[from] TooFewShots),
    #[error("few-shot evaluation: {0}")]
    Solve(tch::TchError),
    #[error("fine-tuning trains the model: it is no evaluation of frozen features")]
    NotOnFeatures,
    #[error("a stop was requested")]
    Stopped,
}

impl TransferError {
    /// Whether nothing is wrong but that somebody asked for a stop.
    pub(crate) const fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped | Self::Data(DataError::Cancelled { .. }))
    }
}

/// Frozen features `[n, width]` f64 on the CPU, and labels `[n]`.
struct Features {
    x: Tensor,
    labels: Vec<u32>,
}

/// The task of an evaluation on frozen features.
struct Task {
    train: Features,
    test: Features,
    classes: u32,
}

/// The metrics of an evaluation on frozen features, by their full names; features are those of `size`
/// examples at a time.
///
/// # Errors
/// Examples that cannot be had or are too few, parameters that are not the model's, a stop.
pub(crate) fn on_features(
    transfer: &TransferSpec,
    of_trial: &Recipe,
    parameters: &[Parameter],
    cache: &Path,
    size: usize,
    device: Device,
    stop: &Stop,
) -> Result<BTreeMap<String, f64>, TransferError> {
    let _no_grad = no_grad_guard();
    let model = frozen(transfer, of_trial, parameters, device)?;
    let source = data::open(&transfer.data)?;
    let features = |split, n| features(&model, &*source, (split, n), cache, size, device, stop);
    let task = |n_train| {
        Ok::<_, TransferError>(Task {
            train: features(Split::Train, n_train)?,
            test: features(Split::Validation, transfer.examples)?,
            classes: transfer.classes,
        })
    };
    let measured = match &transfer.method {
        TransferMethod::FewShot(few) => few_shot::measure(few, &task(few.pool)?, stop)?,
        TransferMethod::LinearProbe(probe) => {
            linear_probe::measure(probe, &task(probe.unique_examples)?, stop)?
        }
        TransferMethod::FineTune(_) => return Err(TransferError::NotOnFeatures),
    };
    Ok(measured.into_iter().map(|(name, value)| (transfer.metric(&name), value)).collect())
}

/// The trial's model without its classifier, at the task's resolution.
///
/// # Errors
/// Parameters that are not the trial's.
pub(crate) fn frozen(
    transfer: &TransferSpec,
    of_trial: &Recipe,
    parameters: &[Parameter],
    device: Device,
) -> Result<Model, BindError> {
    let spec = transfer.model(&of_trial.model);
    let body = parameters.iter().filter(|parameter| !parameter.is_head());
    let mut body: Vec<Parameter> = body
        .map(|Parameter { name, tensor }| Parameter {
            name: name.clone(),
            tensor: tensor.to_device(device),
        })
        .collect();
    models::resample(&spec, &mut body, transfer.resample());
    Model::bind(&spec, &body)
}

fn features(
    model: &Model,
    source: &dyn Source,
    (split, n): (Split, u64),
    cache: &Path,
    size: usize,
    device: Device,
    stop: &Stop,
) -> Result<Features, TransferError> {
    let cached = Cached::open_or_build(source, split, n, cache, &|| stop.is_requested())?;
    let mut rows = Vec::new();
    for batch in batches(&cached, size) {
        check(stop)?;
        let (images, _) = batch.on(device);
        rows.push(full(&model.features(&images, &Pass::PLAIN)).to_device(Device::Cpu));
    }
    let x = Tensor::cat(&rows, 0).to_kind(Kind::Double);
    Ok(Features { x, labels: cached.labels().to_vec() })
}

/// Mean and spread of each feature.
fn statistics(x: &Tensor) -> (Tensor, Tensor) {
    let mean = x.mean_dim(0, true, None::<Kind>);
    let spread = (x - &mean).square().mean_dim(0, true, None::<Kind>).sqrt() + STD_EPS;
    (mean, spread)
}

/// A constant column behind the others.
fn with_constant(x: &Tensor, value: f64) -> Tensor {
    Tensor::cat(&[x, &Tensor::full([x.size()[0], 1], value, (x.kind(), x.device()))], 1)
}

/// Share of wrong first choices of `logits [n, classes]`.
fn error(logits: &Tensor, truth: &Tensor) -> f64 {
    let wrong = logits.argmax(1, false).ne_tensor(truth).to_kind(Kind::Double);
    wrong.mean(Kind::Double).double_value(&[])
}

fn check(stop: &Stop) -> Result<(), TransferError> {
    if stop.is_requested() { Err(TransferError::Stopped) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
