//! A sweep's results as tables in files: what its trials are and measured, with columns of fixed types.

use std::path::Path;

use anyhow::Context;
use export::File;
use serde_json::{Map, Value as Json};
use store::{QueryResult, Value};
use table::Values;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    Parquet,
    Csv,
    Json,
}

/// Name and columns of each table, in the order of the plan.
const TABLES: [(&str, &str, &str); 3] = [
    ("trials", "trial_result.* from trial_result", ""),
    ("evaluations", "trial_id, metric, value from evaluation", ", metric"),
    ("curves", "trial_id, metric, step, value from learning_curve", ", metric, step"),
];

/// The view `trial_result` and, by trial, `evaluation` and `learning_curve`.
///
/// # Errors
/// The store's.
pub async fn of_sweep(db: &Path, sweep: &str, format: TableFormat) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for (name, columns, order) in TABLES {
        let quoted = sweep.replace('\'', "''");
        let sql = format!(
            "select {columns} join sweep_trial using (sweep, trial_id)
             where sweep = '{quoted}' order by position{order}"
        );
        let table = store::query(db, &sql).await.with_context(|| format!("the table `{name}`"))?;
        let (extension, bytes) = match format {
            TableFormat::Parquet => ("parquet", parquet(table)?),
            TableFormat::Csv => ("csv", csv(&table)?),
            TableFormat::Json => ("json", json(&table)?),
        };
        files.push(File::new(format!("{name}.{extension}"), bytes));
    }
    Ok(files)
}

fn parquet(table: QueryResult) -> anyhow::Result<Vec<u8>> {
    let mut columns: Vec<Vec<Value>> = table.columns.iter().map(|_| Vec::new()).collect();
    for row in table.rows {
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    let typed = table.columns.into_iter().zip(columns).map(|(name, cells)| {
        let cells = values(&name, cells);
        (name, cells)
    });
    let mut bytes = Vec::new();
    table::write_parquet(&mut bytes, typed.collect()).context("cannot write parquet")?;
    Ok(bytes)
}

/// By the column's name, so that a column has its type also where every cell is empty.
fn values(name: &str, cells: Vec<Value>) -> Values {
    match name {
        "sweep" | "trial_id" | "family" | "shape" | "state" | "variant" | "metric" => {
            Values::Texts(cells.into_iter().map(text).collect())
        }
        "params" | "unique_examples" | "examples_seen" | "steps" | "seed" | "step" => {
            Values::Integers(cells.into_iter().map(integer).collect())
        }
        _ => Values::Numbers(cells.into_iter().map(number).collect()),
    }
}

fn text(cell: Value) -> Option<String> {
    match cell {
        Value::Text(text) => Some(text),
        Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => None,
    }
}

fn integer(cell: Value) -> Option<i64> {
    match cell {
        Value::Integer(number) => Some(number),
        Value::Null | Value::Text(_) | Value::Real(_) | Value::Blob(_) => None,
    }
}

fn number(cell: Value) -> Option<f64> {
    match cell {
        Value::Real(number) => Some(number),
        Value::Integer(number) => Some(number as f64),
        Value::Null | Value::Text(_) | Value::Blob(_) => None,
    }
}

/// None where a cell is empty.
fn shown(cell: &Value) -> Option<Json> {
    match cell {
        Value::Null | Value::Blob(_) => None,
        Value::Integer(number) => Some((*number).into()),
        Value::Real(number) => Some((*number).into()),
        Value::Text(text) => Some(text.as_str().into()),
    }
}

fn csv(table: &QueryResult) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&table.columns)?;
    for row in &table.rows {
        writer.write_record(row.iter().map(|cell| match shown(cell) {
            None => String::new(),
            Some(Json::String(text)) => text,
            Some(number) => number.to_string(),
        }))?;
    }
    Ok(writer.into_inner()?)
}

/// A line per row, so that two exports differ where their rows do.
fn json(table: &QueryResult) -> anyhow::Result<Vec<u8>> {
    let object = |row: &Vec<Value>| {
        let cells = row.iter().map(|cell| shown(cell).unwrap_or(Json::Null));
        Json::Object(table.columns.iter().cloned().zip(cells).collect::<Map<_, _>>()).to_string()
    };
    let rows: Vec<_> = table.rows.iter().map(object).collect();
    Ok(format!("[\n{}\n]\n", rows.join(",\n")).into_bytes())
}
