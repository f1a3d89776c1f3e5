//! Around the data: title, axes with ticks and labels, grid, and the legend beside them. The room
//! each needs is measured, so that none reaches into another.

use crate::axis::{Axis, Ticks};
use crate::canvas::{self, Anchor, Canvas, Direction, Spot, Type, text_width, wrap};
use crate::legend::Legend;
use crate::style::{
    GRID, GRID_WIDTH, HEIGHT, INK, LABEL_SIZE, LEADING, SPINE_WIDTH, Stroke, TICK_SIZE, TITLE_SIZE,
    WIDTH,
};

const EDGE: f64 = 12.0;
const LEGEND_GAP: f64 = 22.0;
const MAJOR_TICK: f64 = 5.0;
const MINOR_TICK: f64 = 3.0;
const TICK_GAP: f64 = 4.0;
/// Below the plot: ticks, their labels, the axis label.
const BOTTOM: f64 = 58.0;
/// Usual distance between the middles of two tick labels.
const X_LABEL_ROOM: f64 = 58.0;
/// Least space between two of them.
const X_LABEL_GAP: f64 = 10.0;
const Y_LABEL_ROOM: f64 = 24.0;

pub(crate) struct Plan<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Values that the x axis should name, if there is room.
    pub(crate) x_ticks: Option<Vec<f64>>,
    pub(crate) legend: Legend,
}

/// The plot's rectangle and its axes.
pub(crate) struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Axis,
    y: Axis,
}

impl Plan<'_> {
    /// The whole figure, with what `paint` draws inside the frame.
    pub(crate) fn draw(&self, paint: impl FnOnce(&mut Canvas, &Frame)) -> String {
        let title = wrap(self.title, TITLE_SIZE, WIDTH - 2.0 * EDGE);
        let title = if self.title.is_empty() { Vec::new() } else { title };
        let top = EDGE + title.len() as f64 * TITLE_SIZE * LEADING + 4.0;
        let height = HEIGHT.max(top + self.legend.height() + EDGE);
        let bottom = height - BOTTOM;
        let y_ticks = self.y.ticks(Y_LABEL_ROOM / (bottom - top));
        let tick_width =
            y_ticks.major.iter().map(|(_, label)| text_width(label, TICK_SIZE)).fold(0.0, f64::max);
        let left = EDGE + LABEL_SIZE * LEADING + tick_width + TICK_GAP + MAJOR_TICK;
        let right = WIDTH - EDGE - LEGEND_GAP - self.legend.width();
        let frame = Frame { left, right, top, bottom, x: self.x, y: self.y };
        let x_ticks = self.x_ticks(right - left);
        canvas::draw(WIDTH, height, self.title, |canvas| {
            frame.draw_grid(canvas, &x_ticks, &y_ticks);
            paint(canvas, &frame);
            frame.draw_x_axis(canvas, &x_ticks, self.x_label);
            frame.draw_y_axis(canvas, &y_ticks, self.y_label);
            draw_title(canvas, &title, left);
            self.legend.draw(canvas, (right + LEGEND_GAP, top));
        })
    }

    /// The wanted ticks, or the densest ones whose labels stand clear of each other.
    fn x_ticks(&self, width: f64) -> Ticks {
        let gap = X_LABEL_ROOM / width;
        let wanted = self.x_ticks.as_ref().and_then(|values| self.x.ticks_at(values, gap));
        let sparser = (0..8).map(|times| self.x.ticks((gap * 1.4_f64.powi(times)).min(1.0)));
        let fits = |ticks: &Ticks| clear_of_each_other(ticks, &self.x, width);
        wanted.into_iter().chain(sparser).find(fits).unwrap_or_default()
    }
}

fn clear_of_each_other(ticks: &Ticks, axis: &Axis, width: f64) -> bool {
    let span = |(value, label): &(f64, String)| {
        let (middle, half) = (axis.position(*value) * width, 0.5 * text_width(label, TICK_SIZE));
        (middle - half, middle + half)
    };
    ticks.major.windows(2).all(|pair| span(&pair[0]).1 + X_LABEL_GAP <= span(&pair[1]).0)
}

