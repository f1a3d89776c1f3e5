use std::collections::VecDeque;

use proptest::prelude::*;
use spec::{Failure, Spent, TrialSpec};
use test_support::{few_shot, fine_tune, trial};

use super::*;
use crate::engine::Exit;
use crate::lanes::Lane;
use crate::policy::Budget;
use crate::simulate::simulate;

fn spent(steps: u64, device_s: f64) -> Spent {
    Spent { steps, device_s, ..Spent::default() }
}

fn said(segment: &PlannedSegment, event: TrainerEvent) -> Said {
    Said { segment_id: segment.id, attempt: 1, event }
}

fn finished(segment: &PlannedSegment) -> Said {
    let (step, steps) = (segment.spec.end, segment.spec.steps());
    said(segment, TrainerEvent::Finished { step, spent: spent(steps, 1.0) })
}

fn failed(segment: &PlannedSegment, failure: Failure, reason: &str) -> Said {
    said(segment, TrainerEvent::Failed { reason: reason.into(), failure })
}

fn schedule(plan: &Plan, policy: Policy) -> Schedule<'_> {
    Schedule::new(plan, &States::new(), policy, &Past::default())
}

fn start<'a>(schedule: &mut Schedule<'a>, slot: usize, now: f64) -> &'a PlannedSegment {
    let segment = schedule.next(now).unwrap();
    schedule.launch(segment.id, 1, slot, now).unwrap();
    segment
}

fn exit(how: &str) -> Exit {
    Exit { how: how.into(), out_of_memory: false, ran: true }
}

/// Two shapes, three seeds, two lengths.
fn two_shapes() -> Vec<TrialSpec> {
    let mut trials = Vec::new();
    for seed in 0..3 {
        for steps in [100, 200] {
            let small = trial(seed, steps, steps / 5);
            let mut large = small.clone();
            large.recipe_mut().train.batch = 64;
            trials.extend([small, large]);
        }
    }
    trials
}

#[test]
fn each_shape_begins_with_its_cheapest_segment_and_then_the_longest_path_goes_first() {
    let plan = Plan::new(&two_shapes(), &[few_shot(&[5])]);
    let mut schedule = schedule(&plan, Policy::default());
    let first = start(&mut schedule, 0, 0.0);
    let second = start(&mut schedule, 1, 0.0);
    assert_eq!((first.spec.recipe.train.batch, second.spec.recipe.train.batch), (8, 64));
    let roots = |batch| {
        let of = move |segment: &&PlannedSegment| {
            segment.spec.parent.is_none() && segment.spec.recipe.train.batch == batch
        };
        plan.segments.iter().filter(of)
    };
    let cheapest = roots(8).map(|segment| segment.estimated_s).reduce(f64::min).unwrap();
    assert_eq!(first.estimated_s, cheapest);
    schedule.hear(&finished(second), 1.0).unwrap();
    // Of the proved shape, though both have segments that are ready.
    let third = start(&mut schedule, 1, 1.0);
    assert_eq!(third.spec.recipe.train.batch, 64);
    let longest = roots(64).map(|segment| segment.remaining_s).reduce(f64::max).unwrap();
    assert_eq!(third.remaining_s, longest);
}

#[test]
fn evaluations_wait_for_all_training() {
    let trials = [trial(0, 100, 20), trial(0, 200, 40), trial(1, 10, 0)];
    let plan = Plan::new(&trials, &[fine_tune(5000)]);
    let mut schedule = schedule(&plan, Policy::default());
    let mut order = Vec::new();
    while let Some(segment) = schedule.next(0.0) {
        schedule.launch(segment.id, 1, 0, 0.0).unwrap();
        schedule.hear(&finished(segment), 0.0).unwrap();
        order.push(segment.is_evaluation());
    }
    assert!(order.is_sorted() && order.len() == plan.segments.len(), "{order:?}");
}

