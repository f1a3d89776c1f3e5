//! Figure (iii): loss during training. Many curves are drawn thin and thinned out to what the eye
//! can see of them; smoothing is the caller's.

use crate::axis::{Axis, Scale};
use crate::canvas::{Canvas, Spot};
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::{Marker, Palette, Size, sizes};
use crate::plan::{Panel, Plan};
use crate::style::{INK, LINE_WIDTH, STRONG_WIDTH, Stroke, THIN_WIDTH};
use crate::{Data, Datum, DrawError, Figure, Look};

/// Bytes of one point in the SVG, and of all points of all curves together.
const POINT_BYTES: f64 = 10.0;
const CURVES_BYTES: f64 = 330_000.0;
/// Narrowest stretch of a curve, in px, that is drawn as its lowest and its highest point.
const FINEST: f64 = 0.8;

#[derive(Clone, Debug)]
pub struct LossFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Above the sizes in the legend.
    pub size_heading: String,
    pub x_scale: Scale,
    pub y_scale: Scale,
    /// Labels of what [`Validation::variant`] counts; the first is drawn with filled markers.
    pub variants: Vec<String>,
    pub curves: Vec<LossCurve>,
    pub validation: Vec<Validation>,
}

/// Training loss along one segment.
#[derive(Clone, Debug)]
pub struct LossCurve {
    pub size: Size,
    pub kind: CurveKind,
    /// In order of x.
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveKind {
    Trunk,
    Cooldown,
}

/// Validation loss at one step.
#[derive(Clone, Debug)]
pub struct Validation {
    pub size: Size,
    /// Index into [`LossFigure::variants`].
    pub variant: usize,
    pub x: f64,
    pub y: f64,
}

impl Figure for LossFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "loss curve" })?;
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
        let curves = self.curves.iter().flat_map(|curve| {
            let label = &curve.size.label;
            Datum::pairs(curve.kind.name(), &curve.points).map(move |row| row.of(label))
        });
        let validation = self.validation.iter().map(|at| {
            let variant = self.variants.get(at.variant).map_or("", String::as_str);
            Datum::new("validation", at.x, at.y).of(&at.size.label).variant(variant)
        });
        Data::new(&self.x_label, &self.y_label, curves.chain(validation))
    }
}

impl LossFigure {
    fn axes(&self) -> Option<(Axis, Axis)> {
        let validation = self.validation.iter().map(|at| (at.x, at.y));
        let curves = self.curves.iter().flat_map(|curve| curve.points.iter().copied());
        let all: Vec<(f64, f64)> = curves
            .chain(validation)
            .filter(|(x, y)| self.x_scale.shows(*x) && self.y_scale.shows(*y))
            .collect();
        let x = Axis::over(self.x_scale, all.iter().map(|(x, _)| *x))?;
        Some((x, Axis::over(self.y_scale, all.iter().map(|(_, y)| *y))?))
    }

