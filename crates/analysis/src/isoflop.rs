//! Approach 2: IsoFLOP profiles (Hoffmann et al. 2022, arXiv:2203.15556, section 3.2). At each compute
//! budget a parabola in ln N is fitted to the loss; through the minima go N_opt(C) and D_opt(C).
//!
//! D at a minimum is read off the budget's own runs, not off C = 6 N D. No run is dropped silently:
//! those of no budget are listed, and so is each budget that the power laws leave out, with why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics};

use crate::frontier::PowerLaw;
use crate::linear::solve_positive;
use crate::point::labels;
use crate::random::Stream;

/// One measured model. All but the cluster are finite and positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Parameters.
    pub n: f64,
    /// Examples or tokens seen.
    pub d: f64,
    /// Training FLOPs.
    pub c: f64,
    pub loss: f64,
    /// Runs that are not independent share it (checkpoints of one training).
    pub cluster: u64,
}

/// Where the budgets come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Budgets {
    /// FLOPs; a run belongs to the nearest in ln C, if that is within the tolerance.
    Given(Vec<f64>),
    /// Windows of ln C, twice the tolerance wide, that hold the most sizes, one after the other
    /// until no window has three.
    Found,
}

/// What the parabola is fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Height {
    Loss,
    LnLoss,
}

/// How to profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileOptions {
    pub budgets: Budgets,
    /// How far ln C of a run may be from that of its budget: 0.1 is 10%.
    pub tolerance: f64,
    pub height: Height,
    /// Huber's constant, in robust standard deviations of the residuals (1.345 is usual); `None`:
    /// least squares.
    pub huber: Option<f64>,
    /// 0: no intervals.
    pub n_resamples: usize,
    /// Share of the resamples inside an interval, between 0 and 1.
    pub level: f64,
    pub seed: u64,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        Self {
            budgets: Budgets::Found,
            tolerance: 0.1,
            height: Height::Loss,
            huber: None,
            n_resamples: 1000,
            level: 0.95,
            seed: 0,
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ProfileError {
    #[error("{column} of run {index} is {value}: a profile needs finite numbers above 0")]
    NotPositive { column: &'static str, index: usize, value: f64 },
    #[error("{option} is {value}: it has to be {wanted}")]
    Option { option: &'static str, value: f64, wanted: &'static str },
    #[error(
        "no budget has runs of {MIN_SIZES} sizes: of {n_runs} runs none share their compute within a tolerance of {tolerance}"
    )]
    NoBudget { n_runs: usize, tolerance: f64 },
}

/// A number and its interval: percentiles of the bootstrap, `None` without one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub value: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Profiles of all budgets, and what follows from them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    pub height: Height,
    pub n_runs: usize,
    /// Rows that belong to no budget, or to one of fewer than three sizes.
    pub left_over: Vec<usize>,
    /// In order of compute.
    pub budgets: Vec<Budget>,
    /// Budgets whose minimum does not enter the power laws.
    pub excluded: Vec<Excluded>,
    /// `None` with fewer than two minima to go through.
    pub scaling: Option<Scaling>,
    /// `None` where no budget has five sizes.
    pub asymmetry: Option<Asymmetry>,
    pub level: f64,
    /// `None` of no resamples.
    pub bootstrap: Option<Bootstrap>,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// Geometric mean over its runs.
    pub train_flops: f64,
    /// Indices into the runs, in order of size.
    pub rows: Vec<usize>,
    pub n_sizes: usize,
    /// `None` where the parabola has no minimum, or has it more than one sampled range away.
    pub n_opt: Option<Estimate>,
    pub d_opt: Option<Estimate>,
    pub loss_opt: Option<Estimate>,
    pub parabola: Parabola,
    /// Second derivative of the fitted height by ln N.
    pub curvature: f64,
    /// Root mean square of height - parabola.
    pub residual_rms: f64,
    /// Resamples in which fewer than three sizes were drawn, or all where there are only three;
    /// they are in no interval.
    pub n_undrawn: usize,
    pub warnings: Vec<Warning>,
}

/// Height = constant + linear z + quadratic z^2, with z = (ln N - ln_n_mid) / ln_n_half: -1 and 1 at
/// the smallest and largest size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parabola {
    pub ln_n_mid: f64,
    pub ln_n_half: f64,
    pub constant: f64,
    pub linear: f64,
    pub quadratic: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Excluded {
    pub train_flops: f64,
    pub code: Code,
    pub message: String,
}

/// Power laws through the minima: least squares in logarithms, each budget one weight.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scaling {
    pub n_budgets: usize,
    pub n_opt: Growth,
    pub d_opt: Growth,
    /// Resamples that left fewer than two budgets to draw a law through.
    pub n_undrawn: usize,
}

/// y = coefficient C^exponent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    pub coefficient: Estimate,
    pub exponent: Estimate,
    #[serde(skip)]
    resamples: Vec<PowerLaw>,
    #[serde(skip)]
    level: f64,
}

/// The allocation at a compute that was perhaps never run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    pub train_flops: f64,
    pub n_opt: Estimate,
    pub d_opt: Estimate,
}

/// What the third power of ln N adds. A parabola through a lopsided valley has its minimum off the
/// valley's, on the flatter side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Asymmetry {
    /// Coefficient of (ln N)^3 in the height, pooled over budgets by their precision.
    pub cubic: f64,
    /// The same in its standard errors; `None` where nothing is left to estimate noise from.
    pub t: Option<f64>,
    /// Geometric mean over the budgets in the power laws of N_opt by cubic over N_opt by parabola.
    pub n_opt_ratio: f64,
    pub n_budgets: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    pub unit: Unit,
    pub n: usize,
}

/// What is drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Whole clusters, over all budgets at once.
    Cluster,
    /// Residuals within each budget, where no two runs share a cluster.
    Residual,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    pub code: Code,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The minimum is outside the sampled sizes or at their end.
    EdgeMinimum,
    /// The parabola opens downwards, or is a line.
    Concave,
    /// The minimum is in the outer quarter of the sampled ln N, or has one size on a side.
    OffCentre,
    /// Fewer than five sizes.
    FewPoints,
    /// As many sizes as the parabola has unknowns: nothing says how well it fits.
    Saturated,
    /// The sizes span less than a factor of four.
    Narrow,
    /// The parabola explains less than half of the variance.
    PoorFit,
    /// The cubic term is significant, and moves the minima.
    Asymmetric,
    /// Fewer than three minima to draw power laws through.
    FewBudgets,
    /// Some runs belong to no budget.
    LeftOver,
}

impl Code {
    /// Whether a minimum with this warning is none to draw a power law through.
    fn excludes(self) -> bool {
        match self {
            Self::EdgeMinimum | Self::Concave | Self::PoorFit | Self::Saturated => true,
            Self::OffCentre | Self::FewPoints | Self::Narrow => false,
            Self::Asymmetric | Self::FewBudgets | Self::LeftOver => false,
        }
    }
}

