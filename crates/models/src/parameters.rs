//! Named tensors, and how a family finds its own among them.

use std::collections::HashMap;

use tch::Tensor;

/// A learned tensor under timm's name.
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    pub tensor: Tensor,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    #[error("parameter `{0}` is missing")]
    Missing(String),
    #[error("parameter `{name}` has shape {found:?} where the model needs {expected:?}")]
    Shape { name: String, found: Vec<i64>, expected: Vec<i64> },
    #[error("the model has no parameter `{0}`")]
    Unknown(String),
}

/// Hands each parameter out once, checked against the shape that its family expects.
pub(crate) struct Binder<'a> {
    left: HashMap<&'a str, &'a Tensor>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(parameters: &'a [Parameter]) -> Self {
        Self { left: parameters.iter().map(|p| (p.name.as_str(), &p.tensor)).collect() }
    }

    pub(crate) fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, BindError> {
        let tensor = self.left.remove(name).ok_or_else(|| BindError::Missing(name.to_owned()))?;
        if tensor.size() == shape {
            return Ok(tensor.shallow_clone());
        }
        Err(BindError::Shape {
            name: name.to_owned(),
            found: tensor.size(),
            expected: shape.to_vec(),
        })
    }

    pub(crate) fn finish(self) -> Result<(), BindError> {
        self.left.keys().min().map_or(Ok(()), |name| Err(BindError::Unknown((*name).to_owned())))
    }
}