    fn sizes(&self) -> Vec<&Size> {
        let validation = self.validation.iter().map(|at| &at.size);
        sizes(self.curves.iter().map(|curve| &curve.size).chain(validation))
    }

    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let palette = Palette::of(&self.sizes());
        for (curve, spots) in self.visible_curves(frame) {
            canvas.line(&spots, curve.kind.stroke(palette, &curve.size));
        }
        for at in self.validation.iter().filter(|at| frame.shows(at.x, at.y)) {
            palette.marker(&at.size, at.variant).small().draw(canvas, frame.spot(at.x, at.y));
        }
    }

    /// Trunks first, cooldowns over them.
    fn visible_curves(&self, frame: &Frame) -> Vec<(&LossCurve, Vec<Spot>)> {
        let spots = |curve: &LossCurve| -> Vec<Spot> {
            let shown = curve.points.iter().filter(|(x, y)| frame.shows(*x, *y));
            shown.map(|(x, y)| frame.spot(*x, *y)).collect()
        };
        let mut curves: Vec<_> = self.curves.iter().map(|curve| (curve, spots(curve))).collect();
        curves.sort_by_key(|(curve, _)| curve.kind == CurveKind::Cooldown);
        let length: f64 = curves.iter().map(|(_, spots)| extent(spots)).sum();
        let stretch = FINEST.max(2.0 * POINT_BYTES * length / CURVES_BYTES);
        curves.into_iter().map(|(curve, spots)| (curve, thinned(&spots, stretch))).collect()
    }

    fn legend(&self) -> Legend {
        let sizes = self.sizes();
        let palette = Palette::of(&sizes);
        let size = |size: &&Size| Entry {
            key: vec![
                Glyph::Line(Stroke::solid(palette.colour(size), LINE_WIDTH)),
                Glyph::Marker(palette.marker(size, 0).small()),
            ],
            label: size.label.clone(),
        };
        let sizes = sizes.iter().map(size).collect();
        let heading = |text: &str| text.to_owned();
        Legend::new([
            Section { heading: self.size_heading.clone(), entries: sizes },
            Section { heading: heading("training loss"), entries: self.curve_entries() },
            Section { heading: heading("validation loss"), entries: self.validation_entries() },
        ])
    }

    fn curve_entries(&self) -> Vec<Entry> {
        let present = [CurveKind::Trunk, CurveKind::Cooldown]
            .into_iter()
            .filter(|kind| self.curves.iter().any(|curve| curve.kind == *kind));
        let entry = |kind: CurveKind| {
            let stroke = kind.dressed(Stroke::solid(INK, LINE_WIDTH));
            Entry::of([Glyph::Line(stroke)], kind.name())
        };
        present.map(entry).collect()
    }

    fn validation_entries(&self) -> Vec<Entry> {
        let entry = |(i, label): (usize, &String)| Entry {
            key: vec![Glyph::Marker(Marker::of_any_size(i).small())],
            label: label.clone(),
        };
        let used = |i: usize| self.validation.iter().any(|at| at.variant == i);
        self.variants.iter().enumerate().filter(|(i, _)| used(*i)).map(entry).collect()
    }
}

impl CurveKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Trunk => "trunk",
            Self::Cooldown => "cooldown",
        }
    }

    fn stroke(self, palette: Palette, size: &Size) -> Stroke {
        self.dressed(Stroke::solid(palette.colour(size), LINE_WIDTH))
    }

    fn dressed(self, stroke: Stroke) -> Stroke {
        match self {
            Self::Trunk => Stroke { width: THIN_WIDTH, ..stroke.faded(0.55) },
            Self::Cooldown => Stroke { width: 0.8 * STRONG_WIDTH, ..stroke },
        }
    }
}

/// How far a curve goes along x, in px.
fn extent(spots: &[Spot]) -> f64 {
    match spots {
        [first, .., last] => (last.0 - first.0).abs(),
        _ => 0.0,
    }
}

/// The lowest and the highest point of each `stretch` px, in their order, and the last point: what
/// is left out lies within the line's own width.
fn thinned(spots: &[Spot], stretch: f64) -> Vec<Spot> {
    let same_stretch = |a: &Spot, b: &Spot| (a.0 / stretch).floor() == (b.0 / stretch).floor();
    let mut kept: Vec<Spot> = Vec::new();
    for group in spots.chunk_by(same_stretch) {
        let order = |a: &usize, b: &usize| group[*a].1.total_cmp(&group[*b].1);
        let ends = [(0..group.len()).min_by(order), (0..group.len()).max_by(order)];
        let (Some(low), Some(high)) = (ends[0], ends[1]) else { continue };
        kept.push(group[low.min(high)]);
        if low != high {
            kept.push(group[low.max(high)]);
        }
    }
    if kept.last() != spots.last() {
        kept.extend(spots.last());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_curve_keeps_its_extremes_and_its_ends_within_the_budget() {
        let spots: Vec<Spot> =
            (0..100_000).map(|i| (f64::from(i) * 0.005, f64::from(i * 7919 % 1000))).collect();
        let kept = thinned(&spots, 2.0);
        assert!(kept.len() <= 2 * 251 + 1, "{}", kept.len());
        let (low, high) = (
            kept.iter().map(|s| s.1).fold(f64::MAX, f64::min),
            kept.iter().map(|s| s.1).fold(0.0, f64::max),
        );
        assert_eq!((low, high), (0.0, 999.0));
        assert_eq!(kept.last(), spots.last());
        assert!(kept.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn a_sparse_curve_is_drawn_whole() {
        let spots = [(0.0, 1.0), (5.0, 3.0), (11.0, 2.0)];
        assert_eq!(thinned(&spots, 2.0), spots);
        assert_eq!(thinned(&[], 2.0), []);
    }
}