#[test]
fn a_lost_segment_waits_longer_each_time_and_others_go_on() {
    let plan = Plan::new(&[trial(0, 100, 0)], &[]);
    let policy = Policy { max_lost: 4, backoff_s: 1.0, ..Policy::default() };
    let mut schedule = schedule(&plan, policy);
    let mut now = 0.0;
    for lost in 1..4 {
        let segment = start(&mut schedule, 0, now);
        schedule.bury(0, &exit("by signal 9"), now).unwrap();
        assert!(schedule.next(now).is_none() && schedule.is_waiting());
        let wait = schedule.next_change().unwrap() - now;
        assert_eq!(wait, policy.wait_s(segment.id, lost));
        now += wait;
    }
    start(&mut schedule, 0, now);
    let consequences = schedule.bury(0, &exit("by signal 9"), now).unwrap();
    let Consequence::Lost { after: SegmentState::Failed { reason }, .. } = &consequences[0] else {
        panic!("{consequences:?}")
    };
    assert!(reason.contains("4 times") && reason.contains("signal 9"), "{reason}");
    assert!(!schedule.has_work());
}

#[test]
fn memory_that_runs_out_halves_the_passes_of_the_whole_shape() {
    let plan = Plan::new(&[trial(0, 100, 0), trial(1, 100, 0)], &[]);
    let mut schedule = schedule(&plan, Policy::default());
    for expected in [4, 2, 1] {
        let segment = start(&mut schedule, 0, 0.0);
        let consequences =
            schedule.hear(&failed(segment, Failure::OutOfMemory, "no memory"), 0.0).unwrap();
        assert_eq!(consequences, []);
        for segment in &plan.segments {
            assert_eq!(schedule.micro_batch(segment.id), Some(expected));
        }
    }
    let segment = start(&mut schedule, 0, 0.0);
    let consequences =
        schedule.hear(&failed(segment, Failure::OutOfMemory, "no memory"), 0.0).unwrap();
    let [Consequence::GivenUp { segments, reason }] = &consequences[..] else {
        panic!("{consequences:?}")
    };
    assert_eq!(segments, &[segment.id]);
    assert!(reason.contains("cannot be smaller"), "{reason}");
}

/// A GPU of 16 GiB with eight lanes, of which a segment of the plan takes one GiB.
fn one_gpu(plan: &Plan) -> Lanes {
    let lane = Lane { device: 0, device_bytes: Some(16 << 30) };
    let expected = plan.segments.iter().map(|segment| (segment.workload, 1 << 30));
    Lanes::new(vec![lane; 8], expected.collect())
}

fn progress(segment: &PlannedSegment, examples_per_s: f64) -> Said {
    let (step, train_loss, gradient_norm, learning_rate) = (segment.spec.start, 1.0, 1.0, 0.1);
    let event =
        TrainerEvent::Progress { step, train_loss, gradient_norm, learning_rate, examples_per_s };
    said(segment, event)
}

/// Of eight slots, the one that is next.
fn launch<'a>(schedule: &mut Schedule<'a>) -> Option<&'a PlannedSegment> {
    let (slot, segment) = schedule.next_launch(8, 0.0)?;
    schedule.launch(segment.id, 1, slot, 0.0).unwrap();
    Some(segment)
}

#[test]
fn segments_share_a_gpu_as_long_as_one_more_is_worth_it() {
    const RATES: [f64; 8] = [1.0, 1.9, 2.6, 2.7, 2.7, 2.7, 2.7, 2.7];
    let trials: Vec<_> = (0..20).map(|seed| trial(seed, 100, 0)).collect();
    let plan = Plan::new(&trials, &[]);
    let mut schedule = schedule(&plan, Policy::default()).sharing(one_gpu(&plan));
    let mut running = VecDeque::new();
    let mut together = Vec::new();
    while schedule.has_work() {
        while let Some(segment) = launch(&mut schedule) {
            running.push_back(segment);
        }
        for _ in 0..5 {
            let rate = RATES[running.len() - 1] / running.len() as f64;
            for segment in &running {
                schedule.hear(&progress(segment, rate), 0.0).unwrap();
            }
        }
        together.push(running.len());
        schedule.hear(&finished(running.pop_front().unwrap()), 0.0).unwrap();
    }
    assert_eq!(together[..4], [1, 2, 3, 4]);
    assert!(together[4..18].iter().all(|n| *n == 3), "{together:?}");
}

