//! Approach 1: the envelope of (compute, error) points, and the power laws of size and data through
//! the points on it (Hoffmann et al. 2022, arXiv:2203.15556, section 3.1).
//!
//! Envelopes are indices of points, so that what a point is besides stays with the caller. What is
//! off an envelope is off it by definition, and is not dropped from anything.

use serde::Serialize;

use crate::point::keep_frontier;

/// Which points are the best for their compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Points that no other beats at less or equal compute; see [`crate::point::frontier`].
    RunningMinimum,
    /// Corners of the lower convex hull in log-log, from the cheapest point to the best.
    LowerHull,
    /// The best of each of so many bins a decade, equal in ln C, the first of which begins at the
    /// smallest compute. Bins may rise from one to the next.
    BinMinimum { per_decade: u32 },
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum FrontierError {
    #[error(transparent)]
    NotPositive(#[from] NotPositive),
    #[error("bins per decade is 0: it has to be 1 or more")]
    NoBins,
    #[error("a power law needs points at two different values of compute; there are {found}")]
    OneCompute { found: usize },
}

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{column} of row {index} is {value}: only finite numbers above 0 have a logarithm")]
pub struct NotPositive {
    pub column: &'static str,
    pub index: usize,
    pub value: f64,
}

impl Envelope {
    /// Indices of the (compute, error) points on the envelope, in order of compute; of no points,
    /// none.
    pub fn of(self, points: &[(f64, f64)]) -> Result<Vec<usize>, FrontierError> {
        let columns = |&(c, y): &(f64, f64)| [("compute", c), ("error", y)];
        check_positive(points.iter().map(columns))?;
        let order = by_compute(points);
        Ok(match self {
            Self::RunningMinimum => running_minimum(points, order),
            Self::LowerHull => lower_hull(points, &order),
            Self::BinMinimum { per_decade: 0 } => return Err(FrontierError::NoBins),
            Self::BinMinimum { per_decade } => bin_minima(points, &order, per_decade.into()),
        })
    }
}

/// Of rows of named numbers.
pub(crate) fn check_positive<const K: usize>(
    rows: impl Iterator<Item = [(&'static str, f64); K]>,
) -> Result<(), NotPositive> {
    for (index, row) in rows.enumerate() {
        if let Some((column, value)) = row.into_iter().find(|(_, v)| !(v.is_finite() && *v > 0.0)) {
            return Err(NotPositive { column, index, value });
        }
    }
    Ok(())
}

/// Of equal compute the best comes first.
fn by_compute(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<_> = (0..points.len()).collect();
    order.sort_by(|&i, &j| {
        points[i].0.total_cmp(&points[j].0).then(points[i].1.total_cmp(&points[j].1))
    });
    order
}

fn running_minimum(points: &[(f64, f64)], mut order: Vec<usize>) -> Vec<usize> {
    keep_frontier(&mut order, |&index| points[index]);
    order
}

/// Andrew's monotone chain (1979), up to the lowest point: beyond it a hull only rises.
fn lower_hull(points: &[(f64, f64)], order: &[usize]) -> Vec<usize> {
    let at = |index: usize| (points[index].0.ln(), points[index].1.ln());
    let mut hull: Vec<usize> = Vec::new();
    for &index in falling_part(points, order) {
        if hull.last().is_some_and(|&last| points[last].0 == points[index].0) {
            continue;
        }
        while let [.., a, b] = hull[..] {
            if turns_left(at(a), at(b), at(index)) {
                break;
            }
            hull.pop();
        }
        hull.push(index);
    }
    hull
}

fn falling_part<'a>(points: &[(f64, f64)], order: &'a [usize]) -> &'a [usize] {
    let lowest = (0..order.len())
        .min_by(|&i, &j| points[order[i]].1.total_cmp(&points[order[j]].1))
        .map_or(0, |place| place + 1);
    &order[..lowest]
}

fn turns_left(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> bool {
    (b.0 - a.0) * (c.1 - a.1) > (b.1 - a.1) * (c.0 - a.0)
}

/// A point this share of a bin short of the next bin is in it: computes on a round grid are not
/// split by the last digit of a logarithm.
const BIN_ROUNDING: f64 = 1e-9;

fn bin_minima(points: &[(f64, f64)], order: &[usize], per_decade: f64) -> Vec<usize> {
    let Some(&first) = order.first() else { return Vec::new() };
    let bin = |index: usize| {
        let decades = points[index].0.log10() - points[first].0.log10();
        (per_decade * decades + BIN_ROUNDING).floor()
    };
    let bins = order.chunk_by(|&i, &j| bin(i) == bin(j));
    bins.filter_map(|rows| {
        rows.iter().copied().min_by(|&i, &j| points[i].1.total_cmp(&points[j].1))
    })
    .collect()
}

/// y = coefficient x^exponent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PowerLaw {
    /// y at x = 1; strongly correlated with the exponent, never read alone.
    pub coefficient: f64,
    pub exponent: f64,
}

impl PowerLaw {
    /// Least squares of ln y on ln x, over pairs of logarithms; `None` with less than two
    /// different x.
    pub(crate) fn through(ln: &[(f64, f64)]) -> Option<Self> {
        let n = ln.len() as f64;
        let (mean_x, mean_y) =
            (ln.iter().map(|p| p.0).sum::<f64>() / n, ln.iter().map(|p| p.1).sum::<f64>() / n);
        let xx: f64 = ln.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
        let xy: f64 = ln.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
        let exponent = xy / xx;
        (xx > 1e-18 && exponent.is_finite())
            .then(|| Self { coefficient: (mean_y - exponent * mean_x).exp(), exponent })
    }

    pub fn at(self, x: f64) -> f64 {
        (self.coefficient.ln() + self.exponent * x.ln()).exp()
    }
}

/// A measured model: what the best of them have in common is the allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allocated {
    /// Parameters.
    pub n: f64,
    /// Examples or tokens seen.
    pub d: f64,
    /// Training FLOPs.
    pub c: f64,
}

