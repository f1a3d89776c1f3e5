//! What is read out of files, and what is said of those that cannot be.

use std::fs::File;
use std::path::{Path, PathBuf};

use polars::prelude::{ParquetWriter, df};
use table::{Missing, Request, Table};

/// A file of these bytes, which lasts as long as its folder.
fn file(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn csv(text: &str, request: Request) -> Table {
    let (_folder, path) = file("t.csv", text);
    Table::read(&path, &request).unwrap()
}

/// What is said of a file, without the folder that it is in.
fn refusal(path: &Path, request: Request) -> String {
    let text = Table::read(path, &request).unwrap_err().to_string();
    text.replace(&format!("{}/", path.parent().unwrap().display()), "")
}

fn csv_refusal(text: &str, request: Request) -> String {
    let (_folder, path) = file("t.csv", text);
    refusal(&path, request)
}

fn numbers<'a>(numbers: &'a [&'a str]) -> Request<'a> {
    Request { numbers, ..Request::default() }
}

const XY: Request =
    Request { numbers: &["x", "y"], texts: &[], filter: None, missing: Missing::Refuse };

fn lines(table: &Table) -> Vec<u64> {
    (0..table.n_rows()).map(|row| table.line(row)).collect()
}

fn check_xy(text: &str, rows: &[(f64, f64)], expected_lines: &[u64]) {
    let table = csv(text, XY);
    let read: Vec<_> =
        table.numbers("x").iter().copied().zip(table.numbers("y").iter().copied()).collect();
    assert_eq!(read, rows, "{text:?}");
    assert_eq!(lines(&table), expected_lines, "{text:?}");
    assert_eq!((table.n_filtered(), table.n_missing()), (0, 0), "{text:?}");
}

#[test]
fn rows_come_in_the_order_of_the_file() {
    check_xy("y,z,x\n2,a,1\n4,b,3\n0,c,-1\n", &[(1., 2.), (3., 4.), (-1., 0.)], &[2, 3, 4]);
}

#[test]
fn a_table_may_have_no_rows() {
    check_xy("x,y\n", &[], &[]);
    check_xy("x,y", &[], &[]);
}

#[test]
fn blank_lines_are_no_rows_and_count_as_lines() {
    let rows = [(1., 2.), (3., 4.)];
    check_xy("x,y\n1,2\n3,4\n\n", &rows, &[2, 3]);
    check_xy("x,y\n1,2\n\n3,4\n", &rows, &[2, 4]);
    check_xy("x,y\r\n1,2\r\n\r\n3,4\r\n\r\n", &rows, &[2, 4]);
    check_xy("x,y\n1,2\n  \n,\n3,4", &rows, &[2, 5]);
    check_xy("z,x,y\na,1,2\n\nb,3,4\n", &rows, &[2, 4]);
    let text = "x,y\n\n1,2\n\n3,4\n\n";
    let table = csv(text, Request { filter: Some("x > 1"), ..XY });
    assert_eq!((lines(&table), table.n_filtered()), (vec![5], 1));
}

#[test]
fn a_line_with_something_elsewhere_is_a_row_with_a_gap() {
    let text = "x,y,z\n1,2,a\n,,b\n3,4,c\n";
    let message = "`t.csv`, line 3, column `x` is empty; leave such rows out with --missing drop";
    assert_eq!(csv_refusal(text, XY), message);
    let table = csv(text, Request { missing: Missing::Drop, ..XY });
    assert_eq!((lines(&table), table.n_missing()), (vec![2, 4], 1));
}

#[test]
fn line_ends_and_byte_order_marks_of_other_systems_do_not_show() {
    let rows = [(1., 2.), (3., 4.)];
    check_xy("x,y\r\n1,2\r\n3,4\r\n", &rows, &[2, 3]);
    check_xy("\u{feff}x,y\n1,2\n3,4", &rows, &[2, 3]);
    check_xy("\u{feff}\"x\",y\r\n1,2\r\n3,4", &rows, &[2, 3]);
}

#[test]
fn quotes_hold_commas_line_breaks_and_numbers() {
    let text = "x,\"a, b\",y\n1,\"p, q\",\"2\"\n3,\"p\nq\",4\n5,\"say \"\"r\"\"\",6\n";
    // The fourth row is on the fifth line: breaks within quotes do not count.
    check_xy(text, &[(1., 2.), (3., 4.), (5., 6.)], &[2, 3, 4]);
    let table = csv(text, Request { numbers: &["x"], texts: &["a, b"], ..Request::default() });
    assert_eq!(table.texts("a, b"), ["p, q", "p\nq", "say \"r\""]);
}

#[test]
fn whatever_is_written_as_a_number_is_one() {
    let text = "x\n1\n-2.5\n+3\n1e3\n 4 \n.5\n99999999999999999999\n18446744073709551616\n";
    let expected = [1., -2.5, 3., 1e3, 4., 0.5, 1e20, 18_446_744_073_709_551_616.];
    assert_eq!(csv(text, numbers(&["x"])).numbers("x"), expected);
}

#[test]
fn a_fraction_after_thousands_of_integers_is_a_number() {
    let rows: String = (0..20_000).map(|row| format!("{row}\n")).collect();
    let table = csv(&format!("x\n{rows}0.5\n"), numbers(&["x"]));
    assert_eq!((table.n_rows(), table.numbers("x")[20_000]), (20_001, 0.5));
    assert!(table.numbers("x").iter().take(20_000).enumerate().all(|(i, x)| *x == i as f64));
}

#[test]
fn keys_are_what_is_written() {
    let text = "x,run\n1,007\n2,7\n3,7.0\n4, a \n5,true\n";
    let table = csv(text, Request { texts: &["run"], ..numbers(&["x"]) });
    assert_eq!(table.texts("run"), ["007", "7", "7.0", "a", "true"]);
}

#[test]
fn a_column_may_be_a_number_and_a_key() {
    let table = csv("x\n07\n8\n", Request { texts: &["x"], ..numbers(&["x"]) });
    assert_eq!(
        (table.numbers("x"), table.texts("x")),
        (&[7., 8.][..], &["07".into(), "8".into()][..])
    );
}

#[test]
fn what_was_not_requested_is_empty() {
    let table = csv("x,y\n1,2\n", numbers(&["x"]));
    assert!(table.numbers("y").is_empty() && table.texts("x").is_empty());
    assert_eq!(csv("x,y\n1,2\n", Request::default()).n_rows(), 1);
}

#[test]
fn a_filter_leaves_rows_out_and_counts_them() {
    let text = "x,y,split\n1,2,train\n2,4,test\n3,,train\n4,8,\n5,10,train\n";
    let request = Request { filter: Some("split = 'train'"), missing: Missing::Drop, ..XY };
    let table = csv(text, request);
    assert_eq!((table.numbers("x"), lines(&table)), (&[1., 5.][..], vec![2, 6]));
    assert_eq!((table.n_filtered(), table.n_missing()), (2, 1));
}

#[test]
fn what_a_filter_left_out_may_be_no_number() {
    let text = "x,y,keep\n1,2,1\n12%,4,0\nNaN,,0\n4,8,1\n";
    let table = csv(text, Request { filter: Some("keep = 1"), ..XY });
    assert_eq!((table.numbers("x"), lines(&table)), (&[1., 4.][..], vec![2, 5]));
    let request = Request { filter: Some("keep = 1"), ..numbers(&["2 * x"]) };
    assert_eq!(csv(text, request).numbers("2 * x"), [2., 8.]);
}

#[test]
fn numbers_may_be_expressions_of_columns() {
    let text = "a,b,a - b,Seen Examples\n5,3,100,12\n7,1,200,\n";
    let check = |expression: &str, expected: &[f64]| {
        let expressions = [expression];
        let request = Request { missing: Missing::Drop, ..numbers(&expressions) };
        assert_eq!(csv(text, request).numbers(expression), expected, "{expression}");
    };
    check("a-b", &[2., 6.]);
    check("\"Seen Examples\" / (6 * a)", &[0.4]);
    check("a > 5", &[0., 1.]);
    check("1", &[1., 1.]);
    check("a - b", &[100., 200.]); // A column of that name comes first.
}

#[test]
fn a_cell_that_is_no_number_is_named_by_line_and_column() {
    let check = |cell: &str, expected: &str| {
        let text = format!("x,y\n1,2\n3,{cell}\n");
        assert_eq!(csv_refusal(&text, XY), format!("`t.csv`, line 3, column `y`: {expected}"));
    };
    let unit = "write it without a unit, all rows in the same one";
    check("12%", &format!("`12%` is no number; {unit}"));
    check("5k", &format!("`5k` is no number; {unit}"));
    check("1_000", &format!("`1_000` is no number; {unit}"));
    check("NA", "`NA` is no number");
    check("é", "`é` is no number");
    check("NaN", "NaN is not finite");
    check("-inf", "-inf is not finite");
    check("1e999", "inf is not finite");
}

#[test]
fn an_expression_of_text_names_the_cell_that_is_no_number() {
    let text = "x,loss,model\n1,3,B/16\n2,12%,L/16\n";
    let unit = "`t.csv`, line 3, column `loss`: `12%` is no number; write it without a unit, all rows \
                in the same one";
    assert_eq!(csv_refusal(text, numbers(&["loss / 100"])), unit);
    assert_eq!(csv_refusal(text, numbers(&["ln(loss)"])), unit);
    assert_eq!(csv_refusal(text, Request { filter: Some("loss > 3"), ..numbers(&["x"]) }), unit);
    let text_alone = "`model * 2` cannot be evaluated on `t.csv`: `model * 2` compares or combines \
                      numbers with text (its columns: x, loss, model; names with blanks in double quotes)";
    assert_eq!(csv_refusal(text, numbers(&["model * 2"])), text_alone);
    let divided = "`t.csv`, line 2, column `x / (x - 1)`: inf is not finite";
    assert_eq!(csv_refusal(text, numbers(&["x / (x - 1)"])), divided);
}

#[test]
fn an_empty_key_is_a_gap() {
    let text = "x,run\n1,a\n2,\n";
    let request = Request { texts: &["run"], ..numbers(&["x"]) };
    let message = "`t.csv`, line 3, column `run` is empty; leave such rows out with --missing drop";
    assert_eq!(csv_refusal(text, request), message);
    let table = csv(text, Request { missing: Missing::Drop, ..request });
    assert_eq!((table.texts("run"), table.n_missing()), (&["a".to_owned()][..], 1));
}

#[test]
fn an_unknown_column_is_told_the_nearest() {
    let check = |column: &str, expected: &str| {
        let text = "Seen Examples,loss\n1,2\n";
        let message =
            format!("`t.csv` has no column `{column}`{expected}; it has Seen Examples, loss");
        assert_eq!(csv_refusal(text, numbers(&[column])), message);
        assert_eq!(csv_refusal(text, Request { texts: &[column], ..Request::default() }), message);
    };
    check("seen_examples", " (did you mean `Seen Examples`?)");
    check("Loss", " (did you mean `loss`?)");
    check("x", "");
}

#[test]
fn a_filter_that_cannot_be_evaluated_is_said() {
    let check = |filter: &str, expected: &str| {
        let message =
            csv_refusal("x,y\n1,a\n", Request { filter: Some(filter), ..numbers(&["x"]) });
        let columns = "(its columns: x, y; names with blanks in double quotes)";
        let whole = format!("`{filter}` cannot be evaluated on `t.csv`: {expected} {columns}");
        assert_eq!(message, whole);
    };
    check("x >", "Expected: an expression, found: EOF");
    check("z > 1", "there is no column `z`");
    check("y = \"a\"", "there is no column `a`");
    check("y > 1", "`y > 1` compares or combines numbers with text");
    check("x + 1", "it is no condition, which holds for a row or does not");
    check("y", "it is no condition, which holds for a row or does not");
    check("x > 1;", "`;` follows a whole expression");
}

#[test]
fn files_that_are_no_tables_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let absent = refusal(&folder.path().join("no.csv"), XY);
    assert_eq!(absent, "`no.csv`: No such file or directory (os error 2)");
    let check = |name: &str, bytes: &[u8], expected: &str| {
        let (_folder, path) = file(name, bytes);
        assert_eq!(refusal(&path, XY), format!("`{name}` {expected}"));
    };
    check("t.csv", b"", "is empty: a table begins with a line of column names");
    check("t.csv", b"\x1f\x8b\x08\x00", "begins like a compressed file: unpack it first");
    check("t.csv", b"\x28\xb5\x2f\xfd", "begins like a compressed file: unpack it first");
    check("t.parquet", b"x,y\n1,2\n", "cannot be read as parquet: it does not begin as one");
    check("t.csv", b"x,y\n1,\xff\n", "cannot be read as CSV: invalid utf-8 sequence");
    check("t.csv", b"x,y,x\n1,2,3\n", "has two columns `x`; rename one");
}

#[test]
fn columns_without_names_may_be_several() {
    check_xy("x,,y,\n1,2,3,4\n", &[(1., 3.)], &[2]);
}

#[test]
fn a_row_with_more_cells_than_names_is_refused_and_one_with_fewer_has_gaps() {
    let message = csv_refusal("x,y\n1,2\n3,4,5\n", XY);
    assert_eq!(
        message,
        "`t.csv` cannot be read as CSV: found more fields than defined in 'Schema'"
    );
    let message = csv_refusal("x,y\n1,2\n3\n", XY);
    assert_eq!(
        message,
        "`t.csv`, line 3, column `y` is empty; leave such rows out with --missing drop"
    );
}

fn parquet() -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = file("t.parquet", "");
    let mut frame = df!(
        "i" => [Some(1_i64), Some(2), None, Some(4)],
        "u" => [u64::MAX, 2, 3, 4],
        "f" => [Some(0.5), None, Some(1.5), Some(2.5)],
        "small" => [1_i32, 2, 3, 4],
        "text" => [Some("a"), Some("007"), Some("7"), None],
        "written" => ["1", "2.5", "1e3", "4"],
        "is" => [Some(true), Some(false), Some(true), None],
    )
    .unwrap();
    ParquetWriter::new(File::create(&path).unwrap()).finish(&mut frame).unwrap();
    (folder, path)
}

