//! What a reader of a fit must know before believing it: facts about the data and the estimate,
//! each with a code for programs and a sentence for people.

use serde::Serialize;

use crate::design::{Datum, n_distinct};
use crate::fit::Fit;
use crate::law::{Law, Role};
use crate::objective::Objective;
use crate::search::Search;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    pub code: Code,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The floor is 0, or at the smallest y.
    FloorAtBound,
    /// The floor's interval reaches from almost 0 to half of the smallest y and above.
    FloorNotSeparable,
    /// An exponent or a shift is as large or as small as is searched.
    ParameterAtBound,
    /// Less than a decade of an axis, or less than a factor of four of a budget's sizes.
    NarrowRange,
    /// Every point has nearly the same ratio of two axes: their effects cannot be told apart.
    SingleRatio,
    /// Trials of fewer than 500 optimiser steps are among the points.
    FewSteps,
    /// The best learning rate is the smallest or largest that was tried.
    LearningRateAtEdge,
    /// y does not fall towards the largest x, though the curves in use do.
    NotFalling,
    /// Some rows are there more than once, and count as often.
    DuplicateRows,
    /// Fewer than three points a parameter, or fewer than five sizes at a budget.
    FewPoints,
    /// Fewer than ten clusters to draw from: intervals come out too narrow.
    FewClusters,
    /// Curves that fit equally well predict differently a decade on.
    SeveralOptima,
    /// Less than a tenth of the starts reached the best objective.
    StartsDisagree,
    /// The minimum over a budget's sizes is outside those sampled or at their end.
    EdgeMinimum,
    /// A budget's parabola opens downwards, or is a line.
    Concave,
    /// The minimum is in the outer quarter of a budget's ln N, or has one size on a side.
    OffCentre,
    /// As many sizes as the parabola has unknowns: nothing says how well it fits.
    Saturated,
    /// The parabola explains less than half of the variance.
    PoorFit,
    /// The cubic term of the valleys is significant, and moves the minima.
    Asymmetric,
    /// Fewer than three minima to draw power laws through.
    FewBudgets,
    /// Some trials belong to no budget.
    LeftOver,
}

const POINTS_PER_PARAM: usize = 3;
const MIN_CLUSTERS: usize = 10;
/// D / N within a factor of two is one ratio.
const SAME_RATIO: f64 = 2.0;

/// The estimate, and what it came from.
pub(crate) struct Evidence<'a> {
    pub data: &'a [Datum],
    pub objective: &'a Objective,
    pub search: &'a Search,
    pub n_clusters: usize,
}

