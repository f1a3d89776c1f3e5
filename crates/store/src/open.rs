//! Opening a store: create it, bring it up to date, or say why not.
//!
//! WAL, so that readers and the writer do not wait for each other. `synchronous = normal`: a commit
//! is in the operating system's hands before it returns, so killing the process loses nothing;
//! power loss may take the last commits, never the file, and a segment that is thereby pending
//! again starts from its checkpoint, which is synced. `full` would sync at each commit, and hold
//! small trials back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Sqlite, Transaction};

use crate::error::Result;

/// Marks the file as ours: the bytes `isof`, as `pragma application_id` and file(1) show them.
const APPLICATION_ID: i64 = 0x6973_6f66;

/// The step at index n brings a store from `user_version` n to n + 1. Steps are added, never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_store.sql"),
    include_str!("../migrations/0002_evaluations.sql"),
    include_str!("../migrations/0003_scheduling.sql"),
    include_str!("../migrations/0004_views.sql"),
    include_str!("../migrations/0005_imports.sql"),
];

/// Connections of one that writes: SQLite has one writer anyway.
const WRITERS: u32 = 1;

/// Of one that reads: long questions need not wait for one another.
const READERS: u32 = 4;

/// An open store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("no store at `{0}`; `isoflop sweep` makes one")]
    Missing(PathBuf),
    #[error("failed to create the folder of the store `{path}`")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("`{0}` is not an isoflop store, or is damaged; move it away or name another file")]
    NotAStore(PathBuf),
    #[error(
        "the store `{path}` is of version {found}, this isoflop knows up to {known}: use a newer isoflop"
    )]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error(
        "the store `{path}` is of version {found}, this isoflop reads {known}: `isoflop sweep` brings it up to date, `isoflop merge` into a new store copies it"
    )]
    Older { path: PathBuf, found: usize, known: usize },
    #[error("failed to open the store `{path}`: {source}")]
    Sqlite { path: PathBuf, source: sqlx::Error },
}

impl OpenError {
    /// SQLite's codes 8 and 14: in a folder that cannot be written to, the index of the log cannot be made,
    /// without which SQLite opens a file only when told that nothing changes it.
    fn is_unwritable(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return false };
        let code = source.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 8 | 14))
    }
}

