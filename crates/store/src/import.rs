//! Trials of others, out of a table: stored as trials like ours, each of one segment that nobody
//! attempted, so that whatever reads results reads them too.
//!
//! An imported trial is a record: its recipe holds all that the table says of it, what it measured
//! included, and its id is the hash of that. The same row is the same trial in whatever sweep it is, and
//! a row that changed is another one.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::json;
use spec::{Id, canonical_json};
use sqlx::{QueryBuilder, SqliteConnection};

use crate::convert::{optional_signed, signed};
use crate::error::{Result, StoreError};
use crate::measurement::{self, Measurement};
use crate::result::TrialState;
use crate::sweep::{SweepRecord, add_up_flops, upsert};
use crate::{Store, UnixSeconds, trial};

/// A trial of somebody else's. What is not known of it is None.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForeignTrial {
    pub family: String,
    pub shape: String,
    /// N.
    pub params: u64,
    /// D.
    pub unique_examples: u64,
    pub examples_seen: u64,
    pub steps: Option<u64>,
    /// C.
    pub train_flops: f64,
    pub learning_rate: Option<f64>,
    pub seed: Option<u64>,
    pub variant: Option<String>,
    pub state: ForeignState,
    pub device_s: Option<f64>,
    /// After its last step, by metric.
    pub metrics: BTreeMap<String, f64>,
    /// How many of the rows before it are equal to it.
    pub repeat: u64,
}

/// How a trial ended; others than these have no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignState {
    Finished,
    Diverged,
}

impl ForeignState {
    /// By the word that `trial_result` has for it.
    pub fn read(word: &str) -> Option<Self> {
        [Self::Finished, Self::Diverged].into_iter().find(|state| state.word() == word)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Finished => TrialState::Finished.word(),
            Self::Diverged => TrialState::Diverged.word(),
        }
    }
}

/// Rows per insert, as those of plans.
const ROWS: usize = 200;

impl Store {
    /// Makes these the trials of an imported sweep, in this order; how many it did not have before. The
    /// same trials again change nothing. Trials that the sweep had and has no longer stay in the store, as
    /// those of a plan that changed do.
    ///
    /// # Errors
    /// The store has a sweep of this name that was planned here.
    pub async fn import(
        &self,
        sweep: &SweepRecord,
        trials: &[ForeignTrial],
        now: UnixSeconds,
    ) -> Result<usize> {
        let rows = trials.iter().map(Row::of).collect::<Result<Vec<_>>>()?;
        let all: String = rows.iter().map(|row| row.trial_id.as_str()).collect();
        let hash = Id::of_canonical(&all);
        let mut tx = self.write().await?;
        if let Some((spec, plan_hash)) = stored(&mut tx, &sweep.name).await? {
            if !is_import(&spec) {
                return Err(StoreError::Planned(sweep.name.clone()));
            }
            if plan_hash == Some(hash.to_string()) && spec == sweep.spec {
                return Ok(0);
            }
        }
        let before = members(&mut tx, &sweep.name).await?;
        upsert(&mut tx, sweep, hash, now).await?;
        trial::remove_members(&mut tx, &sweep.name).await?;
        for (rows, first) in rows.chunks(ROWS).zip((0_i64..).step_by(ROWS)) {
            insert(&mut tx, &sweep.name, rows, first).await?;
        }
        add_up_flops(&mut tx, &sweep.name).await?;
        tx.commit().await?;
        Ok(rows.iter().filter(|row| !before.contains(&row.trial_id)).count())
    }
}

/// Whether a sweep with this in its column `spec` was imported: then that says from where.
pub(crate) fn is_import(spec: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(spec).is_ok_and(|spec| !spec["imported"].is_null())
}

async fn stored(
    conn: &mut SqliteConnection,
    sweep: &str,
) -> Result<Option<(String, Option<String>)>> {
    let found = sqlx::query_as("select spec, plan_hash from sweep where name = ?1");
    Ok(found.bind(sweep).fetch_optional(conn).await?)
}

async fn members(conn: &mut SqliteConnection, sweep: &str) -> Result<HashSet<String>> {
    let ids = sqlx::query_scalar("select trial_id from sweep_trial where sweep = ?1");
    Ok(ids.bind(sweep).fetch_all(conn).await?.into_iter().collect())
}

/// A trial as its tables hold it.
struct Row<'a> {
    trial: &'a ForeignTrial,
    trial_id: String,
    segment_id: String,
    recipe_id: String,
    recipe: String,
    params: i64,
    unique_examples: i64,
    examples_seen: i64,
    steps: Option<i64>,
    seed: Option<i64>,
    /// Of its segment, which has to have one: 1 where the steps are not known.
    end_step: i64,
}

