//! Table `segment`: what is to be trained, how far it is, and where its checkpoint stands. Its
//! `attempt` is the fence: the number of the newest execution, whose word alone counts.

use serde::Serialize;
use spec::{Id, SegmentId, SegmentKind, SegmentSpec, canonical_json};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, SqliteConnection};

use crate::Store;
use crate::convert::{signed, unsigned};
use crate::error::{Result, StoreError};

/// Where a segment stands.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentStatus {
    pub segment_id: SegmentId,
    pub state: SegmentState,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: u32,
    /// The newest checkpoint that was reported.
    pub checkpoint: Option<Checkpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentState {
    Pending,
    Running,
    Finished,
    /// The loss became non-finite at this step: a result.
    Diverged {
        step: u64,
    },
    Failed {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Finished steps, counted from the beginning of the trial.
    pub step: u64,
    /// blake3 hash of its tensors.
    pub digest: String,
    pub bytes: u64,
}

impl Store {
    /// The segments of all chains of a sweep, each once.
    ///
    /// # Errors
    /// The database's.
    pub async fn segment_states(&self, sweep: &str) -> Result<Vec<SegmentStatus>> {
        let rows = sqlx::query(
            "select segment_id, state, attempt, reason, diverged_step,
                    checkpoint_step, checkpoint_digest, checkpoint_bytes
             from segment
             where segment_id in (select segment_id from trial_segment where sweep = ?1)",
        );
        let rows = rows.bind(sweep).map(|row: SqliteRow| read(&row));
        rows.fetch_all(&self.pool).await?.into_iter().collect()
    }

    /// Makes segments pending again: failed ones that are to be tried once more, finished ones whose
    /// checkpoint is gone though another segment needs it. What they measured stays.
    ///
    /// # Errors
    /// The database's.
    pub async fn reopen(&self, segments: &[SegmentId]) -> Result<()> {
        sqlx::query(
            "update segment set state = 'pending', reason = null
             where segment_id in (select value from json_each(?1)) and state in ('failed', 'finished')",
        )
        .bind(json(&segments))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Makes pending segments failed, without an attempt at them; how many were pending.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_up(&self, segments: &[SegmentId], reason: &str) -> Result<u64> {
        let updated = sqlx::query(
            "update segment set state = 'failed', reason = ?2
             where segment_id in (select value from json_each(?1)) and state = 'pending'",
        );
        let updated = updated.bind(json(&segments)).bind(reason).execute(&self.pool).await?;
        Ok(updated.rows_affected())
    }

    /// Keeps how many seconds each of these segments is predicted to take, unless it has been attempted:
    /// a prediction is one that was made before.
    ///
    /// # Errors
    /// The database's.
    pub async fn predict(&self, seconds: &[(SegmentId, f64)]) -> Result<()> {
        // In the order of the table.
        let mut seconds = seconds.to_vec();
        seconds.sort_unstable_by_key(|(segment_id, _)| *segment_id);
        let mut tx = self.write().await?;
        for seconds in seconds.chunks(10_000) {
            sqlx::query(
                "update segment set predicted_s = new.value ->> 1 from json_each(?1) as new
                 where segment_id = new.value ->> 0 and attempt = 0
                   and predicted_s is not new.value ->> 1",
            )
            .bind(json(&seconds))
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The smallest micro-batch of each segment of a sweep that was attempted with one other than its
    /// recipe's.
    ///
    /// # Errors
    /// The database's.
    pub async fn micro_batches(&self, sweep: &str) -> Result<Vec<(SegmentId, u32)>> {
        let rows = sqlx::query(
            "select segment_id, min(micro_batch) as micro_batch from attempt
             where micro_batch is not null
               and exists (select 1 from trial_segment
                           where sweep = ?1 and segment_id = attempt.segment_id)
             group by segment_id",
        );
        let read = |row: &SqliteRow| {
            Ok((row.try_get::<&str, _>("segment_id")?.parse()?, row.try_get("micro_batch")?))
        };
        rows.bind(sweep).fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

/// A segment to be saved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedSegment<'a> {
    pub id: SegmentId,
    pub spec: &'a SegmentSpec,
    /// [`spec::Recipe::workload_id`].
    pub workload: Id,
}

struct SegmentRow {
    segment_id: String,
    parent_id: Option<String>,
    kind: &'static str,
    start_step: i64,
    end_step: i64,
    train_flops: f64,
    workload: String,
    recipe_id: String,
    cooldown: i64,
    transfer: Option<String>,
}

impl SegmentRow {
    fn of((segment, recipe): &(&PlannedSegment<'_>, Id)) -> Result<Self> {
        let spec = segment.spec;
        Ok(Self {
            segment_id: segment.id.to_string(),
            parent_id: spec.parent.map(|parent| parent.to_string()),
            kind: kind_word(spec.kind),
            start_step: signed("start", spec.start)?,
            end_step: signed("end", spec.end)?,
            train_flops: spec.train_flops(),
            workload: segment.workload.to_string(),
            recipe_id: recipe.to_string(),
            cooldown: signed("cooldown", spec.cooldown)?,
            transfer: spec.transfer.as_ref().map(canonical_json),
        })
    }
}

const KINDS: [SegmentKind; 4] =
    [SegmentKind::Trunk, SegmentKind::Cooldown, SegmentKind::Whole, SegmentKind::Transfer];

const fn kind_word(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Trunk => "trunk",
        SegmentKind::Cooldown => "cooldown",
        SegmentKind::Whole => "whole",
        SegmentKind::Transfer => "transfer",
    }
}

pub(crate) fn read_kind(word: &str) -> Result<SegmentKind> {
    KINDS
        .into_iter()
        .find(|kind| kind_word(*kind) == word)
        .ok_or_else(|| StoreError::Unexpected { what: "kind", value: word.to_owned() })
}

/// Adds the segments that are not there yet, as pending; the others keep their state. In the order of
/// their ids, which is that of the table.
pub(crate) async fn insert_missing(
    conn: &mut SqliteConnection,
    segments: &[PlannedSegment<'_>],
    recipes: &[Id],
) -> Result<()> {
    let mut sorted: Vec<_> = segments.iter().zip(recipes.iter().copied()).collect();
    sorted.sort_unstable_by_key(|(segment, _)| segment.id);
    for segments in sorted.chunks(200) {
        let rows: Vec<_> = segments.iter().map(SegmentRow::of).collect::<Result<_>>()?;
        let mut insert = QueryBuilder::new(
            "insert into segment (segment_id, parent_id, kind, start_step, end_step, train_flops,
                                  workload, recipe_id, cooldown, transfer) ",
        );
        insert.push_values(&rows, |mut row, segment| {
            row.push_bind(&segment.segment_id)
                .push_bind(&segment.parent_id)
                .push_bind(segment.kind)
                .push_bind(segment.start_step)
                .push_bind(segment.end_step)
                .push_bind(segment.train_flops)
                .push_bind(&segment.workload)
                .push_bind(&segment.recipe_id)
                .push_bind(segment.cooldown)
                .push_bind(&segment.transfer);
        });
        // A store of an older version did not know the workload.
        insert.push(
            " on conflict (segment_id) do update set workload = excluded.workload
              where workload is null",
        );
        insert.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// A list as one value to bind, which `json_each` takes apart: a statement for all of it.
pub(crate) fn json(list: &impl Serialize) -> String {
    serde_json::to_string(list).expect("ids and numbers are JSON")
}

/// Raises the fence and marks the segment running; the new fence.
pub(crate) async fn begin(
    conn: &mut SqliteConnection,
    segment_id: SegmentId,
    above: u32,
) -> Result<u32> {
    let id = segment_id.to_string();
    let fence: Option<u32> = sqlx::query_scalar(
        "update segment set state = 'running', attempt = max(attempt, ?2) + 1
         where segment_id = ?1 and state in ('pending', 'running') returning attempt",
    )
    .bind(&id)
    .bind(above)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(fence) = fence {
        return Ok(fence);
    }
    let state: Option<String> =
        sqlx::query_scalar("select state from segment where segment_id = ?1")
            .bind(&id)
            .fetch_optional(conn)
            .await?;
    Err(match state {
        Some(state) => StoreError::NotPending { segment_id, state },
        None => StoreError::UnknownSegment(segment_id),
    })
}

/// Moves the segment of an attempt that is current on from `running`.
pub(crate) async fn leave(
    conn: &mut SqliteConnection,
    segment_id: &str,
    state: &SegmentState,
) -> Result<()> {
    let (reason, diverged_step) = match state {
        SegmentState::Pending | SegmentState::Running | SegmentState::Finished => (None, None),
        SegmentState::Diverged { step } => (None, Some(signed("step", *step)?)),
        SegmentState::Failed { reason } => (Some(reason), None),
    };
    sqlx::query(
        "update segment set state = ?2, reason = ?3, diverged_step = ?4 where segment_id = ?1",
    )
    .bind(segment_id)
    .bind(state.word())
    .bind(reason)
    .bind(diverged_step)
    .execute(&mut *conn)
    .await?;
    match state {
        SegmentState::Finished | SegmentState::Diverged { .. } => {
            add_up_device_time(conn, segment_id).await
        }
        SegmentState::Pending | SegmentState::Running | SegmentState::Failed { .. } => Ok(()),
    }
}

/// Keeps what the chain up to this segment, which is over, has taken: its parent's sum and its own, of
/// the stretches that reported theirs, since the attempt that last began at the segment's start. One
/// without a report was repeated, and so was what came before. What followed in the same job may have
/// been heard first: then its sum has waited for this one.
async fn add_up_device_time(conn: &mut SqliteConnection, segment_id: &str) -> Result<()> {
    let mut known = vec![segment_id.to_owned()];
    while let Some(segment_id) = known.pop() {
        let is_awaited: bool = sqlx::query_scalar(
            "update segment
             set chain_device_s =
                 (select total(device_s) from attempt
                  where segment_id = ?1 and attempt >=
                      (select coalesce(max(attempt), 0) from attempt
                       where segment_id = ?1 and start_step = segment.start_step))
                 + iif(parent_id is null, 0, (select parent.chain_device_s from segment as parent
                                              where parent.segment_id = segment.parent_id))
             where segment_id = ?1
             returning chain_device_s is not null and exists (
                 select 1 from segment as child
                 where child.parent_id = ?1 and child.chain_device_s is null
                   and child.state in ('finished', 'diverged'))",
        )
        .bind(&segment_id)
        .fetch_one(&mut *conn)
        .await?;
        if is_awaited {
            let waiting: Vec<String> = sqlx::query_scalar(
                "select segment_id from segment
                 where parent_id = ?1 and chain_device_s is null
                   and state in ('finished', 'diverged')",
            )
            .bind(&segment_id)
            .fetch_all(&mut *conn)
            .await?;
            known.extend(waiting);
        }
    }
    Ok(())
}

pub(crate) async fn set_checkpoint(
    conn: &mut SqliteConnection,
    segment_id: &str,
    checkpoint: &Checkpoint,
) -> Result<()> {
    sqlx::query(
        "update segment set checkpoint_step = ?2, checkpoint_digest = ?3, checkpoint_bytes = ?4
         where segment_id = ?1",
    )
    .bind(segment_id)
    .bind(signed("step", checkpoint.step)?)
    .bind(&checkpoint.digest)
    .bind(signed("bytes", checkpoint.bytes)?)
    .execute(conn)
    .await?;
    Ok(())
}

impl SegmentState {
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Diverged { .. } => "diverged",
            Self::Failed { .. } => "failed",
        }
    }
}

fn read(row: &SqliteRow) -> Result<SegmentStatus> {
    Ok(SegmentStatus {
        segment_id: row.try_get::<&str, _>("segment_id")?.parse()?,
        state: read_state(row)?,
        attempt: row.try_get("attempt")?,
        checkpoint: read_checkpoint(row)?,
    })
}

fn read_state(row: &SqliteRow) -> Result<SegmentState> {
    let state: &str = row.try_get("state")?;
    Ok(match state {
        "pending" => SegmentState::Pending,
        "running" => SegmentState::Running,
        "finished" => SegmentState::Finished,
        "diverged" => SegmentState::Diverged {
            step: unsigned("diverged_step", row.try_get("diverged_step")?)?,
        },
        "failed" => SegmentState::Failed { reason: row.try_get("reason")? },
        other => {
            return Err(StoreError::Unexpected { what: "state", value: other.to_owned() });
        }
    })
}

fn read_checkpoint(row: &SqliteRow) -> Result<Option<Checkpoint>> {
    let Some(step) = row.try_get::<Option<i64>, _>("checkpoint_step")? else { return Ok(None) };
    Ok(Some(Checkpoint {
        step: unsigned("checkpoint_step", step)?,
        digest: row.try_get("checkpoint_digest")?,
        bytes: unsigned("checkpoint_bytes", row.try_get("checkpoint_bytes")?)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_cpu, planned_store};
    use crate::{NewAttempt, Value};

    #[tokio::test]
    async fn a_failed_segment_waits_until_it_is_reopened() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let fence = test.begin(id).await;
        test.store.reopen(&[id]).await.unwrap();
        assert!(test.store.fail_segment(id, fence, "no memory", 3.0).await.unwrap());
        let failed = SegmentState::Failed { reason: "no memory".into() };
        assert_eq!(state(&test.store, id).await, failed);
        let refused = test.store.begin_attempt(id, &on_cpu(), 4.0).await;
        assert!(matches!(refused, Err(StoreError::NotPending { state, .. }) if state == "failed"));
        test.store.reopen(&[id]).await.unwrap();
        assert_eq!(state(&test.store, id).await, SegmentState::Pending);
        assert_eq!(test.begin(id).await, fence + 1);
    }

    #[tokio::test]
    async fn an_unknown_segment_cannot_be_attempted() {
        let (test, plan) = planned_store().await;
        let id = crate::testing::two_trials(7).id(0);
        assert!(plan.segments.iter().all(|segment| segment.id() != id));
        let refused = test.store.begin_attempt(id, &on_cpu(), 4.0).await;
        assert!(matches!(refused, Err(StoreError::UnknownSegment(unknown)) if unknown == id));
    }

    #[tokio::test]
    async fn only_what_is_pending_is_given_up() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        test.begin(plan.id(1)).await;
        let ids: Vec<_> = (0..4).map(|segment| plan.id(segment)).collect();
        assert_eq!(test.store.give_up(&ids, "its shape does not fit").await.unwrap(), 2);
        let failed = SegmentState::Failed { reason: "its shape does not fit".into() };
        let expected = [SegmentState::Finished, SegmentState::Running, failed.clone(), failed];
        for (id, expected) in ids.iter().zip(expected) {
            assert_eq!(state(&test.store, *id).await, expected);
        }
    }

    #[tokio::test]
    async fn a_prediction_is_made_before_the_first_attempt() {
        let (test, plan) = planned_store().await;
        let (first, second) = (plan.id(0), plan.id(1));
        test.store.predict(&[(first, 2.0), (second, 3.0)]).await.unwrap();
        test.begin(first).await;
        test.store.predict(&[(first, 20.0), (second, 30.0)]).await.unwrap();
        assert_eq!(test.value("select sum(predicted_s) from segment").await, Value::Real(32.0));
    }

    #[tokio::test]
    async fn the_smallest_micro_batch_of_a_segment_is_remembered() {
        let (test, plan) = planned_store().await;
        assert_eq!(test.store.micro_batches("small").await.unwrap(), []);
        test.begin(plan.id(1)).await;
        for micro_batch in [Some(4), Some(2), None] {
            let attempt = NewAttempt { micro_batch, ..on_cpu() };
            test.store.begin_attempt(plan.id(0), &attempt, 2.0).await.unwrap();
        }
        assert_eq!(test.store.micro_batches("small").await.unwrap(), [(plan.id(0), 2)]);
        assert_eq!(test.store.micro_batches("other").await.unwrap(), []);
    }

    async fn state(store: &Store, id: SegmentId) -> SegmentState {
        let states = store.segment_states("small").await.unwrap();
        states.into_iter().find(|row| row.segment_id == id).unwrap().state
    }
}
