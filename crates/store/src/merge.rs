//! Joins stores: what two machines trained becomes one store, by content.
//!
//! Trials and segments are their hashes, so they are the same wherever they are. What is in one store alone is
//! taken. Where both executed a segment, each without the other, one execution stands by a rule that does not
//! depend on which store is merged into which, and what the other measured stays in `other_measurement`. Two
//! sweeps of one name that are not the same, nor one a part of the other, are both kept: the later has the name.
//! The source is only read; the target changes in one transaction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use spec::{Id, SegmentId};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, Sqlite, SqliteConnection, Transaction};

use crate::convert::unsigned;
use crate::error::{Result, StoreError};
use crate::open::OpenError;
use crate::sweep::add_up_flops;
use crate::{Store, SweepRecord, UnixSeconds};

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// Rows that the target did not have, by table.
    pub added: BTreeMap<&'static str, u64>,
    /// Segments that both stores executed, each without the other.
    pub rivals: Vec<Rival>,
    /// Sweeps that have another name now: of which store, the old name and the new one.
    pub renamed: Vec<Renamed>,
}

/// A segment that was executed twice, apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    pub segment_id: SegmentId,
    /// Whether the source's execution stands.
    pub source_stands: bool,
    /// Measurements that both made.
    pub n_compared: u64,
    /// Those of them that differ.
    pub n_differing: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    pub from: String,
    pub to: String,
    /// Whether it is the source's, and not the target's.
    pub is_source: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "`{path}` has {n} attempts that have not ended: go on with its sweeps first, or merge both into a new store"
    )]
    Running { path: PathBuf, n: usize },
    #[error("failed to make or delete the copy `{path}` of a store that is to be merged")]
    Copy { path: PathBuf, source: std::io::Error },
    #[error(
        "the sweep `{name}` needs another name, since the other store has a different one so called: {reason}"
    )]
    Rename { name: String, reason: String },
}

/// A sweep under another name, which its file has too; or why it cannot be.
pub type Rename<'a> = &'a dyn Fn(&SweepRecord, &str) -> std::result::Result<SweepRecord, String>;

impl Store {
    /// Takes in all that the store `source` has, which may be of an older version and in use. `path` is
    /// this store's, of which the caller holds the writer's lock.
    ///
    /// # Errors
    /// A source that is no store; attempts of this store that have not ended. Then nothing has changed.
    pub async fn merge(
        &self,
        path: &Path,
        source: &Path,
        rename: Rename<'_>,
        now: UnixSeconds,
    ) -> std::result::Result<Merged, MergeError> {
        let n = self.running_attempts().await?.len();
        if n > 0 {
            return Err(MergeError::Running { path: path.to_owned(), n });
        }
        let copy = path.with_added_extension("merging");
        delete(&copy)?;
        let merged = match prepared(source, &copy, now).await {
            Ok(()) => self.take_in(&copy, rename).await,
            Err(error) => Err(error),
        };
        delete(&copy)?;
        merged
    }

    async fn take_in(
        &self,
        copy: &Path,
        rename: Rename<'_>,
    ) -> std::result::Result<Merged, MergeError> {
        let name = copy.display().to_string();
        let attached = sqlx::query("attach ?1 as other").bind(name).execute(&self.pool).await;
        attached.map_err(StoreError::from)?;
        let mut tx = self.write().await?;
        let merged = join(&mut tx, rename).await;
        match merged {
            Ok(_) => tx.commit().await.map_err(StoreError::from)?,
            Err(_) => tx.rollback().await.map_err(StoreError::from)?,
        }
        sqlx::query("detach other").execute(&self.pool).await.map_err(StoreError::from)?;
        merged
    }
}

/// A copy of a store as it is at one moment, of this version, in which nothing is running any more: what goes
/// on there goes on without this copy.
async fn prepared(
    source: &Path,
    copy: &Path,
    now: UnixSeconds,
) -> std::result::Result<(), MergeError> {
    Store::copy(source, copy).await?;
    let store = Store::open(copy).await?;
    let running = store.running_attempts().await?;
    store.lose_attempts(&running, "was running when its store was merged", now).await?;
    store.close().await;
    Ok(())
}