/// A parabola has three unknowns.
const MIN_SIZES: usize = 3;
const ENOUGH_SIZES: usize = 5;
const ENOUGH_BUDGETS: usize = 3;
const ENOUGH_RATIO: f64 = 4.0;
/// Sizes within 1% are one size.
const SAME_SIZE: f64 = 0.01;
/// |z| of a minimum at the end of the sampled sizes, and of one in their outer quarter.
const EDGE: f64 = 0.98;
const OUTER_QUARTER: f64 = 0.5;
/// |z| beyond which a minimum is a guess: one sampled range outside it. Resamples end there.
const FARTHEST: f64 = 3.0;
/// A lopsided valley that moves minima by less than this, in ln N, is not worth a word.
const SMALL_SHIFT: f64 = 0.01;
const SIGNIFICANT: f64 = 2.0;

/// Fits every budget, and the power laws through the reliable minima.
pub fn profile(runs: &[Run], options: &ProfileOptions) -> Result<Profile, ProfileError> {
    check_runs(runs)?;
    check_options(options)?;
    let grouping = group(runs, options);
    let valleys: Vec<_> =
        grouping.groups.iter().filter_map(|rows| Valley::new(runs, rows, options)).collect();
    if valleys.is_empty() {
        return Err(ProfileError::NoBudget { n_runs: runs.len(), tolerance: options.tolerance });
    }
    let resamples = resample(runs, &valleys, options);
    let budgets: Vec<_> =
        (0..valleys.len()).map(|at| budget(at, &valleys, &resamples, options)).collect();
    let kept: Vec<_> = (0..budgets.len()).filter(|&at| exclusion(&budgets[at]).is_none()).collect();
    let scaling = scaling(&valleys, &kept, &resamples, options);
    let asymmetry = asymmetry(&valleys, &kept);
    let rows_left_over = rows_left_over(runs, &valleys);
    Ok(Profile {
        height: options.height,
        n_runs: runs.len(),
        excluded: grouping
            .unusable
            .into_iter()
            .chain(budgets.iter().filter_map(exclusion))
            .collect(),
        warnings: [few_budgets(kept.len()), lopsided(asymmetry), left_over(&rows_left_over, runs)]
            .into_iter()
            .flatten()
            .collect(),
        left_over: rows_left_over,
        budgets,
        scaling,
        asymmetry,
        level: options.level,
        bootstrap: (options.n_resamples > 0)
            .then(|| Bootstrap { unit: unit(runs, &valleys), n: options.n_resamples }),
    })
}

