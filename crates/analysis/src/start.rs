//! Where searches start: a declared, even covering of the parameters that enter a law non-linearly;
//! for each of its points the linear ones are solved for (variable projection).
//!
//! Solving is by least squares on relative residuals, which are the logarithmic ones to first
//! order: exact for no purpose, but so near that what is left to search is well conditioned.

use crate::law::{Law, Role};
use crate::linear::nonnegative_least_squares;
use crate::minimise::Bounds;
use crate::objective::{Frame, Objective};

/// A coefficient that would be zero or less starts at this share of the data's scale.
const SMALLEST_COEFFICIENT: f64 = 1e-3;

/// `n` starting points in the coordinates of `objective`.
pub(crate) fn starts(objective: &Objective, n: usize) -> Vec<Vec<f64>> {
    let roles: Vec<_> = objective.law.params().iter().map(|param| param.role).collect();
    let dims = roles.iter().filter(|role| !role.is_linear()).count();
    (0..n)
        .map(|index| {
            let mut params = vec![1.0; roles.len()];
            let searched = (0..roles.len()).filter(|&i| !roles[i].is_linear());
            for (i, share) in searched.zip(even(index, dims)) {
                let Bounds { low, high } = range(roles[i], &objective.frame);
                params[i] = low * (high / low).powf(share);
            }
            solve_linear(objective, &mut params);
            roles
                .iter()
                .zip(&params)
                .map(|(&role, &param)| objective.frame.coordinate(role, param))
                .collect()
        })
        .collect()
}

/// See [`Role`]'s table.
fn range(role: Role, frame: &Frame) -> Bounds {
    match role {
        Role::Coefficient | Role::Floor => Bounds { low: 1.0, high: 1.0 },
        Role::Exponent => Bounds { low: 0.03, high: 3.0 },
        Role::Shift => Bounds { low: 0.1 * frame.x.low, high: frame.x.high },
    }
}

/// The `index`-th point of Roberts's R sequence in the unit cube: any number of points, in any
/// number of dimensions, covers it evenly, where a grid needs a power.
fn even(index: usize, dims: usize) -> impl Iterator<Item = f64> {
    // The only root above one of g^(dims + 1) = g + 1.
    let root = (0..60).fold(1.5_f64, |g, _| (1.0 + g).powf(1.0 / (dims as f64 + 1.0)));
    (1..=dims).map(move |dim| (0.5 + (index as f64 + 1.0) * root.powf(-(dim as f64))).fract())
}

/// Non-negative least squares of (law - y) / y in the linear parameters.
fn solve_linear(objective: &Objective, params: &mut [f64]) {
    let law: &dyn Law = objective.law;
    let linear: Vec<_> = (0..params.len()).filter(|&i| law.params()[i].role.is_linear()).collect();
    let k = linear.len();
    let (mut normal, mut right, mut by) = (vec![0.0; k * k], vec![0.0; k], vec![0.0; params.len()]);
    for i in 0..objective.at.len() {
        law.evaluate(objective.at[i], params, &mut by);
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
            Role::Floor | Role::Exponent | Role::Shift => solved,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::Datum;
    use crate::law::{At, Zhai};
    use crate::minimise::Problem;

    #[test]
    fn starts_cover_every_tenth_of_every_range() {
        for dim in 0..2 {
            let mut seen = [false; 10];
            (0..40)
                .for_each(|index| seen[(even(index, 2).nth(dim).unwrap() * 10.0) as usize] = true);
            assert_eq!(seen, [true; 10]);
        }
    }

    #[test]
    fn with_the_right_exponent_and_shift_the_start_is_the_answer() {
        let truth = [0.7, 0.4, 0.2, 1.5];
        let data: Vec<_> = (0..12)
            .map(|i| {
                let x = f64::from(i).exp2() / 32.0;
                Datum {
                    x,
                    ln_y: Zhai.evaluate(At::new(x), &truth, &mut [0.0; 4]).ln(),
                    weight: 1.0,
                }
            })
            .collect();
        let frame = Frame::new(&data);
        let objective = Objective::new(&Zhai, frame, &data, 1e-3);
        let mut params = [1.0, truth[1], 1.0, truth[3] / frame.unit.x];
        solve_linear(&objective, &mut params);
        let back = Zhai.in_units(&params, frame.unit);
        assert!(
            back.iter().zip(truth).all(|(got, want)| (got / want - 1.0).abs() < 1e-9),
            "{back:?}"
        );
    }

    #[test]
    fn every_start_is_inside_the_bounds_even_where_y_rises() {
        let data: Vec<_> =
            (1..9).map(|i| Datum { x: f64::from(i), ln_y: f64::from(i), weight: 1.0 }).collect();
        let objective = Objective::new(&Zhai, Frame::new(&data), &data, 1e-3);
        for start in starts(&objective, 50) {
            for (at, bound) in start.iter().zip(objective.bounds()) {
                assert!(bound.low <= *at && *at <= bound.high, "{start:?}");
            }
        }
    }
}
