//! What a browser is told. Missing is null, units are those of docs/store.md.

use std::collections::BTreeMap;

use serde::Serialize;
use spec::{SegmentId, TrialId};

/// Where a trial stands. In JSON its number, in this order: there are thousands of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Running,
    Finished,
    Diverged,
    Failed,
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// Every sweep of a store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listing {
    /// The store's name, without where it lies.
    pub store: String,
    /// Oldest first.
    pub sweeps: Vec<SweepSummary>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepSummary {
    pub name: String,
    pub trials: Counts,
    pub train_flops_planned: f64,
    pub train_flops_spent: f64,
    pub charged_s: f64,
    pub attempts: u64,
}

/// Trials by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub pending: u64,
    pub running: u64,
    pub finished: u64,
    pub diverged: u64,
    pub failed: u64,
}

/// A sweep with all its trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The sweep file's text.
    pub source: String,
    /// What trials have values of.
    pub metrics: Vec<String>,
    pub groups: Vec<Group>,
    /// In the plan's order.
    pub rows: Vec<Row>,
}

/// What trials of one size have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    pub shape: String,
    pub family: String,
    pub variant: Option<String>,
    pub params: u64,
}

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: TrialId,
    /// Index into [`Sweep::groups`].
    pub group: usize,
    pub unique_examples: u64,
    pub examples_seen: u64,
    /// Steps, rate and seed of runs that were trained elsewhere may be unknown.
    pub steps: Option<u64>,
    pub train_flops: f64,
    pub learning_rate: Option<f64>,
    pub seed: Option<u64>,
    pub state: State,
    pub device_s: Option<f64>,
    /// By metric, as in [`Sweep::metrics`].
    pub values: Vec<Option<f64>>,
}

/// One trial, whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialView {
    pub id: TrialId,
    pub shape: String,
    pub family: String,
    pub params: u64,
    pub unique_examples: u64,
    pub examples_seen: u64,
    /// Steps, rate and seed of runs that were trained elsewhere may be unknown.
    pub steps: Option<u64>,
    pub train_flops: f64,
    pub learning_rate: Option<f64>,
    pub seed: Option<u64>,
    pub device_s: Option<f64>,
    /// The sweeps that have it.
    pub sweeps: Vec<TrialSweep>,
    /// What it measured at its end.
    pub values: BTreeMap<String, f64>,
    /// Metrics along the way.
    pub curves: BTreeMap<String, Course>,
    pub attempts: Vec<AttemptView>,
    /// Canonical JSON, as text: its numbers may be larger than a browser's.
    pub spec: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrialSweep {
    pub sweep: String,
    pub state: State,
}

/// A metric over steps, ascending.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Course {
    pub step: Vec<u64>,
    pub value: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttemptView {
    pub segment: SegmentId,
    pub kind: String,
    pub start_step: u64,
    pub end_step: u64,
    pub attempt: u32,
    pub outcome: String,
    pub reason: Option<String>,
    pub started_at: f64,
    pub ended_at: Option<f64>,
    pub device: String,
    pub job: Option<String>,
}

/// Which fit is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FitAsked {
    /// A metric.
    pub y: String,
    pub variant: Option<String>,
    /// Training FLOPs to extrapolate to: finite and positive.
    pub target: Option<f64>,
}

/// What the frontier of a sweep says: a forecast with its band, laws with their parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FitView {
    pub n_points: usize,
    /// Training FLOPs and metric of the points that no other beats at their compute.
    pub frontier: Vec<(f64, f64)>,
    pub forecast: Option<ForecastView>,
    /// Why there is no forecast.
    pub too_few: Option<String>,
    /// Of the intervals.
    pub level: f64,
    /// The one that extrapolates best first.
    pub laws: Vec<LawView>,
    /// What a reader must know.
    pub notes: Vec<String>,
    pub target: Option<Target>,
}

/// Columns of the same length.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ForecastView {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub low: Vec<f64>,
    pub high: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LawView {
    pub law: String,
    pub formula: String,
    pub params: Vec<ParamView>,
    /// Root mean square of ln y - ln yhat over the held-out end.
    pub holdout: Option<f64>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParamView {
    pub name: String,
    pub value: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// What is forecast at one place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Target {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}
