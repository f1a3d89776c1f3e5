//! Between our types and SQLite's: its integers are signed.

use crate::error::{Result, StoreError};

pub(crate) fn signed(what: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what, value })
}

pub(crate) fn unsigned<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| StoreError::Unexpected { what, value: value.to_string() })
}
