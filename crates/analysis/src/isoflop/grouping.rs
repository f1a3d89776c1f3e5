//! Which trials make a budget: those of nearly one compute, if they have the sizes that a parabola
//! needs.

use std::cmp::Ordering;
use std::ops::Range;

use statrs::statistics::Statistics;

use super::{Budgets, Excluded, MIN_SIZES, ProfileOptions, Trial};
use crate::warning::Code;

/// Sizes within 1% are one size.
const SAME_SIZE: f64 = 1.01;

pub(super) struct Grouping {
    /// Rows by budget, in order of compute; those of each in order of size.
    pub budgets: Vec<Vec<usize>>,
    /// Budgets that were asked for and have too few sizes.
    pub excluded: Vec<Excluded>,
}

pub(super) fn group(trials: &[Trial], options: &ProfileOptions) -> Grouping {
    let mut grouping = match &options.budgets {
        Budgets::Given(budgets) => given(trials, budgets, options.tolerance),
        Budgets::Found => {
            Grouping { budgets: found(trials, options.tolerance), excluded: Vec::new() }
        }
    };
    sort(trials, &mut grouping.budgets);
    grouping
}

/// Distinct sizes, ascending.
pub(super) fn sizes(n: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sizes: Vec<_> = n.collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup_by(|n, kept| *n <= SAME_SIZE * *kept);
    sizes
}

pub(super) fn mean_ln_c(trials: &[Trial], rows: &[usize]) -> f64 {
    rows.iter().map(|&row| trials[row].c.ln()).mean()
}

/// Into an order that does not depend on how the trials were listed.
fn sort(trials: &[Trial], budgets: &mut [Vec<usize>]) {
    let key = |row: usize| [trials[row].n, trials[row].d, trials[row].c, trials[row].loss];
    for rows in &mut *budgets {
        rows.sort_by(|&i, &j| key(i).partial_cmp(&key(j)).unwrap_or(Ordering::Equal));
    }
    budgets.sort_by(|a, b| mean_ln_c(trials, a).total_cmp(&mean_ln_c(trials, b)));
}

fn n_sizes(trials: &[Trial], rows: &[usize]) -> usize {
    sizes(rows.iter().map(|&row| trials[row].n)).len()
}

fn given(trials: &[Trial], budgets: &[f64], tolerance: f64) -> Grouping {
    let mut budgets = budgets.to_vec();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    let away = |row: usize, budget: f64| (trials[row].c / budget).ln().abs();
    let nearest = |row: usize| {
        let by_distance = |a: &f64, b: &f64| away(row, *a).total_cmp(&away(row, *b));
        budgets.iter().copied().min_by(by_distance).filter(|&at| away(row, at) <= tolerance)
    };
    let mut grouping = Grouping { budgets: Vec::new(), excluded: Vec::new() };
    for &budget in &budgets {
        let rows: Vec<_> = (0..trials.len()).filter(|&row| nearest(row) == Some(budget)).collect();
        match n_sizes(trials, &rows) {
            n @ ..MIN_SIZES => grouping.excluded.push(too_few(budget, n)),
            MIN_SIZES.. => grouping.budgets.push(rows),
        }
    }
    grouping
}

fn too_few(train_flops: f64, n: usize) -> Excluded {
    let message = format!(
        "the budget of {train_flops:.3e} FLOPs has trials of {n} sizes: a parabola needs {MIN_SIZES}"
    );
    Excluded { train_flops, code: Code::FewPoints, message }
}

fn found(trials: &[Trial], tolerance: f64) -> Vec<Vec<usize>> {
    let mut rest: Vec<_> = (0..trials.len()).collect();
    rest.sort_by(|&i, &j| trials[i].c.total_cmp(&trials[j].c));
    let mut budgets = Vec::new();
    while let Some(window) = densest(trials, &rest, 2.0 * tolerance) {
        budgets.push(rest.drain(window).collect());
    }
    budgets
}

/// The window of ln C with the most sizes, then the most trials, then the narrowest, then the
/// cheapest; `None` where the most is less than a parabola needs.
fn densest(trials: &[Trial], sorted: &[usize], width: f64) -> Option<Range<usize>> {
    let ln_c: Vec<_> = sorted.iter().map(|&row| trials[row].c.ln()).collect();
    let merit = |window: &Range<usize>| {
        let span = ln_c[window.end - 1] - ln_c[window.start];
        (n_sizes(trials, &sorted[window.clone()]), window.len(), -span)
    };
    windows(&ln_c, width)
        .into_iter()
        .rev()
        .map(|window| (merit(&window), window))
        .filter(|((n_sizes, ..), _)| *n_sizes >= MIN_SIZES)
        .max_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal))
        .map(|(_, window)| window)
}

/// Places in order of compute, from each on as far as the width reaches, without those that are
/// part of another.
fn windows(ln_c: &[f64], width: f64) -> Vec<Range<usize>> {
    let from = |start: usize| start..ln_c.partition_point(|end| end - ln_c[start] <= width);
    let mut windows: Vec<_> = (0..ln_c.len()).map(from).collect();
    windows.dedup_by_key(|window| window.end);
    windows
}

#[cfg(test)]
mod tests {
    use super::super::surface::{EVEN, codes, quick};
    use super::super::{Trial, profile};
    use super::*;

    #[test]
    fn trials_of_no_budget_and_budgets_of_few_sizes_are_named() {
        let mut trials = EVEN.trials(5, 4.0);
        trials.insert(3, Trial { c: 3e20, ..trials[0] });
        let found = profile(&trials, &quick()).unwrap();
        assert_eq!((found.budgets.len(), found.left_over), (5, vec![3]));
        assert_eq!(codes(&found.warnings), [Code::LeftOver]);
        let budgets = Budgets::Given(vec![1e22, 3e20, 1e19, 1e22]);
        let found = profile(&trials, &ProfileOptions { budgets, ..quick() }).unwrap();
        assert_eq!((found.budgets.len(), found.left_over.len(), found.excluded.len()), (2, 16, 1));
        assert!(found.excluded[0].message.contains("3.000e20"), "{:?}", found.excluded);
        assert_eq!(codes(&found.warnings), [Code::FewBudgets, Code::LeftOver]);
    }

    #[test]
    fn trials_a_little_apart_in_compute_share_a_budget() {
        let mut trials = EVEN.trials(7, 4.0);
        (0..).zip(&mut trials).for_each(|(i, trial)| trial.c *= 1.0 + 0.02 * f64::from(i % 5));
        let found = group(&trials, &quick());
        let block = |first| (first..first + 7).collect::<Vec<usize>>();
        assert_eq!(found.budgets, [0, 7, 14, 21, 28].map(block));
    }

    #[test]
    fn sizes_within_a_hundredth_of_the_smallest_of_them_are_one() {
        assert_eq!(sizes([2.0, 1.0, 1.009, 1.018, 2.0].into_iter()), [1.0, 1.018, 2.0]);
    }
}
