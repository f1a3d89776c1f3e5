//! `isoflop report`: what a sweep asked, did, cost and found, on one page.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::exit::{ALL_DONE, bad_input};
use crate::page;
use crate::page::Record;
use crate::paths::Workplace;
use crate::stored::StoredSweepArgs;

/// Write a report of a sweep: one HTML file, for screens, phones and paper
///
/// The question from the head of the sweep file, the plan and what it cost, figures, fits with their
/// intervals and warnings, tables, failures, where the numbers come from, and how to make them again.
/// The file loads nothing and runs no script. It is made from the store alone: the same store gives the
/// same bytes, and a sweep that is not finished has a report of what there is.
#[derive(clap::Args)]
pub struct ReportArgs {
    #[command(flatten)]
    sweep: StoredSweepArgs,

    /// What the figures of error show: a metric of the sweep's evaluations; val_error unless told otherwise
    #[arg(long, value_name = "METRIC")]
    y: Option<String>,

    /// The file, - for standard output; default figures/SWEEP/report.html beside the database
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub async fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let (store, sweep) = args.sweep.open().await?;
    let record = Record::read(&store, sweep, &args.sweep.db, args.y.as_deref()).await?;
    let html = page::page(&record).html();
    let mut out = std::io::stdout().lock();
    match args.out.as_deref() {
        Some(path) if path.as_os_str() == "-" => out.write_all(html.as_bytes())?,
        path => {
            let own = || Workplace::of(&args.sweep.db).figures(&record.sweep.name);
            let path = path.map_or_else(|| own().join("report.html"), PathBuf::from);
            let cannot = || format!("cannot write `{}`", path.display());
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).with_context(cannot).map_err(bad_input)?;
            }
            std::fs::write(&path, html).with_context(cannot).map_err(bad_input)?;
            writeln!(out, "{}", path.display())?;
        }
    }
    Ok(ExitCode::from(ALL_DONE))
}
