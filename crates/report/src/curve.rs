//! A fitted curve and its bands: paler and dashed beyond the last measured point.

use crate::Datum;
use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::style::{Colour, EXTRAPOLATED, INK, STRONG_WIDTH, Stroke};

/// How far a band may widen the axis at either end, over what that axis spans without it.
const BAND_REACH: f64 = 0.25;
/// Opacity of a band beyond the last measured point, over that before it.
const BEYOND: f64 = 0.6;

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

/// A value with its interval; ends that are NaN stand for no interval.
#[derive(Clone, Copy, Debug)]
pub struct CurvePoint {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}

impl CurvePoint {
    fn has_band(&self) -> bool {
        !self.low.is_nan() && !self.high.is_nan()
    }
}

/// The ends of a band, cut off where they are far from `ys`: far from the data a band may be wider
/// than all else together. All are positive, as on a logarithmic axis.
pub(crate) fn within_reach<'a>(
    band: impl Iterator<Item = &'a CurvePoint>,
    ys: &[f64],
) -> impl Iterator<Item = f64> {
    let low = ys.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ys.iter().copied().fold(0.0, f64::max);
    let reach = (high / low).powf(BAND_REACH);
    let ends = band.flat_map(|point| [point.low, point.high]).filter(|y| !y.is_nan());
    ends.map(move |y| y.clamp(low / reach, high * reach))
}

pub(crate) fn fit_stroke() -> Stroke {
    Stroke::solid(INK, STRONG_WIDTH)
}

/// The curve of one fit as it is drawn: what is beyond `last_x` is extrapolated.
#[derive(Clone, Copy)]
pub(crate) struct Drawn<'a> {
    pub(crate) points: &'a [CurvePoint],
    pub(crate) last_x: f64,
}

impl Drawn<'_> {
    fn shown(&self, frame: &Frame) -> Vec<CurvePoint> {
        self.points.iter().filter(|point| frame.shows(point.x, point.y)).copied().collect()
    }

    pub(crate) fn paint_band(
        &self,
        canvas: &mut Canvas,
        frame: &Frame,
        colour: Colour,
        opacity: f64,
    ) {
        let mut whole = self.shown(frame);
        whole.retain(CurvePoint::has_band);
        let (measured, beyond) = self.split(&whole);
        for (points, opacity) in [(measured, opacity), (beyond, BEYOND * opacity)] {
            if points.len() > 1 {
                let upper = points.iter().map(|point| frame.spot(point.x, point.high));
                let lower = points.iter().rev().map(|point| frame.spot(point.x, point.low));
                canvas.fill(&upper.chain(lower).collect::<Vec<Spot>>(), colour, opacity);
            }
        }
    }

    pub(crate) fn paint_curve(&self, canvas: &mut Canvas, frame: &Frame, stroke: Stroke) {
        let whole = self.shown(frame);
        let (measured, beyond) = self.split(&whole);
        for (points, stroke) in [(measured, stroke), (beyond, stroke.dashed(EXTRAPOLATED))] {
            let spots: Vec<Spot> =
                points.iter().map(|point| frame.spot(point.x, point.y)).collect();
            canvas.line(&spots, stroke);
        }
    }

    pub(crate) fn goes_beyond(&self) -> bool {
        self.points.iter().any(|point| point.x > self.last_x)
    }

    /// Up to the last measured point and beyond it; the two share the point where they meet.
    fn split<'a>(&self, points: &'a [CurvePoint]) -> (&'a [CurvePoint], &'a [CurvePoint]) {
        let n = points.partition_point(|point| point.x <= self.last_x);
        (&points[..n], &points[n.saturating_sub(1)..])
    }
}

impl FitCurve {
    pub(crate) fn data(&self) -> impl Iterator<Item = Datum> {
        self.curve.iter().map(|at| Datum::on_curve("fit", at).of(&self.label))
    }

    pub(crate) fn drawn(&self) -> Drawn<'_> {
        Drawn { points: &self.curve, last_x: self.last_measured_x }
    }
}
