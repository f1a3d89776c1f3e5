//! What a fit minimises: the weighted sum of Huber terms of ln y - ln yhat, over coordinates in
//! which a unit step means something for every parameter.
//!
//! A sum, not a mean: a mean shrinks the gradients below an optimiser's tolerance as points are
//! added, and published mistakes came of that (arXiv 2404.10102).

use crate::design::Datum;
use crate::law::{At, Law, Role, Unit};
use crate::minimise::{Bounds, Problem};

/// The exponent's range: below, the law is a constant; above, no scaling law has been seen, and a
/// coefficient per FLOP would leave the range of a float.
const EXPONENT: Bounds = Bounds { low: 1e-3, high: 5.0 };
/// Of ln coefficient, in internal units: no constraint, only a guard against overflow.
const LN_COEFFICIENT: Bounds = Bounds { low: -300.0, high: 300.0 };
/// A shift of ten times the largest x leaves nothing of a power law but an exponential.
const SHIFT_OVER_LARGEST_X: f64 = 10.0;

/// Internal units, fixed by the whole data, so that a resample's estimates compare with its own.
/// Medians keep the numbers near one wherever on the axis FLOPs lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub unit: Unit,
    /// Smallest and largest x in internal units.
    pub x: Bounds,
}

impl Frame {
    /// `data` in order of x.
    pub fn new(data: &[Datum]) -> Self {
        let mut ln_y: Vec<_> = data.iter().map(|datum| datum.ln_y).collect();
        ln_y.sort_by(f64::total_cmp);
        let unit = Unit { x: data[data.len() / 2].x, y: ln_y[data.len() / 2].exp() };
        Self { unit, x: Bounds { low: data[0].x / unit.x, high: data[data.len() - 1].x / unit.x } }
    }

    /// `x` of the caller in internal units.
    pub fn at(&self, x: f64) -> At {
        At::new(x / self.unit.x)
    }

    pub fn bounds(&self, role: Role) -> Bounds {
        match role {
            Role::Coefficient => LN_COEFFICIENT,
            Role::Floor => Bounds { low: 0.0, high: f64::INFINITY },
            Role::Exponent => EXPONENT,
            Role::Shift => {
                Bounds { low: 0.0, high: (SHIFT_OVER_LARGEST_X * self.x.high / self.x.low).ln_1p() }
            }
        }
    }

    pub fn coordinate(&self, role: Role, param: f64) -> f64 {
        match role {
            Role::Coefficient => param.ln(),
            Role::Floor | Role::Exponent => param,
            Role::Shift => (param / self.x.low).ln_1p(),
        }
    }

    pub fn param(&self, role: Role, coordinate: f64) -> f64 {
        match role {
            Role::Coefficient => coordinate.exp(),
            Role::Floor | Role::Exponent => coordinate,
            Role::Shift => self.x.low * coordinate.exp_m1(),
        }
    }

    /// Derivative of [`Frame::param`] by the coordinate, where the parameter is `param`.
    fn slope(&self, role: Role, param: f64) -> f64 {
        match role {
            Role::Coefficient => param,
            Role::Floor | Role::Exponent => 1.0,
            Role::Shift => param + self.x.low,
        }
    }
}

/// A law over data, as a function of its coordinates.
pub(crate) struct Objective {
    pub law: &'static dyn Law,
    pub frame: Frame,
    pub at: Vec<At>,
    /// ln y in internal units.
    pub ln_y: Vec<f64>,
    pub weight: Vec<f64>,
    /// Where the Huber term turns from a square to a line, in ln y.
    pub delta: f64,
}

impl Objective {
    pub fn new(law: &'static dyn Law, frame: Frame, data: &[Datum], delta: f64) -> Self {
        let ln_unit = frame.unit.y.ln();
        Self {
            law,
            frame,
            at: data.iter().map(|datum| frame.at(datum.x)).collect(),
            ln_y: data.iter().map(|datum| datum.ln_y - ln_unit).collect(),
            weight: data.iter().map(|datum| datum.weight).collect(),
            delta,
        }
    }

    /// Parameters in internal units.
    pub fn params(&self, coordinates: &[f64]) -> Vec<f64> {
        let roles = self.law.params().iter().map(|param| param.role);
        roles.zip(coordinates).map(|(role, &at)| self.frame.param(role, at)).collect()
    }

    /// Root mean square of ln y - ln yhat, each point once whatever its weight.
    pub fn residual_rms(&self, coordinates: &[f64]) -> f64 {
        let params = self.params(coordinates);
        let mut by = vec![0.0; params.len()];
        let squares = self
            .at
            .iter()
            .zip(&self.ln_y)
            .map(|(&at, ln_y)| (ln_y - self.law.evaluate(at, &params, &mut by).ln()).powi(2));
        (squares.sum::<f64>() / self.at.len() as f64).sqrt()
    }

