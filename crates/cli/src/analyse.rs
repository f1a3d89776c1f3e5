//! From a sweep's results to points, the best of tuned learning rates, and fits.

use std::collections::{BTreeMap, HashMap};

use analysis::law::Axis;
use analysis::warning::{Code, Warning};
use analysis::{
    Fit, FitError, FitOptions, Forecast, ForecastOptions, Labels, MeanPoint, Point, Selection,
};
use anyhow::anyhow;
use scheduler::Plan;
use serde_json::json;
use spec::{Id, SegmentId, TrialId};
use store::{FitRecord, Store, TrialResult, TrialState};

use crate::exit::bad_input;
use crate::journal::now;

/// The axes of a sweep's fits: a column of `trial_result`, and a metric of `evaluation` unless
/// another is asked for.
pub const X: &str = "train_flops";
pub const Y: &str = "val_error";

/// What a sweep's trials measured of one metric, after their last steps or on another task.
#[derive(Clone)]
pub struct Outcome {
    pub metric: String,
    values: HashMap<TrialId, f64>,
}

impl Outcome {
    /// Of the view `evaluation`.
    ///
    /// # Errors
    /// The store's, or a metric that the sweep has not measured though it has measured others.
    pub async fn read(store: &Store, sweep: &str, metric: &str) -> anyhow::Result<Self> {
        let values = store.evaluations(sweep, metric).await?;
        if values.is_empty() {
            let known = store.metrics(sweep).await?;
            if !known.is_empty() && !known.iter().any(|name| name == metric) {
                return Err(bad_input(anyhow!(
                    "sweep `{sweep}` has measured no `{metric}`; it has {}",
                    known.join(", ")
                )));
            }
        }
        Ok(Self { metric: metric.to_owned(), values })
    }

    /// Of [`Y`], or of `val_loss` where nothing is classified.
    ///
    /// # Errors
    /// The store's.
    pub async fn main(store: &Store, sweep: &str) -> anyhow::Result<Self> {
        let known = store.metrics(sweep).await?;
        let has = |metric: &str| known.iter().any(|name| name == metric);
        let metric = if !has(Y) && has("val_loss") { "val_loss" } else { Y };
        Self::read(store, sweep, metric).await
    }

    fn of(&self, result: &TrialResult) -> Option<f64> {
        self.values.get(&result.trial_id).copied()
    }
}

/// The laws that every sweep is summed up by; `isoflop fit` has them all.
const SUMMARY: [&dyn analysis::Law; 2] = [&analysis::law::M2, &analysis::law::Zhai];

/// What a sweep has found so far.
pub struct Analysis {
    /// Finished trials with a positive outcome; of several learning rates the best of each point.
    pub results: Vec<TrialResult>,
    /// [`Self::results`] as points, in the same order.
    pub points: Vec<Point>,
    /// Finished or diverged trials that are not in `results` though no better rate replaced them.
    pub n_dropped: usize,
    outcome: Outcome,
    /// What shares a cluster: `trunk`, or `trial` where trials share none.
    unit: &'static str,
    /// What a reader must know: rates at the edge of their list, trials left out.
    pub notes: Vec<String>,
    /// What of it a fit must carry.
    pub warnings: Vec<Warning>,
}

/// A configuration apart from its learning rate and seed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place<'a> {
    variant: Option<&'a str>,
    family: &'a str,
    params: u64,
    shape: &'a str,
    unique_examples: u64,
    examples_seen: u64,
    steps: Option<u64>,
    /// Bits of the FLOPs, which of an imported trial the rest does not determine.
    train_flops: u64,
}

impl Place<'_> {
    fn length(&self) -> String {
        match self.steps {
            Some(steps) => format!("{steps} steps"),
            None => format!("{} examples", self.examples_seen),
        }
    }
}

