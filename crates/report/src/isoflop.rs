//! IsoFLOP valleys: loss against parameters at each compute budget, the parabola through a
//! budget's points, and its minimum with the interval of its place.

use crate::axis::{Axis, Scale, on_log_axes};
use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::Marker;
use crate::plan::{Panel, Plan};
use crate::style::{INK, LINE_WIDTH, Stroke, size_colour};
use crate::{Data, Datum, DrawError, Figure, Look};

/// Half the height, in px, of the caps of a minimum's interval.
const CAP: f64 = 6.0;

#[derive(Clone, Debug)]
pub struct IsoFlopFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Above the budgets in the legend.
    pub budget_heading: String,
    /// In order of compute.
    pub valleys: Vec<Valley>,
    /// Of the minima in the legend: `minimum, 90% interval`.
    pub minimum_label: String,
    /// Of the minima that carry a warning: `at the edge of its grid`.
    pub doubtful_label: String,
}

/// One compute budget.
#[derive(Clone, Debug)]
pub struct Valley {
    /// As in the legend: `10^{18}`.
    pub label: String,
    pub points: Vec<(f64, f64)>,
    /// In order of x.
    pub parabola: Vec<(f64, f64)>,
    pub minimum: Option<Minimum>,
}

#[derive(Clone, Copy, Debug)]
pub struct Minimum {
    pub x: f64,
    pub y: f64,
    /// Interval of `x`; NaN for none.
    pub low: f64,
    pub high: f64,
    /// Drawn open: it carries a warning.
    pub doubtful: bool,
}

impl Figure for IsoFlopFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "IsoFLOP" })?;
        let plan = Plan {
            title: &self.title,
            x_label: &self.x_label,
            x,
            x_ticks: None,
            panels: [Panel::whole(&self.y_label, y)],
            legend: self.legend(),
        };
        Ok(plan.draw(look, |canvas, [frame]| self.paint(canvas, frame)))
    }

    fn data(&self) -> Data {
        let of = |valley: &Valley| {
            let measured = Datum::pairs("measured", &valley.points);
            let parabola = Datum::pairs("parabola", &valley.parabola);
            let minimum = valley.minimum.map(|at| {
                let part = if at.doubtful { &self.doubtful_label } else { &self.minimum_label };
                Datum::new(part.as_str(), at.x, at.y).between(at.low, at.high)
            });
            let rows = measured.chain(parabola).chain(minimum);
            rows.map(|row| row.of(&valley.label)).collect::<Vec<_>>()
        };
        Data::new(&self.x_label, &self.y_label, self.valleys.iter().flat_map(of))
    }
}

impl IsoFlopFigure {
    fn axes(&self) -> Option<(Axis, Axis)> {
        let points = self.valleys.iter().flat_map(|valley| &valley.points).copied();
        let minima = self.minima().map(|minimum| (minimum.x, minimum.y));
        let all: Vec<(f64, f64)> = points.chain(minima).filter(on_log_axes).collect();
        let x = Axis::over(Scale::Log, all.iter().map(|(x, _)| *x))?;
        Some((x, Axis::over(Scale::Log, all.iter().map(|(_, y)| *y))?))
    }

    fn minima(&self) -> impl Iterator<Item = Minimum> {
        self.valleys.iter().filter_map(|valley| valley.minimum)
    }

    /// Curves under intervals, those under points, and minima over all.
    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        for (rank, valley) in self.valleys.iter().enumerate() {
            let stretches = frame.stretches(&valley.parabola);
            stretches.iter().for_each(|spots| canvas.line(spots, self.stroke(rank)));
        }
        self.minima().for_each(|minimum| minimum.paint_interval(canvas, frame));
        for (rank, valley) in self.valleys.iter().enumerate() {
            let shown = valley.points.iter().filter(|(x, y)| frame.shows(*x, *y));
            let spots: Vec<Spot> = shown.map(|(x, y)| frame.spot(*x, *y)).collect();
            self.marker(rank).draw_all(canvas, &spots);
        }
        for minimum in self.minima().filter(|minimum| frame.shows(minimum.x, minimum.y)) {
            minimum_marker(minimum.doubtful).draw(canvas, frame.spot(minimum.x, minimum.y));
        }
    }

    fn marker(&self, rank: usize) -> Marker {
        let n = self.valleys.iter().map(|valley| valley.points.len()).sum();
        Marker::of_rank(rank, self.valleys.len(), false).among(n)
    }

    fn stroke(&self, rank: usize) -> Stroke {
        Stroke::solid(size_colour(rank, self.valleys.len()), LINE_WIDTH)
    }

    fn legend(&self) -> Legend {
        let budget = |(rank, valley): (usize, &Valley)| {
            let key = [Glyph::Line(self.stroke(rank)), Glyph::Marker(self.marker(rank))];
            Entry::of(key, &valley.label)
        };
        let minimum = |(doubtful, label): (bool, &String)| {
            let key = [Glyph::Line(interval_stroke()), Glyph::Marker(minimum_marker(doubtful))];
            self.minima().any(|at| at.doubtful == doubtful).then(|| Entry::of(key, label))
        };
        let minima = [(false, &self.minimum_label), (true, &self.doubtful_label)];
        Legend::new([
            Section {
                heading: self.budget_heading.clone(),
                entries: self.valleys.iter().enumerate().map(budget).collect(),
            },
            Section {
                heading: String::new(),
                entries: minima.into_iter().filter_map(minimum).collect(),
            },
        ])
    }
}

impl Minimum {
    fn paint_interval(&self, canvas: &mut Canvas, frame: &Frame) {
        if ![self.low, self.x, self.high].iter().all(|x| frame.shows(*x, self.y)) {
            return;
        }
        let ends = [frame.spot(self.low, self.y), frame.spot(self.high, self.y)];
        canvas.line(&ends, interval_stroke());
        for (x, y) in ends {
            canvas.line(&[(x, y - CAP), (x, y + CAP)], interval_stroke());
        }
    }
}

fn minimum_marker(doubtful: bool) -> Marker {
    Marker::diamond(INK, doubtful).larger()
}

fn interval_stroke() -> Stroke {
    Stroke::solid(INK, LINE_WIDTH)
}
