//! Profile likelihood of single parameters: how far one can be moved, all others fitted again, until
//! the objective has risen by more than chance.
//!
//! The objective is no likelihood, but a sum of robust terms. Its rise is scaled by what the terms'
//! slopes vary and how fast they turn (the drop-in-dispersion test of Schrader and Hettmansperger
//! 1980), with normal residuals of robust width for the latter, so that the same threshold serves
//! squares, absolute values and all between. Residuals count as independent: where clusters matter,
//! the bootstrap is to be read.

use arrayvec::ArrayVec;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::law::{MAX_PARAMS, Role, Values};
use crate::minimise::{Bounds, Minimum, Problem, minimise};
use crate::objective::Objective;

/// The interval of the i-th parameter, in coordinates; an end that is not reached within the bounds
/// is the bound. `None` for parameters whose value in the caller's units hangs on others.
pub(crate) fn interval(
    objective: &Objective,
    best: &Minimum,
    i: usize,
    level: f64,
) -> Option<(f64, f64)> {
    match objective.law.params()[i].role {
        Role::Coefficient | Role::Amount | Role::Scale(_) => return None,
        Role::Floor | Role::Ceiling | Role::Exponent | Role::Bend | Role::Turn => {}
        Role::Sharpness | Role::Shift(_) | Role::InverseShift(_) | Role::Place(_) => {}
        Role::Repeats => {}
    }
    let limit = best.value + allowed_rise(objective, best, level);
    let bounds = objective.bounds()[i];
    let low = end(objective, best, i, bounds.low.max(best.at[i] - FURTHEST), limit);
    let high = end(objective, best, i, bounds.high.min(best.at[i] + FURTHEST), limit);
    Some((low, high))
}

/// In coordinates, which are of order one.
const FURTHEST: f64 = 20.0;
const FIRST_STEP: f64 = 1e-3;
const N_BISECTIONS: usize = 25;

/// z^2 / 2 times the mean of the squared slope over that of the curvature, with the parameters' degrees of freedom taken off.
fn allowed_rise(objective: &Objective, best: &Minimum, level: f64) -> f64 {
    let mut residuals = objective.residuals(&best.at);
    let (n, k) = (residuals.len() as f64, best.at.len() as f64);
    let squares: f64 = residuals.iter().map(|r| objective.loss.slope(*r).powi(2)).sum();
    residuals.iter_mut().for_each(|residual| *residual = residual.abs());
    residuals.sort_by(f64::total_cmp);
    // The median absolute deviation of a standard normal is 1 / 1.4826.
    let sd = 1.4826 * residuals[residuals.len() / 2];
    let normal = Normal::standard();
    let turning = if sd > 0.0 { 2.0 * normal.cdf(objective.loss.delta / sd) - 1.0 } else { 1.0 };
    let z = normal.inverse_cdf(0.5 * (1.0 + level));
    0.5 * z * z * squares / n / turning * n / (n - k).max(1.0)
}

/// Where the profile crosses `limit` between the best value and `bound`.
fn end(objective: &Objective, best: &Minimum, i: usize, bound: f64, limit: f64) -> f64 {
    let sign = if bound < best.at[i] { -1.0 } else { 1.0 };
    let (mut inside, mut others) = (best.at[i], best.at.clone());
    let mut step = FIRST_STEP;
    let mut outside = loop {
        let at =
            if sign * (inside + sign * step - bound) >= 0.0 { bound } else { inside + sign * step };
        let minimum = held(objective, i, at, &others);
        if minimum.value > limit || minimum.value.is_nan() {
            break at;
        }
        if at == bound {
            return bound;
        }
        (inside, others, step) = (at, minimum.at, 2.0 * step);
    };
    for _ in 0..N_BISECTIONS {
        let middle = 0.5 * (inside + outside);
        let minimum = held(objective, i, middle, &others);
        if minimum.value > limit {
            outside = middle
        } else {
            (inside, others) = (middle, minimum.at)
        }
    }
    0.5 * (inside + outside)
}

/// The minimum with one coordinate held.
fn held(objective: &Objective, i: usize, at: f64, others: &Values) -> Minimum {
    let mut start = others.clone();
    start[i] = at;
    minimise(&Held { objective, i, at }, &start)
}

struct Held<'a> {
    objective: &'a Objective,
    i: usize,
    at: f64,
}

impl Problem for Held<'_> {
    fn bounds(&self) -> ArrayVec<Bounds, MAX_PARAMS> {
        let mut bounds = self.objective.bounds();
        bounds[self.i] = Bounds { low: self.at, high: self.at };
        bounds
    }

    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        self.objective.evaluate(at, gradient)
    }

    fn curvature(&self, at: &[f64], matrix: &mut [f64]) {
        self.objective.curvature(at, matrix);
    }

    fn scale(&self) -> f64 {
        self.objective.scale()
    }
}
