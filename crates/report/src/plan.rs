//! Where the parts of a figure are: the title, one plot or several above one another over the same
//! x axis, and the legend beside or below them. The room each needs is measured, so that none reaches
//! into another.

use crate::axis::{Axis, Ticks};
use crate::canvas::{self, Canvas};
use crate::frame::{BOTTOM, EDGE, Frame, Title, y_tick_room, y_ticks};
use crate::legend::{Below, Legend};
use crate::style::{HEIGHT, LABEL_SIZE, LEADING, Look, PaperSize, TICK_SIZE};

const LEGEND_GAP: f64 = 22.0;
/// Between a plot and the one below it.
const PANEL_GAP: f64 = 20.0;

/// A figure of `N` plots.
pub(crate) struct Plan<'a, const N: usize> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) x: Axis,
    /// Values that the x axis should name, if there is room.
    pub(crate) x_ticks: Option<Vec<f64>>,
    /// From top to bottom.
    pub(crate) panels: [Panel<'a>; N],
    pub(crate) legend: Legend,
}

pub(crate) struct Panel<'a> {
    pub(crate) y_label: &'a str,
    pub(crate) y: Axis,
    /// Height in px of a figure with nothing but this plot, over two columns of a paper.
    pub(crate) height: f64,
}

/// A legend where it has its place.
enum Placed {
    Beside(Legend),
    Below(Below),
}

/// What the frames share.
#[derive(Clone, Copy)]
struct Outline {
    right: f64,
    top: f64,
    bottom: f64,
}

impl<'a> Panel<'a> {
    /// The only plot of a figure.
    pub(crate) fn whole(y_label: &'a str, y: Axis) -> Self {
        Self { y_label, y, height: HEIGHT }
    }
}

impl Placed {
    fn new(legend: Legend, size: PaperSize) -> Self {
        match size {
            PaperSize::Page => Self::Beside(legend),
            PaperSize::Column => Self::Below(legend.below(size.width() - 2.0 * EDGE)),
        }
    }

    /// The plots of a figure whose title ends at `top`, and the height of all. `least` is that of a figure
    /// without a legend.
    fn outline(&self, size: PaperSize, top: f64, least: f64) -> (Outline, f64) {
        let right = size.width() - EDGE;
        match self {
            Self::Beside(legend) => {
                let height = least.max(top + legend.height() + EDGE);
                let right = right - LEGEND_GAP - legend.width();
                (Outline { right, top, bottom: height - BOTTOM }, height)
            }
            Self::Below(legend) => {
                (Outline { right, top, bottom: least - BOTTOM }, least + legend.height() + EDGE)
            }
        }
    }

    fn draw(&self, canvas: &mut Canvas, outline: Outline) {
        match self {
            Self::Beside(legend) => legend.draw(canvas, (outline.right + LEGEND_GAP, outline.top)),
            Self::Below(legend) => legend.draw(canvas, (EDGE, outline.bottom + BOTTOM)),
        }
    }
}

impl<const N: usize> Plan<'_, N> {
    /// The whole figure, with what `paint` draws inside the frames.
    pub(crate) fn draw(self, look: Look, paint: impl FnOnce(&mut Canvas, &[Frame; N])) -> String {
        let Self { title, x_label, x, x_ticks, panels, legend } = self;
        let heading = Title::of(title, look);
        let least = panels.iter().map(|panel| look.size.height(panel.height)).sum::<f64>();
        let legend = Placed::new(legend, look.size);
        let (outline, height) = legend.outline(look.size, heading.bottom(), least);
        let (frames, y_ticks) = frames(x, &panels, outline);
        let x_ticks = frames[0].x_ticks(x_ticks.as_deref());
        canvas::draw(look.theme, (look.size.width(), height), title, |canvas| {
            for (frame, y_ticks) in frames.iter().zip(&y_ticks) {
                frame.draw_grid(canvas, &x_ticks, y_ticks);
            }
            paint(canvas, &frames);
            for (i, (frame, panel)) in frames.iter().zip(&panels).enumerate() {
                let is_lowest = i + 1 == N;
                frame.draw_x_axis(canvas, &x_ticks, is_lowest);
                frame.draw_x_label(canvas, if is_lowest { x_label } else { "" });
                frame.draw_y_axis(canvas, &y_ticks[i]);
                frame.draw_y_label(canvas, panel.y_label);
            }
            heading.draw(canvas, frames[0].left);
            legend.draw(canvas, outline);
        })
    }
}

fn frames<const N: usize>(
    x: Axis,
    panels: &[Panel; N],
    outline: Outline,
) -> ([Frame; N], [Ticks; N]) {
    let spans = spans(panels, outline);
    let ticks: [Ticks; N] =
        std::array::from_fn(|i| y_ticks(&panels[i].y, spans[i].1 - spans[i].0, TICK_SIZE));
    let tick_room = ticks.iter().map(|ticks| y_tick_room(ticks, TICK_SIZE)).fold(0.0, f64::max);
    let left = EDGE + LABEL_SIZE * LEADING + tick_room;
    let right = outline.right;
    let frames = std::array::from_fn(|i| {
        let ((top, bottom), y) = (spans[i], panels[i].y);
        Frame { left, right, top, bottom, x, y, tick_size: TICK_SIZE }
    });
    (frames, ticks)
}

/// Top and bottom of each plot.
fn spans<const N: usize>(panels: &[Panel; N], outline: Outline) -> [(f64, f64); N] {
    let all = panels.iter().map(|panel| panel.height).sum::<f64>();
    let room = outline.bottom - outline.top - PANEL_GAP * (N as f64 - 1.0);
    let mut next = outline.top;
    std::array::from_fn(|i| {
        let from = next;
        let to = from + room * panels[i].height / all;
        next = to + PANEL_GAP;
        (from, to)
    })
}
