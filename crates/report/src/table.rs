//! Aligned text tables for terminals. Colours, wrapping and CSV are not for here.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    /// For numbers.
    Right,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub heading: String,
    pub align: Align,
}

impl Column {
    pub fn left(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), align: Align::Left }
    }

    pub fn right(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), align: Align::Right }
    }
}

/// Columns and the cells of each row.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// As [`table`] writes it.
    pub fn text(&self) -> String {
        table(&self.columns, &self.rows)
    }
}

/// Heading, rule and one line a row; two spaces between columns, nothing at the end of a line. A
/// short row ends early; cells beyond the last column are columns without a heading.
pub fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = columns.iter().map(|column| column.heading.clone()).collect();
    let n_columns = rows.iter().map(Vec::len).chain([columns.len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns)
        .map(|i| {
            rows.iter().chain([&headings]).filter_map(|row| row.get(i)).map(|c| width(c)).max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    [&headings, &rule].into_iter().chain(rows).map(|row| line(row, columns, &widths)).collect()
}

fn line(row: &[String], columns: &[Column], widths: &[usize]) -> String {
    let cells: Vec<String> = row
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(i, (cell, width))| {
            let align = columns.get(i).map_or(Align::Left, |column| column.align);
            padded(cell, *width, align)
        })
        .collect();
    format!("{}\n", cells.join("  ").trim_end())
}

fn padded(cell: &str, to: usize, align: Align) -> String {
    let space = " ".repeat(to - width(cell));
    match align {
        Align::Left => format!("{cell}{space}"),
        Align::Right => format!("{space}{cell}"),
    }
}

/// Characters, not bytes: `×` and `α` take one place.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_line_up_on_their_side_and_lines_end_clean() {
        let columns = [Column::left("size"), Column::right("error"), Column::left("note")];
        let rows = [row(&["mu", "0.5", "×2"]), row(&["Ti/16", "0.312", ""]), row(&["S"])];
        let expected = "\
size   error  note
-----  -----  ----
mu       0.5  ×2
Ti/16  0.312
S
";
        assert_eq!(table(&columns, &rows), expected);
    }

    #[test]
    fn no_cell_is_lost_when_a_row_is_longer_than_the_headings() {
        assert_eq!(table(&[Column::left("a")], &[row(&["1", "22"])]), "a\n-  --\n1  22\n");
        assert_eq!(table(&[], &[]), "\n\n");
    }
}
