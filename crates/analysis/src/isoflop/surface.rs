//! Made-up trials on surfaces of which the optimum is known.

use statrs::distribution::{ContinuousCDF, Normal};

use super::{ProfileOptions, Trial};
use crate::random::Stream;
use crate::warning::{Code, Warning};

/// L = E + A N^-alpha + B D^-beta.
#[derive(Clone, Copy)]
pub struct Surface {
    pub alpha: f64,
    pub beta: f64,
}

pub const EVEN: Surface = Surface { alpha: 0.35, beta: 0.35 };
pub const LOPSIDED: Surface = Surface { alpha: 0.45, beta: 0.25 };
const BUDGETS: [f64; 5] = [1e18, 1e19, 1e20, 1e21, 1e22];

impl Surface {
    fn loss(self, n: f64, d: f64) -> f64 {
        1.8 + 480.0 * n.powf(-self.alpha) + 900.0 * d.powf(-self.beta)
    }

    pub fn n_opt(self, c: f64) -> f64 {
        let sum = self.alpha + self.beta;
        let g = (self.alpha * 480.0 / (self.beta * 900.0)).powf(1.0 / sum);
        g * (c / 6.0).powf(self.beta / sum)
    }

    /// One trial at each of `n` sizes, even in ln N, to a factor `reach` on both sides of `off`
    /// times the optimum.
    pub fn budget(self, c: f64, n: usize, reach: f64, off: f64) -> Vec<Trial> {
        let size = |i: usize| reach.powf(2.0 * i as f64 / (n - 1) as f64 - 1.0);
        let trial = |i: usize| {
            let n = self.n_opt(c) * off * size(i);
            let d = c / (6.0 * n);
            Trial { n, d, c, loss: self.loss(n, d), cluster: c.to_bits() ^ i as u64 }
        };
        (0..n).map(trial).collect()
    }

    pub fn trials(self, n: usize, reach: f64) -> Vec<Trial> {
        BUDGETS.iter().flat_map(|&c| self.budget(c, n, reach, 1.0)).collect()
    }
}

pub fn noisy(trials: &[Trial], sd: f64, seed: u64) -> Vec<Trial> {
    let (normal, mut stream) = (Normal::standard(), Stream::new(seed, 1 << 40));
    let mut share = || (0.5 + stream.below(1 << 30) as f64) / f64::from(1 << 30);
    let mut error = || sd * normal.inverse_cdf(share());
    trials.iter().map(|trial| Trial { loss: trial.loss + error(), ..*trial }).collect()
}

pub fn quick() -> ProfileOptions {
    ProfileOptions { n_resamples: 200, level: 0.9, ..ProfileOptions::default() }
}

pub fn codes(warnings: &[Warning]) -> Vec<Code> {
    warnings.iter().map(|warning| warning.code).collect()
}
