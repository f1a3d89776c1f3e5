//! What to run next: the trials that narrow a prediction most for their compute.
//!
//! Around each curve of the bootstrap the law is taken as linear in its parameters, which the points
//! measured so far leave normal. A measurement at c then takes from the variance of ln y at the target
//!
//! ```text
//! cov(target, c)^2 / (var(c) + noise^2)
//! ```
//!
//! whatever it turns out to be, so a whole list can be chosen before the first of it is run. What is
//! made small is the width, in the geometric mean over the curves: a design for whichever of them is
//! true (Chaloner and Verdinelli 1995, Statistical Science 10). Each curve counts a
//! measurement as often as its resample would draw it, once on average and often not at all: an
//! interval from a bootstrap does not become narrow by one large trial alone, and neither should trust.
//!
//! The law is believed. Of several laws the list serves each; it does not look for trials that would
//! tell them apart. A law of one axis expects its y of every trial at an x, so to a fit of the frontier
//! offer only trials near the best size for their compute.

use std::collections::HashMap;

use crate::decision::DecisionError;
use crate::fit::Fit;
use crate::law::{MAX_PARAMS, Role, Row, Values, Xs};
use crate::point::Point;
use crate::random::Stream;

/// A trial that could be run. Trials of different lengths may share a trunk: the first part of a
/// longer one is then paid for once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// On the axes of the law.
    pub x: Xs,
    /// Candidates with the same number share what they can, and are drawn together by the bootstrap,
    /// as points of one [`Point::cluster`] are.
    pub trunk: u64,
    /// FLOPs from the start to where the trial leaves its trunk, less what is trained already.
    pub trunk_flops: f64,
    /// FLOPs that no other trial shares: a cooldown.
    pub own_flops: f64,
    /// The caller's, and handed back.
    pub index: usize,
}

impl Candidate {
    /// A trial that shares nothing: the only one of the trunk `index`.
    pub fn alone(index: usize, x: Xs, flops: f64) -> Self {
        Self { x, trunk: index as u64, trunk_flops: 0.0, own_flops: flops, index }
    }
}

