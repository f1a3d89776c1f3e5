//! What failures mean: another try after a wait, smaller passes, the parent again, an end.

use spec::{Failure, Spent};

use super::{Consequence, Outcome, Schedule};
use crate::engine::Exit;
use crate::state::{InvalidChange, SegmentChange, SegmentState};

/// How one ended that was told to because it said nothing.
const SILENT: &str = "after it had been silent for too long";

impl Schedule<'_> {
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

    /// Stopped on request: by a person, or because it was silent for too long.
    pub(super) fn interrupt(&mut self, at: usize, spent: &Spent, now: f64) -> Outcome {
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

    pub(super) fn fail(&mut self, at: usize, failure: Failure, reason: &str, now: f64) -> Outcome {
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
                self.reached[parent] = self.plan.segments[parent].spec.start;
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
}
