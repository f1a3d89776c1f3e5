//! One trial by itself: where it stands in each sweep, what it measured, what it is.

use std::collections::BTreeMap;

use spec::TrialId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::convert::unsigned;
use crate::error::Result;
use crate::result::TrialResult;
use crate::{Store, result};

/// The step and the value of each measurement of a metric.
pub type Course = Vec<(u64, f64)>;

impl Store {
    /// A trial's row of each sweep that has it, by the sweeps' names.
    ///
    /// # Errors
    /// The database's.
    pub async fn results_of(&self, trial: TrialId) -> Result<Vec<TrialResult>> {
        // Sweep by sweep: the index of their trials begins with the sweep.
        let names: Vec<String> = sqlx::query_scalar("select name from sweep order by name")
            .fetch_all(&self.pool)
            .await?;
        let mut results = Vec::new();
        for name in names {
            let row = sqlx::query("select * from trial_result where sweep = ?1 and trial_id = ?2");
            let row = row.bind(name).bind(trial.to_string()).fetch_optional(&self.pool).await?;
            results.extend(row.as_ref().map(result::read).transpose()?);
        }
        Ok(results)
    }

    /// What a trial of a sweep measured along its chain, by metric and step; finite values alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn courses(&self, sweep: &str, trial: TrialId) -> Result<BTreeMap<String, Course>> {
        let rows = sqlx::query(
            "select metric, step, value from learning_curve
             where sweep = ?1 and trial_id = ?2 and value is not null order by metric, step",
        );
        let mut courses = BTreeMap::<String, Course>::new();
        for row in rows.bind(sweep).bind(trial.to_string()).fetch_all(&self.pool).await? {
            let (metric, point) = read_point(&row)?;
            courses.entry(metric).or_default().push(point);
        }
        Ok(courses)
    }

    /// What a trial of a sweep measured at its end and on other tasks; finite values alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn evaluations_of(
        &self,
        sweep: &str,
        trial: TrialId,
    ) -> Result<BTreeMap<String, f64>> {
        let rows: Vec<(String, f64)> = sqlx::query_as(
            "select metric, value from evaluation
             where sweep = ?1 and trial_id = ?2 and value is not null",
        )
        .bind(sweep)
        .bind(trial.to_string())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// The canonical JSON whose hash a trial's id is.
    ///
    /// # Errors
    /// The database's.
    pub async fn spec_of(&self, trial: TrialId) -> Result<Option<String>> {
        let json = sqlx::query_scalar("select json from spec where id = ?1");
        Ok(json.bind(trial.to_string()).fetch_optional(&self.pool).await?)
    }
}

fn read_point(row: &SqliteRow) -> Result<(String, (u64, f64))> {
    Ok((row.try_get("metric")?, (unsigned("step", row.try_get("step")?)?, row.try_get("value")?)))
}

#[cfg(test)]
mod tests {
    use spec::Id;

    use super::*;
    use crate::TrialState;
    use crate::testing::{empty_store, with_evaluation};

    #[tokio::test]
    async fn a_trial_is_told_whole_and_an_unknown_one_is_nothing() {
        let (test, plan) = (empty_store().await, with_evaluation(0));
        test.save_trials("small", &plan, ..).await;
        test.save_trials("other", &plan, ..1).await;
        for (segment, loss) in plan.segments.iter().zip([1.0, 0.8]) {
            test.finish(segment, loss, 2.0).await;
        }
        let trial = &plan.trials[0].spec;
        let results = test.store.results_of(trial.id()).await.unwrap();
        let told: Vec<_> = results.iter().map(|row| (row.sweep.as_str(), row.state)).collect();
        assert_eq!(told, [("other", TrialState::Finished), ("small", TrialState::Finished)]);
        let courses = test.store.courses("small", trial.id()).await.unwrap();
        assert_eq!(courses["val_loss"], [(80, 1.0), (100, 0.8)]);
        let values = test.store.evaluations_of("small", trial.id()).await.unwrap();
        assert_eq!((values["val_loss"], values["val_error"]), (0.8, 0.2));
        let spec = test.store.spec_of(trial.id()).await.unwrap();
        assert_eq!(spec, Some(spec::canonical_json(trial)));

        let unknown = TrialId(Id::of(&"unknown"));
        assert_eq!(test.store.results_of(unknown).await.unwrap(), []);
        assert!(test.store.courses("small", unknown).await.unwrap().is_empty());
        assert_eq!(test.store.spec_of(unknown).await.unwrap(), None);
    }
}
