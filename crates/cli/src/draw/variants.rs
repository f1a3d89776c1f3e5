//! One curve a variant.

use analysis::MeanPoint;
use report::{VariantCurve, VariantsFigure};

use super::{Drawing, X_LABEL, fit_curve, y_label};
use crate::analyse::Analysis;

/// How far beyond the sweep's largest compute laws are drawn.
const BEYOND: f64 = 3.0;

/// None in a sweep without variants.
pub fn figure(drawing: &Drawing) -> Option<VariantsFigure> {
    let names = crate::variant::names(drawing.sweep);
    if names.is_empty() {
        return None;
    }
    let analysis = drawing.analysis;
    let last = analysis.points.iter().map(|point| point.x[0]).fold(0.0, f64::max);
    let curve = |name: &String| curve(name, &analysis.of_variant(Some(name)), BEYOND * last);
    Some(VariantsFigure {
        title: format!("{}: {} against compute", drawing.sweep.name, y_label(analysis.y())),
        x_label: X_LABEL.into(),
        y_label: y_label(analysis.y()),
        variant_heading: "variant".into(),
        variants: names.iter().map(curve).collect(),
    })
}

fn curve(name: &str, analysis: &Analysis, end: f64) -> VariantCurve {
    let spots = |points: &[MeanPoint]| points.iter().map(|mean| (mean.x, mean.y)).collect();
    VariantCurve {
        label: name.to_owned(),
        points: spots(&analysis::seed_means(&analysis.points)),
        frontier: spots(&analysis.frontier()),
        fit: analysis.fits().first().map(|fit| fit_curve(analysis, fit, end)),
    }
}
