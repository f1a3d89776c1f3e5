//! Extrapolation on many curves at once: a small plot for each, with the points that were fitted,
//! those that were held out, and what each estimator made of them.

use crate::axis::{Axis, Scale, Ticks, on_log_axes};
use crate::canvas::{self, Anchor, Canvas, Spot, Type, shortened, text_width};
use crate::curve::{CurvePoint, Drawn, within_reach};
use crate::frame::{BOTTOM, EDGE, Frame, Title, set, y_tick_room, y_ticks};
use crate::legend::{Entry, Glyph, Rows};
use crate::mark::Marker;
use crate::style::{
    BAND_OPACITY, Colour, Dash, INK, LABEL_SIZE, LEADING, LINE_WIDTH, PaperSize, SMALL_SIZE,
    SOFT_INK, STRONG_WIDTH, Stroke, THIN_WIDTH, category_colour, variant_dash,
};
use crate::{Data, Datum, DrawError, Figure, Look};

const PANEL_TITLE_SIZE: f64 = 12.0;
/// Above a plot: its title and the estimators' errors.
const HEAD: f64 = (PANEL_TITLE_SIZE + SMALL_SIZE) * LEADING + 3.0;
/// Below a plot: its ticks and their labels.
const FOOT: f64 = 26.0;
/// Between a plot and the ticks of the one to its right.
const COLUMN_GAP: f64 = 14.0;
/// Height of a plot over the width of its column, and the most height.
const ASPECT: f64 = 0.56;
const MOST_HEIGHT: f64 = 360.0;
/// Below the legend.
const LEGEND_GAP: f64 = 10.0;
/// Between the errors of neighbouring estimators.
const ERROR_GAP: f64 = 9.0;

#[derive(Clone, Debug)]
pub struct BacktestFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// What [`EstimatorCurve::estimator`] counts; the first is the one that has a band.
    pub estimators: Vec<String>,
    /// Of the band: `90% interval`.
    pub band_label: String,
    /// Row by row.
    pub panels: Vec<BacktestPanel>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct BacktestPanel {
    pub title: String,
    pub train: Vec<(f64, f64)>,
    pub held_out: Vec<(f64, f64)>,
    /// What was held out lies beyond this x.
    pub cut: f64,
    pub curves: Vec<EstimatorCurve>,
    /// Of the first estimator, in order of x.
    pub band: Vec<CurvePoint>,
}

#[derive(Clone, Debug)]
pub struct EstimatorCurve {
    /// Index into [`BacktestFigure::estimators`].
    pub estimator: usize,
    /// Over the points held out; the least errors are written above the plot.
    pub rmse: f64,
    /// In order of x.
    pub points: Vec<(f64, f64)>,
}

/// Where the plots are. All are of one size.
struct Grid {
    columns: usize,
    /// Upper left corner of the first plot.
    first: Spot,
    width: f64,
    height: f64,
    /// From one plot to the next.
    step: Spot,
}

/// A plot with its frame and ticks.
struct Cell<'a> {
    panel: &'a BacktestPanel,
    frame: Frame,
    x_ticks: Ticks,
    y_ticks: Ticks,
}

