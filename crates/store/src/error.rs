//! What can go wrong in a store that is open.

use spec::{IdError, SegmentId, TrialId};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed: full disk, lock held for longer than the busy time-out,
    /// a store opened read-only.
    #[error("the store failed: {0}")]
    Sqlite(#[from] sqlx::Error),
    #[error(
        "{what} = {value} does not fit a signed 64-bit integer, which is the largest that the store holds"
    )]
    TooLarge { what: &'static str, value: u64 },
    #[error("{what} = {value} in the store is not what this version writes there")]
    Unexpected { what: &'static str, value: String },
    #[error("an id in the store is damaged: {0}")]
    Id(#[from] IdError),
    #[error("trial {0} has no segments")]
    EmptyChain(TrialId),
    #[error("segment {0} is not in the store")]
    UnknownSegment(SegmentId),
    #[error("segment {segment_id} is {state}: only a pending or running one can be attempted")]
    NotPending { segment_id: SegmentId, state: String },
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;