impl Analysis {
    /// `all` are the results of the trials of `plan`, `outcome` is what they are compared by.
    pub fn new(all: &[TrialResult], plan: &Plan, outcome: &Outcome) -> Self {
        let mut notes = Vec::new();
        let usable: Vec<_> = all.iter().filter(|result| is_usable(result, outcome)).collect();
        let ended = all.iter().filter(|result| result.state.has_ended()).count();
        let n_dropped = ended - usable.len();
        if n_dropped > 0 {
            notes.push(format!(
                "{n_dropped} trials diverged or have no {} above 0; they are in no fit",
                outcome.metric
            ));
        }
        let (results, at_edge) = best_rates(&usable, all);
        let warnings: Vec<_> = learning_rate_at_edge(&at_edge).into_iter().collect();
        notes.extend(warnings.iter().map(|warning| warning.message.clone()));
        let configurations = analysis::labels(results.iter().map(configuration));
        let roots = roots(plan);
        let clusters = analysis::labels(results.iter().map(|result| {
            // An imported trial has no segment in a plan: it shares its trunk with none.
            let id = result.trial_id;
            roots.get(&id).map_or(id.0, |root| root.0)
        }));
        let point = |((result, configuration), cluster): ((&TrialResult, u64), u64)| Point {
            x: analysis::point::x(result.train_flops),
            y: outcome.of(result).unwrap_or(f64::NAN),
            configuration,
            cluster,
        };
        let points = results.iter().zip(configurations).zip(clusters).map(point).collect();
        let unit = if plan.segments.iter().any(|segment| segment.n_trials > 1) {
            "trunk"
        } else {
            "trial"
        };
        Self { results, points, n_dropped, outcome: outcome.clone(), unit, notes, warnings }
    }

    /// The trials of one variant, analysed by themselves.
    #[must_use]
    pub fn of_variant(&self, variant: Option<&str>) -> Self {
        let is_of_it = |(result, _): &(&TrialResult, &Point)| result.variant.as_deref() == variant;
        let (results, points) = self
            .results
            .iter()
            .zip(&self.points)
            .filter(is_of_it)
            .map(|(result, point)| (result.clone(), *point))
            .unzip();
        let (notes, warnings) = (Vec::new(), Vec::new());
        Self {
            results,
            points,
            n_dropped: 0,
            outcome: self.outcome.clone(),
            unit: self.unit,
            notes,
            warnings,
        }
    }

    /// The metric of y.
    pub fn y(&self) -> &str {
        &self.outcome.metric
    }

    /// What a trial measured, be it among [`Self::results`] or not.
    pub fn value(&self, result: &TrialResult) -> Option<f64> {
        self.outcome.of(result)
    }

    /// What the bootstrap draws: see [`Labels::cluster`].
    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// The points that no other beats at its compute, over the means of seeds.
    pub fn frontier(&self) -> Vec<MeanPoint> {
        analysis::frontier(&analysis::seed_means(&self.points))
    }

    fn labels(&self) -> Labels {
        Labels { axes: vec![X.to_owned()], y: self.y().to_owned(), cluster: self.unit.to_owned() }
    }

    /// Fits a law to the frontier of error against training FLOPs.
    ///
    /// # Errors
    /// Too few points for the law.
    pub fn fit(
        &self,
        law: &'static dyn analysis::Law,
        options: &FitOptions,
    ) -> Result<Fit, FitError> {
        let mut fit = analysis::fit(law, &self.points, &self.labels(), options)?;
        fit.n_dropped = self.n_dropped;
        fit.warnings.extend(self.warnings.iter().cloned());
        Ok(fit)
    }

    /// Those of the summary's laws that the points are enough for, the one that extrapolates best
    /// first: laws are ranked by their error on the held-out end of the frontier, fitted without it.
    pub fn fits(&self) -> Vec<Fit> {
        let mut fits: Vec<_> =
            SUMMARY.iter().filter_map(|law| self.fit(*law, &options()).ok()).collect();
        // In tenths of a percent: a smaller difference is none, and the simpler law, which is listed
        // first, stays first.
        let score = |fit: &Fit| {
            fit.holdout.as_ref().map_or(f64::INFINITY, |held| (1000.0 * held.rmse_log).round())
        };
        fits.sort_by(|a, b| score(a).total_cmp(&score(b)));
        fits
    }

