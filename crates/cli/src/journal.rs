//! The one writer: stores what the scheduler decides and what trainers say, and shows it.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use scheduler::{Journal, Plan, PlannedSegment, SegmentState, States};
use serde_json::json;
use spec::{FORMAT, Order, Ready, SegmentId, TrainerEvent};
use store::{NewAttempt, Store, StoreError};

use crate::devices::NamedSlot;
use crate::paths::Workplace;
use crate::progress::Progress;

pub struct StoreJournal<'a> {
    pub store: &'a Store,
    pub sweep: &'a str,
    pub workplace: &'a Workplace,
    pub slots: &'a [NamedSlot],
    pub progress: Progress,
}

impl Journal for StoreJournal<'_> {
    type Error = StoreError;

    async fn begin(
        &mut self,
        segment: &PlannedSegment,
        slot: usize,
        pid: u32,
    ) -> Result<Order, StoreError> {
        let NamedSlot { slot: place, device_name } = &self.slots[slot];
        let attempt = NewAttempt {
            device: place.device.clone(),
            device_name: device_name.clone(),
            threads: place.threads,
            pid,
        };
        let attempt = self.store.begin_attempt(segment.id, &attempt, now()).await?;
        self.progress.begin(segment, attempt, slot);
        Ok(Order {
            format: FORMAT,
            segment_id: segment.id,
            attempt,
            segment: segment.spec.clone(),
            parent_checkpoints: segment
                .spec
                .parent
                .map(|parent| self.workplace.checkpoints(parent)),
            checkpoints: self.workplace.checkpoints(segment.id),
            attempt_dir: self.workplace.attempt(segment.id, attempt),
            cache: self.workplace.cache(),
            micro_batch: None,
        })
    }

    async fn record(
        &mut self,
        segment_id: SegmentId,
        attempt: u32,
        event: &TrainerEvent,
    ) -> Result<bool, StoreError> {
        let is_current = self.store.record(segment_id, attempt, event, now()).await?;
        if is_current {
            self.progress.hear(segment_id, event);
        }
        Ok(is_current)
    }

    async fn lose(
        &mut self,
        segment_id: SegmentId,
        attempt: u32,
        how: &str,
        after: &SegmentState,
    ) -> Result<(), StoreError> {
        match after {
            SegmentState::Failed { reason } => {
                self.store.fail_segment(segment_id, attempt, reason, now()).await?;
            }
            SegmentState::Pending { .. }
            | SegmentState::Running { .. }
            | SegmentState::Finished
            | SegmentState::Diverged { .. } => {
                self.store.lose_attempt(segment_id, attempt, how, now()).await?;
            }
        }
        self.progress.lose(segment_id, how);
        Ok(())
    }

    async fn ready(&mut self, slot: usize, ready: &Ready) -> Result<(), StoreError> {
        let json = json!({ "trainer": ready, "slot": slot });
        self.store.save_provenance(self.sweep, &json.to_string(), now()).await
    }
}

/// Where the store says that each segment of a plan stands. What was running when its coordinator
/// ended is pending again.
pub async fn stored_states(store: &Store, sweep: &str, plan: &Plan) -> Result<States, StoreError> {
    let stored: HashMap<_, _> = store
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
