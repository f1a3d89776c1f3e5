//! One curve a variant.

use report::{VariantCurve, VariantsFigure};
use store::TrialState;

use super::{Drawing, fit_curve};
use crate::analyse::X;
use crate::axis_label;

/// How far beyond the sweep's largest compute laws are drawn.
const BEYOND: f64 = 3.0;

/// None in a sweep without variants.
pub fn figure(drawing: &Drawing) -> Option<VariantsFigure> {
    let names = &drawing.sweep.variant_names;
    if names.is_empty() {
        return None;
    }
    let analysis = drawing.analysis;
    let last = analysis.points.iter().map(|point| point.x[0]).fold(0.0, f64::max);
    let curve = |name: &String| curve(drawing, name, BEYOND * last);
    Some(VariantsFigure {
        title: format!(
            "{}: {} against compute",
            drawing.sweep.name,
            axis_label::name(analysis.y())
        ),
        x_label: axis_label::with_unit(X),
        y_label: axis_label::with_unit(analysis.y()),
        variant_heading: "variant".into(),
        variants: names.iter().map(curve).collect(),
    })
}

fn curve(drawing: &Drawing, name: &str, end: f64) -> VariantCurve {
    let analysis = drawing.analysis.of_variant(Some(name));
    VariantCurve {
        label: name.to_owned(),
        points: every_trial(drawing, name),
        frontier: analysis.frontier().iter().map(|mean| (mean.x, mean.y)).collect(),
        fit: analysis.fits().first().map(|fit| fit_curve(&analysis, fit, end)),
    }
}

/// Also those with a learning rate that is not the best.
fn every_trial(drawing: &Drawing, variant: &str) -> Vec<(f64, f64)> {
    let of_it = drawing.all.iter().filter(|result| result.variant.as_deref() == Some(variant));
    of_it
        .filter(|result| result.state == TrialState::Finished)
        .filter_map(|result| Some((result.train_flops, drawing.analysis.value(result)?)))
        .collect()
}
