//! The part of a plan that `isoflop retry --failed` executes.

use std::collections::HashSet;

use scheduler::{Plan, SegmentState, States};
use spec::SegmentId;

/// The plan without the pending segments that have nothing to do with `failed` ones: those, what waits
/// for them, and what they wait for themselves stay. `states` has the failed ones pending again.
pub fn only_failed(plan: &Plan, states: &States, failed: &HashSet<SegmentId>) -> Plan {
    let is_pending = |id| matches!(states.get(&id), None | Some(SegmentState::Pending { .. }));
    let mut wanted = failed.clone();
    // Children come after their parents in a plan.
    for segment in plan.segments.iter().filter(|segment| is_pending(segment.id)) {
        if segment.spec.parent.is_some_and(|parent| wanted.contains(&parent)) {
            wanted.insert(segment.id);
        }
    }
    for segment in plan.segments.iter().rev() {
        if wanted.contains(&segment.id) {
            wanted.extend(segment.spec.parent.filter(|parent| is_pending(*parent)));
        }
    }
    let mut part = plan.clone();
    part.segments.retain(|segment| wanted.contains(&segment.id) || !is_pending(segment.id));
    part
}

#[cfg(test)]
mod tests {
    use test_support::trial;

    use super::*;

    /// Of the plan's segments by position: those that are left after `failed` ones failed and the
    /// others are `pending` or finished.
    fn check(failed: &[usize], pending: &[usize], expected: &[usize]) {
        // Trunks to 80, 160 and 320, then the cooldowns from each.
        let plan = Plan::new(&[trial(0, 100, 20), trial(0, 200, 40), trial(0, 400, 80)], &[]);
        let id = |at: &usize| plan.segments[*at].id;
        let finished =
            (0..plan.segments.len()).filter(|at| !failed.contains(at) && !pending.contains(at));
        let states = finished.map(|at| (id(&at), SegmentState::Finished)).collect();
        let part = only_failed(&plan, &states, &failed.iter().map(id).collect());
        let expected: Vec<_> = expected.iter().map(id).collect();
        assert_eq!(part.segments.iter().map(|segment| segment.id).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_waits_for_a_failed_segment_goes_with_it_and_nothing_else_that_is_pending() {
        check(&[1], &[2, 3, 4, 5], &[0, 1, 2, 4, 5]);
        check(&[4], &[3, 5], &[0, 1, 2, 4]);
    }

    #[test]
    fn what_a_failed_segment_starts_from_is_trained_again_where_it_must_be() {
        check(&[4], &[0, 1, 2, 3, 5], &[0, 1, 4]);
        check(&[], &[5], &[0, 1, 2, 3, 4]);
    }
}