fn draw_title(canvas: &mut Canvas, lines: &[String], left: f64) {
    for (i, line) in lines.iter().enumerate() {
        let y = EDGE + (i as f64 + 0.5) * TITLE_SIZE * LEADING;
        // A title wider than the plot starts at the edge instead of above the axis.
        let x = if left + text_width(line, TITLE_SIZE) > WIDTH - EDGE { EDGE } else { left };
        canvas.text(line, (x, y), set(TITLE_SIZE, Anchor::Left));
    }
}

fn set(size: f64, anchor: Anchor) -> Type {
    Type { size, colour: INK, anchor, direction: Direction::Across }
}

impl Frame {
    pub(crate) fn shows(&self, x: f64, y: f64) -> bool {
        self.x.shows(x) && self.y.shows(y)
    }

    /// Where a value lies, in px; held within the plot.
    pub(crate) fn spot(&self, x: f64, y: f64) -> Spot {
        (self.x_px(x), self.y_px(y))
    }

    /// The same plot with everything in it `dx` px to the right.
    pub(crate) fn moved(&self, dx: f64) -> Self {
        Self { left: self.left + dx, right: self.right + dx, ..*self }
    }

    pub(crate) fn x_px(&self, x: f64) -> f64 {
        self.left + self.x.position(x) * (self.right - self.left)
    }

    fn y_px(&self, y: f64) -> f64 {
        self.bottom - self.y.position(y) * (self.bottom - self.top)
    }

    fn draw_grid(&self, canvas: &mut Canvas, x_ticks: &Ticks, y_ticks: &Ticks) {
        let grid = Stroke::solid(GRID, GRID_WIDTH);
        for x in x_ticks.major.iter().map(|(x, _)| self.x_px(*x)) {
            canvas.line(&[(x, self.top), (x, self.bottom)], grid);
        }
        for y in y_ticks.major.iter().map(|(y, _)| self.y_px(*y)) {
            canvas.line(&[(self.left, y), (self.right, y)], grid);
        }
    }

    fn draw_x_axis(&self, canvas: &mut Canvas, ticks: &Ticks, label: &str) {
        let ink = Stroke::solid(INK, SPINE_WIDTH);
        canvas.line(&[(self.left, self.bottom), (self.right, self.bottom)], ink);
        for x in ticks.minor.iter().map(|x| self.x_px(*x)) {
            canvas.line(&[(x, self.bottom), (x, self.bottom + MINOR_TICK)], ink);
        }
        for (value, text) in &ticks.major {
            let x = self.x_px(*value);
            canvas.line(&[(x, self.bottom), (x, self.bottom + MAJOR_TICK)], ink);
            let y = self.bottom + MAJOR_TICK + TICK_GAP + 0.6 * TICK_SIZE;
            canvas.text(text, (x, y), set(TICK_SIZE, Anchor::Centre));
        }
        let middle = 0.5 * (self.left + self.right);
        let y = self.bottom + BOTTOM - EDGE - 0.4 * LABEL_SIZE;
        canvas.text(label, (middle, y), set(LABEL_SIZE, Anchor::Centre));
    }

    fn draw_y_axis(&self, canvas: &mut Canvas, ticks: &Ticks, label: &str) {
        let ink = Stroke::solid(INK, SPINE_WIDTH);
        canvas.line(&[(self.left, self.top), (self.left, self.bottom)], ink);
        for y in ticks.minor.iter().map(|y| self.y_px(*y)) {
            canvas.line(&[(self.left - MINOR_TICK, y), (self.left, y)], ink);
        }
        for (value, text) in &ticks.major {
            let y = self.y_px(*value);
            canvas.line(&[(self.left - MAJOR_TICK, y), (self.left, y)], ink);
            let x = self.left - MAJOR_TICK - TICK_GAP;
            canvas.text(text, (x, y), set(TICK_SIZE, Anchor::Right));
        }
        let middle = 0.5 * (self.top + self.bottom);
        let upward = Type { direction: Direction::Up, ..set(LABEL_SIZE, Anchor::Centre) };
        canvas.text(label, (EDGE + 0.5 * LABEL_SIZE, middle), upward);
    }
}
