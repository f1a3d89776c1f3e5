//! Where views come from.

use std::future::Future;

use spec::{SegmentId, TrialId};

use crate::view::{FitAsked, FitView, Listing, Sweep, TrialView};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// Nothing of this name; says what there is.
    #[error("{0}")]
    Unknown(String),
    /// The question makes no sense of what there is.
    #[error("{0}")]
    Refused(String),
    /// The store is away, or cannot be read now.
    #[error("{0}")]
    Unavailable(String),
}

type Answer<T> = Result<T, SourceError>;

/// Answers what browsers ask. Every answer is of one moment; different ones may be of different moments.
pub trait Source: Send + Sync + 'static {
    /// Changes whenever any other answer may; cheap to ask many times a second.
    fn version(&self) -> impl Future<Output = Answer<u64>> + Send;

    fn listing(&self) -> impl Future<Output = Answer<Listing>> + Send;

    fn sweep(&self, name: &str) -> impl Future<Output = Answer<Sweep>> + Send;

    fn fit(&self, sweep: &str, asked: FitAsked) -> impl Future<Output = Answer<FitView>> + Send;

    fn trial(&self, id: TrialId) -> impl Future<Output = Answer<TrialView>> + Send;

    /// The end of what an attempt at one of the trial's segments logged.
    fn log(
        &self,
        trial: TrialId,
        segment: SegmentId,
        attempt: u32,
    ) -> impl Future<Output = Answer<String>> + Send;
}
