//! How much the learning rate matters, where several were tried.

use std::collections::{BTreeMap, BTreeSet};

use report::{Point, RateCurve, RateFigure};
use store::{TrialResult, TrialState};

use super::Drawing;
use super::size::{Model, Shapes, Sizes};
use crate::analyse::geometric_mean;
use crate::axis_label;

/// A size and a variant.
type Group<'a> = (Model<'a>, Option<&'a str>);

/// None where no size has several rates.
pub fn figure(drawing: &Drawing) -> Option<RateFigure> {
    let shapes = Shapes::of(drawing.all.iter());
    let mut groups: BTreeMap<Group, Vec<&TrialResult>> = BTreeMap::new();
    for result in drawing.all.iter().filter(|result| result.state.has_ended()) {
        let group = (shapes.model(result), result.variant.as_deref());
        groups.entry(group).or_default().push(result);
    }
    for results in groups.values_mut() {
        *results = longest_on_most(results);
    }
    groups.retain(|_, results| of(results.iter().copied()).len() > 1);
    if groups.is_empty() {
        return None;
    }
    let variants = drawing.sweep.variant_names.clone();
    let sizes = Sizes::of(groups.keys().map(|(model, _)| *model));
    let curve = |((model, variant), results): (&Group, &Vec<&TrialResult>)| RateCurve {
        size: sizes.size(model),
        variant: variants.iter().position(|name| Some(name.as_str()) == *variant).unwrap_or(0),
        points: points(results),
        diverged: of(results.iter().copied().filter(|result| has_diverged(result))),
    };
    Some(RateFigure {
        title: format!("{}: final loss against learning rate", drawing.sweep.name),
        x_label: axis_label::name("learning_rate"),
        y_label: axis_label::with_unit("val_loss"),
        size_heading: sizes.heading(),
        variant_heading: "variant".into(),
        curves: groups.iter().map(curve).collect(),
        variants,
    })
}

/// The rates of some trials, the smallest first.
pub fn of<'a>(results: impl Iterator<Item = &'a TrialResult>) -> Vec<f64> {
    // Positive floats are in the order of their bits.
    let rates: BTreeSet<u64> =
        results.filter_map(|result| result.learning_rate).map(f64::to_bits).collect();
    rates.into_iter().map(f64::from_bits).collect()
}

/// Rates are compared at equal length and data: at the longest trials on the largest set that several
/// rates were tried for.
fn longest_on_most<'a>(results: &[&'a TrialResult]) -> Vec<&'a TrialResult> {
    let mut places: BTreeMap<(u64, u64), Vec<&TrialResult>> = BTreeMap::new();
    for result in results {
        places.entry((result.unique_examples, result.examples_seen)).or_default().push(result);
    }
    let has_several = |results: &Vec<&TrialResult>| of(results.iter().copied()).len() > 1;
    places.into_values().rfind(has_several).unwrap_or_default()
}

fn points(results: &[&TrialResult]) -> Vec<Point> {
    let mut by_rate: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for result in results.iter().filter(|result| !has_diverged(result)) {
        let Some(rate) = result.learning_rate else { continue };
        by_rate.entry(rate.to_bits()).or_default().extend(result.val_loss);
    }
    by_rate.retain(|_, losses| !losses.is_empty());
    let point = |(rate, losses): (u64, Vec<f64>)| Point {
        x: f64::from_bits(rate),
        y: geometric_mean(&losses),
        low: losses.iter().copied().fold(f64::INFINITY, f64::min),
        high: losses.iter().copied().fold(0.0, f64::max),
        n: losses.len(),
    };
    by_rate.into_iter().map(point).collect()
}

fn has_diverged(result: &TrialResult) -> bool {
    result.state == TrialState::Diverged
}
