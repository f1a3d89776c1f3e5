//! Figure (i): error against training compute, a line per model size, with the frontier of all
//! sizes, its fitted law and the law's band.

use crate::DrawError;
use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Spot};
use crate::frame::{Frame, Plan};
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::{Marker, Palette, Point, Size, in_order, sizes};
use crate::style::{
    BAND_OPACITY, EXTRAPOLATED, FRONTIER, INK, LINE_WIDTH, SOFT_INK, STRONG_WIDTH, Stroke,
    variant_dash,
};

/// How far the band may widen the error axis at either end, over what that axis spans without it.
const BAND_REACH: f64 = 0.25;

#[derive(Clone, Debug)]
pub struct ScalingFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Above the sizes in the legend.
    pub size_heading: String,
    /// Above the variants in the legend.
    pub variant_heading: String,
    /// What the lines of one size differ in, as a rule the unique examples: `50k`. The first is
    /// drawn with filled markers and solid lines; no legend for a single one.
    pub variants: Vec<String>,
    pub series: Vec<Series>,
    /// Points that no other beats at its compute, in order of compute.
    pub frontier: Vec<(f64, f64)>,
    pub fit: Option<FitCurve>,
}

#[derive(Clone, Debug)]
pub struct Series {
    pub size: Size,
    /// Index into [`ScalingFigure::variants`].
    pub variant: usize,
    pub points: Vec<Point>,
}

#[derive(Clone, Debug)]
pub struct FitCurve {
    /// The law with its numbers, for the legend.
    pub label: String,
    /// Of the band: `95% interval`.
    pub band_label: String,
    /// In order of x, beyond the data as far as it shall be drawn.
    pub curve: Vec<CurvePoint>,
    /// The curve is dashed from here on.
    pub last_measured_x: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct CurvePoint {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}

impl ScalingFigure {
    pub fn svg(&self) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "scaling" })?;
        let plan = Plan {
            title: &self.title,
            x_label: &self.x_label,
            y_label: &self.y_label,
            x,
            y,
            x_ticks: None,
            legend: self.legend(),
        };
        Ok(plan.draw(|canvas, frame| self.paint(canvas, frame)))
    }

    fn axes(&self) -> Option<(Axis, Axis)> {
        let points = self.series.iter().flat_map(|series| &series.points);
        let points = points.flat_map(|point| point.ys().map(|y| (point.x, y)));
        let curve = self.fit.iter().flat_map(|fit| &fit.curve).map(|point| (point.x, point.y));
        let all: Vec<(f64, f64)> = points
            .chain(self.frontier.iter().copied())
            .chain(curve)
            .filter(|(x, y)| Scale::Log.shows(*x) && Scale::Log.shows(*y))
            .collect();
        let x = Axis::over(Scale::Log, all.iter().map(|(x, _)| *x))?;
        let ys: Vec<f64> = all.iter().map(|(_, y)| *y).collect();
        Some((x, Axis::over(Scale::Log, self.band_within_reach(&ys).chain(ys.iter().copied()))?))
    }

    /// Far from the data the band may be wider than all else together; then it is cut off.
    fn band_within_reach(&self, ys: &[f64]) -> impl Iterator<Item = f64> {
        let low = ys.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ys.iter().copied().fold(0.0, f64::max);
        let reach = (high / low).powf(BAND_REACH);
        let band =
            self.fit.iter().flat_map(|fit| &fit.curve).flat_map(|point| [point.low, point.high]);
        band.filter(|y| !y.is_nan()).map(move |y| y.clamp(low / reach, high * reach))
    }

    fn sizes(&self) -> Vec<&Size> {
        sizes(self.series.iter().map(|series| &series.size))
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let palette = Palette::of(&self.sizes());
        if let Some(fit) = &self.fit {
            fit.paint_band(canvas, frame);
        }
        let frontier = self.frontier.iter().filter(|(x, y)| frame.shows(*x, *y));
        let frontier: Vec<Spot> = frontier.map(|(x, y)| frame.spot(*x, *y)).collect();
        canvas.line(&frontier, frontier_stroke());
        if let Some(fit) = &self.fit {
            fit.paint_curve(canvas, frame);
        }
        // Filled markers over open ones: the first variant is the one that the fit is about.
        let mut series: Vec<&Series> = self.series.iter().collect();
        series.sort_by_key(|series| std::cmp::Reverse(series.variant));
        for series in series {
            series.paint(canvas, frame, palette);
        }
    }

    fn legend(&self) -> Legend {
        let sizes = self.sizes();
        let palette = Palette::of(&sizes);
        let size = |size: &&Size| Entry {
            key: vec![line_of(palette, size, 0), Glyph::Marker(palette.marker(size, 0))],
            label: size.label.clone(),
        };
        let variant = |(i, label): (usize, &String)| Entry {
            key: vec![
                Glyph::Line(Stroke::solid(INK, LINE_WIDTH).dashed(variant_dash(i))),
                Glyph::Marker(Marker::of_any_size(i)),
            ],
            label: label.clone(),
        };
        let variants = if self.variants.len() > 1 { self.variants.as_slice() } else { &[] };
        Legend::new([
            Section {
                heading: self.size_heading.clone(),
                entries: sizes.iter().map(size).collect(),
            },
            Section {
                heading: self.variant_heading.clone(),
                entries: variants.iter().enumerate().map(variant).collect(),
            },
            Section { heading: String::new(), entries: self.law_entries() },
        ])
    }

    fn law_entries(&self) -> Vec<Entry> {
        let entry = |key, label: &str| Entry { key: vec![key], label: label.to_owned() };
        let frontier =
            (!self.frontier.is_empty()).then(|| entry(Glyph::Line(frontier_stroke()), "frontier"));
        let fit = self.fit.iter().flat_map(|fit| {
            let extrapolated = Glyph::Line(fit_stroke().dashed(EXTRAPOLATED));
            let beyond = fit.curve.iter().any(|point| point.x > fit.last_measured_x);
            [
                Some(entry(Glyph::Line(fit_stroke()), &fit.label)),
                beyond.then(|| entry(extrapolated, "extrapolated")),
                Some(entry(Glyph::Band(SOFT_INK), &fit.band_label)),
            ]
        });
        let fit = fit.flatten();
        frontier.into_iter().chain(fit).collect()
    }
}

