//! One curve under one noise: the most probable coordinates, how probable the data are at all, and
//! what both say of a larger x.

use arrayvec::ArrayVec;

use super::curve::{Curve, MAX_COORDINATES};
use super::data::Data;
use super::noise::{Noise, dot};
use crate::law::{MAX_PARAMS, Values};
use crate::linear::{inverse_positive, ln_det_positive};
use crate::minimise::{Bounds, Problem, Square, minimise};

/// What is believed of the noise: one observation of a scatter of .3%, so that exact data do not make
/// certain predictions.
const N_BELIEVED: f64 = 1.0;
const SD_BELIEVED: f64 = 0.003;
/// The share of the discrepancy's spread that a prediction counts: the least of those tried at which the
/// 80% and the 90% interval cover what they say up to five times the x. The one number here that is
/// calibrated: see docs/design/2026-11-21-default-estimator.md.
const KAPPA: f64 = 0.7;
/// Starts: what is believed, and a point off it in every coordinate.
const OFF: f64 = 0.8;

pub(super) struct Member {
    pub curve: Curve,
    pub at: Values,
    /// Variance of one point's noise, and its degrees of freedom.
    pub variance: f64,
    pub freedom: f64,
    /// ln of the data's probability under this curve and noise, up to a constant.
    pub ln_evidence: f64,
    covariance: Square,
    whitened: Whitened,
}

/// What one member says of ln y at a place.
pub(super) struct Saying {
    pub mean: f64,
    pub variance: f64,
}

impl Member {
    pub fn new(curve: Curve, noise: &Noise, data: &Data) -> Self {
        let posterior = Posterior { curve, noise, data };
        let beliefs = curve.beliefs();
        let start = |off: f64| {
            let signs = [0.0, 1.0, -1.0, 1.0, -1.0];
            beliefs
                .iter()
                .zip(signs)
                .map(|(b, sign)| b.mean + sign * off * b.sd)
                .collect::<Values>()
        };
        let minima = [0.0, OFF].map(|off| minimise(&posterior, &start(off)));
        let best = crate::search::lowest(&minima);
        let minimum = &minima[best];
        let whitened = posterior.whitened(&minimum.at);
        let sum = posterior.sum(&whitened);
        let hessian = posterior.hessian(&whitened, posterior.n() / sum);
        let spread = inverse_positive(&hessian, beliefs.len());
        let believed = (0..beliefs.len())
            .map(|i| spread[i * beliefs.len() + i] / (beliefs[i].sd * beliefs[i].sd))
            .sum::<f64>();
        let learnt = beliefs.len() as f64 - believed;
        let freedom = N_BELIEVED + (data.n_points - learnt).max(0.0);
        let variance = sum / freedom;
        let at_variance = posterior.hessian(&whitened, 1.0 / variance);
        let ln_sds: f64 = beliefs.iter().map(|belief| belief.sd.ln()).sum();
        Self {
            curve,
            ln_evidence: -minimum.value
                - noise.half_ln_det()
                - 0.5 * ln_det_positive(&hessian, beliefs.len())
                - ln_sds,
            at: minimum.at.clone(),
            variance,
            freedom,
            covariance: inverse_positive(&at_variance, beliefs.len()),
            whitened,
        }
    }

    /// ln y at u, relative to the last point, where [`Noise::at`] says of the discrepancy there what is
    /// `shared` with the data and what is `left`; of a measurement, noise included.
    pub fn say(&self, u: f64, (shared, left): &(Vec<f64>, f64)) -> Saying {
        let n = self.at.len();
        let mut gradient = [0.0; MAX_COORDINATES];
        let curve = self.curve.evaluate(&self.at, u, &mut gradient);
        let columns = self.whitened.columns.iter();
        gradient.iter_mut().zip(columns).for_each(|(by, column)| *by -= dot(column, shared));
        let rows = self.covariance.chunks_exact(n);
        let known: f64 = rows.zip(&gradient).map(|(row, by)| by * dot(row, &gradient[..n])).sum();
        Saying {
            mean: curve + dot(shared, &self.whitened.residuals),
            variance: known + self.variance * (1.0 + KAPPA * KAPPA * left),
        }
    }
}

/// Residuals v - f and the derivatives of f by each coordinate, made independent.
struct Whitened {
    residuals: Vec<f64>,
    columns: Vec<Vec<f64>>,
}

/// Minus the ln of the coordinates' probability given the data, the noise's size integrated out.
struct Posterior<'a> {
    curve: Curve,
    noise: &'a Noise,
    data: &'a Data,
}

impl Posterior<'_> {
    fn whitened(&self, at: &[f64]) -> Whitened {
        let mut residuals = Vec::with_capacity(self.data.u.len());
        let mut columns = vec![Vec::with_capacity(self.data.u.len()); at.len()];
        let mut gradient = [0.0; MAX_COORDINATES];
        for (&u, v) in self.data.u.iter().zip(&self.data.v) {
            residuals.push(v - self.curve.evaluate(at, u, &mut gradient));
            columns.iter_mut().zip(gradient).for_each(|(column, by)| column.push(by));
        }
        self.noise.whiten(&mut residuals);
        columns.iter_mut().for_each(|column| self.noise.whiten(column));
        Whitened { residuals, columns }
    }

    /// Observations, the believed one among them.
    fn n(&self) -> f64 {
        N_BELIEVED + self.data.n_points
    }

    /// Of squares.
    fn sum(&self, whitened: &Whitened) -> f64 {
        let residuals = dot(&whitened.residuals, &whitened.residuals);
        residuals + self.data.within + N_BELIEVED * SD_BELIEVED * SD_BELIEVED
    }

    /// Gauss-Newton, where a squared residual counts `precision`, and the beliefs.
    fn hessian(&self, whitened: &Whitened, precision: f64) -> Square {
        let n = whitened.columns.len();
        let mut matrix: Square = std::iter::repeat_n(0.0, n * n).collect();
        for i in 0..n {
            for j in 0..n {
                let product = dot(&whitened.columns[i], &whitened.columns[j]);
                matrix[i * n + j] = precision * product;
            }
            matrix[i * n + i] += self.curve.beliefs()[i].sd.powi(-2);
        }
        matrix
    }
}

impl Problem for Posterior<'_> {
    fn bounds(&self) -> ArrayVec<Bounds, MAX_PARAMS> {
        let free = Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY };
        self.curve.beliefs().iter().map(|_| free).collect()
    }

    fn evaluate(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let whitened = self.whitened(at);
        let sum = self.sum(&whitened);
        let mut value = 0.5 * self.n() * sum.ln();
        for (i, belief) in self.curve.beliefs().iter().enumerate() {
            let off = (at[i] - belief.mean) / belief.sd;
            let pull = dot(&whitened.columns[i], &whitened.residuals);
            gradient[i] = off / belief.sd - self.n() / sum * pull;
            value += 0.5 * off * off;
        }
        value
    }

    fn curvature(&self, at: &[f64], matrix: &mut [f64]) {
        let whitened = self.whitened(at);
        matrix.copy_from_slice(&self.hessian(&whitened, self.n() / self.sum(&whitened)));
    }

    fn scale(&self) -> f64 {
        self.n()
    }
}
