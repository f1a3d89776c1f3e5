//! Views `trial_result`, `evaluation`, `learning_curve` and `sweep_spent`: what a sweep found and what
//! it cost.

use std::collections::HashMap;

use spec::TrialId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::Store;
use crate::convert::{optional_unsigned, unsigned};
use crate::error::{Result, StoreError};
use crate::segment::json;

/// One row of the view `trial_result`. What is missing is None.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialResult {
    pub sweep: String,
    pub trial_id: TrialId,
    pub family: String,
    pub shape: String,
    /// N.
    pub params: u64,
    /// D.
    pub unique_examples: u64,
    pub examples_seen: u64,
    /// Of an imported trial that does not say, None; so with the rate and the seed.
    pub steps: Option<u64>,
    /// C: FLOPs of the trial trained alone.
    pub train_flops: f64,
    /// Peak rate.
    pub learning_rate: Option<f64>,
    pub seed: Option<u64>,
    pub state: TrialState,
    /// Mean validation loss after the last step, nats.
    pub val_loss: Option<f64>,
    /// Share of validation examples that are misclassified after the last step, in [0, 1].
    pub val_error: Option<f64>,
    /// Seconds on the device that the trial would have taken alone; of a finished or diverged one.
    pub device_s: Option<f64>,
    /// In a sweep that has variants.
    pub variant: Option<String>,
}

/// Where a trial stands: diverged or failed as soon as one of its segments is, else what its leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialState {
    Pending,
    Running,
    Finished,
    Diverged,
    Failed,
}

/// One metric of one trial over its whole chain.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningCurve {
    pub trial_id: TrialId,
    /// Step, counted from the beginning of the trial, and finite value; by step.
    pub points: Vec<(u64, f64)>,
}

/// What all attempts at a sweep's segments used: lost ones too, shared segments once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    pub attempts: u64,
    pub train_flops: f64,
    /// Without running, lost and failed attempts, which did not report theirs.
    pub device_s: f64,
    /// Of evaluations on other tasks.
    pub evaluation_flops: f64,
    /// Seconds on the device to charge: as `device_s`, and of attempts that could not report theirs how
    /// long they are known to have executed; of running ones up to their last word.
    pub charged_s: f64,
}

impl Store {
    /// The results of a sweep's trials, in the plan's order.
    ///
    /// # Errors
    /// The database's.
    pub async fn trial_results(&self, sweep: &str) -> Result<Vec<TrialResult>> {
        let rows = sqlx::query(
            "select trial_result.* from trial_result join sweep_trial using (sweep, trial_id)
             where sweep = ?1 order by sweep_trial.position",
        );
        let rows = rows.bind(sweep).map(|row: SqliteRow| read(&row));
        rows.fetch_all(&self.pool).await?.into_iter().collect()
    }

