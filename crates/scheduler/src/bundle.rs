//! Which segments go into one job of a queue: a pure function of a plan and where its segments stand.
//!
//! A queue takes minutes to start what takes seconds to train, and a job may wait for another one. So
//! subtrees are cut off from below as soon as they are worth a job; what is left over below one
//! segment, or at the roots, is put together with others of about its size.

use std::collections::{BTreeMap, HashMap};

use spec::SegmentId;

use crate::plan::Plan;

/// Segments that one job executes one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bundle {
    /// Positions in the plan, parents before children.
    pub segments: Vec<usize>,
    /// Position of the one segment outside the bundle that must have finished before: in another
    /// bundle, or running already.
    pub after: Option<usize>,
    /// Expected work, seconds.
    pub work_s: f64,
}

/// All bundles of a plan at one moment.
#[derive(Clone, Debug, Default)]
pub struct Bundles {
    bundles: Vec<Bundle>,
    /// For each segment of the plan the position of its bundle.
    of: HashMap<usize, usize>,
}

impl Bundles {
    pub(crate) fn new(bundles: Vec<Bundle>) -> Self {
        let position = |(n, bundle): (usize, &Bundle)| {
            bundle.segments.iter().map(move |at| (*at, n)).collect::<Vec<_>>()
        };
        let of = bundles.iter().enumerate().flat_map(position).collect();
        Self { bundles, of }
    }

    /// The segments that go together with one; none where it is in no bundle.
    pub(crate) fn with(&self, segment: usize) -> &[usize] {
        self.of.get(&segment).map_or(&[], |bundle| &self.bundles[*bundle].segments)
    }
}

/// Where a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// To be executed, now or when its parent is done.
    Free,
    Running,
    Finished,
    /// Not now, and so nothing below it.
    Blocked,
}

/// Pieces of trees that wait for one and the same segment, or for none.
#[derive(Clone, Debug, Default)]
struct Pieces {
    segments: Vec<usize>,
    work_s: f64,
}

/// Every free segment that is not below a blocked one, in exactly one bundle; bundles come after those
/// that they wait for. A bundle has at least `least_s` seconds of work, unless nothing is left that
/// could go with it; none has more than twice `least_s` beyond its longest segment.
pub(crate) fn bundles(
    plan: &Plan,
    index: &HashMap<SegmentId, usize>,
    standing: impl Fn(usize) -> Standing,
    least_s: f64,
) -> Vec<Bundle> {
    let above = above(plan, index, standing);
    let mut below: HashMap<usize, Vec<Pieces>> = HashMap::new();
    let mut roots: BTreeMap<Option<usize>, Vec<Pieces>> = BTreeMap::new();
    let mut bundles = Vec::new();
    // Children come after their parents in a plan: from its end, every child is seen first.
    for (at, segment) in plan.segments.iter().enumerate().rev() {
        let Some(above) = above[at] else { continue };
        let children = below.remove(&at).unwrap_or_default();
        let mut piece = Pieces { segments: vec![at], work_s: segment.estimated_s };
        piece.extend(pack(children, Some(at), least_s, &mut bundles));
        match above {
            _ if piece.work_s >= least_s => bundles.push(piece.into_bundle(above.segment())),
            Above::Bundled(parent) => below.entry(parent).or_default().push(piece),
            Above::Running(_) | Above::Nothing => {
                roots.entry(above.segment()).or_default().push(piece);
            }
        }
    }
    for (after, pieces) in roots {
        let leftover = pack(pieces, after, least_s, &mut bundles);
        if !leftover.segments.is_empty() {
            bundles.push(leftover.into_bundle(after));
        }
    }
    // What a bundle waits for is in one whose first segment is further up.
    bundles.sort_by_key(|bundle| bundle.segments[0]);
    bundles
}

/// What a segment to be executed starts from.
#[derive(Clone, Copy)]
enum Above {
    /// A checkpoint that is there, or initialisation.
    Nothing,
    Running(usize),
    Bundled(usize),
}

impl Above {
    const fn segment(self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Running(at) | Self::Bundled(at) => Some(at),
        }
    }
}

