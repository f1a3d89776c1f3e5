//! Trials to a forest of segments: trials that differ only in length share their trunk, and what a
//! trial is evaluated on besides hangs below its last segment.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use spec::{Id, Recipe, SegmentId, SegmentKind, SegmentSpec, TransferSpec, TrialId, TrialSpec};

use crate::trunk::{StoredTrunks, Trunk};

/// The forest, parents before children.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub trials: Vec<PlannedTrial>,
    pub segments: Vec<PlannedSegment>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTrial {
    pub id: TrialId,
    pub spec: TrialSpec,
    /// The segments that make the trial, from initialisation to its end.
    pub chain: Vec<SegmentId>,
    /// Evaluations of the trial's last checkpoint on other tasks, in the sweep's order. No part of
    /// the trial: neither its length nor its cost knows them.
    pub evaluations: Vec<SegmentId>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlannedSegment {
    pub id: SegmentId,
    pub spec: SegmentSpec,
    /// What a step of it costs in time and memory, by name: see [`Recipe::workload_id`].
    pub workload: Id,
    /// Trials whose chain or evaluations have this segment.
    pub n_trials: usize,
    /// Seconds that it is expected to take on one slot. A guess, until [`Plan::weigh`] knows better.
    pub estimated_s: f64,
    /// Such seconds from the start of this segment to the end of its longest descendant.
    pub remaining_s: f64,
}

impl Plan {
    /// Plans every trial and every evaluation of it. The order of `trials` is kept, and decides that
    /// of equal segments.
    pub fn new(trials: &[TrialSpec], transfers: &[TransferSpec]) -> Self {
        Self::continuing(trials, transfers, &StoredTrunks::default())
    }

    /// As [`Plan::new`], with trunks that begin where `stored` ones end.
    pub fn continuing(
        trials: &[TrialSpec],
        transfers: &[TransferSpec],
        stored: &StoredTrunks,
    ) -> Self {
        let planned = |trial: &TrialSpec| PlannedTrial {
            id: trial.id(),
            spec: trial.clone(),
            chain: Vec::new(),
            evaluations: Vec::new(),
        };
        let mut planned: Vec<_> = trials.iter().map(planned).collect();
        let mut by_recipe: BTreeMap<Id, Vec<&mut PlannedTrial>> = BTreeMap::new();
        let mut ids = RecipeIds::default();
        for trial in &mut planned {
            by_recipe.entry(ids.of(&trial.spec.recipe)).or_default().push(trial);
        }
        let mut segments = Vec::new();
        for group in by_recipe.values_mut() {
            plan_recipe(group, stored, &mut segments);
        }
        let mut plan = Self { trials: planned, segments };
        plan.add_evaluations(transfers);
        plan.count_trials();
        plan.weigh(&|segment| guessed_s(&segment.spec));
        plan
    }

    /// Sets the seconds that segments are expected to take.
    pub fn weigh(&mut self, seconds: &dyn Fn(&PlannedSegment) -> f64) {
        for segment in &mut self.segments {
            segment.estimated_s = seconds(segment);
        }
        self.add_up_remaining();
    }

    /// FLOPs of training every trial alone.
    pub fn train_flops_separate(&self) -> f64 {
        self.trials.iter().map(|trial| trial.spec.train_flops()).sum()
    }

    /// FLOPs of training every segment once, without evaluations.
    pub fn train_flops(&self) -> f64 {
        let training = self.segments.iter().filter(|segment| !segment.is_evaluation());
        training.map(|segment| segment.spec.train_flops()).sum()
    }

    /// FLOPs of all evaluations on other tasks.
    pub fn evaluation_flops(&self) -> f64 {
        // The empty sum of floats is -0.
        self.evaluations()
            .map(|segment| segment.spec.train_flops())
            .fold(0.0, |sum, flops| sum + flops)
    }

    /// The segments that evaluate a trial on another task.
    pub fn evaluations(&self) -> impl Iterator<Item = &PlannedSegment> {
        self.segments.iter().filter(|segment| segment.is_evaluation())
    }

    /// A segment below each trial's last one for each task.
    fn add_evaluations(&mut self, transfers: &[TransferSpec]) {
        let mut known = HashSet::new();
        let (mut ids, mut workloads) = (RecipeIds::default(), HashMap::new());
        for trial in &mut self.trials {
            for (task, transfer) in transfers.iter().enumerate() {
                let recipe = &trial.spec.recipe;
                let workload = *workloads
                    .entry((ids.of(recipe), task))
                    .or_insert_with(|| recipe.workload_id(Some(transfer)));
                let segment = evaluation(trial, transfer, workload);
                trial.evaluations.push(segment.id);
                if known.insert(segment.id) {
                    self.segments.push(segment);
                }
            }
        }
    }

    fn count_trials(&mut self) {
        let mut counts: HashMap<SegmentId, usize> = HashMap::new();
        let segments = |trial: &PlannedTrial| [trial.chain.clone(), trial.evaluations.clone()];
        for id in self.trials.iter().flat_map(segments).flatten() {
            *counts.entry(id).or_default() += 1;
        }
        for segment in &mut self.segments {
            segment.n_trials = counts.get(&segment.id).copied().unwrap_or(0);
        }
    }

    /// Children come after their parents, so one pass from the end sees every child first.
    fn add_up_remaining(&mut self) {
        let mut longest_child: HashMap<SegmentId, f64> = HashMap::new();
        for segment in self.segments.iter_mut().rev() {
            let below = longest_child.get(&segment.id).copied().unwrap_or(0.0);
            segment.remaining_s = segment.estimated_s + below;
            if let Some(parent) = segment.spec.parent {
                let longest = longest_child.entry(parent).or_default();
                *longest = longest.max(segment.remaining_s);
            }
        }
    }
}

impl PlannedSegment {
    /// Whether it evaluates a trial on another task instead of training one.
    pub const fn is_evaluation(&self) -> bool {
        match self.spec.kind {
            SegmentKind::Transfer => true,
            SegmentKind::Trunk | SegmentKind::Cooldown | SegmentKind::Whole => false,
        }
    }
}

/// Guesses: seconds of a step of a model without any arithmetic, and what a CPU core computes in a second.
pub const STEP_OVERHEAD_S: f64 = 5e-4;
pub const FLOPS_PER_S: f64 = 4e10;

/// A guess at a segment's seconds on one CPU core, where nothing was measured. A step of a tiny model
/// costs its overhead, not its arithmetic: hence two terms.
pub fn guessed_s(segment: &SegmentSpec) -> f64 {
    segment.steps() as f64 * STEP_OVERHEAD_S
        + (segment.train_flops() + validation_flops(segment)) / FLOPS_PER_S
}

/// Of the evaluations on the trial's own validation set, at the end and on the way. A transfer has
/// none: its own examples are among its FLOPs.
fn validation_flops(segment: &SegmentSpec) -> f64 {
    if segment.transfer.is_some() {
        return 0.0;
    }
    let evaluations = 1 + segment.recipe.eval.every.map_or(0, |every| segment.steps() / every);
    let evaluated = (evaluations * segment.recipe.eval.examples) as f64;
    evaluated * segment.recipe.model.forward_flops() as f64
}

/// Ids of recipes, each hashed once where trials share it.
#[derive(Default)]
struct RecipeIds(HashMap<*const Recipe, Id>);

impl RecipeIds {
    fn of(&mut self, recipe: &Arc<Recipe>) -> Id {
        *self.0.entry(Arc::as_ptr(recipe)).or_insert_with(|| Id::of(&**recipe))
    }
}

/// Plans trials of one recipe, which differ only in length: sets their chains.
fn plan_recipe(
    trials: &mut [&mut PlannedTrial],
    stored: &StoredTrunks,
    segments: &mut Vec<PlannedSegment>,
) {
    let Some(recipe) = trials.first().map(|trial| Arc::clone(&trial.spec.recipe)) else { return };
    let pieces = Pieces { recipe: &recipe, workload: recipe.workload_id(None) };
    let depends_on_length = recipe.train.schedule.decay.depends_on_length();
    let forks = trials.iter().map(|trial| fork(&trial.spec)).filter(|&fork| fork > 0);
    let trunk = match depends_on_length {
        true => Trunk::default(),
        false => Trunk::plan(forks.collect(), &pieces, stored, segments),
    };
    let mut leaves = HashSet::new();
    for PlannedTrial { spec, chain, .. } in trials {
        if !depends_on_length {
            *chain = trunk.chain(fork(spec));
        }
        let parent = chain.last().copied();
        let leaf = match (depends_on_length, spec.cooldown) {
            (true, cooldown) => Some(pieces.whole(spec.steps, cooldown)),
            (false, 0) => None,
            (false, _) => Some(pieces.piece(SegmentKind::Cooldown, parent, fork(spec), spec.steps)),
        };
        if let Some(leaf) = leaf {
            chain.push(leaf.id);
            if leaves.insert(leaf.id) {
                segments.push(leaf);
            }
        }
    }
}

/// Where a trial leaves its trunk.
const fn fork(trial: &TrialSpec) -> u64 {
    trial.steps - trial.cooldown
}

/// Makes the segments of one recipe.
pub(crate) struct Pieces<'a> {
    recipe: &'a Arc<Recipe>,
    workload: Id,
}