    /// What the trials of a sweep measured of one metric at their ends or on other tasks; finite
    /// values alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn evaluations(&self, sweep: &str, metric: &str) -> Result<HashMap<TrialId, f64>> {
        let rows = sqlx::query(
            "select trial_id, value from evaluation
             where sweep = ?1 and metric = ?2 and value is not null",
        );
        let value = |row: SqliteRow| {
            Ok((row.try_get::<&str, _>("trial_id")?.parse()?, row.try_get("value")?))
        };
        let rows = rows.bind(sweep).bind(metric).map(value);
        rows.fetch_all(&self.pool).await?.into_iter().collect()
    }

    /// The metrics that the view `evaluation` has of a sweep, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn metrics(&self, sweep: &str) -> Result<Vec<String>> {
        // From one metric of a segment to its next, rather than over all of its measurements: a long
        // trial has thousands.
        let names = sqlx::query_scalar(
            "with recursive found (segment_id, metric) as (
                 select segment_id, (select min(metric) from measurement
                                     where segment_id = planned.segment_id)
                 from (select distinct segment_id from trial_segment where sweep = ?1) as planned
                 union all
                 select segment_id, (select min(metric) from measurement
                                     where segment_id = found.segment_id
                                       and metric > found.metric)
                 from found where metric is not null
             )
             select metric from (select distinct metric from found where metric is not null) as known
             where exists (select 1 from evaluation where sweep = ?1 and metric = known.metric)
             order by metric",
        );
        Ok(names.bind(sweep).fetch_all(&self.pool).await?)
    }

    /// The course of one metric in those of these trials of a sweep that have it, in the plan's order.
    ///
    /// # Errors
    /// The database's.
    pub async fn learning_curves(
        &self,
        sweep: &str,
        metric: &str,
        trials: &[TrialId],
    ) -> Result<Vec<LearningCurve>> {
        let rows = sqlx::query(
            "select trial_id, step, learning_curve.value
             from learning_curve join sweep_trial using (sweep, trial_id)
             where sweep = ?1 and metric = ?2 and learning_curve.value is not null
               and trial_id in (select value from json_each(?3))
             order by sweep_trial.position, step",
        );
        let rows = rows.bind(sweep).bind(metric).bind(json(&trials));
        let rows = rows.map(|row: SqliteRow| read_point(&row));
        let mut curves: Vec<LearningCurve> = Vec::new();
        for row in rows.fetch_all(&self.pool).await? {
            let (trial_id, point) = row?;
            match curves.last_mut() {
                Some(curve) if curve.trial_id == trial_id => curve.points.push(point),
                Some(_) | None => curves.push(LearningCurve { trial_id, points: vec![point] }),
            }
        }
        Ok(curves)
    }

    /// What a sweep has used so far.
    ///
    /// # Errors
    /// The database's.
    pub async fn spent(&self, sweep: &str) -> Result<Spent> {
        // What the view says, without looking at other sweeps.
        let row = sqlx::query(
            "select count(*) as attempts,
                    total(attempt.train_flops) filter (where kind <> 'transfer') as train_flops,
                    total(device_s) as device_s,
                    total(attempt.train_flops) filter (where kind = 'transfer') as evaluation_flops,
                    total(charged_s + coalesce(heard_at - stretch_at, 0)) as charged_s
             from attempt join segment using (segment_id)
             where exists (select 1 from trial_segment
                           where sweep = ?1 and segment_id = attempt.segment_id)",
        );
        let row = row.bind(sweep).fetch_one(&self.pool).await?;
        Ok(Spent {
            attempts: unsigned("attempts", row.try_get("attempts")?)?,
            train_flops: row.try_get("train_flops")?,
            device_s: row.try_get("device_s")?,
            evaluation_flops: row.try_get("evaluation_flops")?,
            charged_s: row.try_get("charged_s")?,
        })
    }
}

pub(crate) fn read(row: &SqliteRow) -> Result<TrialResult> {
    let count = |what| unsigned(what, row.try_get(what)?);
    Ok(TrialResult {
        sweep: row.try_get("sweep")?,
        trial_id: row.try_get::<&str, _>("trial_id")?.parse()?,
        family: row.try_get("family")?,
        shape: row.try_get("shape")?,
        params: count("params")?,
        unique_examples: count("unique_examples")?,
        examples_seen: count("examples_seen")?,
        steps: optional_unsigned("steps", row.try_get("steps")?)?,
        train_flops: row.try_get("train_flops")?,
        learning_rate: row.try_get("learning_rate")?,
        seed: optional_unsigned("seed", row.try_get("seed")?)?,
        state: TrialState::read(row.try_get("state")?)?,
        val_loss: row.try_get("val_loss")?,
        val_error: row.try_get("val_error")?,
        device_s: row.try_get("device_s")?,
        variant: row.try_get("variant")?,
    })
}

/// A trial, and the step and the value of one of its measurements.
fn read_point(row: &SqliteRow) -> Result<(TrialId, (u64, f64))> {
    let trial_id = row.try_get::<&str, _>("trial_id")?.parse()?;
    Ok((trial_id, (unsigned("step", row.try_get("step")?)?, row.try_get("value")?)))
}

impl TrialState {
    /// Whether there is a result: a finished trial, or one that diverged.
    pub const fn has_ended(self) -> bool {
        match self {
            Self::Finished | Self::Diverged => true,
            Self::Pending | Self::Running | Self::Failed => false,
        }
    }

