//! What a sweep ends with: the best error per size and data size, the laws, where the figures are,
//! and what to do next.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use analysis::Fit;
use report::{Column, Look, Table};
use scheduler::{Plan, PlannedTrial};
use spec::{SegmentId, SweepSpec, TrialId};
use store::{SegmentState, Spent, Store, TrialResult};

use crate::analyse::{Analysis, Outcome, X, describe, geometric_mean, options};
use crate::draw::{Curves, Drawing, best_size};
use crate::figure_file::{self, Named};
use crate::input::InputArgs;
use crate::output::known;
use crate::paths::Workplace;
use crate::progress::say;

/// What the store holds of a sweep, analysed.
pub struct Findings {
    pub all: Vec<TrialResult>,
    pub main: Analysis,
    /// By each metric of evaluations on other tasks that is not the main one.
    pub others: Vec<Analysis>,
}

impl Findings {
    /// `y` is the main metric; None: validation error, or loss where nothing is classified.
    ///
    /// # Errors
    /// The store's, or a metric that the sweep has not measured.
    pub async fn read(
        store: &Store,
        sweep: &SweepSpec,
        plan: &Plan,
        y: Option<&str>,
    ) -> anyhow::Result<Self> {
        let all = store.trial_results(&sweep.name).await?;
        let outcome = match y {
            Some(metric) => Outcome::read(store, &sweep.name, metric).await?,
            None => Outcome::main(store, &sweep.name).await?,
        };
        let main = Analysis::new(&all, plan, &outcome);
        let mut others = Vec::new();
        for metric in store.metrics(&sweep.name).await? {
            let is_of_the_trial =
                matches!(&*metric, "val_error" | "val_loss") || metric.starts_with("attention_");
            if !is_of_the_trial && metric != main.y() {
                let outcome = Outcome::read(store, &sweep.name, &metric).await?;
                others.push(Analysis::new(&all, plan, &outcome));
            }
        }
        Ok(Self { all, main, others })
    }

    /// The fits of [`Self::others`].
    pub fn other_fits(&self) -> Vec<Vec<Fit>> {
        self.others.iter().map(Analysis::fits).collect()
    }
}

/// Fits and draws what a sweep has found, unless that is done already, and prints it if it is to be
/// shown.
///
/// # Errors
/// The store's, or a figure that cannot be written.
pub async fn conclude(
    store: &Store,
    sweep: &SweepSpec,
    plan: &Plan,
    workplace: &Workplace,
    is_shown: bool,
) -> anyhow::Result<()> {
    let findings = Findings::read(store, sweep, plan, None).await?;
    if findings.main.results.is_empty() {
        say(&format!("{}: no trial has finished yet", sweep.name));
        return Ok(());
    }
    let fits = findings.main.fits();
    let folder = workplace.figures(&sweep.name);
    if !is_drawn(store, sweep, &findings, &folder).await? {
        let others = findings.other_fits();
        let figures = figures(store, sweep, plan, &findings, (&fits, &others)).await?;
        figure_file::write_all(&figures, Look::default(), &folder)?;
        let analyses = std::iter::once(&findings.main).chain(&findings.others);
        for (analysis, fits) in analyses.zip(std::iter::once(&fits).chain(&others)) {
            for fit in fits {
                analysis.save(store, &sweep.name, fit, &options()).await?;
            }
        }
    }
    if is_shown {
        let spent = store.spent(&sweep.name).await?;
        print(sweep, &findings, &fits, &spent, workplace)?;
    }
    Ok(())
}

/// Whether the figures are those of the points as they are now: fits are stored after them.
async fn is_drawn(
    store: &Store,
    sweep: &SweepSpec,
    findings: &Findings,
    folder: &Path,
) -> anyhow::Result<bool> {
    let stored = store.fits(&sweep.name).await?;
    let is_there = |analysis: &Analysis, figure: &str| {
        let hash = analysis.inputs_hash(&options());
        let is_stored = stored.iter().any(|fit| fit.record.inputs_hash == hash);
        is_stored && folder.join(format!("{figure}.png")).exists()
    };
    let mut others = findings.others.iter().filter(|other| !other.results.is_empty());
    Ok(is_there(&findings.main, "scaling") && others.all(|other| is_there(other, other.y())))
}

