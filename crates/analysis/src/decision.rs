//! What a fit is for: the error at a compute, the compute for an error, the best size for a compute,
//! each with the interval that the bootstrap gives it.

use crate::bootstrap::central;
use crate::fit::Fit;
use crate::law::{Axis, Values};
use crate::point::x;

/// A quantity and its interval, the central share of resamples that the level says. Infinite where
/// no finite value does it; the ends are NaN without resamples. JSON has null for both.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    pub(crate) fn new(value: f64, resampled: Vec<f64>, level: f64) -> Self {
        let (low, high) = central(resampled, level).unwrap_or((f64::NAN, f64::NAN));
        Self { value, low, high }
    }

    /// Without an interval.
    pub fn bare(value: f64) -> Self {
        Self { value, low: f64::NAN, high: f64::NAN }
    }

    pub fn interval(self) -> Option<(f64, f64)> {
        (!self.low.is_nan() && !self.high.is_nan()).then_some((self.low, self.high))
    }
}

/// The size and data that reach the lowest y at a compute.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Optimum {
    /// Training FLOPs.
    pub compute: f64,
    /// Parameters.
    pub n_opt: Estimate,
    /// Examples (or tokens) seen.
    pub d_opt: Estimate,
    pub y: Estimate,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DecisionError {
    #[error("law {law} has the axes {axes}; this question needs {needed}")]
    Axes { law: &'static str, axes: String, needed: &'static str },
}

/// Decades beyond the smallest and the largest x within which an error is looked for.
const DECADES_BEYOND: f64 = 30.0;
/// Sizes are looked for this many e-folds further than where they would go if they alone, or data
/// alone, took up all of the compute.
const BEYOND_SPLITS: f64 = 7.0;
const N_BISECTIONS: usize = 100;

impl Fit {
    /// The x (as a rule compute) at which a law of one axis comes down to `y`; infinite where its
    /// floor is above, 0 where it is nowhere so high.
    pub fn x_to_reach(&self, y: f64) -> Result<Estimate, DecisionError> {
        self.require(&[Axis::X], "x")?;
        let (low, high) = self.ranges[&self.axes["x"]];
        let value = |params: &Values| {
            crossing(|ln_x| self.curve(params, x(ln_x.exp())) > y, low.ln(), high.ln())
        };
        Ok(self.estimate(value))
    }

    /// The best split of `compute` = `flops_per` N D between size and data, for laws of N and D.
    ///
    /// `flops_per` is the training FLOPs per parameter and example (6 for a token of a dense language
    /// model: arXiv 2001.08361, section 2.1).
    pub fn optimum(&self, compute: f64, flops_per: f64) -> Result<Optimum, DecisionError> {
        self.require(&[Axis::N, Axis::D], "n and d")?;
        let product = compute / flops_per;
        let at = |ln_n: f64| [ln_n.exp(), product / ln_n.exp(), 1.0];
        let (low, high) = self.sizes(product);
        let best = |params: &Values| lowest(|ln_n| self.curve(params, at(ln_n)), low, high);
        Ok(Optimum {
            compute,
            n_opt: self.estimate(|params| best(params).exp()),
            d_opt: self.estimate(|params| product / best(params).exp()),
            y: self.estimate(|params| self.curve(params, at(best(params)))),
        })
    }

    /// Between which ln N the best size for a product of size and data is looked for, in whatever unit
    /// either is counted: both grow with compute, so neither leaves the data's range by more than it does.
    fn sizes(&self, product: f64) -> (f64, f64) {
        let ln_range = |axis| {
            let (low, high) = self.ranges[&self.axes[axis]];
            (low.ln(), high.ln())
        };
        let (n, d) = (ln_range("n"), ln_range("d"));
        let less = (product.ln() - n.0 - d.0).min(0.0) - BEYOND_SPLITS;
        let more = (product.ln() - n.1 - d.1).max(0.0) + BEYOND_SPLITS;
        (n.0 + less, n.1 + more)
    }

    fn estimate(&self, of: impl Fn(&Values) -> f64) -> Estimate {
        let resampled = self.ensemble().iter().map(&of).filter(|value| !value.is_nan()).collect();
        Estimate::new(of(self.best()), resampled, self.level)
    }

    fn require(&self, axes: &[Axis], needed: &'static str) -> Result<(), DecisionError> {
        if self.law.axes() == axes {
            return Ok(());
        }
        let axes: Vec<_> = self.law.axes().iter().map(|axis| axis.name()).collect();
        Err(DecisionError::Axes { law: self.law.name(), axes: axes.join(", "), needed })
    }
}

/// Where `is_above` turns false, between some decades below `low` and beyond `high`, in ln x.
fn crossing(is_above: impl Fn(f64) -> bool, low: f64, high: f64) -> f64 {
    let beyond = DECADES_BEYOND * std::f64::consts::LN_10;
    let (mut low, mut high) =
        ((low - beyond).max(f64::MIN_POSITIVE.ln()), (high + beyond).min(f64::MAX.ln()));
    if is_above(high) {
        return f64::INFINITY;
    }
    if !is_above(low) {
        return 0.0;
    }
    for _ in 0..N_BISECTIONS {
        let middle = 0.5 * (low + high);
        if is_above(middle) { low = middle } else { high = middle }
    }
    high.exp()
}

/// Golden-section search of a function with one valley.
fn lowest(of: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (low, high);
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (of(left), of(right));
    while high - low > 1e-7 {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = of(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = of(right);
        }
    }
    0.5 * (low + high)
}
