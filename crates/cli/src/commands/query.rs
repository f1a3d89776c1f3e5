//! `isoflop query`: ask the store, in SQL.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Read, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use serde_json::{Value as Json, json};
use store::{QueryResult, Value};
use table::{TableError, Values};

use crate::exit::{ALL_DONE, bad_input};
use crate::output::{Format, Rows};
use crate::ready::{self, Ready};

/// Ask the store in SQL; it is opened read-only
///
/// The view trial_result has a row per trial; docs/store.md lists tables, views and units, docs/query.md
/// has examples.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("question").required(true).args(["sql", "file", "ready", "list"])))]
pub struct QueryArgs {
    /// One SQL statement; :name in it is a parameter
    sql: Option<String>,

    /// Read the statement from this file; - is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Ask one of the questions that come with isoflop; parameters without a value leave nothing out
    #[arg(long, value_name = "NAME")]
    ready: Option<String>,

    /// List the questions that come with isoflop; --format json has their SQL
    #[arg(long)]
    list: bool,

    /// Value of a parameter: a number, null, or text ('7' in quotes is text); may be given again
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,

    /// Output format
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    format: QueryFormat,

    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum QueryFormat {
    /// Aligned columns with units, for people; cut to the width of a terminal
    Table,
    /// An array of objects
    Json,
    /// Comma-separated values with a header
    Csv,
    /// Apache Parquet: columns with types
    Parquet,
}

pub async fn query(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    let to_terminal = args.out.is_none() && stdout().is_terminal();
    if to_terminal && args.format == QueryFormat::Parquet {
        return Err(bad_input(anyhow!("parquet is no text: --out FILE, or redirect it")));
    }
    let result = answer(args).await?;
    // Made when there is something to write.
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(BufWriter::new(created(path, &args.db)?)),
        None => Box::new(stdout().lock()),
    };
    let width = to_terminal.then(terminal_size::terminal_size).flatten();
    write(result, args.format, width.map(|(width, _)| width.0.into()), &mut out)?;
    out.flush()?;
    Ok(ExitCode::from(ALL_DONE))
}

async fn answer(args: &QueryArgs) -> anyhow::Result<QueryResult> {
    let read: fn(&str) -> Value = if args.ready.is_some() { name_of } else { value_of };
    let parameters = args.parameters.iter().map(|text| parameter(text, read));
    let mut parameters = parameters.collect::<anyhow::Result<Vec<_>>>()?;
    let sql = match (&args.sql, &args.file, &args.ready) {
        (Some(sql), _, _) => sql.clone(),
        (_, Some(path), _) => statement(path).map_err(bad_input)?,
        (_, _, Some(name)) => {
            let ready = Ready::find(name).ok_or_else(|| unknown(name))?;
            let is_given = |name: &String| parameters.iter().any(|(given, _)| given == name);
            let absent = ready.parameters().into_iter().filter(|name| !is_given(name));
            let absent: Vec<_> = absent.map(|name| (name, Value::Null)).collect();
            parameters.extend(absent);
            ready.sql.to_owned()
        }
        (None, None, None) => return Ok(list(args.format)),
    };
    store::query_with(&args.db, &sql, &parameters).await.map_err(bad_input)
}

fn statement(path: &Path) -> anyhow::Result<String> {
    let mut sql = String::new();
    match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut sql),
        false => File::open(path).and_then(|mut file| file.read_to_string(&mut sql)),
    }
    .with_context(|| format!("cannot read the statement in `{}`", path.display()))?;
    Ok(sql)
}

fn created(path: &Path, db: &Path) -> anyhow::Result<File> {
    if path.canonicalize().is_ok_and(|path| db.canonicalize().is_ok_and(|db| path == db)) {
        return Err(bad_input(anyhow!("--out {} is the store itself", path.display())));
    }
    let created = File::create(path).with_context(|| format!("cannot write `{}`", path.display()));
    created.map_err(bad_input)
}

fn unknown(name: &str) -> anyhow::Error {
    let known = ready::ALL.map(|ready| ready.name).join(", ");
    bad_input(anyhow!("there is no ready question `{name}`; there are {known}"))
}

/// For people what is asked, for programs how too.
fn list(format: QueryFormat) -> QueryResult {
    let mut columns = vec!["name", "parameters", "question"];
    columns.extend((format != QueryFormat::Table).then_some("sql"));
    let row = |ready: Ready| {
        let parameters = ready.parameters().join(", ");
        let row = [ready.name.into(), parameters, ready.question().into(), ready.sql.into()];
        row.into_iter().take(columns.len()).map(Value::Text).collect()
    };
    let rows = ready::ALL.into_iter().map(row).collect();
    let units = vec![None; columns.len()];
    QueryResult { columns: columns.into_iter().map(str::to_owned).collect(), units, rows }
}

/// `NAME=VALUE`.
fn parameter(text: &str, read: fn(&str) -> Value) -> anyhow::Result<(String, Value)> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(bad_input(anyhow!("--param {text}: write NAME=VALUE")));
    };
    Ok((name.trim_start_matches(':').to_owned(), read(value)))
}

