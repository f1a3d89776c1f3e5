//! Figure: error against training compute, one curve a variant: all its trials pale, its frontier, and
//! its fitted law.

use crate::axis::{Axis, Scale, on_log_axes};
use crate::canvas::{Canvas, Spot};
use crate::curve::FitCurve;
use crate::frame::Frame;
use crate::legend::{Entry, Glyph, Legend, Section};
use crate::mark::Marker;
use crate::plan::{Panel, Plan};
use crate::style::{
    BAND_OPACITY, Dash, EXTRAPOLATED, INK, LINE_WIDTH, SOFT_INK, Stroke, THIN_WIDTH,
    category_colour, category_dash,
};
use crate::{Data, Datum, DrawError, Figure, Look};

#[derive(Clone, Debug)]
pub struct VariantsFigure {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Above the variants in the legend.
    pub variant_heading: String,
    pub variants: Vec<VariantCurve>,
}

#[derive(Clone, Debug)]
pub struct VariantCurve {
    pub label: String,
    /// Of every trial, as a rule means over seeds.
    pub points: Vec<(f64, f64)>,
    /// Those of them that no other of the variant beats at its compute, in order of compute.
    pub frontier: Vec<(f64, f64)>,
    pub fit: Option<FitCurve>,
}

impl Figure for VariantsFigure {
    fn draw(&self, look: Look) -> Result<String, DrawError> {
        let (x, y) = self.axes().ok_or(DrawError::Nothing { figure: "variants" })?;
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
        let of = |variant: &VariantCurve| {
            let every = Datum::pairs("every trial", &variant.points);
            let frontier = Datum::pairs("frontier", &variant.frontier);
            let fit = variant.fit.iter().flat_map(FitCurve::data);
            let rows = every.chain(frontier).chain(fit);
            rows.map(|row| row.of(&variant.label)).collect::<Vec<_>>()
        };
        Data::new(&self.x_label, &self.y_label, self.variants.iter().flat_map(of))
    }
}

impl VariantsFigure {
    fn axes(&self) -> Option<(Axis, Axis)> {
        let of = |variant: &VariantCurve| {
            let curve = variant.fit.iter().flat_map(|fit| &fit.curve).map(|at| (at.x, at.y));
            let measured = variant.points.iter().chain(&variant.frontier).copied();
            measured.chain(curve).filter(on_log_axes).collect::<Vec<_>>()
        };
        let all: Vec<(f64, f64)> = self.variants.iter().flat_map(of).collect();
        let x = Axis::over(Scale::Log, all.iter().map(|(x, _)| *x))?;
        Some((x, Axis::over(Scale::Log, all.iter().map(|(_, y)| *y))?))
    }

    /// What is off the frontiers lies under all frontiers and laws.
    fn paint(&self, canvas: &mut Canvas, frame: &Frame) {
        let all = || self.variants.iter().enumerate();
        for (i, variant) in all() {
            let colour = category_colour(i);
            if let Some(fit) = &variant.fit {
                fit.drawn().paint_band(canvas, frame, colour, 0.6 * BAND_OPACITY);
            }
        }
        for (i, variant) in all() {
            marker(i).small().pale().draw_all(canvas, &spots(frame, &variant.points));
        }
        for (i, variant) in all() {
            let frontier = spots(frame, &variant.frontier);
            let stroke = law_stroke(i);
            match &variant.fit {
                Some(fit) => {
                    canvas.line(&frontier, Stroke { width: THIN_WIDTH, ..stroke.faded(0.45) });
                    fit.drawn().paint_curve(canvas, frame, stroke);
                }
                None => canvas.line(&frontier, Stroke { width: LINE_WIDTH, ..stroke }),
            }
        }
        for (i, variant) in all() {
            marker(i).draw_all(canvas, &spots(frame, &variant.frontier));
        }
    }

    fn legend(&self) -> Legend {
        let variant = |(i, variant): (usize, &VariantCurve)| {
            Entry::of([Glyph::Line(law_stroke(i)), Glyph::Marker(marker(i))], &variant.label)
        };
        let law = |(i, variant): (usize, &VariantCurve)| {
            let fit = variant.fit.as_ref()?;
            Some(Entry::of([Glyph::Line(law_stroke(i))], &fit.label))
        };
        let all = || self.variants.iter().enumerate();
        Legend::new([
            Section {
                heading: self.variant_heading.clone(),
                entries: all().map(variant).collect(),
            },
            Section { heading: String::new(), entries: self.common_entries() },
            Section { heading: "fitted laws".into(), entries: all().filter_map(law).collect() },
        ])
    }

    fn common_entries(&self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::of([Glyph::Marker(Marker::of_any_size(0))], "frontier"),
            Entry::of([Glyph::Marker(Marker::of_any_size(0).small().pale())], "every trial"),
        ];
        let fits = || self.variants.iter().filter_map(|variant| variant.fit.as_ref());
        if fits().any(|fit| fit.drawn().goes_beyond()) {
            let stroke = Stroke::solid(INK, LINE_WIDTH).dashed(EXTRAPOLATED);
            entries.push(Entry::of([Glyph::Line(stroke)], "extrapolated"));
        }
        if let Some(fit) = fits().next() {
            entries.push(Entry::of([Glyph::Band(SOFT_INK, BAND_OPACITY)], &fit.band_label));
        }
        entries
    }
}

fn marker(variant: usize) -> Marker {
    Marker::of_category(variant, false)
}

/// Dashed only where there are more variants than colours.
fn law_stroke(variant: usize) -> Stroke {
    let dash: Dash = category_dash(variant);
    Stroke::solid(category_colour(variant), 1.4 * LINE_WIDTH).dashed(dash)
}

fn spots(frame: &Frame, points: &[(f64, f64)]) -> Vec<Spot> {
    let shown = points.iter().filter(|(x, y)| frame.shows(*x, *y));
    shown.map(|(x, y)| frame.spot(*x, *y)).collect()
}