/// What to run, in the order of choice.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Suggestion {
    pub picks: Vec<Pick>,
    /// Of all picks.
    pub flops: f64,
    /// Of the target's interval.
    pub level: f64,
    /// Of the interval of the curve's ln y at the target, of several fits in the geometric mean: before
    /// any pick, and expected after all of them.
    pub width_before: f64,
    pub width_after: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Pick {
    /// [`Candidate::index`]
    pub index: usize,
    /// What it costs after the picks before it.
    pub flops: f64,
    pub width_before: f64,
    pub width_after: f64,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SuggestError {
    #[error("there is no fit to suggest from")]
    NoFit,
    #[error("there are no candidates to choose from")]
    NoCandidate,
    #[error("the budget is {0} FLOPs: it has to be finite and above 0")]
    Budget(f64),
    #[error(
        "no candidate costs at most the budget of {budget} FLOPs; the cheapest costs {cheapest}"
    )]
    TooLittle { budget: f64, cheapest: f64 },
    #[error("candidate {index} costs {flops} FLOPs: it has to be finite and above 0")]
    Cost { index: usize, flops: f64 },
    #[error("{axis} of candidate {index} is {value}: it has to be finite and above 0")]
    Candidate { axis: &'static str, index: usize, value: f64 },
    #[error("{axis} of the target is {value}: it has to be finite and above 0")]
    Target { axis: &'static str, value: f64 },
    #[error(
        "laws {first} and {second} have different axes: a candidate has a place on one law's only"
    )]
    Axes { first: &'static str, second: &'static str },
    #[error("the fit of law {law} has no bootstrap: resample it at least twice")]
    NoEnsemble { law: &'static str },
    #[error("no curve of law {law} is finite at the target and at every candidate: ask nearer")]
    NotFinite { law: &'static str },
}

/// The place at which laws of N and D predict `compute` = `flops_per` N D: the best fit's split.
pub fn optimal_split(fit: &Fit, compute: f64, flops_per: f64) -> Result<Xs, DecisionError> {
    let optimum = fit.optimum(compute, flops_per)?;
    Ok([optimum.n_opt.value, optimum.d_opt.value, 1.0])
}

/// Chooses among `candidates` until `budget` FLOPs are spent or nothing helps, given the `points`
/// behind the `fits`; of a frontier, those on it. The first fit's level is the interval's.
///
/// Greedy, by what a FLOP takes off the width.
pub fn suggest(
    fits: &[Fit],
    points: &[Point],
    target: Xs,
    candidates: &[Candidate],
    budget: f64,
) -> Result<Suggestion, SuggestError> {
    check_fits(fits)?;
    check_places(&fits[0], target, candidates)?;
    check_costs(candidates, budget)?;
    let mut belief = Belief::new(fits, points, target, candidates);
    if belief.curves.is_empty() {
        return Err(SuggestError::NotFinite { law: fits[0].law.name() });
    }
    let width_before = belief.width();
    let picks = choose(&mut belief, candidates, budget);
    let flops = picks.iter().map(|pick| pick.flops).sum();
    Ok(Suggestion { picks, flops, level: fits[0].level, width_before, width_after: belief.width() })
}

fn check_fits(fits: &[Fit]) -> Result<(), SuggestError> {
    let first = fits.first().ok_or(SuggestError::NoFit)?.law;
    for fit in fits {
        if fit.law.axes() != first.axes() {
            return Err(SuggestError::Axes { first: first.name(), second: fit.law.name() });
        }
        if fit.ensemble().len() < 2 {
            return Err(SuggestError::NoEnsemble { law: fit.law.name() });
        }
    }
    Ok(())
}

fn check_places(fit: &Fit, target: Xs, candidates: &[Candidate]) -> Result<(), SuggestError> {
    let bad = |x: Xs| {
        let places = fit.law.axes().iter().zip(x);
        places.map(|(axis, value)| (axis.name(), value)).find(|(_, value)| !is_good(*value))
    };
    if let Some((axis, value)) = bad(target) {
        return Err(SuggestError::Target { axis, value });
    }
    for &Candidate { x, index, .. } in candidates {
        if let Some((axis, value)) = bad(x) {
            return Err(SuggestError::Candidate { axis, index, value });
        }
    }
    Ok(())
}

fn check_costs(candidates: &[Candidate], budget: f64) -> Result<(), SuggestError> {
    if !is_good(budget) {
        return Err(SuggestError::Budget(budget));
    }
    for candidate in candidates {
        let flops = candidate.trunk_flops + candidate.own_flops;
        let is_split = candidate.trunk_flops >= 0.0 && candidate.own_flops >= 0.0;
        if !is_good(flops) || !is_split {
            return Err(SuggestError::Cost { index: candidate.index, flops });
        }
    }
    let flops = candidates.iter().map(|candidate| candidate.trunk_flops + candidate.own_flops);
    let cheapest = flops.min_by(f64::total_cmp).ok_or(SuggestError::NoCandidate)?;
    if cheapest > budget {
        return Err(SuggestError::TooLittle { budget, cheapest });
    }
    Ok(())
}

fn is_good(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// A trial that takes off less than this share of the width does not help.
const HELPS: f64 = 1e-3;

fn choose(belief: &mut Belief, candidates: &[Candidate], budget: f64) -> Vec<Pick> {
    let (mut costs, mut spent) = (Costs::default(), 0.0);
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut picks = Vec::new();
    while let Some(at) = best(belief, &costs, candidates, &left, budget - spent) {
        let i = left.remove(at);
        let (flops, width_before) = (costs.of(&candidates[i]), belief.width());
        costs.pay(&candidates[i]);
        belief.measure(i);
        spent += flops;
        let (index, width_after) = (candidates[i].index, belief.width());
        picks.push(Pick { index, flops, width_before, width_after });
    }
    picks
}

/// The place in `left` of the candidate that takes off most per FLOP, of those that help and can be
/// paid; the first of equals.
fn best(
    belief: &Belief,
    costs: &Costs,
    candidates: &[Candidate],
    left: &[usize],
    budget: f64,
) -> Option<usize> {
    let width = belief.width();
    let rates = left.iter().enumerate().filter_map(|(at, &i)| {
        let (gain, flops) = (width - belief.width_after(i), costs.of(&candidates[i]));
        (gain > HELPS * width && flops <= budget).then(|| (at, gain / flops))
    });
    let best = rates.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(at, _)| at)
}

/// FLOPs of each trunk that are paid for.
#[derive(Default)]
struct Costs(HashMap<u64, f64>);

impl Costs {
    fn of(&self, candidate: &Candidate) -> f64 {
        let paid = self.0.get(&candidate.trunk).copied().unwrap_or(0.0);
        candidate.own_flops + (candidate.trunk_flops - paid).max(0.0)
    }

    fn pay(&mut self, candidate: &Candidate) {
        let paid = self.0.entry(candidate.trunk).or_insert(0.0);
        *paid = paid.max(candidate.trunk_flops);
    }
}

/// What the points so far leave open, and the picks after them close.
#[derive(Clone)]
struct Belief {
    curves: Vec<Curve>,
    /// Width of the interval over the mean standard deviation.
    width_per_sd: f64,
}

/// Covariances around one curve: ln y at a place is a row, independent standard normal variables by
/// their factors, so the dot product of two rows is a covariance.
#[derive(Clone)]
struct Curve {
    candidates: Vec<Row>,
    target: Row,
    /// By candidate: variance of the mean of as many measurements as the resample draws.
    noise: Vec<f64>,
}

/// Curves of each fit that are looked at.
const N_CURVES: usize = 200;

/// Standard deviation, before any point, of a parameter on its own scale ([`scale`]).
const PRIOR: f64 = 3.0;

/// Of ln y: points that lie on their curve, as made-up ones may, would leave nothing to learn, and
/// differences of rounding would decide.
const LEAST_NOISE: f64 = 1e-6;

impl Belief {
    fn new(fits: &[Fit], points: &[Point], target: Xs, candidates: &[Candidate]) -> Self {
        let mut curves = Vec::new();
        for fit in fits {
            let step = fit.ensemble().len().div_ceil(N_CURVES);
            let members = fit.ensemble().iter().step_by(step).zip(0..);
            curves.extend(
                members.map(|(params, draw)| {
                    Curve::new(fit, params, points, target, candidates, draw)
                }),
            );
        }
        curves.retain(Curve::is_finite);
        let mut belief = Self { curves, width_per_sd: 1.0 };
        let width = |fit: &Fit| (fit.predict(target).high / fit.predict(target).low).ln();
        belief.width_per_sd = geometric(fits.iter().map(width)) / belief.width();
        belief
    }

    fn width(&self) -> f64 {
        self.width_per_sd * geometric(self.curves.iter().map(Curve::open)).sqrt()
    }

    /// Expected after a measurement of candidate `i`.
    fn width_after(&self, i: usize) -> f64 {
        self.width_per_sd * geometric(self.curves.iter().map(|curve| curve.left_by(i))).sqrt()
    }

    fn measure(&mut self, i: usize) {
        self.curves.iter_mut().for_each(|curve| curve.measure(i));
    }
}

impl Curve {
    fn new(
        fit: &Fit,
        params: &Values,
        points: &[Point],
        target: Xs,
        candidates: &[Candidate],
        draw: u64,
    ) -> Self {
        let noise = fit.noise().max(LEAST_NOISE).powi(2);
        let mut factors = prior();
        let at = |factors: &[Row], x| combine(factors, &slopes(fit, params, x));
        for point in points {
            let place = at(&factors, point.x);
            condition(factors.iter_mut(), &place, noise);
        }
        Self {
            candidates: candidates.iter().map(|candidate| at(&factors, candidate.x)).collect(),
            target: at(&factors, target),
            noise: candidates.iter().map(|c| noise / times_drawn(c.trunk, draw)).collect(),
        }
    }

    /// Variance at the target.
    fn open(&self) -> f64 {
        dot(&self.target, &self.target).max(LEAST_NOISE.powi(2))
    }

    fn is_finite(&self) -> bool {
        self.candidates.iter().chain([&self.target]).flatten().all(|value| value.is_finite())
    }

    /// Variance at the target after a measurement of candidate `i`.
    fn left_by(&self, i: usize) -> f64 {
        let at = &self.candidates[i];
        let told = dot(&self.target, at).powi(2) / (dot(at, at) + self.noise[i]);
        (self.open() - told).max(LEAST_NOISE.powi(2))
    }

    fn measure(&mut self, i: usize) {
        let at = self.candidates[i];
        let rows = self.candidates.iter_mut().chain([&mut self.target]);
        condition(rows, &at, self.noise[i]);
    }
}

/// Changes the rows so that their covariances are those after a measurement of `at`: the square-root
/// filter of Whitaker and Hamill 2002, Monthly Weather Review 130, for one observation.
fn condition<'a>(rows: impl Iterator<Item = &'a mut Row>, at: &Row, noise: f64) {
    if noise.is_infinite() {
        return;
    }
    let variance = dot(at, at) + noise;
    let share = 1.0 / (1.0 + (noise / variance).sqrt());
    for row in rows {
        let slope = share * dot(row, at) / variance;
        row.iter_mut().zip(at).for_each(|(row, at)| *row -= slope * at);
    }
}

