//! Which segments go into one Slurm job: a pure function of the plan and the states.
//!
//! A queue takes minutes to start what takes seconds to train, and a job may wait for another one. So
//! subtrees are cut off from below as soon as they are worth a job; what is left over below one
//! segment, or at the roots, is put together with others of about its size.

use std::collections::{BTreeMap, HashMap};

use spec::SegmentId;

use crate::plan::{Plan, PlannedSegment};
use crate::state::{SegmentState, States};

/// Segments that one job executes one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// Positions in the plan, parents before children.
    pub segments: Vec<usize>,
    /// The one segment outside the bundle that must have finished before: in another bundle, or
    /// running already.
    pub after: Option<SegmentId>,
    /// Estimated work, seconds.
    pub work_s: f64,
}

/// Pieces of trees that start from one and the same segment, or from no unfinished one.
#[derive(Clone, Debug, Default)]
struct Pieces {
    segments: Vec<usize>,
    work_s: f64,
}

/// Every segment that can still be executed, in exactly one bundle; bundles come after those that
/// they depend on. A bundle has at least `least_s` seconds of work, unless nothing is left that
/// could go with it; none has more than twice `least_s` beyond its longest segment.
pub fn bundles(plan: &Plan, states: &States, least_s: f64) -> Vec<Bundle> {
    let above = above(plan, states);
    let mut below: HashMap<SegmentId, Vec<Pieces>> = HashMap::new();
    let mut roots: BTreeMap<Option<SegmentId>, Vec<Pieces>> = BTreeMap::new();
    let mut bundles = Vec::new();
    // Children come after their parents in a plan: from its end, every child is seen first.
    for (at, segment) in plan.segments.iter().enumerate().rev() {
        let Some(above) = &above[at] else { continue };
        let leftover = pack(below.remove(&segment.id), Some(segment.id), least_s, &mut bundles);
        let mut piece = Pieces { segments: vec![at], work_s: segment.estimated_s() };
        piece.extend(leftover);
        match above {
            _ if piece.work_s >= least_s => bundles.push(piece.into_bundle(above.segment())),
            Above::Bundled(parent) => below.entry(*parent).or_default().push(piece),
            Above::Running(_) | Above::Nothing => {
                roots.entry(above.segment()).or_default().push(piece);
            }
        }
    }
    for (after, pieces) in roots {
        let leftover = pack(Some(pieces), after, least_s, &mut bundles);
        if !leftover.segments.is_empty() {
            bundles.push(leftover.into_bundle(after));
        }
    }
    // Of a bundle's segments the first is the one that is furthest up: bundles above begin before.
    bundles.sort_by_key(|bundle| bundle.segments[0]);
    bundles
}

/// What a segment to be executed starts from.
enum Above {
    /// A checkpoint that is there, or initialisation.
    Nothing,
    Running(SegmentId),
    Bundled(SegmentId),
}

impl Above {
    const fn segment(&self) -> Option<SegmentId> {
        match self {
            Self::Nothing => None,
            Self::Running(id) | Self::Bundled(id) => Some(*id),
        }
    }
}

/// For each segment of the plan what it starts from; None where it is not to be executed: it is
/// running or over, or what it starts from has failed.
fn above(plan: &Plan, states: &States) -> Vec<Option<Above>> {
    let mut bundled = HashMap::new();
    let mut all = Vec::with_capacity(plan.segments.len());
    for segment in &plan.segments {
        let above = match states.get(&segment.id) {
            None | Some(SegmentState::Pending { .. }) => above_pending(segment, states, &bundled),
            Some(
                SegmentState::Running { .. }
                | SegmentState::Finished
                | SegmentState::Diverged { .. }
                | SegmentState::Failed { .. },
            ) => None,
        };
        bundled.insert(segment.id, above.is_some());
        all.push(above);
    }
    all
}

fn above_pending(
    segment: &PlannedSegment,
    states: &States,
    bundled: &HashMap<SegmentId, bool>,
) -> Option<Above> {
    let Some(parent) = segment.spec.parent else { return Some(Above::Nothing) };
    match states.get(&parent) {
        Some(SegmentState::Finished) => Some(Above::Nothing),
        Some(SegmentState::Running { .. }) => Some(Above::Running(parent)),
        Some(SegmentState::Diverged { .. } | SegmentState::Failed { .. }) => None,
        None | Some(SegmentState::Pending { .. }) => {
            bundled.get(&parent).is_some_and(|is| *is).then_some(Above::Bundled(parent))
        }
    }
}

/// Puts pieces together, the smallest first, until they are worth a job, and returns what is left.
fn pack(
    pieces: Option<Vec<Pieces>>,
    after: Option<SegmentId>,
    least_s: f64,
    bundles: &mut Vec<Bundle>,
) -> Pieces {
    let mut pieces = pieces.unwrap_or_default();
    pieces.sort_by(|a, b| a.work_s.total_cmp(&b.work_s));
    let mut open = Pieces::default();
    for piece in pieces {
        open.extend(piece);
        if open.work_s >= least_s {
            bundles.push(std::mem::take(&mut open).into_bundle(after));
        }
    }
    open
}

impl Pieces {
    fn extend(&mut self, other: Self) {
        self.segments.extend(other.segments);
        self.work_s += other.work_s;
    }

