//! What can go wrong in a store that is open.

use spec::{IdError, SegmentId, TrialId};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room to write; what was to be stored is not, and everything before is.
    #[error(
        "the disk is full: make room where the store is, then start again; nothing is lost ({0})"
    )]
    DiskFull(sqlx::Error),
    #[error(
        "the store's files cannot be read or written ({0}): its disk is over a quota, gone or broken"
    )]
    FileSystem(sqlx::Error),
    /// The database refused or failed otherwise: lock held for longer than the busy time-out, a store
    /// opened read-only.
    #[error("the store failed: {0}")]
    Sqlite(sqlx::Error),
    #[error(
        "{what} = {value} does not fit a signed 64-bit integer, which is the largest that the store holds"
    )]
    TooLarge { what: &'static str, value: u64 },
    #[error("{what} = {value} in the store is not what this version writes there")]
    Unexpected { what: &'static str, value: String },
    #[error("an id in the store is damaged: {0}")]
    Id(#[from] IdError),
    #[error("sweep `{0}` was planned here: import under another name")]
    Planned(String),
    #[error(
        "sweep `{0}` was imported: nothing of it can be trained here, and a sweep file needs another name"
    )]
    Imported(String),
    #[error("trial {0} has no segments")]
    EmptyChain(TrialId),
    #[error("segment {0} is not in the store")]
    UnknownSegment(SegmentId),
    #[error("segment {segment_id} is {state}: only a pending or running one can be attempted")]
    NotPending { segment_id: SegmentId, state: String },
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// By SQLite's codes (sqlite.org/rescode.html): 13 is `SQLITE_FULL`, and 4874 the same of the index of
/// its log; the last byte of what the file system said is 10.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
        match code {
            Some(13 | 4874) => Self::DiskFull(error),
            Some(code) if code & 0xff == 10 => Self::FileSystem(error),
            Some(_) | None => Self::Sqlite(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::Report;
    use crate::testing::{TestStore, planned_store, progress};

    async fn allow_pages(test: &TestStore, pages: &str) {
        let sql = format!("pragma max_page_count = {pages}");
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&test.store.pool).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_said_plainly_and_what_was_stored_stays() {
        let (test, plan) = planned_store().await;
        let segment_id = plan.id(0);
        let attempt = test.begin(segment_id).await;
        assert!(test.store.record(segment_id, attempt, &progress(1, 1.0), 3.0).await.unwrap());
        allow_pages(&test, "1").await; // that is: as many as there are
        let report = |step| Report { segment_id, attempt, event: progress(step, 1.0) };
        let many: Vec<_> = (2..2000).map(report).collect();
        let error = test.store.record_batch(&many, 4.0).await.unwrap_err();
        assert!(matches!(error, StoreError::DiskFull(_)), "{error:?}");
        assert!(error.to_string().starts_with("the disk is full"), "{error}");
        let count = "select count(*) from measurement where metric = 'train_loss'";
        assert_eq!(test.value(count).await, crate::Value::Integer(1));
        // There is room again.
        allow_pages(&test, "1000000").await;
        assert!(test.store.record_batch(&many, 5.0).await.unwrap().into_iter().all(|said| said));
        assert_eq!(test.value(count).await, crate::Value::Integer(1999));
    }

    #[tokio::test]
    async fn another_mistake_is_no_full_disk() {
        let (test, _) = planned_store().await;
        let store = crate::Store::open_read_only(&test.path).await.unwrap();
        let error = store.reopen(&[SegmentId(spec::Id::of(&1))]).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Sqlite(_)) && error.to_string().contains("readonly"),
            "{error}"
        );
    }
}
