//! What was planned, what happened and what it cost, in one SQLite file. The only crate with SQL.
//!
//! One process writes (see [`WriterLock`]); any number may read meanwhile, with sqlite3 too. Every
//! function is one transaction: when it has returned, what it was given survives the death of the
//! process. Nothing here decides what to do next, and nothing reads the clock: time is an argument.
//!
//! Tables, views and their units are described in docs/store.md.

mod activity;
mod attempt;
mod calibration;
mod checkpoint;
mod convert;
mod count;
mod course;
mod dictionary;
mod error;
mod fit;
mod history;
mod import;
mod lock;
mod measurement;
mod merge;
mod open;
mod provenance;
mod query;
mod recipe;
mod record;
mod result;
mod segment;
mod statement;
mod sweep;
mod timeline;
mod trial;
mod used;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod testing;

pub use activity::{AttemptCounts, Busy};
pub use attempt::{NewAttempt, RunningAttempt};
pub use calibration::{Calibration, MeasuredCost};
pub use count::{EvaluationCounts, SegmentSeconds, ShapeCounts, TrialCounts};
pub use course::Course;
pub use dictionary::{Described, Relation};
pub use error::StoreError;
pub use fit::{FitRecord, StoredFit};
pub use history::PastAttempt;
pub use import::{ForeignState, ForeignTrial};
pub use lock::{LockError, WriterLock};
pub use merge::{MergeError, Merged, Rename, Renamed, Rival};
pub use open::{OpenError, Store};
pub use provenance::Provenance;
pub use query::{QueryError, QueryResult, Value, query, query_with};
pub use record::Report;
pub use result::{LearningCurve, Spent, TrialResult, TrialState};
pub use segment::{Checkpoint, PlannedSegment, SegmentState, SegmentStatus};
pub use statement::parameters;
pub use sweep::{StoredSweep, SweepRecord};
pub use timeline::{Moment, Span, Timeline};
pub use trial::PlannedTrial;

/// A time: seconds since 1970-01-01T00:00:00 UTC, with fractions. In sqlite3,
/// `datetime(started_at, 'unixepoch')` makes it readable.
pub type UnixSeconds = f64;