    /// What the default estimator says of the frontier's continuation; `None` with too few points.
    pub fn forecast(&self) -> Option<Forecast> {
        let options =
            ForecastOptions { selection: Selection::Frontier, ..ForecastOptions::default() };
        Forecast::new(&self.points, &self.labels(), &options).ok()
    }

    /// Identifies what a fit was made from: its points and its options.
    pub fn inputs_hash(&self, options: &FitOptions) -> String {
        inputs_hash(&self.points, options)
    }

    /// Stores a fit beside what it was made from.
    ///
    /// # Errors
    /// The store's.
    pub async fn save(
        &self,
        store: &Store,
        sweep: &str,
        fit: &Fit,
        options: &FitOptions,
    ) -> anyhow::Result<()> {
        let record = FitRecord {
            sweep: sweep.to_owned(),
            law: fit.law.name().to_owned(),
            x: fit.axes.values().cloned().collect::<Vec<_>>().join(", "),
            y: fit.y.clone(),
            inputs_hash: self.inputs_hash(options),
            json: serde_json::to_string(fit)?,
        };
        store.save_fit(&record, now()).await?;
        Ok(())
    }
}

/// Identifies points and options: the same ones give the same fit of a law, bit for bit.
pub fn inputs_hash(points: &[Point], options: &FitOptions) -> String {
    let points: Vec<_> = points.iter().map(|p| (p.x, p.y, p.configuration, p.cluster)).collect();
    let FitOptions { selection, loss, n_starts, n_resamples, level, seed, profile, .. } = options;
    let loss = (loss.delta.to_bits(), loss.above);
    let options = (format!("{selection:?}"), loss, n_starts, n_resamples, level, seed, profile);
    Id::of(&json!([points, options])).to_string()
}

/// How sweeps are fitted: their frontier, whole trunks resampled.
pub fn options() -> FitOptions {
    FitOptions { selection: Selection::Frontier, ..FitOptions::default() }
}

/// The law with its numbers and their intervals, for people.
pub fn describe(fit: &Fit) -> String {
    let params = fit
        .params
        .iter()
        .map(|param| format!("{} = {}", param.name, with_interval(param.value, param.interval)));
    format!(
        "{}: {},  {}",
        fit.law.name(),
        fit.law.formula(),
        params.collect::<Vec<_>>().join(",  ")
    )
}

/// The mean of the logarithms, as fits average seeds.
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// value [low, high], or the value alone.
pub fn with_interval(value: f64, interval: Option<(f64, f64)>) -> String {
    match interval {
        Some((low, high)) => format!("{} [{}, {}]", short(value), short(low), short(high)),
        None => short(value),
    }
}

/// Three significant digits.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1e-3..1e4 => {
            let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 6);
            format!("{value:.*}", usize::try_from(decimals).unwrap_or(0))
        }
        _ => format!("{value:.2e}"),
    }
}

fn is_usable(result: &TrialResult, outcome: &Outcome) -> bool {
    let is_good = outcome.of(result).is_some_and(|value| value.is_finite() && value > 0.0);
    result.state == TrialState::Finished && is_good
}

/// A trial's place on an axis of a law.
pub fn of_axis(result: &TrialResult, axis: Axis) -> f64 {
    match axis {
        Axis::X => result.train_flops,
        Axis::N => result.params as f64,
        Axis::D => result.examples_seen as f64,
        Axis::Unique => result.unique_examples as f64,
    }
}

/// Where [`of_axis`] stands in `trial_result`.
pub fn column_of(axis: Axis) -> &'static str {
    match axis {
        Axis::X => X,
        Axis::N => "params",
        Axis::D => "examples_seen",
        Axis::Unique => "unique_examples",
    }
}

fn place(result: &TrialResult) -> Place<'_> {
    Place {
        variant: result.variant.as_deref(),
        family: &result.family,
        params: result.params,
        shape: &result.shape,
        unique_examples: result.unique_examples,
        examples_seen: result.examples_seen,
        steps: result.steps,
        train_flops: result.train_flops.to_bits(),
    }
}