impl Pieces<'_> {
    pub(crate) fn piece(
        &self,
        kind: SegmentKind,
        parent: Option<SegmentId>,
        start: u64,
        end: u64,
    ) -> PlannedSegment {
        let recipe = Arc::clone(self.recipe);
        let spec = SegmentSpec { parent, recipe, kind, start, end, cooldown: 0, transfer: None };
        of_spec(spec, self.workload)
    }

    /// A trial in one piece, with the cooldown that ends it.
    fn whole(&self, end: u64, cooldown: u64) -> PlannedSegment {
        let (recipe, kind) = (Arc::clone(self.recipe), SegmentKind::Whole);
        let (parent, start, transfer) = (None, 0, None);
        of_spec(SegmentSpec { parent, recipe, kind, start, end, cooldown, transfer }, self.workload)
    }
}

/// An evaluation counts its steps on from the trial's.
fn evaluation(trial: &PlannedTrial, transfer: &TransferSpec, workload: Id) -> PlannedSegment {
    let start = trial.spec.steps;
    let spec = SegmentSpec {
        parent: trial.chain.last().copied(),
        recipe: Arc::clone(&trial.spec.recipe),
        kind: SegmentKind::Transfer,
        start,
        end: start + transfer.steps(),
        cooldown: 0,
        transfer: Some(transfer.clone()),
    };
    of_spec(spec, workload)
}