/// How often a resample draws a cluster among many: mostly 0, 1 or 2 times, once on average.
fn times_drawn(cluster: u64, draw: u64) -> f64 {
    const N_CLUSTERS: usize = 32;
    let mut stream = Stream::new(cluster, draw);
    (0..N_CLUSTERS).map(|_| f64::from(stream.below(N_CLUSTERS) == 0)).sum()
}

/// A row per parameter.
fn prior() -> [Row; MAX_PARAMS] {
    let mut rows = [[0.0; MAX_PARAMS]; MAX_PARAMS];
    (0..MAX_PARAMS).for_each(|i| rows[i][i] = PRIOR);
    rows
}

/// Derivatives of ln y at `x` by the parameters on their scales, one-sided: a floor of 0 and a ceiling
/// at the largest y can only rise.
fn slopes(fit: &Fit, params: &Values, x: Xs) -> Row {
    const STEP: f64 = 1e-6;
    let here = fit.curve(params, x).ln();
    let mut slopes = [0.0; MAX_PARAMS];
    for (i, param) in fit.law.params().iter().enumerate() {
        let mut there = params.clone();
        there[i] += STEP * scale(param.role, params[i]);
        slopes[i] = (fit.curve(&there, x).ln() - here) / STEP;
    }
    slopes
}

