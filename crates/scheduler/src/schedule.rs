//! What starts next, and what an event means: a state machine over a whole plan. Pure: time comes as
//! an argument, in seconds since any moment, and what is to be stored or done goes out as a value.

mod budget;
mod failing;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use spec::{SegmentId, Spent, TrainerEvent};

use crate::bundle::{Bundles, Standing, bundles};
use crate::engine::Said;
use crate::lanes::Lanes;
use crate::past::Past;
use crate::plan::{Plan, PlannedSegment};
use crate::policy::{Charge, Policy};
use crate::state::{InvalidChange, SegmentChange, SegmentState, States};
use crate::workload::{Rank, Workload, examples_at_once};

/// Where every segment of a plan stands, and everything that decides what is next.
#[derive(Clone, Debug)]
pub struct Schedule<'a> {
    plan: &'a Plan,
    policy: Policy,
    index: HashMap<SegmentId, usize>,
    children: Vec<Vec<usize>>,
    states: Vec<SegmentState>,
    workloads: Vec<Workload>,
    workload_of: Vec<usize>,
    running: BTreeMap<usize, Running>,
    /// When segments that were lost may start again.
    not_before: HashMap<usize, f64>,
    /// The step that each segment would go on from: that of its newest checkpoint.
    reached: Vec<u64>,
    spent: Charge,
    pause: Option<String>,
    /// Whether a segment may be handed over while its parent is still to be executed.
    ahead: bool,
    /// Slots that were told to end because they were silent, and have not yet.
    ending: BTreeSet<usize>,
    lanes: Lanes,
}

/// An attempt that goes on.
#[derive(Clone, Debug)]
struct Running {
    attempt: u32,
    slot: usize,
    micro_batch: Option<u32>,
    /// When it began to train; None of one that waits in a queue, for the first time or after a pause.
    began: Option<f64>,
    /// What it reported when it was paused.
    earlier: Spent,
    heard: f64,
    /// The step that it began with, and the last one it told of.
    first: u64,
    last: u64,
}

/// Who goes first: the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_evaluation: bool,
    trust: Trust,
    rank: Rank,
}

/// How well a workload is known to work, in the order in which workloads have their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    /// Nothing of it has finished, and nothing runs. By the bits of its cheapest segment's seconds.
    Untried {
        cost: u64,
    },
    Proved,
    /// Nothing of it has finished yet, and something runs.
    OnTrial,
}

/// What else follows from an event, to be stored before anything starts again.
#[derive(Clone, Debug, PartialEq)]
pub enum Consequence {
    /// An attempt ended without a last word; where that leaves its segment.
    Lost { segment_id: SegmentId, attempt: u32, how: String, after: SegmentState },
    /// Segments that are not tried any more.
    GivenUp { segments: Vec<SegmentId>, reason: String },
    /// A finished segment whose checkpoint is gone, to be trained again.
    Reopened { segment_id: SegmentId },
}

impl Running {
    /// Seconds that it may be silent. Before it begins it may have data to prepare.
    fn patience_s(&self, time_out_s: f64) -> f64 {
        const BEFORE_IT_BEGINS: f64 = 4.0;
        if self.began.is_some() { time_out_s } else { BEFORE_IT_BEGINS * time_out_s }
    }
}

type Outcome = Result<Vec<Consequence>, InvalidChange>;

impl<'a> Schedule<'a> {
    pub fn new(plan: &'a Plan, states: &States, policy: Policy, past: &Past) -> Self {
        let index: HashMap<_, _> =
            plan.segments.iter().enumerate().map(|(at, segment)| (segment.id, at)).collect();
        let mut children = vec![Vec::new(); plan.segments.len()];
        for (at, segment) in plan.segments.iter().enumerate() {
            if let Some(parent) = segment.spec.parent.and_then(|parent| index.get(&parent)) {
                children[*parent].push(at);
            }
        }
        let state = |segment: &PlannedSegment| {
            states.get(&segment.id).cloned().unwrap_or(SegmentState::NEW)
        };
        let (workloads, workload_of) = group(plan);
        let mut schedule = Self {
            plan,
            policy,
            states: plan.segments.iter().map(state).collect(),
            index,
            children,
            workloads,
            workload_of,
            running: BTreeMap::new(),
            not_before: HashMap::new(),
            reached: plan.segments.iter().map(|segment| segment.spec.start).collect(),
            spent: past.spent,
            pause: None,
            ahead: false,
            ending: BTreeSet::new(),
            lanes: Lanes::default(),
        };
        schedule.learn(past);
        for at in 0..plan.segments.len() {
            schedule.arrange(at);
        }
        schedule
    }

