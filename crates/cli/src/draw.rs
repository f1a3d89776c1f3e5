//! A sweep's figures: its results put into the shapes that `report` draws.

mod attention;
pub mod best_size;
mod losses;
mod rates;
mod size;
mod variants;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use analysis::{Estimate, Fit};
use report::{CurvePoint, DataSizeFigure, FitCurve, Point, ScalingFigure, Series, SizeLine};
use size::{Model, Sizes, model};
use spec::{SweepSpec, TrialId};
use store::{LearningCurve, TrialResult};

use crate::analyse::{Analysis, X, geometric_mean};
use crate::axis_label;
use crate::figure_file::{Kind, Named};

/// Everything that a sweep's figures show.
pub struct Drawing<'a> {
    pub sweep: &'a SweepSpec,
    /// Every trial, also those that are in no analysis.
    pub all: &'a [TrialResult],
    pub analysis: &'a Analysis,
    /// The fit of the frontier, if the points were enough for one.
    pub fit: Option<&'a Fit>,
    /// The same of what evaluations on other tasks measured, by metric.
    pub others: &'a [(&'a Analysis, Option<&'a Fit>)],
    pub curves: Curves<'a>,
    /// Where trials diverged, step.
    pub diverged: &'a HashMap<TrialId, u64>,
}

/// Courses of training.
#[derive(Clone, Copy)]
pub struct Curves<'a> {
    /// How many trials they are of, whether or not each has been measured.
    pub n_trials: usize,
    pub train_loss: &'a [LearningCurve],
    pub val_loss: &'a [LearningCurve],
    pub attention_logit: &'a [LearningCurve],
    pub attention_entropy: &'a [LearningCurve],
}

/// Points along the drawn fit.
const N_CURVE: u32 = 160;

impl Drawing<'_> {
    /// Those that there is something for.
    pub fn figures(&self) -> Vec<Named> {
        let mut figures = vec![
            Named::new("scaling", Kind::Scaling, self.scaling(self.analysis, self.fit)),
            Named::new("data_size", Kind::DataSize, self.data_size()),
            Named::new("loss_curves", Kind::LossCurves, losses::figure(self)),
        ];
        for (analysis, fit) in self.others {
            let figure = self.scaling(analysis, *fit);
            figures.push(Named::new(analysis.y(), Kind::Scaling, figure));
        }
        let variants = variants::figure(self);
        figures.extend(variants.map(|figure| Named::new("variants", Kind::Variants, figure)));
        let attention = attention::figure(self);
        figures.extend(attention.map(|figure| Named::new("attention", Kind::Attention, figure)));
        let rates = rates::figure(self);
        figures.extend(rates.map(|figure| Named::new("learning_rate", Kind::LearningRate, figure)));
        figures
    }

    /// Error against training FLOPs, with the frontier and its fit.
    fn scaling(&self, analysis: &Analysis, fit: Option<&Fit>) -> ScalingFigure {
        let uniques = uniques(analysis);
        let mut groups: BTreeMap<(Model, usize), Vec<&TrialResult>> = BTreeMap::new();
        for result in &analysis.results {
            let of_data =
                uniques.iter().position(|unique| *unique == result.unique_examples).unwrap_or(0);
            groups.entry((model(result), of_data)).or_default().push(result);
        }
        let sizes = Sizes::of(analysis.results.iter().map(model));
        let series = groups.into_iter().map(|((model, variant), results)| Series {
            size: sizes.size(&model),
            variant,
            points: seed_points(analysis, &results, |result| result.train_flops),
        });
        let frontier = analysis.frontier();
        let end = frontier.last().map_or(1.0, |point| 10.0 * point.x);
        ScalingFigure {
            title: format!(
                "{}: {} against compute",
                self.sweep.name,
                axis_label::short(analysis.y())
            ),
            x_label: axis_label::with_unit(X),
            y_label: axis_label::with_unit(analysis.y()),
            size_heading: sizes.heading(),
            variant_heading: "unique examples".into(),
            variants: uniques.iter().map(|&unique| report::si(unique as f64)).collect(),
            series: series.collect(),
            frontier: frontier.iter().map(|point| (point.x, point.y)).collect(),
            fit: fit.map(|fit| fit_curve(analysis, fit, end)),
        }
    }

    /// Error against unique examples, each size at the largest compute that all its data sizes
    /// were trained for.
    fn data_size(&self) -> DataSizeFigure {
        let analysis = self.analysis;
        let mut models: BTreeMap<Model, Vec<&TrialResult>> = BTreeMap::new();
        for result in &analysis.results {
            models.entry(model(result)).or_default().push(result);
        }
        let sizes = Sizes::of(analysis.results.iter().map(model));
        let line = |(model, results): (Model, Vec<&TrialResult>)| {
            let longest = longest_common(&results)?;
            let results: Vec<_> =
                results.into_iter().filter(|result| result.examples_seen == longest).collect();
            let points = seed_points(analysis, &results, |result| result.unique_examples as f64);
            Some(SizeLine { size: sizes.size(&model), points })
        };
        DataSizeFigure {
            title: format!(
                "{}: {} against unique examples, at the largest compute",
                self.sweep.name,
                axis_label::short(analysis.y())
            ),
            x_label: axis_label::name("unique_examples"),
            y_label: axis_label::with_unit(analysis.y()),
            size_heading: sizes.heading(),
            lines: models.into_iter().filter_map(line).collect(),
        }
    }

    /// How many trials the courses are of, where they are not of all.
    fn share(&self) -> String {
        match (self.curves.n_trials, self.all.len()) {
            (n, all) if n < all => format!(", {n} of {all} trials"),
            _ => String::new(),
        }
    }
}