impl Figure for BacktestFigure {
    /// Panels without a point are left out.
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let drawable: Vec<_> =
            self.panels.iter().filter_map(|panel| Some((panel, panel.axes()?))).collect();
        let title = Title::of(&self.title, look);
        let width = look.size.width();
        let legend = Rows::of(self.entries(), width - 2.0 * EDGE);
        let legend_top = title.bottom();
        let top = legend_top + legend.height() + LEGEND_GAP;
        let grid = Grid::of(&drawable, top, look.size);
        let cells: Vec<Cell> = (0..).zip(drawable).map(|(i, panel)| grid.cell(i, panel)).collect();
        let whole = around(&cells).ok_or(DrawError::Nothing { figure: "backtest" })?;
        Ok(canvas::draw(look.theme, (width, whole.bottom + BOTTOM), &self.title, |canvas| {
            cells.iter().for_each(|cell| self.draw_cell(canvas, cell));
            whole.draw_x_label(canvas, &self.x_label);
            whole.draw_y_label(canvas, &self.y_label);
            title.draw(canvas, EDGE);
            legend.draw(canvas, (EDGE, legend_top));
        }))
    }

    fn data(&self) -> Data {
        let of = |panel: &BacktestPanel| {
            let points = Datum::pairs("fitted", &panel.train)
                .chain(Datum::pairs("held out", &panel.held_out));
            let curves = panel.curves.iter().flat_map(|curve| {
                let name = self.estimators.get(curve.estimator).map_or("", String::as_str);
                Datum::pairs("curve", &curve.points).map(move |row| row.variant(name))
            });
            let band = panel.band.iter().map(|at| Datum::on_curve(&self.band_label, at));
            let rows = points.chain(curves).chain(band);
            rows.map(|row| row.of(&panel.title)).collect::<Vec<_>>()
        };
        Data::new(&self.x_label, &self.y_label, self.panels.iter().flat_map(of))
    }
}

impl BacktestFigure {
    fn draw_cell(&self, canvas: &mut Canvas, cell: &Cell) {
        let (panel, frame) = (cell.panel, &cell.frame);
        frame.draw_grid(canvas, &cell.x_ticks, &cell.y_ticks);
        panel.paint(canvas, frame);
        frame.draw_x_axis(canvas, &cell.x_ticks, true);
        frame.draw_y_axis(canvas, &cell.y_ticks);
        let errors_at = frame.top - 3.0 - 0.5 * SMALL_SIZE * LEADING;
        let title_at = errors_at - 0.5 * (SMALL_SIZE + PANEL_TITLE_SIZE) * LEADING;
        let left = frame.left - y_tick_room(&cell.y_ticks, SMALL_SIZE);
        let title = shortened(&panel.title, PANEL_TITLE_SIZE, frame.right - left);
        canvas.text(&title, (left, title_at), set(PANEL_TITLE_SIZE, Anchor::Left));
        self.draw_errors(canvas, panel, (left, errors_at), frame.right);
    }

    /// The least errors, as many as there is room for.
    fn draw_errors(&self, canvas: &mut Canvas, panel: &BacktestPanel, at: Spot, right: f64) {
        let mut curves: Vec<&EstimatorCurve> =
            panel.curves.iter().filter(|curve| curve.rmse.is_finite()).collect();
        curves.sort_by(|a, b| a.rmse.total_cmp(&b.rmse));
        let mut x = at.0;
        for curve in curves {
            let Some(name) = self.estimators.get(curve.estimator) else { continue };
            let text = format!("{name} {:.3}", curve.rmse);
            let end = x + text_width(&text, SMALL_SIZE);
            if end > right {
                break;
            }
            let colour = colour(curve.estimator).for_text();
            let how = Type { colour, ..set(SMALL_SIZE, Anchor::Left) };
            canvas.text(&text, (x, at.1), how);
            x = end + ERROR_GAP;
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let estimator = |(i, name): (usize, &String)| Entry::of([Glyph::Line(stroke(i))], name);
        let band = self.panels.iter().any(|panel| !panel.band.is_empty());
        let band = band.then(|| {
            let first = self.estimators.first().map_or("", String::as_str);
            let label = format!("{first}: {}", self.band_label);
            Entry::of([Glyph::Band(SOFT_INK, BAND_OPACITY)], label)
        });
        let points = [
            Entry::of([Glyph::Marker(train_marker())], "fitted"),
            Entry::of([Glyph::Marker(held_out_marker())], "held out"),
            Entry::of([Glyph::Line(cut_stroke())], "cut"),
        ];
        let estimators = self.estimators.iter().enumerate().map(estimator);
        points.into_iter().chain(estimators).chain(band).collect()
    }
}

impl Grid {
    fn of(panels: &[(&BacktestPanel, (Axis, Axis))], top: f64, size: PaperSize) -> Self {
        let columns = match (size, panels.len()) {
            (_, 0 | 1) => 1,
            (_, 2..=4) | (PaperSize::Column, 5..) => 2,
            (PaperSize::Page, 5..=9) => 3,
            (PaperSize::Page, 10..) => 4,
        };
        let left = EDGE + LABEL_SIZE * LEADING;
        let step = (size.width() - EDGE - left + COLUMN_GAP) / columns as f64;
        let height = (ASPECT * step).min(MOST_HEIGHT);
        let room = |(_, (_, y)): &(_, (Axis, Axis))| {
            y_tick_room(&y_ticks(y, height, SMALL_SIZE), SMALL_SIZE)
        };
        let tick_room = panels.iter().map(room).fold(0.0, f64::max);
        let first = (left + tick_room, top + HEAD);
        let width = step - COLUMN_GAP - tick_room;
        Self { columns, first, width, height, step: (step, HEAD + height + FOOT) }
    }