#[test]
fn memory_that_runs_out_in_company_is_answered_with_less_company_first() {
    let plan = Plan::new(&[trial(0, 100, 0), trial(1, 100, 0)], &[]);
    let mut schedule = schedule(&plan, Policy::default()).sharing(one_gpu(&plan));
    let first = launch(&mut schedule).unwrap();
    assert_eq!(launch(&mut schedule), None);
    for _ in 0..4 {
        schedule.hear(&progress(first, 1.0), 0.0).unwrap();
    }
    let second = launch(&mut schedule).unwrap();
    for segment in [second, first] {
        schedule.hear(&failed(segment, Failure::OutOfMemory, "no memory"), 0.0).unwrap();
        assert_eq!(schedule.micro_batch(segment.id), None);
    }
    let alone = launch(&mut schedule).unwrap();
    assert_eq!(launch(&mut schedule), None);
    schedule.hear(&failed(alone, Failure::OutOfMemory, "no memory"), 0.0).unwrap();
    assert_eq!(schedule.micro_batch(alone.id), Some(4));
}

#[test]
fn a_shape_that_always_fails_alike_is_given_up_and_others_are_not() {
    let plan = Plan::new(&two_shapes(), &[]);
    let mut schedule = schedule(&plan, Policy::default());
    let mut failures = 0;
    while let Some(segment) = schedule.next(0.0) {
        schedule.launch(segment.id, 1, 0, 0.0).unwrap();
        if segment.spec.recipe.train.batch == 64 {
            failures += 1;
            let reason = format!("no image {failures}");
            let event = failed(segment, Failure::Other, &reason);
            let consequences = schedule.hear(&event, 0.0).unwrap();
            assert_eq!(consequences.is_empty(), failures == 1, "{consequences:?}");
        } else {
            schedule.hear(&finished(segment), 0.0).unwrap();
        }
    }
    assert_eq!(failures, 2);
    for segment in &plan.segments {
        let is_large = segment.spec.recipe.train.batch == 64;
        let state = schedule.state(segment.id).unwrap();
        assert_eq!(matches!(state, SegmentState::Failed { .. }), is_large, "{state:?}");
    }
}

#[test]
fn a_missing_checkpoint_brings_the_parent_back() {
    let plan = Plan::new(&[trial(0, 100, 20)], &[]);
    let mut schedule = schedule(&plan, Policy { backoff_s: 0.0, ..Policy::default() });
    let trunk = start(&mut schedule, 0, 0.0);
    schedule.hear(&finished(trunk), 1.0).unwrap();
    let cooldown = start(&mut schedule, 0, 1.0);
    let event = failed(cooldown, Failure::ParentCheckpoint, "gone");
    let consequences = schedule.hear(&event, 2.0).unwrap();
    assert_eq!(consequences, [Consequence::Reopened { segment_id: trunk.id }]);
    for expected in [trunk, cooldown] {
        let segment = start(&mut schedule, 0, 3.0);
        assert_eq!(segment.id, expected.id);
        schedule.hear(&finished(segment), 3.0).unwrap();
    }
    assert!(!schedule.has_work());
}

#[test]
fn a_full_disk_pauses_everything() {
    let plan = Plan::new(&two_shapes(), &[]);
    let mut schedule = schedule(&plan, Policy::default());
    let segment = start(&mut schedule, 0, 0.0);
    schedule.hear(&failed(segment, Failure::DiskFull, "no space"), 0.0).unwrap();
    assert_eq!((schedule.next(0.0), schedule.pause()), (None, Some("no space")));
    assert_eq!(schedule.state(segment.id), Some(&SegmentState::NEW));
}

#[test]
fn a_silent_trainer_is_overdue_and_one_that_speaks_is_not() {
    let plan = Plan::new(&two_shapes(), &[]);
    let mut schedule = schedule(&plan, Policy { time_out_s: Some(10.0), ..Policy::default() });
    let (silent, speaks) = (start(&mut schedule, 0, 0.0), start(&mut schedule, 1, 0.0));
    // Before they begin they may have data to prepare.
    assert_eq!(schedule.next_change(), Some(40.0));
    for (segment, now) in [(silent, 0.0), (speaks, 5.0)] {
        schedule.hear(&said(segment, TrainerEvent::Started { step: 0 }), now).unwrap();
    }
    assert_eq!(schedule.next_change(), Some(10.0));
    assert_eq!(schedule.overdue(10.0), BTreeSet::from([0]));
    schedule.excuse(0, 10.0);
    assert_eq!(schedule.overdue(15.0), BTreeSet::from([1]));
}

