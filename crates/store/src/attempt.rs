//! Table `attempt`: every execution of a segment, what it ran on, how it ended and what it used.

use spec::{SegmentId, Spent};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::convert::signed;
use crate::error::Result;
use crate::segment::{self, SegmentState};
use crate::{Store, UnixSeconds};

/// What an attempt is about to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The device's own name.
    pub device_name: String,
    pub threads: u32,
    /// Process id of the trainer.
    pub pid: u32,
}

/// An attempt that has not ended, as far as the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningAttempt {
    pub segment_id: SegmentId,
    pub attempt: u32,
    pub pid: u32,
}

/// How an attempt ended.
pub(crate) enum Ending<'a> {
    Finished(Spent),
    Diverged(u64, Spent),
    Interrupted(Spent),
    Failed(&'a str),
    Lost(&'a str),
}

impl Store {
    /// Begins a new attempt and returns its number, the fence: from now on no older attempt of this
    /// segment is listened to, and one that was still running is lost.
    ///
    /// # Errors
    /// A segment that is unknown, or has finished, diverged or failed.
    pub async fn begin_attempt(
        &self,
        segment_id: SegmentId,
        attempt: &NewAttempt,
        now: UnixSeconds,
    ) -> Result<u32> {
        let mut tx = self.write().await?;
        let fence = segment::begin(&mut tx, segment_id).await?;
        let id = segment_id.to_string();
        sqlx::query(
            "update attempt set outcome = 'lost', ended_at = ?2, reason = 'replaced by a newer attempt'
             where segment_id = ?1 and outcome = 'running'",
        )
        .bind(&id)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        insert(&mut tx, &id, fence, attempt, now).await?;
        tx.commit().await?;
        Ok(fence)
    }

    /// Every attempt that has not ended. After a restart these are the ones whose own records are
    /// looked at before [`Store::lose_attempts`].
    ///
    /// # Errors
    /// The database's.
    pub async fn running_attempts(&self) -> Result<Vec<RunningAttempt>> {
        let rows =
            sqlx::query("select segment_id, attempt, pid from attempt where outcome = 'running'");
        rows.fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Gives every running attempt up and makes its segment pending; how many there were. For a
    /// restart: with the writer lock held, nothing else can be running them.
    ///
    /// # Errors
    /// The database's.
    pub async fn lose_attempts(&self, reason: &str, now: UnixSeconds) -> Result<u64> {
        let mut tx = self.write().await?;
        sqlx::query("update segment set state = 'pending' where state = 'running'")
            .execute(&mut *tx)
            .await?;
        let lost = sqlx::query(
            "update attempt set outcome = 'lost', ended_at = ?1, reason = ?2
             where outcome = 'running'",
        )
        .bind(now)
        .bind(reason)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(lost.rows_affected())
    }

    /// Gives one attempt up, so that its segment is pending; `false` if it is stale.
    ///
    /// # Errors
    /// The database's.
    pub async fn lose_attempt(
        &self,
        segment_id: SegmentId,
        attempt: u32,
        reason: &str,
        now: UnixSeconds,
    ) -> Result<bool> {
        self.end_attempt(segment_id, attempt, &Ending::Lost(reason), now).await
    }

    /// Gives one attempt up and its segment with it; `false` if it is stale.
    ///
    /// # Errors
    /// The database's.
    pub async fn fail_segment(
        &self,
        segment_id: SegmentId,
        attempt: u32,
        reason: &str,
        now: UnixSeconds,
    ) -> Result<bool> {
        self.end_attempt(segment_id, attempt, &Ending::Failed(reason), now).await
    }

    async fn end_attempt(
        &self,
        segment_id: SegmentId,
        attempt: u32,
        ending: &Ending<'_>,
        now: UnixSeconds,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let accepted = end(&mut tx, &segment_id.to_string(), attempt, ending, now).await?;
        tx.commit().await?;
        Ok(accepted)
    }
}

impl Ending<'_> {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Diverged(..) => "diverged",
            Self::Interrupted(_) => "interrupted",
            Self::Failed(_) => "failed",
            Self::Lost(_) => "lost",
        }
    }

    /// What the segment becomes.
    fn state(&self) -> SegmentState {
        match self {
            Self::Finished(_) => SegmentState::Finished,
            Self::Diverged(step, _) => SegmentState::Diverged { step: *step },
            Self::Interrupted(_) | Self::Lost(_) => SegmentState::Pending,
            Self::Failed(reason) => SegmentState::Failed { reason: (*reason).to_owned() },
        }
    }

    /// What the attempt says it used; a lost or failed one does not say.
    const fn spent(&self) -> Option<Spent> {
        match self {
            Self::Finished(spent) | Self::Diverged(_, spent) | Self::Interrupted(spent) => {
                Some(*spent)
            }
            Self::Failed(_) | Self::Lost(_) => None,
        }
    }

    const fn reason(&self) -> Option<&str> {
        match self {
            Self::Finished(_) | Self::Diverged(..) | Self::Interrupted(_) => None,
            Self::Failed(reason) | Self::Lost(reason) => Some(reason),
        }
    }
}

