//! Tensors that come from and go to safetensors files, for `forward` and `train-step`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use models::Parameter;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use tch::{Kind, Tensor};

use crate::tensors::{self, Saved};

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("cannot read `{path}`: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("`{path}` is no safetensors file: {error}")]
    Syntax { path: PathBuf, error: SafeTensorError },
    #[error("`{path}` has tensor `{name}` of type {found:?}; {expected} is needed")]
    Kind { path: PathBuf, name: String, found: Dtype, expected: &'static str },
    #[error("`{path}` has no tensor `{name}`; it has {}", list(.found))]
    Missing { path: PathBuf, name: &'static str, found: Vec<String> },
    #[error("cannot write `{path}`: {error}")]
    Write { path: PathBuf, error: io::Error },
    #[error("cannot write `{path}`: {error}")]
    Serialize { path: PathBuf, error: SafeTensorError },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Every tensor of a file, by name, in the kind that it is stored in.
///
/// # Errors
/// A file that cannot be read or is no safetensors file, or a tensor of a kind that libtorch lacks.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let bytes =
        fs::read(path).map_err(|error| WeightsError::Read { path: path.to_owned(), error })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| WeightsError::Syntax { path: path.to_owned(), error })?;
    tensors.iter().map(|(name, view)| Ok((name.to_owned(), tensor(path, name, &view)?))).collect()
}

fn tensor(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Tensor, WeightsError> {
    let found = view.dtype();
    let kind = tensors::kind(found).ok_or_else(|| WeightsError::Kind {
        path: path.to_owned(),
        name: name.to_owned(),
        found,
        expected: "a float or an integer that libtorch has",
    })?;
    let shape: Vec<i64> = view.shape().iter().map(|&size| (size as u64).cast_signed()).collect();
    Ok(Tensor::from_data_size(view.data(), &shape, kind))
}

/// A model's parameters in `kind`, by name.
///
/// # Errors
/// See [`read`]; a tensor that is no float.
pub(crate) fn parameters(path: &Path, kind: Kind) -> Result<Vec<Parameter>, WeightsError> {
    read(path)?
        .into_iter()
        .map(|(name, tensor)| match tensor.is_floating_point() {
            true => Ok(Parameter { tensor: tensor.to_kind(kind), name }),
            false => Err(WeightsError::Kind {
                path: path.to_owned(),
                name,
                found: tensors::dtype(&tensor),
                expected: "a float",
            }),
        })
        .collect()
}

/// One tensor of a file.
///
/// # Errors
/// See [`read`]; a file without it.
pub(crate) fn one(path: &Path, name: &'static str) -> Result<Tensor, WeightsError> {
    let mut tensors = read(path)?;
    tensors.remove(name).ok_or_else(|| WeightsError::Missing {
        path: path.to_owned(),
        name,
        found: tensors.into_keys().collect(),
    })
}

/// Writes tensors in the kinds they have.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write(path: &Path, named: &[(&str, &Tensor)]) -> Result<(), WeightsError> {
    let saved = named.iter().map(|(name, tensor)| (*name, Saved::new(tensor.detach())));
    let bytes = safetensors::serialize(saved, None)
        .map_err(|error| WeightsError::Serialize { path: path.to_owned(), error })?;
    fs::write(path, bytes).map_err(|error| WeightsError::Write { path: path.to_owned(), error })
}
