//! What starts next, and what an event means: a state machine over a whole plan. Pure: time comes as
//! an argument, in seconds since any moment, and what is to be stored or done goes out as a value.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use spec::{Failure, SegmentId, Spent, TrainerEvent};

use crate::bundle::{Bundles, Standing, bundles};
use crate::engine::{Exit, Said};
use crate::lanes::Lanes;
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

/// How one ended that was told to because it said nothing.
const SILENT: &str = "after it had been silent for too long";

type Outcome = Result<Vec<Consequence>, InvalidChange>;

impl<'a> Schedule<'a> {
    /// `micro_batches`: what earlier attempts at segments came down to. `spent`: by all earlier attempts.
    pub fn new(
        plan: &'a Plan,
        states: &States,
        policy: Policy,
        micro_batches: &[(SegmentId, u32)],
        spent: Charge,
    ) -> Self {
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
            spent,
            pause: None,
            ahead: false,
            ending: BTreeSet::new(),
            lanes: Lanes::default(),
        };
        schedule.learn(micro_batches);
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

    /// Keeps the first of these segments, as many as the budget allows together.
    fn keep_affordable(&self, segments: &mut Vec<usize>) {
        let mut charge = self.committed();
        let fits = |at: &&usize| {
            charge += self.whole(**at);
            self.policy.budget.allows(charge)
        };
        let n = segments.iter().take_while(fits).count();
        segments.truncate(n);
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
        let spec = &self.plan.segments[at].spec;
        let (first, last) = (spec.start, spec.start);
        let micro_batch = self.micro_batch(segment).or_else(|| examples_at_once(spec));
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

    /// Takes the end of what a slot executed. Attempts of it that have not ended are lost; of several
    /// the first, which was to be under way, and the others never began.
    ///
    /// # Errors
    /// None that an engine could cause.
    pub fn bury(&mut self, slot: usize, exit: &Exit, now: f64) -> Outcome {
        let how = match self.ending.remove(&slot) {
            true => format!("{SILENT}, {}", exit.how),
            false => exit.how.clone(),
        };
        let mut consequences = Vec::new();
        let mut ran = exit.ran;
        for at in self.on_slot(slot) {
            let attempt = self.running[&at].attempt;
            let change = match (ran, exit.out_of_memory) {
                (false, _) => SegmentChange::Returned,
                (true, true) => self.want_of_memory(at, &how),
                (true, false) => SegmentChange::Lost { how: how.clone() },
            };
            ran = false;
            self.leave(at, None, now);
            self.change(at, change)?;
            // Nor is what never began handed over again at once: the cause may be there still.
            if let SegmentState::Pending { lost } = self.states[at] {
                self.wait(at, lost.max(1), now);
            }
            let (segment_id, after) = (self.plan.segments[at].id, self.states[at].clone());
            let reason = after.failure().map(str::to_owned);
            let how = how.clone();
            consequences.push(Consequence::Lost { segment_id, attempt, how, after });
            consequences.extend(reason.and_then(|reason| self.give_up_alike(at, &reason)));
        }
        Ok(consequences)
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

    /// Segments that could start but for the budget.
    pub fn n_unaffordable(&self) -> usize {
        self.ready().filter(|rank| !self.is_affordable(rank.segment)).count()
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

    /// What all attempts have spent, running ones up to their last word.
    pub fn spent(&self, now: f64) -> Charge {
        let running = self.running.iter().map(|(at, running)| self.so_far(*at, running, now));
        self.spent + running.sum()
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

    /// Puts the recipes' or already smaller micro-batches in place.
    fn learn(&mut self, micro_batches: &[(SegmentId, u32)]) {
        for (segment, micro_batch) in micro_batches {
            let Some(at) = self.index.get(segment) else { continue };
            let known = &mut self.workloads[self.workload_of[*at]].micro_batch;
            *known = Some(known.map_or(*micro_batch, |known| known.min(*micro_batch)));
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

    /// Whether the budget allows a segment beside all that was spent and what runs.
    fn is_affordable(&self, at: usize) -> bool {
        let budget = self.policy.budget;
        if !budget.is_limited() {
            return true;
        }
        budget.allows(self.committed() + self.whole(at))
    }

    /// What was spent, and what runs to its end.
    fn committed(&self) -> Charge {
        let running = self.running.iter().map(|(at, running)| self.in_all(*at, running));
        self.spent + running.sum()
    }

    fn whole(&self, at: usize) -> Charge {
        let segment = &self.plan.segments[at];
        Charge { flops: segment.spec.train_flops(), device_s: segment.estimated_s }
    }

    /// What an attempt will have spent when it finishes.
    fn in_all(&self, at: usize, running: &Running) -> Charge {
        let spec = &self.plan.segments[at].spec;
        let share = (spec.end - running.first) as f64 / spec.steps() as f64;
        let whole = self.whole(at);
        Charge { flops: share * whole.flops, device_s: share * whole.device_s }
    }

    /// What an attempt is known to have spent.
    fn so_far(&self, at: usize, running: &Running, now: f64) -> Charge {
        let spec = &self.plan.segments[at].spec;
        let share = running.last.saturating_sub(running.first) as f64 / spec.steps() as f64;
        let device_s = running.earlier.device_s + running.began.map_or(0.0, |began| now - began);
        Charge { flops: share * spec.train_flops(), device_s }
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

    /// Stopped on request: by a person, or because it was silent for too long.
    fn interrupt(&mut self, at: usize, spent: &Spent, now: f64) -> Outcome {
        let slot = self.running.get(&at).map(|running| running.slot);
        let was_silent = slot.is_some_and(|slot| self.ending.contains(&slot));
        self.leave(at, Some(spent), now);
        if !was_silent {
            return self.change(at, SegmentChange::Returned).map(|()| Vec::new());
        }
        self.change(at, SegmentChange::Lost { how: SILENT.to_owned() })?;
        self.delay(at, now);
        let reason = self.states[at].failure();
        Ok(reason.map(|reason| self.given_up(at, reason)).into_iter().collect())
    }

    fn advance(&mut self, at: usize, step: u64) -> Outcome {
        let is_further = self.running.get(&at).is_some_and(|running| step > running.first);
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

    fn fail(&mut self, at: usize, failure: Failure, reason: &str, now: f64) -> Outcome {
        let mut consequences = Vec::new();
        let change = match failure {
            Failure::OutOfMemory => self.want_of_memory(at, reason),
            Failure::DiskFull => {
                self.pause = Some(reason.to_owned());
                SegmentChange::Returned
            }
            Failure::ParentCheckpoint => {
                consequences.extend(self.reopen_parent(at)?);
                SegmentChange::Lost { how: format!("without its parent's checkpoint: {reason}") }
            }
            Failure::Device => SegmentChange::Lost { how: format!("with its device: {reason}") },
            // By a number that another store has left on the disk: the next one is above it.
            Failure::Replaced => SegmentChange::Lost { how: format!("replaced: {reason}") },
            Failure::Other => SegmentChange::Failed { reason: reason.to_owned() },
        };
        self.leave(at, None, now);
        self.change(at, change)?;
        self.delay(at, now);
        if let Some(why) = self.states[at].failure().map(str::to_owned) {
            if failure != Failure::Other {
                // What the store took for a passing failure.
                consequences.push(self.given_up(at, &why));
            }
            consequences.extend(self.give_up_alike(at, &why));
        }
        Ok(consequences)
    }

    /// Memory ran out: less company for one that shared its device, which changes no numbers; else smaller
    /// passes, where there are any.
    fn want_of_memory(&mut self, at: usize, how: &str) -> SegmentChange {
        let Some(running) = self.running.get(&at) else { return SegmentChange::Returned };
        if self.lanes.make_room(running.slot) {
            return SegmentChange::Returned;
        }
        let workload = &mut self.workloads[self.workload_of[at]];
        match running.micro_batch.and_then(|used| workload.halve(used)) {
            Some(_) => SegmentChange::Returned,
            None => SegmentChange::Failed {
                reason: format!("out of memory, and a pass cannot be smaller: {how}"),
            },
        }
    }

    fn reopen_parent(&mut self, at: usize) -> Result<Option<Consequence>, InvalidChange> {
        let parent = self.plan.segments[at].spec.parent.and_then(|id| self.index.get(&id).copied());
        match parent {
            Some(parent) if self.states[parent] == SegmentState::Finished => {
                self.change(parent, SegmentChange::Reopened)?;
                Ok(Some(Consequence::Reopened { segment_id: self.plan.segments[parent].id }))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// That a segment, which the store takes for pending, has failed.
    fn given_up(&self, at: usize, reason: &str) -> Consequence {
        let segments = vec![self.plan.segments[at].id];
        Consequence::GivenUp { segments, reason: reason.to_owned() }
    }

    /// Fails all pending segments of a workload of which every one fails alike.
    fn give_up_alike(&mut self, at: usize, reason: &str) -> Option<Consequence> {
        let workload = &mut self.workloads[self.workload_of[at]];
        let reason = workload.fail(at, reason)?;
        let is_pending = |at: &usize| matches!(self.states[*at], SegmentState::Pending { .. });
        let pending: Vec<_> = workload.members.iter().copied().filter(is_pending).collect();
        let mut segments = Vec::with_capacity(pending.len());
        for at in pending {
            self.not_before.remove(&at);
            self.states[at] = SegmentState::Failed { reason: reason.clone() };
            self.arrange(at);
            segments.push(self.plan.segments[at].id);
        }
        (!segments.is_empty()).then_some(Consequence::GivenUp { segments, reason })
    }

    /// The attempt is over; what it spent is charged: by its own word, or else by what is known.
    fn leave(&mut self, at: usize, spent: Option<&Spent>, now: f64) {
        let Some(running) = self.running.remove(&at) else { return };
        self.workloads[self.workload_of[at]].n_running -= 1;
        self.lanes.leave(running.slot);
        let known = self.so_far(at, &running, now);
        let spent = spent.map(|spent| sum(&running.earlier, spent));
        self.spent += spent.map_or(known, |spent| Charge {
            flops: self.flops_of(at, &spent).max(known.flops),
            device_s: spent.device_s.max(known.device_s),
        });
    }

    /// An evaluation that takes no steps is its passes over the task's examples, all of them.
    fn flops_of(&self, at: usize, spent: &Spent) -> f64 {
        let segment = &self.plan.segments[at];
        match spent.steps {
            0 if segment.is_evaluation() => segment.spec.train_flops(),
            steps => segment.spec.train_flops() * steps as f64 / segment.spec.steps() as f64,
        }
    }

    /// Makes a segment that was lost wait.
    fn delay(&mut self, at: usize, now: f64) {
        if let SegmentState::Pending { lost } = self.states[at]
            && lost > 0
        {
            self.wait(at, lost, now);
        }
    }

    /// Makes a pending segment wait as after so many losses in a row.
    fn wait(&mut self, at: usize, lost: u32, now: f64) {
        let wait = self.policy.wait_s(self.plan.segments[at].id, lost);
        self.not_before.insert(at, now + wait);
        self.arrange(at);
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
