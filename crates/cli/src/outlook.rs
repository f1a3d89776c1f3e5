//! What a plan comes to in FLOPs and hours: in all, without sharing, and what is left of it.

use std::collections::HashSet;

use scheduler::{Plan, PlannedSegment, SegmentState, States, simulate};
use spec::SegmentId;

use crate::costs::{Basis, Costs};

/// Totals of a plan on some devices. Hours are of device time, all devices together, but for the makespan.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// GPUs, or slots of a CPU.
    pub n_devices: usize,
    /// Of every segment, evaluations on other tasks included.
    pub hours: f64,
    /// Of training alone.
    pub training_hours: f64,
    /// The same if every trial trained alone.
    pub separate_hours: f64,
    /// What the least known segment's hours stand on.
    pub basis: Basis,
    /// Segments that have finished, in whatever sweep of the store.
    pub n_finished: usize,
    /// FLOPs of training of the segments that have not.
    pub train_flops_left: f64,
    /// From the start to the end of what is left.
    pub makespan_hours: f64,
}

impl Outlook {
    /// `plan` is weighed by `costs` already.
    pub fn new(
        plan: &Plan,
        costs: &Costs,
        n_devices: usize,
        finished: &HashSet<SegmentId>,
    ) -> Self {
        let states: States = finished.iter().map(|id| (*id, SegmentState::Finished)).collect();
        let left = || plan.segments.iter().filter(|segment| !finished.contains(&segment.id));
        let training = || plan.segments.iter().filter(|segment| !segment.is_evaluation());
        let separate_s: f64 =
            training().map(|segment| segment.n_trials as f64 * segment.estimated_s).sum();
        let bases = plan.segments.iter().map(|segment| costs.of(segment).basis);
        Self {
            n_devices,
            hours: hours(plan.segments.iter()),
            training_hours: hours(training()),
            separate_hours: separate_s / 3600.0,
            basis: bases.min().unwrap_or(Basis::Guessed),
            n_finished: plan.segments.len() - left().count(),
            train_flops_left: left()
                .filter(|segment| !segment.is_evaluation())
                // A sum of none would be -0.
                .fold(0.0, |sum, segment| sum + segment.spec.train_flops()),
            makespan_hours: simulate(plan, &states, n_devices).makespan_s / 3600.0,
        }
    }

    /// Hours if every device is busy to the end.
    pub fn busy_hours(&self) -> f64 {
        self.hours / self.n_devices as f64
    }
}

/// Device hours of segments.
pub fn hours<'a>(segments: impl Iterator<Item = &'a PlannedSegment>) -> f64 {
    segments.map(|segment| segment.estimated_s).sum::<f64>() / 3600.0
}
