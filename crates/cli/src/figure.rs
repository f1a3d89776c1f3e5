//! Figures of the analysis commands: estimates put into the shapes that `report` draws.

use analysis::backtest::{Backtest, Case, Estimator};
use analysis::decision;
use analysis::isoflop::{Budget, Profile};
use analysis::law::{Axis, Role};
use analysis::point::x;
use analysis::{Fit, FitOptions, Forecast, Labels, Point, Selection};
use anyhow::{Context, anyhow};
use report::{
    Approach, BacktestFigure, BacktestPanel, ContourFigure, ContourTrial, CurvePoint,
    EstimatorCurve, Figure, FitCurve, FitFigure, FitGroup, FitPoint, Floor, ForestFigure,
    ForestRow, IsoFlopFigure, Minimum, NamedLine, OptimumFigure, OptimumPanel, Prediction, Scale,
    Surface, Valley,
};

use crate::analyse::{X, short, with_interval};
use crate::axis_label;
use crate::commands::profiles::{APPROACHES, Approaches, Best};
use crate::estimate::Estimate;
use crate::exit::bad_input;
use crate::input::{Curve, Input};

/// Points along a drawn curve.
const N_CURVE: u32 = 161;
/// How far beyond the data a curve is drawn, in x.
const BEYOND: f64 = 10.0;
/// Cells of a drawn surface, along either axis.
const N_SURFACE: u32 = 80;
/// Points along the line of best splits, or of best sizes.
const N_BEST: u32 = 20;
const N_LEVELS: usize = 9;
const MAX_PANELS: usize = 24;

/// Of one curve its fit, called `name`; of several the intervals of their exponents.
///
/// # Errors
/// Nothing to draw.
pub fn of_estimates(
    input: &Input,
    estimates: &[Estimate],
    selection: Selection,
    name: &str,
) -> anyhow::Result<Box<dyn Figure>> {
    match (input.curves.as_slice(), estimates) {
        ([curve], [estimate]) => of_estimate(input, curve, estimate, selection, name),
        _ => Ok(Box::new(forest(input, estimates)?)),
    }
}

/// The title ends with the name of the exact fit.
fn of_estimate(
    input: &Input,
    curve: &Curve,
    estimate: &Estimate,
    selection: Selection,
    name: &str,
) -> anyhow::Result<Box<dyn Figure>> {
    let named = |title: &str| format!("{title} ({name})");
    match estimate {
        Estimate::Forecast(forecast) => {
            let figure = forecast_figure(input, curve, forecast, selection);
            Ok(Box::new(FitFigure { title: named(&figure.title), ..figure }))
        }
        Estimate::Fit(fit) if fit.law.axes() == [Axis::X] => {
            let figure = fit_figure(input, curve, fit, selection);
            Ok(Box::new(FitFigure { title: named(&figure.title), ..figure }))
        }
        Estimate::Fit(fit) => {
            let figure = contours(input, curve, fit)?;
            Ok(Box::new(ContourFigure { title: named(&figure.title), ..figure }))
        }
    }
}

/// `n` places from one end to the other, even in the logarithm.
fn grid((low, high): (f64, f64), n: u32) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| low * (high / low).powf(f64::from(i) / f64::from(n - 1)))
}

/// Smallest and largest of values above 0.
fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let wider = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    values.into_iter().fold((f64::INFINITY, 0.0), wider)
}

/// Where a fitted curve is drawn.
fn beyond((low, high): (f64, f64)) -> impl Iterator<Item = f64> {
    grid((low, BEYOND * high), N_CURVE)
}

/// The points that were fitted, and hollow those that are off the frontier.
fn groups(curve: &Curve, selection: Selection, value: impl Fn(f64) -> f64) -> Vec<FitGroup> {
    let fitted = |x: f64, y: f64| FitPoint { x, y, residual: (y / value(x)).ln() };
    let group = |label: &str, hollow, points| FitGroup { label: label.to_owned(), hollow, points };
    let means = analysis::seed_means(&curve.points);
    match selection {
        Selection::EveryPoint => {
            let points = curve.points.iter().map(|point| fitted(point.x[0], point.y));
            vec![group("measured", false, points.collect())]
        }
        Selection::Frontier => {
            let frontier = analysis::frontier(&means);
            let is_off = |mean: &&analysis::MeanPoint| !frontier.contains(mean);
            let off =
                |mean: &analysis::MeanPoint| FitPoint { x: mean.x, y: mean.y, residual: f64::NAN };
            vec![
                group(
                    "frontier",
                    false,
                    frontier.iter().map(|mean| fitted(mean.x, mean.y)).collect(),
                ),
                group("off the frontier", true, means.iter().filter(is_off).map(off).collect()),
            ]
        }
    }
}

