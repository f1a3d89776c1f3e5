//! Between our types and SQLite's: its integers are signed.

use crate::error::{Result, StoreError};

pub(crate) fn signed(what: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what, value })
}

pub(crate) fn unsigned<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| StoreError::Unexpected { what, value: value.to_string() })
}

pub(crate) fn optional_signed(what: &'static str, value: Option<u64>) -> Result<Option<i64>> {
    value.map(|value| signed(what, value)).transpose()
}

pub(crate) fn optional_unsigned<T: TryFrom<i64>>(
    what: &'static str,
    value: Option<i64>,
) -> Result<Option<T>> {
    value.map(|value| unsigned(what, value)).transpose()
}
