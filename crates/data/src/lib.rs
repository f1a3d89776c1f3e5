//! Sources of examples: read, verify, decode, subset, augment; batches of u8.

pub mod source;

pub use source::{DataError, Source, Split};
