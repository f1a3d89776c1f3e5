//! A fitted law over its points: the curve with its bands and what it says about a target, and
//! below, over the same x axis, how far each point is from the curve.

use crate::axis::{Axis, Scale, on_log_axes};
use crate::canvas::{Canvas, Spot};
use crate::curve::{CurvePoint, Drawn, FitCurve, fit_stroke, within_reach};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::Marker;
use crate::plan::{Panel, Plan};
use crate::style::{
    BAND_OPACITY, Dash, EXTRAPOLATED, FRONTIER, INK, LINE_WIDTH, SOFT_INK, SPINE_WIDTH, Stroke,
    target_stroke,
};
use crate::{Data, Datum, DrawError, Figure, Look};

const CURVE_HEIGHT: f64 = 400.0;
const RESIDUAL_HEIGHT: f64 = 180.0;
const RESIDUAL_LABEL: &str = "ln y − ln ŷ (%)";
/// Opacity of the band of the curve, and of the wider band under it.
const CURVE_OPACITY: f64 = 0.2;
const PREDICTION_OPACITY: f64 = 0.12;
/// How far below the points a floor may widen the axis, over what that spans without it.
const FLOOR_REACH: f64 = 0.5;

#[derive(Clone, Debug)]
pub struct FitFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Above the groups in the legend.
    pub group_heading: String,
    pub groups: Vec<FitGroup>,
    pub fit: FitCurve,
    /// Where a new measurement is expected: wider than the band of the curve.
    pub prediction: Option<Prediction>,
    pub floor: Option<Floor>,
    pub target: Option<Target>,
    /// Root mean square of the residuals of the fitted points.
    pub residual_rms: Option<f64>,
}

/// Points of one colour.
#[derive(Clone, Debug)]
pub struct FitGroup {
    pub label: String,
    /// Drawn open: left out of the fit or held out from it.
    pub hollow: bool,
    pub points: Vec<FitPoint>,
}

#[derive(Clone, Copy, Debug)]
pub struct FitPoint {
    pub x: f64,
    pub y: f64,
    /// ln y - ln ŷ.
    pub residual: f64,
}

#[derive(Clone, Debug)]
pub struct Prediction {
    pub label: String,
    /// In order of x.
    pub band: Vec<CurvePoint>,
}

/// What is left at infinite scale.
#[derive(Clone, Debug)]
pub struct Floor {
    pub label: String,
    pub y: f64,
}

/// The x that the fit was made for, and what is predicted there.
#[derive(Clone, Debug)]
pub struct Target {
    pub label: String,
    pub at: CurvePoint,
}

impl Figure for FitFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y, residual) = self.axes().ok_or(DrawError::Nothing { figure: "fit" })?;
        let plan = Plan {
            title: &self.title,
            x_label: &self.x_label,
            x,
            x_ticks: None,
            panels: [
                Panel { y_label: &self.y_label, y, height: CURVE_HEIGHT },
                Panel { y_label: RESIDUAL_LABEL, y: residual, height: RESIDUAL_HEIGHT },
            ],
            legend: self.legend(&y),
        };
        Ok(plan.draw(look, |canvas, [upper, lower]| {
            self.paint_fit(canvas, upper);
            self.paint_residuals(canvas, lower);
        }))
    }

    fn data(&self) -> Data {
        let groups = self.groups.iter().flat_map(|group| {
            let row = |at: &FitPoint| Datum::new("measured", at.x, at.y).z(at.residual);
            group.points.iter().map(move |at| row(at).of(&group.label))
        });
        let prediction = self.prediction.iter().flat_map(|prediction| {
            let row = |at| Datum::on_curve("prediction", at).of(&prediction.label);
            prediction.band.iter().map(row)
        });
        let target = self.target.iter();
        let target = target.map(|target| Datum::on_curve("target", &target.at).of(&target.label));
        let fitted = self.fit.data().chain(prediction).chain(target);
        Data::new(&self.x_label, &self.y_label, groups.chain(fitted)).with_z("ln y - ln fit")
    }
}

impl FitFigure {
    fn points(&self) -> impl Iterator<Item = &FitPoint> {
        self.groups.iter().flat_map(|group| &group.points)
    }

    fn axes(&self) -> Option<(Axis, Axis, Axis)> {
        let points = self.points().map(|point| (point.x, point.y));
        let curve = self.fit.curve.iter().map(|point| (point.x, point.y));
        let target = self.target.iter().map(|target| (target.at.x, target.at.y));
        let all: Vec<(f64, f64)> = points.chain(curve).chain(target).filter(on_log_axes).collect();
        let x = Axis::over(Scale::Log, all.iter().map(|(x, _)| *x))?;
        let ys: Vec<f64> = all.iter().map(|(_, y)| *y).collect();
        let prediction = self.prediction.iter().flat_map(|prediction| &prediction.band);
        let target = self.target.iter().map(|target| &target.at);
        let bands = within_reach(self.fit.curve.iter().chain(prediction).chain(target), &ys);
        let y =
            Axis::over(Scale::Log, bands.chain(self.near_floor(&ys)).chain(ys.iter().copied()))?;
        Some((x, y, self.residual_axis()?))
    }

    /// The floor, unless the axis would be mostly empty to show it.
    fn near_floor(&self, ys: &[f64]) -> Option<f64> {
        let low = ys.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ys.iter().copied().fold(0.0, f64::max);
        let nearest = low / (high / low).powf(FLOOR_REACH);
        self.floor.as_ref().map(|floor| floor.y).filter(|y| *y >= nearest)
    }

