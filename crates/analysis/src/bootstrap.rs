//! The same estimate on resamples of whole clusters. What comes out is an ensemble of curves: the
//! uncertainty of the parameters, and of every decision read off the curve.
//!
//! Each resample goes the whole way of the fit: seed means, frontier, many starts. Only the starts
//! are fewer, because the data's own best fit is a good one; it is the only one where every start of
//! the data's own search ended there. Resamples that do not converge stay in the ensemble and are
//! counted: leaving them out would narrow the intervals.

use rayon::prelude::*;

use crate::design::{Design, n_distinct};
use crate::law::{Law, Values};
use crate::loss::Loss;
use crate::minimise::{Minimum, Problem, minimise, zeros};
use crate::objective::{Frame, Objective};
use crate::random::Stream;
use crate::search::lowest;
use crate::start::starts;

/// Cold starts that a resample looks at, and how many of them, the lowest, it follows.
const N_LOOKED_AT: usize = 16;
const N_FOLLOWED: usize = 2;

pub(crate) struct Ensemble {
    /// Parameters in internal units, a row per resample that could be fitted.
    pub params: Vec<Values>,
    /// Resamples that did not reach a minimum, or had fewer distinct places than the law has parameters.
    pub n_unconverged: usize,
}

/// What all resamples share.
pub(crate) struct Bootstrap {
    pub law: &'static dyn Law,
    pub frame: Frame,
    pub loss: Loss,
    /// Coordinates of the data's own best fit.
    pub warm: Values,
    /// Whether cold starts are followed too: the data have other minima.
    pub is_cold: bool,
    pub seed: u64,
}

impl Bootstrap {
    pub fn ensemble(&self, design: &Design, n: usize) -> Ensemble {
        let fits: Vec<_> =
            (0..n as u64).into_par_iter().map(|index| self.resample(design, index)).collect();
        let n_unconverged = fits
            .iter()
            .filter(|fit| !fit.as_ref().is_some_and(|(_, converged)| *converged))
            .count();
        Ensemble {
            params: fits.into_iter().flatten().map(|(params, _)| params).collect(),
            n_unconverged,
        }
    }

    fn resample(&self, design: &Design, index: u64) -> Option<(Values, bool)> {
        let data = design.resample(&mut Stream::new(self.seed, index));
        if n_distinct(&data) < self.law.params().len() {
            return None;
        }
        let objective = Objective::new(self.law, self.frame, &data, self.loss);
        let minima: Vec<_> =
            self.starts(&objective).iter().map(|start| minimise(&objective, start)).collect();
        let Minimum { at, converged, .. } = &minima[lowest(&minima)];
        Some((objective.params(&self.as_of_all(at, design)), *converged))
    }

    /// Where a resample of all clusters would lie, if `at` is of a part of them: deviations from the best
    /// fit shrink with the root of their number (the m out of n bootstrap: Bickel and others 1997).
    fn as_of_all(&self, at: &Values, design: &Design) -> Values {
        let shrink = (design.n_drawn() as f64 / design.n_clusters() as f64).sqrt();
        let deviations = at.iter().zip(&self.warm).map(|(at, warm)| (at - warm, warm));
        deviations.map(|(by, warm)| warm + shrink * by).collect()
    }

    fn starts(&self, objective: &Objective) -> Vec<Values> {
        let cold = if self.is_cold { self.cold(objective) } else { Vec::new() };
        std::iter::once(self.warm.clone()).chain(cold).collect()
    }

    fn cold(&self, objective: &Objective) -> Vec<Values> {
        let mut gradient = zeros(self.law.params().len());
        let mut looked_at: Vec<_> = starts(objective, N_LOOKED_AT)
            .into_iter()
            .map(|start| (objective.evaluate(&start, &mut gradient), start))
            .collect();
        looked_at.sort_by(|a, b| a.0.total_cmp(&b.0));
        looked_at.into_iter().take(N_FOLLOWED).map(|(_, start)| start).collect()
    }
}

/// Ends of the central share `level` of the values, interpolated linearly between order statistics;
/// `None` of nothing.
pub(crate) fn central(mut values: Vec<f64>, level: f64) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let quantile = |share: f64| {
        let place = share * last as f64;
        let (below, part) = (place.floor() as usize, place.fract());
        let above = values[(below + 1).min(last)];
        if part == 0.0 { values[below] } else { values[below] * (1.0 - part) + above * part }
    };
    Some((quantile(0.5 * (1.0 - level)), quantile(0.5 * (1.0 + level))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_central_share_lies_between_order_statistics() {
        let values: Vec<_> = (0..=100).rev().map(f64::from).collect();
        let (low, high) = central(values, 0.95).unwrap();
        assert!((low - 2.5).abs() < 1e-9 && (high - 97.5).abs() < 1e-9, "{low} {high}");
        assert_eq!(central(vec![3.0], 0.95), Some((3.0, 3.0)));
        assert_eq!(central(Vec::new(), 0.95), None);
    }
}
