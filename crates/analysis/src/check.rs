//! What is wrong with a table before any law is fitted to it: rows that were pasted twice, and numbers
//! in two units.

use std::collections::HashMap;

use crate::law::MAX_AXES;
use crate::point::Point;

/// Neighbouring values of an axis this far apart are taken for two units.
const AXIS_GAP: f64 = 1e5;
/// And of y, where neighbours on either side of the gap differ by nearly the hundred that parts a
/// fraction from a percentage.
const Y_GAP: f64 = 5.0;
const Y_RATIO: f64 = 30.0;
/// As many points, evenly through the table, are compared with all on the other side of the gap.
const N_NEIGHBOURS: usize = 100;
/// Fewer values than this on a side of the gap are outliers, not a unit.
const MIN_SIDE: usize = 2;

/// Pairs of points of one place and one y, each with the first that it repeats.
pub fn repeats(points: &[Point]) -> Vec<(usize, usize)> {
    let mut first = HashMap::new();
    let repeat = |(row, point): (usize, &Point)| {
        let seen = *first.entry((point.x.map(f64::to_bits), point.y.to_bits())).or_insert(row);
        (seen != row).then_some((seen, row))
    };
    points.iter().enumerate().filter_map(repeat).collect()
}

/// Values on two sides of a gap too wide for one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixedUnits {
    /// Index into the law's axes; `None` for y.
    pub axis: Option<usize>,
    /// The largest value below the gap and the smallest above it.
    pub below: f64,
    pub above: f64,
}

/// Whether an axis, or y, is in two units.
///
/// An axis is, where a gap of five decades parts its values; y is, where a gap parts its values and
/// places next to each other lie on both sides of it.
pub fn mixed_units(points: &[Point]) -> Option<MixedUnits> {
    let axis = |axis: usize| {
        let (below, above) = widest_gap(points.iter().map(|point| point.x[axis]), AXIS_GAP)?;
        Some(MixedUnits { axis: Some(axis), below, above })
    };
    (0..MAX_AXES).find_map(axis).or_else(|| {
        let (below, above) = widest_gap(points.iter().map(|point| point.y), Y_GAP)?;
        (ratio_of_neighbours(points, below) >= Y_RATIO).then_some(MixedUnits {
            axis: None,
            below,
            above,
        })
    })
}

fn widest_gap(values: impl Iterator<Item = f64>, at_least: f64) -> Option<(f64, f64)> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let sides = MIN_SIDE..values.len().saturating_sub(MIN_SIDE - 1);
    let gaps = sides.map(|at| (values[at - 1], values[at]));
    let widest = gaps.max_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)))?;
    (widest.1 / widest.0 >= at_least).then_some(widest)
}

/// The median, over some of the points of larger y, of y over that of the nearest point of smaller y.
fn ratio_of_neighbours(points: &[Point], below: f64) -> f64 {
    let (low, high): (Vec<Point>, Vec<Point>) = points.iter().partition(|point| point.y <= below);
    let distance = |a: &Point, b: &Point| -> f64 {
        a.x.iter().zip(b.x).map(|(a, b)| (a / b).ln().powi(2)).sum()
    };
    let ratio = |point: &Point| {
        let nearest = |a: &&Point, b: &&Point| distance(a, point).total_cmp(&distance(b, point));
        low.iter().min_by(nearest).map_or(1.0, |nearest| point.y / nearest.y)
    };
    let step = high.len().div_ceil(N_NEIGHBOURS);
    let mut ratios: Vec<_> = high.iter().step_by(step).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::x;

    fn curve(unit_of: impl Fn(u64) -> (f64, f64)) -> Vec<Point> {
        let point = |i: u64| {
            let (x_unit, y_unit) = unit_of(i);
            let at = (i as f64).exp2();
            Point::independent(i, x(at * x_unit), y_unit * 0.9 * at.powf(-0.2))
        };
        (0..20).map(point).collect()
    }

    #[test]
    fn a_curve_in_one_unit_is_left_alone_however_long() {
        assert_eq!(mixed_units(&curve(|_| (1.0, 1.0))), None);
        assert_eq!(mixed_units(&curve(|_| (1e18, 100.0))[..3]), None);
    }

    #[test]
    fn percentages_among_fractions_are_found() {
        let points = curve(|i| (1.0, if i % 3 == 0 { 100.0 } else { 1.0 }));
        let found = mixed_units(&points).unwrap();
        assert_eq!(found.axis, None);
        assert!(found.below < 1.0 && found.above > 1.0);
    }

    #[test]
    fn a_long_table_is_looked_through_in_no_time() {
        let many = |i: u64| {
            let (at, unit) = (1.0 + i as f64, if i.is_multiple_of(2) { 100.0 } else { 1.0 });
            Point::independent(i, x(at), unit * at.powf(-0.1))
        };
        let points: Vec<_> = (0..100_000).map(many).collect();
        assert_eq!(mixed_units(&points).unwrap().axis, None);
    }

    #[test]
    fn a_diverged_trial_is_no_unit() {
        let points = curve(|i| (1.0, if i > 16 { 8.0 } else { 1.0 }));
        assert_eq!(mixed_units(&points), None);
    }

    #[test]
    fn exaflops_among_flops_are_found() {
        let found = mixed_units(&curve(|i| (if i < 5 { 1e-18 } else { 1.0 }, 1.0))).unwrap();
        assert_eq!(found.axis, Some(0));
    }

    #[test]
    fn a_single_far_point_is_an_outlier_and_not_a_unit() {
        assert_eq!(mixed_units(&curve(|i| (if i == 19 { 1e9 } else { 1.0 }, 1.0))), None);
    }

    #[test]
    fn a_row_that_is_there_twice_is_found() {
        let mut points = curve(|_| (1.0, 1.0));
        assert_eq!(repeats(&points), []);
        points[7] = Point { configuration: 99, ..points[3] };
        assert_eq!(repeats(&points), [(3, 7)]);
    }
}