    /// ln y - ln yhat at the i-th point; the derivatives of ln yhat by the coordinates go into
    /// `gradient`, which needs one factor per parameter from `slopes`.
    fn residual(&self, i: usize, params: &[f64], slopes: &[f64], gradient: &mut [f64]) -> f64 {
        let value = self.law.evaluate(self.at[i], params, gradient);
        gradient.iter_mut().zip(slopes).for_each(|(by, slope)| *by *= slope / value);
        self.ln_y[i] - value.ln()
    }

    fn slopes(&self, params: &[f64]) -> Vec<f64> {
        let roles = self.law.params().iter().map(|param| param.role);
        roles.zip(params).map(|(role, &param)| self.frame.slope(role, param)).collect()
    }
}

impl Problem for Objective {
    fn bounds(&self) -> Vec<Bounds> {
        self.law.params().iter().map(|param| self.frame.bounds(param.role)).collect()
    }

    fn evaluate(&self, coordinates: &[f64], gradient: &mut [f64]) -> f64 {
        let params = self.params(coordinates);
        let slopes = self.slopes(&params);
        let mut by = vec![0.0; params.len()];
        gradient.fill(0.0);
        let mut sum = 0.0;
        for i in 0..self.at.len() {
            let residual = self.residual(i, &params, &slopes, &mut by);
            let pull = self.weight[i] * residual.clamp(-self.delta, self.delta);
            sum += self.weight[i] * huber(residual, self.delta);
            gradient.iter_mut().zip(&by).for_each(|(sum, by)| *sum -= pull * by);
        }
        sum
    }

    /// Gauss-Newton, with the curvature of the parabola that touches each Huber term from above.
    fn curvature(&self, coordinates: &[f64], matrix: &mut [f64]) {
        let params = self.params(coordinates);
        let slopes = self.slopes(&params);
        let n = params.len();
        let mut by = vec![0.0; n];
        matrix.fill(0.0);
        for i in 0..self.at.len() {
            let residual = self.residual(i, &params, &slopes, &mut by);
            let curvature = self.weight[i] * (self.delta / residual.abs()).min(1.0);
            for (row, by_row) in matrix.chunks_mut(n).zip(&by) {
                row.iter_mut().zip(&by).for_each(|(cell, by)| *cell += curvature * by_row * by);
            }
        }
    }

    fn scale(&self) -> f64 {
        self.delta * self.weight.iter().sum::<f64>()
    }
}

/// Huber (1964): half the square up to `delta`, then a line of slope `delta`.
pub(crate) fn huber(residual: f64, delta: f64) -> f64 {
    let size = residual.abs();
    if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::law;

    #[test]
    fn huber_is_a_square_then_a_line_and_smooth_between() {
        assert_eq!(huber(0.5, 1.0), 0.125);
        assert_eq!(huber(-3.0, 1.0), 2.5);
        assert!((huber(1.0 + 1e-9, 1.0) - huber(1.0, 1.0) - 1e-9).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn the_gradient_is_the_slope_of_the_objective(
            at in 0..law::ALL.len(), delta in prop::sample::select(vec![1e-3, 0.1, 10.0]), c in 0.1..1.0_f64, d in 0.1..2.0_f64, floor in 0.05..1.0_f64,
        ) {
            let data: Vec<_> = (0..20).map(|i| {
                let x = f64::from(i).exp2() * 1e9;
                Datum { x, ln_y: -0.2 * x.ln() + (f64::from(i) * 7.7).sin(), weight: 1.0 + f64::from(i % 3) }
            }).collect();
            let law = law::ALL[at];
            let objective = Objective::new(law, Frame::new(&data), &data, delta);
            let here: Vec<_> = law.params().iter().map(|param| match param.role {
                Role::Coefficient => 0.3,
                Role::Exponent => c,
                Role::Floor => floor,
                Role::Shift => d,
            }).collect();
            let mut gradient = vec![0.0; here.len()];
            let value = objective.evaluate(&here, &mut gradient);
            for i in 0..here.len() {
                let step = |by: f64| {
                    let mut there = here.clone();
                    there[i] += by;
                    objective.evaluate(&there, &mut vec![0.0; here.len()])
                };
                // A tenth of the narrowest bend, and five points so that the bend does not show.
                let h = 1e-5;
                let numeric = (8.0 * (step(h) - step(-h)) - step(2.0 * h) + step(-2.0 * h)) / (12.0 * h);
                prop_assert!((numeric - gradient[i]).abs() <= 1e-4 * objective.scale() + 1e-9 * value, "{} {}: {} against {numeric}", law.name(), i, gradient[i]);
            }
        }

        #[test]
        fn coordinates_go_there_and_back(param in 1e-6..1e3_f64) {
            let data = [1.0, 10.0, 1000.0].map(|x| Datum { x, ln_y: 0.0, weight: 1.0 });
            let frame = Frame::new(&data);
            for role in [Role::Coefficient, Role::Floor, Role::Exponent, Role::Shift] {
                let back = frame.param(role, frame.coordinate(role, param));
                prop_assert!((back / param - 1.0).abs() < 1e-9, "{role:?}");
            }
        }
    }
}
