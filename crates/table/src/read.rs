//! From a file to columns, through polars.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use polars::prelude::*;

use crate::expression::{Cells, Expression, ExpressionError};
use crate::write::first_line;
use crate::{Missing, Request, Table, TableError};

/// How gzip, zstandard and zlib files begin. (A CSV file whose first column is called `x^..` does too.)
const COMPRESSED: [&[u8]; 6] =
    [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"x\x01", b"x^", b"x\x9c", b"x\xda"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Csv,
    Parquet,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Parquet => "parquet",
        }
    }

    /// The line of the first row: a CSV file's header is line 1.
    fn first_line(self) -> u64 {
        match self {
            Self::Csv => 2,
            Self::Parquet => 1,
        }
    }
}

impl Table {
    /// Reads what `request` asks for, in the file's order.
    ///
    /// # Errors
    /// A file that is no table, an unknown column, a filter that cannot be evaluated, a cell that is
    /// not a finite number.
    pub fn read(path: &Path, request: &Request) -> Result<Self, TableError> {
        let kind = kind(path)?;
        let source = Source::open(path, kind)?;
        let wanted = Wanted::new(&source, request)?;
        let frame = source.read(&wanted.columns(&source))?;
        wanted.table(&source, frame, request)
    }

    /// The names of a file's columns, in its order.
    ///
    /// # Errors
    /// A file that is no table.
    pub fn columns(path: &Path) -> Result<Vec<String>, TableError> {
        Ok(Source::open(path, kind(path)?)?.columns)
    }

    /// The lines of the first of `pairs` of rows that are equal in every column of the file, wanted or
    /// not: rows that are one measurement pasted twice, not two that came out alike.
    ///
    /// # Errors
    /// As those of [`Table::read`].
    pub fn first_repeat(&self, pairs: &[(usize, usize)]) -> Result<Option<(u64, u64)>, TableError> {
        if pairs.is_empty() {
            return Ok(None);
        }
        let kind = kind(&self.path)?;
        let source = Source::open(&self.path, kind)?;
        let frame = source.read(&source.columns)?;
        let place = |line: u64| usize::try_from(line - kind.first_line()).unwrap_or(usize::MAX);
        let is_equal = |&(a, b): &(u64, u64)| {
            frame
                .columns()
                .iter()
                .all(|column| column.get(place(a)).ok() == column.get(place(b)).ok())
        };
        let lines = pairs.iter().map(|&(a, b)| (self.lines[a], self.lines[b]));
        Ok(lines.into_iter().find(is_equal))
    }
}

fn kind(path: &Path) -> Result<Kind, TableError> {
    let open = |source| TableError::Open { path: path.to_owned(), source };
    let mut start = Vec::new();
    File::open(path).map_err(open)?.take(4).read_to_end(&mut start).map_err(open)?;
    match start.as_slice() {
        [] => Err(TableError::Empty { path: path.to_owned() }),
        b"PAR1" => Ok(Kind::Parquet),
        start if COMPRESSED.iter().any(|magic| start.starts_with(magic)) => {
            Err(TableError::Compressed { path: path.to_owned() })
        }
        _ if path.extension().is_some_and(|extension| extension == "parquet") => {
            let reason = "it does not begin as one".to_owned();
            Err(TableError::Malformed { path: path.to_owned(), kind: "parquet", reason })
        }
        _ => Ok(Kind::Csv),
    }
}

/// A file and the columns that it has.
struct Source<'a> {
    path: &'a Path,
    kind: Kind,
    columns: Vec<String>,
}

impl<'a> Source<'a> {
    fn open(path: &'a Path, kind: Kind) -> Result<Self, TableError> {
        let mut source = Self { path, kind, columns: Vec::new() };
        let names = match kind {
            Kind::Csv => source.read_csv(None, Some(0)).map(|frame| {
                frame.get_column_names().iter().map(ToString::to_string).collect::<Vec<_>>()
            }),
            Kind::Parquet => source.parquet_names(),
        };
        source.columns = names.map_err(|error| source.malformed(&error))?;
        // What polars makes of a second column of one name.
        let repeated = source.columns.iter().find_map(|name| {
            let (base, _) = name.rsplit_once("_duplicated_")?;
            let is_named = !base.is_empty(); // A spreadsheet's columns beyond the last have no names.
            is_named.then_some(())?;
            source.columns.iter().any(|other| other == base).then(|| base.to_owned())
        });
        match repeated {
            Some(column) => Err(TableError::RepeatedColumn { path: path.to_owned(), column }),
            None => Ok(source),
        }
    }