impl Series {
    fn paint(&self, canvas: &mut Canvas, frame: &Frame, palette: Palette) {
        let points = in_order(&self.points, frame);
        let spots: Vec<Spot> = points.iter().map(|point| frame.spot(point.x, point.y)).collect();
        canvas.line(&spots, series_stroke(palette, &self.size, self.variant));
        let marker = palette.marker(&self.size, self.variant);
        points.iter().for_each(|point| marker.draw_point(canvas, frame, point));
    }
}

impl FitCurve {
    fn shown<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = &'a CurvePoint> {
        self.curve.iter().filter(|point| frame.shows(point.x, point.y))
    }

    /// Paler beyond the last measured point.
    fn paint_band(&self, canvas: &mut Canvas, frame: &Frame) {
        let whole: Vec<&CurvePoint> =
            self.shown(frame).filter(|point| !point.low.is_nan() && !point.high.is_nan()).collect();
        let (measured, beyond) = self.split(&whole);
        for (points, opacity) in [(measured, BAND_OPACITY), (beyond, 0.6 * BAND_OPACITY)] {
            if points.len() > 1 {
                let upper = points.iter().map(|point| frame.spot(point.x, point.high));
                let lower = points.iter().rev().map(|point| frame.spot(point.x, point.low));
                canvas.fill(&upper.chain(lower).collect::<Vec<Spot>>(), SOFT_INK, opacity);
            }
        }
    }

    fn paint_curve(&self, canvas: &mut Canvas, frame: &Frame) {
        let whole: Vec<&CurvePoint> = self.shown(frame).collect();
        let (measured, beyond) = self.split(&whole);
        for (points, stroke) in
            [(measured, fit_stroke()), (beyond, fit_stroke().dashed(EXTRAPOLATED))]
        {
            let spots: Vec<Spot> =
                points.iter().map(|point| frame.spot(point.x, point.y)).collect();
            canvas.line(&spots, stroke);
        }
    }

    /// Up to the last measured point and beyond it; the two share the point where they meet.
    fn split<'a>(
        &self,
        points: &'a [&'a CurvePoint],
    ) -> (&'a [&'a CurvePoint], &'a [&'a CurvePoint]) {
        let n = points.partition_point(|point| point.x <= self.last_measured_x);
        (&points[..n], &points[n.saturating_sub(1)..])
    }
}

fn line_of(palette: Palette, size: &Size, variant: usize) -> Glyph {
    Glyph::Line(series_stroke(palette, size, variant))
}

fn series_stroke(palette: Palette, size: &Size, variant: usize) -> Stroke {
    Stroke::solid(palette.colour(size), LINE_WIDTH).dashed(variant_dash(variant))
}

fn fit_stroke() -> Stroke {
    Stroke::solid(INK, STRONG_WIDTH)
}

/// Wide and pale: it lies under the lines of the sizes that it touches.
fn frontier_stroke() -> Stroke {
    Stroke::solid(FRONTIER, 7.0).faded(0.35)
}
