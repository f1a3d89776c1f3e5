//! The ways in for weights and for checking: a forward pass, or training steps, on files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data::Draw;
use models::{BindError, Model, Pass};
use spec::{
    HybridSpec, ModelError, ModelSpec, Objective, Pool, Resample, ScheduleError, SpecError,
    TrainSpec,
};
use tch::{Device, Kind, Tensor, no_grad_guard};
use torch_ext::TorchError;

use crate::feed::Batch;
use crate::learner::Learner;
use crate::weights::{self, WeightsError};

/// What every command on files works with.
#[derive(Debug)]
pub struct Files<'a> {
    /// The `[model]` table of a sweep file as JSON, with `shape`, `resolution` and `classes`.
    pub spec: &'a Path,
    /// Parameters under timm's names.
    pub weights: &'a Path,
    /// Tensor `x [batch, 3, resolution, resolution]` in [-1, 1]; for training also `y [batch]`.
    pub input: &'a Path,
    pub output: &'a Path,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("cannot read `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Torch(#[from] TorchError),
    #[error("`{path}`: {error}")]
    Bind { path: PathBuf, error: BindError },
    #[error("`{path}`: x has shape {found:?} where the model reads [batch, 3, {side}, {side}]")]
    Input { path: PathBuf, found: Vec<i64>, side: u32 },
    #[error("`{path}`: {error}")]
    Model { path: PathBuf, error: ModelError },
    #[error(
        "`{path}`: pool = \"none\" gives logits for every patch; only objective \"masked-patch\" trains those"
    )]
    Unpooled { path: PathBuf },
    #[error("`{path}`: schedule: {error}")]
    Schedule { path: PathBuf, error: ScheduleError },
    #[error("`{path}`: y must be {batch} integers below {classes}")]
    Labels { path: PathBuf, batch: i64, classes: u32 },
}

/// Writes `logits`, and `features` where asked for, of a batch of images.
///
/// # Errors
/// Files that cannot be read or do not fit each other.
pub fn forward(
    files: &Files<'_>,
    kind: Kind,
    with_features: bool,
    resample: Option<Resample>,
    device: Device,
) -> Result<(), CommandError> {
    let _no_grad = no_grad_guard();
    let spec = read_spec(files.spec)?;
    let model = bind(&spec, files, kind, resample, device)?;
    let images = read_images(&spec, files.input)?.to_kind(kind).to_device(device);
    let (logits, features) = model.forward_with_features(&images, &Pass::PLAIN);
    let mut tensors = vec![("logits", &logits)];
    tensors.extend(with_features.then_some(("features", &features)));
    Ok(weights::write(files.output, &tensors)?)
}

/// Applies `steps` optimiser steps, all to the one batch of `files.input`, and writes the weights back.
/// `tell` takes each step's number (from 1), its loss and its gradient norm before clipping.
///
/// # Errors
/// Files that cannot be read or do not fit each other.
pub fn train_step(
    files: &Files<'_>,
    train: &Path,
    steps: u64,
    kind: Kind,
    device: Device,
    tell: &mut dyn FnMut(u64, f64, f64),
) -> Result<(), CommandError> {
    let spec = read_spec(files.spec)?;
    let images = read_images(&spec, files.input)?.to_kind(kind).to_device(device);
    let batch = u32::try_from(images.size()[0]).unwrap_or(u32::MAX);
    let train = read_train(train, batch, steps)?;
    let is_masked = matches!(train.objective, Objective::MaskedPatch { .. });
    let spec = for_objective(spec, is_masked, files.spec)?;
    let labels = match is_masked {
        true => Tensor::zeros([batch.into()], (Kind::Int64, Device::Cpu)),
        false => read_labels(files.input, batch.into(), spec.classes())?,
    };
    let parameters = weights::parameters(files.weights, kind)?;
    let mut learner = Learner::of(&spec, &train, 0, &parameters, device)
        .map_err(|error| CommandError::Bind { path: files.weights.to_owned(), error })?;
    let draws = (0..batch.into()).map(|index| Draw { index, epoch: 0 }).collect();
    let batch = Batch { images, labels: labels.to_device(device), draws };
    for step in 0..steps {
        let rate = train.learning_rate * train.schedule.multiplier(step, steps);
        let measured = learner.step(&batch, step, rate)?;
        let scalar = |tensor: &Tensor| tensor.double_value(&[]);
        tell(step + 1, scalar(&measured.loss), scalar(&measured.gradient_norm));
    }
    let trained = learner.parameters();
    let tensors: Vec<_> = trained.iter().map(|p| (p.name.as_str(), &p.tensor)).collect();
    Ok(weights::write(files.output, &tensors)?)
}

/// With `train`'s schedule over so many steps.
fn read_train(path: &Path, batch: u32, steps: u64) -> Result<TrainSpec, CommandError> {
    let train = spec::train_from_json(&path.display().to_string(), &read_text(path)?, batch)?;
    train
        .schedule
        .check(steps)
        .map_err(|error| CommandError::Schedule { path: path.to_owned(), error })?;
    Ok(train)
}

/// The model that an objective trains: masked patches have one of their own.
fn for_objective(spec: ModelSpec, is_masked: bool, path: &Path) -> Result<ModelSpec, CommandError> {
    let path = || path.to_owned();
    if is_masked {
        let masked = spec.for_masked_patches();
        return masked.map_err(|error| CommandError::Model { path: path(), error });
    }
    match &spec {
        ModelSpec::Vit(vit) | ModelSpec::Hybrid(HybridSpec { vit, .. })
            if vit.pool == Pool::None =>
        {
            Err(CommandError::Unpooled { path: path() })
        }
        _ => Ok(spec),
    }
}

fn read_labels(path: &Path, batch: i64, classes: u32) -> Result<Tensor, CommandError> {
    let labels = weights::one(path, "y")?;
    let is_whole = matches!(labels.kind(), Kind::Int64 | Kind::Int | Kind::Uint8);
    let is_sound = is_whole
        && labels.size() == [batch]
        && labels.min().int64_value(&[]) >= 0
        && labels.max().int64_value(&[]) < classes.into();
    match is_sound {
        true => Ok(labels.to_kind(Kind::Int64)),
        false => Err(CommandError::Labels { path: path.to_owned(), batch, classes }),
    }
}

fn bind(
    spec: &ModelSpec,
    files: &Files<'_>,
    kind: Kind,
    resample: Option<Resample>,
    device: Device,
) -> Result<Model, CommandError> {
    let mut parameters = weights::parameters(files.weights, kind)?;
    if let Some(how) = resample {
        models::resample(spec, &mut parameters, how);
    }
    for parameter in &mut parameters {
        parameter.tensor = parameter.tensor.to_device(device);
    }
    Model::bind(spec, &parameters)
        .map_err(|error| CommandError::Bind { path: files.weights.to_owned(), error })
}

fn read_spec(path: &Path) -> Result<ModelSpec, CommandError> {
    Ok(spec::model_from_json(&path.display().to_string(), &read_text(path)?)?)
}

fn read_text(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path).map_err(|error| CommandError::Read { path: path.to_owned(), error })
}

fn read_images(spec: &ModelSpec, path: &Path) -> Result<Tensor, CommandError> {
    let images = weights::one(path, "x")?;
    let side = spec.resolution();
    match images.size()[..] {
        [batch, 3, height, width]
            if batch > 0
                && [height, width] == [i64::from(side); 2]
                && images.is_floating_point() =>
        {
            Ok(images)
        }
        _ => Err(CommandError::Input { path: path.to_owned(), found: images.size(), side }),
    }
}