fn of_spec(spec: SegmentSpec, workload: Id) -> PlannedSegment {
    let (id, n_trials) = (spec.id(), 0);
    PlannedSegment { id, spec, workload, n_trials, estimated_s: 0.0, remaining_s: 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_support::{few_shot, fine_tune, trial};

    use super::*;

    #[test]
    fn six_doubling_lengths_with_a_fifth_of_cooldown_cost_the_arithmetic_limit() {
        let lengths = [1000, 2000, 4000, 8000, 16000, 32000];
        let trials: Vec<_> = lengths.map(|steps| trial(0, steps, steps / 5)).into();
        let plan = Plan::new(&trials, &[]);
        assert_eq!(plan.segments.len(), 12);
        // The longest trial whole, and the others' cooldowns: (32 + 0.2 x 31) / 63.
        let ratio = plan.train_flops() / plan.train_flops_separate();
        assert!((ratio - (32.0 + 0.2 * 31.0) / 63.0).abs() < 1e-12, "{ratio}");
    }

    #[test]
    fn a_schedule_that_knows_its_length_shares_nothing() {
        let mut trials = vec![trial(0, 100, 0), trial(0, 200, 0)];
        for trial in &mut trials {
            trial.recipe_mut().train.schedule.decay = spec::Decay::Cosine;
        }
        let plan = Plan::new(&trials, &[]);
        assert!(plan.segments.iter().all(|segment| segment.spec.kind == SegmentKind::Whole));
        assert_eq!(plan.train_flops(), plan.train_flops_separate());
    }

    #[test]
    fn a_longer_sweep_begins_with_the_segments_of_the_shorter() {
        let short = Plan::new(&[trial(0, 1000, 200), trial(0, 2000, 400)], &[]);
        let long = Plan::new(&[trial(0, 1000, 200), trial(0, 2000, 400), trial(0, 4000, 800)], &[]);
        for segment in &short.segments {
            assert!(long.segments.iter().any(|other| other.id == segment.id));
        }
    }

    /// What a store holds after these plans have been executed and their trunks kept.
    fn executed(plans: &[&Plan]) -> StoredTrunks {
        let segments = plans.iter().flat_map(|plan| &plan.segments);
        let trunks = segments.filter(|segment| segment.spec.kind == SegmentKind::Trunk);
        trunks.map(|segment| (segment.id, segment.spec.start, segment.spec.end)).collect()
    }

    #[test]
    fn a_later_sweep_begins_where_a_stored_trunk_ends_whatever_lengths_it_names() {
        let short = Plan::new(&[trial(0, 1000, 200), trial(0, 2000, 400)], &[]);
        let stored = executed(&[&short]);
        let long = Plan::continuing(&[trial(0, 4000, 800), trial(1, 4000, 800)], &[], &stored);
        let new: Vec<_> = long
            .segments
            .iter()
            .filter(|new| short.segments.iter().all(|old| old.id != new.id))
            .collect();
        let steps = |seed| {
            new.iter()
                .filter(|new| new.spec.recipe.seed == seed)
                .map(|new| new.spec.steps())
                .sum::<u64>()
        };
        assert_eq!((steps(0), steps(1)), (4000 - 1600, 4000));
        assert_eq!(long.trials[0].chain.len(), 4);
    }

    #[test]
    fn a_fork_inside_a_stored_piece_is_a_branch_of_its_own() {
        let stored = executed(&[&Plan::new(&[trial(0, 2000, 400)], &[])]);
        let plan = Plan::continuing(
            &[trial(0, 500, 100), trial(0, 2000, 400), trial(0, 2500, 500)],
            &[],
            &stored,
        );
        let trunks: Vec<_> = plan
            .segments
            .iter()
            .filter(|segment| segment.spec.kind == SegmentKind::Trunk)
            .collect();
        let stretches: Vec<_> =
            trunks.iter().map(|trunk| (trunk.spec.start, trunk.spec.end)).collect();
        assert_eq!(stretches, [(0, 400), (0, 1600), (1600, 2000)]);
        // And once that is executed, the plan stays as it is.
        let again = executed(&[&plan]);
        let trials: Vec<_> = plan.trials.iter().map(|trial| trial.spec.clone()).collect();
        assert_eq!(Plan::continuing(&trials, &[], &again).trials, plan.trials);
    }

    #[test]
    fn trials_without_cooldown_end_on_the_trunk() {
        let plan = Plan::new(&[trial(0, 100, 0), trial(0, 300, 0)], &[]);
        assert_eq!(plan.segments.len(), 2);
        assert_eq!(plan.trials[1].chain, [plan.segments[0].id, plan.segments[1].id]);
    }

    #[test]
    fn a_whole_trial_keeps_its_cooldown() {
        let mut trials = vec![trial(0, 100, 20), trial(0, 100, 0)];
        for trial in &mut trials {
            trial.recipe_mut().train.schedule.decay = spec::Decay::Linear;
        }
        let plan = Plan::new(&trials, &[]);
        assert_eq!(plan.segments.iter().map(|s| s.spec.cooldown).collect::<Vec<_>>(), [20, 0]);
    }

    #[test]
    fn evaluations_hang_below_each_trial_and_change_none() {
        let trials = [trial(0, 100, 20), trial(0, 200, 40)];
        let (plain, plan) =
            (Plan::new(&trials, &[]), Plan::new(&trials, &[few_shot(&[5]), fine_tune(30)]));
        assert_eq!(plan.segments.len(), plain.segments.len() + 4);
        assert_eq!(plan.train_flops(), plain.train_flops());
        assert_eq!(plan.train_flops_separate(), plain.train_flops_separate());
        assert_eq!((plan.evaluations().count(), plain.evaluation_flops()), (4, 0.0));
        let expected = 2.0
            * (few_shot(&[5]).flops(&trials[0].recipe.model)
                + fine_tune(30).flops(&trials[0].recipe.model));
        assert_eq!(plan.evaluation_flops(), expected);
        for (trial, before) in plan.trials.iter().zip(&plain.trials) {
            assert_eq!((&trial.id, &trial.chain), (&before.id, &before.chain));
            assert_eq!(trial.evaluations.len(), 2);
        }
    }

    #[test]
    fn ten_thousand_trials_are_planned_and_their_time_is_printed() {
        let mut trials = Vec::new();
        for seed in 0..1000 {
            trials.extend((1..=10).map(|length| trial(seed, length * 1000, length * 200)));
        }
        let start = std::time::Instant::now();
        let plan = Plan::new(&trials, &[]);
        println!("10,000 trials planned in {:.3} s", start.elapsed().as_secs_f64());
        assert_eq!((plan.trials.len(), plan.segments.len()), (10_000, 20_000));
    }

    proptest! {
        #[test]
        fn every_chain_covers_its_trial_exactly_once(
            lengths in proptest::collection::vec((1_u64..400, 0_u64..100), 1..12),
            seeds in 1_u64..3,
            n_transfers in 0_usize..3,
            before in proptest::collection::vec(proptest::collection::vec(1_u64..500, 1..4), 0..4),
        ) {
            let transfers = [few_shot(&[1, 5]), fine_tune(20)];
            let earlier: Vec<_> = before.iter().map(|lengths| {
                let trials: Vec<_> = lengths.iter().map(|&steps| trial(0, steps, 0)).collect();
                Plan::new(&trials, &[])
            }).collect();
            let stored = executed(&earlier.iter().collect::<Vec<_>>());
            let mut trials = Vec::new();
            for seed in 0..seeds {
                trials.extend(lengths.iter().map(|&(trunk, cooldown)| trial(seed, trunk + cooldown, cooldown)));
            }
            trials.dedup();
            let plan = Plan::continuing(&trials, &transfers[..n_transfers], &stored);
            let by_id: HashMap<_, _> = plan.segments.iter().map(|segment| (segment.id, &segment.spec)).collect();
            prop_assert_eq!(by_id.len(), plan.segments.len(), "no segment twice");
            for trial in &plan.trials {
                let mut at = 0;
                let mut parent = None;
                for id in &trial.chain {
                    prop_assert_eq!(by_id[id].start, at);
                    prop_assert_eq!(by_id[id].parent, parent);
                    (at, parent) = (by_id[id].end, Some(*id));
                }
                prop_assert_eq!(at, trial.spec.steps);
                prop_assert_eq!(trial.evaluations.len(), n_transfers);
                for (id, transfer) in trial.evaluations.iter().zip(&transfers) {
                    let evaluation = by_id[id];
                    prop_assert_eq!(evaluation.parent, parent);
                    prop_assert_eq!((evaluation.start, evaluation.steps()), (at, transfer.steps()));
                    prop_assert_eq!(&evaluation.recipe, &trial.spec.recipe);
                }
            }
            prop_assert!(plan.train_flops() <= plan.train_flops_separate());
        }
    }
}