fn print(
    sweep: &SweepSpec,
    findings: &Findings,
    fits: &[Fit],
    spent: &Spent,
    workplace: &Workplace,
) -> anyhow::Result<()> {
    let (analysis, results) = (&findings.main, &findings.all);
    let mut out = std::io::stdout().lock();
    write!(out, "{}", best_per_size(analysis).text())?;
    let variants = &sweep.variant_names;
    if !variants.is_empty() {
        write!(out, "\n{}", best_per_variant(analysis, variants).text())?;
    }
    write_fits(&mut out, analysis, fits)?;
    write_forecast(&mut out, analysis)?;
    for other in &findings.others {
        write_best(&mut out, other)?;
    }
    for note in &analysis.notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(
        out,
        "\n{} of {} trials, {} training FLOPs, {} of device time in {} attempts",
        results.iter().filter(|result| result.state.has_ended()).count(),
        results.len(),
        report::scientific(spent.train_flops),
        report::duration(spent.device_s),
        spent.attempts
    )?;
    let figures = workplace.figures(&sweep.name);
    let figure = if variants.is_empty() { "scaling.png" } else { "variants.png" };
    writeln!(out, "figures: {}", figures.join(figure).display())?;
    let largest = results.iter().map(|result| result.train_flops).fold(0.0, f64::max);
    write_next_steps(&mut out, &sweep.name, workplace, 10.0 * largest)
}

/// The figures of what the store holds of a sweep, with the first of the fits of the main metric and of
/// each other one.
///
/// # Errors
/// The store's.
pub async fn figures(
    store: &Store,
    sweep: &SweepSpec,
    plan: &Plan,
    findings: &Findings,
    (fits, other_fits): (&[Fit], &[Vec<Fit>]),
) -> anyhow::Result<Vec<Named>> {
    let others = findings.others.iter().zip(other_fits).map(|(other, fits)| (other, fits.first()));
    let shown = with_curves(&findings.all);
    let curves = async |metric| store.learning_curves(&sweep.name, metric, &shown).await;
    let drawing = Drawing {
        sweep,
        all: &findings.all,
        analysis: &findings.main,
        fit: fits.first(),
        others: &others.collect::<Vec<_>>(),
        curves: Curves {
            n_trials: shown.len(),
            train_loss: &curves("train_loss").await?,
            val_loss: &curves("val_loss").await?,
            attention_logit: &curves("attention_logit_max").await?,
            attention_entropy: &curves("attention_entropy").await?,
        },
        diverged: &diverged(store, sweep, plan).await?,
    };
    Ok(drawing.figures())
}

/// The trials whose courses are drawn: all, or those of the first seeds where a figure of all would be a
/// blot that takes minutes to draw.
fn with_curves(all: &[TrialResult]) -> Vec<TrialId> {
    const MOST: usize = 2000;
    let mut by_seed: Vec<_> = all.iter().map(|trial| (trial.seed, trial.trial_id)).collect();
    if all.len() > MOST {
        // A stable order: of one seed those that are first in the plan.
        by_seed.sort_by_key(|(seed, _)| *seed);
        by_seed.truncate(MOST);
    }
    by_seed.into_iter().map(|(_, trial_id)| trial_id).collect()
}

/// As [`figures`], and what the best size is at each compute; `y` as in [`Findings::read`].
///
/// # Errors
/// The store's, or what a fit of sizes refuses.
pub async fn every_figure(
    store: &Store,
    (sweep, db): (&SweepSpec, &Path),
    plan: &Plan,
    findings: &Findings,
    (fits, other_fits): (&[Fit], &[Vec<Fit>]),
    y: Option<&str>,
) -> anyhow::Result<Vec<Named>> {
    let mut all = figures(store, sweep, plan, findings, (fits, other_fits)).await?;
    // A best size is one of a variant, not of all together.
    let variants = sweep.variant_names.iter().map(|name| Some(name.as_str()));
    for variant in if variants.len() == 0 { vec![None] } else { variants.collect() } {
        let input = InputArgs::of_largest_set(sweep, db, y, variant);
        all.extend(best_size::figures(&input, variant).await?);
    }
    Ok(all)
}