/// What trials that differ in their seed alone share.
fn configuration(result: &TrialResult) -> (Place<'_>, Option<u64>) {
    (place(result), rate(result))
}

/// Bits of the learning rate; positive floats are in the order of theirs.
fn rate(result: &TrialResult) -> Option<u64> {
    result.learning_rate.map(f64::to_bits)
}

/// The first segment of every trial: trials that share it share a trunk, and are not independent.
fn roots(plan: &Plan) -> HashMap<TrialId, SegmentId> {
    plan.trials.iter().filter_map(|trial| Some((trial.id, *trial.chain.first()?))).collect()
}

/// Of each place the trials with the learning rate of the smallest mean validation loss, and the places
/// where that is the smallest or largest rate tried.
fn best_rates(usable: &[&TrialResult], all: &[TrialResult]) -> (Vec<TrialResult>, Vec<String>) {
    let mut places: BTreeMap<Place, BTreeMap<Option<u64>, Vec<&TrialResult>>> = BTreeMap::new();
    for result in usable {
        places.entry(place(result)).or_default().entry(rate(result)).or_default().push(result);
    }
    let mut best = Vec::new();
    let mut at_edge = Vec::new();
    for (place, rates) in places {
        let winner = rates.iter().min_by(|a, b| rank(a, all).total_cmp(&rank(b, all)));
        let Some((&bits, trials)) = winner else { continue };
        if let Some(rate) = bits.map(f64::from_bits).filter(|rate| is_edge(*rate, &place, all)) {
            let of_variant = place.variant.map_or(String::new(), |name| format!("{name} "));
            at_edge.push(format!("{of_variant}{} at {}: {rate}", place.shape, place.length()));
        }
        best.extend(trials.iter().map(|trial| (*trial).clone()));
    }
    (best, at_edge)
}

fn learning_rate_at_edge(places: &[String]) -> Option<Warning> {
    const MOST_NAMED: usize = 6;
    let more = match places.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let named: Vec<_> = places.iter().take(MOST_NAMED).map(String::as_str).collect();
    (!places.is_empty()).then(|| Warning {
        code: Code::LearningRateAtEdge,
        message: format!(
            "the best learning rate is at the edge of its list, extend it ({}{more})",
            named.join("; ")
        ),
    })
}

/// What the best rate has least of: the mean validation loss of its seeds. A rate that one of them
/// did not survive comes after all others, however well the rest did.
fn rank((_, trials): &(&Option<u64>, &Vec<&TrialResult>), all: &[TrialResult]) -> f64 {
    let of_these = |result: &&TrialResult| configuration(result) == configuration(trials[0]);
    if all.iter().filter(of_these).any(|result| result.state == TrialState::Diverged) {
        return f64::INFINITY;
    }
    trials.iter().filter_map(|trial| trial.val_loss).sum::<f64>() / trials.len() as f64
}

