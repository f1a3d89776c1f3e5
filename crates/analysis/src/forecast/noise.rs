//! How points scatter around a curve: independent noise, and a discrepancy that neighbours share,
//! because no curve of three is the true one.
//!
//! The discrepancy is a Gaussian process in ln x of known shape, in units of the noise. A curve fitted
//! under it may pass beside the early points to follow the last ones, and the prediction begins
//! where the measurements end instead of where the curve does.

use super::data::Data;

/// The discrepancy's standard deviation and length (in e-folds of x), over the noise's: a smooth part for
/// what the curve's form misses (Matern 5/2), and a rough one for errors that successive points
/// share (Ornstein-Uhlenbeck).
const SMOOTH: (f64, f64) = (10.0, 3.0);
const ROUGH: (f64, f64) = (5.0, 2.0);

/// The noise of one member: how much of the discrepancy it has, and the factor of its covariance at
/// the data, which makes correlated residuals independent.
pub(super) struct Noise {
    /// 0 is ordinary least squares.
    pub discrepancy: f64,
    /// Rows of the lower triangle.
    lower: Vec<Vec<f64>>,
}

impl Noise {
    /// Of the points of `data`, in units of the noise of a single one.
    pub fn new(discrepancy: f64, data: &Data) -> Self {
        let n = data.u.len();
        let mut lower: Vec<Vec<f64>> = Vec::with_capacity(n);
        for i in 0..n {
            let mut row = Vec::with_capacity(i + 1);
            for j in 0..=i {
                let own = if i == j { 1.0 / data.n_of[i] } else { 0.0 };
                let shared = discrepancy * discrepancy * kernel(data.u[i] - data.u[j]);
                let earlier = if i == j { &row } else { &lower[j] };
                let rest = own + shared - dot(&row, &earlier[..j]);
                row.push(if i == j { rest.sqrt() } else { rest / lower[j][j] });
            }
            lower.push(row);
        }
        Self { discrepancy, lower }
    }

    /// Half of the covariance's ln determinant.
    pub fn half_ln_det(&self) -> f64 {
        self.lower.iter().enumerate().map(|(i, row)| row[i].ln()).sum()
    }

    /// Residuals, or derivatives of them, as independent ones of unit variance; in place.
    pub fn whiten(&self, values: &mut [f64]) {
        for (i, row) in self.lower.iter().enumerate() {
            values[i] = (values[i] - dot(&row[..i], &values[..i])) / row[i];
        }
    }

    /// The discrepancy's covariance between `u` and the data, whitened, and its variance given them.
    pub fn at(&self, u: f64, data: &Data) -> (Vec<f64>, f64) {
        let size = self.discrepancy * self.discrepancy;
        let mut shared: Vec<_> = data.u.iter().map(|other| size * kernel(u - other)).collect();
        self.whiten(&mut shared);
        let known = dot(&shared, &shared);
        (shared, (size * kernel(0.0) - known).max(0.0))
    }
}

fn kernel(distance: f64) -> f64 {
    let z = 5.0_f64.sqrt() * distance.abs() / SMOOTH.1;
    let smooth = SMOOTH.0 * SMOOTH.0 * (1.0 + z + z * z / 3.0) * (-z).exp();
    smooth + ROUGH.0 * ROUGH.0 * (-distance.abs() / ROUGH.1).exp()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitening_inverts_the_covariance() {
        let data = Data::new(&[(1.0, 0.9), (2.0, 0.7), (5.0, 0.5), (9.0, 0.4)]);
        let noise = Noise::new(1.0, &data);
        // K^-1/2 K K^-T/2 is the identity: whiten the columns, then the rows.
        let entry =
            |i: usize, j: usize| kernel(data.u[i] - data.u[j]) + if i == j { 1.0 } else { 0.0 };
        let mut rows: Vec<Vec<f64>> =
            (0..4).map(|i| (0..4).map(|j| entry(i, j)).collect()).collect();
        rows.iter_mut().for_each(|row| noise.whiten(row));
        for j in 0..4 {
            let mut column: Vec<_> = rows.iter().map(|row| row[j]).collect();
            noise.whiten(&mut column);
            for (i, value) in column.iter().enumerate() {
                assert!((value - if i == j { 1.0 } else { 0.0 }).abs() < 1e-9, "{i} {j}: {value}");
            }
        }
    }

    #[test]
    fn the_discrepancy_is_known_at_the_data_and_free_far_away() {
        let data = Data::new(&[(1.0, 0.9), (2.0, 0.7), (5.0, 0.5), (9.0, 0.4)]);
        let noise = Noise::new(1.0, &data);
        let variance = |u: f64| noise.at(u, &data).1;
        assert!(variance(0.0) < 1.0 && variance(0.7) > variance(0.0));
        assert!((variance(100.0) / kernel(0.0) - 1.0).abs() < 1e-6);
        assert_eq!(Noise::new(0.0, &data).at(1.0, &data).1, 0.0);
    }
}
