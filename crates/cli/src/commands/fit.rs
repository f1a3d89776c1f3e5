//! `isoflop fit`: a law fitted to a sweep's frontier, or to any table.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use analysis::{Fit, FitError, FitOptions, Labels, Point, Selection};
use anyhow::{Context, anyhow, bail};

use scheduler::Plan;

use crate::analyse::{Analysis, describe, options};
use crate::exit::{ALL_DONE, bad_input, too_few_points};
use crate::output::{Format, Rows};
use crate::stored::StoredSweepArgs;

/// Fit a saturating power law to a sweep's frontier, or to two columns of a CSV file
///
/// The sum of Huber terms of log residuals is minimised from many starts; intervals come from a
/// bootstrap that resamples whole trunks (of a sweep) or clusters (of a table). --format json prints
/// one object.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["sweep", "csv"]))]
pub struct FitArgs {
    /// Name of a stored sweep: its frontier of val_error against train_flops is fitted
    #[arg(value_name = "SWEEP")]
    sweep: Option<String>,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,

    /// Fit a table instead; every row is a point
    #[arg(long, value_name = "FILE", requires = "x", requires = "y")]
    csv: Option<PathBuf>,

    /// Column of x, as compute; positive
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    x: Option<String>,

    /// Column of y, as an error; positive
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    y: Option<String>,

    /// Column of what is resampled together; default every row by itself
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    cluster: Option<String>,

    /// Fit only the rows that no other row beats at its x
    #[arg(long, requires = "csv")]
    frontier: bool,

    /// The law
    #[arg(long, default_value = "m2", value_parser = clap::builder::PossibleValuesParser::new(
        analysis::law::of_one_axis().map(|law| law.name())))]
    law: String,

    /// Where the Huber term turns from a square to a line, in ln y
    #[arg(long, default_value_t = analysis::Loss::default().delta)]
    delta: f64,

    /// Starting points
    #[arg(long, value_name = "N", default_value_t = FitOptions::default().n_starts)]
    starts: usize,

    /// Bootstrap resamples; 0 gives no intervals
    #[arg(long, value_name = "N", default_value_t = FitOptions::default().n_resamples)]
    resamples: usize,

    /// Share of the bootstrap inside an interval
    #[arg(long, default_value_t = FitOptions::default().level)]
    level: f64,

    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn fit(args: &FitArgs) -> anyhow::Result<ExitCode> {
    let law = analysis::law::named(&args.law).context("clap has checked the law's name")?;
    let fit = match (&args.csv, &args.sweep) {
        (Some(csv), _) => fit_table(args, law, csv)?,
        (None, Some(name)) => {
            let stored = StoredSweepArgs { name: name.clone(), db: args.db.clone() };
            let (store, sweep) = stored.open().await?;
            let analysis =
                Analysis::new(&store.trial_results(&sweep.name).await?, &Plan::new(&sweep.trials));
            analysis.fit(law, &args.options(options().selection)).map_err(coded)?
        }
        (None, None) => bail!("clap requires a sweep or a table"),
    };
    print(&fit, args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

impl FitArgs {
    fn options(&self, selection: Selection) -> FitOptions {
        FitOptions {
            selection,
            loss: analysis::Loss { delta: self.delta, above: 1.0 },
            n_starts: self.starts,
            n_resamples: self.resamples,
            level: self.level,
            seed: self.seed,
        }
    }
}

fn coded(error: FitError) -> anyhow::Error {
    match error {
        FitError::TooFewPoints { .. } => too_few_points(error),
        FitError::NotPositive { .. }
        | FitError::SplitConfiguration { .. }
        | FitError::OneValue { .. }
        | FitError::Axes { .. }
        | FitError::Option { .. } => bad_input(error),
    }
}

fn fit_table(args: &FitArgs, law: &'static dyn analysis::Law, path: &Path) -> anyhow::Result<Fit> {
    let (Some(x), Some(y)) = (&args.x, &args.y) else { bail!("clap requires --x and --y") };
    let columns = Columns { x, y, cluster: args.cluster.as_deref() };
    let points = read_points(path, &columns)
        .with_context(|| format!("`{}`", path.display()))
        .map_err(bad_input)?;
    let cluster = args.cluster.clone().unwrap_or_else(|| "row".to_owned());
    let labels = Labels { axes: vec![x.clone()], y: y.clone(), cluster };
    let selection = if args.frontier { Selection::Frontier } else { Selection::EveryPoint };
    analysis::fit(law, &points, &labels, &args.options(selection)).map_err(coded)
}

struct Columns<'a> {
    x: &'a str,
    y: &'a str,
    cluster: Option<&'a str>,
}

fn read_points(path: &Path, columns: &Columns) -> anyhow::Result<Vec<Point>> {
    let mut reader = csv::Reader::from_path(path)?;
    let header = reader.headers()?.clone();
    let place = |column: &str| {
        let found = header.iter().position(|name| name == column);
        found.ok_or_else(|| {
            anyhow!("no column `{column}`; it has {}", header.iter().collect::<Vec<_>>().join(", "))
        })
    };
    let (x, y) = (place(columns.x)?, place(columns.y)?);
    let cluster = columns.cluster.map(place).transpose()?;
    let mut values = Vec::new();
    let mut clusters = Vec::new();
    for (record, row) in reader.records().zip(0_u64..) {
        let record = record?;
        let number = |at: usize, column: &str| {
            let text = record.get(at).unwrap_or_default().trim();
            // The header is line 1.
            text.parse::<f64>()
                .map_err(|_| anyhow!("line {}, column {column}: `{text}` is no number", row + 2))
        };
        values.push((number(x, columns.x)?, number(y, columns.y)?));
        clusters.push(
            cluster.map_or_else(
                || row.to_string(),
                |at| record.get(at).unwrap_or_default().to_owned(),
            ),
        );
    }
    let clusters = analysis::labels(clusters);
    let point = |((row, (x, y)), cluster): ((u64, (f64, f64)), u64)| Point {
        x: analysis::point::x(x),
        y,
        configuration: row,
        cluster,
    };
    Ok((0..).zip(values).zip(clusters).map(point).collect())
}

fn print(fit: &Fit, format: Format) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(fit)?)?,
        Format::Csv => {
            drop(out);
            param_rows(fit).print(Format::Csv)?;
        }
        Format::Table => {
            writeln!(out, "{}", describe(fit))?;
            writeln!(
                out,
                "{} against {}: {} points, rms residual {:.2}%, {} of {} starts at the best, level {}",
                fit.y,
                fit.axes.values().cloned().collect::<Vec<_>>().join(", "),
                fit.n_points,
                100.0 * fit.residual_rms,
                fit.starts.at_best,
                fit.starts.n,
                fit.level
            )?;
            for warning in &fit.warnings {
                writeln!(out, "warning: {}", warning.message)?;
            }
        }
    }
    Ok(())
}

fn param_rows(fit: &Fit) -> Rows {
    let rows = fit.params.iter().map(|param| {
        let (low, high) = param.interval.unzip();
        vec![fit.law.name().into(), param.name.into(), param.value.into(), low.into(), high.into()]
    });
    Rows::new(["law", "param", "value", "low", "high"].map(str::to_owned).into(), rows.collect())
}