/// Whether the best rate is the smallest or largest that was tried at its place.
fn is_edge(rate: f64, of: &Place, all: &[TrialResult]) -> bool {
    let tried = || {
        all.iter().filter(|result| place(result) == *of).filter_map(|result| result.learning_rate)
    };
    let low = tried().fold(f64::INFINITY, f64::min);
    let high = tried().fold(0.0, f64::max);
    low < high && (rate == low || rate == high)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn result(shape: &str, learning_rate: f64, seed: u64, val_loss: f64) -> TrialResult {
        TrialResult {
            sweep: "test".into(),
            trial_id: TrialId(Id::of(&(shape, learning_rate, seed))),
            family: "vit".into(),
            shape: shape.into(),
            params: 1000,
            unique_examples: 64,
            examples_seen: 640,
            steps: Some(80),
            train_flops: 1e9,
            learning_rate: Some(learning_rate),
            seed: Some(seed),
            state: TrialState::Finished,
            val_loss: Some(val_loss),
            val_error: Some(val_loss / 2.0),
            device_s: None,
            variant: None,
        }
    }

    fn analysed(all: &[TrialResult], plan: &Plan) -> Analysis {
        let values = all.iter().filter_map(|result| Some((result.trial_id, result.val_error?)));
        let outcome = Outcome { metric: Y.to_owned(), values: values.collect() };
        Analysis::new(all, plan, &outcome)
    }

    #[test]
    fn the_best_rate_is_kept_with_all_its_seeds_and_an_edge_is_noted() {
        let all = [
            result("a", 1e-3, 0, 0.5),
            result("a", 3e-3, 0, 0.4),
            result("a", 3e-3, 1, 0.42),
            result("a", 1e-2, 0, 0.6),
            result("b", 1e-3, 0, 0.2),
            result("b", 3e-3, 0, 0.3),
        ];
        let analysis = analysed(&all, &Plan::default());
        let kept: Vec<_> = analysis
            .results
            .iter()
            .map(|result| (result.shape.as_str(), result.learning_rate.unwrap()))
            .collect();
        assert_eq!(kept, [("a", 3e-3), ("a", 3e-3), ("b", 1e-3)]);
        assert_eq!(analysis.notes.len(), 1);
        assert!(analysis.notes[0].contains("b at 80 steps: 0.001"), "{:?}", analysis.notes);
        assert_eq!(analysis.points[0].configuration, analysis.points[1].configuration);
    }

    #[test]
    fn variants_and_families_are_configurations_of_their_own() {
        let of = |variant: &str, family: &str, seed| {
            let (variant, family) = (Some(variant.to_owned()), family.to_owned());
            let trial_id = TrialId(Id::of(&(&variant, seed)));
            TrialResult { trial_id, variant, family, ..result("a", 1e-3, seed, 0.5) }
        };
        let all = [of("p", "vit", 0), of("p", "vit", 1), of("q", "vit", 0), of("r", "mixer", 0)];
        let analysis = analysed(&all, &Plan::default());
        let configurations: Vec<_> =
            analysis.points.iter().map(|point| point.configuration).collect();
        assert_eq!(configurations[0], configurations[1]);
        let distinct: BTreeSet<_> = configurations.iter().collect();
        assert_eq!(distinct.len(), 3);
        assert_eq!(analysis.of_variant(Some("p")).points.len(), 2);
    }

    #[test]
    fn a_rate_that_a_seed_did_not_survive_does_not_win() {
        let mut diverged = result("a", 3e-3, 1, 0.5);
        diverged.state = TrialState::Diverged;
        let all = [result("a", 1e-3, 0, 0.5), result("a", 3e-3, 0, 0.4), diverged];
        let analysis = analysed(&all, &Plan::default());
        assert_eq!(analysis.results[0].learning_rate, Some(1e-3));
    }

    #[test]
    fn lengths_of_one_trunk_are_one_cluster_and_seeds_are_others() {
        let trials = [
            test_support::trial(0, 100, 20),
            test_support::trial(0, 200, 40),
            test_support::trial(1, 100, 20),
        ];
        let results = trials.clone().map(|trial| {
            let steps = Some(trial.steps);
            TrialResult { trial_id: trial.id(), steps, ..result("a", 1e-3, trial.recipe.seed, 0.5) }
        });
        let analysis = analysed(&results, &Plan::new(&trials, &[]));
        let mut clusters: Vec<_> = analysis.points.iter().map(|point| point.cluster).collect();
        clusters.sort_unstable();
        clusters.dedup();
        assert_eq!((clusters.len(), analysis.unit), (2, "trunk"));
    }

    #[test]
    fn a_diverged_trial_is_counted_and_left_out() {
        let mut diverged = result("a", 1e-3, 1, 0.5);
        diverged.state = TrialState::Diverged;
        let analysis = analysed(&[result("a", 1e-3, 0, 0.5), diverged], &Plan::default());
        assert_eq!((analysis.results.len(), analysis.n_dropped), (1, 1));
    }

    #[test]
    fn three_digits_are_kept_at_any_size() {
        for (value, text) in [
            (0.0, "0"),
            (0.123_456, "0.123"),
            (12.345, "12.3"),
            (1234.5, "1234"),
            (1.5e11, "1.50e11"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
