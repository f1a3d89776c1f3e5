//! Named tensors, and how a family makes its own or finds them among given ones.

use std::collections::HashMap;
use std::fmt::{self, Display};

use tch::{Device, Kind, Tensor};

use crate::init::Init;

/// A learned tensor under timm's name.
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    pub tensor: Tensor,
}

impl Parameter {
    /// Whether it is the classifier's: `head.weight`, or `head.fc.weight` in BiT, and their biases.
    pub fn is_head(&self) -> bool {
        self.name.starts_with("head.")
    }
}

/// Everything that keeps tensors from being a model's parameters.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are not the model's parameters: {}", listed(.0))]
pub struct BindError(pub Vec<Mismatch>);

#[derive(Debug, PartialEq, Eq)]
pub enum Mismatch {
    Missing { name: String, shape: Vec<i64> },
    Shape { name: String, found: Vec<i64>, expected: Vec<i64> },
    Unknown { name: String },
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, shape } => write!(f, "`{name}` {shape:?} is missing"),
            Self::Shape { name, found, expected } => {
                write!(f, "`{name}` has shape {found:?} where the model needs {expected:?}")
            }
            Self::Unknown { name } => write!(f, "the model has no `{name}`"),
        }
    }
}

fn listed(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(Mismatch::to_string).collect::<Vec<_>>().join("; ")
}

/// What a family is built over: it asks for each parameter once, by name, in the order of timm's state
/// dict. A fresh one is drawn, or a given one is handed out.
pub(crate) struct Builder<'a> {
    /// Names of the enclosing modules, each with its dot.
    prefix: String,
    source: Source<'a>,
}

enum Source<'a> {
    Fresh { seed: u64, made: Vec<Parameter> },
    Given { left: HashMap<&'a str, &'a Tensor>, wrong: Vec<Mismatch> },
}

impl<'a> Builder<'a> {
    pub(crate) fn fresh(seed: u64) -> Self {
        Self { prefix: String::new(), source: Source::Fresh { seed, made: Vec::new() } }
    }

    pub(crate) fn given(parameters: &'a [Parameter]) -> Self {
        let left = parameters.iter().map(|p| (p.name.as_str(), &p.tensor)).collect();
        Self { prefix: String::new(), source: Source::Given { left, wrong: Vec::new() } }
    }

    /// Builds a part whose parameters are named below `name`.
    pub(crate) fn within<T>(
        &mut self,
        name: impl Display,
        build: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let outer = self.prefix.len();
        self.prefix.push_str(&format!("{name}."));
        let part = build(self);
        self.prefix.truncate(outer);
        part
    }

    /// The parameter of this name. One that is missing or misshapen is noted, and nothing stands in for it.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        self.take(name, shape, &|seed, name| init.tensor(seed, name, shape))
    }

    /// A tensor whose rows, each of shape `row`, are drawn part by part.
    pub(crate) fn stacked(&mut self, name: &str, row: &[i64], parts: &[(i64, Init)]) -> Tensor {
        let rows = |rows: i64| [&[rows], row].concat();
        let draw = |seed: u64, name: &str| {
            let part = |(at, (count, init)): (usize, &(i64, Init))| {
                init.tensor(seed, &format!("{name}.{at}"), &rows(*count))
            };
            Tensor::cat(&parts.iter().enumerate().map(part).collect::<Vec<_>>(), 0)
        };
        self.take(name, &rows(parts.iter().map(|(count, _)| count).sum()), &draw)
    }

    fn take(&mut self, name: &str, shape: &[i64], draw: &dyn Fn(u64, &str) -> Tensor) -> Tensor {
        let name = format!("{}{name}", self.prefix);
        match &mut self.source {
            Source::Fresh { seed, made } => {
                let tensor = draw(*seed, &name);
                made.push(Parameter { name, tensor: tensor.shallow_clone() });
                tensor
            }
            Source::Given { left, wrong } => {
                let mismatch = match left.remove(name.as_str()) {
                    Some(tensor) if tensor.size() == shape => return tensor.shallow_clone(),
                    Some(tensor) => {
                        Mismatch::Shape { name, found: tensor.size(), expected: shape.to_vec() }
                    }
                    None => Mismatch::Missing { name, shape: shape.to_vec() },
                };
                wrong.push(mismatch);
                Tensor::zeros([0], (Kind::Float, Device::Cpu))
            }
        }
    }

    /// What a fresh build has made.
    pub(crate) fn made(self) -> Vec<Parameter> {
        match self.source {
            Source::Fresh { made, .. } => made,
            Source::Given { .. } => Vec::new(),
        }
    }

    /// Whether all that was given has been asked for, and all that was asked for was given.
    pub(crate) fn finish(self) -> Result<(), BindError> {
        let Source::Given { left, mut wrong } = self.source else { return Ok(()) };
        let mut unknown: Vec<_> = left.keys().map(|name| (*name).to_owned()).collect();
        unknown.sort_unstable();
        wrong.extend(unknown.into_iter().map(|name| Mismatch::Unknown { name }));
        if wrong.is_empty() { Ok(()) } else { Err(BindError(wrong)) }
    }
}