    /// What should start now, and the slot of `n_slots` that should execute it; None where nothing can
    /// start, or no idle slot has room for what is next: it is waited for, lest small segments that go
    /// before it keep it from starting for ever.
    pub fn next_launch(&mut self, n_slots: usize, now: f64) -> Option<(usize, &'a PlannedSegment)> {
        self.release(now);
        let first = (0..n_slots).find(|slot| self.is_idle(*slot))?;
        let segment = self.next(now)?;
        let idle = (first..n_slots).filter(|slot| self.is_idle(*slot));
        Some((self.lanes.choose(idle, segment.workload)?, segment))
    }

    /// What should start now; None where nothing can. A workload that has not proved itself goes first
    /// and with its cheapest segment, the cheapest workload before the others, so that a mistake shows
    /// early. The rest goes by the longest path still before it, which keeps the last slot from
    /// finishing long after the others. Evaluations on other tasks come last: nothing waits for them,
    /// and a sweep that is stopped early has its curve.
    pub fn next(&mut self, now: f64) -> Option<&'a PlannedSegment> {
        if self.pause.is_some() {
            return None;
        }
        self.release(now);
        let turns = self.workloads.iter().filter_map(|workload| self.best_of(workload));
        Some(&self.plan.segments[turns.min()?.rank.segment])
    }

    /// Lets segments be handed over while what they start from is still queued or under way elsewhere.
    #[must_use]
    pub fn ahead(mut self) -> Self {
        self.ahead = true;
        for at in 0..self.states.len() {
            self.arrange(at);
        }
        self
    }

    /// Lets slots share devices.
    #[must_use]
    pub fn sharing(mut self, lanes: Lanes) -> Self {
        self.lanes = lanes;
        self
    }

    /// Everything that can be executed, in bundles of at least `least_s` seconds of work where there is
    /// so much that can go together.
    pub fn bundles(&self, least_s: f64) -> Bundles {
        Bundles::new(bundles(self.plan, &self.index, |at| self.standing(at), least_s))
    }

    /// A segment that may start, and those of its bundle that still can be and the budget allows: parents
    /// first. Without a bundle, it alone.
    pub fn bundle(&self, bundles: &Bundles, root: SegmentId) -> Vec<&'a PlannedSegment> {
        let Some(&root) = self.index.get(&root) else { return Vec::new() };
        let is_free = |at: &usize| self.standing(*at) == Standing::Free;
        let mut together: Vec<_> = bundles.with(root).iter().copied().filter(is_free).collect();
        self.keep_affordable(&mut together);
        if together.is_empty() {
            together.push(root);
        }
        together.into_iter().map(|at| &self.plan.segments[at]).collect()
    }

    fn standing(&self, at: usize) -> Standing {
        match self.states[at] {
            SegmentState::Pending { .. } if self.not_before.contains_key(&at) => Standing::Blocked,
            SegmentState::Pending { .. } => Standing::Free,
            SegmentState::Running { .. } => Standing::Running,
            SegmentState::Finished => Standing::Finished,
            SegmentState::Diverged { .. } | SegmentState::Failed { .. } => Standing::Blocked,
        }
    }

    /// What to hand over as micro-batch, where it is not the recipe's.
    pub fn micro_batch(&self, segment: SegmentId) -> Option<u32> {
        let at = *self.index.get(&segment)?;
        self.workloads[self.workload_of[at]].micro_batch
    }

    /// # Errors
    /// A segment that is not pending.
    pub fn launch(
        &mut self,
        segment: SegmentId,
        attempt: u32,
        slot: usize,
        now: f64,
    ) -> Result<(), InvalidChange> {
        let Some(&at) = self.index.get(&segment) else { return Ok(()) };
        let (first, last) = (self.reached[at], self.reached[at]);
        let micro_batch =
            self.micro_batch(segment).or_else(|| examples_at_once(&self.plan.segments[at].spec));
        self.change(at, SegmentChange::Launched { attempt, slot })?;
        let (began, earlier, heard) = (None, Spent::default(), now);
        let running = Running { attempt, slot, micro_batch, began, earlier, heard, first, last };
        self.running.insert(at, running);
        self.workloads[self.workload_of[at]].n_running += 1;
        self.lanes.launch(slot, self.plan.segments[at].workload);
        Ok(())
    }

    /// Takes what a trainer said, and the store has accepted.
    ///
    /// # Errors
    /// An event of an attempt that is not running.
    pub fn hear(&mut self, said: &Said, now: f64) -> Outcome {
        let Some(&at) = self.index.get(&said.segment_id) else { return Ok(Vec::new()) };
        self.note(at, &said.event, now);
        match &said.event {
            TrainerEvent::Started { .. }
            | TrainerEvent::Progress { .. }
            | TrainerEvent::Evaluated { .. }
            | TrainerEvent::Paused { .. } => Ok(Vec::new()),
            TrainerEvent::Checkpointed { step, .. } => self.advance(at, *step),
            TrainerEvent::Finished { spent, .. } => {
                self.finish(at, SegmentChange::Finished, spent, now)
            }
            TrainerEvent::Diverged { step, spent } => {
                self.finish(at, SegmentChange::Diverged { step: *step }, spent, now)
            }
            TrainerEvent::Interrupted { spent, .. } => self.interrupt(at, spent, now),
            TrainerEvent::Failed { reason, failure } => self.fail(at, *failure, reason, now),
        }
    }

    /// Slots whose trainer has said nothing for too long.
    pub fn overdue(&self, now: f64) -> BTreeSet<usize> {
        let Some(time_out) = self.policy.time_out_s else { return BTreeSet::new() };
        let silent = |running: &&Running| {
            self.must_talk(running) && now - running.heard >= running.patience_s(time_out)
        };
        self.running.values().filter(silent).map(|running| running.slot).collect()
    }

    /// Whether an attempt should be heard of: not while it waits in a queue.
    const fn must_talk(&self, running: &Running) -> bool {
        !self.ahead || running.began.is_some()
    }

    /// Starts a slot's time-out anew: it was told to end, and takes nothing until it has.
    pub fn excuse(&mut self, slot: usize, now: f64) {
        self.ending.insert(slot);
        for running in self.running.values_mut().filter(|running| running.slot == slot) {
            running.heard = now;
        }
    }

    /// When something may change though nothing happens: a segment's wait or a trainer's patience ends.
    pub fn next_change(&self) -> Option<f64> {
        let waits = self.not_before.values().copied();
        let time_out = self.policy.time_out_s;
        let talkers = self.running.values().filter(|running| self.must_talk(running));
        let silences =
            talkers.filter_map(|running| Some(running.heard + running.patience_s(time_out?)));
        waits.chain(silences).reduce(f64::min)
    }

    pub fn n_running(&self) -> usize {
        self.running.len()
    }

    pub fn is_idle(&self, slot: usize) -> bool {
        !self.ending.contains(&slot) && self.running.values().all(|running| running.slot != slot)
    }

    /// Whether something waits for its next try.
    pub fn is_waiting(&self) -> bool {
        !self.not_before.is_empty()
    }

    /// Whether anything is left that could still be done.
    pub fn has_work(&self) -> bool {
        self.n_running() > 0 || self.is_waiting() || self.ready().next().is_some()
    }

    fn ready(&self) -> impl Iterator<Item = &Rank> {
        self.workloads.iter().flat_map(|workload| &workload.ready)
    }

    /// Why nothing starts though it could: the disk is full.
    pub fn pause(&self) -> Option<&str> {
        self.pause.as_deref()
    }

    pub fn states(&self) -> States {
        self.plan
            .segments
            .iter()
            .map(|segment| segment.id)
            .zip(self.states.iter().cloned())
            .collect()
    }

    pub fn state(&self, segment: SegmentId) -> Option<&SegmentState> {
        Some(&self.states[*self.index.get(&segment)?])
    }

    /// Puts smaller micro-batches and checkpoints in place, and trusts what has finished before.
    fn learn(&mut self, past: &Past) {
        for (segment, micro_batch) in &past.micro_batches {
            let Some(at) = self.index.get(segment) else { continue };
            let known = &mut self.workloads[self.workload_of[*at]].micro_batch;
            *known = Some(known.map_or(*micro_batch, |known| known.min(*micro_batch)));
        }
        for (segment, step) in &past.checkpoints {
            let Some(&at) = self.index.get(segment) else { continue };
            // A last checkpoint of what is to be trained again is gone, or damaged.
            let spec = &self.plan.segments[at].spec;
            if (spec.start..spec.end).contains(step) {
                self.reached[at] = *step;
            }
        }
        for at in 0..self.states.len() {
            if self.states[at] == SegmentState::Finished {
                self.workloads[self.workload_of[at]].prove();
            }
        }
    }

    /// The best of a workload that may start, and where the workload stands among the others.
    fn best_of(&self, workload: &Workload) -> Option<Turn> {
        let cost = |rank: &Rank| self.plan.segments[rank.segment].estimated_s.max(0.0).to_bits();
        let mut ready = workload.ready.iter().filter(|rank| self.is_affordable(rank.segment));
        let (trust, rank) = match (workload.is_proved, workload.n_running) {
            (true, _) => (Trust::Proved, ready.next()?),
            (false, 0) => {
                let rank = ready.min_by_key(|rank| cost(rank))?;
                (Trust::Untried { cost: cost(rank) }, rank)
            }
            (false, _) => (Trust::OnTrial, ready.next()?),
        };
        Some(Turn { is_evaluation: rank.is_evaluation(), trust, rank: *rank })
    }

    fn note(&mut self, at: usize, event: &TrainerEvent, now: f64) {
        let Some(running) = self.running.get_mut(&at) else { return };
        running.heard = now;
        match event {
            TrainerEvent::Started { step } => {
                if running.began.is_none() && running.earlier == Spent::default() {
                    (running.first, running.last) = (*step, *step);
                }
                // The newest checkpoint may have been damaged.
                running.first = running.first.min(*step);
                running.began.get_or_insert(now);
            }
            TrainerEvent::Paused { step, spent } => {
                (running.began, running.last) = (None, *step);
                running.earlier = sum(&running.earlier, spent);
            }
            TrainerEvent::Progress { step, examples_per_s, .. } => {
                running.last = *step;
                self.lanes.report(running.slot, *examples_per_s);
            }
            TrainerEvent::Checkpointed { step, .. } => running.last = *step,
            TrainerEvent::Evaluated { .. }
            | TrainerEvent::Finished { .. }
            | TrainerEvent::Diverged { .. }
            | TrainerEvent::Interrupted { .. }
            | TrainerEvent::Failed { .. } => {}
        }
    }

    fn advance(&mut self, at: usize, step: u64) -> Outcome {
        let is_further = self.running.get(&at).is_some_and(|running| step > running.first);
        self.reached[at] = step;
        if is_further {
            self.change(at, SegmentChange::Advanced)?;
        }
        Ok(Vec::new())
    }

    fn finish(&mut self, at: usize, change: SegmentChange, spent: &Spent, now: f64) -> Outcome {
        if let Some(bytes) = spent.peak_bytes {
            self.lanes.learn_peak(self.plan.segments[at].workload, bytes);
        }
        self.leave(at, Some(spent), now);
        self.workloads[self.workload_of[at]].prove();
        self.change(at, change)?;
        Ok(Vec::new())
    }

    /// Ends the waits that are over.
    fn release(&mut self, now: f64) {
        let due: Vec<_> =
            self.not_before.iter().filter(|(_, time)| **time <= now).map(|(at, _)| *at).collect();
        for at in due {
            self.not_before.remove(&at);
            self.arrange(at);
        }
    }

    fn change(&mut self, at: usize, change: SegmentChange) -> Result<(), InvalidChange> {
        let state = self.states[at].clone().apply(change, self.policy.max_lost)?;
        self.states[at] = state;
        self.arrange(at);
        for child in 0..self.children[at].len() {
            self.arrange(self.children[at][child]);
        }
        Ok(())
    }

    /// Puts a segment into its workload's ready set or takes it out, whichever its state asks for.
    fn arrange(&mut self, at: usize) {
        let segment = &self.plan.segments[at];
        let rank = Rank::new(segment.is_evaluation(), segment.remaining_s, at);
        let is_ready = self.is_ready(at);
        let ready = &mut self.workloads[self.workload_of[at]].ready;
        if is_ready {
            ready.insert(rank);
        } else {
            ready.remove(&rank);
        }
    }

    fn is_ready(&self, at: usize) -> bool {
        let parent = self.plan.segments[at].spec.parent;
        let is_done = |parent| match self.state(parent) {
            Some(SegmentState::Finished) => true,
            Some(SegmentState::Running { .. }) => self.ahead,
            Some(
                SegmentState::Pending { .. }
                | SegmentState::Diverged { .. }
                | SegmentState::Failed { .. },
            )
            | None => false,
        };
        matches!(self.states[at], SegmentState::Pending { .. })
            && !self.not_before.contains_key(&at)
            && parent.is_none_or(is_done)
    }

    /// What a slot executes, in the order it was handed over: parents come before children in a plan.
    fn on_slot(&self, slot: usize) -> Vec<usize> {
        let on_it = self.running.iter().filter(|(_, running)| running.slot == slot);
        on_it.map(|(at, _)| *at).collect()
    }
}

fn group(plan: &Plan) -> (Vec<Workload>, Vec<usize>) {
    let mut known = HashMap::new();
    let mut workloads: Vec<Workload> = Vec::new();
    let mut workload_of = Vec::with_capacity(plan.segments.len());
    for (at, segment) in plan.segments.iter().enumerate() {
        let workload = *known.entry(segment.workload).or_insert_with(|| {
            workloads.push(Workload::default());
            workloads.len() - 1
        });
        workloads[workload].members.push(at);
        workload_of.push(workload);
    }
    (workloads, workload_of)
}

/// Steps and seconds of two stretches.
fn sum(one: &Spent, other: &Spent) -> Spent {
    let (steps, device_s) = (one.steps + other.steps, one.device_s + other.device_s);
    Spent { steps, device_s, ..*other }
}

#[cfg(test)]
mod tests;