/// The step at which each diverged trial did so.
pub async fn diverged(
    store: &Store,
    sweep: &SweepSpec,
    plan: &Plan,
) -> anyhow::Result<HashMap<TrialId, u64>> {
    let mut steps: HashMap<SegmentId, u64> = HashMap::new();
    for status in store.segment_states(&sweep.name).await? {
        if let SegmentState::Diverged { step } = status.state {
            steps.insert(status.segment_id, step);
        }
    }
    let of_trial = |trial: &PlannedTrial| {
        let step = trial.chain.iter().find_map(|segment| steps.get(segment))?;
        Some((trial.id, *step))
    };
    Ok(plan.trials.iter().filter_map(of_trial).collect())
}

/// Trials that differ in their seeds alone, and the mean of what they measured.
struct Best<'a> {
    trials: Vec<&'a TrialResult>,
    value: f64,
}

impl Best<'_> {
    fn cells(&self) -> Vec<String> {
        let first = self.trials[0];
        let losses: Vec<_> = self.trials.iter().filter_map(|trial| trial.val_loss).collect();
        vec![
            report::error(self.value),
            report::error(geometric_mean(&losses)),
            self.trials.len().to_string(),
            known(first.steps),
            report::scientific(first.train_flops),
            known(first.learning_rate),
        ]
    }
}

/// The trials with the smallest mean of each group of an analysis, in order of the groups.
fn best_by<'a, K: Ord>(
    analysis: &'a Analysis,
    group: impl Fn(&'a TrialResult) -> K,
) -> BTreeMap<K, Best<'a>> {
    let mut configurations: BTreeMap<u64, (K, Vec<&TrialResult>)> = BTreeMap::new();
    for (result, point) in analysis.results.iter().zip(&analysis.points) {
        let of_it = || (group(result), Vec::new());
        configurations.entry(point.configuration).or_insert_with(of_it).1.push(result);
    }
    let mut best: BTreeMap<K, Best> = BTreeMap::new();
    for (key, trials) in configurations.into_values() {
        let values: Vec<_> = trials.iter().filter_map(|trial| analysis.value(trial)).collect();
        let value = geometric_mean(&values);
        if best.get(&key).is_none_or(|known| value < known.value) {
            best.insert(key, Best { trials, value });
        }
    }
    best
}

/// The configuration with the smallest mean over its seeds: one of its trials, the mean, and how many
/// seeds.
pub fn best_of_all(analysis: &Analysis) -> Option<(&TrialResult, f64, usize)> {
    let best = best_by(analysis, |_| ()).remove(&())?;
    Some((best.trials[0], best.value, best.trials.len()))
}

fn columns(named: impl IntoIterator<Item = Column>, y: &str) -> Vec<Column> {
    let measured = [
        Column::right(y),
        Column::right("loss"),
        Column::right("seeds"),
        Column::right("steps"),
        Column::right("FLOPs"),
        Column::right("learning rate"),
    ];
    named.into_iter().chain(measured).collect()
}

/// A row per variant, shape and data size: the configuration with the smallest error over its seeds'
/// mean.
pub fn best_per_size(analysis: &Analysis) -> Table {
    let results = &analysis.results;
    let has_variants = results.iter().any(|result| result.variant.is_some());
    let has_families = results.iter().any(|result| result.family != results[0].family);
    let best = best_by(analysis, |result| {
        (
            result.variant.as_deref(),
            result.params,
            &result.family,
            &result.shape,
            result.unique_examples,
        )
    });
    let row = |((variant, params, family, shape, unique), best): (_, Best)| -> Vec<String> {
        let variant: Option<&str> = variant;
        let family: &String = family;
        let shape: &String = shape;
        let named = [
            has_variants.then(|| variant.unwrap_or_default().to_owned()),
            has_families.then(|| family.clone()),
            Some(shape.clone()),
            Some(report::si(params as f64)),
            Some(report::si(unique as f64)),
        ];
        named.into_iter().flatten().chain(best.cells()).collect()
    };
    let rows: Vec<_> = best.into_iter().map(row).collect();
    let named = [
        has_variants.then(|| Column::left("variant")),
        has_families.then(|| Column::left("family")),
        Some(Column::left("shape")),
        Some(Column::right("params")),
        Some(Column::right("unique examples")),
    ];
    Table { columns: columns(named.into_iter().flatten(), &heading(analysis)), rows }
}

