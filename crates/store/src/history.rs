//! What was done for one trial: every attempt at its segments; and what came to nothing in a whole sweep.

use spec::{SegmentId, SegmentKind, TrialId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::convert::unsigned;
use crate::error::Result;
use crate::result::TrialState;
use crate::segment::read_kind;
use crate::{Store, UnixSeconds};

/// An attempt, and what it was at.
#[derive(Clone, Debug, PartialEq)]
pub struct PastAttempt {
    pub segment_id: SegmentId,
    pub kind: SegmentKind,
    /// Steps of the trial before and after its segment.
    pub start_step: u64,
    pub end_step: u64,
    pub attempt: u32,
    /// `running`, `finished`, `diverged`, `interrupted`, `failed`, `lost`.
    pub outcome: String,
    /// Of one that failed or was lost.
    pub reason: Option<String>,
    pub started_at: UnixSeconds,
    pub ended_at: Option<UnixSeconds>,
    pub device: String,
    pub job: Option<String>,
}

impl Store {
    /// The trials whose ids begin with these hexadecimal digits, by id.
    ///
    /// # Errors
    /// The database's.
    pub async fn trials_beginning_with(&self, digits: &str) -> Result<Vec<TrialId>> {
        // `g` comes behind every digit.
        let ids: Vec<String> = sqlx::query_scalar(
            "select trial_id from trial where trial_id >= ?1 and trial_id < ?1 || 'g' order by trial_id",
        )
        .bind(digits.to_ascii_lowercase())
        .fetch_all(&self.pool)
        .await?;
        ids.iter().map(|id| Ok(id.parse()?)).collect()
    }

    /// Where a trial stands in each sweep that has it.
    ///
    /// # Errors
    /// The database's.
    pub async fn trial_states(&self, trial: TrialId) -> Result<Vec<TrialState>> {
        let words: Vec<String> =
            sqlx::query_scalar("select state from trial_result where trial_id = ?1")
                .bind(trial.to_string())
                .fetch_all(&self.pool)
                .await?;
        words.iter().map(|word| TrialState::read(word)).collect()
    }

    /// All attempts at a trial's segments in whatever sweeps it is: along the chain, then its evaluations
    /// on other tasks, and the oldest of a segment first.
    ///
    /// # Errors
    /// The database's.
    pub async fn attempts_of(&self, trial: TrialId) -> Result<Vec<PastAttempt>> {
        let rows = sqlx::query(
            "select segment_id, kind, segment.start_step, end_step, attempt.attempt, outcome,
                    attempt.reason, started_at, ended_at, device, job
             from segment join attempt using (segment_id)
             where segment_id in (select segment_id from sweep cross join trial_segment
                                      on sweep = sweep.name and trial_id = ?1)
             order by kind = 'transfer', segment.start_step, end_step, segment_id, attempt.attempt",
        );
        rows.bind(trial.to_string()).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// The attempts at a sweep's segments that came to nothing, `failed` and `lost` ones: the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn futile_attempts(&self, sweep: &str) -> Result<Vec<PastAttempt>> {
        let rows = sqlx::query(
            "select segment_id, kind, segment.start_step, end_step, attempt.attempt, outcome,
                    attempt.reason, started_at, ended_at, device, job
             from attempt join segment using (segment_id)
             where outcome in ('failed', 'lost')
               and exists (select 1 from trial_segment as planned
                           where sweep = ?1 and planned.segment_id = attempt.segment_id)
             order by started_at, segment_id, attempt.attempt",
        );
        rows.bind(sweep).fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<PastAttempt> {
    Ok(PastAttempt {
        segment_id: row.try_get::<&str, _>("segment_id")?.parse()?,
        kind: read_kind(row.try_get("kind")?)?,
        start_step: unsigned("start_step", row.try_get("start_step")?)?,
        end_step: unsigned("end_step", row.try_get("end_step")?)?,
        attempt: row.try_get("attempt")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        device: row.try_get("device")?,
        job: row.try_get("job")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{empty_store, with_evaluation};

    #[tokio::test]
    async fn a_trials_attempts_follow_its_chain() {
        let (test, plan) = (empty_store().await, with_evaluation(0));
        test.save_trials("small", &plan, ..).await;
        test.save_trials("other", &plan, ..1).await;
        test.begin(plan.id(0)).await;
        for segment in [0, 1, 4, 2] {
            test.finish(&plan.segments[segment], 1.0, 1.0).await;
        }
        let attempts = test.store.attempts_of(plan.trials[0].spec.id()).await.unwrap();
        let told = |row: &PastAttempt| (row.segment_id, row.attempt, row.outcome.clone());
        let expected = [
            (plan.id(0), 1, "lost".to_owned()),
            (plan.id(0), 2, "finished".to_owned()),
            (plan.id(1), 1, "finished".to_owned()),
            (plan.id(4), 1, "finished".to_owned()),
        ];
        assert_eq!(attempts.iter().map(told).collect::<Vec<_>>(), expected);
        assert_eq!(attempts[0].reason.as_deref(), Some("replaced by a newer attempt"));
        assert_eq!((attempts[2].kind, attempts[2].start_step), (SegmentKind::Cooldown, 80));
        let futile = test.store.futile_attempts("small").await.unwrap();
        assert_eq!(futile.iter().map(told).collect::<Vec<_>>(), expected[..1]);
        assert_eq!(test.store.futile_attempts("unknown").await.unwrap(), []);
        let states = test.store.trial_states(plan.trials[0].spec.id()).await.unwrap();
        assert_eq!(states, [TrialState::Finished; 2]);
    }

    #[tokio::test]
    async fn a_trial_is_found_by_the_beginning_of_its_id() {
        let (test, plan) = (empty_store().await, with_evaluation(0));
        test.save_trials("small", &plan, ..).await;
        let id = plan.trials[1].spec.id();
        let text = id.to_string();
        for digits in [&text[..12], &text, &text[..12].to_uppercase()] {
            assert_eq!(test.store.trials_beginning_with(digits).await.unwrap(), [id]);
        }
        assert_eq!(test.store.trials_beginning_with("").await.unwrap().len(), 2);
        assert_eq!(test.store.trials_beginning_with("xyz").await.unwrap(), []);
    }
}