impl<'a> Row<'a> {
    /// Ids are the hashes of what the view `spec` shows.
    fn of(trial: &'a ForeignTrial) -> Result<Self> {
        let steps = optional_signed("steps", trial.steps)?;
        let end_step = steps.unwrap_or(1);
        let recipe = canonical_json(&json!({ "imported": trial }));
        let spec = json!({ "cooldown": 0, "recipe": { "imported": trial }, "steps": steps });
        let segment = json!({
            "end": end_step, "kind": "whole", "parent": null, "recipe": { "imported": trial },
            "start": 0,
        });
        Ok(Self {
            trial,
            trial_id: Id::of(&spec).to_string(),
            segment_id: Id::of(&segment).to_string(),
            recipe_id: Id::of_canonical(&recipe).to_string(),
            recipe,
            params: signed("params", trial.params)?,
            unique_examples: signed("unique_examples", trial.unique_examples)?,
            examples_seen: signed("examples_seen", trial.examples_seen)?,
            steps,
            seed: optional_signed("seed", trial.seed)?,
            end_step,
        })
    }

    fn measurements(&self) -> impl Iterator<Item = Measurement<'_>> {
        self.trial.metrics.iter().map(|(metric, value)| Measurement {
            segment_id: &self.segment_id,
            metric,
            step: self.end_step,
            value: *value,
        })
    }
}

