//! Points, the means of seeds, and the frontier. Nothing is dropped here: what is off the frontier
//! is off it by its definition, and stays in the caller's hands.

use std::collections::HashMap;
use std::hash::Hash;

use crate::law::Xs;

/// One measured trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Position on the axes of the law; positive, and 1 on axes that the law does not have.
    pub x: Xs,
    /// For example validation error, as a fraction; positive.
    pub y: f64,
    /// Points that differ in their seed alone share it (and x): they are averaged.
    pub configuration: u64,
    /// Points that are not independent share it (cooldowns of one trunk, checkpoints of one
    /// trial): the bootstrap draws them together.
    pub cluster: u64,
}

impl Point {
    /// A point that shares nothing with any other: row `index` of a table without seeds.
    pub fn independent(index: u64, x: Xs, y: f64) -> Self {
        Self { x, y, configuration: index, cluster: index }
    }
}

/// A position on one axis, for example training FLOPs.
pub fn x(x: f64) -> Xs {
    [x, 1.0, 1.0]
}

/// Numbers the distinct keys in order of appearance: from trial ids, trunk ids or the cells of a
/// column to [`Point::configuration`] and [`Point::cluster`].
pub fn labels<K: Eq + Hash>(keys: impl IntoIterator<Item = K>) -> Vec<u64> {
    let mut seen = HashMap::new();
    keys.into_iter()
        .map(|key| {
            let next = seen.len() as u64;
            *seen.entry(key).or_insert(next)
        })
        .collect()
}

/// Which points the law is fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every point, one weight each.
    EveryPoint,
    /// The frontier of the seed means, one weight for each of its configurations.
    Frontier,
}

/// The seeds of one configuration together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanPoint {
    /// On the first axis.
    pub x: f64,
    /// Geometric mean: residuals are logarithms, so logarithms are what is averaged.
    pub y: f64,
    pub configuration: u64,
    /// Seeds behind the mean.
    pub n: usize,
    /// Standard deviation of ln y over the seeds; `None` for a single one.
    pub sd_log: Option<f64>,
}

/// One point per configuration, in order of x and, at equal x, of y.
pub fn seed_means(points: &[Point]) -> Vec<MeanPoint> {
    let mut means: Vec<_> = by_configuration(points).iter().map(|group| mean(group)).collect();
    means.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    means
}

/// Lengths are whole steps, so trials of one budget differ a little in compute: up to this factor
/// they count as equal.
const SAME_X: f64 = 1.01;

/// The points that no other beats at its compute: y below that of every point with less or equal
/// x, where x within 1% is equal. In order of x; of equals the cheapest stays.
///
/// Take it over seed means. Over single trials it would pick the luckiest seeds, and the more of
/// them a configuration has the luckier.
pub fn frontier(means: &[MeanPoint]) -> Vec<MeanPoint> {
    let mut sorted = means.to_vec();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    keep_frontier(&mut sorted, |point| (point.x, point.y));
    sorted
}

/// Keeps the frontier of items in order of x; y may be a logarithm.
pub(crate) fn keep_frontier<T>(sorted: &mut Vec<T>, position: impl Fn(&T) -> (f64, f64)) {
    let positions: Vec<_> = sorted.iter().map(position).collect();
    let mut best = f64::INFINITY;
    let mut at = 0;
    sorted.retain(|_| {
        let (x, y) = positions[at];
        at += 1;
        let equals = positions[at..].iter().take_while(|other| other.0 <= SAME_X * x);
        let wins = y < best && equals.into_iter().all(|other| other.1 >= y);
        best = best.min(y);
        wins
    });
}

/// Standard deviation of ln y between seeds, pooled over the configurations that have several;
/// `None` where none has. A fit's residuals cannot be expected to be smaller.
pub fn seed_noise(points: &[Point]) -> Option<f64> {
    let (mut squares, mut freedom) = (0.0, 0.0);
    for group in by_configuration(points) {
        let point = mean(&group);
        if let Some(sd) = point.sd_log {
            let n = (point.n - 1) as f64;
            squares += sd * sd * n;
            freedom += n;
        }
    }
    (freedom > 0.0).then(|| (squares / freedom).sqrt())
}

