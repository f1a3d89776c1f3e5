//! What a fit minimises: the weighted sum of Huber terms of ln y - ln yhat, over coordinates in
//! which a unit step means something for every parameter.
//!
//! A sum, not a mean: a mean shrinks the gradients below an optimiser's tolerance as points are
//! added, and published mistakes came of that (arXiv 2404.10102).

use arrayvec::ArrayVec;

use crate::design::Datum;
use crate::law::{At, Axis, Law, MAX_AXES, MAX_PARAMS, Role, Row, Unit, Values, Xs};
use crate::loss::Loss;
use crate::minimise::{Bounds, Problem};

/// The exponent's range: below, the law is a constant; above, no scaling law has been seen, and a
/// coefficient per FLOP would leave the range of a float.
const EXPONENT: Bounds = Bounds { low: 1e-3, high: 5.0 };
/// Of ln coefficient, in internal units: no constraint, only a guard against overflow.
const LN_COEFFICIENT: Bounds = Bounds { low: -300.0, high: 300.0 };
/// Below, a power of y's distance from the ceiling has no influence; above, no sigmoid is left.
const BEND: Bounds = Bounds { low: 0.01, high: 10.0 };
/// A curve may rise again, but no error explodes.
const TURN: Bounds = Bounds { low: -2.0, high: 5.0 };
/// Sharper, a break is a corner between two points; wider, it is none.
const SHARPNESS: Bounds = Bounds { low: 0.01, high: 5.0 };
/// A ceiling at the largest y leaves it at infinite distance; a thousand times as high it is none.
const CEILING_OVER_LARGEST_Y: Bounds = Bounds { low: 1.0001, high: 1000.0 };
/// A shift of ten times the largest x leaves nothing of a power law but an exponential.
const SHIFT_OVER_LARGEST_X: f64 = 10.0;
/// A break further from the data than a decade leaves no trace in them.
const PLACE_BEYOND: f64 = 10.0;
/// Of ln scale over the data's median, a guard against overflow.
const LN_SCALE: Bounds = Bounds { low: -60.0, high: 60.0 };
const REPEATS: Bounds = Bounds { low: 0.01, high: 1e4 };

/// Points that are evaluated together: few enough for the nearest cache.
const BLOCK: usize = 32;

/// Internal units, fixed by the whole data, so that a resample's estimates compare with its own.
/// Medians keep the numbers near one wherever on the axis FLOPs lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub unit: Unit,
    /// Smallest and largest value on each axis and of y, in internal units.
    pub x: [Bounds; MAX_AXES],
    pub y: Bounds,
}

impl Frame {
    pub fn new(law: &dyn Law, data: &[Datum]) -> Self {
        let column = |axis: usize| data.iter().map(move |datum| datum.x[axis]);
        let mut unit = Unit { x: [0, 1, 2].map(|axis| median(column(axis))), y: 1.0 };
        unit.y = median(data.iter().map(|datum| datum.ln_y)).exp();
        share_unit(law.axes(), &mut unit.x);
        Self {
            x: [0, 1, 2].map(|axis| range(column(axis).map(|x| x / unit.x[axis]))),
            y: range(data.iter().map(|datum| datum.ln_y.exp() / unit.y)),
            unit,
        }
    }

    /// A position of the caller in internal units.
    pub fn at(&self, x: Xs) -> At {
        At::new([0, 1, 2].map(|axis| x[axis] / self.unit.x[axis]))
    }

