//! Two small dense solvers: symmetric systems, and least squares with non-negative unknowns. The
//! sizes are the number of a law's parameters, so clarity beats blocking.

use arrayvec::ArrayVec;

use crate::law::{MAX_PARAMS, Values};
use crate::minimise::{Square, zeros};

/// Solves `matrix` x = `right` by Cholesky, row-major n x n, in place; `false` where the matrix is
/// not positive definite.
pub(crate) fn solve_positive(matrix: &mut [f64], right: &mut [f64]) -> bool {
    let n = right.len();
    for j in 0..n {
        for i in j..n {
            let inner: f64 = (0..j).map(|k| matrix[i * n + k] * matrix[j * n + k]).sum();
            let rest = matrix[i * n + j] - inner;
            if i == j {
                if rest.is_nan() || rest <= 1e-14 * matrix[j * n + j] {
                    return false;
                }
                matrix[j * n + j] = rest.sqrt();
            } else {
                matrix[i * n + j] = rest / matrix[j * n + j];
            }
        }
    }
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| matrix[i * n + k] * right[k]).sum();
        right[i] = (right[i] - inner) / matrix[i * n + i];
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| matrix[k * n + i] * right[k]).sum();
        right[i] = (right[i] - inner) / matrix[i * n + i];
    }
    true
}

/// Minimises |design p - right|^2 over p >= 0, given the normal equations (row-major k x k and k).
///
/// Tries every set of unknowns that may be positive: laws have two to four, so there are at most
/// fifteen, and the answer is exact.
pub(crate) fn nonnegative_least_squares(normal: &[f64], right: &[f64]) -> Values {
    let k = right.len();
    let mut best = (0.0, zeros(k));
    for set in 1..1_usize << k {
        let members: ArrayVec<usize, MAX_PARAMS> = (0..k).filter(|i| set >> i & 1 == 1).collect();
        let mut matrix: Square =
            members.iter().flat_map(|i| members.iter().map(move |j| normal[i * k + j])).collect();
        let mut solution: Values = members.iter().map(|&i| right[i]).collect();
        if !solve_positive(&mut matrix, &mut solution) || solution.iter().any(|&p| p < 0.0) {
            continue;
        }
        // At a solution the sum of squares is constant - p . right.
        let gain: f64 = solution.iter().zip(&members).map(|(p, &i)| p * right[i]).sum();
        if gain > best.0 {
            let mut full = zeros(k);
            members.iter().zip(solution).for_each(|(&i, p)| full[i] = p);
            best = (gain, full);
        }
    }
    best.1
}

/// The inverse of a positive definite matrix, row-major n x n.
pub(crate) fn inverse_positive(matrix: &[f64], n: usize) -> Square {
    let mut inverse: Square = std::iter::repeat_n(0.0, n * n).collect();
    for j in 0..n {
        let (mut copy, mut column): (Square, _) = (matrix.iter().copied().collect(), zeros(n));
        column[j] = 1.0;
        solve_positive(&mut copy, &mut column);
        (0..n).for_each(|i| inverse[i * n + j] = column[i]);
    }
    inverse
}

/// ln of the determinant of a positive definite matrix, row-major n x n.
pub(crate) fn ln_det_positive(matrix: &[f64], n: usize) -> f64 {
    let mut factor: Square = matrix.iter().copied().collect();
    solve_positive(&mut factor, &mut zeros(n));
    2.0 * (0..n).map(|i| factor[i * n + i].ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_positive_system_is_solved_and_an_indefinite_one_refused() {
        let (mut matrix, mut right) = ([4.0, 2.0, 2.0, 3.0], [8.0, 8.0]);
        assert!(solve_positive(&mut matrix, &mut right));
        assert!((right[0] - 1.0).abs() < 1e-15 && (right[1] - 2.0).abs() < 1e-15, "{right:?}");
        assert!(!solve_positive(&mut [1.0, 2.0, 2.0, 1.0], &mut [1.0, 1.0]));
    }

    #[test]
    fn an_inverse_and_a_determinant_are_those_of_the_matrix() {
        let matrix = [4.0, 2.0, 2.0, 3.0];
        let inverse = inverse_positive(&matrix, 2);
        let expected = [0.375, -0.25, -0.25, 0.5];
        assert!(inverse.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{inverse:?}");
        assert!((ln_det_positive(&matrix, 2) - 8.0_f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn an_unknown_that_would_be_negative_is_zero() {
        // Columns (1, 0) and (1, 1), target (2, 1): free solution (1, 1).
        assert_eq!(nonnegative_least_squares(&[1.0, 1.0, 1.0, 2.0], &[2.0, 3.0])[..], [1.0, 1.0]);
        // Target (2, -1): free solution (3, -1); with p1 = 0, p0 = 2.
        assert_eq!(nonnegative_least_squares(&[1.0, 1.0, 1.0, 2.0], &[2.0, 1.0])[..], [2.0, 0.0]);
        assert_eq!(nonnegative_least_squares(&[1.0, 1.0, 1.0, 2.0], &[-1.0, -1.0])[..], [0.0, 0.0]);
    }
}
