//! From what trainers say to rows. Nothing outside acts on an event before it has passed here.

use std::collections::{BTreeSet, HashMap};

use spec::{Failure, SegmentId, TrainerEvent};
use sqlx::SqliteConnection;

use crate::attempt::{Current, Ending};
use crate::convert::signed;
use crate::error::Result;
use crate::measurement::{self, Measurement};
use crate::segment::{self, Checkpoint};
use crate::{Store, UnixSeconds};

/// What one attempt at one segment said.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub segment_id: SegmentId,
    pub attempt: u32,
    pub event: TrainerEvent,
}

impl Store {
    /// Stores several events in their order and in one transaction; for each, whether its attempt
    /// was current: not replaced, lost or ended. An event counts each time that it is given: after a restart there is
    /// [`Store::catch_up`].
    ///
    /// # Errors
    /// The database's; then none is stored.
    pub async fn record_batch(&self, reports: &[Report], now: UnixSeconds) -> Result<Vec<bool>> {
        let mut tx = self.write().await?;
        let accepted = record(&mut tx, reports, now).await?;
        tx.commit().await?;
        Ok(accepted)
    }

    /// Stores those of an attempt's events that are not stored yet; `false` if it is stale, or over
    /// before the last of them. `events` is all that it wrote down, from its first word on, the last of
    /// it at `at`.
    ///
    /// # Errors
    /// The database's; then nothing is stored.
    pub async fn catch_up(
        &self,
        segment_id: SegmentId,
        attempt: u32,
        events: &[TrainerEvent],
        at: UnixSeconds,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let Some(current) = Current::read(&mut tx, segment_id, attempt).await? else {
            return Ok(false);
        };
        let stored = usize::try_from(current.events).unwrap_or(usize::MAX);
        let report = |event: &TrainerEvent| Report { segment_id, attempt, event: event.clone() };
        let missing: Vec<_> = events.iter().skip(stored).map(report).collect();
        let accepted = record(&mut tx, &missing, at).await?;
        tx.commit().await?;
        Ok(accepted.into_iter().all(|accepted| accepted))
    }
}

async fn record(
    conn: &mut SqliteConnection,
    reports: &[Report],
    now: UnixSeconds,
) -> Result<Vec<bool>> {
    let mut listeners = listeners(conn, reports).await?;
    let mut accepted = Vec::with_capacity(reports.len());
    for report in reports {
        let listener = listeners.get_mut(&(report.segment_id, report.attempt));
        accepted.push(listener.is_some_and(|listener| listener.hear(&report.event, now)));
    }
    for listener in listeners.values() {
        listener.save(conn, now).await?;
    }
    measurement::insert(conn, &measurements(reports, &accepted, &listeners)?).await?;
    Ok(accepted)
}

/// A current attempt while a batch is stored.
struct Listener<'a> {
    current: Current,
    checkpoint: Option<Checkpoint>,
    /// Its last event, if the batch has it: what comes after is not listened to.
    ending: Option<Ending<'a>>,
}

type Listeners<'a> = HashMap<(SegmentId, u32), Listener<'a>>;

/// Of the attempts that are current. Nothing else writes until this transaction ends, so one look at
/// each is enough.
async fn listeners<'a>(conn: &mut SqliteConnection, reports: &[Report]) -> Result<Listeners<'a>> {
    let keys: BTreeSet<_> =
        reports.iter().map(|report| (report.segment_id, report.attempt)).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let listener = |(segment_id, current): (SegmentId, Current)| {
        let key = (segment_id, current.attempt);
        (key, Listener { current, checkpoint: None, ending: None })
    };
    Ok(Current::read_all(conn, &keys).await?.into_iter().map(listener).collect())
}