fn fit_figure(input: &Input, curve: &Curve, fit: &Fit, selection: Selection) -> FitFigure {
    let range = fit.ranges[&input.labels.axes[0]];
    let values: Vec<_> =
        fit.params.iter().map(|param| report::power_of_ten(param.value, 3)).collect();
    let said: Vec<_> = beyond(range).map(|at| (at, fit.predict(x(at)))).collect();
    let floor = fit.law.params().iter().position(|param| param.role == Role::Floor);
    let floor = floor.map(|at| &fit.params[at]).filter(|floor| floor.value > 0.0);
    let percent = 100.0 * fit.level;
    FitFigure {
        title: title(input, curve, fit.law.name()),
        x_label: label(&input.labels.axes[0], "x"),
        y_label: label(&input.labels.y, "y"),
        group_heading: String::new(),
        groups: groups(curve, selection, |at| fit.value_at(x(at))),
        fit: FitCurve {
            label: analysis::law::with_values(fit.law, &values, &["x"]),
            band_label: format!("{percent:.0}%, curve"),
            curve: said
                .iter()
                .map(|(x, p)| CurvePoint { x: *x, y: p.value, low: p.low, high: p.high })
                .collect(),
            last_measured_x: range.1,
        },
        prediction: Some(Prediction {
            label: format!("{percent:.0}%, measurement"),
            band: said
                .iter()
                .map(|(x, p)| CurvePoint {
                    x: *x,
                    y: p.value,
                    low: p.noise_low,
                    high: p.noise_high,
                })
                .collect(),
        }),
        floor: floor
            .map(|floor| Floor { label: format!("floor {}", short(floor.value)), y: floor.value }),
        target: None,
        residual_rms: Some(fit.residual_rms),
    }
}

fn forecast_figure(
    input: &Input,
    curve: &Curve,
    forecast: &Forecast,
    selection: Selection,
) -> FitFigure {
    let range = forecast.ranges[&input.labels.axes[0]];
    let point = |at| {
        let said = forecast.predict(at);
        CurvePoint { x: at, y: said.value, low: said.low, high: said.high }
    };
    FitFigure {
        title: title(input, curve, "default estimator"),
        x_label: label(&input.labels.axes[0], "x"),
        y_label: label(&input.labels.y, "y"),
        group_heading: String::new(),
        groups: groups(curve, selection, |at| forecast.predict(at).value),
        fit: FitCurve {
            label: "average of curves".to_owned(),
            band_label: format!("{:.0}%, measurement", 100.0 * forecast.level),
            curve: beyond(range).map(point).collect(),
            last_measured_x: range.1,
        },
        prediction: None,
        floor: None,
        target: None,
        residual_rms: None,
    }
}

/// A column by its name and unit; an expression of columns by what it stands for.
fn label(column: &str, symbol: &str) -> String {
    if is_expression(column) { symbol.to_owned() } else { axis_label::with_unit(column) }
}

fn is_expression(column: &str) -> bool {
    column.contains(['"', '*', '/', '+', '('])
}

fn title(input: &Input, curve: &Curve, law: &str) -> String {
    let group = if curve.group.is_empty() { String::new() } else { format!(" {}", curve.name()) };
    let y = &input.labels.y;
    let y = if is_expression(y) { "y".to_owned() } else { axis_label::name(y) };
    format!("{}{group}: {y} by {law}", input.name)
}

