//! How far a sweep is, counted by SQLite: as fast for 100,000 trials as reading them would be slow.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::convert::unsigned;
use crate::error::Result;
use crate::{Store, TrialState};

/// How many trials are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialCounts {
    pub pending: u64,
    pub running: u64,
    pub finished: u64,
    pub diverged: u64,
    pub failed: u64,
}

/// How many evaluations on other tasks a sweep has, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvaluationCounts {
    pub planned: u64,
    pub finished: u64,
    pub failed: u64,
}

/// The trials of one variant and shape of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShapeCounts {
    /// In a sweep that has variants.
    pub variant: Option<String>,
    pub family: String,
    pub shape: String,
    /// N.
    pub params: u64,
    pub trials: TrialCounts,
    /// The smallest share of misclassified validation examples after a trial's last step.
    pub best_val_error: Option<f64>,
    pub seconds: SegmentSeconds,
}

/// Seconds on the device of the segments of some trials, shared ones once, evaluations on other tasks
/// included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SegmentSeconds {
    /// What all attempts at them are charged with, lost ones too.
    pub charged_s: f64,
    /// What was predicted for those that have a prediction.
    pub predicted_s: f64,
    /// Of these, those that have finished.
    pub finished_predicted_s: f64,
    /// What all attempts at the same took.
    pub finished_charged_s: f64,
}

impl Store {
    /// The trials of a sweep by state.
    ///
    /// # Errors
    /// The database's.
    pub async fn trial_counts(&self, sweep: &str) -> Result<TrialCounts> {
        let rows = sqlx::query(
            "select state, count(*) as n from trial_state where sweep = ?1 group by state",
        );
        let mut counts = TrialCounts::default();
        for row in rows.bind(sweep).fetch_all(&self.pool).await? {
            *counts.of_mut(TrialState::read(row.try_get("state")?)?) += read_count(&row, "n")?;
        }
        Ok(counts)
    }

    /// A row for each variant and shape of a sweep: by variant, then from the smallest. Those of one
    /// workload are of one shape, so trials and segments are added up before shapes are looked up.
    ///
    /// # Errors
    /// The database's.
    pub async fn shape_counts(&self, sweep: &str) -> Result<Vec<ShapeCounts>> {
        let mut shapes = BTreeMap::new();
        let (trials, seconds) =
            tokio::try_join!(self.trials_by_workload(sweep), self.segment_seconds(sweep))?;
        for row in trials {
            let counts = entry(&mut shapes, &row)?;
            let state = TrialState::read(row.try_get("state")?)?;
            *counts.trials.of_mut(state) += read_count(&row, "n")?;
            let best: Option<f64> = row.try_get("best")?;
            counts.best_val_error = counts.best_val_error.into_iter().chain(best).reduce(f64::min);
        }
        for row in seconds {
            let seconds = &mut entry(&mut shapes, &row)?.seconds;
            seconds.charged_s += row.try_get::<f64, _>("charged_s")?;
            seconds.predicted_s += row.try_get::<f64, _>("predicted_s")?;
            seconds.finished_predicted_s += row.try_get::<f64, _>("finished_predicted_s")?;
            seconds.finished_charged_s += row.try_get::<f64, _>("finished_charged_s")?;
        }
        Ok(shapes.into_values().collect())
    }

    /// Trials by state and their smallest errors, each kind with its first trial.
    async fn trials_by_workload(&self, sweep: &str) -> Result<Vec<SqliteRow>> {
        let rows = sqlx::query(
            "with counts as materialized (
                 select variant, min(trial_id) as first, state, count(*) as n,
                        min((select value from measurement
                             where segment_id = leaf_segment_id and metric = 'val_error'
                               and step = steps)) as best
                 from trial_state where sweep = ?1
                 group by coalesce(workload, trial_id), variant, state
             )
             select variant, params, family, shape, state, n, best
             from counts join trial on trial_id = first",
        );
        Ok(rows.bind(sweep).fetch_all(&self.pool).await?)
    }

    /// Sums over segments, each counted with the first trial that has it.
    async fn segment_seconds(&self, sweep: &str) -> Result<Vec<SqliteRow>> {
        let rows = sqlx::query(
            "with sum as materialized (
                 select iif((select max(variant) from sweep_trial where sweep = ?1) is null, null,
                            (select variant from sweep_trial
                             where sweep = ?1 and trial_id = planned.first)) as variant,
                        min(planned.first) as first,
                        total(used.charged_s) as charged_s,
                        total(predicted_s) as predicted_s,
                        total(predicted_s) filter (where state = 'finished') as finished_predicted_s,
                        total(used.charged_s)
                            filter (where state = 'finished' and predicted_s is not null)
                            as finished_charged_s
                 from (select segment_id, min(trial_id) as first from trial_segment
                       where sweep = ?1 group by segment_id) as planned
                 join segment using (segment_id)
                 left join (select segment_id,
                                   total(charged_s + coalesce(heard_at - stretch_at, 0)) as charged_s
                            from attempt group by segment_id) as used using (segment_id)
                 group by coalesce(workload, planned.first), 1
             )
             select variant, params, family, shape, charged_s, predicted_s, finished_predicted_s,
                    finished_charged_s
             from sum join trial on trial_id = first",
        );
        Ok(rows.bind(sweep).fetch_all(&self.pool).await?)
    }

    /// How far the evaluations on other tasks are.
    ///
    /// # Errors
    /// The database's.
    pub async fn evaluation_counts(&self, sweep: &str) -> Result<EvaluationCounts> {
        let row = sqlx::query(
            "select count(*) as planned, count(*) filter (where state = 'finished') as finished,
                    count(*) filter (where state = 'failed') as failed
             from segment
             where kind = 'transfer'
               and exists (select 1 from trial_segment
                           where sweep = ?1 and segment_id = segment.segment_id)",
        );
        let row = row.bind(sweep).fetch_one(&self.pool).await?;
        let count = |what| read_count(&row, what);
        let [planned, finished, failed] = [count("planned")?, count("finished")?, count("failed")?];
        Ok(EvaluationCounts { planned, finished, failed })
    }
}

