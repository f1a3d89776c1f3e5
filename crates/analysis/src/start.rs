//! Where searches start: a declared, even covering of the parameters that enter a law non-linearly;
//! for each of its points the linear ones are solved for (variable projection).
//!
//! Solving is by least squares on relative residuals, which are the logarithmic ones to first
//! order: exact for no purpose, but so near that what is left to search is well conditioned.

use arrayvec::ArrayVec;

use crate::law::{MAX_PARAMS, Role, Values};
use crate::linear::nonnegative_least_squares;
use crate::minimise::zeros;
use crate::objective::{Frame, Objective};

/// A coefficient that would be zero or less starts at this share of the data's scale.
const SMALLEST_COEFFICIENT: f64 = 1e-3;

/// `n` starting points in the coordinates of `objective`.
pub(crate) fn starts(objective: &Objective, n: usize) -> Vec<Values> {
    let law = objective.law.params();
    let steps = steps(law.iter().filter(|param| !param.is_linear).count());
    let start = |index: usize| {
        let mut params = zeros(law.len());
        let drawn = (0..law.len()).filter(|&i| !law[i].is_linear);
        for (i, step) in drawn.zip(&steps) {
            let share = (0.5 + (index as f64 + 1.0) * step).fract();
            params[i] = draw(law[i].role, &objective.frame, share);
        }
        solve_linear(objective, &mut params);
        objective.coordinates(&params)
    };
    (0..n).map(start).collect()
}

/// The parameter at a share, 0 to 1, of the range where starts lie: see [`Role`]'s table.
fn draw(role: Role, frame: &Frame, share: f64) -> f64 {
    let even = |low: f64, high: f64| low + share * (high - low);
    let in_ln = |low: f64, high: f64| low * (high / low).powf(share);
    match role {
        Role::Coefficient => even(-5.0, 5.0).exp(),
        Role::Amount => share,
        Role::Floor => share * frame.y.low,
        Role::Ceiling => frame.y.high * (1.0 + in_ln(0.01, 9.0)),
        Role::Exponent => in_ln(0.03, 3.0),
        Role::Bend => in_ln(0.1, 3.0),
        Role::Turn => even(-0.1, 1.0),
        Role::Sharpness => in_ln(0.05, 2.0),
        Role::Shift(axis) => in_ln(0.1 * frame.x[axis].low, frame.x[axis].high),
        Role::InverseShift(axis) => in_ln(0.1 / frame.x[axis].high, 1.0 / frame.x[axis].low),
        Role::Place(axis) => in_ln(frame.x[axis].low, frame.x[axis].high),
        Role::Scale(_) => even(-7.0, 7.0).exp(),
        Role::Repeats => in_ln(0.5, 100.0),
    }
}

/// By dimension, how far Roberts's R sequence moves from point to point of the unit cube: any number
/// of points, in any number of dimensions, covers it evenly, where a grid needs a power.
fn steps(dims: usize) -> Values {
    // The only root above one of g^(dims + 1) = g + 1.
    let root = (0..60).fold(1.5_f64, |g, _| (1.0 + g).powf(1.0 / (dims as f64 + 1.0)));
    (1..=dims).map(|dim| root.powf(-(dim as f64))).collect()
}

/// Non-negative least squares of (law - y) / y in the linear parameters.
pub(crate) fn solve_linear(objective: &Objective, params: &mut [f64]) {
    let law = objective.law;
    let linear: ArrayVec<usize, MAX_PARAMS> =
        (0..params.len()).filter(|&i| law.params()[i].is_linear).collect();
    let k = linear.len();
    if k == 0 {
        return;
    }
    let (mut normal, mut right, mut by) = (vec![0.0; k * k], zeros(k), zeros(params.len()));
    for i in 0..objective.at.len() {
        law.evaluate(&objective.at[i], params, &mut by);
        let (weight, y) = (objective.weight[i], objective.ln_y[i].exp());
        for row in 0..k {
            right[row] += weight * by[linear[row]] / y;
            (0..k).for_each(|column| {
                normal[row * k + column] += weight * by[linear[row]] * by[linear[column]] / (y * y)
            });
        }
    }
    for (&i, solved) in linear.iter().zip(nonnegative_least_squares(&normal, &right)) {
        params[i] = match law.params()[i].role {
            Role::Coefficient => solved.max(SMALLEST_COEFFICIENT),
            Role::Amount | Role::Floor | Role::Ceiling | Role::Exponent | Role::Bend => solved,
            Role::Turn | Role::Sharpness | Role::Shift(_) | Role::InverseShift(_) => solved,
            Role::Place(_) | Role::Scale(_) | Role::Repeats => solved,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::Datum;
    use crate::law::{ALL, At, Chinchilla, Law, Zhai};
    use crate::loss::Loss;
    use crate::minimise::Problem;
    use crate::point::x;

    #[test]
    fn starts_cover_every_tenth_of_every_range() {
        let steps = steps(2);
        for step in steps {
            let mut seen = [false; 10];
            (0..40).for_each(|index| {
                seen[((0.5 + (f64::from(index) + 1.0) * step).fract() * 10.0) as usize] = true;
            });
            assert_eq!(seen, [true; 10]);
        }
    }

    fn check_projection(law: &'static dyn Law, truth: &[f64], at: impl Fn(i32) -> crate::law::Xs) {
        let datum = |i: i32| {
            let y = law.evaluate(&At::new(at(i)), truth, &mut zeros(truth.len()));
            Datum { x: at(i), ln_y: y.ln(), weight: 1.0 }
        };
        let data: Vec<_> = (0..12).map(datum).collect();
        let objective = Objective::new(law, Frame::new(law, &data), &data, Loss::default());
        // The truth in internal units, without what is to be solved for.
        let unit = objective.frame.unit;
        let inverse = crate::law::Unit { x: unit.x.map(|x| 1.0 / x), y: 1.0 / unit.y };
        let mut params = law.in_units(truth, &inverse);
        let solved = |i: &usize| law.params()[*i].is_linear;
        (0..params.len()).filter(solved).for_each(|i| params[i] = 1.0);
        solve_linear(&objective, &mut params);
        let back = law.in_units(&params, &unit);
        let is_near = |(got, want): (&f64, &f64)| (got / want - 1.0).abs() < 1e-8;
        assert!(back.iter().zip(truth).all(is_near), "{back:?}");
    }

    #[test]
    fn with_the_right_nonlinear_parameters_the_start_is_the_answer() {
        check_projection(&Zhai, &[0.7, 0.4, 0.2, 1.5], |i| x(f64::from(i).exp2() / 32.0));
        let grid = |i: i32| [f64::from(i % 4).exp2(), f64::from(i / 4).exp2(), 1.0];
        check_projection(&Chinchilla, &[0.7, 0.4, 0.2, 0.3, 0.5], grid);
    }

    #[test]
    fn every_start_of_every_law_is_inside_the_bounds_even_where_y_rises() {
        let data: Vec<_> = (1..9)
            .map(|i| {
                let at = f64::from(i);
                Datum { x: [at, 1.0 + 1.0 / at, 1.5 * at], ln_y: at, weight: 1.0 }
            })
            .collect();
        for law in ALL {
            let objective = Objective::new(*law, Frame::new(*law, &data), &data, Loss::default());
            for start in starts(&objective, 50) {
                for (at, bound) in start.iter().zip(objective.bounds()) {
                    assert!(bound.low <= *at && *at <= bound.high, "{}: {start:?}", law.name());
                }
            }
        }
    }
}