#[test]
fn parquet_gives_numbers_keys_and_truths() {
    let (_folder, path) = parquet();
    let request = Request {
        numbers: &["u", "small", "written", "small * u"],
        texts: &["small", "written"],
        ..Request::default()
    };
    let table = Table::read(&path, &request).unwrap();
    assert_eq!(table.numbers("u"), [u64::MAX as f64, 2., 3., 4.]);
    assert_eq!(table.numbers("small"), [1., 2., 3., 4.]);
    assert_eq!(table.numbers("written"), [1., 2.5, 1e3, 4.]);
    assert_eq!(table.numbers("small * u")[1..], [4., 9., 16.]);
    assert_eq!(table.texts("small"), ["1", "2", "3", "4"]);
    assert_eq!(table.texts("written"), ["1", "2.5", "1e3", "4"]);
    assert_eq!(lines(&table), [1, 2, 3, 4]);
}

#[test]
fn nulls_of_parquet_are_gaps() {
    let (_folder, path) = parquet();
    let request = Request { texts: &["text"], ..numbers(&["i", "f", "is"]) };
    let message =
        "`t.parquet`, line 2, column `f` is empty; leave such rows out with --missing drop";
    assert_eq!(refusal(&path, request), message);
    let request = Request { missing: Missing::Drop, ..request };
    let table = Table::read(&path, &request).unwrap();
    assert_eq!((lines(&table), table.n_missing()), (vec![1], 3));
    assert_eq!((table.numbers("i"), table.numbers("is")), (&[1.][..], &[1.][..]));
    let alone = Table::read(&path, &Request { missing: Missing::Drop, ..numbers(&["i"]) }).unwrap();
    assert_eq!((lines(&alone), alone.n_missing()), (vec![1, 2, 4], 1));
}

