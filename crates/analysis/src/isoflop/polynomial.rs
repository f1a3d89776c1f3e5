//! Least squares of a polynomial, each point with a weight. With z in -1..1 the normal equations of
//! a cubic lose three digits of sixteen.

use std::array;

use crate::linear::solve_positive;

pub(super) fn evaluate<const K: usize>(coefficients: &[f64; K], z: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * z + coefficient)
}

/// Coefficients of 1, z, .. z^(K - 1); `None` where the z that have weight are fewer than K.
pub(super) fn least_squares<const K: usize>(
    z: &[f64],
    y: &[f64],
    weight: &[f64],
) -> Option<[f64; K]> {
    let weighted: Vec<_> = y.iter().zip(weight).map(|(y, weight)| y * weight).collect();
    let mut solution = moments(z, &weighted);
    let mut normal: [[f64; K]; K] = normal(z, weight);
    solve_positive(normal.as_flattened_mut(), &mut solution).then_some(solution)
}

/// The inverse of this, times the variance of y, is the covariance of the coefficients.
pub(super) fn normal<const K: usize>(z: &[f64], weight: &[f64]) -> [[f64; K]; K] {
    const { assert!(2 * K - 1 <= N_MOMENTS) };
    let moments: [f64; N_MOMENTS] = moments(z, weight);
    array::from_fn(|i| array::from_fn(|j| moments[i + j]))
}

/// As many as a cubic needs.
const N_MOMENTS: usize = 7;

/// Sums of weight, weight z, weight z^2 and so on.
fn moments<const M: usize>(z: &[f64], weight: &[f64]) -> [f64; M] {
    let mut sums = [0.0; M];
    for (z, &weight) in z.iter().zip(weight) {
        let mut term = weight;
        for sum in &mut sums {
            *sum += term;
            term *= z;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polynomial_gives_its_coefficients_back_and_points_without_weight_do_not_count() {
        let z = [-1.0, -0.3, 0.2, 0.6, 1.0];
        let mut y = z.map(|z| evaluate(&[2.0, -1.0, 0.5], z));
        y[1] = 9.0;
        let fit: [f64; 3] = least_squares(&z, &y, &[1.0, 0.0, 2.0, 1.0, 1.0]).unwrap();
        assert!(fit.iter().zip([2.0, -1.0, 0.5]).all(|(a, b)| (a - b).abs() < 1e-12), "{fit:?}");
        assert_eq!(least_squares::<3>(&z, &y, &[1.0, 0.0, 2.0, 0.0, 0.0]), None);
    }
}
