//! The numbers behind a figure, as a table that any tool reads.

use crate::canvas::plain;
use crate::curve::CurvePoint;
use crate::mark::Point;

/// A row for everything that the figure marks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// What [`Datum::x`] and [`Datum::y`] are, with units.
    pub x: String,
    pub y: String,
    /// What the third column is; empty without one.
    pub z: String,
    pub rows: Vec<Datum>,
}

/// One place in a figure. Empty text and NaN stand for what it has not.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// Which of the figure's parts it belongs to: `measured`, `frontier`, `fit`.
    pub part: String,
    /// What has a colour of its own: a size, a budget, a kind.
    pub group: String,
    /// What has dashes of its own.
    pub variant: String,
    pub x: f64,
    pub y: f64,
    /// What its colour or a panel below says of it.
    pub z: f64,
    pub low: f64,
    pub high: f64,
    /// Measurements that `y` is the mean of.
    pub n: Option<usize>,
}

/// Heading and cell of a column.
type Column<'a> = (&'a str, fn(&Datum) -> String);

impl Datum {
    pub(crate) fn new(part: impl Into<String>, x: f64, y: f64) -> Self {
        let (group, variant) = (String::new(), String::new());
        let (z, low, high) = (f64::NAN, f64::NAN, f64::NAN);
        Self { part: part.into(), group, variant, x, y, z, low, high, n: None }
    }

    /// A mean over seeds, with their spread where there are several.
    pub(crate) fn mean(part: &str, point: &Point) -> Self {
        let (low, high) = if point.n > 1 { (point.low, point.high) } else { (f64::NAN, f64::NAN) };
        let n = Some(point.n);
        Self { n, ..Self::new(part, point.x, point.y).between(low, high) }
    }

    pub(crate) fn on_curve(part: &str, at: &CurvePoint) -> Self {
        Self::new(part, at.x, at.y).between(at.low, at.high)
    }

    pub(crate) fn pairs(part: &str, points: &[(f64, f64)]) -> impl Iterator<Item = Self> {
        points.iter().map(move |&(x, y)| Self::new(part, x, y))
    }

    pub(crate) fn of(self, group: &str) -> Self {
        Self { group: plain(group), ..self }
    }

    pub(crate) fn variant(self, variant: &str) -> Self {
        Self { variant: plain(variant), ..self }
    }

    pub(crate) fn z(self, z: f64) -> Self {
        Self { z, ..self }
    }

    pub(crate) fn between(self, low: f64, high: f64) -> Self {
        Self { low, high, ..self }
    }
}

impl Data {
    pub(crate) fn new(x: &str, y: &str, rows: impl IntoIterator<Item = Datum>) -> Self {
        let (x, y, z) = (plain(x), plain(y), String::new());
        Self { x, y, z, rows: rows.into_iter().collect() }
    }

    pub(crate) fn with_z(self, z: &str) -> Self {
        Self { z: plain(z), ..self }
    }

    /// With a header; columns that no row fills are left out, and numbers are in full.
    pub fn csv(&self) -> String {
        let all: [Column; 9] = [
            ("part", |at| at.part.clone()),
            ("group", |at| at.group.clone()),
            ("variant", |at| at.variant.clone()),
            (&self.x, |at| number(at.x)),
            (&self.y, |at| number(at.y)),
            (&self.z, |at| number(at.z)),
            ("low", |at| number(at.low)),
            ("high", |at| number(at.high)),
            ("n", |at| at.n.map_or_else(String::new, |n| n.to_string())),
        ];
        let is_filled = |(_, cell): &Column| self.rows.iter().any(|at| !cell(at).is_empty());
        let columns: Vec<Column> = all.into_iter().filter(is_filled).collect();
        let header = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let row = |at| columns.iter().map(|(_, cell)| cell(at)).collect();
        written(std::iter::once(header).chain(self.rows.iter().map(row)))
    }
}

fn written(records: impl Iterator<Item = Vec<String>>) -> String {
    const IN_MEMORY: &str = "records of one length are written into memory";
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records.filter(|record| !record.is_empty()) {
        writer.write_record(record).expect(IN_MEMORY);
    }
    String::from_utf8(writer.into_inner().expect(IN_MEMORY)).expect("text stays text")
}

fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_nothing_fills_are_left_out_and_names_are_quoted_where_they_must_be() {
        let rows = [
            Datum::new("measured", 2.56e11, 0.5).of("a, \"b\""),
            Datum { n: Some(2), ..Datum::new("measured", 1e9, f64::NAN) },
        ];
        let data = Data::new("compute (FLOPs), 10^{9}", "error", rows);
        let expected = "part,group,\"compute (FLOPs), 10^9\",error,n\n\
                        measured,\"a, \"\"b\"\"\",256000000000,0.5,\n\
                        measured,,1000000000,,2\n";
        assert_eq!(data.csv(), expected);
        assert_eq!(Data::default().csv(), "");
    }
}
