//! Estimates with their intervals, one below another: a row per sweep, law or approach, its label
//! on the left and its numbers on the right.

use crate::axis::{Axis, Scale};
use crate::canvas::{self, Anchor, Canvas, Spot, shortened, text_width};
use crate::frame::{BOTTOM, EDGE, Frame, Title, set};
use crate::legend::{Entry, Glyph, Rows};
use crate::mark::Marker;
use crate::style::{
    Dash, FRONTIER, GRID, GRID_WIDTH, LINE_WIDTH, STRONG_WIDTH, Stroke, TICK_SIZE, category_colour,
    variant_dash,
};
use crate::{Data, Datum, DrawError, Figure, Look};

const ROW: f64 = 26.0;
/// Between a plot and the text beside it.
const SIDE_GAP: f64 = 14.0;
/// Of labels and numbers, over the figure's width.
const MOST_LABEL: f64 = 0.3;
const MOST_NUMBERS: f64 = 0.35;
/// Half the height, in px, of the caps of an interval.
const CAP: f64 = 4.0;

#[derive(Clone, Debug)]
pub struct ForestFigure {
    pub title: String,
    pub x_label: String,
    pub x_scale: Scale,
    /// From top to bottom.
    pub rows: Vec<ForestRow>,
    pub references: Vec<Reference>,
}

#[derive(Clone, Debug)]
pub struct ForestRow {
    pub label: String,
    pub value: f64,
    /// NaN for no interval.
    pub low: f64,
    pub high: f64,
    /// As they are written beside the row: `0.49 [0.46, 0.52]`.
    pub numbers: String,
}

/// A value to compare with, as an upright line.
#[derive(Clone, Debug)]
pub struct Reference {
    pub label: String,
    pub x: f64,
}

impl Figure for ForestFigure {
    /// A row whose value cannot be shown keeps its label and numbers.
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "forest" })?;
        let title = Title::of(&self.title, look);
        let width = look.size.width();
        let frame = self.frame(x, y, (title.bottom(), width));
        let legend = Rows::of(self.entries(), width - EDGE - frame.left);
        let legend_top = frame.bottom + BOTTOM;
        let height =
            legend_top + legend.height() + if self.references.is_empty() { 0.0 } else { EDGE };
        Ok(canvas::draw(look.theme, (width, height), &self.title, |canvas| {
            self.draw_plot(canvas, &frame, width);
            title.draw(canvas, EDGE);
            legend.draw(canvas, (frame.left, legend_top));
        }))
    }

    fn data(&self) -> Data {
        let row = |row: &ForestRow| {
            Datum::new("estimate", row.value, f64::NAN).of(&row.label).between(row.low, row.high)
        };
        let reference = |at: &Reference| Datum::new("reference", at.x, f64::NAN).of(&at.label);
        let references = self.references.iter().map(reference);
        Data::new(&self.x_label, "", self.rows.iter().map(row).chain(references))
    }
}

impl ForestFigure {
    fn axes(&self) -> Option<(Axis, Axis)> {
        let shown = self.rows.iter().filter(|row| self.x_scale.shows(row.value));
        let mut rows = shown.flat_map(|row| [row.value, row.low, row.high]).peekable();
        // References alone are nothing to draw.
        rows.peek()?;
        let references = self.references.iter().map(|reference| reference.x);
        let x = Axis::over(self.x_scale, rows.chain(references))?;
        Some((x, Axis::between(Scale::Linear, 0.0, self.rows.len() as f64)?))
    }

    fn frame(&self, x: Axis, y: Axis, (top, width): (f64, f64)) -> Frame {
        let widest = |text: fn(&ForestRow) -> &str| {
            self.rows.iter().map(|row| text_width(text(row), TICK_SIZE)).fold(0.0, f64::max)
        };
        let labels = widest(|row| &row.label).min(MOST_LABEL * width);
        let numbers = widest(|row| &row.numbers).min(MOST_NUMBERS * width);
        Frame {
            left: EDGE + labels + SIDE_GAP,
            right: width - EDGE - numbers - SIDE_GAP,
            top,
            bottom: top + ROW * self.rows.len() as f64,
            x,
            y,
            tick_size: TICK_SIZE,
        }
    }

    fn draw_plot(&self, canvas: &mut Canvas, frame: &Frame, width: f64) {
        let ticks = frame.x_ticks(None);
        let grid = Stroke::solid(GRID, GRID_WIDTH);
        ticks.major.iter().for_each(|(x, _)| frame.draw_upright(canvas, *x, grid));
        for (i, reference) in self.references.iter().enumerate() {
            frame.draw_upright(canvas, reference.x, reference_stroke(i));
        }
        for (i, row) in self.rows.iter().enumerate() {
            row.draw(canvas, frame, (width, frame.top + (i as f64 + 0.5) * ROW));
        }
        frame.draw_x_axis(canvas, &ticks, true);
        frame.draw_x_label(canvas, &self.x_label);
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let entry = |(i, reference): (usize, &Reference)| {
            Entry::of([Glyph::Line(reference_stroke(i))], &reference.label)
        };
        self.references.iter().enumerate().map(entry)
    }
}

impl ForestRow {
    fn draw(&self, canvas: &mut Canvas, frame: &Frame, (width, y): (f64, f64)) {
        let label = shortened(&self.label, TICK_SIZE, MOST_LABEL * width);
        canvas.text(&label, (EDGE, y), set(TICK_SIZE, Anchor::Left));
        let numbers = shortened(&self.numbers, TICK_SIZE, MOST_NUMBERS * width);
        canvas.text(&numbers, (width - EDGE, y), set(TICK_SIZE, Anchor::Right));
        if !frame.x.shows(self.value) {
            return;
        }
        let stroke = Stroke::solid(category_colour(0), 0.8 * STRONG_WIDTH);
        if frame.x.shows(self.low) && frame.x.shows(self.high) {
            let ends: [Spot; 2] = [(frame.x_px(self.low), y), (frame.x_px(self.high), y)];
            canvas.line(&ends, stroke);
            for (x, y) in ends {
                canvas.line(&[(x, y - CAP), (x, y + CAP)], stroke);
            }
        }
        Marker::of_category(0, false).larger().draw(canvas, (frame.x_px(self.value), y));
    }
}

fn reference_stroke(index: usize) -> Stroke {
    let dash = if index == 0 { Dash::Broken(6.0, 4.0) } else { variant_dash(index + 1) };
    Stroke::solid(FRONTIER, LINE_WIDTH).dashed(dash)
}
