//! What a sweep ends with: the best error per size and data size, the laws, where the figures are,
//! and what to do next.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use analysis::Fit;
use report::Column;
use scheduler::Plan;
use spec::SweepSpec;
use store::{Spent, Store, TrialResult, TrialState};

use crate::analyse::{Analysis, X, Y, describe, geometric_mean, options};
use crate::draw::Drawing;
use crate::paths::Workplace;
use crate::progress::say;

/// Fits and draws what a sweep has found, unless that is done already, and prints it.
///
/// # Errors
/// The store's, or a figure that cannot be written.
pub async fn conclude(
    store: &Store,
    sweep: &SweepSpec,
    plan: &Plan,
    workplace: &Workplace,
) -> anyhow::Result<()> {
    let results = store.trial_results(&sweep.name).await?;
    let analysis = Analysis::new(&results, plan, Y)?;
    if analysis.results.is_empty() {
        say(&format!("{}: no trial has finished yet", sweep.name));
        return Ok(());
    }
    let fits = analysis.fits();
    let folder = workplace.figures(&sweep.name);
    if !is_drawn(store, sweep, &analysis, &folder).await? {
        draw(store, sweep, &analysis, fits.first(), &folder).await?;
        for fit in &fits {
            analysis.save(store, &sweep.name, fit, &options()).await?;
        }
    }
    let spent = store.spent(&sweep.name).await?;
    print(&sweep.name, &analysis, &fits, &results, &spent, workplace)
}

/// Whether the figures are those of the points as they are now: fits are stored after them.
async fn is_drawn(
    store: &Store,
    sweep: &SweepSpec,
    analysis: &Analysis,
    folder: &Path,
) -> anyhow::Result<bool> {
    let hash = analysis.inputs_hash(&options());
    let is_stored = store.fits(&sweep.name).await?.iter().any(|fit| fit.record.inputs_hash == hash);
    Ok(is_stored && folder.join("scaling.png").exists())
}

fn print(
    sweep: &str,
    analysis: &Analysis,
    fits: &[Fit],
    results: &[TrialResult],
    spent: &Spent,
    workplace: &Workplace,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "{}", best_per_size(analysis))?;
    write_fits(&mut out, analysis, fits)?;
    write_forecast(&mut out, analysis)?;
    for note in &analysis.notes {
        writeln!(out, "note: {note}")?;
    }
    let has_ended =
        |result: &&TrialResult| matches!(result.state, TrialState::Finished | TrialState::Diverged);
    writeln!(
        out,
        "\n{} of {} trials, {} training FLOPs, {} of device time in {} attempts",
        results.iter().filter(has_ended).count(),
        results.len(),
        report::scientific(spent.train_flops),
        report::duration(spent.device_s),
        spent.attempts
    )?;
    writeln!(out, "figures: {}", workplace.figures(sweep).join("scaling.png").display())?;
    write_next_steps(&mut out, sweep, workplace)
}

/// Draws the figures of what the store holds of a sweep.
///
/// # Errors
/// The store's, or a file that cannot be written.
pub async fn draw(
    store: &Store,
    sweep: &SweepSpec,
    analysis: &Analysis,
    fit: Option<&Fit>,
    folder: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let drawing = Drawing {
        sweep: &sweep.name,
        analysis,
        fit,
        trials: &sweep.trials,
        train_loss: &store.learning_curves(&sweep.name, "train_loss").await?,
        val_loss: &store.learning_curves(&sweep.name, "val_loss").await?,
    };
    drawing.write(folder)
}

/// A row per shape and data size: the configuration with the smallest error over its seeds' mean.
fn best_per_size(analysis: &Analysis) -> String {
    let mut places: BTreeMap<(u64, &str, u64), BTreeMap<u64, Vec<&TrialResult>>> = BTreeMap::new();
    for result in &analysis.results {
        let place = (result.params, result.shape.as_str(), result.unique_examples);
        places.entry(place).or_default().entry(result.steps).or_default().push(result);
    }
    let rows: Vec<Vec<String>> =
        places.into_iter().filter_map(|(place, lengths)| best_row(place, lengths)).collect();
    let columns = [
        Column::left("shape"),
        Column::right("params"),
        Column::right("unique examples"),
        Column::right("best error"),
        Column::right("loss"),
        Column::right("seeds"),
        Column::right("steps"),
        Column::right("FLOPs"),
        Column::right("learning rate"),
    ];
    report::table(&columns, &rows)
}

fn best_row(
    (params, shape, unique): (u64, &str, u64),
    lengths: BTreeMap<u64, Vec<&TrialResult>>,
) -> Option<Vec<String>> {
    let mean = |trials: &[&TrialResult], value: fn(&TrialResult) -> Option<f64>| {
        geometric_mean(&trials.iter().filter_map(|trial| value(trial)).collect::<Vec<_>>())
    };
    let error = |trials: &[&TrialResult]| mean(trials, |trial| trial.val_error);
    let (steps, trials) = lengths.into_iter().min_by(|a, b| error(&a.1).total_cmp(&error(&b.1)))?;
    Some(vec![
        shape.to_owned(),
        report::si(params as f64),
        report::si(unique as f64),
        report::error(error(&trials)),
        report::error(mean(&trials, |trial| trial.val_loss)),
        trials.len().to_string(),
        steps.to_string(),
        report::scientific(trials[0].train_flops),
        trials[0].learning_rate.to_string(),
    ])
}

fn write_fits(out: &mut impl Write, analysis: &Analysis, fits: &[Fit]) -> anyhow::Result<()> {
    writeln!(
        out,
        "\nfrontier of error against training FLOPs: {} points",
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
        "at ten times the compute, {} FLOPs: error {} [{}, {}] by the default estimator",
        report::scientific(x),
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
) -> anyhow::Result<()> {
    let db = workplace.db.display();
    writeln!(
        out,
        "next:    isoflop query --db {db} \"select * from trial_result where sweep = '{sweep}'\""
    )?;
    writeln!(out, "         isoflop predict --db {db} {sweep} --target 1e18")?;
    Ok(())
}
