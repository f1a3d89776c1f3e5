//! An estimate with its interval and its embarrassments.

use std::collections::BTreeMap;

use serde::ser::{SerializeMap, Serializer};

use crate::bootstrap::{Bootstrap, Ensemble, central};
use crate::decision;
use crate::design::{Datum, Design, MANY, Scale, n_distinct};
use crate::law::{Axis, Law, MAX_PARAMS, Unit, Values, Xs};
use crate::loss::Loss;
use crate::minimise::Minimum;
use crate::mixture::Mixture;
use crate::objective::{Frame, Objective};
use crate::point::{Point, Selection, seed_noise};
use crate::profile;
use crate::search::Search;
use crate::start::{solve_linear, starts};
use crate::warning::{Evidence, Warning, warnings};

/// How to fit. The defaults are what the command line uses.
#[derive(Clone, Debug, PartialEq)]
pub struct FitOptions {
    pub selection: Selection,
    pub loss: Loss,
    /// Searches begin at as many evenly spread starts...
    pub n_starts: usize,
    /// ... or, if there are any, at these parameters, in the caller's units; those in which the law is
    /// linear are solved for at the others, as they are at the even starts.
    pub given_starts: Vec<Vec<f64>>,
    /// Whether parameters get an interval from their profile likelihood too.
    pub profile: bool,
    /// Whether the law is fitted once more, without the largest points: see [`Holdout`].
    pub holdout: bool,
    /// 0: no intervals.
    pub n_resamples: usize,
    /// Share of the ensemble inside an interval, between 0 and 1.
    pub level: f64,
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            selection: Selection::EveryPoint,
            loss: Loss::default(),
            n_starts: 512,
            given_starts: Vec::new(),
            profile: false,
            holdout: true,
            n_resamples: 1000,
            level: 0.95,
            seed: 0,
        }
    }
}