impl<'a> Listener<'a> {
    /// Takes an event in; `false` if the attempt is over.
    fn hear(&mut self, event: &'a TrainerEvent, now: UnixSeconds) -> bool {
        if self.ending.is_some() {
            return false;
        }
        let used = &mut self.current.used;
        match event {
            TrainerEvent::Started { step } => used.start(*step, now),
            TrainerEvent::Progress { step, .. } | TrainerEvent::Evaluated { step, .. } => {
                used.reach(*step);
            }
            TrainerEvent::Checkpointed { step, digest, bytes } => {
                used.reach(*step);
                let digest = digest.clone();
                self.checkpoint = Some(Checkpoint { step: *step, digest, bytes: *bytes });
            }
            TrainerEvent::Finished { spent, .. }
            | TrainerEvent::Diverged { spent, .. }
            | TrainerEvent::Interrupted { spent, .. }
            | TrainerEvent::Paused { spent, .. } => used.report(spent),
            TrainerEvent::Failed { .. } => used.cut(now),
        }
        self.ending = ending(event);
        self.current.events += 1;
        self.current.used.heard_at = Some(now);
        true
    }

    async fn save(&self, conn: &mut SqliteConnection, now: UnixSeconds) -> Result<()> {
        if let Some(checkpoint) = &self.checkpoint {
            segment::set_checkpoint(conn, &self.current.segment_id, checkpoint).await?;
        }
        match self.ending {
            Some(ending) => self.current.end(conn, ending, now).await,
            None => self.current.save(conn, None).await,
        }
    }
}

/// How the attempt ends with this event; None if it goes on.
fn ending(event: &TrainerEvent) -> Option<Ending<'_>> {
    match event {
        TrainerEvent::Started { .. }
        | TrainerEvent::Progress { .. }
        | TrainerEvent::Evaluated { .. }
        | TrainerEvent::Checkpointed { .. }
        | TrainerEvent::Paused { .. } => None,
        TrainerEvent::Finished { .. } => Some(Ending::Finished),
        TrainerEvent::Diverged { step, .. } => Some(Ending::Diverged(*step)),
        TrainerEvent::Interrupted { .. } => Some(Ending::Interrupted),
        TrainerEvent::Failed { reason, failure } => Some(match failure {
            Failure::Other => Ending::GivenUp(reason),
            Failure::OutOfMemory
            | Failure::DiskFull
            | Failure::ParentCheckpoint
            | Failure::Device
            | Failure::Replaced => Ending::Failed(reason),
        }),
    }
}