impl TrialCounts {
    pub const fn of(&self, state: TrialState) -> u64 {
        match state {
            TrialState::Pending => self.pending,
            TrialState::Running => self.running,
            TrialState::Finished => self.finished,
            TrialState::Diverged => self.diverged,
            TrialState::Failed => self.failed,
        }
    }

    const fn of_mut(&mut self, state: TrialState) -> &mut u64 {
        match state {
            TrialState::Pending => &mut self.pending,
            TrialState::Running => &mut self.running,
            TrialState::Finished => &mut self.finished,
            TrialState::Diverged => &mut self.diverged,
            TrialState::Failed => &mut self.failed,
        }
    }
}

/// Variant, size, family and name of a shape, in which order they are shown.
type Shape = (Option<String>, u64, String, String);

fn entry<'a>(
    shapes: &'a mut BTreeMap<Shape, ShapeCounts>,
    row: &SqliteRow,
) -> Result<&'a mut ShapeCounts> {
    let (variant, params): (Option<String>, _) =
        (row.try_get("variant")?, read_count(row, "params")?);
    let (family, shape): (String, String) = (row.try_get("family")?, row.try_get("shape")?);
    let key = (variant.clone(), params, family.clone(), shape.clone());
    let new = || ShapeCounts { variant, family, shape, params, ..ShapeCounts::default() };
    Ok(shapes.entry(key).or_insert_with(new))
}

fn read_count(row: &SqliteRow, what: &'static str) -> Result<u64> {
    unsigned(what, row.try_get(what)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Plan, TestStore, empty_store, with_evaluation};

    /// Two trials of the variant `plain`, the trunk of both, and what is behind it, predicted to take a
    /// second each.
    async fn predicted_store() -> (TestStore, Plan) {
        let (test, plan) = (empty_store().await, with_evaluation(0));
        test.save_trials("small", &plan, ..).await;
        let seconds: Vec<_> = (0..4).map(|segment| (plan.id(segment), 1.0)).collect();
        test.store.predict(&seconds).await.unwrap();
        (test, plan)
    }

    #[tokio::test]
    async fn a_shapes_trials_are_counted_and_its_segments_once() {
        let (test, plan) = predicted_store().await;
        let lost = test.begin(plan.id(0)).await;
        test.store.lose_attempt(plan.id(0), lost, "killed", 2.5).await.unwrap();
        for (segment, seconds) in [(0, 2.0), (1, 3.0), (4, 9.0)] {
            test.finish(&plan.segments[segment], 0.8, seconds).await;
        }
        let trials = TrialCounts { finished: 1, pending: 1, ..TrialCounts::default() };
        assert_eq!(test.store.trial_counts("small").await.unwrap(), trials);
        assert_eq!(trials.of(TrialState::Finished), 1);
        let seconds = SegmentSeconds {
            charged_s: 14.5,
            predicted_s: 4.0,
            finished_predicted_s: 2.0,
            finished_charged_s: 5.5,
        };
        let expected = ShapeCounts {
            variant: Some("plain".into()),
            family: "vit".into(),
            shape: "8x1".into(),
            params: plan.segments[0].recipe.model.params(),
            trials,
            best_val_error: Some(0.2),
            seconds,
        };
        assert_eq!(test.store.shape_counts("small").await.unwrap(), [expected]);
        let counts = test.store.evaluation_counts("small").await.unwrap();
        assert_eq!(counts, EvaluationCounts { planned: 1, finished: 1, failed: 0 });
        assert_eq!(test.store.trial_counts("other").await.unwrap(), TrialCounts::default());
        assert_eq!(test.store.shape_counts("other").await.unwrap(), []);
    }

    #[tokio::test]
    async fn variants_are_told_apart_though_their_steps_cost_the_same() {
        let (test, mut plan) = (empty_store().await, with_evaluation(0));
        plan.trials[1].variant = Some("other".into());
        test.save_trials("small", &plan, ..).await;
        for segment in &plan.segments {
            test.finish(segment, 0.8, 1.0).await;
        }
        let counts = test.store.shape_counts("small").await.unwrap();
        let told: Vec<_> =
            counts.iter().map(|row| (row.variant.as_deref(), row.trials.finished)).collect();
        assert_eq!(told, [(Some("other"), 1), (Some("plain"), 1)]);
        assert_eq!(counts.iter().map(|row| row.seconds.charged_s).sum::<f64>(), 5.0);
    }
}