/// For each segment of the plan what it starts from; None where it is in no bundle.
fn above(
    plan: &Plan,
    index: &HashMap<SegmentId, usize>,
    standing: impl Fn(usize) -> Standing,
) -> Vec<Option<Above>> {
    let mut all: Vec<Option<Above>> = Vec::with_capacity(plan.segments.len());
    for (at, segment) in plan.segments.iter().enumerate() {
        let parent = segment.spec.parent.map(|parent| index.get(&parent).copied());
        let above = match (standing(at), parent) {
            (Standing::Running | Standing::Finished | Standing::Blocked, _) => None,
            (Standing::Free, None) => Some(Above::Nothing),
            (Standing::Free, Some(None)) => None,
            (Standing::Free, Some(Some(parent))) => match standing(parent) {
                Standing::Finished => Some(Above::Nothing),
                Standing::Running => Some(Above::Running(parent)),
                Standing::Blocked => None,
                Standing::Free => all[parent].map(|_| Above::Bundled(parent)),
            },
        };
        all.push(above);
    }
    all
}

/// Puts pieces together, the smallest first, until they are worth a job, and returns what is left.
fn pack(
    mut pieces: Vec<Pieces>,
    after: Option<usize>,
    least_s: f64,
    bundles: &mut Vec<Bundle>,
) -> Pieces {
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

    fn into_bundle(mut self, after: Option<usize>) -> Bundle {
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
    use crate::plan::guessed_s;

    fn weighed(trials: &[spec::TrialSpec], transfers: &[spec::TransferSpec]) -> Plan {
        let mut plan = Plan::new(trials, transfers);
        plan.weigh(&|segment| guessed_s(&segment.spec));
        plan
    }

    /// Two seeds of three lengths: each a trunk of three pieces and three cooldowns.
    fn two_trees() -> Plan {
        let lengths = [(100, 20), (200, 40), (400, 80)];
        let trials: Vec<_> = (0..2)
            .flat_map(|seed| lengths.map(|(steps, cooldown)| trial(seed, steps, cooldown)))
            .collect();
        weighed(&trials, &[])
    }

    fn work_s(plan: &Plan) -> f64 {
        plan.segments.iter().map(|segment| segment.estimated_s).sum()
    }

    fn all(plan: &Plan, standing: impl Fn(usize) -> Standing, least_s: f64) -> Vec<Bundle> {
        let index = plan.segments.iter().enumerate().map(|(at, segment)| (segment.id, at));
        bundles(plan, &index.collect(), standing, least_s)
    }

    #[test]
    fn small_trees_share_a_job_and_without_a_least_each_segment_has_its_own() {
        let plan = two_trees();
        let one = all(&plan, |_| Standing::Free, 1e9);
        assert_eq!(one.len(), 1);
        assert_eq!((one[0].after, one[0].segments.len()), (None, 12));
        let each = all(&plan, |_| Standing::Free, 0.0);
        assert_eq!(each.len(), 12);
        for bundle in each {
            let after = bundle.after.map(|at| plan.segments[at].id);
            assert_eq!(after, plan.segments[bundle.segments[0]].spec.parent);
        }
    }

    #[test]
    fn each_tree_is_one_job_where_that_is_long_enough() {
        let plan = two_trees();
        let bundles = all(&plan, |_| Standing::Free, 0.49 * work_s(&plan));
        assert_eq!(bundles.iter().map(|bundle| bundle.after).collect::<Vec<_>>(), [None, None]);
        for bundle in bundles {
            let seeds: HashSet<_> =
                bundle.segments.iter().map(|at| plan.segments[*at].spec.recipe.seed).collect();
            assert_eq!((seeds.len(), bundle.segments.len()), (1, 6));
        }
    }

    #[test]
    fn what_is_below_a_running_segment_waits_for_it_and_what_is_below_a_blocked_one_is_left_out() {
        let plan = two_trees();
        let roots: Vec<_> = (0..12).filter(|at| plan.segments[*at].spec.parent.is_none()).collect();
        let standing = |at| match roots.iter().position(|root| *root == at) {
            Some(0) => Standing::Running,
            Some(_) => Standing::Blocked,
            None => Standing::Free,
        };
        let bundles = all(&plan, standing, 1e9);
        assert_eq!(bundles.len(), 1);
        assert_eq!((bundles[0].after, bundles[0].segments.len()), (Some(roots[0]), 5));
    }

    #[test]
    fn a_hundred_thousand_trials_are_bundled_and_their_time_is_printed() {
        let trials: Vec<_> = (0..20_000)
            .flat_map(|seed| (1..=5).map(move |length| trial(seed, length * 1000, length * 200)))
            .collect();
        let plan = weighed(&trials, &[]);
        let start = std::time::Instant::now();
        let bundles = all(&plan, |_| Standing::Free, 60.0);
        println!(
            "{} segments in {} bundles in {:.3} s",
            plan.segments.len(),
            bundles.len(),
            start.elapsed().as_secs_f64()
        );
        assert_eq!(plan.segments.len(), 200_000);
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        prop_oneof![
            5 => Just(Standing::Free),
            2 => Just(Standing::Finished),
            1 => Just(Standing::Running),
            1 => Just(Standing::Blocked),
        ]
    }

    proptest! {
        #[test]
        fn every_segment_that_can_be_executed_is_in_one_bundle_after_what_it_starts_from(
            lengths in proptest::collection::vec((1_u64..400, 0_u64..100), 1..10),
            seeds in 1_u64..4,
            n_transfers in 0_usize..3,
            least in 0.0_f64..1.5,
            drawn in proptest::collection::vec(any_standing(), 200),
        ) {
            let transfers = [few_shot(&[5]), fine_tune(500)];
            let trials: Vec<_> = (0..seeds)
                .flat_map(|seed| lengths.iter().map(move |&(trunk, cooldown)| trial(seed, trunk + cooldown, cooldown)))
                .collect();
            let plan = weighed(&trials, &transfers[..n_transfers]);
            let position: HashMap<_, _> = plan.segments.iter().enumerate().map(|(at, segment)| (segment.id, at)).collect();
            let parent = |at: usize| plan.segments[at].spec.parent.map(|id| position[&id]);
            let standing = |at: usize| drawn[at % drawn.len()];
            let least_s = least * work_s(&plan);
            let bundles = all(&plan, standing, least_s);

            let mut done = HashSet::new();
            for bundle in &bundles {
                let longest = bundle.segments.iter().map(|at| plan.segments[*at].estimated_s).fold(0.0, f64::max);
                prop_assert!(bundle.work_s <= longest + 2.0 * least_s + 1e-9);
                let work_s: f64 = bundle.segments.iter().map(|at| plan.segments[*at].estimated_s).sum();
                prop_assert!((bundle.work_s - work_s).abs() < 1e-9);
                for &at in &bundle.segments {
                    prop_assert_eq!(standing(at), Standing::Free);
                    if let Some(parent) = parent(at) {
                        let is_done = standing(parent) == Standing::Finished || done.contains(&parent);
                        let waits = bundle.after == Some(parent);
                        prop_assert!(is_done || (waits && standing(parent) == Standing::Running), "before its parent");
                        let is_inside = bundle.segments.contains(&parent);
                        prop_assert!(is_inside || waits || standing(parent) == Standing::Finished);
                    }
                    prop_assert!(done.insert(at), "a segment twice");
                }
            }
            for at in 0..plan.segments.len() {
                let can_start = parent(at).is_none_or(|parent| {
                    done.contains(&parent) || matches!(standing(parent), Standing::Finished | Standing::Running)
                });
                prop_assert_eq!(done.contains(&at), standing(at) == Standing::Free && can_start);
            }
            for after in bundles.iter().map(|bundle| bundle.after).collect::<HashSet<_>>() {
                let is_small = |bundle: &&Bundle| bundle.after == after && bundle.work_s < least_s;
                prop_assert!(bundles.iter().filter(is_small).count() <= 1, "small ones go together");
            }
        }
    }
}
