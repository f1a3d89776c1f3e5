//! The minima again, on resamples: of whole clusters over all budgets at once or, where every trial
//! is its own cluster, of the residuals within each budget.

use std::collections::BTreeSet;

use serde::Serialize;

use super::polynomial::evaluate;
use super::valley::{Minimum, Valley};
use super::{Bootstrap, MIN_SIZES};
use crate::point::labels;
use crate::random::Stream;

/// What is drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Whole clusters, over all budgets at once.
    Cluster,
    /// Residuals within each budget, where no two trials share a cluster.
    Residual,
}

pub(super) struct Resampled {
    pub valley: Valley,
    /// By resample; `None` where fewer than three sizes were drawn.
    pub minima: Vec<Option<Minimum>>,
}

pub(super) fn unit(valleys: &[Valley]) -> Unit {
    let mut seen = BTreeSet::new();
    let mut clusters = valleys.iter().flat_map(|valley| &valley.clusters);
    if clusters.all(|cluster| seen.insert(cluster)) { Unit::Residual } else { Unit::Cluster }
}

pub(super) fn resample(
    valleys: Vec<Valley>,
    Bootstrap { unit, n }: Bootstrap,
    seed: u64,
) -> Vec<Resampled> {
    let minima = match unit {
        Unit::Residual => redraw_residuals(&valleys, n, seed),
        Unit::Cluster => redraw_clusters(&valleys, n, seed),
    };
    valleys.into_iter().zip(minima).map(|(valley, minima)| Resampled { valley, minima }).collect()
}

fn redraw_residuals(valleys: &[Valley], n: usize, seed: u64) -> Vec<Vec<Option<Minimum>>> {
    let redraw = |(at, valley): (usize, &Valley)| {
        let (noise, ones) = (noise(valley), vec![1.0; valley.z.len()]);
        let minimum = |index: usize| {
            let mut stream = Stream::new(seed, (at * n + index) as u64);
            let redrawn = |&z| evaluate(&valley.fit, z) + noise[stream.below(noise.len())];
            let loss: Vec<_> = valley.z.iter().map(redrawn).collect();
            valley.refit(&loss, &ones)
        };
        (0..n).map(minimum).collect()
    };
    valleys.iter().enumerate().map(redraw).collect()
}

/// Residuals as wide as the noise: they are narrower by the three degrees of freedom that the
/// parabola took.
fn noise(valley: &Valley) -> Vec<f64> {
    let n = valley.z.len() as f64;
    let widen = (n / (n - MIN_SIZES as f64).max(1.0)).sqrt();
    valley.residuals().iter().map(|residual| widen * residual).collect()
}

fn redraw_clusters(valleys: &[Valley], n: usize, seed: u64) -> Vec<Vec<Option<Minimum>>> {
    let mut labels = labels(valleys.iter().flat_map(|valley| &valley.clusters)).into_iter();
    let n_clusters = labels.clone().max().map_or(0, |last| last as usize + 1);
    let streams = (0..n as u64).map(|index| Stream::new(seed, index));
    let draws: Vec<_> = streams.map(|stream| times_drawn(n_clusters, stream)).collect();
    let redraw = |valley: &Valley| {
        let own: Vec<_> = labels.by_ref().take(valley.rows.len()).collect();
        let weight = |drawn: &Vec<f64>| own.iter().map(|&label| drawn[label as usize]).collect();
        let minimum = |weight: Vec<f64>| valley.refit(&valley.loss, &weight);
        draws.iter().map(weight).map(minimum).collect()
    };
    valleys.iter().map(redraw).collect()
}

/// Drawing a cluster k times gives its trials weight k.
fn times_drawn(n_clusters: usize, mut stream: Stream) -> Vec<f64> {
    let mut drawn = vec![0.0; n_clusters];
    (0..n_clusters).for_each(|_| drawn[stream.below(n_clusters)] += 1.0);
    drawn
}

#[cfg(test)]
mod tests {
    use super::super::polynomial::normal;
    use super::super::surface::{EVEN, noisy, quick};
    use super::super::{Budget, ProfileOptions, profile};
    use super::*;
    use crate::linear::solve_positive;

    #[test]
    fn nine_in_ten_intervals_hold_the_minima() {
        let clean = EVEN.trials(9, 4.0);
        let holds = |budget: &&Budget| {
            let (found, truth) = (budget.n_opt.unwrap(), EVEN.n_opt(budget.train_flops));
            found.low <= truth && truth <= found.high
        };
        let held = |seed| {
            let options = ProfileOptions { seed, ..quick() };
            let found = profile(&noisy(&clean, 0.004, seed), &options).unwrap();
            found.budgets.iter().filter(holds).count()
        };
        let n: usize = (0..200).map(held).sum();
        println!("minima in {n} of 1000 intervals");
        assert!((800..=970).contains(&n), "{n}");
    }

    #[test]
    fn the_bootstrap_agrees_with_the_delta_method() {
        let trials = noisy(&EVEN.budget(1e20, 41, 4.0, 1.0), 0.003, 5);
        let options = ProfileOptions { n_resamples: 4000, ..quick() };
        let found = profile(&trials, &options).unwrap().budgets[0].n_opt.unwrap();
        let valley = Valley::new(&trials, (0..41).collect()).unwrap();
        let [_, linear, quadratic] = valley.fit;
        let gradient = [0.0, -0.5 / quadratic, 0.5 * linear / quadratic.powi(2)];
        let mut solved = gradient;
        let mut normal: [[f64; 3]; 3] = normal(&valley.z, &[1.0; 41]);
        assert!(solve_positive(normal.as_flattened_mut(), &mut solved));
        let variance = valley.residuals().iter().map(|r| r * r).sum::<f64>() / 38.0;
        let inner: f64 = gradient.iter().zip(solved).map(|(a, b)| a * b).sum();
        let expected = 1.645 * valley.half * (variance * inner).sqrt();
        let half = 0.5 * (found.high / found.low).ln();
        assert!((half / expected - 1.0).abs() < 0.1, "{half}, delta method {expected}");
    }
}
