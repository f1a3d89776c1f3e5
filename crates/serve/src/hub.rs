//! Asks the source once for however many browsers: what was read stays good until the source's version
//! changes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::board::Board;
use crate::source::{Source, SourceError};
use crate::view::Listing;

/// A sweep that changes all the time is read for at most a quarter of the time.
const REST: u32 = 3;

pub struct Hub<S> {
    pub source: S,
    /// The first plan's number: random, so that marks of another server are unknown to this one.
    first_plan: u64,
    listing: Mutex<Option<Kept<Listing>>>,
    boards: Mutex<HashMap<String, Kept<Board>>>,
}

/// What was read, of which version, and what that took.
struct Kept<T> {
    value: Arc<T>,
    version: u64,
    at: Instant,
    took: Duration,
}

impl<T> Kept<T> {
    fn is_good(&self, version: u64) -> bool {
        self.version == version || self.at.elapsed() < REST * self.took
    }
}

impl<S: Source> Hub<S> {
    pub fn new(source: S) -> Self {
        let first_plan = RandomState::new().hash_one(());
        Self { source, first_plan, listing: Mutex::default(), boards: Mutex::default() }
    }

    pub async fn listing(&self) -> Result<Arc<Listing>, SourceError> {
        let mut kept = self.listing.lock().await;
        let version = self.source.version().await?;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_good(version)) {
            return Ok(Arc::clone(&kept.value));
        }
        let began = Instant::now();
        let listing = self.source.listing().await?;
        // The same one again is known by its address.
        let value = match kept.take() {
            Some(old) if *old.value == listing => old.value,
            Some(_) | None => Arc::new(listing),
        };
        *kept = Some(Kept {
            value: Arc::clone(&value),
            version,
            at: Instant::now(),
            took: began.elapsed(),
        });
        Ok(value)
    }

    /// One is read at a time. A sweep that does not exist leaves nothing behind.
    pub async fn board(&self, sweep: &str) -> Result<Arc<Board>, SourceError> {
        let mut boards = self.boards.lock().await;
        // Asked for before reading: what changes meanwhile is read the next time.
        let version = self.source.version().await?;
        if let Some(kept) = boards.get(sweep).filter(|kept| kept.is_good(version)) {
            return Ok(Arc::clone(&kept.value));
        }
        let began = Instant::now();
        let read = self.source.sweep(sweep).await;
        let read = read.inspect_err(|error| {
            if matches!(error, SourceError::Unknown(_)) {
                boards.remove(sweep);
            }
        })?;
        let board = match boards.remove(sweep) {
            Some(old) => Arc::unwrap_or_clone(old.value).updated(read),
            None => Board::new(read, self.first_plan),
        };
        let value = Arc::new(board);
        let kept =
            Kept { value: Arc::clone(&value), version, at: Instant::now(), took: began.elapsed() };
        boards.insert(sweep.to_owned(), kept);
        Ok(value)
    }
}
