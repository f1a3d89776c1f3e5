//! A plot: its rectangle, its axes with ticks and labels, and its grid.

use crate::axis::{Axis, Ticks};
use crate::canvas::{Anchor, Canvas, Direction, Spot, Type, text_width, wrap};
use crate::style::{
    GRID, GRID_WIDTH, INK, LABEL_SIZE, LEADING, Look, SPINE_WIDTH, Stroke, TICK_SIZE, TITLE_SIZE,
};

/// Free on all sides of a figure.
pub(crate) const EDGE: f64 = 12.0;
/// Below the lowest plot: ticks, their labels, the axis label.
pub(crate) const BOTTOM: f64 = 58.0;
const MAJOR_TICK: f64 = 5.0;
const MINOR_TICK: f64 = 3.0;
const TICK_GAP: f64 = 4.0;
/// Usual distance between the middles of two tick labels.
const X_LABEL_ROOM: f64 = 58.0;
const Y_LABEL_ROOM: f64 = 24.0;
/// Least space between two labels of an x axis.
const X_LABEL_GAP: f64 = 10.0;

/// The title of a figure, wrapped to its width.
pub(crate) struct Title {
    lines: Vec<String>,
    /// Of the figure.
    width: f64,
}

impl Title {
    pub(crate) fn of(text: &str, look: Look) -> Self {
        let width = look.size.width();
        let is_shown = !look.is_untitled && !text.is_empty();
        let lines = is_shown.then(|| wrap(text, TITLE_SIZE, width - 2.0 * EDGE));
        Self { lines: lines.unwrap_or_default(), width }
    }

    /// Where what is below it begins.
    pub(crate) fn bottom(&self) -> f64 {
        EDGE + self.lines.len() as f64 * TITLE_SIZE * LEADING + 4.0
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas, left: f64) {
        for (i, line) in self.lines.iter().enumerate() {
            let y = EDGE + (i as f64 + 0.5) * TITLE_SIZE * LEADING;
            // A title wider than the plot starts at the edge instead of above the axis.
            let right = left + text_width(line, TITLE_SIZE);
            let x = if right > self.width - EDGE { EDGE } else { left };
            canvas.text(line, (x, y), set(TITLE_SIZE, Anchor::Left));
        }
    }
}

/// The plot's rectangle and its axes.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Font size of the numbers at the ticks.
    pub(crate) tick_size: f64,
}

/// Room that the ticks of a y axis and their labels take beside the plot.
pub(crate) fn y_tick_room(ticks: &Ticks, tick_size: f64) -> f64 {
    let widths = ticks.major.iter().map(|(_, label)| text_width(label, tick_size));
    widths.fold(0.0, f64::max) + TICK_GAP + MAJOR_TICK
}

/// Ticks of a y axis that is `height` px high.
pub(crate) fn y_ticks(axis: &Axis, height: f64, tick_size: f64) -> Ticks {
    axis.ticks(Y_LABEL_ROOM * tick_size / TICK_SIZE / height)
}

/// The part of a segment that is within the unit square (Liang and Barsky 1984).
fn within_unit(from: (f64, f64), to: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
    let (mut first, mut last) = (0.0_f64, 1.0_f64);
    for (start, step) in [(from.0, to.0 - from.0), (from.1, to.1 - from.1)] {
        let ends = [(0.0 - start) / step, (1.0 - start) / step];
        if step == 0.0 {
            last = if (0.0..=1.0).contains(&start) { last } else { -1.0 };
        } else {
            first = first.max(ends[0].min(ends[1]));
            last = last.min(ends[0].max(ends[1]));
        }
    }
    let at = |t: f64| (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1));
    // Whole ends stay what they are, so that neighbouring segments meet.
    let start = if first == 0.0 { from } else { at(first) };
    (first <= last).then(|| (start, if last == 1.0 { to } else { at(last) }))
}

/// Text that is read across.
pub(crate) fn set(size: f64, anchor: Anchor) -> Type {
    Type { size, colour: INK, anchor, direction: Direction::Across }
}

impl Frame {
    /// Whether the axes can show a point, be it held at their ends.
    pub(crate) fn shows(&self, x: f64, y: f64) -> bool {
        self.x.shows(x) && self.y.shows(y)
    }

