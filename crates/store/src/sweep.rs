//! Table `sweep`: one row per grid file. Saving a plan starts here.

use spec::Id;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::error::{Result, StoreError};
use crate::segment::PlannedSegment;
use crate::trial::PlannedTrial;
use crate::{Store, UnixSeconds, import, recipe, segment, trial};

/// A sweep to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepRecord {
    pub name: String,
    /// The sweep file's text, overrides written into it.
    pub source: String,
    /// The same as JSON, for programs that do not read TOML.
    pub spec: String,
}

/// A sweep as it stands in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSweep {
    pub record: SweepRecord,
    pub created_at: UnixSeconds,
    /// When it was last saved.
    pub updated_at: UnixSeconds,
    /// FLOPs of training every segment of its plan once, without evaluations on other tasks; None where
    /// an older version saved it last.
    pub train_flops: Option<f64>,
}

impl Store {
    /// Saves a plan: the sweep, its trials in this order, and the segments that they need. What is
    /// known already keeps its state, so saving the same plan again changes nothing but the time. A
    /// plan that differs replaces the sweep's membership; segments of the old one stay. Ids are trusted
    /// to be the hashes of their specs.
    ///
    /// # Errors
    /// A trial without segments, a chain that names a segment that neither `segments` nor the store
    /// holds, or a name under which trials were imported.
    pub async fn save_sweep(
        &self,
        sweep: &SweepRecord,
        trials: &[PlannedTrial<'_>],
        segments: &[PlannedSegment<'_>],
        now: UnixSeconds,
    ) -> Result<()> {
        let hash = trial::hash(trials);
        let mut tx = self.write().await?;
        refuse_import(&mut tx, &sweep.name).await?;
        let is_stored = has_plan(&mut tx, &sweep.name, hash).await?;
        upsert(&mut tx, sweep, hash, now).await?;
        if !is_stored {
            let recipes = recipe::insert_missing(&mut tx, segments, trials).await?;
            segment::insert_missing(&mut tx, segments, &recipes.of_segments).await?;
            trial::replace_members(&mut tx, &sweep.name, trials, &recipes.of_trials).await?;
            add_up_flops(&mut tx, &sweep.name).await?;
        }
        Ok(tx.commit().await?)
    }

    /// All sweeps, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweeps(&self) -> Result<Vec<StoredSweep>> {
        let rows = sqlx::query(
            "select name, created_at, updated_at, source, spec, train_flops from sweep order by created_at, name",
        );
        rows.fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

impl SweepRecord {
    /// Whether its trials were imported; then `spec` says from where, and `source` is a comment.
    pub fn is_import(&self) -> bool {
        import::is_import(&self.spec)
    }
}

async fn refuse_import(conn: &mut SqliteConnection, sweep: &str) -> Result<()> {
    let spec: Option<String> = sqlx::query_scalar("select spec from sweep where name = ?1")
        .bind(sweep)
        .fetch_optional(conn)
        .await?;
    match spec.is_some_and(|spec| import::is_import(&spec)) {
        true => Err(StoreError::Imported(sweep.to_owned())),
        false => Ok(()),
    }
}

/// Whether what is stored of the sweep is this plan already.
async fn has_plan(conn: &mut SqliteConnection, sweep: &str, hash: Id) -> Result<bool> {
    let stored: Option<Option<String>> =
        sqlx::query_scalar("select plan_hash from sweep where name = ?1")
            .bind(sweep)
            .fetch_optional(conn)
            .await?;
    Ok(stored.flatten() == Some(hash.to_string()))
}

pub(crate) async fn upsert(
    conn: &mut SqliteConnection,
    sweep: &SweepRecord,
    plan_hash: Id,
    now: UnixSeconds,
) -> Result<()> {
    sqlx::query(
        "insert into sweep (name, created_at, updated_at, source, spec, plan_hash)
         values (?1, ?2, ?2, ?3, ?4, ?5)
         on conflict (name) do update
         set updated_at = excluded.updated_at, source = excluded.source, spec = excluded.spec,
             plan_hash = excluded.plan_hash",
    )
    .bind(&sweep.name)
    .bind(now)
    .bind(&sweep.source)
    .bind(&sweep.spec)
    .bind(plan_hash.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn add_up_flops(conn: &mut SqliteConnection, sweep: &str) -> Result<()> {
    sqlx::query(
        "update sweep
         set train_flops =
             (select total(train_flops) from segment
              where kind <> 'transfer'
                and segment_id in (select segment_id from trial_segment where sweep = ?1))
         where name = ?1",
    )
    .bind(sweep)
    .execute(conn)
    .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<StoredSweep> {
    let record = SweepRecord {
        name: row.try_get("name")?,
        source: row.try_get("source")?,
        spec: row.try_get("spec")?,
    };
    let (created_at, updated_at) = (row.try_get("created_at")?, row.try_get("updated_at")?);
    let train_flops = row.try_get("train_flops")?;
    Ok(StoredSweep { record, created_at, updated_at, train_flops })
}

#[cfg(test)]
mod tests {
    use spec::{Id, SegmentKind, SegmentSpec};

    use crate::testing::{empty_store, planned_store, sweep, two_trials, with_evaluation};
    use crate::{SegmentState, StoreError, Value};

    #[tokio::test]
    async fn saving_a_plan_again_changes_nothing_but_the_time() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        let before = test.store.segment_states("small").await.unwrap();
        test.store
            .save_sweep(&sweep("small"), &plan.trials(), &plan.segments(), 9.0)
            .await
            .unwrap();
        assert_eq!(test.store.segment_states("small").await.unwrap(), before);
        let [stored] = test.store.sweeps().await.unwrap().try_into().unwrap();
        assert_eq!((stored.created_at, stored.updated_at), (1.0, 9.0));
        let planned = plan.segments.iter().map(SegmentSpec::train_flops).sum();
        assert_eq!(stored.train_flops, Some(planned));
        assert_eq!(test.value("select count(*) from trial").await, Value::Integer(2));
    }

    #[tokio::test]
    async fn every_id_is_the_hash_of_the_spec_that_is_stored() {
        let test = empty_store().await;
        let mut plan = with_evaluation(0);
        let whole =
            SegmentSpec { kind: SegmentKind::Whole, cooldown: 7, ..plan.segments[0].clone() };
        plan.segments.push(whole);
        test.save_trials("small", &plan, ..).await;
        let specs = crate::query(&test.path, "select id, json from spec").await.unwrap().rows;
        assert_eq!(specs.len(), plan.trials.len() + plan.segments.len());
        for spec in specs {
            let [Value::Text(id), Value::Text(json)] = spec.as_slice() else { panic!("{spec:?}") };
            assert_eq!(Id::of_canonical(json).to_string(), *id, "{json}");
        }
        assert_eq!(test.value("select count(*) from recipe").await, Value::Integer(1));
    }

    #[tokio::test]
    async fn a_changed_plan_replaces_the_members_and_keeps_what_was_trained() {
        let (test, plan) = planned_store().await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        test.save_trials("small", &plan, 1..).await;
        let results = test.store.trial_results("small").await.unwrap();
        assert_eq!(results.iter().map(|row| row.steps).collect::<Vec<_>>(), [Some(200)]);
        let states = test.store.segment_states("small").await.unwrap();
        let n_finished = states.iter().filter(|row| row.state == SegmentState::Finished).count();
        assert_eq!((states.len(), n_finished), (3, 1));
    }

    #[tokio::test]
    async fn two_sweeps_share_a_trial_and_its_segments() {
        let (test, plan) = planned_store().await;
        test.save_trials("other", &plan, ..1).await;
        test.finish(&plan.segments[0], 1.0, 5.0).await;
        test.finish(&plan.segments[1], 0.8, 2.0).await;
        let [small, other] = ["small", "other"];
        let small = test.store.trial_results(small).await.unwrap().remove(0);
        let other = test.store.trial_results(other).await.unwrap().remove(0);
        assert_eq!((small.trial_id, small.val_loss), (other.trial_id, other.val_loss));
        assert_eq!(other.val_loss, Some(0.8));
    }

    #[tokio::test]
    async fn a_plan_that_does_not_hold_together_is_refused_whole() {
        let test = empty_store().await;
        let mut plan = two_trials(0);
        let missing =
            test.store.save_sweep(&sweep("a"), &plan.trials(), &plan.segments()[..3], 1.0).await;
        assert!(matches!(missing, Err(StoreError::Sqlite(_))), "{missing:?}");
        plan.trials[1].chain.clear();
        let empty = test.store.save_sweep(&sweep("a"), &plan.trials(), &plan.segments(), 1.0).await;
        assert!(matches!(empty, Err(StoreError::EmptyChain(_))), "{empty:?}");
        assert_eq!(test.store.sweeps().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_seed_beyond_sqlites_integers_is_refused_by_name() {
        let test = empty_store().await;
        let plan = two_trials(u64::MAX);
        let result =
            test.store.save_sweep(&sweep("a"), &plan.trials(), &plan.segments(), 1.0).await;
        let message = result.unwrap_err().to_string();
        assert!(message.contains("seed = 18446744073709551615"), "{message}");
    }
}
