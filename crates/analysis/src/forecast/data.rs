//! The points of a curve as the forecast sees them: logarithms, relative to the last point, and no
//! more of them than matter.

/// Above so many points, neighbours in ln x are averaged: a curve of a few coordinates has no more to
/// tell, and the covariance between n points costs n^3.
const MAX_BINS: usize = 96;

pub(super) struct Data {
    /// ln(x / largest x), ascending to 0.
    pub u: Vec<f64>,
    /// ln y less that of the last entry.
    pub v: Vec<f64>,
    /// Points behind each entry.
    pub n_of: Vec<f64>,
    pub n_points: f64,
    /// Sum of squares of the points around their entries.
    pub within: f64,
    pub ln_x: f64,
    pub ln_y: f64,
}

impl Data {
    /// Points (x, y) in order of x, at least one.
    pub fn new(points: &[(f64, f64)]) -> Self {
        let ln_x = points[points.len() - 1].0.ln();
        let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln() - ln_x, y.ln())).collect();
        let mut data = Self {
            u: Vec::new(),
            v: Vec::new(),
            n_of: Vec::new(),
            n_points: points.len() as f64,
            within: 0.0,
            ln_x,
            ln_y: 0.0,
        };
        let width = -logs[0].0 / MAX_BINS as f64;
        let bin = |u: f64| ((u - logs[0].0) / width).floor().min(MAX_BINS as f64 - 1.0);
        let is_one =
            |a: &(f64, f64), b: &(f64, f64)| points.len() > MAX_BINS && bin(a.0) == bin(b.0);
        logs.chunk_by(is_one).for_each(|bin| data.push(bin));
        data.ln_y = data.v[data.v.len() - 1];
        data.v.iter_mut().for_each(|v| *v -= data.ln_y);
        data
    }

    fn push(&mut self, bin: &[(f64, f64)]) {
        let n = bin.len() as f64;
        let (u, v) = bin.iter().fold((0.0, 0.0), |sum, at| (sum.0 + at.0 / n, sum.1 + at.1 / n));
        let product =
            |a: fn(f64, f64) -> f64| -> f64 { bin.iter().map(|at| a(at.0 - u, at.1 - v)).sum() };
        let (uu, uv, vv) = (product(|u, _| u * u), product(|u, v| u * v), product(|_, v| v * v));
        // Around the bin's own line: the slope within it is no noise.
        self.within += if uu > 0.0 { (vv - uv * uv / uu).max(0.0) } else { vv };
        self.u.push(u);
        self.v.push(v);
        self.n_of.push(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_points_are_kept_as_they_are() {
        let data = Data::new(&[(1.0, 0.8), (2.0, 0.4), (4.0, 0.2)]);
        assert_eq!(data.u, [(1.0_f64 / 4.0).ln(), (2.0_f64 / 4.0).ln(), 0.0]);
        assert!((data.v[0] - 4.0_f64.ln()).abs() < 1e-15 && data.v[2] == 0.0);
        assert_eq!((data.within, data.ln_y), (0.0, 0.2_f64.ln()));
    }

    #[test]
    fn many_points_become_bins_that_keep_their_number_and_their_scatter() {
        let noisy = |i: i32| if i % 2 == 0 { 1.01_f64 } else { 1.0 / 1.01 };
        let points: Vec<_> =
            (1..=10_000).map(|i| (f64::from(i), f64::from(i).powf(-0.3) * noisy(i))).collect();
        let data = Data::new(&points);
        assert!(data.u.len() <= MAX_BINS);
        assert_eq!(data.n_of.iter().sum::<f64>(), 10_000.0);
        let scatter = (data.within / 10_000.0).sqrt();
        assert!((scatter / 1.01_f64.ln() - 1.0).abs() < 0.05, "{scatter}");
    }

    #[test]
    fn many_points_at_one_x_are_no_division_by_nought() {
        let data = Data::new(&[(2.0, 0.5); 200]);
        assert!(data.u.iter().chain(&data.v).all(|value| value.is_finite()), "{:?}", data.u);
    }
}
