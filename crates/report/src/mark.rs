//! What all figures draw: points with their spread, and a marker for each model size or kind.

use std::collections::HashSet;
use std::f64::consts::{FRAC_PI_2, TAU};

use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::style::{
    Colour, INK, MARKER_RADIUS, PAPER, Stroke, THIN_WIDTH, category_colour, size_colour,
};

/// A model size: it decides colour and marker, which are the same in every figure.
#[derive(Clone, Debug)]
pub struct Size {
    /// As in the legend: `Ti · 5.5M`.
    pub label: String,
    /// Place in order of size, the smallest is 0.
    pub rank: usize,
}

/// Most points of one kind that are drawn one by one, and the most that are drawn at full size.
const MOST_DRAWN: usize = 2_000;
const MOST_LARGE: usize = 120;
/// More than that have no room for an outline either.
const MOST_SMALL: usize = 800;

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

    pub(crate) fn colour(self, size: &Size) -> Colour {
        size_colour(size.rank, self.n_ranks)
    }

    /// `variant` 0 is filled, every other one open.
    pub(crate) fn marker(self, size: &Size, variant: usize) -> Marker {
        Marker { shape: size.rank, ..Marker::disc(self.colour(size), variant % 2 == 1) }
    }
}

/// Width of the outline of an open marker, and of the paper around a filled one.
const OPEN_EDGE: f64 = 1.3;
const FILLED_EDGE: f64 = 0.7;

#[derive(Clone, Copy)]
pub(crate) struct Marker {
    shape: usize,
    colour: Colour,
    open: bool,
    radius: f64,
    /// Width of the outline.
    edge: f64,
}

impl Marker {
    /// For legend entries that stand for all sizes.
    pub(crate) fn of_any_size(variant: usize) -> Self {
        Self::disc(INK, variant % 2 == 1)
    }

    /// Of a kind that has no order.
    pub(crate) fn of_category(index: usize, open: bool) -> Self {
        Self { shape: index, ..Self::disc(category_colour(index), open) }
    }

    /// Of the budget at `rank` of `n` in order of size.
    pub(crate) fn of_rank(rank: usize, n: usize, open: bool) -> Self {
        Self { shape: rank, ..Self::disc(size_colour(rank, n), open) }
    }

    pub(crate) fn disc(colour: Colour, open: bool) -> Self {
        let edge = if open { OPEN_EDGE } else { FILLED_EDGE };
        Self { shape: 0, colour, open, radius: MARKER_RADIUS, edge }
    }

    /// Diamond, which stands for what is predicted and not measured.
    pub(crate) fn diamond(colour: Colour, open: bool) -> Self {
        Self { shape: 3, ..Self::disc(colour, open) }
    }

    pub(crate) fn larger(self) -> Self {
        Self { radius: 1.25 * self.radius, ..self }
    }

    /// As large as so many of them allow.
    pub(crate) fn among(self, n: usize) -> Self {
        if n <= MOST_LARGE {
            self
        } else if n <= MOST_SMALL {
            self.small()
        } else {
            self.tiny()
        }
    }

    /// As a dot; open ones keep a thin outline.
    pub(crate) fn tiny(self) -> Self {
        let edge = if self.open { 0.7 * OPEN_EDGE } else { 0.0 };
        Self { radius: 0.45 * self.radius, edge, ..self }
    }

    pub(crate) fn small(self) -> Self {
        Self { radius: 0.75 * self.radius, ..self }
    }

    /// For what lies behind.
    pub(crate) fn pale(self) -> Self {
        Self { colour: self.colour.pale(), ..self }
    }

    /// Marker with the bar of its spread behind it.
    pub(crate) fn draw_point(self, canvas: &mut Canvas, frame: &Frame, point: &Point) {
        if point.n > 1 && frame.shows(point.x, point.low) && frame.shows(point.x, point.high) {
            let bar = [frame.spot(point.x, point.low), frame.spot(point.x, point.high)];
            canvas.line(&bar, Stroke::solid(self.colour, 1.4 * THIN_WIDTH));
        }
        self.draw(canvas, frame.spot(point.x, point.y));
    }

    /// A marker at each spot that is not hidden by one before it.
    pub(crate) fn draw_all(self, canvas: &mut Canvas, spots: &[Spot]) {
        seen(spots).into_iter().for_each(|at| self.draw(canvas, at));
    }

    /// A bar from `low` to `high`, with caps, at the value `x`.
    pub(crate) fn draw_bar(self, canvas: &mut Canvas, frame: &Frame, x: f64, low: f64, high: f64) {
        if !frame.shows(x, low) || !frame.shows(x, high) {
            return;
        }
        let stroke = Stroke::solid(self.colour, 1.4 * THIN_WIDTH);
        let ends = [frame.spot(x, low), frame.spot(x, high)];
        canvas.line(&ends, stroke);
        for (x, y) in ends {
            canvas.line(&[(x - 0.8 * self.radius, y), (x + 0.8 * self.radius, y)], stroke);
        }
    }

    pub(crate) fn draw(self, canvas: &mut Canvas, at: Spot) {
        let (fill, edge) = if self.open { (PAPER, self.colour) } else { (self.colour, PAPER) };
        let outline = Stroke::solid(edge, self.edge);
        match self.shape % 8 {
            0 => canvas.disc(at, self.radius, fill, outline),
            shape => canvas.outlined(&outline_of(shape, at, self.radius), fill, outline),
        }
    }
}

/// Where a trial ended without a result.
#[derive(Clone, Copy)]
pub(crate) struct Cross {
    pub(crate) colour: Colour,
}

impl Cross {
    /// With paper around it, so that it stands out from what it lies on.
    pub(crate) fn draw(self, canvas: &mut Canvas, at: Spot) {
        let reach = 0.95 * MARKER_RADIUS;
        for stroke in [Stroke::solid(PAPER, 4.5), Stroke::solid(self.colour, 2.0)] {
            for rise in [-reach, reach] {
                canvas.line(&[(at.0 - reach, at.1 - rise), (at.0 + reach, at.1 + rise)], stroke);
            }
        }
    }
}

/// The first spot in each square of about a px; the squares grow until there are not too many.
fn seen(spots: &[Spot]) -> Vec<Spot> {
    let mut side = 1.0;
    loop {
        let mut squares = HashSet::new();
        let square = |spot: &Spot| ((spot.0 / side) as i64, (spot.1 / side) as i64);
        let first: Vec<Spot> =
            spots.iter().copied().filter(|spot| squares.insert(square(spot))).collect();
        if first.len() <= MOST_DRAWN {
            return first;
        }
        side *= 1.5;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_are_all_drawn_and_many_as_far_as_they_are_seen() {
        let few = [(1.0, 1.0), (9.0, 1.0), (1.2, 1.1)];
        assert_eq!(seen(&few), few[..2]);
        let grid = (0..200_u32).flat_map(|x| (0..200_u32).map(move |y| (x.into(), y.into())));
        let many: Vec<Spot> = grid.collect();
        let n = seen(&many).len();
        assert!((MOST_DRAWN / 4..=MOST_DRAWN).contains(&n), "{n}");
    }
}