#[test]
fn a_truth_is_a_filter() {
    let (_folder, path) = parquet();
    let request = Request { texts: &["small"], filter: Some("is"), ..Request::default() };
    let table = Table::read(&path, &request).unwrap();
    assert_eq!((table.texts("small").join(" "), table.n_filtered()), ("1 3".to_owned(), 2));
}

#[test]
fn parquet_that_was_cut_off_is_named() {
    let (_folder, path) = parquet();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let message = refusal(&path, numbers(&["i"]));
    assert!(message.starts_with("`t.parquet` cannot be read as parquet: "), "{message}");
}

#[test]
fn published_tables_are_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/fits");
    let check = |name: &str, request: Request, n: usize| {
        let path = folder.join(name);
        if !path.exists() {
            return println!("skipped: {name} is not in ../shared/data/fits");
        }
        let table = Table::read(&path, &request).unwrap();
        assert_eq!((table.n_rows(), table.n_missing()), (n, 0), "{name}");
    };
    let epoch = ["Model Size", "\"Training FLOP\" / (6 * \"Model Size\")", "loss"];
    check("epoch_chinchilla_svg.csv", numbers(&epoch), 245);
    let below_5 = Request { filter: Some("loss < 5"), ..numbers(&epoch) };
    check("epoch_chinchilla_svg.csv", below_5, 244);
    let gemstone = numbers(&["params_active_precise", "tokens", "final_loss"]);
    check("gemstone_hot.csv", Request { texts: &["run_name"], ..gemstone }, 220);
    let revisiting =
        Request { texts: &["Domain", "Task", "Model"], ..numbers(&["Seen Examples", "Loss"]) };
    check("revisiting_vision_dev.csv", revisiting, 4874);
    check("revisiting_vision_train_only.csv", revisiting, 2675);
    check(
        "zhai2021_vit_tables.csv",
        Request { texts: &["model"], ..numbers(&["train_compute_exaflops"]) },
        265,
    );
}