/// A law of N and another axis over the plane of its points.
fn contours(input: &Input, curve: &Curve, fit: &Fit) -> anyhow::Result<ContourFigure> {
    if fit.law.axes().len() != 2 {
        return Err(bad_input(anyhow!("a law of {} axes has no figure", fit.law.axes().len())));
    }
    let [x_range, y_range] = [0, 1].map(|axis: usize| {
        let (low, high) = fit.ranges[&input.labels.axes[axis]];
        let margin = (high / low).powf(0.05);
        (low / margin, high * margin)
    });
    let row = |y: f64| grid(x_range, N_SURFACE).map(move |x| fit.value_at([x, y, 1.0]));
    let values: Vec<_> = grid(y_range, N_SURFACE).flat_map(row).collect();
    let (low, high) = range(values.iter().copied());
    let level = |i: usize| low * (high / low).powf((i + 1) as f64 / (N_LEVELS + 1) as f64);
    let (frontier, iso_flops) = best_splits(curve, fit);
    Ok(ContourFigure {
        title: title(input, curve, fit.law.name()),
        x_label: label(&input.labels.axes[0], "N"),
        y_label: label(&input.labels.axes[1], "D"),
        value_label: label(&input.labels.y, "y"),
        surface: Surface { x: x_range, y: y_range, columns: N_SURFACE as usize, values },
        levels: (0..N_LEVELS).map(level).collect(),
        trials: curve
            .points
            .iter()
            .map(|p| ContourTrial { x: p.x[0], y: p.x[1], value: p.y })
            .collect(),
        frontier,
        iso_flops,
    })
}

/// The best split of each compute, and lines of equal compute; for laws of N and D alone.
fn best_splits(curve: &Curve, fit: &Fit) -> (Option<NamedLine>, Vec<NamedLine>) {
    let flops_per = curve.flops_per.unwrap_or(6.0);
    let computes = curve.points.iter().map(|point| flops_per * point.x[0] * point.x[1]);
    let computes = range(computes);
    let best =
        |c: f64| fit.optimum(c, flops_per).ok().map(|best| (best.n_opt.value, best.d_opt.value));
    let points: Option<Vec<_>> = grid(computes, N_BEST).map(best).collect();
    let Some(points) = points else { return (None, Vec::new()) };
    let decades = computes.0.log10().ceil() as i32..=computes.1.log10().floor() as i32;
    let (low, high) = range(curve.points.iter().map(|point| point.x[0]));
    let line = |decade: i32| NamedLine {
        label: format!("10^{{{decade}}} FLOPs"),
        points: grid((0.1 * low, 10.0 * high), N_CURVE)
            .map(|n| (n, 10_f64.powi(decade) / flops_per / n))
            .collect(),
    };
    (Some(NamedLine { label: "best split".to_owned(), points }), decades.map(line).collect())
}

/// The first exponent of each curve's law, a row each.
fn forest(input: &Input, estimates: &[Estimate]) -> anyhow::Result<ForestFigure> {
    let fits: Option<Vec<&Fit>> = estimates
        .iter()
        .map(|estimate| match estimate {
            Estimate::Fit(fit) => Some(&**fit),
            Estimate::Forecast(_) => None,
        })
        .collect();
    let fits =
        fits.ok_or_else(|| bad_input(anyhow!("the figure of several curves needs a --law")))?;
    let law = fits[0].law;
    let exponent = law.params().iter().position(|param| param.role == Role::Exponent).unwrap_or(0);
    let row = |(curve, fit): (&Curve, &&Fit)| {
        let param = fits_quantity(fit, exponent);
        let (low, high) = param.interval.unwrap_or((f64::NAN, f64::NAN));
        ForestRow {
            label: curve.name(),
            value: param.value,
            low,
            high,
            numbers: with_interval(param.value, param.interval),
        }
    };
    let name = fits_quantity(fits[0], exponent).name;
    Ok(ForestFigure {
        title: format!("{}: {name} of {}", input.name, law.formula()),
        x_label: name.to_owned(),
        x_scale: Scale::Linear,
        rows: input.curves.iter().zip(&fits).map(row).collect(),
        references: Vec::new(),
    })
}

/// The exponent of the best size, where the law has one, or its own first one.
fn fits_quantity(fit: &Fit, exponent: usize) -> &analysis::fit::ParamEstimate {
    fit.derived.first().unwrap_or(&fit.params[exponent])
}

