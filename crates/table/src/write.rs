//! From columns to a parquet file, through polars.

use std::io::Write;

use polars::prelude::*;

use crate::{TableError, Values};

/// Writes named columns of one length as a parquet file, each of its own type also where every cell is
/// empty.
///
/// # Errors
/// Two columns of one name, columns of different lengths, or a failure of `out`.
pub fn write_parquet(
    mut out: impl Write,
    columns: Vec<(String, Values)>,
) -> Result<(), TableError> {
    let height = columns.first().map_or(0, |(_, values)| values.len());
    let columns = columns.into_iter().map(|(name, values)| values.named(name)).collect();
    let mut frame = DataFrame::new(height, columns).map_err(|error| refusal(&error))?;
    // In memory first: polars makes text of what a writer fails with.
    let mut file = Vec::new();
    ParquetWriter::new(&mut file).finish(&mut frame).map_err(|error| refusal(&error))?;
    out.write_all(&file).map_err(TableError::Write)
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Integers(cells) => cells.len(),
            Self::Numbers(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
        }
    }

    fn named(self, name: String) -> Column {
        let name = name.into();
        match self {
            Self::Integers(cells) => Column::new(name, cells),
            Self::Numbers(cells) => Column::new(name, cells),
            Self::Texts(cells) => Column::new(name, cells),
        }
    }
}

fn refusal(error: &PolarsError) -> TableError {
    TableError::NotATable { reason: first_line(error) }
}

pub(crate) fn first_line(error: &PolarsError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