pub(crate) fn warnings(fit: &Fit, evidence: &Evidence) -> Vec<Warning> {
    [
        floor_at_bound(fit, evidence),
        floor_not_separable(fit, evidence),
        parameter_at_bound(evidence),
        narrow_range(fit, evidence.objective),
        single_ratio(fit, evidence.objective),
        duplicate_rows(fit, evidence.data),
        few_points(fit.law, evidence.data),
        few_clusters(fit, evidence.n_clusters),
        several_optima(evidence),
        starts_disagree(evidence.search),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn warn(code: Code, message: String) -> Option<Warning> {
    Some(Warning { code, message })
}

fn smallest_y(data: &[Datum]) -> f64 {
    data.iter().map(|datum| datum.ln_y).fold(f64::INFINITY, f64::min).exp()
}

fn floor_of(fit: &Fit) -> Option<&crate::fit::ParamEstimate> {
    let at = fit.law.params().iter().position(|param| param.role == Role::Floor)?;
    Some(&fit.params[at])
}

fn floor_at_bound(fit: &Fit, evidence: &Evidence) -> Option<Warning> {
    let (floor, smallest) = (floor_of(fit)?, smallest_y(evidence.data));
    if floor.value <= 1e-6 * smallest {
        let name = floor.name;
        return warn(
            Code::FloorAtBound,
            format!("the floor {name} is 0: nothing in the data shows that {} levels off", fit.y),
        );
    }
    (floor.value >= 0.99 * smallest).then(|| Warning {
        code: Code::FloorAtBound,
        message: format!("the floor {} = {:.4} is at the smallest {}, {smallest:.4}: the curve has no room left to fall", floor.name, floor.value, fit.y),
    })
}

fn floor_not_separable(fit: &Fit, evidence: &Evidence) -> Option<Warning> {
    let (floor, smallest) = (floor_of(fit)?, smallest_y(evidence.data));
    let (low, high) = floor.interval?;
    (low <= 0.1 * smallest && high >= 0.5 * smallest).then(|| Warning {
        code: Code::FloorNotSeparable,
        message: format!(
            "the floor {} may be anything from {low:.4} to {high:.4}: the data do not tell it from the exponent",
            floor.name
        ),
    })
}

fn parameter_at_bound(evidence: &Evidence) -> Option<Warning> {
    let Evidence { objective, search, .. } = evidence;
    let params = objective.law.params().iter().zip(&search.best().at);
    let mut held = params.filter(|(param, at)| {
        let bounds = objective.frame.bounds(param.role);
        match param.role {
            Role::Floor => false,
            // A shift of zero is a simpler law, not a failure of this one.
            // Nor is a sigmoid without its ceiling, a break without its turn, or an amount of nothing.
            Role::Shift(_) | Role::InverseShift(_) | Role::Amount => **at >= bounds.high,
            Role::Ceiling | Role::Bend | Role::Turn | Role::Sharpness | Role::Place(_) => false,
            Role::Coefficient | Role::Exponent | Role::Scale(_) | Role::Repeats => {
                **at <= bounds.low || **at >= bounds.high
            }
        }
    });
    let (param, _) = held.next()?;
    warn(
        Code::ParameterAtBound,
        format!(
            "{} is at the end of the range searched: another law may describe these data",
            param.name
        ),
    )
}

fn narrow_range(fit: &Fit, objective: &Objective) -> Option<Warning> {
    let axes = fit.law.axes().iter().zip(objective.frame.x);
    let ratios = axes.map(|(axis, range)| (fit.axes[axis.name()].as_str(), range.high / range.low));
    let (axis, ratio) = ratios.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (ratio < 10.0).then(|| Warning {
        code: Code::NarrowRange,
        message: format!(
            "{axis} spans a factor of {ratio:.3}, less than a decade: exponent and floor are guesses"
        ),
    })
}

/// Along the line of one ratio, a law of two axes is a law of one.
fn single_ratio(fit: &Fit, objective: &Objective) -> Option<Warning> {
    let [first, second] = fit.law.axes() else { return None };
    let ratios = || objective.at.iter().map(|at| at.ln_x[1] - at.ln_x[0]);
    let spread =
        ratios().fold(f64::NEG_INFINITY, f64::max) - ratios().fold(f64::INFINITY, f64::min);
    let [first, second] = [first, second].map(|axis| &fit.axes[axis.name()]);
    (spread < SAME_RATIO.ln()).then(|| Warning {
        code: Code::SingleRatio,
        message: format!("{second} / {first} is nearly the same in every point (within a factor of {:.3}): their effects cannot be told apart", spread.exp()),
    })
}

/// Rows of one place and one value are, as a rule, one measurement told twice.
fn duplicate_rows(fit: &Fit, data: &[Datum]) -> Option<Warning> {
    let n = data.windows(2).filter(|pair| pair[0].x == pair[1].x && pair[0].ln_y == pair[1].ln_y);
    let n = n.count();
    (n > 0).then(|| Warning {
        code: Code::DuplicateRows,
        message: format!("{n} of {} points repeat another exactly, and count again: intervals come out too narrow", fit.n_points),
    })
}

fn few_points(law: &dyn Law, data: &[Datum]) -> Option<Warning> {
    let (n, wanted) = (n_distinct(data), POINTS_PER_PARAM * law.params().len());
    (n < wanted).then(|| Warning {
        code: Code::FewPoints,
        message: format!(
            "{n} points at different places for {} parameters; {wanted} or more are wanted",
            law.params().len()
        ),
    })
}

fn few_clusters(fit: &Fit, n: usize) -> Option<Warning> {
    let unit = &fit.bootstrap.as_ref()?.unit;
    (n < MIN_CLUSTERS).then(|| Warning {
        code: Code::FewClusters,
        message: format!("the bootstrap draws from {n} clusters ({unit}): below {MIN_CLUSTERS} its intervals are too narrow"),
    })
}

/// A likelihood ratio of two log units, the 95% region of one parameter, is an excess of about 2 / n
/// of the objective where residuals are Laplacian (and 4 / n where they are normal).
fn several_optima(evidence: &Evidence) -> Option<Warning> {
    let Evidence { objective, search, data, .. } = evidence;
    let further = objective.frame.at(data[data.len() - 1].x.map(|x| 10.0 * x));
    let predict = |at: &[f64]| {
        let params = objective.params(at);
        objective.law.evaluate(&further, &params, &mut params.clone()).ln()
    };
    let ends = search.rivals(2.0 / data.len() as f64, objective).map(|rival| predict(&rival.at));
    let (low, high) = ends
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)));
    let noise = objective.residual_rms(&search.best().at).max(1e-6);
    (high - low > noise).then(|| Warning {
        code: Code::SeveralOptima,
        message: format!(
            "minima that fit equally well differ by {:.1}% a decade beyond the data",
            100.0 * (high - low).exp_m1()
        ),
    })
}

fn starts_disagree(search: &Search) -> Option<Warning> {
    let (at_best, n) = (search.n_at_best, search.minima.len());
    (10 * at_best < n).then(|| Warning {
        code: Code::StartsDisagree,
        message: format!(
            "{at_best} of {n} starts reached the best objective: a better one may have been missed"
        ),
    })
}