/// The fit over its own points and on to `end`.
fn fit_curve(analysis: &Analysis, fit: &Fit, end: f64) -> FitCurve {
    let frontier = analysis.frontier();
    let first = frontier.first().map_or(1.0, |point| point.x);
    let last = frontier.last().map_or(1.0, |point| point.x);
    let ratio = (end / first).powf(1.0 / f64::from(N_CURVE - 1));
    let curve = (0..N_CURVE).map(|n| {
        let x = first * ratio.powf(f64::from(n));
        let Estimate { value, low, high } = fit.curve_at(analysis::point::x(x));
        CurvePoint { x, y: value, low, high }
    });
    FitCurve {
        label: formula(fit),
        band_label: format!("{:.0}% interval", 100.0 * fit.level),
        curve: curve.collect(),
        last_measured_x: last,
    }
}

/// Data sizes, the largest first: it is drawn with filled markers.
fn uniques(analysis: &Analysis) -> Vec<u64> {
    let set: BTreeSet<_> = analysis.results.iter().map(|result| result.unique_examples).collect();
    set.into_iter().rev().collect()
}

/// Results that differ in their seed alone as one point each, in order of x.
fn seed_points(
    analysis: &Analysis,
    results: &[&TrialResult],
    x: impl Fn(&TrialResult) -> f64,
) -> Vec<Point> {
    let mut groups: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for result in results {
        // Positive floats are in the order of their bits.
        groups.entry(x(result).to_bits()).or_default().extend(analysis.value(result));
    }
    let point = |(bits, errors): (u64, Vec<f64>)| Point {
        x: f64::from_bits(bits),
        y: geometric_mean(&errors),
        low: errors.iter().copied().fold(f64::INFINITY, f64::min),
        high: errors.iter().copied().fold(0.0, f64::max),
        n: errors.len(),
    };
    groups.into_iter().map(point).collect()
}

/// The largest number of examples at which a shape was trained on every one of its data sizes.
fn longest_common(results: &[&TrialResult]) -> Option<u64> {
    let uniques: BTreeSet<_> = results.iter().map(|result| result.unique_examples).collect();
    let mut by_length: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for result in results {
        by_length.entry(result.examples_seen).or_default().insert(result.unique_examples);
    }
    by_length.into_iter().rev().find(|(_, at)| *at == uniques).map(|(length, _)| length)
}

/// The law's formula with its numbers in it, raised exponents marked for the figure.
fn formula(fit: &Fit) -> String {
    let values: Vec<_> =
        fit.params.iter().map(|param| report::power_of_ten(param.value, 3)).collect();
    analysis::law::with_values(fit.law, &values, &["C"])
}