    /// Whether a point is within the plot.
    pub(crate) fn holds(&self, x: f64, y: f64) -> bool {
        self.x.holds(x) && self.y.holds(y)
    }

    /// Where a value lies, in px; held within the plot.
    pub(crate) fn spot(&self, x: f64, y: f64) -> Spot {
        (self.x_px(x), self.y_px(y))
    }

    /// The stretches of a line that are within the plot, cut where it leaves.
    pub(crate) fn stretches(&self, points: &[(f64, f64)]) -> Vec<Vec<Spot>> {
        let shown = points.iter().filter(|(x, y)| self.shows(*x, *y));
        let shares: Vec<_> = shown.map(|(x, y)| (self.x.share(*x), self.y.share(*y))).collect();
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        let mut lines: Vec<Vec<Spot>> = Vec::new();
        for (from, to) in shares.windows(2).filter_map(|pair| within_unit(pair[0], pair[1])) {
            let spot = |(x, y)| (self.left + x * width, self.bottom - y * height);
            match lines.last_mut() {
                Some(line) if line.last() == Some(&spot(from)) => line.push(spot(to)),
                Some(_) | None => lines.push(vec![spot(from), spot(to)]),
            }
        }
        lines
    }

    /// The same plot with everything in it `dx` px to the right.
    pub(crate) fn moved(&self, dx: f64) -> Self {
        Self { left: self.left + dx, right: self.right + dx, ..*self }
    }

    pub(crate) fn x_px(&self, x: f64) -> f64 {
        self.left + self.x.position(x) * (self.right - self.left)
    }

    pub(crate) fn y_px(&self, y: f64) -> f64 {
        self.bottom - self.y.position(y) * (self.bottom - self.top)
    }

    /// The wanted ticks, or the densest ones whose labels stand clear of each other; plots with
    /// small numbers have them closer together. A label that reaches too far to the right is left out.
    pub(crate) fn x_ticks(&self, wanted: Option<&[f64]>) -> Ticks {
        let gap = X_LABEL_ROOM * (self.tick_size / TICK_SIZE).powi(2) / (self.right - self.left);
        let wanted = wanted.and_then(|values| self.x.ticks_at(values, gap));
        let sparser = (0..8).map(|times| self.x.ticks((gap * 1.4_f64.powi(times)).min(1.0)));
        let fits = |ticks: &Ticks| self.clear_of_each_other(ticks);
        let mut ticks = wanted.into_iter().chain(sparser).find(fits).unwrap_or_default();
        ticks.major.retain(|tick| self.label_span(tick).1 <= self.right + 0.75 * EDGE);
        ticks
    }

    fn clear_of_each_other(&self, ticks: &Ticks) -> bool {
        let span = |tick| self.label_span(tick);
        ticks.major.windows(2).all(|pair| span(&pair[0]).1 + X_LABEL_GAP <= span(&pair[1]).0)
    }

    /// Left and right end of the label of a tick of the x axis.
    fn label_span(&self, (value, label): &(f64, String)) -> (f64, f64) {
        let (middle, half) = (self.x_px(*value), 0.5 * text_width(label, self.tick_size));
        (middle - half, middle + half)
    }

    /// A line across the whole plot at `y`, where the plot has it.
    pub(crate) fn draw_level(&self, canvas: &mut Canvas, y: f64, stroke: Stroke) {
        if self.y.holds(y) {
            let y = self.y_px(y);
            canvas.line(&[(self.left, y), (self.right, y)], stroke);
        }
    }

    /// A line up the whole plot at `x`, where the plot has it.
    pub(crate) fn draw_upright(&self, canvas: &mut Canvas, x: f64, stroke: Stroke) {
        if self.x.holds(x) {
            let x = self.x_px(x);
            canvas.line(&[(x, self.top), (x, self.bottom)], stroke);
        }
    }

    pub(crate) fn draw_grid(&self, canvas: &mut Canvas, x_ticks: &Ticks, y_ticks: &Ticks) {
        let grid = Stroke::solid(GRID, GRID_WIDTH);
        for x in x_ticks.major.iter().map(|(x, _)| self.x_px(*x)) {
            canvas.line(&[(x, self.top), (x, self.bottom)], grid);
        }
        for y in y_ticks.major.iter().map(|(y, _)| self.y_px(*y)) {
            canvas.line(&[(self.left, y), (self.right, y)], grid);
        }
    }

