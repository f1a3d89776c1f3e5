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
use crate::{Store, UnixSeconds};

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

/// A sweep's file under another name: its text, and the same as JSON; or why it cannot be.
pub type Rename<'a> = &'a dyn Fn(&str, &str) -> std::result::Result<(String, String), String>;

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
        prepared(source, &copy, now).await?.close().await;
        let merged = self.take_in(&copy, rename).await;
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
) -> std::result::Result<Store, MergeError> {
    Store::copy(source, copy).await?;
    let store = Store::open(copy).await?;
    let running = store.running_attempts().await?;
    store.lose_attempts(&running, "was running when its store was merged", now).await?;
    Ok(store)
}

fn delete(copy: &Path) -> std::result::Result<(), MergeError> {
    match std::fs::remove_file(copy) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(MergeError::Copy { path: copy.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
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
    let renaming = format!(
        "insert or ignore into {schema}.recipe
         select value ->> 1, json from json_each(?1) join {schema}.recipe on recipe_id = value ->> 0;
         create temp table renaming as
         select value ->> 0 as old, value ->> 1 as new from json_each(?1);"
    );
    let names = crate::segment::json(&misnamed);
    for sql in renaming.split_inclusive(';').filter(|sql| !sql.trim().is_empty()) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).bind(&names).execute(&mut *conn).await?;
    }
    let using = format!(
        "create index temp.renaming_old on renaming (old);
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
    let differing: Vec<(String, String, bool)> = sqlx::query_as(
        "with mine_alone as (select sweep, trial_id from main.sweep_trial
                             except select sweep, trial_id from other.sweep_trial),
              theirs_alone as (select sweep, trial_id from other.sweep_trial
                               except select sweep, trial_id from main.sweep_trial)
         select mine.name, iif(later, mine.source, theirs.source), later
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
    for (from, source, theirs_is_later) in differing {
        let to = format!("{from}-{}", &Id::of_canonical(&source).to_string()[..8]);
        let (text, json) = rename(&source, &to)
            .map_err(|reason| MergeError::Rename { name: from.clone(), reason })?;
        let schema = if theirs_is_later { "main" } else { "other" };
        rename_sweep(conn, schema, &from, &to, &text, &json).await?;
        renamed.push(Renamed { from, to, is_source: !theirs_is_later });
    }
    Ok(renamed)
}

async fn rename_sweep(
    conn: &mut SqliteConnection,
    schema: &str,
    from: &str,
    to: &str,
    text: &str,
    json: &str,
) -> Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "update {schema}.sweep set name = ?2, source = ?3, spec = ?4 where name = ?1"
    )))
    .bind(from)
    .bind(to)
    .bind(text)
    .bind(json)
    .execute(&mut *conn)
    .await?;
    for table in ["sweep_trial", "trial_segment", "fit", "provenance"] {
        let sql = format!("update {schema}.{table} set sweep = ?2 where sweep = ?1");
        sqlx::query(AssertSqlSafe(sql)).bind(from).bind(to).execute(&mut *conn).await?;
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