    pub fn bounds(&self, role: Role) -> Bounds {
        let ln = |Bounds { low, high }| Bounds { low: f64::ln(low), high: f64::ln(high) };
        match role {
            Role::Coefficient => LN_COEFFICIENT,
            Role::Amount => Bounds { low: 0.0, high: f64::INFINITY },
            Role::Floor => Bounds { low: 0.0, high: self.y.high },
            Role::Ceiling => {
                let Bounds { low, high } = CEILING_OVER_LARGEST_Y;
                Bounds { low: (low - 1.0).ln(), high: (high - 1.0).ln() }
            }
            Role::Exponent => EXPONENT,
            Role::Bend => ln(BEND),
            Role::Turn => TURN,
            Role::Sharpness => ln(SHARPNESS),
            Role::Shift(axis) | Role::InverseShift(axis) => {
                let Bounds { low, high } = self.x[axis];
                Bounds { low: 0.0, high: (SHIFT_OVER_LARGEST_X * high / low).ln_1p() }
            }
            Role::Place(axis) => {
                let Bounds { low, high } = self.x[axis];
                ln(Bounds { low: low / PLACE_BEYOND, high: high * PLACE_BEYOND })
            }
            Role::Scale(_) => LN_SCALE,
            Role::Repeats => ln(REPEATS),
        }
    }

    pub fn coordinate(&self, role: Role, param: f64) -> f64 {
        match role {
            Role::Amount | Role::Floor | Role::Exponent | Role::Turn => param,
            Role::Coefficient | Role::Bend | Role::Sharpness | Role::Repeats => param.ln(),
            Role::Place(_) | Role::Scale(_) => param.ln(),
            Role::Ceiling => (param / self.y.high - 1.0).ln(),
            Role::Shift(axis) => (param / self.x[axis].low).ln_1p(),
            Role::InverseShift(axis) => (param * self.x[axis].high).ln_1p(),
        }
    }

    pub fn param(&self, role: Role, coordinate: f64) -> f64 {
        match role {
            Role::Amount | Role::Floor | Role::Exponent | Role::Turn => coordinate,
            Role::Coefficient | Role::Bend | Role::Sharpness | Role::Repeats => coordinate.exp(),
            Role::Place(_) | Role::Scale(_) => coordinate.exp(),
            Role::Ceiling => self.y.high * (1.0 + coordinate.exp()),
            Role::Shift(axis) => self.x[axis].low * coordinate.exp_m1(),
            Role::InverseShift(axis) => coordinate.exp_m1() / self.x[axis].high,
        }
    }

