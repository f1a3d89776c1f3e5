//! Table `attempt`: every execution of a segment, what it ran on, how it ended and what it used.

use spec::SegmentId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::convert::{optional_signed, optional_unsigned, signed, unsigned};
use crate::error::Result;
use crate::segment::{self, SegmentState, json};
use crate::used::{Stretch, Used};
use crate::{Store, UnixSeconds};

/// What an attempt is about to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The device's own name.
    pub device_name: String,
    pub threads: u32,
    /// Process id of the trainer, where it is a process of this machine.
    pub pid: Option<u32>,
    /// Our name of the job that executes it, where it is queued.
    pub job: Option<String>,
    /// Examples per pass, where memory ran out with what the recipe says.
    pub micro_batch: Option<u32>,
    /// The largest number that is taken on the disk already, by another store or an earlier one.
    pub above: u32,
}

/// An attempt that has not ended, as far as the store knows.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningAttempt {
    pub segment_id: SegmentId,
    pub attempt: u32,
    pub device: String,
    pub pid: Option<u32>,
    pub job: Option<String>,
    /// How many of its events are stored: the first so many that it wrote down.
    pub events: u64,
    /// FLOPs of the steps it is known to have executed.
    pub train_flops: f64,
    /// What it is charged so far: up to its last word.
    pub charged_s: f64,
    /// The part of that since it was last begun.
    pub stretch_s: f64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending<'a> {
    Finished,
    Diverged(u64),
    Interrupted,
    /// The trainer said why, and its segment may be tried again.
    Failed(&'a str),
    /// The segment fails with it.
    GivenUp(&'a str),
    Lost(&'a str),
}

/// The newest attempt of a segment while it is running, as read in a write transaction: nothing
/// changes it until that ends.
#[derive(Debug)]
pub(crate) struct Current {
    pub segment_id: String,
    pub attempt: u32,
    pub used: Used,
    pub events: u64,
}

impl Store {
    /// Begins an attempt at each of these segments in one transaction, and returns their numbers, the
    /// fences: from now on no older attempt of these segments is listened to, and one that was still
    /// running is lost.
    ///
    /// # Errors
    /// A segment that is unknown, or has finished, diverged or failed; then none has begun.
    pub async fn begin_attempts(
        &self,
        attempts: &[(SegmentId, NewAttempt)],
        now: UnixSeconds,
    ) -> Result<Vec<u32>> {
        let mut tx = self.write().await?;
        let mut fences = Vec::with_capacity(attempts.len());
        for (segment_id, attempt) in attempts {
            fences.push(begin(&mut tx, *segment_id, attempt, now).await?);
        }
        tx.commit().await?;
        Ok(fences)
    }

    /// Every attempt that has not ended, the oldest first. After a restart these are the ones whose own
    /// records are looked at ([`Store::catch_up`]) before [`Store::lose_attempts`].
    ///
    /// # Errors
    /// The database's.
    pub async fn running_attempts(&self) -> Result<Vec<RunningAttempt>> {
        let rows = sqlx::query(
            "select segment_id, attempt, device, pid, job, events,
                    coalesce(train_flops, 0.0) as train_flops, charged_s,
                    coalesce(max(heard_at - stretch_at, 0.0), 0.0) as stretch_s
             from attempt where outcome = 'running' order by started_at, segment_id",
        );
        rows.fetch_all(&self.pool).await?.iter().map(read_running).collect()
    }

    /// Gives these attempts up, and makes their segments pending; how many were still running. For a
    /// restart: when an attempt ended is not known, so it is charged up to its last word.
    ///
    /// # Errors
    /// The database's; then none is given up.
    pub async fn lose_attempts(
        &self,
        attempts: &[RunningAttempt],
        reason: &str,
        now: UnixSeconds,
    ) -> Result<u64> {
        let mut tx = self.write().await?;
        let mut n_lost = 0;
        for RunningAttempt { segment_id, attempt, .. } in attempts {
            let Some(mut current) = Current::read(&mut tx, *segment_id, *attempt).await? else {
                continue;
            };
            current.used.cut_after_last_word();
            current.end(&mut tx, Ending::Lost(reason), now).await?;
            n_lost += 1;
        }
        tx.commit().await?;
        Ok(n_lost)
    }

    /// Gives one attempt up that has just ended without a word, so that its segment is pending; `false`
    /// if it is stale.
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
        self.end_attempt(segment_id, attempt, Ending::Lost(reason), now).await
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
        self.end_attempt(segment_id, attempt, Ending::GivenUp(reason), now).await
    }

    async fn end_attempt(
        &self,
        segment_id: SegmentId,
        attempt: u32,
        ending: Ending<'_>,
        now: UnixSeconds,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let Some(mut current) = Current::read(&mut tx, segment_id, attempt).await? else {
            return Ok(false);
        };
        current.used.cut(now);
        current.end(&mut tx, ending, now).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl Ending<'_> {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Diverged(_) => "diverged",
            Self::Interrupted => "interrupted",
            Self::Failed(_) | Self::GivenUp(_) => "failed",
            Self::Lost(_) => "lost",
        }
    }

    /// What the segment becomes.
    fn state(&self) -> SegmentState {
        match self {
            Self::Finished => SegmentState::Finished,
            Self::Diverged(step) => SegmentState::Diverged { step: *step },
            Self::Interrupted | Self::Failed(_) | Self::Lost(_) => SegmentState::Pending,
            Self::GivenUp(reason) => SegmentState::Failed { reason: (*reason).to_owned() },
        }
    }

    const fn reason(&self) -> Option<&str> {
        match self {
            Self::Finished | Self::Diverged(_) | Self::Interrupted => None,
            Self::Failed(reason) | Self::GivenUp(reason) | Self::Lost(reason) => Some(reason),
        }
    }
}

