//! Tables that are wider than the terminal: texts give way first, then what is on the right.

use report::Column;

/// To this a text may be shortened; below it says little.
const LEAST: usize = 12;

/// The table in lines of at most `width` characters; what is left out leaves an ellipsis.
pub fn narrow(columns: &[Column], rows: &[Vec<String>], width: usize) -> String {
    let cap = cap(columns, rows, width);
    let cell = |(column, cell): (&Column, &String)| match column.align {
        report::Align::Left => cut(cell, cap),
        report::Align::Right => cell.clone(),
    };
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().zip(row).map(cell).collect()).collect();
    report::table(columns, &rows).lines().map(|line| cut(line, width) + "\n").collect()
}

/// The length of texts with which the table fits, or the least if it does not.
fn cap(columns: &[Column], rows: &[Vec<String>], width: usize) -> usize {
    let widest = |at: usize| rows.iter().map(|row| length(&row[at])).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(widest).collect();
    let with = |cap: usize| -> usize {
        let column = |(column, &width): (&Column, &usize)| {
            let cells = if column.align == report::Align::Left { width.min(cap) } else { width };
            cells.max(length(&column.heading)) + 2
        };
        columns.iter().zip(&widths).map(column).sum::<usize>().saturating_sub(2)
    };
    let longest = widths.iter().copied().max().unwrap_or(0);
    (LEAST..=longest).rev().find(|&cap| with(cap) <= width).unwrap_or(LEAST)
}

fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(width: usize, expected: &str) {
        let columns = [Column::left("shape"), Column::right("error"), Column::left("reason")];
        let rows = [
            ["Ti/16", "0.312", "the trainer was killed by signal 9"].map(str::to_owned).into(),
            ["S", "0.25", ""].map(str::to_owned).into(),
        ];
        assert_eq!(narrow(&columns, &rows, width), expected);
    }

    #[test]
    fn texts_are_shortened_as_far_as_the_width_asks() {
        let whole = "\
shape  error  reason
-----  -----  ----------------------------------
Ti/16  0.312  the trainer was killed by signal 9
S       0.25
";
        check(200, whole);
        check(48, whole);
        check(
            30,
            "\
shape  error  reason
-----  -----  ----------------
Ti/16  0.312  the trainer was…
S       0.25
",
        );
    }

    #[test]
    fn what_is_on_the_right_goes_when_shorter_texts_do_not_help() {
        check(
            16,
            "\
shape  error  r…
-----  -----  -…
Ti/16  0.312  t…
S       0.25
",
        );
    }
}
