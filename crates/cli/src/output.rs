//! Standard output: rows as an aligned table, JSON or CSV.

use std::io::Write;

use report::Column;
use serde_json::{Map, Value};

use crate::exit::bad_input;
use crate::input::Curve;
use crate::narrow::narrow;
use crate::when::utc;

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
    /// By column; those beyond the last have none.
    units: Vec<Option<String>>,
    /// Whether these are the properties of one thing: JSON prints an object, not an array.
    is_one: bool,
}

impl Rows {
    pub fn new(columns: Vec<String>, rows: Vec<Vec<Value>>) -> Self {
        Self { columns, rows, units: Vec::new(), is_one: false }
    }

    /// The properties of one thing; `object` must be a JSON object.
    pub fn one(object: Value) -> Self {
        let (columns, row) = match object {
            Value::Object(map) => map.into_iter().unzip(),
            other => (vec!["value".to_owned()], vec![other]),
        };
        Self { columns, rows: vec![row], units: Vec::new(), is_one: true }
    }

    /// Units of the columns: a table has them in its headings, and what is of the unit `time` as people
    /// read it.
    pub fn with_units(self, units: Vec<Option<String>>) -> Self {
        Self { units, ..self }
    }

    pub fn print(&self, format: Format) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        self.write(format, None, &mut stdout)?;
        stdout.flush()?;
        Ok(())
    }

    /// A table in lines of at most `width` characters, where there is a width.
    pub fn write(
        &self,
        format: Format,
        width: Option<usize>,
        mut out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        match format {
            Format::Table => write!(out, "{}", self.table(width))?,
            Format::Json if self.repeated().is_some() => {
                let name = self.repeated().unwrap_or_default();
                return Err(bad_input(anyhow::anyhow!(
                    "two columns are called `{name}`; rename one with `as`"
                )));
            }
            Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&self.json())?)?,
            Format::Csv => self.write_csv(&mut out)?,
        }
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

    fn table(&self, width: Option<usize>) -> String {
        let (columns, rows) = if self.is_one { self.properties() } else { self.cells() };
        match width {
            Some(width) => narrow(&columns, &rows, width),
            None => report::table(&columns, &rows),
        }
    }

    fn properties(&self) -> (Vec<Column>, Vec<Vec<String>>) {
        let columns = vec![Column::left("property"), Column::right("value")];
        let rows = self.columns.iter().zip(&self.rows[0]);
        (columns, rows.map(|(key, value)| vec![key.clone(), shown(value)]).collect())
    }

    fn cells(&self) -> (Vec<Column>, Vec<Vec<String>>) {
        let cell = |(at, value): (usize, &Value)| match (self.unit(at), value.as_f64()) {
            (Some("time"), Some(time)) => utc(time),
            _ => shown(value),
        };
        let is_number =
            |at: usize| self.rows.iter().all(|row| row[at].is_number() || row[at].is_null());
        let column = |at: usize| match is_number(at) {
            true => Column::right(self.heading(at)),
            false => Column::left(self.heading(at)),
        };
        let rows = self.rows.iter().map(|row| row.iter().enumerate().map(cell).collect());
        ((0..self.columns.len()).map(column).collect(), rows.collect())
    }

    fn unit(&self, column: usize) -> Option<&str> {
        self.units.get(column)?.as_deref()
    }

    /// With its unit, where the name does not say it.
    fn heading(&self, column: usize) -> String {
        let name = harmless(&self.columns[column]);
        match self.unit(column) {
            Some(unit) if unit != "time" && unit != name => format!("{name} [{unit}]"),
            Some(_) | None => name,
        }
    }
}

/// A number in full; blank where it is not known.
pub fn known(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// A value in full, for programs; missing is empty.
fn exact(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value for people: four decimals, or four digits and an exponent, are enough for the eye.
fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() => match number.abs() {
            0.0 => "0".to_owned(),
            1e-3..1e6 => {
                format!("{number:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => format!("{number:.3e}"),
        },
        _ => harmless(&exact(value)),
    }
}

/// Without characters that would steer the terminal or break the table.
fn harmless(text: &str) -> String {
    let written = |c: char| match c.is_control() {
        true => c.escape_default().collect(),
        false => c.to_string(),
    };
    text.chars().map(written).collect()
}
