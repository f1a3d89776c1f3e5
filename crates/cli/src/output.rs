//! Standard output: rows as an aligned table, JSON or CSV.

use std::io::Write;

use report::Column;
use serde_json::{Map, Value};

use crate::exit::bad_input;
use crate::input::Curve;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people
    Table,
    /// JSON, for programs
    Json,
    /// Comma-separated values with a header
    Csv,
}

/// One value as JSON, on lines of its own.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// An object by curve: by itself where nothing was grouped, otherwise in an array, with its group.
pub fn print_objects(curves: &[Curve], mut objects: Vec<Value>) -> anyhow::Result<()> {
    if let ([curve], [object]) = (curves, objects.as_slice())
        && curve.group.is_empty()
    {
        return print_json(object);
    }
    for (curve, object) in curves.iter().zip(&mut objects) {
        object["group"] = curve
            .group
            .iter()
            .map(|(column, cell)| (column.clone(), Value::from(cell.clone())))
            .collect();
    }
    print_json(&objects)
}

/// Rows of named columns.
pub struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    /// Whether these are the properties of one thing: JSON prints an object, not an array.
    is_one: bool,
}

impl Rows {
    pub fn new(columns: Vec<String>, rows: Vec<Vec<Value>>) -> Self {
        Self { columns, rows, is_one: false }
    }

    /// The properties of one thing; `object` must be a JSON object.
    pub fn one(object: Value) -> Self {
        let (columns, row) = match object {
            Value::Object(map) => map.into_iter().unzip(),
            other => (vec!["value".to_owned()], vec![other]),
        };
        Self { columns, rows: vec![row], is_one: true }
    }

    pub fn print(&self, format: Format) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        match format {
            Format::Table => write!(stdout, "{}", self.table())?,
            Format::Json if self.repeated().is_some() => {
                let name = self.repeated().unwrap_or_default();
                return Err(bad_input(anyhow::anyhow!(
                    "two columns are called `{name}`; rename one with `as`"
                )));
            }
            Format::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&self.json())?)?,
            Format::Csv => self.write_csv(&mut stdout)?,
        }
        stdout.flush()?;
        Ok(())
    }

    /// A column's name that another column has too: an object can hold only one of them.
    fn repeated(&self) -> Option<&str> {
        let repeats = |(at, name): &(usize, &String)| self.columns[..*at].contains(name);
        self.columns.iter().enumerate().find(repeats).map(|(_, name)| name.as_str())
    }

    pub fn json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            Value::Object(
                self.columns.iter().cloned().zip(row.iter().cloned()).collect::<Map<_, _>>(),
            )
        };
        match (self.is_one, self.rows.first()) {
            (true, Some(row)) => object(row),
            _ => Value::Array(self.rows.iter().map(object).collect()),
        }
    }

    fn write_csv(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(exact))?;
        }
        writer.flush()?;
        Ok(())
    }

    fn table(&self) -> String {
        if self.is_one {
            let rows = self
                .columns
                .iter()
                .zip(&self.rows[0])
                .map(|(key, value)| vec![key.clone(), shown(value)]);
            return report::table(
                &[Column::left("property"), Column::right("value")],
                &rows.collect::<Vec<_>>(),
            );
        }
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let is_number =
            |at: usize| self.rows.iter().all(|row| row[at].is_number() || row[at].is_null());
        let column = |(at, name): (usize, &String)| match is_number(at) {
            true => Column::right(name),
            false => Column::left(name),
        };
        let columns: Vec<_> = self.columns.iter().enumerate().map(column).collect();
        report::table(&columns, &rows)
    }
}

/// A value in full, for programs; missing is empty.
fn exact(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value for people: six digits are enough for the eye.
fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() => match number.abs() {
            0.0 => "0".to_owned(),
            1e-3..1e6 => {
                format!("{number:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => format!("{number:.3e}"),
        },
        _ => exact(value),
    }
}