#[test]
fn of_a_bundle_only_what_was_under_way_is_lost() {
    let plan = Plan::new(&[trial(0, 100, 20), trial(0, 200, 40)], &[]);
    let mut schedule = schedule(&plan, Policy::default());
    let root = schedule.next(0.0).unwrap();
    let bundle = schedule.bundle(&schedule.bundles(f64::MAX), root.id);
    assert_eq!(bundle.len(), 4);
    for segment in &bundle {
        schedule.launch(segment.id, 1, 0, 0.0).unwrap();
    }
    schedule.hear(&finished(root), 1.0).unwrap();
    let consequences = schedule.bury(0, &exit("with its node"), 2.0).unwrap();
    assert_eq!(consequences.len(), 3);
    let lost: Vec<_> = plan
        .segments
        .iter()
        .filter(|segment| schedule.state(segment.id) == Some(&SegmentState::Pending { lost: 1 }))
        .collect();
    assert_eq!(lost.len(), 1);
}

#[test]
fn a_queued_attempt_may_be_silent_and_is_charged_only_while_it_trains() {
    let plan = Plan::new(&[trial(0, 100, 0)], &[]);
    let policy = Policy { time_out_s: Some(5.0), ..Policy::default() };
    let mut schedule = schedule(&plan, policy).ahead();
    let segment = start(&mut schedule, 0, 0.0);
    assert_eq!((schedule.overdue(1000.0), schedule.next_change()), (BTreeSet::new(), None));
    schedule.hear(&said(segment, TrainerEvent::Started { step: 0 }), 1000.0).unwrap();
    assert_eq!(schedule.overdue(1005.0), BTreeSet::from([0]));
    let paused = TrainerEvent::Paused { step: 50, spent: spent(50, 3.0) };
    schedule.hear(&said(segment, paused), 1004.0).unwrap();
    assert_eq!(schedule.overdue(2000.0), BTreeSet::new());
    assert_eq!(schedule.spent(2000.0).device_s, 3.0);
    schedule.hear(&said(segment, TrainerEvent::Started { step: 50 }), 3000.0).unwrap();
    assert_eq!(schedule.spent(3001.0).device_s, 4.0);
    let done = TrainerEvent::Finished { step: 100, spent: spent(50, 2.0) };
    schedule.hear(&said(segment, done), 3001.0).unwrap();
    let charge = schedule.spent(4000.0);
    assert_eq!((charge.flops, charge.device_s), (plan.segments[0].spec.train_flops(), 5.0));
}

#[test]
fn what_never_began_is_not_blamed_and_not_handed_over_again_at_once() {
    let plan = Plan::new(&[trial(0, 100, 0)], &[]);
    let mut schedule = schedule(&plan, Policy { backoff_s: 4.0, ..Policy::default() });
    let segment = start(&mut schedule, 0, 0.0);
    let exit = Exit { ran: false, ..exit("before it began") };
    schedule.bury(0, &exit, 0.0).unwrap();
    assert_eq!(schedule.state(segment.id), Some(&SegmentState::Pending { lost: 0 }));
    assert_eq!(schedule.next(1.0), None);
    assert_eq!(schedule.next(6.0), Some(segment));
}

#[test]
fn a_bundle_is_cut_where_the_budget_ends() {
    let plan = Plan::new(&[trial(0, 100, 20), trial(0, 200, 40)], &[]);
    let flops = plan.segments[0].spec.train_flops() + plan.segments[1].spec.train_flops();
    let budget = Budget { flops: Some(1.01 * flops), device_s: None };
    let schedule = schedule(&plan, Policy { budget, ..Policy::default() });
    let bundle = schedule.bundle(&schedule.bundles(f64::MAX), plan.segments[0].id);
    assert_eq!(bundle.len(), 2);
}