/// A panel a curve: what was fitted, what was held out, and what each estimator said.
pub fn of_backtest(
    input: &Input,
    cases: &[Case],
    estimators: &[Estimator],
    result: &Backtest,
    options: &FitOptions,
) -> BacktestFigure {
    let options = FitOptions { n_resamples: 0, ..options.clone() };
    let panel = |(at, case): (usize, &Case)| {
        let rmse = |estimator: usize| result.estimators[estimator].groups[at].rmse;
        backtest_panel(case, estimators, &rmse, &options)
    };
    BacktestFigure {
        title: format!("{}: what was held out, and what was predicted", input.name),
        x_label: label(&input.labels.axes[0], "x"),
        y_label: label(&input.labels.y, "y"),
        estimators: estimators.iter().map(|estimator| estimator.name().to_owned()).collect(),
        band_label: "90% interval".to_owned(),
        panels: cases.iter().enumerate().take(MAX_PANELS).map(panel).collect(),
    }
}

fn backtest_panel(
    case: &Case,
    estimators: &[Estimator],
    rmse: &dyn Fn(usize) -> Option<f64>,
    options: &FitOptions,
) -> BacktestPanel {
    let spots =
        |points: &[Point]| points.iter().map(|point| (point.x[0], point.y)).collect::<Vec<_>>();
    let xs = |points: &[Point]| points.iter().map(|point| point.x[0]).collect::<Vec<_>>();
    let (_, cut) = range(xs(&case.train));
    let all = range(xs(&case.train).into_iter().chain(xs(&case.test)));
    let at: Vec<_> = grid(all, N_CURVE).map(x).collect();
    let (mut curves, mut band) = (Vec::new(), Vec::new());
    for (i, estimator) in estimators.iter().enumerate() {
        let train = case.training();
        let (Some(rmse), Ok(said)) = (rmse(i), estimator.forecast(&train, &at, options)) else {
            continue;
        };
        if i == 0 {
            let beyond = at.iter().zip(&said).filter(|(at, _)| at[0] >= cut);
            band = beyond
                .map(|(at, (y, said))| {
                    let (low, high) = said.interval(0.9);
                    CurvePoint { x: at[0], y: *y, low, high }
                })
                .collect();
        }
        let points = at.iter().zip(&said).map(|(at, (y, _))| (at[0], *y)).collect();
        curves.push(EstimatorCurve { estimator: i, rmse, points });
    }
    let names: Vec<_> = case.group.iter().map(|(_, cell)| cell.as_str()).collect();
    BacktestPanel {
        title: names.join(" "),
        train: spots(&case.train),
        held_out: spots(&case.test),
        cut,
        curves,
        band,
    }
}

/// Parabolas through the budgets' points, with their minima.
pub fn of_profile(input: &Input, curve: &Curve, profile: &Profile) -> IsoFlopFigure {
    let excluded = |budget: &Budget| {
        profile.excluded.iter().any(|excluded| excluded.train_flops == budget.train_flops)
    };
    let valley = |budget: &Budget| {
        let points: Vec<_> = budget.rows.iter().map(|&row| &curve.points[row]).collect();
        let minimum = budget.n_opt.zip(budget.loss_opt).map(|(n, loss)| {
            let (low, high) = (n.low, n.high);
            Minimum { x: n.value, y: loss.value, low, high, doubtful: excluded(budget) }
        });
        Valley {
            label: report::power_of_ten(budget.train_flops, 2),
            points: points.iter().map(|point| (point.x[1], point.y)).collect(),
            parabola: parabola(budget, &points),
            minimum,
        }
    };
    IsoFlopFigure {
        title: format!(
            "{}: {} against size at equal compute",
            input.name,
            axis_label::short(&input.labels.y)
        ),
        x_label: label(&input.labels.axes[1], "N"),
        y_label: label(&input.labels.y, "y"),
        budget_heading: axis_label::with_unit(X),
        valleys: profile.budgets.iter().map(valley).collect(),
        minimum_label: format!("minimum, {:.0}% interval", 100.0 * profile.level),
        doubtful_label: "minimum left out".to_owned(),
    }
}

fn parabola(budget: &Budget, points: &[&Point]) -> Vec<(f64, f64)> {
    let sizes = range(points.iter().map(|point| point.x[1]));
    grid(sizes, N_CURVE).map(|n| (n, budget.parabola.at(n))).collect()
}

