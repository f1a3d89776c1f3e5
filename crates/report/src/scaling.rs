//! Figure (i): error against training compute, a line per model size, with the frontier of all
//! sizes, its fitted law and the law's band.

use crate::axis::{Axis, Scale, on_log_axes};
use crate::canvas::{Canvas, Spot};
use crate::curve::{FitCurve, fit_stroke, within_reach};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::{Marker, Palette, Point, Size, in_order, sizes};
use crate::plan::{Panel, Plan};
use crate::style::{
    BAND_OPACITY, EXTRAPOLATED, FRONTIER, INK, LINE_WIDTH, SOFT_INK, Stroke, variant_dash,
};
use crate::{Data, Datum, DrawError, Figure, Look};

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

impl Figure for ScalingFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "scaling" })?;
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
        let series = self.series.iter().flat_map(|series| {
            let variant = self.variants.get(series.variant).map_or("", String::as_str);
            let measured = series.points.iter().map(|at| Datum::mean("measured", at));
            measured.map(|row| row.of(&series.size.label).variant(variant)).collect::<Vec<_>>()
        });
        let frontier = Datum::pairs("frontier", &self.frontier);
        let fit = self.fit.iter().flat_map(FitCurve::data);
        Data::new(&self.x_label, &self.y_label, series.chain(frontier).chain(fit))
    }
}

impl ScalingFigure {
    fn axes(&self) -> Option<(Axis, Axis)> {
        let points = self.series.iter().flat_map(|series| &series.points);
        let points = points.flat_map(|point| point.ys().map(|y| (point.x, y)));
        let curve = self.fit.iter().flat_map(|fit| &fit.curve).map(|point| (point.x, point.y));
        let all: Vec<(f64, f64)> =
            points.chain(self.frontier.iter().copied()).chain(curve).filter(on_log_axes).collect();
        let x = Axis::over(Scale::Log, all.iter().map(|(x, _)| *x))?;
        let ys: Vec<f64> = all.iter().map(|(_, y)| *y).collect();
        let band = within_reach(self.fit.iter().flat_map(|fit| &fit.curve), &ys);
        Some((x, Axis::over(Scale::Log, band.chain(ys.iter().copied()))?))
    }

    fn sizes(&self) -> Vec<&Size> {
        sizes(self.series.iter().map(|series| &series.size))
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let palette = Palette::of(&self.sizes());
        if let Some(fit) = &self.fit {
            fit.drawn().paint_band(canvas, frame, SOFT_INK, BAND_OPACITY);
        }
        let frontier = self.frontier.iter().filter(|(x, y)| frame.shows(*x, *y));
        let frontier: Vec<Spot> = frontier.map(|(x, y)| frame.spot(*x, *y)).collect();
        canvas.line(&frontier, frontier_stroke());
        if let Some(fit) = &self.fit {
            fit.drawn().paint_curve(canvas, frame, fit_stroke());
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
            [
                Some(entry(Glyph::Line(fit_stroke()), &fit.label)),
                fit.drawn().goes_beyond().then(|| entry(extrapolated, "extrapolated")),
                Some(entry(Glyph::Band(SOFT_INK, BAND_OPACITY), &fit.band_label)),
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

fn line_of(palette: Palette, size: &Size, variant: usize) -> Glyph {
    Glyph::Line(series_stroke(palette, size, variant))
}

fn series_stroke(palette: Palette, size: &Size, variant: usize) -> Stroke {
    Stroke::solid(palette.colour(size), LINE_WIDTH).dashed(variant_dash(variant))
}

/// Wide and pale: it lies under the lines of the sizes that it touches.
fn frontier_stroke() -> Stroke {
    Stroke::solid(FRONTIER, 7.0).faded(0.35)
}