fn by_configuration(points: &[Point]) -> Vec<Vec<Point>> {
    let mut groups: Vec<Vec<Point>> = Vec::new();
    let keys = labels(points.iter().map(|point| point.configuration));
    for (point, key) in points.iter().zip(keys) {
        let at = key as usize;
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(*point);
    }
    groups
}

fn mean(group: &[Point]) -> MeanPoint {
    let n = group.len() as f64;
    let mean = group.iter().map(|point| point.y.ln()).sum::<f64>() / n;
    let squares: f64 = group.iter().map(|point| (point.y.ln() - mean).powi(2)).sum();
    MeanPoint {
        x: group[0].x[0],
        y: if group.len() == 1 { group[0].y } else { mean.exp() },
        configuration: group[0].configuration,
        n: group.len(),
        sd_log: (group.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: f64, y: f64, configuration: u64) -> Point {
        Point { x: x(at), y, configuration, cluster: configuration }
    }

    #[test]
    fn seeds_are_averaged_in_the_logarithm() {
        let means = seed_means(&[point(2.0, 0.1, 5), point(1.0, 0.5, 9), point(2.0, 0.4, 5)]);
        assert_eq!(
            means.iter().map(|mean| (mean.x, mean.n)).collect::<Vec<_>>(),
            [(1.0, 1), (2.0, 2)]
        );
        assert!((means[1].y - 0.2).abs() < 1e-15);
        assert!((means[1].sd_log.unwrap() - 2.0_f64.ln() * 2.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!((means[0].y, means[0].sd_log), (0.5, None));
    }

    #[test]
    fn the_frontier_is_the_running_minimum() {
        let points = [
            (1.0, 0.5),
            (1.0, 0.6),
            (2.0, 0.5),
            (3.0, 0.55),
            (4.0, 0.3),
            (8.0, 0.4),
            (5.0, 0.31),
            (9.0, 0.2),
        ];
        let points: Vec<_> = points.iter().zip(0..).map(|(&(x, y), i)| point(x, y, i)).collect();
        let kept: Vec<_> =
            frontier(&seed_means(&points)).iter().map(|mean| (mean.x, mean.y)).collect();
        assert_eq!(kept, [(1.0, 0.5), (4.0, 0.3), (9.0, 0.2)]);
    }

    #[test]
    fn of_one_budget_the_best_stays_though_it_cost_a_rounded_step_more() {
        let points = [point(1.0, 0.5, 0), point(1.004, 0.4, 1), point(1.05, 0.39, 2)];
        let kept = frontier(&seed_means(&points));
        assert_eq!(kept.iter().map(|mean| mean.y).collect::<Vec<_>>(), [0.4, 0.39]);
    }

    #[test]
    fn a_lucky_seed_does_not_make_the_frontier() {
        let points = [point(1.0, 0.30, 0), point(2.0, 0.25, 1), point(2.0, 0.40, 1)];
        assert_eq!(frontier(&seed_means(&points)).len(), 1);
    }

    #[test]
    fn seed_noise_pools_degrees_of_freedom() {
        let noisy = [0.0, 0.1, 0.2].map(|ln_y: f64| point(1.0, ln_y.exp(), 0));
        let quiet = [0.0, 0.0].map(|ln_y: f64| point(2.0, ln_y.exp(), 1));
        let points: Vec<_> = noisy.into_iter().chain(quiet).chain([point(3.0, 9.0, 2)]).collect();
        assert!((seed_noise(&points).unwrap() - (0.02_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(seed_noise(&points[5..]), None);
    }

    #[test]
    fn labels_number_keys_in_order_of_appearance() {
        assert_eq!(labels(["b", "a", "b", "c"]), [0, 1, 0, 2]);
    }
}