#[test]
fn a_budget_is_charged_with_what_was_spent_and_never_exceeded() {
    let trials: Vec<_> = (0..5).map(|seed| trial(seed, 100, 0)).collect();
    let plan = Plan::new(&trials, &[]);
    let flops = plan.segments[0].spec.train_flops();
    let budget = Budget { flops: Some(3.5 * flops), device_s: None };
    let policy = Policy { budget, backoff_s: 0.0, ..Policy::default() };
    let mut schedule = schedule(&plan, policy);
    // Half of one is lost, and what it took is gone.
    let lost = start(&mut schedule, 0, 0.0);
    for event in [
        TrainerEvent::Started { step: 0 },
        TrainerEvent::Progress {
            step: 50,
            train_loss: 1.0,
            gradient_norm: 1.0,
            learning_rate: 1.0,
            examples_per_s: 1.0,
        },
    ] {
        schedule.hear(&said(lost, event), 1.0).unwrap();
    }
    schedule.bury(0, &exit("by signal 9"), 2.0).unwrap();
    assert_eq!(schedule.spent(2.0), Charge { flops: flops / 2.0, device_s: 1.0 });
    let mut done = 0;
    while let Some(segment) = schedule.next(9.0) {
        schedule.launch(segment.id, 2, 0, 9.0).unwrap();
        schedule.hear(&finished(segment), 9.0).unwrap();
        done += 1;
    }
    assert_eq!((done, schedule.n_unaffordable()), (3, 2));
    assert_eq!(schedule.spent(9.0).flops, 3.5 * flops);
}

#[test]
fn a_segment_with_a_checkpoint_is_admitted_for_what_is_left_of_it() {
    let plan = Plan::new(&[trial(0, 100, 0)], &[]);
    let flops = plan.segments[0].spec.train_flops();
    let budget = Budget { flops: Some(flops), device_s: None };
    let policy = Policy { budget, ..Policy::default() };
    let spent = Charge { flops: 0.5 * flops, device_s: 0.0 };
    for (step, n_unaffordable) in [(60, 0), (30, 1), (100, 1)] {
        let checkpoints = vec![(plan.segments[0].id, step)];
        let past = Past { spent, checkpoints, ..Past::default() };
        let schedule = Schedule::new(&plan, &States::new(), policy, &past);
        assert_eq!(schedule.n_unaffordable(), n_unaffordable, "with a checkpoint at {step}");
    }
}

/// What can happen, to whichever attempt or slot is meant.
#[derive(Clone, Debug)]
enum Happening {
    Launch,
    Started,
    Checkpointed,
    Finished,
    Diverged,
    Interrupted,
    Failed(Failure),
    Exited { out_of_memory: bool, ran: bool },
    Later,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => Just(Happening::Launch),
        2 => Just(Happening::Started),
        2 => Just(Happening::Checkpointed),
        4 => Just(Happening::Finished),
        1 => Just(Happening::Diverged),
        1 => Just(Happening::Interrupted),
        2 => prop_oneof![
            Just(Failure::OutOfMemory),
            Just(Failure::ParentCheckpoint),
            Just(Failure::Device),
            Just(Failure::Other),
        ].prop_map(Happening::Failed),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(out_of_memory, ran)| Happening::Exited { out_of_memory, ran }),
        2 => Just(Happening::Later),
    ]
}

/// Random trials of few recipes, so that they share.
fn any_trials() -> impl Strategy<Value = Vec<TrialSpec>> {
    let any_trial =
        (0_u64..3, 1_u64..6, 0_u64..3, 0_u32..2).prop_map(|(seed, trunk, cooldown, shape)| {
            let mut trial = trial(seed, 40 * trunk + 10 * cooldown, 10 * cooldown);
            trial.recipe_mut().train.batch <<= shape;
            trial
        });
    proptest::collection::vec(any_trial, 1..10)
}

const N_SLOTS: usize = 3;