    /// Derivative of [`Frame::param`] by the coordinate, where the parameter is `param`.
    fn slope(&self, role: Role, param: f64) -> f64 {
        match role {
            Role::Amount | Role::Floor | Role::Exponent | Role::Turn => 1.0,
            Role::Coefficient | Role::Bend | Role::Sharpness | Role::Repeats => param,
            Role::Place(_) | Role::Scale(_) => param,
            Role::Ceiling => param - self.y.high,
            Role::Shift(axis) => param + self.x[axis].low,
            Role::InverseShift(axis) => param + 1.0 / self.x[axis].high,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn range(values: impl Iterator<Item = f64>) -> Bounds {
    let empty = Bounds { low: f64::INFINITY, high: f64::NEG_INFINITY };
    values.fold(empty, |Bounds { low, high }, value| Bounds {
        low: low.min(value),
        high: high.max(value),
    })
}

/// Unique examples are measured in the unit of examples.
fn share_unit(axes: &[Axis], units: &mut Xs) {
    let place = |axis| axes.iter().position(|other| *other == axis);
    if let (Some(d), Some(unique)) = (place(Axis::D), place(Axis::Unique)) {
        units[unique] = units[d];
    }
}

/// Points that were evaluated together, a value each.
struct Block<'a> {
    /// ln y - ln yhat.
    residuals: &'a [f64],
    weights: &'a [f64],
    /// yhat.
    values: &'a [f64],
    /// Derivatives of yhat by the parameters.
    rows: &'a [Row],
}

/// A law over data, as a function of its coordinates.
pub(crate) struct Objective {
    pub law: &'static dyn Law,
    pub frame: Frame,
    pub loss: Loss,
    pub at: Vec<At>,
    /// ln y in internal units.
    pub ln_y: Vec<f64>,
    pub weight: Vec<f64>,
    total_weight: f64,
    bounds: ArrayVec<Bounds, MAX_PARAMS>,
}

impl Objective {
    pub fn new(law: &'static dyn Law, frame: Frame, data: &[Datum], loss: Loss) -> Self {
        let ln_unit = frame.unit.y.ln();
        Self {
            law,
            frame,
            loss,
            at: data.iter().map(|datum| frame.at(datum.x)).collect(),
            ln_y: data.iter().map(|datum| datum.ln_y - ln_unit).collect(),
            weight: data.iter().map(|datum| datum.weight).collect(),
            total_weight: data.iter().map(|datum| datum.weight).sum(),
            bounds: law.params().iter().map(|param| frame.bounds(param.role)).collect(),
        }
    }

    /// Of more than `most` points as many of them, evenly in their order, each with the weight of those
    /// that it stands for.
    pub fn thinned(&self, most: usize) -> Option<Self> {
        let every = self.at.len().div_ceil(most);
        let weight = self.weight.iter().step_by(every).map(|weight| every as f64 * weight);
        (every > 1).then(|| Self {
            at: self.at.iter().step_by(every).copied().collect(),
            ln_y: self.ln_y.iter().step_by(every).copied().collect(),
            weight: weight.collect(),
            bounds: self.bounds.clone(),
            ..*self
        })
    }

    /// Parameters in internal units.
    pub fn params(&self, coordinates: &[f64]) -> Values {
        let roles = self.law.params().iter().map(|param| param.role);
        roles.zip(coordinates).map(|(role, &at)| self.frame.param(role, at)).collect()
    }

    pub fn coordinates(&self, params: &[f64]) -> Values {
        let roles = self.law.params().iter().map(|param| param.role);
        roles.zip(params).map(|(role, &at)| self.frame.coordinate(role, at)).collect()
    }

    /// ln y - ln yhat, by point.
    pub fn residuals(&self, coordinates: &[f64]) -> Vec<f64> {
        let mut residuals = Vec::with_capacity(self.at.len());
        let params = self.params(coordinates);
        self.for_each_block(&params, |block| residuals.extend(block.residuals));
        residuals
    }

    /// Root mean square of ln y - ln yhat, each point once whatever its weight.
    pub fn residual_rms(&self, coordinates: &[f64]) -> f64 {
        let squares: f64 = self.residuals(coordinates).iter().map(|r| r * r).sum();
        (squares / self.at.len() as f64).sqrt()
    }

    /// Calls `each`, block by block of points.
    #[inline]
    fn for_each_block(&self, params: &[f64], mut each: impl FnMut(&Block)) {
        let (mut values, mut rows) = ([0.0; BLOCK], [[0.0; MAX_PARAMS]; BLOCK]);
        let mut residuals = [0.0; BLOCK];
        let points = self.ln_y.chunks(BLOCK).zip(self.weight.chunks(BLOCK));
        for (at, (ln_y, weights)) in self.at.chunks(BLOCK).zip(points) {
            let (values, rows) = (&mut values[..at.len()], &mut rows[..at.len()]);
            self.law.evaluate_all(at, params, values, rows);
            let residuals = &mut residuals[..at.len()];
            for ((residual, value), ln_y) in residuals.iter_mut().zip(&*values).zip(ln_y) {
                *residual = ln_y - value.ln();
            }
            each(&Block { residuals, weights, values, rows });
        }
    }

    fn slopes(&self, params: &[f64]) -> Values {
        let roles = self.law.params().iter().map(|param| param.role);
        roles.zip(params).map(|(role, &param)| self.frame.slope(role, param)).collect()
    }
}

impl Problem for Objective {
    fn bounds(&self) -> ArrayVec<Bounds, MAX_PARAMS> {
        self.bounds.clone()
    }

    fn evaluate(&self, coordinates: &[f64], gradient: &mut [f64]) -> f64 {
        let params = self.params(coordinates);
        let (mut sum, mut by): (f64, Row) = (0.0, [0.0; MAX_PARAMS]);
        let (mut terms, mut pulls) = ([0.0; BLOCK], [0.0; BLOCK]);
        self.for_each_block(&params, |Block { residuals, weights, values, rows }| {
            for ((term, residual), weight) in terms.iter_mut().zip(*residuals).zip(*weights) {
                *term = weight * self.loss.value(*residual);
            }
            sum += terms[..residuals.len()].iter().sum::<f64>();
            let points = residuals.iter().zip(*weights).zip(*values);
            for (pull, ((residual, weight), value)) in pulls.iter_mut().zip(points) {
                *pull = weight * self.loss.slope(*residual) / value;
            }
            for (pull, row) in pulls.iter().zip(*rows) {
                (0..MAX_PARAMS).for_each(|i| by[i] -= pull * row[i]);
            }
        });
        let slopes = self.slopes(&params);
        (0..params.len()).for_each(|i| gradient[i] = by[i] * slopes[i]);
        sum
    }

    /// Gauss-Newton, with the curvature of the parabola that touches each Huber term from above.
    fn curvature(&self, coordinates: &[f64], matrix: &mut [f64]) {
        let params = self.params(coordinates);
        let k = params.len();
        matrix.fill(0.0);
        self.for_each_block(&params, |Block { residuals, weights, values, rows }| {
            for (i, row) in rows.iter().enumerate() {
                let curvature = weights[i] * self.loss.curvature(residuals[i]) / values[i].powi(2);
                for (cells, by_row) in matrix.chunks_exact_mut(k).zip(row) {
                    cells
                        .iter_mut()
                        .zip(row)
                        .for_each(|(cell, by)| *cell += curvature * by_row * by);
                }
            }
        });
        let slopes = self.slopes(&params);
        for (cells, slope_row) in matrix.chunks_exact_mut(k).zip(&slopes) {
            cells.iter_mut().zip(&slopes).for_each(|(cell, slope)| *cell *= slope_row * slope);
        }
    }

    fn scale(&self) -> f64 {
        self.loss.scale() * self.total_weight
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::law;
    use crate::minimise::zeros;
    use crate::start::starts;

    /// Twenty points over every axis, in no law's shape.
    fn data() -> Vec<Datum> {
        let datum = |i: i32| {
            let wave = |speed: f64| (f64::from(i) * speed).sin();
            let x =
                [f64::from(i).exp2() * 1e9, (8.0 + 3.0 * wave(1.7)).exp(), (5.0 + wave(2.9)).exp()];
            Datum { x, ln_y: -0.02 * x[0].ln() + 0.3 * wave(7.7), weight: 1.0 + f64::from(i % 3) }
        };
        (0..20).map(datum).collect()
    }

    proptest! {
        #[test]
        fn the_gradient_is_the_slope_of_the_objective(
            at in 0..law::ALL.len(), start in 0..50_usize, above in prop::sample::select(vec![0.3, 1.0]),
            delta in prop::sample::select(vec![1e-3, 0.1, f64::INFINITY]),
        ) {
            let (law, data) = (law::ALL[at], data());
            let objective = Objective::new(law, Frame::new(law, &data), &data, Loss { delta, above });
            let here = starts(&objective, 50)[start].clone();
            let mut gradient = zeros(here.len());
            let value = objective.evaluate(&here, &mut gradient);
            for i in 0..here.len() {
                let step = |by: f64| {
                    let mut there = here.clone();
                    there[i] += by;
                    objective.evaluate(&there, &mut zeros(here.len()))
                };
                // A tenth of the narrowest bend, and five points so that the bend does not show.
                let h = 1e-5;
                let numeric = (8.0 * (step(h) - step(-h)) - step(2.0 * h) + step(-2.0 * h)) / (12.0 * h);
                prop_assert!((numeric - gradient[i]).abs() <= 1e-3 * objective.scale() + 1e-6 * value, "{} {}: {} against {numeric}", law.name(), i, gradient[i]);
            }
        }

        #[test]
        fn coordinates_go_there_and_back(at in 0..law::ALL.len(), start in 0..50_usize) {
            let (law, data) = (law::ALL[at], data());
            let objective = Objective::new(law, Frame::new(law, &data), &data, Loss::default());
            let here = starts(&objective, 50)[start].clone();
            let back = objective.coordinates(&objective.params(&here));
            for (here, back) in here.iter().zip(back) {
                prop_assert!((here - back).abs() < 1e-9 * here.abs().max(1.0), "{}: {here} {back}", law.name());
            }
        }
    }
}