    /// The word that the view has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn read(word: &str) -> Result<Self> {
        [Self::Pending, Self::Running, Self::Finished, Self::Diverged, Self::Failed]
            .into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| StoreError::Unexpected { what: "state", value: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use spec::{Spent as Used, TrainerEvent};

    use super::*;
    use crate::Report;
    use crate::testing::{
        TestStore, empty_store, evaluated, planned_store, progress, with_evaluation,
    };

    async fn states(test: &TestStore) -> Vec<TrialState> {
        let results = test.store.trial_results("small").await.unwrap();
        results.iter().map(|row| row.state).collect()
    }

    #[tokio::test]
    async fn a_trial_is_what_its_leaf_is() {
        use TrialState::{Finished, Pending, Running};
        let (test, plan) = planned_store().await;
        assert_eq!(states(&test).await, [Pending, Pending]);
        test.begin(plan.id(0)).await;
        assert_eq!(states(&test).await, [Pending, Pending]);
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        test.begin(plan.id(1)).await;
        assert_eq!(states(&test).await, [Running, Pending]);
        test.finish(&plan.segments[1], 0.8, 2.0).await;
        assert_eq!(states(&test).await, [Finished, Pending]);
    }

    #[tokio::test]
    async fn a_finished_trial_has_its_leafs_metrics_and_its_whole_chains_time() {
        let (test, plan) = planned_store().await;
        for (segment, (loss, seconds)) in
            plan.segments.iter().zip([(1.0, 5.0), (0.8, 2.0), (0.9, 7.0), (0.6, 3.0)])
        {
            test.finish(segment, loss, seconds).await;
        }
        let results = test.store.trial_results("small").await.unwrap();
        let found = |row: &TrialResult| (row.val_loss, row.val_error, row.device_s);
        assert_eq!(found(&results[0]), (Some(0.8), Some(0.2), Some(7.0)));
        assert_eq!(found(&results[1]), (Some(0.6), Some(0.15), Some(15.0)));
        let spec = &plan.trials[1].spec;
        assert_eq!(results[1].trial_id, spec.id());
        assert_eq!(results[1].train_flops, spec.train_flops());
        assert_eq!((results[1].examples_seen, results[1].shape.as_str()), (200 * 8, "8x1"));
        let spent = test.store.spent("small").await.unwrap();
        let planned: f64 = plan.segments.iter().map(spec::SegmentSpec::train_flops).sum();
        let expected = Spent {
            attempts: 4,
            train_flops: planned,
            device_s: 17.0,
            evaluation_flops: 0.0,
            charged_s: 17.0,
        };
        assert_eq!(spent, expected);
    }

    #[tokio::test]
    async fn a_diverged_or_failed_ancestor_decides() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let attempt = test.begin(id).await;
        let spent = Used { steps: 30, device_s: 1.5, data_s: 0.0, peak_bytes: None };
        let diverged = TrainerEvent::Diverged { step: 30, spent };
        assert!(test.store.record(id, attempt, &diverged, 3.0).await.unwrap());
        assert_eq!(states(&test).await, [TrialState::Diverged; 2]);
        let results = test.store.trial_results("small").await.unwrap();
        assert_eq!((results[0].val_loss, results[0].device_s), (None, Some(1.5)));

        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        let attempt = test.begin(plan.id(2)).await;
        assert!(test.store.fail_segment(plan.id(2), attempt, "lost device", 3.0).await.unwrap());
        assert_eq!(states(&test).await, [TrialState::Pending, TrialState::Failed]);
    }

