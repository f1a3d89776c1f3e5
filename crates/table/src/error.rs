//! Why a table is not read or not written.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("`{path}`: {source}")]
    Open { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is empty: a table begins with a line of column names")]
    Empty { path: PathBuf },
    #[error("`{path}` begins like a compressed file: unpack it first")]
    Compressed { path: PathBuf },
    #[error("`{path}` cannot be read as {kind}: {reason}")]
    Malformed { path: PathBuf, kind: &'static str, reason: String },
    #[error("`{path}` has two columns `{column}`; rename one")]
    RepeatedColumn { path: PathBuf, column: String },
    #[error("`{path}` has no column `{wanted}`{}; it has {}", nearest(.wanted, .columns), .columns.join(", "))]
    UnknownColumn { path: PathBuf, wanted: String, columns: Vec<String> },
    #[error(
        "`{expression}` cannot be evaluated on `{path}`: {reason} (its columns: {}; names with blanks in double quotes)",
        .columns.join(", ")
    )]
    Expression { path: PathBuf, expression: String, reason: String, columns: Vec<String> },
    #[error("`{path}`, line {line}, column `{column}`: `{text}` is no number{}", unit_hint(.text))]
    NotANumber { path: PathBuf, line: u64, column: String, text: String },
    #[error("`{path}`, line {line}, column `{column}`: {value} is not finite")]
    NotFinite { path: PathBuf, line: u64, column: String, value: f64 },
    #[error(
        "`{path}`, line {line}, column `{column}` is empty; leave such rows out with --missing drop"
    )]
    MissingCell { path: PathBuf, line: u64, column: String },
    #[error("these columns make no table: {reason}")]
    NotATable { reason: String },
    #[error("failed to write the table")]
    Write(#[source] std::io::Error),
}

impl TableError {
    /// Whether it is a number with something behind it.
    pub(crate) fn has_unit(&self) -> bool {
        matches!(self, Self::NotANumber { text, .. } if !unit_hint(text).is_empty())
    }
}

/// A column whose name is the wanted one but for case, blanks and underscores.
fn nearest(wanted: &str, columns: &[String]) -> String {
    let plain = |name: &str| name.to_lowercase().replace([' ', '_', '-'], "");
    let near = columns.iter().find(|column| plain(column) == plain(wanted));
    near.map_or_else(String::new, |column| format!(" (did you mean `{column}`?)"))
}

fn unit_hint(text: &str) -> &'static str {
    let begins_as_one = text.starts_with(|c: char| c.is_ascii_digit());
    if begins_as_one { "; write it without a unit, all rows in the same one" } else { "" }
}