    fn read(&self, columns: &[String]) -> Result<DataFrame, TableError> {
        let frame = match self.kind {
            Kind::Csv => self.read_csv(Some(columns), None),
            Kind::Parquet => self.read_parquet(columns),
        };
        frame.map_err(|error| self.malformed(&error))
    }

    /// Cells as they are written: what a column holds is known when all of it has been seen, and a key
    /// `007` is not the number 7.
    fn read_csv(
        &self,
        columns: Option<&[String]>,
        n_rows: Option<usize>,
    ) -> PolarsResult<DataFrame> {
        let names = |columns: &[String]| -> Arc<[PlSmallStr]> {
            columns.iter().map(|name| PlSmallStr::from(name.as_str())).collect()
        };
        CsvReadOptions::default()
            .with_infer_schema_length(Some(0))
            .with_columns(columns.map(names))
            .with_n_rows(n_rows)
            .try_into_reader_with_file_path(Some(self.path.to_owned()))?
            .finish()
    }

    fn parquet_names(&self) -> PolarsResult<Vec<String>> {
        let schema = ParquetReader::new(File::open(self.path)?).schema()?;
        Ok(schema.iter_names().map(ToString::to_string).collect())
    }

    fn read_parquet(&self, columns: &[String]) -> PolarsResult<DataFrame> {
        let reader = ParquetReader::new(File::open(self.path)?);
        reader.with_columns(Some(columns.to_vec())).finish()
    }

    fn malformed(&self, error: &PolarsError) -> TableError {
        let reason = first_line(error);
        TableError::Malformed { path: self.path.to_owned(), kind: self.kind.name(), reason }
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    fn unknown(&self, wanted: &str) -> TableError {
        let (wanted, columns) = (wanted.to_owned(), self.columns.clone());
        TableError::UnknownColumn { path: self.path.to_owned(), wanted, columns }
    }

    fn expression(&self, text: &str) -> Result<Expression, TableError> {
        let parsed = Expression::parse(text).map_err(|error| self.bad_expression(text, error))?;
        let columns = parsed.columns().map_err(|error| self.bad_expression(text, error))?;
        match columns.into_iter().find(|column| !self.has(column)) {
            Some(column) => Err(self.bad_expression(text, ExpressionError::UnknownColumn(column))),
            None => Ok(parsed),
        }
    }

    fn bad_expression(&self, text: &str, error: ExpressionError) -> TableError {
        TableError::Expression {
            path: self.path.to_owned(),
            expression: text.to_owned(),
            reason: error.to_string(),
            columns: self.columns.clone(),
        }
    }
}

/// A request with its expressions parsed.
struct Wanted {
    numbers: Vec<(String, Number)>,
    texts: Vec<String>,
    filter: Option<(String, Expression)>,
}

enum Number {
    Column,
    Expression(Box<Expression>),
}

impl Wanted {
    fn new(source: &Source, request: &Request) -> Result<Self, TableError> {
        let number = |name: &&str| {
            let is_name = || name.chars().all(|c| c.is_alphanumeric() || " _-.".contains(c));
            let of = match source.has(name) {
                true => Number::Column,
                false => match source.expression(name) {
                    Err(_) if is_name() => return Err(source.unknown(name)),
                    expression => Number::Expression(Box::new(expression?)),
                },
            };
            Ok(((*name).to_owned(), of))
        };
        let text = |name: &&str| match source.has(name) {
            true => Ok((*name).to_owned()),
            false => Err(source.unknown(name)),
        };
        let filter = |text: &str| Ok((text.to_owned(), source.expression(text)?));
        Ok(Self {
            numbers: request.numbers.iter().map(number).collect::<Result<_, _>>()?,
            texts: request.texts.iter().map(text).collect::<Result<_, _>>()?,
            filter: request.filter.map(filter).transpose()?,
        })
    }

    /// Every column that has to be read; where none has to, one, which tells how many rows there are.
    fn columns(&self, source: &Source) -> Vec<String> {
        let of = |expression: &Expression| expression.columns().unwrap_or_default();
        let numbers = self.numbers.iter().flat_map(|(name, number)| match number {
            Number::Column => vec![name.clone()],
            Number::Expression(expression) => of(expression),
        });
        let filter = self.filter.iter().flat_map(|(_, filter)| of(filter));
        let mut all: BTreeSet<_> =
            numbers.chain(filter).chain(self.texts.iter().cloned()).collect();
        if all.is_empty() {
            all.extend(source.columns.first().cloned());
        }
        all.into_iter().collect()
    }