/// What the axes and the bootstrap's unit are called where the points come from. Echoed, not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// By axis of the law: `train_flops`, or `params` and `examples_seen`.
    pub axes: Vec<String>,
    /// `val_error`
    pub y: String,
    /// What shares a [`Point::cluster`]: `trial`, `trunk`, `row`.
    pub cluster: String,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum FitError {
    #[error("{axis} of point {index} is {value}: a fit needs finite numbers above 0")]
    NotPositive { axis: String, index: usize, value: f64 },
    #[error("points {first} and {second} share a configuration but not {axis}")]
    SplitConfiguration { axis: String, first: usize, second: usize },
    #[error("law {law} needs {needed} points at different places; there are {found}")]
    TooFewPoints { law: &'static str, needed: usize, found: usize },
    #[error("every point has the same {axis}, {value}: law {law} needs points at different ones")]
    OneValue { law: &'static str, axis: String, value: f64 },
    #[error("law {law} has the axes {expected}; {found} columns are named")]
    Axes { law: &'static str, expected: String, found: usize },
    #[error("{option} is {value}: it has to be {wanted}")]
    Option { option: &'static str, value: f64, wanted: &'static str },
}

/// A law fitted to points. As JSON it is one object of the command line's contract; what the
/// contract does not name is left out of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Fit {
    #[serde(serialize_with = "name_of_law")]
    pub law: &'static dyn Law,
    pub formula: &'static str,
    /// Column by axis: `x` of one-axis laws, `n` and `d` and so on of others.
    #[serde(flatten)]
    pub axes: BTreeMap<&'static str, String>,
    pub y: String,
    /// Points that the law was fitted to: of a frontier, those on it.
    pub n_points: usize,
    /// Rows that the caller left out (diverged, without a value). Nothing is left out here.
    pub n_dropped: usize,
    #[serde(serialize_with = "as_map")]
    pub params: Vec<ParamEstimate>,
    /// Quantities that follow from the parameters; see [`Law::derived`].
    #[serde(serialize_with = "as_map")]
    pub derived: Vec<ParamEstimate>,
    pub level: f64,
    pub objective: ObjectiveValue,
    pub starts: Starts,
    pub bootstrap: Option<BootstrapCounts>,
    pub holdout: Option<Holdout>,
    pub warnings: Vec<Warning>,
    /// Root mean square of ln y - ln yhat over the points of the fit.
    pub residual_rms: f64,
    /// See [`seed_noise`].
    pub seed_noise: Option<f64>,
    /// Akaike's criterion corrected for few points, of Laplacian residuals: to be read beside the
    /// holdout, not instead of it. `None` with no more points than parameters.
    pub aicc: Option<f64>,
    /// Smallest and largest value of each axis and of y among the points.
    pub ranges: BTreeMap<String, (f64, f64)>,
    #[serde(skip)]
    curves: Curves,
}

/// In the caller's units.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamEstimate {
    pub name: &'static str,
    pub value: f64,
    /// Percentiles of the bootstrap; `None` without one.
    pub interval: Option<(f64, f64)>,
    /// By profile likelihood, where asked for.
    pub profile: Option<(f64, f64)>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ObjectiveValue {
    /// See [`Loss::kind`].
    pub kind: &'static str,
    /// Null in JSON for least squares.
    pub delta: f64,
    /// See [`Loss::above`].
    pub above: f64,
    pub value: f64,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Starts {
    pub n: usize,
    /// Starts that ended within 1e-6 of the best objective.
    pub at_best: usize,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BootstrapCounts {
    pub unit: String,
    pub n: usize,
    pub unconverged: usize,
}

/// The inner backtest: the law fitted without the points beyond half of the largest scale (x; of
/// several axes their product), and without at least a fifth of them, scored on these.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Holdout {
    pub n: usize,
    pub rmse_log: f64,
}

/// The value of the fitted curve at a place, and two intervals at the fit's level.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Prediction {
    pub value: f64,
    /// Where the curve may be, by the parameters' uncertainty; `value` without a bootstrap.
    pub low: f64,
    pub high: f64,
    /// Where a measurement may be: residual noise added. Neither holds the doubt whether this law is
    /// the right one; [`crate::forecast`] does.
    pub noise_low: f64,
    pub noise_high: f64,
}

/// The best curve and the bootstrap's, in internal units: no digit is lost on the way to a
/// prediction, and no coefficient overflows.
#[derive(Clone, Debug)]
struct Curves {
    frame: Frame,
    best: Values,
    ensemble: Vec<Values>,
}

/// Fits `law` to `points`: the least sum of Huber terms of ln y - ln yhat over many starts, with
/// intervals from a bootstrap over clusters.
pub fn fit(
    law: &'static dyn Law,
    points: &[Point],
    labels: &Labels,
    options: &FitOptions,
) -> Result<Fit, FitError> {
    check_options(law, options)?;
    check_axes(law.name(), law.axes(), points, labels)?;
    let scale = Scale::new(law.axes());
    let design = Design::new(points, options.selection, scale);
    if let (Selection::Frontier, Some((first, second))) =
        (options.selection, design.split_configuration())
    {
        return Err(FitError::SplitConfiguration { axis: labels.axes[0].clone(), first, second });
    }
    let data = design.whole();
    check_enough(law.name(), law.params().len(), &data, labels)?;
    let objective = Objective::new(law, Frame::new(law, &data), &data, options.loss);
    let search = Search::new(&objective, &starts_of(&objective, options));
    let ensemble = bootstrap(&objective, &search, &design, options);
    let mut fit = assemble(&objective, &search, ensemble, labels, options);
    if options.profile {
        add_profiles(&mut fit, &objective, search.best());
    }
    if options.holdout {
        fit.holdout = holdout(law, scale, &data, options);
    }
    fit.seed_noise = seed_noise(points);
    let evidence = Evidence {
        data: &data,
        objective: &objective,
        search: &search,
        n_clusters: design.n_clusters(),
    };
    fit.warnings = warnings(&fit, &evidence);
    Ok(fit)
}

impl Fit {
    /// `x` by axis, in the caller's units.
    pub fn predict(&self, x: Xs) -> Prediction {
        let decision::Estimate { value, low, high } = self.curve_at(x);
        let noisy = self.distribution(x);
        let tail = 0.5 * (1.0 - self.level);
        Prediction {
            value,
            low,
            high,
            noise_low: noisy.quantile(tail),
            noise_high: noisy.quantile(1.0 - tail),
        }
    }

    /// The best curve alone, a thousandth of the work of [`Self::predict`]: for what needs many places.
    pub fn value_at(&self, x: Xs) -> f64 {
        self.curve(&self.curves.best, x)
    }

    /// The curve and where it may be, as [`Self::predict`] says, without a measurement's noise.
    pub fn curve_at(&self, x: Xs) -> decision::Estimate {
        let (value, ensemble) = self.curves_at(x);
        let (low, high) = central(ensemble, self.level).unwrap_or((value, value));
        decision::Estimate { value, low, high }
    }

    /// Of the next measurement at `x`: every curve of the bootstrap with the residuals' noise.
    pub fn distribution(&self, x: Xs) -> Mixture {
        let (best, mut ensemble) = self.curves_at(x);
        if ensemble.is_empty() {
            ensemble.push(best);
        }
        Mixture::even(ensemble.iter().map(|y| y.ln()), self.noise())
    }

    /// A quantity that the parameters (in the caller's units) give: its value, and its interval from
    /// the bootstrap. Resamples for which it is not finite are left out of the interval.
    pub fn quantity(&self, name: &'static str, of: impl Fn(&[f64]) -> f64) -> ParamEstimate {
        let unit = &self.curves.frame.unit;
        let value = |params: &Values| of(&self.law.in_units(params, unit));
        let resampled = self.curves.ensemble.iter().map(value).filter(|value| value.is_finite());
        let interval = central(resampled.collect(), self.level);
        ParamEstimate { name, value: value(&self.curves.best), interval, profile: None }
    }

    /// By its name in [`Law::params`].
    pub fn param(&self, name: &str) -> Option<&ParamEstimate> {
        self.params.iter().find(|param| param.name == name)
    }

    /// Standard deviation of ln y around the curve, with the parameters' degrees of freedom taken off.
    pub(crate) fn noise(&self) -> f64 {
        let (n, k) = (self.n_points as f64, self.params.len() as f64);
        self.residual_rms * (n / (n - k).max(1.0)).sqrt()
    }

    /// The best curve's value and the resamples'.
    fn curves_at(&self, x: Xs) -> (f64, Vec<f64>) {
        let ensemble = self.curves.ensemble.iter().map(|params| self.curve(params, x));
        (self.curve(&self.curves.best, x), ensemble.collect())
    }

    /// y at a place of the curve with parameters in internal units.
    pub(crate) fn curve(&self, params: &Values, x: Xs) -> f64 {
        let Frame { unit, .. } = &self.curves.frame;
        unit.y * self.law.evaluate(&self.curves.frame.at(x), params, &mut [0.0; MAX_PARAMS])
    }

    /// In internal units, as all curves.
    pub(crate) fn best(&self) -> &Values {
        &self.curves.best
    }

    pub(crate) fn ensemble(&self) -> &[Values] {
        &self.curves.ensemble
    }
}

fn check_options(law: &dyn Law, options: &FitOptions) -> Result<(), FitError> {
    let bad = |option, value, wanted| Err(FitError::Option { option, value, wanted });
    let Loss { delta, above } = options.loss;
    if delta.is_nan() || delta <= 0.0 {
        return bad("delta", delta, "above 0");
    }
    if !(above > 0.0 && above <= 1.0) {
        return bad("the weight of points above the curve", above, "above 0 and at most 1");
    }
    if !(options.level > 0.0 && options.level < 1.0) {
        return bad("level", options.level, "between 0 and 1");
    }
    if options.n_starts == 0 {
        return bad("starts", 0.0, "1 or more");
    }
    let k = law.params().len();
    if let Some(given) = options.given_starts.iter().find(|given| given.len() != k) {
        return bad("a start's length", given.len() as f64, "one value per parameter");
    }
    Ok(())
}

pub(crate) fn check_axes(
    law: &'static str,
    axes: &[Axis],
    points: &[Point],
    labels: &Labels,
) -> Result<(), FitError> {
    if labels.axes.len() != axes.len() {
        let expected: Vec<_> = axes.iter().map(|axis| axis.name()).collect();
        let (expected, found) = (expected.join(", "), labels.axes.len());
        return Err(FitError::Axes { law, expected, found });
    }
    let is_good = |value: f64| value.is_finite() && value > 0.0;
    for (index, point) in points.iter().enumerate() {
        let axes = labels.axes.iter().zip(point.x);
        for (axis, value) in axes.chain([(&labels.y, point.y)]) {
            if !is_good(value) {
                return Err(FitError::NotPositive { axis: axis.clone(), index, value });
            }
        }
    }
    Ok(())
}

pub(crate) fn check_enough(
    law: &'static str,
    needed: usize,
    data: &[Datum],
    labels: &Labels,
) -> Result<(), FitError> {
    let found = n_distinct(data);
    for (axis, name) in labels.axes.iter().enumerate() {
        let value = data.first().map_or(0.0, |datum| datum.x[axis]);
        if data.len() >= needed && data.iter().all(|datum| datum.x[axis] == value) {
            return Err(FitError::OneValue { law, axis: name.clone(), value });
        }
    }
    if found < needed {
        return Err(FitError::TooFewPoints { law, needed, found });
    }
    Ok(())
}

fn starts_of(objective: &Objective, options: &FitOptions) -> Vec<Values> {
    let rough = objective.thinned(MANY);
    let objective = rough.as_ref().unwrap_or(objective);
    if options.given_starts.is_empty() {
        return starts(objective, options.n_starts);
    }
    let unit = objective.frame.unit;
    let inverse = Unit { x: unit.x.map(|x| 1.0 / x), y: 1.0 / unit.y };
    let start = |given: &Vec<f64>| {
        let mut params = objective.law.in_units(given, &inverse);
        solve_linear(objective, &mut params);
        objective.coordinates(&params)
    };
    options.given_starts.iter().map(start).collect()
}

fn add_profiles(fit: &mut Fit, objective: &Objective, best: &Minimum) {
    let level = fit.level;
    for (i, param) in fit.params.iter_mut().enumerate() {
        let Some(ends) = profile::interval(objective, best, i, level) else { continue };
        let in_units = |coordinate: f64| {
            let mut at = best.at.clone();
            at[i] = coordinate;
            objective.law.in_units(&objective.params(&at), &objective.frame.unit)[i]
        };
        param.profile = Some((in_units(ends.0), in_units(ends.1)));
    }
}

fn bootstrap(
    objective: &Objective,
    search: &Search,
    design: &Design,
    options: &FitOptions,
) -> Ensemble {
    let bootstrap = Bootstrap {
        law: objective.law,
        frame: objective.frame,
        loss: options.loss,
        warm: search.best().at.clone(),
        is_cold: search.n_at_best < search.minima.len(),
        seed: options.seed,
    };
    bootstrap.ensemble(design, options.n_resamples)
}

fn assemble(
    objective: &Objective,
    search: &Search,
    ensemble: Ensemble,
    labels: &Labels,
    options: &FitOptions,
) -> Fit {
    let law = objective.law;
    let counts = BootstrapCounts {
        unit: labels.cluster.clone(),
        n: options.n_resamples,
        unconverged: ensemble.n_unconverged,
    };
    let axes = law.axes().iter().map(|axis| axis.name()).zip(labels.axes.iter().cloned());
    let Loss { delta, above } = options.loss;
    let mut fit = Fit {
        law,
        formula: law.formula(),
        axes: axes.collect(),
        y: labels.y.clone(),
        n_points: objective.at.len(),
        n_dropped: 0,
        params: Vec::new(),
        derived: Vec::new(),
        level: options.level,
        objective: ObjectiveValue {
            kind: options.loss.kind(),
            delta,
            above,
            value: search.best().value,
        },
        starts: Starts { n: search.minima.len(), at_best: search.n_at_best },
        bootstrap: (options.n_resamples > 0).then_some(counts),
        holdout: None,
        warnings: Vec::new(),
        residual_rms: objective.residual_rms(&search.best().at),
        seed_noise: None,
        aicc: aicc(objective, &search.best().at),
        ranges: ranges(objective, labels),
        curves: Curves {
            frame: objective.frame,
            best: objective.params(&search.best().at),
            ensemble: ensemble.params,
        },
    };
    let param = |(i, param): (usize, &crate::law::Param)| fit.quantity(param.name, |at| at[i]);
    let params = law.params().iter().enumerate().map(param).collect();
    let derived = law.derived().iter().map(|derived| fit.quantity(derived.name, derived.of));
    (fit.derived, fit.params) = (derived.collect(), params);
    fit
}

/// 2 k - 2 ln L + 2 k (k + 1) / (n - k - 1), where L is the likelihood of Laplacian residuals with
/// the scale that makes it largest, and k counts that scale.
fn aicc(objective: &Objective, at: &[f64]) -> Option<f64> {
    let (n, k) = (objective.at.len() as f64, at.len() as f64 + 1.0);
    let mean = objective.residuals(at).iter().map(|residual| residual.abs()).sum::<f64>() / n;
    let score = 2.0 * k + 2.0 * n * (1.0 + (2.0 * mean).ln()) + 2.0 * k * (k + 1.0) / (n - k - 1.0);
    (n > k + 1.0 && score.is_finite()).then_some(score)
}

fn ranges(objective: &Objective, labels: &Labels) -> BTreeMap<String, (f64, f64)> {
    let Frame { unit, x, y } = &objective.frame;
    let axes = labels.axes.iter().enumerate();
    let axes = axes.map(|(axis, name)| {
        (name.clone(), (x[axis].low * unit.x[axis], x[axis].high * unit.x[axis]))
    });
    axes.chain([(labels.y.clone(), (y.low * unit.y, y.high * unit.y))]).collect()
}

/// `None` where what remains could not be fitted with a point to spare.
fn holdout(
    law: &'static dyn Law,
    scale: Scale,
    data: &[Datum],
    options: &FitOptions,
) -> Option<Holdout> {
    let (kept, held) = data.split_at(holdout_from(data.len(), |i| scale.of(&data[i].x)));
    if n_distinct(kept) <= law.params().len() {
        return None;
    }
    let objective = Objective::new(law, Frame::new(law, kept), kept, options.loss);
    let search = Search::new(&objective, &starts_of(&objective, options));
    let scored = Objective::new(law, objective.frame, held, options.loss);
    Some(Holdout { n: held.len(), rmse_log: scored.residual_rms(&search.best().at) })
}

/// The first of `n` points in order of scale that is held out. Points that tie with it are held out
/// too: a seed of theirs among the rest would tell the answer.
pub(crate) fn holdout_from(n: usize, scale_of: impl Fn(usize) -> f64) -> usize {
    let (half, fifth) = (0.5 * scale_of(n - 1), scale_of(n - (n / 5).max(1)));
    (0..n).take_while(|&i| scale_of(i) <= half && scale_of(i) < fifth).count()
}

fn name_of_law<S: Serializer>(law: &&'static dyn Law, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(law.name())
}

#[derive(serde::Serialize)]
struct Estimate {
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<(f64, f64)>,
}

fn as_map<S: Serializer>(params: &[ParamEstimate], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(params.len()))?;
    for param in params {
        let (low, high) = param.interval.unzip();
        let estimate = Estimate { value: param.value, low, high, profile: param.profile };
        map.serialize_entry(param.name, &estimate)?;
    }
    map.end()
}
