//! The legend: a column beside the plot, where nothing can overlap it. Long labels are wrapped.

use plotters::style::RGBColor;

use crate::canvas::{Anchor, Canvas, Direction, Spot, Type, text_width, wrap};
use crate::mark::Marker;
use crate::style::{BAND_OPACITY, INK, LEADING, LEGEND_SIZE, SOFT_INK, Stroke};

const KEY_WIDTH: f64 = 28.0;
const KEY_GAP: f64 = 8.0;
const MOST_TEXT: f64 = 185.0;
const LINE: f64 = LEGEND_SIZE * LEADING;
const SECTION_GAP: f64 = 10.0;

/// One part of an entry's picture, drawn over the parts before it.
pub(crate) enum Glyph {
    Line(Stroke),
    Marker(Marker),
    Band(RGBColor),
}

pub(crate) struct Entry {
    pub(crate) key: Vec<Glyph>,
    pub(crate) label: String,
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
            Self::Band(colour) => {
                let (top, bottom) = (at.1 - half, at.1 + half);
                let corners = [(at.0, top), (right, top), (right, bottom), (at.0, bottom)];
                canvas.fill(&corners, *colour, BAND_OPACITY);
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
