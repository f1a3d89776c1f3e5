//! What all figures draw: points with their spread, and a marker for each model size.

use std::f64::consts::{FRAC_PI_2, TAU};

use plotters::style::RGBColor;

use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::style::{INK, MARKER_RADIUS, PAPER, Stroke, THIN_WIDTH, size_colour};

/// A model size: it decides colour and marker, which are the same in every figure.
#[derive(Clone, Debug)]
pub struct Size {
    /// As in the legend: `Ti · 5.5M`.
    pub label: String,
    /// Place in order of size, the smallest is 0.
    pub rank: usize,
}

/// One measured point.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub x: f64,
    /// Mean over the seeds.
    pub y: f64,
    /// Spread over the seeds, drawn as a bar where there are several.
    pub low: f64,
    pub high: f64,
    pub n: usize,
}

impl Point {
    /// `y` and, where there is one, the bar.
    pub(crate) fn ys(&self) -> impl Iterator<Item = f64> {
        let bar = if self.n > 1 { [self.low, self.high] } else { [self.y; 2] };
        [self.y].into_iter().chain(bar)
    }
}

/// Points that a figure can show, in order of x.
pub(crate) fn in_order(points: &[Point], frame: &Frame) -> Vec<Point> {
    let mut shown: Vec<Point> = points.iter().copied().filter(|p| frame.shows(p.x, p.y)).collect();
    shown.sort_by(|a, b| a.x.total_cmp(&b.x));
    shown
}

/// The sizes of a figure in order, each rank once.
pub(crate) fn sizes<'a>(all: impl Iterator<Item = &'a Size>) -> Vec<&'a Size> {
    let mut sizes: Vec<&Size> = all.collect();
    sizes.sort_by_key(|size| size.rank);
    sizes.dedup_by_key(|size| size.rank);
    sizes
}

/// Colours of the sizes of one figure.
#[derive(Clone, Copy)]
pub(crate) struct Palette {
    n_ranks: usize,
}

impl Palette {
    pub(crate) fn of(sizes: &[&Size]) -> Self {
        Self { n_ranks: sizes.iter().map(|size| size.rank + 1).max().unwrap_or(1) }
    }

    pub(crate) fn colour(self, size: &Size) -> RGBColor {
        size_colour(size.rank, self.n_ranks)
    }

    /// `variant` 0 is filled, every other one open.
    pub(crate) fn marker(self, size: &Size, variant: usize) -> Marker {
        Marker {
            shape: size.rank,
            colour: self.colour(size),
            open: variant % 2 == 1,
            radius: MARKER_RADIUS,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Marker {
    shape: usize,
    colour: RGBColor,
    open: bool,
    radius: f64,
}

impl Marker {
    /// For legend entries that stand for all sizes.
    pub(crate) fn of_any_size(variant: usize) -> Self {
        Self { shape: 0, colour: INK, open: variant % 2 == 1, radius: MARKER_RADIUS }
    }

    pub(crate) fn small(self) -> Self {
        Self { radius: 0.75 * self.radius, ..self }
    }

    /// Marker with the bar of its spread behind it.
    pub(crate) fn draw_point(self, canvas: &mut Canvas, frame: &Frame, point: &Point) {
        if point.n > 1 && frame.shows(point.x, point.low) && frame.shows(point.x, point.high) {
            let bar = [frame.spot(point.x, point.low), frame.spot(point.x, point.high)];
            canvas.line(&bar, Stroke::solid(self.colour, 1.4 * THIN_WIDTH));
        }
        self.draw(canvas, frame.spot(point.x, point.y));
    }

    pub(crate) fn draw(self, canvas: &mut Canvas, at: Spot) {
        let (fill, edge, width) =
            if self.open { (PAPER, self.colour, 1.3) } else { (self.colour, PAPER, 0.7) };
        let outline = Stroke::solid(edge, width);
        match self.shape % 8 {
            0 => canvas.disc(at, self.radius, fill, outline),
            shape => canvas.outlined(&outline_of(shape, at, self.radius), fill, outline),
        }
    }
}

/// Regular polygons; their radii make areas look alike.
fn outline_of(shape: usize, at: Spot, radius: f64) -> Vec<Spot> {
    let (corners, turn, scale) = match shape {
        1 => (4, TAU / 8.0, 1.28),
        2 => (3, 0.0, 1.42),
        3 => (4, 0.0, 1.32),
        4 => (3, TAU / 2.0, 1.42),
        5 => (5, 0.0, 1.2),
        6 => (3, TAU / 4.0, 1.42),
        _ => (6, 0.0, 1.15),
    };
    let corner = |i: i32| {
        let angle = turn - FRAC_PI_2 + TAU * f64::from(i) / f64::from(corners);
        (at.0 + scale * radius * angle.cos(), at.1 + scale * radius * angle.sin())
    };
    (0..corners).map(corner).collect()
}