    /// The interrupted part is kept and continued; the lost part was done twice.
    #[tokio::test]
    async fn interrupted_time_counts_for_the_trial_and_lost_flops_for_the_sweep() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let lost = test.begin(id).await;
        let events = [TrainerEvent::Started { step: 0 }, progress(10, 2.0)];
        let reports = events.map(|event| Report { segment_id: id, attempt: lost, event });
        test.store.record_batch(&reports, 2.0).await.unwrap();
        assert!(test.store.lose_attempt(id, lost, "killed", 2.0).await.unwrap());
        let part = test.begin(id).await;
        let spent = Used { steps: 60, device_s: 3.0, data_s: 0.0, peak_bytes: None };
        let interrupted = TrainerEvent::Interrupted { step: 60, spent };
        assert!(test.store.record(id, part, &interrupted, 3.0).await.unwrap());
        let rest = test.begin(id).await;
        let spent = Used { steps: 20, device_s: 1.0, data_s: 0.0, peak_bytes: None };
        let finished = TrainerEvent::Finished { step: 80, spent };
        assert!(test.store.record(id, rest, &finished, 3.0).await.unwrap());
        test.finish(&plan.segments[1], 0.8, 2.0).await;
        let results = test.store.trial_results("small").await.unwrap();
        assert_eq!(results[0].device_s, Some(6.0));
        let spent = test.store.spent("small").await.unwrap();
        let step_flops = plan.segments[0].recipe.step_flops();
        assert_eq!(spent.train_flops, (10.0 + 60.0 + 20.0 + 20.0) * step_flops);
    }

    #[tokio::test]
    async fn a_learning_curve_runs_through_the_whole_chain() {
        let (test, plan) = planned_store().await;
        for (segment, loss) in plan.segments.iter().zip([1.0, 0.8, 0.9, 0.6]) {
            test.finish(segment, loss, 1.0).await;
        }
        let curves = test.store.all_curves("small", "val_loss").await;
        let points: Vec<_> = curves.into_iter().map(|curve| curve.points).collect();
        assert_eq!(points, [vec![(80, 1.0), (100, 0.8)], vec![(80, 1.0), (160, 0.9), (200, 0.6)]]);
        assert_eq!(test.store.all_curves("small", "nothing").await, []);
        let short = [plan.trials[0].spec.id()];
        let curves = test.store.learning_curves("small", "val_loss", &short).await.unwrap();
        assert_eq!((curves.len(), curves[0].trial_id), (1, short[0]));
    }

    async fn evaluated_store() -> (TestStore, crate::testing::Plan) {
        let (test, plan) = (empty_store().await, with_evaluation(0));
        test.save_trials("small", &plan, ..).await;
        for segment in &plan.segments[..4] {
            test.finish(segment, 0.8, 2.0).await;
        }
        (test, plan)
    }

    #[tokio::test]
    async fn an_evaluation_measures_its_trial_and_is_no_part_of_it() {
        let (test, plan) = evaluated_store().await;
        let before = test.store.trial_results("small").await.unwrap();
        let id = plan.id(4);
        let attempt = test.begin(id).await;
        let metrics = [("few_shot_5_error".to_owned(), 0.4)].into();
        let events = [
            TrainerEvent::Started { step: 100 },
            progress(101, 7.0),
            TrainerEvent::Evaluated { step: 101, metrics },
            // Nothing is trained on features, so there is no step.
            crate::testing::finished(101, 0, 9.0),
        ];
        for event in events {
            assert!(test.store.record(id, attempt, &event, 3.0).await.unwrap());
        }
        assert_eq!(test.store.trial_results("small").await.unwrap(), before);
        assert_eq!(before[0].variant.as_deref(), Some("plain"));
        let found = test.store.evaluations("small", "few_shot_5_error").await.unwrap();
        assert_eq!(found, HashMap::from([(plan.trials[0].spec.id(), 0.4)]));
        let metrics = test.store.metrics("small").await.unwrap();
        assert_eq!(metrics, ["few_shot_5_error", "val_error", "val_loss"]);
        assert_eq!(test.store.evaluations("small", "val_loss").await.unwrap().len(), 2);
        assert_eq!(test.store.all_curves("small", "train_loss").await, []);
        let spent = test.store.spent("small").await.unwrap();
        let training: f64 = plan.segments[..4].iter().map(spec::SegmentSpec::train_flops).sum();
        assert_eq!((spent.attempts, spent.train_flops, spent.device_s), (5, training, 17.0));
        assert_eq!(spent.evaluation_flops, plan.segments[4].train_flops());
    }

    #[tokio::test]
    async fn an_evaluation_that_fails_does_not_fail_its_trial() {
        let (test, plan) = evaluated_store().await;
        let attempt = test.begin(plan.id(4)).await;
        assert!(test.store.fail_segment(plan.id(4), attempt, "no such data", 3.0).await.unwrap());
        assert_eq!(states(&test).await, [TrialState::Finished; 2]);
        // Not even while the trial is trained again because its checkpoint is gone.
        test.store.reopen(&[plan.id(1)]).await.unwrap();
        assert_eq!(states(&test).await[0], TrialState::Pending);
        assert_eq!(test.store.evaluation_counts("small").await.unwrap().failed, 1);
    }

    #[tokio::test]
    async fn values_come_back_bit_for_bit() {
        let (test, plan) = planned_store().await;
        let id = plan.id(0);
        let attempt = test.begin(id).await;
        let values = [0.1 + 0.2, f64::MIN_POSITIVE, 1e300 / 3.0, 5e-324];
        for (step, value) in (1..).zip(values) {
            assert!(test.store.record(id, attempt, &evaluated(step, value), 3.0).await.unwrap());
        }
        let curve = test.store.all_curves("small", "val_loss").await.remove(0);
        assert!(
            curve
                .points
                .iter()
                .zip(values)
                .all(|(point, value)| point.1.to_bits() == value.to_bits())
        );
        assert_eq!(curve.points.len(), values.len());
    }
}
