//! The one writer: stores what the scheduler decides and what trainers say, and shows it.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use scheduler::{
    Consequence, Journal, Launch, Plan, PlannedSegment, Said, Schedule, SegmentState, States,
};
use serde_json::json;
use spec::{FORMAT, Order, Ready, SegmentId, TrainerEvent};
use store::{NewAttempt, Report, Store, StoreError};

use crate::checkpoints::Keeper;
use crate::devices::NamedSlot;
use crate::paths::Workplace;
use crate::progress::Progress;

pub struct StoreJournal<'a> {
    pub store: &'a Store,
    pub sweep: &'a str,
    pub workplace: &'a Workplace,
    pub slots: &'a [NamedSlot],
    pub keeper: Keeper<'a>,
    pub progress: Progress<'a>,
}

impl Journal for StoreJournal<'_> {
    type Error = StoreError;

    async fn begin(&mut self, launch: &Launch<'_>) -> Result<Vec<Order>, StoreError> {
        let NamedSlot { slot, device_name, .. } = self.slot(launch.slot);
        let launched = launch.segments.iter().zip(&launch.micro_batches);
        let attempt = |(segment, micro_batch): (&&PlannedSegment, &Option<u32>)| {
            let attempt = NewAttempt {
                device: slot.device.clone(),
                device_name: device_name.clone(),
                threads: slot.threads,
                pid: launch.place.pid,
                job: launch.place.job.clone(),
                micro_batch: *micro_batch,
                above: self.workplace.newest_attempt(segment.id),
            };
            (segment.id, attempt)
        };
        let attempts: Vec<_> = launched.clone().map(attempt).collect();
        let fences = self.store.begin_attempts(&attempts, now()).await?;
        let mut orders = Vec::with_capacity(fences.len());
        for ((segment, micro_batch), attempt) in launched.zip(fences) {
            self.progress.begin(segment, attempt, launch.slot);
            orders.push(self.order(segment, attempt, *micro_batch));
        }
        Ok(orders)
    }

    async fn record(&mut self, said: &[Said]) -> Result<Vec<bool>, StoreError> {
        let report = |said: &Said| Report {
            segment_id: said.segment_id,
            attempt: said.attempt,
            event: said.event.clone(),
        };
        let reports: Vec<_> = said.iter().map(report).collect();
        let current = self.store.record_batch(&reports, now()).await?;
        for (said, _) in said.iter().zip(&current).filter(|(_, is_current)| **is_current) {
            self.progress.hear(said.segment_id, &said.event);
            self.tidy(said).await?;
        }
        Ok(current)
    }

    async fn conclude(&mut self, consequence: &Consequence) -> Result<(), StoreError> {
        match consequence {
            Consequence::Lost {
                segment_id,
                attempt,
                after: SegmentState::Failed { reason },
                ..
            } => {
                self.store.fail_segment(*segment_id, *attempt, reason, now()).await?;
            }
            Consequence::Lost { segment_id, attempt, how, .. } => {
                self.store.lose_attempt(*segment_id, *attempt, how, now()).await?;
            }
            Consequence::GivenUp { segments, reason } => {
                self.store.give_up(segments, reason).await?;
            }
            Consequence::Reopened { segment_id } => self.store.reopen(&[*segment_id]).await?,
        }
        self.progress.conclude(consequence);
        Ok(())
    }

    async fn ready(&mut self, slot: usize, ready: &Ready) -> Result<(), StoreError> {
        let json = json!({ "trainer": ready, "slot": slot });
        self.store.save_provenance(self.sweep, &json.to_string(), now()).await
    }

    fn look(&mut self, schedule: &Schedule<'_>, now: f64) {
        self.progress.look(schedule, now);
    }
}

impl StoreJournal<'_> {
    /// An engine that has taken over many jobs has more slots than it was asked for, all alike.
    fn slot(&self, slot: usize) -> &NamedSlot {
        &self.slots[slot.min(self.slots.len() - 1)]
    }

    fn order(&self, segment: &PlannedSegment, attempt: u32, micro_batch: Option<u32>) -> Order {
        let parent = segment.spec.parent;
        Order {
            format: FORMAT,
            segment_id: segment.id,
            attempt,
            segment: segment.spec.clone(),
            parent_checkpoints: parent.map(|parent| self.workplace.checkpoints(parent)),
            checkpoints: self.workplace.checkpoints(segment.id),
            attempt_dir: self.workplace.attempt(segment.id, attempt),
            cache: self.workplace.cache(),
            micro_batch,
        }
    }

    /// When a segment is over, its checkpoints may not be needed, nor those that it began with.
    async fn tidy(&self, said: &Said) -> Result<(), StoreError> {
        match said.event {
            TrainerEvent::Finished { .. } | TrainerEvent::Diverged { .. } => {
                self.keeper.tidy(self.store, said.segment_id).await
            }
            TrainerEvent::Started { .. }
            | TrainerEvent::Progress { .. }
            | TrainerEvent::Evaluated { .. }
            | TrainerEvent::Checkpointed { .. }
            | TrainerEvent::Paused { .. }
            | TrainerEvent::Interrupted { .. }
            | TrainerEvent::Failed { .. } => Ok(()),
        }
    }
}

/// Where the store says that each segment of a plan stands. One whose attempt goes on elsewhere is
/// not among them: see [`crate::recover`].
pub async fn stored_states(store: &Store, sweep: &str, plan: &Plan) -> Result<States, StoreError> {
    let stored: HashMap<SegmentId, _> = store
        .segment_states(sweep)
        .await?
        .into_iter()
        .map(|status| (status.segment_id, status.state))
        .collect();
    let state =
        |segment: &PlannedSegment| Some((segment.id, scheduler_state(stored.get(&segment.id)?)));
    Ok(plan.segments.iter().filter_map(state).collect())
}

fn scheduler_state(state: &store::SegmentState) -> SegmentState {
    match state {
        store::SegmentState::Pending | store::SegmentState::Running => SegmentState::NEW,
        store::SegmentState::Finished => SegmentState::Finished,
        store::SegmentState::Diverged { step } => SegmentState::Diverged { step: *step },
        store::SegmentState::Failed { reason } => SegmentState::Failed { reason: reason.clone() },
    }
}

/// Seconds since 1970, UTC.
pub fn now() -> store::UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
