//! Approach 2: IsoFLOP profiles (Hoffmann et al. 2022, arXiv:2203.15556, section 3.2). At each compute
//! budget a parabola in ln N is fitted to the loss; through the minima go N_opt(C) and D_opt(C).
//!
//! D at a minimum is read off the budget's own trials, not off C = 6 N D. No trial is dropped
//! silently: those of no budget are listed, and so is each budget that the power laws leave out,
//! with why.

mod asymmetry;
mod grouping;
mod growth;
mod polynomial;
mod resample;
#[cfg(test)]
mod surface;
mod valley;

use std::collections::BTreeSet;

use serde::Serialize;
use statrs::statistics::Statistics;

use crate::decision::Estimate;
use crate::frontier::{NotPositive, check_positive};
use crate::warning::{Code, Warning};

pub use asymmetry::Asymmetry;
pub use growth::{Growth, Prediction, Scaling};
pub use resample::Unit;

use grouping::{Grouping, group};
use resample::{Resampled, resample, unit};
use valley::{Minimum, Valley};

/// One measured model. All but the cluster are finite and positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Parameters.
    pub n: f64,
    /// Examples or tokens seen.
    pub d: f64,
    /// Training FLOPs.
    pub c: f64,
    pub loss: f64,
    /// Trials that are not independent share it (checkpoints of one training).
    pub cluster: u64,
}

/// Where the budgets come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Budgets {
    /// FLOPs; a trial belongs to the nearest in ln C, if that is within the tolerance.
    Given(Vec<f64>),
    /// Windows of ln C, twice the tolerance wide, that hold the most sizes, one after the other
    /// until no window has three.
    Found,
}

/// How to profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileOptions {
    pub budgets: Budgets,
    /// How far ln C of a trial may be from that of its budget: 0.1 is 10%.
    pub tolerance: f64,
    /// 0: no intervals.
    pub n_resamples: usize,
    /// Share of the resamples inside an interval, between 0 and 1.
    pub level: f64,
    pub seed: u64,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        Self { budgets: Budgets::Found, tolerance: 0.1, n_resamples: 1000, level: 0.95, seed: 0 }
    }
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ProfileError {
    #[error(transparent)]
    NotPositive(#[from] NotPositive),
    #[error("{option} is {value}: it has to be {wanted}")]
    Option { option: &'static str, value: f64, wanted: &'static str },
    #[error(
        "no budget has trials of {MIN_SIZES} sizes: of {n_trials} trials too few share their compute within a tolerance of {tolerance}"
    )]
    NoBudget { n_trials: usize, tolerance: f64 },
}

/// Profiles of all budgets, and what follows from them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    pub n_trials: usize,
    /// Rows that belong to no budget, or to one of fewer than three sizes.
    pub left_over: Vec<usize>,
    /// In order of compute.
    pub budgets: Vec<Budget>,
    /// Budgets whose minimum does not enter the power laws.
    pub excluded: Vec<Excluded>,
    /// `None` with fewer than two minima to go through.
    pub scaling: Option<Scaling>,
    /// `None` where no budget in the power laws has five sizes.
    pub asymmetry: Option<Asymmetry>,
    pub level: f64,
    /// `None` of no resamples.
    pub bootstrap: Option<Bootstrap>,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// Geometric mean over its trials.
    pub train_flops: f64,
    /// Indices into the trials, in order of size.
    pub rows: Vec<usize>,
    pub n_sizes: usize,
    /// `None` where the parabola has no minimum, or has it more than one sampled range away.
    pub n_opt: Option<Estimate>,
    pub d_opt: Option<Estimate>,
    pub loss_opt: Option<Estimate>,
    pub parabola: Parabola,
    /// Second derivative of the fitted loss by ln N.
    pub curvature: f64,
    /// Root mean square of loss - parabola.
    pub residual_rms: f64,
    /// Resamples in which fewer than three sizes were drawn, or all where there are only three;
    /// they are in no interval.
    pub n_undrawn: usize,
    pub warnings: Vec<Warning>,
}

