//! From what trainers say to rows. Nothing outside acts on an event before it has passed here.

use std::collections::{BTreeSet, HashMap};

use spec::{SegmentId, TrainerEvent};
use sqlx::SqliteConnection;

use crate::attempt::{self, Ending};
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
    /// Stores one event; `false`, and nothing stored, if the attempt is stale: replaced, lost or
    /// ended.
    ///
    /// # Errors
    /// The database's; then nothing is stored.
    pub async fn record(
        &self,
        segment_id: SegmentId,
        attempt: u32,
        event: &TrainerEvent,
        now: UnixSeconds,
    ) -> Result<bool> {
        let report = Report { segment_id, attempt, event: event.clone() };
        Ok(self.record_batch(&[report], now).await? == [true])
    }

    /// Stores several events in their order and in one transaction; for each, whether its attempt
    /// was current.
    ///
    /// # Errors
    /// The database's; then none is stored.
    pub async fn record_batch(&self, reports: &[Report], now: UnixSeconds) -> Result<Vec<bool>> {
        let mut tx = self.write().await?;
        let mut attempts = current_attempts(&mut tx, reports).await?;
        let mut accepted = Vec::with_capacity(reports.len());
        for report in reports {
            let key = (report.segment_id, report.attempt);
            let current = attempts.get_mut(&key).expect("every report's attempt was looked up");
            accepted.push(current.running);
            if current.running {
                current.apply(&mut tx, &report.event, now).await?;
            }
        }
        for current in attempts.values() {
            current.save_progress(&mut tx).await?;
        }
        let rows = measurements(reports, &accepted, &attempts)?;
        measurement::insert(&mut tx, &rows).await?;
        tx.commit().await?;
        Ok(accepted)
    }
}

/// An attempt while a batch is stored.
struct Current {
    segment_id: String,
    attempt: u32,
    running: bool,
    /// The newest step that it reported in this batch.
    step: Option<u64>,
}

type Attempts = HashMap<(SegmentId, u32), Current>;

/// The fence: nothing else writes until this transaction ends, so one look per attempt is enough.
async fn current_attempts(conn: &mut SqliteConnection, reports: &[Report]) -> Result<Attempts> {
    let keys: BTreeSet<_> =
        reports.iter().map(|report| (report.segment_id, report.attempt)).collect();
    let mut attempts = Attempts::new();
    for (segment_id, attempt) in keys {
        let id = segment_id.to_string();
        let running = segment::is_current(conn, &id, attempt).await?;
        let current = Current { segment_id: id, attempt, running, step: None };
        attempts.insert((segment_id, attempt), current);
    }
    Ok(attempts)
}

impl Current {
    async fn apply(
        &mut self,
        conn: &mut SqliteConnection,
        event: &TrainerEvent,
        now: UnixSeconds,
    ) -> Result<()> {
        match event {
            TrainerEvent::Started { step } => {
                attempt::set_start_step(conn, &self.segment_id, self.attempt, *step).await
            }
            TrainerEvent::Progress { step, .. }
            | TrainerEvent::Evaluated { step, .. }
            | TrainerEvent::Paused { step, .. } => {
                self.step = Some(*step);
                Ok(())
            }
            TrainerEvent::Checkpointed { step, digest, bytes } => {
                self.step = Some(*step);
                let checkpoint = Checkpoint { step: *step, digest: digest.clone(), bytes: *bytes };
                segment::set_checkpoint(conn, &self.segment_id, &checkpoint).await
            }
            TrainerEvent::Finished { spent, .. } => {
                self.end(conn, &Ending::Finished(*spent), now).await
            }
            TrainerEvent::Diverged { step, spent } => {
                self.end(conn, &Ending::Diverged(*step, *spent), now).await
            }
            TrainerEvent::Interrupted { spent, .. } => {
                self.end(conn, &Ending::Interrupted(*spent), now).await
            }
            TrainerEvent::Failed { reason, .. } => {
                self.end(conn, &Ending::Failed(reason), now).await
            }
        }
    }

    async fn end(
        &mut self,
        conn: &mut SqliteConnection,
        ending: &Ending<'_>,
        now: UnixSeconds,
    ) -> Result<()> {
        self.save_progress(conn).await?;
        attempt::end(conn, &self.segment_id, self.attempt, ending, now).await?;
        self.running = false;
        Ok(())
    }

    async fn save_progress(&self, conn: &mut SqliteConnection) -> Result<()> {
        match self.step {
            Some(step) if self.running => {
                attempt::set_progress(conn, &self.segment_id, self.attempt, step).await
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn measurements<'a>(
    reports: &'a [Report],
    accepted: &[bool],
    attempts: &'a Attempts,
) -> Result<Vec<Measurement<'a>>> {
    let mut rows = Vec::new();
    for (report, _) in reports.iter().zip(accepted).filter(|(_, accepted)| **accepted) {
        let segment_id = &attempts[&(report.segment_id, report.attempt)].segment_id;
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
    use crate::testing::{TestStore, evaluated, finished, planned_store, progress};
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
        assert_eq!(state(&test, id).await, SegmentState::Failed { reason: "no memory".into() });
        assert_eq!(test.value("select steps from attempt").await, Value::Integer(30));
        let spent = test.store.spent("small").await.unwrap();
        assert_eq!(spent.train_flops, 30.0 * plan.segments[2].recipe.step_flops());
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
