//! The legend: a column beside the plot, or rows below it, where nothing can overlap it. Long labels
//! are wrapped in the column and shortened in the rows.

use plotters::style::RGBColor;

use crate::canvas::{Anchor, Canvas, Direction, Spot, Type, shortened, text_width, wrap};
use crate::mark::{Cross, Marker};
use crate::style::{INK, LEADING, LEGEND_SIZE, SOFT_INK, Stroke};

const KEY_WIDTH: f64 = 28.0;
const KEY_GAP: f64 = 8.0;
const MOST_TEXT: f64 = 185.0;
const LINE: f64 = LEGEND_SIZE * LEADING;
const SECTION_GAP: f64 = 10.0;
/// Between neighbours in a row.
const ROW_GAP: f64 = 20.0;

/// One part of an entry's picture, drawn over the parts before it.
pub(crate) enum Glyph {
    Line(Stroke),
    Marker(Marker),
    Cross(Cross),
    /// Colour and opacity.
    Band(RGBColor, f64),
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

    /// `at` is the upper left corner.
    pub(crate) fn draw(&self, canvas: &mut Canvas, at: Spot) {
        let mut y = at.1;
        for section in &self.sections {
            section.draw(canvas, (at.0, y));
            y += section.height() + SECTION_GAP;
        }
    }
}

/// A legend in rows, as wide as its figure allows.
pub(crate) struct Rows {
    rows: Vec<Vec<Entry>>,
}

impl Rows {
    /// As many entries in a row as `width` px hold.
    pub(crate) fn of(entries: impl IntoIterator<Item = Entry>, width: f64) -> Self {
        let (mut rows, mut right) = (Vec::<Vec<Entry>>::new(), f64::INFINITY);
        for entry in entries {
            let label = shortened(&entry.label, LEGEND_SIZE, width - KEY_WIDTH - KEY_GAP);
            let entry = Entry { label, ..entry };
            right += ROW_GAP + entry.width();
            if right > width {
                rows.push(Vec::new());
                right = entry.width();
            }
            rows.last_mut().expect("the first entry starts a row").push(entry);
        }
        Self { rows }
    }

    pub(crate) fn height(&self) -> f64 {
        self.rows.len() as f64 * LINE
    }

    /// `at` is the upper left corner.
    pub(crate) fn draw(&self, canvas: &mut Canvas, at: Spot) {
        for (i, row) in self.rows.iter().enumerate() {
            let (mut x, y) = (at.0, at.1 + (i as f64 + 0.5) * LINE);
            for entry in row {
                entry.key.iter().for_each(|glyph| glyph.draw(canvas, (x, y)));
                canvas.text(&entry.label, (x + KEY_WIDTH + KEY_GAP, y), set(INK));
                x += entry.width() + ROW_GAP;
            }
        }
    }
}

impl Entry {
    /// On one line.
    fn width(&self) -> f64 {
        KEY_WIDTH + KEY_GAP + line_width(&self.label)
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

fn set(colour: RGBColor) -> Type {
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
        let widths = |row: &Vec<Entry>| row.iter().map(Entry::width).collect::<Vec<_>>();
        let lengths: Vec<usize> = rows.rows.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 2, 1]);
        assert!(rows.rows.iter().flat_map(widths).all(|width| width <= 160.0));
        assert_eq!(rows.height(), 3.0 * LINE);
        assert_eq!(Rows::of([], 160.0).height(), 0.0);
    }
}