fn check_runs(runs: &[Run]) -> Result<(), ProfileError> {
    for (index, run) in runs.iter().enumerate() {
        let columns =
            [("params", run.n), ("examples", run.d), ("compute", run.c), ("loss", run.loss)];
        for (column, value) in columns {
            if !is_positive(value) {
                return Err(ProfileError::NotPositive { column, index, value });
            }
        }
    }
    Ok(())
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn check_options(options: &ProfileOptions) -> Result<(), ProfileError> {
    let above = "finite and above 0";
    let given: &[f64] = match &options.budgets {
        Budgets::Given(budgets) => budgets,
        Budgets::Found => &[],
    };
    let positive = given
        .iter()
        .map(|&budget| ("a budget", budget))
        .chain([("tolerance", options.tolerance)])
        .chain(options.huber.map(|k| ("huber", k)));
    for (option, value) in positive {
        if !is_positive(value) {
            return Err(ProfileError::Option { option, value, wanted: above });
        }
    }
    if options.level > 0.0 && options.level < 1.0 {
        return Ok(());
    }
    Err(ProfileError::Option { option: "level", value: options.level, wanted: "between 0 and 1" })
}

struct Grouping {
    /// In order of compute; the rows of each in order of size.
    groups: Vec<Vec<usize>>,
    /// Budgets that were asked for and have too few sizes.
    unusable: Vec<Excluded>,
}

fn group(runs: &[Run], options: &ProfileOptions) -> Grouping {
    let sizes = size_classes(runs);
    let (groups, unusable) = match &options.budgets {
        Budgets::Given(budgets) => given(runs, &sizes, budgets, options.tolerance),
        Budgets::Found => (found(runs, &sizes, options.tolerance), Vec::new()),
    };
    Grouping { groups: in_order(runs, groups), unusable }
}

/// In order of index.
fn rows_left_over(runs: &[Run], valleys: &[Valley]) -> Vec<usize> {
    let used: BTreeSet<_> = valleys.iter().flat_map(|valley| &valley.rows).copied().collect();
    (0..runs.len()).filter(|row| !used.contains(row)).collect()
}

/// The order of budgets and rows that does not depend on how the runs were listed.
fn in_order(runs: &[Run], mut groups: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let key = |row: usize| [runs[row].n, runs[row].d, runs[row].c, runs[row].loss];
    for rows in &mut groups {
        rows.sort_by(|&i, &j| {
            key(i)
                .iter()
                .zip(key(j))
                .fold(std::cmp::Ordering::Equal, |order, (a, b)| order.then(a.total_cmp(&b)))
        });
    }
    groups.sort_by(|a, b| mean_ln_c(runs, a).total_cmp(&mean_ln_c(runs, b)));
    groups
}

fn mean_ln_c(runs: &[Run], rows: &[usize]) -> f64 {
    mean(rows.iter().map(|&row| runs[row].c.ln()))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// By run the number of its size; sizes within 1% of the smallest of a class share it.
fn size_classes(runs: &[Run]) -> Vec<usize> {
    let mut order: Vec<_> = (0..runs.len()).collect();
    order.sort_by(|&i, &j| runs[i].n.total_cmp(&runs[j].n));
    let mut classes = vec![0; runs.len()];
    let (mut class, mut first) = (0, order.first().map_or(0.0, |&row| runs[row].n));
    for row in order {
        if runs[row].n > (1.0 + SAME_SIZE) * first {
            class += 1;
            first = runs[row].n;
        }
        classes[row] = class;
    }
    classes
}

fn n_sizes(rows: &[usize], sizes: &[usize]) -> usize {
    rows.iter().map(|&row| sizes[row]).collect::<BTreeSet<_>>().len()
}

fn given(
    runs: &[Run],
    sizes: &[usize],
    budgets: &[f64],
    tolerance: f64,
) -> (Vec<Vec<usize>>, Vec<Excluded>) {
    let mut budgets = budgets.to_vec();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    let mut groups = vec![Vec::new(); budgets.len()];
    for (row, run) in runs.iter().enumerate() {
        let away = |at: usize| (run.c / budgets[at]).ln().abs();
        let nearest = (0..budgets.len()).min_by(|&i, &j| away(i).total_cmp(&away(j)));
        if let Some(at) = nearest.filter(|&at| away(at) <= tolerance) {
            groups[at].push(row);
        }
    }
    let enough = |rows: &Vec<usize>| n_sizes(rows, sizes) >= MIN_SIZES;
    let unusable = budgets.iter().zip(&groups).filter(|(_, rows)| !enough(rows));
    let unusable = unusable.map(|(&budget, rows)| too_few(budget, n_sizes(rows, sizes))).collect();
    (groups.into_iter().filter(enough).collect(), unusable)
}

fn too_few(train_flops: f64, n: usize) -> Excluded {
    let message = format!(
        "the budget of {train_flops:.3e} FLOPs has runs of {n} sizes: a parabola needs {MIN_SIZES}"
    );
    Excluded { train_flops, code: Code::FewPoints, message }
}

fn found(runs: &[Run], sizes: &[usize], tolerance: f64) -> Vec<Vec<usize>> {
    let mut rest: Vec<_> = (0..runs.len()).map(|row| (runs[row].c.ln(), row)).collect();
    rest.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups = Vec::new();
    while let Some(window) = densest(&rest, sizes, 2.0 * tolerance) {
        groups.push(rest.drain(window).map(|(_, row)| row).collect());
    }
    groups
}

/// The window with the most sizes, then the most runs, then the narrowest, then the cheapest;
/// `None` where the most is less than a parabola needs.
fn densest(sorted: &[(f64, usize)], sizes: &[usize], width: f64) -> Option<std::ops::Range<usize>> {
    let mut inside: BTreeMap<usize, usize> = BTreeMap::new();
    let mut best: Option<(usize, usize, f64, usize)> = None;
    let mut start = 0;
    for (end, &(ln_c, row)) in sorted.iter().enumerate() {
        *inside.entry(sizes[row]).or_default() += 1;
        while ln_c - sorted[start].0 > width {
            let leaving = sizes[sorted[start].1];
            start += 1;
            if let Some(count) = inside.get_mut(&leaving) {
                *count -= 1;
            }
            inside.retain(|_, count| *count > 0);
        }
        let candidate = (inside.len(), end + 1 - start, sorted[start].0 - ln_c, start);
        let beats = |held: &(usize, usize, f64, usize)| {
            (candidate.0, candidate.1) > (held.0, held.1)
                || (candidate.0, candidate.1) == (held.0, held.1) && candidate.2 > held.2
        };
        if candidate.0 >= MIN_SIZES && best.as_ref().is_none_or(beats) {
            best = Some(candidate);
        }
    }
    best.map(|(_, n, _, start)| start..start + n)
}

/// A budget as the fits see it: z in -1..1, heights, and the parabola through them.
struct Valley {
    rows: Vec<usize>,
    ln_c: f64,
    mid: f64,
    half: f64,
    z: Vec<f64>,
    height: Vec<f64>,
    /// Distinct sizes, ascending.
    sizes: Vec<f64>,
    /// The line of ln D on z: exact where C = 6 N D, and safe beyond the sizes.
    ln_d: [f64; 2],
    fit: [f64; 3],
    options: Fitting,
}

#[derive(Clone, Copy)]
struct Fitting {
    height: Height,
    huber: Option<f64>,
}

/// Where a parabola is lowest.
#[derive(Clone, Copy)]
struct Minimum {
    z: f64,
    ln_n: f64,
    ln_d: f64,
    loss: f64,
}

impl Valley {
    /// `None` where the sizes are too few to fix a parabola.
    fn new(runs: &[Run], rows: &[usize], options: &ProfileOptions) -> Option<Self> {
        let ln_n: Vec<f64> = rows.iter().map(|&row| runs[row].n.ln()).collect();
        let (low, high) = (*ln_n.first()?, *ln_n.last()?);
        let (mid, half) = (0.5 * (low + high), 0.5 * (high - low));
        let z: Vec<_> = ln_n.iter().map(|ln_n| (ln_n - mid) / half).collect();
        let options = Fitting { height: options.height, huber: options.huber };
        let height: Vec<_> = rows.iter().map(|&row| options.height.of(runs[row].loss)).collect();
        let ln_d: Vec<_> = rows.iter().map(|&row| runs[row].d.ln()).collect();
        let ones = vec![1.0; rows.len()];
        let sizes = distinct(&z, (1.0 + SAME_SIZE).ln() / half);
        Some(Self {
            ln_c: mean_ln_c(runs, rows),
            ln_d: polynomial(&z, &ln_d, &ones)?,
            fit: options.parabola(&z, &height, &ones)?,
            rows: rows.to_vec(),
            mid,
            half,
            z,
            height,
            sizes,
            options,
        })
    }

    /// `None` where the parabola has no minimum.
    fn minimum(&self, fit: &[f64; 3]) -> Option<Minimum> {
        let z = -0.5 * fit[1] / fit[2];
        (fit[2] > 0.0 && z.is_finite()).then(|| self.minimum_at(z, fit))
    }

    fn minimum_at(&self, z: f64, fit: &[f64; 3]) -> Minimum {
        Minimum {
            z,
            ln_n: self.mid + self.half * z,
            ln_d: evaluate(&self.ln_d, z),
            loss: self.options.height.loss(evaluate(fit, z)),
        }
    }

    /// The minimum within [`FARTHEST`], where a resample without one has it at the lower end.
    fn minimum_within(&self, fit: &[f64; 3]) -> Minimum {
        let end = -FARTHEST.copysign(fit[1]);
        let z = self.minimum(fit).map_or(end, |minimum| minimum.z);
        self.minimum_at(z.clamp(-FARTHEST, FARTHEST), fit)
    }

    fn is_saturated(&self) -> bool {
        self.sizes.len() <= MIN_SIZES
    }

    fn residuals(&self) -> Vec<f64> {
        residuals(&self.z, &self.height, &self.fit)
    }
}

impl Height {
    fn of(self, loss: f64) -> f64 {
        match self {
            Self::Loss => loss,
            Self::LnLoss => loss.ln(),
        }
    }

    fn loss(self, height: f64) -> f64 {
        match self {
            Self::Loss => height,
            Self::LnLoss => height.exp(),
        }
    }
}

fn distinct(sorted: &[f64], apart: f64) -> Vec<f64> {
    let mut kept: Vec<f64> = Vec::new();
    for &z in sorted {
        if kept.last().is_none_or(|last| z - last > apart) {
            kept.push(z);
        }
    }
    kept
}

fn evaluate<const K: usize>(coefficients: &[f64; K], z: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * z + coefficient)
}

fn residuals<const K: usize>(z: &[f64], y: &[f64], fit: &[f64; K]) -> Vec<f64> {
    z.iter().zip(y).map(|(&z, y)| y - evaluate(fit, z)).collect()
}

/// Weighted least squares of y on 1, z, .. z^(K - 1); `None` where the z that have weight are fewer
/// than K. With z in -1..1 the normal equations of a cubic lose three digits of sixteen.
fn polynomial<const K: usize>(z: &[f64], y: &[f64], weight: &[f64]) -> Option<[f64; K]> {
    let mut right = [0.0; K];
    for ((&z, y), weight) in z.iter().zip(y).zip(weight) {
        let powers: [f64; K] = powers(z);
        (0..K).for_each(|k| right[k] += weight * y * powers[k]);
    }
    let mut normal: [[f64; K]; K] = normal(z, weight);
    solve_positive(normal.as_flattened_mut(), &mut right).then_some(right)
}

fn normal<const K: usize>(z: &[f64], weight: &[f64]) -> [[f64; K]; K] {
    let mut normal = [[0.0; K]; K];
    for (&z, weight) in z.iter().zip(weight) {
        let powers: [f64; K] = powers(z);
        for (row, left) in normal.iter_mut().zip(powers) {
            row.iter_mut().zip(powers).for_each(|(cell, right)| *cell += weight * left * right);
        }
    }
    normal
}

fn powers<const K: usize>(z: f64) -> [f64; K] {
    let mut next = 1.0;
    std::array::from_fn(|_| {
        let power = next;
        next *= z;
        power
    })
}

const MAX_REWEIGHTINGS: usize = 50;
/// A median absolute deviation in standard deviations of a normal.
const MAD: f64 = 1.4826;

impl Fitting {
    /// Least squares, or Huber's estimate by iterated reweighting.
    fn parabola(self, z: &[f64], y: &[f64], weight: &[f64]) -> Option<[f64; 3]> {
        let mut fit = polynomial(z, y, weight)?;
        let Some(k) = self.huber else { return Some(fit) };
        for _ in 0..MAX_REWEIGHTINGS {
            let residuals = residuals(z, y, &fit);
            let bound = k * MAD * median(residuals.iter().map(|r| r.abs()).collect());
            if bound <= 0.0 {
                break;
            }
            let huber = weight.iter().zip(&residuals);
            let huber: Vec<_> = huber.map(|(w, r)| w * (bound / r.abs()).min(1.0)).collect();
            let Some(next) = polynomial(z, y, &huber) else { break };
            let moved =
                fit.iter().zip(next).any(|(old, new)| (new - old).abs() > 1e-12 * new.abs());
            fit = next;
            if !moved {
                break;
            }
        }
        Some(fit)
    }
}

fn median(values: Vec<f64>) -> f64 {
    Data::new(values).median()
}

/// By resample and budget its minimum; `None` where fewer than three sizes were drawn.
type Resamples = Vec<Vec<Option<Minimum>>>;

fn resample(runs: &[Run], valleys: &[Valley], options: &ProfileOptions) -> Resamples {
    let streams = (0..options.n_resamples as u64).map(|index| Stream::new(options.seed, index));
    match unit(runs, valleys) {
        Unit::Residual => {
            let pools: Vec<_> = valleys.iter().map(widened_residuals).collect();
            streams.map(|mut stream| redraw_residuals(valleys, &pools, &mut stream)).collect()
        }
        Unit::Cluster => {
            let rows = || valleys.iter().flat_map(|valley| &valley.rows);
            let label = labels(rows().map(|&row| runs[row].cluster));
            streams.map(|mut stream| redraw_clusters(valleys, &label, &mut stream)).collect()
        }
    }
}

fn unit(runs: &[Run], valleys: &[Valley]) -> Unit {
    let mut seen = BTreeSet::new();
    let mut rows = valleys.iter().flat_map(|valley| &valley.rows);
    if rows.all(|&row| seen.insert(runs[row].cluster)) { Unit::Residual } else { Unit::Cluster }
}

/// Centred, and as wide as the noise: residuals are narrower by the three degrees of freedom that
/// the parabola took. Empty where it took all.
fn widened_residuals(valley: &Valley) -> Vec<f64> {
    if valley.is_saturated() {
        return Vec::new();
    }
    let n = valley.z.len();
    let residuals = valley.residuals();
    let (centre, widen) =
        (mean(residuals.iter().copied()), (n as f64 / (n - MIN_SIZES) as f64).sqrt());
    residuals.iter().map(|residual| widen * (residual - centre)).collect()
}

fn redraw_residuals(
    valleys: &[Valley],
    pools: &[Vec<f64>],
    stream: &mut Stream,
) -> Vec<Option<Minimum>> {
    let mut redraw = |(valley, pool): (&Valley, &Vec<f64>)| {
        if pool.is_empty() {
            return None;
        }
        let redrawn = |&z: &f64| evaluate(&valley.fit, z) + pool[stream.below(pool.len())];
        let height: Vec<_> = valley.z.iter().map(redrawn).collect();
        refit(valley, &height, &vec![1.0; height.len()])
    };
    valleys.iter().zip(pools).map(&mut redraw).collect()
}

/// Drawing a cluster k times gives its runs weight k.
fn redraw_clusters(valleys: &[Valley], label: &[u64], stream: &mut Stream) -> Vec<Option<Minimum>> {
    let n_clusters = label.iter().max().map_or(0, |&last| last as usize + 1);
    let mut drawn = vec![0.0; n_clusters];
    (0..n_clusters).for_each(|_| drawn[stream.below(n_clusters)] += 1.0);
    let mut weight = label.iter().map(|&label| drawn[label as usize]);
    let refit = |valley: &Valley| {
        let weight: Vec<f64> = weight.by_ref().take(valley.rows.len()).collect();
        refit(valley, &valley.height, &weight)
    };
    valleys.iter().map(refit).collect()
}

fn refit(valley: &Valley, height: &[f64], weight: &[f64]) -> Option<Minimum> {
    if valley.is_saturated() {
        return None;
    }
    let fit = valley.options.parabola(&valley.z, height, weight)?;
    Some(valley.minimum_within(&fit))
}

fn budget(
    at: usize,
    valleys: &[Valley],
    resamples: &Resamples,
    options: &ProfileOptions,
) -> Budget {
    let valley = &valleys[at];
    let drawn: Vec<_> = resamples.iter().filter_map(|minima| minima[at]).collect();
    let minimum = valley.minimum(&valley.fit).filter(|minimum| minimum.z.abs() <= FARTHEST);
    let estimate = |of: fn(&Minimum) -> f64| {
        let value = of(minimum.as_ref()?);
        Some(Estimate::new(value, drawn.iter().map(of).collect(), options.level))
    };
    let [constant, linear, quadratic] = valley.fit;
    Budget {
        train_flops: valley.ln_c.exp(),
        n_sizes: valley.sizes.len(),
        n_opt: estimate(|minimum| minimum.ln_n.exp()),
        d_opt: estimate(|minimum| minimum.ln_d.exp()),
        loss_opt: estimate(|minimum| minimum.loss),
        parabola: Parabola {
            ln_n_mid: valley.mid,
            ln_n_half: valley.half,
            constant,
            linear,
            quadratic,
        },
        curvature: 2.0 * quadratic / valley.half.powi(2),
        residual_rms: sum_of_squares(&valley.residuals()).sqrt() / (valley.z.len() as f64).sqrt(),
        n_undrawn: resamples.len() - drawn.len(),
        warnings: warnings(valley),
        rows: valley.rows.clone(),
    }
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

impl Estimate {
    fn new(value: f64, resamples: Vec<f64>, level: f64) -> Self {
        if resamples.is_empty() {
            return Self { value, low: None, high: None };
        }
        let mut resamples = Data::new(resamples);
        let mut end = |share: f64| Some(resamples.quantile(share));
        Self { value, low: end(0.5 * (1.0 - level)), high: end(0.5 * (1.0 + level)) }
    }
}

fn warnings(valley: &Valley) -> Vec<Warning> {
    [place(valley), few_points(valley), narrow(valley), poor_fit(valley)]
        .into_iter()
        .flatten()
        .collect()
}

fn warn(code: Code, message: String) -> Option<Warning> {
    Some(Warning { code, message })
}

/// Of where the minimum is there is one thing to say.
fn place(valley: &Valley) -> Option<Warning> {
    let Some(Minimum { z, ln_n, .. }) = valley.minimum(&valley.fit) else {
        let message = "the parabola opens downwards: these sizes show no minimum".into();
        return warn(Code::Concave, message);
    };
    let on_side =
        |beyond: fn(f64, f64) -> bool| valley.sizes.iter().filter(|&&size| beyond(size, z)).count();
    let fewer = on_side(|size, z| size < z).min(on_side(|size, z| size > z));
    if z.abs() >= EDGE || fewer == 0 {
        return warn(
            Code::EdgeMinimum,
            format!(
                "the minimum, {:.3e} parameters, is not inside the sizes sampled, {:.3e} to {:.3e}: sample beyond it",
                ln_n.exp(),
                (valley.mid - valley.half).exp(),
                (valley.mid + valley.half).exp()
            ),
        );
    }
    (z.abs() > OUTER_QUARTER || fewer < 2).then(|| Warning {
        code: Code::OffCentre,
        message: format!(
            "the minimum, {:.3e} parameters, is near the {} end of the sizes sampled: sample more beyond it",
            ln_n.exp(),
            if z < 0.0 { "lower" } else { "upper" }
        ),
    })
}

fn few_points(valley: &Valley) -> Option<Warning> {
    if valley.is_saturated() {
        let message =
            format!("{MIN_SIZES} sizes: a parabola passes through them whatever they are");
        return warn(Code::Saturated, message);
    }
    let n = valley.sizes.len();
    (n < ENOUGH_SIZES).then(|| Warning {
        code: Code::FewPoints,
        message: format!("{n} sizes for a parabola; {ENOUGH_SIZES} or more are wanted"),
    })
}

fn narrow(valley: &Valley) -> Option<Warning> {
    let ratio = (2.0 * valley.half).exp();
    // Sizes a factor of four apart are so but for the last digit of a logarithm.
    (ratio < ENOUGH_RATIO * (1.0 - 1e-9)).then(|| Warning {
        code: Code::Narrow,
        message: format!("the sizes span a factor of {ratio:.3}, less than {ENOUGH_RATIO}: the parabola's curvature is a guess"),
    })
}

fn poor_fit(valley: &Valley) -> Option<Warning> {
    let centre = mean(valley.height.iter().copied());
    let spread: Vec<_> = valley.height.iter().map(|height| height - centre).collect();
    let explained = 1.0 - sum_of_squares(&valley.residuals()) / sum_of_squares(&spread);
    // Heights that are all the same leave nothing to explain, and NaN.
    (explained.is_nan() || explained < 0.5).then(|| Warning {
        code: Code::PoorFit,
        message: format!(
            "the parabola explains {:.0}% of the variance of the loss: its minimum is noise",
            100.0 * explained.max(0.0)
        ),
    })
}

fn exclusion(budget: &Budget) -> Option<Excluded> {
    let why = budget.warnings.iter().find(|warning| warning.code.excludes())?;
    Some(Excluded { train_flops: budget.train_flops, code: why.code, message: why.message.clone() })
}

fn few_budgets(n: usize) -> Option<Warning> {
    (n < ENOUGH_BUDGETS).then(|| Warning {
        code: Code::FewBudgets,
        message: format!("{n} budgets have a minimum to rely on; power laws through fewer than {ENOUGH_BUDGETS} cannot be checked"),
    })
}

fn left_over(rows: &[usize], runs: &[Run]) -> Option<Warning> {
    (!rows.is_empty()).then(|| Warning {
        code: Code::LeftOver,
        message: format!(
            "{} of {} runs belong to no budget of {MIN_SIZES} sizes and are not used",
            rows.len(),
            runs.len()
        ),
    })
}

fn lopsided(asymmetry: Option<Asymmetry>) -> Option<Warning> {
    let Asymmetry { t, n_opt_ratio, .. } = asymmetry?;
    let t = t?;
    (t.abs() > SIGNIFICANT && n_opt_ratio.ln().abs() > SMALL_SHIFT).then(|| Warning {
        code: Code::Asymmetric,
        message: format!(
            "the valleys are lopsided (cubic term {t:.1} standard errors from 0), so the parabola's minima are biased: with the cubic term N_opt is {n_opt_ratio:.3} times as large"
        ),
    })
}

fn scaling(
    valleys: &[Valley],
    kept: &[usize],
    resamples: &Resamples,
    options: &ProfileOptions,
) -> Option<Scaling> {
    let own: Vec<_> = valleys.iter().map(|valley| valley.minimum(&valley.fit)).collect();
    let laws = |minima: &[Option<Minimum>]| {
        let through = |of: fn(&Minimum) -> f64| {
            let ln =
                kept.iter().filter_map(|&at| Some((valleys[at].ln_c, of(minima[at].as_ref()?))));
            PowerLaw::through(&ln.collect::<Vec<_>>())
        };
        Some((through(|minimum| minimum.ln_n)?, through(|minimum| minimum.ln_d)?))
    };
    let (n_opt, d_opt) = laws(&own)?;
    let drawn: Vec<_> = resamples.iter().filter_map(|minima| laws(minima)).collect();
    let (n_drawn, d_drawn): (Vec<_>, Vec<_>) = drawn.into_iter().unzip();
    Some(Scaling {
        n_budgets: kept.len(),
        n_undrawn: resamples.len() - n_drawn.len(),
        n_opt: Growth::new(n_opt, n_drawn, options.level),
        d_opt: Growth::new(d_opt, d_drawn, options.level),
    })
}

impl Scaling {
    /// N_opt and D_opt at a compute in FLOPs.
    pub fn at(&self, train_flops: f64) -> Result<Prediction, ProfileError> {
        if !is_positive(train_flops) {
            let wanted = "finite and above 0";
            return Err(ProfileError::Option { option: "the target", value: train_flops, wanted });
        }
        Ok(Prediction {
            train_flops,
            n_opt: self.n_opt.at(train_flops),
            d_opt: self.d_opt.at(train_flops),
        })
    }
}

impl Growth {
    fn new(law: PowerLaw, resamples: Vec<PowerLaw>, level: f64) -> Self {
        let estimate = |of: fn(&PowerLaw) -> f64| {
            Estimate::new(of(&law), resamples.iter().map(of).collect(), level)
        };
        Self {
            coefficient: estimate(|law| law.coefficient),
            exponent: estimate(|law| law.exponent),
            resamples,
            level,
        }
    }

    fn at(&self, x: f64) -> Estimate {
        let law = PowerLaw { coefficient: self.coefficient.value, exponent: self.exponent.value };
        Estimate::new(law.at(x), self.resamples.iter().map(|law| law.at(x)).collect(), self.level)
    }
}

/// A valley with its third power.
struct Cubic {
    /// By (ln N)^3.
    value: f64,
    /// Variance of the value for noise of variance 1.
    unit_variance: f64,
    squares: f64,
    freedom: usize,
    /// Of the minimum from the parabola's, in ln N; `None` where the cubic has none.
    shift: Option<f64>,
}

/// Noise is pooled over budgets: each alone has a handful of points.
fn asymmetry(valleys: &[Valley], kept: &[usize]) -> Option<Asymmetry> {
    let cubics: Vec<_> = kept.iter().filter_map(|&at| cubic(&valleys[at])).collect();
    let shifts: Vec<_> = cubics.iter().filter_map(|cubic| cubic.shift).collect();
    if shifts.is_empty() {
        return None;
    }
    let precision: f64 = cubics.iter().map(|cubic| 1.0 / cubic.unit_variance).sum();
    let pooled =
        cubics.iter().map(|cubic| cubic.value / cubic.unit_variance).sum::<f64>() / precision;
    let freedom: usize = cubics.iter().map(|cubic| cubic.freedom).sum();
    let variance = cubics.iter().map(|cubic| cubic.squares).sum::<f64>() / freedom as f64;
    let t = pooled * (precision / variance).sqrt();
    Some(Asymmetry {
        cubic: pooled,
        t: t.is_finite().then_some(t),
        n_opt_ratio: mean(shifts.iter().copied()).exp(),
        n_budgets: cubics.len(),
    })
}

fn cubic(valley: &Valley) -> Option<Cubic> {
    if valley.sizes.len() < ENOUGH_SIZES {
        return None;
    }
    let ones = vec![1.0; valley.z.len()];
    let fit: [f64; 4] = polynomial(&valley.z, &valley.height, &ones)?;
    let mut last = [0.0, 0.0, 0.0, 1.0];
    let mut normal: [[f64; 4]; 4] = normal(&valley.z, &ones);
    solve_positive(normal.as_flattened_mut(), &mut last).then_some(())?;
    let per_cube = valley.half.powi(-3);
    let parabola = valley.minimum(&valley.fit)?.z;
    Some(Cubic {
        value: per_cube * fit[3],
        unit_variance: per_cube * per_cube * last[3],
        squares: sum_of_squares(&residuals(&valley.z, &valley.height, &fit)),
        freedom: valley.z.len() - 4,
        shift: lowest_of_cubic(&fit).map(|z| valley.half * (z - parabola)),
    })
}

/// The root of the derivative at which it rises, in the form that survives a cubic term of zero.
fn lowest_of_cubic(fit: &[f64; 4]) -> Option<f64> {
    let [_, linear, quadratic, cubic] = *fit;
    let root = (quadratic * quadratic - 3.0 * linear * cubic).sqrt();
    let z = -linear / (quadratic + root);
    (z.abs() <= FARTHEST).then_some(z)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use statrs::distribution::{ContinuousCDF, Normal};

    use super::*;

    /// L = E + A N^-alpha + B D^-beta.
    #[derive(Clone, Copy)]
    struct Surface {
        alpha: f64,
        beta: f64,
    }

    const EVEN: Surface = Surface { alpha: 0.35, beta: 0.35 };
    const LOPSIDED: Surface = Surface { alpha: 0.45, beta: 0.25 };
    const BUDGETS: [f64; 5] = [1e18, 1e19, 1e20, 1e21, 1e22];

    impl Surface {
        fn loss(self, n: f64, d: f64) -> f64 {
            1.8 + 480.0 * n.powf(-self.alpha) + 900.0 * d.powf(-self.beta)
        }

        fn n_opt(self, c: f64) -> f64 {
            let sum = self.alpha + self.beta;
            let g = (self.alpha * 480.0 / (self.beta * 900.0)).powf(1.0 / sum);
            g * (c / 6.0).powf(self.beta / sum)
        }

        /// One run at each of `n` sizes, even in ln N, to a factor `reach` on both sides of `off`
        /// times the optimum.
        fn budget(self, c: f64, n: usize, reach: f64, off: f64) -> Vec<Run> {
            let size = |i: usize| reach.powf(2.0 * i as f64 / (n - 1) as f64 - 1.0);
            let run = |i: usize| {
                let n = self.n_opt(c) * off * size(i);
                let d = c / (6.0 * n);
                Run { n, d, c, loss: self.loss(n, d), cluster: c.to_bits() ^ i as u64 }
            };
            (0..n).map(run).collect()
        }

        fn runs(self, n: usize, reach: f64) -> Vec<Run> {
            BUDGETS.iter().flat_map(|&c| self.budget(c, n, reach, 1.0)).collect()
        }
    }

    fn noisy(runs: &[Run], sd: f64, seed: u64) -> Vec<Run> {
        let (normal, mut stream) = (Normal::standard(), Stream::new(seed, 1 << 40));
        let mut share = || (0.5 + stream.below(1 << 30) as f64) / f64::from(1 << 30);
        runs.iter().map(|r| Run { loss: r.loss + sd * normal.inverse_cdf(share()), ..*r }).collect()
    }

    fn quick() -> ProfileOptions {
        ProfileOptions { n_resamples: 200, level: 0.9, ..ProfileOptions::default() }
    }

    fn codes(warnings: &[Warning]) -> Vec<Code> {
        warnings.iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn an_even_surface_gives_its_exponents_back() {
        for height in [Height::Loss, Height::LnLoss] {
            let found = profile(&EVEN.runs(9, 3.0), &ProfileOptions { height, ..quick() }).unwrap();
            let scaling = found.scaling.unwrap();
            assert!((scaling.n_opt.exponent.value - 0.5).abs() < 1e-3, "{scaling:?}");
            assert!((scaling.d_opt.exponent.value - 0.5).abs() < 1e-3, "{scaling:?}");
            let target = scaling.at(1e25).unwrap().n_opt.value / EVEN.n_opt(1e25);
            assert!((target - 1.0).abs() < 0.01, "{target}");
            assert_eq!((found.warnings, found.excluded), (vec![], vec![]));
        }
    }

    /// Around the optimum, the second derivative of the loss by ln N is in proportion to
    /// alpha + beta and the third to beta^2 - alpha^2; a cubic c x^3 tilts a parabola on an even grid
    /// by c m4 / m2, with the moments of the grid. So the minimum moves by (alpha - beta) / 6 m4 / m2.
    #[test]
    fn a_lopsided_surface_moves_the_minima_by_what_its_third_derivative_says_and_is_warned_of() {
        let found = profile(&LOPSIDED.runs(9, 3.0), &quick()).unwrap();
        let x: Vec<f64> = (-4..=4).map(|i| f64::from(i) / 4.0 * 3.0_f64.ln()).collect();
        let moment = |power| x.iter().map(|x| x.powi(power)).sum::<f64>();
        let expected = (LOPSIDED.alpha - LOPSIDED.beta) / 6.0 * moment(4) / moment(2);
        for budget in &found.budgets {
            let shift = (budget.n_opt.unwrap().value / LOPSIDED.n_opt(budget.train_flops)).ln();
            assert!((shift / expected - 1.0).abs() < 0.1, "{shift}, expected {expected}");
        }
        assert_eq!(codes(&found.warnings), [Code::Asymmetric]);
        let ratio = found.asymmetry.unwrap().n_opt_ratio.ln();
        assert!((ratio / -expected - 1.0).abs() < 0.1, "{ratio}, expected {}", -expected);
    }

    #[test]
    fn nine_in_ten_intervals_hold_the_exponent_and_the_minima() {
        let clean = EVEN.runs(9, 4.0);
        let holds = |e: Estimate, truth: f64| e.low.unwrap() <= truth && truth <= e.high.unwrap();
        let (mut exponent, mut minimum) = (0, 0);
        for seed in 0..200 {
            let options = ProfileOptions { seed, ..quick() };
            let found = profile(&noisy(&clean, 0.004, seed), &options).unwrap();
            exponent += usize::from(holds(found.scaling.unwrap().n_opt.exponent, 0.5));
            let held = |b: &&Budget| holds(b.n_opt.unwrap(), EVEN.n_opt(b.train_flops));
            minimum += found.budgets.iter().filter(held).count();
        }
        println!("exponent in {exponent} of 200 intervals, minima in {minimum} of 1000");
        assert!((160..=194).contains(&exponent), "{exponent}");
        assert!((800..=970).contains(&minimum), "{minimum}");
    }

    #[test]
    fn the_bootstrap_agrees_with_the_delta_method() {
        let runs = noisy(&EVEN.budget(1e20, 41, 4.0, 1.0), 0.003, 5);
        let options = ProfileOptions { n_resamples: 4000, ..quick() };
        let found = &profile(&runs, &options).unwrap().budgets[0];
        let valley = Valley::new(&runs, &found.rows, &options).unwrap();
        let [_, linear, quadratic] = valley.fit;
        let gradient = [0.0, -0.5 / quadratic, 0.5 * linear / quadratic.powi(2)];
        let mut solved = gradient;
        let mut normal: [[f64; 3]; 3] = normal(&valley.z, &[1.0; 41]);
        assert!(solve_positive(normal.as_flattened_mut(), &mut solved));
        let variance = sum_of_squares(&valley.residuals()) / 38.0;
        let inner: f64 = gradient.iter().zip(solved).map(|(a, b)| a * b).sum();
        let expected = 1.645 * valley.half * (variance * inner).sqrt();
        let n_opt = found.n_opt.unwrap();
        let half = 0.5 * (n_opt.high.unwrap() / n_opt.low.unwrap()).ln();
        assert!((half / expected - 1.0).abs() < 0.1, "{half}, delta method {expected}");
    }

    #[test]
    fn units_change_only_what_has_them() {
        let runs = noisy(&EVEN.runs(7, 4.0), 0.003, 1);
        let (n, d, c, loss) = (1e-6, 5.0, 1e-15, 3.0);
        let scaled = runs.iter().map(|run| Run {
            n: n * run.n,
            d: d * run.d,
            c: c * run.c,
            loss: loss * run.loss,
            ..*run
        });
        let scaled: Vec<_> = scaled.collect();
        let same = |a: Estimate, b: Estimate, unit: f64| {
            let ends = [(a.low, b.low), (a.high, b.high), (Some(a.value), Some(b.value))];
            for (a, b) in ends {
                assert!((b.unwrap() / (unit * a.unwrap()) - 1.0).abs() < 1e-8, "{a:?} {b:?}");
            }
        };
        let (found, other) =
            (profile(&runs, &quick()).unwrap(), profile(&scaled, &quick()).unwrap());
        for (a, b) in found.budgets.iter().zip(&other.budgets) {
            same(a.n_opt.unwrap(), b.n_opt.unwrap(), n);
            same(a.d_opt.unwrap(), b.d_opt.unwrap(), d);
            same(a.loss_opt.unwrap(), b.loss_opt.unwrap(), loss);
            assert_eq!(codes(&a.warnings), codes(&b.warnings));
        }
        let (a, b) = (found.scaling.unwrap(), other.scaling.unwrap());
        same(a.n_opt.exponent, b.n_opt.exponent, 1.0);
        same(a.at(1e24).unwrap().d_opt, b.at(1e24 * c).unwrap().d_opt, d);
    }

    #[test]
    fn the_order_of_runs_changes_nothing_but_their_numbers() {
        let mut runs = noisy(&LOPSIDED.runs(7, 4.0), 0.003, 1);
        for (n_clusters, unit) in [(35, Unit::Residual), (10, Unit::Cluster)] {
            (0..).zip(&mut runs).for_each(|(i, run)| run.cluster = i % n_clusters);
            let turned: Vec<_> = runs.iter().rev().copied().collect();
            let found = profile(&runs, &quick()).unwrap();
            let mut other = profile(&turned, &quick()).unwrap();
            let rows = other.budgets.iter_mut().flat_map(|budget| &mut budget.rows);
            rows.for_each(|row| *row = 34 - *row);
            assert_eq!(found, other);
            assert_eq!(found.bootstrap.unwrap().unit, unit);
        }
    }

    #[test]
    fn each_doubt_about_a_valley_has_its_code() {
        let check = |runs: &[Run], expected: &[Code]| {
            let found = profile(runs, &quick()).unwrap();
            assert_eq!(codes(&found.budgets[0].warnings), expected);
            let excluded = expected.iter().any(|code| code.excludes());
            assert_eq!(found.excluded.len(), usize::from(excluded));
        };
        let with = |change: fn(usize, f64) -> f64| {
            let runs = EVEN.budget(1e20, 7, 4.0, 1.0).into_iter().enumerate();
            runs.map(|(i, run)| Run { loss: change(i, run.loss), ..run }).collect::<Vec<_>>()
        };
        check(&EVEN.budget(1e20, 7, 4.0, 1.0), &[]);
        check(&EVEN.budget(1e20, 7, 4.0, 6.0), &[Code::EdgeMinimum]);
        check(&EVEN.budget(1e20, 7, 4.0, 0.38), &[Code::OffCentre]);
        check(&EVEN.budget(1e20, 4, 4.0, 1.0), &[Code::FewPoints]);
        check(&EVEN.budget(1e20, 3, 4.0, 1.0), &[Code::OffCentre, Code::Saturated]);
        check(&EVEN.budget(1e20, 7, 1.9, 1.0), &[Code::Narrow]);
        check(&with(|_, loss| 6.0 - loss), &[Code::Concave]);
        let bumpy = |i, loss| if i % 2 == 0 { loss + 0.2 } else { loss };
        check(&with(bumpy), &[Code::PoorFit]);
    }

    #[test]
    fn one_wild_run_moves_a_robust_minimum_less() {
        let mut runs = noisy(&EVEN.budget(1e20, 15, 4.0, 1.0), 0.002, 3);
        runs[12].loss += 0.3;
        let shift = |huber| {
            let found = profile(&runs, &ProfileOptions { huber, ..quick() }).unwrap();
            (found.budgets[0].n_opt.unwrap().value / EVEN.n_opt(1e20)).ln().abs()
        };
        let (robust, squares) = (shift(Some(1.345)), shift(None));
        assert!(robust < 0.2 * squares, "{robust} {squares}");
    }

    #[test]
    fn runs_of_no_budget_and_budgets_of_few_sizes_are_named() {
        let mut runs = EVEN.runs(5, 4.0);
        runs.insert(3, Run { c: 3e20, ..runs[0] });
        let found = profile(&runs, &quick()).unwrap();
        assert_eq!((found.budgets.len(), found.left_over), (5, vec![3]));
        assert_eq!(codes(&found.warnings), [Code::LeftOver]);
        let budgets = Budgets::Given(vec![1e22, 3e20, 1e19]);
        let found = profile(&runs, &ProfileOptions { budgets, ..quick() }).unwrap();
        assert_eq!((found.budgets.len(), found.left_over.len(), found.excluded.len()), (2, 16, 1));
        assert!(found.excluded[0].message.contains("3.000e20"), "{:?}", found.excluded);
        assert_eq!(codes(&found.warnings), [Code::FewBudgets, Code::LeftOver]);
    }

    #[test]
    fn runs_a_little_apart_in_compute_share_a_budget() {
        let mut runs = EVEN.runs(7, 4.0);
        (0..).zip(&mut runs).for_each(|(i, run)| run.c *= 1.0 + 0.02 * f64::from(i % 5));
        let found = profile(&runs, &quick()).unwrap();
        assert_eq!((found.budgets.len(), found.left_over.len()), (5, 0));
    }

    #[test]
    fn bad_input_is_an_error_that_names_it() {
        let error = |runs: &[Run], options: ProfileOptions| profile(runs, &options).unwrap_err();
        let none = error(&[], quick()).to_string();
        assert!(none.starts_with("no budget has runs of 3 sizes: of 0 runs"), "{none}");
        let runs = EVEN.runs(5, 4.0);
        error(&runs[..1], quick());
        error(&[runs[0]; 9], quick());
        let mut broken = runs.clone();
        broken[4].loss = f64::NAN;
        assert!(error(&broken, quick()).to_string().starts_with("loss of run 4 is NaN"));
        error(&runs, ProfileOptions { level: 1.0, ..quick() });
        error(&runs, ProfileOptions { tolerance: f64::NAN, ..quick() });
        error(&runs, ProfileOptions { huber: Some(0.0), ..quick() });
        error(&runs, ProfileOptions { budgets: Budgets::Given(vec![-1.0]), ..quick() });
        assert!(profile(&runs, &quick()).unwrap().scaling.unwrap().at(f64::NAN).is_err());
    }

    #[test]
    fn equal_losses_have_no_minimum() {
        let flat = EVEN.runs(5, 4.0).into_iter().map(|run| Run { loss: 2.0, ..run });
        let found = profile(&flat.collect::<Vec<_>>(), &quick()).unwrap();
        assert_eq!((found.excluded.len(), found.scaling), (5, None));
    }

    #[test]
    fn a_profile_is_json_without_its_resamples() {
        let found = profile(&EVEN.runs(5, 4.0), &quick()).unwrap();
        let json = serde_json::to_value(&found).unwrap();
        assert!(json["budgets"][0]["n_opt"]["low"].is_f64(), "{json}");
        assert_eq!(json["bootstrap"]["unit"], "residual");
        assert!(json["scaling"]["n_opt"].get("resamples").is_none());
    }

    /// Rows of a published table; `None`, said aloud, where it is absent.
    fn table(name: &str, test: &str) -> Option<Vec<BTreeMap<String, String>>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/fits");
        let Ok(text) = std::fs::read_to_string(folder.join(name)) else {
            println!("skipped {test}: ../shared/data/fits/{name} is absent");
            return None;
        };
        let mut lines = text.lines().map(|line| line.split(',').map(String::from));
        let header: Vec<_> = lines.next()?.collect();
        Some(lines.map(|row| header.iter().cloned().zip(row).collect()).collect())
    }

    fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
        row[column].parse().unwrap()
    }

    #[test]
    fn chinchilla_from_its_figure_grows_size_and_data_alike() {
        let test = "chinchilla_from_its_figure_grows_size_and_data_alike";
        let Some(rows) = table("epoch_chinchilla_svg.csv", test) else { return };
        let run = |(cluster, row)| {
            let (n, c) = (number(row, "Model Size"), number(row, "Training FLOP"));
            Run { n, d: c / (6.0 * n), c, loss: number(row, "loss"), cluster }
        };
        let runs: Vec<_> = (0..).zip(&rows).map(run).collect();
        let found = profile(&runs, &quick()).unwrap();
        // Published, approach 2: .49 and .51.
        let (n, d) =
            found.scaling.map(|found| (found.n_opt.exponent, found.d_opt.exponent)).unwrap();
        assert!((n.value - 0.49).abs() < 0.03 && (d.value - 0.51).abs() < 0.03, "{n:?} {d:?}");
        let used: usize = found.budgets.iter().map(|budget| budget.rows.len()).sum();
        assert_eq!(used + found.left_over.len(), 245);
    }

    #[test]
    fn gemstones_are_drawn_again_by_run() {
        let test = "gemstones_are_drawn_again_by_run";
        let Some(rows) = table("gemstone_hot.csv", test) else { return };
        let clusters = labels(rows.iter().map(|row| &row["run_name"]));
        let run = |(row, &cluster): (&BTreeMap<_, _>, &u64)| {
            let (n, d) = (number(row, "params_active_precise"), number(row, "tokens"));
            Run { n, d, c: 6.0 * n * d, loss: number(row, "final_loss"), cluster }
        };
        let runs: Vec<_> = rows.iter().zip(&clusters).map(run).collect();
        let found = profile(&runs, &quick()).unwrap();
        assert_eq!(found.bootstrap.unwrap().unit, Unit::Cluster);
    }
}
