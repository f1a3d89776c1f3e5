//! One budget: the parabola through its losses, the minimum, and what to doubt about it.

use statrs::statistics::Statistics;

use super::grouping::{mean_ln_c, sizes};
use super::polynomial::{evaluate, least_squares};
use super::{MIN_SIZES, Parabola, Trial};
use crate::warning::{Code, Warning};

pub(super) const ENOUGH_SIZES: usize = 5;
const ENOUGH_RATIO: f64 = 4.0;
/// |z| of a minimum at the end of the sampled sizes, and of one in their outer quarter.
const EDGE: f64 = 0.98;
const OUTER_QUARTER: f64 = 0.5;
/// |z| beyond which a minimum is a guess: one sampled range outside it. Resamples end there.
pub(super) const FARTHEST: f64 = 3.0;

/// A budget as the fits see it, with z = (ln N - mid) / half in -1..1.
pub(super) struct Valley {
    pub rows: Vec<usize>,
    pub clusters: Vec<u64>,
    pub ln_c: f64,
    pub mid: f64,
    pub half: f64,
    pub z: Vec<f64>,
    pub loss: Vec<f64>,
    /// z of the distinct sizes, ascending.
    pub sizes: Vec<f64>,
    /// The line of ln D on z: exact where C = 6 N D, and safe beyond the sizes.
    ln_d: [f64; 2],
    /// The parabola of the loss on z.
    pub fit: [f64; 3],
}

/// Where a parabola is lowest.
#[derive(Clone, Copy)]
pub(super) struct Minimum {
    pub z: f64,
    pub ln_c: f64,
    pub ln_n: f64,
    pub ln_d: f64,
    pub loss: f64,
}

impl Minimum {
    pub fn is_near(&self) -> bool {
        self.z.abs() <= FARTHEST
    }

    fn is_at_edge(&self) -> bool {
        self.z.abs() >= EDGE
    }
}

impl Valley {
    /// Of rows in order of size; `None` where the sizes are too few to fix a parabola.
    pub fn new(trials: &[Trial], rows: Vec<usize>) -> Option<Self> {
        let column =
            |of: fn(&Trial) -> f64| rows.iter().map(|&row| of(&trials[row])).collect::<Vec<_>>();
        let n = column(|trial| trial.n);
        let (low, high) = (n.first()?.ln(), n.last()?.ln());
        let (mid, half) = (0.5 * (low + high), 0.5 * (high - low));
        let scaled = |n: f64| (n.ln() - mid) / half;
        let z: Vec<_> = n.iter().copied().map(scaled).collect();
        let loss = column(|trial| trial.loss);
        let ones = vec![1.0; rows.len()];
        Some(Self {
            clusters: rows.iter().map(|&row| trials[row].cluster).collect(),
            ln_c: mean_ln_c(trials, &rows),
            sizes: sizes(n.into_iter()).into_iter().map(scaled).collect(),
            ln_d: least_squares(&z, &column(|trial| trial.d.ln()), &ones)?,
            fit: least_squares(&z, &loss, &ones)?,
            rows,
            mid,
            half,
            z,
            loss,
        })
    }

    pub fn parabola(&self) -> Parabola {
        let [constant, linear, quadratic] = self.fit;
        Parabola { ln_n_mid: self.mid, ln_n_half: self.half, constant, linear, quadratic }
    }

    /// `None` where the parabola has no minimum.
    pub fn minimum(&self) -> Option<Minimum> {
        Some(self.at(lowest(&self.fit)?, &self.fit))
    }

    /// The minimum of another parabola, within [`FARTHEST`]: one without a minimum has it at its
    /// lower end. `None` where the sizes with weight are too few, or this parabola passes through
    /// its points whatever they are.
    pub fn refit(&self, loss: &[f64], weight: &[f64]) -> Option<Minimum> {
        if self.is_saturated() {
            return None;
        }
        let fit = least_squares(&self.z, loss, weight)?;
        let z = lowest(&fit).unwrap_or(-FARTHEST.copysign(fit[1]));
        Some(self.at(z.clamp(-FARTHEST, FARTHEST), &fit))
    }

    fn at(&self, z: f64, fit: &[f64; 3]) -> Minimum {
        Minimum {
            z,
            ln_c: self.ln_c,
            ln_n: self.mid + self.half * z,
            ln_d: evaluate(&self.ln_d, z),
            loss: evaluate(fit, z),
        }
    }

    pub fn residuals(&self) -> Vec<f64> {
        self.z.iter().zip(&self.loss).map(|(&z, loss)| loss - evaluate(&self.fit, z)).collect()
    }

    pub fn is_saturated(&self) -> bool {
        self.sizes.len() <= MIN_SIZES
    }

    /// Why the minimum is none to draw a power law through; empty where it is.
    pub fn faults(&self) -> Vec<Warning> {
        let faults = [self.concave(), self.edge_minimum(), self.saturated(), self.poor_fit()];
        faults.into_iter().flatten().collect()
    }

    /// What is short of ideal.
    pub fn doubts(&self) -> Vec<Warning> {
        [self.off_centre(), self.few_sizes(), self.narrow()].into_iter().flatten().collect()
    }

    fn concave(&self) -> Option<Warning> {
        self.minimum().is_none().then(|| Warning {
            code: Code::Concave,
            message: "the parabola opens downwards: these sizes show no minimum".into(),
        })
    }

