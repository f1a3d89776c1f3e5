//! Table `segment`: what is to be trained, how far it is, and where its checkpoint stands. Its
//! `attempt` is the fence: the number of the newest execution, whose word alone counts.

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
        rows.bind(sweep).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Makes segments pending again: failed ones that are to be tried once more, finished ones whose
    /// checkpoint is gone though another segment needs it. What they measured stays.
    ///
    /// # Errors
    /// The database's.
    pub async fn reopen(&self, segments: &[SegmentId]) -> Result<()> {
        let mut tx = self.write().await?;
        for segment_id in segments {
            sqlx::query(
                "update segment set state = 'pending', reason = null
                 where segment_id = ?1 and state in ('failed', 'finished')",
            )
            .bind(segment_id.to_string())
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }
}

struct SegmentRow {
    segment_id: String,
    parent_id: Option<String>,
    kind: &'static str,
    start_step: i64,
    end_step: i64,
    train_flops: f64,
    spec: String,
}

impl SegmentRow {
    fn of(segment: &SegmentSpec) -> Result<Self> {
        let spec = canonical_json(segment);
        Ok(Self {
            segment_id: Id::of_canonical(&spec).to_string(),
            parent_id: segment.parent.map(|parent| parent.to_string()),
            kind: kind_word(segment.kind),
            start_step: signed("start", segment.start)?,
            end_step: signed("end", segment.end)?,
            train_flops: segment.train_flops(),
            spec,
        })
    }
}

const fn kind_word(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Trunk => "trunk",
        SegmentKind::Cooldown => "cooldown",
        SegmentKind::Whole => "whole",
        SegmentKind::Transfer => "transfer",
    }
}

/// Adds the segments that are not there yet, as pending; the others keep their state.
pub(crate) async fn insert_missing(
    conn: &mut SqliteConnection,
    segments: &[SegmentSpec],
) -> Result<()> {
    for segments in segments.chunks(200) {
        let rows: Vec<_> = segments.iter().map(SegmentRow::of).collect::<Result<_>>()?;
        let mut insert = QueryBuilder::new(
            "insert into segment (segment_id, parent_id, kind, start_step, end_step, train_flops, spec) ",
        );
        insert.push_values(&rows, |mut row, segment| {
            row.push_bind(&segment.segment_id)
                .push_bind(&segment.parent_id)
                .push_bind(segment.kind)
                .push_bind(segment.start_step)
                .push_bind(segment.end_step)
                .push_bind(segment.train_flops)
                .push_bind(&segment.spec);
        });
        insert.push(" on conflict (segment_id) do nothing").build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Raises the fence and marks the segment running; the new fence.
pub(crate) async fn begin(conn: &mut SqliteConnection, segment_id: SegmentId) -> Result<u32> {
    let id = segment_id.to_string();
    let fence: Option<u32> = sqlx::query_scalar(
        "update segment set state = 'running', attempt = attempt + 1
         where segment_id = ?1 and state in ('pending', 'running') returning attempt",
    )
    .bind(&id)
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

/// Whether this attempt is the newest of its segment and still running. In a write transaction the
/// answer holds until its end.
pub(crate) async fn is_current(
    conn: &mut SqliteConnection,
    segment_id: &str,
    attempt: u32,
) -> Result<bool> {
    let found: i64 = sqlx::query_scalar(
        "select count(*) from segment where segment_id = ?1 and attempt = ?2 and state = 'running'",
    )
    .bind(segment_id)
    .bind(attempt)
    .fetch_one(conn)
    .await?;
    Ok(found == 1)
}

/// Leaves `running`; `false` if this attempt is stale. A trainer presumed dead may still report:
/// the `where` clause makes it lose, whatever order the two arrive in.
pub(crate) async fn leave(
    conn: &mut SqliteConnection,
    segment_id: &str,
    attempt: u32,
    state: &SegmentState,
) -> Result<bool> {
    let (reason, diverged_step) = match state {
        SegmentState::Pending | SegmentState::Running | SegmentState::Finished => (None, None),
        SegmentState::Diverged { step } => (None, Some(signed("step", *step)?)),
        SegmentState::Failed { reason } => (Some(reason), None),
    };
    let updated = sqlx::query(
        "update segment set state = ?3, reason = ?4, diverged_step = ?5
         where segment_id = ?1 and attempt = ?2 and state = 'running'",
    )
    .bind(segment_id)
    .bind(attempt)
    .bind(state.word())
    .bind(reason)
    .bind(diverged_step)
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Keeps what the chain up to this segment has taken, once it is over: its parent's sum and its own.
/// An interrupted attempt counts, since its checkpoint was continued; a lost or failed one was
/// repeated and does not.
pub(crate) async fn add_up_device_time(
    conn: &mut SqliteConnection,
    segment_id: &str,
) -> Result<()> {
    sqlx::query(
        "update segment
         set chain_device_s =
             (select total(device_s) from attempt
              where segment_id = ?1 and outcome in ('finished', 'interrupted', 'diverged'))
             + coalesce((select parent.chain_device_s from segment as parent
                         where parent.segment_id = segment.parent_id), 0)
         where segment_id = ?1",
    )
    .bind(segment_id)
    .execute(conn)
    .await?;
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
    use crate::testing::planned_store;

    #[tokio::test]
    async fn a_failed_segment_waits_until_it_is_reopened() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let fence = test.begin(id).await;
        test.store.reopen(&[id]).await.unwrap();
        assert!(test.store.fail_segment(id, fence, "no memory", 3.0).await.unwrap());
        let failed = SegmentState::Failed { reason: "no memory".into() };
        assert_eq!(state(&test.store, id).await, failed);
        let refused = test.store.begin_attempt(id, &crate::testing::on_cpu(), 4.0).await;
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
        let refused = test.store.begin_attempt(id, &crate::testing::on_cpu(), 4.0).await;
        assert!(matches!(refused, Err(StoreError::UnknownSegment(unknown)) if unknown == id));
    }

    async fn state(store: &Store, id: SegmentId) -> SegmentState {
        let states = store.segment_states("small").await.unwrap();
        states.into_iter().find(|row| row.segment_id == id).unwrap().state
    }
}
