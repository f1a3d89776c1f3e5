//! What a plan comes to in FLOPs and hours: in all, without sharing, and what is left of it.

use std::collections::HashSet;

use scheduler::{Plan, PlannedSegment, simulate};
use spec::SegmentId;

use crate::costs::{Basis, Costs};

/// Totals of a plan on some slots. Hours are of device time, all slots together, but for the makespan.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    pub n_slots: usize,
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
    pub fn new(plan: &Plan, costs: &Costs, n_slots: usize, finished: &HashSet<SegmentId>) -> Self {
        let left = left(plan, finished);
        let training = || plan.segments.iter().filter(|segment| !segment.is_evaluation());
        let chain = |id| plan.segment(id).map_or(0.0, |segment| segment.estimated_s);
        let separate_s: f64 =
            plan.trials.iter().flat_map(|trial| &trial.chain).map(|id| chain(*id)).sum();
        let bases = plan.segments.iter().map(|segment| costs.of(segment).basis);
        Self {
            n_slots,
            hours: hours(plan.segments.iter()),
            training_hours: hours(training()),
            separate_hours: separate_s / 3600.0,
            basis: bases.min().unwrap_or(Basis::Guessed),
            n_finished: plan.segments.len() - left.segments.len(),
            train_flops_left: left.train_flops(),
            makespan_hours: simulate(&left, n_slots) / 3600.0,
        }
    }

    /// Hours if every slot is busy to the end.
    pub fn busy_hours(&self) -> f64 {
        self.hours / self.n_slots as f64
    }
}

/// Device hours of segments.
pub fn hours<'a>(segments: impl Iterator<Item = &'a PlannedSegment>) -> f64 {
    segments.map(|segment| segment.estimated_s).sum::<f64>() / 3600.0
}

/// The plan without the segments that have finished.
fn left(plan: &Plan, finished: &HashSet<SegmentId>) -> Plan {
    let mut left = plan.clone();
    left.segments.retain(|segment| !finished.contains(&segment.id));
    left
}
