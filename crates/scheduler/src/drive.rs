//! The coordinator's loop: decide, store, act, listen, store, apply.

use std::future::Future;

use spec::{Order, Ready, SegmentId, TrainerEvent};
use tokio::sync::watch;

use crate::engine::{Engine, EngineError, EngineEvent};
use crate::launch::next_launch;
use crate::plan::{Plan, PlannedSegment};
use crate::state::{InvalidChange, SegmentChange, SegmentState, States};

/// Where everything is stored before it is acted on.
pub trait Journal {
    type Error;

    /// Stores that an attempt at a segment begins on a slot, in the process `pid`, and returns what
    /// to order.
    fn begin(
        &mut self,
        segment: &PlannedSegment,
        slot: usize,
        pid: u32,
    ) -> impl Future<Output = Result<Order, Self::Error>>;

    /// Stores an event; false where a later attempt has replaced this one.
    fn record(
        &mut self,
        segment_id: SegmentId,
        attempt: u32,
        event: &TrainerEvent,
    ) -> impl Future<Output = Result<bool, Self::Error>>;

    /// Stores that an attempt ended without a last word, and where that leaves its segment.
    fn lose(
        &mut self,
        segment_id: SegmentId,
        attempt: u32,
        how: &str,
        after: &SegmentState,
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Notes what a slot's trainer is.
    fn ready(
        &mut self,
        slot: usize,
        ready: &Ready,
    ) -> impl Future<Output = Result<(), Self::Error>>;
}

/// How soon the drive should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// When nothing is left to do.
    No,
    /// Soon: trainers write a checkpoint first.
    Checkpoint,
    /// Now.
    Kill,
}

/// How a drive ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub states: States,
    /// Whether it was asked to stop before everything was done.
    pub interrupted: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DriveError<E> {
    #[error(transparent)]
    Engine(EngineError),
    #[error("cannot store what happened")]
    Journal(E),
    #[error(transparent)]
    State(#[from] InvalidChange),
}

/// Executes every segment of `plan` that `states` does not show as finished, until nothing can
/// start any more or `stop` says so.
///
/// # Errors
/// A trainer that cannot be started, a journal that cannot store, or an impossible event.
pub async fn drive<E: Engine, J: Journal>(
    plan: &Plan,
    states: States,
    engine: &mut E,
    journal: &mut J,
    mut stop: watch::Receiver<Stop>,
) -> Result<Ended, DriveError<J::Error>> {
    let mut drive = Drive { plan, states, engine, journal };
    let result = drive.until_done(&mut stop).await;
    // Whatever ended it, trainers get to write their checkpoints; what they say of it is in their
    // attempts' files.
    drive.close(&mut stop).await;
    let level = result?;
    let interrupted = level != Stop::No && next_launch(plan, &drive.states).is_some();
    Ok(Ended { states: drive.states, interrupted })
}

struct Drive<'a, E, J> {
    plan: &'a Plan,
    states: States,
    engine: &'a mut E,
    journal: &'a mut J,
}

