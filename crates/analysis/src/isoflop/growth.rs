//! Power laws through the minima: how the best size and data grow with compute.

use serde::Serialize;

use super::resample::Resampled;
use super::valley::Minimum;
use super::{ProfileError, require_positive};
use crate::decision::Estimate;
use crate::frontier::PowerLaw;

/// Power laws through the minima: least squares in logarithms, each budget one weight.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scaling {
    pub n_budgets: usize,
    pub n_opt: Growth,
    pub d_opt: Growth,
    /// Resamples that left fewer than two budgets to draw a law through.
    pub n_undrawn: usize,
}

/// y = coefficient C^exponent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    pub coefficient: Estimate,
    pub exponent: Estimate,
    #[serde(skip)]
    resamples: Vec<PowerLaw>,
    #[serde(skip)]
    level: f64,
}

/// The allocation at a compute that was perhaps never tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    pub train_flops: f64,
    pub n_opt: Estimate,
    pub d_opt: Estimate,
}

impl Scaling {
    /// N_opt and D_opt at a compute in FLOPs.
    pub fn at(&self, train_flops: f64) -> Result<Prediction, ProfileError> {
        require_positive("the target", train_flops)?;
        let (n_opt, d_opt) = (self.n_opt.at(train_flops), self.d_opt.at(train_flops));
        Ok(Prediction { train_flops, n_opt, d_opt })
    }
}

impl Growth {
    fn new(law: PowerLaw, resamples: Vec<PowerLaw>, level: f64) -> Self {
        let estimate = |of: fn(&PowerLaw) -> f64| {
            Estimate::new(of(&law), resamples.iter().map(of).collect(), level)
        };
        Self {
            coefficient: estimate(|law| law.coefficient),
            exponent: estimate(|law| law.exponent),
            resamples,
            level,
        }
    }

    fn at(&self, c: f64) -> Estimate {
        let law = PowerLaw { coefficient: self.coefficient.value, exponent: self.exponent.value };
        Estimate::new(law.at(c), self.resamples.iter().map(|law| law.at(c)).collect(), self.level)
    }
}

/// `None` with fewer than two budgets to go through.
pub(super) fn scaling(valleys: &[&Resampled], level: f64) -> Option<Scaling> {
    let own = valleys.iter().filter_map(|of| of.valley.minimum());
    let (n_opt, d_opt) = laws(own.collect())?;
    let n_resamples = valleys.first()?.minima.len();
    let resample = |at: usize| laws(valleys.iter().filter_map(|of| of.minima[at]).collect());
    let (n_drawn, d_drawn): (Vec<_>, Vec<_>) = (0..n_resamples).filter_map(resample).unzip();
    Some(Scaling {
        n_budgets: valleys.len(),
        n_undrawn: n_resamples - n_drawn.len(),
        n_opt: Growth::new(n_opt, n_drawn, level),
        d_opt: Growth::new(d_opt, d_drawn, level),
    })
}

/// Of size and of data.
fn laws(minima: Vec<Minimum>) -> Option<(PowerLaw, PowerLaw)> {
    let through = |y: fn(&Minimum) -> f64| {
        let ln: Vec<_> = minima.iter().map(|minimum| (minimum.ln_c, y(minimum))).collect();
        PowerLaw::through(&ln)
    };
    Some((through(|minimum| minimum.ln_n)?, through(|minimum| minimum.ln_d)?))
}

#[cfg(test)]
mod tests {
    use super::super::surface::{EVEN, noisy, quick};
    use super::super::{ProfileOptions, profile};

    #[test]
    fn an_even_surface_gives_its_exponents_back() {
        let found = profile(&EVEN.trials(9, 3.0), &quick()).unwrap();
        let scaling = found.scaling.unwrap();
        assert!((scaling.n_opt.exponent.value - 0.5).abs() < 1e-3, "{scaling:?}");
        assert!((scaling.d_opt.exponent.value - 0.5).abs() < 1e-3, "{scaling:?}");
        let target = scaling.at(1e25).unwrap().n_opt.value / EVEN.n_opt(1e25);
        assert!((target - 1.0).abs() < 0.01, "{target}");
        assert!(scaling.at(f64::NAN).is_err());
        assert_eq!((found.warnings, found.excluded), (vec![], vec![]));
    }

    #[test]
    fn nine_in_ten_intervals_hold_the_exponent() {
        let clean = EVEN.trials(9, 4.0);
        let holds = |seed: &u64| {
            let options = ProfileOptions { seed: *seed, ..quick() };
            let found = profile(&noisy(&clean, 0.004, *seed), &options).unwrap();
            let exponent = found.scaling.unwrap().n_opt.exponent;
            exponent.low <= 0.5 && 0.5 <= exponent.high
        };
        let n = (0..200).filter(holds).count();
        println!("exponent in {n} of 200 intervals");
        assert!((160..=194).contains(&n), "{n}");
    }
}