/// Ready questions are about sweeps and trials: `2e8` is how an id begins, and no number.
fn name_of(text: &str) -> Value {
    match value_of(text) {
        Value::Integer(_) | Value::Real(_) => Value::Text(text.to_owned()),
        other => other,
    }
}

/// As SQL would read it, where it is a number, null or in quotes; everything else is text.
fn value_of(text: &str) -> Value {
    let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    let integer = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let real = text.parse::<f64>().ok().filter(|number| is_number && number.is_finite());
    match (quoted, integer, real) {
        (Some(quoted), _, _) => Value::Text(quoted.replace("''", "'")),
        (_, Some(number), _) => Value::Integer(number),
        (_, _, Some(number)) if !has_leading_zero(text) => Value::Real(number),
        _ if text.eq_ignore_ascii_case("null") => Value::Null,
        _ => Value::Text(text.to_owned()),
    }
}

/// `007` is a name.
fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.chars().all(|c| c.is_ascii_digit())
}

fn write(
    result: QueryResult,
    format: QueryFormat,
    width: Option<usize>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let format = match format {
        QueryFormat::Parquet => return write_parquet(result, out),
        QueryFormat::Table => Format::Table,
        QueryFormat::Json => Format::Json,
        QueryFormat::Csv => Format::Csv,
    };
    let rows = result.rows.into_iter().map(|row| row.into_iter().map(json).collect()).collect();
    Rows::new(result.columns, rows).with_units(result.units).write(format, width, out)
}

fn write_parquet(result: QueryResult, out: &mut dyn Write) -> anyhow::Result<()> {
    table::write_parquet(out, columns(result)).map_err(|error| match error {
        TableError::Write(_) => error.into(),
        columns => bad_input(columns),
    })
}

fn json(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => number.into(),
        Value::Real(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Blob(bytes) => hexadecimal(&bytes).into(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn columns(result: QueryResult) -> Vec<(String, Values)> {
    let mut cells: Vec<Vec<Value>> = result.columns.iter().map(|_| Vec::new()).collect();
    for row in result.rows {
        cells.iter_mut().zip(row).for_each(|(cells, value)| cells.push(value));
    }
    result.columns.into_iter().zip(cells.into_iter().map(typed)).collect()
}

/// The narrowest type that holds all of a column; numbers, if there is nothing in it.
fn typed(cells: Vec<Value>) -> Values {
    let is = |of: fn(&Value) -> bool| cells.iter().filter(|cell| **cell != Value::Null).all(of);
    if is(|_| false) {
        Values::Numbers(vec![None; cells.len()])
    } else if is(|cell| matches!(cell, Value::Integer(_))) {
        Values::Integers(cells.iter().map(integer).collect())
    } else if is(|cell| matches!(cell, Value::Integer(_) | Value::Real(_))) {
        Values::Numbers(cells.iter().map(number).collect())
    } else {
        Values::Texts(cells.into_iter().map(text).collect())
    }
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Integer(number) = value { Some(*number) } else { None }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Real(number) => Some(*number),
        Value::Null | Value::Text(_) | Value::Blob(_) => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Real(number) => Some(json!(number).to_string()),
        Value::Text(text) => Some(text),
        Value::Blob(bytes) => Some(hexadecimal(&bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_what_sql_would_read() {
        let text = |text: &str| Value::Text(text.into());
        for (written, expected) in [
            ("7", Value::Integer(7)),
            ("-7", Value::Integer(-7)),
            ("1e18", Value::Real(1e18)),
            (".5", Value::Real(0.5)),
            ("9223372036854775808", Value::Real(9_223_372_036_854_775_808.0)),
            ("NULL", Value::Null),
            ("'7'", text("7")),
            ("'it''s'", text("it's")),
            ("007", text("007")),
            ("inf", text("inf")),
            ("1e999", text("1e999")),
            ("small", text("small")),
            ("", text("")),
            ("a=b", text("a=b")),
        ] {
            assert_eq!(value_of(written), expected, "{written}");
        }
        assert_eq!(parameter("a=b=c", value_of).unwrap(), ("a".to_owned(), text("b=c")));
        assert!(parameter("a", value_of).is_err());
        for (written, expected) in [("2e8", text("2e8")), ("12", text("12")), ("null", Value::Null)]
        {
            assert_eq!(name_of(written), expected, "{written}");
        }
    }

    #[test]
    fn a_column_has_the_narrowest_type_that_holds_it() {
        let [none, one, half] = [Value::Null, Value::Integer(1), Value::Real(0.5)];
        let word = Value::Text("x".into());
        assert_eq!(typed(vec![none.clone()]), Values::Numbers(vec![None]));
        assert_eq!(typed(vec![one.clone(), none.clone()]), Values::Integers(vec![Some(1), None]));
        assert_eq!(typed(vec![one.clone(), half]), Values::Numbers(vec![Some(1.0), Some(0.5)]));
        let texts = vec![Some("1".into()), None, Some("x".into()), Some("00ff".into())];
        let blob = Value::Blob(vec![0, 255]);
        assert_eq!(typed(vec![one, none, word, blob]), Values::Texts(texts));
    }
}
