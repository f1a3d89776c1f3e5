//! isoflop: plans, runs and reads scaling-law sweeps.
//!
//! Standard output is data, standard error is progress and complaints. This crate is the only one
//! that prints, exits, reads the environment or uses anyhow.

mod analyse;
mod axis_label;
mod calibrate;
mod checkpoints;
mod commands;
mod conduct;
mod costs;
mod devices;
mod draw;
mod estimate;
mod exit;
mod exported;
mod figure;
mod figure_file;
mod foreign;
mod garbage;
mod git;
mod input;
mod invocations;
mod journal;
mod live;
mod look;
mod memory;
mod narrow;
mod outlook;
mod output;
mod page;
mod paths;
mod places;
mod progress;
mod ready;
mod recover;
mod selection;
mod sharing;
mod slurm;
mod source;
mod stored;
mod summary;
mod sweep_file;
mod tables;
mod when;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    backtest, data, doctor, export, figures, fit, frontier, gc, import, logs, merge, plan, predict,
    profiles, query, report, retry, serve, shape, status, suggest, sweep,
};

/// Scaling-law experiments: plan a sweep, train every point, keep every measurement, fit, draw
///
/// Exit codes: 0 all done, 1 unexpected error, 2 usage or bad input, 10 some trials failed,
/// 11 too few points to fit, 12 budget reached, 130 interrupted.
#[derive(Parser)]
#[command(name = "isoflop", version, propagate_version = true, help_expected = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Plan(plan::PlanArgs),
    Sweep(sweep::SweepArgs),
    Retry(retry::RetryArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Query(query::QueryArgs),
    Fit(fit::FitArgs),
    Predict(predict::PredictArgs),
    Backtest(backtest::BacktestArgs),
    Frontier(frontier::FrontierArgs),
    Profiles(profiles::ProfilesArgs),
    Suggest(suggest::SuggestArgs),
    Figures(figures::FiguresArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Report(report::ReportArgs),
    Merge(merge::MergeArgs),
    Serve(serve::ServeArgs),
    Gc(gc::GcArgs),
    Shape(shape::ShapeArgs),
    Data(data::DataArgs),
    Doctor(doctor::DoctorArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli.command)),
        Err(error) => Err(error.into()),
    };
    exit::code_of(result)
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Plan(args) => plan::plan(&args).await,
        Command::Sweep(args) => sweep::sweep(&args).await,
        Command::Retry(args) => retry::retry(&args).await,
        Command::Status(args) => status::status(&args).await,
        Command::Logs(args) => logs::logs(&args).await,
        Command::Query(args) => query::query(&args).await,
        Command::Fit(args) => fit::fit(&args).await,
        Command::Predict(args) => predict::predict(&args).await,
        Command::Backtest(args) => backtest::backtest(&args).await,
        Command::Frontier(args) => frontier::frontier(&args).await,
        Command::Profiles(args) => profiles::profiles(&args).await,
        Command::Suggest(args) => suggest::suggest(&args).await,
        Command::Figures(args) => figures::figures(&args).await,
        Command::Export(args) => export::export(&args).await,
        Command::Import(args) => import::import(&args).await,
        Command::Report(args) => report::report(&args).await,
        Command::Merge(args) => merge::merge(&args).await,
        Command::Serve(args) => serve::serve(&args).await,
        Command::Gc(args) => gc::gc(&args).await,
        Command::Shape(args) => shape::shape(&args),
        Command::Data(args) => data::data(&args),
        Command::Doctor(args) => doctor::doctor(&args).await,
    }
}