/// What is there already is the same: ids are hashes of all of it.
async fn insert(
    conn: &mut SqliteConnection,
    sweep: &str,
    rows: &[Row<'_>],
    first: i64,
) -> Result<()> {
    let mut recipes = QueryBuilder::new("insert into recipe (recipe_id, json) ");
    recipes.push_values(rows, |mut row, it| {
        row.push_bind(&it.recipe_id).push_bind(&it.recipe);
    });
    recipes.push(" on conflict (recipe_id) do nothing").build().execute(&mut *conn).await?;
    insert_trials(conn, rows).await?;
    insert_segments(conn, rows).await?;
    let mut members = QueryBuilder::new(
        "insert into sweep_trial (sweep, trial_id, position, leaf_segment_id, variant) ",
    );
    members.push_values(rows.iter().zip(first..), |mut row, (it, position)| {
        row.push_bind(sweep)
            .push_bind(&it.trial_id)
            .push_bind(position)
            .push_bind(&it.segment_id)
            .push_bind(&it.trial.variant);
    });
    members.build().execute(&mut *conn).await?;
    let mut links =
        QueryBuilder::new("insert into trial_segment (sweep, trial_id, position, segment_id) ");
    links.push_values(rows, |mut row, it| {
        row.push_bind(sweep).push_bind(&it.trial_id).push("0").push_bind(&it.segment_id);
    });
    links.build().execute(&mut *conn).await?;
    let measurements: Vec<_> = rows.iter().flat_map(Row::measurements).collect();
    measurement::insert(conn, &measurements).await
}

async fn insert_trials(conn: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<()> {
    let mut insert = QueryBuilder::new(
        "insert into trial (trial_id, family, shape, params, unique_examples, examples_seen, steps,
                            train_flops, learning_rate, seed, recipe_id, cooldown) ",
    );
    insert.push_values(rows, |mut row, it| {
        row.push_bind(&it.trial_id)
            .push_bind(&it.trial.family)
            .push_bind(&it.trial.shape)
            .push_bind(it.params)
            .push_bind(it.unique_examples)
            .push_bind(it.examples_seen)
            .push_bind(it.steps)
            .push_bind(it.trial.train_flops)
            .push_bind(it.trial.learning_rate)
            .push_bind(it.seed)
            .push_bind(&it.recipe_id)
            .push("0");
    });
    insert.push(" on conflict (trial_id) do nothing").build().execute(conn).await?;
    Ok(())
}

/// Without attempts, whose sum would be its time on the device.
async fn insert_segments(conn: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<()> {
    let mut insert = QueryBuilder::new(
        "insert into segment (segment_id, kind, start_step, end_step, train_flops, state,
                              diverged_step, chain_device_s, recipe_id, cooldown) ",
    );
    insert.push_values(rows, |mut row, it| {
        let is_diverged = it.trial.state == ForeignState::Diverged;
        row.push_bind(&it.segment_id)
            .push("'whole'")
            .push("0")
            .push_bind(it.end_step)
            .push_bind(it.trial.train_flops)
            .push_bind(it.trial.state.word())
            .push_bind(is_diverged.then_some(it.end_step))
            .push_bind(it.trial.device_s)
            .push_bind(&it.recipe_id)
            .push("0");
    });
    insert.push(" on conflict (segment_id) do nothing").build().execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::testing::{empty_store, planned_store, sweep};

    fn foreign(params: u64, loss: f64) -> ForeignTrial {
        ForeignTrial {
            family: "gpt".into(),
            shape: format!("{params} \"wide\""),
            params,
            unique_examples: 1000,
            examples_seen: 500,
            steps: None,
            train_flops: 6.0 * params as f64 * 500.0,
            learning_rate: None,
            seed: None,
            variant: None,
            state: ForeignState::Finished,
            device_s: Some(12.5),
            metrics: BTreeMap::from([("val_loss".into(), loss)]),
            repeat: 0,
        }
    }

    fn imported(name: &str) -> SweepRecord {
        SweepRecord { spec: r#"{"imported":{"file":"a.csv"}}"#.into(), ..sweep(name) }
    }

    #[tokio::test]
    async fn imported_trials_are_results_like_ours() {
        let test = empty_store().await;
        let diverged = ForeignTrial {
            state: ForeignState::Diverged,
            metrics: BTreeMap::new(),
            steps: Some(70),
            seed: Some(3),
            variant: Some("b".into()),
            ..foreign(20, 0.0)
        };
        let trials = [foreign(10, 2.5), diverged];
        assert_eq!(test.store.import(&imported("theirs"), &trials, 1.0).await.unwrap(), 2);
        let results = test.store.trial_results("theirs").await.unwrap();
        let [a, b] = results.try_into().unwrap();
        assert_eq!((a.val_loss, a.val_error, a.device_s), (Some(2.5), None, Some(12.5)));
        assert_eq!((a.steps, a.learning_rate, a.seed), (None, None, None));
        assert_eq!((b.state, b.steps, b.seed), (TrialState::Diverged, Some(70), Some(3)));
        assert_eq!(test.store.metrics("theirs").await.unwrap(), ["val_loss"]);
        let specs = crate::query(&test.path, "select id, json from spec").await.unwrap().rows;
        assert_eq!(specs.len(), 4);
        for spec in specs {
            let [Value::Text(id), Value::Text(json)] = spec.as_slice() else { panic!("{spec:?}") };
            assert_eq!(Id::of_canonical(json).to_string(), *id, "{json}");
        }
        let [stored] = test.store.sweeps().await.unwrap().try_into().unwrap();
        assert!(stored.record.is_import() && stored.train_flops == Some(90_000.0));
    }

    #[tokio::test]
    async fn importing_again_changes_nothing_and_a_changed_row_is_another_trial() {
        let test = empty_store().await;
        let mut trials = vec![foreign(10, 2.5), foreign(20, 2.25)];
        test.store.import(&imported("theirs"), &trials, 1.0).await.unwrap();
        assert_eq!(test.store.import(&imported("theirs"), &trials, 2.0).await.unwrap(), 0);
        assert_eq!(test.store.sweeps().await.unwrap()[0].updated_at, 1.0);
        trials[1].metrics.insert("val_loss".into(), 2.125);
        assert_eq!(test.store.import(&imported("theirs"), &trials, 3.0).await.unwrap(), 1);
        assert_eq!(test.store.import(&imported("others"), &trials[..1], 4.0).await.unwrap(), 1);
        let losses = |rows: Vec<crate::TrialResult>| {
            rows.into_iter().filter_map(|row| row.val_loss).collect::<Vec<_>>()
        };
        assert_eq!(losses(test.store.trial_results("theirs").await.unwrap()), [2.5, 2.125]);
        assert_eq!(losses(test.store.trial_results("others").await.unwrap()), [2.5]);
    }

    #[tokio::test]
    async fn planned_and_imported_sweeps_do_not_take_each_others_names() {
        let (test, plan) = planned_store().await;
        let refused = test.store.import(&imported("small"), &[foreign(10, 2.5)], 1.0).await;
        assert!(
            matches!(&refused, Err(StoreError::Planned(name)) if name == "small"),
            "{refused:?}"
        );
        test.store.import(&imported("theirs"), &[foreign(10, 2.5)], 1.0).await.unwrap();
        let saved =
            test.store.save_sweep(&sweep("theirs"), &plan.trials(), &plan.segments(), 2.0).await;
        assert!(matches!(&saved, Err(StoreError::Imported(name)) if name == "theirs"), "{saved:?}");
        assert_eq!(test.store.trial_results("theirs").await.unwrap().len(), 1);
    }
}