impl Store {
    /// Opens for writing; creates the file and its folders, and brings an older store up to date.
    /// The caller holds the [`crate::WriterLock`].
    ///
    /// # Errors
    /// A file that is not a store, or one of a newer version; neither is changed.
    pub async fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
        }
        let options = options(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Normal);
        let store = Self::connect(options, path, WRITERS).await?;
        let version = store.version(path).await?.unwrap_or(0);
        store.migrate(version).await.map_err(|source| failure(path, source))?;
        Ok(store)
    }

    /// Opens for reading, while another process may be writing.
    ///
    /// # Errors
    /// A file that is missing, not a store, or of another version.
    pub async fn open_read_only(path: &Path) -> std::result::Result<Self, OpenError> {
        let options = options(path).read_only(true).pragma("query_only", "on");
        let (store, found) = Self::connect_to_read(options, path).await?;
        if found < MIGRATIONS.len() {
            return Err(OpenError::Older { path: path.to_owned(), found, known: MIGRATIONS.len() });
        }
        Ok(store)
    }

    /// Copies a store of any version as it is at this moment, while another process may be writing.
    ///
    /// # Errors
    /// A file that is missing or not a store, or a copy that cannot be written.
    pub(crate) async fn copy(path: &Path, copy: &Path) -> std::result::Result<(), OpenError> {
        let (store, _) = Self::connect_to_read(options(path).read_only(true), path).await?;
        let copied = sqlx::query("vacuum into ?1").bind(copy.display().to_string());
        copied.execute(&store.pool).await.map_err(|source| failure(copy, source))?;
        store.close().await;
        Ok(())
    }

    /// A store that is only read, and its version.
    async fn connect_to_read(
        options: SqliteConnectOptions,
        path: &Path,
    ) -> std::result::Result<(Self, usize), OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        match Self::connect_as(options.clone(), path).await {
            Err(error) if error.is_unwritable() && !has_log(path) => {
                Self::connect_as(options.immutable(true), path).await
            }
            result => result,
        }
    }

    async fn connect_as(
        options: SqliteConnectOptions,
        path: &Path,
    ) -> std::result::Result<(Self, usize), OpenError> {
        let store = Self::connect(options, path, READERS).await?;
        let version = store.version(path).await?;
        version.map(|version| (store, version)).ok_or_else(|| OpenError::NotAStore(path.to_owned()))
    }

    /// Waits for what is under way and closes; the last one out folds the WAL into the file.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// A transaction that holds the write lock from its first statement on, so that what it reads
    /// stays true until it commits.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.pool.begin_with("begin immediate").await?)
    }

    async fn connect(
        options: SqliteConnectOptions,
        path: &Path,
        n_connections: u32,
    ) -> std::result::Result<Self, OpenError> {
        // Kept for good, so that their caches stay warm.
        let pool = SqlitePoolOptions::new()
            .max_connections(n_connections)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        let pool = pool.connect_with(options).await.map_err(|source| failure(path, source))?;
        Ok(Self { pool })
    }

    /// The version of this store; None for a file that nothing was written to yet.
    async fn version(&self, path: &Path) -> std::result::Result<Option<usize>, OpenError> {
        let (application, version, n_tables): (i64, i64, i64) = sqlx::query_as(
            "select application_id, user_version, (select count(*) from sqlite_schema)
             from pragma_application_id, pragma_user_version",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(|source| failure(path, source))?;
        if application == 0 && n_tables == 0 {
            return Ok(None);
        }
        let (path, known) = (path.to_owned(), MIGRATIONS.len());
        match usize::try_from(version) {
            Ok(found) if application == APPLICATION_ID && found > known => {
                Err(OpenError::Newer { path, found, known })
            }
            Ok(found) if application == APPLICATION_ID && found > 0 => Ok(Some(found)),
            Ok(_) | Err(_) => Err(OpenError::NotAStore(path)),
        }
    }

    async fn migrate(&self, version: usize) -> std::result::Result<(), sqlx::Error> {
        sqlx::query("pragma journal_mode = wal").fetch_all(&self.pool).await?;
        if version == MIGRATIONS.len() {
            return Ok(());
        }
        // A step that makes a table anew drops the old one, to which others refer. The pool has one
        // connection, so this holds for the steps, and ends with them.
        self.execute("pragma foreign_keys = off").await?;
        let migrated = self.migrate_from(version).await;
        self.execute("pragma foreign_keys = on").await?;
        migrated
    }

    async fn execute(&self, sql: &'static str) -> std::result::Result<(), sqlx::Error> {
        sqlx::query(sql).execute(&self.pool).await?;
        Ok(())
    }

    async fn migrate_from(&self, version: usize) -> std::result::Result<(), sqlx::Error> {
        for (done, step) in MIGRATIONS.iter().enumerate().skip(version) {
            let mut tx = self.pool.begin_with("begin immediate").await?;
            sqlx::raw_sql(*step).execute(&mut *tx).await?;
            let marks = format!(
                "pragma application_id = {APPLICATION_ID}; pragma user_version = {}",
                done + 1
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Whether there is something in a log beside the file, which then is not the whole store.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// What reading and writing have in common.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(30))
        .pragma("cache_size", "-65536") // 64 MiB
        .pragma("temp_store", "memory") // what statements of many rows keep to undo themselves
        .row_buffer_size(1024)
        .disable_statement_logging()
}

/// SQLite's codes 11 (corrupt) and 26 (not a database) mean the file; the rest speak for themselves.
fn failure(path: &Path, source: sqlx::Error) -> OpenError {
    let code = source.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some("11" | "26") => OpenError::NotAStore(path.to_owned()),
        _ => OpenError::Sqlite { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use spec::{Id, canonical_json};

    use super::*;
    use crate::testing::{empty_store, planned_store};

    #[tokio::test]
    async fn a_store_is_made_with_its_folders_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/store.db");
        Store::open(&path).await.unwrap().close().await;
        Store::open(&path).await.unwrap().close().await;
        let store = Store::open_read_only(&path).await.unwrap();
        assert_eq!(store.version(&path).await.unwrap(), Some(MIGRATIONS.len()));
    }

    #[tokio::test]
    async fn a_missing_store_is_not_made_by_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.db");
        let message = Store::open_read_only(&path).await.unwrap_err().to_string();
        assert!(message.contains("none.db") && message.contains("isoflop sweep"), "{message}");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_not_a_store_is_refused_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.db");
        std::fs::write(&text, "certainly not a database\n".repeat(100)).unwrap();
        let foreign = folder.path().join("foreign.db");
        let options = SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql("create table theirs (x)").execute(&pool).await.unwrap();
        pool.close().await;
        for path in [text, foreign] {
            let before = std::fs::read(&path).unwrap();
            for result in [Store::open(&path).await, Store::open_read_only(&path).await] {
                let error = result.unwrap_err();
                assert!(matches!(&error, OpenError::NotAStore(named) if *named == path), "{error}");
            }
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[tokio::test]
    async fn a_damaged_store_is_named() {
        let (test, _) = planned_store().await;
        test.store.close().await;
        let mut bytes = std::fs::read(&test.path).unwrap();
        bytes[100..4096].fill(0xff); // the schema's page
        std::fs::write(&test.path, bytes).unwrap();
        let error = Store::open(&test.path).await.unwrap_err();
        assert!(matches!(&error, OpenError::NotAStore(path) if *path == test.path), "{error}");
    }

    #[tokio::test]
    async fn a_store_of_a_newer_version_is_left_alone() {
        let test = empty_store().await;
        sqlx::raw_sql("pragma user_version = 99").execute(&test.store.pool).await.unwrap();
        for result in [Store::open(&test.path).await, Store::open_read_only(&test.path).await] {
            let message = result.unwrap_err().to_string();
            assert!(
                message.contains("version 99") && message.contains("newer isoflop"),
                "{message}"
            );
        }
    }

    #[tokio::test]
    async fn an_empty_file_becomes_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.db");
        std::fs::write(&path, "").unwrap();
        let refused = Store::open_read_only(&path).await.unwrap_err();
        assert!(matches!(refused, OpenError::NotAStore(_)), "{refused}");
        Store::open(&path).await.unwrap();
    }

    /// A store as the program of a version left it, with a trained and fitted sweep that it has had since
    /// version 1; from version 2 on also with a variant and an evaluation on another task.
    async fn store_of_version(version: usize, path: &Path) {
        let options =
            SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(false); // as steps are done
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let marks =
            format!("pragma application_id = {APPLICATION_ID}; pragma user_version = {version};");
        let [trained, evaluated] = trained_and_evaluated();
        let since = [trained, evaluated, String::new()];
        for (step, data) in MIGRATIONS.iter().zip(since).take(version) {
            sqlx::raw_sql(*step).execute(&pool).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(data)).execute(&pool).await.unwrap();
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&pool).await.unwrap();
        pool.close().await;
    }

    fn trained_and_evaluated() -> [String; 2] {
        let plan = crate::testing::with_evaluation(0);
        let trial = &plan.trials[0].spec;
        let [trunk, cooldown, .., evaluation] = plan.segments.as_slice() else { unreachable!() };
        let (t, a, b, c) = (trial.id(), trunk.id(), cooldown.id(), evaluation.id());
        let trained = format!(
            "insert into sweep values ('old', 1, 1, 'name = \"old\"', '{{}}');
             insert into trial values
                 ('{t}', 'vit', '8x1', 10, 64, 800, 100, 1e9, 1e-3, 0, '{trial_spec}');
             insert into segment (segment_id, parent_id, kind, start_step, end_step, train_flops,
                                  state, attempt, chain_device_s, spec) values
                 ('{a}', null, 'trunk', 0, 80, 8e8, 'finished', 1, 2.0, '{trunk_spec}'),
                 ('{b}', '{a}', 'cooldown', 80, 100, 2e8, 'finished', 1, 3.0, '{cooldown_spec}');
             insert into sweep_trial values ('old', '{t}', 0, '{b}');
             insert into trial_segment values ('old', '{t}', 0, '{a}'), ('old', '{t}', 1, '{b}');
             insert into attempt (segment_id, attempt, outcome, device, device_name, threads, pid,
                                  started_at, steps, train_flops, device_s) values
                 ('{a}', 1, 'finished', 'cpu', '', 1, 1, 1, 80, 8e8, 2.0),
                 ('{b}', 1, 'finished', 'cpu', '', 1, 1, 1, 20, 2e8, 1.0);
             insert into measurement values
                 ('{b}', 'val_loss', 100, 0.5), ('{b}', 'val_error', 100, 0.25),
                 ('{b}', 'train_loss', 100, 0.4);
             insert into fit values (1, 'old', 'm2', 'x', 'y', 'h', 1, '{{}}');",
            trial_spec = canonical_json(trial),
            trunk_spec = canonical_json(trunk),
            cooldown_spec = canonical_json(cooldown),
        );
        let evaluated = format!(
            "update sweep_trial set variant = 'plain';
             insert into segment (segment_id, parent_id, kind, start_step, end_step, train_flops,
                                  state, attempt, spec) values
                 ('{c}', '{b}', 'transfer', 100, 101, 1e6, 'finished', 1, '{evaluation_spec}');
             insert into trial_segment values ('old', '{t}', 2, '{c}');
             insert into measurement values ('{c}', 'few_shot_5_error', 101, 0.75);",
            evaluation_spec = canonical_json(evaluation),
        );
        [trained, evaluated]
    }

    /// Every id is that of the text that the view `spec` has, and everything refers to something.
    async fn is_whole(store: &Store) {
        let specs = sqlx::query_as::<_, (String, String)>("select id, json from spec");
        let specs = specs.fetch_all(&store.pool).await.unwrap();
        assert!(specs.len() >= 3);
        assert!(specs.iter().all(|(id, json)| Id::of_canonical(json).to_string() == *id));
        let broken = sqlx::query("pragma foreign_key_check").fetch_all(&store.pool).await.unwrap();
        assert!(broken.is_empty());
        let check: String =
            sqlx::query_scalar("pragma integrity_check").fetch_one(&store.pool).await.unwrap();
        assert_eq!(check, "ok");
        // And what refers to a segment is held to it again.
        let orphan = "insert into measurement values ('none', 'val_loss', 1, 0.5)";
        assert!(sqlx::query(orphan).execute(&store.pool).await.is_err());
    }

    #[tokio::test]
    async fn a_store_of_any_older_version_keeps_all_it_has_and_takes_what_is_new() {
        for version in 1..=3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("old.db");
            store_of_version(version, &path).await;
            let refused = Store::open_read_only(&path).await.unwrap_err();
            let is_told = matches!(refused, OpenError::Older { found, .. } if found == version);
            assert!(is_told, "{refused}");
            let store = Store::open(&path).await.unwrap();
            let row = store.trial_results("old").await.unwrap().remove(0);
            let found = (row.val_loss, row.val_error, row.device_s);
            assert_eq!(found, (Some(0.5), Some(0.25), Some(3.0)));
            let variant = (version > 1).then(|| "plain".to_owned());
            assert_eq!((row.state, row.variant), (crate::TrialState::Finished, variant));
            let evaluated = if version > 1 { &["few_shot_5_error"][..] } else { &[] };
            let metrics = [evaluated, &["val_error", "val_loss"]].concat();
            assert_eq!(store.metrics("old").await.unwrap(), metrics);
            let spent = store.spent("old").await.unwrap();
            assert_eq!((spent.attempts, spent.train_flops, spent.device_s), (2, 1e9, 3.0));
            assert_eq!(store.all_curves("old", "train_loss").await.len(), 1);
            assert_eq!(store.fits("old").await.unwrap().len(), 1);
            is_whole(&store).await;
            let plan = crate::testing::with_evaluation(0);
            let sweep = crate::testing::sweep("old");
            store.save_sweep(&sweep, &plan.trials(), &plan.segments(), 2.0).await.unwrap();
            let costs = store.measured_costs("", 1).await.unwrap();
            assert!(costs.contains_key(&plan.segments[0].recipe.workload_id(None)));
        }
    }

    /// Not one that was put together here.
    #[tokio::test]
    async fn a_store_that_the_program_of_version_3_made_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let dump = include_str!("../tests/stores/version_3.sql");
        sqlx::raw_sql(dump).execute(&pool).await.unwrap();
        let before = "select trial_id, val_loss, device_s from trial_result order by trial_id";
        type Row = (String, f64, f64);
        let before: Vec<Row> = sqlx::query_as(before).fetch_all(&pool).await.unwrap();
        pool.close().await;
        let store = Store::open(&path).await.unwrap();
        let mut after: Vec<Row> = store
            .trial_results("tiny")
            .await
            .unwrap()
            .into_iter()
            .map(|row| (row.trial_id.to_string(), row.val_loss.unwrap(), row.device_s.unwrap()))
            .collect();
        after.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!((after.len(), after), (4, before));
        is_whole(&store).await;
    }

    #[tokio::test]
    async fn readers_do_not_wait_for_a_writer() {
        let (test, plan) = planned_store().await;
        let mut writing = test.store.write().await.unwrap();
        sqlx::query("update segment set state = 'running'").execute(&mut *writing).await.unwrap();
        let reader = Store::open_read_only(&test.path).await.unwrap();
        let reading = tokio::time::timeout(Duration::from_secs(5), reader.trial_results("small"));
        let results = reading.await.expect("reading waits").unwrap();
        assert_eq!(results.len(), plan.trials.len());
        assert!(results.iter().all(|row| row.state == crate::TrialState::Pending));
        writing.rollback().await.unwrap();
    }
}
