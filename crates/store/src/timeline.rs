//! What a sweep's trials measured, with the times at which they did, and what their recipes say: for
//! tools that keep both.

use std::collections::HashMap;

use spec::TrialId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::convert::unsigned;
use crate::error::Result;
use crate::{Store, UnixSeconds};

/// One metric of one trial over its whole chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    pub trial_id: TrialId,
    pub metric: String,
    /// By step.
    pub moments: Vec<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Counted from the beginning of the trial.
    pub step: u64,
    /// Between the begin and the end of the segment's newest attempt, in proportion to the steps: when
    /// exactly is not stored. None where nobody attempted it.
    pub at: Option<UnixSeconds>,
    /// None where what was measured is not finite.
    pub value: Option<f64>,
}

/// From the first attempt at a trial's segments to the end of the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub started_at: UnixSeconds,
    pub ended_at: Option<UnixSeconds>,
}

impl Store {
    /// Every metric of every trial of a sweep, without evaluations on other tasks, in the plan's order.
    ///
    /// # Errors
    /// The database's.
    pub async fn timelines(&self, sweep: &str) -> Result<Vec<Timeline>> {
        let rows = sqlx::query(
            "select sweep_trial.trial_id, metric, step, value,
                    attempt.started_at
                    + (coalesce(ended_at, heard_at, attempt.started_at) - attempt.started_at)
                      * (step - segment.start_step) / (end_step - segment.start_step) as at
             from sweep_trial
             join trial_segment using (sweep, trial_id)
             join segment using (segment_id)
             join measurement using (segment_id)
             left join attempt
                 on attempt.segment_id = segment.segment_id and attempt.attempt = segment.attempt
             where sweep_trial.sweep = ?1 and kind <> 'transfer'
             order by sweep_trial.position, metric, step",
        );
        let mut timelines: Vec<Timeline> = Vec::new();
        for row in rows.bind(sweep).fetch_all(&self.pool).await? {
            let (trial_id, metric, moment) = read(&row)?;
            match timelines.last_mut() {
                Some(last) if last.trial_id == trial_id && last.metric == metric => {
                    last.moments.push(moment);
                }
                Some(_) | None => {
                    timelines.push(Timeline { trial_id, metric, moments: vec![moment] })
                }
            }
        }
        Ok(timelines)
    }

    /// When each trial of a sweep was worked on; none for those that nobody attempted.
    ///
    /// # Errors
    /// The database's.
    pub async fn spans(&self, sweep: &str) -> Result<HashMap<TrialId, Span>> {
        let rows = sqlx::query(
            "select trial_id, min(started_at) as started_at,
                    iif(count(ended_at) = count(*), max(ended_at), null) as ended_at
             from trial_segment join attempt using (segment_id)
             where sweep = ?1 group by trial_id",
        );
        let span = |row: SqliteRow| {
            let span =
                Span { started_at: row.try_get("started_at")?, ended_at: row.try_get("ended_at")? };
            Ok((row.try_get::<&str, _>("trial_id")?.parse()?, span))
        };
        rows.bind(sweep).map(span).fetch_all(&self.pool).await?.into_iter().collect()
    }

    /// What each trial of a sweep is besides its length, as JSON.
    ///
    /// # Errors
    /// The database's.
    pub async fn recipes(&self, sweep: &str) -> Result<HashMap<TrialId, String>> {
        let rows = sqlx::query(
            "select trial_id, json from sweep_trial join trial using (trial_id) join recipe using (recipe_id)
             where sweep = ?1",
        );
        let recipe = |row: SqliteRow| {
            Ok((row.try_get::<&str, _>("trial_id")?.parse()?, row.try_get("json")?))
        };
        rows.bind(sweep).map(recipe).fetch_all(&self.pool).await?.into_iter().collect()
    }
}

fn read(row: &SqliteRow) -> Result<(TrialId, String, Moment)> {
    let moment = Moment {
        step: unsigned("step", row.try_get("step")?)?,
        at: row.try_get("at")?,
        value: row.try_get("value")?,
    };
    Ok((row.try_get::<&str, _>("trial_id")?.parse()?, row.try_get("metric")?, moment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{evaluated, planned_store};

    #[tokio::test]
    async fn a_moment_lies_between_the_begin_and_the_end_of_its_attempt() {
        let (test, plan) = planned_store().await;
        let trunk = plan.id(0);
        let attempt = test.begin(trunk).await; // at 2
        for step in [20, 40] {
            test.store.record(trunk, attempt, &evaluated(step, 1.0), 3.0).await.unwrap();
        }
        assert_eq!(test.store.spans("small").await.unwrap().len(), 2);
        assert!(
            test.store.spans("small").await.unwrap().values().all(|span| span.ended_at.is_none())
        );
        assert!(test.store.lose_attempt(trunk, attempt, "killed", 6.0).await.unwrap());
        let timelines = test.store.timelines("small").await.unwrap();
        // Two trials share the trunk, and each evaluation has two metrics.
        assert_eq!(timelines.len(), 4);
        assert_eq!(timelines[0].metric, "val_error");
        let at = |timeline: &Timeline| {
            timeline.moments.iter().map(|m| (m.step, m.at)).collect::<Vec<_>>()
        };
        assert_eq!(at(&timelines[1]), [(20, Some(3.0)), (40, Some(4.0))]);
        let spans = test.store.spans("small").await.unwrap();
        let whole = Span { started_at: 2.0, ended_at: Some(6.0) };
        assert!(spans.len() == 2 && spans.values().all(|span| *span == whole));
        let recipes = test.store.recipes("small").await.unwrap();
        assert!(recipes.values().all(|json| json.starts_with('{')) && recipes.len() == 2);
    }
}