/// How far a parameter has to move to make another curve, in internal units: those of the medians.
fn scale(role: Role, param: f64) -> f64 {
    match role {
        Role::Amount | Role::Floor | Role::Exponent | Role::Turn => 1.0,
        Role::Coefficient | Role::Bend | Role::Sharpness | Role::Repeats => param,
        Role::Ceiling | Role::Place(_) | Role::Scale(_) => param,
        Role::Shift(_) | Role::InverseShift(_) => param.max(0.1),
    }
}

fn combine(rows: &[Row], factors: &Row) -> Row {
    let mut sum = [0.0; MAX_PARAMS];
    for (row, factor) in rows.iter().zip(factors) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
    }
    sum
}

fn dot(a: &Row, b: &Row) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Geometric mean.
fn geometric(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    (values.map(f64::ln).sum::<f64>() / n).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_covariances_of_normal_variables_after_a_measurement() {
        let row = |values: [f64; 3]| {
            let mut row = [0.0; MAX_PARAMS];
            row[..3].copy_from_slice(&values);
            row
        };
        let before = [row([1.0, 0.5, 0.0]), row([0.2, -1.0, 2.0]), row([0.3, 0.3, 0.1])];
        let (at, noise) = (before[2], 0.04);
        let mut after = before;
        condition(after.iter_mut(), &at, noise);
        for (i, j) in [(0, 0), (0, 1), (1, 1), (2, 1), (2, 2)] {
            let told = dot(&before[i], &at) * dot(&before[j], &at) / (dot(&at, &at) + noise);
            let want = dot(&before[i], &before[j]) - told;
            assert!((dot(&after[i], &after[j]) - want).abs() < 1e-15, "{i} {j}");
        }
    }

    #[test]
    fn a_cluster_is_drawn_once_on_average_and_often_not_at_all() {
        let times: Vec<_> = (0..10_000).map(|draw| times_drawn(5, draw)).collect();
        let mean = times.iter().sum::<f64>() / 10_000.0;
        let missed = times.iter().filter(|times| **times == 0.0).count();
        assert!((mean - 1.0).abs() < 0.05 && missed.abs_diff(3620) < 250, "{mean} {missed}");
    }
}