/// With what SQLite keeps beside it, which is there if a merge was killed.
fn delete(copy: &Path) -> std::result::Result<(), MergeError> {
    for suffix in ["", "-journal", "-shm", "-wal"] {
        let mut path = copy.as_os_str().to_owned();
        path.push(suffix);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(MergeError::Copy { path: path.into(), source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

async fn join(
    tx: &mut Transaction<'_, Sqlite>,
    rename: Rename<'_>,
) -> std::result::Result<Merged, MergeError> {
    execute(tx, "pragma defer_foreign_keys = on").await?;
    let before = counts(tx).await?;
    for schema in ["main", "other"] {
        name_recipes_by_content(tx, schema).await?;
    }
    let renamed = part_sweeps(tx, rename).await?;
    execute(tx, include_str!("merge/segments.sql")).await?;
    let rivals = rivals(tx).await?;
    execute(tx, include_str!("merge/sweeps.sql")).await?;
    let held: Vec<String> = sqlx::query_scalar("select sweep from held")
        .fetch_all(&mut **tx)
        .await
        .map_err(StoreError::from)?;
    for sweep in held {
        add_up_flops(tx, &sweep).await?;
    }
    drop_temporaries(tx).await?;
    let after = counts(tx).await?;
    let added = after.into_iter().map(|(table, n)| (table, n.saturating_sub(before[table])));
    Ok(Merged { added: added.collect(), rivals, renamed })
}

async fn execute(conn: &mut SqliteConnection, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}

async fn counts(conn: &mut SqliteConnection) -> Result<BTreeMap<&'static str, u64>> {
    let mut counts = BTreeMap::new();
    for table in ["sweep", "trial", "segment", "attempt", "measurement", "fit", "provenance"] {
        let sql = AssertSqlSafe(format!("select count(*) from main.{table}"));
        let n: i64 = sqlx::query_scalar(sql).fetch_one(&mut *conn).await?;
        counts.insert(table, unsigned(table, n)?);
    }
    Ok(counts)
}

/// The temporary tables and views that the statements made, so that another store can follow.
async fn drop_temporaries(conn: &mut SqliteConnection) -> Result<()> {
    let made = "select type, name from sqlite_temp_schema where type in ('view', 'table') order by type desc";
    let made: Vec<(String, String)> = sqlx::query_as(made).fetch_all(&mut *conn).await?;
    for (kind, name) in made {
        sqlx::query(AssertSqlSafe(format!("drop {kind} temp.{name}"))).execute(&mut *conn).await?;
    }
    Ok(())
}

/// A store that came from version 2 has recipes that are named after a segment.
async fn name_recipes_by_content(conn: &mut SqliteConnection, schema: &'static str) -> Result<()> {
    let recipes = AssertSqlSafe(format!("select recipe_id, json from {schema}.recipe"));
    let recipes: Vec<(String, String)> = sqlx::query_as(recipes).fetch_all(&mut *conn).await?;
    let named = recipes.into_iter().map(|(id, json)| (id, Id::of_canonical(&json).to_string()));
    let misnamed: Vec<_> = named.filter(|(id, content)| id != content).collect();
    if misnamed.is_empty() {
        return Ok(());
    }
    let names = "create temp table renaming as
                 select value ->> 0 as old, value ->> 1 as new from json_each(?1)";
    sqlx::query(names).bind(crate::segment::json(&misnamed)).execute(&mut *conn).await?;
    let using = format!(
        "create index temp.renaming_old on renaming (old);
         insert or ignore into {schema}.recipe
         select new, json from renaming join {schema}.recipe on recipe_id = old;
         update {schema}.trial set recipe_id = (select new from renaming where old = recipe_id)
         where recipe_id in (select old from renaming);
         update {schema}.segment set recipe_id = (select new from renaming where old = recipe_id)
         where recipe_id in (select old from renaming);
         delete from {schema}.recipe where recipe_id in (select old from renaming);
         drop table renaming;"
    );
    sqlx::raw_sql(AssertSqlSafe(using)).execute(conn).await?;
    Ok(())
}

/// Gives one of two sweeps of a name another one, where each has trials that the other lacks. The name that
/// it gets is of its content, so that it gets the same in every merge.
async fn part_sweeps(
    conn: &mut SqliteConnection,
    rename: Rename<'_>,
) -> std::result::Result<Vec<Renamed>, MergeError> {
    let differing: Vec<(String, String, String, bool)> = sqlx::query_as(
        "with mine_alone as (select sweep, trial_id from main.sweep_trial
                             except select sweep, trial_id from other.sweep_trial),
              theirs_alone as (select sweep, trial_id from other.sweep_trial
                               except select sweep, trial_id from main.sweep_trial)
         select mine.name, iif(later, mine.source, theirs.source),
                iif(later, mine.spec, theirs.spec), later
         from (select mine.name, (theirs.updated_at, theirs.source) > (mine.updated_at, mine.source) as later
               from main.sweep as mine join other.sweep as theirs using (name)) as pair
         join main.sweep as mine using (name) join other.sweep as theirs using (name)
         where mine.name in (select sweep from mine_alone)
           and mine.name in (select sweep from theirs_alone)",
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(StoreError::from)?;
    let mut renamed = Vec::new();
    for (from, source, spec, theirs_is_later) in differing {
        let schema = if theirs_is_later { "main" } else { "other" };
        let to = name_by_content(conn, schema, &from, &source).await?;
        let record = SweepRecord { name: from.clone(), source, spec };
        let record = rename(&record, &to)
            .map_err(|reason| MergeError::Rename { name: from.clone(), reason })?;
        rename_sweep(conn, schema, &from, &record).await?;
        renamed.push(Renamed { from, to, is_source: !theirs_is_later });
    }
    Ok(renamed)
}

/// Of the trials too: tables of one name, imported at different times, have the same file.
async fn name_by_content(
    conn: &mut SqliteConnection,
    schema: &str,
    name: &str,
    source: &str,
) -> Result<String> {
    let trials = format!("select trial_id from {schema}.sweep_trial where sweep = ?1 order by 1");
    let trials: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(trials)).bind(name).fetch_all(conn).await?;
    let hash = Id::of(&(source, trials)).to_string();
    // Names of sweeps have at most 64 characters.
    let head: String = name.chars().take(55).collect();
    Ok(format!("{head}-{}", &hash[..8]))
}

/// A sweep that had the new name before has the same trials, so this one takes its place.
async fn rename_sweep(
    conn: &mut SqliteConnection,
    schema: &str,
    from: &str,
    to: &SweepRecord,
) -> Result<()> {
    for (table, column) in [("trial_segment", "sweep"), ("sweep_trial", "sweep"), ("sweep", "name")]
    {
        let sql = format!("delete from {schema}.{table} where {column} = ?1");
        sqlx::query(AssertSqlSafe(sql)).bind(&to.name).execute(&mut *conn).await?;
    }
    let sweep =
        format!("update {schema}.sweep set name = ?2, source = ?3, spec = ?4 where name = ?1");
    sqlx::query(AssertSqlSafe(sweep))
        .bind(from)
        .bind(&to.name)
        .bind(&to.source)
        .bind(&to.spec)
        .execute(&mut *conn)
        .await?;
    for table in ["sweep_trial", "trial_segment", "fit", "provenance"] {
        let sql = format!("update or replace {schema}.{table} set sweep = ?2 where sweep = ?1");
        sqlx::query(AssertSqlSafe(sql)).bind(from).bind(&to.name).execute(&mut *conn).await?;
    }
    Ok(())
}

/// After segments.sql: what stands is in `measurement`, the rest in `other_measurement`.
async fn rivals(conn: &mut SqliteConnection) -> Result<Vec<Rival>> {
    let rows = sqlx::query(
        "select verdict.segment_id, takes_theirs, count(stands.metric) as n_compared,
                count(*) filter (where stands.metric is not null and stands.value is not other.value)
                    as n_differing
         from verdict
         left join main.other_measurement as other on other.segment_id = verdict.segment_id
             and other.attempt = iif(takes_theirs, my_last, their_last)
         left join main.measurement as stands on stands.segment_id = other.segment_id
             and stands.metric = other.metric and stands.step = other.step
         where mine_alone and theirs_alone
         group by verdict.segment_id order by verdict.segment_id",
    );
    let rival = |row: &SqliteRow| {
        Ok(Rival {
            segment_id: row.try_get::<&str, _>("segment_id")?.parse()?,
            source_stands: row.try_get("takes_theirs")?,
            n_compared: unsigned("n_compared", row.try_get("n_compared")?)?,
            n_differing: unsigned("n_differing", row.try_get("n_differing")?)?,
        })
    };
    rows.fetch_all(conn).await?.iter().map(rival).collect()
}

#[cfg(test)]
mod tests {
    use spec::{SegmentSpec, TrainerEvent};

    use super::*;
    use crate::testing::{
        Plan, TestStore, empty_store, evaluated, finished, on_cpu, planned_store, progress, sweep,
        two_trials,
    };
    use crate::{ForeignState, ForeignTrial, NewAttempt, TrialState, Value};

    fn named(record: &SweepRecord, name: &str) -> std::result::Result<SweepRecord, String> {
        if record.is_import() {
            return Ok(SweepRecord { name: name.to_owned(), ..record.clone() });
        }
        let source = format!("{} # now {name}", record.source);
        Ok(SweepRecord { name: name.to_owned(), source, ..record.clone() })
    }

    async fn merge(target: &TestStore, source: &TestStore) -> Merged {
        target.store.merge(&target.path, &source.path, &named, 9.0).await.unwrap()
    }

    /// Everything that stores have in common when they hold the same: all but numbers of rows.
    async fn content(test: &TestStore) -> Vec<Vec<Vec<Value>>> {
        let mut tables = Vec::new();
        for columns in [
            "* from recipe",
            "* from trial",
            "* from segment",
            "* from attempt",
            "* from measurement",
            "* from other_measurement",
            "* from sweep",
            "* from sweep_trial",
            "* from trial_segment",
            "sweep, law, inputs_hash, created_at, json from fit",
            "sweep, at, json from provenance",
            "* from calibration",
        ] {
            let mut table = crate::query(&test.path, &format!("select {columns}")).await.unwrap();
            table.rows.sort_by_key(|row| format!("{row:?}"));
            tables.push(table.rows);
        }
        tables
    }

    /// Trains a segment as a process of its own does.
    async fn train(test: &TestStore, segment: &SegmentSpec, loss: f64, pid: u32, at: f64) {
        let (store, id) = (&test.store, segment.id());
        let on = NewAttempt { pid: Some(pid), ..on_cpu() };
        let fence = store.begin_attempt(id, &on, at).await.unwrap();
        let last = finished(segment.end, segment.steps(), 1.0);
        for event in
            [TrainerEvent::Started { step: segment.start }, evaluated(segment.end, loss), last]
        {
            assert!(store.record(id, fence, &event, at + 1.0).await.unwrap());
        }
    }

    /// Two stores of the same sweep, of which each has trained some segments.
    async fn pair(mine: &[usize], theirs: &[usize]) -> ([TestStore; 2], Plan) {
        let ((a, plan), (b, _)) = (planned_store().await, planned_store().await);
        for (test, segments, pid) in [(&a, mine, 1), (&b, theirs, 2)] {
            for &segment in segments {
                let at = 10.0 * f64::from(pid) + segment as f64;
                train(test, &plan.segments[segment], 1.0 / f64::from(pid), pid, at).await;
            }
        }
        ([a, b], plan)
    }

    /// Merges both into new stores, in either order, and compares; the first of them.
    async fn either_way(stores: &[TestStore; 2]) -> (TestStore, Vec<Merged>) {
        let (one, other) = (empty_store().await, empty_store().await);
        let mut merged = Vec::new();
        for test in stores {
            merged.push(merge(&one, test).await);
        }
        for test in stores.iter().rev() {
            merge(&other, test).await;
        }
        assert_eq!(content(&one).await, content(&other).await);
        (one, merged)
    }

    #[tokio::test]
    async fn what_two_stores_trained_is_trained_in_their_union() {
        let (stores, _) = pair(&[0, 1], &[2, 3]).await;
        let (union, merged) = either_way(&stores).await;
        let results = union.store.trial_results("small").await.unwrap();
        assert!(results.iter().all(|row| row.state == TrialState::Finished));
        let losses: Vec<_> = results.iter().map(|row| row.val_loss.unwrap()).collect();
        assert_eq!(losses, [1.0, 0.5]);
        assert_eq!((merged[1].added["attempt"], merged[1].added["trial"]), (2, 0));
        assert!(merged.iter().all(|merged| merged.rivals.is_empty()));
        let broken = "select count(*) from pragma_foreign_key_check";
        assert_eq!(union.value(broken).await, Value::Integer(0));
    }

    #[tokio::test]
    async fn merging_again_changes_nothing() {
        let (stores, _) = pair(&[0, 1, 2], &[0, 2, 3]).await;
        let (union, _) = either_way(&stores).await;
        let before = content(&union).await;
        for test in &stores {
            let merged = merge(&union, test).await;
            assert!(merged.added.values().all(|&n| n == 0), "{merged:?}");
        }
        assert_eq!(content(&union).await, before);
    }

    #[tokio::test]
    async fn of_two_executions_the_first_to_end_stands_and_the_other_is_kept_beside_it() {
        let (stores, plan) = pair(&[0], &[0]).await;
        let (union, merged) = either_way(&stores).await;
        let [rival] = merged[1].rivals.as_slice() else { panic!("{merged:?}") };
        assert_eq!((rival.segment_id, rival.source_stands), (plan.id(0), false));
        assert_eq!((rival.n_compared, rival.n_differing), (2, 2));
        let loss = "select value from measurement where metric = 'val_loss'";
        assert_eq!(union.value(loss).await, Value::Real(1.0));
        let other = "select value || ' of ' || pid from other_measurement
                     join attempt using (segment_id, attempt) where metric = 'val_loss'";
        assert_eq!(union.value(other).await, Value::Text("0.5 of 2".into()));
        let attempts = "select group_concat(attempt || ':' || pid) from attempt";
        assert_eq!(union.value(attempts).await, Value::Text("1:1,2:2".into()));
    }

    #[tokio::test]
    async fn executions_that_agree_are_told_as_such() {
        let ([a, _], plan) = pair(&[0], &[]).await;
        let (b, _) = planned_store().await;
        train(&b, &plan.segments[0], 1.0, 7, 5.0).await;
        let [rival] = merge(&a, &b).await.rivals.try_into().unwrap();
        assert_eq!((rival.n_differing, rival.source_stands), (0, true));
    }

    #[tokio::test]
    async fn a_copy_that_went_on_is_the_newer_one() {
        let ([a, b], plan) = pair(&[0], &[]).await;
        merge(&b, &a).await;
        train(&b, &plan.segments[1], 0.25, 3, 50.0).await;
        let (union, merged) = either_way(&[a, b]).await;
        assert!(merged[1].rivals.is_empty());
        assert_eq!(union.store.trial_results("small").await.unwrap()[0].val_loss, Some(0.25));
    }

    /// A table of one row, always of the same file.
    async fn import(test: &TestStore, name: &str, loss: f64, now: f64) {
        let trial = ForeignTrial {
            family: "gpt".into(),
            shape: "small".into(),
            params: 10,
            unique_examples: 1000,
            examples_seen: 500,
            steps: None,
            train_flops: 3e4,
            learning_rate: None,
            seed: None,
            variant: None,
            state: ForeignState::Finished,
            device_s: None,
            metrics: [("val_loss".to_owned(), loss)].into(),
            repeat: 0,
        };
        let source = "# Imported from a.csv".to_owned();
        let spec = r#"{"imported":{"file":"a.csv"}}"#.to_owned();
        let record = SweepRecord { name: name.to_owned(), source, spec };
        test.store.import(&record, &[trial], now).await.unwrap();
    }

    #[tokio::test]
    async fn different_sweeps_of_one_name_are_both_kept_and_the_later_has_it() {
        let (a, b) = (empty_store().await, empty_store().await);
        for (test, seed, now) in [(&a, 0, 1.0), (&b, 1, 2.0)] {
            let plan = two_trials(seed);
            let mut record = sweep("small");
            record.source = format!("seeds = [{seed}]");
            test.store.save_sweep(&record, &plan.trials(), &plan.segments(), now).await.unwrap();
            test.store.save_provenance("small", "{}", now).await.unwrap();
        }
        let stores = [a, b];
        let (union, merged) = either_way(&stores).await;
        let [renamed] = merged[1].renamed.as_slice() else { panic!("{merged:?}") };
        assert!(!renamed.is_source && renamed.to.starts_with("small-"), "{renamed:?}");
        let sweeps = union.store.sweeps().await.unwrap();
        let names: Vec<_> = sweeps.iter().map(|sweep| sweep.record.name.as_str()).collect();
        assert_eq!(names, [renamed.to.as_str(), "small"]);
        assert!(sweeps[0].record.source.ends_with(&format!("now {}", renamed.to)));
        assert_eq!(union.store.trial_results(&renamed.to).await.unwrap().len(), 2);
        assert_eq!(union.store.provenance(&renamed.to).await.unwrap().len(), 1);
        // The same again finds the sweep under its new name.
        merge(&union, &stores[0]).await;
        assert_eq!(union.store.sweeps().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn three_tables_imported_under_one_name_are_all_kept_in_any_order() {
        let name = "n".repeat(64);
        let mut stores = Vec::new();
        for (loss, now) in [(2.5, 1.0), (2.25, 2.0), (2.0, 3.0)] {
            let test = empty_store().await;
            import(&test, &name, loss, now).await;
            stores.push(test);
        }
        let (forth, back) = (empty_store().await, empty_store().await);
        for (one, other) in stores.iter().zip(stores.iter().rev()) {
            merge(&forth, one).await;
            merge(&back, other).await;
        }
        assert_eq!(content(&forth).await, content(&back).await);
        let sweeps = forth.store.sweeps().await.unwrap();
        assert_eq!(sweeps.len(), 3);
        assert!(sweeps.iter().all(|sweep| sweep.record.name.len() <= 64));
    }

    #[tokio::test]
    async fn a_sweep_that_gets_the_name_it_had_in_an_earlier_merge_takes_its_own_place() {
        let (a, b) = (empty_store().await, empty_store().await);
        import(&a, "theirs", 2.5, 1.0).await;
        import(&b, "theirs", 2.25, 2.0).await;
        merge(&a, &b).await;
        import(&a, "theirs", 2.5, 3.0).await;
        import(&b, "theirs", 2.125, 4.0).await;
        import(&b, "theirs", 2.25, 5.0).await;
        merge(&a, &b).await;
        let sweeps = a.store.sweeps().await.unwrap();
        assert_eq!(sweeps.len(), 2, "{sweeps:?}");
        let rows = a.store.trial_results("theirs").await.unwrap();
        assert_eq!(rows[0].val_loss, Some(2.25));
    }

    #[tokio::test]
    async fn what_a_killed_merge_left_is_cleared_away() {
        let ([a, b], _) = pair(&[], &[0]).await;
        let left = ["", "-journal", "-shm", "-wal"]
            .map(|suffix| a.path.with_file_name(format!("store.db.merging{suffix}")));
        for path in &left {
            std::fs::write(path, "half of something").unwrap();
        }
        assert_eq!(merge(&a, &b).await.added["attempt"], 1);
        assert!(left.iter().all(|path| !path.exists()));
    }

    #[tokio::test]
    async fn the_larger_of_two_sweeps_of_one_name_stands() {
        let ((a, plan), b) = (planned_store().await, empty_store().await);
        b.save_trials("small", &plan, 1..).await;
        let (union, merged) = either_way(&[a, b]).await;
        assert!(merged[1].renamed.is_empty());
        assert_eq!(union.store.trial_results("small").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_is_running_in_a_source_is_lost_to_the_copy_and_goes_on_where_it_is() {
        let ([a, b], plan) = pair(&[], &[]).await;
        let attempt = b.begin(plan.id(0)).await;
        assert!(b.store.record(plan.id(0), attempt, &progress(10, 1.0), 3.0).await.unwrap());
        merge(&a, &b).await;
        let outcome = "select outcome || ', ' || reason from attempt";
        let lost = "lost, was running when its store was merged";
        assert_eq!(a.value(outcome).await, Value::Text(lost.into()));
        assert!(b.store.record(plan.id(0), attempt, &progress(20, 1.0), 4.0).await.unwrap());
    }

    #[tokio::test]
    async fn a_target_in_which_something_is_running_is_refused_unchanged() {
        let ([a, b], plan) = pair(&[], &[0]).await;
        a.begin(plan.id(0)).await;
        let before = content(&a).await;
        let refused = a.store.merge(&a.path, &b.path, &named, 9.0).await.unwrap_err();
        assert!(matches!(refused, MergeError::Running { n: 1, .. }), "{refused}");
        assert_eq!(content(&a).await, before);
    }

    #[tokio::test]
    async fn what_is_no_store_is_refused_and_leaves_nothing_behind() {
        let (a, _) = planned_store().await;
        let folder = a.path.parent().unwrap();
        let [text, none] = ["text.db", "none.db"].map(|name| folder.join(name));
        std::fs::write(&text, "certainly not a database\n".repeat(100)).unwrap();
        for path in [&text, &none] {
            let refused = a.store.merge(&a.path, path, &named, 9.0).await.unwrap_err();
            assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
        }
        assert!(!a.path.with_added_extension("merging").exists());
    }

    /// As the step to version 3 named them.
    #[tokio::test]
    async fn recipes_of_an_older_store_are_those_of_a_new_one() {
        let ([a, b], _) = pair(&[0], &[]).await;
        let names = "insert into recipe select 'older', json from recipe;
                     update trial set recipe_id = 'older'; update segment set recipe_id = 'older';
                     delete from recipe where recipe_id <> 'older';";
        sqlx::raw_sql(names).execute(&b.store.pool).await.unwrap();
        let (union, _) = either_way(&[a, b]).await;
        assert_eq!(union.value("select count(*) from recipe").await, Value::Integer(1));
    }
}