async fn insert(
    conn: &mut SqliteConnection,
    segment_id: &str,
    fence: u32,
    attempt: &NewAttempt,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "insert into attempt (segment_id, attempt, device, device_name, threads, pid, started_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(segment_id)
    .bind(fence)
    .bind(&attempt.device)
    .bind(&attempt.device_name)
    .bind(attempt.threads)
    .bind(attempt.pid)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends an attempt and moves its segment on; `false` if it is stale. Without a report of what it
/// used, the steps that it had reported stand. An evaluation that takes no steps is its passes over the
/// task's examples, all of them.
pub(crate) async fn end(
    conn: &mut SqliteConnection,
    segment_id: &str,
    attempt: u32,
    ending: &Ending<'_>,
    now: UnixSeconds,
) -> Result<bool> {
    if !segment::leave(conn, segment_id, attempt, &ending.state()).await? {
        return Ok(false);
    }
    let spent = ending.spent();
    sqlx::query(
        "update attempt
         set outcome = ?3, ended_at = ?4, reason = ?5, steps = coalesce(?6, steps),
             train_flops = coalesce(
                 (select case when ?6 = 0 and kind = 'transfer' and ?3 = 'finished' then train_flops
                              else ?6 * (train_flops / (end_step - start_step)) end
                  from segment where segment_id = ?1),
                 train_flops),
             device_s = ?7, data_s = ?8
         where segment_id = ?1 and attempt = ?2",
    )
    .bind(segment_id)
    .bind(attempt)
    .bind(ending.outcome())
    .bind(now)
    .bind(ending.reason())
    .bind(spent.map(|spent| signed("steps", spent.steps)).transpose()?)
    .bind(spent.map(|spent| spent.device_s))
    .bind(spent.map(|spent| spent.data_s))
    .execute(&mut *conn)
    .await?;
    match ending {
        Ending::Finished(_) | Ending::Diverged(..) => {
            segment::add_up_device_time(conn, segment_id).await?;
        }
        Ending::Interrupted(_) | Ending::Failed(_) | Ending::Lost(_) => {}
    }
    Ok(true)
}

pub(crate) async fn set_start_step(
    conn: &mut SqliteConnection,
    segment_id: &str,
    attempt: u32,
    step: u64,
) -> Result<()> {
    sqlx::query(
        "update attempt set start_step = ?3, steps = 0, train_flops = 0
         where segment_id = ?1 and attempt = ?2",
    )
    .bind(segment_id)
    .bind(attempt)
    .bind(signed("step", step)?)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps what a running attempt has used so far, so that it is known if the attempt is lost.
pub(crate) async fn set_progress(
    conn: &mut SqliteConnection,
    segment_id: &str,
    attempt: u32,
    step: u64,
) -> Result<()> {
    sqlx::query(
        "update attempt
         set steps = ?3 - start_step,
             train_flops = (?3 - start_step)
                 * (select train_flops / (end_step - start_step) from segment where segment_id = ?1)
         where segment_id = ?1 and attempt = ?2 and outcome = 'running'",
    )
    .bind(segment_id)
    .bind(attempt)
    .bind(signed("step", step)?)
    .execute(conn)
    .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<RunningAttempt> {
    let segment_id = row.try_get::<&str, _>("segment_id")?.parse()?;
    Ok(RunningAttempt { segment_id, attempt: row.try_get("attempt")?, pid: row.try_get("pid")? })
}

#[cfg(test)]
mod tests {
    use spec::TrainerEvent;

    use super::*;
    use crate::Value;
    use crate::testing::{planned_store, progress};

    #[tokio::test]
    async fn a_restart_loses_attempts_and_nothing_that_was_reported() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        let (short, longer) = (plan.id(1), plan.id(2));
        let attempt = test.begin(short).await;
        test.begin(longer).await;
        for event in [TrainerEvent::Started { step: 80 }, progress(90, 0.9)] {
            assert!(test.store.record(short, attempt, &event, 3.0).await.unwrap());
        }
        // The process dies here: nothing is closed.
        let store = Store::open(&test.path).await.unwrap();
        let mut running = store.running_attempts().await.unwrap();
        running.sort_by_key(|row| row.segment_id != short);
        assert_eq!(running[0], RunningAttempt { segment_id: short, attempt, pid: 42 });
        assert_eq!(running.len(), 2);
        assert_eq!(store.lose_attempts("isoflop died", 4.0).await.unwrap(), 2);
        assert_eq!(store.running_attempts().await.unwrap(), []);
        for status in store.segment_states("small").await.unwrap() {
            let finished = status.segment_id == plan.id(0);
            let expected = if finished { SegmentState::Finished } else { SegmentState::Pending };
            assert_eq!(status.state, expected);
        }
        let curves = store.learning_curves("small", "train_loss").await.unwrap();
        assert_eq!(curves[0].points, [(90, 0.9)]);
        let lost = "select steps from attempt where outcome = 'lost' and steps is not null";
        assert_eq!(test.value(lost).await, Value::Integer(10));
        assert!(!store.record(short, attempt, &progress(95, 0.8), 5.0).await.unwrap());
    }

    #[tokio::test]
    async fn a_lost_attempt_makes_its_segment_pending_and_only_once() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let attempt = test.begin(id).await;
        assert!(test.store.lose_attempt(id, attempt, "killed by signal 9", 3.0).await.unwrap());
        assert!(!test.store.lose_attempt(id, attempt, "again", 4.0).await.unwrap());
        let reason = test.value("select reason from attempt").await;
        assert_eq!(reason, Value::Text("killed by signal 9".into()));
        assert_eq!(test.begin(id).await, 2);
    }
}