async fn begin(
    conn: &mut SqliteConnection,
    segment_id: SegmentId,
    attempt: &NewAttempt,
    now: UnixSeconds,
) -> Result<u32> {
    let fence = segment::begin(conn, segment_id, attempt.above).await?;
    let id = segment_id.to_string();
    if fence > 1 {
        replace(conn, &id, now).await?;
    }
    insert(conn, &id, fence, attempt, now).await?;
    Ok(fence)
}

/// Ends the attempt that was running when a newer one began, if there is one.
async fn replace(conn: &mut SqliteConnection, segment_id: &str, now: UnixSeconds) -> Result<()> {
    let running =
        sqlx::query("select * from attempt where segment_id = ?1 and outcome = 'running'");
    if let Some(row) = running.bind(segment_id).fetch_optional(&mut *conn).await? {
        let mut current = Current::of(&row)?;
        current.used.cut_after_last_word();
        current.save(conn, Some((Ending::Lost("replaced by a newer attempt"), now))).await?;
    }
    Ok(())
}

async fn insert(
    conn: &mut SqliteConnection,
    segment_id: &str,
    fence: u32,
    attempt: &NewAttempt,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "insert into attempt (segment_id, attempt, device, device_name, threads, pid, job,
                              micro_batch, started_at, stretch_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, iif(?7 is null, ?9, null))",
    )
    .bind(segment_id)
    .bind(fence)
    .bind(&attempt.device)
    .bind(&attempt.device_name)
    .bind(attempt.threads)
    .bind(attempt.pid)
    .bind(&attempt.job)
    .bind(attempt.micro_batch)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

impl Current {
    /// None if this attempt is stale.
    pub async fn read(
        conn: &mut SqliteConnection,
        segment_id: SegmentId,
        attempt: u32,
    ) -> Result<Option<Self>> {
        Ok(Self::read_all(conn, &[(segment_id, attempt)]).await?.pop().map(|(_, current)| current))
    }

    /// Those of these attempts that are not stale: replaced, lost or ended. The fence.
    pub async fn read_all(
        conn: &mut SqliteConnection,
        attempts: &[(SegmentId, u32)],
    ) -> Result<Vec<(SegmentId, Self)>> {
        let rows = sqlx::query(
            "select attempt.* from json_each(?1) as asked
             join segment on segment_id = asked.value ->> 0
                 and segment.attempt = asked.value ->> 1 and segment.state = 'running'
             join attempt using (segment_id, attempt)",
        );
        let rows = rows.bind(json(&attempts)).fetch_all(conn).await?;
        let read =
            |row| Self::of(row).and_then(|current| Ok((current.segment_id.parse()?, current)));
        rows.iter().map(read).collect()
    }

    fn of(row: &SqliteRow) -> Result<Self> {
        Ok(Self {
            segment_id: row.try_get("segment_id")?,
            attempt: row.try_get("attempt")?,
            used: read_used(row)?,
            events: unsigned("events", row.try_get("events")?)?,
        })
    }

