//! Many starts, one answer: the lowest minimum, and how many starts agree on it.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::design::MANY;
use crate::law::Values;
use crate::minimise::{Minimum, minimise};
use crate::objective::Objective;

/// Relative excess of the objective below which a start has reached the best one. A start that ends
/// in another local minimum misses by far more, one that ends early on a flat slope by about this.
const AT_BEST: f64 = 1e-6;
/// Minima of a part of very many points that are sought again among all.
const N_POLISHED: usize = 4;
/// Below this root mean square residual, data are noiseless and objectives all rounding.
const EXACT: f64 = 1e-9;

pub(crate) struct Search {
    /// By start, in the starts' order.
    pub minima: Vec<Minimum>,
    /// Index of the lowest.
    pub best: usize,
    pub n_at_best: usize,
}

impl Search {
    pub fn new(objective: &Objective, starts: &[Values]) -> Self {
        let (distinct, place) = distinct(starts);
        let found = match objective.thinned(MANY) {
            None => minima(objective, &distinct),
            Some(rough) => polished(objective, &minima(&rough, &distinct)),
        };
        let minima: Vec<_> = place.into_iter().map(|at| found[at].clone()).collect();
        let best = lowest(&minima);
        let limit = within(&minima[best], AT_BEST, objective);
        let n_at_best = minima.iter().filter(|minimum| minimum.value <= limit).count();
        Self { minima, best, n_at_best }
    }

    pub fn best(&self) -> &Minimum {
        &self.minima[self.best]
    }

    /// Converged minima whose objective is at most a share `excess` above the best.
    pub fn rivals<'a>(
        &'a self,
        excess: f64,
        objective: &Objective,
    ) -> impl Iterator<Item = &'a Minimum> {
        let limit = within(self.best(), excess, objective);
        self.minima.iter().filter(move |minimum| minimum.converged && minimum.value <= limit)
    }
}

fn minima(objective: &Objective, starts: &[&Values]) -> Vec<Minimum> {
    starts.par_iter().map(|start| minimise(objective, start)).collect()
}

/// Of very many points a part has shown where the minima are; the lowest few are sought again among all,
/// for every start that ended in them. The others are as if they had not ended.
fn polished(objective: &Objective, rough: &[Minimum]) -> Vec<Minimum> {
    let is_one = |a: &Minimum, b: &Minimum| (a.value / b.value - 1.0).abs() <= AT_BEST;
    let mut order: Vec<_> = rough.iter().filter(|minimum| minimum.value.is_finite()).collect();
    order.sort_by(|a, b| a.value.total_cmp(&b.value));
    order.dedup_by(|a, b| is_one(a, b));
    order.truncate(N_POLISHED);
    let starts: Vec<_> = order.iter().map(|minimum| &minimum.at).collect();
    let all = minima(objective, &starts);
    let of = |minimum: &Minimum| match order.iter().position(|other| is_one(minimum, other)) {
        Some(at) => all[at].clone(),
        None => Minimum { value: f64::INFINITY, converged: false, ..minimum.clone() },
    };
    rough.iter().map(of).collect()
}

/// The starts that differ, and by start which of them it is: from one place there is one way.
fn distinct<'a>(starts: &'a [Values]) -> (Vec<&'a Values>, Vec<usize>) {
    let (mut distinct, mut seen) = (Vec::new(), HashMap::new());
    let mut place = |start: &'a Values| {
        let bits: Vec<_> = start.iter().map(|at| at.to_bits()).collect();
        *seen.entry(bits).or_insert_with(|| {
            distinct.push(start);
            distinct.len() - 1
        })
    };
    let places = starts.iter().map(&mut place).collect();
    (distinct, places)
}

/// The first of equals; an undefined value loses to every other.
pub(crate) fn lowest(minima: &[Minimum]) -> usize {
    let value = |at: usize| minima[at].value;
    let better = |a: usize, b: usize| if value(b) < value(a) || value(a).is_nan() { b } else { a };
    (1..minima.len()).fold(0, better)
}

fn within(best: &Minimum, excess: f64, objective: &Objective) -> f64 {
    let rounding = 0.5 * EXACT * EXACT * objective.weight.iter().sum::<f64>();
    best.value * (1.0 + excess) + rounding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_that_are_one_are_searched_once() {
        let starts: Vec<_> = [1.0, 2.0, 1.0, 3.0, 2.0].map(|at| Values::from_iter([at])).into();
        let (distinct, places) = distinct(&starts);
        assert_eq!(distinct, [&starts[0], &starts[1], &starts[3]]);
        assert_eq!(places, [0, 1, 0, 2, 1]);
    }

    #[test]
    fn the_lowest_is_the_first_of_equals_and_never_undefined() {
        let minimum =
            |value| Minimum { at: Values::new(), value, converged: true, n_evaluations: 1 };
        let lowest = |values: &[f64]| {
            lowest(&values.iter().map(|&value| minimum(value)).collect::<Vec<_>>())
        };
        assert_eq!(lowest(&[3.0, 1.0, 1.0, 2.0]), 1);
        assert_eq!(lowest(&[f64::NAN, 5.0, f64::NAN]), 1);
    }
}
