//! Columns of numbers and keys out of CSV and parquet files, and columns into parquet files.
//!
//! Only what is asked for is read, and only of the rows that pass a filter, so that a table may be
//! far larger than what is wanted of it. Nothing is dropped in silence: rows that the filter left
//! out and rows with gaps are counted, and a cell that is no number is an error with its line. Lines
//! on which nothing is written are no rows.

mod error;
mod expression;
mod read;
mod write;

use std::collections::HashMap;
use std::path::PathBuf;

pub use error::TableError;
pub use write::write_parquet;

/// The cells of a column that is to be written; None is an empty one.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Integers(Vec<Option<i64>>),
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

/// What is wanted of a table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Columns of numbers, or SQL expressions of columns: `"Training FLOP" / (6 * "Model Size")`.
    pub numbers: &'a [&'a str],
    /// Columns of keys: groups, clusters, splits.
    pub texts: &'a [&'a str],
    /// An SQL expression: rows for which it does not hold are left out.
    pub filter: Option<&'a str>,
    pub missing: Missing,
}

/// What becomes of a row in which a wanted cell is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// It is an error that names the line.
    #[default]
    Refuse,
    /// It is left out and counted.
    Drop,
}

/// The wanted columns of the rows that passed.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    /// By row: its line in the file.
    lines: Vec<u64>,
    numbers: HashMap<String, Vec<f64>>,
    texts: HashMap<String, Vec<String>>,
    n_filtered: usize,
    n_missing: usize,
}

impl Table {
    /// A column of [`Request::numbers`], all finite; empty for one that was not requested.
    pub fn numbers(&self, column: &str) -> &[f64] {
        self.numbers.get(column).map_or(&[], Vec::as_slice)
    }

    /// A column of [`Request::texts`]; empty for one that was not requested.
    pub fn texts(&self, column: &str) -> &[String] {
        self.texts.get(column).map_or(&[], Vec::as_slice)
    }

    pub fn n_rows(&self) -> usize {
        self.lines.len()
    }

    /// The line of a row, where the header of a CSV file is line 1 and the first row of a parquet
    /// file is row 1. Blank lines count; line breaks within quotes do not.
    pub fn line(&self, row: usize) -> u64 {
        self.lines[row]
    }

    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Rows for which the filter did not hold.
    pub fn n_filtered(&self) -> usize {
        self.n_filtered
    }

    /// Rows left out by [`Missing::Drop`].
    pub fn n_missing(&self) -> usize {
        self.n_missing
    }
}