    fn table(
        &self,
        source: &Source,
        frame: DataFrame,
        request: &Request,
    ) -> Result<Table, TableError> {
        let rows = Rows::written(source, frame)?;
        let n_rows = rows.lines.len();
        let rows = match &self.filter {
            Some((text, filter)) => rows.passing(text, filter)?,
            None => rows,
        };
        let columns = self.numbers.iter().map(|(name, number)| rows.numbers(name, number));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let texts = self.texts.iter().map(|name| rows.texts(name));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let is_missing = |row: usize| {
            let number = self.numbers.iter().zip(&columns).find(|(_, cells)| cells[row].is_none());
            let text = self.texts.iter().zip(&texts).find(|(_, cells)| cells[row].is_none());
            number.map(|((name, _), _)| name).or(text.map(|(name, _)| name))
        };
        let n_passed = rows.lines.len();
        if let (Missing::Refuse, Some((row, column))) =
            (request.missing, (0..n_passed).find_map(|row| Some((row, is_missing(row)?))))
        {
            let (path, column) = (source.path.to_owned(), column.clone());
            return Err(TableError::MissingCell { path, line: rows.lines[row], column });
        }
        let kept: Vec<_> = (0..n_passed).filter(|&row| is_missing(row).is_none()).collect();
        let number_names = self.numbers.iter().map(|(name, _)| name.clone());
        Ok(Table {
            path: source.path.to_owned(),
            lines: kept.iter().map(|&row| rows.lines[row]).collect(),
            numbers: number_names.zip(columns.into_iter().map(|cells| at(cells, &kept))).collect(),
            texts: self
                .texts
                .iter()
                .cloned()
                .zip(texts.into_iter().map(|cells| at(cells, &kept)))
                .collect(),
            n_filtered: n_rows - n_passed,
            n_missing: n_passed - kept.len(),
        })
    }
}

/// The cells of `rows`, none of which is empty.
fn at<T>(mut cells: Vec<Option<T>>, rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|&row| cells[row].take()).collect()
}

/// Rows of the file with the columns that were read.
struct Rows<'a> {
    source: &'a Source<'a>,
    frame: DataFrame,
    /// By row: its line in the file.
    lines: Vec<u64>,
}

impl<'a> Rows<'a> {
    /// A row per line, but for the blank lines of a CSV file: they are no rows, and no gaps either.
    fn written(source: &'a Source<'a>, frame: DataFrame) -> Result<Self, TableError> {
        let lines = (source.kind.first_line()..).take(frame.height()).collect();
        let rows = Self { source, frame, lines };
        if source.kind == Kind::Parquet {
            return Ok(rows);
        }
        let malformed = |error: PolarsError| source.malformed(&error);
        let mut written = has_text(&rows.frame).map_err(malformed)?;
        if written.contains(&false) {
            // A line is blank if the columns that were not asked for are empty too.
            written = has_text(&source.read(&source.columns)?).map_err(malformed)?;
        }
        rows.only(&written)
    }

    fn only(self, keep: &[bool]) -> Result<Self, TableError> {
        if keep.iter().all(|keep| *keep) {
            return Ok(self);
        }
        let mask = BooleanChunked::from_slice(PlSmallStr::EMPTY, keep);
        let frame = self.frame.filter(&mask).map_err(|error| self.source.malformed(&error))?;
        let lines = self.lines.iter().zip(keep).filter(|(_, keep)| **keep);
        let lines = lines.map(|(line, _)| *line).collect();
        Ok(Self { source: self.source, frame, lines })
    }

    fn passing(self, text: &str, filter: &Expression) -> Result<Self, TableError> {
        match self.evaluate(text, filter)? {
            Cells::Truths(cells) => {
                let holds: Vec<_> = cells.into_iter().map(|cell| cell == Some(true)).collect();
                self.only(&holds)
            }
            Cells::Numbers(_) | Cells::Texts(_) => {
                Err(self.source.bad_expression(text, ExpressionError::NoCondition))
            }
        }
    }

