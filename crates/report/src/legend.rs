//! The legend: a column beside the plot, or rows below it, where nothing can overlap it. Long labels
//! are wrapped.

use crate::canvas::{Anchor, Canvas, Direction, Spot, Type, text_width, wrap};
use crate::mark::{Cross, Marker};
use crate::style::{Colour, INK, LEADING, LEGEND_SIZE, SOFT_INK, Stroke};

const KEY_WIDTH: f64 = 28.0;
const KEY_GAP: f64 = 8.0;
const MOST_TEXT: f64 = 185.0;
const LINE: f64 = LEGEND_SIZE * LEADING;
const SECTION_GAP: f64 = 10.0;
/// Between neighbours in a row.
const ROW_GAP: f64 = 20.0;
/// Between sections in rows.
const ROWS_GAP: f64 = 4.0;

/// One part of an entry's picture, drawn over the parts before it.
pub(crate) enum Glyph {
    Line(Stroke),
    Marker(Marker),
    Cross(Cross),
    /// Colour and opacity.
    Band(Colour, f64),
}

pub(crate) struct Entry {
    pub(crate) key: Vec<Glyph>,
    pub(crate) label: String,
}

impl Entry {
    pub(crate) fn of(key: impl Into<Vec<Glyph>>, label: impl Into<String>) -> Self {
        Self { key: key.into(), label: label.into() }
    }
}

pub(crate) struct Section {
    pub(crate) heading: String,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Legend {
    sections: Vec<Section>,
}

impl Legend {
    /// Sections without entries are left out.
    pub(crate) fn new(sections: impl IntoIterator<Item = Section>) -> Self {
        Self { sections: sections.into_iter().filter(|s| !s.entries.is_empty()).collect() }
    }

    pub(crate) fn width(&self) -> f64 {
        let headings =
            self.sections.iter().flat_map(|s| wrapped(&s.heading)).map(|line| line_width(&line));
        let entries =
            self.sections.iter().flat_map(|s| &s.entries).flat_map(|entry| wrapped(&entry.label));
        let entries = entries.map(|line| KEY_WIDTH + KEY_GAP + line_width(&line));
        headings.chain(entries).fold(0.0, f64::max)
    }

    pub(crate) fn height(&self) -> f64 {
        let gaps = self.sections.len().saturating_sub(1) as f64;
        self.sections.iter().map(Section::height).sum::<f64>() + gaps * SECTION_GAP
    }

    /// The same in rows that are no wider than `width` px.
    pub(crate) fn below(self, width: f64) -> Below {
        let rows = |section: Section| {
            let heading = match section.heading.as_str() {
                "" => Vec::new(),
                heading => wrap(heading, LEGEND_SIZE, width),
            };
            (heading, Rows::of(section.entries, width))
        };
        Below { sections: self.sections.into_iter().map(rows).collect() }
    }

    /// `at` is the upper left corner.
    pub(crate) fn draw(&self, canvas: &mut Canvas, at: Spot) {
        let mut y = at.1;
        for section in &self.sections {
            section.draw(canvas, (at.0, y));
            y += section.height() + SECTION_GAP;
        }
    }
}

/// Entries in rows, as wide as their figure allows.
pub(crate) struct Rows {
    rows: Vec<Vec<Item>>,
}

/// An entry whose label is broken into lines.
struct Item {
    key: Vec<Glyph>,
    lines: Vec<String>,
}

impl Rows {
    /// As many entries in a row as `width` px hold.
    pub(crate) fn of(entries: impl IntoIterator<Item = Entry>, width: f64) -> Self {
        let (mut rows, mut right) = (Vec::<Vec<Item>>::new(), f64::INFINITY);
        for Entry { key, label } in entries {
            let lines = wrap(&label, LEGEND_SIZE, width - KEY_WIDTH - KEY_GAP);
            let item = Item { key, lines };
            right += ROW_GAP + item.width();
            if right > width {
                rows.push(Vec::new());
                right = item.width();
            }
            rows.last_mut().expect("the first entry starts a row").push(item);
        }
        Self { rows }
    }

    pub(crate) fn height(&self) -> f64 {
        self.rows.iter().map(|row| row_height(row)).sum()
    }

    /// `at` is the upper left corner.
    pub(crate) fn draw(&self, canvas: &mut Canvas, at: Spot) {
        let mut y = at.1 + 0.5 * LINE;
        for row in &self.rows {
            let mut x = at.0;
            for item in row {
                item.draw(canvas, (x, y));
                x += item.width() + ROW_GAP;
            }
            y += row_height(row);
        }
    }
}

fn row_height(row: &[Item]) -> f64 {
    row.iter().map(|item| item.lines.len()).max().unwrap_or(0) as f64 * LINE
}

impl Item {
    fn width(&self) -> f64 {
        let widest = self.lines.iter().map(|line| line_width(line)).fold(0.0, f64::max);
        KEY_WIDTH + KEY_GAP + widest
    }