fn happen(schedule: &mut Schedule<'_>, happening: &Happening, which: usize, now: &mut f64) {
    let running: Vec<_> = schedule.running.keys().copied().collect();
    let at = running.get(which % running.len().max(1)).copied();
    let event = match happening {
        Happening::Launch => {
            let idle = (0..N_SLOTS).find(|slot| schedule.is_idle(*slot));
            if let (Some(slot), Some(segment)) = (idle, schedule.next(*now)) {
                let least_s = if which.is_multiple_of(4) { 1e9 } else { 0.0 };
                for segment in schedule.bundle(&schedule.bundles(least_s), segment.id) {
                    schedule.launch(segment.id, 1, slot, *now).unwrap();
                }
            }
            return;
        }
        Happening::Exited { out_of_memory, ran } => {
            let exit = Exit { how: "somehow".into(), out_of_memory: *out_of_memory, ran: *ran };
            schedule.bury(which % N_SLOTS, &exit, *now).unwrap();
            return;
        }
        Happening::Later => {
            *now += 5.0;
            return;
        }
        Happening::Started => {
            at.map(|at| TrainerEvent::Started { step: schedule.plan.segments[at].spec.start })
        }
        Happening::Checkpointed => at.map(|at| {
            let step = schedule.plan.segments[at].spec.start + 1;
            TrainerEvent::Checkpointed { step, digest: String::new(), bytes: 0 }
        }),
        Happening::Finished => at.map(|at| TrainerEvent::Finished {
            step: schedule.plan.segments[at].spec.end,
            spent: spent(1, 1.0),
        }),
        Happening::Diverged => Some(TrainerEvent::Diverged { step: 0, spent: spent(1, 1.0) }),
        Happening::Interrupted => Some(TrainerEvent::Interrupted { step: 0, spent: spent(1, 1.0) }),
        Happening::Failed(failure) => {
            Some(TrainerEvent::Failed { reason: "no".into(), failure: *failure })
        }
    };
    if let (Some(at), Some(event)) = (at, event) {
        let segment = &schedule.plan.segments[at];
        schedule.hear(&said(segment, event), *now).unwrap();
    }
}

/// What must be true whatever has happened.
fn check(schedule: &Schedule<'_>) -> Result<(), TestCaseError> {
    for (at, segment) in schedule.plan.segments.iter().enumerate() {
        let state = &schedule.states[at];
        let is_running = matches!(state, SegmentState::Running { .. });
        prop_assert_eq!(is_running, schedule.running.contains_key(&at));
        let workload = &schedule.workloads[schedule.workload_of[at]];
        let rank = Rank::new(segment.is_evaluation(), segment.remaining_s, at);
        prop_assert_eq!(workload.ready.contains(&rank), schedule.is_ready(at));
    }
    for workload in &schedule.workloads {
        let running = workload.members.iter().filter(|at| schedule.running.contains_key(at));
        prop_assert_eq!(workload.n_running, running.count());
        prop_assert!(workload.micro_batch.is_none_or(|micro| micro >= 1));
    }
    let spent = schedule.spent(1e9);
    prop_assert!(spent.flops >= 0.0 && spent.device_s >= 0.0);
    Ok(())
}