/// Loss = constant + linear z + quadratic z^2, with z = (ln N - ln_n_mid) / ln_n_half: -1 and 1 at
/// the smallest and largest size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parabola {
    pub ln_n_mid: f64,
    pub ln_n_half: f64,
    pub constant: f64,
    pub linear: f64,
    pub quadratic: f64,
}

impl Parabola {
    /// Loss at a size.
    pub fn at(&self, n: f64) -> f64 {
        let z = (n.ln() - self.ln_n_mid) / self.ln_n_half;
        polynomial::evaluate(&[self.constant, self.linear, self.quadratic], z)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Excluded {
    pub train_flops: f64,
    pub code: Code,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    pub unit: Unit,
    pub n: usize,
}

/// A parabola has three unknowns.
const MIN_SIZES: usize = 3;
const ENOUGH_BUDGETS: usize = 3;

/// Fits every budget, and the power laws through the reliable minima.
pub fn profile(trials: &[Trial], options: &ProfileOptions) -> Result<Profile, ProfileError> {
    check_trials(trials)?;
    check_options(options)?;
    let Grouping { budgets, excluded } = group(trials, options);
    let valleys = valleys(trials, budgets, options.tolerance)?;
    let bootstrap = Bootstrap { unit: unit(&valleys), n: options.n_resamples };
    let valleys = resample(valleys, bootstrap, options.seed);
    let reliable: Vec<_> = valleys.iter().filter(|of| of.valley.faults().is_empty()).collect();
    let left_over = rows_left_over(trials.len(), &valleys);
    let asymmetry = asymmetry::of(reliable.iter().map(|of| &of.valley));
    let warnings = [
        few_budgets(reliable.len()),
        asymmetry.and_then(Asymmetry::warning),
        some_left_over(left_over.len(), trials.len()),
    ];
    Ok(Profile {
        n_trials: trials.len(),
        left_over,
        budgets: valleys.iter().map(|of| budget(of, options.level)).collect(),
        excluded: excluded.into_iter().chain(valleys.iter().filter_map(exclusion)).collect(),
        scaling: growth::scaling(&reliable, options.level),
        asymmetry,
        level: options.level,
        bootstrap: (bootstrap.n > 0).then_some(bootstrap),
        warnings: warnings.into_iter().flatten().collect(),
    })
}

fn check_trials(trials: &[Trial]) -> Result<(), NotPositive> {
    check_positive(trials.iter().map(|trial| {
        [("params", trial.n), ("examples", trial.d), ("compute", trial.c), ("loss", trial.loss)]
    }))
}

fn check_options(options: &ProfileOptions) -> Result<(), ProfileError> {
    if let Budgets::Given(budgets) = &options.budgets {
        budgets.iter().try_for_each(|&budget| require_positive("a budget", budget))?;
    }
    require_positive("the tolerance", options.tolerance)?;
    let level = options.level;
    require("the level", level, level > 0.0 && level < 1.0, "between 0 and 1")
}

fn require_positive(option: &'static str, value: f64) -> Result<(), ProfileError> {
    require(option, value, value.is_finite() && value > 0.0, "finite and above 0")
}

fn require(
    option: &'static str,
    value: f64,
    is_met: bool,
    wanted: &'static str,
) -> Result<(), ProfileError> {
    if is_met { Ok(()) } else { Err(ProfileError::Option { option, value, wanted }) }
}

fn valleys(
    trials: &[Trial],
    budgets: Vec<Vec<usize>>,
    tolerance: f64,
) -> Result<Vec<Valley>, ProfileError> {
    let valleys: Vec<_> =
        budgets.into_iter().filter_map(|rows| Valley::new(trials, rows)).collect();
    if valleys.is_empty() {
        return Err(ProfileError::NoBudget { n_trials: trials.len(), tolerance });
    }
    Ok(valleys)
}

fn rows_left_over(n_trials: usize, valleys: &[Resampled]) -> Vec<usize> {
    let used: BTreeSet<_> = valleys.iter().flat_map(|of| &of.valley.rows).collect();
    (0..n_trials).filter(|row| !used.contains(row)).collect()
}

fn budget(of: &Resampled, level: f64) -> Budget {
    let Resampled { valley, minima } = of;
    let minimum = valley.minimum().filter(Minimum::is_near);
    let drawn: Vec<_> = minima.iter().flatten().collect();
    let estimate = |value: fn(&Minimum) -> f64| {
        let resampled = drawn.iter().map(|minimum| value(minimum)).collect();
        minimum.map(|minimum| Estimate::new(value(&minimum), resampled, level))
    };
    Budget {
        train_flops: valley.ln_c.exp(),
        rows: valley.rows.clone(),
        n_sizes: valley.sizes.len(),
        n_opt: estimate(|minimum| minimum.ln_n.exp()),
        d_opt: estimate(|minimum| minimum.ln_d.exp()),
        loss_opt: estimate(|minimum| minimum.loss),
        parabola: valley.parabola(),
        curvature: 2.0 * valley.fit[2] / valley.half.powi(2),
        residual_rms: valley.residuals().quadratic_mean(),
        n_undrawn: minima.len() - drawn.len(),
        warnings: [valley.faults(), valley.doubts()].concat(),
    }
}

fn exclusion(Resampled { valley, .. }: &Resampled) -> Option<Excluded> {
    let Warning { code, message } = valley.faults().into_iter().next()?;
    Some(Excluded { train_flops: valley.ln_c.exp(), code, message })
}

fn few_budgets(n: usize) -> Option<Warning> {
    (n < ENOUGH_BUDGETS).then(|| Warning {
        code: Code::FewBudgets,
        message: format!("{n} budgets have a minimum to rely on; power laws through fewer than {ENOUGH_BUDGETS} cannot be checked"),
    })
}

fn some_left_over(n: usize, n_trials: usize) -> Option<Warning> {
    (n > 0).then(|| Warning {
        code: Code::LeftOver,
        message: format!(
            "{n} of {n_trials} trials belong to no budget of {MIN_SIZES} sizes and are not used"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::surface::{EVEN, LOPSIDED, codes, noisy, quick};
    use super::*;
    use crate::point::labels;

    #[test]
    fn units_change_only_what_has_them() {
        let trials = noisy(&EVEN.trials(7, 4.0), 0.003, 1);
        let (n, d, c, loss) = (1e-6, 5.0, 1e-15, 3.0);
        let scaled = trials.iter().map(|trial| Trial {
            n: n * trial.n,
            d: d * trial.d,
            c: c * trial.c,
            loss: loss * trial.loss,
            ..*trial
        });
        let same = |a: Estimate, b: Estimate, unit: f64| {
            for (a, b) in [(a.low, b.low), (a.high, b.high), (a.value, b.value)] {
                assert!((b / (unit * a) - 1.0).abs() < 1e-8, "{a:?} {b:?}");
            }
        };
        let found = profile(&trials, &quick()).unwrap();
        let other = profile(&scaled.collect::<Vec<_>>(), &quick()).unwrap();
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
    fn the_order_of_trials_changes_nothing_but_their_numbers() {
        let mut trials = noisy(&LOPSIDED.trials(7, 4.0), 0.003, 1);
        for (n_clusters, unit) in [(35, Unit::Residual), (10, Unit::Cluster)] {
            (0..).zip(&mut trials).for_each(|(i, trial)| trial.cluster = i % n_clusters);
            let turned: Vec<_> = trials.iter().rev().copied().collect();
            let found = profile(&trials, &quick()).unwrap();
            let mut other = profile(&turned, &quick()).unwrap();
            let rows = other.budgets.iter_mut().flat_map(|budget| &mut budget.rows);
            rows.for_each(|row| *row = 34 - *row);
            assert_eq!(found, other);
            assert_eq!(found.bootstrap.unwrap().unit, unit);
        }
    }

    #[test]
    fn bad_input_is_an_error_that_names_it() {
        let error = |trials: &[Trial], options: ProfileOptions| {
            profile(trials, &options).unwrap_err().to_string()
        };
        let none = error(&[], quick());
        assert!(none.starts_with("no budget has trials of 3 sizes: of 0 trials"), "{none}");
        let trials = EVEN.trials(5, 4.0);
        error(&trials[..1], quick());
        error(&[trials[0]; 9], quick());
        let mut broken = trials.clone();
        broken[4].loss = f64::NAN;
        assert!(error(&broken, quick()).starts_with("loss of row 4 is NaN"));
        error(&trials, ProfileOptions { level: 1.0, ..quick() });
        error(&trials, ProfileOptions { tolerance: f64::NAN, ..quick() });
        error(&trials, ProfileOptions { budgets: Budgets::Given(vec![-1.0]), ..quick() });
        error(&trials, ProfileOptions { budgets: Budgets::Given(vec![]), ..quick() });
    }

    #[test]
    fn equal_losses_have_no_minimum() {
        let flat = EVEN.trials(5, 4.0).into_iter().map(|trial| Trial { loss: 2.0, ..trial });
        let found = profile(&flat.collect::<Vec<_>>(), &quick()).unwrap();
        assert_eq!((found.excluded.len(), found.scaling), (5, None));
    }

    #[test]
    fn a_profile_is_json_with_null_for_ends_that_are_not_known() {
        let json = |n_resamples| {
            let options = ProfileOptions { n_resamples, ..quick() };
            serde_json::to_value(profile(&EVEN.trials(5, 4.0), &options).unwrap()).unwrap()
        };
        let (with, without) = (json(200), json(0));
        assert!(with["budgets"][0]["n_opt"]["low"].is_f64(), "{with}");
        assert_eq!(with["bootstrap"]["unit"], "residual");
        assert!(with["scaling"]["n_opt"].get("resamples").is_none());
        assert!(without["budgets"][0]["n_opt"]["value"].is_f64(), "{without}");
        assert!(without["budgets"][0]["n_opt"]["low"].is_null(), "{without}");
        assert!(without["bootstrap"].is_null());
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
        let trial = |(cluster, row)| {
            let (n, c) = (number(row, "Model Size"), number(row, "Training FLOP"));
            Trial { n, d: c / (6.0 * n), c, loss: number(row, "loss"), cluster }
        };
        let trials: Vec<_> = (0..).zip(&rows).map(trial).collect();
        let found = profile(&trials, &quick()).unwrap();
        // Published, approach 2: .49 and .51.
        let scaling = found.scaling.unwrap();
        let (n, d) = (scaling.n_opt.exponent, scaling.d_opt.exponent);
        assert!((n.value - 0.49).abs() < 0.03 && (d.value - 0.51).abs() < 0.03, "{n:?} {d:?}");
        let used: usize = found.budgets.iter().map(|budget| budget.rows.len()).sum();
        assert_eq!(used + found.left_over.len(), 245);
    }

    #[test]
    fn gemstones_are_drawn_again_by_training() {
        let test = "gemstones_are_drawn_again_by_training";
        let Some(rows) = table("gemstone_hot.csv", test) else { return };
        let clusters = labels(rows.iter().map(|row| &row["run_name"]));
        let trial = |(row, &cluster): (&BTreeMap<_, _>, &u64)| {
            let (n, d) = (number(row, "params_active_precise"), number(row, "tokens"));
            Trial { n, d, c: 6.0 * n * d, loss: number(row, "final_loss"), cluster }
        };
        let trials: Vec<_> = rows.iter().zip(&clusters).map(trial).collect();
        let found = profile(&trials, &quick()).unwrap();
        assert_eq!(found.bootstrap.unwrap().unit, Unit::Cluster);
    }
}