    /// `at` is the left end of the key, at half the height of the first line.
    fn draw(&self, canvas: &mut Canvas, at: Spot) {
        self.key.iter().for_each(|glyph| glyph.draw(canvas, at));
        for (i, line) in self.lines.iter().enumerate() {
            let spot = (at.0 + KEY_WIDTH + KEY_GAP, at.1 + i as f64 * LINE);
            canvas.text(line, spot, set(INK));
        }
    }
}

/// A whole legend in rows: each section begins one, with its heading above it.
pub(crate) struct Below {
    /// Lines of the heading, and the entries.
    sections: Vec<(Vec<String>, Rows)>,
}

impl Below {
    pub(crate) fn height(&self) -> f64 {
        let of =
            |(heading, rows): &(Vec<String>, Rows)| heading.len() as f64 * LINE + rows.height();
        let gaps = self.sections.len().saturating_sub(1) as f64;
        self.sections.iter().map(of).sum::<f64>() + gaps * ROWS_GAP
    }

    /// `at` is the upper left corner.
    pub(crate) fn draw(&self, canvas: &mut Canvas, at: Spot) {
        let mut top = at.1;
        for (heading, rows) in &self.sections {
            for line in heading {
                canvas.text(line, (at.0, top + 0.5 * LINE), set(SOFT_INK));
                top += LINE;
            }
            rows.draw(canvas, (at.0, top));
            top += rows.height() + ROWS_GAP;
        }
    }
}

impl Section {
    fn height(&self) -> f64 {
        let lines = self.entries.iter().map(|entry| wrapped(&entry.label).len()).sum::<usize>();
        (wrapped(&self.heading).len() + lines) as f64 * LINE
    }

    fn draw(&self, canvas: &mut Canvas, at: Spot) {
        let mut y = at.1 + 0.5 * LINE;
        for line in wrapped(&self.heading) {
            canvas.text(&line, (at.0, y), set(SOFT_INK));
            y += LINE;
        }
        for entry in &self.entries {
            entry.key.iter().for_each(|glyph| glyph.draw(canvas, (at.0, y)));
            for line in wrapped(&entry.label) {
                canvas.text(&line, (at.0 + KEY_WIDTH + KEY_GAP, y), set(INK));
                y += LINE;
            }
        }
    }
}

impl Glyph {
    /// `at` is the left end of the key, at half its height.
    fn draw(&self, canvas: &mut Canvas, at: Spot) {
        let (right, half) = (at.0 + KEY_WIDTH, 0.32 * LINE);
        match self {
            Self::Line(stroke) => canvas.line(&[at, (right, at.1)], *stroke),
            Self::Marker(marker) => marker.draw(canvas, (at.0 + 0.5 * KEY_WIDTH, at.1)),
            Self::Cross(cross) => cross.draw(canvas, (at.0 + 0.5 * KEY_WIDTH, at.1)),
            Self::Band(colour, opacity) => {
                let (top, bottom) = (at.1 - half, at.1 + half);
                let corners = [(at.0, top), (right, top), (right, bottom), (at.0, bottom)];
                canvas.fill(&corners, *colour, *opacity);
            }
        }
    }
}

fn set(colour: Colour) -> Type {
    Type { size: LEGEND_SIZE, colour, anchor: Anchor::Left, direction: Direction::Across }
}

/// No line where there is no text: a section may have no heading.
fn wrapped(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { wrap(text, LEGEND_SIZE, MOST_TEXT) }
}

fn line_width(line: &str) -> f64 {
    text_width(line, LEGEND_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_as_many_entries_as_have_room_and_no_entry_is_wider() {
        let entries = ["one", "two", "three", "four", &"long ".repeat(40)];
        let rows = Rows::of(entries.map(|label| Entry::of([], label)), 160.0);
        let widths = |row: &Vec<Item>| row.iter().map(Item::width).collect::<Vec<_>>();
        let lengths: Vec<usize> = rows.rows.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 2, 1]);
        assert!(rows.rows.iter().flat_map(widths).all(|width| width <= 160.0));
        let n_lines = rows.rows[2][0].lines.len();
        assert!(n_lines > 1, "a long label is wrapped");
        assert!((rows.height() - (2 + n_lines) as f64 * LINE).abs() < 1e-9);
        assert_eq!(Rows::of([], 160.0).height(), 0.0);
    }
}