    fn evaluate(&self, text: &str, expression: &Expression) -> Result<Cells, TableError> {
        let mut cells = HashMap::new();
        for name in expression.columns().unwrap_or_default() {
            let of = self.cells(&name).map_err(|error| self.source.malformed(&error))?;
            cells.insert(name, of);
        }
        let value = expression.evaluate(self.lines.len(), &|name| cells.get(name).cloned());
        value.map_err(|error| {
            let mixed = cells.iter().find_map(|(name, cells)| self.with_unit(name, cells));
            mixed.unwrap_or_else(|| self.source.bad_expression(text, error))
        })
    }

    /// A column that would be numbers, were it not for a cell that only begins as one.
    fn with_unit(&self, name: &str, cells: &Cells) -> Option<TableError> {
        let Cells::Texts(cells) = cells else { return None };
        match self.parsed(name, cells) {
            Err(error @ TableError::NotANumber { .. }) if error.has_unit() => Some(error),
            Ok(_) | Err(_) => None,
        }
    }

    /// A column in the type that expressions know: text of which every cell is a number is numbers.
    fn cells(&self, name: &str) -> PolarsResult<Cells> {
        let column = self.frame.column(name)?;
        match column.dtype() {
            DataType::String => {
                let written =
                    || column.str().map(|cells| cells.iter().map(|cell| cell.and_then(filled)));
                let numbers: Option<Vec<_>> =
                    written()?.map(|cell| cell.map(str::parse).transpose().ok()).collect();
                Ok(match numbers {
                    Some(numbers) => Cells::Numbers(numbers),
                    None => Cells::Texts(written()?.map(|cell| cell.map(str::to_owned)).collect()),
                })
            }
            DataType::Boolean => Ok(Cells::Truths(column.bool()?.iter().collect())),
            _ => {
                let numbers = column.strict_cast(&DataType::Float64)?;
                Ok(Cells::Numbers(numbers.f64()?.iter().collect()))
            }
        }
    }

    /// A number for every row, all finite, `None` where the cell is empty.
    fn numbers(&self, name: &str, number: &Number) -> Result<Vec<Option<f64>>, TableError> {
        let cells = match number {
            Number::Column => self.cells(name).map_err(|error| self.source.malformed(&error))?,
            Number::Expression(expression) => self.evaluate(name, expression)?,
        };
        let numbers = match cells {
            Cells::Numbers(cells) => cells,
            Cells::Truths(cells) => cells.into_iter().map(|cell| cell.map(f64::from)).collect(),
            Cells::Texts(cells) => self.parsed(name, &cells)?,
        };
        let bad = numbers.iter().zip(&self.lines).find_map(|(cell, &line)| {
            cell.filter(|value| !value.is_finite()).map(|value| (line, value))
        });
        match bad {
            None => Ok(numbers),
            Some((line, value)) => Err(TableError::NotFinite {
                path: self.source.path.to_owned(),
                line,
                column: name.to_owned(),
                value,
            }),
        }
    }

    fn parsed(&self, name: &str, cells: &[Option<String>]) -> Result<Vec<Option<f64>>, TableError> {
        let number = |(cell, &line): (&Option<String>, &u64)| {
            let Some(text) = cell else { return Ok(None) };
            text.parse().map(Some).map_err(|_| TableError::NotANumber {
                path: self.source.path.to_owned(),
                line,
                column: name.to_owned(),
                text: text.clone(),
            })
        };
        cells.iter().zip(&self.lines).map(number).collect()
    }

    fn texts(&self, name: &str) -> Result<Vec<Option<String>>, TableError> {
        let malformed = |error: PolarsError| self.source.malformed(&error);
        let column = self.frame.column(name).map_err(malformed)?;
        let texts = column.cast(&DataType::String).map_err(malformed)?;
        let texts = texts.str().map_err(malformed)?.iter();
        Ok(texts.map(|cell| cell.and_then(filled).map(str::to_owned)).collect())
    }
}

/// By row of text: whether any cell holds more than blanks.
fn has_text(frame: &DataFrame) -> PolarsResult<Vec<bool>> {
    let mut has = vec![false; frame.height()];
    for column in frame.columns() {
        let cells = column.str()?.iter().map(|cell| cell.and_then(filled).is_some());
        has.iter_mut().zip(cells).for_each(|(has, is)| *has |= is);
    }
    Ok(has)
}

/// What stands in a cell; `None` where nothing but blanks does.
fn filled(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}