/// How size and data grow with compute along an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Allocation {
    pub n_opt: PowerLaw,
    pub d_opt: PowerLaw,
    pub n_points: usize,
}

/// N_opt(C) and D_opt(C) by least squares in logarithms through the points of an envelope.
pub fn allocation(on_envelope: &[Allocated]) -> Result<Allocation, FrontierError> {
    let columns = |p: &Allocated| [("params", p.n), ("examples", p.d), ("compute", p.c)];
    check_positive(on_envelope.iter().map(columns))?;
    let through = |y: fn(&Allocated) -> f64| {
        let ln: Vec<_> = on_envelope.iter().map(|p| (p.c.ln(), y(p).ln())).collect();
        PowerLaw::through(&ln).ok_or(FrontierError::OneCompute { found: on_envelope.len() })
    };
    Ok(Allocation {
        n_opt: through(|p| p.n)?,
        d_opt: through(|p| p.d)?,
        n_points: on_envelope.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [(f64, f64); 7] =
        [(1.0, 0.8), (10.0, 0.7), (1.0, 0.9), (100.0, 0.2), (30.0, 0.5), (1e3, 0.18), (1e4, 0.3)];

    fn check(envelope: Envelope, expected: &[usize]) {
        assert_eq!(envelope.of(&POINTS).unwrap(), expected, "{envelope:?}");
        let reversed: Vec<_> = POINTS.iter().rev().copied().collect();
        let found: Vec<_> = envelope.of(&reversed).unwrap().iter().map(|i| 6 - i).collect();
        assert_eq!(found, expected, "{envelope:?} of the same points in another order");
        let scaled = POINTS.map(|(c, y)| (c * 3e17, y * 7.0));
        assert_eq!(envelope.of(&scaled).unwrap(), expected, "{envelope:?} in other units");
    }

    #[test]
    fn each_envelope_keeps_its_points_in_order_of_compute() {
        check(Envelope::RunningMinimum, &[0, 1, 4, 3, 5]);
        check(Envelope::LowerHull, &[0, 3, 5]);
        check(Envelope::BinMinimum { per_decade: 1 }, &[0, 4, 3, 5, 6]);
        check(Envelope::BinMinimum { per_decade: 3 }, &[0, 1, 4, 3, 5, 6]);
    }

    #[test]
    fn the_hull_of_a_power_law_is_its_ends_and_no_point_lies_below() {
        let law: Vec<_> = (0..20).map(|i| 10_f64.powi(i)).map(|c| (c, c.powf(-0.3))).collect();
        let hull = Envelope::LowerHull.of(&law).unwrap();
        assert_eq!((hull[0], *hull.last().unwrap()), (0, 19));
    }

    #[test]
    fn the_running_minimum_is_the_frontier_of_points() {
        let points = [(1.0, 0.5), (1.004, 0.4), (1.05, 0.39), (2.0, 0.6)];
        assert_eq!(Envelope::RunningMinimum.of(&points).unwrap(), [1, 2]);
    }

    #[test]
    fn nothing_has_no_envelope_and_one_point_is_its_own() {
        for envelope in
            [Envelope::RunningMinimum, Envelope::LowerHull, Envelope::BinMinimum { per_decade: 3 }]
        {
            assert_eq!(envelope.of(&[]), Ok(vec![]));
            assert_eq!(envelope.of(&[(5.0, 0.1)]), Ok(vec![0]));
            assert_eq!(envelope.of(&[(5.0, 0.1), (5.0, 0.1)]).unwrap().len(), 1);
        }
    }

    #[test]
    fn what_has_no_logarithm_is_named() {
        let error = Envelope::LowerHull.of(&[(1.0, 0.5), (2.0, f64::NAN)]).unwrap_err();
        let message = "error of row 1 is NaN: only finite numbers above 0 have a logarithm";
        assert_eq!(error.to_string(), message);
        let none = Envelope::BinMinimum { per_decade: 0 }.of(&POINTS);
        assert_eq!(none, Err(FrontierError::NoBins));
    }

    #[test]
    fn allocations_follow_the_power_law_of_the_envelope() {
        let at = |c: f64| Allocated { n: 0.1 * c.powf(0.45), d: c.powf(0.55) / 0.6, c };
        let found = allocation(&[1e18, 1e19, 3e20].map(at)).unwrap();
        assert!((found.n_opt.exponent - 0.45).abs() < 1e-12, "{found:?}");
        assert!((found.d_opt.exponent - 0.55).abs() < 1e-12, "{found:?}");
        assert!((found.n_opt.at(1e24) / (0.1 * 1e24_f64.powf(0.45)) - 1.0).abs() < 1e-10);
        assert_eq!(allocation(&[at(1e18); 3]), Err(FrontierError::OneCompute { found: 3 }));
        assert_eq!(allocation(&[]), Err(FrontierError::OneCompute { found: 0 }));
    }
}