/// Chinchilla's law over the plane of N and D.
///
/// # Errors
/// The points were too few for the law.
pub fn of_parametric(input: &Input, approaches: &Approaches) -> anyhow::Result<ContourFigure> {
    let fit = approaches.parametric.as_ref().context("too few points for a law of N and D")?;
    let of_n_and_d = |point: &Point| Point { x: [point.x[1], point.x[2], 1.0], ..*point };
    let curve = &input.curves[0];
    let points = curve.points.iter().map(of_n_and_d).collect();
    let flops_per = Some(approaches.flops_per);
    let plane = Curve { points, flops_per, ..curve.clone() };
    let labels = Labels { axes: input.labels.axes[1..].to_vec(), ..input.labels.clone() };
    let input =
        Input { name: input.name.clone(), labels, selection: input.selection, curves: Vec::new() };
    contours(&input, &plane, fit)
}

/// The best size and data against compute, by each approach.
///
/// # Errors
/// No approach has an answer at a compute.
pub fn of_optimum(
    input: &Input,
    approaches: &Approaches,
    target: Option<f64>,
) -> anyhow::Result<OptimumFigure> {
    let computes = approaches.on_frontier.iter().map(|at| at.c);
    let budgets = approaches.profile.budgets.iter().map(|budget| budget.train_flops);
    let (low, high) = range(computes.chain(budgets));
    let drawn = (low, target.unwrap_or(high).max(high));
    let said = grid(drawn, N_BEST).map(|c| approaches.at(c));
    let said = said.collect::<anyhow::Result<Vec<_>>>()?;
    let at_target = target.map(|c| approaches.at(c)).transpose()?;
    let panel = |of: What, y_label: &str, symbol: &str| {
        let measured = measured(approaches, of);
        let approach = |(kind, points): (usize, Vec<CurvePoint>)| Approach {
            label: APPROACHES[kind].to_owned(),
            kind,
            points,
            curve: said.iter().filter_map(|at| of.best(at, kind)).collect(),
            last_measured_x: high,
            predicted: at_target.as_ref().and_then(|at| of.best(at, kind)),
        };
        OptimumPanel {
            y_label: y_label.to_owned(),
            heading: format!("{symbol} by approach"),
            approaches: measured.into_iter().enumerate().map(approach).collect(),
        }
    };
    Ok(OptimumFigure {
        title: format!("{}: best size and data for a compute", input.name),
        x_label: axis_label::with_unit(X),
        panels: [
            panel(What::Size, &label(&input.labels.axes[1], "N"), "N_{opt}"),
            panel(What::Data, &label(&input.labels.axes[2], "D"), "D_{opt}"),
        ],
        target: target.map(|c| (c, format!("{} FLOPs", report::power_of_ten(c, 2)))),
    })
}

/// What an optimum's panel shows.
#[derive(Clone, Copy)]
enum What {
    Size,
    Data,
}

impl What {
    fn of<T>(self, n: T, d: T) -> T {
        match self {
            Self::Size => n,
            Self::Data => d,
        }
    }

    fn best(self, at: &Best, approach: usize) -> Option<CurvePoint> {
        let split = at.splits()[approach]?;
        Some(curve_point(at.train_flops, self.of(split.n_opt, split.d_opt)))
    }
}

fn curve_point(x: f64, estimate: decision::Estimate) -> CurvePoint {
    let decision::Estimate { value, low, high } = estimate;
    CurvePoint { x, y: value, low, high }
}

/// The points that each approach goes through, in the order of [`APPROACHES`]; the parametric
/// law has none.
fn measured(approaches: &Approaches, what: What) -> [Vec<CurvePoint>; 3] {
    let on_frontier = approaches.on_frontier.iter();
    let frontier =
        on_frontier.map(|at| curve_point(at.c, decision::Estimate::bare(what.of(at.n, at.d))));
    let minimum = |budget: &Budget| {
        Some(curve_point(budget.train_flops, what.of(budget.n_opt, budget.d_opt)?))
    };
    let minima = approaches.profile.budgets.iter().filter_map(minimum);
    [frontier.collect(), minima.collect(), Vec::new()]
}