impl<E: Engine, J: Journal> Drive<'_, E, J> {
    /// Until nothing is running and nothing may start; how soon it was asked to end.
    async fn until_done(
        &mut self,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<Stop, DriveError<J::Error>> {
        loop {
            let level = *stop.borrow_and_update();
            self.obey(level);
            if level == Stop::No {
                self.fill_slots().await?;
            }
            if self.n_running() == 0 {
                return Ok(level);
            }
            tokio::select! {
                event = self.engine.next() => self.handle(event).await?,
                Ok(()) = stop.changed() => {}
            }
        }
    }

    async fn fill_slots(&mut self) -> Result<(), DriveError<J::Error>> {
        while let Some(slot) = self.idle_slot()
            && let Some(segment) = next_launch(self.plan, &self.states)
        {
            let pid = self.engine.wake(slot).map_err(DriveError::Engine)?;
            let order =
                self.journal.begin(segment, slot, pid).await.map_err(DriveError::Journal)?;
            self.apply(segment.id, SegmentChange::Launched { attempt: order.attempt, slot })?;
            self.engine.order(slot, &order).await;
        }
        Ok(())
    }

    fn idle_slot(&self) -> Option<usize> {
        (0..self.engine.n_slots()).find(|slot| self.running_on(*slot).is_none())
    }

    fn running(&self) -> impl Iterator<Item = (SegmentId, u32, usize)> + '_ {
        self.states.iter().filter_map(|(id, state)| match state {
            SegmentState::Running { attempt, slot, .. } => Some((*id, *attempt, *slot)),
            SegmentState::Pending { .. }
            | SegmentState::Finished
            | SegmentState::Diverged { .. }
            | SegmentState::Failed { .. } => None,
        })
    }

    fn n_running(&self) -> usize {
        self.running().count()
    }

    fn running_on(&self, slot: usize) -> Option<(SegmentId, u32)> {
        self.running().find(|(_, _, at)| *at == slot).map(|(id, attempt, _)| (id, attempt))
    }

    fn obey(&mut self, level: Stop) {
        match level {
            Stop::No => {}
            Stop::Checkpoint => self.engine.stop(),
            Stop::Kill => self.engine.kill(),
        }
    }

    async fn handle(&mut self, event: EngineEvent) -> Result<(), DriveError<J::Error>> {
        match event {
            EngineEvent::Ready { slot, ready } => {
                self.journal.ready(slot, &ready).await.map_err(DriveError::Journal)
            }
            EngineEvent::Said { segment_id, attempt, event } => {
                self.hear(segment_id, attempt, event).await
            }
            EngineEvent::Exited { slot, how } => self.bury(slot, how).await,
        }
    }

    async fn hear(
        &mut self,
        segment_id: SegmentId,
        attempt: u32,
        event: TrainerEvent,
    ) -> Result<(), DriveError<J::Error>> {
        let is_current =
            self.journal.record(segment_id, attempt, &event).await.map_err(DriveError::Journal)?;
        match change(event) {
            Some(change) if is_current => self.apply(segment_id, change),
            _ => Ok(()),
        }
    }

    async fn bury(&mut self, slot: usize, how: String) -> Result<(), DriveError<J::Error>> {
        let Some((segment_id, attempt)) = self.running_on(slot) else { return Ok(()) };
        self.apply(segment_id, SegmentChange::Lost { how: how.clone() })?;
        let after = &self.states[&segment_id];
        self.journal.lose(segment_id, attempt, &how, after).await.map_err(DriveError::Journal)
    }

    fn apply(&mut self, id: SegmentId, change: SegmentChange) -> Result<(), DriveError<J::Error>> {
        let state = self.states.remove(&id).unwrap_or(SegmentState::NEW);
        self.states.insert(id, state.apply(change)?);
        Ok(())
    }

    /// Lets idle trainers end by themselves; a second Ctrl-C still ends them at once.
    async fn close(&mut self, stop: &mut watch::Receiver<Stop>) {
        self.engine.stop();
        while self.engine.n_alive() > 0 {
            tokio::select! {
                _ = self.engine.next() => {}
                Ok(()) = stop.changed() => {
                    let level = *stop.borrow_and_update();
                    self.obey(level);
                }
            }
        }
    }
}

/// What an event means for its segment; None where the attempt goes on.
fn change(event: TrainerEvent) -> Option<SegmentChange> {
    match event {
        TrainerEvent::Started { .. }
        | TrainerEvent::Progress { .. }
        | TrainerEvent::Evaluated { .. }
        | TrainerEvent::Checkpointed { .. }
        | TrainerEvent::Paused { .. } => None,
        TrainerEvent::Finished { .. } => Some(SegmentChange::Finished),
        TrainerEvent::Diverged { step, .. } => Some(SegmentChange::Diverged { step }),
        TrainerEvent::Interrupted { .. } => Some(SegmentChange::Interrupted),
        TrainerEvent::Failed { reason, .. } => Some(SegmentChange::Failed { reason }),
    }
}