    /// Reaches as far up as down.
    fn residual_axis(&self) -> Option<Axis> {
        let residuals = self.points().filter(|point| Scale::Log.shows(point.x));
        let residuals = residuals.map(|point| point.residual).chain(self.residual_rms);
        let sizes = residuals.map(|residual| 100.0 * residual.abs());
        let most = sizes.filter(|size| Scale::Linear.shows(*size)).fold(0.0, f64::max);
        Axis::over(Scale::Linear, [-most, most].into_iter())
    }

    fn paint_fit(&self, canvas: &mut Canvas, frame: &Frame) {
        if let Some(prediction) = self.prediction() {
            prediction.paint_band(canvas, frame, SOFT_INK, PREDICTION_OPACITY);
        }
        self.fit.drawn().paint_band(canvas, frame, SOFT_INK, CURVE_OPACITY);
        if let Some(floor) = &self.floor {
            frame.draw_level(canvas, floor.y, floor_stroke());
        }
        if let Some(target) = &self.target {
            frame.draw_upright(canvas, target.at.x, target_stroke());
        }
        self.paint_groups(canvas, frame, |point| point.y);
        self.fit.drawn().paint_curve(canvas, frame, fit_stroke());
        if let Some(target) = &self.target {
            target.paint(canvas, frame);
        }
    }

    fn paint_residuals(&self, canvas: &mut Canvas, frame: &Frame) {
        if let Some(rms) = self.residual_rms.filter(|rms| frame.y.shows(100.0 * rms)) {
            let (top, bottom) = (frame.y_px(100.0 * rms), frame.y_px(-100.0 * rms));
            let corners = [
                (frame.left, top),
                (frame.right, top),
                (frame.right, bottom),
                (frame.left, bottom),
            ];
            canvas.fill(&corners, SOFT_INK, BAND_OPACITY);
        }
        frame.draw_level(canvas, 0.0, Stroke::solid(INK, SPINE_WIDTH));
        if let Some(target) = &self.target {
            frame.draw_upright(canvas, target.at.x, target_stroke());
        }
        self.paint_groups(canvas, frame, |point| 100.0 * point.residual);
    }

    fn paint_groups(&self, canvas: &mut Canvas, frame: &Frame, y: impl Fn(&FitPoint) -> f64) {
        for (i, group) in self.groups.iter().enumerate() {
            let shown = group.points.iter().filter(|point| frame.shows(point.x, y(point)));
            let spots: Vec<Spot> = shown.map(|point| frame.spot(point.x, y(point))).collect();
            self.marker(i).draw_all(canvas, &spots);
        }
    }

    fn marker(&self, group: usize) -> Marker {
        Marker::of_category(group, self.groups[group].hollow).among(self.points().count())
    }

    fn prediction(&self) -> Option<Drawn<'_>> {
        let last_x = self.fit.last_measured_x;
        self.prediction.as_ref().map(|prediction| Drawn { points: &prediction.band, last_x })
    }

    fn legend(&self, y: &Axis) -> Legend {
        let group = |(i, group): (usize, &FitGroup)| {
            Entry::of([Glyph::Marker(self.marker(i))], &group.label)
        };
        let heading = String::new;
        Legend::new([
            Section {
                heading: self.group_heading.clone(),
                entries: self.groups.iter().enumerate().map(group).collect(),
            },
            Section { heading: heading(), entries: self.law_entries(y) },
            Section { heading: heading(), entries: self.rms_entry().into_iter().collect() },
        ])
    }

    fn law_entries(&self, y: &Axis) -> Vec<Entry> {
        let fit = &self.fit;
        let extrapolated = Glyph::Line(fit_stroke().dashed(EXTRAPOLATED));
        let floor = self.floor.iter().filter(|floor| y.holds(floor.y));
        let entries = [
            Some(Entry::of([Glyph::Line(fit_stroke())], &fit.label)),
            fit.drawn().goes_beyond().then(|| Entry::of([extrapolated], "extrapolated")),
            Some(Entry::of([Glyph::Band(SOFT_INK, CURVE_OPACITY)], &fit.band_label)),
            self.prediction.as_ref().map(|prediction| {
                Entry::of([Glyph::Band(SOFT_INK, PREDICTION_OPACITY)], &prediction.label)
            }),
        ];
        let floor = floor.map(|floor| Entry::of([Glyph::Line(floor_stroke())], &floor.label));
        let target = self.target.iter().map(Target::entry);
        entries.into_iter().flatten().chain(floor).chain(target).collect()
    }

    fn rms_entry(&self) -> Option<Entry> {
        let label = |rms: f64| format!("± rms of the residuals, {:.2}%", 100.0 * rms);
        let key =
            [Glyph::Band(SOFT_INK, BAND_OPACITY), Glyph::Line(Stroke::solid(INK, SPINE_WIDTH))];
        self.residual_rms.map(|rms| Entry::of(key, label(rms)))
    }
}

impl Target {
    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let at = self.at;
        target_marker().draw_bar(canvas, frame, at.x, at.low, at.high);
        if frame.shows(at.x, at.y) {
            target_marker().draw(canvas, frame.spot(at.x, at.y));
        }
    }

    fn entry(&self) -> Entry {
        let key = [Glyph::Line(target_stroke()), Glyph::Marker(target_marker())];
        Entry::of(key, &self.label)
    }
}

fn target_marker() -> Marker {
    Marker::diamond(FRONTIER, false)
}

fn floor_stroke() -> Stroke {
    Stroke::solid(SOFT_INK, LINE_WIDTH).dashed(Dash::Broken(1.5, 3.0))
}
