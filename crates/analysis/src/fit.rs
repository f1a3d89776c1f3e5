//! An estimate with its interval and its embarrassments.

use serde::ser::{SerializeMap, Serializer};

use crate::bootstrap::{Bootstrap, Ensemble, central, n_distinct_x};
use crate::design::{Datum, Design};
use crate::law::Law;
use crate::objective::{Frame, Objective};
use crate::point::{Point, Selection, seed_noise};
use crate::search::Search;
use crate::warning::{Evidence, Warning, warnings};

/// How to fit. The defaults are what the command line uses.
#[derive(Clone, Debug, PartialEq)]
pub struct FitOptions {
    pub selection: Selection,
    /// Where the Huber term turns from a square to a line, in ln y.
    pub delta: f64,
    pub n_starts: usize,
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
            delta: 1e-3,
            n_starts: 512,
            n_resamples: 1000,
            level: 0.95,
            seed: 0,
        }
    }
}

/// What the axes and the bootstrap's unit are called where the points come from. Echoed, not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// `train_flops`
    pub x: String,
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
    #[error(
        "law {law} has {needed} parameters and needs as many points at different x; there are {found}"
    )]
    TooFewPoints { law: &'static str, needed: usize, found: usize },
    #[error("{option} is {value}: it has to be {wanted}")]
    Option { option: &'static str, value: f64, wanted: &'static str },
}

/// A law fitted to points. As JSON it is one object of the command line's contract; what the
/// contract does not name is left out of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Fit {
    #[serde(serialize_with = "name_of_law")]
    pub law: &'static dyn Law,
    pub x: String,
    pub y: String,
    /// Points that the law was fitted to: of a frontier, those on it.
    pub n_points: usize,
    /// Rows that the caller left out (diverged, without a value). Nothing is left out here.
    pub n_dropped: usize,
    #[serde(serialize_with = "as_map")]
    pub params: Vec<ParamEstimate>,
    pub level: f64,
    pub objective: ObjectiveValue,
    pub starts: Starts,
    pub bootstrap: Option<BootstrapCounts>,
    pub holdout: Option<Holdout>,
    pub warnings: Vec<Warning>,
    /// Root mean square of ln y - ln yhat over the points of the fit.
    #[serde(skip)]
    pub residual_rms: f64,
    /// See [`seed_noise`].
    #[serde(skip)]
    pub seed_noise: Option<f64>,
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
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ObjectiveValue {
    pub kind: &'static str,
    pub delta: f64,
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

/// The fit without the fifth of its points with the largest x, scored on them.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Holdout {
    pub n: usize,
    pub rmse_log: f64,
}

/// A point of the fitted curve with the band that the parameters' uncertainty gives it.
///
/// The band holds the curve, not the next measurement: that scatters around the curve by
/// [`Fit::residual_rms`] more. Nor does it hold the doubt whether the law itself is the right one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    pub value: f64,
    /// Percentiles at the fit's level; `value` without a bootstrap.
    pub low: f64,
    pub high: f64,
}

/// The best curve and the bootstrap's, in internal units: no digit is lost on the way to a
/// prediction, and no coefficient overflows.
#[derive(Clone, Debug)]
struct Curves {
    frame: Frame,
    best: Vec<f64>,
    ensemble: Vec<Vec<f64>>,
}

/// Fits `law` to `points`: the least sum of Huber terms of ln y - ln yhat over many starts, with
/// intervals from a bootstrap over clusters.
pub fn fit(
    law: &'static dyn Law,
    points: &[Point],
    labels: &Labels,
    options: &FitOptions,
) -> Result<Fit, FitError> {
    check_options(options)?;
    check_points(points, labels)?;
    let design = Design::new(points, options.selection);
    if let (Selection::Frontier, Some((first, second))) =
        (options.selection, design.split_configuration())
    {
        return Err(FitError::SplitConfiguration { axis: labels.x.clone(), first, second });
    }
    let data = design.whole();
    let (needed, found) = (law.params().len(), n_distinct_x(&data));
    if found < needed {
        return Err(FitError::TooFewPoints { law: law.name(), needed, found });
    }
    let objective = Objective::new(law, Frame::new(&data), &data, options.delta);
    let search = Search::new(&objective, options.n_starts);
    let ensemble = bootstrap(&objective, &search, &design, options);
    let mut fit = assemble(&objective, &search, ensemble, labels, options);
    fit.holdout = holdout(law, &data, options);
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
    pub fn predict(&self, x: f64) -> Prediction {
        let at = self.curves.frame.at(x);
        let unit = self.curves.frame.unit.y;
        let mut gradient = vec![0.0; self.params.len()];
        let mut value = |params: &Vec<f64>| unit * self.law.evaluate(at, params, &mut gradient);
        let best = value(&self.curves.best);
        let ensemble = self.curves.ensemble.iter().map(value).collect();
        let (low, high) = central(ensemble, self.level).unwrap_or((best, best));
        Prediction { value: best, low, high }
    }

    /// By its name in [`Law::params`].
    pub fn param(&self, name: &str) -> Option<&ParamEstimate> {
        self.params.iter().find(|param| param.name == name)
    }
}