    fn cell<'a>(&self, i: usize, (panel, (x, y)): (&'a BacktestPanel, (Axis, Axis))) -> Cell<'a> {
        let (column, row) = ((i % self.columns) as f64, (i / self.columns) as f64);
        let (left, top) = (self.first.0 + column * self.step.0, self.first.1 + row * self.step.1);
        let (right, bottom) = (left + self.width, top + self.height);
        let frame = Frame { left, right, top, bottom, x, y, tick_size: SMALL_SIZE };
        let y_ticks = y_ticks(&y, self.height, SMALL_SIZE);
        Cell { panel, x_ticks: frame.x_ticks(None), y_ticks, frame }
    }
}

/// What all plots cover together.
fn around(cells: &[Cell]) -> Option<Frame> {
    let right = cells.iter().map(|cell| cell.frame.right).fold(0.0, f64::max);
    let (first, last) = (cells.first()?.frame, cells.last()?.frame);
    Some(Frame { right, bottom: last.bottom, ..first })
}

impl BacktestPanel {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.train.iter().chain(&self.held_out).copied().filter(on_log_axes)
    }

    /// Of the points; a curve that is far from them leaves the plot.
    fn axes(&self) -> Option<(Axis, Axis)> {
        let x = Axis::over(Scale::Log, self.points().map(|(x, _)| x))?;
        let ys: Vec<f64> = self.points().map(|(_, y)| y).collect();
        let band = within_reach(self.band.iter(), &ys);
        Some((x, Axis::over(Scale::Log, band.chain(ys.iter().copied()))?))
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let band = Drawn { points: &self.band, last_x: f64::INFINITY };
        band.paint_band(canvas, frame, SOFT_INK, BAND_OPACITY);
        frame.draw_upright(canvas, self.cut, cut_stroke());
        for (points, marker) in [(&self.train, train_marker()), (&self.held_out, held_out_marker())]
        {
            let shown = points.iter().filter(|(x, y)| frame.shows(*x, *y));
            let spots: Vec<Spot> = shown.map(|(x, y)| frame.spot(*x, *y)).collect();
            marker.draw_all(canvas, &spots);
        }
        // The first estimator over all others.
        let mut curves: Vec<&EstimatorCurve> = self.curves.iter().collect();
        curves.sort_by_key(|curve| std::cmp::Reverse(curve.estimator));
        for curve in curves {
            for spots in frame.stretches(&curve.points) {
                canvas.line(&spots, stroke(curve.estimator));
            }
        }
    }
}

fn colour(estimator: usize) -> Colour {
    estimator.checked_sub(1).map_or(INK, category_colour)
}

fn stroke(estimator: usize) -> Stroke {
    let width = if estimator == 0 { 0.9 * STRONG_WIDTH } else { LINE_WIDTH };
    Stroke::solid(colour(estimator), width).dashed(variant_dash(estimator))
}

fn train_marker() -> Marker {
    Marker::disc(SOFT_INK, false).tiny()
}

fn held_out_marker() -> Marker {
    Marker::disc(SOFT_INK, true).tiny()
}

fn cut_stroke() -> Stroke {
    Stroke::solid(SOFT_INK, THIN_WIDTH).dashed(Dash::Broken(2.0, 2.5))
}
