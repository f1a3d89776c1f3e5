//! `isoflop fit`: what is estimated of a curve, with its intervals and its doubts.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use analysis::forecast::MemberSummary;
use analysis::{Fit, Forecast};
use serde_json::{Value, json};

use store::{FitRecord, Store, WriterLock};

use crate::analyse::{describe, inputs_hash, short, with_interval};
use crate::estimate::{Estimate, EstimateArgs};
use crate::exit::ALL_DONE;
use crate::figure;
use crate::figure_file;
use crate::input::{Curve, Input, InputArgs};
use crate::journal::now;
use crate::look::LookArgs;
use crate::output::{Format, Rows, print_objects};
use crate::progress::say;

/// Fit a law to a sweep's frontier, or to columns of a CSV or parquet file
///
/// Without --law the default estimator is fitted: an average of curves that is built to extrapolate.
/// Laws: the weighted sum of Huber terms of log residuals is minimised from many starts; intervals
/// come from a bootstrap that resamples whole trunks (of a sweep) or clusters (of a table). --format
/// json prints one object; an array of them where there are groups or several sweeps.
#[derive(clap::Args)]
pub struct FitArgs {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    estimate: EstimateArgs,

    /// Add intervals from the profile likelihood of each parameter
    #[arg(long, requires = "law")]
    profile: bool,

    /// Draw the fit: of one curve the curve and its residuals (of N and D contours), of several the
    /// intervals of their exponents; .svg or .png, or .csv for its numbers
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,

    #[command(flatten)]
    look: LookArgs,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn fit(args: &FitArgs) -> anyhow::Result<ExitCode> {
    let input = args.input.read(args.estimate.axes(), &[]).await?;
    let options =
        analysis::FitOptions { profile: args.profile, ..args.estimate.options(input.selection) };
    let fitted = input.curves.iter().map(|curve| args.estimate.estimate(&input, curve, &options));
    let estimates = fitted.collect::<anyhow::Result<Vec<_>>>()?;
    let hashes: Vec<_> =
        input.curves.iter().map(|curve| inputs_hash(&curve.points, &options)).collect();
    if let Some(path) = &args.figure {
        let name = format!("fit {}", &hashes[0][..8]);
        let figure = figure::of_estimates(&input, &estimates, options.selection, &name)?;
        figure_file::write(&*figure, args.look.look(), path)?;
    }
    if args.input.csv.is_none() {
        store(&args.input, &estimates, &hashes).await?;
    }
    print(&input, &estimates, &hashes, args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

/// Keeps the fits of sweeps beside what they were made from. Of a store that someone writes to or that
/// cannot be written, only the answer is lost, and it is printed.
async fn store(args: &InputArgs, estimates: &[Estimate], hashes: &[String]) -> anyhow::Result<()> {
    let Ok(_lock) = WriterLock::acquire(&args.db) else {
        say("the store is being written to: the fit is not stored in it");
        return Ok(());
    };
    let store = Store::open(&args.db).await?;
    for ((sweep, estimate), hash) in args.sweeps.iter().zip(estimates).zip(hashes) {
        let (law, axes, y) = estimate.names();
        let record = FitRecord {
            sweep: sweep.clone(),
            law: law.to_owned(),
            x: axes,
            y: y.to_owned(),
            inputs_hash: hash.clone(),
            json: serde_json::to_string(&estimate.json()?)?,
        };
        store.save_fit(&record, now()).await?;
    }
    store.close().await;
    Ok(())
}

fn print(
    input: &Input,
    estimates: &[Estimate],
    hashes: &[String],
    format: Format,
) -> anyhow::Result<()> {
    let all = || input.curves.iter().zip(estimates);
    match format {
        Format::Json => {
            let object = |(estimate, hash): (&Estimate, &String)| {
                let mut object = estimate.json()?;
                object["inputs_hash"] = json!(hash);
                Ok(object)
            };
            let objects = estimates.iter().zip(hashes).map(object);
            print_objects(&input.curves, objects.collect::<serde_json::Result<_>>()?)
        }
        Format::Csv => {
            let columns = ["group", "law", "param", "value", "low", "high"].map(str::to_owned);
            let rows = all().flat_map(|(curve, estimate)| rows(curve, estimate));
            Rows::new(columns.into(), rows.collect()).print(Format::Csv)
        }
        Format::Table => all().try_for_each(|(curve, estimate)| print_one(input, curve, estimate)),
    }
}

fn rows(curve: &Curve, estimate: &Estimate) -> Vec<Vec<Value>> {
    let row = |law: &str, param: &str, value: f64, interval: Option<(f64, f64)>| {
        let (low, high) = interval.unzip();
        vec![json!(curve.name()), json!(law), json!(param), json!(value), json!(low), json!(high)]
    };
    match estimate {
        Estimate::Fit(fit) => {
            let params = fit.params.iter().chain(&fit.derived);
            params.map(|p| row(fit.law.name(), p.name, p.value, p.interval)).collect()
        }
        Estimate::Forecast(forecast) => {
            let of = |member: &MemberSummary| {
                let named = [
                    ("weight", member.weight),
                    ("exponent", member.exponent),
                    ("floor", member.floor),
                ];
                named.map(|(param, value)| row(forecast.law, param, value, None))
            };
            forecast.members.iter().flat_map(of).collect()
        }
    }
}

fn print_one(input: &Input, curve: &Curve, estimate: &Estimate) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if !curve.group.is_empty() {
        writeln!(out, "{}", curve.name())?;
    }
    match estimate {
        Estimate::Fit(fit) => write_fit(&mut out, input, fit)?,
        Estimate::Forecast(forecast) => write_forecast(&mut out, forecast)?,
    }
    for warning in estimate.warnings() {
        writeln!(out, "warning: {}", warning.message)?;
    }
    Ok(())
}

fn write_fit(out: &mut impl Write, input: &Input, fit: &Fit) -> anyhow::Result<()> {
    writeln!(out, "{}", describe(fit))?;
    for param in &fit.derived {
        writeln!(out, "{} = {}", param.name, with_interval(param.value, param.interval))?;
    }
    for param in &fit.params {
        if let Some((low, high)) = param.profile {
            writeln!(out, "profile likelihood: {} [{}, {}]", param.name, short(low), short(high))?;
        }
    }
    writeln!(
        out,
        "{} against {}: {} points, {} left out, rms residual {:.2}%, {} of {} starts at the best, level {}",
        fit.y,
        input.labels.axes.join(" and "),
        fit.n_points,
        fit.n_dropped,
        100.0 * fit.residual_rms,
        fit.starts.at_best,
        fit.starts.n,
        fit.level
    )?;
    if let Some(held) = &fit.holdout {
        writeln!(out, "held-out largest {}: rmse {:.2}%", held.n, 100.0 * held.rmse_log)?;
    }
    Ok(())
}

fn write_forecast(out: &mut impl Write, forecast: &Forecast) -> anyhow::Result<()> {
    writeln!(
        out,
        "default estimator, {} against {}: {} points, {} left out, level {}",
        forecast.y, forecast.x, forecast.n_points, forecast.n_dropped, forecast.level
    )?;
    let (_, last) = forecast.ranges[&forecast.x];
    for times in [1.0, 2.0, 10.0] {
        let x = times * last;
        let said = forecast.predict(x);
        let shown = with_interval(said.value, said.interval());
        writeln!(out, "at {} = {}: {shown}", forecast.x, short(x))?;
    }
    if let Some(held) = &forecast.holdout {
        writeln!(out, "held-out largest {}: rmse {:.2}%", held.n, 100.0 * held.rmse_log)?;
    }
    Ok(())
}
