//! How long a plan takes, by its own estimates: the schedule against an imaginary clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use spec::{Spent, TrainerEvent};

use crate::engine::Said;
use crate::past::Past;
use crate::plan::Plan;
use crate::policy::Policy;
use crate::schedule::Schedule;
use crate::state::States;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Simulation {
    /// Seconds until the last slot is done.
    pub makespan_s: f64,
    /// Seconds that slots are busy, added up.
    pub busy_s: f64,
}

/// Executes what `states` leaves open of a plan on `n_slots` imaginary slots. Every segment takes what
/// is estimated, and none fails.
pub fn simulate(plan: &Plan, states: &States, n_slots: usize) -> Simulation {
    let policy = Policy { time_out_s: None, ..Policy::default() };
    let mut schedule = Schedule::new(plan, states, policy, &Past::default());
    let mut idle: Vec<usize> = (0..n_slots).rev().collect();
    let mut ends = BinaryHeap::new();
    let mut simulation = Simulation { makespan_s: 0.0, busy_s: 0.0 };
    loop {
        let now = simulation.makespan_s;
        while let Some(&slot) = idle.last()
            && let Some(segment) = schedule.next(now)
            && schedule.launch(segment.id, 1, slot, now).is_ok()
        {
            idle.pop();
            let seconds = segment.estimated_s.max(0.0);
            simulation.busy_s += seconds;
            // Seconds that are not negative order as their bits do.
            ends.push(Reverse(((now + seconds).to_bits(), slot, segment.id)));
        }
        let Some(Reverse((end, slot, segment_id))) = ends.pop() else { return simulation };
        simulation.makespan_s = f64::from_bits(end);
        let event = TrainerEvent::Finished { step: 0, spent: Spent::default() };
        let said = Said { segment_id, attempt: 1, event };
        if schedule.hear(&said, simulation.makespan_s).is_err() {
            return simulation;
        }
        idle.push(slot);
    }
}
