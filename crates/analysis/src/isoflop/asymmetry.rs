//! What the third power of ln N adds. A parabola through a lopsided valley has its minimum off the
//! valley's, on the flatter side.

use serde::Serialize;
use statrs::statistics::Statistics;

use super::polynomial::{evaluate, least_squares, normal};
use super::valley::{ENOUGH_SIZES, FARTHEST, Valley};
use crate::linear::inverse_positive;
use crate::warning::{Code, Warning};

/// A shift of minima by less than this, in ln N, is not worth a word.
const SMALL_SHIFT: f64 = 0.01;
const SIGNIFICANT: f64 = 2.0;

/// How lopsided the valleys are, and what it does to their minima.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Asymmetry {
    /// Coefficient of (ln N)^3 in the loss, pooled over budgets by their precision.
    pub cubic: f64,
    /// The same in its standard errors; not finite where the cubics fit without residuals.
    pub t: f64,
    /// Geometric mean over the budgets in the power laws of N_opt by cubic over N_opt by parabola.
    pub n_opt_ratio: f64,
    pub n_budgets: usize,
}

impl Asymmetry {
    pub(super) fn warning(self) -> Option<Warning> {
        let Self { t, n_opt_ratio, .. } = self;
        (t.abs() > SIGNIFICANT && n_opt_ratio.ln().abs() > SMALL_SHIFT).then(|| Warning {
            code: Code::Asymmetric,
            message: format!(
                "the valleys are lopsided (cubic term {t:.1} standard errors from 0), so the parabola's minima are biased: with the cubic term N_opt is {n_opt_ratio:.3} times as large"
            ),
        })
    }
}

/// Noise is pooled over budgets: each alone has a handful of points. `None` where none has a cubic
/// with a minimum.
pub(super) fn of<'a>(valleys: impl Iterator<Item = &'a Valley>) -> Option<Asymmetry> {
    let cubics: Vec<_> = valleys.filter_map(Cubic::new).collect();
    let shift = cubics.iter().filter_map(|cubic| cubic.shift).mean();
    let sum = |of: fn(&Cubic) -> f64| cubics.iter().map(of).sum::<f64>();
    let precision = sum(|cubic| 1.0 / cubic.unit_variance);
    let pooled = sum(|cubic| cubic.value / cubic.unit_variance) / precision;
    let variance = sum(|cubic| cubic.squares) / sum(|cubic| cubic.freedom);
    (!shift.is_nan()).then(|| Asymmetry {
        cubic: pooled,
        t: pooled * (precision / variance).sqrt(),
        n_opt_ratio: shift.exp(),
        n_budgets: cubics.len(),
    })
}

/// A valley with its third power.
struct Cubic {
    /// By (ln N)^3.
    value: f64,
    /// Variance of the value for noise of variance 1.
    unit_variance: f64,
    /// Sum of squared residuals, and the degrees of freedom that they have.
    squares: f64,
    freedom: f64,
    /// Of the minimum from the parabola's, in ln N; `None` where the cubic has none nearby.
    shift: Option<f64>,
}

impl Cubic {
    /// `None` of fewer than five sizes, or where the parabola has no minimum.
    fn new(valley: &Valley) -> Option<Self> {
        let Valley { z, loss, half, .. } = valley;
        let parabola = valley.minimum().filter(|_| valley.sizes.len() >= ENOUGH_SIZES)?;
        let ones = vec![1.0; z.len()];
        let fit: [f64; 4] = least_squares(z, loss, &ones)?;
        let covariance = inverse_positive(normal::<4>(z, &ones).as_flattened(), 4);
        let square = |(&z, loss): (&f64, &f64)| (loss - evaluate(&fit, z)).powi(2);
        Some(Self {
            value: fit[3] / half.powi(3),
            unit_variance: covariance[15] / half.powi(6),
            squares: z.iter().zip(loss).map(square).sum(),
            freedom: (z.len() - 4) as f64,
            shift: lowest(&fit).map(|z| half * (z - parabola.z)),
        })
    }
}

/// The root of the derivative at which it rises, in the form that survives a cubic term of zero.
fn lowest(fit: &[f64; 4]) -> Option<f64> {
    let [_, linear, quadratic, cubic] = *fit;
    let root = (quadratic * quadratic - 3.0 * linear * cubic).sqrt();
    let z = -linear / (quadratic + root);
    (z.abs() <= FARTHEST).then_some(z)
}

#[cfg(test)]
mod tests {
    use super::super::profile;
    use super::super::surface::{LOPSIDED, codes, quick};
    use super::*;

    /// Around the optimum, the second derivative of the loss by ln N is in proportion to
    /// alpha + beta and the third to beta^2 - alpha^2; a cubic c x^3 tilts a parabola on an even grid
    /// by c m4 / m2, with the moments of the grid. So the minimum moves by (alpha - beta) / 6 m4 / m2.
    #[test]
    fn a_lopsided_surface_moves_the_minima_by_what_its_third_derivative_says_and_is_warned_of() {
        let found = profile(&LOPSIDED.trials(9, 3.0), &quick()).unwrap();
        let x: Vec<f64> = (-4..=4).map(|i| f64::from(i) / 4.0 * 3.0_f64.ln()).collect();
        let moment = |power| x.iter().map(|x| x.powi(power)).sum::<f64>();
        let expected = (LOPSIDED.alpha - LOPSIDED.beta) / 6.0 * moment(4) / moment(2);
        for budget in &found.budgets {
            let shift = (budget.n_opt.unwrap().value / LOPSIDED.n_opt(budget.train_flops)).ln();
            assert!((shift / expected - 1.0).abs() < 0.1, "{shift}, expected {expected}");
        }
        assert_eq!(codes(&found.warnings), [Code::Asymmetric]);
        let ratio = found.asymmetry.unwrap().n_opt_ratio.ln();
        assert!((ratio / -expected - 1.0).abs() < 0.1, "{ratio}, expected {}", -expected);
    }
}