/// A row per variant, in the order of the sweep's file.
pub fn best_per_variant(analysis: &Analysis, variants: &[String]) -> Table {
    let best = best_by(analysis, |result| result.variant.as_deref());
    let row = |name: &String| {
        let best = best.get(&Some(name.as_str()))?;
        let first = best.trials[0];
        let named = [
            name.clone(),
            first.shape.clone(),
            report::si(first.params as f64),
            report::si(first.unique_examples as f64),
        ];
        Some(named.into_iter().chain(best.cells()).collect())
    };
    let rows: Vec<Vec<String>> = variants.iter().filter_map(row).collect();
    let named = [
        Column::left("best of variant"),
        Column::left("shape"),
        Column::right("params"),
        Column::right("unique examples"),
    ];
    Table { columns: columns(named, &heading(analysis)), rows }
}

fn heading(analysis: &Analysis) -> String {
    format!("best {}", name(analysis))
}

/// What is measured, in a word.
fn name(analysis: &Analysis) -> &str {
    match analysis.y() {
        "val_error" => "error",
        "val_loss" => "loss",
        other => other,
    }
}

/// One line of what an evaluation on another task found.
fn write_best(out: &mut impl Write, analysis: &Analysis) -> anyhow::Result<()> {
    if let Some(best) = best_by(analysis, |_| ()).remove(&()) {
        let first = best.trials[0];
        let variant = first.variant.as_ref().map_or(String::new(), |name| format!("{name} "));
        writeln!(
            out,
            "{}: best {} by {variant}{} at {} training FLOPs, of {} trials",
            analysis.y(),
            report::error(best.value),
            first.shape,
            report::scientific(first.train_flops),
            analysis.results.len()
        )?;
    }
    Ok(())
}

fn write_fits(out: &mut impl Write, analysis: &Analysis, fits: &[Fit]) -> anyhow::Result<()> {
    writeln!(
        out,
        "\nfrontier of {} against training FLOPs: {} points",
        name(analysis),
        analysis.frontier().len()
    )?;
    if fits.is_empty() {
        writeln!(out, "too few points on the frontier for a fit; add lengths or sizes")?;
    }
    for fit in fits {
        writeln!(out, "{}", describe(fit))?;
        let noise = fit
            .seed_noise
            .map_or("unknown: one seed each".to_owned(), |noise| format!("{:.2}%", 100.0 * noise));
        let held = fit.holdout.as_ref().map_or("none".to_owned(), |held| {
            format!("{:.2}% on {}", 100.0 * held.rmse_log, held.n)
        });
        writeln!(
            out,
            "  rms residual {:.2}% (seed noise {noise}); held-out largest compute: {held}; {} of {} starts at the best",
            100.0 * fit.residual_rms,
            fit.starts.at_best,
            fit.starts.n
        )?;
        for warning in &fit.warnings {
            writeln!(out, "  warning: {}", warning.message)?;
        }
    }
    Ok(())
}

/// The default estimator, at ten times the largest compute.
fn write_forecast(out: &mut impl Write, analysis: &Analysis) -> anyhow::Result<()> {
    let Some(forecast) = analysis.forecast() else { return Ok(()) };
    let (_, last) = forecast.ranges[X];
    let x = 10.0 * last;
    let said = forecast.predict(x);
    writeln!(
        out,
        "at ten times the compute, {} FLOPs: {} {} [{}, {}] by the default estimator",
        report::scientific(x),
        name(analysis),
        report::error(said.value),
        report::error(said.low),
        report::error(said.high)
    )?;
    Ok(())
}

fn write_next_steps(
    out: &mut impl Write,
    sweep: &str,
    workplace: &Workplace,
    target: f64,
) -> anyhow::Result<()> {
    let db = workplace.db.display();
    writeln!(
        out,
        "next:    isoflop query --db {db} \"select * from trial_result where sweep = '{sweep}'\""
    )?;
    writeln!(out, "         isoflop predict --db {db} {sweep} --target {target:.0e}")?;
    Ok(())
}
