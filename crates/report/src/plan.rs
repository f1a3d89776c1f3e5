//! Where the parts of a figure are: the title, one plot or several above one another over the same
//! x axis, and the legend beside them. The room each needs is measured, so that none reaches into
//! another.

use crate::axis::{Axis, Ticks};
use crate::canvas::{self, Canvas};
use crate::frame::{BOTTOM, EDGE, Frame, Title, y_tick_room, y_ticks};
use crate::legend::Legend;
use crate::style::{HEIGHT, LABEL_SIZE, LEADING, TICK_SIZE, WIDTH};

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
    /// Height in px of a figure with nothing but this plot.
    pub(crate) height: f64,
}

impl<'a> Panel<'a> {
    /// The only plot of a figure.
    pub(crate) fn whole(y_label: &'a str, y: Axis) -> Self {
        Self { y_label, y, height: HEIGHT }
    }
}

impl<const N: usize> Plan<'_, N> {
    /// The whole figure, with what `paint` draws inside the frames.
    pub(crate) fn draw(&self, paint: impl FnOnce(&mut Canvas, &[Frame; N])) -> String {
        let title = Title::of(self.title);
        let least = self.panels.iter().map(|panel| panel.height).sum::<f64>();
        let height = least.max(title.bottom() + self.legend.height() + EDGE);
        let (frames, y_ticks) = self.frames(title.bottom(), height - BOTTOM);
        let x_ticks = frames[0].x_ticks(self.x_ticks.as_deref());
        canvas::draw(WIDTH, height, self.title, |canvas| {
            for (frame, y_ticks) in frames.iter().zip(&y_ticks) {
                frame.draw_grid(canvas, &x_ticks, y_ticks);
            }
            paint(canvas, &frames);
            self.draw_axes(canvas, &frames, &x_ticks, &y_ticks);
            title.draw(canvas, frames[0].left);
            self.legend.draw(canvas, (frames[0].right + LEGEND_GAP, title.bottom()));
        })
    }

    fn frames(&self, top: f64, bottom: f64) -> ([Frame; N], [Ticks; N]) {
        let spans = self.spans(top, bottom);
        let ticks: [Ticks; N] =
            std::array::from_fn(|i| y_ticks(&self.panels[i].y, spans[i].1 - spans[i].0, TICK_SIZE));
        let tick_room = ticks.iter().map(|ticks| y_tick_room(ticks, TICK_SIZE)).fold(0.0, f64::max);
        let left = EDGE + LABEL_SIZE * LEADING + tick_room;
        let right = WIDTH - EDGE - LEGEND_GAP - self.legend.width();
        let frames = std::array::from_fn(|i| {
            let ((top, bottom), y) = (spans[i], self.panels[i].y);
            Frame { left, right, top, bottom, x: self.x, y, tick_size: TICK_SIZE }
        });
        (frames, ticks)
    }

    /// Top and bottom of each plot.
    fn spans(&self, top: f64, bottom: f64) -> [(f64, f64); N] {
        let all = self.panels.iter().map(|panel| panel.height).sum::<f64>();
        let room = bottom - top - PANEL_GAP * (N as f64 - 1.0);
        let mut next = top;
        std::array::from_fn(|i| {
            let from = next;
            let to = from + room * self.panels[i].height / all;
            next = to + PANEL_GAP;
            (from, to)
        })
    }

    fn draw_axes(
        &self,
        canvas: &mut Canvas,
        frames: &[Frame; N],
        x_ticks: &Ticks,
        y_ticks: &[Ticks; N],
    ) {
        for (i, frame) in frames.iter().enumerate() {
            let lowest = i + 1 == N;
            frame.draw_x_axis(canvas, x_ticks, lowest);
            frame.draw_x_label(canvas, if lowest { self.x_label } else { "" });
            frame.draw_y_axis(canvas, &y_ticks[i]);
            frame.draw_y_label(canvas, self.panels[i].y_label);
        }
    }
}