fn check_options(options: &FitOptions) -> Result<(), FitError> {
    let bad = |option, value, wanted| Err(FitError::Option { option, value, wanted });
    if !(options.delta > 0.0 && options.delta.is_finite()) {
        return bad("delta", options.delta, "above 0");
    }
    if !(options.level > 0.0 && options.level < 1.0) {
        return bad("level", options.level, "between 0 and 1");
    }
    if options.n_starts == 0 {
        return bad("starts", 0.0, "1 or more");
    }
    Ok(())
}

fn check_points(points: &[Point], labels: &Labels) -> Result<(), FitError> {
    let is_good = |value: f64| value.is_finite() && value > 0.0;
    for (index, point) in points.iter().enumerate() {
        for (axis, value) in [(&labels.x, point.x), (&labels.y, point.y)] {
            if !is_good(value) {
                return Err(FitError::NotPositive { axis: axis.clone(), index, value });
            }
        }
    }
    Ok(())
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
        delta: options.delta,
        warm: vec![search.best().at.clone()],
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
    let best = objective.params(&search.best().at);
    let counts = BootstrapCounts {
        unit: labels.cluster.clone(),
        n: options.n_resamples,
        unconverged: ensemble.n_unconverged,
    };
    Fit {
        law: objective.law,
        x: labels.x.clone(),
        y: labels.y.clone(),
        n_points: objective.at.len(),
        n_dropped: 0,
        params: estimates(objective, &best, &ensemble, options.level),
        level: options.level,
        objective: ObjectiveValue {
            kind: "huber-log-sum",
            delta: options.delta,
            value: search.best().value,
        },
        starts: Starts { n: options.n_starts, at_best: search.n_at_best },
        bootstrap: (options.n_resamples > 0).then_some(counts),
        holdout: None,
        warnings: Vec::new(),
        residual_rms: objective.residual_rms(&search.best().at),
        seed_noise: None,
        curves: Curves { frame: objective.frame, best, ensemble: ensemble.params },
    }
}

fn estimates(
    objective: &Objective,
    best: &[f64],
    ensemble: &Ensemble,
    level: f64,
) -> Vec<ParamEstimate> {
    let (law, unit) = (objective.law, objective.frame.unit);
    let values = law.in_units(best, unit);
    let resampled: Vec<_> =
        ensemble.params.iter().map(|params| law.in_units(params, unit)).collect();
    let estimate = |(i, value): (usize, f64)| ParamEstimate {
        name: law.params()[i].name,
        value,
        interval: central(resampled.iter().map(|params| params[i]).collect(), level),
    };
    values.into_iter().enumerate().map(estimate).collect()
}

/// `None` where what remains could not be fitted with a point to spare. Points that tie with the
/// smallest x held out are held out too: a seed of theirs among the rest would tell the answer.
fn holdout(law: &'static dyn Law, data: &[Datum], options: &FitOptions) -> Option<Holdout> {
    let cut = data[data.len() - (data.len() / 5).max(1)].x;
    let (kept, held) = data.split_at(data.partition_point(|datum| datum.x < cut));
    if n_distinct_x(kept) <= law.params().len() {
        return None;
    }
    let objective = Objective::new(law, Frame::new(kept), kept, options.delta);
    let search = Search::new(&objective, options.n_starts);
    let scored = Objective::new(law, objective.frame, held, options.delta);
    Some(Holdout { n: held.len(), rmse_log: scored.residual_rms(&search.best().at) })
}

fn name_of_law<S: Serializer>(law: &&'static dyn Law, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(law.name())
}

#[derive(serde::Serialize)]
struct Estimate {
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
}

fn as_map<S: Serializer>(params: &[ParamEstimate], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(params.len()))?;
    for param in params {
        let (low, high) = param.interval.unzip();
        map.serialize_entry(param.name, &Estimate { value: param.value, low, high })?;
    }
    map.end()
}