    fn into_bundle(mut self, after: Option<SegmentId>) -> Bundle {
        self.segments.sort_unstable();
        Bundle { segments: self.segments, after, work_s: self.work_s }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use test_support::{few_shot, fine_tune, trial};

    use super::*;

    /// Two seeds of three lengths: each a trunk of three pieces and three cooldowns.
    fn two_trees() -> Plan {
        let lengths = [(100, 20), (200, 40), (400, 80)];
        let trials: Vec<_> = (0..2)
            .flat_map(|seed| lengths.map(|(steps, cooldown)| trial(seed, steps, cooldown)))
            .collect();
        Plan::new(&trials, &[])
    }

    fn work_s(plan: &Plan) -> f64 {
        plan.segments.iter().map(PlannedSegment::estimated_s).sum()
    }

    #[test]
    fn small_trees_share_a_job_and_without_a_least_each_segment_has_its_own() {
        let plan = two_trees();
        let all = bundles(&plan, &States::new(), 1e9);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].after, all[0].segments.len()), (None, 12));
        let all = bundles(&plan, &States::new(), 0.0);
        assert_eq!(all.len(), 12);
        for bundle in all {
            assert_eq!(bundle.after, plan.segments[bundle.segments[0]].spec.parent);
        }
    }

    #[test]
    fn each_tree_is_one_job_where_that_is_long_enough() {
        let plan = two_trees();
        let all = bundles(&plan, &States::new(), 0.49 * work_s(&plan));
        assert_eq!(all.iter().map(|bundle| bundle.after).collect::<Vec<_>>(), [None, None]);
        for bundle in all {
            let seeds: HashSet<_> =
                bundle.segments.iter().map(|at| plan.segments[*at].spec.recipe.seed).collect();
            assert_eq!((seeds.len(), bundle.segments.len()), (1, 6));
        }
    }

    #[test]
    fn what_hangs_below_a_running_segment_waits_for_it_and_what_hangs_below_a_failed_one_is_left_out()
     {
        let plan = two_trees();
        let roots: Vec<_> =
            plan.segments.iter().filter(|segment| segment.spec.parent.is_none()).collect();
        let failed = SegmentState::Failed { reason: "no".into() };
        let running = SegmentState::NEW
            .apply(crate::SegmentChange::Launched { attempt: 1, slot: 0 })
            .unwrap();
        let states = States::from([(roots[0].id, running), (roots[1].id, failed)]);
        let all = bundles(&plan, &states, 1e9);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].after, all[0].segments.len()), (Some(roots[0].id), 5));
    }

    fn any_state() -> impl Strategy<Value = Option<SegmentState>> {
        let running = SegmentState::NEW
            .apply(crate::SegmentChange::Launched { attempt: 1, slot: 0 })
            .unwrap();
        prop_oneof![
            4 => Just(None),
            1 => Just(Some(SegmentState::NEW)),
            2 => Just(Some(SegmentState::Finished)),
            1 => Just(Some(running)),
            1 => Just(Some(SegmentState::Diverged { step: 3 })),
            1 => Just(Some(SegmentState::Failed { reason: "no".into() })),
        ]
    }

    proptest! {
        #[test]
        fn every_segment_that_can_be_executed_is_in_one_bundle_after_what_it_starts_from(
            lengths in proptest::collection::vec((1_u64..400, 0_u64..100), 1..10),
            seeds in 1_u64..4,
            n_transfers in 0_usize..3,
            least in 0.0_f64..1.5,
            drawn in proptest::collection::vec(any_state(), 200),
        ) {
            let transfers = [few_shot(&[5]), fine_tune(500)];
            let trials: Vec<_> = (0..seeds)
                .flat_map(|seed| lengths.iter().map(move |&(trunk, cooldown)| trial(seed, trunk + cooldown, cooldown)))
                .collect();
            let plan = Plan::new(&trials, &transfers[..n_transfers]);
            let states: States = plan.segments.iter().zip(drawn)
                .filter_map(|(segment, state)| Some((segment.id, state?)))
                .collect();
            let least_s = least * work_s(&plan);
            let bundles = bundles(&plan, &states, least_s);

            let mut done: HashSet<SegmentId> = HashSet::new();
            for bundle in &bundles {
                let inside: HashSet<_> = bundle.segments.iter().map(|at| plan.segments[*at].id).collect();
                let longest = bundle.segments.iter().map(|at| plan.segments[*at].estimated_s()).fold(0.0, f64::max);
                prop_assert!(bundle.work_s <= longest + 2.0 * least_s + 1e-9);
                for at in &bundle.segments {
                    let segment = &plan.segments[*at];
                    let is_pending = matches!(states.get(&segment.id), None | Some(SegmentState::Pending { .. }));
                    prop_assert!(is_pending);
                    if let Some(parent) = segment.spec.parent {
                        let state = states.get(&parent);
                        let is_running = matches!(state, Some(SegmentState::Running { .. }));
                        let is_done = state == Some(&SegmentState::Finished) || done.contains(&parent);
                        let waits = bundle.after == Some(parent);
                        prop_assert!(is_done || (waits && is_running), "a segment before its parent");
                        prop_assert!(inside.contains(&parent) || waits || state == Some(&SegmentState::Finished));
                    }
                    prop_assert!(done.insert(segment.id), "a segment twice");
                }
            }
            let can_go_on = |id: &SegmentId| done.contains(id) || matches!(
                states.get(id), Some(SegmentState::Finished | SegmentState::Running { .. }));
            for segment in &plan.segments {
                let is_pending = matches!(states.get(&segment.id), None | Some(SegmentState::Pending { .. }));
                let starts = segment.spec.parent.as_ref().is_none_or(can_go_on);
                prop_assert_eq!(done.contains(&segment.id), is_pending && starts);
            }
            for after in bundles.iter().map(|bundle| bundle.after).collect::<HashSet<_>>() {
                let is_small = |bundle: &&Bundle| bundle.after == after && bundle.work_s < least_s;
                prop_assert!(bundles.iter().filter(is_small).count() <= 1, "small ones go together");
            }
        }
    }
}