fn measurements<'a>(
    reports: &'a [Report],
    accepted: &[bool],
    listeners: &'a Listeners<'_>,
) -> Result<Vec<Measurement<'a>>> {
    let mut rows = Vec::new();
    for (report, _) in reports.iter().zip(accepted).filter(|(_, accepted)| **accepted) {
        let segment_id = &listeners[&(report.segment_id, report.attempt)].current.segment_id;
        let mut add = |step: u64, metric, value| -> Result<()> {
            rows.push(Measurement { segment_id, metric, step: signed("step", step)?, value });
            Ok(())
        };
        match &report.event {
            TrainerEvent::Progress {
                step,
                train_loss,
                gradient_norm,
                learning_rate,
                examples_per_s,
            } => {
                add(*step, "train_loss", *train_loss)?;
                add(*step, "gradient_norm", *gradient_norm)?;
                add(*step, "learning_rate", *learning_rate)?;
                add(*step, "examples_per_s", *examples_per_s)?;
            }
            TrainerEvent::Evaluated { step, metrics } => {
                metrics.iter().try_for_each(|(metric, value)| add(*step, metric, *value))?;
            }
            TrainerEvent::Started { .. }
            | TrainerEvent::Checkpointed { .. }
            | TrainerEvent::Finished { .. }
            | TrainerEvent::Diverged { .. }
            | TrainerEvent::Interrupted { .. }
            | TrainerEvent::Paused { .. }
            | TrainerEvent::Failed { .. } => {}
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use spec::Spent;

    use super::*;
    use crate::testing::{TestStore, evaluated, finished, on_cpu, planned_store, progress};
    use crate::{SegmentState, Value};

    async fn state(test: &TestStore, id: SegmentId) -> SegmentState {
        let states = test.store.segment_states("small").await.unwrap();
        states.into_iter().find(|row| row.segment_id == id).unwrap().state
    }

    #[tokio::test]
    async fn a_late_report_of_an_old_attempt_loses() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let (old, new) = (test.begin(id).await, test.begin(id).await);
        assert_eq!((old, new), (1, 2));
        assert!(!test.store.record(id, old, &evaluated(80, 9.0), 3.0).await.unwrap());
        assert!(!test.store.record(id, old, &finished(80, 80, 1.0), 3.0).await.unwrap());
        assert_eq!(state(&test, id).await, SegmentState::Running);
        assert!(test.store.record(id, new, &evaluated(80, 1.0), 4.0).await.unwrap());
        assert!(test.store.record(id, new, &finished(80, 80, 1.0), 4.0).await.unwrap());
        assert!(!test.store.record(id, old, &progress(70, 9.0), 5.0).await.unwrap());
        assert_eq!(state(&test, id).await, SegmentState::Finished);
        let value =
            test.value("select sum(value) from measurement where metric = 'val_loss'").await;
        assert_eq!(value, Value::Real(1.0));
        let outcomes = "select group_concat(outcome order by attempt) from attempt";
        assert_eq!(test.value(outcomes).await, Value::Text("lost,finished".into()));
    }

    #[tokio::test]
    async fn an_attempt_is_over_within_the_batch_that_ends_it() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let attempt = test.begin(id).await;
        let events = [
            TrainerEvent::Started { step: 0 },
            progress(80, 1.0),
            finished(80, 80, 1.0),
            progress(90, 2.0),
        ];
        let reports = events.map(|event| Report { segment_id: id, attempt, event });
        let accepted = test.store.record_batch(&reports, 3.0).await.unwrap();
        assert_eq!(accepted, [true, true, true, false]);
        assert_eq!(test.value("select max(step) from measurement").await, Value::Integer(80));
        assert_eq!(test.store.record_batch(&reports, 4.0).await.unwrap(), [false; 4]);
    }

    /// A job executes a chain; its segments' own files are read in any order.
    #[tokio::test]
    async fn a_chains_time_adds_up_in_whatever_order_its_ends_are_heard() {
        let (test, plan) = planned_store().await;
        let attempts = [0, 2, 3].map(|segment| (plan.id(segment), on_cpu()));
        test.store.begin_attempts(&attempts, 1.0).await.unwrap();
        for (segment, seconds) in [(3, 3.0), (2, 7.0), (0, 5.0)] {
            let spec = &plan.segments[segment];
            let last = finished(spec.end, spec.steps(), seconds);
            assert!(test.store.record(spec.id(), 1, &last, 3.0).await.unwrap());
        }
        let results = test.store.trial_results("small").await.unwrap();
        assert_eq!(results[1].device_s, Some(15.0));
    }

    #[tokio::test]
    async fn an_interrupted_segment_is_pending_with_its_checkpoint_and_what_it_used() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let attempt = test.begin(id).await;
        let spent = Spent { steps: 40, device_s: 2.5, data_s: 0.5, peak_bytes: None };
        let checkpoint = Checkpoint { step: 40, digest: "d1".into(), bytes: 10 };
        for event in [
            TrainerEvent::Started { step: 0 },
            TrainerEvent::Checkpointed { step: 40, digest: "d1".into(), bytes: 10 },
            TrainerEvent::Interrupted { step: 40, spent },
        ] {
            assert!(test.store.record(id, attempt, &event, 3.0).await.unwrap());
        }
        let states = test.store.segment_states("small").await.unwrap();
        let status = states.into_iter().find(|row| row.segment_id == id).unwrap();
        assert_eq!((status.state, status.checkpoint), (SegmentState::Pending, Some(checkpoint)));
        let spent = test.store.spent("small").await.unwrap();
        let step_flops = plan.segments[0].recipe.step_flops();
        assert_eq!((spent.train_flops, spent.device_s), (40.0 * step_flops, 2.5));
    }

    #[tokio::test]
    async fn a_failed_attempt_is_charged_with_the_steps_that_it_had_reported() {
        let (test, plan) = planned_store().await;
        let id = plan.id(2);
        let attempt = test.begin(id).await;
        let failed = TrainerEvent::Failed {
            reason: "no memory".into(),
            failure: spec::Failure::OutOfMemory,
        };
        let events = [TrainerEvent::Started { step: 90 }, progress(120, 1.0), failed];
        let reports = events.map(|event| Report { segment_id: id, attempt, event });
        assert_eq!(test.store.record_batch(&reports, 3.0).await.unwrap(), [true; 3]);
        assert_eq!(state(&test, id).await, SegmentState::Pending);
        assert_eq!(test.value("select steps from attempt").await, Value::Integer(30));
        let spent = test.store.spent("small").await.unwrap();
        assert_eq!(spent.train_flops, 30.0 * plan.segments[2].recipe.step_flops());
    }

    #[tokio::test]
    async fn a_segment_fails_where_trying_again_would_not_help() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        for failure in [
            Failure::OutOfMemory,
            Failure::DiskFull,
            Failure::ParentCheckpoint,
            Failure::Device,
            Failure::Replaced,
            Failure::Other,
        ] {
            let attempt = test.begin(id).await;
            let reason = "as it says".to_owned();
            let event = TrainerEvent::Failed { reason: reason.clone(), failure };
            assert!(test.store.record(id, attempt, &event, 3.0).await.unwrap());
            let expected = match failure {
                Failure::Other => SegmentState::Failed { reason },
                _ => SegmentState::Pending,
            };
            assert_eq!(state(&test, id).await, expected);
        }
        let failed =
            "select count(*) from attempt where outcome = 'failed' and reason = 'as it says'";
        assert_eq!(test.value(failed).await, Value::Integer(6));
    }

    #[tokio::test]
    async fn a_paused_attempt_goes_on_and_its_stretches_add_up() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let attempt = test.begin(id).await;
        let spent = |steps, device_s, peak_bytes| Spent {
            steps,
            device_s,
            data_s: 0.5,
            peak_bytes: Some(peak_bytes),
        };
        let events = [
            TrainerEvent::Started { step: 0 },
            progress(30, 1.0),
            TrainerEvent::Paused { step: 30, spent: spent(30, 2.0, 900) },
            TrainerEvent::Started { step: 30 },
            progress(80, 0.5),
            TrainerEvent::Finished { step: 80, spent: spent(50, 3.0, 700) },
        ];
        for event in &events[..4] {
            assert!(test.store.record(id, attempt, event, 3.0).await.unwrap());
        }
        assert_eq!(state(&test, id).await, SegmentState::Running);
        assert_eq!(test.value("select steps from attempt").await, Value::Integer(30));
        // The rest after a restart, from all that the attempt wrote down.
        assert!(test.store.catch_up(id, attempt, &events, 4.0).await.unwrap());
        assert!(!test.store.catch_up(id, attempt, &events, 5.0).await.unwrap());
        let sums = "select start_step || ',' || steps || ',' || device_s || ',' || data_s || ',' || peak_bytes
                    from attempt";
        assert_eq!(test.value(sums).await, Value::Text("0,80,5.0,1.0,900".into()));
        let used = test.store.spent("small").await.unwrap();
        assert_eq!(used.train_flops, plan.segments[0].train_flops());
        assert_eq!(test.value("select max(chain_device_s) from segment").await, Value::Real(5.0));
    }

    #[tokio::test]
    async fn a_repeated_step_keeps_the_newest_value_and_no_number_is_null() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let attempt = test.begin(id).await;
        for loss in [2.0, 1.0] {
            assert!(test.store.record(id, attempt, &progress(10, loss), 3.0).await.unwrap());
        }
        assert!(test.store.record(id, attempt, &progress(20, f64::INFINITY), 3.0).await.unwrap());
        let losses = crate::query(
            &test.path,
            "select step, value from measurement where metric = 'train_loss' order by step",
        );
        let rows =
            vec![vec![Value::Integer(10), Value::Real(1.0)], vec![Value::Integer(20), Value::Null]];
        assert_eq!(losses.await.unwrap().rows, rows);
    }
}