proptest! {
    #[test]
    fn no_sequence_of_events_reaches_an_illegal_state_and_good_luck_then_ends_it(
        trials in any_trials(),
        happenings in proptest::collection::vec((any_happening(), 0_usize..8), 0..80),
        n_transfers in 0_usize..2,
        ahead in any::<bool>(),
    ) {
        let plan = Plan::new(&trials, &[few_shot(&[5])][..n_transfers]);
        let mut schedule = schedule(&plan, Policy::default());
        if ahead {
            schedule = schedule.ahead();
        }
        let mut now = 0.0;
        for (happening, which) in &happenings {
            happen(&mut schedule, happening, *which, &mut now);
            check(&schedule)?;
        }
        // From here on everything works: what is left ends, each segment once.
        let mut ended = Vec::new();
        while schedule.has_work() {
            now += 1000.0;
            happen(&mut schedule, &Happening::Launch, 1, &mut now);
            while let Some(at) = schedule.running.keys().next().copied() {
                let segment = &plan.segments[at];
                schedule.hear(&finished(segment), now).unwrap();
                ended.push(at);
            }
            check(&schedule)?;
        }
        let n_ended = ended.len();
        ended.sort_unstable();
        ended.dedup();
        prop_assert_eq!(ended.len(), n_ended);
        for (at, segment) in plan.segments.iter().enumerate() {
            if !schedule.states[at].has_ended() {
                // Blocked by what ended badly above it.
                let parent = schedule.index[&segment.spec.parent.unwrap()];
                prop_assert!(schedule.states[parent] != SegmentState::Finished);
            }
        }
    }

    #[test]
    fn every_segment_of_a_grid_is_executed_once_and_after_its_parent(
        trials in any_trials(),
        n_slots in 1_usize..4,
        n_transfers in 0_usize..3,
    ) {
        let transfers = [few_shot(&[5]), fine_tune(500)];
        let plan = Plan::new(&trials, &transfers[..n_transfers]);
        let mut schedule = schedule(&plan, Policy::default());
        let mut done = Vec::new();
        let mut running: Vec<Option<&PlannedSegment>> = vec![None; n_slots];
        loop {
            for (slot, place) in running.iter_mut().enumerate() {
                if place.is_none() && let Some(segment) = schedule.next(0.0) {
                    prop_assert!(segment.spec.parent.is_none_or(|parent| done.contains(&parent)));
                    schedule.launch(segment.id, 1, slot, 0.0).unwrap();
                    *place = Some(segment);
                }
            }
            let Some(segment) = running.iter_mut().rev().find_map(Option::take) else { break };
            schedule.hear(&finished(segment), 0.0).unwrap();
            done.push(segment.id);
        }
        let mut expected: Vec<_> = plan.segments.iter().map(|segment| segment.id).collect();
        expected.sort_unstable();
        done.sort_unstable();
        prop_assert_eq!(done, expected);
    }

    /// On forests as sweeps make them: a few seeds and shapes, lengths that double. A segment cannot be
    /// divided, so there are no more slots than leave
    /// each one with eight times the largest: with less, no order comes near the bound.
    #[test]
    fn the_makespan_is_within_a_tenth_of_its_lower_bound(
        n_slots in 1_usize..9,
        n_lengths in 2_u32..6,
        shapes in proptest::collection::vec(0_u32..4, 2..8),
        n_seeds in 1_u64..9,
        cooldown in 0_u64..5,
        costs in proptest::collection::vec(0.2_f64..5.0, 64),
    ) {
        let mut trials = Vec::new();
        for seed in 0..n_seeds {
            for (variant, shape) in shapes.iter().enumerate() {
                for length in 0..n_lengths {
                    let steps = 100_u64 << length;
                    let mut trial = trial(seed, steps, cooldown * steps / 10);
                    trial.recipe_mut().train.batch <<= shape;
                    trial.recipe_mut().unique_examples += variant as u64;
                    trials.push(trial);
                }
            }
        }
        let mut plan = Plan::new(&trials, &[]);
        let places: HashMap<_, _> = plan.segments.iter().enumerate().map(|(at, segment)| (segment.id, at)).collect();
        plan.weigh(&|segment| {
            let steps = segment.spec.steps() as f64 * f64::from(segment.spec.recipe.train.batch);
            steps * costs[places[&segment.id] % costs.len()]
        });
        let total: f64 = plan.segments.iter().map(|segment| segment.estimated_s).sum();
        let critical = plan.segments.iter().map(|segment| segment.remaining_s).fold(0.0, f64::max);
        let largest = plan.segments.iter().map(|segment| segment.estimated_s).fold(0.0, f64::max);
        let n_slots = n_slots.min((total / (8.0 * largest)) as usize).max(1);
        let bound = critical.max(total / n_slots as f64);
        let simulation = simulate(&plan, &States::new(), n_slots);
        prop_assert!((simulation.busy_s / total - 1.0).abs() < 1e-9);
        prop_assert!(simulation.makespan_s >= bound * (1.0 - 1e-9));
        prop_assert!(simulation.makespan_s <= 1.1 * bound, "{} against {bound} on {n_slots} slots", simulation.makespan_s);
    }
}
