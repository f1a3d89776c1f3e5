//! What is exported: a sweep, its trials, what they are and what they measured.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A time: seconds since 1970-01-01T00:00:00 UTC, with fractions.
pub type UnixSeconds = f64;

#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    pub name: String,
    /// A number that stands for the name where a tool wants numbers.
    pub number: u64,
    /// What the sweep asks, for people; may be empty.
    pub question: String,
    pub created_at: UnixSeconds,
    pub updated_at: UnixSeconds,
    pub trials: Vec<Trial>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub id: String,
    /// Hexadecimal digits that no other trial of any sweep has: the same trial of two sweeps has two.
    pub key: String,
    /// For people.
    pub name: String,
    pub variant: Option<String>,
    pub state: State,
    pub started_at: UnixSeconds,
    /// None while it runs.
    pub ended_at: Option<UnixSeconds>,
    /// What it is: shape, rates, seed ..; values may be objects.
    pub settings: Map<String, Value>,
    /// What it measured in the end, by metric; not a number where that is not finite.
    pub outcomes: BTreeMap<String, f64>,
    /// What it measured on the way.
    pub curves: Vec<Curve>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Running,
    Finished,
    /// A result, not a failure.
    Diverged,
    Failed,
}

/// One metric of one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    pub metric: String,
    /// By step.
    pub points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub step: u64,
    pub at: UnixSeconds,
    /// Not a number where what was measured is not finite.
    pub value: f64,
}

impl Sweep {
    /// The trials that have begun.
    pub(crate) fn begun(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| trial.state != State::Pending || !trial.curves.is_empty())
    }
}

impl State {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }
}
