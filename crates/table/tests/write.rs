//! What is written as parquet is what is read again.

use std::io::{Error, ErrorKind, Write};

use polars::prelude::{DataType, ParquetReader, SerReader};
use table::{Missing, Request, Table, TableError, Values, write_parquet};

fn texts(cells: &[Option<&str>]) -> Values {
    Values::Texts(cells.iter().map(|cell| cell.map(str::to_owned)).collect())
}

fn columns() -> Vec<(String, Values)> {
    let columns = [
        ("params", Values::Integers(vec![Some(i64::MAX), Some(-1), None])),
        ("loss", Values::Numbers(vec![Some(0.1 + 0.2), None, Some(5e-324)])),
        ("shape", texts(&[Some("Ti/16"), Some(""), None])),
        ("nothing", Values::Numbers(vec![None; 3])),
    ];
    columns.map(|(name, values)| (name.to_owned(), values)).into()
}

#[test]
fn every_value_comes_back_and_every_gap_stays_one() {
    let mut bytes = Vec::new();
    write_parquet(&mut bytes, columns()).unwrap();
    let frame = ParquetReader::new(std::io::Cursor::new(bytes)).finish().unwrap();
    let cells = |name: &str| frame.column(name).unwrap().clone();
    let params: Vec<_> = cells("params").i64().unwrap().iter().collect();
    assert_eq!(params, [Some(i64::MAX), Some(-1), None]);
    let loss: Vec<_> = cells("loss").f64().unwrap().iter().collect();
    assert_eq!(loss, [Some(0.1 + 0.2), None, Some(5e-324)]);
    let shape: Vec<_> =
        cells("shape").str().unwrap().iter().map(|cell| cell.map(str::to_owned)).collect();
    assert_eq!(shape, [Some("Ti/16".to_owned()), Some(String::new()), None]);
    assert_eq!(cells("nothing").dtype(), &DataType::Float64);
    assert_eq!(cells("nothing").null_count(), 3);
}

#[test]
fn a_table_that_was_written_is_read_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write_parquet(std::fs::File::create(&path).unwrap(), columns()).unwrap();
    let request = Request { numbers: &["loss"], missing: Missing::Drop, ..Request::default() };
    let table = Table::read(&path, &request).unwrap();
    assert_eq!((table.numbers("loss"), table.n_missing()), (&[0.1 + 0.2, 5e-324][..], 1));
}

#[test]
fn a_table_without_rows_keeps_its_columns() {
    let mut bytes = Vec::new();
    let none = ("a".to_owned(), Values::Integers(Vec::new()));
    write_parquet(&mut bytes, vec![none]).unwrap();
    let frame = ParquetReader::new(std::io::Cursor::new(bytes)).finish().unwrap();
    assert_eq!((frame.shape(), frame.column("a").unwrap().dtype()), ((0, 1), &DataType::Int64));
}

fn refusal(columns: [(&str, Values); 2]) -> String {
    let columns = columns.map(|(name, values)| (name.to_owned(), values));
    write_parquet(Vec::new(), columns.into()).unwrap_err().to_string()
}

#[test]
fn what_is_no_table_is_refused() {
    let integers = |n| Values::Integers(vec![Some(1); n]);
    let message = refusal([("twice", integers(1)), ("twice", integers(1))]);
    assert!(message.contains("twice"), "{message}");
    let message = refusal([("a", integers(1)), ("b", integers(2))]);
    assert!(message.contains('b') && message.contains("length"), "{message}");
}

/// A reader that went away.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(Error::from(ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failure_to_write_keeps_its_kind() {
    let error = write_parquet(Gone, columns()).unwrap_err();
    assert!(
        matches!(&error, TableError::Write(error) if error.kind() == ErrorKind::BrokenPipe),
        "{error:?}"
    );
}