    /// Spine and ticks; with their labels if `named`.
    pub(crate) fn draw_x_axis(&self, canvas: &mut Canvas, ticks: &Ticks, named: bool) {
        let ink = Stroke::solid(INK, SPINE_WIDTH);
        canvas.line(&[(self.left, self.bottom), (self.right, self.bottom)], ink);
        for x in ticks.minor.iter().map(|x| self.x_px(*x)) {
            canvas.line(&[(x, self.bottom), (x, self.bottom + MINOR_TICK)], ink);
        }
        for (value, text) in &ticks.major {
            let x = self.x_px(*value);
            canvas.line(&[(x, self.bottom), (x, self.bottom + MAJOR_TICK)], ink);
            let y = self.bottom + MAJOR_TICK + TICK_GAP + 0.6 * self.tick_size;
            let text = if named { text } else { "" };
            canvas.text(text, (x, y), set(self.tick_size, Anchor::Centre));
        }
    }

    pub(crate) fn draw_x_label(&self, canvas: &mut Canvas, label: &str) {
        let middle = 0.5 * (self.left + self.right);
        let y = self.bottom + BOTTOM - EDGE - 0.4 * LABEL_SIZE;
        canvas.text(label, (middle, y), set(LABEL_SIZE, Anchor::Centre));
    }

    pub(crate) fn draw_y_axis(&self, canvas: &mut Canvas, ticks: &Ticks) {
        let ink = Stroke::solid(INK, SPINE_WIDTH);
        canvas.line(&[(self.left, self.top), (self.left, self.bottom)], ink);
        for y in ticks.minor.iter().map(|y| self.y_px(*y)) {
            canvas.line(&[(self.left - MINOR_TICK, y), (self.left, y)], ink);
        }
        for (value, text) in &ticks.major {
            let y = self.y_px(*value);
            canvas.line(&[(self.left - MAJOR_TICK, y), (self.left, y)], ink);
            let x = self.left - MAJOR_TICK - TICK_GAP;
            canvas.text(text, (x, y), set(self.tick_size, Anchor::Right));
        }
    }

    /// At the left edge of the figure.
    pub(crate) fn draw_y_label(&self, canvas: &mut Canvas, label: &str) {
        let middle = 0.5 * (self.top + self.bottom);
        let upward = Type { direction: Direction::Up, ..set(LABEL_SIZE, Anchor::Centre) };
        canvas.text(label, (EDGE + 0.5 * LABEL_SIZE, middle), upward);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axis::Scale;

    fn frame() -> Frame {
        let x = Axis::between(Scale::Log, 1.0, 100.0).unwrap();
        let y = Axis::between(Scale::Linear, 0.0, 1.0).unwrap();
        Frame { left: 0.0, right: 200.0, top: 0.0, bottom: 100.0, x, y, tick_size: TICK_SIZE }
    }

    #[test]
    fn a_line_is_cut_where_it_leaves_the_plot_and_goes_on_where_it_comes_back() {
        let across = frame().stretches(&[(0.01, 0.5), (1e4, 0.5)]);
        assert_eq!(across, [[(0.0, 50.0), (200.0, 50.0)]]);
        let peak = [(1.0, 0.0), (10.0, 2.0), (100.0, 0.0)];
        let sides = [[(0.0, 100.0), (50.0, 0.0)], [(150.0, 0.0), (200.0, 100.0)]];
        assert_eq!(frame().stretches(&peak), sides);
    }

    #[test]
    fn a_line_within_the_plot_stays_whole_and_skips_what_has_no_place() {
        let line = [(1.0, 0.0), (f64::NAN, 0.2), (10.0, 0.5), (-1.0, 0.7), (100.0, 1.0)];
        assert_eq!(frame().stretches(&line), [[(0.0, 100.0), (100.0, 50.0), (200.0, 0.0)]]);
        assert!(frame().stretches(&[(1.0, 2.0), (100.0, 2.0)]).is_empty());
    }
}