    fn edge_minimum(&self) -> Option<Warning> {
        let minimum = self.minimum().filter(Minimum::is_at_edge)?;
        let message = format!(
            "the minimum, {:.3e} parameters, is not inside the sizes sampled, {:.3e} to {:.3e}: sample beyond it",
            minimum.ln_n.exp(),
            (self.mid - self.half).exp(),
            (self.mid + self.half).exp()
        );
        Some(Warning { code: Code::EdgeMinimum, message })
    }

    fn saturated(&self) -> Option<Warning> {
        self.is_saturated().then(|| Warning {
            code: Code::Saturated,
            message: format!("{MIN_SIZES} sizes: a parabola passes through them whatever they are"),
        })
    }

    fn poor_fit(&self) -> Option<Warning> {
        let squares = self.residuals().quadratic_mean().powi(2);
        let explained = 1.0 - squares / (&self.loss).population_variance();
        // Losses that are all the same leave nothing to explain, and NaN.
        (explained.is_nan() || explained < 0.5).then(|| Warning {
            code: Code::PoorFit,
            message: format!(
                "the parabola explains {:.0}% of the variance of the loss: its minimum is noise",
                100.0 * explained.max(0.0)
            ),
        })
    }

    fn off_centre(&self) -> Option<Warning> {
        let Minimum { z, ln_n, .. } = self.minimum().filter(|minimum| !minimum.is_at_edge())?;
        let below = self.sizes.iter().filter(|&&size| size < z).count();
        let fewer = below.min(self.sizes.len() - below);
        (z.abs() > OUTER_QUARTER || fewer < 2).then(|| Warning {
            code: Code::OffCentre,
            message: format!(
                "the minimum, {:.3e} parameters, is near the {} end of the sizes sampled: sample more beyond it",
                ln_n.exp(),
                if z < 0.0 { "lower" } else { "upper" }
            ),
        })
    }

    fn few_sizes(&self) -> Option<Warning> {
        let n = self.sizes.len();
        (n < ENOUGH_SIZES && !self.is_saturated()).then(|| Warning {
            code: Code::FewPoints,
            message: format!("{n} sizes for a parabola; {ENOUGH_SIZES} or more are wanted"),
        })
    }

    fn narrow(&self) -> Option<Warning> {
        let ratio = (2.0 * self.half).exp();
        // Sizes a factor of four apart are so but for the last digit of a logarithm.
        (ratio < ENOUGH_RATIO * (1.0 - 1e-9)).then(|| Warning {
            code: Code::NarrowRange,
            message: format!("the sizes span a factor of {ratio:.3}, less than {ENOUGH_RATIO}: the parabola's curvature is a guess"),
        })
    }
}

fn lowest(fit: &[f64; 3]) -> Option<f64> {
    let z = -0.5 * fit[1] / fit[2];
    (fit[2] > 0.0 && z.is_finite()).then_some(z)
}

#[cfg(test)]
mod tests {
    use super::super::profile;
    use super::super::surface::{EVEN, codes, quick};
    use super::*;

    /// The codes of a budget's warnings, of which so many exclude it.
    fn check(trials: &[Trial], expected: &[Code], n_faults: usize) {
        let valley = Valley::new(trials, (0..trials.len()).collect()).unwrap();
        let (faults, doubts) = (valley.faults(), valley.doubts());
        assert_eq!(codes(&[faults.clone(), doubts].concat()), expected);
        assert_eq!(faults.len(), n_faults);
        let found = profile(trials, &quick()).unwrap();
        assert_eq!(codes(&found.budgets[0].warnings), expected);
        assert_eq!(found.excluded.first().map(|of| of.code), faults.first().map(|of| of.code));
    }

    #[test]
    fn each_doubt_about_a_valley_has_its_code() {
        let with = |change: fn(usize, f64) -> f64| {
            let trials = EVEN.budget(1e20, 7, 4.0, 1.0).into_iter().enumerate();
            trials
                .map(|(i, trial)| Trial { loss: change(i, trial.loss), ..trial })
                .collect::<Vec<_>>()
        };
        check(&EVEN.budget(1e20, 7, 4.0, 1.0), &[], 0);
        check(&EVEN.budget(1e20, 7, 4.0, 6.0), &[Code::EdgeMinimum], 1);
        check(&EVEN.budget(1e20, 7, 4.0, 0.38), &[Code::OffCentre], 0);
        check(&EVEN.budget(1e20, 4, 4.0, 1.0), &[Code::FewPoints], 0);
        check(&EVEN.budget(1e20, 3, 4.0, 1.0), &[Code::Saturated, Code::OffCentre], 1);
        check(&EVEN.budget(1e20, 7, 1.9, 1.0), &[Code::NarrowRange], 0);
        check(&with(|_, loss| 6.0 - loss), &[Code::Concave], 1);
        check(&with(|i, loss| if i % 2 == 0 { loss + 0.2 } else { loss }), &[Code::PoorFit], 1);
    }

    #[test]
    fn the_parabola_at_its_minimum_is_the_lowest_loss() {
        let valley = Valley::new(&EVEN.budget(1e20, 7, 4.0, 1.0), (0..7).collect()).unwrap();
        let minimum = valley.minimum().unwrap();
        assert!((valley.parabola().at(minimum.ln_n.exp()) - minimum.loss).abs() < 1e-12);
    }
}
