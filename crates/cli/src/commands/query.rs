//! `isoflop query`: ask the store, in SQL.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use crate::exit::{ALL_DONE, bad_input};
use crate::output::{Format, Rows};

/// Ask the store in SQL; it is opened read-only
///
/// The view trial_result has a row per trial; docs/store.md lists tables, views and units.
#[derive(clap::Args)]
pub struct QueryArgs {
    /// One SQL statement
    sql: String,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,

    /// Output format; json is an array of objects
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn query(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    let result = store::query(&args.db, &args.sql).await.map_err(bad_input)?;
    let rows = result.rows.into_iter().map(|row| row.into_iter().map(json).collect()).collect();
    Rows::new(result.columns, rows).print(args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

fn json(value: store::Value) -> Value {
    match value {
        store::Value::Null => Value::Null,
        store::Value::Integer(number) => number.into(),
        store::Value::Real(number) => number.into(),
        store::Value::Text(text) => text.into(),
        store::Value::Blob(bytes) => {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
    }
}
