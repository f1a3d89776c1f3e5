//! `isoflop backtest`: which estimator extrapolates best, on curves whose ends are known.

use std::path::PathBuf;
use std::process::ExitCode;

use analysis::backtest::{Backtest, Case, Estimator, backtest as score};
use analysis::law::Axis;
use analysis::point::x;
use analysis::{FitOptions, Point, Selection, frontier, seed_means};
use anyhow::anyhow;
use serde_json::{Value, json};

use crate::exit::{ALL_DONE, bad_input, too_few_points};
use crate::figure;
use crate::figure_file;
use crate::input::{Curve, InputArgs};
use crate::look::LookArgs;
use crate::output::{Format, Rows, print_json};

/// Score estimators by how well they extrapolate: fit a curve's smaller x, compare at its larger ones
///
/// Each group is a curve. With --split its rows marked 1 are fitted (of repeated x the last) and those
/// marked 0 scored; without it everything beyond --cut of the largest x is held out. Of a sweep the
/// curve is the frontier of the means of seeds, as it is of a fit. The error of a curve is the root mean square of ln predicted - ln measured (arXiv 2209.06640).
#[derive(clap::Args)]
pub struct BacktestArgs {
    #[command(flatten)]
    input: InputArgs,

    /// Column that says which rows are fitted (1) and which are scored (0)
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    split: Option<String>,

    /// Without --split, the share of the largest x up to which points are fitted
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, conflicts_with = "split")]
    cut: f64,

    /// Estimators, the default one and laws of x; all of them without this
    #[arg(long, value_name = "LAWS", value_delimiter = ',', value_parser = estimator)]
    law: Vec<Estimator>,

    /// Starting points of each law's fit
    #[arg(long, value_name = "N", default_value_t = 128)]
    starts: usize,

    /// Bootstrap resamples behind each law's intervals; 0: their noise alone
    #[arg(long, value_name = "N", default_value_t = 100)]
    resamples: usize,

    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Draw the curves with what the estimators said of them; .svg or .png, or .csv for its numbers
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,

    #[command(flatten)]
    look: LookArgs,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn estimator(name: &str) -> Result<Estimator, String> {
    let all = Estimator::all();
    let names = || all.iter().map(|known| known.name()).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|known| known.name() == name).copied();
    found.ok_or_else(|| format!("estimators are {}", names()))
}

pub async fn backtest(args: &BacktestArgs) -> anyhow::Result<ExitCode> {
    if !(args.cut > 0.0 && args.cut < 1.0) {
        return Err(bad_input(anyhow!("--cut is {}: it has to be between 0 and 1", args.cut)));
    }
    let split: Vec<_> = args.split.iter().map(String::as_str).collect();
    let input = args.input.read(&[Axis::X], &split).await?;
    let cases = input.curves.iter().map(|curve| args.case(curve, input.selection));
    let cases = cases.collect::<anyhow::Result<Vec<_>>>()?;
    if cases.iter().all(|case| case.train.is_empty() || case.test.is_empty()) {
        return Err(too_few_points(anyhow!("no curve has both rows to fit and rows to score")));
    }
    let estimators = if args.law.is_empty() { Estimator::all() } else { args.law.clone() };
    let options = args.options();
    let result = score(&cases, &estimators, &options);
    if let Some(path) = &args.figure {
        let figure = figure::of_backtest(&input, &cases, &estimators, &result, &options);
        figure_file::write(&figure, args.look.look(), path)?;
    }
    print(&result, args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

/// What a fit of all of them would see.
fn selected(points: &[Point], selection: Selection) -> Vec<Point> {
    match selection {
        Selection::EveryPoint => points.to_vec(),
        Selection::Frontier => frontier(&seed_means(points))
            .iter()
            .map(|mean| Point::independent(mean.configuration, x(mean.x), mean.y))
            .collect(),
    }
}

impl BacktestArgs {
    fn options(&self) -> FitOptions {
        FitOptions {
            n_starts: self.starts,
            n_resamples: self.resamples,
            seed: self.seed,
            holdout: false,
            ..FitOptions::default()
        }
    }

    fn case(&self, curve: &Curve, selection: Selection) -> anyhow::Result<Case> {
        let Some(column) = &self.split else {
            let points = selected(&curve.points, selection);
            return Ok(Case::cut(curve.group.clone(), &points, self.cut));
        };
        let mut case = Case { group: curve.group.clone(), train: Vec::new(), test: Vec::new() };
        for (point, cells) in curve.points.iter().zip(&curve.cells) {
            match cells[0].trim() {
                "1" | "1.0" | "true" => case.train.push(*point),
                "0" | "0.0" | "false" => case.test.push(*point),
                other => {
                    return Err(bad_input(anyhow!(
                        "column `{column}` says `{other}`; 1 marks rows to fit, 0 rows to score"
                    )));
                }
            }
        }
        Ok(case)
    }
}

fn print(result: &Backtest, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return print_json(result);
    }
    let columns = [
        "estimator",
        "mean rmse",
        "median rmse",
        "in 50%",
        "in 80%",
        "in 90%",
        "groups",
        "failed",
        "seconds",
    ];
    let rows = result.estimators.iter().map(|score| -> Vec<Value> {
        vec![
            score.name.into(),
            json!(score.mean_rmse),
            json!(score.median_rmse),
            json!(score.coverage50),
            json!(score.coverage80),
            json!(score.coverage90),
            json!(score.groups.len() - score.n_failed),
            json!(score.n_failed),
            json!(score.seconds),
        ]
    });
    Rows::new(columns.map(str::to_owned).into(), rows.collect()).print(format)
}