    /// Ends the attempt and moves its segment on.
    pub async fn end(
        &self,
        conn: &mut SqliteConnection,
        ending: Ending<'_>,
        now: UnixSeconds,
    ) -> Result<()> {
        self.save(conn, Some((ending, now))).await?;
        segment::leave(conn, &self.segment_id, &ending.state()).await
    }

    /// Keeps what the attempt has used so far, and how it ended if it has. An evaluation that takes no
    /// steps is its passes over the task's examples, all of them.
    pub async fn save(
        &self,
        conn: &mut SqliteConnection,
        ended: Option<(Ending<'_>, UnixSeconds)>,
    ) -> Result<()> {
        let used = &self.used;
        let ending = ended.map(|(ending, _)| ending);
        sqlx::query(
            "update attempt
             set outcome = coalesce(?3, outcome), ended_at = ?4, reason = ?5, start_step = ?6,
                 steps = ?7,
                 train_flops =
                     (select iif(?7 = 0 and kind = 'transfer' and ?3 = 'finished', train_flops,
                                 ?7 * (train_flops / (end_step - start_step)))
                      from segment where segment_id = ?1),
                 device_s = ?8, data_s = ?9, peak_bytes = ?10, charged_s = ?11, events = ?12,
                 heard_at = ?13, stretch_at = ?14, stretch_step = ?15, steps_before = ?16
             where segment_id = ?1 and attempt = ?2",
        )
        .bind(&self.segment_id)
        .bind(self.attempt)
        .bind(ending.map(|ending| ending.outcome()))
        .bind(ended.map(|(_, now)| now))
        .bind(ending.as_ref().and_then(Ending::reason))
        .bind(optional_signed("start_step", used.start_step)?)
        .bind(optional_signed("steps", used.steps)?)
        .bind(used.device_s)
        .bind(used.data_s)
        .bind(optional_signed("peak_bytes", used.peak_bytes)?)
        .bind(used.charged_s)
        .bind(signed("events", self.events)?)
        .bind(used.heard_at)
        .bind(used.stretch.map(|stretch| stretch.at))
        .bind(optional_signed("step", used.stretch.map(|stretch| stretch.step))?)
        .bind(optional_signed("steps", used.stretch.map(|stretch| stretch.steps_before))?)
        .execute(conn)
        .await?;
        Ok(())
    }
}

fn read_used(row: &SqliteRow) -> Result<Used> {
    let count = |what| optional_unsigned(what, row.try_get(what)?);
    let stretch = match row.try_get("stretch_at")? {
        None => None,
        Some(at) => Some(Stretch {
            at,
            step: count("stretch_step")?.unwrap_or(0),
            steps_before: count("steps_before")?.unwrap_or(0),
        }),
    };
    Ok(Used {
        start_step: count("start_step")?,
        steps: count("steps")?,
        device_s: row.try_get("device_s")?,
        data_s: row.try_get("data_s")?,
        peak_bytes: count("peak_bytes")?,
        charged_s: row.try_get("charged_s")?,
        stretch,
        heard_at: row.try_get("heard_at")?,
    })
}

fn read_running(row: &SqliteRow) -> Result<RunningAttempt> {
    let stretch_s: f64 = row.try_get("stretch_s")?;
    let charged_s: f64 = row.try_get("charged_s")?;
    Ok(RunningAttempt {
        segment_id: row.try_get::<&str, _>("segment_id")?.parse()?,
        attempt: row.try_get("attempt")?,
        device: row.try_get("device")?,
        pid: row.try_get("pid")?,
        job: row.try_get("job")?,
        events: unsigned("events", row.try_get("events")?)?,
        train_flops: row.try_get("train_flops")?,
        charged_s: charged_s + stretch_s,
        stretch_s,
    })
}

#[cfg(test)]
mod tests {
    use spec::TrainerEvent;

    use super::*;
    use crate::Value;
    use crate::testing::{on_cpu, planned_store, progress};

