//! The decision what starts next: a pure function of the plan and the states, with no counters of
//! its own that could drift.

use crate::plan::{Plan, PlannedSegment};
use crate::state::{SegmentState, States};

/// The pending segment with the longest path still before it whose parent is finished; None where
/// nothing can start now. Longest path first keeps the last slot from finishing long after the
/// others. Training goes before evaluations on other tasks: nothing waits for those, and a sweep that
/// is stopped early has its curve.
pub fn next_launch<'a>(plan: &'a Plan, states: &States) -> Option<&'a PlannedSegment> {
    plan.segments.iter().filter(|segment| is_launchable(segment, states)).max_by(|a, b| {
        let by_kind = b.is_evaluation().cmp(&a.is_evaluation());
        by_kind.then(a.remaining_s.total_cmp(&b.remaining_s))
    })
}

fn is_launchable(segment: &PlannedSegment, states: &States) -> bool {
    let is_pending = matches!(states.get(&segment.id), None | Some(SegmentState::Pending { .. }));
    let parent_is_done = |parent| states.get(&parent) == Some(&SegmentState::Finished);
    is_pending && segment.spec.parent.is_none_or(parent_is_done)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_support::{few_shot, fine_tune, trial};

    use super::*;
    use crate::state::SegmentChange;

    /// Executes a plan on imaginary slots; returns the order in which segments started.
    fn simulate(plan: &Plan, n_slots: usize) -> Vec<usize> {
        let mut states = States::new();
        let mut started = Vec::new();
        let mut running: Vec<&PlannedSegment> = Vec::new();
        loop {
            while running.len() < n_slots
                && let Some(segment) = next_launch(plan, &states)
            {
                let change = SegmentChange::Launched { attempt: 1, slot: running.len() };
                states.insert(segment.id, SegmentState::NEW.apply(change).unwrap());
                started
                    .push(plan.segments.iter().position(|other| other.id == segment.id).unwrap());
                running.push(segment);
            }
            let Some(segment) = running.pop() else { return started };
            states.insert(segment.id, SegmentState::Finished);
        }
    }

    #[test]
    fn evaluations_wait_for_all_training_on_one_slot() {
        let trials = [trial(0, 100, 20), trial(0, 200, 40), trial(1, 10, 0)];
        let plan = Plan::new(&trials, &[fine_tune(5000)]);
        let started = simulate(&plan, 1);
        let is_evaluation: Vec<_> =
            started.iter().map(|&segment| plan.segments[segment].is_evaluation()).collect();
        assert!(is_evaluation.is_sorted(), "{is_evaluation:?}");
    }

    proptest! {
        #[test]
        fn every_segment_starts_exactly_once_and_after_its_parent(
            lengths in proptest::collection::vec((1_u64..400, 1_u64..100), 1..8),
            n_slots in 1_usize..4,
            n_transfers in 0_usize..3,
        ) {
            let transfers = [few_shot(&[5]), fine_tune(500)];
            let trials: Vec<_> =
                lengths.iter().enumerate().map(|(n, &(trunk, cooldown))| trial(n as u64 % 2, trunk + cooldown, cooldown)).collect();
            let plan = Plan::new(&trials, &transfers[..n_transfers]);
            let started = simulate(&plan, n_slots);
            let mut sorted = started.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..plan.segments.len()).collect::<Vec<_>>());
            for (at, &segment) in started.iter().enumerate() {
                if let Some(parent) = plan.segments[segment].spec.parent {
                    let parent = plan.segments.iter().position(|other| other.id == parent).unwrap();
                    prop_assert!(started[..at].contains(&parent));
                }
            }
        }
    }
}