    #[tokio::test]
    async fn a_restart_loses_attempts_and_nothing_that_was_reported() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        let (short, longer) = (plan.id(1), plan.id(2));
        let attempt = test.begin(short).await;
        test.store.begin_attempt(longer, &on_cpu(), 2.5).await.unwrap();
        for event in [TrainerEvent::Started { step: 80 }, progress(90, 0.9)] {
            assert!(test.store.record(short, attempt, &event, 3.0).await.unwrap());
        }
        // The process dies here: nothing is closed.
        let store = Store::open(&test.path).await.unwrap();
        let running = store.running_attempts().await.unwrap();
        let (device, pid) = ("cpu".to_owned(), Some(42));
        let (train_flops, charged_s, stretch_s) = (running[0].train_flops, 1.0, 1.0);
        let expected = RunningAttempt {
            segment_id: short,
            attempt,
            device,
            pid,
            job: None,
            events: 2,
            train_flops,
            charged_s,
            stretch_s,
        };
        assert_eq!((&running[0], running.len()), (&expected, 2));
        assert_eq!(store.lose_attempts(&running, "isoflop died", 400.0).await.unwrap(), 2);
        assert_eq!(store.lose_attempts(&running, "isoflop died", 500.0).await.unwrap(), 0);
        assert_eq!(store.running_attempts().await.unwrap(), []);
        for status in store.segment_states("small").await.unwrap() {
            let finished = status.segment_id == plan.id(0);
            let expected = if finished { SegmentState::Finished } else { SegmentState::Pending };
            assert_eq!(status.state, expected);
        }
        let curves = store.all_curves("small", "train_loss").await;
        assert_eq!(curves[0].points, [(90, 0.9)]);
        let lost = "select steps from attempt where outcome = 'lost' and steps is not null";
        assert_eq!(test.value(lost).await, Value::Integer(10));
        assert!(!store.record(short, attempt, &progress(95, 0.8), 5.0).await.unwrap());
    }

    /// What is in a queue may go on without its coordinator.
    #[tokio::test]
    async fn attempts_that_are_not_named_are_not_lost() {
        let (test, plan) = planned_store().await;
        let job = Some("isoflop-small-1".to_owned());
        let queued = NewAttempt { pid: None, job: job.clone(), ..on_cpu() };
        let attempts = [(plan.id(0), queued), (plan.id(1), on_cpu())];
        assert_eq!(test.store.begin_attempts(&attempts, 2.0).await.unwrap(), [1, 1]);
        let running = test.store.running_attempts().await.unwrap();
        let (kept, lost): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|attempt| attempt.job.is_some());
        assert_eq!((kept[0].pid, &kept[0].job), (None, &job));
        assert_eq!(test.store.lose_attempts(&lost, "its coordinator ended", 3.0).await.unwrap(), 1);
        assert_eq!(test.store.running_attempts().await.unwrap(), kept);
    }

    #[tokio::test]
    async fn either_all_of_several_attempts_begin_or_none() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        let attempts = [(plan.id(1), on_cpu()), (plan.id(0), on_cpu())];
        assert!(test.store.begin_attempts(&attempts, 2.0).await.is_err());
        assert_eq!(test.store.running_attempts().await.unwrap(), []);
        assert_eq!(test.begin(plan.id(1)).await, 1);
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

    #[tokio::test]
    async fn time_that_nobody_reported_is_charged() {
        let (test, plan) = planned_store().await;
        let (id, store) = (plan.id(0), &test.store);
        let charged = async || store.spent("small").await.unwrap().charged_s;
        let attempt = store.begin_attempt(id, &on_cpu(), 10.0).await.unwrap();
        store.record(id, attempt, &TrainerEvent::Started { step: 0 }, 12.0).await.unwrap();
        assert_eq!(charged().await, 2.0);
        store.record(id, attempt, &progress(10, 1.0), 15.0).await.unwrap();
        assert_eq!(charged().await, 5.0);
        // Its end is noticed at once, or in a restart a day later.
        store.lose_attempt(id, attempt, "killed", 17.0).await.unwrap();
        assert_eq!(charged().await, 7.0);
        let attempt = store.begin_attempt(id, &on_cpu(), 20.0).await.unwrap();
        store.record(id, attempt, &TrainerEvent::Started { step: 0 }, 22.0).await.unwrap();
        let running = store.running_attempts().await.unwrap();
        store.lose_attempts(&running, "its coordinator ended", 9e4).await.unwrap();
        assert_eq!(charged().await, 9.0);
        // What waits in a queue uses nothing, and what is reported counts instead of the clock.
        let queued = NewAttempt { pid: None, job: Some("a".into()), ..on_cpu() };
        let attempt = store.begin_attempt(id, &queued, 1e5).await.unwrap();
        store.record(id, attempt, &TrainerEvent::Started { step: 0 }, 2e5).await.unwrap();
        let last = crate::testing::finished(80, 80, 4.0);
        store.record(id, attempt, &last, 2e5 + 50.0).await.unwrap();
        assert_eq!(charged().await, 13.0);
        assert_eq!(store.spent("small").await.unwrap().device_s, 4.0);
    }
}
